//! What the Watch service asks of a member: to be told of changes.

use almadia_member::Member;

/// Being told of changes.
pub trait WatchBackend {}

impl WatchBackend for Member {}
