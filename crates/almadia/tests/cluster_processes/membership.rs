//! Members come and go while the cluster works: rows B4.1 to B4.7 and B0.22, with real processes that are killed on the way.

use crate::deployment::{Deployment, PATIENCE};
use crate::identity::with_flag;
use almadia_etcd::proto::etcdserverpb as pb;
use pb::cluster_client::ClusterClient;
use pb::maintenance_client::MaintenanceClient;
use std::process::Command;
use std::time::{Duration, Instant};
use tonic::transport::Channel;

/// A cluster of which some members are planned but not founded with.
struct Growing {
    deployment: Deployment,
}

impl Growing {
    /// This many founders, started, of `planned` members.
    async fn new(founders: usize, planned: usize) -> Self {
        let mut growing = Self {
            deployment: Deployment::planned(planned),
        };
        for ordinal in 0..founders {
            let command = growing.founder(ordinal, founders);
            growing.deployment.cluster.start_as(ordinal, command).unwrap();
        }
        growing.lists(0, "all founders have a leader", |_| true).await;
        growing
    }

    fn list(&self, ordinals: impl Iterator<Item = usize>) -> String {
        let members = self.deployment.cluster.members();
        let entries: Vec<String> = ordinals
            .map(|ordinal| format!("{}={}", members[ordinal].name, members[ordinal].peer_url))
            .collect();
        entries.join(",")
    }

    fn founder(&self, ordinal: usize, founders: usize) -> Command {
        with_flag(
            &self.deployment,
            ordinal,
            "--initial-cluster",
            &self.list(0..founders),
        )
    }

    /// As etcd's own words after `member add` say that it is to be started.
    fn start_joining(&mut self, ordinal: usize, others: &[usize]) {
        let list = self.list(others.iter().copied().chain([ordinal]));
        let mut command = with_flag(&self.deployment, ordinal, "--initial-cluster", &list);
        command.args(["--initial-cluster-state", "existing"]);
        self.deployment.cluster.start_as(ordinal, command).unwrap();
    }

    fn peer_url(&self, ordinal: usize) -> String {
        self.deployment.cluster.members()[ordinal].peer_url.clone()
    }

    async fn channel(&self, ordinal: usize) -> Result<Channel, tonic::transport::Error> {
        let endpoint = Channel::from_shared(self.deployment.urls[ordinal].clone()).unwrap();
        endpoint.timeout(Duration::from_secs(8)).connect().await
    }

