//! HTTP beside gRPC on the client port: the JSON gateway, health, version, metrics, the console.
//!
//! Which of the two a request is, is told by what it says of itself ([`is_grpc`]): gRPC is HTTP/2 with gRPC's content type,
//! everything else comes here. Keeps nothing between requests.

mod access;
mod answers;
mod choice;
mod console;
mod gateway;
mod health;
mod read;
mod refusal;
mod requests;
mod routes;
mod show;
mod vars;
mod version;

pub(crate) use console::Stage;

use crate::backend::Backend;
use crate::served::Served;
use crate::service::Shared;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::codegen::http::{
    HeaderValue, Method, Request, Response, StatusCode, Version, header, request::Parts,
};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Whether a request is gRPC's. A browser can be made to send anything else to a member by a page that it shows, so what
/// is not clearly gRPC must never reach a service.
pub(crate) fn is_grpc(request: &Request<Body>) -> bool {
    request.version() == Version::HTTP_2
        && request
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// Answers a request that is not gRPC's.
pub(crate) async fn serve<B: Backend>(
    shared: Arc<Shared<B>>,
    served: Served,
    request: Request<Body>,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    if !served.has_http() {
        // Supervisors come by addresses of their own, and no browser is let in here.
        return match Page::of(parts.uri.path())
            .filter(|page| served.has_metrics() && page.is_for_supervisors())
        {
            Some(page) => page.show(&shared, &parts).await,
            None => no_such_page(),
        };
    }
    if let Some(misdirected) = access::misdirected(&parts, &shared.config.host_whitelist) {
        return misdirected;
    }
    if let Some(page) = console::Page::of(parts.uri.path()).filter(|_| shared.config.console) {
        // No page of another origin needs it, so none is let read it.
        return page.serve(&shared, &parts).await;
    }
    let origin = access::origin(&parts.headers, &shared.config.cors);
    let mut response = if parts.method == Method::OPTIONS {
        text_response(StatusCode::OK, String::new())
    } else {
        answer(shared, parts, body).await
    };
    if let Some(origin) = origin {
        access::allow(response.headers_mut(), origin);
    }
    response
}

async fn answer<B: Backend>(shared: Arc<Shared<B>>, parts: Parts, body: Body) -> Response<Body> {
    let path = parts.uri.path().to_owned();
    if let Some(path) = gateway::below_prefix(&path).filter(|_| shared.config.json_gateway) {
        return gateway::serve(&shared, path, parts, body).await;
    }
    match Page::of(&path) {
        Some(page) => page.show(&shared, &parts).await,
        None => no_such_page(),
    }
}

fn no_such_page() -> Response<Body> {
    text_response(StatusCode::NOT_FOUND, "404 page not found\n".to_owned())
}

/// What can be looked at.
enum Page {
    Metrics,
    Version,
    Vars,
    Health(health::Question),
}

impl Page {
    fn of(path: &str) -> Option<Self> {
        match path {
            "/metrics" => Some(Self::Metrics),
            "/version" => Some(Self::Version),
            "/debug/vars" => Some(Self::Vars),
            other => health::Question::of(other).map(Self::Health),
        }
    }

    fn is_for_supervisors(&self) -> bool {
        matches!(self, Self::Metrics | Self::Health(_))
    }

    async fn show<B: Backend>(self, shared: &Shared<B>, parts: &Parts) -> Response<Body> {
        if parts.method != Method::GET {
            return only_get();
        }
        match self {
            Self::Metrics => shared.metrics.respond(shared),
            Self::Version => version::respond(shared),
            Self::Vars => vars::respond(shared),
            Self::Health(question) => question.answer(shared, parts.uri.query()).await,
        }
    }
}

fn only_get() -> Response<Body> {
    let mut response = text_response(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n".to_owned());
    let get = HeaderValue::from_static("GET");
    response.headers_mut().insert(header::ALLOW, get);
    response
}

fn json_response(status: StatusCode, json: String) -> Response<Body> {
    respond(status, JSON, json)
}

fn text_response(status: StatusCode, text: String) -> Response<Body> {
    let mut response = respond(status, TEXT, text);
    let nosniff = HeaderValue::from_static("nosniff");
    response
        .headers_mut()
        .insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}

fn respond(status: StatusCode, kind: HeaderValue, text: String) -> Response<Body> {
    let mut response = Response::new(Body::new(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// A body that is there already.
struct Whole(Option<Bytes>);

impl Whole {
    fn new(bytes: Bytes) -> Self {
        Self(Some(bytes))
    }
}

impl HttpBody for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
