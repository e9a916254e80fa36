//! Has the simulator catch every planted bug. The simulator does the work (`cargo sim mutants`); this is its place among the
//! chores.

use std::process::{Command, ExitCode};

/// Runs it with these arguments.
pub fn run(arguments: &[&str]) -> ExitCode {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["sim", "mutants"])
        .args(arguments)
        .status();
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cargo sim cannot be run: {error}");
            ExitCode::FAILURE
        }
    }
}
