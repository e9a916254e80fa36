//! How a refusal looks in HTTP: status and JSON of etcd's gateways, of the older (`error`) and the newer (`code`, `message`)
//! at once, so that clients of both find what they look for.

use serde_json::json;
use tonic::body::Body;
use tonic::codegen::http::{Response, StatusCode, header};
use tonic::{Code, Status};

/// The response for a refusal.
pub(super) fn respond(status: &Status) -> Response<Body> {
    let text = json!({
        "error": status.message(),
        "code": status.code() as i32,
        "message": status.message(),
    });
    super::json_response(http_status(status.code()), text.to_string())
}

/// There is nothing at this path.
pub(super) fn no_such_path() -> Response<Body> {
    respond(&Status::not_found("Not Found"))
}

/// The gateway's paths take POST alone; the code is etcd's.
pub(super) fn only_post() -> Response<Body> {
    let mut response = respond(&Status::unimplemented("Method Not Allowed"));
    let post = header::HeaderValue::from_static("POST");
    response.headers_mut().insert(header::ALLOW, post);
    response
}

/// The line that ends a stream.
pub(super) fn line(status: &Status) -> String {
    let http = http_status(status.code());
    let code = status.code() as i32;
    let error = json!({
        "grpc_code": code,
        "http_code": http.as_u16(),
        "message": status.message(),
        "http_status": http.canonical_reason().unwrap_or_default(),
        "code": code,
    });
    format!("{}\n", json!({ "error": error }))
}

/// As a stream that ends before it has begun.
pub(super) fn stream(status: &Status) -> Response<Body> {
    super::json_response(http_status(status.code()), line(status))
}

fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::Cancelled => StatusCode::REQUEST_TIMEOUT,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
