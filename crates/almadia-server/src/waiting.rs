//! What clients hear while a member waits for its cluster: that its process lives, and that it is not ready. A supervisor that
//! would kill it for waiting could only make it wait longer.
//!
//! One short answer to one HTTP/1.1 request, then the connection is closed; whoever speaks anything else is hung up on.

use crate::clients::{ClientListener, ClientStream};
use std::convert::Infallible;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// A request's head has no more bytes than this.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// A conversation is over by then.
const CONVERSATION_MAX: Duration = Duration::from_secs(5);

/// Conversations at the same time at most; more wait in the kernel's queue.
const CONVERSATIONS_MAX: usize = 64;

/// Answers until dropped.
pub(crate) async fn answer_probes(clients: &mut ClientListener) -> Infallible {
    let mut conversations = JoinSet::new();
    loop {
        tokio::select! {
            stream = clients.accept(), if conversations.len() < CONVERSATIONS_MAX => {
                conversations.spawn(timeout(CONVERSATION_MAX, answer(stream)));
            }
            Some(_) = conversations.join_next() => {}
        }
    }
}

async fn answer(mut stream: ClientStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) if head.len() < HEAD_BYTES_MAX => head.push(byte),
            _ => return,
        }
    }
    let Some(answer) = answer_to(&head) else { return };
    // Whoever is gone needs no answer.
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// The answer to a request; `None` to what is no HTTP/1 request.
fn answer_to(head: &[u8]) -> Option<String> {
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
        ("200 OK", "ok\n")
    } else {
        (
            "503 Service Unavailable",
            "this member waits for its cluster; its log says why\n",
        )
    };
    let len = body.len();
    let body = if method == "HEAD" { "" } else { body };
    Some(format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {len}\r\nconnection: close\r\n\r\n{body}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lives_and_is_not_ready() {
        let status = |head: &str| answer_to(head.as_bytes()).map(|answer| answer[9..12].to_owned());
        assert_eq!(
            status("GET /livez HTTP/1.1\r\nhost: a\r\n\r\n").as_deref(),
            Some("200")
        );
        assert_eq!(
            status("GET /livez?verbose HTTP/1.1\r\n\r\n").as_deref(),
            Some("200")
        );
        for path in ["/readyz", "/health", "/metrics", "/", "/livezz"] {
            assert_eq!(
                status(&format!("GET {path} HTTP/1.1\r\n\r\n")).as_deref(),
                Some("503"),
                "{path}"
            );
        }
        let head = answer_to(b"HEAD /livez HTTP/1.0\r\n\r\n").unwrap();
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

    #[tokio::test]
    async fn a_probe_is_answered_and_the_connection_closed() {
        let mut clients = ClientListener::bind(&["http://127.0.0.1:0".to_owned()], 10, None)
            .await
            .unwrap();
        let address = clients.addresses()[0];
        let serving = tokio::spawn(async move { answer_probes(&mut clients).await });
        for _ in 0..3 {
            let mut probe = tokio::net::TcpStream::connect(address).await.unwrap();
            probe
                .write_all(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n")
                .await
                .unwrap();
            let mut told = String::new();
            probe.read_to_string(&mut told).await.unwrap();
            assert!(
                told.starts_with("HTTP/1.1 200 OK") && told.ends_with("ok\n"),
                "{told}"
            );
        }
        serving.abort();
    }
}
