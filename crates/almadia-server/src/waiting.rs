//! What clients hear while a member waits for its cluster: that its process lives, and that it is not ready. A supervisor that
//! would kill it for waiting could only make it wait longer.
//!
//! One short answer to a probe or a collector of metrics, then the connection is closed. Whoever asks for anything else is not answered here: its
//! connection is kept, with what it has said, and served as soon as the member is; hung up on where that takes long.

use crate::clients::{ClientListener, ClientStream};
use almadia_member::Phase;
use almadia_member::founding::FoundingService;
use bytes::BytesMut;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// A request's head has no more bytes than this.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// A conversation is over by then.
const CONVERSATION_MAX: Duration = Duration::from_secs(5);

/// Conversations at the same time at most; more wait in the kernel's queue.
const CONVERSATIONS_MAX: usize = 64;

/// A connection is kept for this long at most: its client may reach another member meanwhile.
const KEPT_MAX: Duration = Duration::from_secs(5);

/// Connections kept at most; one more and the oldest is hung up on.
const KEPT_COUNT_MAX: usize = 64;

/// How far a start has come, for whoever asks meanwhile. Clones are the same start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Start(Arc<Steps>);

#[derive(Debug, Default)]
struct Steps {
    founding: OnceLock<FoundingService>,
    belongs: AtomicBool,
}

impl Start {
    /// It asks for a cluster.
    pub(crate) fn asks(&self, founding: FoundingService) {
        let is_new = self.0.founding.set(founding).is_ok();
        assert!(is_new, "a process asks for a cluster once");
    }

    /// It belongs to one.
    pub(crate) fn belongs(&self) {
        self.0.belongs.store(true, Ordering::Relaxed);
    }

    fn phase(&self) -> Phase {
        match self.0.founding.get() {
            Some(_) if self.0.belongs.load(Ordering::Relaxed) => Phase::Starting,
            Some(founding) if founding.waits_for_admission() => Phase::Admission,
            Some(_) => Phase::Founding,
            None => Phase::Starting,
        }
    }
}

/// What there is to measure of a member without a cluster.
fn metrics(phase: Phase) -> String {
    let mut text =
        "# HELP almadia_member_state 1 for what the member is doing.\n# TYPE almadia_member_state gauge\n"
            .to_owned();
    for one in Phase::ALL {
        let value = u8::from(one == phase);
        // Writing into a text does not fail.
        let _ = writeln!(text, "almadia_member_state{{state=\"{}\"}} {value}", one.name());
    }
    text
}

/// Answers until `awaited` is there. Connections kept by then are the next that `clients` gives out.
pub(crate) async fn answer_probes_until<T>(
    clients: &mut ClientListener,
    start: &Start,
    awaited: impl Future<Output = T>,
) -> T {
    let (end, ended) = watch::channel(());
    let mut conversations = JoinSet::new();
    let mut kept = Kept::default();
    tokio::pin!(awaited);
    let awaited = loop {
        tokio::select! {
            awaited = &mut awaited => break awaited,
            stream = clients.accept(), if conversations.len() < CONVERSATIONS_MAX => {
                conversations.spawn(timeout(CONVERSATION_MAX, answer(stream, start.clone(), ended.clone())));
            }
            Some(ended) = conversations.join_next() => {
                if let Ok(Ok(Some(stream))) = ended {
                    kept.keep(stream);
                }
            }
            () = kept.oldest_is_due() => kept.drop_oldest(),
        }
    };
    drop(end);
    while let Some(ended) = conversations.join_next().await {
        if let Ok(Ok(Some(stream))) = ended {
            kept.keep(stream);
        }
    }
    clients.put_back(kept.oldest_first.into_iter().map(|(_, stream)| stream));
    awaited
}

/// Connections that wait to be served.
#[derive(Default)]
struct Kept {
    oldest_first: VecDeque<(Instant, ClientStream)>,
}

impl Kept {
    fn keep(&mut self, stream: ClientStream) {
        if self.oldest_first.len() >= KEPT_COUNT_MAX {
            self.drop_oldest();
        }
        self.oldest_first.push_back((Instant::now(), stream));
    }

