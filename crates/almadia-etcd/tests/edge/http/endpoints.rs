//! What supervisors, load balancers and people look at.

use super::client::{Talk, ask, get, post};
use crate::double::{Double, Scene, Trouble};
use almadia_etcd::{Config, Edge, ReadError, Served};
use serde_json::json;
use tonic::body::Body;
use tonic::codegen::{Service, http};

#[tokio::test]
async fn b8_5_version() {
    let scene = Scene::with(Config {
        version: "3.6.7".to_owned(),
        storage_version: "3.6.0".to_owned(),
        ..Config::default()
    })
    .await;
    let version = get(scene.address, "/version").await;
    let expected = json!({"etcdserver":"3.6.7","etcdcluster":"3.6.0","storage":"3.6.0"});
    assert_eq!((version.status, version.json()), (200, expected));
}

#[tokio::test]
async fn b8_3_health() {
    let scene = Scene::new().await;
    let at = scene.address;
    let healthy = get(at, "/health").await;
    assert_eq!(
        (healthy.status, healthy.body.as_str()),
        (200, r#"{"health":"true","reason":""}"#)
    );
    let reason = |answer: super::client::Answer| {
        let json = answer.json();
        assert_eq!(json["health"], (answer.status == 200).to_string(), "{answer:?}");
        (answer.status, json["reason"].as_str().expect("a text").to_owned())
    };
    scene.double.set_trouble(Trouble {
        no_leader: true,
        ..Trouble::default()
    });
    assert_eq!(
        reason(get(at, "/health").await),
        (503, "RAFT NO LEADER".to_owned())
    );
    assert_eq!(reason(get(at, "/health?serializable=true").await).0, 200);
    scene.double.set_trouble(Trouble {
        read: Some(ReadError::TimedOut),
        ..Trouble::default()
    });
    let expected = "RANGE ERROR:etcdserver: request timed out".to_owned();
    assert_eq!(reason(get(at, "/health").await), (503, expected));
    assert_eq!(reason(get(at, "/health?serializable=true").await).0, 200);
    scene.double.set_trouble(Trouble {
        no_space: true,
        ..Trouble::default()
    });
    assert_eq!(
        reason(get(at, "/health").await),
        (503, "ALARM NOSPACE".to_owned())
    );
    assert_eq!(reason(get(at, "/health?exclude=NOSPACE").await).0, 200);
    assert_eq!(
        reason(get(at, "/health?exclude=CORRUPT&exclude=NOSPACE").await).0,
        200
    );
    assert_eq!(reason(get(at, "/health?exclude=CORRUPT").await).0, 503);
    for method in ["POST", "PUT", "HEAD", "DELETE"] {
        let answer = ask(at, method, "/health", &[], "").await;
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some("GET")),
            "{method}"
        );
    }
}

#[tokio::test]
async fn b8_4_livez_and_readyz() {
    let scene = Scene::new().await;
    let at = scene.address;
    let text = async |path: &str| {
        let answer = get(at, path).await;
        (answer.status, answer.body)
    };
    let fine = |body: &str| (200, body.to_owned());
    assert_eq!(text("/livez").await, fine("ok\n"));
    assert_eq!(
        text("/livez?verbose").await,
        fine("[+]serializable_read ok\nok\n")
    );
    assert_eq!(text("/livez/serializable_read").await, fine("ok\n"));
    assert_eq!(text("/livez/linearizable_read").await.0, 404);
    assert_eq!(text("/readyz").await, fine("ok\n"));
    let all =
        "[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\n[+]non_learner ok\nok\n";
    assert_eq!(text("/readyz?verbose").await, fine(all));
    let some = "[+]data_corruption ok\n[+]serializable_read ok\nok\n";
    assert_eq!(
        text("/readyz?verbose&exclude=non_learner&exclude=linearizable_read").await,
        fine(some)
    );
    for check in [
        "data_corruption",
        "serializable_read",
        "linearizable_read",
        "non_learner",
    ] {
        assert_eq!(text(&format!("/readyz/{check}")).await, fine("ok\n"), "{check}");
    }
    for path in ["/readyz/", "/readyz/other", "/readyzz", "/livez/", "/healthz"] {
        assert_eq!(text(path).await.0, 404, "{path}");
    }
    scene.double.set_trouble(Trouble {
        read: Some(ReadError::TimedOut),
        ..Trouble::default()
    });
    let (status, body) = text("/readyz").await;
    assert_eq!(status, 503);
    assert!(
        body.contains("[-]linearizable_read failed: etcdserver: request timed out\n"),
        "{body}"
    );
    assert!(body.contains("[+]serializable_read ok\n"), "{body}");
    assert_eq!(text("/readyz?exclude=linearizable_read").await, fine("ok\n"));
    assert_eq!(text("/livez").await, fine("ok\n"));
    scene.double.set_trouble(Trouble::default());
    let alarm = r#"{"action":"ACTIVATE","alarm":"CORRUPT","memberID":"5"}"#;
    post(at, "/v3/maintenance/alarm", alarm).await;
    let (status, body) = text("/readyz/data_corruption").await;
    assert_eq!(
        (status, body.as_str()),
        (503, "[-]data_corruption failed: alarm activated: CORRUPT\n")
    );
}

