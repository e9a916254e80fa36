//! What the Cluster service asks of a member: changing who belongs, and who leads.

use almadia_command::MemberId;
use almadia_member::{Changed, Member, MemberChangeError, MoveLeaderError};

/// Changing who belongs to the cluster, and who leads it. A change is carried to the leader, and whoever is asked
/// answers when it sees the change itself.
pub trait ClusterBackend {
    /// Adds a member under a new id.
    ///
    /// # Errors
    /// [`MemberChangeError`]; after a refusal nothing was changed.
    fn add_member(
        &self,
        peer_urls: Vec<String>,
        is_learner: bool,
    ) -> impl Future<Output = Result<Changed, MemberChangeError>> + Send;

    /// Removes a member for good.
    ///
    /// # Errors
    /// As above.
    fn remove_member(&self, id: MemberId) -> impl Future<Output = Result<Changed, MemberChangeError>> + Send;

    /// Tells where a member is reached by its peers.
    ///
    /// # Errors
    /// As above.
    fn update_member(
        &self,
        id: MemberId,
        peer_urls: Vec<String>,
    ) -> impl Future<Output = Result<Changed, MemberChangeError>> + Send;

    /// Gives a learner its vote.
    ///
    /// # Errors
    /// As above.
    fn promote_member(&self, id: MemberId)
    -> impl Future<Output = Result<Changed, MemberChangeError>> + Send;

    /// Hands leadership from this member to another, and returns when that one leads.
    ///
    /// # Errors
    /// [`MoveLeaderError`].
    fn move_leader(&self, to: MemberId) -> impl Future<Output = Result<(), MoveLeaderError>> + Send;

    /// Whether this member is a learner; asked at every request, so it must be cheap.
    fn is_learner(&self) -> bool;
}

impl ClusterBackend for Member {
    fn add_member(
        &self,
        peer_urls: Vec<String>,
        is_learner: bool,
    ) -> impl Future<Output = Result<Changed, MemberChangeError>> + Send {
        Self::add_member(self, peer_urls, is_learner)
    }

    fn remove_member(&self, id: MemberId) -> impl Future<Output = Result<Changed, MemberChangeError>> + Send {
        Self::remove_member(self, id)
    }

    fn update_member(
        &self,
        id: MemberId,
        peer_urls: Vec<String>,
    ) -> impl Future<Output = Result<Changed, MemberChangeError>> + Send {
        Self::update_member(self, id, peer_urls)
    }

    fn promote_member(
        &self,
        id: MemberId,
    ) -> impl Future<Output = Result<Changed, MemberChangeError>> + Send {
        Self::promote_member(self, id)
    }

    fn move_leader(&self, to: MemberId) -> impl Future<Output = Result<(), MoveLeaderError>> + Send {
        Self::move_leader(self, to)
    }

    fn is_learner(&self) -> bool {
        Self::is_learner(self)
    }
}