    fn drop_oldest(&mut self) {
        self.oldest_first.pop_front();
    }

    async fn oldest_is_due(&self) {
        match self.oldest_first.front() {
            Some((since, _)) => tokio::time::sleep_until(*since + KEPT_MAX).await,
            None => std::future::pending().await,
        }
    }
}

/// Returns the connection unless it is answered or gone; with all that was read of it, when `ended`'s other end is dropped.
async fn answer(
    mut stream: ClientStream,
    start: Start,
    mut ended: watch::Receiver<()>,
) -> Option<ClientStream> {
    let mut heard = BytesMut::new();
    let head_len = loop {
        if let Some(end) = heard.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        let read = tokio::select! {
            read = stream.read_buf(&mut heard) => read,
            _ = ended.changed() => return Some(stream.unread(heard)),
        };
        if heard.len() > HEAD_BYTES_MAX || !matches!(read, Ok(1..)) {
            return None;
        }
    };
    let Some(answer) = answer_to(&heard[..head_len], start.phase()) else {
        return Some(stream.unread(heard));
    };
    // Whoever is gone needs no answer.
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
    None
}

/// The answer to a probe or a collector of metrics; `None` to whoever is neither.
fn answer_to(head: &[u8], phase: Phase) -> Option<String> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    if !version.starts_with("HTTP/1.") || !matches!(method, "GET" | "HEAD") {
        return None;
    }
    let path = target.split('?').next().unwrap_or(target);
    let lives = path == "/livez" || path.starts_with("/livez/");
    let (status, body) = if lives {
        ("200 OK", "ok\n".to_owned())
    } else if path == "/metrics" {
        ("200 OK", metrics(phase))
    } else {
        (
            "503 Service Unavailable",
            "this member waits for its cluster; its log says why\n".to_owned(),
        )
    };
    let len = body.len();
    let body = if method == "HEAD" { String::new() } else { body };
    Some(format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {len}\r\nconnection: close\r\n\r\n{body}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Collectors are told what it waits for, so that they need not take it for dead.
    #[test]
    fn it_says_what_it_waits_for() {
        let head = b"GET /metrics HTTP/1.1\r\n\r\n";
        for phase in [Phase::Founding, Phase::Admission, Phase::Starting] {
            let told = answer_to(head, phase).unwrap();
            assert!(told.starts_with("HTTP/1.1 200"), "{told}");
            let states: Vec<&str> = told.lines().filter(|line| line.ends_with("} 1")).collect();
            assert_eq!(
                states,
                [format!("almadia_member_state{{state=\"{}\"}} 1", phase.name())]
            );
            assert_eq!(told.matches("} 0\n").count(), Phase::ALL.len() - 1);
        }
    }

    #[test]
    fn it_lives_and_is_not_ready() {
        let status =
            |head: &str| answer_to(head.as_bytes(), Phase::Founding).map(|answer| answer[9..12].to_owned());
        assert_eq!(
            status("GET /livez HTTP/1.1\r\nhost: a\r\n\r\n").as_deref(),
            Some("200")
        );
        assert_eq!(
            status("GET /livez?verbose HTTP/1.1\r\n\r\n").as_deref(),
            Some("200")
        );
        for path in ["/readyz", "/health", "/", "/livezz"] {
            assert_eq!(
                status(&format!("GET {path} HTTP/1.1\r\n\r\n")).as_deref(),
                Some("503"),
                "{path}"
            );
        }
        let head = answer_to(b"HEAD /livez HTTP/1.0\r\n\r\n", Phase::Founding).unwrap();
        assert!(head.ends_with("\r\n\r\n") && head.contains("content-length: 3"));
        for other in [
            "PRI * HTTP/2.0\r\n\r\n",
            "POST /livez HTTP/1.1\r\n\r\n",
            "\r\n\r\n",
            "GET /livez",
        ] {
            assert_eq!(status(other), None, "{other:?}");
        }
    }

    async fn listener() -> (ClientListener, std::net::SocketAddr) {
        let clients = ClientListener::bind(&["http://127.0.0.1:0".to_owned()], 10, None)
            .await
            .unwrap();
        let address = clients.addresses()[0];
        (clients, address)
    }

    async fn connect(address: std::net::SocketAddr, says: &[u8]) -> tokio::net::TcpStream {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(says).await.unwrap();
        stream
    }

    #[tokio::test]
    async fn a_probe_is_answered_and_the_connection_closed() {
        let (mut clients, address) = listener().await;
        let probes = async {
            for _ in 0..3 {
                let mut probe = connect(address, b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n").await;
                let mut told = String::new();
                probe.read_to_string(&mut told).await.unwrap();
                assert!(
                    told.starts_with("HTTP/1.1 200 OK") && told.ends_with("ok\n"),
                    "{told}"
                );
            }
        };
        answer_probes_until(&mut clients, &Start::default(), probes).await;
    }

    #[tokio::test]
    async fn whoever_wants_more_is_served_when_the_member_is() {
        let (mut clients, address) = listener().await;
        // One has said all of its greeting, one a part, one nothing yet; what they said is heard again.
        let greeting: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nframes";
        let says = [greeting, &greeting[..9], b""];
        let arrive = async {
            let mut streams = Vec::new();
            for said in says {
                streams.push(connect(address, said).await);
            }
            // A probe that came in after them is answered: so they have been taken in.
            let mut probe = connect(address, b"GET /readyz HTTP/1.1\r\n\r\n").await;
            probe.read_to_end(&mut Vec::new()).await.unwrap();
            streams
        };
        let mut streams = answer_probes_until(&mut clients, &Start::default(), arrive).await;
        for stream in &mut streams {
            stream.write_all(b" and more").await.unwrap();
        }
        let mut heard = Vec::new();
        for _ in says {
            let mut served = clients.accept().await;
            let mut bytes = Vec::new();
            while !bytes.ends_with(b" and more") {
                assert_ne!(served.read_buf(&mut bytes).await.unwrap(), 0, "{bytes:?}");
            }
            heard.push(bytes);
        }
        let mut expected: Vec<Vec<u8>> = says.iter().map(|said| [*said, b" and more"].concat()).collect();
        heard.sort();
        expected.sort();
        assert_eq!(heard, expected);
    }

    /// The oldest make room, and are hung up on.
    #[tokio::test]
    async fn so_many_are_kept_and_no_more() {
        const MORE: usize = 3;
        let urls = ["http://127.0.0.1:0".to_owned()];
        let clients = ClientListener::bind(&urls, KEPT_COUNT_MAX + MORE, None);
        let mut clients = clients.await.unwrap();
        let address = clients.addresses()[0];
        let (mut kept, mut streams) = (Kept::default(), Vec::new());
        for _ in 0..KEPT_COUNT_MAX + MORE {
            streams.push(connect(address, b"").await);
            kept.keep(clients.accept().await);
        }
        assert_eq!(kept.oldest_first.len(), KEPT_COUNT_MAX);
        for stream in &mut streams[..MORE] {
            assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "hung up on");
        }
        for (_, stream) in &mut kept.oldest_first {
            stream.write_all(b"!").await.unwrap();
        }
        for stream in &mut streams[MORE..] {
            assert_eq!(stream.read(&mut [0]).await.unwrap(), 1, "still there");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_kept_for_long() {
        let (mut clients, address) = listener().await;
        let hung_up = async {
            let mut stream = connect(address, b"PRI * HTTP/2.0\r\n\r\n").await;
            let begun = Instant::now();
            // Closed with what it said unread: an end or a reset.
            let _ = stream.read_to_end(&mut Vec::new()).await;
            begun.elapsed()
        };
        let kept_for = answer_probes_until(&mut clients, &Start::default(), hung_up).await;
        assert!(kept_for >= KEPT_MAX - Duration::from_secs(1), "{kept_for:?}");
    }
}
