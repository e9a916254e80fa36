//! What clients of a cluster asked and saw, as plain data. Recorded by the simulator and by the soak with real
//! processes, judged elsewhere. It judges nothing.
//!
//! All times are microseconds on one clock that never goes back, the recorder's. A call's effect lies between
//! `invoked_us` and `returned_us`; of a call without a certain end nobody knows whether or when it took effect.

mod answer;
mod lines;
mod request;
mod text;
mod watch;

pub use answer::{Answer, Body, KeyValue, Outcome, Refusal};
pub use lines::{LineError, Record, read, write};
pub use request::{Compare, Operand, Range, Request, Span, Txn, Verdict};
pub use text::Text;
pub use watch::{Event, Report, Watch, WatchRequest, WatchResponse};

use serde::{Deserialize, Serialize};

/// A position in the store's history, as in etcd's headers; an empty store stands at 1.
pub type Revision = i64;

/// A lease's id; 0 is none.
pub type Lease = i64;

/// One request of a client and what came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Who asked. Calls of one client follow each other.
    pub client: u64,
    /// The member that was asked, if the client was bound to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<u64>,
    /// When it was sent.
    pub invoked_us: u64,
    /// When its end was known; for an unknown outcome, when the client gave up.
    pub returned_us: u64,
    /// What was asked.
    pub request: Request,
    /// What came back.
    pub outcome: Outcome,
}

/// What one member says its store did at one revision: all keys it changed, in the order of the changes. The
/// simulator reads it from the store, the soak from a watch of all keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Who says so.
    pub member: u64,
    /// The revision that these changes made.
    pub revision: Revision,
    /// Never empty.
    pub events: Vec<Event>,
}

/// A time in which promises about lateness are suspended: a fault, or what it left behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disturbance {
    /// Its first moment.
    pub from_us: u64,
    /// Its last moment.
    pub until_us: u64,
    /// What was done, for people.
    pub what: String,
}

/// All that was recorded in one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// In any order.
    pub calls: Vec<Call>,
    /// In any order; the responses of each in the order in which they came.
    pub watches: Vec<Watch>,
    /// In any order; the same revision from several members, if they were asked.
    pub changes: Vec<Change>,
    /// In any order.
    pub disturbances: Vec<Disturbance>,
}
