//! What watches are told: history and live, order, previous values, filters, compaction.

use super::*;

/// Reads until there are this many events.
async fn gather(client: &mut Client, count: usize) -> Vec<String> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let answer = client.next().await;
        let last = answer.events.last().and_then(|event| event.kv.as_ref());
        let last = last.expect("only events come").mod_revision;
        assert!(
            revision(answer.header) >= last,
            "a header is never below its events"
        );
        seen.extend(shorts(&answer));
    }
    seen
}

/// B2.3, B0.11: history from any revision on and then what comes, without gap or repetition; previous values (B2.5,
/// B0.18) for every change but a key's creation.
#[tokio::test]
async fn history_then_live_with_previous_values() {
    let scene = Scene::new().await;
    scene.put("a", "1").await;
    scene.put("b", "1").await;
    scene.put("a", "2").await;
    scene.delete("a", "c").await;
    scene.put("a", "3").await;
    let expected = [
        "a=1@2", "b=1@3", "a=2@4(1)", "-a@5(2)", "-b@5(1)", "a=3@6", "a=4@7(3)", "-a@8(4)",
    ];
    let mut clients = Vec::new();
    for start in 1..=6 {
        let mut client = scene.client().await;
        let request = pb::WatchCreateRequest {
            prev_kv: true,
            ..from(start, all())
        };
        client.watch(request).await;
        clients.push((start, client));
    }
    scene.put("a", "4").await;
    scene.delete("a", "").await;
    for (start, mut client) in clients {
        let skipped = [0, 0, 0, 1, 2, 3, 5][start as usize];
        assert_eq!(
            gather(&mut client, 8 - skipped).await,
            expected[skipped..],
            "from {start}"
        );
        client.says_nothing().await;
    }
}

/// B2.10 (atomic), B1.17: all changes of a transaction come together, in the order of its writes, on a live watch and from
/// history alike (row 12).
#[tokio::test]
async fn a_transaction_comes_whole_and_in_order() {
    let scene = Scene::new().await;
    scene.put("b", "old").await;
    let mut live = scene.client().await;
    live.watch(all()).await;
    let put = |key: &str| {
        let request = pb::PutRequest {
            key: key.to_owned().into(),
            value: "t".into(),
            ..Default::default()
        };
        pb::RequestOp {
            request: Some(pb::request_op::Request::RequestPut(request)),
        }
    };
    let delete = pb::RequestOp {
        request: Some(pb::request_op::Request::RequestDeleteRange(
            pb::DeleteRangeRequest {
                key: "b".into(),
                ..Default::default()
            },
        )),
    };
    let txn = pb::TxnRequest {
        success: vec![put("z"), delete, put("a"), put("m")],
        ..Default::default()
    };
    scene.kv.clone().txn(txn).await.expect("it is well formed");
    let expected = ["z=t@3", "-b@3", "a=t@3", "m=t@3"];
    assert_eq!(shorts(&live.next().await), expected);
    for start in [2, 3] {
        let mut client = scene.client().await;
        client.watch(from(start, all_between("a", "zz"))).await;
        let answer = client.next().await;
        assert!(shorts(&answer).ends_with(&expected.map(str::to_owned)));
    }
}

/// B2.5: filters are applied here; what becomes empty is not sent.
#[tokio::test]
async fn filters_leave_out() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    for (id, filters) in [(1, vec![0]), (2, vec![1]), (3, vec![0, 1]), (4, vec![7])] {
        let request = pb::WatchCreateRequest {
            watch_id: id,
            filters,
            ..all()
        };
        client.watch(request).await;
    }
    scene.put("k", "1").await;
    scene.delete("k", "").await;
    let mut seen: Vec<(i64, String)> = Vec::new();
    while seen.len() < 4 {
        let answer = client.next().await;
        seen.extend(shorts(&answer).into_iter().map(|event| (answer.watch_id, event)));
    }
    seen.sort();
    let expected = [(1, "-k@3"), (2, "k=1@2"), (4, "-k@3"), (4, "k=1@2")];
    assert_eq!(seen, expected.map(|(id, event)| (id, event.to_owned())));
    client.says_nothing().await;
}

/// B2.3, row 17: a watch on a future revision hears of nothing before it, neither events nor progress.
#[tokio::test]
async fn a_future_revision_is_waited_for() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    client.watch(from(5, all())).await;
    for value in ["2", "3", "4"] {
        scene.put("k", value).await;
        client.ask_progress().await;
        client.says_nothing().await;
    }
    scene.put("k", "5").await;
    assert_eq!(shorts(&client.next().await), ["k=5@5"]);
    client.ask_progress().await;
    let answer = client.next().await;
    assert_eq!((answer.watch_id, revision(answer.header)), (-1, 5));
}

