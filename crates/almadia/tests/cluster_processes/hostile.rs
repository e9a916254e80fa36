//! Hostile clients against a real process: whatever they do, others are served and memory stays bounded. Small forms run with
//! the other tests; `ALMADIA_TEST_FULL=1` runs large ones, and each prints its figures:
//! `ALMADIA_TEST_FULL=1 cargo test --release -p almadia --test cluster_processes hostile -- --nocapture --test-threads 1`.

use crate::deployment::Deployment;
use almadia::demo::client::MemberClient;
use almadia_etcd::proto::etcdserverpb::kv_client::KvClient;
use almadia_etcd::proto::etcdserverpb::lease_client::LeaseClient;
use almadia_etcd::proto::etcdserverpb::watch_client::WatchClient;
use almadia_etcd::proto::etcdserverpb::{
    LeaseGrantRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, WatchCreateRequest, WatchRequest,
    request_op, watch_request,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::codegen::tokio_stream;

const MIB: u64 = 1 << 20;

/// What a member may grow by beside its store, in any of these.
const GROWTH_BYTES_MAX: u64 = 512 * MIB;

/// Puts that are timed before an attack begins, to compare with.
const QUIET_PUTS: usize = 200;

/// The small form, or the one whose figures are printed.
fn sized<T>(small: T, full: T) -> T {
    if std::env::var_os("ALMADIA_TEST_FULL").is_some() {
        full
    } else {
        small
    }
}

/// One member and somebody who goes on putting while others misbehave.
struct Victim {
    deployment: Deployment,
    pid: u32,
}

impl Victim {
    async fn new() -> Self {
        let patience = sized("1s", "10s");
        let mut deployment = Deployment::planned_with(1, &["--client-header-timeout", patience]);
        deployment.cluster.start_all().unwrap();
        deployment.leader_above(0).await;
        let pid = deployment.cluster.pid(0).unwrap();
        Self { deployment, pid }
    }

    fn address(&self) -> String {
        self.deployment.urls[0].trim_start_matches("http://").to_owned()
    }

    async fn client(&self) -> MemberClient {
        self.deployment.client(0).await
    }

    fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Puts once after another until `attack` is over; says how slow the slowest hundredth was, and how far memory went.
    async fn during<T>(&self, what: &str, attack: impl Future<Output = T>) -> T {
        let before = self.resident_bytes();
        let client = self.client().await;
        let mut quiet = Vec::new();
        for _ in 0..QUIET_PUTS {
            let began = Instant::now();
            client.put("served", "quietly").await.expect("nobody disturbs");
            quiet.push(began.elapsed());
        }
        let (mut times, mut most) = (Vec::new(), before);
        tokio::pin!(attack);
        let result = loop {
            let began = Instant::now();
            tokio::select! {
                biased;
                result = &mut attack => break result,
                put = client.put("served", "still") => {
                    put.expect("others are served");
                    times.push(began.elapsed());
                    most = most.max(self.resident_bytes());
                }
            }
        };
        client
            .put("served", "afterwards")
            .await
            .expect("others are served");
        println!(
            "{what}: {} puts of another client meanwhile, p99 {:.1?} ({:.1?} before); memory {} MiB before, {} MiB at most",
            times.len(),
            p99(&mut times),
            p99(&mut quiet),
            before / MIB,
            most / MIB
        );
        assert!(
            most - before < GROWTH_BYTES_MAX,
            "{what}: from {before} to {most} bytes"
        );
        result
    }
}

/// How slow the slowest hundredth was.
fn p99(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() * 99 / 100).copied().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_half_open_connections() {
    let victim = Victim::new().await;
    let count = sized(500, 10_000);
    let address = victim.address();
    let attack = async {
        let mut open = Vec::new();
        for number in 0..count {
            let mut connection = TcpStream::connect(&address).await.unwrap();
            // Nothing, half a preface, half of a request.
            let start: &[u8] = [
                &b""[..],
                b"PRI * HTTP/2.0\r\n",
                b"GET /metrics HTTP/1.1\r\nHost: x\r\n",
            ][number % 3];
            connection.write_all(start).await.unwrap();
            open.push(connection);
        }
        let mut closed = 0;
        for mut connection in open {
            let _ = connection.read_to_end(&mut Vec::new()).await;
            closed += 1;
        }
        closed
    };
    let what = format!("{count} half-open connections");
    assert_eq!(victim.during(&what, attack).await, count, "all are closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_resets() {
    let victim = Victim::new().await;
    let (connections, requests) = (25, sized(4_000u32, 200_000));
    let (address, sent) = (victim.address(), Arc::new(AtomicU64::new(0)));
    let attack = async {
        let mut floods = JoinSet::new();
        for _ in 0..connections {
            let (address, sent) = (address.clone(), sent.clone());
            floods.spawn(async move {
                let mut connection = TcpStream::connect(&address).await.unwrap();
                let _ = connection
                    .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
                    .await;
                for number in 0..requests {
                    if connection
                        .write_all(&reset_request(2 * number + 1))
                        .await
                        .is_err()
                    {
                        return;
                    }
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while floods.join_next().await.is_some() {}
    };
    victim
        .during(
            &format!("{connections} connections that reset their requests"),
            attack,
        )
        .await;
    println!("requests begun and given up: {}", sent.load(Ordering::Relaxed));
}

/// The headers of a read: names by number, values spelled out.
fn range_headers(stream: u32) -> Vec<u8> {
    let (path, content) = (b"/etcdserverpb.KV/Range", b"application/grpc");
    let mut block = vec![0x83, 0x86, 0x04, path.len() as u8];
    block.extend(path);
    block.extend([0x01, 1, b'x', 0x0f, 0x10, content.len() as u8]);
    block.extend(content);
    let mut bytes = vec![0, 0, block.len() as u8, 1, 4];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(block);
    bytes
}

/// The headers of a read, and its end by the client.
fn reset_request(stream: u32) -> Vec<u8> {
    let mut bytes = range_headers(stream);
    bytes.extend([0, 0, 4, 3, 0]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(8u32.to_be_bytes());
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_readers_of_everything() {
    let victim = Victim::new().await;
    let (keys, readers, rounds) = sized((20_000, 8, 1), (1_000_000, 100, 1));
    let channel = victim.client().await.channel();
    let mut kv = KvClient::new(channel).max_decoding_message_size(usize::MAX);
    for batch in 0..keys / 100 {
        let puts = (0..100).map(|key| RequestOp {
            request: Some(request_op::Request::RequestPut(PutRequest {
                key: format!("all/{:08}", batch * 100 + key).into(),
                value: vec![b'v'; 1000].into(),
                ..Default::default()
            })),
        });
        let txn = TxnRequest {
            success: puts.collect(),
            ..Default::default()
        };
        kv.txn(txn).await.expect("there is room");
    }
    let address = victim.address();
    let attack = async {
        let mut reading = JoinSet::new();
        for _ in 0..readers {
            let address = address.clone();
            reading.spawn(async move { read_and_drop(&address, rounds).await });
        }
        let mut bytes = 0;
        while let Some(read) = reading.join_next().await {
            bytes += read.unwrap();
        }
        bytes
    };
    let what = format!("{readers} readers of {keys} keys of 1 kB");
    let bytes = victim.during(&what, attack).await;
    assert!(
        bytes >= (keys * readers * rounds) as u64 * 1000,
        "every answer is whole: {bytes} bytes"
    );
}

/// Reads everything over a connection of its own and keeps nothing; says how many bytes came.
async fn read_and_drop(address: &str, rounds: usize) -> u64 {
    let mut connection = TcpStream::connect(address).await.unwrap();
    let mut greeting =
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x04\x7f\xff\xff\xff".to_vec();
    greeting.extend([0, 0, 4, 8, 0, 0, 0, 0, 0]);
    greeting.extend((0x7fff_ffffu32 - 65_535).to_be_bytes());
    connection.write_all(&greeting).await.unwrap();
    let mut total = 0;
    for round in 0..rounds {
        let stream = 2 * round as u32 + 1;
        let request = RangeRequest {
            key: "all/".into(),
            range_end: "all0".into(),
            ..Default::default()
        };
        connection
            .write_all(&range_request(stream, &request))
            .await
            .unwrap();
        loop {
            let mut head = [0; 9];
            connection
                .read_exact(&mut head)
                .await
                .expect("the answer comes whole");
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            connection
                .read_exact(&mut payload)
                .await
                .expect("the answer comes whole");
            match head[3] {
                0 => total += payload.len() as u64,
                1 if head[4] & 1 != 0 => break,
                3 => panic!("the answer is taken away"),
                _ => {}
            }
            if head[3] == 0 && !payload.is_empty() {
                let mut update = vec![0, 0, 4, 8, 0, 0, 0, 0, 0];
                update.extend((payload.len() as u32).to_be_bytes());
                update.extend([0, 0, 4, 8, 0]);
                update.extend(stream.to_be_bytes());
                update.extend((payload.len() as u32).to_be_bytes());
                connection.write_all(&update).await.unwrap();
            }
        }
    }
    total
}

fn range_request(stream: u32, request: &RangeRequest) -> Vec<u8> {
    let mut bytes = range_headers(stream);
    let message = prost::Message::encode_to_vec(request);
    bytes.extend([0, 0, message.len() as u8 + 5, 0, 1]);
    bytes.extend(stream.to_be_bytes());
    bytes.push(0);
    bytes.extend((message.len() as u32).to_be_bytes());
    bytes.extend(message);
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_watches_and_leases() {
    let victim = Victim::new().await;
    let (watches, leases) = sized((5_000, 500), (1_000_000, 20_000));
    let channel = victim.client().await.channel();
    let attack = async {
        let (mut made, mut streams) = (0, Vec::new());
        for _ in 0..watches / 5_000 {
            let create = |number: usize| WatchRequest {
                request_union: Some(watch_request::RequestUnion::CreateRequest(WatchCreateRequest {
                    key: format!("watched/{number}").into(),
                    ..Default::default()
                })),
            };
            let requests = tokio_stream::iter((0..5_000).map(create));
            let answers = WatchClient::new(channel.clone()).watch(requests).await;
            let mut answers = answers.expect("the stream begins").into_inner();
            for _ in 0..5_000 {
                let answer = answers.message().await.unwrap().expect("each is answered");
                assert!(!answer.canceled || answer.cancel_reason.contains("--max-watches"));
                made += usize::from(!answer.canceled);
            }
            streams.push(answers);
        }
        let mut client = LeaseClient::new(channel.clone());
        for id in 1..=leases {
            client
                .lease_grant(LeaseGrantRequest { id, ttl: 1000 })
                .await
                .expect("there is room");
        }
        made
    };
    let what = format!("{watches} watches and {leases} leases");
    let made = victim.during(&what, attack).await;
    println!("watches made: {made}");
    assert!(made >= watches.min(500_000));
    tokio::time::timeout(Duration::from_secs(60), victim.client())
        .await
        .expect("it lives");
}
