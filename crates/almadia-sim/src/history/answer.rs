//! What a client was told. It decides nothing.

use super::{Lease, Revision, Text};
use serde::{Deserialize, Serialize};

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was carried out, and this is the answer.
    Done(Answer),
    /// It was certainly not carried out.
    Refused(Refusal),
    /// Nobody knows: a time-out, a connection that broke, an answer such as "timed out".
    Unknown,
}

/// Why a call was certainly not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// "required revision has been compacted"
    Compacted,
    /// "required revision is a future revision"
    FutureRevision,
    /// "requested lease not found"
    LeaseNotFound,
    /// "lease already exists"
    LeaseExists,
    /// Anything else that promises that nothing was done, in the server's words.
    Other(String),
}

/// An answer: the store's revision in its header, and what it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The header's revision: for what wrote, the revision it made; else the one it was read at.
    pub revision: Revision,
    /// The rest.
    pub body: Body,
}

/// The rest of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// To a put.
    Put {
        /// What was there before, if it was wanted and there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prev: Option<KeyValue>,
    },
    /// To a range.
    Range {
        /// In key order.
        kvs: Vec<KeyValue>,
        /// All keys in the span, whatever the limit.
        count: i64,
        /// There are more than the limit let through.
        #[serde(default)]
        more: bool,
    },
    /// To a delete.
    Delete {
        /// How many keys.
        deleted: i64,
        /// What was there before, if it was wanted.
        #[serde(default)]
        prevs: Vec<KeyValue>,
    },
    /// To a transaction.
    Txn {
        /// The compares held.
        succeeded: bool,
        /// One for each request of the list that was done.
        bodies: Vec<Body>,
    },
    /// To what has nothing more to say: compact, revoke, unlock.
    Nothing,
    /// To a grant or a keepalive: the seconds it has now; 0 to a keepalive of a lease that is gone.
    Lease {
        /// Seconds.
        ttl_s: i64,
    },
    /// To time-to-live.
    TimeToLive {
        /// Seconds left, -1 if the lease is gone.
        left_s: i64,
        /// Seconds that were granted.
        granted_s: i64,
    },
    /// To a lock.
    Lock {
        /// The key that stands for holding it.
        key: Text,
    },
}

/// A key as it stood at some revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyValue {
    /// The key.
    pub key: Text,
    /// The value.
    pub value: Text,
    /// The revision that created it.
    pub create_revision: Revision,
    /// The revision that last wrote it.
    pub mod_revision: Revision,
    /// Puts since its creation, from 1.
    pub version: i64,
    /// The lease it hangs on, 0 for none.
    #[serde(default)]
    pub lease: Lease,
}
