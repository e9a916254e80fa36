//! Commit: what one member knows to be committed, every member has or will have at that index, and nobody takes it back.

use super::Glimpse;
use super::log_matching::{Followed, Slots};

/// The terms of all committed entries, in order.
#[derive(Default)]
pub struct Committed {
    terms: Vec<u64>,
}

impl Committed {
    /// How many there are.
    pub fn len(&self) -> u64 {
        self.terms.len() as u64
    }

    /// The term at an index.
    pub fn term_at(&self, index: u64) -> Option<u64> {
        self.terms.get(index.checked_sub(1)? as usize).copied()
    }

    /// Compares what a member knows to be committed with what is known; `checked` says how far that has come.
    pub fn check(
        &mut self,
        checked: &mut u64,
        glimpse: &Glimpse,
        log: &Followed,
        slots: &Slots,
    ) -> Result<(), String> {
        let until = glimpse.committed;
        if until < *checked {
            return Err(format!("committed went from {checked} back to {until}"));
        }
        for index in *checked + 1..=until {
            let here = log.term_at(index);
            match (here, self.term_at(index)) {
                (Some(here), Some(known)) if here != known => {
                    return Err(format!(
                        "entry {index} is committed with term {known} and, here, with term {here}"
                    ));
                }
                (Some(here), None) => {
                    if index != self.len() + 1 {
                        // Nobody whose log goes that far back was seen yet.
                        return Ok(());
                    }
                    if slots.entry(index, here).is_none() {
                        return Err(format!("entry {index} of term {here} was never seen"));
                    }
                    self.terms.push(here);
                }
                (None, None) => return Ok(()),
                // A snapshot stands for it: the state is compared instead.
                (Some(_) | None, Some(_)) => {}
            }
            *checked = index;
        }
        Ok(())
    }
}
