//! Requests that nobody would send, to every method of every service, made from the protocol files themselves: no request
//! makes a member panic, and none goes without an end.
//!
//! One target for each service. Each runs for `ALMADIA_FUZZ_SECONDS` (1 unless told; CI: 20, long runs more) from
//! `ALMADIA_FUZZ_SEED` (drawn from the clock unless told; printed with what it found).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../edge/double/mod.rs"]
mod double;
mod gateway;
mod generate;
#[path = "../edge/raw/mod.rs"]
mod raw;

use almadia_etcd::{Config, Edge};
use bytes::Bytes;
use double::Double;
use generate::{Chance, Method, Protocol};
use raw::Raw;
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant, SystemTime};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::tokio_stream;

/// Requests to one store; then a new one begins, so that state does not only grow.
const REQUESTS_PER_STORE: usize = 500;

/// Messages of one stream at most.
const MESSAGES_MAX: u64 = 8;

/// Answers taken from one stream at most.
const ANSWERS_MAX: usize = 16;

/// A call that waits for others (a lock, a watch) is given up after this; the clock of the tests is paused, so it takes no
/// time.
const PATIENCE: Duration = Duration::from_millis(200);

/// What the panic hook heard, on whatever task.
static PANIC: Mutex<Option<String>> = Mutex::new(None);
static HOOK: Once = Once::new();

fn listen_for_panics() {
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            before(panic);
            if let Ok(mut heard) = PANIC.lock() {
                heard.get_or_insert_with(|| panic.to_string());
            }
        }));
    });
}

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn fuzz(service: &str) {
    listen_for_panics();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = number_from("ALMADIA_FUZZ_SEED").unwrap_or(now.as_nanos() as u64);
    let end = Instant::now() + Duration::from_secs(number_from("ALMADIA_FUZZ_SECONDS").unwrap_or(1));
    let protocol = Protocol::read();
    let methods = protocol.methods_of(service);
    assert!(!methods.is_empty(), "{service} has methods");
    let mut chance = Chance::new(seed);
    let (mut requests, mut served) = (0, 0);
    while Instant::now() < end {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let edge = Edge::new(Double::new(), Config::default());
            for _ in 0..REQUESTS_PER_STORE {
                let method = &methods[chance.below(methods.len() as u64) as usize];
                let messages = messages_for(&protocol, method, &mut chance);
                served += usize::from(call(&edge, method, &messages).await);
                requests += 1;
                if let Some(panic) = PANIC.lock().unwrap().take() {
                    panic!(
                        "seed {seed}: {} of {messages:02x?} made the edge panic: {panic}",
                        method.path
                    );
                }
            }
        });
    }
    assert!(
        served > 0,
        "seed {seed}: nothing of {requests} requests to {service} was carried out"
    );
    println!("{service}: {requests} requests, {served} carried out, seed {seed}");
}

fn messages_for(protocol: &Protocol, method: &Method, chance: &mut Chance) -> Vec<Bytes> {
    let count = if method.takes_stream {
        1 + chance.below(MESSAGES_MAX)
    } else {
        1
    };
    (0..count)
        .map(|_| protocol.message(&method.input, chance).into())
        .collect()
}

/// Whether the call was carried out; whatever else it answers is fine.
async fn call(edge: &Edge<Double>, method: &Method, messages: &[Bytes]) -> bool {
    let path = PathAndQuery::try_from(method.path.as_str()).unwrap();
    let mut client = Grpc::new(edge.clone());
    let answered = async {
        client.ready().await.unwrap();
        let request = tonic::Request::new(tokio_stream::iter(messages.to_vec()));
        let mut answers = match client.streaming(request, path, Raw).await {
            Ok(answers) => answers.into_inner(),
            Err(_) => return false,
        };
        for taken in 0..ANSWERS_MAX {
            match answers.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return taken > 0,
                Err(_) => return false,
            }
        }
        true
    };
    // Given up while it waits: then it was taken at least.
    tokio::time::timeout(PATIENCE, answered).await.unwrap_or(true)
}

macro_rules! targets {
    ($($name:ident: $service:literal,)*) => {$(
        #[test]
        fn $name() {
            fuzz($service);
        }
    )*};
}

targets! {
    kv: "etcdserverpb.KV",
    watch: "etcdserverpb.Watch",
    lease: "etcdserverpb.Lease",
    cluster: "etcdserverpb.Cluster",
    maintenance: "etcdserverpb.Maintenance",
    auth: "etcdserverpb.Auth",
    lock: "v3lockpb.Lock",
    election: "v3electionpb.Election",
}

/// The requests that end an etcd 3.5 process: an error here, and life goes on.
#[test]
fn what_ends_etcd_is_an_error_here() {
    use almadia_etcd::proto::etcdserverpb as pb;
    use pb::request_op::Request;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut kv = pb::kv_client::KvClient::new(Edge::new(Arc::clone(&Double::new()), Config::default()));
        let range = pb::RangeRequest {
            key: "k".into(),
            sort_target: 5,
            ..pb::RangeRequest::default()
        };
        assert!(kv.range(range).await.is_err());
        let put = |ignore_value| pb::PutRequest {
            key: "k".into(),
            ignore_value,
            ignore_lease: !ignore_value,
            ..pb::PutRequest::default()
        };
        kv.put(pb::PutRequest {
            key: "k".into(),
            ..pb::PutRequest::default()
        })
        .await
        .unwrap();
        for ignore_value in [true, false] {
            let delete = pb::DeleteRangeRequest {
                key: "a".into(),
                range_end: Bytes::from_static(&[0]),
                ..pb::DeleteRangeRequest::default()
            };
            let operations = [
                Request::RequestDeleteRange(delete),
                Request::RequestPut(put(ignore_value)),
            ];
            let success = operations.map(|request| pb::RequestOp {
                request: Some(request),
            });
            let txn = pb::TxnRequest {
                success: success.to_vec(),
                ..pb::TxnRequest::default()
            };
            assert!(kv.txn(txn).await.is_err());
        }
        let all = pb::RangeRequest {
            key: "k".into(),
            ..pb::RangeRequest::default()
        };
        assert_eq!(
            kv.range(all).await.unwrap().into_inner().count,
            1,
            "nothing was done"
        );
    });
}
