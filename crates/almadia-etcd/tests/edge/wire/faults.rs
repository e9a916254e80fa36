//! Exercises with a member (M1.8): what is asked reaches the switch as it was meant, and nothing else does.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::double::{MEMBER, connect};
use almadia_command::MemberId;
use almadia_etcd::proto::almadia_v1 as own;
use almadia_etcd::{Config, CutOff, FaultSwitch};
use own::admin_client::AdminClient;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tonic::transport::Channel;

/// Another member that the double knows.
const OTHER: u64 = 7;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// A switch that only remembers.
#[derive(Debug, Default)]
struct Noted {
    cut: Mutex<Vec<(CutOff, Option<Duration>)>>,
    crashes: Mutex<usize>,
}

impl FaultSwitch for Noted {
    fn cut(&self, from: CutOff, heal_after: Option<Duration>) {
        self.cut.lock().unwrap().push((from, heal_after));
    }

    fn cut_off(&self) -> CutOff {
        let cut = self.cut.lock().unwrap();
        cut.last().map_or(CutOff::Nobody, |(from, _)| from.clone())
    }

    fn crash(&self) {
        *self.crashes.lock().unwrap() += 1;
    }
}

async fn scene(faults: Option<Arc<dyn FaultSwitch>>) -> (Scene, AdminClient<Channel>) {
    let scene = Scene::with(Config {
        faults,
        ..Config::default()
    })
    .await;
    let admin = AdminClient::new(connect(&format!("http://{}", scene.address)).await);
    (scene, admin)
}

fn isolate(peers: &[u64], heal_after_ms: u64) -> own::IsolateRequest {
    own::IsolateRequest {
        peers: peers.to_vec(),
        heal_after_ms,
    }
}

#[tokio::test]
async fn m1_8_what_is_asked_reaches_the_switch() {
    let noted = Arc::new(Noted::default());
    let (mut scene, mut admin) = scene(Some(noted.clone())).await;
    let answer = admin.isolate(isolate(&[OTHER], 1500)).await.unwrap().into_inner();
    assert_eq!(
        (answer.enabled, answer.isolated, answer.cut_from),
        (true, false, vec![OTHER])
    );
    assert_eq!(answer.member_id, MEMBER.get());
    let answer = admin.isolate(isolate(&[], 0)).await.unwrap().into_inner();
    assert_eq!((answer.isolated, answer.cut_from), (true, Vec::new()));
    let status = scene.maintenance.status(pb::StatusRequest {}).await.unwrap();
    let told = status.into_inner().errors.join("\n");
    assert!(
        told.contains("cut off from peers") && told.contains("--enable-fault-injection"),
        "{told}"
    );
    let answer = admin.heal(own::HealRequest {}).await.unwrap().into_inner();
    assert_eq!((answer.enabled, answer.isolated), (true, false));
    admin.crash(own::CrashRequest {}).await.unwrap();
    let expected = [
        (
            CutOff::Some([MemberId(OTHER)].into()),
            Some(Duration::from_millis(1500)),
        ),
        (CutOff::All, None),
        (CutOff::Nobody, None),
    ];
    assert_eq!(*noted.cut.lock().unwrap(), expected);
    assert_eq!(*noted.crashes.lock().unwrap(), 1);
}

#[tokio::test]
async fn m1_8_what_makes_no_sense_is_refused_and_switches_nothing() {
    let noted = Arc::new(Noted::default());
    let (_scene, mut admin) = scene(Some(noted.clone())).await;
    let many: Vec<u64> = (1..=65).collect();
    for (request, code, words) in [
        (isolate(&[99], 0), Code::NotFound, "there is no member"),
        (isolate(&[MEMBER.get()], 0), Code::InvalidArgument, "from itself"),
        (isolate(&many, 0), Code::InvalidArgument, "more than 64 peers"),
        (isolate(&[], DAY_MS + 1), Code::InvalidArgument, "a day at most"),
    ] {
        let (found, text) = refusal(admin.isolate(request).await);
        assert!(found == code && text.contains(words), "{found:?}: {text}");
    }
    assert_eq!(*noted.cut.lock().unwrap(), []);
    assert!(
        admin.isolate(isolate(&[], DAY_MS)).await.is_ok(),
        "a day itself is allowed"
    );
}

/// Off by default: only what is allowed is told.
#[tokio::test]
async fn m1_8_without_a_switch_everything_is_refused() {
    let (mut scene, mut admin) = scene(None).await;
    for answer in [
        refusal(admin.isolate(isolate(&[], 0)).await),
        refusal(admin.heal(own::HealRequest {}).await),
        refusal(admin.crash(own::CrashRequest {}).await),
    ] {
        assert_eq!(answer.0, Code::FailedPrecondition);
        assert!(answer.1.contains("--enable-fault-injection"), "{}", answer.1);
    }
    let told = admin.faults(own::FaultsRequest {}).await.unwrap().into_inner();
    assert!(!told.enabled && !told.isolated);
    let status = scene.maintenance.status(pb::StatusRequest {}).await.unwrap();
    assert_eq!(status.into_inner().errors, Vec::<String>::new());
}
