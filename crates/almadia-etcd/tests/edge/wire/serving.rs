//! Connections: many at once, answers that wait, and an orderly end.

use super::*;
use tokio::task::JoinSet;

/// Each client reads what it wrote last, whatever the others do on the same connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_on_few_connections_see_their_own_writes() {
    let scene = Scene::new().await;
    let mut clients = JoinSet::new();
    for connection in 0..4 {
        let channel = crate::double::connect(&format!("http://{}", scene.address)).await;
        for number in 0..16 {
            let mut kv = crate::double::kv_client(channel.clone());
            clients.spawn(async move {
                let key = format!("{connection}/{number}");
                for round in 0..20 {
                    // Sizes on both sides of every bound in the transport.
                    let value = "v".repeat(round * round * 60 + round);
                    kv.put(put_request(&key, &value))
                        .await
                        .expect("the put is well formed");
                    let found = kv
                        .range(get_request(&key))
                        .await
                        .expect("well formed")
                        .into_inner();
                    assert_eq!(found.kvs[0].value, value);
                }
            });
        }
    }
    while let Some(client) = clients.join_next().await {
        client.expect("no client panics");
    }
}

#[tokio::test]
async fn a_graceful_stop_ends_idle_connections() {
    let mut scene = Scene::new().await;
    scene.must_put("k", "v").await;
    let address = scene.address;
    scene.stop().await;
    assert!(
        tokio::net::TcpStream::connect(address).await.is_err(),
        "nobody listens any more"
    );
}
