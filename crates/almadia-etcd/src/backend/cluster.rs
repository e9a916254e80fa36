//! What the Cluster service asks of a member: changing who belongs.

use almadia_member::Member;

/// Changing who belongs to the cluster, and who leads it.
pub trait ClusterBackend {}

impl ClusterBackend for Member {}
