//! B9.2: clients without protocol files learn what is served.

use super::*;
use almadia_etcd::proto::grpc_reflection_v1::{self as pb, server_reflection_client::ServerReflectionClient};
use pb::server_reflection_request::MessageRequest;
use pb::server_reflection_response::MessageResponse;
use protox::prost::Message;
use protox::prost_reflect::DescriptorPool;
use tonic::Code;
use tonic::codegen::tokio_stream;

async fn ask(scene: &Scene, questions: Vec<MessageRequest>) -> Vec<MessageResponse> {
    let requests: Vec<_> = questions
        .into_iter()
        .map(|question| pb::ServerReflectionRequest {
            host: "h".to_owned(),
            message_request: Some(question),
        })
        .collect();
    let mut client = ServerReflectionClient::new(scene.channel().await);
    let answers = client
        .server_reflection_info(tokio_stream::iter(requests.clone()))
        .await;
    let mut answers = answers.expect("it is served").into_inner();
    let mut found = Vec::new();
    for request in requests {
        let answer = answers
            .message()
            .await
            .expect("it goes on")
            .expect("each is answered");
        assert_eq!(
            (&answer.valid_host[..], answer.original_request),
            ("h", Some(request))
        );
        found.push(answer.message_response.expect("an answer says something"));
    }
    assert!(answers.message().await.expect("it ends well").is_none());
    found
}

fn refusal(answer: &MessageResponse) -> i32 {
    match answer {
        MessageResponse::ErrorResponse(error) => error.error_code,
        other => panic!("{other:?} is no refusal"),
    }
}

/// Every service that is listed can be described, with all that its messages need.
#[tokio::test]
async fn every_service_can_be_described() {
    let scene = Scene::new().await;
    let listed = ask(&scene, vec![MessageRequest::ListServices(String::new())]).await;
    let MessageResponse::ListServicesResponse(listed) = &listed[0] else {
        panic!("a list was asked for");
    };
    let names: Vec<&str> = listed.service.iter().map(|service| &service.name[..]).collect();
    for expected in [
        "etcdserverpb.KV",
        "etcdserverpb.Watch",
        "etcdserverpb.Lease",
        "etcdserverpb.Cluster",
        "etcdserverpb.Maintenance",
        "etcdserverpb.Auth",
        "v3lockpb.Lock",
        "v3electionpb.Election",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
    ] {
        assert!(names.contains(&expected), "{expected} is not among {names:?}");
    }
    let questions = names
        .iter()
        .map(|name| MessageRequest::FileContainingSymbol((*name).to_owned()));
    for (name, answer) in names.iter().zip(ask(&scene, questions.collect()).await) {
        let MessageResponse::FileDescriptorResponse(files) = answer else {
            panic!("{name}: {answer:?}");
        };
        let mut pool = DescriptorPool::new();
        for file in files.file_descriptor_proto.iter().rev() {
            pool.decode_file_descriptor_proto(&file[..])
                .expect("it brings all that it needs");
        }
        assert!(pool.get_service_by_name(name).is_some());
    }
}

/// By file, by message, by method; and what there is not.
#[tokio::test]
async fn files_are_found_by_what_they_hold() {
    let scene = Scene::new().await;
    let symbol = |name: &str| MessageRequest::FileContainingSymbol(name.to_owned());
    let questions = vec![
        MessageRequest::FileByFilename("mvccpb/kv.proto".to_owned()),
        symbol("mvccpb.Event.EventType"),
        symbol("mvccpb.KeyValue.key"),
        symbol("etcdserverpb.KV.Range"),
        MessageRequest::FileByFilename("none.proto".to_owned()),
        symbol("none"),
        MessageRequest::AllExtensionNumbersOfType("mvccpb.KeyValue".to_owned()),
    ];
    let answers = ask(&scene, questions).await;
    for (answer, file) in answers
        .iter()
        .zip(["mvccpb/kv.proto", "mvccpb/kv.proto", "mvccpb/kv.proto"])
    {
        let MessageResponse::FileDescriptorResponse(files) = answer else {
            panic!("{answer:?}");
        };
        let described = protox::prost_reflect::prost_types::FileDescriptorProto::decode(
            &files.file_descriptor_proto[0][..],
        );
        assert_eq!(described.expect("it is one").name(), file);
    }
    assert!(matches!(answers[3], MessageResponse::FileDescriptorResponse(_)));
    for answer in &answers[4..] {
        assert_eq!(refusal(answer), Code::NotFound as i32);
    }
}
