//! Whatever bytes arrive on a watch stream, the server lives and serves others.

use super::*;
use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;

/// Numbers without order, the same in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn bytes(&mut self, len_max: u64) -> Bytes {
        let len = self.below(len_max);
        (0..len).map(|_| self.next() as u8).collect::<Vec<u8>>().into()
    }

    /// A request with odd values, sometimes cut or with bytes changed.
    fn request(&mut self) -> Bytes {
        let number = |noise: &mut Self| match noise.below(6) {
            0 => i64::MIN,
            1 => i64::MAX,
            2 => -1,
            _ => noise.below(8) as i64,
        };
        let union = match self.below(6) {
            0 => RequestUnion::CancelRequest(pb::WatchCancelRequest {
                watch_id: number(self),
            }),
            1 => RequestUnion::ProgressRequest(pb::WatchProgressRequest {}),
            _ => RequestUnion::CreateRequest(pb::WatchCreateRequest {
                key: self.bytes(3),
                range_end: self.bytes(3),
                start_revision: number(self),
                progress_notify: self.below(2) == 0,
                filters: vec![self.below(4) as i32],
                prev_kv: self.below(2) == 0,
                watch_id: number(self),
                fragment: self.below(2) == 0,
            }),
        };
        let request = pb::WatchRequest {
            request_union: Some(union),
        };
        let mut bytes = BytesMut::from(&request.encode_to_vec()[..]);
        if self.below(8) == 0 && !bytes.is_empty() {
            let at = self.below(bytes.len() as u64) as usize;
            bytes[at] = self.next() as u8;
        }
        if self.below(16) == 0 {
            bytes.put_slice(&self.bytes(9));
        }
        bytes.freeze()
    }
}

struct Lines(std::vec::IntoIter<Bytes>);

impl Stream for Lines {
    type Item = Bytes;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Bytes>> {
        std::task::Poll::Ready(self.0.next())
    }
}

/// Streams of requests with odd values and broken bytes, amid writes and compactions; then an honest client is served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn noise_harms_nobody() {
    let scene = Scene::new().await;
    let channel = crate::double::connect(&format!("http://{}", scene.address)).await;
    let mut noise = Noise(0x5eed_1234_5678_9abc);
    for round in 0..150 {
        let lines: Vec<Bytes> = (0..noise.below(60)).map(|_| noise.request()).collect();
        let mut client = Grpc::new(channel.clone());
        client.ready().await.expect("the connection lives");
        let path = PathAndQuery::from_static("/etcdserverpb.Watch/Watch");
        let request = Request::new(Lines(lines.into_iter()));
        let answers = client.streaming(request, path, crate::raw::Raw).await;
        let at = scene.put(&format!("{round}"), "v").await;
        if round % 10 == 9 {
            scene.compact(at - 3).await;
        }
        let Ok(answers) = answers else { continue };
        let mut answers = answers.into_inner();
        for _ in 0..noise.below(20) {
            let soon = Duration::from_millis(5);
            match timeout(soon, answers.message()).await {
                Ok(Ok(Some(bytes))) => {
                    let answer = pb::WatchResponse::decode(bytes).expect("answers are well formed");
                    assert!(answer.header.is_some());
                }
                _ => break,
            }
        }
    }
    let mut honest = scene.client().await;
    honest.watch(one("honest")).await;
    scene.put("honest", "v").await;
    assert_eq!(honest.next().await.events.len(), 1);
}
