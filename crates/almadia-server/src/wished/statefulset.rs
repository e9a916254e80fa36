//! The wished size in a StatefulSet: its `spec.replicas`, by one `get` and one `watch` on that one object, with the pod's own
//! token. What cannot be read changes nothing: the last size that was heard stays.

use super::tell_if_new;
use crate::config::StatefulSet as Source;
use crate::tls::{ClientFiles, Connector, Trust};
use crate::url::Url;
use almadia_member::naming::MEMBERS_MAX;
use bytes::Buf;
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::future::poll_fn;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Connecting, and an answer to `get`, take this long at most.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// A watch is asked to end after so many seconds, and begun anew: whatever was missed is seen then.
const WATCH_SECONDS: u64 = 30;

/// One that does not end by then is given up.
const WATCH_MAX: Duration = Duration::from_secs(40);

/// Pauses after a failure, from the first to the longest.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Bytes of an object, and of an event of a watch, at most.
const OBJECT_BYTES_MAX: usize = 1024 * 1024;

/// What is known of the object.
struct Seen {
    size: u32,
    version: String,
}

/// Follows the object until it is aborted.
pub(super) async fn follow(source: Source, tell: watch::Sender<Option<u32>>) {
    let from = from(&source);
    let mut pause = PAUSE_MIN;
    let mut complained = None;
    loop {
        match look(&source, &tell).await {
            Ok(()) => {
                pause = PAUSE_MIN;
                complained = None;
            }
            Err(reason) => {
                if complained.as_ref() != Some(&reason) {
                    tracing::warn!(from, reason, "--wished-size: the size stays what it was");
                }
                complained = Some(reason);
                sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

/// Gets the object once; the version that it has.
pub(super) async fn get(source: &Source, tell: &watch::Sender<Option<u32>>) -> Result<String, String> {
    let Source { namespace, name, .. } = source;
    let path = format!("/apis/apps/v1/namespaces/{namespace}/statefulsets/{name}");
    let mut object = Conversation::open(source, &path).await?;
    let text = timeout(ANSWER_MAX, object.whole()).await;
    let seen = read(&text.map_err(|_| "no answer in time".to_owned())??)?;
    tell_if_new(tell, seen.size, &from(source));
    Ok(seen.version)
}

fn from(source: &Source) -> String {
    format!("StatefulSet {}/{}", source.namespace, source.name)
}

/// Gets the object once, and hears of its changes until the watch ends.
async fn look(source: &Source, tell: &watch::Sender<Option<u32>>) -> Result<(), String> {
    let version = get(source, tell).await?;
    let Source { namespace, name, .. } = source;
    let path = format!(
        "/apis/apps/v1/namespaces/{namespace}/statefulsets?watch=true&fieldSelector=metadata.name%3D{name}\
         &resourceVersion={version}&timeoutSeconds={WATCH_SECONDS}"
    );
    let mut events = Conversation::open(source, &path).await?;
    let heard = timeout(WATCH_MAX, async {
        while let Some(line) = events.line().await? {
            match event(&line)? {
                Some(seen) => tell_if_new(tell, seen.size, &from(source)),
                // Too old, or over: it is got anew.
                None => return Ok(()),
            }
        }
        Ok(())
    });
    heard.await.unwrap_or(Ok(()))
}

/// The size that an object's bytes tell.
///
/// # Errors
/// Says in one line why they tell none.
pub fn size_of(object: &[u8]) -> Result<u32, String> {
    read(object).map(|seen| seen.size)
}

/// The size that a line of a watch tells; `None` when the watch is over.
///
/// # Errors
/// Says in one line why it tells none.
pub fn size_after(line: &[u8]) -> Result<Option<u32>, String> {
    Ok(event(line)?.map(|seen| seen.size))
}

/// An object's bytes.
fn read(text: &[u8]) -> Result<Seen, String> {
    let object: Value = serde_json::from_slice(text).map_err(|error| format!("no object: {error}"))?;
    seen(&object)
}

fn seen(object: &Value) -> Result<Seen, String> {
    let version = object["metadata"]["resourceVersion"].as_str();
    let version = version.ok_or("the object has no resourceVersion")?;
    // Left out it means one.
    let size = match &object["spec"]["replicas"] {
        Value::Null => Some(1),
        size => size.as_u64(),
    };
    let size = size.ok_or("spec.replicas is no number")?;
    let size = u32::try_from(size).ok().filter(|size| *size <= MEMBERS_MAX);
    Ok(Seen {
        size: size
            .ok_or_else(|| format!("spec.replicas is above {MEMBERS_MAX}, the most members there can be"))?,
        version: version.to_owned(),
    })
}

/// What an event of a watch says; `None` when the watch is of no more use. A StatefulSet that is deleted takes its pods along;
/// they rest, and nobody leaves for good.
fn event(line: &[u8]) -> Result<Option<Seen>, String> {
    let event: Value = serde_json::from_slice(line).map_err(|error| format!("no event: {error}"))?;
    match event["type"].as_str() {
        Some("ADDED" | "MODIFIED") => seen(&event["object"]).map(Some),
        _ => Ok(None),
    }
}

/// A request on a connection of its own.
struct Conversation {
    answer: Response<Incoming>,
    read: Vec<u8>,
    /// Drives the connection; ends with the conversation.
    _driver: JoinSet<()>,
}

impl Conversation {
    async fn open(source: &Source, path: &str) -> Result<Self, String> {
        let opened = timeout(ANSWER_MAX, Self::ask(source, path)).await;
        let conversation = opened.map_err(|_| "no answer in time".to_owned())??;
        match conversation.answer.status() {
            StatusCode::OK => Ok(conversation),
            StatusCode::FORBIDDEN => Err(format!(
                "the API forbids it (403): the pod's ServiceAccount needs get and watch on statefulset {}",
                source.name
            )),
            StatusCode::UNAUTHORIZED => Err("the API does not accept the pod's token (401)".to_owned()),
            StatusCode::NOT_FOUND => Err(format!("the API knows no such StatefulSet, {}", source.name)),
            status => Err(format!("the API answers {status}")),
        }
    }

    async fn ask(source: &Source, path: &str) -> Result<Self, String> {
        let url = Url::parse(&source.api).map_err(|error| format!("{}: {error}", source.api))?;
        let token = read_token(&source.account)?;
        let files = ClientFiles {
            trust: Trust::File(source.account.join("ca.crt")),
            certificate: None,
            key: None,
        };
        let tls = Connector::for_clients(&files).map_err(|error| error.to_string())?;
        let words = |error: std::io::Error| format!("{} is not reached: {error}", source.api);
        let stream = TcpStream::connect((url.host.as_str(), url.port))
            .await
            .map_err(words)?;
        let stream = tls.connect(&url.host, stream, &[b"http/1.1"]).await;
        let stream = stream.map_err(|error| error.to_string())?;
        let host = if url.host.contains(':') {
            format!("[{}]", url.host)
        } else {
            url.host
        };
        let request = Request::get(path)
            .header("host", format!("{host}:{}", url.port))
            .header("authorization", format!("Bearer {token}"))
            .header("accept", "application/json")
            .body(String::new())
            .map_err(|error| error.to_string())?;
        Self::send(stream, request).await
    }

    async fn send<IO>(stream: IO, request: Request<String>) -> Result<Self, String>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let broke = |error: hyper::Error| format!("the API hung up: {error}");
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broke)?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // How it ends is seen in what is read from it.
            let _ = connection.await;
        });
        Ok(Self {
            answer: sender.send_request(request).await.map_err(broke)?,
            read: Vec::new(),
            _driver: driver,
        })
    }

    /// All that is answered.
    async fn whole(&mut self) -> Result<Vec<u8>, String> {
        while self.more().await? {}
        Ok(std::mem::take(&mut self.read))
    }

    /// The next line; `None` at the end.
    async fn line(&mut self) -> Result<Option<Vec<u8>>, String> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                return Ok(Some(line));
            }
            if !self.more().await? {
                return Ok(None);
            }
        }
    }

    /// Reads a piece; false at the end.
    async fn more(&mut self) -> Result<bool, String> {
        let body = self.answer.body_mut();
        let Some(frame) = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await else {
            return Ok(false);
        };
        let frame = frame.map_err(|error| format!("the API hung up: {error}"))?;
        if let Ok(mut piece) = frame.into_data() {
            if self.read.len() + piece.remaining() > OBJECT_BYTES_MAX {
                return Err(format!("the API answers with more than {OBJECT_BYTES_MAX} bytes"));
            }
            let bytes = piece.copy_to_bytes(piece.remaining());
            self.read.extend_from_slice(&bytes);
        }
        Ok(true)
    }
}

/// Read again each time: it is replaced before it ends.
fn read_token(account: &Path) -> Result<String, String> {
    let path = account.join("token");
    let token = std::fs::read_to_string(&path);
    let token = token.map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(token.trim().to_owned())
}

#[cfg(test)]
mod tests;
