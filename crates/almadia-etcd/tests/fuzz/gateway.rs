//! JSON and paths that nobody would send, to the gateway: messages by the protocol files turned into JSON in the forms that
//! clients use, then damaged as text, at paths that are right, odd or damaged too.

use super::double::Double;
use super::generate::{Chance, Protocol};
use super::{ANSWERS_MAX, PANIC, PATIENCE, REQUESTS_PER_STORE, listen_for_panics, number_from};
use almadia_etcd::{Config, Edge};
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use std::path::Path;
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime};
use tonic::body::Body;
use tonic::codegen::http::{Method, Request, Uri};
use tonic::codegen::{Body as _, Service};

/// Paths with the message that they take.
const PATHS: [(&str, &str); 16] = [
    ("kv/range", "etcdserverpb.RangeRequest"),
    ("kv/put", "etcdserverpb.PutRequest"),
    ("kv/deleterange", "etcdserverpb.DeleteRangeRequest"),
    ("kv/txn", "etcdserverpb.TxnRequest"),
    ("kv/txn", "etcdserverpb.TxnRequest"),
    ("kv/compaction", "etcdserverpb.CompactionRequest"),
    ("watch", "etcdserverpb.WatchRequest"),
    ("watch", "etcdserverpb.WatchRequest"),
    ("lease/grant", "etcdserverpb.LeaseGrantRequest"),
    ("lease/keepalive", "etcdserverpb.LeaseKeepAliveRequest"),
    ("kv/lease/timetolive", "etcdserverpb.LeaseTimeToLiveRequest"),
    ("cluster/member/add", "etcdserverpb.MemberAddRequest"),
    ("maintenance/alarm", "etcdserverpb.AlarmRequest"),
    ("auth/role/grant", "etcdserverpb.AuthRoleGrantPermissionRequest"),
    ("lock/unlock", "v3lockpb.UnlockRequest"),
    ("election/observe", "v3electionpb.LeaderRequest"),
];

/// Text that means something somewhere in JSON or in a gateway.
const PIECES: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    ",",
    ":",
    "null",
    "true",
    "-",
    "\\",
    "\\ud800",
    "\u{0}",
    "1e999",
    "-1e-999",
    "99999999999999999999999999",
    "0.5",
    "\"key\":\"YQ==\",",
    "\"key\":null,",
    "\"TargetUnion\":{",
    "\"Request\":{\"RequestPut\":{\"key\":\"YQ==\"}},",
    "{}{}",
    "//",
    "é",
];

/// Text that means something in a path.
const PATH_PIECES: [&str; 10] = ["/", "//", "..", "%2f", "%00", "v3", "/v3/", "?a=b", ";", ":"];

/// A deep nest of these.
const DEEP: usize = 5000;

#[test]
fn gateway() {
    listen_for_panics();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = number_from("ALMADIA_FUZZ_SEED").unwrap_or(now.as_nanos() as u64);
    let end = Instant::now() + Duration::from_secs(number_from("ALMADIA_FUZZ_SECONDS").unwrap_or(1));
    let (protocol, pool) = (Protocol::read(), pool());
    let mut chance = Chance::new(seed);
    let (mut requests, mut served) = (0, 0);
    while Instant::now() < end {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut edge = Edge::new(Double::new(), Config::default());
            for _ in 0..REQUESTS_PER_STORE {
                let (path, body) = draw(&protocol, &pool, &mut chance);
                served += usize::from(call(&mut edge, &path, &body).await);
                requests += 1;
                if let Some(panic) = PANIC.lock().unwrap().take() {
                    let shown = String::from_utf8_lossy(&body[..body.len().min(2000)]).into_owned();
                    panic!("seed {seed}: {path} with {shown} made the edge panic: {panic}");
                }
            }
        });
    }
    assert!(
        served > 0,
        "seed {seed}: nothing of {requests} requests was carried out"
    );
    println!("gateway: {requests} requests, {served} carried out, seed {seed}");
}

