//! `cargo xtask verify`: the checks that need no cluster, one after the other, each with its time. It stops at the first
//! that fails and never mends anything.

use std::process::{Command, ExitCode};
use std::time::Instant;

const CARGO_STEPS: &[(&str, &[&str])] = &[
    ("formatting", &["fmt", "--all", "--check"]),
    (
        "clippy",
        &[
            "clippy",
            "--quiet",
            "--locked",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ],
    ),
];

/// The part of cargo deny that needs nothing but the lock file and the registry's own crates; advisories need their
/// database from the network and are checked by `.ci/run`.
const DENY: &[&str] = &[
    "deny",
    "--locked",
    "check",
    "--hide-inclusion-graph",
    "licenses",
    "bans",
    "sources",
];

/// Runs every step and answers with the code of the first that failed.
pub fn run() -> ExitCode {
    let tidy = timed("tidy", || crate::tidy::run() == ExitCode::SUCCESS);
    if !tidy {
        return ExitCode::FAILURE;
    }
    for (name, arguments) in CARGO_STEPS {
        if !timed(name, || cargo(arguments)) {
            return ExitCode::FAILURE;
        }
    }
    if !cargo_deny_is_installed() {
        println!("verify: deny SKIPPED: `cargo install cargo-deny --locked` brings it");
        return ExitCode::SUCCESS;
    }
    if timed("deny", || cargo(DENY)) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn timed(name: &str, step: impl FnOnce() -> bool) -> bool {
    let start = Instant::now();
    let passed = step();
    let word = if passed { "ok" } else { "FAILED" };
    println!("verify: {name} {word} ({:.1} s)", start.elapsed().as_secs_f64());
    passed
}

fn cargo(arguments: &[&str]) -> bool {
    match Command::new("cargo").args(arguments).status() {
        Ok(status) => status.success(),
        Err(error) => {
            eprintln!("verify: cannot start cargo: {error}");
            false
        }
    }
}

fn cargo_deny_is_installed() -> bool {
    Command::new("cargo")
        .args(["deny", "--version"])
        .output()
        .is_ok_and(|output| output.status.success())
}
