//! Checks a stored history again: `cargo run -p almadia-sim --example check FILE`. Prints each finding, and ends with 1 if there is one.

use almadia_sim::checks::{LeaseBounds, check_all};
use almadia_sim::history;
use std::io::BufReader;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: check FILE (JSON lines, as the soak and the simulator keep them)");
        return ExitCode::from(2);
    };
    let read = std::fs::File::open(&path)
        .map_err(|error| error.to_string())
        .and_then(|file| history::read(BufReader::new(file)).map_err(|error| error.to_string()));
    let history = match read {
        Ok(history) => history,
        Err(why) => {
            eprintln!("{}: {why}", path.display());
            return ExitCode::from(2);
        }
    };
    let findings = check_all(&history, LeaseBounds::default());
    for finding in &findings {
        println!("{finding}");
    }
    println!(
        "{} calls, {} watchers, {} findings",
        history.calls.len(),
        history.watches.len(),
        findings.len()
    );
    ExitCode::from(u8::from(!findings.is_empty()))
}
