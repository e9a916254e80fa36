//! What the body counts: syncs of the log, traffic with peers, and how long certificates are good. Read when somebody looks.

use crate::config::ServerConfig;
use crate::tls::certificate;
use almadia_command::MemberId;
use almadia_member::Durations;
use almadia_wal::{GroupStats, Observer};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Certificates are read again for their end after this long.
const CERTIFICATES_KEPT: Duration = Duration::from_secs(30);

/// What the body counts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BodyVitals {
    /// Syncs of the log.
    pub syncs: Arc<Durations>,
    /// Bytes to and from peers.
    pub traffic: Traffic,
    certificates: Arc<Certificates>,
}

/// What each certificate is for, and when it ends, in seconds since 1970.
pub type Ends = Vec<(&'static str, i64)>;

/// Bytes to and from each peer. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Traffic(Arc<Mutex<BTreeMap<MemberId, Arc<PeerTraffic>>>>);

/// Bytes to and from one peer.
#[derive(Debug, Default)]
pub struct PeerTraffic {
    /// Bytes of frames that went out.
    pub sent: AtomicU64,
    /// Bytes of frames that came in.
    pub received: AtomicU64,
    /// Connections that are open.
    pub open: AtomicU64,
    /// How often the last one was gone.
    pub disconnected: AtomicU64,
}

/// A connection to a peer, counted as open until this is dropped.
#[derive(Debug)]
pub(crate) struct Connected(Arc<PeerTraffic>);

#[derive(Debug)]
struct Certificates {
    /// What each is for, and where it stands.
    files: Vec<(&'static str, PathBuf)>,
    /// When they were read, and when each ends, in seconds since 1970.
    read: Mutex<Option<(Instant, Ends)>>,
}

impl Traffic {
    fn peers(&self) -> std::sync::MutexGuard<'_, BTreeMap<MemberId, Arc<PeerTraffic>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everyone with whom there was any.
    pub fn read(&self) -> Vec<(MemberId, Arc<PeerTraffic>)> {
        let peers = self.peers();
        peers.iter().map(|(id, traffic)| (*id, traffic.clone())).collect()
    }

    /// A connection with this peer was made.
    pub(crate) fn connect(&self, peer: MemberId) -> Connected {
        let traffic = self.peers().entry(peer).or_default().clone();
        traffic.open.fetch_add(1, Ordering::Relaxed);
        Connected(traffic)
    }
}

impl Connected {
    pub(crate) fn note_sent(&self, bytes: usize) {
        self.0.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn note_received(&self, bytes: usize) {
        self.0.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.disconnected.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl BodyVitals {
    pub(crate) fn new(config: &ServerConfig, syncs: Arc<Durations>, traffic: Traffic) -> Self {
        let named = [("client", &config.tls.client), ("peer", &config.tls.peer)];
        let files = named
            .into_iter()
            .filter_map(|(purpose, files)| Some((purpose, files.certificate.clone()?)))
            .collect();
        let certificates = Certificates {
            files,
            read: Mutex::default(),
        };
        Self {
            syncs,
            traffic,
            certificates: Arc::new(certificates),
        }
    }

    /// When the certificates that this member shows end, in seconds since 1970, by what they are for.
    pub fn certificates_end(&self) -> Ends {
        let certificates = &self.certificates;
        let mut read = certificates.read.lock().unwrap_or_else(PoisonError::into_inner);
        let known = read.as_ref().filter(|(at, _)| at.elapsed() < CERTIFICATES_KEPT);
        if let Some((_, ends)) = known {
            return ends.clone();
        }
        let end = |path: &PathBuf| {
            let chain = certificate::read_chain(path).ok()?;
            chain.first().map(|facts| facts.not_after)
        };
        let files = certificates.files.iter();
        let ends: Ends = files
            .filter_map(|(purpose, path)| Some((*purpose, end(path)?)))
            .collect();
        *read = Some((Instant::now(), ends.clone()));
        ends
    }
}

/// Times the log's syncs, on the log's own thread.
pub(crate) struct SyncTimer {
    syncs: Arc<Durations>,
    begun: Option<Instant>,
}

impl SyncTimer {
    pub(crate) fn new(syncs: Arc<Durations>) -> Self {
        Self { syncs, begun: None }
    }
}

impl Observer for SyncTimer {
    fn sync_begins(&mut self) {
        self.begun = Some(Instant::now());
    }

    fn group_ends(&mut self, _: GroupStats) {
        if let Some(begun) = self.begun.take() {
            self.syncs.note(begun.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::issue;

    #[test]
    fn a_peer_is_gone_with_its_last_connection() {
        let traffic = Traffic::default();
        let (first, second) = (traffic.connect(MemberId(7)), traffic.connect(MemberId(7)));
        first.note_sent(3);
        second.note_sent(4);
        second.note_received(5);
        drop(first);
        let (id, counted) = traffic.read().remove(0);
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        assert_eq!(
            (id, load(&counted.sent), load(&counted.received)),
            (MemberId(7), 7, 5)
        );
        assert_eq!((load(&counted.open), load(&counted.disconnected)), (1, 0));
        drop(second);
        assert_eq!((load(&counted.open), load(&counted.disconnected)), (0, 1));
    }

    /// Shown with TLS only: when what is in use ends; what cannot be read is left out.
    #[test]
    fn a_certificate_s_end_is_known() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("server.crt");
        let issued = issue::authority("somebody", Duration::from_secs(3600)).unwrap();
        issue::save(&path, &issued.certificate, false, false).unwrap();
        let mut config = ServerConfig::default();
        config.tls.client.certificate = Some(path);
        config.tls.peer.certificate = Some(directory.path().join("not there"));
        let vitals = BodyVitals::new(&config, Arc::new(Durations::of_disk()), Traffic::default());
        let ends = vitals.certificates_end();
        assert_eq!(ends.len(), 1);
        let (purpose, end) = ends[0];
        let left = end - certificate::now();
        assert!(
            purpose == "client" && (3500..=3700).contains(&left),
            "{purpose} {left}"
        );
    }

    #[test]
    fn each_group_s_sync_is_timed() {
        let syncs = Arc::new(Durations::of_disk());
        let mut timer = SyncTimer::new(syncs.clone());
        timer.group_ends(GroupStats::default());
        assert_eq!(syncs.read().count(), 0, "nothing was synced");
        timer.sync_begins();
        timer.group_ends(GroupStats::default());
        assert_eq!(syncs.read().count(), 1);
    }
}
