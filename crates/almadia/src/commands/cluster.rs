//! Talks to a cluster: tries its members in turn and never repeats a write whose fate is unknown.
//!
//! A call moves on to the next member when a member cannot be reached or has no leader. A write moves on only when it
//! certainly was not carried out. Never prints, never interprets answers.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

use super::error::CommandError;
use super::global::{Address, Global};
use super::login::{self, Connection, Login};
use super::meaning::{Meaning, meaning, refused, without_origin};
use super::tls::{Dialer, Security, speaks_tls, told_later};

/// Longest wait for one member to accept a connection.
const CONNECT_MAX: Duration = Duration::from_millis(1000);
/// How often a connection with a call on it is probed, and how long the answer may take: a member that vanished without a
/// word is noticed. etcd's members take more than one probe in 5 s for an attack.
const PROBE_INTERVAL: Duration = Duration::from_secs(10);
const PROBE_ANSWER_MAX: Duration = Duration::from_secs(5);
/// As long as it takes; tokio cannot wait longer.
const FOREVER: Duration = Duration::from_secs(30 * 365 * 86_400);
/// Pause after all members were tried in vain: the first and the longest.
const BACK_OFF_MIN: Duration = Duration::from_millis(25);
const BACK_OFF_MAX: Duration = Duration::from_millis(400);
/// Answers larger than gRPC's usual 4 MiB are legal: a range has no limit.
pub const MESSAGE_BYTES_MAX: usize = i32::MAX as usize;

/// What may be done when no answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// The call changes nothing, or may be carried out twice: ask the next member.
    Freely,
    /// A write: only if it certainly was not carried out.
    OnlyIfNotCarriedOut,
}

/// How long a member may take to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    /// Until the command's time is over.
    Timeout,
    /// As long as it takes.
    Forever,
}

/// A cluster's client.
pub struct Cluster {
    addresses: Vec<Address>,
    timeout: Duration,
    /// The longest wait for one member; `None`: half of what is left while there are other members to ask.
    attempt_max: Option<Duration>,
    /// The member that answered last, and the connection to it.
    last: Mutex<(usize, Option<Channel>)>,
    /// The user, if there is one.
    login: Option<Arc<Login>>,
}

impl Cluster {
    /// The cluster that the flags name. Connects to nothing yet.
    pub fn new(global: &Global) -> Result<Self, CommandError> {
        Ok(Self {
            addresses: global.addresses()?,
            timeout: global.timeout,
            attempt_max: None,
            last: Mutex::new((0, None)),
            login: None,
        })
    }

    /// The same with a user for whom all is asked.
    #[must_use]
    pub fn with_login(mut self, login: Option<Login>) -> Self {
        self.login = login.map(Arc::new);
        self
    }

    /// The user, for questions to one member.
    pub fn login(&self) -> Option<Arc<Login>> {
        self.login.clone()
    }

    /// Another client of the same cluster and user, connected to nothing yet.
    #[must_use]
    pub fn again(&self) -> Self {
        Self {
            addresses: self.addresses.clone(),
            timeout: self.timeout,
            attempt_max: self.attempt_max,
            last: Mutex::new((0, None)),
            login: self.login.clone(),
        }
    }

    /// The same with an upper bound for the wait for one member.
    #[must_use]
    pub fn with_attempt_max(mut self, attempt_max: Duration, timeout: Duration) -> Self {
        self.attempt_max = Some(attempt_max);
        self.timeout = timeout;
        self
    }

    /// Another client of the same cluster and user at these addresses. There must be one.
    #[must_use]
    pub fn at(&self, addresses: Vec<Address>) -> Self {
        assert!(!addresses.is_empty(), "a cluster has an address");
        Self {
            addresses,
            ..self.again()
        }
    }

    /// The addresses as given.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// What is done about TLS.
    pub fn security(&self) -> &Security {
        &self.addresses[0].security
    }

    /// Longest time for one command.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Calls one member after the other until one serves the call or the time is up.
    pub async fn call<R, F, Done>(&self, repeat: Repeat, call: F) -> Result<Response<R>, CommandError>
    where
        F: FnMut(Connection) -> Done,
        Done: Future<Output = Result<Response<R>, Status>>,
    {
        self.serve(repeat, Patience::Timeout, call).await
    }

