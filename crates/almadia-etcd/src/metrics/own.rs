//! A member's numbers under names of our own: what etcd does not show.

use super::member::hex;
use super::sheet::Sheet;
use almadia_member::{Phase, Vitals};

/// The same where a member without a cluster answers for itself.
const PHASE_HELP: &str = "1 for what the member is doing: waiting to found a cluster, waiting for admission to one, starting, \
    learner, member, stopping, leaving for good, removed.";

/// Writes all of it.
pub(super) fn write(sheet: &mut Sheet, vitals: &Vitals) {
    log(sheet, vitals);
    queues(sheet, vitals);
    store(sheet, vitals);
    segments(sheet, vitals);
    gates(sheet, vitals);
    cluster(sheet, vitals);
    care(sheet, vitals);
}

fn log(sheet: &mut Sheet, vitals: &Vitals) {
    let progress = &vitals.progress;
    sheet.gauge("almadia_term", "The highest term seen.", vitals.status.term.get());
    for (point, index) in [
        ("last", progress.last),
        ("committed", progress.committed),
        ("applied", vitals.status.applied),
        ("checkpoint", progress.checkpoint),
        ("purged", progress.purged),
    ] {
        sheet.gauge_of(
            "almadia_log_index",
            "How far the log is: its last entry, the committed, the applied one, the one in the checkpoint, the dropped one.",
            &[("point", point)],
            index.get(),
        );
    }
    sheet.counter(
        "almadia_wal_groups_total",
        "Writes of the log, each with one sync.",
        vitals.wal.groups,
    );
    sheet.counter(
        "almadia_wal_entries_total",
        "Entries written to the log; divided by the groups, how many shared a sync.",
        vitals.wal.entries,
    );
    sheet.counter(
        "almadia_wal_rotations_total",
        "Files of the log begun.",
        vitals.wal.rotations,
    );
    sheet.counter(
        "almadia_wal_spares_missed_total",
        "Files of the log that had to be made while requests waited.",
        vitals.wal.spares_missed,
    );
    sheet.gauge("almadia_wal_bytes", "Bytes of the log's files.", vitals.wal_bytes);
    sheet.gauge(
        "almadia_wal_waits_for_room",
        "1 while the disk is full and the log waits.",
        vitals.wal_waits,
    );
}

fn queues(sheet: &mut Sheet, vitals: &Vitals) {
    let tally = vitals.tally();
    sheet.gauge(
        "almadia_proposals_queued",
        "Commands that wait for their turn to enter the log.",
        vitals.queued,
    );
    sheet.gauge(
        "almadia_proposals_undecided",
        "Commands that were sent to the log and have no outcome yet.",
        vitals.undecided,
    );
    sheet.durations(
        "almadia_proposal_queue_wait_seconds",
        "How long the first command of each batch had waited in the queue.",
        &tally.queue_wait.read(),
    );
    sheet.counter(
        "almadia_proposals_batched_total",
        "Commands that left the queue; divided by the count of queue waits, how many shared a batch.",
        &tally.batched,
    );
    sheet.counter(
        "almadia_proposals_lost_total",
        "Commands proposed again because their leader was gone; their clients did not notice.",
        &tally.proposals_lost,
    );
    sheet.gauge(
        "almadia_reads_queued",
        "Linearizable reads that wait for a confirmation.",
        vitals.reads_queued,
    );
    sheet.durations(
        "almadia_read_confirmation_seconds",
        "Confirming that the leader leads, once for all reads that wait, and applying up to there.",
        &tally.confirmations.read(),
    );
    sheet.durations(
        "almadia_apply_batch_seconds",
        "Applying a batch of committed entries.",
        &vitals.consensus.apply.read(),
    );
    sheet.counter(
        "almadia_entries_applied_total",
        "Entries applied.",
        &vitals.consensus.entries,
    );
}

fn store(sheet: &mut Sheet, vitals: &Vitals) {
    if let Some(age) = vitals.view_age {
        sheet.gauge(
            "almadia_view_age_seconds",
            "Since the last entry was applied: with writes, how old what is read can be.",
            age.as_secs_f64(),
        );
    }
    sheet.gauge(
        "almadia_store_bytes",
        "Bytes of all versions and tombstones.",
        vitals.sizes.bytes,
    );
    sheet.gauge(
        "almadia_store_revisions",
        "Versions and tombstones that compaction has not dropped.",
        vitals.sizes.revisions,
    );
    sheet.gauge("almadia_leases", "Leases.", vitals.leases);
    sheet.gauge(
        "almadia_compaction_pending",
        "1 while a compaction has not dropped everything yet.",
        vitals.compaction_pending,
    );
}

