//! Do all members hold the same? At each compaction every member hashes its state as it was at that entry of the log, and
//! those who follow compare with the leader.
//!
//! A member that differs from a majority serves nobody any more, takes the leader's state in the place of its own, and goes
//! on; its log and vote stay. A leader that differs hands leadership over first. Where no majority agrees, nobody can say
//! who is right: the alarm CORRUPT is raised and people must decide. [`Book`] judges; the rest acts on it.

use crate::leader::{AnswerKind, Asker, Question, QuestionKind, StateHash};
use almadia_command::{
    Actor, AlarmChange, AlarmKind, Command, Kind, LogIndex, MemberId, Proposal, Term, Ticket,
};
use almadia_consensus::{Consensus, Ended, KeeperHandle, Refusals};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

/// Between two looks whether there was a compaction.
const LOOK: Duration = Duration::from_secs(1);

/// Compactions whose hashes are remembered: the others may be that much behind.
const REMEMBERED_MAX: usize = 8;

/// A member that cannot be judged for this long is judged again at the next compaction.
const JUDGED_WITHIN: Duration = Duration::from_secs(60);

/// How long a member that differs waits for the leader's state before it asks again.
const STATE_WITHIN: Duration = Duration::from_secs(60);

/// A ticket that no proposal of a caller has: the entry has nobody who waits for it.
const NOBODYS: Ticket = Ticket(u64::MAX);

/// What the leader says of a member's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the leader's own.
    Same,
    /// A majority agrees with the leader and not with the member.
    Differs,
    /// A majority agrees with the member and not with the leader.
    LeaderDiffers,
    /// All have spoken, and no majority agrees.
    NobodyKnows,
    /// Not known yet.
    Open,
}

/// The hashes of the last compactions: one's own, and as leader those of the others.
#[derive(Debug, Default)]
pub(crate) struct Book {
    own: BTreeMap<LogIndex, u64>,
    others: BTreeMap<LogIndex, BTreeMap<MemberId, u64>>,
}

impl Book {
    fn note(&mut self, index: LogIndex, hash: u64) {
        self.own.insert(index, hash);
        while self.own.len() > REMEMBERED_MAX {
            self.own.pop_first();
        }
        let oldest = self.own.first_key_value().map(|(index, _)| *index);
        self.others.retain(|index, _| Some(*index) >= oldest);
    }

    fn judge(
        &mut self,
        own: MemberId,
        voters: &BTreeSet<MemberId>,
        from: MemberId,
        said: (LogIndex, u64),
    ) -> Verdict {
        let (index, hash) = said;
        let Some(mine) = self.own.get(&index).copied() else {
            return Verdict::Open;
        };
        let others = self.others.entry(index).or_default();
        others.insert(from, hash);
        if hash == mine {
            return Verdict::Same;
        }
        let said_by = |voter: &MemberId| {
            if *voter == own {
                Some(mine)
            } else {
                others.get(voter).copied()
            }
        };
        let agree = |wanted: u64| {
            voters
                .iter()
                .filter(|voter| said_by(voter) == Some(wanted))
                .count()
        };
        let majority = voters.len() / 2 + 1;
        if agree(mine) >= majority {
            Verdict::Differs
        } else if agree(hash) >= majority {
            Verdict::LeaderDiffers
        } else if voters.iter().all(|voter| said_by(voter).is_some()) {
            Verdict::NobodyKnows
        } else {
            Verdict::Open
        }
    }
}

/// Whether a member serves nobody because its state is not what it should be. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fence(watch::Sender<bool>);

impl Fence {
    /// Nobody is served.
    pub(crate) fn is_up(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when nobody is served.
    pub(crate) fn raised(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut up = self.0.subscribe();
        async move {
            if up.wait_for(|up| *up).await.is_err() {
                // The member is gone, which is another reason to end.
                std::future::pending().await
            }
        }
    }

    /// Tells when that changes.
    pub(crate) fn watch(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }

    fn set(&self, up: bool) {
        self.0.send_replace(up);
    }
}

/// The leader's side. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Judge {
    own: MemberId,
    consensus: Consensus,
    book: Arc<Mutex<Book>>,
    /// Members to which the state is being sent.
    sending: Arc<Mutex<BTreeSet<MemberId>>>,
}

