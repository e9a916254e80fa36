//! Nothing acknowledged is lost: it stands in the committed log where the client was told, it answered what the client was
//! told, and what was asked after it was acknowledged stands behind it. And nothing stands there twice.

use super::commit::Committed;
use super::log_matching::Slots;
use super::state::Reference;
use crate::clients::recorder::{Acknowledged, Recorded};
use almadia_command::{Command, Kind, Proposal};
use almadia_wal::EntryKind;
use std::collections::BTreeMap;

/// Everything that clients were promised.
pub fn check(
    recorded: &Recorded,
    committed: &Committed,
    slots: &Slots,
    reference: &Reference,
) -> Result<(), String> {
    for one in &recorded.acknowledged {
        is_there(one, committed, slots, reference)?;
    }
    are_in_order(&recorded.acknowledged)
}

fn is_there(
    one: &Acknowledged,
    committed: &Committed,
    slots: &Slots,
    reference: &Reference,
) -> Result<(), String> {
    let applied = &one.applied;
    let (index, term) = (applied.index.0, applied.term.0);
    if committed.term_at(index) != Some(term) {
        return Err(format!(
            "acknowledged at {index} in term {term}; committed there is term {:?}",
            committed.term_at(index)
        ));
    }
    let entry = slots.entry(index, term);
    let entry = entry.ok_or_else(|| format!("entry {index} of term {term} was never seen"))?;
    let proposal = Proposal::from_parts(entry.data.clone(), entry.checksum);
    let is_same = proposal.is_ok_and(|proposal| proposal.command() == applied.command);
    if !is_same {
        return Err(format!(
            "acknowledged at {index}, but another command stands there"
        ));
    }
    if reference.outcome(index) != Some(&applied.outcome) {
        return Err(format!(
            "at {index} the answer was {:?}, wanted {:?}",
            applied.outcome,
            reference.outcome(index)
        ));
    }
    Ok(())
}

/// Whoever asks after an answer was there gets a later place.
fn are_in_order(acknowledged: &[Acknowledged]) -> Result<(), String> {
    let mut by_return: Vec<&Acknowledged> = acknowledged.iter().collect();
    by_return.sort_by_key(|one| one.returned_us);
    let mut by_invocation = by_return.clone();
    by_invocation.sort_by_key(|one| one.invoked_us);
    let mut returned = by_return.into_iter().peekable();
    let mut highest = 0;
    for one in by_invocation {
        while let Some(earlier) = returned.next_if(|earlier| earlier.returned_us < one.invoked_us) {
            highest = highest.max(earlier.applied.index.0);
        }
        if one.applied.index.0 <= highest {
            return Err(format!(
                "asked at {} us and put at {}, when {highest} was acknowledged already",
                one.invoked_us, one.applied.index
            ));
        }
    }
    Ok(())
}

/// No proposal stands twice in the committed log, neither as itself nor as another one for the same request.
pub fn once(committed: &Committed, slots: &Slots) -> Result<(), String> {
    let (mut tickets, mut commands) = (BTreeMap::new(), BTreeMap::new());
    for index in 1..=committed.len() {
        let term = committed.term_at(index).unwrap_or_default();
        let Some(entry) = slots.entry(index, term) else {
            continue;
        };
        if entry.kind != EntryKind::Command {
            continue;
        }
        let Ok(proposal) = Proposal::from_parts(entry.data.clone(), entry.checksum) else {
            return Err(format!("entry {index} is damaged"));
        };
        let ticket = (proposal.origin(), proposal.ticket());
        if let Some(first) = tickets.insert(ticket, index) {
            return Err(format!(
                "the ticket of a proposal of {} stands at {first} and at {index}",
                proposal.origin()
            ));
        }
        // Clients never write a value twice: a command that stands twice was carried out twice.
        let command = Command::decode_bytes(proposal.command());
        let writes_a_value = matches!(command.map(|it| it.kind), Ok(Some(Kind::Put(_) | Kind::Txn(_))));
        if writes_a_value && let Some(first) = commands.insert(proposal.command(), index) {
            return Err(format!("a command stands at {first} and at {index}"));
        }
    }
    Ok(())
}
