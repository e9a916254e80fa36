//! The demo's course, step by step. Each step says what it does, does it, and says what came of it; the first broken promise
//! ends the show.

use super::client::MemberClient;
use super::cluster::LocalCluster;
use super::screen::Screen;
use super::watching::{Leader, agreed_leader, same_revision, wait_for};
use super::writer::{Journal, Writers};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long members may take to agree on a leader, and to catch up.
const LEADER_LIMIT: Duration = Duration::from_secs(20);
const CATCH_UP_LIMIT: Duration = Duration::from_secs(30);

/// Writers in the step that kills the leader, and how long they write before and after.
const WRITERS: usize = 4;
const BEFORE_KILL: Duration = Duration::from_millis(700);
const AFTER_KILL: Duration = Duration::from_millis(1500);

/// Keys of the first step.
const FIRST_KEYS: usize = 300;

/// Everything the demo writes lies under these.
const FIRST_PREFIX: &str = "demo/first/";
const WRITER_PREFIX: &str = "demo/writer/";

/// How many lines of each member's log are shown after a failure.
const LAST_WORDS: usize = 5;

/// What was found out.
#[derive(Debug, Default)]
pub struct Facts {
    /// Acknowledged writes.
    pub acknowledged: usize,
    /// Writes whose fate was unknown when the leader was killed.
    pub unknown: usize,
    /// Acknowledged writes that were lost.
    pub lost: usize,
    /// The longest time without an acknowledgement after the kill.
    pub silence: Option<Duration>,
    /// The terms seen, in order.
    pub terms: Vec<u64>,
    /// The revision all members ended at.
    pub revision: i64,
}

/// The demo under way.
pub struct Show {
    /// Where it prints.
    pub screen: Screen,
    /// What it runs.
    pub cluster: LocalCluster,
    /// What it found out.
    pub facts: Facts,
    urls: Vec<String>,
}

impl Show {
    /// Nothing is started yet.
    pub fn new(screen: Screen, cluster: LocalCluster) -> Self {
        let urls = cluster.client_urls();
        Self {
            screen,
            cluster,
            facts: Facts::default(),
            urls,
        }
    }

    /// The whole course.
    ///
    /// # Errors
    /// What went wrong, or which promise was broken.
    pub async fn run(&mut self) -> Result<(), String> {
        let leader = self.start_members().await?;
        self.write_and_read().await?;
        let (journal, leader) = self.kill_leader(leader).await?;
        self.prove_nothing_lost(&journal, leader.ordinal).await?;
        self.restart(leader.ordinal).await?;
        self.compare_members(&journal).await
    }

    async fn start_members(&mut self) -> Result<Leader, String> {
        self.screen.step(format!(
            "Starting {} members, each a process of its own",
            self.urls.len()
        ));
        let start = Instant::now();
        self.cluster
            .start_all()
            .map_err(|error| format!("cannot start a member: {error}"))?;
        for ordinal in 0..self.urls.len() {
            let pid = self.cluster.pid(ordinal).unwrap_or_default();
            let member = &self.cluster.members()[ordinal];
            let line = format!(
                "{}  clients {}  peers {}  pid {pid}",
                member.name, member.client_url, member.peer_url
            );
            self.screen.note(line);
        }
        let leader = self.wait_for_leader(0).await?;
        let elapsed = start.elapsed().as_secs_f64();
        self.screen.good(format!(
            "almadia-{} leads in term {} after {elapsed:.1} s",
            leader.ordinal, leader.term
        ));
        Ok(leader)
    }

    /// A leader in a term above the given one.
    async fn wait_for_leader(&mut self, above_term: u64) -> Result<Leader, String> {
        let urls = self.urls.clone();
        let (screen, cluster) = (&mut self.screen, &mut self.cluster);
        let found = wait_for(&urls, LEADER_LIMIT, |statuses| {
            let ended = (0..urls.len()).find(|ordinal| cluster.exit_status(*ordinal).is_some());
            if let Some(ordinal) = ended {
                return Some(Err(format!("almadia-{ordinal} ended by itself")));
            }
            screen.progress("waiting for a leader…");
            agreed_leader(statuses)
                .filter(|leader| leader.term > above_term)
                .map(Ok)
        });
        let leader = found
            .await
            .map_err(|last| format!("no leader within {LEADER_LIMIT:?}: {last}"))??;
        self.facts.terms.push(leader.term);
        Ok(leader)
    }

