//! B3: the Lease service.

use super::*;
use crate::double::Trouble;
use tonic::Code;

/// B3.1: ids and times.
#[tokio::test]
async fn b3_1_grant() {
    let scenario = async |stage: &mut Stage| {
        stage.grant(5, 100).await;
        stage.grant(5, 100).await;
        stage.grant(6, 9_000_000_000).await;
        stage.grant(7, 9_000_000_001).await;
        stage.grant(5, 9_000_000_001).await;
        stage.grant(8, 1).await;
        stage.grant(9, -3).await;
        stage.grant(-9, 50).await;
        for _ in 0..3 {
            let any = pb::LeaseGrantRequest { id: 0, ttl: 0 };
            let granted = stage
                .lease
                .lease_grant(any)
                .await
                .expect("it is granted")
                .into_inner();
            stage.hear(format!(
                "positive: {}, for {} s, error \"{}\", revision {}",
                granted.id > 0,
                granted.ttl,
                granted.error,
                revision(&granted.header)
            ));
        }
    };
    let expected = [
        "grant: lease 5 for 100 s",
        "grant: FailedPrecondition etcdserver: lease already exists",
        "grant: lease 6 for 9000000000 s",
        "grant: OutOfRange etcdserver: too large lease TTL",
        "grant: OutOfRange etcdserver: too large lease TTL",
        "grant: lease 8 for 2 s",
        "grant: lease 9 for 2 s",
        "grant: lease fffffffffffffff7 for 50 s",
        "positive: true, for 2 s, error \"\", revision 1",
        "positive: true, for 2 s, error \"\", revision 1",
        "positive: true, for 2 s, error \"\", revision 1",
    ];
    play("b3_1_grant", scenario, &expected).await;
}

/// B3.2: the keys go in one revision; a freed id may be used again; keys that were overwritten or deleted stay out of it.
#[tokio::test]
async fn b3_2_revoke() {
    let scenario = async |stage: &mut Stage| {
        stage.put("a", 5).await;
        stage.grant(5, 100).await;
        stage.grant(6, 100).await;
        for key in ["c", "b", "a", "moved", "freed", "kept"] {
            stage.put(key, 5).await;
        }
        stage.put("moved", 6).await;
        stage.put("freed", 0).await;
        let kept = pb::PutRequest {
            key: "kept".into(),
            value: "w".into(),
            ignore_lease: true,
            ..Default::default()
        };
        stage.put_request(kept).await;
        stage.revoke(5).await;
        stage.keys().await;
        stage.revoke(5).await;
        stage.revoke(0).await;
        stage.grant(5, 100).await;
        stage.revoke(5).await;
        stage.revoke(6).await;
        stage.keys().await;
    };
    let expected = [
        "put: NotFound etcdserver: requested lease not found",
        "grant: lease 5 for 100 s",
        "grant: lease 6 for 100 s",
        "put: revision 2",
        "put: revision 3",
        "put: revision 4",
        "put: revision 5",
        "put: revision 6",
        "put: revision 7",
        "put: revision 8",
        "put: revision 9",
        "put: revision 10",
        "revoke: revision 11",
        "revision 11: freed moved",
        "revoke: NotFound etcdserver: requested lease not found",
        "revoke: NotFound etcdserver: requested lease not found",
        "grant: lease 5 for 100 s",
        "revoke: revision 11",
        "revoke: revision 12",
        "revision 12: freed",
    ];
    play("b3_2_revoke", scenario, &expected).await;
}

async fn renew(stage: &mut Stage, ids: &[i64]) -> Vec<pb::LeaseKeepAliveResponse> {
    let (give, requests) = mpsc::channel(ids.len().max(1));
    for id in ids {
        let request = pb::LeaseKeepAliveRequest { id: *id };
        give.send(request).await.expect("there is room for all");
    }
    drop(give);
    let answers = stage.lease.lease_keep_alive(Requests(requests)).await;
    let mut answers = answers.expect("the stream is answered").into_inner();
    let mut heard = Vec::new();
    while let Some(answer) = answers.message().await.expect("no answer is an error") {
        heard.push(answer);
    }
    heard
}

