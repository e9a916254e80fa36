//! B7.2, B7.3: the Election service.

use super::*;
use almadia_etcd::proto::v3electionpb::{
    CampaignRequest, CampaignResponse, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest,
    ResignRequest,
};
use tokio::task::JoinHandle;
use tonic::Streaming;

fn campaign_request(lease: i64, value: &str) -> CampaignRequest {
    CampaignRequest {
        name: "e".into(),
        lease,
        value: value.to_owned().into(),
    }
}

fn won(campaign: Result<Response<CampaignResponse>, Status>) -> String {
    let words = told(campaign, |won| {
        let leader = won.leader.expect("who wins is told with what");
        format!(
            "{} {} {} {}, revision {}",
            text(&leader.name),
            text(&leader.key),
            leader.rev,
            leader.lease,
            revision(&won.header)
        )
    });
    format!("campaign: {words}")
}

fn leads(answer: &LeaderResponse) -> String {
    let kv = answer.kv.as_ref().expect("a leader has a key");
    format!(
        "{}={}, created {}, changed {}, lease {}, revision {}",
        text(&kv.key),
        text(&kv.value),
        kv.create_revision,
        kv.mod_revision,
        kv.lease,
        revision(&answer.header)
    )
}

fn leader_key(rev: i64, lease: i64) -> LeaderKey {
    LeaderKey {
        name: "e".into(),
        key: format!("e/{lease:x}").into(),
        rev,
        lease,
    }
}

impl Stage {
    async fn campaign(&mut self, lease: i64, value: &str) {
        let words = won(self.election.campaign(campaign_request(lease, value)).await);
        self.hear(words);
    }

    async fn stand(&mut self, lease: i64, value: &str) -> JoinHandle<String> {
        let mut election = self.election.clone();
        let request = campaign_request(lease, value);
        let waiting = tokio::spawn(async move { won(election.campaign(request).await) });
        self.wait_for(&format!("e/{lease:x}"), true).await;
        waiting
    }

    async fn proclaim(&mut self, leader: Option<LeaderKey>, value: &str) {
        let value = value.to_owned().into();
        let set = self.election.proclaim(ProclaimRequest { leader, value }).await;
        let words = told(set, |set| format!("revision {}", revision(&set.header)));
        self.hear(format!("proclaim: {words}"));
    }

    async fn resign(&mut self, leader: Option<LeaderKey>) {
        let resigned = self.election.resign(ResignRequest { leader }).await;
        let words = told(resigned, |resigned| {
            format!("revision {}", revision(&resigned.header))
        });
        self.hear(format!("resign: {words}"));
    }

    async fn leader(&mut self) {
        let leader = self.election.leader(LeaderRequest { name: "e".into() }).await;
        let words = told(leader, |leader| leads(&leader));
        self.hear(format!("leader: {words}"));
    }

    async fn observe(&mut self) -> Streaming<LeaderResponse> {
        let observed = self.election.observe(LeaderRequest { name: "e".into() }).await;
        observed.expect("observing begins").into_inner()
    }

    async fn hear_next(&mut self, observed: &mut Streaming<LeaderResponse>) {
        let next = tokio::time::timeout(PATIENCE, observed.message()).await;
        let next = next.expect("it comes in time").expect("it is no error");
        let words = leads(&next.expect("observing does not end"));
        self.hear(format!("observed: {words}"));
    }
}

async fn outcome(waiting: JoinHandle<String>) -> String {
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    waited
        .expect("the election is decided in time")
        .expect("it does not panic")
}

/// B7.2: one candidate alone: texts, keys, headers.
#[tokio::test]
async fn b7_2_a_leader() {
    let scenario = async |stage: &mut Stage| {
        stage.leader().await;
        stage.campaign(5, "a").await;
        stage.grant(5, 100).await;
        stage.campaign(5, "a").await;
        stage.leader().await;
        // The same value again writes nothing, another one is proclaimed.
        stage.campaign(5, "a").await;
        stage.campaign(5, "b").await;
        stage.leader().await;
        stage.proclaim(Some(leader_key(2, 5)), "c").await;
        stage.proclaim(Some(leader_key(1, 5)), "d").await;
        stage.proclaim(Some(leader_key(2, 6)), "d").await;
        stage.proclaim(None, "d").await;
        stage.resign(None).await;
        stage.resign(Some(leader_key(1, 5))).await;
        stage.leader().await;
        stage.resign(Some(leader_key(2, 5))).await;
        stage.leader().await;
        stage.proclaim(Some(leader_key(2, 5)), "d").await;
    };
    let expected = [
        "leader: Unknown election: no leader",
        "campaign: Unknown etcdserver: requested lease not found",
        "grant: lease 5 for 100 s",
        "campaign: e e/5 2 5, revision 2",
        "leader: e/5=a, created 2, changed 2, lease 5, revision 2",
        "campaign: e e/5 2 5, revision 2",
        "campaign: e e/5 2 5, revision 2",
        "leader: e/5=b, created 2, changed 3, lease 5, revision 3",
        "proclaim: revision 4",
        "proclaim: Unknown election: not leader",
        "proclaim: Unknown election: not leader",
        "proclaim: Unknown \"leader\" field must be provided",
        "resign: Unknown \"leader\" field must be provided",
        "resign: revision 4",
        "leader: e/5=c, created 2, changed 4, lease 5, revision 4",
        "resign: revision 5",
        "leader: Unknown election: no leader",
        "proclaim: Unknown election: not leader",
    ];
    play("b7_2_a_leader", scenario, &expected).await;
}

