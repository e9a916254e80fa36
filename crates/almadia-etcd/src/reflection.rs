//! gRPC server reflection (B9.2): tells clients that do not know the protocol files what is served. The files are laid
//! down when the program is built; nothing here depends on the state.

use crate::backend::Backend;
use crate::error::Fault;
use crate::proto::grpc_reflection_v1 as pb;
use crate::service::{Call, Shared};
use crate::stream::{self, Messages};
use crate::wire::Plain;
use bytes::Bytes;
use pb::server_reflection_request::MessageRequest;
use pb::server_reflection_response::MessageResponse;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tonic::body::Body;
use tonic::codegen::http::Response;
use tonic::codegen::tokio_stream::Stream;
use tonic::{Code, Status};

/// One protocol file.
struct Described {
    name: &'static str,
    /// Names of the files it imports.
    needs: &'static [&'static str],
    services: &'static [&'static str],
    /// Full names of what it declares, services included.
    symbols: &'static [&'static str],
    /// An encoded `google.protobuf.FileDescriptorProto`.
    bytes: &'static [u8],
}

static FILES: &[Described] = include!(concat!(env!("OUT_DIR"), "/described.rs"));

/// The encoded protocol files, each after those it imports.
pub(crate) fn files() -> impl Iterator<Item = &'static [u8]> {
    FILES.iter().map(|file| file.bytes)
}

/// Serves a method, if it is one of this service. The older `v1alpha` has the same messages.
pub(crate) async fn serve<B: Backend>(
    shared: &Arc<Shared<B>>,
    method: &str,
    call: Call,
) -> Option<Response<Body>> {
    if method != "ServerReflectionInfo" {
        return None;
    }
    Some(stream::respond(Session {
        questions: call.messages(shared),
        cut: shared.cut(false),
        is_over: false,
    }))
}

struct Session {
    questions: Messages<pb::ServerReflectionRequest>,
    cut: Pin<Box<dyn Future<Output = Fault> + Send>>,
    is_over: bool,
}

impl Stream for Session {
    type Item = Result<Plain<pb::ServerReflectionResponse>, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if let Poll::Ready(fault) = self.cut.as_mut().poll(context) {
            self.is_over = true;
            return Poll::Ready(Some(Err(fault.into())));
        }
        let question = ready!(pin!(self.questions.next()).poll(context));
        self.is_over = !matches!(question, Ok(Some(_)));
        Poll::Ready(match question {
            Ok(Some(question)) => Some(Ok(Plain(answer(question)))),
            Ok(None) => None,
            Err(status) => Some(Err(status)),
        })
    }
}

fn answer(question: pb::ServerReflectionRequest) -> pb::ServerReflectionResponse {
    let found = match &question.message_request {
        Some(MessageRequest::FileByFilename(name)) => files_with(|file| file.name == name),
        Some(MessageRequest::FileContainingSymbol(symbol)) => {
            files_with(|file| file.symbols.contains(&symbol.as_str()))
        }
        Some(MessageRequest::ListServices(_)) => Some(services()),
        // proto3 has no extensions.
        Some(MessageRequest::FileContainingExtension(_) | MessageRequest::AllExtensionNumbersOfType(_)) => {
            None
        }
        None => Some(refusal(Code::InvalidArgument, "the request asks for nothing")),
    };
    pb::ServerReflectionResponse {
        valid_host: question.host.clone(),
        original_request: Some(question),
        message_response: Some(found.unwrap_or_else(|| refusal(Code::NotFound, "not found"))),
    }
}

fn refusal(code: Code, text: &str) -> MessageResponse {
    MessageResponse::ErrorResponse(pb::ErrorResponse {
        error_code: code as i32,
        error_message: text.to_owned(),
    })
}

fn services() -> MessageResponse {
    let names = FILES.iter().flat_map(|file| file.services);
    let service = names.map(|name| pb::ServiceResponse {
        name: (*name).to_owned(),
    });
    MessageResponse::ListServicesResponse(pb::ListServiceResponse {
        service: service.collect(),
    })
}

/// The file that is wanted and all that it needs, itself first.
fn files_with(is_wanted: impl Fn(&Described) -> bool) -> Option<MessageResponse> {
    let mut files = vec![FILES.iter().find(|file| is_wanted(file))?];
    let mut at = 0;
    while at < files.len() {
        for needed in files[at].needs {
            let is_there = files.iter().any(|file| file.name == *needed);
            if !is_there {
                files.extend(FILES.iter().find(|file| file.name == *needed));
            }
        }
        at += 1;
    }
    let bytes = files.iter().map(|file| Bytes::from_static(file.bytes));
    Some(MessageResponse::FileDescriptorResponse(
        pb::FileDescriptorResponse {
            file_descriptor_proto: bytes.collect(),
        },
    ))
}
