//! Founding under crashes, wipes and lost or late messages: never two clusters.

mod driver;
mod messages;
mod world;

use crate::founding::{Answer, Ask, Found, InitialPeer, InitialState, Notebook, Step, WaitReason};
use crate::identity::Identity;
use almadia_command::{ClusterId, GroupId, MemberId};

/// Names sort as their numbers.
fn name(member: usize) -> String {
    format!("m{member}")
}

fn list(count: usize) -> Vec<InitialPeer> {
    (0..count)
        .rev()
        .map(|member| InitialPeer {
            name: name(member),
            peer_urls: vec![format!("http://{}:1", name(member))],
        })
        .collect()
}

fn empty_identity(member: usize, id: u64) -> Identity {
    Identity {
        group: GroupId([1; 16]),
        cluster: ClusterId(0),
        member: MemberId(id),
        name: name(member),
        initial: Vec::new(),
    }
}

fn notebook(identity: Identity, count: usize) -> Notebook {
    Notebook::new(
        identity,
        InitialState::New,
        list(count),
        vec!["http://client".into()],
    )
}

/// `asker` asks `answerer` and hears the answer at once.
fn exchange(asker: &mut Notebook, answerer: &mut Notebook) -> Option<Found> {
    let (asking, ask) = asker.ask(&answerer.identity().name);
    let (answer, offer) = answerer.answer(&ask);
    match &offer {
        None => asker.hear(&asking, answer),
        Some(found) => {
            if let Ok(identity) = asker.accept(&asking, found) {
                asker.take_identity(identity);
            }
        }
    }
    offer
}

fn reason(notebook: &Notebook) -> WaitReason {
    match notebook.decide() {
        Step::Wait(reason) => reason,
        Step::Found(members) => panic!("would found with {members:?}"),
    }
}

#[test]
fn a_single_member_founds_at_once() {
    let alone = notebook(empty_identity(0, 5), 1);
    assert_eq!(alone.decide(), Step::Found(vec![("m0".into(), MemberId(5))]));
    let identity = alone.found(&[("m0".into(), MemberId(5))], ClusterId(9));
    assert_eq!((identity.cluster, identity.initial.len()), (ClusterId(9), 1));
    assert_eq!(identity.initial[0].client_urls, ["http://client"]);
}

/// Only the first in name order founds, only when all have answered, only when all have heard the same.
#[test]
fn all_must_have_heard_the_same() {
    let mut first = notebook(empty_identity(0, 10), 3);
    let mut second = notebook(empty_identity(1, 11), 3);
    let mut third = notebook(empty_identity(2, 12), 3);
    assert!(matches!(reason(&first), WaitReason::Silent { .. }));
    exchange(&mut first, &mut second);
    exchange(&mut first, &mut third);
    assert_eq!(reason(&first), WaitReason::View { peer: "m1".into() });
    exchange(&mut second, &mut third);
    exchange(&mut second, &mut first);
    exchange(&mut third, &mut first);
    exchange(&mut third, &mut second);
    assert_eq!(reason(&second), WaitReason::Founder { peer: "m0".into() });
    exchange(&mut first, &mut second);
    exchange(&mut first, &mut third);
    assert!(matches!(first.decide(), Step::Found(members) if members.len() == 3));
}

#[test]
fn existing_never_founds_and_stops_others() {
    let mut first = notebook(empty_identity(0, 10), 2);
    let mut waiting = Notebook::new(empty_identity(1, 11), InitialState::Existing, list(2), Vec::new());
    exchange(&mut first, &mut waiting);
    exchange(&mut waiting, &mut first);
    assert_eq!(reason(&waiting), WaitReason::Existing);
    assert_eq!(reason(&first), WaitReason::PeerNotFounding { peer: "m1".into() });
    let alone = Notebook::new(empty_identity(0, 10), InitialState::Existing, list(1), Vec::new());
    assert_eq!(reason(&alone), WaitReason::Existing);
}

/// C30: a set has grown beyond its founders, and all founders have lost their disks. Those that came later are asked too, and
/// one that belongs to the cluster keeps a second one from being founded; so does one that does not answer.
#[test]
fn founders_that_lost_their_disks_ask_those_that_came_later() {
    let late = |identity| Notebook::new(identity, InitialState::Existing, list(3), Vec::new());
    let founders = || {
        let (mut first, mut second) = (
            notebook(empty_identity(0, 10), 2),
            notebook(empty_identity(1, 11), 2),
        );
        first.ask_also(list(3));
        second.ask_also(list(3));
        for _ in 0..2 {
            exchange(&mut first, &mut second);
            exchange(&mut second, &mut first);
        }
        first
    };
    let mut first = founders();
    assert_eq!(first.peers().count(), 2);
    assert!(matches!(reason(&first), WaitReason::Silent { peers } if peers[0].0 == "m2"));
    let mut member = late(Identity {
        cluster: ClusterId(7),
        ..empty_identity(2, 12)
    });
    exchange(&mut first, &mut member);
    assert!(matches!(
        reason(&first),
        WaitReason::Admission {
            cluster: ClusterId(7),
            ..
        }
    ));
    // One that is empty itself knows of no cluster, and is no founder.
    let mut first = founders();
    exchange(&mut first, &mut late(empty_identity(2, 12)));
    assert!(matches!(first.decide(), Step::Found(members) if members.len() == 2));
}

