//! From settings to a running member: logging, threads, signals. What the member does is decided below.

use super::{ConfigError, Flags, LogFormat, ServerConfig};
use std::process::ExitCode;

/// Exit code for settings that cannot be used, as clap has it for flags it does not know.
const EXIT_USAGE: u8 = 2;

/// Runs a member until it is asked to stop.
pub fn run(flags: &Flags) -> ExitCode {
    let config = match super::load(flags) {
        Ok(config) => config,
        Err(error) => return refuse(&error),
    };
    start_logging(&config);
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    eprintln!("almadia: this build has no server yet");
    ExitCode::FAILURE
}

fn refuse(error: &ConfigError) -> ExitCode {
    eprintln!("almadia server: {error}");
    ExitCode::from(EXIT_USAGE)
}

/// Messages go to standard error, where supervisors look for them; standard output has the line that says it is ready.
fn start_logging(config: &ServerConfig) {
    let builder = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(config.log_level)
        .with_target(false);
    match config.log_format {
        LogFormat::Console => builder
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .init(),
        LogFormat::Json => builder.json().init(),
    }
}
