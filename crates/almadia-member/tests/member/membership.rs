//! Members come, move, get their vote and go, in clusters in one process: rows B4.1 to B4.7 and B5.6 below the sockets, and
//! row 23 of the known failures.

use crate::world::{World, get, put};
use almadia_command::MemberId;
use almadia_member::founding::{Admission, Admittance, Ask};
use almadia_member::{Changed, Member, MemberChangeError, Membered, MembershipRefusal, MoveLeaderError};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(20);

fn url(number: u64) -> Vec<String> {
    vec![format!("http://new-{number}:2380")]
}

fn ask(instance: MemberId, number: u64) -> Ask {
    Ask {
        member: instance,
        name: format!("new-{number}"),
        peer_urls: url(number),
    }
}

/// Waits for something to become true.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let so = async {
        while !is_so() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, so)
        .await
        .unwrap_or_else(|_| panic!("waited in vain: {what}"));
}

fn listed(member: &Member, id: MemberId) -> Option<Membered> {
    member.members().into_iter().find(|one| one.id == id)
}

/// Asks again while the cluster is still getting to know itself.
async fn add(member: &Member, number: u64, is_learner: bool) -> Changed {
    member.add_member(url(number), is_learner).await.unwrap()
}

/// Has an empty disk admitted and started.
async fn join(world: &mut World, through: &Member, added: MemberId, number: u64) -> Member {
    let instance = MemberId(number + 7_000_000);
    let admitted = through.admit(ask(instance, number)).await;
    assert_eq!(
        admitted,
        Admittance::Given(added),
        "the address was given this id"
    );
    world.admit(added);
    world.start(added).await
}

async fn of_three() -> (World, Member, Vec<MemberId>) {
    let world = World::new(3);
    world.start_all().await;
    let leader = world.leader().await;
    let followers = world.ids().into_iter().filter(|id| *id != leader).collect();
    let leader = world.member(leader);
    leader.propose(put("before", "1")).await.unwrap();
    (world, leader, followers)
}

/// B4.1, B4.4, B4.5, B4.7, B4.2: a learner is added through a follower, is listed without a name, starts, is known by its
/// name, gets its vote, and leaves for good.
#[tokio::test(start_paused = true)]
async fn a_learner_comes_gets_its_vote_and_goes() {
    let (mut world, leader, followers) = of_three().await;
    let follower = world.member(followers[0]);
    let added = add(&follower, 1, true).await;
    let new = added.members.iter().find(|one| one.id == added.member).unwrap();
    assert!(new.is_learner && !new.votes && new.info.name.is_empty());
    assert_eq!(new.info.peer_urls, url(1));
    let early = follower.promote_member(added.member).await;
    assert_eq!(early, Err(MembershipRefusal::LearnerNotReady.into()));
    let learner = join(&mut world, &follower, added.member, 1).await;
    until("the learner has its name", || {
        listed(&follower, added.member).is_some_and(|one| one.info.name == format!("m{}", added.member))
    })
    .await;
    until("the learner knows that it is one", || learner.is_learner()).await;
    assert_eq!(get(&learner, "before").await.as_deref(), Some(&b"1"[..]));
    let promoted = follower.promote_member(added.member).await.unwrap();
    assert!(promoted.members.iter().all(|one| one.votes && !one.is_learner));
    until("the former learner knows", || !learner.is_learner()).await;
    let again = leader.promote_member(added.member).await;
    assert_eq!(again, Err(MembershipRefusal::NotLearner.into()));
    let gone = learner.remove_member(added.member).await.unwrap();
    assert_eq!(gone.members.len(), 3);
    assert!(leader.is_removed(added.member) && !leader.is_removed(leader.id()));
    let again = leader.remove_member(added.member).await;
    assert_eq!(again, Err(MembershipRefusal::MemberNotFound.into()));
    let admittance = leader.admit(ask(MemberId(7_000_001), 1)).await;
    assert!(
        matches!(admittance, Admittance::Waits(_)),
        "it does not come back: {admittance:?}"
    );
}

/// B4.1: a member that is added as a voter is listed as one at once, endangers nothing before it has started, and votes when
/// it has caught up: two members then need each other.
#[tokio::test(start_paused = true)]
async fn a_voter_votes_when_it_has_caught_up() {
    let mut world = World::new(1);
    world.start_all().await;
    let first = world.member(world.leader().await);
    let added = add(&first, 1, false).await;
    let new = listed(&first, added.member).unwrap();
    assert!(!new.is_learner && !new.votes);
    first
        .propose(put("k", "one member is the majority"))
        .await
        .unwrap();
    let refused = first.add_member(url(2), false).await;
    assert_eq!(refused, Err(MembershipRefusal::NotEnoughStarted.into()));
    first.checkpoint_and_purge_all().await.unwrap();
    let second = join(&mut world, &first, added.member, 1).await;
    until("it votes", || {
        listed(&first, added.member).is_some_and(|one| one.votes)
    })
    .await;
    assert!(get(&second, "k").await.is_some(), "it came by a snapshot");
    world.crash(added.member).await;
    assert!(
        timeout(Duration::from_secs(3), first.propose(put("k", "2")))
            .await
            .is_err()
    );
    world.start(added.member).await;
    first.propose(put("k", "3")).await.unwrap();
}

