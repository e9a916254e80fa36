//! The console (C32): a page at `/` that shows the cluster as it is, and the data behind it that etcd's API does not have. It
//! changes nothing and never asks for more than the caller may see.
//!
//! Files are everybody's: they hold nothing of anybody. Data is the member's and needs what a status needs, the role root
//! where permissions count. No page of another site is allowed to read any of it, whatever `--cors` says.

mod files;
mod frame;
mod history;
mod latency;
mod slow;
mod stage;
mod stream;
mod watchers;

pub(crate) use stage::Stage;

use super::{json_response, only_get, refusal};
use crate::backend::Backend;
use crate::caller::Caller;
use crate::service::Shared;
use almadia_store::Need;
use files::File;
use std::sync::Arc;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, request::Parts};

/// Nothing but what this member serves itself is loaded, run or shown, by nobody inside a frame; and no text can become
/// markup, since nothing is allowed to make markup from text at all.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
);

/// What the console consists of.
pub(super) enum Page {
    File(&'static File),
    Stream,
    Watchers,
    Slow,
    History,
}

impl Page {
    /// What stands at this path, if that is the console's.
    pub(super) fn of(path: &str) -> Option<Self> {
        match path {
            "/console/stream" => Some(Self::Stream),
            "/console/watchers" => Some(Self::Watchers),
            "/console/slow" => Some(Self::Slow),
            "/console/history" => Some(Self::History),
            "/" => files::find("index.html").map(Self::File),
            other => files::find(other.strip_prefix("/console/")?).map(Self::File),
        }
    }

    /// Answers a request for it.
    pub(super) async fn serve<B: Backend>(self, shared: &Arc<Shared<B>>, parts: &Parts) -> Response<Body> {
        let mut response = if parts.method != Method::GET {
            only_get()
        } else {
            self.show(shared, parts).await
        };
        guard(response.headers_mut());
        response
    }

    async fn show<B: Backend>(self, shared: &Arc<Shared<B>>, parts: &Parts) -> Response<Body> {
        if let Self::File(file) = self {
            return file.respond(&parts.headers);
        }
        let caller = Caller::of(&parts.headers, &parts.extensions);
        if let Self::History = self {
            // Whoever may read the key may know its history.
            return history_of(shared, &caller, parts.uri.query().unwrap_or_default()).await;
        }
        if let Err(fault) = shared.permitted(&caller, Need::Root).await {
            return refusal::respond(&Status::from(fault));
        }
        match self {
            Self::Stream => stream::respond(shared, parts, caller),
            Self::Slow => json_response(StatusCode::OK, slow::json(&shared.slow)),
            _ => json_response(StatusCode::OK, watchers::json(&shared.backend.watches())),
        }
    }
}

async fn history_of<B: Backend>(shared: &Shared<B>, caller: &Caller, query: &str) -> Response<Body> {
    let told = match history::Asked::of(query) {
        Ok(asked) => history::json(shared, caller, &asked).await,
        Err(refused) => Err(refused),
    };
    told.map_or_else(
        |status| refusal::respond(&status),
        |json| json_response(StatusCode::OK, json),
    )
}

fn guard(headers: &mut HeaderMap) {
    let mut set = |name, value| headers.insert(name, value);
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    set(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    set(
        header::HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    );
    set(
        header::HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    );
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
}
