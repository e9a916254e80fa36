//! The Lease service: leases are made and ended through the log; only the leader knows what time they have left.

use crate::backend::Backend;
use crate::service::{Call, Shared};
use std::sync::Arc;
use tonic::body::Body;
use tonic::codegen::http::Response;

/// Serves a method, if it is one of this service.
pub(crate) async fn serve<B: Backend>(
    _shared: &Arc<Shared<B>>,
    _method: &str,
    _call: Call,
) -> Option<Response<Body>> {
    None
}
