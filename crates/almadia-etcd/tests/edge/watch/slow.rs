//! Clients that read slowly, come late, or are very many (B2.11, rows 13 and 24).

use super::*;

/// Row 13: hundreds of watches with previous values on one stream that is read only after everything has happened:
/// nothing is missing, nothing comes twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_starves_misses_nothing() {
    const WATCHES: usize = 300;
    const PUTS: i64 = 200;
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    for _ in 0..WATCHES {
        let request = pb::WatchCreateRequest {
            prev_kv: true,
            ..all()
        };
        client.watch(request).await;
    }
    let value = "v".repeat(2000);
    for _ in 0..PUTS {
        scene.put("k", &value).await;
    }
    let mut told = [1i64; WATCHES];
    while told.iter().any(|told| *told < PUTS + 1) {
        let answer = client.next().await;
        for event in &answer.events {
            let told = &mut told[answer.watch_id as usize];
            *told += 1;
            let kv = event.kv.as_ref().expect("every event has a key");
            assert_eq!(kv.mod_revision, *told);
            assert_eq!(event.prev_kv.is_some(), *told > 2);
        }
    }
    client.says_nothing().await;
}

/// A watch from the very beginning over more history than one slice holds gets all of it while others write (row 24).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_watch_reads_everything() {
    let scene = Scene::new().await;
    for number in 0..3500 {
        scene.put(&format!("{}", number % 7), "v").await;
    }
    let mut client = scene.client().await;
    client.create(from(1, all())).await;
    client.create(from(1, one("3"))).await;
    for _ in 0..50 {
        scene.put("3", "w").await;
    }
    let (mut next, mut threes) = (2, 0);
    while next < 3552 || threes < 550 {
        let answer = client.next().await;
        for event in &answer.events {
            let kv = event.kv.as_ref().expect("every event has a key");
            if answer.watch_id == 0 {
                assert_eq!(kv.mod_revision, next);
                next += 1;
            } else {
                assert_eq!(kv.key, "3");
                threes += 1;
            }
        }
    }
    client.says_nothing().await;
}

/// Thousands of watches on keys of their own: each hears of its key only (B2.11, B0.20).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_watches_each_hear_of_their_own_key() {
    const WATCHES: usize = 2000;
    let scene = Scene::new().await;
    let mut clients = Vec::new();
    for stream in 0..4 {
        let mut client = scene.client().await;
        for number in 0..WATCHES / 4 {
            client.watch(one(&format!("{stream}/{number}"))).await;
        }
        clients.push(client);
    }
    for (stream, client) in clients.iter_mut().enumerate() {
        for number in [0, 17, WATCHES / 4 - 1] {
            let at = scene.put(&format!("{stream}/{number}"), "v").await;
            let answer = client.next().await;
            assert_eq!(answer.watch_id, number as i64);
            assert_eq!(shorts(&answer), [format!("{stream}/{number}=v@{at}")]);
        }
        client.says_nothing().await;
    }
}
