//! Where a write stands in the log, for clients who ask.
//!
//! A client that sends the request metadata `almadia-position: 1` gets, with the answer of each call that went through
//! the log (not with refusals, not with reads), the response metadata
//!
//! | key | value |
//! |---|---|
//! | `almadia-log-index` | the entry's log index, decimal |
//! | `almadia-term` | the entry's term, decimal |
//! | `almadia-leader` | the id of the member that leads as the answering one knows it, hexadecimal; absent without one |
//! | `almadia-leader-name` | that member's name, if it can stand in a header |
//!
//! etcd has nothing like it; clients that do not ask see nothing of it.

use crate::backend::Status;
use almadia_command::{LogIndex, Term};
use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue};

/// Request metadata that asks for positions.
pub const ASKED: HeaderName = HeaderName::from_static("almadia-position");
/// The entry's log index.
pub const LOG_INDEX: HeaderName = HeaderName::from_static("almadia-log-index");
/// The entry's term.
pub const TERM: HeaderName = HeaderName::from_static("almadia-term");
/// The leader's member id.
pub const LEADER: HeaderName = HeaderName::from_static("almadia-leader");
/// The leader's name.
pub const LEADER_NAME: HeaderName = HeaderName::from_static("almadia-leader-name");

/// Where a command stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Its entry's index.
    pub index: LogIndex,
    /// Its entry's term.
    pub term: Term,
}

/// Whether a request asks for its position.
pub fn is_asked_for(headers: &HeaderMap) -> bool {
    headers.get(ASKED).is_some_and(|value| value == "1")
}

impl Position {
    /// Adds the position and the leader to an answer's headers.
    pub fn write(self, status: &Status, headers: &mut HeaderMap) {
        headers.insert(LOG_INDEX, HeaderValue::from(self.index.get()));
        headers.insert(TERM, HeaderValue::from(self.term.get()));
        let Some(leader) = status.leader else {
            return;
        };
        if let Ok(id) = HeaderValue::from_str(&leader.to_string()) {
            headers.insert(LEADER, id);
        }
        let name = status
            .members
            .iter()
            .find(|member| member.id == leader)
            .map(|member| &member.info.name);
        if let Some(Ok(name)) = name.map(|name| HeaderValue::from_str(name)) {
            headers.insert(LEADER_NAME, name);
        }
    }
}
