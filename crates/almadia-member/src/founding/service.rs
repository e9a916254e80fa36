//! Acts on the founding rules: asks the peers, answers theirs, persists before it says what it has become.
//!
//! It never decides: that is [`super::Notebook`]. The only disk access is the replacement of one small file, made
//! directly from the task, because nothing else runs before a member knows who it is.

use super::message::{Admitted, Answer, Ask, Found, FoundAck, Frame};
use super::notebook::{Asking, Notebook};
use super::rules::{Step, WaitReason};
use super::{InitialPeer, InitialState};
use crate::identity::{Identity, IdentityError, draw_id};
use almadia_command::{ClusterId, MemberId};
use almadia_consensus::{Lane, PeerAddress, PeerNetwork, Pipe};
use almadia_disk::Disk;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tracing::{debug, info, warn};

/// One conversation with a peer takes this long at most, with dialing.
const CONVERSATION_MAX: Duration = Duration::from_secs(5);

/// Pause between two rounds of questions: at first, when something has changed.
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// The pause grows to this while nothing changes.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// The pause grows to this while the founder is expected to found at any moment.
const PAUSE_FOUNDER_MAX: Duration = Duration::from_millis(250);

/// A founding that goes well is over before this: the first reason for waiting is logged only then.
const QUIET: Duration = Duration::from_secs(3);

/// After that the reason is logged when it changes, and again after this time.
const REPEAT_LOG: Duration = Duration::from_secs(30);

/// What founding needs.
pub struct FoundingContext {
    /// Keeps the identity.
    pub disk: Arc<dyn Disk>,
    /// Reaches the peers.
    pub network: Arc<dyn PeerNetwork>,
    /// Who the member is, as [`Identity::open`] gave it.
    pub identity: Identity,
    /// `--initial-cluster-state`.
    pub state: InitialState,
    /// `--initial-cluster`, with the member itself.
    pub initial: Vec<InitialPeer>,
    /// `--advertise-client-urls`.
    pub client_urls: Vec<String>,
    /// Evenly distributed numbers, for the cluster's id.
    pub random: Box<dyn FnMut() -> u64 + Send>,
}

impl fmt::Debug for FoundingContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FoundingContext")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// Lets empty data directories into a cluster that has been founded.
pub trait Admission: Send + Sync + 'static {
    /// The id that was allotted to whoever asks, if it is or has just become this instance's; else why it waits.
    fn admit(&self, ask: Ask) -> Admitting<'_>;
}

/// An admission in the making.
pub type Admitting<'a> = Pin<Box<dyn Future<Output = Admittance> + Send + 'a>>;

/// What becomes of an empty data directory that asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admittance {
    /// This id is its own from now on.
    Given(MemberId),
    /// Not yet; why, for people.
    Waits(String),
}

/// Why a member cannot take part in founding.
#[derive(Debug, thiserror::Error)]
pub enum FoundingError {
    /// The identity could not be persisted.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The list does not name the member itself.
    #[error("--initial-cluster does not name this member, {name}")]
    NotListed {
        /// The member's name.
        name: String,
    },
}

/// Answers founding questions, before and after the member belongs to a cluster. Clones are the same service.
#[derive(Clone)]
pub struct FoundingService {
    inner: Arc<Inner>,
}

impl fmt::Debug for FoundingService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FoundingService")
            .field("identity", self.notebook().identity())
            .finish_non_exhaustive()
    }
}

struct Inner {
    /// Held over the replacement of the identity file, never over an await.
    notebook: Mutex<Notebook>,
    random: Mutex<Box<dyn FnMut() -> u64 + Send>>,
    disk: Arc<dyn Disk>,
    network: Arc<dyn PeerNetwork>,
    /// There once the member runs.
    admission: OnceLock<Arc<dyn Admission>>,
    /// A peer has just started: ask at once.
    stirred: Notify,
    /// It waits to be let into a cluster, not to found one; for whoever looks.
    waits_for_admission: AtomicBool,
}

/// Founds a cluster or becomes a member of the one that is being founded, and returns when the member belongs to
/// a cluster, durably. Returns at once when it did before. Waits as long as it takes, and says in the log why.
///
/// # Errors
/// [`FoundingError`]: the disk fails, or the configuration leaves the member out.
pub async fn establish(context: FoundingContext) -> Result<Identity, FoundingError> {
    FoundingService::new(context)?.establish().await
}

