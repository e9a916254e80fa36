//! The transport over loopback, on ports the system chooses: order, size, back-pressure, strangers.

use super::*;
use almadia_consensus::{DialError, FRAME_BYTES_MAX, PIPE_FRAMES_MAX, PeerAddress, PeerNetwork, Pipe};
use almadia_member::founding::{FoundingContext, FoundingService, InitialPeer, InitialState};
use bytes::Bytes;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

pub(super) fn identity(member: u64, cluster: u64) -> Identity {
    Identity {
        group: GroupId([1; 16]),
        cluster: ClusterId(cluster),
        member: MemberId(member),
        name: format!("m{member}"),
        initial: Vec::new(),
    }
}

/// A member that listens. Dropping it stops the listening.
pub(super) struct Listening {
    who: Who,
    address: SocketAddr,
    pub(super) accepted: mpsc::UnboundedReceiver<Accepted>,
    _serving: tokio::task::JoinSet<()>,
}

pub(super) async fn listen(identity: Identity) -> Listening {
    listen_with(identity, "http", None).await
}

/// The same with this scheme and these certificates.
pub(super) async fn listen_with(
    identity: Identity,
    scheme: &str,
    tls: Option<Arc<crate::tls::Acceptor>>,
) -> Listening {
    let who = Who::new(&identity);
    let listener = PeerListener::bind(&[format!("{scheme}://127.0.0.1:0")], who.clone(), tls)
        .await
        .unwrap();
    let address = listener.addresses()[0];
    let (give, accepted) = mpsc::unbounded_channel();
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(listener.serve(Arc::new(move |pipe| drop(give.send(pipe)))));
    Listening {
        who,
        address,
        accepted,
        _serving: serving,
    }
}

impl Listening {
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn as_peer_at(&self, member: u64, url: &str) -> PeerAddress {
        PeerAddress {
            urls: vec![url.replace("PORT", &self.address.port().to_string())],
            ..self.as_peer(member)
        }
    }

    fn as_peer(&self, member: u64) -> PeerAddress {
        PeerAddress {
            member: MemberId(member),
            name: self.who.name.to_string(),
            urls: vec![format!("http://{}", self.address)],
        }
    }
}

/// A connected pair: what member 1 has dialed, and what member 2 has accepted.
async fn pair() -> (Pipe, Accepted, Listening) {
    let mut two = listen(identity(2, 7)).await;
    let dialer = PeerDialer::new(Who::new(&identity(1, 7)));
    let ours = dialer.dial(two.as_peer(2), Lane::Append).await.unwrap();
    let theirs = two.accepted.recv().await.unwrap();
    (ours, theirs, two)
}

fn numbered(number: u32, len: usize) -> Bytes {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(len.max(4), u8::try_from(number % 251).unwrap());
    bytes.into()
}

#[tokio::test]
async fn frames_arrive_in_order_in_both_directions() {
    let (mut ours, theirs, _two) = pair().await;
    assert_eq!(
        (theirs.lane, theirs.from, theirs.name.as_str()),
        (Lane::Append, MemberId(1), "m1")
    );
    let sizes = [0, 4, 100, 40_000, 300_000, 5];
    let echo = tokio::spawn(async move {
        let mut pipe = theirs.pipe;
        while let Some(frame) = pipe.receive.recv().await {
            pipe.send.send(frame).await.unwrap();
        }
    });
    let frames: Vec<Bytes> = (0u32..2000).map(|n| numbered(n, sizes[n as usize % 6])).collect();
    let sending = frames.clone();
    let sender = ours.send.clone();
    tokio::spawn(async move {
        for frame in sending {
            sender.send(frame).await.unwrap();
        }
    });
    for frame in frames {
        assert_eq!(ours.receive.recv().await, Some(frame));
    }
    drop(ours);
    echo.await.unwrap();
}