    async fn clients(&self, without: Option<usize>) -> Result<Vec<MemberClient>, String> {
        let mut clients = Vec::new();
        for (_, url) in self
            .urls
            .iter()
            .enumerate()
            .filter(|(ordinal, _)| Some(*ordinal) != without)
        {
            clients.push(
                MemberClient::connect(url)
                    .await
                    .map_err(|reason| format!("{url}: {reason}"))?,
            );
        }
        Ok(clients)
    }

    async fn write_and_read(&mut self) -> Result<(), String> {
        self.screen.step(format!(
            "Writing {FIRST_KEYS} keys through all members in turn, reading each through another"
        ));
        let clients = self.clients(None).await?;
        let start = Instant::now();
        for number in 0..FIRST_KEYS {
            let (key, value) = (format!("{FIRST_PREFIX}{number:04}"), format!("value {number}"));
            clients[number % clients.len()].put(&key, &value).await?;
            let found = clients[(number + 1) % clients.len()].get(&key).await?;
            if found.as_ref().map(|pair| pair.value.as_ref()) != Some(value.as_bytes()) {
                return Err(format!(
                    "{key} was just written through one member and another reads {found:?}"
                ));
            }
            self.screen.progress(format!("{} of {FIRST_KEYS}", number + 1));
        }
        let elapsed = start.elapsed();
        let each_ms = elapsed.as_secs_f64() * 1000.0 / FIRST_KEYS as f64;
        self.facts.acknowledged += FIRST_KEYS;
        self.screen.good(format!(
            "every read saw the write before it; {each_ms:.1} ms for both, every write on a majority's disks"
        ));
        Ok(())
    }

    /// Kills the leader under load; answers with what the writers know and the dead member.
    async fn kill_leader(&mut self, leader: Leader) -> Result<(Journal, Leader), String> {
        let pid = self.cluster.pid(leader.ordinal).unwrap_or_default();
        self.screen.step(format!(
            "Killing the leader while {WRITERS} clients write: kill -9 {pid} (almadia-{})",
            leader.ordinal
        ));
        let prefix = WRITER_PREFIX.trim_end_matches('/');
        let writers = Writers::start(&self.urls, prefix, WRITERS).map_err(|error| error.to_string())?;
        tokio::time::sleep(BEFORE_KILL).await;
        let killed = Instant::now();
        self.cluster.kill(&[leader.ordinal]);
        let new_leader = self.wait_for_leader(leader.term).await?;
        tokio::time::sleep(AFTER_KILL).await;
        let journal = writers.stop().await;
        self.facts.acknowledged += journal.acknowledged.len();
        self.facts.unknown = journal.unknown.len();
        self.facts.silence = journal.longest_silence_after(killed);
        let silence = self
            .facts
            .silence
            .ok_or("no write was acknowledged after the leader had been killed")?;
        self.screen.good(format!(
            "almadia-{} leads in term {}; writes stood still for {:.2} s",
            new_leader.ordinal,
            new_leader.term,
            silence.as_secs_f64()
        ));
        self.screen.note(format!(
            "{} writes acknowledged, {} of unknown fate (sent to the leader as it died)",
            journal.acknowledged.len(),
            journal.unknown.len()
        ));
        for (reason, count) in &journal.refused {
            self.screen.note(format!("{count} refused: {reason}"));
        }
        Ok((journal, leader))
    }

    async fn prove_nothing_lost(&mut self, journal: &Journal, dead: usize) -> Result<(), String> {
        self.screen
            .step("Reading every acknowledged write back from every member that is left");
        if let Some(violation) = journal.violations.first() {
            return Err(format!("a revision went back: {violation}"));
        }
        for (client, url) in self
            .clients(Some(dead))
            .await?
            .iter()
            .zip(self.urls_without(dead))
        {
            let contents = client.contents(WRITER_PREFIX).await?;
            self.check_contents(journal, &url, &contents.pairs)?;
        }
        self.screen.good(format!(
            "all {} are there with their values, in the order they were acknowledged",
            journal.acknowledged.len()
        ));
        Ok(())
    }

