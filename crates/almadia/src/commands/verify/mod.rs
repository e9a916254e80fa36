//! `almadia verify`: the acceptance suite (M2), by fixed names and lines, against any running cluster or against three members
//! that it starts itself.
//!
//! It uses nothing a client could not: etcd's calls, and Almadia's own for logs and exercises. Whatever it cuts off or breaks it
//! mends, also when it fails or is interrupted.

mod able;
mod agreement;
mod disruptive;
mod first;
mod lab;
mod lines;
mod local;
mod small_disk;
mod voice;
mod writing;

use std::time::Instant;

use serde_json::{Value, json};

use self::able::cannot;
use self::disruptive::{Hands, HandsArguments};
use self::lab::Lab;
use self::lines::Test;
use self::local::Own;
use self::voice::Voice;
use super::check::Language;
use super::cluster::Cluster;
use super::error::{CommandError, EXIT_FAILED};
use super::global::Output;
use super::interrupt::Interrupt;
use super::output::Report;

/// What to verify.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Without --local: against the cluster at --endpoints. Tests that cut members off need members that were started with
--enable-fault-injection; without it they are left out, which is said. Keys are written under almadia-verify/ and removed.
Exit code 0 and PASS at the end when nothing failed, else 1 and FAIL.

Examples:
  almadia verify --local                      three members of its own, all tests
  almadia verify --endpoints almadia-0.almadia:2379
  almadia verify --lang en --only T3
  almadia verify --local --disruptive         and then break those three under load
  almadia verify --disruptive --kill-command 'kubectl delete pod $MEMBER --force --grace-period=0' \\
    --scale-command 'kubectl scale statefulset almadia --replicas $SIZE'")]
pub struct VerifyArguments {
    /// Language of the lines.
    #[arg(long, value_enum, default_value = "es")]
    pub lang: Language,
    /// Only tests whose name contains this.
    #[arg(long, value_name = "TEXT")]
    pub only: Vec<String>,
    /// Start three members on this machine, verify those, and stop them.
    #[arg(long)]
    pub local: bool,
    /// Then break things while clients write: kill the leader, part the network, lose a disk, scale, fill a disk.
    #[arg(long)]
    pub disruptive: bool,
    /// How to break what no call can.
    #[command(flatten)]
    pub hands: HandsArguments,
}

/// How a test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed(String),
    LeftOut(String),
}

/// A test that is over.
struct Done {
    name: &'static str,
    outcome: Outcome,
    lines: Vec<String>,
    took_ms: u64,
}

/// Runs the command; prints each line when it is true. The last one is PASS or FAIL, whatever happens.
pub async fn run(
    arguments: &VerifyArguments,
    output: Output,
    cluster: &Cluster,
) -> Result<Report, CommandError> {
    let chosen = choose(arguments)?;
    let mut voice = Voice::new(arguments.lang, output);
    let ended = verify(&chosen, arguments, cluster, &mut voice).await;
    let done = match ended {
        Ok(done) => done,
        Err(error) => {
            voice.ends(false)?;
            return Err(error);
        }
    };
    report(&done, &mut voice)
}

async fn verify(
    chosen: &[Test],
    arguments: &VerifyArguments,
    cluster: &Cluster,
    voice: &mut Voice,
) -> Result<Vec<Done>, CommandError> {
    let hands = Hands {
        arguments: arguments.hands.clone(),
    };
    let mut interrupt = Interrupt::new()?;
    let mut lab = if arguments.local {
        Lab::of_own(Own::plan()?)?
    } else {
        Lab::open(cluster).await?
    };
    let mut done = Vec::new();
    let ended = tokio::select! {
        ended = run_all(chosen, &mut lab, voice, &hands, &mut done) => ended,
        _ = interrupt.wait() => Err(CommandError::failed("interrupted; what was broken is mended")),
    };
    lab.mend().await;
    lab.sweep().await;
    let failed = ended.is_err() || done.iter().any(|done| matches!(done.outcome, Outcome::Failed(_)));
    lab.end_own(failed);
    ended.map(|()| done)
}

