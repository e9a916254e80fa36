//! What a client may ask, as far as the checks know it. It decides nothing.

use super::{Lease, Revision, Text};
use serde::{Deserialize, Serialize};

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Writes a key.
    Put {
        /// Not empty.
        key: Text,
        /// May be empty.
        value: Text,
        /// The lease it hangs on, 0 for none.
        #[serde(default)]
        lease: Lease,
        /// Wants what was there before.
        #[serde(default)]
        prev_kv: bool,
    },
    /// Reads keys.
    Range(Range),
    /// Deletes keys.
    Delete {
        /// Which.
        span: Span,
        /// Wants what was there before.
        #[serde(default)]
        prev_kv: bool,
    },
    /// Compares, then does one list or the other.
    Txn(Txn),
    /// Forgets what was overwritten before a revision.
    Compact {
        /// The oldest revision still to be read.
        revision: Revision,
    },
    /// Makes a lease.
    LeaseGrant {
        /// The id asked for; never 0 here, so that the checks know it whatever the outcome.
        lease: Lease,
        /// Seconds asked for.
        ttl_s: i64,
    },
    /// Ends a lease and deletes its keys.
    LeaseRevoke {
        /// Which.
        lease: Lease,
    },
    /// Renews a lease.
    LeaseKeepAlive {
        /// Which.
        lease: Lease,
    },
    /// Asks what a lease has left.
    LeaseTimeToLive {
        /// Which.
        lease: Lease,
    },
    /// Waits for a lock and takes it.
    Lock {
        /// The lock's name: the prefix of its keys.
        name: Text,
        /// The lease that the lock hangs on.
        lease: Lease,
    },
    /// Gives a lock back.
    Unlock {
        /// The key that taking it answered.
        key: Text,
    },
}

impl Request {
    /// Whether carrying it out may make a revision.
    pub fn may_write(&self) -> bool {
        match self {
            Request::Put { .. }
            | Request::Delete { .. }
            | Request::LeaseRevoke { .. }
            | Request::Lock { .. }
            | Request::Unlock { .. } => true,
            Request::Txn(txn) => txn
                .success
                .iter()
                .chain(&txn.failure)
                .any(|request| request.may_write()),
            Request::Range(_)
            | Request::Compact { .. }
            | Request::LeaseGrant { .. }
            | Request::LeaseKeepAlive { .. }
            | Request::LeaseTimeToLive { .. } => false,
        }
    }
}

/// One key, or a range of keys, with etcd's rules for `range_end`: empty is one key, a single zero byte is no end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The first key.
    pub key: Text,
    /// The first key behind it, or one of the two special forms.
    #[serde(default, skip_serializing_if = "Text::is_empty")]
    pub range_end: Text,
}

impl Span {
    /// Exactly one key.
    pub fn one(key: impl Into<Text>) -> Span {
        Span {
            key: key.into(),
            range_end: Text::default(),
        }
    }

    /// All keys from one up to, but without, another.
    pub fn between(key: impl Into<Text>, range_end: impl Into<Text>) -> Span {
        Span {
            key: key.into(),
            range_end: range_end.into(),
        }
    }

    /// Every key.
    pub fn all() -> Span {
        Span::between(vec![0], vec![0])
    }

    /// Whether a key lies in it.
    pub fn holds(&self, key: &Text) -> bool {
        if self.range_end.is_empty() {
            return *key == self.key;
        }
        *key >= self.key && (self.range_end.as_bytes() == [0] || *key < self.range_end)
    }
}

/// A read. Answers are in key order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// Which keys.
    pub span: Span,
    /// At which revision; 0 is the newest.
    #[serde(default)]
    pub revision: Revision,
    /// How many at most; 0 is all.
    #[serde(default)]
    pub limit: i64,
    /// The member's own state is good enough.
    #[serde(default)]
    pub serializable: bool,
    /// Without values.
    #[serde(default)]
    pub keys_only: bool,
    /// Without keys.
    #[serde(default)]
    pub count_only: bool,
}

impl Range {
    /// A linearizable read of everything about these keys.
    pub fn of(span: Span) -> Range {
        Range {
            span,
            revision: 0,
            limit: 0,
            serializable: false,
            keys_only: false,
            count_only: false,
        }
    }
}

/// A transaction. Its requests are puts, ranges, deletes and transactions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Txn {
    /// All must hold for success; none is success.
    pub compares: Vec<Compare>,
    /// Done on success.
    pub success: Vec<Request>,
    /// Done otherwise.
    pub failure: Vec<Request>,
}

/// One condition: holds if it does for every key of the span (a single key that is not there counts as zeros, a
/// compared value of it never holds).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compare {
    /// Which keys.
    pub span: Span,
    /// How.
    pub verdict: Verdict,
    /// With what.
    pub operand: Operand,
}

/// How the key's side stands to the operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    Greater,
    /// `<`
    Less,
}

impl Verdict {
    /// Whether two sides stand to each other like this.
    pub fn holds<T: Ord + ?Sized>(self, left: &T, right: &T) -> bool {
        match self {
            Verdict::Equal => left == right,
            Verdict::NotEqual => left != right,
            Verdict::Greater => left > right,
            Verdict::Less => left < right,
        }
    }
}

/// What a key is compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operand {
    /// Its value.
    Value(Text),
    /// The revision that created it.
    CreateRevision(Revision),
    /// The revision that last wrote it.
    ModRevision(Revision),
    /// Puts since its creation.
    Version(i64),
    /// Its lease.
    Lease(Lease),
}