    fn urls_without(&self, ordinal: usize) -> Vec<String> {
        self.urls
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != ordinal)
            .map(|(_, url)| url.clone())
            .collect()
    }

    fn check_contents(
        &mut self,
        journal: &Journal,
        url: &str,
        pairs: &[almadia_etcd::proto::mvccpb::KeyValue],
    ) -> Result<(), String> {
        let wrong = journal.compare(pairs);
        self.facts.lost += wrong.len();
        for one in wrong.iter().take(LAST_WORDS) {
            self.screen.bad(format!("{url}: {one}"));
        }
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(format!("{} of the writes are not as acknowledged", wrong.len()))
        }
    }

    async fn restart(&mut self, dead: usize) -> Result<(), String> {
        self.screen.step(format!("Starting almadia-{dead} again"));
        let start = Instant::now();
        self.cluster
            .start(dead)
            .map_err(|error| format!("cannot start almadia-{dead}: {error}"))?;
        let screen = &mut self.screen;
        let caught_up = wait_for(&self.urls, CATCH_UP_LIMIT, |statuses| {
            screen.progress("waiting until it has caught up…");
            same_revision(statuses)
        });
        let revision = caught_up
            .await
            .map_err(|last| format!("it did not catch up within {CATCH_UP_LIMIT:?}: {last}"))?;
        self.facts.revision = revision;
        let elapsed = start.elapsed().as_secs_f64();
        self.screen.good(format!(
            "it caught up in {elapsed:.1} s: revision {revision} everywhere"
        ));
        Ok(())
    }

    async fn compare_members(&mut self, journal: &Journal) -> Result<(), String> {
        self.screen.step("Comparing what the members hold");
        let revision = self.facts.revision;
        let mut fingerprints = Vec::new();
        for (client, url) in self.clients(None).await?.iter().zip(self.urls.clone()) {
            let contents = client.contents_at("demo/", revision).await?;
            let written: Vec<_> = contents
                .pairs
                .iter()
                .filter(|pair| pair.key.starts_with(WRITER_PREFIX.as_bytes()))
                .cloned()
                .collect();
            self.check_contents(journal, &url, &written)?;
            fingerprints.push((contents.pairs.len(), fingerprint(&contents.pairs)));
        }
        let first = fingerprints[0];
        if fingerprints.iter().any(|other| *other != first) {
            return Err(format!("the members differ: {fingerprints:x?}"));
        }
        self.screen.good(format!(
            "{} keys, fingerprint {:016x}, the same on all {}",
            first.0,
            first.1,
            fingerprints.len()
        ));
        Ok(())
    }

    /// Says what went wrong and what the members said last.
    pub fn lament(&mut self, reason: &str) {
        self.screen.bad(reason);
        for ordinal in 0..self.urls.len() {
            let words = self.cluster.last_words(ordinal, LAST_WORDS);
            for line in words {
                self.screen.note(format!("almadia-{ordinal}: {line}"));
            }
        }
    }

    /// Leaves the cluster running and says how to use and how to stop it.
    pub fn hand_over(&mut self, directory: &Path) {
        let pids: Vec<String> = (0..self.urls.len())
            .filter_map(|ordinal| self.cluster.pid(ordinal))
            .map(|pid| pid.to_string())
            .collect();
        let endpoints = self.urls.join(",");
        let lines = [
            "PASS: every promise was kept; the cluster goes on running. To try:".to_owned(),
            String::new(),
            format!("  export ALMADIA_ENDPOINTS={endpoints}"),
            "  almadia status".to_owned(),
            "  almadia put hello world && almadia get hello".to_owned(),
            "  almadia get demo/ --prefix --limit 10".to_owned(),
            "  almadia log --compare".to_owned(),
            format!("  etcdctl --endpoints={endpoints} endpoint status -w table"),
            String::new(),
            format!(
                "To stop it: kill {} && rm -r {}",
                pids.join(" "),
                directory.display()
            ),
        ];
        for line in lines {
            self.screen.line(line);
        }
        self.cluster.let_go();
    }
}

/// A number that differs when any key, value or revision differs; the same in every run of this program.
fn fingerprint(pairs: &[almadia_etcd::proto::mvccpb::KeyValue]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for pair in pairs {
        (
            &pair.key,
            &pair.value,
            pair.create_revision,
            pair.mod_revision,
            pair.version,
        )
            .hash(&mut hasher);
    }
    hasher.finish()
}
