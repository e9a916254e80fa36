//! Asks all members how they are, again and again, over pipes that are kept between two looks.

use super::report::{Curiosity, Report};
use crate::forward::wire::{self, Asked, Reply, Request, ToFollower, ToLeader};
use crate::leader::{Answer, AnswerKind, QuestionKind};
use crate::member::Member;
use almadia_command::MemberId;
use almadia_consensus::{Lane, Membered, PeerAddress, PeerNetwork, Pipe};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Who has not answered by then does not answer this look: a look must not wait for who is gone.
const ANSWER_MAX: Duration = Duration::from_millis(400);

/// Entries of each log's end that are asked for.
const TAIL_ENTRIES: u32 = 40;

/// A member as it was seen.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// Who it is.
    pub member: Membered,
    /// What it said; none when it did not answer this time.
    pub report: Option<Report>,
    /// How long the answer took; none for oneself and without an answer.
    pub round_trip: Option<Duration>,
    /// Since its last answer; none when it has given none.
    pub silent_for: Option<Duration>,
}

/// Looks after all members for as long as somebody wants to know. Dropping it closes its pipes.
pub struct Lookout {
    member: Member,
    lines: BTreeMap<MemberId, Line>,
}

/// The way to one member, and what is known of it.
#[derive(Default)]
struct Line {
    pipe: Option<Pipe>,
    number: u64,
    known: Curiosity,
    heard: Option<Instant>,
    newest: Option<(Report, Option<Duration>)>,
}

impl Member {
    /// Begins to look at all members.
    pub fn lookout(&self) -> Lookout {
        Lookout {
            member: self.clone(),
            lines: BTreeMap::new(),
        }
    }
}

impl Lookout {
    /// Looks at every member of the newest membership once, in the order of their ids.
    pub async fn look(&mut self) -> Vec<Sighting> {
        let members = self.member.inner.consensus.members();
        let mut lines = std::mem::take(&mut self.lines);
        let mut asked = JoinSet::new();
        for membered in &members {
            let mut line = lines.remove(&membered.id).unwrap_or_default();
            line.known.tail = TAIL_ENTRIES;
            if membered.id == self.member.id() {
                line.take(self.member.report(line.known), None);
                self.lines.insert(membered.id, line);
                continue;
            }
            let network = self.member.inner.overview.network.clone();
            let address = PeerAddress {
                member: membered.id,
                name: membered.info.name.clone(),
                urls: membered.info.peer_urls.clone(),
            };
            asked.spawn(async move { (address.member, line.ask(network, address).await) });
        }
        while let Some(answered) = asked.join_next().await {
            // A task that panicked has told so; its line begins anew.
            if let Ok((id, line)) = answered {
                self.lines.insert(id, line);
            }
        }
        members
            .into_iter()
            .map(|membered| self.sighting(membered))
            .collect()
    }

    fn sighting(&mut self, member: Membered) -> Sighting {
        let line = self.lines.entry(member.id).or_default();
        let (report, round_trip) = line.newest.take().unzip();
        Sighting {
            member,
            report,
            round_trip: round_trip.flatten(),
            silent_for: line.heard.map(|heard| heard.elapsed()),
        }
    }
}

impl Line {
    /// Asks, and comes back with the answer or without.
    async fn ask(mut self, network: Arc<dyn PeerNetwork>, address: PeerAddress) -> Self {
        let began = Instant::now();
        match timeout(ANSWER_MAX, self.answer(network, address)).await {
            Ok(Some(report)) => self.take(report, Some(began.elapsed())),
            // What comes late must not be taken for the answer to the next question.
            Ok(None) | Err(_) => self.pipe = None,
        }
        self
    }

    async fn answer(&mut self, network: Arc<dyn PeerNetwork>, address: PeerAddress) -> Option<Report> {
        if self.pipe.is_none() {
            self.pipe = network.dial(address, Lane::Forward).await.ok();
        }
        let pipe = self.pipe.as_mut()?;
        self.number += 1;
        let question = QuestionKind::HowAreYou(self.known);
        let request = Request::Ask(Asked {
            number: self.number,
            bytes: crate::leader::Question::from(question).encode_bytes(),
        });
        let frame = wire::encode(&ToLeader {
            request: Some(request),
        });
        pipe.send.send(frame).await.ok()?;
        loop {
            let frame = pipe.receive.recv().await?;
            match wire::decode::<ToFollower>(frame).ok()?.reply {
                Some(Reply::Answer(answer)) if answer.number == self.number => {
                    // Members of older releases answer nothing.
                    return match Answer::from_bytes(answer.bytes)?.kind {
                        Some(AnswerKind::IAm(report)) => Some(*report),
                        _ => None,
                    };
                }
                _ => {}
            }
        }
    }

    fn take(&mut self, report: Report, round_trip: Option<Duration>) {
        if report.life != self.known.life {
            self.known.after = 0;
        }
        self.known.life = report.life;
        let newest = report.events.last().map(|event| event.number);
        self.known.after = newest.unwrap_or(self.known.after);
        self.heard = Some(Instant::now());
        self.newest = Some((report, round_trip));
    }
}