impl FoundingService {
    /// A service that answers, but does not ask before [`FoundingService::establish`].
    ///
    /// # Errors
    /// [`FoundingError::NotListed`].
    pub fn new(context: FoundingContext) -> Result<Self, FoundingError> {
        let name = &context.identity.name;
        let listed = context.initial.iter().any(|peer| peer.name == *name);
        if !context.identity.is_founded() && !listed {
            return Err(FoundingError::NotListed { name: name.clone() });
        }
        let notebook = Notebook::new(
            context.identity,
            context.state,
            context.initial,
            context.client_urls,
        );
        let inner = Inner {
            notebook: Mutex::new(notebook),
            random: Mutex::new(context.random),
            disk: context.disk,
            network: context.network,
            admission: OnceLock::new(),
            stirred: Notify::new(),
            waits_for_admission: AtomicBool::new(false),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Has these members asked, too, before anything is founded.
    pub fn ask_also(&self, witnesses: Vec<InitialPeer>) {
        self.notebook().ask_also(witnesses);
    }

    /// From now on others are let in.
    ///
    /// # Panics
    /// When that was said before.
    pub fn admit_by(&self, admission: Arc<dyn Admission>) {
        let is_new = self.inner.admission.set(admission).is_ok();
        assert!(is_new, "a process has one member");
    }

    /// Who the member is now.
    pub fn identity(&self) -> Identity {
        self.notebook().identity().clone()
    }

    /// See [`establish`].
    ///
    /// # Errors
    /// [`FoundingError::Identity`] when the disk fails.
    pub async fn establish(&self) -> Result<Identity, FoundingError> {
        let mut diary = Diary::default();
        let mut pause = PAUSE_MIN;
        loop {
            if let Some(identity) = self.founded() {
                return Ok(identity);
            }
            self.ask_all().await?;
            let Some(reason) = self.act()? else { continue };
            let for_admission = matches!(reason, WaitReason::Admission { .. } | WaitReason::Existing);
            self.inner
                .waits_for_admission
                .store(for_admission, Ordering::Relaxed);
            pause = if diary.note(&reason) {
                PAUSE_MIN
            } else {
                pause * 3 / 2
            };
            pause = pause.min(match reason {
                WaitReason::Founder { .. } | WaitReason::View { .. } => PAUSE_FOUNDER_MAX,
                _ => PAUSE_MAX,
            });
            let _ = timeout(pause, self.inner.stirred.notified()).await;
        }
    }

    /// Whether, by the last round of questions, the member waits to be let into a cluster and not to found one.
    pub fn waits_for_admission(&self) -> bool {
        self.inner.waits_for_admission.load(Ordering::Relaxed)
    }

    /// Shows itself to every peer once, and hangs up. Whoever knows this member as removed says so in the handshake.
    pub async fn show_itself(&self) {
        let peers: Vec<InitialPeer> = self.notebook().peers().cloned().collect();
        let mut shown = JoinSet::new();
        for peer in peers {
            let dialed = self.inner.network.dial(address_of(&peer), Lane::Founding);
            shown.spawn(async move { drop(timeout(CONVERSATION_MAX, dialed).await) });
        }
        while shown.join_next().await.is_some() {}
    }

    /// Answers the questions of one accepted pipe of [`Lane::Founding`]; returns when the conversation is over.
    pub async fn serve(&self, pipe: Pipe) {
        match timeout(CONVERSATION_MAX, self.converse(pipe)).await {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => debug!(%reason, "a founding conversation broke off"),
            Err(_) => debug!("a founding conversation took too long"),
        }
    }

    /// Asks every peer once, all at the same time. Ends early when a configuration has been taken over.
    async fn ask_all(&self) -> Result<(), FoundingError> {
        let peers: Vec<InitialPeer> = self.notebook().peers().cloned().collect();
        let mut conversations = JoinSet::new();
        for peer in peers {
            let service = self.clone();
            conversations.spawn(async move { service.ask(&peer).await });
        }
        while let Some(ended) = conversations.join_next().await {
            ended.expect("a conversation neither panics nor is cancelled while it is waited for")?;
            if self.founded().is_some() {
                break;
            }
        }
        Ok(())
    }

    /// Founds, if the rules say so; else the reason to wait.
    fn act(&self) -> Result<Option<WaitReason>, FoundingError> {
        let mut notebook = self.notebook();
        if notebook.identity().is_founded() {
            return Ok(None);
        }
        let members = match notebook.decide() {
            Step::Wait(reason) => return Ok(Some(reason)),
            Step::Found(members) => members,
        };
        let mut random = self
            .inner
            .random
            .lock()
            .expect("nobody panics while drawing a number");
        let cluster = ClusterId(draw_id(&mut **random));
        let identity = notebook.found(&members, cluster);
        identity.save(&*self.inner.disk)?;
        notebook.take_identity(identity);
        info!(%cluster, members = members.len(), "founded a cluster");
        Ok(None)
    }

    async fn ask(&self, peer: &InitialPeer) -> Result<(), FoundingError> {
        match timeout(CONVERSATION_MAX, self.question(peer)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Broken::Disk(error))) => Err(error.into()),
            Ok(Err(Broken::World(reason))) => {
                self.notebook().hear_nothing(&peer.name, reason);
                Ok(())
            }
            Err(_) => {
                self.notebook()
                    .hear_nothing(&peer.name, "no answer in time".to_owned());
                Ok(())
            }
        }
    }

