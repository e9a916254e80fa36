//! The timers of consensus and where they come from.

/// Timers in milliseconds. Chosen by measurement: see `docs/internals/consensus.md`.
///
/// After a leader's last heartbeat a follower waits for the leader's lease (= `election_max_ms`) plus its own
/// election timeout before it stands, so a killed leader is replaced after 0.9 to 1.2 s at the defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Between two heartbeats.
    pub heartbeat_ms: u64,
    /// The shortest election timeout.
    pub election_min_ms: u64,
    /// The longest election timeout, and the leader's lease.
    pub election_max_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            heartbeat_ms: 50,
            election_min_ms: 300,
            election_max_ms: 600,
        }
    }
}

impl Settings {
    /// The settings for etcd's `--election-timeout` T and `--heartbeat-interval` H: elections after 0.3 T to
    /// 0.6 T, heartbeats twice as often as asked, so that the default flags give the defaults here.
    pub fn from_etcd(election_ms: u64, heartbeat_ms: u64) -> Self {
        let election_min_ms = (election_ms * 3 / 10).max(20);
        let election_max_ms = (election_ms * 6 / 10).max(election_min_ms + 10);
        let heartbeat_ms = (heartbeat_ms / 2).clamp(1, (election_min_ms / 3).max(1));
        Self {
            heartbeat_ms,
            election_min_ms,
            election_max_ms,
        }
    }

    pub(crate) fn to_openraft(self) -> openraft::Config {
        openraft::Config {
            cluster_name: "almadia".to_owned(),
            heartbeat_interval: self.heartbeat_ms,
            election_timeout_min: self.election_min_ms,
            election_timeout_max: self.election_max_ms,
            // Switched on by `leader_lease::stand_after`.
            enable_elect: false,
            enable_pre_vote: Some(true),
            // A leader that hears no majority pauses its heartbeats so that others can elect (one-way partition).
            quorum_loss_probe_interval: Some(self.election_max_ms * 2),
            enable_leader_restore: Some(false),
            // Batches to followers are cut by bytes in the log reader, not by count.
            max_payload_entries: 16 * 1024,
            // One trigger for checkpoints: the member's upkeep. openraft makes none of its own accord.
            snapshot_policy: openraft::SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: u64::MAX,
            replication_lag_threshold: u64::MAX,
            purge_batch_size: 1,
            install_snapshot_timeout: 600_000,
            ..openraft::Config::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etcd_s_defaults_give_ours() {
        assert_eq!(Settings::from_etcd(1000, 100), Settings::default());
    }

    #[test]
    fn openraft_accepts_what_we_ask_for() {
        for (election, heartbeat) in [(1000, 100), (50, 10), (50_000, 5_000), (100, 100)] {
            let config = Settings::from_etcd(election, heartbeat).to_openraft();
            assert!(
                config.validate().is_ok(),
                "election {election}, heartbeat {heartbeat}"
            );
        }
    }
}
