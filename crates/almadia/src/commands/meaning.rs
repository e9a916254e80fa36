//! What a member's error means for a call: was it carried out, would another member say the same, is it the user's token?
//!
//! Decides from etcd's codes and texts alone; never calls anybody.

use tonic::{Code, Status};

use super::error::CommandError;
use super::login;

/// Refusals for which etcd has no code (Lock, Election, Hash, Defragment, Snapshot: all "Unknown").
const REFUSALS_WITHOUT_CODE: [&str; 8] = [
    "requested lease not found",
    "permission denied",
    "election: not leader",
    "mutex: session is expired",
    "field must be provided",
    "key is not provided",
    "password was given for no password user",
    "required revision has been compacted",
];

/// What a member's error means for the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The user's token is no longer good; it was not carried out.
    TokenOutdated,
    /// Another member, or the same one later, may serve it; it was not carried out.
    NotCarriedOut,
    /// It may have been carried out.
    Unknown,
    /// Every member would say the same.
    Refused,
}

/// The cluster's refusal in its own words.
pub fn refused(status: &Status) -> CommandError {
    CommandError::Refused {
        code: status.code(),
        message: without_origin(status.message()).to_owned(),
    }
}

/// etcd's texts begin with the name of its program, which says nothing to a user.
pub fn without_origin(message: &str) -> &str {
    message.strip_prefix("etcdserver: ").unwrap_or(message)
}

/// What an error means.
pub fn meaning(status: &Status) -> Meaning {
    let message = status.message();
    if login::is_outdated(message) {
        return Meaning::TokenOutdated;
    }
    // Nobody leads the election, which says nothing about the cluster.
    if message == "election: no leader" {
        return Meaning::Refused;
    }
    if message.ends_with("no leader")
        || message.ends_with("too many requests")
        || message.ends_with("rpc not supported for learner")
    {
        return Meaning::NotCarriedOut;
    }
    match status.code() {
        Code::Unknown if REFUSALS_WITHOUT_CODE.iter().any(|text| message.ends_with(text)) => Meaning::Refused,
        Code::Unavailable
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::Cancelled
        | Code::Internal
        | Code::Aborted => Meaning::Unknown,
        _ => Meaning::Refused,
    }
}

/// Whether a member refused, and every member would.
pub fn is_refusal(status: &Status) -> bool {
    matches!(meaning(status), Meaning::Refused | Meaning::TokenOutdated)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Promise: only what was certainly not carried out counts as such.
    #[test]
    fn what_errors_mean() {
        let cases = [
            (Code::Unavailable, "etcdserver: no leader", Meaning::NotCarriedOut),
            (
                Code::ResourceExhausted,
                "etcdserver: too many requests",
                Meaning::NotCarriedOut,
            ),
            (
                Code::FailedPrecondition,
                "etcdserver: rpc not supported for learner",
                Meaning::NotCarriedOut,
            ),
            (Code::Unavailable, "etcdserver: leader changed", Meaning::Unknown),
            (
                Code::Unavailable,
                "etcdserver: request timed out",
                Meaning::Unknown,
            ),
            (Code::Unknown, "transport error", Meaning::Unknown),
            (Code::Unknown, "election: no leader", Meaning::Refused),
            (Code::Unknown, "etcdserver: permission denied", Meaning::Refused),
            (
                Code::Unauthenticated,
                "etcdserver: invalid auth token",
                Meaning::TokenOutdated,
            ),
            (
                Code::InvalidArgument,
                "etcdserver: key is not provided",
                Meaning::Refused,
            ),
            (
                Code::OutOfRange,
                "etcdserver: mvcc: required revision has been compacted",
                Meaning::Refused,
            ),
            (
                Code::ResourceExhausted,
                "etcdserver: mvcc: database space exceeded",
                Meaning::Refused,
            ),
        ];
        for (code, message, expected) in cases {
            assert_eq!(meaning(&Status::new(code, message)), expected, "{message}");
        }
    }
}
