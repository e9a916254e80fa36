//! What a watcher asked for and was sent. It decides nothing.

use super::{KeyValue, Revision, Span, Text};
use serde::{Deserialize, Serialize};

/// One change of one key, as etcd's watches tell it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The key was written.
    Put {
        /// As it stands since.
        kv: KeyValue,
        /// As it stood before, if it was wanted, there, and not compacted yet.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prev: Option<KeyValue>,
    },
    /// The key was deleted.
    Delete {
        /// Which.
        key: Text,
        /// At which revision.
        mod_revision: Revision,
        /// As it stood before, likewise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prev: Option<KeyValue>,
    },
}

impl Event {
    /// The key that changed.
    pub fn key(&self) -> &Text {
        match self {
            Event::Put { kv, .. } => &kv.key,
            Event::Delete { key, .. } => key,
        }
    }

    /// The revision of the change.
    pub fn revision(&self) -> Revision {
        match self {
            Event::Put { kv, .. } => kv.mod_revision,
            Event::Delete { mod_revision, .. } => *mod_revision,
        }
    }

    /// What was there before, as told.
    pub fn prev(&self) -> Option<&KeyValue> {
        match self {
            Event::Put { prev, .. } | Event::Delete { prev, .. } => prev.as_ref(),
        }
    }

    /// The same without what was there before.
    pub fn bare(&self) -> Event {
        match self {
            Event::Put { kv, .. } => Event::Put {
                kv: kv.clone(),
                prev: None,
            },
            Event::Delete {
                key, mod_revision, ..
            } => Event::Delete {
                key: key.clone(),
                mod_revision: *mod_revision,
                prev: None,
            },
        }
    }
}

/// What a watcher asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchRequest {
    /// Which keys.
    pub span: Span,
    /// The first revision wanted; 0 is "from now".
    #[serde(default)]
    pub start_revision: Revision,
    /// Wants what was there before.
    #[serde(default)]
    pub prev_kv: bool,
    /// Does not want puts.
    #[serde(default)]
    pub no_put: bool,
    /// Does not want deletes.
    #[serde(default)]
    pub no_delete: bool,
    /// Takes the events of one revision in several answers.
    #[serde(default)]
    pub fragment: bool,
}

impl WatchRequest {
    /// Everything about these keys from a revision on.
    pub fn of(span: Span, start_revision: Revision) -> WatchRequest {
        WatchRequest {
            span,
            start_revision,
            prev_kv: false,
            no_put: false,
            no_delete: false,
            fragment: false,
        }
    }

    /// Whether an event is one it asked for, revisions apart.
    pub fn wants(&self, event: &Event) -> bool {
        let filtered = match event {
            Event::Put { .. } => self.no_put,
            Event::Delete { .. } => self.no_delete,
        };
        !filtered && self.span.holds(event.key())
    }
}

/// What one response says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// The watcher exists.
    Created,
    /// Something changed.
    Events {
        /// Never empty.
        events: Vec<Event>,
        /// The same revision goes on in the next response.
        #[serde(default)]
        fragment: bool,
    },
    /// Everything up to the header's revision has been sent.
    Progress,
    /// The watcher is over.
    Cancelled {
        /// Not 0 if what it wanted is compacted.
        #[serde(default)]
        compact_revision: Revision,
        /// In the server's words.
        #[serde(default)]
        reason: String,
    },
}

/// One response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchResponse {
    /// When it came.
    pub at_us: u64,
    /// The header's revision.
    pub revision: Revision,
    /// What it says.
    pub report: Report,
}

/// One watcher from its request to whatever ended it. A client that resumes after a broken connection is a new
/// watcher, with the start revision it asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Unlike any other watcher's in this history.
    pub id: u64,
    /// The member that was asked, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<u64>,
    /// When it was asked for.
    pub invoked_us: u64,
    /// What it asked for.
    pub request: WatchRequest,
    /// In the order in which they came.
    #[serde(default)]
    pub responses: Vec<WatchResponse>,
}
