//! `almadia completions`: what a shell needs to complete our command line.

use super::error::CommandError;
use super::output::print;

/// Which shell.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  source <(almadia completions bash)
  almadia completions zsh > \"${fpath[1]}/_almadia\"
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

/// Prints the script for `program`.
pub fn run(arguments: &CompletionsArguments, program: &mut clap::Command) -> Result<(), CommandError> {
    let shell = match arguments.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, program, "almadia", &mut script);
    print(&script)
}