    async fn question(&self, peer: &InitialPeer) -> Result<(), Broken> {
        let dialed = self.inner.network.dial(address_of(peer), Lane::Founding).await;
        let mut pipe = dialed.map_err(|error| Broken::World(error.to_string()))?;
        // Another peer may have let us in meanwhile.
        if self.founded().is_some() {
            return Ok(());
        }
        let (asking, ask) = self.notebook().ask(&peer.name);
        say(&pipe, Frame::Ask(ask)).await?;
        let Frame::Answer(answer) = listen(&mut pipe).await? else {
            return Err(Broken::nonsense());
        };
        if !answer.offers && !answer.admits {
            self.notebook().hear(&asking, answer);
            return Ok(());
        }
        let ack = match listen(&mut pipe).await? {
            Frame::Found(found) if answer.offers => self.take(&asking, &answer, &found)?,
            Frame::Admitted(admitted) if answer.admits => self.join(&asking, &answer, admitted)?,
            _ => return Err(Broken::nonsense()),
        };
        say(&pipe, Frame::FoundAck(ack)).await?;
        // The peer hangs up when it has read that; hanging up first could lose it.
        let _ = pipe.receive.recv().await;
        Ok(())
    }

    /// Takes an offered configuration over: persisted first, then known to the rest of the member.
    fn take(&self, asking: &Asking, answer: &Answer, found: &Found) -> Result<FoundAck, Broken> {
        let mut notebook = self.notebook();
        let identity = notebook
            .accept(asking, found)
            .map_err(|refusal| Broken::World(refusal.to_string()))?;
        identity.save(&*self.inner.disk).map_err(Broken::Disk)?;
        let ack = FoundAck {
            cluster: identity.cluster,
            member: identity.member,
        };
        info!(cluster = %identity.cluster, from = %answer.name, "took over the configuration of a new cluster");
        notebook.take_identity(identity);
        Ok(ack)
    }

    /// Takes over the id that was allotted: persisted first, then known to the rest of the member.
    fn join(&self, asking: &Asking, answer: &Answer, admitted: Admitted) -> Result<FoundAck, Broken> {
        let mut notebook = self.notebook();
        let identity = notebook
            .accept_admission(asking, admitted)
            .map_err(|refusal| Broken::World(refusal.to_string()))?;
        identity.save(&*self.inner.disk).map_err(Broken::Disk)?;
        let Admitted { cluster, member } = admitted;
        info!(%cluster, %member, from = %answer.name, "was admitted to a cluster");
        notebook.take_identity(identity);
        Ok(FoundAck { cluster, member })
    }

    async fn converse(&self, mut pipe: Pipe) -> Result<(), Broken> {
        let Frame::Ask(ask) = listen(&mut pipe).await? else {
            return Err(Broken::nonsense());
        };
        let (mut answer, offer) = self.answer(&ask);
        let admittance = match &offer {
            None => self.admittance(&ask, answer.cluster).await,
            Some(_) => None,
        };
        let mut admitted = None;
        match admittance {
            Some(Admittance::Given(member)) => {
                let cluster = answer.cluster;
                admitted = Some(Admitted { cluster, member });
            }
            Some(Admittance::Waits(reason)) => answer.says = reason,
            None => {}
        }
        answer.admits = admitted.is_some();
        say(&pipe, Frame::Answer(answer)).await?;
        let follows = offer.map(Frame::Found).or(admitted.map(Frame::Admitted));
        let Some(follows) = follows else { return Ok(()) };
        say(&pipe, follows).await?;
        let Frame::FoundAck(ack) = listen(&mut pipe).await? else {
            return Err(Broken::nonsense());
        };
        info!(peer = %ask.name, member = %ack.member, cluster = %ack.cluster, "a member has joined the cluster");
        Ok(())
    }

