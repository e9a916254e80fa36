//! The course, case by case, and what holds in every situation: C2, C3, C16, C17.

use super::*;
use proptest::prelude::*;

/// A member by its letters: `v`otes, `l`et in by us, `u`nstarted, `d`own, `b`ehind.
fn seen(id: u64, rank: u32, marks: &str) -> Seen {
    let has = |mark: char| marks.contains(mark);
    Seen {
        id: MemberId(id),
        name: format!("m-{rank}"),
        rank: Some(rank),
        instance: if has('l') { id + 1000 } else { 0 },
        votes: has('v'),
        is_unattended: has('l'),
        is_started: !has('u'),
        is_heard: !has('d'),
        is_caught_up: !has('b') && !has('d'),
    }
}

fn applicant(rank: u32, instance: u64) -> Applicant {
    Applicant {
        name: format!("m-{rank}"),
        rank: Some(rank),
        instance,
        has_asked_since: true,
    }
}

/// Ids are 1, 2, 3 and so on; 1 leads.
fn observed(members: &[(u32, &str)], wished: Option<u32>, applicants: &[(u32, u64)]) -> Observed {
    let members = (1..)
        .zip(members)
        .map(|(id, (rank, marks))| seen(id, *rank, marks));
    Observed {
        own: MemberId(1),
        members: members.collect(),
        is_committed: true,
        is_joint: false,
        is_fresh: false,
        wished,
        applicants: applicants
            .iter()
            .map(|(rank, instance)| applicant(*rank, *instance))
            .collect(),
    }
}

#[track_caller]
fn check(members: &[(u32, &str)], wished: Option<u32>, applicants: &[(u32, u64)], expected: &Step) {
    let step = next(&observed(members, wished, applicants));
    assert_eq!(
        step, *expected,
        "{members:?} wished {wished:?} asked by {applicants:?}"
    );
}

const THREE: [(u32, &str); 3] = [(0, "v"), (1, "v"), (2, "v")];

#[test]
fn nothing_is_done_when_all_is_as_it_should_be() {
    check(&THREE, Some(3), &[], &Step::Rest);
    check(&THREE, None, &[], &Step::Rest);
    check(&[(0, "v"), (1, "v"), (2, "vd")], Some(3), &[], &Step::Rest);
    let mut busy = observed(&THREE, Some(5), &[(3, 9)]);
    busy.is_committed = false;
    assert_eq!(next(&busy), Step::Wait(Reason::UnderWay));
    let joint = Observed {
        is_joint: true,
        ..observed(&THREE, Some(5), &[(3, 9)])
    };
    assert_eq!(next(&joint), Step::Settle, "what was begun is ended first");
}

#[test]
fn it_grows_by_one_learner_after_the_other() {
    let five = Some(5);
    check(&THREE, five, &[], &Step::Rest);
    check(&THREE, five, &[(4, 8), (3, 9)], &Step::Admit(applicant(3, 9)));
    let coming = [(0, "v"), (1, "v"), (2, "v"), (3, "lud")];
    check(&coming, five, &[(4, 8)], &Step::Admit(applicant(4, 8)));
    let fresh = Observed {
        is_fresh: true,
        ..observed(&coming, five, &[(4, 8)])
    };
    assert_eq!(next(&fresh), Step::Wait(Reason::Coming("m-3".into())));
    let behind = [(0, "v"), (1, "v"), (2, "v"), (3, "lb")];
    check(
        &behind,
        five,
        &[(4, 8)],
        &Step::Wait(Reason::CatchingUp("m-3".into())),
    );
    let ready = [(0, "v"), (1, "v"), (2, "v"), (3, "l")];
    check(&ready, five, &[(4, 8)], &Step::Promote(MemberId(4)));
    // Two of four would be no majority.
    let unhealthy = [(0, "v"), (1, "vd"), (2, "vd"), (3, "l")];
    check(
        &unhealthy,
        five,
        &[],
        &Step::Wait(Reason::Unhealthy("m-3".into())),
    );
    check(&[(0, "v"), (1, "l")], Some(2), &[], &Step::Promote(MemberId(2)));
}

