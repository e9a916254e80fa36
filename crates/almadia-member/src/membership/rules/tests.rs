//! The rules, case by case: rows B4.1, B4.2, B4.3 and B4.5, and row 23 of the known failures.

use super::*;
use almadia_consensus::Membered;

/// A member: its id, and what is special about it in letters: `u`nstarted, `l`earner, voter-`t`o-be, `d`own, `b`ehind.
fn one(id: u64, marks: &str) -> Rostered {
    let has = |mark: char| marks.contains(mark);
    let info = MemberInfo {
        name: if has('u') { String::new() } else { format!("m{id}") },
        peer_urls: vec![format!("http://m{id}:2380")],
        voter_to_be: has('t'),
        ..MemberInfo::default()
    };
    Rostered {
        member: Membered {
            id: MemberId(id),
            info,
            is_learner: has('l'),
            votes: !has('l') && !has('t'),
        },
        matched: if has('b') {
            Some(LogIndex(10))
        } else {
            Some(LogIndex(10_000))
        },
        silent_for: if has('d') {
            None
        } else {
            Some(Duration::from_millis(10))
        },
    }
}

/// Members 1, 2, 3 and so on, with these marks. The first leads; member 99 was there once.
#[track_caller]
fn check(marks: &[&str], change: &Change, expected: &Verdict) {
    let members: Vec<Rostered> = (1..).zip(marks).map(|(id, marks)| one(id, marks)).collect();
    let situation = situation(&members);
    assert_eq!(situation.decide(change), *expected, "{marks:?} {change:?}");
}

fn situation(members: &[Rostered]) -> Situation<'_> {
    Situation {
        own: MemberId(1),
        members,
        last: LogIndex(10_000),
        is_removed: &|id| id == MemberId(99),
        silent_max: Duration::from_secs(1),
    }
}

fn add(id: u64, is_learner: bool) -> Change {
    Change::Add(Add {
        member: id,
        peer_urls: vec![format!("http://m{id}:2380")],
        is_learner,
    })
}

fn refuse(refusal: MembershipRefusal) -> Verdict {
    Verdict::Refuse(refusal)
}

fn added(id: u64, voter_to_be: bool) -> Verdict {
    let info = MemberInfo {
        peer_urls: vec![format!("http://m{id}:2380")],
        voter_to_be,
        ..MemberInfo::default()
    };
    Verdict::Write(MemberChange::Add(MemberId(id), info), MemberId(id))
}

fn removed(id: u64) -> Verdict {
    Verdict::Write(MemberChange::Remove(MemberId(id)), MemberId(id))
}

#[test]
fn b4_1_adding() {
    use MembershipRefusal::{IdTaken, NotEnoughStarted, PeerUrlTaken, TooManyLearners, Unhealthy};
    check(&["", "", ""], &add(7, true), &added(7, false));
    check(&["", "", ""], &add(7, false), &added(7, true));
    check(&[""], &add(7, false), &added(7, true));
    // A second voter before the first one has started: no majority of three would have started.
    check(&["", "ut"], &add(7, false), &refuse(NotEnoughStarted));
    check(&["", "", "", "utd"], &add(7, false), &refuse(Unhealthy));
    check(&["", "", "d"], &add(7, false), &refuse(Unhealthy));
    check(&["", "", "d"], &add(7, true), &refuse(Unhealthy));
    check(&["", "", "", "ld"], &add(7, false), &added(7, true));
    check(&["", "", "l"], &add(7, true), &refuse(TooManyLearners));
    check(&["", "", "l"], &add(7, false), &added(7, true));
    check(&["", ""], &add(99, false), &refuse(IdTaken));
    check(&["", ""], &add(0, false), &refuse(IdTaken));
    // Heard twice: it is there already.
    check(&["", "ut"], &add(2, false), &Verdict::Already(MemberId(2)));
    let elsewhere = Change::Add(Add {
        member: 2,
        peer_urls: vec!["http://x:1".to_owned()],
        is_learner: true,
    });
    check(&["", ""], &elsewhere, &refuse(IdTaken));
    let same_url = Change::Add(Add {
        member: 7,
        peer_urls: vec!["http://x:1".to_owned(), "http://m2:2380/".to_owned()],
        is_learner: true,
    });
    check(&["", ""], &same_url, &refuse(PeerUrlTaken));
}

