//! The network between members: connections that take time, stall, break, and are cut in one direction or both.
//!
//! What it carries are frames of ordered, reliable connections, because that is what the members' protocol is made for: a
//! lost packet is a stall or a broken connection, never a gap, and a packet that comes twice never reaches a member. Across
//! connections, and from one connection to the next, frames do overtake each other.

use super::who::{Closed, Door, Who};
use crate::chance::Chance;
use crate::trace::Trace;
use almadia_command::{MemberId, Term};
use almadia_consensus::{
    DialError, Dialing, Lane, PIPE_FRAMES_MAX, PeerAddress, PeerNetwork, Pipe, vote_given, vote_question,
};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until};

/// A connection that is not made within this is given up, as in the server.
const CONNECT_MAX: Duration = Duration::from_secs(1);

/// Between two looks at a link that is cut.
const LOOK: Duration = Duration::from_millis(20);

/// Which machine, from 0.
pub type HostIndex = usize;

/// How frames travel.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Every frame takes this long at least.
    pub delay_ms: u64,
    /// And up to this much more.
    pub spread_ms: u64,
    /// Of a thousand frames so many are lost and sent again.
    pub loss_per_mille: u64,
    /// How long that takes.
    pub resend_ms: u64,
    /// Of a thousand lost frames so many break the connection.
    pub break_per_mille: u64,
}

impl Default for Weather {
    fn default() -> Self {
        Self {
            delay_ms: 0,
            spread_ms: 4,
            loss_per_mille: 0,
            resend_ms: 200,
            break_per_mille: 0,
        }
    }
}

/// The network. Clones are the same network.
#[derive(Clone)]
pub struct Net {
    handle: Handle,
    trace: Trace,
    state: Arc<Mutex<State>>,
}

struct State {
    chance: Chance,
    weather: Weather,
    doors: BTreeMap<HostIndex, Door>,
    /// Where a machine believes to find the pod of an ordinal: names are looked up anew at each dial, and may be stale.
    names: BTreeMap<(HostIndex, u32), HostIndex>,
    /// Without power: nothing is heard of them, not even that their connections have ended.
    silent: BTreeSet<HostIndex>,
    /// From whom to whom nothing gets through.
    cut: BTreeSet<(HostIndex, HostIndex)>,
    pumps: Vec<(HostIndex, HostIndex, AbortHandle)>,
    frames: u64,
    given: Vec<VoteGiven>,
}

/// A member has said to another one, from this machine, whom it votes for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoteGiven {
    /// Its machine.
    pub host: HostIndex,
    /// In which term.
    pub term: Term,
    /// Whom for.
    pub member: MemberId,
}

/// The questions for a vote that went over one connection: answers have their numbers.
type Asked = Arc<Mutex<BTreeSet<u64>>>;

/// One direction of a connection.
struct Road {
    from: HostIndex,
    to: HostIndex,
    lane: Lane,
    /// Whether it goes from who made the connection.
    is_outward: bool,
    asked: Asked,
}

