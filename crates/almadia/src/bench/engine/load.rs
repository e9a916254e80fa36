//! Runs calls against servers and counts what comes back.
//!
//! Closed loop: each client sends its next call when the last one has ended. Fixed rate: calls are due at fixed times
//! and their latency counts from then, so that a slow server cannot hide behind a generator that waits for it
//! (coordinated omission). Never decides what to call: that is the `Workload`'s.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::connection::Finished;
use super::method::Method;
use super::socket::{Socket, SocketError, wait};
use crate::commands::global::Address;

/// How long calls may still be answered after the end of the run.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// Pause before a lost connection is made again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);
/// Longest sleep: bounds how late the end of a run is noticed.
const SLEEP_MAX: Duration = Duration::from_millis(20);
/// Longest latency that is told apart.
const LATENCY_NS_MAX: u64 = 120_000_000_000;
/// Different failure texts kept apart; further ones count as "other".
const FAILURE_KINDS_MAX: usize = 32;

/// What an answer means for the count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// An operation of the workload.
    Counted,
    /// Only prepared an operation; not counted.
    Prepared,
    /// Not what a healthy server answers.
    Wrong(&'static str),
}

/// What the clients call. One value serves all clients of a thread.
pub trait Workload: Send {
    /// Appends the next message of `client`, whose latency counts from `began`, to `message` and returns the method;
    /// `None` when there is no more to do.
    fn request(&mut self, client: usize, began: Instant, message: &mut Vec<u8>) -> Option<Method>;
    /// Judges the answer to the last request of `client`.
    fn answer(&mut self, client: usize, answer: &[u8]) -> Verdict;
    /// No message is longer.
    fn message_bytes_max(&self) -> usize;
}

/// When a run begins, counts and ends.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Calls that begin earlier are not counted.
    pub from: Instant,
    /// No call begins later; `None`: until the workload has no more to do.
    pub until: Option<Instant>,
}

/// One thread's part of a run.
pub struct Plan {
    /// The address of each connection.
    pub connections: Vec<Address>,
    /// Clients, numbered from 0 and dealt to the connections in turn.
    pub clients: usize,
    /// Calls per second; `None` is the closed loop.
    pub rate: Option<f64>,
    /// The time that counts.
    pub window: Window,
    /// Whether to keep begin and end of each call.
    pub keep_calls: bool,
}

/// What came of a run.
pub struct Load {
    /// Operations answered within the window.
    pub operations: u64,
    /// Latencies in nanoseconds of the operations that began within the window.
    pub latencies_ns: Histogram<u64>,
    /// Failed calls by reason.
    pub failures: BTreeMap<String, u64>,
    /// Calls without an answer that says whether they were carried out, within the window or not.
    pub uncertain: u64,
    /// Begin and end of each successful call, if asked for.
    pub calls: Vec<(Instant, Instant)>,
}

impl Load {
    /// Nothing yet.
    pub fn empty() -> Self {
        let latencies_ns = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("the bounds are valid");
        Self {
            operations: 0,
            latencies_ns,
            failures: BTreeMap::new(),
            uncertain: 0,
            calls: Vec::new(),
        }
    }

    /// Adds another thread's or slice's result.
    pub fn add(&mut self, other: &Load) {
        self.operations += other.operations;
        self.uncertain += other.uncertain;
        self.latencies_ns
            .add(&other.latencies_ns)
            .expect("the bounds are the same");
        self.calls.extend_from_slice(&other.calls);
        for (reason, count) in &other.failures {
            self.note_failure(reason, *count);
        }
    }

    /// All failed calls.
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// Counts calls that failed for a reason; nothing when there are none.
    pub fn note_failure(&mut self, reason: &str, count: u64) {
        if count == 0 {
            return;
        }
        let is_known = self.failures.contains_key(reason) || self.failures.len() < FAILURE_KINDS_MAX;
        *self
            .failures
            .entry(if is_known { reason } else { "other" }.to_owned())
            .or_default() += count;
    }
}

/// Runs `plan` on this thread.
pub fn run(plan: &Plan, workload: &mut dyn Workload) -> Load {
    Runner::new(plan, workload).run()
}

/// A connection and the clients on it.
struct Link {
    address: Address,
    socket: Option<Socket>,
    reconnect_at: Instant,
    /// Clients without a call, and since when.
    free: VecDeque<(usize, Instant)>,
    /// When the call of each client began, or should have begun.
    began: Vec<Instant>,
}

