//! `cargo xtask tidy`: what STYLE.md asks for and a program can see. Each check is a function from a [`Checkout`] to
//! [`Problem`]s, in a file of its own with tests that show it bites. It reads files and nothing else.

mod arrows;
mod bans;
mod checkout;
mod documents;
mod names;
mod packages;
mod source;
mod text;

use checkout::Checkout;
use std::fmt;
use std::process::ExitCode;

/// One thing to mend: where it is and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    path: String,
    /// 1-based; 1 where the whole file is meant.
    line: usize,
    message: String,
}

impl Problem {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.path, self.line, self.message)
    }
}

type Check = fn(&Checkout) -> Vec<Problem>;

const CHECKS: &[Check] = &[
    arrows::check,
    bans::check,
    documents::check,
    names::check,
    packages::check,
    source::check_docs,
    source::check_headers,
    source::check_lengths,
    source::check_unfinished,
];

/// Runs all checks on the checkout this program was built from and prints what is to be mended.
pub fn run() -> ExitCode {
    let checkout = match Checkout::load() {
        Ok(checkout) => checkout,
        Err(error) => {
            eprintln!("tidy: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut problems: Vec<Problem> = CHECKS.iter().flat_map(|check| check(&checkout)).collect();
    problems.sort();
    for problem in &problems {
        println!("{problem}");
    }
    if problems.is_empty() {
        println!("tidy: {} files, nothing to mend", checkout.files.len());
        return ExitCode::SUCCESS;
    }
    println!(
        "tidy: {} to mend in {} files",
        problems.len(),
        checkout.files.len()
    );
    ExitCode::FAILURE
}
