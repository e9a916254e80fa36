//! B7.1, B7.3: the Lock service.

use super::*;
use almadia_etcd::proto::v3lockpb::{LockRequest, LockResponse, UnlockRequest};
use tokio::task::JoinHandle;

fn lock_request(name: &str, lease: i64) -> LockRequest {
    LockRequest {
        name: name.to_owned().into(),
        lease,
    }
}

fn locked(locked: Result<Response<LockResponse>, Status>) -> String {
    let words = told(locked, |locked| {
        format!("{}, revision {}", text(&locked.key), revision(&locked.header))
    });
    format!("lock: {words}")
}

impl Stage {
    async fn lock(&mut self, name: &str, lease: i64) {
        let words = locked(self.lock.lock(lock_request(name, lease)).await);
        self.hear(words);
    }

    /// Asks for a lock that somebody holds, and returns when it stands in the queue.
    async fn queue_up(&mut self, name: &str, lease: i64) -> JoinHandle<String> {
        let mut lock = self.lock.clone();
        let request = lock_request(name, lease);
        let waiting = tokio::spawn(async move { locked(lock.lock(request).await) });
        self.wait_for(&format!("{name}/{lease:x}"), true).await;
        waiting
    }

    async fn unlock(&mut self, key: &str) {
        let unlocked = self.lock.unlock(UnlockRequest {
            key: key.to_owned().into(),
        });
        let words = told(unlocked.await, |unlocked| {
            format!("revision {}", revision(&unlocked.header))
        });
        self.hear(format!("unlock: {words}"));
    }
}

async fn outcome(waiting: JoinHandle<String>) -> String {
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    waited
        .expect("the lock comes in time")
        .expect("it does not panic")
}

/// B7.1, B7.3: keys and texts; the same lease twice is one lock.
#[tokio::test]
async fn b7_1_lock_and_unlock() {
    let scenario = async |stage: &mut Stage| {
        stage.lock("l", 5).await;
        for (id, ttl) in [(5, 100), (-3, 100), (0x1f, 100)] {
            stage.grant(id, ttl).await;
        }
        stage.lock("l", 5).await;
        stage.lock("l", 5).await;
        stage.lock("", 5).await;
        stage.lock("m/n", -3).await;
        stage.lock("h", 0x1f).await;
        stage.unlock("l/5").await;
        stage.unlock("l/5").await;
        stage.unlock("").await;
        stage.keys().await;
        stage.revoke(5).await;
        stage.keys().await;
    };
    let expected = [
        "lock: Unknown etcdserver: requested lease not found",
        "grant: lease 5 for 100 s",
        "grant: lease fffffffffffffffd for 100 s",
        "grant: lease 1f for 100 s",
        "lock: l/5, revision 2",
        "lock: l/5, revision 2",
        "lock: /5, revision 3",
        "lock: m/n/-3, revision 4",
        "lock: h/1f, revision 5",
        "unlock: revision 6",
        "unlock: revision 6",
        "unlock: Unknown etcdserver: key is not provided",
        "revision 6: /5 h/1f m/n/-3",
        "revoke: revision 7",
        "revision 7: h/1f m/n/-3",
    ];
    play("b7_1_lock_and_unlock", scenario, &expected).await;
}

/// B7.1: one after the other, in the order in which they came.
#[tokio::test]
async fn b7_1_the_queue() {
    let scenario = async |stage: &mut Stage| {
        for lease in [5, 6, 7] {
            stage.grant(lease, 100).await;
        }
        stage.lock("l", 6).await;
        let second = stage.queue_up("l", 5).await;
        let third = stage.queue_up("l", 7).await;
        stage.put("other", 0).await;
        stage.unlock("l/6").await;
        let words = outcome(second).await;
        stage.hear(words);
        // The lease ends, and the lock with it.
        stage.revoke(5).await;
        let words = outcome(third).await;
        stage.hear(words);
    };
    let expected = [
        "grant: lease 5 for 100 s",
        "grant: lease 6 for 100 s",
        "grant: lease 7 for 100 s",
        "lock: l/6, revision 2",
        "put: revision 5",
        "unlock: revision 6",
        "lock: l/5, revision 6",
        "revoke: revision 7",
        "lock: l/7, revision 7",
    ];
    play("b7_1_the_queue", scenario, &expected).await;
}

/// B7.1, known failure 22: who waits is told of the lock only while its lease lives.
#[tokio::test]
async fn b7_1_a_lease_that_ended_while_waiting() {
    let scenario = async |stage: &mut Stage| {
        stage.grant(5, 100).await;
        stage.grant(6, 100).await;
        stage.lock("l", 5).await;
        let second = stage.queue_up("l", 6).await;
        stage.revoke(6).await;
        stage.unlock("l/5").await;
        let words = outcome(second).await;
        stage.hear(words);
        stage.keys().await;
    };
    let expected = [
        "grant: lease 5 for 100 s",
        "grant: lease 6 for 100 s",
        "lock: l/5, revision 2",
        "revoke: revision 4",
        "unlock: revision 5",
        "lock: Unknown mutex: session is expired",
        "revision 5: ",
    ];
    play("b7_1_a_lease_that_ended_while_waiting", scenario, &expected).await;
}