impl Judge {
    pub(crate) fn new(own: MemberId, consensus: Consensus) -> Self {
        Self {
            own,
            consensus,
            book: Arc::default(),
            sending: Arc::default(),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("nobody panics while holding the book")
    }

    /// Judges what a member says of itself, and acts on what concerns others than it.
    pub(crate) async fn judge(&self, said: StateHash) -> Verdict {
        let members = self.consensus.members();
        let voters = members.iter().filter(|member| !member.is_learner);
        let voters: BTreeSet<MemberId> = voters.map(|member| member.id).collect();
        let from = MemberId(said.member);
        let verdict = self
            .book()
            .judge(self.own, &voters, from, (LogIndex(said.index), said.hash));
        match verdict {
            Verdict::LeaderDiffers => {
                tracing::error!(
                    index = said.index,
                    "this leader's state differs from that of a majority; handing leadership over"
                );
                let (consensus, own) = (self.consensus.clone(), self.own);
                tokio::spawn(async move {
                    if let Err(error) = consensus.hand_over(own).await {
                        tracing::warn!(%error, "leadership was not handed over");
                    }
                });
            }
            Verdict::NobodyKnows => {
                tracing::error!(index = said.index, member = %from, "no majority of members holds the same state");
                self.write(alarm(true, from)).await;
            }
            Verdict::Same | Verdict::Differs | Verdict::Open => {}
        }
        verdict
    }

    /// Sends this leader's state to a member that has asked for it; returns at once.
    pub(crate) fn send_state(&self, member: MemberId) {
        let is_new = self.sending().insert(member);
        if !is_new {
            return;
        }
        let judge = self.clone();
        tokio::spawn(async move {
            // An entry of its own, so that the state ends after everything the member has.
            judge.write(alarm(false, member)).await;
            match judge.consensus.send_state_to(member).await {
                Ok(index) => {
                    tracing::info!(%member, %index, "sent the whole state to a member that differed")
                }
                Err(error) => tracing::warn!(%member, error, "the state was not sent"),
            }
            judge.sending().remove(&member);
        });
    }

    fn sending(&self) -> MutexGuard<'_, BTreeSet<MemberId>> {
        self.sending.lock().expect("nobody panics while holding the set")
    }

