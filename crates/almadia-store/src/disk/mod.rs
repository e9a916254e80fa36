//! The store on disk: immutable segments in revision order, and a manifest that says which of them are the state.
//!
//! A checkpoint writes only the revisions since the last one; nothing is ever changed in place, so a crash or a
//! failing disk leaves either the state before or the state after. `docs/internals/segments.md` shows the bytes and
//! the rules. This module never decides when to do its work: the keeper thread of a member calls it. It knows no
//! clock and no chance, and starts threads only to load, when it is told to.

mod archive;
mod batch;
mod block;
mod checkpoint;
mod commit;
mod error;
mod fields;
mod garbage;
mod keeper;
mod load;
mod manifest;
mod names;
mod open;
mod repair;
mod reserve;
mod rewrite;
mod segment;
mod segment_reader;
mod segment_writer;
mod snapshot_sink;
mod snapshot_source;

pub use archive::{Archive, ArchiveSource, Beginning};
pub use checkpoint::CheckpointDone;
pub use error::{Damage, KeeperError};
pub use keeper::{Keeper, Options};
pub use repair::Scrubbed;
pub use snapshot_sink::SnapshotSink;
pub use snapshot_source::{SnapshotFile, SnapshotSource};