#[tokio::test]
async fn the_largest_frame_passes() {
    let (ours, mut theirs, _two) = pair().await;
    let frame = numbered(9, FRAME_BYTES_MAX);
    ours.send.send(frame.clone()).await.unwrap();
    ours.send.send(numbered(10, 4)).await.unwrap();
    assert!(
        theirs.pipe.receive.recv().await == Some(frame),
        "8 MiB arrive unchanged"
    );
    assert_eq!(theirs.pipe.receive.recv().await, Some(numbered(10, 4)));
}

/// A receiver that takes nothing makes the sender wait, with bounded memory; nothing is lost.
#[tokio::test]
async fn a_full_pipe_makes_the_sender_wait() {
    let (ours, mut theirs, _two) = pair().await;
    let mut sent = 0u32;
    let wait = Duration::from_millis(200);
    while tokio::time::timeout(wait, ours.send.send(numbered(sent, 256 * 1024)))
        .await
        .is_ok()
    {
        sent += 1;
        assert!(
            sent < 8 * u32::try_from(PIPE_FRAMES_MAX).unwrap(),
            "the sender never waits"
        );
    }
    for number in 0..sent {
        assert_eq!(
            theirs.pipe.receive.recv().await.unwrap()[..4],
            number.to_le_bytes()
        );
    }
}

/// What was queued before a pipe is dropped still arrives; then the other side learns that it is over.
#[tokio::test]
async fn dropping_a_pipe_ends_the_connection_after_what_was_said() {
    let (ours, mut theirs, _two) = pair().await;
    for number in 0..100 {
        ours.send.send(numbered(number, 4)).await.unwrap();
    }
    drop(ours);
    for number in 0..100 {
        assert_eq!(theirs.pipe.receive.recv().await, Some(numbered(number, 4)));
    }
    assert_eq!(theirs.pipe.receive.recv().await, None);
    theirs.pipe.send.closed().await;
}

/// One side may stop talking and still listen.
#[tokio::test]
async fn half_a_pipe_can_be_dropped() {
    let (ours, mut theirs, _two) = pair().await;
    let Pipe { send, mut receive } = ours;
    theirs.pipe.send.send(numbered(1, 4)).await.unwrap();
    theirs.pipe.send.send(numbered(2, 4)).await.unwrap();
    drop(send);
    assert_eq!(theirs.pipe.receive.recv().await, None);
    assert_eq!(receive.recv().await, Some(numbered(1, 4)));
    assert_eq!(receive.recv().await, Some(numbered(2, 4)));
    assert_eq!(receive.recv().await, None);
}

fn refusal(result: Result<Pipe, DialError>) -> String {
    match result {
        Err(DialError::Refused { reason, .. }) => reason,
        other => panic!("not refused: {other:?}"),
    }
}

/// Members that do not belong together do not talk, and the dialer knows why.
#[tokio::test]
async fn wrong_members_are_refused_with_a_reason() {
    let mut two = listen(identity(2, 7)).await;
    let dial = |from: Identity, to: u64, lane| PeerDialer::new(Who::new(&from)).dial(two.as_peer(to), lane);
    let other_group = Identity {
        group: GroupId([2; 16]),
        ..identity(1, 7)
    };
    assert!(refusal(dial(other_group, 2, Lane::Control).await).contains("another group"));
    assert!(refusal(dial(identity(1, 8), 2, Lane::Control).await).contains("another cluster"));
    assert!(refusal(dial(identity(1, 7), 3, Lane::Control).await).contains("looking for member 3"));
    assert!(refusal(dial(identity(2, 7), 2, Lane::Control).await).contains("reached by itself"));
    assert!(refusal(dial(identity(1, 0), 2, Lane::Control).await).contains("does not belong to a cluster"));
    assert!(refusal(dial(identity(1, 7), 0, Lane::Control).await).contains("looking for"));
    assert!(
        dial(identity(1, 0), 0, Lane::Founding).await.is_ok(),
        "founding needs neither cluster nor id"
    );
    assert_eq!(two.accepted.recv().await.unwrap().lane, Lane::Founding);
    assert!(
        two.accepted.try_recv().is_err(),
        "refused connections are not handed over"
    );
}

