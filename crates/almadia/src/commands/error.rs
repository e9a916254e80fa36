//! How a client command ends when it does not succeed: one line that says what to do next, and an exit code.
//!
//! Never prints.

use std::fmt::Display;

/// Exit code: all is well.
pub const EXIT_OK: u8 = 0;
/// Exit code: the cluster refused, or a check failed.
pub const EXIT_FAILED: u8 = 1;
/// Exit code: the command line is wrong (clap uses the same).
pub const EXIT_USAGE: u8 = 2;
/// Exit code: nobody could be reached, or no member has a leader; nothing was changed.
pub const EXIT_UNREACHABLE: u8 = 3;
/// Exit code: `get` of one key that does not exist.
pub const EXIT_NOT_FOUND: u8 = 4;
/// Exit code: a write was sent and its fate is unknown.
pub const EXIT_UNKNOWN: u8 = 5;

/// Why a command did not succeed. The text is what stands on stderr.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The command line or the input is wrong; nothing was sent.
    #[error("{0}")]
    Usage(String),
    /// The cluster was asked and refused.
    #[error("the cluster refused: {message} ({code:?}){}", advice(message))]
    Refused {
        /// gRPC status code.
        code: tonic::Code,
        /// The server's words.
        message: String,
    },
    /// No address answered.
    #[error(
        "cannot reach the cluster at {endpoints}: {reason}; is it running? name its members with --endpoints"
    )]
    Unreachable {
        /// The addresses that were tried.
        endpoints: String,
        /// The last reason.
        reason: String,
    },
    /// Members answered, but none could serve.
    #[error(
        "the cluster at {endpoints} cannot serve now: {reason}; nothing was changed; look at it with 'almadia status'"
    )]
    NotServed {
        /// The addresses that were tried.
        endpoints: String,
        /// The last reason.
        reason: String,
    },
    /// A write was sent and no answer came that says what became of it.
    #[error(
        "unknown: the write may or may not have been carried out ({reason}); look at what is there before you repeat it"
    )]
    Unknown {
        /// What happened instead of an answer.
        reason: String,
    },
    /// Something else went wrong.
    #[error("{0}")]
    Failed(String),
    /// `get` of one key that does not exist.
    #[error("{0}")]
    NotFound(String),
}

/// What to do about refusals that have nothing to do with the request itself.
fn advice(message: &str) -> &'static str {
    [
        (
            "user name is empty",
            "; access control is on: log in with --user NAME",
        ),
        (
            "authentication failed, invalid user ID or password",
            "; look at --user and --password",
        ),
        (
            "permission denied",
            "; log in as another --user, or have it granted: almadia role grant --help",
        ),
        (
            "database space exceeded",
            "; make room with 'almadia compact' and 'almadia defrag', then 'almadia alarm disarm'",
        ),
    ]
    .into_iter()
    .find_map(|(text, advice)| message.ends_with(text).then_some(advice))
    .unwrap_or_default()
}

impl CommandError {
    /// The command line or the input is wrong.
    pub fn usage(text: impl Display) -> Self {
        Self::Usage(text.to_string())
    }

    /// Something went wrong.
    pub fn failed(text: impl Display) -> Self {
        Self::Failed(text.to_string())
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => EXIT_USAGE,
            Self::Refused { .. } | Self::Failed(_) => EXIT_FAILED,
            Self::Unreachable { .. } | Self::NotServed { .. } => EXIT_UNREACHABLE,
            Self::Unknown { .. } => EXIT_UNKNOWN,
            Self::NotFound(_) => EXIT_NOT_FOUND,
        }
    }
}
