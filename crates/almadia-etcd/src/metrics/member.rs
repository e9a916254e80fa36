//! A member's numbers under etcd's names: what its dashboards, its mixin and Kubernetes read.

use super::sheet::Sheet;
use crate::backend::Status;
use almadia_command::MemberId;
use almadia_member::Vitals;

/// What the settings say.
pub(super) struct Told<'a> {
    /// The version that is shown.
    pub(super) version: &'a str,
    /// The raised alarms: member, kind.
    pub(super) alarms: &'a [(MemberId, &'static str)],
}

/// As etcd writes an id.
pub(super) fn hex(id: MemberId) -> String {
    format!("{:x}", id.get())
}

/// Writes all of it.
pub(super) fn write(sheet: &mut Sheet, vitals: &Vitals, told: &Told<'_>) {
    standing(sheet, &vitals.status, vitals, told);
    proposals(sheet, vitals);
    disk(sheet, vitals);
    store(sheet, vitals);
    peers(sheet, vitals);
    alarms(sheet, told);
}

fn standing(sheet: &mut Sheet, status: &Status, vitals: &Vitals, told: &Told<'_>) {
    sheet.gauge(
        "etcd_server_has_leader",
        "Whether or not a leader exists. 1 is existence, 0 is not.",
        vitals.has_leader,
    );
    sheet.gauge(
        "etcd_server_is_leader",
        "Whether or not this member is a leader. 1 if is, 0 otherwise.",
        status.is_leader,
    );
    sheet.gauge(
        "etcd_server_is_learner",
        "Whether or not this member is a learner. 1 if is, 0 otherwise.",
        status.is_learner,
    );
    sheet.counter(
        "etcd_server_leader_changes_seen_total",
        "The number of leader changes seen.",
        &vitals.consensus.leader_changes,
    );
    let own = hex(status.member);
    let id = [("server_id", own.as_str())];
    sheet.gauge_of(
        "etcd_server_id",
        "Server or member ID in hexadecimal format. 1 for 'server_id' label with current ID.",
        &id,
        true,
    );
    let version = [("server_version", told.version)];
    sheet.gauge_of(
        "etcd_server_version",
        "Which version is running. 1 for 'server_version' label with current version.",
        &version,
        true,
    );
    let major_minor = told
        .version
        .rsplit_once('.')
        .map_or(told.version, |(start, _)| start);
    let cluster_version = format!("{major_minor}.0");
    sheet.gauge_of(
        "etcd_cluster_version",
        "Which version is running. 1 for 'cluster_version' label with current cluster version",
        &[("cluster_version", &cluster_version)],
        true,
    );
}

fn proposals(sheet: &mut Sheet, vitals: &Vitals) {
    let tally = vitals.tally();
    sheet.gauge(
        "etcd_server_proposals_committed_total",
        "The total number of consensus proposals committed.",
        vitals.status.committed.get(),
    );
    sheet.gauge(
        "etcd_server_proposals_applied_total",
        "The total number of consensus proposals applied.",
        vitals.status.applied.get(),
    );
    sheet.gauge(
        "etcd_server_proposals_pending",
        "The current number of pending proposals to commit.",
        vitals.queued + vitals.undecided,
    );
    sheet.counter(
        "etcd_server_proposals_failed_total",
        "The total number of failed proposals seen.",
        &tally.proposals_failed,
    );
    sheet.counter(
        "etcd_server_read_indexes_failed_total",
        "The total number of failed read indexes seen.",
        &tally.reads_failed,
    );
    let failed = vitals.peers.iter().map(|(_, peer)| &peer.heartbeats_failed);
    let failed: u64 = failed
        .map(|counter| counter.load(std::sync::atomic::Ordering::Relaxed))
        .sum();
    sheet.counter(
        "etcd_server_heartbeat_send_failures_total",
        "The total number of leader heartbeat send failures (likely overloaded from slow disk).",
        failed,
    );
}

