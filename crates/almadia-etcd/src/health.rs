//! gRPC health checking (B9.1): the server serves when it knows a leader, for the empty name, which is the only one that
//! etcd knows.

use crate::backend::Backend;
use crate::error::Fault;
use crate::proto::grpc_health_v1 as pb;
use crate::service::{Call, Replied, Shared};
use crate::stream;
use crate::wire::Plain;
use pb::health_check_response::ServingStatus;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::Response;
use tonic::codegen::tokio_stream::Stream;

/// How often those who watch are looked after.
const LOOK: Duration = Duration::from_secs(1);

/// Serves a method, if it is one of this service.
pub(crate) async fn serve<B: Backend>(
    shared: &Arc<Shared<B>>,
    method: &str,
    call: Call,
) -> Option<Response<Body>> {
    match method {
        "Check" => Some(call.unary(shared, |_, request| check(shared, request)).await),
        "Watch" => Some(watch(shared, call).await),
        _ => None,
    }
}

async fn check<B: Backend>(
    shared: &Arc<Shared<B>>,
    request: pb::HealthCheckRequest,
) -> Result<Replied<Plain<pb::HealthCheckResponse>>, Status> {
    if request.service.is_empty() {
        Ok(Replied::unlogged(told(shared.serving())))
    } else {
        Err(Status::not_found("unknown service"))
    }
}

async fn watch<B: Backend>(shared: &Arc<Shared<B>>, call: Call) -> Response<Body> {
    let request: pb::HealthCheckRequest = match call.message(shared).await {
        Ok(request) => request,
        Err(status) => return status.into_http(),
    };
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    stream::respond(Watching {
        shared: shared.clone(),
        is_known: request.service.is_empty(),
        last: None,
        looks,
        cut: shared.cut(false),
        is_over: false,
    })
}

impl<B: Backend> Shared<B> {
    fn serving(&self) -> ServingStatus {
        if self.backend.has_leader() {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        }
    }
}

fn told(status: ServingStatus) -> Plain<pb::HealthCheckResponse> {
    Plain(pb::HealthCheckResponse {
        status: status as i32,
    })
}

/// Tells how it is at first, and then each change.
struct Watching<B> {
    shared: Arc<Shared<B>>,
    is_known: bool,
    last: Option<ServingStatus>,
    looks: Interval,
    cut: Pin<Box<dyn Future<Output = Fault> + Send>>,
    is_over: bool,
}

impl<B: Backend> Stream for Watching<B> {
    type Item = Result<Plain<pb::HealthCheckResponse>, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if let Poll::Ready(fault) = self.cut.as_mut().poll(context) {
            self.is_over = true;
            return Poll::Ready(Some(Err(fault.into())));
        }
        while self.looks.poll_tick(context).is_ready() {
            let now = if self.is_known {
                self.shared.serving()
            } else {
                ServingStatus::ServiceUnknown
            };
            if self.last.replace(now) != Some(now) {
                return Poll::Ready(Some(Ok(told(now))));
            }
        }
        Poll::Pending
    }
}
