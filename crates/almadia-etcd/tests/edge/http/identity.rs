//! Who asks, through the gateway.

use super::client::{Answer, ask, post};
use crate::double::{Double, Scene};
use almadia_etcd::{CertificateName, Config, Edge};
use serde_json::json;
use std::net::SocketAddr;
use tonic::body::Body;
use tonic::codegen::{Service, http};

/// Root, and `ann`, who may read and write `a` to `b`; permissions count from now on.
async fn with_users(at: SocketAddr) {
    for (path, json) in [
        ("user/add", r#"{"name":"root","password":"r"}"#),
        ("user/add", r#"{"name":"ann","password":"a"}"#),
        ("role/add", r#"{"name":"letters"}"#),
        (
            "role/grant",
            r#"{"name":"letters","perm":{"permType":"READWRITE","key":"YQ==","range_end":"Yg=="}}"#,
        ),
        ("user/grant", r#"{"user":"root","role":"root"}"#),
        ("user/grant", r#"{"user":"ann","role":"letters"}"#),
        ("enable", ""),
    ] {
        let answer = post(at, &format!("/v3/auth/{path}"), json).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
}

async fn login(at: SocketAddr, name: &str, password: &str) -> String {
    let json = json!({ "name": name, "password": password }).to_string();
    let answer = post(at, "/v3/auth/authenticate", &json).await;
    answer.json()["token"].as_str().expect("a token").to_owned()
}

/// B6.2: a token is taken as `Authorization`, with and without `Bearer`, and as `token`.
#[tokio::test]
async fn b6_2_tokens_by_header() {
    let scene = Scene::new().await;
    let at = scene.address;
    with_users(at).await;
    let token = login(at, "ann", "a").await;
    let bearer = format!("Bearer {token}");
    let read = async |headers: &[(&str, &str)], key: &str| -> Answer {
        ask(
            at,
            "POST",
            "/v3/kv/range",
            headers,
            &format!(r#"{{"key":"{key}"}}"#),
        )
        .await
    };
    for header in [
        ("Authorization", token.as_str()),
        ("Authorization", &bearer),
        ("Token", &token),
        ("Grpc-Metadata-Token", &token),
        ("Grpc-Metadata-Authorization", &token),
    ] {
        assert_eq!(read(&[header], "YQ==").await.status, 200, "{header:?}");
        let denied = read(&[header], "eg==").await;
        assert_eq!(
            (denied.status, &denied.json()["code"]),
            (403, &json!(7)),
            "{header:?}"
        );
    }
    let nobody = read(&[], "YQ==").await;
    assert_eq!(
        (nobody.status, nobody.json()["message"].clone()),
        (400, json!("etcdserver: user name is empty"))
    );
    let wrong = read(&[("Authorization", "nonsense")], "YQ==").await;
    assert_eq!(
        (wrong.status, wrong.json()["message"].clone()),
        (401, json!("etcdserver: invalid auth token"))
    );
    let refused = post(at, "/v3/auth/authenticate", r#"{"name":"ann","password":"x"}"#).await;
    assert_eq!(refused.status, 400);
}

/// A request to an edge that no socket leads to, on a connection whose client has shown this certificate.
async fn on_connection(
    edge: &mut Edge<Double>,
    certificate: Option<&str>,
    headers: &[(&'static str, &'static str)],
    path: &str,
    json: &str,
) -> u16 {
    let mut request = http::Request::new(Body::new(json.to_owned()));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = path.parse().expect("a path");
    for (name, value) in headers {
        request
            .headers_mut()
            .insert(*name, value.parse().expect("a value"));
    }
    if let Some(name) = certificate {
        request.extensions_mut().insert(CertificateName(name.to_owned()));
    }
    let response = edge.call(request).await.expect("an edge answers everything");
    response.status().as_u16()
}

async fn an_edge_with_users() -> Edge<Double> {
    let double = Double::new();
    let mut edge = Edge::new(double, Config::default());
    for (path, json) in [
        ("user/add", r#"{"name":"root","options":{"no_password":true}}"#),
        ("user/add", r#"{"name":"ann","options":{"no_password":true}}"#),
        ("user/grant", r#"{"user":"root","role":"root"}"#),
        ("enable", "{}"),
    ] {
        let status = on_connection(&mut edge, None, &[], &format!("/v3/auth/{path}"), json).await;
        assert_eq!(status, 200, "{path}");
    }
    edge
}

/// CVE-2018-16886: etcd's gateway spoke to its own server with the server's certificate, and whoever used the gateway was
/// taken for the user of that name. Here the caller is who the caller's own connection has proved to be, and nobody else.
#[tokio::test]
async fn cve_2018_16886_the_gateway_has_no_identity_of_its_own() {
    let mut edge = an_edge_with_users().await;
    let put = r#"{"key":"YQ=="}"#;
    let path = "/v3/kv/put";
    assert_eq!(
        on_connection(&mut edge, None, &[], path, put).await,
        400,
        "nobody is nobody"
    );
    assert_eq!(
        on_connection(&mut edge, Some("ann"), &[], path, put).await,
        403,
        "ann is ann"
    );
    assert_eq!(
        on_connection(&mut edge, Some("root"), &[], path, put).await,
        200,
        "root is root"
    );
    // Another gateway in front shows its own certificate, whoever it speaks for.
    for header in ["grpcgateway-accept", "grpc-metadata-grpcgateway-accept"] {
        let proxied = [("grpc-metadata-grpcgateway-accept", "*/*")];
        let status = on_connection(&mut edge, Some("root"), &proxied, path, put).await;
        assert_eq!(status, 400, "{header}: the proxy's name does not count");
    }
    // No header makes a name.
    for name in [
        "grpc-metadata-certificatename",
        "x-forwarded-client-cert",
        "grpc-metadata-user",
    ] {
        let headers = [(name, "root")];
        assert_eq!(
            on_connection(&mut edge, None, &headers, path, put).await,
            400,
            "{name}"
        );
    }
}

/// CVE-2020-15114: a gateway that had itself among its endpoints asked itself until nothing was left. This one answers in
/// the process: it does so here, where there is no socket at all that it could ask.
#[tokio::test]
async fn cve_2020_15114_the_gateway_asks_nobody() {
    let double = Double::new();
    let mut edge = Edge::new(double.clone(), Config::default());
    let path = "/v3/kv/put";
    assert_eq!(
        on_connection(&mut edge, None, &[], path, r#"{"key":"YQ=="}"#).await,
        200
    );
    let proposals = double.proposals.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(proposals, 1, "one request is one proposal");
}
