//! Turns committed commands into revisions, outcomes and views.
//!
//! Everything is in memory: a [`Store`] applies commands in log order, and each batch is published as an immutable
//! [`View`] that readers use without locks. Applying is a pure function of the log: it knows no clock, no
//! randomness and no order of hash maps, and it never panics, whatever the command. `docs/internals/store.md`
//! describes the parts.
//!
//! Outside [`disk`], which keeps checkpoints, this crate touches no file.

mod alarm;
mod apply;
mod auth;
mod bounds;
mod compaction;
pub mod disk;
mod downgrade;
mod hash;
mod history;
mod index;
mod lease;
mod outcome;
mod read;
mod record;
mod restore;
mod sequence;
mod store;
mod table;
mod txn;
mod versions;
mod view;
pub mod watch;

pub use alarm::{Alarm, AlarmTable};
pub use apply::stores;
pub use auth::{AuthTable, Need, Role, User};
pub use downgrade::Downgrade;
pub use hash::{HistoryHash, Sealed};
pub use lease::{Lease, LeaseChange, LeaseTable};
pub use outcome::{Answer, AuthRefusal, OpAnswer, Outcome, RangeAnswer, Refusal, TxnAnswer};
pub use record::{KEY_BYTES_MAX, Record, RecordError, RecordParts};
pub use restore::{RestoreError, RestoredState};
pub use store::{Store, Views};
pub use table::TableError;
pub use txn::{NESTING_MAX, is_read_only};
pub use view::{Sizes, View};
pub use watch::WatchHub;
