//! `/version` (B8.5): the etcd release whose behaviour is followed, as clients look it up before anything else.

use crate::service::Shared;
use serde_json::json;
use tonic::body::Body;
use tonic::codegen::http::{Response, StatusCode};

pub(super) fn respond<B>(shared: &Shared<B>) -> Response<Body> {
    let config = &shared.config;
    let text = json!({
        "etcdserver": config.version,
        "etcdcluster": config.storage_version,
        "storage": config.storage_version,
    });
    super::json_response(StatusCode::OK, text.to_string())
}
