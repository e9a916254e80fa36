//! The Maintenance service over the double: rows B5 of the etcd surface, as its clients meet them.

use crate::double::Scene;
use almadia_etcd::proto::etcdserverpb as pb;
use aws_lc_rs::digest::{SHA256, digest};
use pb::alarm_request::AlarmAction;
use pb::downgrade_request::DowngradeAction;
use tonic::Code;

fn put(key: &str, value: &str) -> pb::PutRequest {
    pb::PutRequest {
        key: key.to_owned().into(),
        value: value.to_owned().into(),
        ..pb::PutRequest::default()
    }
}

fn alarm(action: AlarmAction, member_id: u64, alarm: pb::AlarmType) -> pb::AlarmRequest {
    pb::AlarmRequest {
        action: action as i32,
        member_id,
        alarm: alarm as i32,
    }
}

impl Scene {
    /// The cluster's version, or the refusal's text.
    async fn downgrade(&mut self, action: DowngradeAction, version: &str) -> Result<String, String> {
        let request = pb::DowngradeRequest {
            action: action as i32,
            version: version.to_owned(),
        };
        match self.maintenance.downgrade(request).await {
            Ok(response) => Ok(response.into_inner().version),
            Err(status) => Err(status.message().to_owned()),
        }
    }

    async fn alarms(&mut self, request: pb::AlarmRequest) -> Vec<(u64, i32)> {
        let response = self.maintenance.alarm(request).await.unwrap().into_inner();
        assert!(response.header.unwrap().revision > 0);
        let pairs = response.alarms.iter().map(|alarm| (alarm.member_id, alarm.alarm));
        pairs.collect()
    }
}

#[tokio::test]
async fn b5_5_alarms_are_raised_listed_and_cleared() {
    let mut scene = Scene::new().await;
    let (space, corrupt) = (pb::AlarmType::Nospace, pb::AlarmType::Corrupt);
    let get = || alarm(AlarmAction::Get, 0, pb::AlarmType::None);
    assert_eq!(scene.alarms(get()).await, []);
    assert_eq!(
        scene
            .alarms(alarm(AlarmAction::Activate, 5, pb::AlarmType::None))
            .await,
        []
    );
    for _ in 0..2 {
        let raised = scene.alarms(alarm(AlarmAction::Activate, 5, space)).await;
        assert_eq!(raised, [(5, 1)]);
    }
    scene.alarms(alarm(AlarmAction::Activate, 9, corrupt)).await;
    assert_eq!(scene.alarms(get()).await, [(5, 1), (9, 2)]);
    assert_eq!(scene.alarms(alarm(AlarmAction::Get, 0, corrupt)).await, [(9, 2)]);
    let status = scene
        .maintenance
        .status(pb::StatusRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        status.errors,
        ["memberID:5 alarm:NOSPACE ", "memberID:9 alarm:CORRUPT "]
    );
    assert_eq!(
        scene.alarms(alarm(AlarmAction::Deactivate, 5, space)).await,
        [(5, 1)]
    );
    assert_eq!(scene.alarms(alarm(AlarmAction::Deactivate, 5, space)).await, []);
    assert_eq!(scene.alarms(get()).await, [(9, 2)]);
}

/// Puts, transactions with a put and grants are refused; what makes room, and reading, goes on.
#[tokio::test]
async fn b1_20_b5_5_nospace_refuses_what_stores() {
    let mut scene = Scene::new().await;
    scene.kv.put(put("k", "v")).await.unwrap();
    scene
        .alarms(alarm(AlarmAction::Activate, 1, pb::AlarmType::Nospace))
        .await;
    let refused = scene.kv.put(put("k", "w")).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (
            Code::ResourceExhausted,
            "etcdserver: mvcc: database space exceeded"
        )
    );
    let range = pb::RangeRequest {
        key: "k".into(),
        ..pb::RangeRequest::default()
    };
    assert_eq!(scene.kv.range(range).await.unwrap().into_inner().count, 1);
    let delete = pb::DeleteRangeRequest {
        key: "k".into(),
        ..pb::DeleteRangeRequest::default()
    };
    assert_eq!(
        scene.kv.delete_range(delete).await.unwrap().into_inner().deleted,
        1
    );
    scene
        .alarms(alarm(AlarmAction::Deactivate, 1, pb::AlarmType::Nospace))
        .await;
    scene.kv.put(put("k", "w")).await.unwrap();
}

#[tokio::test]
async fn b5_5_b10_11_corrupt_refuses_every_change() {
    let mut scene = Scene::new().await;
    scene.kv.put(put("k", "v")).await.unwrap();
    scene
        .alarms(alarm(AlarmAction::Activate, 1, pb::AlarmType::Corrupt))
        .await;
    let expect = |refused: tonic::Status| {
        assert_eq!(
            (refused.code(), refused.message()),
            (Code::DataLoss, "etcdserver: corrupt cluster")
        );
    };
    expect(scene.kv.put(put("k", "w")).await.unwrap_err());
    let delete = pb::DeleteRangeRequest {
        key: "k".into(),
        ..pb::DeleteRangeRequest::default()
    };
    expect(scene.kv.delete_range(delete).await.unwrap_err());
    let compaction = pb::CompactionRequest {
        revision: 2,
        physical: false,
    };
    expect(scene.kv.compact(compaction).await.unwrap_err());
    let range = pb::RangeRequest {
        key: "k".into(),
        ..pb::RangeRequest::default()
    };
    assert_eq!(scene.kv.range(range).await.unwrap().into_inner().count, 1);
    scene
        .alarms(alarm(AlarmAction::Deactivate, 1, pb::AlarmType::Corrupt))
        .await;
    scene.kv.put(put("k", "w")).await.unwrap();
}

