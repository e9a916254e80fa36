//! M1.8: a member can be cut off its peers and healed, and killed outright, by an administrative call that is off by default.

use crate::deployment::{Deployment, almadia_at, succeeded};
use almadia::demo::watching::{Leader, agreed_leader};
use serde_json::Value;
use std::os::unix::process::ExitStatusExt;

const FLAG: &str = "--enable-fault-injection";

async fn of_three() -> (Deployment, Leader) {
    let mut deployment = Deployment::planned_with(3, &[FLAG]);
    deployment.cluster.start_all().unwrap();
    let leader = deployment.leader_above(0).await;
    (deployment, leader)
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// A leader that is cut off lives on and answers stale reads; the others elect another; healed, it follows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_is_isolated_and_healed() {
    let (deployment, leader) = of_three().await;
    succeeded(&deployment.almadia(&["put", "k", "before"]));
    deployment.caught_up().await;
    let name = format!("almadia-{}", leader.ordinal);
    let one = &deployment.urls[leader.ordinal..=leader.ordinal];
    let cut = succeeded(&almadia_at(one, &["fault", "isolate", &name]));
    assert!(cut.contains("all"), "{cut}");
    let others = |statuses: &almadia::demo::watching::Statuses| {
        agreed_leader(statuses).filter(|now| now.term > leader.term && now.ordinal != leader.ordinal)
    };
    let next = deployment.wait("another leader", others).await;
    let staying = &deployment.urls[next.ordinal..=next.ordinal];
    succeeded(&almadia_at(staying, &["put", "k", "after"]));
    // Its client port is served, with what it had when it was cut off.
    let stale = almadia_at(one, &["get", "k", "--serializable"]);
    assert_eq!(succeeded(&stale), "before\n");
    let fresh = almadia_at(one, &["get", "k", "--timeout", "1s"]);
    assert!(!fresh.status.success(), "a linearizable read without a majority");
    let status = json(&succeeded(&almadia_at(
        staying,
        &["fault", "status", "-o", "json"],
    )));
    let members = status["members"].as_array().unwrap();
    assert!(members.iter().all(|member| member["enabled"] == true), "{status}");
    let cut: Vec<&Value> = members
        .iter()
        .filter(|member| member["cut_off_from"] == "all")
        .map(|member| &member["name"])
        .collect();
    assert_eq!(cut, [&Value::from(name.as_str())], "{status}");
    let seen = almadia_at(one, &["status"]);
    let seen = String::from_utf8_lossy(&seen.stdout).into_owned();
    assert!(seen.contains("cut off from peers by fault injection"), "{seen}");
    succeeded(&almadia_at(one, &["fault", "heal"]));
    deployment.caught_up().await;
    assert_eq!(succeeded(&almadia_at(one, &["get", "k"])), "after\n");
    deployment
        .says(leader.ordinal, "FAULT INJECTION IS ENABLED")
        .await;
}

/// A cut between the leader and one follower only: writes go on, the follower stays behind until it is healed or its time is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partial_cut_ends_by_itself() {
    let (deployment, leader) = of_three().await;
    let (follower, third) = ((leader.ordinal + 1) % 3, (leader.ordinal + 2) % 3);
    let (from, to) = (follower.to_string(), third.to_string());
    let cut = [
        "fault", "isolate", &from, "--from", &to, "--for", "2s", "-o", "json",
    ];
    let cut = json(&succeeded(&deployment.almadia(&cut)));
    assert_eq!(
        cut["members"][0]["cut_off_from"],
        format!("almadia-{third}"),
        "{cut}"
    );
    // Both still hear the leader, so nothing changes for clients.
    succeeded(&deployment.almadia(&["put", "k", "v"]));
    deployment.caught_up().await;
    assert_eq!(deployment.leader_above(0).await, leader);
    deployment
        .says(follower, "connections to peers are allowed again")
        .await;
    let status = json(&succeeded(
        &deployment.almadia(&["fault", "status", "-o", "json"]),
    ));
    let members = status["members"].as_array().unwrap();
    assert!(
        members.iter().all(|member| member["cut_off_from"] == ""),
        "{status}"
    );
}

/// A crash is a kill: the process ends at once by a signal, and the others go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_is_killed_by_a_call() {
    let (mut deployment, leader) = of_three().await;
    let ordinal = leader.ordinal.to_string();
    // The answer may be lost with the process.
    let _ = deployment.almadia(&["fault", "crash", &ordinal]);
    deployment.leader_above(leader.term).await;
    let status = deployment
        .cluster
        .exit_status(leader.ordinal)
        .expect("it has ended");
    assert_eq!(status.signal(), Some(9), "{status}");
    deployment.cluster.start(leader.ordinal).unwrap();
    deployment.caught_up().await;
}

/// Off by default: every exercise is refused with the name of the flag, and a bad name says who there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_flag_it_is_refused() {
    let (mut deployment, leader) = Deployment::of_three().await;
    for words in [
        &["fault", "isolate", "0"][..],
        &["fault", "heal"],
        &["fault", "crash", "almadia-0"],
    ] {
        let output = deployment.almadia(words);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            !output.status.success() && text.contains(FLAG),
            "{words:?}: {text}"
        );
    }
    let status = json(&succeeded(
        &deployment.almadia(&["fault", "status", "-o", "json"]),
    ));
    assert_eq!(status["members"][0]["enabled"], false, "{status}");
    let stranger = deployment.almadia(&["fault", "isolate", "7"]);
    let complaint = String::from_utf8_lossy(&stranger.stderr).into_owned();
    assert!(complaint.contains("there is no member '7'"), "{complaint}");
    assert_eq!(deployment.leader_above(0).await, leader);
    assert!((0..3).all(|ordinal| deployment.cluster.is_running(ordinal)));
}

/// With access control only root may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_access_control_only_root_may() {
    let (deployment, leader) = of_three().await;
    for words in [
        &["user", "add", "root:secret"][..],
        &["user", "grant-role", "root", "root"],
        &["user", "add", "ann:secret"],
        &["auth", "enable"],
    ] {
        succeeded(&deployment.almadia(words));
    }
    for words in [
        &["fault", "isolate", "0", "--user", "ann:secret"][..],
        &["fault", "isolate", "0"],
    ] {
        let output = deployment.almadia(words);
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{words:?}: {text}");
        assert!(
            text.contains("permission denied") || text.contains("user name is empty"),
            "{text}"
        );
    }
    let root = ["--user", "root:secret"];
    let ordinal = leader.ordinal.to_string();
    let with_root = |words: &[&str]| deployment.almadia(&[words, &root[..]].concat());
    succeeded(&with_root(&["fault", "isolate", &ordinal]));
    succeeded(&with_root(&["fault", "heal", &ordinal]));
    succeeded(&with_root(&["log", "--compare"]));
    succeeded(&with_root(&["verify", "--only", "T3"]));
}
