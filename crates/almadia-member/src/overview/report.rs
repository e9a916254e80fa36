//! What a member says of itself to whoever looks on.

use crate::chronicle::{Event, Happening};
use crate::member::Member;
use almadia_command::{LogIndex, MemberId};
use almadia_consensus::Role;
use prost::Message;
use tokio::time::Instant;

/// Events in one report at most; the others follow when it is asked again.
const EVENTS_MAX: usize = 64;

/// Entries of the log's end in one report at most.
const TAIL_MAX: u64 = 64;

/// What is to be told.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Curiosity {
    /// The start of the process that is known already; 0 for none.
    #[prost(uint32, tag = "1")]
    pub life: u32,
    /// Events of that life up to this number are known.
    #[prost(uint64, tag = "2")]
    pub after: u64,
    /// How many of the log's last entries to tell the terms of.
    #[prost(uint32, tag = "3")]
    pub tail: u32,
}

/// How a member is.
#[derive(Clone, PartialEq, Message)]
pub struct Report {
    /// Which start of its process.
    #[prost(uint32, tag = "1")]
    pub life: u32,
    /// Its term.
    #[prost(uint64, tag = "2")]
    pub term: u64,
    /// 0 learner, 1 follower, 2 candidate, 3 leader.
    #[prost(uint32, tag = "3")]
    pub role: u32,
    /// Who leads its term; 0 when it knows of nobody.
    #[prost(uint64, tag = "4")]
    pub leader: u64,
    /// The last entry of its log.
    #[prost(uint64, tag = "5")]
    pub last: u64,
    /// The last one it knows to be committed.
    #[prost(uint64, tag = "6")]
    pub committed: u64,
    /// The last one in its store.
    #[prost(uint64, tag = "7")]
    pub applied: u64,
    /// Its store's revision.
    #[prost(int64, tag = "8")]
    pub revision: i64,
    /// Keys in its store.
    #[prost(uint64, tag = "9")]
    pub keys: u64,
    /// Bytes of what can still be read.
    #[prost(uint64, tag = "10")]
    pub live_bytes: u64,
    /// Bytes of its segment files.
    #[prost(uint64, tag = "11")]
    pub disk_bytes: u64,
    /// Writes are refused for want of room.
    #[prost(bool, tag = "12")]
    pub no_space: bool,
    /// Its state is not what it should be.
    #[prost(bool, tag = "13")]
    pub corrupt: bool,
    /// Watchers that it tells of changes.
    #[prost(uint64, tag = "14")]
    pub watchers: u64,
    /// Entries that its log has written since the start.
    #[prost(uint64, tag = "15")]
    pub entries_written: u64,
    /// Syncs of its log since the start.
    #[prost(uint64, tag = "16")]
    pub syncs: u64,
    /// Leases in its store.
    #[prost(uint64, tag = "17")]
    pub leases: u64,
    /// The terms of its log's last entries, oldest first; the last one stands at `last`.
    #[prost(uint64, repeated, tag = "20")]
    pub tail_terms: Vec<u64>,
    /// As a leader: how far the others are.
    #[prost(message, repeated, tag = "21")]
    pub followers: Vec<FollowerProgress>,
    /// What happened that is not known yet, oldest first.
    #[prost(message, repeated, tag = "22")]
    pub events: Vec<ReportedEvent>,
}

/// How far another member is, as its leader knows.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct FollowerProgress {
    /// Which.
    #[prost(uint64, tag = "1")]
    pub member: u64,
    /// The last entry that it surely has; 0 when not known.
    #[prost(uint64, tag = "2")]
    pub matched: u64,
    /// Since it was last heard of; none for never.
    #[prost(uint64, optional, tag = "3")]
    pub silent_ms: Option<u64>,
}

/// An event of a member's chronicle.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ReportedEvent {
    /// Its number in the member's life.
    #[prost(uint64, tag = "1")]
    pub number: u64,
    /// How long ago, so that clocks need not agree.
    #[prost(uint64, tag = "2")]
    pub age_ms: u64,
    /// What kind of event.
    #[prost(enumeration = "EventKind", tag = "3")]
    pub kind: i32,
    /// The member's term.
    #[prost(uint64, tag = "4")]
    pub term: u64,
    /// Where its log was committed.
    #[prost(uint64, tag = "5")]
    pub committed: u64,
    /// The other member it concerns; 0 for none.
    #[prost(uint64, tag = "6")]
    pub subject: u64,
    /// More, in words.
    #[prost(string, tag = "7")]
    pub words: String,
}

/// Kinds of [`ReportedEvent`]s; see [`Happening`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum EventKind {
    /// One of a newer release.
    Unknown = 0,
    /// Its process started.
    Started = 1,
    /// It became a learner.
    Learner = 2,
    /// It became a follower.
    Follower = 3,
    /// It asked for votes.
    Candidate = 4,
    /// It was elected.
    Leader = 5,
    /// It heard of a higher term.
    Term = 6,
    /// It heard from the subject as leader.
    Follows = 7,
    /// It knows of no leader.
    Leaderless = 8,
    /// Who belongs has changed, in words.
    Membership = 9,
    /// It sent a snapshot to the subject.
    SnapshotSent = 10,
    /// It installed a snapshot.
    SnapshotInstalled = 11,
    /// Its state differs.
    Differs = 12,
    /// It has the right state again.
    SetRight = 13,
    /// It was cut off on purpose, from the peers in words, from all if there are none.
    Isolated = 14,
    /// That is over.
    Healed = 15,
}

