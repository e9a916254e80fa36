//! What a member in trouble makes its clients see.

use super::*;
use crate::double::Trouble;
use almadia_etcd::{Config, ProposeError, ReadError};
use std::time::Duration;

#[tokio::test]
async fn b10_8_undecided_writes() {
    let mut scene = Scene::new().await;
    for (error, code, text) in [
        (
            ProposeError::Busy,
            Code::ResourceExhausted,
            "etcdserver: too many requests",
        ),
        (
            ProposeError::TimedOut,
            Code::Unavailable,
            "etcdserver: request timed out",
        ),
        (
            ProposeError::Stopped,
            Code::Unavailable,
            "etcdserver: server stopped",
        ),
        (
            ProposeError::NoSpace,
            Code::ResourceExhausted,
            "etcdserver: mvcc: database space exceeded",
        ),
    ] {
        scene.double.set_trouble(Trouble {
            propose: Some(error),
            ..Trouble::default()
        });
        let expected = (code, text.to_owned());
        assert_eq!(refusal(scene.kv.put(put_request("k", "v")).await), expected);
        assert_eq!(
            refusal(scene.kv.delete_range(delete_request("k", "")).await),
            expected
        );
        assert_eq!(
            refusal(scene.kv.txn(txn_request(vec![put_op("k", "v")], vec![])).await),
            expected
        );
        let compaction = pb::CompactionRequest {
            revision: 1,
            physical: false,
        };
        assert_eq!(refusal(scene.kv.compact(compaction).await), expected);
        assert!(scene.kv.range(get_request("k")).await.is_ok(), "reads go on");
    }
}

#[tokio::test]
async fn b10_8_unconfirmed_reads() {
    let mut scene = Scene::new().await;
    for (error, code, text) in [
        (
            ReadError::Busy,
            Code::ResourceExhausted,
            "etcdserver: too many requests",
        ),
        (ReadError::NoLeader, Code::Unavailable, "etcdserver: no leader"),
        (
            ReadError::TimedOut,
            Code::Unavailable,
            "etcdserver: request timed out",
        ),
        (
            ReadError::Stopped,
            Code::Unavailable,
            "etcdserver: server stopped",
        ),
    ] {
        scene.double.set_trouble(Trouble {
            read: Some(error),
            ..Trouble::default()
        });
        let expected = (code, text.to_owned());
        assert_eq!(refusal(scene.kv.range(get_request("k")).await), expected);
        assert_eq!(
            refusal(scene.kv.txn(txn_request(vec![get_op("k")], vec![])).await),
            expected
        );
        let list = pb::MemberListRequest { linearizable: true };
        assert_eq!(refusal(scene.cluster.member_list(list).await), expected);
        let local = pb::RangeRequest {
            serializable: true,
            ..get_request("k")
        };
        assert!(
            scene.kv.range(local).await.is_ok(),
            "a serializable read asks nobody"
        );
        assert!(
            scene
                .cluster
                .member_list(pb::MemberListRequest { linearizable: false })
                .await
                .is_ok()
        );
    }
}

#[tokio::test]
async fn b10_8_what_is_not_decided_in_time_times_out() {
    let config = Config {
        request_timeout: Duration::from_millis(30),
        ..Config::default()
    };
    let mut scene = Scene::with(config).await;
    scene.double.set_trouble(Trouble {
        stuck: true,
        ..Trouble::default()
    });
    let expected = (Code::Unavailable, "etcdserver: request timed out".to_owned());
    assert_eq!(refusal(scene.kv.put(put_request("k", "v")).await), expected);
    assert_eq!(refusal(scene.kv.range(get_request("k")).await), expected);
}

#[tokio::test]
async fn b10_1_a_malformed_request_is_refused_even_in_trouble() {
    let mut scene = Scene::new().await;
    let trouble = Trouble {
        propose: Some(ProposeError::Busy),
        read: Some(ReadError::NoLeader),
        ..Trouble::default()
    };
    scene.double.set_trouble(trouble);
    assert_eq!(
        refusal(scene.kv.put(put_request("", "v")).await),
        of(Fault::EmptyKey)
    );
    assert_eq!(
        refusal(scene.kv.range(get_request("")).await),
        of(Fault::EmptyKey)
    );
}

#[test]
fn b10_the_table_has_no_text_twice() {
    let mut all: Vec<_> = Fault::ALL.iter().map(|fault| fault.code_and_text()).collect();
    // What etcd gives no code keeps the words of its inside; what it has no bound for says whose the bound is.
    let has_prefix = |(code, text): &(Code, &str)| {
        *code == Code::Unknown || text.starts_with("etcdserver: ") || text.starts_with("almadia: ")
    };
    assert!(all.iter().all(has_prefix));
    all.sort_unstable_by_key(|(_, text)| *text);
    all.dedup_by_key(|(_, text)| *text);
    assert_eq!(all.len(), Fault::ALL.len());
}