#[tokio::test]
async fn unreachable_peers_are_said_to_be_unreachable() {
    let dialer = PeerDialer::new(Who::new(&identity(1, 7)));
    let gone = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for url in [
        format!("http://{gone}"),
        "https://127.0.0.1:1".into(),
        "http://no-such-name.invalid:1".into(),
        "x".into(),
    ] {
        let to = PeerAddress {
            member: MemberId(2),
            name: "m2".into(),
            urls: vec![url],
        };
        assert!(matches!(
            dialer.dial(to, Lane::Control).await,
            Err(DialError::Unreachable { .. })
        ));
    }
    let nowhere = PeerAddress {
        member: MemberId(2),
        name: "m2".into(),
        urls: vec![],
    };
    assert!(matches!(
        dialer.dial(nowhere, Lane::Control).await,
        Err(DialError::Unreachable { .. })
    ));
}

/// All URLs are tried; a dead one in front does no harm.
#[tokio::test]
async fn the_next_url_is_tried() {
    let two = listen(identity(2, 7)).await;
    let mut to = two.as_peer(2);
    let gone = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    to.urls.insert(0, format!("http://{gone}"));
    assert!(
        PeerDialer::new(Who::new(&identity(1, 7)))
            .dial(to, Lane::Control)
            .await
            .is_ok()
    );
}

/// A stranger's bytes end its connection and nothing else; so does silence, and neither is handed over.
#[tokio::test]
async fn strangers_are_cut_off() {
    let mut two = listen(identity(2, 7)).await;
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0xff; 64],
        &[0, 0, 0, 0, 0, 0, 0, 0],
    ] {
        let mut stranger = TcpStream::connect(two.address).await.unwrap();
        stranger.write_all(garbage).await.unwrap();
        let mut answer = Vec::new();
        let _ = stranger.read_to_end(&mut answer).await;
        assert_eq!(answer, b"", "{garbage:?}");
    }
    let ours = PeerDialer::new(Who::new(&identity(1, 7)))
        .dial(two.as_peer(2), Lane::Forward)
        .await;
    assert!(ours.is_ok());
    assert_eq!(two.accepted.recv().await.unwrap().lane, Lane::Forward);
}

/// Garbage after a good handshake ends the pipe; frames before it arrive.
#[tokio::test]
async fn garbage_in_the_middle_ends_the_pipe() {
    let mut two = listen(identity(2, 7)).await;
    let mut raw = TcpStream::connect(two.address).await.unwrap();
    let hello = Who::new(&identity(1, 7)).hello_to(MemberId(2), "m2", Lane::Append);
    handshake::introduce(&mut raw, &hello).await.unwrap();
    let mut accepted = two.accepted.recv().await.unwrap();
    let mut bytes = Vec::new();
    frame::put_header(&mut bytes, b"good");
    bytes.extend(b"good");
    frame::put_header(&mut bytes, b"bad!");
    bytes.extend(b"BAD!");
    raw.write_all(&bytes).await.unwrap();
    assert_eq!(accepted.pipe.receive.recv().await.as_deref(), Some(&b"good"[..]));
    assert_eq!(accepted.pipe.receive.recv().await, None);
    accepted.pipe.send.closed().await;
}

/// Connections that never say anything hold no more than their places: when those are taken, others wait, and are
/// served when the silent ones are cut off.
#[tokio::test]
async fn silent_connections_are_bounded() {
    let mut two = listen(identity(2, 7)).await;
    let mut silent = Vec::new();
    for _ in 0..HANDSHAKES_MAX {
        silent.push(TcpStream::connect(two.address).await.unwrap());
    }
    let dialer = PeerDialer::new(Who::new(&identity(1, 7)));
    let dialing = tokio::spawn(dialer.dial(two.as_peer(2), Lane::Control));
    let soon = Duration::from_millis(50);
    assert!(
        tokio::time::timeout(soon, two.accepted.recv()).await.is_err(),
        "all places are taken"
    );
    silent.pop();
    assert!(dialing.await.unwrap().is_ok());
    assert!(two.accepted.recv().await.is_some());
}