    async fn cluster(&self, ordinal: usize) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel(ordinal).await.unwrap())
    }

    async fn status(&self, ordinal: usize) -> Option<pb::StatusResponse> {
        let mut client = MaintenanceClient::new(self.channel(ordinal).await.ok()?);
        Some(client.status(pb::StatusRequest {}).await.ok()?.into_inner())
    }

    /// Waits until the list that one member gives, confirmed by a majority, is as it should be.
    async fn lists(
        &self,
        ordinal: usize,
        what: &str,
        is_so: impl Fn(&[pb::Member]) -> bool,
    ) -> Vec<pb::Member> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut last = None;
            if let Ok(channel) = self.channel(ordinal).await {
                let request = pb::MemberListRequest { linearizable: true };
                last = Some(ClusterClient::new(channel).member_list(request).await);
            }
            match last {
                Some(Ok(list)) if is_so(&list.get_ref().members) => return list.into_inner().members,
                last if Instant::now() > deadline => {
                    panic!(
                        "waited in vain: {what}: {last:?}\n{}",
                        self.deployment.last_words()
                    )
                }
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Adds a member; a cluster that has just lost or got one may not be healthy yet.
    async fn add(&self, through: usize, ordinal: usize, is_learner: bool) -> pb::MemberAddResponse {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let request = pb::MemberAddRequest {
                peer_ur_ls: vec![self.peer_url(ordinal)],
                is_learner,
            };
            match self.cluster(through).await.member_add(request).await {
                Ok(added) => return added.into_inner(),
                Err(refused) => assert!(Instant::now() < deadline, "{refused}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn put(&self, ordinal: usize, key: &str) {
        self.deployment.client(ordinal).await.put(key, "v").await.unwrap();
    }

    /// Waits until a member's process has ended.
    async fn ends(&mut self, ordinal: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.deployment.cluster.is_running(ordinal) {
            assert!(Instant::now() < deadline, "{}", self.deployment.last_words());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let status = self.deployment.cluster.exit_status(ordinal);
        assert!(status.is_some_and(|status| !status.success()), "{status:?}");
    }
}

fn named(members: &[pb::Member], id: u64) -> Option<&pb::Member> {
    members.iter().find(|member| member.id == id)
}

/// B4.1, B4.2, B4.4, B4.5, B4.7: a learner is added, starts and gets its vote while the leader is killed; it is removed and
/// learns it; its machine comes back as somebody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_comes_and_goes_while_the_leader_is_killed() {
    let mut growing = Growing::new(3, 4).await;
    growing.put(0, "before").await;
    let added = growing.add(1, 3, true).await;
    let id = added.member.unwrap().id;
    let unstarted = named(&added.members, id).unwrap();
    assert!(unstarted.is_learner && unstarted.name.is_empty() && unstarted.client_ur_ls.is_empty());
    growing.start_joining(3, &[0, 1, 2]);
    // Whoever leads is killed while the new member is on its way.
    let leader = growing.status(0).await.unwrap().leader;
    let mut killed = 0;
    for ordinal in 0..3 {
        if growing.status(ordinal).await.unwrap().header.unwrap().member_id == leader {
            killed = ordinal;
        }
    }
    growing.deployment.cluster.kill(&[killed]);
    let through = (killed + 1) % 3;
    let has_started = |members: &[pb::Member]| named(members, id).is_some_and(|one| one.name == "almadia-3");
    let members = growing
        .lists(through, "the learner has started", has_started)
        .await;
    assert_eq!(
        named(&members, id).unwrap().client_ur_ls,
        [growing.deployment.urls[3].clone()]
    );
    let restarted = growing.founder(killed, 3);
    growing.deployment.cluster.start_as(killed, restarted).unwrap();
    growing.lists(killed, "the killed one is back", |_| true).await;
    let refused = growing
        .cluster(3)
        .await
        .member_list(pb::MemberListRequest::default())
        .await;
    assert_eq!(
        refused.unwrap_err().message(),
        "etcdserver: rpc not supported for learner"
    );
    let deadline = Instant::now() + PATIENCE;
    while let Err(refused) = growing
        .cluster(through)
        .await
        .member_promote(pb::MemberPromoteRequest { id })
        .await
    {
        // Answered by nobody in time, it may have been carried out.
        if refused.message().ends_with("can only promote a learner member") {
            break;
        }
        assert!(Instant::now() < deadline, "{refused}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let members = growing.lists(3, "it serves as a voter", |_| true).await;
    assert!(members.iter().all(|member| !member.is_learner) && members.len() == 4);
    growing.put(3, "after").await;
    let removed = growing
        .cluster(through)
        .await
        .member_remove(pb::MemberRemoveRequest { id })
        .await;
    assert_eq!(removed.unwrap().into_inner().members.len(), 3);
    growing.ends(3).await;
    growing.deployment.says(3, "was removed from cluster").await;
    growing.comes_back_as_another(id, through).await;
}

impl Growing {
    /// With its old data a removed member ends at once; with none, and added again, it is a new one.
    async fn comes_back_as_another(&mut self, removed: u64, through: usize) {
        self.start_joining(3, &[0, 1, 2]);
        self.ends(3).await;
        std::fs::remove_dir_all(&self.deployment.cluster.members()[3].data_dir).unwrap();
        self.start_joining(3, &[0, 1, 2]);
        self.deployment.says(3, "waiting to be admitted").await;
        let id = self.add(through, 3, false).await.member.unwrap().id;
        assert_ne!(id, removed);
        self.lists(3, "it belongs again", |members| {
            named(members, id).is_some_and(|one| one.name == "almadia-3" && !one.is_learner)
        })
        .await;
        self.put(3, "as another").await;
    }
}

/// B0.22: what kubeadm does, one control plane after the other: list, add, start, list by peer URL, status of each; and back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubeadm_adds_and_removes_control_planes() {
    let mut growing = Growing::new(1, 3).await;
    for ordinal in 1..3 {
        let url = growing.peer_url(ordinal);
        let added = growing.add(0, ordinal, false).await;
        let new = added
            .members
            .iter()
            .find(|member| member.peer_ur_ls[0] == url)
            .unwrap();
        assert!(new.name.is_empty(), "kubeadm writes its own name for it");
        assert_eq!(new.id, added.member.unwrap().id);
        let others: Vec<usize> = (0..ordinal).collect();
        growing.start_joining(ordinal, &others);
        let count = ordinal + 1;
        let all_started = |members: &[pb::Member]| {
            members.len() == count
                && members
                    .iter()
                    .all(|member| !member.name.is_empty() && !member.is_learner)
        };
        growing
            .lists(ordinal, "the new control plane serves", all_started)
            .await;
        for each in 0..count {
            let status = growing.status(each).await.unwrap();
            assert!(status.errors.is_empty() && status.leader != 0, "{status:?}");
        }
    }
    growing.put(2, "k").await;
    let url = growing.peer_url(0);
    let members = growing
        .lists(1, "all are there", |members| members.len() == 3)
        .await;
    let first = members
        .iter()
        .find(|member| member.peer_ur_ls[0] == url)
        .unwrap()
        .id;
    // The first one founded the cluster; it goes like any other, wherever leadership is.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let removed = growing
            .cluster(1)
            .await
            .member_remove(pb::MemberRemoveRequest { id: first })
            .await;
        match removed {
            Ok(_) => break,
            Err(refused) if refused.message().ends_with("member not found") => break,
            Err(refused) => assert!(Instant::now() < deadline, "{refused}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    growing.ends(0).await;
    growing
        .lists(2, "two are left", |members| members.len() == 2)
        .await;
    growing.put(1, "goes on").await;
}