/// B3.3: one answer for each request, in their order; a lease that is not there is no error; the stream ends with the
/// client's words.
#[tokio::test]
async fn b3_3_keep_alive() {
    let scenario = async |stage: &mut Stage| {
        stage.grant(5, 100).await;
        stage.grant(-7, 30).await;
        stage.put("k", 5).await;
        for answer in renew(stage, &[5, 99, -7, 0, 5]).await {
            let words = format!(
                "{} for {} s, revision {}",
                answer.id,
                answer.ttl,
                revision(&answer.header)
            );
            stage.hear(words);
        }
        let nothing = renew(stage, &[]).await;
        stage.hear(format!("{} answers", nothing.len()));
    };
    let expected = [
        "grant: lease 5 for 100 s",
        "grant: lease fffffffffffffff9 for 30 s",
        "put: revision 2",
        "5 for 100 s, revision 2",
        "99 for 0 s, revision 2",
        "-7 for 30 s, revision 2",
        "0 for 0 s, revision 2",
        "5 for 100 s, revision 2",
        "0 answers",
    ];
    play("b3_3_keep_alive", scenario, &expected).await;
}

/// B3.3: many requests at once on one stream, more than wait for the leader at a time.
#[tokio::test]
async fn b3_3_many_on_one_stream() {
    let scene = Scene::new().await;
    let mut stage = Stage::new(crate::double::connect(&format!("http://{}", scene.address)).await);
    for id in 1..=10 {
        stage.grant(id, 100 + id).await;
    }
    let ids: Vec<i64> = (0..3000).map(|number| number % 12).collect();
    let answers = renew(&mut stage, &ids).await;
    assert_eq!(answers.len(), ids.len());
    for (answer, id) in answers.iter().zip(&ids) {
        let ttl = if (1..=10).contains(id) { 100 + id } else { 0 };
        assert_eq!((answer.id, answer.ttl), (*id, ttl));
    }
}

/// B3.3: without a leader a renewal is refused, and the stream ends so.
#[tokio::test]
async fn b3_3_without_a_leader() {
    let scene = Scene::new().await;
    let mut stage = Stage::new(crate::double::connect(&format!("http://{}", scene.address)).await);
    stage.grant(5, 100).await;
    let no_leader = Trouble {
        no_leader: true,
        ..Trouble::default()
    };
    scene.double.set_trouble(no_leader);
    let (give, requests) = mpsc::channel(4);
    let answers = stage.lease.lease_keep_alive(Requests(requests)).await;
    let mut answers = answers.expect("the stream begins").into_inner();
    give.send(pb::LeaseKeepAliveRequest { id: 5 })
        .await
        .expect("somebody listens");
    let refused = answers.message().await.expect_err("nobody can renew it");
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::Unavailable, "etcdserver: no leader")
    );
    let asked = pb::LeaseTimeToLiveRequest { id: 5, keys: false };
    let refused = stage
        .lease
        .lease_time_to_live(asked)
        .await
        .expect_err("nobody knows");
    assert_eq!(refused.message(), "etcdserver: no leader");
}

/// B3.4: what is left, rounded down; the keys only when asked for; -1 for what is not there.
#[tokio::test]
async fn b3_4_time_to_live() {
    let scenario = async |stage: &mut Stage| {
        stage.grant(5, 100).await;
        stage.put("b", 5).await;
        stage.put("a", 5).await;
        for (id, keys) in [(5, false), (5, true), (9, true), (0, false)] {
            let asked = pb::LeaseTimeToLiveRequest { id, keys };
            let left = stage.lease.lease_time_to_live(asked).await;
            let words = told(left, |left| {
                let mut keys: Vec<String> = left.keys.iter().map(|key| text(key)).collect();
                keys.sort();
                format!(
                    "{}: {} of {} s, revision {}, [{}]",
                    left.id,
                    left.ttl,
                    left.granted_ttl,
                    revision(&left.header),
                    keys.join(" ")
                )
            });
            stage.hear(words);
        }
    };
    let expected = [
        "grant: lease 5 for 100 s",
        "put: revision 2",
        "put: revision 3",
        "5: 99 of 100 s, revision 3, []",
        "5: 99 of 100 s, revision 3, [a b]",
        "9: -1 of 0 s, revision 3, []",
        "0: -1 of 0 s, revision 3, []",
    ];
    play("b3_4_time_to_live", scenario, &expected).await;
}

/// B3.5: the soonest to end comes first.
#[tokio::test]
async fn b3_5_leases() {
    let scenario = async |stage: &mut Stage| {
        for (id, ttl) in [(1, 300), (2, 100), (3, 200)] {
            stage.grant(id, ttl).await;
        }
        let leases = stage.lease.lease_leases(pb::LeaseLeasesRequest {}).await;
        let words = told(leases, |leases| {
            let ids: Vec<i64> = leases.leases.iter().map(|lease| lease.id).collect();
            format!("{ids:?}, revision {}", revision(&leases.header))
        });
        stage.hear(words);
    };
    let expected = [
        "grant: lease 1 for 300 s",
        "grant: lease 2 for 100 s",
        "grant: lease 3 for 200 s",
        "[2, 3, 1], revision 1",
    ];
    play("b3_5_leases", scenario, &expected).await;
}