#[test]
fn who_is_not_wanted_is_not_let_in() {
    check(&THREE, Some(3), &[(3, 9)], &Step::Rest);
    check(
        &THREE,
        None,
        &[(3, 9)],
        &Step::Wait(Reason::SizeUnknown("m-3".into())),
    );
    check(&THREE, Some(0), &[(2, 9)], &Step::Rest);
    let stranger = Applicant {
        rank: None,
        ..applicant(3, 9)
    };
    let with = Observed {
        applicants: vec![stranger.clone()],
        ..observed(&THREE, Some(5), &[])
    };
    assert_eq!(next(&with), Step::Rest);
    assert_eq!(obstacle(&with, &stranger), Some(Reason::Stranger("m-3".into())));
    let refused = obstacle(&observed(&THREE, Some(3), &[]), &applicant(3, 9));
    assert_eq!(refused, Some(Reason::NotWished("m-3".into(), 3)));
}

/// C2: a lost disk. The old identity leaves in the same change in which the new one gets its vote.
#[test]
fn a_dead_namesake_is_replaced() {
    let lost = [(0, "v"), (1, "vd"), (2, "v")];
    check(&lost, Some(3), &[(1, 9)], &Step::Admit(applicant(1, 9)));
    check(&lost, None, &[(1, 9)], &Step::Admit(applicant(1, 9)));
    let swap = Step::Swap {
        new: MemberId(4),
        dead: MemberId(2),
    };
    check(&[(0, "v"), (1, "vd"), (2, "v"), (1, "l")], Some(3), &[], &swap);
    check(&[(0, "v"), (1, "vd"), (2, "v"), (1, "l")], None, &[], &swap);
    let unhealthy = Step::Wait(Reason::Unhealthy("m-1".into()));
    check(
        &[(0, "v"), (1, "vd"), (2, "vd"), (1, "l")],
        Some(3),
        &[],
        &unhealthy,
    );
    // The replacement of a dead one goes before growing.
    check(&lost, Some(5), &[(3, 8), (1, 9)], &Step::Admit(applicant(1, 9)));
}

/// The old pod still runs, on a machine that the node controller has given up: as long as it is heard of, it is the member.
#[test]
fn a_namesake_that_lives_is_not_replaced() {
    let lives = Step::Wait(Reason::NamesakeLives("m-1".into()));
    check(&THREE, Some(3), &[(1, 9)], &lives);
    check(&[(0, "v"), (1, "v"), (2, "v"), (1, "l")], Some(3), &[], &lives);
}

#[test]
fn a_learner_that_lost_its_disk_makes_room() {
    let lost = [(0, "v"), (1, "v"), (2, "v"), (3, "lud")];
    check(&lost, Some(4), &[(3, 1004)], &Step::Rest);
    check(
        &lost,
        Some(4),
        &[(3, 9)],
        &Step::Remove(MemberId(4), Why::Superseded),
    );
    let mut late = observed(&lost, Some(4), &[(3, 9)]);
    late.applicants[0].has_asked_since = false;
    assert_eq!(
        next(&late),
        Step::Wait(Reason::UnderWay),
        "a late question of one that is gone"
    );
    let itself = Observed {
        is_fresh: true,
        ..observed(&lost, Some(4), &[(3, 4)])
    };
    assert_eq!(
        next(&itself),
        Step::Wait(Reason::Coming("m-3".into())),
        "it asks by its new id"
    );
    let lives = [(0, "v"), (1, "v"), (2, "v"), (3, "lb")];
    check(
        &lives,
        Some(4),
        &[(3, 9)],
        &Step::Wait(Reason::NamesakeLives("m-3".into())),
    );
}