/// B7.2: candidates take turns; the header is that of the revision at which one queued.
#[tokio::test]
async fn b7_2_candidates_wait() {
    let scenario = async |stage: &mut Stage| {
        for lease in [5, 6, 7] {
            stage.grant(lease, 100).await;
        }
        stage.campaign(5, "a").await;
        let second = stage.stand(6, "b").await;
        let third = stage.stand(7, "c").await;
        stage.resign(Some(leader_key(2, 5))).await;
        let words = outcome(second).await;
        stage.hear(words);
        stage.leader().await;
        stage.revoke(6).await;
        let words = outcome(third).await;
        stage.hear(words);
    };
    let expected = [
        "grant: lease 5 for 100 s",
        "grant: lease 6 for 100 s",
        "grant: lease 7 for 100 s",
        "campaign: e e/5 2 5, revision 2",
        "resign: revision 5",
        "campaign: e e/6 3 6, revision 3",
        "leader: e/6=b, created 3, changed 3, lease 6, revision 5",
        "revoke: revision 6",
        "campaign: e e/7 4 7, revision 4",
    ];
    play("b7_2_candidates_wait", scenario, &expected).await;
}

/// B7.2: a candidate that goes away takes its key along.
#[tokio::test]
async fn b7_2_a_candidate_that_goes_away() {
    let scenario = async |stage: &mut Stage| {
        stage.grant(5, 100).await;
        stage.grant(6, 100).await;
        stage.campaign(5, "a").await;
        let second = stage.stand(6, "b").await;
        second.abort();
        stage.wait_for("e/6", false).await;
        stage.keys().await;
    };
    let expected = [
        "grant: lease 5 for 100 s",
        "grant: lease 6 for 100 s",
        "campaign: e e/5 2 5, revision 2",
        "revision 4: e/5",
    ];
    play("b7_2_a_candidate_that_goes_away", scenario, &expected).await;
}

/// B7.2: each leader and each of its values, in order, each with the revision of the change.
#[tokio::test]
async fn b7_2_observe() {
    let scenario = async |stage: &mut Stage| {
        stage.grant(5, 100).await;
        stage.grant(6, 100).await;
        stage.campaign(5, "a").await;
        stage.put("other", 0).await;
        let mut observed = stage.observe().await;
        stage.hear_next(&mut observed).await;
        for value in ["b", "c"] {
            stage.proclaim(Some(leader_key(2, 5)), value).await;
        }
        stage.hear_next(&mut observed).await;
        stage.hear_next(&mut observed).await;
        let second = stage.stand(6, "x").await;
        stage.resign(Some(leader_key(2, 5))).await;
        let words = outcome(second).await;
        stage.hear(words);
        stage.hear_next(&mut observed).await;
        stage.resign(Some(leader_key(6, 6))).await;
        stage.campaign(5, "again").await;
        stage.hear_next(&mut observed).await;
    };
    let expected = [
        "grant: lease 5 for 100 s",
        "grant: lease 6 for 100 s",
        "campaign: e e/5 2 5, revision 2",
        "put: revision 3",
        "observed: e/5=a, created 2, changed 2, lease 5, revision 3",
        "proclaim: revision 4",
        "proclaim: revision 5",
        "observed: e/5=b, created 2, changed 4, lease 5, revision 4",
        "observed: e/5=c, created 2, changed 5, lease 5, revision 5",
        "resign: revision 7",
        "campaign: e e/6 6 6, revision 6",
        "observed: e/6=x, created 6, changed 6, lease 6, revision 7",
        "resign: revision 8",
        "campaign: e e/5 9 5, revision 9",
        "observed: e/5=again, created 9, changed 9, lease 5, revision 9",
    ];
    play("b7_2_observe", scenario, &expected).await;
}

/// Who observes an election that nobody has won hears of the first who does.
#[tokio::test]
async fn b7_2_observe_before_there_is_a_leader() {
    let scene = Scene::new().await;
    let mut stage = Stage::new(crate::double::connect(&format!("http://{}", scene.address)).await);
    stage.grant(5, 100).await;
    let mut observed = stage.observe().await;
    stage.campaign(5, "a").await;
    stage.hear_next(&mut observed).await;
    let last = stage.heard.last().expect("something was heard");
    assert_eq!(last, "observed: e/5=a, created 2, changed 2, lease 5, revision 2");
}

/// Not as in etcd, which tells such a campaign won: two would believe that they lead.
#[tokio::test]
async fn b7_2_a_candidate_whose_lease_ended() {
    let scene = Scene::new().await;
    let mut stage = Stage::new(crate::double::connect(&format!("http://{}", scene.address)).await);
    stage.grant(5, 100).await;
    stage.grant(6, 100).await;
    stage.campaign(5, "a").await;
    let second = stage.stand(6, "b").await;
    stage.revoke(6).await;
    stage.resign(Some(leader_key(2, 5))).await;
    assert_eq!(outcome(second).await, "campaign: Unknown election: not leader");
}
