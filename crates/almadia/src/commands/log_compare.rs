//! Compares the logs of members: the same entry at every log index that all of them have and know to be committed.
//!
//! Never asks anybody.

use std::collections::BTreeSet;

/// What is compared of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Log index.
    pub index: u64,
    /// Term.
    pub term: u64,
    /// Kind, as on the wire.
    pub kind: i32,
    /// Checksum of the data.
    pub checksum: u32,
    /// Size of the data.
    pub bytes: u64,
}

/// A member's log up to its commit index.
#[derive(Clone, Debug, Default)]
pub struct MemberLog {
    /// The member's name, or its address when it did not answer.
    pub name: String,
    /// The oldest log index it has.
    pub first: u64,
    /// The last log index it knows to be committed.
    pub committed: u64,
    /// Its committed entries, in order and without gaps.
    pub places: Vec<Place>,
    /// Why it could not be asked.
    pub failure: Option<String>,
}

/// What the comparison says. Members that could not be asked are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All agree on this range.
    Same {
        /// First log index compared.
        from: u64,
        /// Last log index compared.
        to: u64,
    },
    /// There is no log index that all have and know to be committed.
    NothingInCommon,
    /// They differ.
    Different {
        /// The lowest log index at which they do.
        index: u64,
        /// What each has there.
        places: Vec<(String, Option<Place>)>,
    },
}

/// Compares all logs.
pub fn compare(logs: &[MemberLog]) -> Verdict {
    let logs: Vec<&MemberLog> = logs.iter().filter(|log| log.failure.is_none()).collect();
    let at = |log: &MemberLog, index: u64| {
        let first = log.places.first()?.index;
        log.places
            .get(usize::try_from(index.checked_sub(first)?).ok()?)
            .copied()
    };
    let starts: BTreeSet<u64> = logs
        .iter()
        .filter_map(|log| Some(log.places.first()?.index))
        .collect();
    let ends: BTreeSet<u64> = logs
        .iter()
        .filter_map(|log| Some(log.places.last()?.index))
        .collect();
    let all_have_some = logs.iter().all(|log| !log.places.is_empty());
    let (Some(from), Some(to), true) = (starts.last().copied(), ends.first().copied(), all_have_some) else {
        return Verdict::NothingInCommon;
    };
    if from > to {
        return Verdict::NothingInCommon;
    }
    for index in from..=to {
        let places: Vec<(String, Option<Place>)> = logs
            .iter()
            .map(|log| (log.name.clone(), at(log, index)))
            .collect();
        let first = places[0].1;
        // The index itself is compared, too: a member that skips one shows it here.
        if first.is_none_or(|place| place.index != index) || places.iter().any(|place| place.1 != first) {
            return Verdict::Different { index, places };
        }
    }
    Verdict::Same { from, to }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(name: &str, from: u64, terms: &[u64]) -> MemberLog {
        let place = |(at, term): (usize, &u64)| Place {
            index: from + at as u64,
            term: *term,
            kind: 1,
            checksum: *term as u32,
            bytes: 1,
        };
        MemberLog {
            name: name.to_owned(),
            first: from,
            committed: from + terms.len() as u64 - 1,
            places: terms.iter().enumerate().map(place).collect(),
            failure: None,
        }
    }

    #[test]
    fn only_what_all_have_is_compared() {
        let logs = [
            log("a", 1, &[1, 1, 2, 2]),
            log("b", 2, &[1, 2]),
            log("c", 1, &[9, 1, 2]),
        ];
        assert_eq!(compare(&logs), Verdict::Same { from: 2, to: 3 });
    }

    #[test]
    fn the_first_difference_is_told() {
        let logs = [log("a", 1, &[1, 1, 2]), log("b", 1, &[1, 3, 3])];
        let Verdict::Different { index, places } = compare(&logs) else {
            panic!("they differ")
        };
        assert_eq!((index, places[1].1.expect("has one").term), (2, 3));
    }

    #[test]
    fn a_gap_is_a_difference() {
        let mut gap = log("b", 1, &[1, 1, 1]);
        gap.places.remove(1);
        assert!(matches!(
            compare(&[log("a", 1, &[1, 1, 1]), gap]),
            Verdict::Different { index: 2, .. }
        ));
    }

    #[test]
    fn nothing_in_common() {
        assert_eq!(
            compare(&[log("a", 1, &[1]), log("b", 5, &[1])]),
            Verdict::NothingInCommon
        );
        assert_eq!(compare(&[]), Verdict::NothingInCommon);
        assert_eq!(
            compare(&[log("a", 1, &[1]), MemberLog::default()]),
            Verdict::NothingInCommon
        );
        let down = MemberLog {
            failure: Some("down".to_owned()),
            ..MemberLog::default()
        };
        assert_eq!(
            compare(&[log("a", 1, &[1]), down]),
            Verdict::Same { from: 1, to: 1 }
        );
    }
}
