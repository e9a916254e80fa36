//! B9.1: the standard health service.

use super::*;
use crate::double::Trouble;
use almadia_etcd::proto::grpc_health_v1::{self as pb, health_client::HealthClient};
use pb::health_check_response::ServingStatus;
use tonic::Code;

fn asking(service: &str) -> pb::HealthCheckRequest {
    pb::HealthCheckRequest {
        service: service.to_owned(),
    }
}

/// Ready is who knows a leader; only the server as a whole has a name, the empty one, as on etcd.
#[tokio::test]
async fn serving_with_a_leader() {
    let scene = Scene::new().await;
    let mut client = HealthClient::new(scene.channel().await);
    let mut watching = client.watch(asking("")).await.expect("it is served").into_inner();
    let mut stranger = client
        .watch(asking("other"))
        .await
        .expect("it is served")
        .into_inner();
    let unknown = stranger.message().await.expect("it goes on").expect("it says so");
    assert_eq!(unknown.status(), ServingStatus::ServiceUnknown);
    for (no_leader, expected) in [
        (false, ServingStatus::Serving),
        (true, ServingStatus::NotServing),
        (false, ServingStatus::Serving),
    ] {
        scene.double.set_trouble(Trouble {
            no_leader,
            ..Trouble::default()
        });
        let answer = client.check(asking("")).await.expect("it answers").into_inner();
        assert_eq!(answer.status(), expected);
        let told = watching.message().await.expect("it goes on").expect("it is told");
        assert_eq!(told.status(), expected);
    }
    let status = client
        .check(asking("etcdserverpb.KV"))
        .await
        .expect_err("no such name");
    assert_eq!(
        (status.code(), status.message()),
        (Code::NotFound, "unknown service")
    );
    drop(client);
    scene.stop().await;
    assert!(watching.message().await.is_err(), "a stop ends it");
}