/// B7.1: who goes away while waiting takes its key along, which costs a revision; others wait on.
#[tokio::test]
async fn b7_1_a_caller_that_goes_away() {
    let scenario = async |stage: &mut Stage| {
        for lease in [5, 6, 7] {
            stage.grant(lease, 100).await;
        }
        stage.lock("l", 5).await;
        let second = stage.queue_up("l", 6).await;
        let third = stage.queue_up("l", 7).await;
        second.abort();
        stage.wait_for("l/6", false).await;
        stage.keys().await;
        stage.unlock("l/5").await;
        let words = outcome(third).await;
        stage.hear(words);
    };
    let expected = [
        "grant: lease 5 for 100 s",
        "grant: lease 6 for 100 s",
        "grant: lease 7 for 100 s",
        "lock: l/5, revision 2",
        "revision 5: l/5 l/7",
        "unlock: revision 6",
        "lock: l/7, revision 6",
    ];
    play("b7_1_a_caller_that_goes_away", scenario, &expected).await;
}

/// B7.1: without a lease one of 60 s is made, whose id is in the key.
#[tokio::test]
async fn b7_1_without_a_lease() {
    let scenario = async |stage: &mut Stage| {
        let answer = stage.lock.lock(lock_request("l", 0)).await;
        let key = text(&answer.expect("the lock is free").into_inner().key);
        let id = key.strip_prefix("l/").expect("the name is in the key");
        let id = i64::from_str_radix(id, 16).expect("the rest is a lease");
        let asked = pb::LeaseTimeToLiveRequest { id, keys: true };
        let left = stage.lease.lease_time_to_live(asked).await;
        let words = told(left, |left| {
            format!("for {} s, {} key", left.granted_ttl, left.keys.len())
        });
        stage.hear(words);
    };
    play("b7_1_without_a_lease", scenario, &["for 60 s, 1 key"]).await;
}

/// B7.1, B7.2: the lease that is made for who brings none is kept alive while its owner waits, however long; from the answer on it is
/// nobody's, as in etcd, and ends after its 60 s.
#[tokio::test]
async fn b7_1_a_lease_of_its_own_lives_while_its_owner_waits() {
    use almadia_command::LeaseId;
    use almadia_etcd::{Backend, LeaseBackend};
    let scene = Scene::new().await;
    let mut stage = Stage::new(crate::double::connect(&format!("http://{}", scene.address)).await);
    stage.grant(5, 9000).await;
    stage.lock("l", 5).await;
    let campaign = almadia_etcd::proto::v3electionpb::CampaignRequest {
        name: "l".into(),
        lease: 0,
        value: "v".into(),
    };
    let (mut lock, mut election) = (stage.lock.clone(), stage.election.clone());
    let waiting = tokio::spawn(async move { lock.lock(lock_request("l", 0)).await.map(drop) });
    let standing = tokio::spawn(async move { election.campaign(campaign).await.map(drop) });
    let leases = || {
        let view = scene.double.view();
        let ids = view.leases().iter().map(|(id, _)| id);
        ids.filter(|id| *id != LeaseId(5)).collect::<Vec<_>>()
    };
    while leases().len() < 2 || scene.double.view().sizes().keys < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::pause();
    for _ in 0..30 {
        tokio::time::advance(Duration::from_secs(10)).await;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        for lease in leases() {
            let left = scene.double.lease_time_left(lease).await.unwrap().unwrap();
            assert!(left.left > Duration::from_secs(30), "{lease:?} has {left:?}");
        }
    }
    tokio::time::resume();
    assert!(!waiting.is_finished() && !standing.is_finished());
    stage.unlock("l/5").await;
    // One after the other: each is first now, or behind the other.
    let first = tokio::select! {
        locked = waiting => { locked.unwrap().unwrap(); "lock" }
        won = standing => { won.unwrap().unwrap(); "election" }
    };
    tokio::time::pause();
    for _ in 0..7 {
        tokio::time::advance(Duration::from_secs(10)).await;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
    let mut over = 0;
    for lease in leases() {
        let left = scene.double.lease_time_left(lease).await.unwrap().unwrap();
        over += usize::from(left.left.is_zero());
    }
    assert_eq!(
        over, 1,
        "the lease of the {first} that was answered is kept no more"
    );
}

/// B7.3: a key that a client's own recipe has put counts like one of ours, and no other key does.
#[tokio::test]
async fn b7_3_other_users_of_the_queue() {
    let scenario = async |stage: &mut Stage| {
        stage.grant(5, 100).await;
        stage.put("l/somebody", 0).await;
        stage.put("l", 0).await;
        stage.put("l0", 0).await;
        let waiting = stage.queue_up("l", 5).await;
        let gone = pb::DeleteRangeRequest {
            key: "l/somebody".into(),
            ..Default::default()
        };
        stage.kv.delete_range(gone).await.expect("it is deleted");
        let words = outcome(waiting).await;
        stage.hear(words);
    };
    let expected = [
        "grant: lease 5 for 100 s",
        "put: revision 2",
        "put: revision 3",
        "put: revision 4",
        "lock: l/5, revision 6",
    ];
    play("b7_3_other_users_of_the_queue", scenario, &expected).await;
}