    /// The same for a call that is answered only when something has happened: while a member lets us wait, no time is
    /// counted. The call may be carried out twice.
    pub async fn wait<R, F, Done>(&self, call: F) -> Result<Response<R>, CommandError>
    where
        F: FnMut(Connection) -> Done,
        Done: Future<Output = Result<Response<R>, Status>>,
    {
        self.serve(Repeat::Freely, Patience::Forever, call).await
    }

    async fn serve<R, F, Done>(
        &self,
        repeat: Repeat,
        patience: Patience,
        mut call: F,
    ) -> Result<Response<R>, CommandError>
    where
        F: FnMut(Connection) -> Done,
        Done: Future<Output = Result<Response<R>, Status>>,
    {
        let mut deadline = Instant::now() + self.timeout;
        let mut back_off = BACK_OFF_MIN;
        let mut renewed = false;
        let mut unreachable = String::new();
        let mut not_served = None;
        let first = self.last.lock().expect("no panic holds it").0;
        for attempt in 0.. {
            let member = (first + attempt) % self.addresses.len();
            match self.connect(member, deadline).await {
                Err(reason) => unreachable = format!("{}: {reason}", self.addresses[member].authority),
                Ok(channel) => {
                    let asked_at = Instant::now();
                    let limit = self.attempt_deadline(repeat, patience, deadline);
                    match self.attempt(member, &channel, repeat, limit, &mut call).await {
                        Ok(answer) => return Ok(answer),
                        Err(Attempt::Over(error)) => return Err(error),
                        Err(Attempt::TokenOutdated(error)) if renewed => return Err(error),
                        Err(Attempt::TokenOutdated(_)) => renewed = true,
                        Err(Attempt::Next(reason)) => not_served = Some(reason),
                    }
                    if patience == Patience::Forever {
                        deadline += asked_at.elapsed();
                    }
                }
            }
            if member == (first + self.addresses.len() - 1) % self.addresses.len() {
                sleep(back_off.min(deadline - Instant::now().min(deadline))).await;
                back_off = (back_off * 2).min(BACK_OFF_MAX);
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        Err(self.not_reached(not_served, unreachable))
    }

    fn not_reached(&self, not_served: Option<String>, unreachable: String) -> CommandError {
        let endpoints = self.names();
        match not_served {
            Some(reason) => CommandError::NotServed { endpoints, reason },
            None => CommandError::Unreachable {
                endpoints,
                reason: unreachable,
            },
        }
    }

    /// One call to one member, after a login where there is a user and no token.
    async fn attempt<R, F, Done>(
        &self,
        member: usize,
        channel: &Channel,
        repeat: Repeat,
        limit: Instant,
        call: &mut F,
    ) -> Result<Response<R>, Attempt>
    where
        F: FnMut(Connection) -> Done,
        Done: Future<Output = Result<Response<R>, Status>>,
    {
        let late = |_| Status::deadline_exceeded("no answer in time");
        let logged_in = timeout_at(limit, login::connection(self.login.as_deref(), channel)).await;
        let connection = match logged_in.map_err(late).flatten() {
            Ok(connection) => connection,
            // Nothing but the login was sent, whatever became of it.
            Err(status) => return Err(self.failed(member, &status, Repeat::Freely).await),
        };
        match timeout_at(limit, call(connection)).await.map_err(late).flatten() {
            Ok(answer) => {
                *self.last.lock().expect("no panic holds it") = (member, Some(channel.clone()));
                Ok(answer)
            }
            Err(status) => Err(self.failed(member, &status, repeat).await),
        }
    }

    async fn failed(&self, member: usize, status: &Status, repeat: Repeat) -> Attempt {
        *self.last.lock().expect("no panic holds it") = (member, None);
        let address = &self.addresses[member];
        if let Some(error) = wrong_transport(address, status).await {
            return Attempt::Over(error);
        }
        let reason = format!("{}: {}", address.authority, without_origin(status.message()));
        match (meaning(status), repeat) {
            (Meaning::TokenOutdated, _) if self.forget_token() => Attempt::TokenOutdated(refused(status)),
            (Meaning::NotCarriedOut, _) | (Meaning::Unknown, Repeat::Freely) => Attempt::Next(reason),
            (Meaning::Unknown, Repeat::OnlyIfNotCarriedOut) => {
                Attempt::Over(CommandError::Unknown { reason })
            }
            (Meaning::Refused | Meaning::TokenOutdated, _) => Attempt::Over(refused(status)),
        }
    }

    /// Lets the next call log in again; false where there is no user to log in.
    pub fn forget_token(&self) -> bool {
        self.login.as_deref().map(Login::forget).is_some()
    }

    /// An error in the middle of a stream: the command's end, or nothing when another member may go on.
    pub fn end_of_stream(&self, status: &Status) -> Option<CommandError> {
        match meaning(status) {
            Meaning::TokenOutdated if self.forget_token() => None,
            Meaning::Refused | Meaning::TokenOutdated => Some(refused(status)),
            Meaning::NotCarriedOut | Meaning::Unknown => None,
        }
    }

    fn attempt_deadline(&self, repeat: Repeat, patience: Patience, deadline: Instant) -> Instant {
        let now = Instant::now();
        let left = deadline.saturating_duration_since(now);
        let attempt = match (patience, self.attempt_max, repeat) {
            (Patience::Forever, _, _) => FOREVER,
            (_, Some(attempt_max), _) => left.min(attempt_max),
            (_, None, Repeat::Freely) if self.addresses.len() > 1 => left / 2,
            (_, None, _) => left,
        };
        now + attempt
    }

    /// The connection of the last answer if it was this member's, else a new one: a call on a new one that cannot be
    /// made certainly was not carried out.
    async fn connect(&self, member: usize, deadline: Instant) -> Result<Channel, String> {
        {
            let last = self.last.lock().expect("no panic holds it");
            if let (at, Some(channel)) = &*last
                && *at == member
            {
                return Ok(channel.clone());
            }
        }
        let left = deadline.saturating_duration_since(Instant::now());
        connect(&self.addresses[member], left.min(CONNECT_MAX)).await
    }

    /// The addresses, for a complaint.
    pub fn names(&self) -> String {
        let names: Vec<&str> = self
            .addresses
            .iter()
            .map(|address| address.authority.as_str())
            .collect();
        names.join(", ")
    }
}

/// How an attempt ended that brought no answer.
enum Attempt {
    /// Try another member.
    Next(String),
    /// Log in again, once.
    TokenOutdated(CommandError),
    /// There is nothing more to try.
    Over(CommandError),
}

/// Connects to one member within `limit`; the text says why it is not possible.
pub async fn connect(address: &Address, limit: Duration) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(address.url.clone())
        .map_err(|error| error.to_string())?
        .connect_timeout(limit)
        .http2_keep_alive_interval(PROBE_INTERVAL)
        .keep_alive_timeout(PROBE_ANSWER_MAX)
        .tcp_nodelay(true);
    let connecting = async {
        if !address.is_tls {
            return endpoint.connect().await.map_err(|error| innermost(&error));
        }
        let dialer = Dialer::new(address).map_err(|error| error.to_string())?;
        let connected = endpoint.connect_with_connector(dialer).await;
        connected.map_err(|error| innermost(&error))
    };
    match tokio::time::timeout(limit, connecting).await {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(reason)) => Err(reason),
        Err(_) => Err("no connection in time".to_owned()),
    }
}

/// The two usual mistakes with TLS that show only when a call is made: nothing was carried out, and nothing will be.
async fn wrong_transport(address: &Address, status: &Status) -> Option<CommandError> {
    if meaning(status) != Meaning::Unknown {
        return None;
    }
    let reason = if address.is_tls {
        told_later(status, address)?
    } else if speaks_tls(address).await {
        "it speaks TLS; write https:// before its address and name the cluster's authority with --cacert"
            .to_owned()
    } else {
        return None;
    };
    Some(CommandError::Unreachable {
        endpoints: address.authority.clone(),
        reason,
    })
}

/// A request that asks not to be served without a leader, and for the place of a write in the log.
pub fn request<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("hasleader", MetadataValue::from_static("true"));
    request
        .metadata_mut()
        .insert("almadia-position", MetadataValue::from_static("1"));
    request
}

/// The cause at the end of the chain: "connection refused" instead of "transport error".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
