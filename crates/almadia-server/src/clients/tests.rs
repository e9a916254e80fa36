//! Clients come in by ports and sockets, plain and inside TLS; those that are slow or wrong keep nobody out.

use super::*;
use crate::tls::issue::Purpose;
use crate::tls::tests::Office;
use crate::tls::{ClientFiles, Connector, Scope, Trust};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

async fn says_hello(served: &mut ClientStream) {
    let mut read = [0; 5];
    served.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"hello");
}

/// At the bound a client waits; it is served when another one leaves.
#[tokio::test]
async fn connections_are_bounded() {
    let mut listener = ClientListener::bind(&["http://127.0.0.1:0".into()], 1, None)
        .await
        .unwrap();
    let address = listener.addresses()[0];
    assert_eq!(listener.urls(Entrance::Clients), [format!("http://{address}")]);
    let mut first = TcpStream::connect(address).await.unwrap();
    let mut served = listener.accept().await;
    assert_eq!(served.peer(), first.local_addr().ok());
    first.write_all(b"hello").await.unwrap();
    says_hello(&mut served).await;
    let second = TcpStream::connect(address).await.unwrap();
    let soon = std::time::Duration::from_millis(20);
    assert!(
        tokio::time::timeout(soon, listener.accept()).await.is_err(),
        "one client at a time"
    );
    drop(served);
    assert_eq!(listener.accept().await.peer(), second.local_addr().ok());
}

/// Row B9.8: a unix socket serves like a port. One that a killed process has left there is taken over, one that is in use is
/// not, nor is another file; it is gone when nobody listens any more.
#[tokio::test]
async fn clients_come_in_by_a_unix_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.sock");
    let urls = [format!("unix://{}", path.display())];
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "the left-over");
    let mut listener = ClientListener::bind(&urls, 9, None).await.unwrap();
    assert_eq!(listener.urls(Entrance::Clients), urls);
    assert!(listener.addresses().is_empty());
    let mut client = UnixStream::connect(&path).await.unwrap();
    client.write_all(b"hello").await.unwrap();
    let mut served = listener.accept().await;
    assert_eq!((served.peer(), served.user()), (None, None));
    says_hello(&mut served).await;
    let refused = ClientListener::bind(&urls, 9, None)
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("another process listens there"), "{refused}");
    drop(listener);
    while path.exists() {
        tokio::task::yield_now().await;
    }
    std::fs::write(&path, "precious").unwrap();
    let refused = ClientListener::bind(&urls, 9, None)
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("a file of another kind"), "{refused}");
    assert!(path.exists());
}

#[tokio::test]
async fn tls_without_a_certificate_is_refused() {
    let refused = ClientListener::bind(&["https://127.0.0.1:0".into()], 9, None).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("--cert-file"), "{refused}");
}

/// A listener that wants certificates of this office, and a client that has one.
async fn secured(office: &Office) -> (ClientListener, Connector) {
    office.issue("server", &["127.0.0.1"], Purpose::Server);
    office.issue("ann", &[], Purpose::Client);
    let acceptor = Acceptor::for_tests(office.mutual(Scope::Client, "server"));
    let socket = format!("unixs://{}", office.path("s.sock").display());
    let urls = ["https://127.0.0.1:0".to_owned(), socket];
    let listener = ClientListener::bind(&urls, 9, Some(Arc::new(acceptor)))
        .await
        .unwrap();
    let files = ClientFiles {
        trust: Trust::File(office.path("ca.crt")),
        certificate: Some(office.path("ann.crt")),
        key: Some(office.path("ann.key")),
    };
    (listener, Connector::for_clients(&files).unwrap())
}

/// Rows B9.8, B12.1, B6.7: inside TLS, by a port and by a socket; the certificate's name is the user. Somebody who says nothing
/// keeps nobody waiting.
#[tokio::test]
async fn clients_come_in_inside_tls() {
    let office = Office::new();
    let (mut listener, connector) = secured(&office).await;
    let address = listener.addresses()[0];
    let _silent = TcpStream::connect(address).await.unwrap();
    let mut talker = TcpStream::connect(address).await.unwrap();
    talker.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let near = stream.local_addr().unwrap();
    let (client, mut served) = tokio::join!(
        connector.connect("127.0.0.1", stream, &[b"h2"]),
        listener.accept()
    );
    assert_eq!((served.peer(), served.user()), (Some(near), Some("ann")));
    let mut client = client.unwrap();
    client.write_all(b"hello").await.unwrap();
    client.flush().await.unwrap();
    says_hello(&mut served).await;
    let stream = UnixStream::connect(office.path("s.sock")).await.unwrap();
    let (client, served) = tokio::join!(
        connector.connect("127.0.0.1", stream, &[b"h2"]),
        listener.accept()
    );
    assert!(client.is_ok());
    assert_eq!((served.peer(), served.user()), (None, Some("ann")));
}

/// Row B12.5: a handshake that is not finished in time ends, and its place is free again. Time flies while nothing happens.
#[tokio::test(start_paused = true)]
async fn a_handshake_that_stalls_is_given_up() {
    let office = Office::new();
    let (listener, _) = secured(&office).await;
    let mut silent = TcpStream::connect(listener.addresses()[0]).await.unwrap();
    let began = tokio::time::Instant::now();
    let mut byte = [0];
    assert_eq!(silent.read(&mut byte).await.unwrap(), 0, "closed without a word");
    assert!(began.elapsed() >= HANDSHAKE_MAX);
}

/// Row B12.5: at the bound the oldest handshake gives way.
#[tokio::test]
async fn the_oldest_handshake_gives_way() {
    let mut handshakes = Handshakes::default();
    let (first, gone) = tokio::sync::oneshot::channel::<()>();
    handshakes.begin(async move {
        let _first = first;
        std::future::pending::<()>().await;
    });
    for _ in 1..HANDSHAKES_MAX {
        handshakes.begin(std::future::pending());
    }
    assert_eq!(handshakes.tasks.len(), HANDSHAKES_MAX);
    handshakes.begin(std::future::pending());
    assert!(gone.await.is_err(), "the first was dropped");
    assert_eq!(handshakes.oldest_first.len(), HANDSHAKES_MAX);
    drop(handshakes);
}

/// Each entrance has its own bound, and whoever comes in is known by it.
#[tokio::test]
async fn entrances_are_told_apart() {
    let url = ["http://127.0.0.1:0".to_owned()];
    let mut listener = ClientListener::bind(&url, 1, None).await.unwrap();
    listener.open(Entrance::Metrics, &url, 1, None).await.unwrap();
    let addresses = listener.addresses().to_vec();
    let _client = TcpStream::connect(addresses[0]).await.unwrap();
    let served = listener.accept().await;
    assert_eq!(served.entrance(), Entrance::Clients);
    let _waits = TcpStream::connect(addresses[0]).await.unwrap();
    let _supervisor = TcpStream::connect(addresses[1]).await.unwrap();
    assert_eq!(listener.accept().await.entrance(), Entrance::Metrics);
    assert_eq!(
        listener.urls(Entrance::Metrics),
        [format!("http://{}", addresses[1])]
    );
    assert!(listener.urls(Entrance::Http).is_empty());
}
