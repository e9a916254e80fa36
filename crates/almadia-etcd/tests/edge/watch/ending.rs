//! How streams end: no leader, a stop, a client that is gone.

use super::*;
use crate::double::Trouble;
use almadia_etcd::Config;
use tonic::Code;

fn no_leader(no_leader: bool) -> Trouble {
    Trouble {
        no_leader,
        ..Trouble::default()
    }
}

/// B0.13: who wants a leader is refused without one, and cut after there has been none for a while.
#[tokio::test]
async fn without_a_leader_streams_that_want_one_end() {
    let limit = Duration::from_millis(60);
    let scene = Scene::with(Config {
        leaderless_max: limit,
        ..Config::default()
    })
    .await;
    let channel = crate::double::connect(&format!("http://{}", scene.address)).await;
    let mut wants = Client::open(&channel, true).await.expect("there is a leader");
    let mut wants_none = scene.client().await;
    wants.watch(one("k")).await;
    wants_none.watch(one("k")).await;
    scene.double.set_trouble(no_leader(true));
    let status = wants.end_or_next().await.expect_err("it is cut");
    let refused = Client::open(&channel, true).await.err().expect("it is refused");
    for status in [status, refused] {
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status.message(), "etcdserver: no leader");
    }
    Client::open(&channel, false)
        .await
        .expect("who does not ask is served");
    scene.double.set_trouble(no_leader(false));
    scene.put("k", "v").await;
    assert_eq!(shorts(&wants_none.next().await), ["k=v@2"]);
    Client::open(&channel, true)
        .await
        .expect("there is a leader again");
}

/// A member whose state is not what it should be tells nobody anything any more: its streams end in a way that makes clients go
/// to another member, and it takes no new ones until it has been set right.
#[tokio::test]
async fn a_fenced_member_ends_streams() {
    let scene = Scene::new().await;
    let channel = crate::double::connect(&format!("http://{}", scene.address)).await;
    let mut client = scene.client().await;
    client.watch(all()).await;
    let fenced = |fenced| Trouble {
        fenced,
        ..Trouble::default()
    };
    scene.double.set_trouble(fenced(true));
    let status = client.end_or_next().await.expect_err("it is cut");
    let refused = Client::open(&channel, false).await.err().expect("it is refused");
    for status in [status, refused] {
        // Go's client opens a watch again elsewhere after this code, and gives it up after most others.
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status.message(), "etcdserver: unhealthy cluster");
    }
    scene.double.set_trouble(fenced(false));
    let mut client = Client::open(&channel, false).await.expect("it serves again");
    client.watch(one("k")).await;
    scene.put("k", "v").await;
    assert_eq!(shorts(&client.next().await), ["k=v@2"]);
}

/// A short time without a leader ends nothing.
#[tokio::test]
async fn an_election_ends_no_stream() {
    let scene = Scene::with(Config {
        leaderless_max: Duration::from_secs(3600),
        ..Config::default()
    })
    .await;
    let channel = crate::double::connect(&format!("http://{}", scene.address)).await;
    let mut client = Client::open(&channel, true).await.expect("there is a leader");
    client.watch(one("k")).await;
    scene.double.set_trouble(no_leader(true));
    client.says_nothing().await;
    scene.double.set_trouble(no_leader(false));
    scene.put("k", "v").await;
    assert_eq!(shorts(&client.next().await), ["k=v@2"]);
}

/// An orderly stop does not wait for streams that would go on for ever.
#[tokio::test]
async fn a_stop_ends_streams() {
    let scene = Scene::new().await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = scene.client().await;
        client.watch(all()).await;
        clients.push(client);
    }
    let stopped = tokio::spawn(scene.stop());
    for mut client in clients {
        let status = client.end_or_next().await.expect_err("it ends");
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status.message(), "etcdserver: server stopped");
    }
    timeout(PATIENCE, stopped)
        .await
        .expect("the stop is done")
        .expect("without a panic");
}

/// A client that is gone leaves nothing behind (B2.11).
#[tokio::test]
async fn a_client_that_is_gone_leaves_nothing_behind() {
    let scene = Scene::new().await;
    let hub = almadia_etcd::WatchBackend::watches(scene.double.as_ref());
    let mut client = scene.client().await;
    for _ in 0..10 {
        client.watch(all()).await;
    }
    assert_eq!(hub.live(), 10);
    drop(client);
    timeout(PATIENCE, async {
        while hub.live() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("its watchers go");
}

/// Nor for clients that do not take what they were sent.
#[tokio::test]
async fn a_stop_does_not_wait_for_those_who_do_not_read() {
    let scene = Scene::with(Config {
        request_timeout: Duration::from_millis(300),
        ..Config::default()
    })
    .await;
    let mut client = scene.client().await;
    client.watch(all()).await;
    let value = "v".repeat(1 << 20);
    for _ in 0..20 {
        scene.put("k", &value).await;
    }
    timeout(PATIENCE, scene.stop()).await.expect("the stop is done");
    drop(client);
}