fn pool() -> DescriptorPool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    let files = [
        "etcdserverpb/rpc.proto",
        "v3lockpb/v3lock.proto",
        "v3electionpb/v3election.proto",
    ];
    let set = protox::compile(files, [root]).expect("the protocol files are right");
    DescriptorPool::from_file_descriptor_set(set).expect("the protocol files are whole")
}

fn draw(protocol: &Protocol, pool: &DescriptorPool, chance: &mut Chance) -> (String, Vec<u8>) {
    let (path, name) = PATHS[chance.below(PATHS.len() as u64) as usize];
    let mut path = format!("/v3/{path}").into_bytes();
    if chance.below(20) == 0 {
        damage(&mut path, &PATH_PIECES, chance);
    }
    let mut body = Vec::new();
    for _ in 0..=chance.below(3) {
        let bytes = protocol.message(name, chance);
        let kind = pool
            .get_message_by_name(name)
            .expect("the protocol files have it");
        match DynamicMessage::decode(kind, bytes.as_slice()) {
            Ok(message) => write(&message, chance, &mut body),
            Err(_) => body.extend(bytes),
        }
        if chance.below(3) == 0 {
            damage(&mut body, &PIECES, chance);
        }
        if chance.below(200) == 0 {
            let nest = ["{\"success\":[{\"request_txn\":", "[", "{\"\":"][chance.below(3) as usize];
            body.extend(nest.repeat(DEEP).bytes());
        }
    }
    (String::from_utf8_lossy(&path).into_owned(), body)
}

/// The message in one of the forms that clients send.
fn write(message: &DynamicMessage, chance: &mut Chance, into: &mut Vec<u8>) {
    let options = SerializeOptions::new()
        .use_proto_field_name(chance.below(2) == 0)
        .use_enum_numbers(chance.below(2) == 0)
        .stringify_64_bit_integers(chance.below(2) == 0)
        .skip_default_fields(chance.below(2) == 0);
    let mut writer = serde_json::Serializer::new(into);
    message
        .serialize_with_options(&mut writer, &options)
        .expect("it goes into memory");
}

fn damage(bytes: &mut Vec<u8>, pieces: &[&str], chance: &mut Chance) {
    for _ in 0..=chance.below(3) {
        let at = chance.below(bytes.len() as u64 + 1) as usize;
        match chance.below(4) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => drop(bytes.remove(at)),
            1 => {}
            _ => {
                let piece = pieces[chance.below(pieces.len() as u64) as usize];
                bytes.splice(at..at, piece.bytes()).for_each(drop);
            }
        }
    }
}

/// Whether the request was carried out. A refusal is a whole one: a status, and JSON that says why.
async fn call(edge: &mut Edge<Double>, path: &str, body: &[u8]) -> bool {
    // What is no URI cannot come off a connection.
    let Ok(uri) = path.parse::<Uri>() else {
        return false;
    };
    let mut request = Request::new(Body::new(String::from_utf8_lossy(body).into_owned()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    let answered = async {
        let response = edge.call(request).await.expect("an edge answers everything");
        let status = response.status();
        let is_json = response
            .headers()
            .get("content-type")
            .is_some_and(|kind| kind == "application/json");
        let mut body = response.into_body();
        let mut text = Vec::new();
        for _ in 0..ANSWERS_MAX {
            match std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
                Some(frame) => text.extend(frame.unwrap().into_data().unwrap_or_default()),
                None => break,
            }
        }
        for line in text
            .split(|byte| *byte == b'\n')
            .filter(|line| is_json && !line.is_empty())
        {
            let json: serde_json::Value = serde_json::from_slice(line).expect("an answer is JSON");
            assert!(json.is_object(), "{json}");
        }
        if !status.is_success() {
            assert!(!text.is_empty(), "{status} says why");
        }
        status.is_success()
    };
    tokio::time::timeout(PATIENCE, answered).await.unwrap_or(true)
}