fn segments(sheet: &mut Sheet, vitals: &Vitals) {
    let files = &vitals.files;
    sheet.gauge(
        "almadia_segments",
        "Segment files of the newest checkpoint.",
        files.segments,
    );
    sheet.gauge(
        "almadia_segment_live_bytes",
        "About how many bytes in them can still be read; the rest of etcd_mvcc_db_total_size_in_bytes is garbage.",
        files.live_bytes,
    );
    let consensus = &vitals.consensus;
    sheet.counter(
        "almadia_checkpoints_failed_total",
        "Checkpoints that failed; they are tried again.",
        &consensus.checkpoints_failed,
    );
    sheet.durations(
        "almadia_snapshot_send_seconds",
        "Sending the whole state to a peer that needed it.",
        &consensus.snapshots_sent.read(),
    );
    sheet.counter(
        "almadia_snapshots_send_failed_total",
        "States that could not be sent.",
        &consensus.snapshots_failed,
    );
    sheet.counter(
        "almadia_snapshots_installed_total",
        "States taken over from a peer.",
        &consensus.snapshots_installed,
    );
}

fn gates(sheet: &mut Sheet, vitals: &Vitals) {
    for (reason, is_closed) in ["disk", "memory", "quota"].into_iter().zip(vitals.gates) {
        sheet.gauge_of(
            "almadia_gate_closed",
            "1 while what stores data is refused for this reason.",
            &[("reason", reason)],
            is_closed,
        );
    }
    let files = &vitals.files;
    sheet.gauge(
        "almadia_disk_free_bytes",
        "Room on the volume of the data.",
        files.free_bytes,
    );
    sheet.gauge(
        "almadia_disk_bytes",
        "Size of the volume of the data.",
        files.total_bytes,
    );
    sheet.gauge(
        "almadia_memory_budget_bytes",
        "Memory this member may use; 0 for no bound.",
        files.memory_bytes_max,
    );
}

fn cluster(sheet: &mut Sheet, vitals: &Vitals) {
    let members = &vitals.status.members;
    let learners = members.iter().filter(|member| member.is_learner).count();
    sheet.gauge(
        "almadia_cluster_voters",
        "Members that count in majorities, as this one knows it.",
        members.len() - learners,
    );
    sheet.gauge(
        "almadia_cluster_learners",
        "Members that receive and do not count, as this one knows it.",
        learners,
    );
    membership(sheet, vitals);
    let last = vitals.progress.last.get();
    for (id, index) in &vitals.replicated {
        if *id == vitals.status.member {
            continue;
        }
        let id = hex(*id);
        sheet.gauge_of(
            "almadia_peer_lag_entries",
            "Entries of the leader's log that a member does not have yet; told by the leader.",
            &[("To", &id)],
            last.saturating_sub(index.get()),
        );
    }
}

/// Members that come and go by themselves; shown only where they do.
fn membership(sheet: &mut Sheet, vitals: &Vitals) {
    if let Some(wished) = vitals.course.wished {
        sheet.gauge(
            "almadia_cluster_wished_size",
            "Members that the cluster is to have, where they come and go by themselves.",
            wished,
        );
    }
    if let Some(is_waiting) = vitals.course.is_waiting {
        sheet.gauge(
            "almadia_membership_waiting",
            "1 while the membership is not what it is to be and nothing can be done now; told by the leader.",
            is_waiting,
        );
    }
    sheet.counter(
        "almadia_membership_changes_total",
        "Changes of the membership that this member made by itself as a leader.",
        vitals.course.changes,
    );
}

fn care(sheet: &mut Sheet, vitals: &Vitals) {
    for phase in Phase::ALL {
        sheet.gauge_of(
            "almadia_member_state",
            PHASE_HELP,
            &[("state", phase.name())],
            phase == vitals.phase,
        );
    }
    sheet.gauge(
        "almadia_recovered",
        "1 once the member has applied what it had before it was restarted.",
        vitals.recovered,
    );
    sheet.gauge(
        "almadia_diverged",
        "1 while the member's state is not what a majority has: it serves nobody and takes theirs.",
        vitals.status.corrupt,
    );
}
