//! How watches begin and end by their clients' wish: ids, refusals, cancels.

use super::*;

/// B2.1, B2.2: the answer comes before the first event and shows the present revision; ids count up from 0, skip those
/// in use and are not chosen twice; any other id is the client's.
#[tokio::test]
async fn ids_are_chosen_or_taken() {
    let scene = Scene::new().await;
    scene.put("k", "1").await;
    let mut client = scene.client().await;
    for (asked, given) in [
        (0, 0),
        (2, 2),
        (0, 1),
        (0, 3),
        (-7, -7),
        (-1, -1),
        (i64::MAX, i64::MAX),
    ] {
        let request = pb::WatchCreateRequest {
            watch_id: asked,
            ..one("k")
        };
        let answer = client.watch(request).await;
        assert_eq!((answer.watch_id, answer.canceled), (given, false));
        let header = answer.header.expect("every answer has a header");
        assert_eq!(header.revision, 2);
        assert_eq!(header.cluster_id, crate::double::CLUSTER.get());
        assert_eq!(header.member_id, crate::double::MEMBER.get());
    }
    client.cancel(1).await;
    let gone = client.next().await;
    assert_eq!(
        (
            gone.watch_id,
            gone.canceled,
            gone.created,
            &gone.cancel_reason[..]
        ),
        (1, true, false, "")
    );
    assert_eq!(revision(gone.header), 2);
    assert_eq!(
        client.watch(one("k")).await.watch_id,
        4,
        "1 was given up for good"
    );
    let again = pb::WatchCreateRequest {
        watch_id: 1,
        ..one("k")
    };
    assert_eq!(client.watch(again).await.watch_id, 1, "but may be asked for");
}

/// B2.2, B2.3, B2.9: what is refused leaves the stream and its watches alone.
#[tokio::test]
async fn refusals_say_why() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    client
        .watch(pb::WatchCreateRequest {
            watch_id: 5,
            ..one("k")
        })
        .await;
    let duplicate = pb::WatchCreateRequest {
        watch_id: 5,
        ..one("other")
    };
    for (request, reason) in [
        (duplicate, "mvcc: duplicate watch ID provided on the WatchStream"),
        (all_between("b", "a"), "mvcc: watcher range is empty"),
        (all_between("b", "b"), "mvcc: watcher range is empty"),
        (
            from(-1, one("k")),
            "etcdserver: mvcc: required revision has been compacted",
        ),
        (
            from(i64::MIN, one("k")),
            "etcdserver: mvcc: required revision has been compacted",
        ),
    ] {
        let answer = client.watch(request).await;
        assert_eq!((answer.watch_id, answer.canceled), (-1, true));
        assert_eq!(answer.cancel_reason, reason);
        assert_eq!((revision(answer.header), answer.compact_revision), (1, 0));
    }
    scene.put("k", "v").await;
    assert_eq!(shorts(&client.next().await), ["k=v@2"]);
}

/// B2.1: cancelling what is not there, and requests that say nothing, get no answer.
#[tokio::test]
async fn what_means_nothing_gets_no_answer() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    client.cancel(3).await;
    let nothing = pb::WatchRequest { request_union: None };
    let requests = client.requests.as_ref().expect("it is open");
    requests.send(nothing).await.expect("it is open");
    client.says_nothing().await;
}

/// An empty key is the first possible one, and the four kinds of ranges (B1.1) are those of reads.
#[tokio::test]
async fn ranges_are_those_of_reads() {
    let scene = Scene::new().await;
    let cases = [
        (one("b"), vec!["b"]),
        (all_between("b", "d"), vec!["b", "c"]),
        (all_between("b", "\0"), vec!["b", "c", "d"]),
        (all(), vec!["\0", "a", "b", "c", "d"]),
        (one(""), vec!["\0"]),
        (all_between("", "b"), vec!["\0", "a"]),
        (all_between("", "\0"), vec!["\0", "a", "b", "c", "d"]),
    ];
    let mut clients = Vec::new();
    for (request, keys) in cases {
        let mut client = scene.client().await;
        client.watch(request).await;
        clients.push((client, keys));
    }
    for key in ["\0", "a", "b", "c", "d"] {
        scene.put(key, "v").await;
    }
    for (mut client, keys) in clients {
        let mut seen = Vec::new();
        while seen.len() < keys.len() {
            for event in client.next().await.events {
                let key = event.kv.expect("every event has a key").key;
                seen.push(String::from_utf8(key.to_vec()).expect("it is text"));
            }
        }
        assert_eq!(seen, keys);
        client.says_nothing().await;
    }
}

/// A client that has said all goes on listening.
#[tokio::test]
async fn half_closing_ends_nothing() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    client.watch(one("k")).await;
    client.requests = None;
    for number in 2..5 {
        scene.put("k", "v").await;
        assert_eq!(shorts(&client.next().await), [format!("k=v@{number}")]);
    }
}

/// B2.1: no event of a watch comes after the answer to its cancel.
#[tokio::test]
async fn nothing_comes_after_a_cancel() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    for round in 0..20 {
        let id = client.watch(all()).await.watch_id;
        for number in 0..10 {
            scene.put("k", &format!("{round}/{number}")).await;
        }
        client.cancel(id).await;
        loop {
            let answer = client.next().await;
            assert_eq!(answer.watch_id, id);
            if answer.canceled {
                break;
            }
        }
        scene.put("k", "unseen").await;
    }
    client.says_nothing().await;
}