/// C3: down from the highest, one at a time, never below a majority that is heard of; the leader hands over first.
#[test]
fn it_shrinks_from_the_highest() {
    let five = [(0, "v"), (1, "v"), (2, "v"), (3, "v"), (4, "v")];
    let goes = |id| Step::Remove(MemberId(id), Why::Surplus(3));
    check(&five, Some(3), &[], &goes(5));
    check(&five[..4], Some(3), &[], &goes(4));
    check(&five, Some(0), &[], &Step::Rest);
    let dead_first = [(0, "v"), (1, "v"), (2, "v"), (3, "vd"), (4, "v")];
    check(&dead_first, Some(3), &[], &goes(4));
    let unsafe_now = [(0, "v"), (1, "vd"), (2, "v")];
    check(
        &unsafe_now,
        Some(2),
        &[],
        &Step::Wait(Reason::Unhealthy("m-2".into())),
    );
    let leader_goes = [(4, "v"), (1, "vb"), (2, "v"), (3, "v")];
    check(&leader_goes, Some(3), &[], &Step::HandOver(MemberId(3)));
    // A learner that is not wanted any more goes, caught up or not.
    let learner = [(0, "v"), (1, "v"), (2, "v"), (3, "l")];
    check(&learner, Some(3), &[], &goes(4));
}

/// Members that somebody has added by hand, with other names, are nobody's surplus.
#[test]
fn members_of_other_names_are_left_alone() {
    let mut with = observed(&[(0, "v"), (1, "v"), (2, "v"), (3, "v")], Some(3), &[]);
    with.members[3].rank = None;
    assert_eq!(next(&with), Step::Rest);
    with.members[3].votes = false;
    assert_eq!(next(&with), Step::Rest, "a learner that is to stay one");
}

fn situations() -> impl Strategy<Value = Observed> {
    let member = (0..6u32, any::<[bool; 5]>(), 0..4u64);
    let members = proptest::collection::vec(member, 1..7);
    let applicants = proptest::collection::vec((proptest::option::of(0..6u32), 1..4u64), 0..4);
    (
        members,
        applicants,
        proptest::option::of(0..7u32),
        any::<[bool; 3]>(),
    )
        .prop_map(
            |(members, applicants, wished, [is_committed, is_joint, is_fresh])| {
                let members = (1..).zip(members).map(|(id, (rank, flags, instance))| Seen {
                    id: MemberId(id),
                    name: format!("m-{rank}"),
                    rank: Some(rank).filter(|rank| *rank < 5),
                    instance,
                    votes: flags[0] || id == 1,
                    is_unattended: flags[1],
                    is_started: flags[2] || id == 1,
                    is_heard: flags[3] || id == 1,
                    is_caught_up: flags[4] || id == 1,
                });
                Observed {
                    own: MemberId(1),
                    members: members.collect(),
                    is_committed,
                    is_joint,
                    is_fresh,
                    wished,
                    applicants: applicants
                        .into_iter()
                        .map(|(rank, instance)| Applicant {
                            name: "m".to_owned(),
                            rank,
                            instance,
                            has_asked_since: instance % 2 == 0,
                        })
                        .collect(),
                }
            },
        )
}

