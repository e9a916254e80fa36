//! Against a small stand-in for Kubernetes' API on loopback, with TLS, tokens, watches that end and answers that are none.

use super::*;
use crate::config::WishedSource;
use crate::tls::issue::Purpose;
use crate::tls::tests::Office;
use crate::tls::{Acceptor, Scope, TlsFiles};
use crate::wished::WishedSize;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::broadcast;

/// One StatefulSet, and who has asked for it how.
struct Api {
    state: Arc<Mutex<State>>,
    changes: broadcast::Sender<String>,
    address: std::net::SocketAddr,
    office: Office,
    _serving: JoinSet<()>,
}

#[derive(Default)]
struct State {
    size: String,
    version: u64,
    token: String,
    asked: Vec<String>,
    /// Answered instead of the object.
    refusal: Option<&'static str>,
}

impl State {
    fn object(&self) -> String {
        let (size, version) = (&self.size, self.version);
        format!(
            r#"{{"kind":"StatefulSet","metadata":{{"name":"almadia","resourceVersion":"{version}"}},"spec":{{"replicas":{size}}}}}"#
        )
    }
}

impl Api {
    async fn new() -> Self {
        let office = Office::new();
        office.issue("api", &["127.0.0.1"], Purpose::Server);
        let acceptor = Arc::new(Acceptor::for_tests(TlsFiles {
            scope: Scope::Client,
            certificate: Some(office.path("api.crt")),
            key: Some(office.path("api.key")),
            ..TlsFiles::default()
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            size: "3".to_owned(),
            token: "first".to_owned(),
            ..State::default()
        }));
        let (changes, _) = broadcast::channel(16);
        let mut serving = JoinSet::new();
        let (told, noted) = (changes.clone(), state.clone());
        serving.spawn(async move {
            let mut conversations = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, noted, told) = (acceptor.clone(), noted.clone(), told.clone());
                conversations.spawn(async move {
                    if let Ok(shaken) = acceptor.accept(stream).await {
                        answer(shaken.stream, noted, told).await;
                    }
                });
            }
        });
        Self {
            state,
            changes,
            address,
            office,
            _serving: serving,
        }
    }

    /// The pod's account, in the office's directory.
    fn source(&self) -> Source {
        let account = self.office.path("account");
        std::fs::create_dir_all(&account).unwrap();
        std::fs::copy(self.office.path("ca.crt"), account.join("ca.crt")).unwrap();
        std::fs::write(account.join("token"), "first\n").unwrap();
        Source {
            api: format!("https://{}", self.address),
            account,
            namespace: "stores".to_owned(),
            name: "almadia".to_owned(),
        }
    }

    fn scale(&self, size: &str) {
        let mut state = self.state.lock().unwrap();
        state.size = size.to_owned();
        state.version += 1;
        let event = format!("{{\"type\":\"MODIFIED\",\"object\":{}}}\n", state.object());
        // Nobody may be watching just now.
        let _ = self.changes.send(event);
    }

    fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }
}

/// One request, answered as the API does: an object, or events until the connection or the watch ends.
async fn answer<IO>(mut stream: IO, state: Arc<Mutex<State>>, changes: broadcast::Sender<String>)
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => return,
        }
    }
    let request = String::from_utf8(request).unwrap();
    let path = request.split(' ').nth(1).unwrap().to_owned();
    let mut events = changes.subscribe();
    let (status, body) = {
        let mut state = state.lock().unwrap();
        state.asked.push(path.clone());
        let authorized = request.contains(&format!("authorization: Bearer {}\r\n", state.token));
        match state.refusal {
            _ if !authorized => ("401 Unauthorized", String::new()),
            Some(refusal) => (refusal, String::new()),
            None => ("200 OK", state.object()),
        }
    };
    if !path.contains("watch=true") || status != "200 OK" {
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
        let _ = stream.write_all((head + &body).as_bytes()).await;
        return;
    }
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let _ = stream.write_all(head.as_bytes()).await;
    while let Ok(event) = events.recv().await {
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        if stream.write_all(chunk.as_bytes()).await.is_err() || event.contains("ERROR") {
            let _ = stream.write_all(b"0\r\n\r\n").await;
            return;
        }
    }
}

