//! A real etcd beside the edge, when the environment variable `ALMADIA_ETCD_BIN` names one.

// Each test program uses its own part of this.
#![allow(dead_code)]

use crate::double::kv_client;
use almadia_etcd::proto::etcdserverpb::{self as pb, kv_client::KvClient};
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tonic::transport::Channel;

/// A real etcd with its data in a directory that goes with it.
pub struct Etcd {
    process: Child,
    /// Where clients find it.
    pub url: String,
    _directory: tempfile::TempDir,
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Etcd {
    /// Starts a fresh one.
    pub async fn start(program: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let (client, peer) = free_ports();
        let (url, peer_url) = (
            format!("http://127.0.0.1:{client}"),
            format!("http://127.0.0.1:{peer}"),
        );
        let process = Command::new(program)
            .arg("--data-dir")
            .arg(directory.path().join("data"))
            .args([
                "--name",
                "beside",
                "--listen-client-urls",
                &url,
                "--advertise-client-urls",
                &url,
            ])
            .args([
                "--listen-peer-urls",
                &peer_url,
                "--initial-advertise-peer-urls",
                &peer_url,
            ])
            .args([
                "--initial-cluster",
                &format!("beside={peer_url}"),
                "--unsafe-no-fsync",
            ])
            .args(["--log-level", "error"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program named by ALMADIA_ETCD_BIN starts");
        Self {
            process,
            url,
            _directory: directory,
        }
    }

    /// Connects as soon as it answers.
    pub async fn connect(&self) -> KvClient<Channel> {
        let endpoint = tonic::transport::Endpoint::from_shared(self.url.clone()).expect("it is a URL");
        let mut pause = tokio::time::interval(Duration::from_millis(50));
        for _ in 0..600 {
            pause.tick().await;
            if let Ok(channel) = endpoint.connect().await {
                let mut client = kv_client(channel);
                let probe = pb::RangeRequest {
                    key: "probe".into(),
                    ..Default::default()
                };
                if client.range(probe).await.is_ok() {
                    return client;
                }
            }
        }
        panic!("etcd did not answer within 30 s");
    }
}

/// Two ports that nobody listened on a moment ago; etcd cannot be told to take any.
fn free_ports() -> (u16, u16) {
    let bind = || std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let port = |listener: &std::net::TcpListener| {
        listener
            .local_addr()
            .expect("a bound socket has an address")
            .port()
    };
    let (one, other) = (bind(), bind());
    (port(&one), port(&other))
}

/// The etcd to compare with; without one, says so where the test harness does not swallow it.
pub fn etcd_or_skip(test: &str) -> Option<String> {
    let program = std::env::var("ALMADIA_ETCD_BIN").ok();
    if program.is_none() {
        let reason = "ALMADIA_ETCD_BIN does not name an etcd program to compare with";
        let _ = writeln!(std::io::stderr(), "\nSKIPPED: {test}: {reason}\n");
    }
    program
}
