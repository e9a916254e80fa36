//! `almadia completions`: what a shell needs to complete our command line.
//!
//! The words come from the command line's own description; the scripts are small enough to be read. Completes commands,
//! flags and the values that are fixed; never asks a cluster.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::error::CommandError;
use super::output::print;

/// Which shell.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  source <(almadia completions bash)          also for zsh, after compinit
  almadia completions fish > ~/.config/fish/completions/almadia.fish")]
pub struct CompletionsArguments {
    /// Which shell.
    #[arg(value_enum)]
    pub shell: Shell,
}

/// The shells that are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Shell {
    /// GNU bash.
    Bash,
    /// zsh.
    Zsh,
    /// fish.
    Fish,
}

/// The words of a command line.
#[derive(Debug, Default)]
struct Vocabulary {
    /// Behind each command as it is typed, `user add` (behind the program alone: the empty name), what may follow, with its
    /// meaning.
    words: BTreeMap<String, BTreeMap<String, String>>,
    /// Behind each flag with fixed values, these.
    values: BTreeMap<String, Vec<String>>,
}

/// Prints the script for `program`.
pub fn run(arguments: &CompletionsArguments, program: &mut clap::Command) -> Result<(), CommandError> {
    program.build();
    let mut vocabulary = Vocabulary::default();
    vocabulary.gather("", program);
    let script = match arguments.shell {
        Shell::Bash => bash(&vocabulary),
        Shell::Zsh => zsh(&vocabulary),
        Shell::Fish => fish(&vocabulary),
    };
    print(script.as_bytes())
}

impl Vocabulary {
    fn gather(&mut self, name: &str, command: &clap::Command) {
        let mut words = BTreeMap::new();
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            let values: Vec<String> = argument
                .get_possible_values()
                .iter()
                .map(|value| value.get_name().to_owned())
                .collect();
            match argument.get_long() {
                Some(long) => {
                    words.insert(format!("--{long}"), help);
                    let takes_value = argument.get_action().takes_values();
                    let flags = [
                        Some(format!("--{long}")),
                        argument.get_short().map(|short| format!("-{short}")),
                    ];
                    if takes_value && !values.is_empty() {
                        flags.into_iter().flatten().for_each(|flag| {
                            self.values.insert(flag, values.clone());
                        });
                    }
                }
                None => words.extend(values.into_iter().map(|value| (value, help.clone()))),
            }
        }
        for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
            let about = inner.get_about().map(ToString::to_string).unwrap_or_default();
            words.insert(inner.get_name().to_owned(), about);
            if inner.get_name() != "help" {
                self.gather(format!("{name} {}", inner.get_name()).trim_start(), inner);
            }
        }
        self.words.insert(name.to_owned(), words);
    }

    fn commands(&self) -> Vec<&str> {
        self.words
            .keys()
            .map(String::as_str)
            .filter(|name| !name.is_empty())
            .collect()
    }
}

fn joined<'a>(words: impl IntoIterator<Item = &'a String>) -> String {
    words
        .into_iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(" ")
}

fn bash(vocabulary: &Vocabulary) -> String {
    let (commands, values, words) = branches(vocabulary, "words=\"", "\"");
    format!(
        "\
_almadia() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}} command= words= i
    for ((i = 1; i < COMP_CWORD; i++)); do
        [[ ${{COMP_WORDS[i]}} == -- ]] && return
        case \"${{command:+$command }}${{COMP_WORDS[i]}}\" in {commands}) command=\"${{command:+$command }}${{COMP_WORDS[i]}}\" ;; esac
    done
    case $previous in
{values}    *)
        case \"$command\" in
{words}        esac ;;
    esac
    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))
}}
complete -o default -F _almadia almadia
"
    )
}

fn zsh(vocabulary: &Vocabulary) -> String {
    let (commands, values, words) = branches(vocabulary, "compadd -- ", "");
    format!(
        "\
#compdef almadia
_almadia() {{
    local command= word
    for word in ${{words[2,CURRENT-1]}}; do
        [[ $word == -- ]] && return
        case \"${{command:+$command }}$word\" in {commands}) command=\"${{command:+$command }}$word\" ;; esac
    done
    case ${{words[CURRENT-1]}} in
{values}    *)
        case \"$command\" in
{words}        esac ;;
    esac
}}
compdef _almadia almadia
"
    )
}

/// The branches that bash and zsh have in common: names of commands, values of flags, words behind commands.
fn branches(vocabulary: &Vocabulary, before: &str, after: &str) -> (String, String, String) {
    let mut values = String::new();
    for (flag, known) in &vocabulary.values {
        let _ = writeln!(values, "    {flag}) {before}{}{after} ;;", joined(known));
    }
    let mut words = String::new();
    for (name, known) in &vocabulary.words {
        let _ = writeln!(
            words,
            "        '{name}') {before}{}{after} ;;",
            joined(known.keys())
        );
    }
    let commands: Vec<String> = vocabulary
        .commands()
        .into_iter()
        .map(|name| format!("'{name}'"))
        .collect();
    (commands.join("|"), values, words)
}

