//! The client commands: talk to a cluster, print, end with an exit code.
//!
//! A command is arguments, a request, and a rendering of the answer; `cluster` does the talking, `output` the printing.
//! Nothing here knows how a server works.

pub mod alarm;
pub mod auth;
pub mod check;
pub mod cluster;
pub mod compact;
pub mod completions;
pub mod defrag;
pub mod del;
pub mod downgrade;
pub mod each;
pub mod elect;
pub mod error;
pub mod fault;
pub mod follow;
pub mod get;
pub mod get_stream;
pub mod global;
pub mod hashkv;
pub mod health;
pub mod interrupt;
pub mod key_range;
pub mod lease;
pub mod lease_keeper;
pub mod lock;
pub mod lock_command;
pub mod log;
pub mod log_compare;
pub mod login;
pub mod meaning;
pub mod member;
pub mod members;
pub mod move_leader;
pub mod output;
pub mod position;
pub mod put;
pub mod role;
mod slow;
pub mod snapshot;
pub mod status;
mod status_cluster;
pub mod terminal;
pub mod tls;
pub mod txn;
pub mod txn_script;
pub mod user;
pub mod verify;
pub mod watch;

use std::process::ExitCode;

use self::cluster::Cluster;
use self::error::CommandError;
use self::global::Global;
use self::login::{Login, LoginArguments};

/// The commands that talk to a cluster.
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
    /// Print changes of keys as they come.
    Watch(watch::WatchArguments),
    /// Keys with a lifetime.
    #[command(subcommand)]
    Lease(lease::LeaseCommand),
    /// Hold a lock, until Ctrl-C or while a command runs.
    Lock(lock::LockArguments),
    /// Stand for an election, or see who leads.
    Elect(elect::ElectArguments),
    /// How each member sees itself: leader, term, indexes, sizes.
    Status(status::StatusArguments),
    /// Can each member serve?
    Health(health::HealthArguments),
    /// Who belongs to the cluster.
    Members(members::MembersArguments),
    /// Admit, remove, move and promote members.
    #[command(subcommand)]
    Member(member::MemberCommand),
    /// Let another member lead.
    MoveLeader(move_leader::MoveLeaderArguments),
    /// What is wrong with members.
    #[command(subcommand)]
    Alarm(alarm::AlarmCommand),
    /// Give unused disk space back.
    Defrag(defrag::DefragArguments),
    /// Compare the members' histories by a hash.
    Hashkv(hashkv::HashKvArguments),
    /// Save everything to a file.
    #[command(subcommand)]
    Snapshot(snapshot::SnapshotCommand),
    /// Prepare the cluster for an older release.
    #[command(subcommand)]
    Downgrade(downgrade::DowngradeCommand),
    /// Users: who may ask.
    #[command(subcommand)]
    User(user::UserCommand),
    /// Roles: what users may do.
    #[command(subcommand)]
    Role(role::RoleCommand),
    /// Access control on and off.
    #[command(subcommand)]
    Auth(auth::AuthCommand),
    /// Show a member's log, or compare the logs of all members.
    Log(log::LogArguments),
    /// Write and read a few keys: does the cluster work?
    Check(check::CheckArguments),
    /// The acceptance suite: is it a replicated store?
    Verify(verify::VerifyArguments),
    /// Exercises: cut members off, heal them, kill them.
    #[command(subcommand)]
    Fault(fault::FaultCommand),
}

/// Runs a command; says on standard error in one line why it did not succeed.
pub fn run(command: &ClientCommand, global: &Global, login: &LoginArguments) -> ExitCode {
    finish(runtime().and_then(|runtime| runtime.block_on(execute(command, global, login))))
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

async fn execute(
    command: &ClientCommand,
    global: &Global,
    login: &LoginArguments,
) -> Result<u8, CommandError> {
    let cluster = Cluster::new(global)?.with_login(Login::new(login)?);
    let output = global.output;
    let cluster = &cluster;
    let report = match command {
        ClientCommand::Put(arguments) => put::run(arguments, cluster).await?,
        ClientCommand::Get(arguments) => get::run(arguments, output, cluster).await?,
        ClientCommand::Del(arguments) => del::run(arguments, cluster).await?,
        ClientCommand::Txn(arguments) => txn::run(arguments, cluster).await?,
        ClientCommand::Compact(arguments) => compact::run(arguments, cluster).await?,
        ClientCommand::Watch(arguments) => watch::run(arguments, output, cluster).await?,
        ClientCommand::Lease(command) => lease::run(command, output, cluster).await?,
        ClientCommand::Lock(arguments) => lock::run(arguments, output, cluster).await?,
        ClientCommand::Elect(arguments) => elect::run(arguments, output, cluster).await?,
        ClientCommand::Status(arguments) => status::run(arguments, cluster).await?,
        ClientCommand::Health(arguments) => health::run(arguments, cluster).await?,
        ClientCommand::Members(arguments) => members::run(arguments, cluster).await?,
        ClientCommand::Member(command) => member::run(command, cluster).await?,
        ClientCommand::MoveLeader(arguments) => move_leader::run(arguments, cluster).await?,
        ClientCommand::Alarm(command) => alarm::run(command, cluster).await?,
        ClientCommand::Defrag(arguments) => defrag::run(arguments, cluster).await?,
        ClientCommand::Hashkv(arguments) => hashkv::run(arguments, cluster).await?,
        ClientCommand::Snapshot(command) => snapshot::run(command, cluster).await?,
        ClientCommand::Downgrade(command) => downgrade::run(command, cluster).await?,
        ClientCommand::User(command) => user::run(command, cluster).await?,
        ClientCommand::Role(command) => role::run(command, cluster).await?,
        ClientCommand::Auth(command) => auth::run(command, cluster).await?,
        ClientCommand::Log(arguments) => log::run(arguments, cluster).await?,
        ClientCommand::Check(arguments) => check::run(arguments, output, cluster).await?,
        ClientCommand::Verify(arguments) => verify::run(arguments, output, cluster).await?,
        ClientCommand::Fault(command) => fault::run(command, cluster).await?,
    };
    report.print(global.output)?;
    Ok(report.exit_code)
}
