//! From settings to a running member: logging, the client protocol on top of the member, the line that says it is ready.
//! What the member does is decided below.

use super::Flags;
use super::faults::{Switch, tell_of_cuts};
use super::vitals::Body;
use almadia_etcd::{CertificateName, Limits, Originated, ReadError, Served};
use almadia_member::Member;
use almadia_server::clients::{ClientListener, ClientStream, Entrance};
use almadia_server::{ServerError, Serving};
use std::convert::Infallible;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::codegen::tokio_stream::Stream;

/// Exit code for settings that cannot be used, as clap has it for flags it does not know.
const EXIT_USAGE: u8 = 2;

/// Files for everything but clients: the log, the store, peers, and connections that are being refused.
const FILES_SPARED: u64 = 512;

/// Pause before a member without a leader is asked again whether it can serve.
const READY_PAUSE: Duration = Duration::from_millis(20);

/// Runs a member until it is asked to stop.
pub fn run(flags: &Flags) -> ExitCode {
    let settings = match super::load(flags) {
        Ok(settings) => settings,
        Err(error) => return complain(&error, ExitCode::from(EXIT_USAGE)),
    };
    if let Err(error) = super::log::start(&settings) {
        return complain(&error, ExitCode::from(EXIT_USAGE));
    }
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    let mut edge = settings.edge.clone();
    fit_to_files(&mut edge.limits);
    let faults = settings.fault_injection;
    match almadia_server::run(&settings.server, |serving| serve(serving, edge, faults)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ ServerError::Config(_)) => complain(&error, ExitCode::from(EXIT_USAGE)),
        Err(error) => complain(&error, ExitCode::FAILURE),
    }
}

/// One line for the person who reads the end of a log.
fn complain(error: &dyn std::error::Error, code: ExitCode) -> ExitCode {
    eprintln!("almadia server: {error}");
    code
}

/// Serves clients until a stop is requested.
async fn serve(serving: Serving, mut edge: almadia_etcd::Config, fault_injection: bool) {
    let Serving {
        member,
        clients,
        who,
        vitals,
        stop,
    } = serving;
    edge.sources.0.push(Arc::new(Body {
        member: member.clone(),
        vitals,
        who: who.clone(),
    }));
    if fault_injection {
        tokio::spawn(tell_of_cuts(member.clone(), who.cuts()));
        edge.faults = Some(Arc::new(Switch::new(who)));
    }
    let ready = tokio::spawn(say_when_ready(
        member.clone(),
        addresses(&clients),
        others(&clients),
    ));
    almadia_etcd::serve(Arc::new(member), edge, Incoming(clients), stop.requested()).await;
    ready.abort();
}

fn addresses(clients: &ClientListener) -> String {
    clients.urls(Entrance::Clients).join(",")
}

/// What is served where a connection came in.
fn served(clients: &ClientListener, entrance: Entrance) -> Served {
    match entrance {
        Entrance::Metrics => Served::Metrics,
        Entrance::Http => Served::Http,
        Entrance::Clients if clients.urls(Entrance::Http).is_empty() => Served::Everything,
        Entrance::Clients => Served::Grpc,
    }
}

/// The other entrances, for the line that says it is ready.
fn others(clients: &ClientListener) -> String {
    let all = [("http", Entrance::Http), ("metrics", Entrance::Metrics)];
    all.into_iter()
        .filter(|(_, entrance)| !clients.urls(*entrance).is_empty())
        .map(|(name, entrance)| format!(", {name} {}", clients.urls(entrance).join(",")))
        .collect()
}

/// Prints one line once the member can answer linearizable reads, which takes a leader and everything committed applied.
async fn say_when_ready(member: Member, addresses: String, others: String) {
    while let Err(error) = member.read_barrier().await {
        if error == ReadError::Stopped {
            return;
        }
        tokio::time::sleep(READY_PAUSE).await;
    }
    let status = member.status();
    println!(
        "almadia {} is ready: clients {addresses}, member {}, cluster {}, term {}{others}",
        status.name, status.member, status.cluster, status.term
    );
}

/// The listener as the client protocol wants it. It never ends by itself.
struct Incoming(ClientListener);

impl Stream for Incoming {
    type Item = Result<Originated<ClientStream>, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_accept(context).map(|connection| {
            let (address, user) = (connection.peer(), connection.user());
            let certificate = user.map(|name| CertificateName(name.to_owned()));
            let served = served(&self.0, connection.entrance());
            Some(Ok(
                Originated::new(connection, address, certificate).serving(served)
            ))
        })
    }
}

/// Each connection takes a file: has as many files as the system allows (what etcd's runtime does by itself), and no more
/// connections than that.
fn fit_to_files(limits: &mut Limits) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut files = getrlimit(Resource::Nofile);
    let before = files.current;
    files.current = files.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, files) {
        tracing::warn!(%error, "the limit of open files cannot be raised");
        files.current = before;
    }
    let room = files
        .current
        .map_or(u64::MAX, |files| files.saturating_sub(FILES_SPARED));
    let room = usize::try_from(room).unwrap_or(usize::MAX).max(1);
    if room < limits.connections_max {
        tracing::warn!(
            connections_max = room,
            "fewer client connections than --max-client-connections: the system allows no more open files"
        );
        limits.connections_max = room;
    }
}
