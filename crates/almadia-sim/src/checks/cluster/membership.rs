//! Membership: who has left never belongs again, an id belongs to one data directory, and votes come and go so that two majorities
//! always share a member: one at a time, or by a joint change.

use almadia_command::MemberId;
use almadia_consensus::{Charter, read_membership_entry};
use almadia_wal::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// What the committed entries have said so far.
#[derive(Default)]
pub struct Memberships {
    followed: usize,
    newest: Option<Charter>,
    left: BTreeSet<MemberId>,
    /// Who lost its vote to another one in the newest joint change, until it is taken.
    replaced: Vec<MemberId>,
    told: Option<String>,
    /// Which data directory has an id. One that never heard of its id may be given another one later.
    instances: BTreeMap<MemberId, u64>,
}

impl Memberships {
    /// Goes on to the newest of these entries, of which there are never fewer than before.
    pub fn follow(&mut self, entries: &[Entry]) -> Result<(), String> {
        while let Some(entry) = entries.get(self.followed) {
            self.followed += 1;
            let charter = read_membership_entry(&entry.data, entry.checksum);
            let charter = charter.map_err(|error| format!("entry {}: {error}", entry.index))?;
            let checked = self.check(&charter);
            self.newest = Some(charter);
            checked.map_err(|text| format!("entry {}: {text}", entry.index))?;
        }
        Ok(())
    }

    /// Who belongs by the newest of these entries, in words; none when that is known already.
    pub fn news(&mut self) -> Option<String> {
        let newest = self.newest.as_ref()?;
        let text = in_words(newest);
        let is_new = self.told.as_ref() != Some(&text);
        self.told = Some(text.clone());
        is_new.then_some(text)
    }

    /// Whose votes were given to others since this was asked last.
    pub fn replaced(&mut self) -> Vec<MemberId> {
        std::mem::take(&mut self.replaced)
    }

    fn check(&mut self, now: &Charter) -> Result<(), String> {
        if let Some(before) = &self.newest {
            let gone = before.members.keys().filter(|id| !now.members.contains_key(id));
            self.left.extend(gone);
            is_safe(&before.voters, &now.voters)?;
            if let [before, after] = &*now.voters {
                self.replaced.extend(before.difference(after));
            }
        }
        let mut owners: BTreeMap<u64, MemberId> = BTreeMap::new();
        for (id, info) in &now.members {
            let instance = &info.instance;
            if self.left.contains(id) {
                return Err(format!("member {id} had left and belongs again"));
            }
            if *instance == 0 {
                continue;
            }
            let first = *self.instances.entry(*id).or_insert(*instance);
            let owner = *owners.entry(*instance).or_insert(*id);
            if first != *instance || owner != *id {
                return Err(format!(
                    "id {id} was given to data directories {first:x} and {instance:x}, and that one is called {owner} too"
                ));
            }
        }
        let stranger = now
            .voters
            .iter()
            .flatten()
            .find(|id| !now.members.contains_key(id));
        match stranger {
            Some(id) => Err(format!("{id} votes and does not belong")),
            None => Ok(()),
        }
    }
}

fn in_words(charter: &Charter) -> String {
    let words = charter.members.iter().map(|(id, info)| {
        let name = match info.name.as_str() {
            "" => info.peer_urls.join(","),
            name => name.to_owned(),
        };
        let votes = match charter.voters.iter().filter(|set| set.contains(id)).count() {
            0 => " without a vote",
            all if all == charter.voters.len() => "",
            _ if charter.voters.last().is_some_and(|last| last.contains(id)) => " by the new count",
            _ => " by the old count",
        };
        (name, format!("{id}{votes}"))
    });
    let mut words: Vec<(String, String)> = words.collect();
    words.sort();
    let words = words.iter().map(|(name, id)| format!("{name} ({id})"));
    words.collect::<Vec<_>>().join(", ")
}

/// Whether each majority by the one shares a member with each by the other.
fn is_safe(before: &[BTreeSet<MemberId>], now: &[BTreeSet<MemberId>]) -> Result<(), String> {
    let is_one_step = match (before, now) {
        ([before], [now]) => before.symmetric_difference(now).count() <= 1,
        ([before], [still, _]) => still == before,
        ([_, after], [now]) => after == now,
        (before, now) => before == now,
    };
    if is_one_step {
        return Ok(());
    }
    Err(format!("votes went from {before:?} to {now:?} in one step"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use almadia_consensus::MemberInfo;

    fn charter(voters: &[&[u64]], members: &[(u64, u64)]) -> Charter {
        let set = |ids: &&[u64]| ids.iter().map(|id| MemberId(*id)).collect();
        Charter {
            voters: voters.iter().map(set).collect(),
            members: members
                .iter()
                .map(|(id, instance)| {
                    let instance = *instance;
                    let info = MemberInfo {
                        instance,
                        ..MemberInfo::default()
                    };
                    (MemberId(*id), info)
                })
                .collect(),
        }
    }

    #[track_caller]
    fn check(course: &[Charter], wanted: Result<(), &str>) {
        let mut memberships = Memberships::default();
        let mut found = Ok(());
        for charter in course {
            found = memberships.check(charter);
            memberships.newest = Some(charter.clone());
        }
        match (found, wanted) {
            (Ok(()), Ok(())) => {}
            (Err(text), Err(words)) => assert!(text.contains(words), "{text}"),
            (found, wanted) => panic!("{found:?} instead of {wanted:?}"),
        }
    }

    #[test]
    fn votes_come_and_go_one_at_a_time_or_by_a_joint_change() {
        let three = charter(&[&[1, 2, 3]], &[(1, 0), (2, 0), (3, 0)]);
        let all = [(1, 0), (2, 0), (3, 0), (4, 7)];
        check(&[three.clone(), charter(&[&[1, 2, 3]], &all)], Ok(()));
        check(&[three.clone(), charter(&[&[1, 2]], &all)], Ok(()));
        let swapped = charter(&[&[1, 2, 4]], &all);
        check(&[three.clone(), swapped.clone()], Err("in one step"));
        let joint = charter(&[&[1, 2, 3], &[1, 2, 4]], &all);
        check(&[three.clone(), joint, swapped], Ok(()));
        check(&[three.clone(), charter(&[&[1]], &all)], Err("in one step"));
        check(&[three, charter(&[&[1, 2, 3, 9]], &all)], Err("does not belong"));
    }

    #[test]
    fn who_has_left_never_comes_back_and_an_id_has_one_directory() {
        let two = charter(&[&[1]], &[(1, 0), (2, 7)]);
        let one = charter(&[&[1]], &[(1, 0)]);
        check(&[two.clone(), one, two.clone()], Err("had left"));
        check(
            &[two.clone(), charter(&[&[1]], &[(1, 0), (2, 8)])],
            Err("data directories 7 and 8"),
        );
        let copied = charter(&[&[1]], &[(1, 0), (2, 7), (3, 7)]);
        check(&[two, copied], Err("called"));
    }
}