/// B2.4, B0.17: below the compacted revision a watch is created and then ends with that revision, without a reason; it
/// still takes its id, and the stream never speaks of progress again until it is cancelled.
#[tokio::test]
async fn a_compacted_start_ends_with_the_compacted_revision() {
    let scene = Scene::new().await;
    for value in ["2", "3", "4"] {
        scene.put("k", value).await;
    }
    scene.compact(3).await;
    let mut client = scene.client().await;
    let created = client.watch(from(2, all())).await;
    assert_eq!((created.watch_id, created.canceled), (0, false));
    let ended = client.next().await;
    assert_eq!(
        (
            ended.watch_id,
            ended.canceled,
            ended.created,
            ended.compact_revision
        ),
        (0, true, false, 3)
    );
    assert_eq!((revision(ended.header), &ended.cancel_reason[..]), (0, ""));
    client.watch(one("k")).await;
    client.ask_progress().await;
    let duplicate = pb::WatchCreateRequest {
        watch_id: 1,
        ..one("k")
    };
    assert!(client.watch(duplicate).await.canceled);
    client.cancel(0).await;
    let again = client.next().await;
    assert_eq!((again.watch_id, again.canceled), (0, true));
}

/// B2.4, row 14: exactly at the compacted revision a watch is served, deletions included, whatever is compacted later.
#[tokio::test]
async fn the_compacted_revision_is_served() {
    let scene = Scene::new().await;
    scene.put("a", "2").await;
    scene.put("b", "3").await;
    scene.delete("a", "c").await;
    scene.put("c", "5").await;
    for (compacted, expected) in [
        (3, vec!["b=3@3", "-a@4(2)", "-b@4(3)", "c=5@5"]),
        (4, vec!["-a@4", "-b@4", "c=5@5"]),
        (5, vec!["c=5@5"]),
    ] {
        scene.compact(compacted).await;
        let mut client = scene.client().await;
        let request = pb::WatchCreateRequest {
            prev_kv: true,
            ..from(compacted, all())
        };
        client.watch(request).await;
        assert_eq!(
            gather(&mut client, expected.len()).await,
            expected,
            "compacted at {compacted}"
        );
        let mut below = scene.client().await;
        below.watch(from(compacted - 1, all())).await;
        assert_eq!(below.next().await.compact_revision, compacted);
    }
}

/// A watcher that is up to date is not touched by a compaction, whatever is compacted (B2.4).
#[tokio::test]
async fn compaction_leaves_those_alone_who_are_up_to_date() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    client.watch(all()).await;
    for number in 2..40 {
        let at = scene.put("k", "v").await;
        scene.compact(at).await;
        assert_eq!(gather(&mut client, 1).await, [format!("k=v@{number}")]);
    }
}

/// B2.7: an answer of the size of the largest message (2 MiB by default) or more is cut for those who want that, event by event; others
/// get it whole.
#[tokio::test]
async fn large_answers_are_cut_for_those_who_want_it() {
    let scene = Scene::new().await;
    let value = "v".repeat(600 * 1024);
    for key in ["a", "b", "c", "d", "e"] {
        scene.put(key, &value).await;
    }
    let mut client = scene.client().await;
    for (id, fragment) in [(1, true), (2, false)] {
        let request = pb::WatchCreateRequest {
            watch_id: id,
            fragment,
            prev_kv: true,
            filters: vec![0],
            ..all()
        };
        client.watch(request).await;
    }
    scene.delete("a", "f").await;
    let mut pieces: Vec<(i64, usize, bool)> = Vec::new();
    let mut events: Vec<(i64, String)> = Vec::new();
    while events.len() < 10 {
        let answer = client.next().await;
        pieces.push((answer.watch_id, answer.events.len(), answer.fragment));
        let keys = answer.events.iter().map(|event| {
            assert_eq!(
                event.prev_kv.as_ref().map(|prev| prev.value.len()),
                Some(600 * 1024)
            );
            let kv = event.kv.as_ref().expect("every event has a key");
            (answer.watch_id, String::from_utf8(kv.key.to_vec()).expect("text"))
        });
        events.extend(keys);
    }
    pieces.sort();
    assert_eq!(pieces, [(1, 2, false), (1, 3, true), (2, 5, false)]);
    events.sort_by_key(|(id, _)| *id);
    let keys: String = events.into_iter().map(|(_, key)| key).collect();
    assert_eq!(keys, "abcdeabcde");
}

/// Whoever has seen a revision in an event reads it here (B2.12).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_told_can_be_read() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    client.watch(all()).await;
    let writer = {
        let mut kv = scene.kv.clone();
        tokio::spawn(async move {
            for number in 0..300 {
                let request = pb::PutRequest {
                    key: "k".into(),
                    value: number.to_string().into(),
                    ..Default::default()
                };
                kv.put(request).await.expect("it is well formed");
            }
        })
    };
    let mut kv = scene.kv.clone();
    let mut seen = 1;
    while seen < 301 {
        let answer = client.next().await;
        seen = answer
            .events
            .last()
            .and_then(|event| event.kv.as_ref())
            .expect("events come")
            .mod_revision;
        let request = pb::RangeRequest {
            key: "k".into(),
            serializable: true,
            ..Default::default()
        };
        let found = kv.range(request).await.expect("it is well formed").into_inner();
        assert!(revision(found.header) >= seen && found.kvs[0].mod_revision >= seen);
    }
    writer.await.expect("the writer ends");
}
