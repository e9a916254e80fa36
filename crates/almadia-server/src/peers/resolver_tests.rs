//! M1.10: a name is resolved at each connection, so that a peer that comes back elsewhere is found with no change; of several
//! addresses, of IPv4 and IPv6, the first that leads to the peer is taken.

use super::tests::{identity, listen};
use super::*;
use almadia_consensus::{DialError, Lane, PeerAddress, PeerNetwork};
use std::net::SocketAddr;
use std::sync::Mutex;

/// A DNS that the test writes.
#[derive(Debug, Default)]
struct Records {
    addresses: Mutex<Vec<SocketAddr>>,
    asked: Mutex<Vec<String>>,
}

impl Records {
    fn set(&self, addresses: &[SocketAddr]) {
        *self.addresses.lock().unwrap() = addresses.to_vec();
    }
}

impl Resolve for Records {
    fn resolve(&self, host: &str, port: u16) -> Resolving {
        self.asked.lock().unwrap().push(format!("{host}:{port}"));
        let found = self.addresses.lock().unwrap().clone();
        Box::pin(async move { Ok(found) })
    }
}

fn almadia_2() -> PeerAddress {
    PeerAddress {
        member: MemberId(2),
        name: "m2".to_owned(),
        urls: vec!["http://m2.peers:2380".to_owned()],
    }
}

#[tokio::test]
async fn a_peer_that_comes_back_at_another_address_is_found() {
    let records = Arc::new(Records::default());
    let dialer = PeerDialer::new(Who::new(&identity(1, 7))).with_resolver(records.clone());
    let nowhere = dialer.dial(almadia_2(), Lane::Append).await;
    assert!(
        matches!(nowhere, Err(DialError::Unreachable { .. })),
        "{nowhere:?}"
    );
    let before = listen(identity(2, 7)).await;
    records.set(&[before.address()]);
    let mut pipe = dialer.dial(almadia_2(), Lane::Append).await.unwrap();
    drop(before);
    assert!(pipe.receive.recv().await.is_none(), "its process is gone");
    let mut after = listen(identity(2, 7)).await;
    records.set(&[after.address()]);
    let _pipe = dialer.dial(almadia_2(), Lane::Append).await.unwrap();
    assert_eq!(after.accepted.recv().await.unwrap().from, MemberId(1));
    assert_eq!(*records.asked.lock().unwrap(), ["m2.peers:2380"; 3]);
}

/// Old records linger: an address where nobody is any more, or where somebody else is now, does not hide the right one.
#[tokio::test]
async fn every_address_of_a_name_is_tried() {
    let records = Arc::new(Records::default());
    let dialer = PeerDialer::new(Who::new(&identity(1, 7))).with_resolver(records.clone());
    let gone = listen(identity(2, 7)).await;
    let nobody = gone.address();
    drop(gone);
    let other = listen(identity(3, 7)).await;
    let right = listen(identity(2, 7)).await;
    records.set(&[nobody, other.address(), right.address()]);
    dialer.dial(almadia_2(), Lane::Append).await.unwrap();
    records.set(&[nobody, other.address()]);
    let refused = dialer.dial(almadia_2(), Lane::Append).await;
    assert!(matches!(refused, Err(DialError::Refused { .. })), "{refused:?}");
}