/// Whether a majority of the voters is heard of after this change.
fn is_healthy(observed: &Observed, more: Option<MemberId>, less: Option<MemberId>) -> bool {
    let counts = |one: &&Seen| (one.votes || Some(one.id) == more) && Some(one.id) != less;
    let voters: Vec<&Seen> = observed.members.iter().filter(counts).collect();
    2 * voters.iter().filter(|one| one.is_heard).count() > voters.len()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// In whatever situation: no change on top of another, no vote without majorities before and after, nobody replaced that
    /// lives, nobody removed that is wanted, nobody let in twice, the leader never out.
    #[test]
    fn every_step_is_safe(observed in situations()) {
        let find = |id: MemberId| observed.members.iter().find(|one| one.id == id).unwrap();
        let step = next(&observed);
        if !observed.is_committed || observed.is_joint {
            prop_assert!(matches!(step, Step::Wait(Reason::UnderWay) | Step::Settle));
        }
        match step {
            Step::Promote(id) => {
                prop_assert!(is_healthy(&observed, None, None) && is_healthy(&observed, Some(id), None));
                let one = find(id);
                prop_assert!(one.is_unattended && one.is_heard && one.is_caught_up && one.is_started && !one.votes);
                prop_assert!(observed.members.iter().all(|other| !other.votes || other.rank != one.rank));
            }
            Step::Swap { new, dead } => {
                prop_assert!(is_healthy(&observed, None, None) && is_healthy(&observed, Some(new), Some(dead)));
                prop_assert!(find(new).rank == find(dead).rank && !find(dead).is_heard && dead != observed.own);
                prop_assert!(!find(new).votes && find(new).is_caught_up);
            }
            Step::Remove(id, why) => {
                let one = find(id);
                prop_assert!(id != observed.own);
                prop_assert!(!one.votes || is_healthy(&observed, None, Some(id)));
                match why {
                    Why::Surplus(wished) => {
                        prop_assert!(observed.wished == Some(wished) && wished > 0 && one.rank >= Some(wished));
                    }
                    Why::Superseded => {
                        prop_assert!(!one.is_heard && !one.votes && one.is_unattended);
                        let is_there = |other: &Applicant| other.rank == one.rank && other.has_asked_since;
                        prop_assert!(observed.applicants.iter().any(is_there));
                    }
                }
            }
            Step::Admit(applicant) => {
                let rank = applicant.rank.unwrap();
                prop_assert!(observed.wished.is_none_or(|wished| rank < wished));
                prop_assert!(observed.members.iter().all(|one| one.rank != Some(rank) || !one.is_heard));
                prop_assert!(observed.members.iter().all(|one| one.instance == 0 || one.instance != applicant.instance));
                prop_assert_eq!(obstacle(&observed, &applicant), None);
            }
            Step::HandOver(to) => {
                prop_assert!(to != observed.own && find(to).votes && find(to).is_heard && find(to).is_caught_up);
            }
            Step::Rest | Step::Wait(_) | Step::Settle => {}
        }
    }

    /// Carried out step by step among members that answer, it comes to the wished size, with one living member for each rank,
    /// and then rests; whichever member leads.
    #[test]
    fn it_arrives(from in 1..7u32, wished in 1..7u32, lost in proptest::option::of(0..7u32)) {
        let marks = vec![(0, "v"); from as usize];
        let members: Vec<(u32, &str)> = (0..).zip(&marks).map(|(rank, (_, marks))| (rank, *marks)).collect();
        let mut now = observed(&members, Some(wished), &[]);
        let quorum_survives = from > 2;
        if let Some(lost) = lost.filter(|lost| *lost > 0 && *lost < from && quorum_survives) {
            now.members[lost as usize].is_heard = false;
        }
        let mut next_id = 100;
        for _ in 0..60 {
            now.applicants = (0..wished)
                .filter(|rank| now.members.iter().all(|one| one.rank != Some(*rank) || !one.is_heard))
                .map(|rank| applicant(rank, u64::from(rank) + 5000))
                .collect();
            match next(&now) {
                Step::Admit(applicant) => {
                    next_id += 1;
                    let rank = applicant.rank.unwrap();
                    let mut new = seen(next_id, rank, "l");
                    new.instance = applicant.instance;
                    now.members.push(new);
                }
                Step::Promote(id) => now.members.iter_mut().find(|one| one.id == id).unwrap().votes = true,
                Step::Swap { new, dead } => {
                    now.members.iter_mut().find(|one| one.id == new).unwrap().votes = true;
                    now.members.retain(|one| one.id != dead);
                }
                Step::Remove(id, _) => now.members.retain(|one| one.id != id),
                Step::HandOver(to) => now.own = to,
                Step::Rest => break,
                step => prop_assert!(false, "{step:?} in {now:?}"),
            }
        }
        prop_assert_eq!(next(&now), Step::Rest);
        let mut ranks: Vec<u32> = now.members.iter().map(|one| one.rank.unwrap()).collect();
        ranks.sort_unstable();
        prop_assert_eq!(ranks, (0..wished).collect::<Vec<u32>>());
        prop_assert!(now.members.iter().all(|one| one.votes && one.is_heard));
    }
}