    /// Has a command of the cluster itself applied, or gives up after a while.
    async fn write(&self, change: AlarmChange) {
        let command = Command {
            kind: Some(Kind::Alarm(change)),
            actor: Some(Actor::internal()),
        };
        let proposal = Proposal::new(self.own, NOBODYS, &command.encode_bytes());
        let before = self.consensus.view().applied().0;
        let term = self.consensus.standing().borrow().term;
        let unheard: Arc<dyn Refusals> = Arc::new(Unheard);
        if self.consensus.submit([proposal], term, &unheard).await.is_err() {
            return;
        }
        let end = Instant::now() + LOOK * 5;
        while self.consensus.view().applied().0 <= before && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn alarm(raise: bool, member: MemberId) -> AlarmChange {
    AlarmChange {
        raise,
        member: member.0,
        kind: AlarmKind::Corrupt as i32,
    }
}

/// A refusal means that this member does not lead any more: then the member concerned asks the next leader.
struct Unheard;

impl Refusals for Unheard {
    fn refused(&self, _: Ticket) {}
}

/// Every member's side: hashes at each compaction, compares, and lets itself be set right.
pub(crate) struct Comparer {
    pub(crate) own: MemberId,
    pub(crate) consensus: Consensus,
    pub(crate) keeper: KeeperHandle,
    pub(crate) asker: Asker,
    pub(crate) judge: Judge,
    pub(crate) fence: Fence,
    /// Counts the snapshots that took the place of this member's store.
    pub(crate) installed: watch::Receiver<u64>,
}

impl Comparer {
    /// Runs until the member stops.
    pub(crate) async fn run(mut self) {
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Settled in this term; a new leader may know better.
        let mut settled = (LogIndex(0), Term(0));
        let mut since = Instant::now();
        loop {
            ticks.tick().await;
            let standing = *self.consensus.standing().borrow();
            let Some(sealed) = self.consensus.view().sealed().cloned() else {
                continue;
            };
            let now = (sealed.index, standing.term);
            if settled == now || standing.leader.is_none() {
                since = Instant::now();
                continue;
            }
            let Ok(hash) = self.keeper.run(move |_| sealed.hash()).await else {
                return;
            };
            self.judge.book().note(now.0, hash);
            let verdict = if standing.leading {
                Some(Verdict::Same)
            } else {
                self.ask(now.0, hash).await
            };
            match verdict {
                Some(Verdict::Differs) => {
                    if self.be_set_right(now.0).await.is_err() {
                        return;
                    }
                    settled = now;
                }
                Some(Verdict::Open | Verdict::LeaderDiffers) | None if since.elapsed() < JUDGED_WITHIN => {}
                _ => settled = now,
            }
        }
    }

    /// `None` when nobody answered.
    async fn ask(&self, index: LogIndex, hash: u64) -> Option<Verdict> {
        let question = Question::from(QuestionKind::CompareState(StateHash {
            member: self.own.0,
            index: index.0,
            hash,
        }));
        match self.asker.ask(question).await.ok()?.kind? {
            AnswerKind::StateCompared(verdict) => Some(verdict_of(verdict)),
            _ => None,
        }
    }

    /// Serves nobody and takes no entries until the leader's state has come.
    async fn be_set_right(&mut self, index: LogIndex) -> Result<(), Ended> {
        tracing::error!(
            %index,
            "this member's state differs from that of a majority: it serves nobody until it has the leader's"
        );
        self.fence.set(true);
        self.consensus.set_takes_entries(false);
        self.installed.mark_unchanged();
        loop {
            let question = Question::from(QuestionKind::SendState(self.own.0));
            // Unheard or refused, it is asked again.
            let _ = self.asker.ask(question).await;
            match tokio::time::timeout(STATE_WITHIN, self.installed.changed()).await {
                Ok(Ok(())) => break,
                Ok(Err(_)) => return Err(Ended("it was stopped".to_owned())),
                Err(_) => tracing::warn!("the leader's state has not come; asking again"),
            }
        }
        self.consensus.set_takes_entries(true);
        self.fence.set(false);
        tracing::info!("this member has the leader's state and serves again");
        Ok(())
    }
}

/// A verdict as it is answered.
pub(crate) fn number_of(verdict: Verdict) -> u32 {
    match verdict {
        Verdict::Open => 0,
        Verdict::Same => 1,
        Verdict::Differs => 2,
        Verdict::LeaderDiffers => 3,
        Verdict::NobodyKnows => 4,
    }
}

/// A number that is not known counts as open.
fn verdict_of(number: u32) -> Verdict {
    let known = [
        Verdict::Same,
        Verdict::Differs,
        Verdict::LeaderDiffers,
        Verdict::NobodyKnows,
    ];
    let found = known.into_iter().find(|verdict| number_of(*verdict) == number);
    found.unwrap_or(Verdict::Open)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEADER: MemberId = MemberId(1);

    fn voters(count: u64) -> BTreeSet<MemberId> {
        (1..=count).map(MemberId).collect()
    }

    /// What the leader says to each of these in turn; its own hash is 7.
    fn judged(count: u64, said: &[(u64, u64)]) -> Vec<Verdict> {
        let mut book = Book::default();
        book.note(LogIndex(5), 7);
        let judge = |(from, hash): &(u64, u64)| {
            book.judge(LEADER, &voters(count), MemberId(*from), (LogIndex(5), *hash))
        };
        said.iter().map(judge).collect()
    }

    #[test]
    fn a_majority_decides() {
        use Verdict::{Differs, LeaderDiffers, NobodyKnows, Open, Same};
        assert_eq!(judged(3, &[(2, 7), (3, 7)]), [Same, Same]);
        assert_eq!(judged(3, &[(2, 7), (3, 8)]), [Same, Differs]);
        assert_eq!(judged(3, &[(3, 8), (2, 7), (3, 8)]), [Open, Same, Differs]);
        assert_eq!(judged(3, &[(3, 8), (2, 8)]), [Open, LeaderDiffers]);
        assert_eq!(judged(3, &[(3, 8), (2, 9)]), [Open, NobodyKnows]);
        assert_eq!(judged(2, &[(2, 8)]), [NobodyKnows]);
        assert_eq!(judged(5, &[(2, 8), (3, 8), (4, 7)]), [Open, Open, Same]);
        // A learner is told, and does not count.
        assert_eq!(judged(3, &[(2, 7), (9, 8)]), [Same, Differs]);
        assert_eq!(judged(3, &[(9, 8), (2, 8)]), [Open, Open]);
    }

    #[test]
    fn what_is_not_remembered_is_open() {
        let mut book = Book::default();
        for index in 1..=20 {
            book.note(LogIndex(index), index);
        }
        let judge =
            |book: &mut Book, index| book.judge(LEADER, &voters(3), MemberId(2), (LogIndex(index), index));
        assert_eq!(judge(&mut book, 20), Verdict::Same);
        assert_eq!(judge(&mut book, 12), Verdict::Open);
        assert_eq!(judge(&mut book, 21), Verdict::Open);
    }

    #[test]
    fn verdicts_come_back() {
        for number in 0..=4 {
            assert_eq!(number_of(verdict_of(number)), number);
        }
        assert_eq!(verdict_of(77), Verdict::Open);
    }
}
