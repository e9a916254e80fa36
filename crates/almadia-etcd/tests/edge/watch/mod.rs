//! The Watch service over the real edge on a loopback socket, its store behind a double. Tests name the rows of
//! etcd-surface.md (B…) and known-failures.md (row …) that they decide.

mod create;
mod ending;
mod events;
mod hostile;
mod like_etcd;
mod progress;
mod slow;

use crate::double::Scene;
use almadia_etcd::proto::etcdserverpb as pb;
use almadia_etcd::proto::mvccpb;
use pb::watch_client::WatchClient;
use pb::watch_request::RequestUnion;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::codegen::tokio_stream::Stream;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

/// Whatever takes longer will never come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A watch stream from the client's side.
struct Client {
    requests: Option<mpsc::Sender<pb::WatchRequest>>,
    answers: Streaming<pb::WatchResponse>,
}

/// Requests as they are handed in.
struct Requests(mpsc::Receiver<pb::WatchRequest>);

impl Stream for Requests {
    type Item = pb::WatchRequest;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}

impl Client {
    async fn open(channel: &Channel, hasleader: bool) -> Result<Self, Status> {
        let (requests, queue) = mpsc::channel(16);
        Self::open_with(channel, hasleader, requests, queue).await
    }

    /// On a server that answers nothing at all before it is asked something.
    async fn begin(channel: &Channel) -> Self {
        let (requests, queue) = mpsc::channel(16);
        let refused = pb::WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(all_between("z", "a"))),
        };
        requests.send(refused).await.expect("there is room");
        let client = Self::open_with(channel, false, requests, queue).await;
        let mut client = client.expect("a stream is opened");
        assert!(client.next().await.canceled);
        client
    }

    async fn open_with(
        channel: &Channel,
        hasleader: bool,
        requests: mpsc::Sender<pb::WatchRequest>,
        queue: mpsc::Receiver<pb::WatchRequest>,
    ) -> Result<Self, Status> {
        let mut client = WatchClient::new(channel.clone()).max_decoding_message_size(1 << 30);
        let mut request = Request::new(Requests(queue));
        if hasleader {
            let yes = "true".parse().expect("it is metadata");
            request.metadata_mut().insert("hasleader", yes);
        }
        let answers = client.watch(request).await?.into_inner();
        Ok(Self {
            requests: Some(requests),
            answers,
        })
    }

    async fn send(&self, union: RequestUnion) {
        let request = pb::WatchRequest {
            request_union: Some(union),
        };
        let requests = self.requests.as_ref().expect("the stream is not half-closed");
        requests.send(request).await.expect("the stream is open");
    }

    async fn create(&self, request: pb::WatchCreateRequest) {
        self.send(RequestUnion::CreateRequest(request)).await;
    }

    async fn cancel(&self, watch_id: i64) {
        let request = pb::WatchCancelRequest { watch_id };
        self.send(RequestUnion::CancelRequest(request)).await;
    }

    async fn ask_progress(&self) {
        self.send(RequestUnion::ProgressRequest(pb::WatchProgressRequest {}))
            .await;
    }

    async fn next(&mut self) -> pb::WatchResponse {
        self.end_or_next().await.expect("the stream goes on")
    }

    async fn end_or_next(&mut self) -> Result<pb::WatchResponse, Status> {
        let next = timeout(PATIENCE, self.answers.message()).await;
        let next = next.expect("an answer comes")?;
        Ok(next.expect("a stream ends with a status"))
    }

    /// Begins a watch and takes the answer.
    async fn watch(&mut self, request: pb::WatchCreateRequest) -> pb::WatchResponse {
        self.create(request).await;
        let answer = self.next().await;
        assert!(answer.created, "{answer:?}");
        answer
    }

    /// Whatever was asked before, nothing is left to be said of it.
    async fn says_nothing(&mut self) {
        self.create(all_between("z", "a")).await;
        let answer = self.next().await;
        assert_eq!(answer.cancel_reason, "mvcc: watcher range is empty", "{answer:?}");
    }
}

impl Scene {
    async fn client(&self) -> Client {
        let channel = crate::double::connect(&format!("http://{}", self.address)).await;
        Client::open(&channel, false).await.expect("a stream is opened")
    }

    async fn put(&self, key: &str, value: &str) -> i64 {
        let request = pb::PutRequest {
            key: key.to_owned().into(),
            value: value.to_owned().into(),
            ..Default::default()
        };
        let answer = self.kv.clone().put(request).await.expect("it is well formed");
        revision(answer.into_inner().header)
    }

    async fn delete(&self, key: &str, range_end: &str) -> i64 {
        let request = pb::DeleteRangeRequest {
            key: key.to_owned().into(),
            range_end: range_end.to_owned().into(),
            ..Default::default()
        };
        let answer = self.kv.clone().delete_range(request).await;
        revision(answer.expect("it is well formed").into_inner().header)
    }

    async fn compact(&self, revision: i64) {
        let request = pb::CompactionRequest {
            revision,
            physical: true,
        };
        self.kv
            .clone()
            .compact(request)
            .await
            .expect("the revision is there");
    }
}

fn revision(header: Option<pb::ResponseHeader>) -> i64 {
    header.expect("every answer has a header").revision
}

fn one(key: &str) -> pb::WatchCreateRequest {
    pb::WatchCreateRequest {
        key: key.to_owned().into(),
        ..Default::default()
    }
}

fn all_between(key: &str, range_end: &str) -> pb::WatchCreateRequest {
    pb::WatchCreateRequest {
        range_end: range_end.to_owned().into(),
        ..one(key)
    }
}

fn all() -> pb::WatchCreateRequest {
    all_between("\0", "\0")
}

fn from(revision: i64, request: pb::WatchCreateRequest) -> pb::WatchCreateRequest {
    pb::WatchCreateRequest {
        start_revision: revision,
        ..request
    }
}

/// An event in short: `key=value@revision` or `-key@revision`, with `(previous value)` behind it.
fn short(event: &mvccpb::Event) -> String {
    let kv = event.kv.as_ref().expect("every event has a key");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let prev = event
        .prev_kv
        .as_ref()
        .map_or_else(String::new, |prev| format!("({})", text(&prev.value)));
    let (key, at) = (text(&kv.key), kv.mod_revision);
    if event.r#type == 1 {
        assert_eq!((kv.create_revision, kv.version, kv.value.len()), (0, 0, 0));
        format!("-{key}@{at}{prev}")
    } else {
        format!("{key}={}@{at}{prev}", text(&kv.value))
    }
}

fn shorts(answer: &pb::WatchResponse) -> Vec<String> {
    answer.events.iter().map(short).collect()
}