#[tokio::test]
async fn b5_3_hashes_follow_the_history() {
    let mut scene = Scene::new().await;
    let at = |revision| pb::HashKvRequest { revision };
    let fresh = scene.maintenance.hash_kv(at(0)).await.unwrap().into_inner();
    assert_eq!(
        (fresh.compact_revision, fresh.hash_revision, fresh.hash),
        (-1, 1, 0)
    );
    let mut hashes = Vec::new();
    for number in 0..5 {
        scene.kv.put(put("k", &number.to_string())).await.unwrap();
        hashes.push(scene.maintenance.hash_kv(at(0)).await.unwrap().into_inner().hash);
    }
    for (number, hash) in hashes.iter().enumerate() {
        let again = scene
            .maintenance
            .hash_kv(at(2 + number as i64))
            .await
            .unwrap()
            .into_inner();
        assert_eq!((again.hash, again.header.unwrap().revision), (*hash, 6));
    }
    let compaction = pb::CompactionRequest {
        revision: 4,
        physical: true,
    };
    scene.kv.compact(compaction).await.unwrap();
    let refused = scene.maintenance.hash_kv(at(3)).await.unwrap_err();
    assert_eq!(
        refused.message(),
        "etcdserver: mvcc: required revision has been compacted"
    );
    let future = scene.maintenance.hash_kv(at(7)).await.unwrap_err();
    assert_eq!(
        future.message(),
        "etcdserver: mvcc: required revision is a future revision"
    );
    let kept = scene.maintenance.hash_kv(at(4)).await.unwrap().into_inner();
    assert_eq!((kept.hash, kept.compact_revision), (hashes[2], 4));
    assert_eq!(
        scene.maintenance.hash_kv(at(-3)).await.unwrap().into_inner().hash,
        0
    );
    let all = scene
        .maintenance
        .hash(pb::HashRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(all.hash, *hashes.last().unwrap());
}

#[tokio::test]
async fn b5_4_defragment_succeeds_at_once() {
    let mut scene = Scene::new().await;
    let response = scene
        .maintenance
        .defragment(pb::DefragmentRequest {})
        .await
        .unwrap();
    assert!(response.into_inner().header.is_none());
}

#[tokio::test]
async fn b5_2_a_snapshot_ends_with_the_hash_of_all_of_it() {
    let mut scene = Scene::new().await;
    for number in 0..200 {
        scene
            .kv
            .put(put(&format!("key-{number}"), &format!("{number}").repeat(300)))
            .await
            .unwrap();
    }
    let mut stream = scene
        .maintenance
        .snapshot(pb::SnapshotRequest {})
        .await
        .unwrap()
        .into_inner();
    let (mut pieces, mut left) = (Vec::new(), u64::MAX);
    while let Some(piece) = stream.message().await.unwrap() {
        assert!(piece.header.is_none() && piece.blob.len() <= 32 * 1024);
        assert!(!piece.version.is_empty());
        assert!(piece.remaining_bytes < left || piece.remaining_bytes == 0);
        left = piece.remaining_bytes;
        pieces.push(piece.blob);
    }
    let sum = pieces.pop().unwrap();
    let all = pieces.concat();
    assert_eq!(left, 0);
    assert_eq!(sum.as_ref(), digest(&SHA256, &all).as_ref());
    let archive = almadia_store::disk::Archive::open(&all[..]).unwrap();
    assert_eq!(archive.revision().get(), 201);
}

#[tokio::test]
async fn b5_7_a_downgrade_is_checked_kept_and_given_up() {
    use DowngradeAction::{Cancel, Enable, Validate};
    let mut scene = Scene::new().await;
    let refused = [
        (Validate, "abc", "wrong downgrade target version format"),
        (Enable, "3.5.0", "invalid downgrade target version"),
        (Cancel, "", "no inflight downgrade job"),
    ];
    for (action, version, text) in refused {
        assert_eq!(
            scene.downgrade(action, version).await,
            Err(format!("etcdserver: {text}"))
        );
    }
    assert_eq!(scene.downgrade(Validate, "3.6.0").await, Ok("3.7.0".to_owned()));
    assert!(scene.downgrade(Enable, "3.6").await.is_ok());
    let twice = scene.downgrade(Enable, "3.6").await;
    let text = "etcdserver: cluster has a downgrade job in progress";
    assert_eq!(twice, Err(text.to_owned()));
    let status = scene.maintenance.status(pb::StatusRequest {}).await.unwrap();
    let shown = status.into_inner().downgrade_info.unwrap();
    assert_eq!((shown.enabled, shown.target_version.as_str()), (true, "3.6.0"));
    assert!(scene.downgrade(Cancel, "").await.is_ok());
}

#[tokio::test]
async fn b5_6_leadership_moves_to_a_voter_only() {
    let mut scene = Scene::new().await;
    let to = |id: u64| pb::MoveLeaderRequest { target_id: id };
    let moved = scene
        .maintenance
        .move_leader(to(crate::double::MEMBER.get()))
        .await
        .unwrap();
    assert!(moved.into_inner().header.is_none());
    let stranger = scene.maintenance.move_leader(to(1)).await.unwrap_err();
    assert_eq!(
        (stranger.code(), stranger.message()),
        (Code::FailedPrecondition, "etcdserver: bad leader transferee")
    );
}
