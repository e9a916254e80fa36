//! The transport inside TLS: who is believed, in both directions; frames of all sizes; strangers.

use super::tests::{Listening, identity, listen_with};
use super::*;
use crate::tls::issue::Purpose;
use crate::tls::tests::Office;
use crate::tls::{Acceptor, Connector, Scope, TlsFiles};
use almadia_consensus::{DialError, FRAME_BYTES_MAX, PeerNetwork, Pipe};
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// An office whose members have certificates for this machine.
fn office() -> Office {
    let office = Office::new();
    for name in ["m1", "m2"] {
        office.issue(name, &["127.0.0.1", "localhost"], Purpose::Peer);
    }
    office
}

async fn listening(files: TlsFiles) -> Listening {
    let tls = Acceptor::for_tests(files);
    listen_with(identity(2, 7), "https", Some(Arc::new(tls))).await
}

async fn dial(two: &Listening, files: &TlsFiles, url: &str) -> Result<Pipe, DialError> {
    let tls = Connector::for_tests(files);
    let dialer = PeerDialer::new(Who::new(&identity(1, 7))).with_tls(Some(Arc::new(tls)));
    dialer.dial(two.as_peer_at(2, url), Lane::Append).await
}

/// Row B12.1: members with certificates of one authority talk, in frames of all sizes.
#[tokio::test]
async fn frames_pass_inside_tls() {
    let office = office();
    let mut two = listening(office.mutual(Scope::Peer, "m2")).await;
    let dialed = dial(&two, &office.mutual(Scope::Peer, "m1"), "https://127.0.0.1:PORT").await;
    let mut ours = dialed.unwrap();
    let mut theirs = two.accepted.recv().await.unwrap();
    assert_eq!(theirs.from, MemberId(1));
    for len in [0, 1, 40_000, FRAME_BYTES_MAX, 5] {
        let frame = Bytes::from(vec![7; len]);
        ours.send.send(frame.clone()).await.unwrap();
        assert_eq!(theirs.pipe.receive.recv().await, Some(frame.clone()));
        theirs.pipe.send.send(frame.clone()).await.unwrap();
        assert_eq!(ours.receive.recv().await, Some(frame));
    }
    drop(ours);
    assert_eq!(theirs.pipe.receive.recv().await, None, "told that it is over");
}

/// Row B12.4: a member is believed when its certificate is for the URL's host, by name or address, and nobody else is.
#[tokio::test]
async fn the_dialer_checks_who_answers() {
    let (office, stranger) = (office(), office());
    office.issue("elsewhere", &["192.0.2.9", "m2.example"], Purpose::Peer);
    let ours = office.mutual(Scope::Peer, "m1");
    let two = listening(office.mutual(Scope::Peer, "m2")).await;
    assert!(dial(&two, &ours, "https://localhost:PORT").await.is_ok());
    let refused = |dialed: Result<Pipe, DialError>, part: &str| {
        let error = dialed.map(drop).unwrap_err();
        assert!(
            matches!(error, DialError::Refused { .. }) && error.to_string().contains(part),
            "{error}"
        );
    };
    let foreign = stranger.mutual(Scope::Peer, "m1");
    refused(
        dial(&two, &foreign, "https://127.0.0.1:PORT").await,
        "signed by nobody",
    );
    let wrong_host = listening(office.mutual(Scope::Peer, "elsewhere")).await;
    refused(
        dial(&wrong_host, &ours, "https://127.0.0.1:PORT").await,
        "not valid for 127.0.0.1",
    );
    let named = TlsFiles {
        allowed_names: vec!["m3".to_owned()],
        ..ours.clone()
    };
    refused(
        dial(&two, &named, "https://127.0.0.1:PORT").await,
        "allowed names",
    );
    let plain = PeerDialer::new(Who::new(&identity(1, 7)));
    let dialed = plain
        .dial(two.as_peer_at(2, "https://127.0.0.1:PORT"), Lane::Append)
        .await;
    refused(dialed, "no certificate");
}

/// Row B12.4: whoever dials needs a certificate of our authority, for the address it comes from unless that is not asked, and
/// with an allowed name. Nobody else gets a pipe, and members go on.
#[tokio::test]
async fn the_listener_checks_who_comes() {
    let office = office();
    office.issue("elsewhere", &["192.0.2.9"], Purpose::Peer);
    let good = office.mutual(Scope::Peer, "m1");
    let elsewhere = office.mutual(Scope::Peer, "elsewhere");
    let url = "https://127.0.0.1:PORT";

    let mut two = listening(office.mutual(Scope::Peer, "m2")).await;
    assert!(dial(&two, &elsewhere, url).await.is_err(), "from another address");
    let silent = TlsFiles {
        certificate: None,
        key: None,
        ..good.clone()
    };
    assert!(dial(&two, &silent, url).await.is_err(), "without a certificate");
    assert!(dial(&two, &good, url).await.is_ok());
    assert_eq!(two.accepted.recv().await.unwrap().from, MemberId(1));
    assert!(two.accepted.try_recv().is_err(), "only one came through");

    let lax = TlsFiles {
        skips_origin: true,
        ..office.mutual(Scope::Peer, "m2")
    };
    let two = listening(lax).await;
    assert!(dial(&two, &elsewhere, url).await.is_ok());

    let strict = TlsFiles {
        allowed_names: vec!["m2".to_owned()],
        ..office.mutual(Scope::Peer, "m2")
    };
    let two = listening(strict).await;
    assert!(dial(&two, &good, url).await.is_err(), "with another name");
}

/// Garbage and plain text end the connection and nothing else; a good certificate does not help a member of another cluster.
#[tokio::test]
async fn strangers_change_nothing() {
    let office = office();
    let mut two = listening(office.mutual(Scope::Peer, "m2")).await;
    let place = two.as_peer_at(2, "127.0.0.1:PORT").urls.remove(0);
    for words in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0; 64],
        &[0x16, 3, 1, 0, 4, 1, 0, 0, 0],
    ] {
        let mut stream = tokio::net::TcpStream::connect(&place).await.unwrap();
        stream.write_all(words).await.unwrap();
        let mut rest = Vec::new();
        // However it ends, it ends.
        let _ = stream.read_to_end(&mut rest).await;
    }
    let tls = Arc::new(Connector::for_tests(&office.mutual(Scope::Peer, "m1")));
    let other_cluster = PeerDialer::new(Who::new(&identity(1, 8))).with_tls(Some(tls.clone()));
    let address = two.as_peer_at(2, "https://127.0.0.1:PORT");
    let refused = other_cluster
        .dial(address.clone(), Lane::Append)
        .await
        .map(drop)
        .unwrap_err();
    assert!(matches!(refused, DialError::Refused { .. }), "{refused}");
    let ours = PeerDialer::new(Who::new(&identity(1, 7))).with_tls(Some(tls));
    assert!(ours.dial(address, Lane::Append).await.is_ok());
    assert_eq!(two.accepted.recv().await.unwrap().from, MemberId(1));
}
