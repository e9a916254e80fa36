//! `almadia-sim`: runs whole clusters from seeds and says what came of it.

use almadia_sim::jobs::Share;
use almadia_sim::report::{Sum, print_failure, print_timeline};
use almadia_sim::run::{Plan, is_same_again, run};
use almadia_sim::scenario::{ALL, Scenario};
use std::process::ExitCode;
use std::time::Instant;

const USAGE: &str = "usage: cargo sim [options]

  --seeds N         run N seeds (200 unless said otherwise), from --from on
  --from N          the first of them (1)
  --seconds N       faults may happen for so long in each (360)
  --seed N          run one seed
  --trace           and print what happened in it
  --twice           run every seed twice and compare the hashes
  --twice-every N   run every Nth seed twice
  --jobs N          in so many processes at once (also with mutants)
  --bug NAME        with a planted bug
  mutants [--all]   catch every planted bug: by the seeds on record, or searching anew (--from N --tries N --bug NAME);
                    --recorded leaves out those that no seed on record catches
  scenarios         the classic cases, compared with what is expected of them; UPDATE=1 writes that anew
  --story NAME      tells one of them
  regressions       the seeds of failures that were found before
  bugs              the names of the planted bugs";

struct Arguments(Vec<String>);

impl Arguments {
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|argument| argument == name)
    }

    fn value(&self, name: &str) -> Option<&str> {
        let at = self.0.iter().position(|argument| argument == name)?;
        self.0.get(at + 1).map(String::as_str)
    }

    fn number(&self, name: &str) -> Result<Option<u64>, String> {
        let Some(text) = self.value(name) else {
            return Ok(None);
        };
        let number = text.parse();
        number
            .map(Some)
            .map_err(|_| format!("{name} wants a number, not {text:?}"))
    }
}

