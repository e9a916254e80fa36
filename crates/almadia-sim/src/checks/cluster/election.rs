//! Election safety: at most one leader in a term. Leader completeness: it has everything that was committed before. And
//! a durable vote is never given to somebody else in the same term, whatever happened to the disk that kept it.

use super::Glimpse;
use super::commit::Committed;
use super::log_matching::Followed;
use almadia_command::MemberId;
use std::collections::BTreeMap;

/// Who led which term.
#[derive(Default)]
pub struct Leaders {
    of: BTreeMap<u64, MemberId>,
}

impl Leaders {
    /// How many terms had one.
    pub fn count(&self) -> u64 {
        self.of.len() as u64
    }

    /// A member's standing has changed.
    pub fn check(&mut self, glimpse: &Glimpse, log: &Followed, committed: &Committed) -> Result<(), String> {
        if !glimpse.standing.leading {
            return Ok(());
        }
        let term = glimpse.standing.term.0;
        let leader = *self.of.entry(term).or_insert(glimpse.id);
        if leader != glimpse.id {
            return Err(format!(
                "term {term} has two leaders: {leader} and {}",
                glimpse.id
            ));
        }
        is_complete(term, log, committed)
    }
}

fn is_complete(term: u64, log: &Followed, committed: &Committed) -> Result<(), String> {
    let newest = committed.len();
    if committed.term_at(newest).is_none_or(|newest| newest > term) {
        // An old leader that has not heard of the new one.
        return Ok(());
    }
    let Some((first, last)) = log.bounds() else {
        return Ok(());
    };
    for index in first..=newest {
        let wanted = committed.term_at(index);
        if log.term_at(index) != wanted {
            return Err(format!(
                "the leader of term {term} has entries {first} to {last} and term {:?} at {index}, committed is {wanted:?}",
                log.term_at(index)
            ));
        }
    }
    Ok(())
}

/// Whom each member voted for, durably, and whom it knows to have won.
#[derive(Default)]
pub struct Votes {
    of: BTreeMap<(MemberId, u64), MemberId>,
    won: BTreeMap<u64, MemberId>,
    newest: BTreeMap<MemberId, (u64, bool)>,
}

impl Votes {
    /// A member's log is settled: its vote is durable. The term and whom it voted for, when that is new.
    pub fn check(&mut self, glimpse: &Glimpse) -> Result<Option<(u64, MemberId)>, String> {
        let Some(vote) = glimpse.wal.vote() else {
            return Ok(None);
        };
        let term = vote.term.0;
        let now = (term, vote.committed);
        let newest = self.newest.entry(glimpse.id).or_insert(now);
        if now < *newest {
            return Err(format!("it knew term {newest:?} and now knows term {now:?}"));
        }
        *newest = now;
        let is_new = !vote.committed && !self.of.contains_key(&(glimpse.id, term));
        // Whoever has voted for itself goes along with the one who has won.
        let (kind, first) = if vote.committed {
            ("has won", *self.won.entry(term).or_insert(vote.member))
        } else {
            let name = (glimpse.id, term);
            ("got the vote", *self.of.entry(name).or_insert(vote.member))
        };
        if first != vote.member {
            return Err(format!(
                "as member {} has it, {first} {kind} of term {term}, and so did {}",
                glimpse.id, vote.member
            ));
        }
        Ok(is_new.then_some((term, vote.member)))
    }
}
