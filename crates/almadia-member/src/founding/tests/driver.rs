//! The service over pipes in memory and disks that forget: the same rules, acted on.

use super::*;
use crate::founding::{FoundingContext, FoundingError, FoundingService};
use almadia_consensus::{DialError, Dialing, Lane, PeerAddress, PeerNetwork, Pipe};
use almadia_disk::{Disk, Failure, Fault, Loss, MemDisk, Operation};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Who listens under which name. Whoever is not here is unreachable.
#[derive(Clone, Default)]
struct Town {
    listeners: Arc<Mutex<BTreeMap<String, FoundingService>>>,
}

impl PeerNetwork for Town {
    fn dial(&self, to: PeerAddress, lane: Lane) -> Dialing {
        assert_eq!(lane, Lane::Founding);
        let listener = self.listeners.lock().unwrap().get(&to.name).cloned();
        Box::pin(async move {
            let Some(listener) = listener else {
                return Err(DialError::Unreachable {
                    name: to.name,
                    url: String::new(),
                    reason: "down".into(),
                });
            };
            let (ours, theirs) = Pipe::pair();
            tokio::spawn(async move { listener.serve(theirs).await });
            Ok(ours)
        })
    }
}

impl Town {
    fn context(&self, member: usize, count: usize, disk: &MemDisk, seed: u64) -> FoundingContext {
        let mut next = seed;
        let mut random = move || {
            next += 1;
            next
        };
        let identity = Identity::open(disk, GroupId([1; 16]), &name(member), &mut random).unwrap();
        FoundingContext {
            disk: Arc::new(disk.clone()),
            network: Arc::new(self.clone()),
            identity,
            state: InitialState::New,
            initial: list(count),
            client_urls: vec![format!("http://{}:2379", name(member))],
            random: Box::new(random),
        }
    }

    fn start(&self, member: usize, count: usize, disk: &MemDisk, seed: u64) -> FoundingService {
        let service = FoundingService::new(self.context(member, count, disk, seed)).unwrap();
        self.listeners
            .lock()
            .unwrap()
            .insert(name(member), service.clone());
        service
    }
}

#[tokio::test(start_paused = true)]
async fn three_members_found_one_cluster() {
    let town = Town::default();
    let disks: Vec<MemDisk> = (0..3).map(|_| MemDisk::new()).collect();
    let mut tasks = Vec::new();
    for (member, disk) in disks.iter().enumerate() {
        let service = town.start(member, 3, disk, 100 * (member as u64 + 1));
        tasks.push(tokio::spawn(async move { service.establish().await }));
        tokio::task::yield_now().await;
    }
    let mut identities = Vec::new();
    for task in tasks {
        identities.push(task.await.unwrap().unwrap());
    }
    assert!(
        identities
            .iter()
            .all(|identity| identity.cluster == ClusterId(102)),
        "{identities:?}"
    );
    assert!(
        identities
            .iter()
            .all(|identity| identity.initial == identities[0].initial)
    );
    assert_eq!(identities[0].initial[2].client_urls, ["http://m2:2379"]);
    assert_eq!(identities[0].initial[2].peer_urls, ["http://m2:1"]);
    for (disk, identity) in disks.iter().zip(&identities) {
        disk.power_loss(Loss::DropUnsynced);
        assert_eq!(
            Identity::load(disk).unwrap().as_ref(),
            Some(identity),
            "persisted before it is said"
        );
    }
    // After a restart of all, each knows its cluster without asking anybody.
    let town = Town::default();
    let again = town.start(2, 3, &disks[2], 900).establish().await.unwrap();
    assert_eq!(again, identities[2]);
}

/// The founder dies right after persisting; when it is back, its cluster is given to those it named.
#[tokio::test(start_paused = true)]
async fn a_founder_that_died_gives_its_configuration_later() {
    let town = Town::default();
    let disks: Vec<MemDisk> = (0..2).map(|_| MemDisk::new()).collect();
    let founder = town.start(0, 2, &disks[0], 100);
    let second = town.start(1, 2, &disks[1], 200);
    let members = [("m0".to_owned(), MemberId(101)), ("m1".to_owned(), MemberId(201))];
    let founded = notebook(founder.identity(), 2).found(&members, ClusterId(77));
    founded.save(&disks[0]).unwrap();
    town.listeners.lock().unwrap().remove("m0");
    let waiting = tokio::spawn({
        let second = second.clone();
        async move { second.establish().await }
    });
    tokio::time::sleep(std::time::Duration::from_secs(60)).await; // virtual: the clock of this test is held
    assert!(!waiting.is_finished(), "founds nothing without the first");
    town.start(0, 2, &disks[0], 300);
    assert_eq!(waiting.await.unwrap().unwrap().cluster, ClusterId(77));
}

/// A member with a new disk meets the cluster it once belonged to: it waits, and its answers say that it waits.
#[tokio::test(start_paused = true)]
async fn a_wiped_member_is_not_given_its_old_place() {
    let town = Town::default();
    let disks: Vec<MemDisk> = (0..2).map(|_| MemDisk::new()).collect();
    let services: Vec<_> = (0..2)
        .map(|member| town.start(member, 2, &disks[member], 100 * member as u64))
        .collect();
    let (first, second) = tokio::join!(services[0].establish(), services[1].establish());
    assert_eq!(first.unwrap().cluster, second.unwrap().cluster);
    let wiped = town.start(0, 2, &MemDisk::new(), 500);
    let wait = tokio::time::timeout(std::time::Duration::from_secs(600), wiped.establish());
    assert!(wait.await.is_err(), "waits for admission");
    assert!(!wiped.identity().is_founded());
}

/// A disk that fails ends the attempt with an error, and the member has said nothing it did not persist.
#[tokio::test(start_paused = true)]
async fn a_failing_disk_is_an_error() {
    let town = Town::default();
    let disk = MemDisk::new();
    let alone = town.start(0, 1, &disk, 100);
    disk.inject(Fault::once(Operation::Sync, 0, Failure::Io));
    assert!(matches!(alone.establish().await, Err(FoundingError::Identity(_))));
    assert!(!alone.identity().is_founded());
    assert!(disk.list("").unwrap().contains(&"IDENT".to_owned()));
    assert!(alone.establish().await.is_ok(), "and can be tried again");
}

#[tokio::test(start_paused = true)]
async fn a_list_without_the_member_is_refused() {
    let town = Town::default();
    let context = town.context(4, 2, &MemDisk::new(), 1);
    assert!(matches!(
        crate::founding::establish(context).await,
        Err(FoundingError::NotListed { .. })
    ));
}

/// Nonsense on a pipe ends that conversation only.
#[tokio::test(start_paused = true)]
async fn nonsense_ends_a_conversation() {
    let town = Town::default();
    let service = town.start(0, 1, &MemDisk::new(), 100);
    let (ours, theirs) = Pipe::pair();
    ours.send
        .send(bytes::Bytes::from_static(b"nonsense"))
        .await
        .unwrap();
    service.serve(theirs).await;
    assert!(ours.send.is_closed());
    let (ours, theirs) = Pipe::pair();
    service.serve(theirs).await; // nothing is ever said: the time is over
    drop(ours);
    assert!(service.establish().await.is_ok());
}