#[test]
fn b4_2_removing() {
    use MembershipRefusal::{MemberNotFound, NotEnoughStarted, Unhealthy};
    let remove = Change::Remove;
    check(&["", "", ""], &remove(2), &removed(2));
    check(&["", "", ""], &remove(8), &refuse(MemberNotFound));
    // Heard twice: who asks has seen it belong.
    check(&["", "", ""], &remove(99), &Verdict::Already(MemberId(99)));
    check(&["", "", ""], &remove(1), &Verdict::HandOver);
    check(&[""], &remove(1), &refuse(NotEnoughStarted));
    check(&["", "ut"], &remove(2), &removed(2));
    // The one that is left does not vote yet.
    check(&["", "t"], &remove(1), &refuse(NotEnoughStarted));
    check(&["", "", "d"], &remove(3), &removed(3));
    check(&["", "", "d"], &remove(2), &refuse(Unhealthy));
    check(&["", "l"], &remove(2), &removed(2));
    check(&["", "", "d", "l"], &remove(4), &removed(4));
    // By count of voting members it would do; but of the two that would vote one is down.
    check(&["", "", "d", "t"], &remove(2), &refuse(Unhealthy));
    check(&["", "d"], &remove(2), &removed(2));
}

#[test]
fn b4_3_moving_keeps_everything_else() {
    let urls = vec!["http://new:1".to_owned()];
    let update = |member| {
        Change::Update(Update {
            member,
            peer_urls: urls.clone(),
        })
    };
    let info = MemberInfo {
        peer_urls: urls.clone(),
        ..one(2, "l").member.info
    };
    let moved = Verdict::Write(MemberChange::SetInfo(MemberId(2), info), MemberId(2));
    check(&["", "l"], &update(2), &moved);
    check(&["", "l"], &update(8), &refuse(MembershipRefusal::MemberNotFound));
    let same = Change::Update(Update {
        member: 2,
        peer_urls: vec!["http://m2:2380".to_owned()],
    });
    check(&["", "l"], &same, &Verdict::Already(MemberId(2)));
    let others = Change::Update(Update {
        member: 2,
        peer_urls: vec!["http://m1:2380".to_owned()],
    });
    check(&["", "l"], &others, &refuse(MembershipRefusal::PeerUrlTaken));
}

#[test]
fn b4_5_promoting() {
    use MembershipRefusal::{LearnerNotReady, MemberNotFound, NotEnoughStarted};
    let promote = Change::Promote;
    let gets_it = Verdict::Write(MemberChange::GiveVote(MemberId(2)), MemberId(2));
    check(&["", "l"], &promote(2), &gets_it);
    check(&["", "lb"], &promote(2), &refuse(LearnerNotReady));
    check(&["", "ld"], &promote(2), &refuse(LearnerNotReady));
    check(&["", "l"], &promote(8), &refuse(MemberNotFound));
    check(&["", ""], &promote(2), &Verdict::Already(MemberId(2)));
    check(&["", "l", "ut", "ut"], &promote(2), &refuse(NotEnoughStarted));
    let nine_tenths = |matched| {
        let mut members = vec![one(1, ""), one(2, "l")];
        members[1].matched = Some(LogIndex(matched));
        situation(&members).decide(&promote(2))
    };
    assert_eq!(nine_tenths(9_000), gets_it);
    assert_eq!(nine_tenths(8_999), refuse(LearnerNotReady));
}

#[test]
fn who_is_to_vote_gets_its_vote_when_it_has_caught_up() {
    let ripe = |marks: &str| situation(&[one(1, ""), one(2, marks)]).ripe();
    assert_eq!(ripe("t"), Some(MemberId(2)));
    for unripe in ["tb", "td", "tu", "l", ""] {
        assert_eq!(ripe(unripe), None, "{unripe}");
    }
}

/// An id is given to one data directory, whatever becomes of that: row 23, and etcd's zombie members.
#[test]
fn an_id_is_claimed_once() {
    let claim = |instance: u64, url: &str| {
        Change::Claim(Claim {
            instance,
            peer_urls: vec![url.to_owned()],
        })
    };
    let mut members = vec![one(1, ""), one(2, "ul")];
    let info = MemberInfo {
        instance: 5,
        ..members[1].member.info.clone()
    };
    let given = Verdict::Write(MemberChange::SetInfo(MemberId(2), info.clone()), MemberId(2));
    assert_eq!(situation(&members).decide(&claim(5, "http://m2:2380")), given);
    let unknown = refuse(MembershipRefusal::MemberNotFound);
    assert_eq!(situation(&members).decide(&claim(5, "http://m3:2380")), unknown);
    assert_eq!(
        situation(&members).decide(&claim(5, "http://m1:2380")),
        unknown,
        "a founder's"
    );
    assert_eq!(situation(&members).decide(&claim(0, "http://m2:2380")), unknown);
    members[1].member.info = info;
    assert_eq!(
        situation(&members).decide(&claim(5, "http://m2:2380/")),
        Verdict::Already(MemberId(2))
    );
    assert_eq!(
        situation(&members).decide(&claim(6, "http://m2:2380")),
        unknown,
        "another directory"
    );
}

#[test]
fn numbers_on_the_wire_are_what_they_were() {
    for (number, refusal) in (1..).zip(MembershipRefusal::ALL) {
        assert_eq!(refusal as u32, number);
        assert_eq!(MembershipRefusal::from_number(number), Some(refusal));
    }
    assert_eq!(MembershipRefusal::from_number(0), None);
}
