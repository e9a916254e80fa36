//! `almadia lock`: holds a lock, for a person at a terminal or for a command that must run once in a cluster.
//!
//! The lock hangs on a lease of this process's own: should the process die, the lock is free when the lease ends. Whatever
//! happens to the command, the lock is given back.

use almadia_etcd::proto::etcdserverpb::ResponseHeader;
use almadia_etcd::proto::v3lockpb::lock_client::LockClient;
use almadia_etcd::proto::v3lockpb::{LockRequest, LockResponse, UnlockRequest};
use bytes::Bytes;
use serde_json::{Map, Value};

use super::cluster::{Cluster, Repeat, request};
use super::error::{CommandError, EXIT_OK};
use super::global::{Output, duration};
use super::interrupt::{Interrupt, Wish};
use super::lease::lifetime;
use super::lease_keeper;
use super::lock_command::Running;
use super::output::{Report, escaped, insert_bytes, print_on};

/// What to lock, and for whom.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Waits until the lock is free. Without a command: prints the key that is the lock, and holds it until Ctrl-C. With one:
runs it while the lock is held, and ends with its exit code; the key and its revision are in ETCD_LOCK_KEY and
ETCD_LOCK_REV. Should the lock be lost meanwhile, the command gets SIGTERM and the exit code is 1.

Examples:
  almadia lock backup                         holds it until Ctrl-C
  almadia lock backup -- ./backup.sh --all    one at a time, wherever it is started
  almadia lock backup --wait 1s -- ./backup.sh || echo 'somebody else is at it'")]
pub struct LockArguments {
    /// The lock's name; clients that lock the same name, by whatever library, exclude each other.
    pub name: String,
    /// The command to run, and its arguments.
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<std::ffi::OsString>,
    /// How long the lock outlives this process when it dies without a word.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = lifetime)]
    pub ttl: i64,
    /// Give up when the lock is not free after this time.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub wait: Option<std::time::Duration>,
}

/// A lock that is held.
struct Held {
    key: Bytes,
    header: Option<ResponseHeader>,
    lease: i64,
}

/// Runs the command.
pub async fn run(
    arguments: &LockArguments,
    output: Output,
    cluster: &Cluster,
) -> Result<Report, CommandError> {
    let mut interrupt = Interrupt::new()?;
    let granted = lease_keeper::grant(cluster, arguments.ttl, 0).await?;
    let lease = granted.id;
    let mut held = None;
    let outcome = tokio::select! {
        lost = lease_keeper::keep(cluster, lease, Some(granted.ttl), |_| Ok(())) => Err(lost_lock(&lost)),
        outcome = lock_and_hold(arguments, output, cluster, lease, &mut interrupt, &mut held) => outcome,
    };
    let released = release(cluster, lease, held).await;
    // What went wrong first is what the user must know.
    let exit_code = outcome?;
    released?;
    Ok(Report {
        exit_code,
        ..Report::printed()
    })
}

fn lost_lock(reason: &CommandError) -> CommandError {
    CommandError::failed(format!(
        "the lock is lost: {reason}; somebody else may have it now"
    ))
}

/// The lock is in `held` as soon as it may be this process's.
async fn lock_and_hold(
    arguments: &LockArguments,
    output: Output,
    cluster: &Cluster,
    lease: i64,
    interrupt: &mut Interrupt,
    held: &mut Option<Bytes>,
) -> Result<u8, CommandError> {
    let locked = tokio::select! {
        locked = lock(arguments, cluster, lease) => locked?,
        _ = interrupt.wait() => return given_up(arguments),
    };
    *held = Some(locked.key.clone());
    let lock = Held {
        key: locked.key,
        header: locked.header,
        lease,
    };
    if arguments.command.is_empty() {
        print_on(output, &format!("{}\n", escaped(&lock.key)), &json(&lock))?;
        interrupt.wait().await;
        return Ok(EXIT_OK);
    }
    let mut running = Running::start(&arguments.command, &environment(&lock))?;
    loop {
        tokio::select! {
            exit_code = running.ended() => return exit_code,
            // The terminal has told the command of a Ctrl-C, a supervisor has not.
            wish = interrupt.wait() => if wish == Wish::Terminate { running.terminate() },
        }
    }
}

/// Ctrl-C before the lock was free: no failure, unless there is a command that others believe has run.
fn given_up(arguments: &LockArguments) -> Result<u8, CommandError> {
    if arguments.command.is_empty() {
        return Ok(EXIT_OK);
    }
    Err(CommandError::failed(format!(
        "given up before the lock '{}' was free; the command was not run",
        arguments.name
    )))
}

async fn lock(
    arguments: &LockArguments,
    cluster: &Cluster,
    lease: i64,
) -> Result<LockResponse, CommandError> {
    let message = LockRequest {
        name: arguments.name.clone().into(),
        lease,
    };
    let locking = cluster.wait(|channel| {
        let message = request(message.clone());
        async move { LockClient::new(channel).lock(message).await }
    });
    let Some(limit) = arguments.wait else {
        return Ok(locking.await?.into_inner());
    };
    match tokio::time::timeout(limit, locking).await {
        Ok(locked) => Ok(locked?.into_inner()),
        Err(_) => Err(CommandError::failed(format!(
            "the lock '{}' is held by somebody else; see who with: almadia get --prefix '{0}/'",
            arguments.name
        ))),
    }
}

/// Gives the lock back, and with the lease whatever may be left of it: the place in the queue of a lock that never came.
async fn release(cluster: &Cluster, lease: i64, key: Option<Bytes>) -> Result<(), CommandError> {
    if let Some(key) = key {
        let message = UnlockRequest { key };
        let unlocked = cluster.call(Repeat::Freely, |channel| {
            let message = request(message.clone());
            async move { LockClient::new(channel).unlock(message).await }
        });
        // The lease's end frees the lock as well: only that one may not fail.
        let _ = unlocked.await;
    }
    match lease_keeper::revoke(cluster, lease).await {
        Err(CommandError::Refused {
            code: tonic::Code::NotFound,
            ..
        })
        | Ok(()) => Ok(()),
        Err(error) => Err(CommandError::failed(format!(
            "the lock could not be given back and stays until its lease {lease:x} ends: {error}"
        ))),
    }
}

fn environment(lock: &Held) -> [(&'static str, String); 2] {
    let revision = lock.header.as_ref().map_or(0, |header| header.revision);
    [
        ("ETCD_LOCK_KEY", String::from_utf8_lossy(&lock.key).into_owned()),
        ("ETCD_LOCK_REV", revision.to_string()),
    ]
}

fn json(lock: &Held) -> Value {
    let mut object = Map::new();
    insert_bytes(&mut object, "key", &lock.key);
    object.insert("lease".into(), format!("{:x}", lock.lease).into());
    let revision = lock.header.as_ref().map_or(0, |header| header.revision);
    object.insert("revision".into(), revision.into());
    Value::Object(object)
}
