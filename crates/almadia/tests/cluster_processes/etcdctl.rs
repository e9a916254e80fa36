//! etcd's own command line drives a cluster, unchanged. Skipped, loudly, where there is no etcdctl:
//! `scripts/fetch-etcd.sh DIR` brings one, and ALMADIA_ETCDCTL_BIN says where it is.

use crate::deployment::{Deployment, succeeded};
use std::io::Write;
use std::process::{Command, Output, Stdio};

struct Etcdctl {
    program: String,
    endpoints: String,
}

impl Etcdctl {
    fn run(&self, words: &[&str], input: &str) -> Output {
        let mut child = Command::new(&self.program)
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &self.endpoints])
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    #[track_caller]
    fn check(&self, words: &[&str], expected: &str) {
        assert_eq!(succeeded(&self.run(words, "")), expected, "{words:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcdctl_drives_it() {
    let Ok(program) = std::env::var("ALMADIA_ETCDCTL_BIN") else {
        println!("SKIPPED: ALMADIA_ETCDCTL_BIN does not name an etcdctl");
        return;
    };
    let (deployment, leader) = Deployment::of_three().await;
    let etcdctl = Etcdctl {
        program,
        endpoints: deployment.urls.join(","),
    };
    etcdctl.check(&["put", "a", "1"], "OK\n");
    etcdctl.check(&["put", "b", "2"], "OK\n");
    etcdctl.check(&["put", "a", "3", "--prev-kv"], "OK\na\n1\n");
    etcdctl.check(&["get", "a"], "a\n3\n");
    etcdctl.check(&["get", "", "--prefix", "--keys-only"], "a\n\nb\n\n");
    etcdctl.check(&["get", "a", "--rev", "2"], "a\n1\n");
    let transaction = "value(\"a\") = \"3\"\n\nput c 4\n\nput c 5\n\n";
    assert_eq!(succeeded(&etcdctl.run(&["txn"], transaction)), "SUCCESS\n\nOK\n");
    etcdctl.check(&["get", "c", "--print-value-only"], "4\n");
    etcdctl.check(&["del", "", "--prefix"], "3\n");
    etcdctl.check(&["compaction", "5"], "compacted revision 5\n");
    let old = etcdctl.run(&["get", "a", "--rev", "2"], "");
    let complaint = String::from_utf8_lossy(&old.stderr).into_owned();
    assert!(
        !old.status.success() && complaint.contains("required revision has been compacted"),
        "{complaint}"
    );
    let members = succeeded(&etcdctl.run(&["member", "list"], ""));
    assert_eq!(members.lines().count(), 3, "{members}");
    assert!(
        members
            .lines()
            .all(|line| line.contains("started") && line.contains("almadia-")),
        "{members}"
    );
    let status = succeeded(&etcdctl.run(&["endpoint", "status", "-w", "json"], ""));
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    for endpoint in status.as_array().expect("one for each endpoint") {
        assert_eq!(
            endpoint["Status"]["leader"].as_u64(),
            Some(leader.member),
            "{endpoint}"
        );
    }
    let table = succeeded(&etcdctl.run(&["endpoint", "status", "-w", "table"], ""));
    assert_eq!(table.matches("true").count(), 1, "one of them leads:\n{table}");
}
