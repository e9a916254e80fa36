//! What the RPC layer costs by itself: servers that answer a constant, tonic's and this crate's.
//!
//! `constant [seconds]` starts one server process after the other, loads each with 64 clients on 4 connections, and
//! prints requests per second and the server's CPU time per request. `generated` is tonic's own service code, `edge`
//! is this crate's over a member that applies nothing, both on tonic's server; `served` is the latter on this crate's. Figures are only comparable within one run.

mod idle;
mod load;

use almadia_command::{ClusterId, Command, LogIndex, MemberId, Put, Revision, Term};
use almadia_etcd::proto::etcdserverpb::kv_server::{Kv, KvServer};
use almadia_etcd::proto::etcdserverpb::*;
use almadia_etcd::proto::mvccpb::KeyValue;
use almadia_etcd::{Applied, Backend, Config, Edge, Identity, ProposeError, ReadError, Status};
use almadia_store::{Answer, Outcome, Store, View, Views};
use load::Call;
use std::process::{Command as Process, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tonic::codegen::tokio_stream;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response};

const CLIENTS: usize = 64;
const CONNECTIONS: usize = 4;
const VALUE_BYTES: usize = 256;
/// Linux counts a process's CPU time in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match arguments.get(1).map(String::as_str) {
        Some("serve") => runtime.block_on(serve(&arguments[2])),
        seconds => {
            let seconds = seconds.map_or(Ok(5), str::parse)?;
            runtime.block_on(measure_all(Duration::from_secs(seconds)))
        }
    }
}

async fn measure_all(time: Duration) -> Result<(), Failure> {
    println!(
        "{:<22} {:<5} {:>10} {:>14}",
        "server", "call", "calls/s", "CPU µs/call"
    );
    for kind in ["generated", "edge", "served"] {
        for put in [true, false] {
            for clients in [CLIENTS, 1] {
                measure(kind, put, clients, time).await?;
            }
        }
    }
    Ok(())
}

async fn measure(kind: &str, put: bool, clients: usize, time: Duration) -> Result<(), Failure> {
    let mut server = Process::new(std::env::current_exe()?)
        .args(["serve", kind])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    let stdout = server.stdout.take().ok_or("the server has no output")?;
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line)?;
    let calls = Arc::new(AtomicU64::new(0));
    let call = Arc::new(if put { Call::put(VALUE_BYTES) } else { Call::get() });
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS.min(clients) {
        let address = line.trim().to_owned();
        let each = clients.div_ceil(CONNECTIONS);
        tasks.spawn(load::run(address, each, Arc::clone(&call), Arc::clone(&calls)));
    }
    tokio::time::sleep(time / 5).await;
    let (began, calls_before, ticks_before) =
        (Instant::now(), calls.load(Ordering::Relaxed), ticks(server.id())?);
    tokio::time::sleep(time).await;
    let done = (calls.load(Ordering::Relaxed) - calls_before) as f64;
    let cpu_us = (ticks(server.id())? - ticks_before) / TICKS_PER_SECOND * 1e6;
    let rate = done / began.elapsed().as_secs_f64();
    let call = if put { "put" } else { "get" };
    println!(
        "{kind:<22} {call:<5} {rate:>10.0} {:>14.2}  ({clients} clients)",
        cpu_us / done
    );
    tasks.abort_all();
    server.kill()?;
    server.wait()?;
    Ok(())
}

/// CPU time of a process so far, user and system.
fn ticks(process: u32) -> Result<f64, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let after_name = stat.rsplit_once(')').ok_or("a stat line names its command")?.1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    Ok(fields[11].parse::<f64>()? + fields[12].parse::<f64>()?)
}

async fn serve(kind: &str) -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let plain = TcpIncoming::from(listener).with_nodelay(Some(true));
    let member = Arc::new(Constant::new());
    let generated = || {
        KvServer::new(Generated {
            value: vec![b'v'; VALUE_BYTES].into(),
        })
    };
    match kind {
        "generated" => Server::builder().serve_with_incoming(generated(), plain).await?,
        "edge" => {
            let edge = Edge::new(member, Config::default());
            Server::builder().serve_with_incoming(edge, plain).await?;
        }
        _ => almadia_etcd::serve(member, Config::default(), plain, std::future::pending()).await,
    }
    Ok(())
}

/// A member that applies nothing.
struct Constant {
    views: Views,
}

impl Constant {
    fn new() -> Self {
        let mut store = Store::empty();
        let put = Put {
            key: "key".into(),
            value: vec![b'v'; VALUE_BYTES].into(),
            ..Put::default()
        };
        let _ = store.apply(LogIndex(1), Term(1), &almadia_command::Kind::Put(put).into());
        store.publish();
        Self { views: store.views() }
    }
}

impl Backend for Constant {
    async fn log(
        &self,
        _from: almadia_command::LogIndex,
        _limit: usize,
    ) -> Result<almadia_member::log::LogPage, String> {
        Err("a double has no log".to_owned())
    }

    async fn propose(&self, _: Command) -> Result<Applied, ProposeError> {
        let outcome = Outcome {
            revision: Revision(2),
            result: Ok(Answer::Put { prev: None }),
        };
        Ok(Applied {
            outcome,
            index: LogIndex(1),
            term: Term(1),
        })
    }

    async fn read_barrier(&self) -> Result<(), ReadError> {
        Ok(())
    }

    async fn recovered(&self) -> Result<(), ReadError> {
        Ok(())
    }

    fn view(&self) -> Arc<View> {
        self.views.load()
    }

    fn status(&self) -> Status {
        unreachable!("nobody asks")
    }

    fn identity(&self) -> Identity {
        Identity {
            cluster: ClusterId(1),
            member: MemberId(1),
        }
    }
}

/// The same with tonic's generated code.
struct Generated {
    value: bytes::Bytes,
}

fn header() -> Option<ResponseHeader> {
    Some(ResponseHeader {
        cluster_id: 1,
        member_id: 1,
        revision: 2,
        raft_term: 1,
    })
}

#[tonic::async_trait]
impl Kv for Generated {
    type RangeStreamStream = tokio_stream::Empty<Result<RangeStreamResponse, tonic::Status>>;

    async fn range(&self, _: Request<RangeRequest>) -> Result<Response<RangeResponse>, tonic::Status> {
        let kv = KeyValue {
            key: "key".into(),
            value: self.value.clone(),
            create_revision: 2,
            mod_revision: 2,
            version: 1,
            lease: 0,
        };
        Ok(Response::new(RangeResponse {
            header: header(),
            kvs: vec![kv],
            more: false,
            count: 1,
        }))
    }

    async fn range_stream(
        &self,
        _: Request<RangeRequest>,
    ) -> Result<Response<Self::RangeStreamStream>, tonic::Status> {
        Err(tonic::Status::unimplemented(""))
    }

    async fn put(&self, _: Request<PutRequest>) -> Result<Response<PutResponse>, tonic::Status> {
        Ok(Response::new(PutResponse {
            header: header(),
            prev_kv: None,
        }))
    }

    async fn delete_range(
        &self,
        _: Request<DeleteRangeRequest>,
    ) -> Result<Response<DeleteRangeResponse>, tonic::Status> {
        Err(tonic::Status::unimplemented(""))
    }

    async fn txn(&self, _: Request<TxnRequest>) -> Result<Response<TxnResponse>, tonic::Status> {
        Err(tonic::Status::unimplemented(""))
    }

    async fn compact(
        &self,
        _: Request<CompactionRequest>,
    ) -> Result<Response<CompactionResponse>, tonic::Status> {
        Err(tonic::Status::unimplemented(""))
    }
}
