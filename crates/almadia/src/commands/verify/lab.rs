//! The cluster as the suite sees it: members in their seats, what they say, what is written through them, and who is cut off.
//!
//! Waits by asking, never for a fixed time; whatever it cuts off it can heal.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use almadia_etcd::proto::almadia_v1::IsolateRequest;
use almadia_etcd::proto::etcdserverpb::DeleteRangeRequest;
use almadia_etcd::proto::etcdserverpb::kv_client::KvClient;

use super::disruptive::Errand;
use super::local::Own;
use crate::commands::check::ordinal_in;
use crate::commands::cluster::{Cluster, Repeat, request};
use crate::commands::error::CommandError;
use crate::commands::fault::{self, Exercise};
use crate::commands::global::{Address, Global, Output};
use crate::commands::status::{self, MemberStatus};
use crate::commands::tls::TlsArguments;
use crate::commands::{members, move_leader};

/// How long the cluster may take to get where a test waits for it.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// How long one member may take to say how it is, and the pause between two rounds.
const ASK_MAX: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(50);
/// A cut ends by itself after this, should the suite be killed before it heals it.
const HEAL_AFTER: Duration = Duration::from_secs(120);
/// Leadership is asked for this often: the member that is to lead may still be catching up.
const MOVES_MAX: usize = 5;
/// All keys of the suite begin with this.
const KEY_PREFIX: &str = "almadia-verify/";

/// A voter of the cluster.
#[derive(Clone, Debug)]
pub struct Seat {
    /// The ordinal in its name, else its place among the names.
    pub ordinal: u64,
    /// Its member id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Where clients reach it.
    pub address: Address,
    /// Why it cannot be cut off.
    no_exercises: Option<String>,
}

/// Who leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leader {
    /// Its seat.
    pub seat: usize,
    /// Its term.
    pub term: u64,
}

/// The cluster under test.
pub struct Lab {
    own: Option<Own>,
    pub(super) cluster: Cluster,
    pub(super) seats: Vec<Seat>,
    /// Seats that are cut off now.
    cut: BTreeSet<usize>,
    /// What is yet to be done so that everything is as it was.
    owed: Vec<Errand>,
    /// All keys of this run begin with this.
    prefix: String,
}

impl Lab {
    /// A cluster that runs already.
    pub async fn open(cluster: &Cluster) -> Result<Self, CommandError> {
        let mut lab = Self::new(cluster.again(), None);
        lab.seats = seats(&lab.cluster).await?;
        lab.refuse_exercises_under_way().await?;
        Ok(lab)
    }

    /// Members of its own, which do not run yet.
    pub fn of_own(own: Own) -> Result<Self, CommandError> {
        let global = Global {
            endpoints: own.client_urls(),
            timeout: Duration::from_secs(5),
            output: Output::Text,
            tls: TlsArguments::default(),
        };
        Ok(Self::new(Cluster::new(&global)?, Some(own)))
    }

