//! Where the server's messages go (`--log-outputs`, row B11.5): standard error, standard output, files. It rotates nothing: files are
//! opened for appending, so that whoever rotates them may copy and truncate.

use super::{ConfigError, LogFormat, Settings};
use std::fs::OpenOptions;
use std::io::IsTerminal;
use std::sync::Mutex;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::{BoxMakeWriter, MakeWriterExt};

/// One place for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogOutput {
    /// Standard error.
    Error,
    /// Standard output.
    Standard,
    /// A file, to whose end they are written.
    File(String),
}

impl LogOutput {
    /// As etcd writes it. A journal reads what stands on standard error.
    pub fn parse(text: &str) -> Self {
        match text {
            "default" | "stderr" | "systemd/journal" => Self::Error,
            "stdout" => Self::Standard,
            path => Self::File(path.to_owned()),
        }
    }

    fn open(&self) -> Result<BoxMakeWriter, ConfigError> {
        match self {
            Self::Error => Ok(BoxMakeWriter::new(std::io::stderr)),
            Self::Standard => Ok(BoxMakeWriter::new(std::io::stdout)),
            Self::File(path) => {
                let file = OpenOptions::new().create(true).append(true).open(path);
                let file = file.map_err(|error| {
                    ConfigError::new(format!("--log-outputs: {path}: cannot be opened: {error}"))
                })?;
                Ok(BoxMakeWriter::new(Mutex::new(file)))
            }
        }
    }
}

/// Begins to log as the settings say.
///
/// # Errors
/// A file that cannot be opened.
pub fn start(settings: &Settings) -> Result<(), ConfigError> {
    let mut outputs = settings.log_outputs.iter();
    let first = outputs.next().unwrap_or(&LogOutput::Error).open()?;
    let writer = outputs.try_fold(first, |all, output| {
        Ok::<_, ConfigError>(BoxMakeWriter::new(all.and(output.open()?)))
    })?;
    // openraft tells every tick at INFO and every missed heartbeat at WARN; what matters of it we tell ourselves.
    let filter = tracing_subscriber::EnvFilter::new(format!("{},openraft=error", settings.log_level));
    let is_terminal = settings.log_outputs == [LogOutput::Error] && std::io::stderr().is_terminal();
    install(settings.log_format, filter, is_terminal, writer);
    Ok(())
}

fn install<W>(format: LogFormat, filter: tracing_subscriber::EnvFilter, is_terminal: bool, writer: W)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt()
        .with_writer(writer)
        .with_env_filter(filter)
        .with_target(false);
    match format {
        LogFormat::Console => builder.with_ansi(is_terminal).init(),
        LogFormat::Json => builder.json().init(),
    }
}