fn disk(sheet: &mut Sheet, vitals: &Vitals) {
    let files = &vitals.files;
    sheet.gauge(
        "etcd_disk_wal_write_bytes_total",
        "Total number of bytes written in WAL.",
        vitals.wal.bytes,
    );
    sheet.durations(
        "etcd_disk_backend_commit_duration_seconds",
        "The latency distributions of commit called by backend: here of checkpoints.",
        &vitals.consensus.checkpoints.read(),
    );
    sheet.gauge(
        "etcd_disk_defrag_inflight",
        "Whether or not defrag is active on the member. 1 means active, 0 means not: there is nothing to defragment.",
        false,
    );
    sheet.gauge(
        "etcd_mvcc_db_total_size_in_bytes",
        "Total size of the underlying database physically allocated in bytes.",
        files.bytes,
    );
    sheet.gauge(
        "etcd_mvcc_db_total_size_in_use_in_bytes",
        "Total size of the underlying database logically in use in bytes.",
        vitals.sizes.live_bytes,
    );
    // Without a quota the volume is one: rules divide by this.
    let quota = match files.quota_bytes {
        0 => files.free_bytes + files.bytes,
        quota => quota,
    };
    sheet.gauge(
        "etcd_server_quota_backend_bytes",
        "Current backend storage quota size in bytes: without one, what the volume has room for.",
        quota,
    );
}

fn store(sheet: &mut Sheet, vitals: &Vitals) {
    let commands = &vitals.consensus.commands;
    sheet.counter(
        "etcd_mvcc_put_total",
        "Total number of puts seen by this member.",
        &commands.puts,
    );
    sheet.counter(
        "etcd_mvcc_delete_total",
        "Total number of deletes seen by this member.",
        &commands.deletes,
    );
    sheet.counter(
        "etcd_mvcc_txn_total",
        "Total number of txns seen by this member.",
        &commands.txns,
    );
    sheet.gauge(
        "etcd_debugging_mvcc_keys_total",
        "Total number of keys.",
        vitals.sizes.keys,
    );
    sheet.gauge(
        "etcd_debugging_mvcc_current_revision",
        "The current revision of store.",
        vitals.revisions.0,
    );
    sheet.gauge(
        "etcd_debugging_mvcc_compact_revision",
        "The revision of the last compaction in store.",
        vitals.revisions.1,
    );
    sheet.counter(
        "etcd_debugging_lease_granted_total",
        "The total number of granted leases.",
        &commands.grants,
    );
    sheet.counter(
        "etcd_debugging_lease_revoked_total",
        "The total number of revoked leases.",
        &commands.revokes,
    );
}

fn peers(sheet: &mut Sheet, vitals: &Vitals) {
    for (id, peer) in &vitals.peers {
        let id = hex(*id);
        let to = [("To", id.as_str())];
        sheet.durations_of(
            "etcd_network_peer_round_trip_time_seconds",
            "Round-Trip-Time histogram between peers",
            &to,
            &peer.round_trips.read(),
        );
        sheet.counter_of(
            "etcd_network_peer_sent_failures_total",
            "The total number of send failures from peers.",
            &to,
            &peer.failures,
        );
    }
    let own = hex(vitals.status.member);
    for member in &vitals.status.members {
        let remote = hex(member.id);
        if remote != own {
            sheet.gauge_of(
                "etcd_network_known_peers",
                "The current number of known peers.",
                &[("Local", &own), ("Remote", &remote)],
                true,
            );
        }
    }
}

fn alarms(sheet: &mut Sheet, told: &Told<'_>) {
    for (member, kind) in told.alarms {
        let id = hex(*member);
        sheet.gauge_of(
            "etcd_debugging_server_alarms",
            "Alarms for every member in cluster. 1 for 'server_id' label with current ID. 2 for 'alarm_type' label with \
             type of this alarm",
            &[("server_id", &id), ("alarm_type", kind)],
            true,
        );
    }
}
