//! The Cluster service, what a learner serves, and the texts of both. What is allowed is the leader's business and tested with
//! the member.

use super::*;
use crate::double::cluster::{ADDED, Asked};
use crate::double::{CLUSTER, MEMBER, TERM};
use almadia_command::MemberId;
use almadia_member::{MemberChangeError, MembershipRefusal};

fn add_request(urls: &[&str], is_learner: bool) -> pb::MemberAddRequest {
    pb::MemberAddRequest {
        peer_ur_ls: urls.iter().map(|url| (*url).to_owned()).collect(),
        is_learner,
    }
}

fn ids(members: &[pb::Member]) -> Vec<u64> {
    members.iter().map(|member| member.id).collect()
}

#[track_caller]
fn check_header(header: Option<pb::ResponseHeader>) {
    let header = header.expect("there is a header");
    let seen = (
        header.cluster_id,
        header.member_id,
        header.revision,
        header.raft_term,
    );
    assert_eq!(seen, (CLUSTER.get(), MEMBER.get(), 0, TERM.get()));
}

#[tokio::test]
async fn b4_1_a_member_is_added() {
    let mut scene = Scene::new().await;
    let request = add_request(&["http://b:2380", "http://a:2380"], true);
    let added = scene
        .cluster
        .member_add(request)
        .await
        .expect("it answers")
        .into_inner();
    check_header(added.header);
    let member = added.member.expect("it says who was added");
    assert_eq!((member.id, member.is_learner), (ADDED.get(), true));
    assert_eq!((&member.name[..], member.client_ur_ls.len()), ("", 0));
    assert_eq!(member.peer_ur_ls, ["http://a:2380", "http://b:2380"]);
    let mut sorted = ids(&added.members);
    sorted.sort_unstable();
    assert_eq!(ids(&added.members), sorted);
    assert!(sorted.contains(&ADDED.get()) && sorted.len() == 3);
    let urls = vec!["http://a:2380".to_owned(), "http://b:2380".to_owned()];
    assert_eq!(scene.double.cluster.asked(), [Asked::Add(urls, true)]);
}

#[tokio::test]
async fn b4_1_bad_urls_are_refused() {
    let mut scene = Scene::new().await;
    for urls in [
        &[][..],
        &["http://a"],
        &["a:1"],
        &["http://a:1/"],
        &["unix://a:1"],
        &["http://a:1", ""],
    ] {
        let refused = scene.cluster.member_add(add_request(urls, false)).await;
        assert_eq!(refusal(refused), of(Fault::BadMemberUrls), "{urls:?}");
        let request = pb::MemberUpdateRequest {
            id: 7,
            peer_ur_ls: urls.iter().map(|url| (*url).to_owned()).collect(),
        };
        let refused = scene.cluster.member_update(request).await;
        assert_eq!(refusal(refused), of(Fault::BadMemberUrls), "{urls:?}");
    }
    assert_eq!(scene.double.cluster.asked(), []);
}

#[tokio::test]
async fn b4_2_b4_3_b4_5_others_are_passed_on() {
    let mut scene = Scene::new().await;
    let removed = scene
        .cluster
        .member_remove(pb::MemberRemoveRequest { id: 7 })
        .await;
    check_header(removed.expect("it answers").into_inner().header);
    let request = pb::MemberUpdateRequest {
        id: 7,
        peer_ur_ls: vec!["http://c:1".to_owned()],
    };
    let updated = scene
        .cluster
        .member_update(request)
        .await
        .expect("it answers")
        .into_inner();
    check_header(updated.header);
    assert_eq!(ids(&updated.members), [7, MEMBER.get()]);
    let promoted = scene
        .cluster
        .member_promote(pb::MemberPromoteRequest { id: 7 })
        .await;
    check_header(promoted.expect("it answers").into_inner().header);
    let (id, url) = (MemberId(7), "http://c:1".to_owned());
    let expected = [
        Asked::Remove(id),
        Asked::Update(id, vec![url]),
        Asked::Promote(id),
    ];
    assert_eq!(scene.double.cluster.asked(), expected);
}