#[test]
fn another_list_and_a_copied_directory_are_named() {
    let mut first = notebook(empty_identity(0, 10), 2);
    let mut other = notebook(empty_identity(1, 11), 3);
    exchange(&mut first, &mut other);
    assert!(matches!(reason(&first), WaitReason::AnotherList { .. }));
    let mut copy = notebook(empty_identity(1, 10), 2);
    exchange(&mut first, &mut copy);
    assert!(matches!(reason(&first), WaitReason::SameId { .. }));
}

/// A member that was wiped between its answer and the offer is not given its old place.
#[test]
fn a_wiped_member_waits_for_admission() {
    let mut founder = notebook(empty_identity(0, 10), 2);
    let members = [("m0".to_owned(), MemberId(10)), ("m1".to_owned(), MemberId(11))];
    founder.take_identity(founder.found(&members, ClusterId(7)));
    let mut kept = notebook(empty_identity(1, 11), 2);
    assert!(exchange(&mut kept, &mut founder).is_some());
    assert_eq!(kept.identity().cluster, ClusterId(7));
    let mut wiped = notebook(empty_identity(1, 99), 2);
    assert!(exchange(&mut wiped, &mut founder).is_none());
    assert_eq!(
        reason(&wiped),
        WaitReason::Admission {
            cluster: ClusterId(7),
            peer: "m0".into(),
            says: String::new()
        }
    );
}

/// The offer of a founder that is wiped right after making it must not be taken once the wiped founder has asked:
/// it may be founding another cluster with our answer.
#[test]
fn a_late_offer_is_refused_after_the_peer_asked_again() {
    let mut old = notebook(empty_identity(0, 10), 2);
    let members = [("m0".to_owned(), MemberId(10)), ("m1".to_owned(), MemberId(11))];
    old.take_identity(old.found(&members, ClusterId(7)));
    let mut second = notebook(empty_identity(1, 11), 2);
    let (asking, ask) = second.ask("m0");
    let (_, offer) = old.answer(&ask);
    let mut wiped = notebook(empty_identity(0, 20), 2);
    exchange(&mut wiped, &mut second);
    let refusal = second.accept(&asking, &offer.unwrap()).unwrap_err();
    assert_eq!(refusal, crate::founding::OfferRefusal::Superseded);
}

#[test]
fn senseless_offers_are_refused() {
    let member = notebook(empty_identity(1, 11), 2);
    let (asking, _) = member.ask("m0");
    let founder = notebook(empty_identity(0, 10), 2);
    let members = [("m0".to_owned(), MemberId(10)), ("m1".to_owned(), MemberId(11))];
    let good = Found {
        cluster: ClusterId(7),
        initial: founder.found(&members, ClusterId(7)).initial,
    };
    assert!(member.accept(&asking, &good).is_ok());
    let mut cases = vec![Found {
        cluster: ClusterId(0),
        ..good.clone()
    }];
    for change in 0..3 {
        let mut bad = good.clone();
        match change {
            0 => bad.initial[0].id = MemberId(0),
            1 => bad.initial[0].id = MemberId(11),
            _ => bad.initial[1].name = "m9".into(),
        }
        cases.push(bad);
    }
    for bad in cases {
        assert!(member.accept(&asking, &bad).is_err(), "{bad:?}");
    }
}

/// An answer under another name than the one asked for does not count.
#[test]
fn an_answer_of_somebody_else_does_not_count() {
    let mut first = notebook(empty_identity(0, 10), 2);
    let (asking, _) = first.ask("m1");
    let mut stranger = notebook(empty_identity(2, 12), 3);
    let (answer, _): (Answer, _) = stranger.answer(&Ask {
        member: MemberId(10),
        name: "m0".into(),
        peer_urls: Vec::new(),
    });
    first.hear(&asking, answer);
    assert!(matches!(reason(&first), WaitReason::Silent { .. }));
    first.hear_nothing("m1", "refused".into());
    assert!(reason(&first).to_string().contains("m1 (refused)"));
}