fn main() -> ExitCode {
    let arguments = Arguments(std::env::args().skip(1).collect());
    if arguments.has("--help") || arguments.has("help") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    if !cfg!(tokio_unstable) {
        return again(&arguments);
    }
    almadia_sim::panics::keep();
    let done = if arguments.has("mutants") {
        mutants(&arguments)
    } else if arguments.has("bugs") {
        bugs()
    } else if arguments.has("regressions") {
        Ok(regressions())
    } else if arguments.has("scenarios") {
        scenarios()
    } else if let Some(name) = arguments.value("--story") {
        story(name)
    } else {
        seeds(&arguments)
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(text) => {
            eprintln!("{text}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// This build's tokio takes no seed: `cargo sim` makes one whose does, and goes on there.
fn again(arguments: &Arguments) -> ExitCode {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = std::process::Command::new(cargo)
        .arg("sim")
        .args(&arguments.0)
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

/// The same work in several processes, and what came of all of it.
fn in_jobs(arguments: &Arguments, jobs: u64) -> Result<(Sum, bool), String> {
    let given = &arguments.0;
    let at = given.iter().position(|argument| argument == "--jobs");
    let at = at.expect("the number of jobs was read from there");
    let rest: Vec<String> = [&given[..at], &given[at + 2..]].concat();
    almadia_sim::jobs::run(&rest, jobs)
}

/// Which part of the work is this process's, and how many processes it starts instead of doing it.
fn share_and_jobs(arguments: &Arguments) -> Result<(Option<Share>, u64), String> {
    let share = arguments.value("--share").map(Share::parse).transpose()?;
    Ok((share, arguments.number("--jobs")?.unwrap_or(1)))
}

fn seeds(arguments: &Arguments) -> Result<bool, String> {
    let began = Instant::now();
    let (share, jobs) = share_and_jobs(arguments)?;
    let (sum, is_good) = if jobs > 1 {
        in_jobs(arguments, jobs)?
    } else {
        run_seeds(arguments, share.unwrap_or(Share::WHOLE))?
    };
    if share.is_some() {
        almadia_sim::jobs::tell(&sum);
    } else {
        println!("{sum}");
        println!("in {:.0} s", began.elapsed().as_secs_f64());
    }
    Ok(is_good)
}

fn run_seeds(arguments: &Arguments, share: Share) -> Result<(Sum, bool), String> {
    plant(arguments)?;
    let seconds = arguments.number("--seconds")?.unwrap_or(360);
    let (first, count) = match arguments.number("--seed")? {
        Some(seed) => (seed, 1),
        None => (
            arguments.number("--from")?.unwrap_or(1),
            arguments.number("--seeds")?.unwrap_or(200),
        ),
    };
    let twice_every = match arguments.has("--twice") {
        true => 1,
        false => arguments.number("--twice-every")?.unwrap_or(u64::MAX),
    };
    let mut sum = Sum::default();
    let began = Instant::now();
    let mut is_good = true;
    for seed in (first..first + count).filter(|seed| share.has(seed - first)) {
        let plan = Plan::draw(seed, seconds * 1000);
        let report = run(&plan);
        if ((seed - first) / share.of).is_multiple_of(twice_every) {
            sum.twice += 1;
            if let Err(parting) = is_same_again(&plan, &report) {
                println!("seed {seed}: {parting}");
                is_good = false;
            }
        }
        if arguments.has("--trace") {
            print_timeline(&report, usize::MAX);
        }
        sum.add(&report);
        if count == 1 || arguments.has("--verbose") {
            println!("seed {seed}: {} members, hash {:016x}", plan.size, report.hash);
        }
        if !report.failures.is_empty() {
            is_good = false;
            print_failure(&plan, &report);
        } else if (seed - first + 1).is_multiple_of(20) {
            println!(
                "{} seeds, {:.0} s",
                seed - first + 1,
                began.elapsed().as_secs_f64()
            );
        }
    }
    Ok((sum, is_good))
}

/// Runs every scenario and compares.
fn scenarios() -> Result<bool, String> {
    let updates = std::env::var_os("UPDATE").is_some_and(|value| value == "1");
    let mut is_good = true;
    for (name, text) in ALL {
        let scenario = Scenario::parse(name, text)?;
        let report = scenario.run();
        let lines = Scenario::lines(&report);
        let is_same = lines == scenario.expected;
        is_good &= report.failures.is_empty() && (is_same || updates);
        println!(
            "{name}: {}",
            if is_same { "as expected" } else { "ANOTHER COURSE" }
        );
        if updates {
            let path = format!("crates/almadia-sim/scenarios/{name}.txt");
            let written = std::fs::write(&path, Scenario::with_expected(text, &lines));
            written.map_err(|error| format!("{path}: {error}"))?;
        } else if !is_same {
            let differs = lines
                .iter()
                .zip(&scenario.expected)
                .find(|(one, other)| one != other);
            println!("  first difference: {differs:?}; UPDATE=1 writes the scripts anew");
        }
        for failure in &report.failures {
            println!("  FAILED {}: {}", failure.check, failure.text);
        }
    }
    Ok(is_good)
}

/// Tells a scenario.
fn story(name: &str) -> Result<bool, String> {
    let names: Vec<&str> = ALL.iter().map(|(name, _)| *name).collect();
    let found = ALL.iter().find(|(other, _)| *other == name);
    let (_, text) = found.ok_or_else(|| format!("there is no story {name:?}, but {}", names.join(", ")))?;
    let scenario = Scenario::parse(name, text)?;
    for line in &scenario.story {
        println!("{line}");
    }
    println!();
    let report = scenario.run();
    print_timeline(&report, usize::MAX);
    println!(
        "\n{} calls of clients, {} entries committed in {} terms, {} promises broken",
        report.history.calls.len(),
        report.entries,
        report.terms,
        report.failures.len()
    );
    Ok(report.failures.is_empty())
}

/// Runs every seed on record, each twice.
fn regressions() -> bool {
    let mut is_good = true;
    for (seed, seconds, what) in almadia_sim::report::regressions() {
        let plan = Plan::draw(seed, seconds * 1000);
        let report = run(&plan);
        let same = is_same_again(&plan, &report);
        println!("seed {seed}, {seconds} s: {what}");
        if let Err(parting) = &same {
            println!("  {parting}");
        }
        if !report.failures.is_empty() {
            print_failure(&plan, &report);
        }
        is_good &= same.is_ok() && report.failures.is_empty();
    }
    is_good
}

#[cfg(feature = "planted")]
fn bug_of(name: &str) -> Result<almadia_command::planted::Bug, String> {
    let mut all = almadia_command::planted::Bug::ALL.iter();
    let bug = all.find(|bug| bug.name() == name).copied();
    bug.ok_or_else(|| format!("there is no bug {name:?}"))
}

#[cfg(feature = "planted")]
fn plant(arguments: &Arguments) -> Result<(), String> {
    if let Some(name) = arguments.value("--bug") {
        almadia_command::planted::plant(Some(bug_of(name)?));
    }
    Ok(())
}

#[cfg(not(feature = "planted"))]
fn plant(arguments: &Arguments) -> Result<(), String> {
    if arguments.has("--bug") {
        return Err("this build has no planted bugs: cargo sim has".to_owned());
    }
    Ok(())
}

#[cfg(feature = "planted")]
fn mutants(arguments: &Arguments) -> Result<bool, String> {
    let (share, jobs) = share_and_jobs(arguments)?;
    let (sum, is_good) = if jobs > 1 {
        in_jobs(arguments, jobs)?
    } else {
        catch_bugs(arguments, share.unwrap_or(Share::WHOLE))?
    };
    if share.is_some() {
        almadia_sim::jobs::tell(&sum);
    } else {
        println!("{} of {} planted bugs caught", sum.caught, sum.planted);
    }
    Ok(is_good && sum.caught == sum.planted)
}

#[cfg(feature = "planted")]
fn catch_bugs(arguments: &Arguments, share: Share) -> Result<(Sum, bool), String> {
    use almadia_command::planted::Bug;
    use almadia_sim::mutants::{SEEDS_MAX, catch, is_clean, on_record};
    let from = arguments.number("--from")?.unwrap_or(1);
    let tries = arguments.number("--tries")?.unwrap_or(SEEDS_MAX);
    let bugs = match arguments.value("--bug") {
        Some(name) => vec![bug_of(name)?],
        None if arguments.has("--recorded") => on_record(),
        None => Bug::ALL.to_vec(),
    };
    let mut sum = Sum::default();
    // Whether a run fails without any bug: then its catching one proves nothing.
    let mut clean = std::collections::BTreeMap::new();
    let own = (0u64..).zip(&bugs).filter(|(position, _)| share.has(*position));
    for (_, bug) in own {
        sum.planted += 1;
        match catch(*bug, !arguments.has("--all"), from, tries) {
            Some(caught) if *clean.entry(caught.by).or_insert_with(|| is_clean(caught.by)) => {
                sum.caught += 1;
                println!(
                    "{:<24} {:>4}  {}",
                    bug.name(),
                    caught.by.to_string(),
                    caught.check
                );
                if arguments.has("--verbose") {
                    println!("    {}", caught.text);
                }
            }
            Some(caught) => println!(
                "{:<24} {:>4}  fails without it as well",
                bug.name(),
                caught.by.to_string()
            ),
            None => println!("{:<24}    -  NOT CAUGHT by {tries} seeds", bug.name()),
        }
    }
    let is_good = sum.caught == sum.planted;
    Ok((sum, is_good))
}

#[cfg(feature = "planted")]
fn bugs() -> Result<bool, String> {
    for bug in almadia_command::planted::Bug::ALL {
        println!("{}", bug.name());
    }
    Ok(true)
}

#[cfg(not(feature = "planted"))]
fn mutants(_: &Arguments) -> Result<bool, String> {
    Err("this build has no planted bugs: cargo sim has".to_owned())
}

#[cfg(not(feature = "planted"))]
fn bugs() -> Result<bool, String> {
    Err("this build has no planted bugs: cargo sim has".to_owned())
}
