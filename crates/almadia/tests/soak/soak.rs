//! One run: a cluster, its clients and watchers, faults in between, and the checks at the end. It does not know what a fault
//! does.

use crate::deployment::Deployment;
use crate::faults::{self, Fault};
use crate::recorder::Recorder;
use crate::watchers;
use crate::workload::{self, Chance};
use almadia_sim::checks::{Finding, LeaseBounds, check_all};
use almadia_sim::history::{self, History, Outcome};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// A busy machine may take so long to find and revoke a lease.
const LEASE_LATE: Duration = Duration::from_secs(15);

/// Fewer answered calls than this a second would prove nothing.
const ANSWERED_PER_SECOND_MIN: usize = 5;

/// How long the faults go on.
pub fn seconds() -> u64 {
    let told = std::env::var("ALMADIA_SOAK_SECONDS").ok();
    told.and_then(|text| text.parse().ok()).unwrap_or(4)
}

/// A cluster to be disturbed.
pub struct Soak {
    /// Its processes.
    pub deployment: Deployment,
    /// What is seen.
    pub recorder: Arc<Recorder>,
}

impl Soak {
    /// So many members, not running yet.
    pub fn planned(members: usize) -> Soak {
        Soak {
            deployment: Deployment::planned(members),
            recorder: Arc::new(Recorder::new(members)),
        }
    }

    /// Starts everything, disturbs, lets it heal, checks.
    pub async fn run(mut self, faults: &[Fault]) {
        self.deployment.cluster.start_all().unwrap();
        self.deployment.leader_above(0).await;
        let load = Load::begin(&self.deployment.urls, &self.recorder);
        let mut chance = Chance::from_entropy();
        let end = Instant::now() + Duration::from_secs(seconds());
        while Instant::now() < end {
            let fault = faults[chance.below(faults.len() as u64) as usize];
            let begun = self.recorder.now_us();
            let what = faults::inflict(&mut self.deployment, fault, &mut chance).await;
            self.deployment.leader_above(0).await;
            self.recorder.disturbed(begun, what);
        }
        self.finish(load).await;
    }

    /// Waits until all members stand at one revision and have told of it, and checks what was recorded.
    pub async fn finish(self, load: Load) {
        load.clients_end().await;
        let revision = self.deployment.caught_up().await;
        load.watchers_end(&self.recorder, revision).await;
        let (last_words, history) = (self.deployment.last_words(), self.recorder.take());
        judge(&history, &last_words);
    }
}

/// Clients and watchers at work.
pub struct Load {
    clients: JoinSet<()>,
    watchers: JoinSet<()>,
    stop_clients: tokio::sync::watch::Sender<bool>,
    stop_watchers: tokio::sync::watch::Sender<bool>,
}

impl Load {
    /// Begins to ask the members at these URLs.
    pub fn begin(urls: &[String], recorder: &Arc<Recorder>) -> Load {
        let (stop_clients, clients_stopped) = tokio::sync::watch::channel(false);
        let (stop_watchers, watchers_stopped) = tokio::sync::watch::channel(false);
        let mut load = Load {
            clients: JoinSet::new(),
            watchers: JoinSet::new(),
            stop_clients,
            stop_watchers,
        };
        for (ordinal, url) in urls.iter().enumerate() {
            let witness = watchers::witness(
                Arc::clone(recorder),
                ordinal,
                url.clone(),
                watchers_stopped.clone(),
            );
            load.watchers.spawn(witness);
            let some = watchers::some(
                Arc::clone(recorder),
                ordinal,
                url.clone(),
                watchers_stopped.clone(),
            );
            load.watchers.spawn(some);
            for kind in workload::KINDS {
                let client = workload::run(
                    *kind,
                    Arc::clone(recorder),
                    ordinal,
                    url.clone(),
                    clients_stopped.clone(),
                );
                load.clients.spawn(client);
            }
        }
        load
    }

    /// Lets the clients finish the call they are at.
    pub async fn clients_end(&self) {
        self.stop_clients.send_replace(true);
        while self.stop_clients.receiver_count() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until every member has told of everything.
    pub async fn watchers_end(mut self, recorder: &Recorder, revision: i64) {
        let deadline = Instant::now() + crate::deployment::PATIENCE;
        while recorder.told_by_everybody() < revision {
            assert!(
                Instant::now() < deadline,
                "not every member tells of revision {revision}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.stop_watchers.send_replace(true);
        while let Some(ended) = self.watchers.join_next().await {
            ended.unwrap();
        }
        while let Some(ended) = self.clients.join_next().await {
            ended.unwrap();
        }
    }
}

/// No finding, and enough was seen.
pub fn judge(history: &History, last_words: &str) {
    let answered = history
        .calls
        .iter()
        .filter(|call| matches!(call.outcome, Outcome::Done(_)));
    let unknown = history
        .calls
        .iter()
        .filter(|call| call.outcome == Outcome::Unknown);
    let (answered, unknown) = (answered.count(), unknown.count());
    let revisions = history
        .changes
        .iter()
        .map(|change| change.revision)
        .max()
        .unwrap_or(0);
    let bounds = LeaseBounds {
        late_us: LEASE_LATE.as_micros() as u64,
        ..LeaseBounds::default()
    };
    let started = Instant::now();
    let findings = check_all(history, bounds);
    println!(
        "soak: {} calls ({answered} answered, {unknown} unknown), {revisions} revisions, {} watchers, {} disturbances; checked in {:.1} s",
        history.calls.len(),
        history.watches.len(),
        history.disturbances.len(),
        started.elapsed().as_secs_f64()
    );
    if !findings.is_empty() {
        let path = keep(history);
        let list: Vec<String> = findings.iter().map(Finding::to_string).collect();
        panic!(
            "{} findings, history in {path}:\n{}\n{last_words}",
            list.len(),
            list.join("\n")
        );
    }
    assert!(
        answered >= ANSWERED_PER_SECOND_MIN * seconds() as usize,
        "too little was asked to prove anything"
    );
}

fn keep(history: &History) -> String {
    let name = format!(
        "almadia-soak-{}-{}.jsonl",
        std::process::id(),
        history.calls.len()
    );
    let path = std::env::temp_dir().join(name);
    let file = std::fs::File::create(&path).unwrap();
    history::write(history, std::io::BufWriter::new(file)).unwrap();
    path.display().to_string()
}