/// B4.2: who leads is removed after another one leads; the removed one is told.
#[tokio::test(start_paused = true)]
async fn removing_the_leader_moves_leadership_first() {
    let (world, leader, followers) = of_three().await;
    let changed = leader.remove_member(leader.id()).await;
    // The removed one may stop before it has heard the answer, but not before it is so.
    let other = world.member(followers[0]);
    until("it is removed", || other.is_removed(leader.id())).await;
    if let Ok(changed) = changed {
        assert_eq!(changed.member, leader.id());
    }
    assert_eq!(other.members().len(), 2);
    other.propose(put("k", "v")).await.unwrap();
    assert_eq!(
        get(&world.member(followers[1]), "k").await.as_deref(),
        Some(&b"v"[..])
    );
}

/// B4.2: with one member of three down, the other two are kept; the one that is down may be removed.
#[tokio::test(start_paused = true)]
async fn the_majority_is_kept() {
    let (world, leader, followers) = of_three().await;
    world.crash(followers[0]).await;
    sleep(Duration::from_secs(2)).await;
    let unhealthy = Err(MemberChangeError::Refused(MembershipRefusal::Unhealthy));
    assert_eq!(leader.remove_member(followers[1]).await, unhealthy);
    assert_eq!(leader.add_member(url(1), false).await, unhealthy);
    leader.remove_member(followers[0]).await.unwrap();
    add(&leader, 1, false).await;
}

/// B4.3, etcd#21694: a learner that moves stays a learner, and is found at its new address without a new leader.
#[tokio::test(start_paused = true)]
async fn a_member_that_moves_is_found_and_stays_what_it_is() {
    let (mut world, leader, followers) = of_three().await;
    let added = add(&leader, 1, true).await.member;
    let learner = join(&mut world, &leader, added, 1).await;
    until("it has started", || {
        listed(&leader, added).is_some_and(|one| !one.info.name.is_empty())
    })
    .await;
    let term = leader.term();
    world.move_to(added, "http://moved:2380");
    leader
        .propose(put("k", "while it cannot be found"))
        .await
        .unwrap();
    let other = world.member(followers[0]);
    let changed = other
        .update_member(added, vec!["http://moved:2380".to_owned()])
        .await
        .unwrap();
    let moved = changed.members.iter().find(|one| one.id == added).unwrap();
    assert!(moved.is_learner && !moved.info.name.is_empty());
    until("it has caught up", || {
        learner.view().revision() == leader.view().revision()
    })
    .await;
    assert_eq!(leader.term(), term, "no election had to help");
    let taken = other.update_member(added, url(1)).await;
    assert!(taken.is_ok(), "its own old address is free");
    let refused = leader.add_member(url(1), true).await;
    assert_eq!(refused, Err(MembershipRefusal::PeerUrlTaken.into()));
}

/// B5.6: only the leader moves leadership, only to a voter, and at once.
#[tokio::test(start_paused = true)]
async fn leadership_is_moved() {
    let (_world, leader, followers) = of_three().await;
    assert_eq!(
        leader.move_leader(MemberId(1234)).await,
        Err(MoveLeaderError::BadTransferee)
    );
    let learner = add(&leader, 1, true).await.member;
    assert_eq!(
        leader.move_leader(learner).await,
        Err(MoveLeaderError::BadTransferee)
    );
    assert_eq!(leader.move_leader(leader.id()).await, Ok(()));
    assert_eq!(leader.move_leader(followers[1]).await, Ok(()));
    assert_eq!(leader.status().leader, Some(followers[1]));
    assert_eq!(
        leader.move_leader(followers[0]).await,
        Err(MoveLeaderError::NotLeader)
    );
}

/// Numbers that look random and are the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

/// A cluster whose members come and go as the dice say.
struct Churn {
    world: World,
    dice: Dice,
    /// Who runs.
    up: BTreeSet<MemberId>,
    /// Everyone that ever was, and whether a list without it was seen after one with it.
    ever: BTreeMap<MemberId, bool>,
    next_url: u64,
    puts: u64,
}