/// gRPC and HTTP on one port (B8.2): the scene's own clients speak gRPC to the same address.
#[tokio::test]
async fn b8_2_one_port() {
    let mut scene = Scene::new().await;
    let put = post(scene.address, "/v3/kv/put", r#"{"key":"Zm9v","value":"YmFy"}"#).await;
    assert_eq!(put.status, 200);
    let request = almadia_etcd::proto::etcdserverpb::RangeRequest {
        key: "foo".into(),
        ..Default::default()
    };
    let range = scene
        .kv
        .range(request)
        .await
        .expect("gRPC is served")
        .into_inner();
    assert_eq!(range.kvs[0].value, "bar");
    let metrics = get(scene.address, "/metrics").await;
    for line in [
        r#"grpc_server_handled_total{grpc_code="OK",grpc_method="Put""#,
        r#"grpc_server_handled_total{grpc_code="OK",grpc_method="Range""#,
    ] {
        assert!(
            metrics.body.contains(line),
            "the gateway's calls count: {}",
            metrics.body
        );
    }
    let nothing = get(scene.address, "/nothing").await;
    assert_eq!(
        (nothing.status, nothing.body.as_str()),
        (404, "404 page not found\n")
    );
}

/// What is done for leases and watchers is counted where it is asked for.
#[tokio::test]
async fn b13_8_renewals_and_events() {
    let scene = Scene::new().await;
    let at = scene.address;
    let counted = |text: &str, name: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|value| value.trim().parse().ok())
            .expect("it is shown")
    };
    let names = [
        "etcd_debugging_lease_renewed_total ",
        "etcd_debugging_mvcc_events_total ",
    ];
    let before = get(at, "/metrics").await.body;
    assert_eq!(names.map(|name| counted(&before, name)), [0, 0]);
    post(at, "/v3/lease/grant", r#"{"ID":"7","TTL":"60"}"#).await;
    post(at, "/v3/lease/keepalive", r#"{"ID":"7"}{"ID":"7"}{"ID":"9"}"#).await;
    let create = r#"{"create_request":{"key":"Zm9v"}}"#;
    let mut watch = Talk::begin(at, "POST", "/v3/watch", &[], create).await;
    assert_eq!(watch.next().await["result"]["created"], true);
    for _ in 0..3 {
        post(at, "/v3/kv/put", r#"{"key":"Zm9v","value":"YmFy"}"#).await;
        watch.next().await;
    }
    let after = get(at, "/metrics").await.body;
    assert_eq!(
        names.map(|name| counted(&after, name)),
        [2, 3],
        "a lease that is not there is not renewed"
    );
}

#[tokio::test]
async fn b8_8_cors() {
    let origin = "http://page.example:8080";
    let at_any = Scene::new().await;
    let any = ask(at_any.address, "OPTIONS", "/v3/kv/put", &[("Origin", origin)], "").await;
    assert_eq!(
        (any.status, any.header("access-control-allow-origin")),
        (200, Some("*"))
    );
    let scene = Scene::with(Config {
        cors: vec![origin.to_owned()],
        ..Config::default()
    })
    .await;
    let from = async |origin: &str| {
        let headers = [("Origin", origin)];
        ask(
            scene.address,
            "POST",
            "/v3/kv/range",
            &headers,
            r#"{"key":"YQ=="}"#,
        )
        .await
    };
    let allowed = from(origin).await;
    assert_eq!(allowed.header("access-control-allow-origin"), Some(origin));
    assert_eq!(allowed.header("vary"), Some("Origin"));
    let methods = allowed.header("access-control-allow-methods");
    assert_eq!(methods, Some("POST, GET, OPTIONS, PUT, DELETE"));
    let other = from("http://other.example").await;
    assert_eq!(
        (other.status, other.header("access-control-allow-origin")),
        (200, None)
    );
}

#[tokio::test]
async fn b8_8_host_whitelist() {
    let scene = Scene::with(Config {
        host_whitelist: vec!["127.0.0.1".to_owned(), "store.example".to_owned()],
        ..Config::default()
    })
    .await;
    let put = r#"{"key":"YQ=="}"#;
    for (host, status) in [
        ("store.example:2379", 200),
        ("127.0.0.1", 200),
        ("evil.example", 421),
    ] {
        let answer = ask(scene.address, "POST", "/v3/kv/put", &[("Host", host)], put).await;
        assert_eq!(answer.status, status, "{host}");
    }
    let health = ask(scene.address, "GET", "/health", &[("Host", "evil.example")], "").await;
    assert_eq!(health.status, 421, "all of HTTP");
    assert!(health.body.contains("--host-whitelist"), "{}", health.body);
}

/// `--enable-grpc-gateway=false`.
#[tokio::test]
async fn b8_1_without_a_gateway() {
    let scene = Scene::with(Config {
        json_gateway: false,
        ..Config::default()
    })
    .await;
    assert_eq!(
        post(scene.address, "/v3/kv/range", r#"{"key":"YQ=="}"#)
            .await
            .status,
        404
    );
    assert_eq!(get(scene.address, "/health").await.status, 200);
}

#[tokio::test]
async fn b8_7_vars() {
    let scene = Scene::new().await;
    let vars = get(scene.address, "/debug/vars").await.json();
    let expected = json!({
        "id": "8e9e05c52164694d",
        "lead": "8e9e05c52164694d",
        "term": 3,
        "commit": 1,
        "applied": 1,
        "raftState": "StateLeader",
    });
    assert_eq!(vars["raft.status"], expected);
    assert_eq!(get(scene.address, "/debug/pprof/").await.status, 404);
}

/// What an edge answers to a request that is not gRPC's, and to one that is, at an entrance.
async fn at_entrance(served: Served, method: &str, path: &str, is_grpc: bool) -> u16 {
    let mut edge = Edge::new(Double::new(), Config::default()).serving(served);
    let mut request = http::Request::new(Body::new(String::new()));
    *request.method_mut() = method.parse().expect("a method");
    *request.uri_mut() = path.parse().expect("a path");
    if is_grpc {
        *request.version_mut() = http::Version::HTTP_2;
        let kind = http::HeaderValue::from_static("application/grpc");
        request.headers_mut().insert("content-type", kind);
    }
    edge.call(request)
        .await
        .expect("an edge answers everything")
        .status()
        .as_u16()
}

/// B8.2 and B8.6: what is served where HTTP, gRPC and metrics have entrances of their own.
#[tokio::test]
async fn b8_2_b8_6_entrances() {
    for (served, grpc, gateway, health, version) in [
        (Served::Everything, 200, 400, 200, 200),
        (Served::Grpc, 200, 404, 404, 404),
        (Served::Http, 404, 400, 200, 200),
        (Served::Metrics, 404, 404, 200, 404),
    ] {
        let put = "/etcdserverpb.KV/Put";
        assert_eq!(at_entrance(served, "POST", put, true).await, grpc, "{served:?}");
        assert_eq!(
            at_entrance(served, "POST", "/v3/kv/put", false).await,
            gateway,
            "{served:?}"
        );
        for path in ["/health", "/livez", "/readyz/non_learner", "/metrics"] {
            assert_eq!(
                at_entrance(served, "GET", path, false).await,
                health,
                "{served:?} {path}"
            );
        }
        assert_eq!(
            at_entrance(served, "GET", "/version", false).await,
            version,
            "{served:?}"
        );
        let options = at_entrance(served, "OPTIONS", "/v3/kv/put", false).await;
        let allowed = matches!(served, Served::Everything | Served::Http);
        assert_eq!(options, if allowed { 200 } else { 404 }, "{served:?}");
    }
}
