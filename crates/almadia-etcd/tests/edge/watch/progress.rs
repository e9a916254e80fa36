//! Notices of progress: on request, and when nothing happens.

use super::*;
use almadia_etcd::Config;

/// B0.12, row 10: an answer is for all watches of the stream, shows the present, and comes after every event up to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_on_request_never_overtakes_events() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    for _ in 0..20 {
        let request = pb::WatchCreateRequest {
            prev_kv: true,
            ..all()
        };
        client.watch(request).await;
    }
    let mut told = vec![1; 20];
    for _ in 0..50 {
        let mut written = 0;
        for _ in 0..5 {
            written = scene.put("k", "v").await;
        }
        client.ask_progress().await;
        loop {
            let answer = client.next().await;
            if answer.watch_id == -1 {
                assert!(answer.events.is_empty() && !answer.created && !answer.canceled);
                assert!(
                    revision(answer.header) >= written,
                    "what was acknowledged is in it"
                );
                assert!(told.iter().all(|told| *told == written), "{told:?} at {written}");
                break;
            }
            for event in &answer.events {
                let at = event.kv.as_ref().expect("every event has a key").mod_revision;
                let told = &mut told[answer.watch_id as usize];
                assert_eq!(at, *told + 1, "no gap and nothing twice");
                *told = at;
            }
        }
    }
}

/// No answer without a watch, or while one is not there yet (B0.12); the client asks again.
#[tokio::test]
async fn progress_on_request_needs_watches_that_are_there() {
    let scene = Scene::new().await;
    scene.put("k", "v").await;
    let mut client = scene.client().await;
    client.ask_progress().await;
    client.says_nothing().await;
    client.watch(one("k")).await;
    client.ask_progress().await;
    let answer = client.next().await;
    assert_eq!((answer.watch_id, revision(answer.header)), (-1, 2));
    client.cancel(0).await;
    client.next().await;
    client.ask_progress().await;
    client.says_nothing().await;
}

/// B2.6: who wants it hears now and then that all is quiet, but not when there was something to hear; others never.
#[tokio::test]
async fn quiet_watches_are_told_so_now_and_then() {
    let scene = Scene::with(Config {
        progress_interval: Duration::from_millis(100),
        ..Config::default()
    })
    .await;
    scene.put("k", "v").await;
    let mut client = scene.client().await;
    for (id, progress_notify) in [(1, true), (2, false)] {
        let request = pb::WatchCreateRequest {
            watch_id: id,
            progress_notify,
            ..one("k")
        };
        client.watch(request).await;
    }
    // Another stream's future watch hears nothing before its time.
    let mut early = scene.client().await;
    let request = pb::WatchCreateRequest {
        progress_notify: true,
        ..from(10, one("k"))
    };
    early.watch(request).await;
    for expected in 2..5 {
        let answer = client.next().await;
        assert_eq!(
            (answer.watch_id, answer.events.len(), answer.created),
            (1, 0, false)
        );
        assert_eq!(revision(answer.header), expected);
        scene.put("other", "v").await;
    }
    early.says_nothing().await;
}