impl Net {
    /// A network whose frames travel on this runtime.
    pub fn new(handle: Handle, chance: Chance, trace: Trace) -> Self {
        let state = State {
            chance,
            weather: Weather::default(),
            doors: BTreeMap::new(),
            names: BTreeMap::new(),
            silent: BTreeSet::new(),
            cut: BTreeSet::new(),
            pumps: Vec::new(),
            frames: 0,
            given: Vec::new(),
        };
        Self {
            handle,
            trace,
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nobody panics while holding the network")
    }

    /// The URL of a machine.
    pub fn url(host: HostIndex) -> String {
        format!("sim://m{host}")
    }

    /// From now on `dialer` finds the pod of an ordinal there.
    pub fn point(&self, dialer: HostIndex, ordinal: u32, to: HostIndex) {
        self.lock().names.insert((dialer, ordinal), to);
    }

    fn host_of(&self, dialer: HostIndex, url: &str) -> Option<HostIndex> {
        let name = url.strip_prefix("sim://m")?;
        match name.strip_prefix('-') {
            Some(ordinal) => self.lock().names.get(&(dialer, ordinal.parse().ok()?)).copied(),
            None => name.parse().ok(),
        }
    }

    /// Somebody listens on this machine from now on.
    pub fn listen(&self, host: HostIndex, door: Door) {
        let mut state = self.lock();
        state.silent.remove(&host);
        state.doors.insert(host, door);
    }

    /// Nobody listens there any more. A machine without power is silent; else its system ends the connections.
    pub fn leave(&self, host: HostIndex, is_silent: bool) {
        let mut state = self.lock();
        state.doors.remove(&host);
        if is_silent {
            state.silent.insert(host);
        }
    }

    /// Cuts or heals one direction.
    pub fn cut(&self, from: HostIndex, to: HostIndex, is_cut: bool) {
        let mut state = self.lock();
        if is_cut {
            state.cut.insert((from, to));
        } else {
            state.cut.remove(&(from, to));
        }
    }

    /// Heals everything.
    pub fn heal(&self) {
        let mut state = self.lock();
        state.cut.clear();
        state.weather = Weather::default();
    }

    /// Whether frames get from one to the other.
    pub fn is_cut(&self, from: HostIndex, to: HostIndex) -> bool {
        self.lock().cut.contains(&(from, to))
    }

    /// How frames travel from now on.
    pub fn set_weather(&self, weather: Weather) {
        self.lock().weather = weather;
    }

    /// Breaks the connections between two machines, as a firewall that forgets them.
    pub fn break_connections(&self, hit: impl Fn(HostIndex, HostIndex) -> bool) {
        self.lock().pumps.retain(|(from, to, pump)| {
            if hit(*from, *to) || hit(*to, *from) {
                pump.abort();
                return false;
            }
            !pump.is_finished()
        });
    }

    /// Frames carried so far.
    pub fn frames(&self) -> u64 {
        self.lock().frames
    }

    /// How long a client's message takes.
    pub fn client_delay(&self) -> Duration {
        let mut state = self.lock();
        let spread = state.weather.spread_ms;
        Duration::from_millis(state.chance.between(0, spread))
    }

    /// How long the next frame takes; none when it breaks the connection.
    fn draw(&self) -> Option<Duration> {
        let mut state = self.lock();
        let weather = state.weather;
        let mut ms = weather.delay_ms + state.chance.below(weather.spread_ms + 1);
        if weather.loss_per_mille > 0 && state.chance.per_mille(weather.loss_per_mille) {
            if state.chance.per_mille(weather.break_per_mille) {
                return None;
            }
            ms += weather.resend_ms;
        }
        Some(Duration::from_millis(ms))
    }

    /// Votes that were said to be given since it was asked last.
    pub fn take_given(&self) -> Vec<VoteGiven> {
        std::mem::take(&mut self.lock().given)
    }

    /// Looks for votes in what a member says, the moment it says it.
    fn overhear(&self, road: &Road, frame: &Bytes) {
        if road.lane != Lane::Control {
            return;
        }
        let mut asked = road
            .asked
            .lock()
            .expect("nobody panics while holding what was asked");
        if road.is_outward {
            asked.extend(vote_question(frame));
        } else if !asked.is_empty()
            && let Some((number, term, member)) = vote_given(frame)
            && asked.remove(&number)
        {
            let host = road.from;
            self.lock().given.push(VoteGiven { host, term, member });
        }
    }

    fn is_silent(&self, host: HostIndex) -> bool {
        self.lock().silent.contains(&host)
    }

    fn carried(&self, from: HostIndex, to: HostIndex, lane: Lane, frame: &Bytes) {
        self.lock().frames += 1;
        let sum = u64::from(crc32c::crc32c(frame));
        self.trace
            .note(&[from as u64, to as u64, lane as u64, frame.len() as u64, sum]);
    }

    /// Carries one direction of a connection.
    async fn pump(self, way: Road, mut receive: mpsc::Receiver<Bytes>, send: mpsc::Sender<Bytes>) {
        let Road { from, to, lane, .. } = way;
        let mut road: VecDeque<(Instant, Bytes)> = VecDeque::new();
        let mut last = Instant::now();
        let mut has_ended = false;
        // Ended, and everything said before it has arrived: the other end hears of it even if it says nothing itself.
        while !(has_ended && road.is_empty()) {
            let due = road.front().map(|(at, _)| *at);
            let room = !has_ended && road.len() < PIPE_FRAMES_MAX;
            tokio::select! {
                biased;
                () = send.closed() => break,
                () = sleep_until(due.unwrap_or(last)), if due.is_some() => {
                    if self.is_cut(from, to) || self.is_silent(to) {
                        sleep(LOOK).await;
                        continue;
                    }
                    let Some((_, frame)) = road.pop_front() else { continue };
                    self.carried(from, to, lane, &frame);
                    if send.send(frame).await.is_err() {
                        break;
                    }
                }
                frame = receive.recv(), if room => match frame {
                    Some(frame) => {
                        self.overhear(&way, &frame);
                        let Some(delay) = self.draw() else {
                            self.break_connections(|one, other| (one, other) == (from, to));
                            return;
                        };
                        last = last.max(Instant::now() + delay);
                        road.push_back((last, frame));
                    }
                    None => has_ended = true,
                },
            }
        }
        // The news that a connection has ended has to get through as well.
        while self.is_silent(from) || self.is_silent(to) || self.is_cut(from, to) {
            sleep(LOOK).await;
        }
    }

    async fn connect(
        &self,
        own: HostIndex,
        who: &Who,
        to: &PeerAddress,
        lane: Lane,
    ) -> Result<Pipe, DialError> {
        let unreachable = |reason: &str| DialError::Unreachable {
            name: to.name.clone(),
            url: to.urls.first().cloned().unwrap_or_default(),
            reason: reason.to_owned(),
        };
        let Some(target) = to.urls.iter().find_map(|url| self.host_of(own, url)) else {
            return Err(unreachable("no such machine"));
        };
        let began = Instant::now();
        let there_and_back = self.draw().unwrap_or_default() + self.draw().unwrap_or_default();
        sleep(there_and_back).await;
        while self.is_cut(own, target) || self.is_cut(target, own) || self.is_silent(target) {
            if began.elapsed() > CONNECT_MAX {
                return Err(unreachable("no connection in time"));
            }
            sleep(LOOK).await;
        }
        let door = self.lock().doors.get(&target).cloned();
        let door = door.ok_or_else(|| unreachable("connection refused"))?;
        let hello = who.hello(to.member, &to.name, lane as u8).encode();
        let (lane, from) = door.knock(&hello, who).map_err(|closed| {
            let reason = match closed {
                Closed::Refused(reason) => reason,
                Closed::Removed => {
                    who.was_removed();
                    "this member was removed".to_owned()
                }
            };
            DialError::Refused {
                name: to.name.clone(),
                reason,
            }
        })?;
        let (near, near_end) = Pipe::pair();
        let (far, far_end) = Pipe::pair();
        let directions = [
            (own, target, near_end.receive, far.send),
            (target, own, far.receive, near_end.send),
        ];
        let asked = Asked::default();
        for (from, to, receive, send) in directions {
            let road = Road {
                from,
                to,
                lane,
                is_outward: from == own,
                asked: asked.clone(),
            };
            let pump = self.handle.spawn(self.clone().pump(road, receive, send));
            self.lock().pumps.push((from, to, pump.abort_handle()));
        }
        door.accept(lane, from, far_end);
        Ok(near)
    }
}

/// One life's way to the others.
pub struct Wire {
    /// Its machine.
    pub host: HostIndex,
    /// What it says of itself.
    pub who: Who,
    /// The network.
    pub net: Net,
}

impl PeerNetwork for Wire {
    fn dial(&self, to: PeerAddress, lane: Lane) -> Dialing {
        let (give, take) = oneshot::channel();
        let (net, who, host) = (self.net.clone(), self.who.clone(), self.host);
        let name = to.name.clone();
        self.net.handle.spawn(async move {
            // The dialer may be gone by now.
            let _ = give.send(net.connect(host, &who, &to, lane).await);
        });
        Box::pin(async move {
            take.await.unwrap_or(Err(DialError::Unreachable {
                name,
                url: String::new(),
                reason: "the machine is gone".to_owned(),
            }))
        })
    }
}