impl Member {
    /// How this member is, and what has happened to it.
    pub fn report(&self, curiosity: Curiosity) -> Report {
        let inner = &self.inner;
        let (status, bearing) = (self.status(), *inner.consensus.bearing().borrow());
        let view = self.view();
        let (sizes, written) = (view.sizes(), inner.wal.counters());
        let after = if curiosity.life == inner.overview.drawn {
            curiosity.after
        } else {
            0
        };
        let now = Instant::now();
        let name = |peers: &[MemberId]| self.names_of(peers);
        let events = inner.overview.chronicle.after(after, EVENTS_MAX);
        Report {
            life: inner.overview.drawn,
            term: status.term.get(),
            role: number_of(bearing.role),
            leader: status.leader.unwrap_or_default().get(),
            last: status.last_log.get(),
            committed: status.committed.get(),
            applied: status.applied.get(),
            revision: view.revision().get(),
            keys: sizes.keys,
            live_bytes: sizes.live_bytes,
            disk_bytes: status.disk_bytes,
            no_space: status.no_space,
            corrupt: status.corrupt,
            watchers: inner.watches.live() as u64,
            entries_written: written.entries,
            syncs: written.groups,
            leases: view.leases().len() as u64,
            tail_terms: self.tail_terms(status.last_log, u64::from(curiosity.tail)),
            followers: if status.is_leader {
                self.followers()
            } else {
                Vec::new()
            },
            events: events.into_iter().map(|event| told(event, now, name)).collect(),
        }
    }

    /// Names of members, those without one by their ids.
    fn names_of(&self, ids: &[MemberId]) -> String {
        let members = self.inner.consensus.members();
        let name = |id: &MemberId| {
            let known = members.iter().find(|member| member.id == *id);
            let name = known.map(|member| member.info.name.clone());
            name.filter(|name| !name.is_empty())
                .unwrap_or_else(|| id.to_string())
        };
        ids.iter().map(name).collect::<Vec<_>>().join(", ")
    }

    fn tail_terms(&self, last: LogIndex, count: u64) -> Vec<u64> {
        let first = (last.get() + 1).saturating_sub(count.min(TAIL_MAX)).max(1);
        let mut terms = Vec::new();
        for index in (first..=last.get()).rev() {
            // What was purged has no term any more, and neither has what was truncated meanwhile.
            let Some(id) = self.inner.wal.log_id_at(LogIndex(index)) else {
                break;
            };
            terms.push(id.term.get());
        }
        terms.reverse();
        terms
    }

    fn followers(&self) -> Vec<FollowerProgress> {
        let roster = self.inner.consensus.roster();
        let others = roster
            .members
            .into_iter()
            .filter(|one| one.member.id != self.id());
        let progress = others.map(|one| FollowerProgress {
            member: one.member.id.get(),
            matched: one.matched.unwrap_or_default().get(),
            silent_ms: one.silent_for.map(|silent| millis(silent.as_millis())),
        });
        progress.collect()
    }
}

fn number_of(role: Role) -> u32 {
    match role {
        Role::Learner => 0,
        Role::Follower => 1,
        Role::Candidate => 2,
        Role::Leader => 3,
    }
}

fn millis(millis: u128) -> u64 {
    u64::try_from(millis).unwrap_or(u64::MAX)
}

fn told(event: Event, now: Instant, name: impl Fn(&[MemberId]) -> String) -> ReportedEvent {
    let (kind, subject, words) = match event.what {
        Happening::Started => (EventKind::Started, MemberId::default(), String::new()),
        Happening::Became(role) => (kind_of(role), MemberId::default(), String::new()),
        Happening::HeardOfTerm => (EventKind::Term, MemberId::default(), String::new()),
        Happening::Follows(leader) => (EventKind::Follows, leader, String::new()),
        Happening::Leaderless => (EventKind::Leaderless, MemberId::default(), String::new()),
        Happening::Membership(words) => (EventKind::Membership, MemberId::default(), words),
        Happening::SnapshotSent(to) => (EventKind::SnapshotSent, to, String::new()),
        Happening::SnapshotInstalled => (EventKind::SnapshotInstalled, MemberId::default(), String::new()),
        Happening::Differs => (EventKind::Differs, MemberId::default(), String::new()),
        Happening::SetRight => (EventKind::SetRight, MemberId::default(), String::new()),
        Happening::Isolated(peers) => (EventKind::Isolated, MemberId::default(), name(&peers)),
        Happening::Healed => (EventKind::Healed, MemberId::default(), String::new()),
    };
    ReportedEvent {
        number: event.number,
        age_ms: millis(now.saturating_duration_since(event.at).as_millis()),
        kind: kind as i32,
        term: event.term.get(),
        committed: event.committed.get(),
        subject: subject.get(),
        words,
    }
}

fn kind_of(role: Role) -> EventKind {
    match role {
        Role::Learner => EventKind::Learner,
        Role::Follower => EventKind::Follower,
        Role::Candidate => EventKind::Candidate,
        Role::Leader => EventKind::Leader,
    }
}