fn choose(arguments: &VerifyArguments) -> Result<Vec<Test>, CommandError> {
    let disruptive = Test::DISRUPTIVE.into_iter().filter(|_| arguments.disruptive);
    let all: Vec<Test> = Test::ALL.into_iter().chain(disruptive).collect();
    let only = &arguments.only;
    let is_wanted = |test: &Test| only.is_empty() || only.iter().any(|text| test.name().contains(text));
    let chosen: Vec<Test> = all.iter().copied().filter(is_wanted).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = all.iter().map(|test| test.name()).collect();
        return Err(CommandError::usage(format!(
            "no test is called so; there are {}",
            names.join(", ")
        )));
    }
    Ok(chosen)
}

async fn run_all(
    chosen: &[Test],
    lab: &mut Lab,
    voice: &mut Voice,
    hands: &Hands,
    done: &mut Vec<Done>,
) -> Result<(), CommandError> {
    lab.start_own().await?;
    for test in chosen {
        let began = Instant::now();
        let outcome = run_one(*test, lab, voice, hands).await?;
        lab.mend().await;
        done.push(Done {
            name: test.name(),
            outcome,
            lines: voice.take_lines(),
            took_ms: began.elapsed().as_millis() as u64,
        });
    }
    Ok(())
}

async fn run_one(
    test: Test,
    lab: &mut Lab,
    voice: &mut Voice,
    hands: &Hands,
) -> Result<Outcome, CommandError> {
    if let Some(reason) = cannot(test, lab, hands, voice.language()) {
        voice.left_out(test.name(), &reason)?;
        return Ok(Outcome::LeftOut(reason));
    }
    voice.opens(test.name())?;
    let ended = match test {
        Test::Start => first::start(lab, voice).await,
        Test::FirstLeader => first::first_leader(lab, voice).await,
        Test::NewLeader => first::new_leader(lab, voice).await,
        Test::ThreeOperations => first::three_operations(lab, voice).await,
        Test::FollowerCut => agreement::follower_cut(lab, voice).await,
        Test::NoAgreement => agreement::no_agreement(lab, voice).await,
        Test::AtTheSameTime => agreement::at_the_same_time(lab, voice).await,
        disruptive => disruptive::tell(disruptive, lab, voice, hands).await,
    };
    match ended {
        Ok(()) => {
            voice.passed(test.name())?;
            Ok(Outcome::Passed)
        }
        Err(reason) => {
            voice.failed(test.name(), &reason)?;
            Ok(Outcome::Failed(reason))
        }
    }
}

fn report(done: &[Done], voice: &mut Voice) -> Result<Report, CommandError> {
    let count = |is: fn(&Outcome) -> bool| done.iter().filter(|done| is(&done.outcome)).count();
    let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
    let left_out = count(|outcome| matches!(outcome, Outcome::LeftOut(_)));
    let passed = count(|outcome| matches!(outcome, Outcome::Passed));
    // Where nothing was tried, nothing is shown.
    let is_passed = failed == 0 && passed > 0;
    voice.sums_up(passed, left_out, failed, is_passed)?;
    let tests: Vec<Value> = done.iter().map(json_of).collect();
    let mut report = Report::new("", json!({ "passed": is_passed, "tests": tests }));
    if !is_passed {
        report.exit_code = EXIT_FAILED;
    }
    Ok(report)
}

fn json_of(done: &Done) -> Value {
    let (result, reason) = match &done.outcome {
        Outcome::Passed => ("passed", None),
        Outcome::Failed(reason) => ("failed", Some(reason)),
        Outcome::LeftOut(reason) => ("left out", Some(reason)),
    };
    json!({
        "name": done.name, "result": result, "reason": reason, "lines": done.lines, "took_ms": done.took_ms,
    })
}
