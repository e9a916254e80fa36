//! `almadia server`: reads its settings as etcd does and runs one member with them. It decides nothing about the cluster.

mod auth_token;
#[cfg(test)]
mod command_lines;
mod config;
mod duration;
mod faults;
mod file;
mod flags;
#[cfg(test)]
mod fuzz;
mod log;
mod ordinals;
mod run;
mod slow;
mod table;
#[cfg(test)]
mod tests;
mod tls;
mod values;
mod vitals;
mod web;

pub use config::{LogFormat, Settings};
pub use flags::{Flags, called_as_etcd, with_two_dashes};
pub use log::LogOutput;
use values::Values;

/// Settings that cannot be used: one line that names the setting and what is allowed. The process ends with code 2.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConfigError {
    message: String,
}

impl ConfigError {
    fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}

/// The settings from flags, this process's environment, or the config file one of them names.
///
/// # Errors
/// The first thing that is wrong with them.
pub fn load(flags: &Flags) -> Result<Settings, ConfigError> {
    let text = |text: std::ffi::OsString| text.into_string().ok();
    let environment: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((text(name)?, text(value)?)))
        .collect();
    let values = Values::gather(&flags.given, &environment, |path| std::fs::read_to_string(path))?;
    let mut settings = Settings::from_values(&values)?;
    settings.read_keys(|path| std::fs::read(path))?;
    Ok(settings)
}

/// Runs a member until it is asked to stop; the exit code is 2 when its settings cannot be used.
pub fn run(flags: Flags) -> std::process::ExitCode {
    run::run(&flags)
}
