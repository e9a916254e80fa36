//! etcd's JSON gateway: a request in JSON becomes the gRPC request it stands for, is answered by the same services in this
//! process, and the answer becomes JSON. It dials nobody, so it has no identity of its own and can never ask itself:
//! whoever is at the other end of the connection is the caller.

use super::answers::{self, Lines};
use super::requests::{Calls, Objects, frame};
use super::routes::{self, PREFIXES, Route};
use super::{json_response, refusal};
use crate::backend::Backend;
use crate::caller::Caller;
use crate::coalesce::UnderWay;
use crate::intake::Intake;
use crate::service::{Edge, Shared};
use std::sync::Arc;
use tonic::body::Body;
use tonic::codegen::http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header,
    request::Parts,
};
use tonic::{Code, Status};

/// What a gateway's clients put before the name of metadata, and what answers have before it.
const METADATA: &str = "grpc-metadata-";

/// Headers that mean the same without it.
const PLAIN: [&str; 4] = ["authorization", "token", "hasleader", "almadia-position"];

/// JSON beside a message's values: names, brackets, blanks.
const JSON_OVERHEAD_BYTES: usize = 64 * 1024;

/// A path below one of the gateway's prefixes.
pub(super) fn below_prefix(path: &str) -> Option<&str> {
    PREFIXES.iter().find_map(|prefix| path.strip_prefix(prefix))
}

/// Answers a request to a path below the prefix.
pub(super) async fn serve<B: Backend>(
    shared: &Arc<Shared<B>>,
    path: &str,
    parts: Parts,
    body: Body,
) -> Response<Body> {
    let Some(route) = routes::find(path) else {
        return refusal::no_such_path();
    };
    if parts.method != Method::POST {
        return refusal::only_post();
    }
    let bytes_max = json_bytes_max(shared.config.message_bytes_max());
    let headers = metadata(&parts.headers);
    let caller = Caller::of(&headers, &parts.extensions);
    let connection = parts.extensions.get::<UnderWay>().cloned();
    let intake = Intake::new(
        &headers,
        body,
        shared.intake.clone(),
        connection,
        !route.takes_stream,
    );
    let asked = Arc::clone(shared);
    let is_stranger = Box::new(move || asked.is_stranger(&caller));
    let objects = Objects::new(intake, route, bytes_max, is_stranger);
    let call = if route.takes_stream {
        stream_of(objects).await
    } else {
        single(objects, route).await
    };
    match call {
        Ok(body) => {
            let request = translate(parts.extensions, headers, body, route);
            let response = Edge::answer_counted(Arc::clone(shared), request).await;
            respond(response, route).await
        }
        Err(status) => refuse(route, &status),
    }
}

/// Bytes of JSON that a message of up to `message_bytes_max` may take: most of the largest is base64.
fn json_bytes_max(message_bytes_max: usize) -> usize {
    message_bytes_max
        .saturating_add(message_bytes_max / 3)
        .saturating_add(JSON_OVERHEAD_BYTES)
}

/// The one message of a request; a body without any is the empty one.
async fn single(mut objects: Objects, route: &Route) -> Result<Body, Status> {
    let message = match objects.next().await? {
        Some(message) => message,
        None => frame(b"{}", route)?,
    };
    match objects.next().await {
        Ok(None) => Ok(whole(message)),
        Ok(Some(_)) | Err(_) => Err(Status::invalid_argument(
            "more than one JSON object for a method that takes one",
        )),
    }
}

/// The messages of a stream, the first of which is there.
async fn stream_of(mut objects: Objects) -> Result<Body, Status> {
    let first = objects.next().await?;
    Ok(Body::new(Calls {
        first,
        others: objects,
    }))
}

fn whole(message: bytes::Bytes) -> Body {
    Body::new(super::Whole::new(message))
}

/// The gRPC request that a gateway's request stands for, from the same connection and caller.
fn translate(extensions: Extensions, headers: HeaderMap, body: Body, route: &Route) -> Request<Body> {
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = route.method.parse().expect("a method's path is a URI");
    *request.headers_mut() = headers;
    *request.extensions_mut() = extensions;
    request
}

/// The metadata that HTTP headers stand for, as in etcd's gateway.
fn metadata(headers: &HeaderMap) -> HeaderMap {
    let mut metadata = HeaderMap::new();
    for (name, value) in headers {
        let name = match name.as_str().strip_prefix(METADATA) {
            Some(rest) => rest.parse::<HeaderName>().ok(),
            None => PLAIN.contains(&name.as_str()).then(|| name.clone()),
        };
        if let Some(name) = name {
            metadata.append(name, value.clone());
        }
    }
    metadata
}

async fn respond(response: Response<Body>, route: &'static Route) -> Response<Body> {
    let (parts, body) = response.into_parts();
    if let Some(status) = Status::from_header_map(&parts.headers)
        && status.code() != Code::Ok
    {
        return refuse(route, &status);
    }
    let mut response = if route.gives_stream {
        let mut response = Response::new(Body::new(Lines::new(body, route)));
        response.headers_mut().insert(header::CONTENT_TYPE, super::JSON);
        response
    } else {
        match answers::one(body, route).await {
            Ok(json) => json_response(StatusCode::OK, json),
            Err(status) => return refuse(route, &status),
        }
    };
    for (name, value) in &parts.headers {
        add_metadata(response.headers_mut(), name, value);
    }
    response
}

fn add_metadata(headers: &mut HeaderMap, name: &HeaderName, value: &HeaderValue) {
    if let Ok(name) = format!("{METADATA}{name}").parse::<HeaderName>() {
        headers.append(name, value.clone());
    }
}

fn refuse(route: &Route, status: &Status) -> Response<Body> {
    if route.gives_stream {
        refusal::stream(status)
    } else {
        refusal::respond(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_are_metadata() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "a"),
            ("token", "t"),
            ("grpc-metadata-hasleader", "true"),
            ("grpc-metadata-grpcgateway-accept", "x"),
            ("cookie", "c"),
            ("grpc-metadata-", "empty"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        let metadata = metadata(&headers);
        let mut names: Vec<&str> = metadata.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            ["authorization", "grpcgateway-accept", "hasleader", "token"]
        );
    }

    #[test]
    fn paths_below_a_prefix() {
        assert_eq!(below_prefix("/v3/kv/put"), Some("kv/put"));
        assert_eq!(below_prefix("/v3beta/kv/put"), Some("kv/put"));
        for other in [
            "/v3",
            "//v3/kv/put",
            "/v3lockpb.Lock/Lock",
            "v3/kv/put",
            "/V3/kv/put",
        ] {
            assert_eq!(below_prefix(other), None, "{other}");
        }
    }
}
