//! Setting a member right whose store went another way than the others': it stops taking entries, and the leader sends
//! it the whole state. Its log and its vote stay.
//!
//! Who differs is decided above; nothing here compares.

use crate::consensus::Consensus;
use crate::network::{Lane, PeerAddress};
use crate::outbound;
use almadia_command::{LogIndex, MemberId};
use openraft::async_runtime::WatchReceiver;

impl Consensus {
    /// Whether this member takes entries from a leader. A member that does not still votes by its log, and takes a
    /// snapshot.
    pub fn set_takes_entries(&self, takes: bool) {
        self.shut.send_replace(!takes);
    }

    /// As leader: sends the newest state to a member and waits until it has taken it. What it holds already must end before
    /// this member's applied position, or the member keeps what it has. Answers the position sent.
    ///
    /// # Errors
    /// In words: the member is not one, cannot be reached, or did not take it.
    pub async fn send_state_to(&self, member: MemberId) -> Result<LogIndex, String> {
        let members = self.members();
        let target = members
            .into_iter()
            .find(|candidate| candidate.id == member)
            .ok_or_else(|| format!("{member} is not a member"))?;
        let address = PeerAddress {
            member,
            name: target.info.name,
            urls: target.info.peer_urls,
        };
        let dialled = self.network.dial(address, Lane::Snapshot).await;
        let pipe = dialled.map_err(|error| error.to_string())?;
        let vote = self.raft.metrics().borrow_watched().vote;
        let view = self.view();
        let position = view.applied().0;
        let sent = outbound::send_snapshot(pipe, vote, self.keeper.clone(), view).await;
        sent.map_err(|error| error.to_string())?;
        self.sent.note(member);
        Ok(position)
    }
}
