//! Turns committed commands into revisions, outcomes and events.

pub mod disk;
mod record;
mod store;
mod view;

pub use record::{KEY_BYTES_MAX, Record, RecordError, RecordParts};
pub use store::{RestoreError, RestoredState, Store};
pub use view::View;
