//! The command line of `almadia server`, made from the table of settings. It also takes etcd's one-dash spelling; it
//! checks names of flags, never values.

use super::table::{self, SETTINGS, Treatment, Value};
use std::collections::BTreeMap;
use std::ffi::OsString;

/// The flags that were given, each with its text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// By the setting's name.
    pub given: BTreeMap<&'static str, String>,
}

impl clap::FromArgMatches for Flags {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        for setting in SETTINGS {
            if let Some(text) = matches.get_one::<String>(setting.name) {
                self.given.insert(setting.name, text.clone());
            }
        }
        Ok(())
    }
}

impl clap::Args for Flags {
    fn augment_args(command: clap::Command) -> clap::Command {
        // The last of several wins, as with etcd.
        SETTINGS
            .iter()
            .fold(command.args_override_self(true), |command, setting| {
                command.arg(argument(setting))
            })
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

fn argument(setting: &'static table::Setting) -> clap::Arg {
    let argument = clap::Arg::new(setting.name)
        .long(setting.name)
        .action(clap::ArgAction::Set);
    let argument = match setting.value {
        Value::Text(word) => argument.value_name(word).allow_hyphen_values(true),
        Value::Switch => argument
            .value_name("BOOL")
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true"),
    };
    match setting.treatment {
        Treatment::Used => argument.help(format!("{} [env: {}]", setting.help, setting.environment())),
        Treatment::Ignored(_) | Treatment::Refused(_) => argument.hide(true),
    }
}

/// A program that is started by etcd's name, as installers and manifests do, is the server.
pub fn called_as_etcd(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let program = arguments.first().map(std::path::Path::new);
    if program.and_then(std::path::Path::file_name) == Some("etcd".as_ref()) {
        arguments.insert(1, "server".into());
    }
    arguments
}

/// The same arguments in our spelling: two dashes where etcd also takes one, and without the `experimental-` that etcd
/// 3.5 puts before some names. Only what follows the word `server` is touched, and never the value of a flag.
pub fn with_two_dashes(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut result = Vec::new();
    let mut inside = false;
    let mut value_next = false;
    for argument in arguments {
        let is_value = std::mem::take(&mut value_next);
        let flag = argument
            .to_str()
            .filter(|_| inside && !is_value)
            .and_then(known_flag);
        inside = inside || argument == "server";
        let Some((setting, value)) = flag else {
            result.push(argument);
            continue;
        };
        value_next = value.is_none() && matches!(setting.value, Value::Text(_));
        let name = setting.name;
        result.push(
            value
                .map_or_else(|| format!("--{name}"), |value| format!("--{name}={value}"))
                .into(),
        );
    }
    result
}

/// The setting an argument names with one dash or two, and the value after its equals sign.
fn known_flag(argument: &str) -> Option<(&'static table::Setting, Option<&str>)> {
    let name = argument
        .strip_prefix("--")
        .or_else(|| argument.strip_prefix('-'))?;
    let (name, value) = name
        .split_once('=')
        .map_or((name, None), |(name, value)| (name, Some(value)));
    Some((table::find(name)?, value))
}