    async fn admittance(&self, ask: &Ask, cluster: ClusterId) -> Option<Admittance> {
        let admission = self.inner.admission.get().filter(|_| cluster.get() != 0)?;
        Some(admission.admit(ask.clone()).await)
    }

    fn answer(&self, ask: &Ask) -> (Answer, Option<Found>) {
        let mut notebook = self.notebook();
        if !notebook.has_heard(&ask.name, ask.member) {
            self.inner.stirred.notify_one();
        }
        notebook.answer(ask)
    }

    fn founded(&self) -> Option<Identity> {
        let notebook = self.notebook();
        notebook
            .identity()
            .is_founded()
            .then(|| notebook.identity().clone())
    }

    fn notebook(&self) -> MutexGuard<'_, Notebook> {
        self.inner
            .notebook
            .lock()
            .expect("nobody panics while holding the notebook")
    }
}

/// Whoever is called so; its id is not known.
fn address_of(peer: &InitialPeer) -> PeerAddress {
    PeerAddress {
        member: MemberId(0),
        name: peer.name.clone(),
        urls: peer.peer_urls.clone(),
    }
}

/// Why a conversation ended early.
enum Broken {
    /// Unreachable, hung up, talked nonsense: ask again later.
    World(String),
    /// Our own disk: give up.
    Disk(IdentityError),
}

impl Broken {
    fn nonsense() -> Self {
        Self::World("an unexpected founding message".to_owned())
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::World(reason) => f.write_str(reason),
            Self::Disk(error) => write!(f, "{error}"),
        }
    }
}

async fn say(pipe: &Pipe, frame: Frame) -> Result<(), Broken> {
    pipe.send
        .send(frame.encode())
        .await
        .map_err(|_| Broken::World("the peer hung up".to_owned()))
}

async fn listen(pipe: &mut Pipe) -> Result<Frame, Broken> {
    let bytes = pipe
        .receive
        .recv()
        .await
        .ok_or_else(|| Broken::World("the peer hung up".to_owned()))?;
    Frame::decode(bytes).map_err(|error| Broken::World(error.to_string()))
}

/// Remembers why the member waits, so that the log says it once, and again only rarely.
#[derive(Default)]
struct Diary {
    began: Option<Instant>,
    last: Option<WaitReason>,
    logged: Option<(WaitReason, Instant)>,
}

impl Diary {
    /// True when the reason is a new one.
    fn note(&mut self, reason: &WaitReason) -> bool {
        let now = Instant::now();
        if self.is_due(reason, now) {
            warn!(%reason, "waiting: this member has no cluster yet");
            self.logged = Some((reason.clone(), now));
        }
        let is_new = self.last.as_ref() != Some(reason);
        if is_new {
            self.last = Some(reason.clone());
        }
        is_new
    }

    fn is_due(&mut self, reason: &WaitReason, now: Instant) -> bool {
        let began = *self.began.get_or_insert(now);
        match &self.logged {
            None => now - began >= QUIET,
            Some((logged, at)) => logged != reason || now - *at >= REPEAT_LOG,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A founding that goes well says nothing; one that does not says it after 3 s, at each change, and every 30 s.
    #[tokio::test(start_paused = true)]
    async fn waiting_is_logged_when_it_lasts() {
        let reason = |name: &str| WaitReason::Founder {
            peer: name.to_owned(),
        };
        let mut diary = Diary::default();
        assert!(diary.note(&reason("a")) && !diary.note(&reason("a")));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(diary.note(&reason("b")) && diary.logged.is_none());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(diary.is_due(&reason("b"), Instant::now()));
        assert!(!diary.note(&reason("b")) && diary.logged.is_some());
        assert!(!diary.is_due(&reason("b"), Instant::now()));
        assert!(diary.is_due(&reason("a"), Instant::now()));
        tokio::time::advance(REPEAT_LOG).await;
        assert!(diary.is_due(&reason("b"), Instant::now()));
    }
}