/// What the double refuses with, and what a client must see.
const REFUSALS: [(MembershipRefusal, Code, &str); 8] = [
    (
        MembershipRefusal::MemberNotFound,
        Code::NotFound,
        "member not found",
    ),
    (
        MembershipRefusal::IdTaken,
        Code::FailedPrecondition,
        "member ID already exist",
    ),
    (
        MembershipRefusal::PeerUrlTaken,
        Code::FailedPrecondition,
        "Peer URLs already exists",
    ),
    (
        MembershipRefusal::NotEnoughStarted,
        Code::FailedPrecondition,
        "re-configuration failed due to not enough started members",
    ),
    (
        MembershipRefusal::Unhealthy,
        Code::Unavailable,
        "unhealthy cluster",
    ),
    (
        MembershipRefusal::TooManyLearners,
        Code::FailedPrecondition,
        "too many learner members in cluster",
    ),
    (
        MembershipRefusal::NotLearner,
        Code::FailedPrecondition,
        "can only promote a learner member",
    ),
    (
        MembershipRefusal::LearnerNotReady,
        Code::FailedPrecondition,
        "can only promote a learner member which is in sync with leader",
    ),
];

/// B10.1, B10.4, B10.5, B10.8: etcd's codes and texts.
#[tokio::test]
async fn b10_5_refusals_have_etcd_s_words() {
    let mut scene = Scene::new().await;
    for (reason, code, text) in REFUSALS {
        scene.double.cluster.refuse(reason.into());
        let expected = (code, format!("etcdserver: {text}"));
        let refused = scene
            .cluster
            .member_add(add_request(&["http://a:1"], false))
            .await;
        assert_eq!(refusal(refused), expected);
        let refused = scene
            .cluster
            .member_remove(pb::MemberRemoveRequest { id: 1 })
            .await;
        assert_eq!(refusal(refused), expected);
        let refused = scene
            .cluster
            .member_promote(pb::MemberPromoteRequest { id: 1 })
            .await;
        assert_eq!(refusal(refused), expected);
    }
    scene.double.cluster.refuse(MemberChangeError::TimedOut);
    let refused = scene
        .cluster
        .member_remove(pb::MemberRemoveRequest { id: 1 })
        .await;
    assert_eq!(refusal(refused), of(Fault::TimedOut));
    scene.double.cluster.refuse(MemberChangeError::NoLeader);
    let refused = scene
        .cluster
        .member_remove(pb::MemberRemoveRequest { id: 1 })
        .await;
    assert_eq!(refusal(refused), of(Fault::NoLeader));
}

/// B10.5: a learner serves its status, backups and reads of what it has, and nothing else.
#[tokio::test]
async fn b10_5_what_a_learner_serves() {
    let mut scene = Scene::new().await;
    scene.must_put("k", "v").await;
    scene.double.cluster.be_learner(true);
    let expected = (
        Code::FailedPrecondition,
        "etcdserver: rpc not supported for learner".to_owned(),
    );
    assert_eq!(refusal(scene.kv.range(get_request("k")).await), expected);
    assert_eq!(refusal(scene.kv.put(put_request("k", "w")).await), expected);
    let listed = scene
        .cluster
        .member_list(pb::MemberListRequest { linearizable: false })
        .await;
    assert_eq!(refusal(listed), expected);
    let added = scene
        .cluster
        .member_add(add_request(&["http://a:1"], false))
        .await;
    assert_eq!(refusal(added), expected);
    let alarm = scene.maintenance.alarm(pb::AlarmRequest::default()).await;
    assert_eq!(refusal(alarm), expected);
    let serializable = pb::RangeRequest {
        serializable: true,
        ..get_request("k")
    };
    let read = scene
        .kv
        .range(serializable)
        .await
        .expect("a learner reads what it has")
        .into_inner();
    assert_eq!(read.count, 1);
    assert!(scene.maintenance.status(pb::StatusRequest {}).await.is_ok());
    scene.double.cluster.be_learner(false);
    assert!(scene.kv.range(get_request("k")).await.is_ok());
}
