//! Cut links: each member in a network namespace of its own, all joined by a bridge in one more, where the test runs again
//! inside. Only namespaces made here are touched. Where the machine does not let tests make them, this is skipped, aloud.

use crate::deployment::Deployment;
use crate::disks::run;
use crate::faults::nap;
use crate::recorder::Recorder;
use crate::soak::{Load, Soak, seconds};
use crate::workload::Chance;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The prefix of the namespaces' names, for the test inside.
const SPACES: &str = "ALMADIA_SOAK_SPACES";
const MEMBERS: usize = 3;
const CUT_MS_MAX: u64 = 3000;

/// Namespaces, gone with the value.
struct Spaces {
    prefix: String,
}

impl Spaces {
    fn make() -> Result<Spaces, String> {
        let spaces = Spaces {
            prefix: format!("alm{}", std::process::id()),
        };
        let hub = spaces.hub();
        run("ip", &["netns", "add", &hub])?;
        ip(&hub, "link set lo up")?;
        ip(&hub, "link add br0 type bridge")?;
        ip(&hub, "addr add 10.77.0.254/24 dev br0")?;
        ip(&hub, "link set br0 up")?;
        for ordinal in 0..MEMBERS {
            let space = spaces.of_member(ordinal);
            run("ip", &["netns", "add", &space])?;
            ip(
                &hub,
                &format!("link add v{ordinal} type veth peer name eth0 netns {space}"),
            )?;
            ip(&hub, &format!("link set v{ordinal} master br0 up"))?;
            ip(&space, &format!("addr add {}/24 dev eth0", address(ordinal)))?;
            ip(&space, "link set lo up")?;
            ip(&space, "link set eth0 up")?;
        }
        Ok(spaces)
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.prefix)
    }

    fn of_member(&self, ordinal: usize) -> String {
        format!("{}-{ordinal}", self.prefix)
    }

    fn remove(&self) {
        for ordinal in 0..MEMBERS {
            let _ = run("ip", &["netns", "del", &self.of_member(ordinal)]);
        }
        let _ = run("ip", &["netns", "del", &self.hub()]);
    }
}

fn ip(space: &str, words: &str) -> Result<(), String> {
    let words: Vec<&str> = words.split(' ').collect();
    run("ip", &[&["-n", space], words.as_slice()].concat())
}

fn address(ordinal: usize) -> String {
    format!("10.77.0.{}", ordinal + 1)
}

/// Makes the namespaces and runs [`inside`] in the one in the middle.
#[test]
fn members_with_cut_links() {
    let spaces = match Spaces::make() {
        Ok(spaces) => spaces,
        Err(why) => return println!("SKIPPED: no network namespaces can be made here: {why}"),
    };
    let program = std::env::current_exe().unwrap();
    let status = Command::new("ip")
        .args(["netns", "exec", &spaces.hub()])
        .arg(program)
        .args(["--exact", "links::inside", "--nocapture"])
        .env(SPACES, &spaces.prefix)
        .status();
    spaces.remove();
    let status = status.unwrap();
    assert!(status.success(), "the test inside: {status}");
}

/// What [`members_with_cut_links`] runs; by itself it has nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inside() {
    let Ok(prefix) = std::env::var(SPACES) else {
        return println!("inside: nothing to do, members_with_cut_links runs it in its namespaces");
    };
    let spaces = Spaces { prefix };
    let mut deployment = Deployment::planned(MEMBERS);
    start_in(&spaces, &mut deployment);
    deployment.leader_above(0).await;
    let soak = Soak {
        deployment,
        recorder: Arc::new(Recorder::new(MEMBERS)),
    };
    let load = Load::begin(&soak.deployment.urls, &soak.recorder);
    let mut chance = Chance::from_entropy();
    let end = Instant::now() + Duration::from_secs(seconds());
    while Instant::now() < end {
        let begun = soak.recorder.now_us();
        let what = cut(&spaces, &mut chance).await;
        soak.deployment.leader_above(0).await;
        soak.recorder.disturbed(begun, what);
    }
    soak.finish(load).await;
}

/// Starts all members, each in its namespace, under its address there.
fn start_in(spaces: &Spaces, deployment: &mut Deployment) {
    let moved = |url: &str, ordinal: usize| url.replace("127.0.0.1", &address(ordinal));
    let urls: Vec<(String, String)> = deployment
        .cluster
        .members()
        .iter()
        .enumerate()
        .flat_map(|(ordinal, member)| {
            [&member.client_url, &member.peer_url].map(|url| (url.clone(), moved(url, ordinal)))
        })
        .collect();
    deployment.urls = urls.iter().step_by(2).map(|(_, to)| to.clone()).collect();
    for ordinal in 0..MEMBERS {
        let planned = deployment.cluster.command(ordinal);
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &spaces.of_member(ordinal)]);
        command.arg(planned.get_program());
        for argument in planned.get_args() {
            let mut text = argument.to_str().unwrap().to_owned();
            for (from, to) in &urls {
                text = text.replace(from, to);
            }
            command.arg(text);
        }
        deployment.cluster.start_as(ordinal, command).unwrap();
    }
}

/// Cuts a member off, wholly or in one direction or from one other member, and heals it.
async fn cut(spaces: &Spaces, chance: &mut Chance) -> String {
    let member = chance.below(MEMBERS as u64) as usize;
    let other = (member + 1) % MEMBERS;
    match chance.below(4) {
        0 => {
            let link = |state: &str| ip(&spaces.hub(), &format!("link set v{member} {state}")).unwrap();
            link("down");
            nap(chance, CUT_MS_MAX).await;
            link("up");
            nap(chance, CUT_MS_MAX).await;
            format!("member {member} cut off")
        }
        1 => {
            let silenced: Vec<(usize, usize)> = others(member).map(|other| (member, other)).collect();
            silence(spaces, &silenced, chance).await;
            format!("member {member} not heard by its peers")
        }
        2 => {
            let silenced: Vec<(usize, usize)> = others(member).map(|other| (other, member)).collect();
            silence(spaces, &silenced, chance).await;
            format!("member {member} does not hear its peers")
        }
        _ => {
            silence(spaces, &[(member, other), (other, member)], chance).await;
            format!("members {member} and {other} cut off from each other")
        }
    }
}

fn others(member: usize) -> impl Iterator<Item = usize> {
    (0..MEMBERS).filter(move |other| *other != member)
}

/// What the first of each pair sends to the second is thrown away for a while.
async fn silence(spaces: &Spaces, pairs: &[(usize, usize)], chance: &mut Chance) {
    let routes = |what: &str| {
        for (from, to) in pairs {
            let route = format!("route {what} blackhole {}/32", address(*to));
            ip(&spaces.of_member(*from), &route).unwrap();
        }
    };
    routes("add");
    nap(chance, CUT_MS_MAX).await;
    routes("del");
    nap(chance, CUT_MS_MAX).await;
}
