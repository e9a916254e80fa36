//! The double as the console sees it: a leader that answers, and another member that has never been heard of.

use super::{Double, MEMBER, TERM};
use almadia_etcd::{
    Backend, EventKind, Looking, Lookout, OverviewBackend, Report, ReportedEvent, Sighting, Status,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How often the cluster was looked at, and how many lookouts there are.
#[derive(Debug, Default)]
pub struct Lookouts {
    pub looks: AtomicU64,
    pub open: AtomicU64,
}

struct DoubleLookout {
    counts: Arc<Lookouts>,
    status: Status,
    events: Vec<ReportedEvent>,
}

impl OverviewBackend for Double {
    fn lookout(&self) -> Box<dyn Lookout> {
        self.lookouts.open.fetch_add(1, Ordering::SeqCst);
        Box::new(DoubleLookout {
            counts: self.lookouts.clone(),
            status: self.status(),
            events: vec![elected()],
        })
    }
}

/// What a double remembers of its life.
fn elected() -> ReportedEvent {
    ReportedEvent {
        number: 1,
        age_ms: 5,
        kind: EventKind::Leader as i32,
        term: TERM.get(),
        ..ReportedEvent::default()
    }
}

impl Lookout for DoubleLookout {
    fn look(&mut self) -> Looking<'_> {
        self.counts.looks.fetch_add(1, Ordering::SeqCst);
        let events = std::mem::take(&mut self.events);
        let status = &self.status;
        let sightings = status.members.iter().map(|member| Sighting {
            member: member.clone(),
            report: (member.id == MEMBER).then(|| Report {
                life: 1,
                term: status.term.get(),
                role: 3,
                leader: MEMBER.get(),
                last: status.last_log.get(),
                committed: status.committed.get(),
                events: events.clone(),
                ..Report::default()
            }),
            round_trip: None,
            silent_for: (member.id == MEMBER).then_some(Duration::ZERO),
        });
        let sightings: Vec<Sighting> = sightings.collect();
        Box::pin(std::future::ready(sightings))
    }
}

impl Drop for DoubleLookout {
    fn drop(&mut self) {
        self.counts.open.fetch_sub(1, Ordering::SeqCst);
    }
}