impl Churn {
    async fn new(seed: u64) -> Self {
        let world = World::new(3);
        world.start_all().await;
        let up: BTreeSet<MemberId> = world.ids().into_iter().collect();
        Self {
            dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            ever: up.iter().map(|id| (*id, false)).collect(),
            up,
            world,
            next_url: 0,
            puts: 0,
        }
    }

    fn any_up(&mut self) -> Member {
        let number = self.dice.below(self.up.len());
        self.world.member(*self.up.iter().nth(number).unwrap())
    }

    fn any_listed(&mut self, through: &Member) -> MemberId {
        let members = through.members();
        // A member that has just joined may not know anybody yet.
        let known = members
            .len()
            .checked_sub(1)
            .map(|last| members[self.dice.below(last + 1)].id);
        known.unwrap_or(through.id())
    }

    async fn step(&mut self) {
        let through = self.any_up();
        match self.dice.below(9) {
            0 | 1 => self.add(&through).await,
            2 => {
                let id = self.any_listed(&through);
                let _ = through.promote_member(id).await;
            }
            3 => self.remove(&through).await,
            4 => {
                let id = self.any_listed(&through);
                self.next_url += 1;
                let _ = through.update_member(id, url(self.next_url)).await;
            }
            5 | 6 => self.crash_and_start(&through).await,
            7 => {
                let _ = timeout(Duration::from_secs(5), through.checkpoint_and_purge_all()).await;
            }
            _ => {
                let key = format!("k{}", self.puts);
                if through.propose(put(&key, "v")).await.is_ok() {
                    self.puts += 1;
                }
            }
        }
        self.look();
    }

    async fn add(&mut self, through: &Member) {
        let (is_learner, starts) = (self.dice.below(2) == 0, self.dice.below(4) > 0);
        self.next_url += 1;
        let number = self.next_url;
        let Ok(added) = through.add_member(url(number), is_learner).await else {
            return;
        };
        let before = self.ever.insert(added.member, false);
        assert_eq!(before, None, "an id was given twice");
        if starts {
            let instance = MemberId(number + 7_000_000);
            if through.admit(ask(instance, number)).await == Admittance::Given(added.member) {
                self.world.admit(added.member);
                self.world.start(added.member).await;
                self.up.insert(added.member);
            }
        }
    }

    async fn remove(&mut self, through: &Member) {
        let id = self.any_listed(through);
        let removed = through.remove_member(id).await;
        let is_gone = removed.is_ok()
            || self
                .up
                .iter()
                .any(|other| self.world.member(*other).is_removed(id));
        if is_gone && self.up.remove(&id) {
            self.world.crash(id).await;
        }
    }

    async fn crash_and_start(&mut self, victim: &Member) {
        let id = victim.id();
        self.world.crash(id).await;
        sleep(Duration::from_millis(self.dice.below(1500) as u64)).await;
        self.world.start(id).await;
    }

    /// Who is missing from a list that it was in never comes back into that member's list.
    fn look(&mut self) {
        for id in &self.up {
            let member = self.world.member(*id);
            for (one, gone) in &mut self.ever {
                let is_removed = member.is_removed(*one);
                assert!(
                    !(is_removed && listed(&member, *one).is_some()),
                    "{one} is in and out"
                );
                *gone |= is_removed;
            }
        }
    }

    /// Everyone that runs comes to one list, which names nobody who was removed, and has every acknowledged put.
    async fn settle(&mut self) {
        let leader = self.world.member(self.world.leader().await);
        leader.propose(put("last", "v")).await.unwrap();
        let mut all = Vec::new();
        for id in &self.up {
            let member = self.world.member(*id);
            if leader.is_removed(*id) {
                continue;
            }
            let same =
                || member.view().applied() == leader.view().applied() && member.members() == leader.members();
            until(&format!("{id} has the leader's list"), same).await;
            all.push(member);
        }
        for (id, gone) in &self.ever {
            assert!(
                !gone || (leader.is_removed(*id) && listed(&leader, *id).is_none()),
                "{id} came back"
            );
        }
        for member in all {
            for number in 0..self.puts {
                assert!(
                    get(&member, &format!("k{number}")).await.is_some(),
                    "k{number} is lost"
                );
            }
        }
    }
}

/// Row 23 of the known failures: adding, promoting, moving and removing in random order, with crashes and snapshots. The
/// lists are equal everywhere, nobody comes back, nothing acknowledged is lost. A failure names its seed.
#[test]
fn members_come_and_go_at_random() {
    let seeds: u64 = std::env::var("ALMADIA_SEEDS").map_or(12, |seeds| seeds.parse().unwrap());
    for seed in 0..seeds {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        println!("seed {seed}");
        runtime.block_on(async {
            let mut churn = Churn::new(seed).await;
            for _ in 0..25 {
                churn.step().await;
            }
            churn.settle().await;
        });
    }
}