/// Isolation cuts open connections and refuses new ones, in both directions; healing is complete.
#[tokio::test]
async fn an_isolated_member_reaches_nobody_and_nobody_reaches_it() {
    let (mut ours, mut theirs, two) = pair().await;
    two.who.cut_off(Cut::All);
    assert_eq!(two.who.cut(), Cut::All);
    assert_eq!(theirs.pipe.receive.recv().await, None);
    assert_eq!(ours.receive.recv().await, None);
    let dialer = PeerDialer::new(Who::new(&identity(1, 7)));
    assert!(refusal(dialer.dial(two.as_peer(2), Lane::Control).await).contains("fault injection"));
    let outwards = PeerDialer::new(two.who.clone());
    let one = listen(identity(1, 7)).await;
    assert!(outwards.dial(one.as_peer(1), Lane::Control).await.is_err());
    two.who.cut_off(Cut::None);
    assert!(dialer.dial(two.as_peer(2), Lane::Control).await.is_ok());
    assert!(outwards.dial(one.as_peer(1), Lane::Control).await.is_ok());
}

/// A cut between two members leaves the connections to others as they are, and is one in both directions.
#[tokio::test]
async fn a_cut_from_one_peer_leaves_the_others() {
    let (mut ours, mut theirs, two) = pair().await;
    let cut_from = |id| Cut::Peers([MemberId(id)].into());
    two.who.cut_off(cut_from(3));
    ours.send.send(Bytes::from_static(b"still here")).await.unwrap();
    assert_eq!(
        theirs.pipe.receive.recv().await.as_deref(),
        Some(&b"still here"[..])
    );
    let third = PeerDialer::new(Who::new(&identity(3, 7)));
    assert!(refusal(third.dial(two.as_peer(2), Lane::Control).await).contains("fault injection"));
    let three = listen(identity(3, 7)).await;
    let outwards = PeerDialer::new(two.who.clone());
    assert!(outwards.dial(three.as_peer(3), Lane::Control).await.is_err());
    two.who.cut_off(cut_from(1));
    assert_eq!(theirs.pipe.receive.recv().await, None);
    assert_eq!(ours.receive.recv().await, None);
    assert!(third.dial(two.as_peer(2), Lane::Control).await.is_ok());
}

/// Three members with empty directories on real sockets become one cluster.
#[tokio::test]
async fn members_found_a_cluster_over_sockets() {
    let mut members = Vec::new();
    for number in 1..=3 {
        members.push(listen(identity(number, 0)).await);
    }
    let initial: Vec<InitialPeer> = members
        .iter()
        .map(|member| InitialPeer {
            name: member.who.name.to_string(),
            peer_urls: member.as_peer(0).urls,
        })
        .collect();
    let mut founding = Vec::new();
    for (number, member) in (1u64..).zip(members) {
        let service = FoundingService::new(FoundingContext {
            disk: Arc::new(almadia_disk::MemDisk::new()),
            network: Arc::new(PeerDialer::new(member.who.clone())),
            identity: identity(number, 0),
            state: InitialState::New,
            initial: initial.clone(),
            client_urls: vec![],
            random: Box::new(move || number * 1000),
        })
        .unwrap();
        let answering = service.clone();
        let mut accepted = member.accepted;
        let serving = member._serving;
        founding.push(tokio::spawn(async move { service.establish().await.unwrap() }));
        tokio::spawn(async move {
            let _serving = serving;
            while let Some(accepted) = accepted.recv().await {
                let answering = answering.clone();
                tokio::spawn(async move { answering.serve(accepted.pipe).await });
            }
        });
    }
    for identity in founding {
        let identity = identity.await.unwrap();
        assert_eq!(
            identity.cluster,
            ClusterId(1000),
            "the first in name order has drawn it"
        );
        assert_eq!(identity.initial.len(), 3);
    }
}