struct Runner<'a> {
    plan: &'a Plan,
    workload: &'a mut dyn Workload,
    links: Vec<Link>,
    /// Fixed rate: when the next call is due, and how far apart they are.
    due: Instant,
    interval: Duration,
    next_link: usize,
    is_exhausted: bool,
    message: Vec<u8>,
    finished: Vec<Finished>,
    load: Load,
}

impl<'a> Runner<'a> {
    fn new(plan: &'a Plan, workload: &'a mut dyn Workload) -> Self {
        assert!(!plan.connections.is_empty(), "a run needs a connection");
        let now = Instant::now();
        let mut links: Vec<Link> = plan
            .connections
            .iter()
            .map(|address| Link::new(address, now))
            .collect();
        let links_count = links.len();
        for client in 0..plan.clients {
            let link = &mut links[client % links_count];
            link.free.push_back((client / links_count, now));
            link.began.push(now);
        }
        Self {
            plan,
            workload,
            links,
            due: now,
            interval: plan
                .rate
                .map_or(Duration::ZERO, |rate| Duration::from_secs_f64(1.0 / rate)),
            next_link: 0,
            is_exhausted: false,
            message: Vec::new(),
            finished: Vec::new(),
            load: Load::empty(),
        }
    }

    fn run(mut self) -> Load {
        let drain_until = self.plan.window.until.map(|until| until + DRAIN_MAX);
        loop {
            let now = Instant::now();
            self.reconnect(now);
            if !self.is_over(now) {
                self.issue(now);
            }
            self.write();
            let outstanding = self.links.iter().map(Link::outstanding).sum::<usize>();
            if outstanding == 0 && self.is_over(now) {
                break;
            }
            if drain_until.is_some_and(|until| now >= until) {
                self.load
                    .note_failure("no answer in time", outstanding as u64 + self.not_begun());
                self.load.uncertain += outstanding as u64;
                break;
            }
            self.wait(now);
        }
        self.load
    }

    /// Whether no further call begins. At a fixed rate calls that were due within the window begin even when it is over:
    /// left out they would hide how late a slow server is.
    fn is_over(&self, now: Instant) -> bool {
        let is_past = |until| now >= until && (self.plan.rate.is_none() || self.due >= until);
        self.is_exhausted || self.plan.window.until.is_some_and(is_past)
    }

    /// Fixed rate: calls that were due and have not begun.
    fn not_begun(&self) -> u64 {
        let late = self
            .plan
            .window
            .until
            .map_or(Duration::ZERO, |until| until.saturating_duration_since(self.due));
        late.as_nanos().checked_div(self.interval.as_nanos()).unwrap_or(0) as u64
    }

    /// Begins all calls that may begin now.
    fn issue(&mut self, now: Instant) {
        if self.plan.rate.is_some() {
            let until = self.plan.window.until;
            while self.due <= now && !self.is_exhausted && until.is_none_or(|until| self.due < until) {
                let Some(link) = self.next_free_link() else { return };
                let due = self.due;
                self.begin(link, due);
                self.due += self.interval;
            }
            return;
        }
        for link in 0..self.links.len() {
            while !self.is_exhausted && self.links[link].can_begin(self.workload.message_bytes_max()) {
                let since = self.links[link].free.front().expect("can_begin").1;
                self.begin(link, since);
            }
        }
    }

    fn next_free_link(&mut self) -> Option<usize> {
        let bytes_max = self.workload.message_bytes_max();
        let count = self.links.len();
        let link = (0..count).map(|step| (self.next_link + step) % count);
        let found = link
            .into_iter()
            .find(|link| self.links[*link].can_begin(bytes_max))?;
        self.next_link = (found + 1) % count;
        Some(found)
    }

    fn begin(&mut self, at: usize, began: Instant) {
        let count = self.links.len();
        let link = &mut self.links[at];
        let (client, _) = *link.free.front().expect("can_begin");
        self.message.clear();
        let request = self
            .workload
            .request(client * count + at, began, &mut self.message);
        let Some(method) = request else {
            self.is_exhausted = true;
            return;
        };
        link.free.pop_front();
        link.began[client] = began;
        let socket = link.socket.as_mut().expect("can_begin");
        socket.connection().start(client, method, &self.message);
    }