    fn new(cluster: Cluster, own: Option<Own>) -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let run = since.map_or(0, |since| since.as_millis());
        Self {
            own,
            cluster,
            seats: Vec::new(),
            cut: BTreeSet::new(),
            owed: Vec::new(),
            prefix: format!("{KEY_PREFIX}{run:x}-{}/", std::process::id()),
        }
    }

    /// Somebody else's exercise would be ended or spoilt by the suite.
    async fn refuse_exercises_under_way(&self) -> Result<(), CommandError> {
        let addresses = self.seats.iter().map(|seat| seat.address.clone()).collect();
        let asked = fault::ask(addresses, Exercise::Status, &self.cluster).await;
        let cut = asked.iter().zip(&self.seats).find(|(asked, _)| {
            let answer = asked.answer.as_ref();
            answer.is_ok_and(|answer| answer.isolated || !answer.cut_from.is_empty())
        });
        match cut {
            Some((_, seat)) => Err(CommandError::failed(format!(
                "{} is cut off from its peers by somebody's exercise; end it with 'almadia fault heal'",
                seat.name
            ))),
            None => Ok(()),
        }
    }

    /// Starts the suite's own members, if it has any, and learns who they are.
    pub async fn start_own(&mut self) -> Result<(), CommandError> {
        let Some(own) = &mut self.own else {
            return Ok(());
        };
        own.start().map_err(CommandError::failed)?;
        let wanted = own.size();
        let deadline = Instant::now() + PATIENCE;
        loop {
            match seats(&self.cluster).await {
                Ok(seats) if seats.len() == wanted => {
                    self.seats = seats;
                    return Ok(());
                }
                Err(error) if Instant::now() >= deadline => return Err(error),
                Ok(_) if Instant::now() >= deadline => {
                    return Err(CommandError::failed("not all members have started in time"));
                }
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Stops the suite's own members and starts them again; does nothing to others.
    pub async fn restart_own(&mut self) -> Result<(), String> {
        let Some(own) = &mut self.own else {
            return Ok(());
        };
        own.stop().await?;
        own.start()
    }

    /// Ends the suite's own members.
    pub fn end_own(&mut self, keep_data: bool) {
        if let Some(own) = self.own.take() {
            own.clear(keep_data);
        }
    }

    /// The suite's own members, if it has any; they sit in the order of their ordinals.
    pub fn own(&mut self) -> Option<&mut Own> {
        self.own.as_mut()
    }

    /// Whether the members are the suite's own.
    pub fn has_own(&self) -> bool {
        self.own.is_some()
    }

    /// A member that cannot be cut off, and why.
    pub fn not_for_exercises(&self) -> Option<(&str, &str)> {
        let seat = self.seats.iter().find(|seat| seat.no_exercises.is_some())?;
        Some((seat.name.as_str(), seat.no_exercises.as_deref()?))
    }

    /// All seats but these.
    pub fn others(&self, without: &[usize]) -> Vec<usize> {
        (0..self.seats.len())
            .filter(|seat| !without.contains(seat))
            .collect()
    }

    /// A key of this run.
    pub fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// What each member says of itself, in the order of the seats.
    pub async fn statuses(&self) -> Vec<MemberStatus> {
        let addresses = self.seats.iter().map(|seat| seat.address.clone()).collect();
        status::ask_as(addresses, ASK_MAX, self.cluster.login()).await
    }

    /// Waits until `found` finds what it looks for in what the members say.
    pub async fn wait<T>(
        &self,
        what: &str,
        found: impl Fn(&[MemberStatus]) -> Option<T>,
    ) -> Result<T, String> {
        self.wait_within(PATIENCE, what, found).await
    }

    async fn wait_within<T>(
        &self,
        limit: Duration,
        what: &str,
        found: impl Fn(&[MemberStatus]) -> Option<T>,
    ) -> Result<T, String> {
        let deadline = Instant::now() + limit;
        loop {
            let statuses = self.statuses().await;
            if let Some(found) = found(&statuses) {
                return Ok(found);
            }
            if Instant::now() >= deadline {
                return Err(format!("waited in vain for {what}: {}", self.describe(&statuses)));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn describe(&self, statuses: &[MemberStatus]) -> String {
        let describe = |(seat, status): (&Seat, &MemberStatus)| match &status.answer {
            Ok(answer) => format!(
                "{} (term {}, leader {:x}, committed {})",
                seat.name, answer.raft_term, answer.leader, answer.raft_index
            ),
            Err(reason) => format!("{} ({reason})", seat.name),
        };
        let each: Vec<String> = self.seats.iter().zip(statuses).map(describe).collect();
        each.join(", ")
    }

    /// The leader that all members but these agree on.
    pub fn agreed(&self, statuses: &[MemberStatus], without: &[usize]) -> Option<Leader> {
        let mut leader = None;
        for seat in self.others(without) {
            let answer = statuses[seat].answer.as_ref().ok()?;
            let said = (answer.leader, answer.raft_term);
            if answer.leader == 0 || *leader.get_or_insert(said) != said {
                return None;
            }
        }
        let (id, term) = leader?;
        let seat = self.seats.iter().position(|seat| seat.id == id)?;
        (!without.contains(&seat)).then_some(Leader { seat, term })
    }

    /// Waits for a leader that all agree on.
    pub async fn leader(&self) -> Result<Leader, String> {
        self.leader_within(PATIENCE).await
    }

    /// The same with another limit.
    pub async fn leader_within(&self, limit: Duration) -> Result<Leader, String> {
        self.wait_within(limit, "a leader that all members agree on", |statuses| {
            self.agreed(statuses, &[])
        })
        .await
    }

    /// Waits until all but the old leader agree on another one in a higher term.
    pub async fn leader_without(&self, old: Leader) -> Result<Leader, String> {
        self.wait("another leader", |statuses| {
            let now = self.agreed(statuses, &[old.seat]);
            now.filter(|now| now.term > old.term)
        })
        .await
    }

    /// Waits until the cluster has so many voters, each of which answers under the id it has in the cluster, and sees a leader.
    pub async fn find_seats_again(&mut self, count: usize, limit: Duration) -> Result<(), String> {
        let known = self.seats.iter().map(|seat| seat.address.clone()).collect();
        let cluster = self.cluster.at(known);
        let deadline = Instant::now() + limit;
        loop {
            let reason = match seats(&cluster).await {
                Ok(seats) if seats.len() == count => {
                    self.seats = seats;
                    let statuses = self.statuses().await;
                    if self.all_are_themselves(&statuses) && self.agreed(&statuses, &[]).is_some() {
                        return Ok(());
                    }
                    self.describe(&statuses)
                }
                Ok(seats) => format!("there are {} voters", seats.len()),
                Err(error) => error.to_string(),
            };
            if Instant::now() >= deadline {
                return Err(format!("waited in vain for {count} voters: {reason}"));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Every member answers, under the id it has in the cluster.
    pub fn all_are_themselves(&self, statuses: &[MemberStatus]) -> bool {
        statuses.iter().zip(&self.seats).all(|(status, seat)| {
            let answer = status.answer.as_ref().ok();
            let header = answer.and_then(|answer| answer.header.as_ref());
            header.is_some_and(|header| header.member_id == seat.id)
        })
    }

    /// Lets this seat lead.
    pub async fn lead(&self, seat: usize) -> Result<Leader, String> {
        let mut refusal = String::new();
        for _ in 0..MOVES_MAX {
            let leader = self.leader().await?;
            if leader.seat == seat {
                return Ok(leader);
            }
            let address = self.seats[leader.seat].address.clone();
            match move_leader::ask(address, self.seats[seat].id, &self.cluster).await {
                Ok(()) => {
                    let moved = self.wait("leadership to move", |statuses| {
                        self.agreed(statuses, &[]).filter(|now| now.term > leader.term)
                    });
                    moved.await?;
                }
                Err(error) => refusal = error.to_string(),
            }
        }
        Err(format!(
            "leadership did not move to {}: {refusal}",
            self.seats[seat].name
        ))
    }

    /// Cuts these seats off all others.
    pub async fn cut(&mut self, seats: &[usize]) -> Result<(), String> {
        // Noted before it is done: an interruption in between must heal it, too.
        self.cut.extend(seats);
        let exercise = Exercise::Isolate(IsolateRequest {
            peers: Vec::new(),
            heal_after_ms: HEAL_AFTER.as_millis() as u64,
        });
        self.exercise(seats, exercise).await
    }

    /// Ends that.
    pub async fn heal(&mut self, seats: &[usize]) -> Result<(), String> {
        self.exercise(seats, Exercise::Heal).await?;
        self.cut.retain(|seat| !seats.contains(seat));
        Ok(())
    }

    /// Notes what must be done before the suite ends, whatever happens: before that which makes it necessary.
    pub(super) fn owe(&mut self, errand: Errand) {
        self.owed.push(errand);
    }

    /// Does what is owed.
    pub(super) async fn pay(&mut self) -> Result<(), String> {
        for errand in std::mem::take(&mut self.owed) {
            errand.run().await?;
        }
        Ok(())
    }

    /// Heals whoever is still cut off and does what is owed.
    pub async fn mend(&mut self) {
        let cut: Vec<usize> = self.cut.iter().copied().collect();
        if !cut.is_empty()
            && let Err(reason) = self.heal(&cut).await
        {
            // Members then heal by themselves, after a while.
            eprintln!(
                "almadia: not healed at once, but within {} s: {reason}",
                HEAL_AFTER.as_secs()
            );
            self.cut.clear();
        }
        if let Err(reason) = self.pay().await {
            eprintln!("almadia: what was broken is not as it was: {reason}");
        }
    }

    /// Asks these seats for an exercise.
    pub async fn exercise(&self, seats: &[usize], exercise: Exercise) -> Result<(), String> {
        let addresses = seats
            .iter()
            .map(|seat| self.seats[*seat].address.clone())
            .collect();
        let asked = fault::ask(addresses, exercise, &self.cluster).await;
        for (seat, asked) in seats.iter().zip(asked) {
            asked
                .answer
                .map_err(|reason| format!("{}: {}", self.seats[*seat].name, fault::explained(&reason)))?;
        }
        Ok(())
    }

    /// Removes the keys of this run, if the cluster allows it.
    pub async fn sweep(&self) {
        let mut end = self.prefix.clone().into_bytes();
        // The prefix ends with a slash, which has a successor.
        *end.last_mut().expect("the prefix is not empty") += 1;
        let message = DeleteRangeRequest {
            key: self.prefix.clone().into(),
            range_end: end.into(),
            ..DeleteRangeRequest::default()
        };
        let swept = self.cluster.call(Repeat::Freely, |channel| {
            let message = request(message.clone());
            async move { KvClient::new(channel).delete_range(message).await }
        });
        // What stays are a few small keys.
        let _ = swept.await;
    }
}

/// The voters that have started, by their ordinals.
async fn seats(cluster: &Cluster) -> Result<Vec<Seat>, CommandError> {
    let members = members::list(cluster, false).await?;
    let voters: Vec<_> = members.iter().filter(|member| !member.is_learner).collect();
    if let Some(member) = voters
        .iter()
        .find(|member| !members::is_started(member) || member.client_ur_ls.is_empty())
    {
        return Err(CommandError::failed(format!(
            "member {:x} has not started yet; look at 'almadia members'",
            member.id
        )));
    }
    let addresses: Vec<Address> = voters
        .iter()
        .flat_map(|member| members::client_addresses(std::slice::from_ref(*member), cluster.security()))
        .collect();
    if addresses.len() < voters.len() {
        return Err(CommandError::failed("a member's client address cannot be used"));
    }
    let asked = fault::ask(addresses.clone(), Exercise::Status, cluster).await;
    let mut seats: Vec<Seat> = voters
        .iter()
        .zip(addresses)
        .zip(asked)
        .map(|((member, address), asked)| Seat {
            ordinal: ordinal_in(&members, member.id).expect("it is one of them"),
            id: member.id,
            name: member.name.clone(),
            address,
            no_exercises: match asked.answer {
                Ok(answer) if answer.enabled => None,
                Ok(_) => Some("--enable-fault-injection".to_owned()),
                // Who does not answer is not excused: the tests run, and say so.
                Err(_) if asked.refusal.is_none() => None,
                Err(reason) => Some(fault::explained(&reason)),
            },
        })
        .collect();
    seats.sort_by_key(|seat| seat.ordinal);
    Ok(seats)
}
