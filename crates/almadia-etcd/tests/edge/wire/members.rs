//! Status, MemberList, and where a write stands in the log.

use super::*;
use crate::double::{CLUSTER, MEMBER, TERM, Trouble};
use almadia_etcd::Config;
use tonic::Request;

#[tokio::test]
async fn b5_1_status_is_filled() {
    let config = Config {
        version: "3.7.9".to_owned(),
        quota_bytes: 99,
        ..Config::default()
    };
    let mut scene = Scene::with(config).await;
    scene.must_put("k", "v").await;
    let status = scene
        .maintenance
        .status(pb::StatusRequest {})
        .await
        .expect("it answers")
        .into_inner();
    let header = status.header.expect("there is a header");
    assert_eq!(
        (header.cluster_id, header.member_id),
        (CLUSTER.get(), MEMBER.get())
    );
    assert_eq!((header.revision, header.raft_term), (2, TERM.get()));
    assert_eq!(status.version, "3.7.9");
    assert_eq!(
        (status.db_size, status.db_size_in_use, status.db_size_quota),
        (4096, 1024, 99)
    );
    assert_eq!(
        (status.leader, status.raft_term, status.is_learner),
        (MEMBER.get(), TERM.get(), false)
    );
    assert_eq!((status.raft_index, status.raft_applied_index), (2, 2));
    assert!(status.errors.is_empty() && status.downgrade_info.is_some());
}

#[tokio::test]
async fn b0_14_the_default_version_is_one_that_kubernetes_trusts() {
    let mut scene = Scene::new().await;
    let status = scene
        .maintenance
        .status(pb::StatusRequest {})
        .await
        .expect("it answers")
        .into_inner();
    let parts: Vec<u32> = status
        .version
        .split('.')
        .map(|part| part.parse().expect("semver"))
        .collect();
    assert!(parts[..] >= [3, 5, 13][..], "{parts:?}");
}

#[tokio::test]
async fn b5_1_status_says_what_is_wrong() {
    let mut scene = Scene::new().await;
    scene.double.set_trouble(Trouble {
        no_leader: true,
        no_space: true,
        ..Trouble::default()
    });
    let status = scene
        .maintenance
        .status(pb::StatusRequest {})
        .await
        .expect("it answers")
        .into_inner();
    let no_space = format!("memberID:{} alarm:NOSPACE ", MEMBER.get());
    assert_eq!(status.errors, ["etcdserver: no leader", &no_space]);
    assert_eq!(status.leader, 0);
}

#[tokio::test]
async fn b4_4_members_by_id_and_no_revision() {
    let mut scene = Scene::new().await;
    for linearizable in [false, true] {
        let request = pb::MemberListRequest { linearizable };
        let list = scene
            .cluster
            .member_list(request)
            .await
            .expect("it answers")
            .into_inner();
        let header = list.header.expect("there is a header");
        assert_eq!(
            (header.revision, header.cluster_id, header.raft_term),
            (0, CLUSTER.get(), TERM.get())
        );
        let ids: Vec<u64> = list.members.iter().map(|member| member.id).collect();
        assert_eq!(ids, [7, MEMBER.get()]);
        assert_eq!(
            (&list.members[0].name[..], list.members[0].is_learner),
            ("almadia-1", true)
        );
        assert_eq!(list.members[1].peer_ur_ls, ["http://127.0.0.1:2380"]);
        assert_eq!(list.members[1].client_ur_ls, ["http://127.0.0.1:2379"]);
    }
}

fn asking<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("almadia-position", "1".parse().expect("a digit is metadata"));
    request
}

#[tokio::test]
async fn m1_3_a_write_tells_its_position_when_asked() {
    let mut scene = Scene::new().await;
    let answer = scene
        .kv
        .put(asking(put_request("k", "v")))
        .await
        .expect("well formed");
    let text = |key| {
        answer
            .metadata()
            .get(key)
            .map(|value| value.to_str().expect("it is text").to_owned())
    };
    assert_eq!(text("almadia-log-index").as_deref(), Some("2"));
    assert_eq!(text("almadia-term").as_deref(), Some("3"));
    assert_eq!(text("almadia-leader"), Some(MEMBER.to_string()));
    assert_eq!(text("almadia-leader-name").as_deref(), Some("almadia-0"));
    let next = scene
        .kv
        .txn(asking(txn_request(vec![put_op("k", "v")], vec![])))
        .await
        .expect("well formed");
    assert_eq!(next.metadata().get("almadia-log-index").expect("it is told"), "3");
}

#[tokio::test]
async fn m1_3_nothing_is_told_unasked_nor_for_reads() {
    let mut scene = Scene::new().await;
    let unasked = scene.kv.put(put_request("k", "v")).await.expect("well formed");
    assert!(unasked.metadata().get("almadia-log-index").is_none());
    let read = scene
        .kv
        .range(asking(get_request("k")))
        .await
        .expect("well formed");
    assert!(read.metadata().get("almadia-log-index").is_none());
    scene.double.set_trouble(Trouble {
        no_leader: true,
        ..Trouble::default()
    });
    let leaderless = scene
        .kv
        .put(asking(put_request("k", "v")))
        .await
        .expect("well formed");
    assert!(leaderless.metadata().get("almadia-leader").is_none());
    assert!(leaderless.metadata().get("almadia-term").is_some());
}