    fn write(&mut self) {
        for at in 0..self.links.len() {
            let Some(socket) = &mut self.links[at].socket else {
                continue;
            };
            if let Err(error) = socket.write() {
                self.lose(at, &error);
            }
        }
    }

    /// Sleeps until bytes arrive or a call is due, then takes in what has arrived.
    fn wait(&mut self, now: Instant) {
        let mut sleep = SLEEP_MAX;
        if self.plan.rate.is_some() && self.due > now {
            sleep = sleep.min(self.due - now);
        }
        let ready = wait(self.links.iter().map(|link| link.socket.as_ref()), sleep);
        let now = Instant::now();
        for at in ready {
            self.read(at, now);
        }
    }

    fn read(&mut self, at: usize, now: Instant) {
        let Some(socket) = &mut self.links[at].socket else {
            return;
        };
        let outcome = socket.read();
        socket.connection().take_finished(&mut self.finished);
        let mut all = std::mem::take(&mut self.finished);
        for finished in all.drain(..) {
            self.note(at, &finished, now);
        }
        self.finished = all;
        if let Err(error) = outcome {
            self.lose(at, &error);
        }
    }

    fn note(&mut self, at: usize, finished: &Finished, now: Instant) {
        let count = self.links.len();
        let link = &mut self.links[at];
        link.free.push_back((finished.client, now));
        let began = link.began[finished.client];
        let is_counted = began >= self.plan.window.from;
        if let Some(failure) = &finished.failure {
            self.load.uncertain += 1;
            if is_counted {
                self.load.note_failure(failure, 1);
            }
            return;
        }
        let socket = link.socket.as_mut().expect("an answer came from it");
        let answer = socket.connection().answer(finished.client);
        match self.workload.answer(finished.client * count + at, answer) {
            Verdict::Counted => self.count(began, now),
            Verdict::Prepared => {}
            Verdict::Wrong(reason) => self.load.note_failure(reason, u64::from(is_counted)),
        }
    }

    fn count(&mut self, began: Instant, now: Instant) {
        let window = self.plan.window;
        if now >= window.from && window.until.is_none_or(|until| now < until) {
            self.load.operations += 1;
        }
        if began >= window.from {
            self.load
                .latencies_ns
                .saturating_record((now - began).as_nanos() as u64);
        }
        if self.plan.keep_calls {
            self.load.calls.push((began, now));
        }
    }

    /// Gives up a connection: the calls on it have failed.
    fn lose(&mut self, at: usize, error: &SocketError) {
        let now = Instant::now();
        let link = &mut self.links[at];
        let Some(mut socket) = link.socket.take() else {
            return;
        };
        let waiting: Vec<usize> = socket.connection().waiting_clients().collect();
        self.load.note_failure(&error.to_string(), waiting.len() as u64);
        self.load.uncertain += waiting.len() as u64;
        link.free.extend(waiting.into_iter().map(|client| (client, now)));
        link.reconnect_at = now + RECONNECT_PAUSE;
    }

    fn reconnect(&mut self, now: Instant) {
        for link in &mut self.links {
            if link.socket.is_some() || now < link.reconnect_at {
                continue;
            }
            match Socket::connect(&link.address, link.began.len()) {
                Ok(socket) => link.socket = Some(socket),
                Err(error) => {
                    self.load.note_failure(&error.to_string(), 1);
                    link.reconnect_at = now + RECONNECT_PAUSE;
                }
            }
        }
    }
}

impl Link {
    fn new(address: &Address, now: Instant) -> Self {
        Self {
            address: address.clone(),
            socket: None,
            reconnect_at: now,
            free: VecDeque::new(),
            began: Vec::new(),
        }
    }

    fn outstanding(&self) -> usize {
        self.began.len() - self.free.len()
    }

    fn can_begin(&mut self, message_bytes: usize) -> bool {
        !self.free.is_empty()
            && self
                .socket
                .as_mut()
                .is_some_and(|socket| socket.connection().can_start(message_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_add_up_and_failure_kinds_are_bounded() {
        let mut sum = Load::empty();
        for number in 0..100 {
            let mut part = Load::empty();
            part.operations = 2;
            part.latencies_ns.saturating_record(1_000);
            part.note_failure(&format!("reason {number}"), 3);
            sum.add(&part);
        }
        assert_eq!(
            (sum.operations, sum.latencies_ns.len(), sum.failed()),
            (200, 100, 300)
        );
        assert_eq!(sum.failures.len(), FAILURE_KINDS_MAX + 1);
    }
}
