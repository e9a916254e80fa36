//! `almadia demo`: members as processes on this machine, a leader killed under load, and the proof that nothing
//! acknowledged was lost. It uses the store as any client would.

pub mod client;
pub mod cluster;
mod screen;
mod show;
pub mod watching;
pub mod writer;

use crate::commands::global::Output;
use cluster::{LocalCluster, Plan};
use screen::Screen;
use serde_json::json;
use show::{Facts, Show};
use std::path::PathBuf;
use std::process::ExitCode;

/// What to show, and what to leave behind.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  almadia demo
  almadia demo --members 5
  almadia demo --keep          leaves the cluster running and says how to use and how to stop it")]
pub struct Flags {
    /// How many members.
    #[arg(long, default_value_t = 3, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(3..=9))]
    pub members: u8,
    /// Leave the cluster running at the end.
    #[arg(long)]
    pub keep: bool,
    /// Stop the cluster at the end, but leave its data.
    #[arg(long)]
    pub keep_data: bool,
    /// Where to put data and logs [default: a new directory among the temporary ones].
    #[arg(long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
}

/// Runs the demo; the exit code says whether all promises were kept.
pub fn run(flags: Flags, output: Output) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start threads: {error}")),
    };
    let directory = match make_directory(&flags) {
        Ok(directory) => directory,
        Err(error) => return fail(&format!("cannot make a directory for the data: {error}")),
    };
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return fail(&format!("cannot find this program's own file: {error}")),
    };
    let plan = Plan {
        program,
        directory,
        members: usize::from(flags.members),
        arguments: Vec::new(),
    };
    let cluster = match LocalCluster::new(plan.clone()) {
        Ok(cluster) => cluster,
        Err(error) => return fail(&format!("cannot find ports: {error}")),
    };
    let screen = Screen::new(output == Output::Json);
    runtime.block_on(perform(&flags, output, Show::new(screen, cluster), &plan))
}

/// The show, until its end or until somebody stops it; either way the place is left as it was asked to be.
async fn perform(flags: &Flags, output: Output, mut show: Show, plan: &Plan) -> ExitCode {
    show.screen.line(format!(
        "almadia demo: {} members on this machine, data and logs in {}",
        flags.members,
        plan.directory.display()
    ));
    let result = tokio::select! {
        result = show.run() => result,
        () = stop_asked() => Err("stopped from outside".to_owned()),
    };
    let passed = result.is_ok();
    if let Err(reason) = &result {
        show.lament(reason);
    }
    if output == Output::Json {
        print_json(&show.facts, &result, show.cluster.client_urls());
    }
    if flags.keep && passed {
        show.hand_over(&plan.directory);
        return ExitCode::SUCCESS;
    }
    show.cluster.kill_all();
    // After a failure the data is what tells why.
    if flags.keep_data || !passed {
        show.screen
            .line(format!("data and logs are in {}", plan.directory.display()));
    } else if let Err(error) = std::fs::remove_dir_all(&plan.directory) {
        show.screen
            .line(format!("cannot remove {}: {error}", plan.directory.display()));
    }
    show.screen.line(if passed {
        "PASS: every promise was kept"
    } else {
        "FAIL"
    });
    if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn print_json(facts: &Facts, result: &Result<(), String>, endpoints: Vec<String>) {
    let summary = json!({
        "passed": result.is_ok(),
        "reason": result.as_ref().err(),
        "endpoints": endpoints,
        "acknowledged": facts.acknowledged,
        "unknown": facts.unknown,
        "lost": facts.lost,
        "writes_stood_still_ms": facts.silence.map(|silence| silence.as_millis() as u64),
        "terms": facts.terms,
        "revision": facts.revision,
    });
    println!("{summary}");
}

/// A new directory, never one that has something in it.
fn make_directory(flags: &Flags) -> std::io::Result<PathBuf> {
    if let Some(directory) = &flags.directory {
        std::fs::create_dir_all(directory)?;
        let empty = std::fs::read_dir(directory)?.next().is_none();
        let message = || format!("{} is not empty", directory.display());
        return if empty {
            directory.canonicalize()
        } else {
            Err(std::io::Error::other(message()))
        };
    }
    new_directory("almadia-demo")
}

/// A new directory among the temporary ones, for this process.
///
/// # Errors
/// The system's.
pub fn new_directory(name: &str) -> std::io::Result<PathBuf> {
    let base = std::env::temp_dir();
    for attempt in 0..100 {
        let directory = base.join(format!("{name}-{}-{attempt}", std::process::id()));
        match std::fs::create_dir(&directory) {
            Ok(()) => return Ok(directory),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(std::io::Error::other(format!(
        "{} is full of earlier directories {name}-…",
        base.display()
    )))
}

/// Returns when the process is asked to end.
async fn stop_asked() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

fn fail(reason: &str) -> ExitCode {
    eprintln!("almadia demo: {reason}");
    ExitCode::FAILURE
}
