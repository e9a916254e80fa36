//! The Lease, Lock and Election services over the real edge on a loopback socket, its store behind a double. Tests name the
//! rows of etcd-surface.md (B…) that they decide.
//!
//! A scenario writes down what it was told. The same words are expected of this edge and, when `ALMADIA_ETCD_BIN` names an
//! etcd program, of that: so what the tests ask for is what etcd does.

mod elections;
mod leases;
mod locks;

use crate::beside::{Etcd, etcd_or_skip};
use crate::double::Scene;
use almadia_etcd::proto::etcdserverpb as pb;
use almadia_etcd::proto::etcdserverpb::kv_client::KvClient;
use almadia_etcd::proto::etcdserverpb::lease_client::LeaseClient;
use almadia_etcd::proto::v3electionpb::election_client::ElectionClient;
use almadia_etcd::proto::v3lockpb::lock_client::LockClient;
use std::time::Duration;
use tokio::sync::mpsc;
use tonic::codegen::tokio_stream::Stream;
use tonic::transport::Channel;
use tonic::{Response, Status};

/// Whatever takes longer will never come.
const PATIENCE: Duration = Duration::from_secs(20);

/// The services of one server, and what was heard of them.
struct Stage {
    kv: KvClient<Channel>,
    lease: LeaseClient<Channel>,
    lock: LockClient<Channel>,
    election: ElectionClient<Channel>,
    heard: Vec<String>,
}

impl Stage {
    fn new(channel: Channel) -> Self {
        Self {
            kv: KvClient::new(channel.clone()),
            lease: LeaseClient::new(channel.clone()),
            lock: LockClient::new(channel.clone()),
            election: ElectionClient::new(channel),
            heard: Vec::new(),
        }
    }

    fn hear(&mut self, words: impl Into<String>) {
        self.heard.push(words.into());
    }

    async fn grant(&mut self, id: i64, ttl: i64) {
        let granted = self.lease.lease_grant(pb::LeaseGrantRequest { id, ttl }).await;
        let words = told(granted, |granted| {
            format!("lease {:x} for {} s", granted.id, granted.ttl)
        });
        self.hear(format!("grant: {words}"));
    }

    async fn revoke(&mut self, id: i64) {
        let revoked = self.lease.lease_revoke(pb::LeaseRevokeRequest { id }).await;
        let words = told(revoked, |revoked| {
            format!("revision {}", revision(&revoked.header))
        });
        self.hear(format!("revoke: {words}"));
    }

    async fn put(&mut self, key: &str, lease: i64) {
        let put = pb::PutRequest {
            key: key.to_owned().into(),
            value: "v".into(),
            lease,
            ..Default::default()
        };
        self.put_request(put).await;
    }

    async fn put_request(&mut self, put: pb::PutRequest) {
        let put = self.kv.put(put).await;
        let words = told(put, |put| format!("revision {}", revision(&put.header)));
        self.hear(format!("put: {words}"));
    }

    /// All keys, with the revision.
    async fn keys(&mut self) {
        let (revision, keys) = self.look().await;
        self.hear(format!("revision {revision}: {}", keys.join(" ")));
    }

    async fn look(&mut self) -> (i64, Vec<String>) {
        let all = pb::RangeRequest {
            key: "\0".into(),
            range_end: "\0".into(),
            ..Default::default()
        };
        let all = self
            .kv
            .range(all)
            .await
            .expect("a range is answered")
            .into_inner();
        let keys = all.kvs.iter().map(|kv| text(&kv.key)).collect();
        (revision(&all.header), keys)
    }

    /// Returns when a key is there, or is not.
    async fn wait_for(&mut self, key: &str, is_there: bool) {
        let arrives = async {
            while self.look().await.1.iter().any(|other| other == key) != is_there {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, arrives)
            .await
            .expect("it happens in time");
    }
}

/// The answer in words, or the refusal.
fn told<T>(answer: Result<Response<T>, Status>, words: impl FnOnce(T) -> String) -> String {
    match answer {
        Ok(answer) => words(answer.into_inner()),
        Err(status) => format!("{:?} {}", status.code(), status.message()),
    }
}

fn revision(header: &Option<pb::ResponseHeader>) -> i64 {
    header.as_ref().expect("every answer has a header").revision
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Plays a scenario here, and beside etcd if there is one.
async fn play(test: &str, scenario: impl AsyncFn(&mut Stage), expected: &[&str]) {
    let scene = Scene::new().await;
    let mut ours = Stage::new(crate::double::connect(&format!("http://{}", scene.address)).await);
    scenario(&mut ours).await;
    assert_eq!(ours.heard, expected, "left is this edge's");
    let Some(program) = etcd_or_skip(test) else { return };
    let etcd = Etcd::start(&program).await;
    drop(etcd.connect().await);
    let mut theirs = Stage::new(crate::double::connect(&etcd.url).await);
    scenario(&mut theirs).await;
    assert_eq!(theirs.heard, expected, "left is etcd's");
}

/// Requests as they are handed in.
struct Requests<T>(mpsc::Receiver<T>);

impl<T> Stream for Requests<T> {
    type Item = T;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<T>> {
        self.0.poll_recv(context)
    }
}
