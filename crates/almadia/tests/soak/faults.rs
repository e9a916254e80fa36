//! What is done to members: killed, paused, started again. A fault is over when its members run again.

use crate::deployment::Deployment;
use crate::workload::Chance;
use std::process::Command;
use std::time::Duration;

/// How long a member is away at most.
const AWAY_MS_MAX: u64 = 1500;
/// How long nothing is done between faults at most.
const CALM_MS_MAX: u64 = 1500;

/// What is done.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// SIGKILL to one member.
    Kill,
    /// To two at once.
    KillTwo,
    /// To all at once.
    KillAll,
    /// SIGSTOP to one member, SIGCONT later.
    Pause,
    /// To two.
    PauseTwo,
}

/// Does it, undoes it, and waits a little. Says what was done.
pub async fn inflict(deployment: &mut Deployment, fault: Fault, chance: &mut Chance) -> String {
    let members = deployment.urls.len();
    let first = chance.below(members as u64) as usize;
    let two = [first, (first + 1) % members];
    match fault {
        Fault::Kill => kill(deployment, &[first], chance).await,
        Fault::KillTwo => kill(deployment, &two, chance).await,
        Fault::KillAll => kill(deployment, &(0..members).collect::<Vec<_>>(), chance).await,
        Fault::Pause => pause(deployment, &[first], chance).await,
        Fault::PauseTwo => pause(deployment, &two, chance).await,
    }
    nap(chance, CALM_MS_MAX).await;
    format!("{fault:?} from member {first} on")
}

async fn kill(deployment: &mut Deployment, ordinals: &[usize], chance: &mut Chance) {
    deployment.cluster.kill(ordinals);
    nap(chance, AWAY_MS_MAX).await;
    deployment.cluster.start_all().unwrap();
}

async fn pause(deployment: &mut Deployment, ordinals: &[usize], chance: &mut Chance) {
    let pids: Vec<String> = ordinals
        .iter()
        .filter_map(|ordinal| deployment.cluster.pid(*ordinal))
        .map(|pid| pid.to_string())
        .collect();
    signal("-STOP", &pids);
    nap(chance, AWAY_MS_MAX).await;
    signal("-CONT", &pids);
}

fn signal(name: &str, pids: &[String]) {
    let sent = Command::new("kill").arg(name).args(pids).status().unwrap();
    assert!(sent.success(), "kill {name} {pids:?}");
}

/// A time by chance.
pub async fn nap(chance: &mut Chance, ms_max: u64) {
    tokio::time::sleep(Duration::from_millis(chance.below(ms_max))).await;
}