fn fish(vocabulary: &Vocabulary) -> String {
    let mut script = String::from("complete -c almadia -f\n");
    for (name, words) in &vocabulary.words {
        let condition = condition(name, vocabulary);
        for (word, meaning) in words {
            let meaning = meaning
                .lines()
                .next()
                .unwrap_or_default()
                .replace('\\', "")
                .replace('\'', "\\'");
            let what = match word.strip_prefix("--") {
                Some(long) => match vocabulary.values.get(word) {
                    Some(values) => format!("-l {long} -x -a '{}'", joined(values)),
                    None => format!("-l {long}"),
                },
                None => format!("-a {word}"),
            };
            let _ = writeln!(
                script,
                "complete -c almadia -n '{condition}' {what} -d '{meaning}'"
            );
        }
    }
    script
}

/// When fish offers what may follow a command: all words of the command are there, and none of those that go on from it.
fn condition(name: &str, vocabulary: &Vocabulary) -> String {
    if name.is_empty() {
        return "__fish_use_subcommand".to_owned();
    }
    let mut condition: Vec<String> = name
        .split(' ')
        .map(|word| format!("__fish_seen_subcommand_from {word}"))
        .collect();
    let inner: Vec<&str> = vocabulary
        .commands()
        .into_iter()
        .filter_map(|other| other.strip_prefix(name)?.strip_prefix(' '))
        .filter(|rest| !rest.contains(' '))
        .collect();
    if !inner.is_empty() {
        condition.push(format!("not __fish_seen_subcommand_from {}", inner.join(" ")));
    }
    condition.join("; and ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::ClientCommand;
    use crate::commands::global::Global;
    use clap::Parser;

    #[derive(Parser)]
    #[command(name = "almadia")]
    struct Program {
        #[command(flatten)]
        _global: Global,
        #[command(subcommand)]
        _command: ClientCommand,
    }

    fn vocabulary() -> Vocabulary {
        let mut program = <Program as clap::CommandFactory>::command();
        program.build();
        let mut vocabulary = Vocabulary::default();
        vocabulary.gather("", &program);
        vocabulary
    }

    #[test]
    fn words_come_from_the_command_line() {
        let vocabulary = vocabulary();
        assert!(
            vocabulary.words[""].contains_key("status") && vocabulary.words[""].contains_key("--endpoints")
        );
        assert!(
            vocabulary.words["get"].contains_key("--sort")
                && vocabulary.words["get"].contains_key("--output")
        );
        assert!(!vocabulary.words["put"].contains_key("--sort"));
        assert_eq!(vocabulary.values["-o"], ["text", "json"]);
        assert!(!vocabulary.values.contains_key("--prefix"));
        assert!(fish(&vocabulary).contains("__fish_seen_subcommand_from check' -l lang -x -a 'en es'"));
        assert!(fish(&vocabulary).contains(
            "-n '__fish_seen_subcommand_from user; and not __fish_seen_subcommand_from add delete get"
        ));
        assert!(fish(&vocabulary).contains(
            "-n '__fish_seen_subcommand_from user; and __fish_seen_subcommand_from add' -l no-password"
        ));
        assert!(zsh(&vocabulary).contains("        'check') compadd -- "));
    }

    /// Promise: bash offers what fits where the cursor is.
    #[test]
    fn bash_completes() {
        let script = bash(&vocabulary());
        for (line, expected) in [
            ("almadia mem", "member members"),
            ("almadia get --so", "--sort"),
            ("almadia --timeout 1s get --serial", "--serializable"),
            ("almadia check --lang e", "en es"),
            ("almadia put --sort", ""),
            ("almadia wat", "watch"),
            ("almadia user gr", "grant-role"),
            ("almadia --timeout 1s member add --learn", "--learner"),
            ("almadia lease keep-alive --on", "--once"),
            ("almadia role add --no-pass", ""),
            ("almadia role grant reader rea", "read readwrite"),
            ("almadia lock a -- rm --pre", ""),
        ] {
            let count = line.split(' ').count();
            let ask = format!(
                "{script}\nCOMP_WORDS=({line}); COMP_CWORD={}; _almadia; echo \"${{COMPREPLY[*]}}\"",
                count - 1
            );
            let output = std::process::Command::new("bash")
                .args(["-c", &ask])
                .output()
                .expect("bash is there");
            assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), expected, "{line}");
        }
    }
}
