//! The client commands: talk to a cluster, print, end with an exit code.
//!
//! A command is arguments, a request, and a rendering of the answer; `cluster` does the talking, `output` the printing.
//! Nothing here knows how a server works.

pub mod check;
pub mod cluster;
pub mod compact;
pub mod completions;
pub mod del;
pub mod error;
pub mod get;
pub mod global;
pub mod key_range;
pub mod log;
pub mod log_compare;
pub mod members;
pub mod output;
pub mod position;
pub mod put;
pub mod status;
pub mod txn;
pub mod txn_script;

use std::process::ExitCode;

use self::cluster::Cluster;
use self::error::CommandError;
use self::global::Global;

/// The commands that talk to a cluster once.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum ClientCommand {
    /// Write a key.
    Put(put::PutArguments),
    /// Read keys.
    Get(get::GetArguments),
    /// Delete keys.
    Del(del::DelArguments),
    /// Several operations in one, on conditions.
    Txn(txn::TxnArguments),
    /// Drop old revisions.
    Compact(compact::CompactArguments),
    /// How each member sees itself: leader, term, indexes, sizes.
    Status(status::StatusArguments),
    /// Who belongs to the cluster.
    Members(members::MembersArguments),
    /// Show a member's log, or compare the logs of all members.
    Log(log::LogArguments),
    /// Write and read a few keys: does the cluster work?
    Check(check::CheckArguments),
}

/// Runs a command; says on standard error in one line why it did not succeed.
pub fn run(command: &ClientCommand, global: &Global) -> ExitCode {
    finish(runtime().and_then(|runtime| runtime.block_on(execute(command, global))))
}

/// An exit code for an outcome; prints the error.
pub fn finish(outcome: Result<u8, CommandError>) -> ExitCode {
    match outcome {
        Ok(exit_code) => ExitCode::from(exit_code),
        Err(error) => {
            eprintln!("almadia: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// What client commands run on.
pub fn runtime() -> Result<tokio::runtime::Runtime, CommandError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError::failed(format!("cannot start: {error}")))
}

async fn execute(command: &ClientCommand, global: &Global) -> Result<u8, CommandError> {
    let cluster = Cluster::new(global)?;
    let report = match command {
        ClientCommand::Put(arguments) => put::run(arguments, &cluster).await?,
        ClientCommand::Get(arguments) => get::run(arguments, &cluster).await?,
        ClientCommand::Del(arguments) => del::run(arguments, &cluster).await?,
        ClientCommand::Txn(arguments) => txn::run(arguments, &cluster).await?,
        ClientCommand::Compact(arguments) => compact::run(arguments, &cluster).await?,
        ClientCommand::Status(arguments) => status::run(arguments, &cluster).await?,
        ClientCommand::Members(arguments) => members::run(arguments, &cluster).await?,
        ClientCommand::Log(arguments) => log::run(arguments, &cluster).await?,
        ClientCommand::Check(arguments) => check::run(arguments, global.output, cluster).await?,
    };
    report.print(global.output)?;
    Ok(report.exit_code)
}
