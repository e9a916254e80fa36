//! Chores of this checkout, run as `cargo xtask <chore>`. Plain std, so that it builds in a second; it never edits a file.

mod mutants;
mod tidy;
mod verify;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask <chore>

  tidy     check what STYLE.md promises and a program can see: arrows between crates, headers, lengths, names, links
  verify   what continuous integration runs first: formatting, tidy, clippy with warnings denied, cargo deny
  mutants  plant every bug on purpose and have the simulator catch it, by the seeds on record; --all searches anew,
           --recorded leaves out those that no seed on record catches";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["tidy"] => tidy::run(),
        ["verify"] => verify::run(),
        ["mutants", rest @ ..] => mutants::run(rest),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}