async fn becomes(size: &mut watch::Receiver<Option<u32>>, wished: u32) {
    let heard = size.wait_for(|size| *size == Some(wished));
    let heard = timeout(Duration::from_secs(20), heard).await;
    heard.expect("heard of in time").unwrap();
}

fn followed(source: Source) -> WishedSize {
    WishedSize::of(WishedSource::StatefulSet(source), 0)
}

/// C3: one `get` and one `watch` on this one object; each change is heard of at once.
#[tokio::test]
async fn the_size_is_followed() {
    let api = Api::new().await;
    let wished = followed(api.source());
    let mut size = wished.size();
    becomes(&mut size, 3).await;
    while api.asked().len() < 2 {
        tokio::task::yield_now().await;
    }
    api.scale("5");
    becomes(&mut size, 5).await;
    api.scale("0");
    becomes(&mut size, 0).await;
    let path = "/apis/apps/v1/namespaces/stores/statefulsets";
    let watch = format!(
        "{path}?watch=true&fieldSelector=metadata.name%3Dalmadia&resourceVersion=0&timeoutSeconds=30"
    );
    assert_eq!(
        api.asked(),
        [format!("{path}/almadia"), watch],
        "nothing else is asked for"
    );
}

/// A watch that ends with an error, a token that is replaced, an API that refuses for a while: the last size stays, and the next
/// is found.
#[tokio::test]
async fn what_goes_wrong_changes_nothing() {
    let api = Api::new().await;
    let source = api.source();
    let wished = followed(source.clone());
    let mut size = wished.size();
    becomes(&mut size, 3).await;
    while api.asked().len() < 2 {
        tokio::task::yield_now().await;
    }
    api.state.lock().unwrap().refusal = Some("403 Forbidden");
    let _ = api
        .changes
        .send("{\"type\":\"ERROR\",\"object\":{\"code\":410}}\n".to_owned());
    while api.asked().len() < 3 {
        tokio::task::yield_now().await;
    }
    assert_eq!(*size.borrow(), Some(3));
    {
        let mut state = api.state.lock().unwrap();
        state.refusal = None;
        state.token = "second".to_owned();
    }
    std::fs::write(source.account.join("token"), "second").unwrap();
    api.scale("4");
    wished.refresh().await;
    assert_eq!(
        *size.borrow(),
        Some(4),
        "whoever stops need not wait for the next look"
    );
}

/// Each refusal is one line that says what to do.
#[tokio::test]
async fn refusals_are_told_in_words() {
    let api = Api::new().await;
    let source = api.source();
    let (tell, size) = watch::channel(None);
    for (refusal, words) in [
        ("403 Forbidden", "needs get and watch on statefulset almadia"),
        ("404 Not Found", "no such StatefulSet, almadia"),
        ("500 Internal Server Error", "the API answers 500"),
    ] {
        api.state.lock().unwrap().refusal = Some(refusal);
        let told = look(&source, &tell).await.unwrap_err();
        assert!(
            told.contains(words) && !told.contains('\n'),
            "{told} should contain {words}"
        );
    }
    api.state.lock().unwrap().refusal = None;
    for (size, words) in [("10", "above 9"), ("\"many\"", "no number"), ("}", "no object")] {
        api.state.lock().unwrap().size = size.to_owned();
        let told = look(&source, &tell).await.unwrap_err();
        assert!(told.contains(words), "{told} should contain {words}");
    }
    std::fs::write(source.account.join("token"), "stolen").unwrap();
    let told = look(&source, &tell).await.unwrap_err();
    assert!(told.contains("401"), "{told}");
    std::fs::remove_file(source.account.join("token")).unwrap();
    let told = look(&source, &tell).await.unwrap_err();
    assert!(told.contains("token"), "{told}");
    assert_eq!(*size.borrow(), None);
}

#[test]
fn a_size_left_out_is_one() {
    let object = br#"{"metadata":{"resourceVersion":"7"},"spec":{}}"#;
    let seen = read(object).unwrap();
    assert_eq!((seen.size, seen.version.as_str()), (1, "7"));
    assert!(read(b"[]").is_err() && read(b"").is_err());
    assert!(matches!(event(br#"{"type":"DELETED","object":{}}"#), Ok(None)));
    assert!(event(b"\0").is_err());
}
