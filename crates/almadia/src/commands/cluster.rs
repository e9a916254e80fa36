//! Talks to a cluster: tries its members in turn and never repeats a write whose fate is unknown.
//!
//! A call moves on to the next member when a member cannot be reached or has no leader. A write moves on only when it
//! certainly was not carried out. Never prints, never interprets answers.

use std::future::Future;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};

use super::error::CommandError;
use super::global::{Address, Global, addresses};

/// Longest wait for one member to accept a connection.
const CONNECT_MAX: Duration = Duration::from_millis(1000);
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

/// What a member's error means for the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// Another member, or the same one later, may serve it; it was not carried out.
    NotCarriedOut,
    /// It may have been carried out.
    Unknown,
    /// Every member would say the same.
    Refused,
}

/// A cluster's client.
pub struct Cluster {
    addresses: Vec<Address>,
    timeout: Duration,
    /// The longest wait for one member; `None`: half of what is left while there are other members to ask.
    attempt_max: Option<Duration>,
    /// The member that answered last, and the connection to it.
    last: Mutex<(usize, Option<Channel>)>,
}

impl Cluster {
    /// The cluster that the flags name. Connects to nothing yet.
    pub fn new(global: &Global) -> Result<Self, CommandError> {
        Ok(Self {
            addresses: addresses(&global.endpoints)?,
            timeout: global.timeout,
            attempt_max: None,
            last: Mutex::new((0, None)),
        })
    }

    /// The same with an upper bound for the wait for one member.
    #[must_use]
    pub fn with_attempt_max(mut self, attempt_max: Duration, timeout: Duration) -> Self {
        self.attempt_max = Some(attempt_max);
        self.timeout = timeout;
        self
    }

    /// The addresses as given.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Longest time for one command.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Calls one member after the other until one serves the call or the time is up.
    pub async fn call<R, F, Done>(&self, repeat: Repeat, mut call: F) -> Result<Response<R>, CommandError>
    where
        F: FnMut(Channel) -> Done,
        Done: Future<Output = Result<Response<R>, Status>>,
    {
        let deadline = Instant::now() + self.timeout;
        let mut back_off = BACK_OFF_MIN;
        let mut unreachable = String::new();
        let mut not_served = None;
        let first = self.last.lock().expect("no panic holds it").0;
        for attempt in 0.. {
            let member = (first + attempt) % self.addresses.len();
            match self.connect(member, deadline).await {
                Err(reason) => unreachable = format!("{}: {reason}", self.addresses[member].authority),
                Ok(channel) => match self.attempt(member, &channel, repeat, deadline, &mut call).await {
                    Ok(answer) => return Ok(answer),
                    Err(Attempt::Over(error)) => return Err(error),
                    Err(Attempt::Next(reason)) => not_served = Some(reason),
                },
            }
            if member == (first + self.addresses.len() - 1) % self.addresses.len() {
                sleep(back_off.min(deadline - Instant::now().min(deadline))).await;
                back_off = (back_off * 2).min(BACK_OFF_MAX);
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        let endpoints = self.names();
        Err(match not_served {
            Some(reason) => CommandError::NotServed { endpoints, reason },
            None => CommandError::Unreachable {
                endpoints,
                reason: unreachable,
            },
        })
    }

    /// One call to one member.
    async fn attempt<R, F, Done>(
        &self,
        member: usize,
        channel: &Channel,
        repeat: Repeat,
        deadline: Instant,
        call: &mut F,
    ) -> Result<Response<R>, Attempt>
    where
        F: FnMut(Channel) -> Done,
        Done: Future<Output = Result<Response<R>, Status>>,
    {
        let status = match timeout_at(self.attempt_deadline(repeat, deadline), call(channel.clone())).await {
            Ok(Ok(answer)) => {
                *self.last.lock().expect("no panic holds it") = (member, Some(channel.clone()));
                return Ok(answer);
            }
            Ok(Err(status)) => status,
            Err(_) => Status::deadline_exceeded("no answer in time"),
        };
        *self.last.lock().expect("no panic holds it") = (member, None);
        let message = without_origin(status.message());
        let reason = format!("{}: {message}", self.addresses[member].authority);
        match (meaning(&status), repeat) {
            (Meaning::NotCarriedOut, _) | (Meaning::Unknown, Repeat::Freely) => Err(Attempt::Next(reason)),
            (Meaning::Unknown, Repeat::OnlyIfNotCarriedOut) => {
                Err(Attempt::Over(CommandError::Unknown { reason }))
            }
            (Meaning::Refused, _) => Err(Attempt::Over(CommandError::Refused {
                code: status.code(),
                message: message.to_owned(),
            })),
        }
    }

    fn attempt_deadline(&self, repeat: Repeat, deadline: Instant) -> Instant {
        let now = Instant::now();
        let left = deadline.saturating_duration_since(now);
        let attempt = match (self.attempt_max, repeat) {
            (Some(attempt_max), _) => left.min(attempt_max),
            (None, Repeat::Freely) if self.addresses.len() > 1 => left / 2,
            (None, _) => left,
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

    fn names(&self) -> String {
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
    /// There is nothing more to try.
    Over(CommandError),
}

/// Connects to one member within `limit`; the text says why it is not possible.
pub async fn connect(address: &Address, limit: Duration) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(address.url.clone())
        .map_err(|error| error.to_string())?
        .connect_timeout(limit)
        .tcp_nodelay(true);
    match tokio::time::timeout(limit, endpoint.connect()).await {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(error)) => Err(innermost(&error)),
        Err(_) => Err("no connection in time".to_owned()),
    }
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

/// etcd's texts begin with the name of its program, which says nothing to a user.
fn without_origin(message: &str) -> &str {
    message.strip_prefix("etcdserver: ").unwrap_or(message)
}

fn meaning(status: &Status) -> Meaning {
    let message = status.message();
    if message.ends_with("no leader")
        || message.ends_with("too many requests")
        || message.ends_with("rpc not supported for learner")
    {
        return Meaning::NotCarriedOut;
    }
    match status.code() {
        Code::Unavailable
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::Cancelled
        | Code::Internal
        | Code::Aborted => Meaning::Unknown,
        _ => Meaning::Refused,
    }
}

/// The cause at the end of the chain: "connection refused" instead of "transport error".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Promise: only what was certainly not carried out counts as such.
    #[test]
    fn what_errors_mean() {
        let cases = [
            (Code::Unavailable, "etcdserver: no leader", Meaning::NotCarriedOut),
            (
                Code::ResourceExhausted,
                "etcdserver: too many requests",
                Meaning::NotCarriedOut,
            ),
            (
                Code::FailedPrecondition,
                "etcdserver: rpc not supported for learner",
                Meaning::NotCarriedOut,
            ),
            (Code::Unavailable, "etcdserver: leader changed", Meaning::Unknown),
            (
                Code::Unavailable,
                "etcdserver: request timed out",
                Meaning::Unknown,
            ),
            (Code::Unknown, "transport error", Meaning::Unknown),
            (
                Code::InvalidArgument,
                "etcdserver: key is not provided",
                Meaning::Refused,
            ),
            (
                Code::OutOfRange,
                "etcdserver: mvcc: required revision has been compacted",
                Meaning::Refused,
            ),
            (
                Code::ResourceExhausted,
                "etcdserver: mvcc: database space exceeded",
                Meaning::Refused,
            ),
        ];
        for (code, message, expected) in cases {
            assert_eq!(meaning(&Status::new(code, message)), expected, "{message}");
        }
    }
}
