//! Members for a test: processes in a temporary directory that end with the test. It waits by asking, never by sleeping for
//! a fixed time.

use almadia::demo::client::MemberClient;
use almadia::demo::cluster::{LocalCluster, Plan};
use almadia::demo::watching::{self, Leader, Statuses};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything may take on a machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_almadia");

/// A cluster of processes and what a test needs of it.
pub struct Deployment {
    /// The processes.
    pub cluster: LocalCluster,
    /// Where clients reach the members.
    pub urls: Vec<String>,
    /// Removed when the test ends.
    _directory: TempDir,
}

impl Deployment {
    /// Members that do not run yet.
    pub fn planned(members: usize) -> Self {
        Self::planned_with(members, &[])
    }

    /// The same with more flags.
    pub fn planned_with(members: usize, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let plan = Plan {
            program: PROGRAM.into(),
            directory: directory.path().to_owned(),
            members,
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
        };
        let cluster = LocalCluster::new(plan).unwrap();
        Self {
            urls: cluster.client_urls(),
            cluster,
            _directory: directory,
        }
    }

    /// Three members with a leader.
    pub async fn of_three() -> (Self, Leader) {
        let mut deployment = Self::planned(3);
        deployment.cluster.start_all().unwrap();
        let leader = deployment.leader_above(0).await;
        (deployment, leader)
    }

    /// Waits for a leader in a term above this one.
    pub async fn leader_above(&self, term: u64) -> Leader {
        let found =
            |statuses: &Statuses| watching::agreed_leader(statuses).filter(|leader| leader.term > term);
        self.wait("a leader", found).await
    }

    /// Waits until all members have applied everything and stand at one revision.
    pub async fn caught_up(&self) -> i64 {
        self.wait("all members at one revision", watching::same_revision)
            .await
    }

    /// Waits for what `found` looks for.
    pub async fn wait<T>(&self, what: &str, found: impl FnMut(&Statuses) -> Option<T>) -> T {
        match watching::wait_for(&self.urls, PATIENCE, found).await {
            Ok(found) => found,
            Err(last) => panic!("waited in vain for {what}: {last}\n{}", self.last_words()),
        }
    }

    /// Connects to one member, directly.
    pub async fn client(&self, ordinal: usize) -> MemberClient {
        MemberClient::connect(&self.urls[ordinal]).await.unwrap()
    }

    /// Runs a client command against all members.
    pub fn almadia(&self, words: &[&str]) -> Output {
        almadia_at(&self.urls, words)
    }

    /// Waits until a member has written these words into its log.
    pub async fn says(&self, ordinal: usize, words: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self
                .cluster
                .last_words(ordinal, 500)
                .into_iter()
                .find(|line| line.contains(words));
            if let Some(line) = found {
                return line;
            }
            assert!(
                Instant::now() < deadline,
                "almadia-{ordinal} does not say `{words}`:\n{}",
                self.last_words()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What all members said last.
    pub fn last_words(&self) -> String {
        let each = |ordinal| self.cluster.last_words(ordinal, 15).join("\n");
        (0..self.urls.len())
            .map(|ordinal| format!("almadia-{ordinal}:\n{}\n", each(ordinal)))
            .collect()
    }
}

/// Runs a client command against these members.
pub fn almadia_at(urls: &[String], words: &[&str]) -> Output {
    Command::new(PROGRAM)
        .args(words)
        .args(["--endpoints", &urls.join(",")])
        .output()
        .unwrap()
}

/// Standard output of a command that must succeed.
#[track_caller]
pub fn succeeded(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {complaints}{text}", output.status);
    text
}

/// Runs a member that must refuse to start; answers with the one line in which it says why.
pub async fn refused(mut command: Command) -> String {
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("it did not refuse to start");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let output = child.wait_with_output().unwrap();
    assert!(!output.status.success(), "it started");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let complaints: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("almadia server: "))
        .collect();
    assert_eq!(complaints.len(), 1, "one clear line, not: {text}");
    complaints[0].to_owned()
}
