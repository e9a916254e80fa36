//! Keeps a lease alive: for `lease keep-alive`, and for what `lock` and `elect` hold.
//!
//! Time is this process's own and counted from when a renewal was asked for, so that a lease is given up here before the
//! cluster lets it go. Never prints.

use std::time::Duration;

use almadia_etcd::proto::etcdserverpb::lease_client::LeaseClient;
use almadia_etcd::proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseRevokeRequest,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tonic::Streaming;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;

use super::cluster::{Cluster, Repeat, request};
use super::error::CommandError;

/// Renewals in a lifetime: two may be lost.
const RENEWALS_PER_LIFETIME: u32 = 3;
/// Pause after a stream of renewals broke.
const BACK_OFF: Duration = Duration::from_millis(100);

/// A stream of renewals.
struct Renewals {
    asking: mpsc::Sender<LeaseKeepAliveRequest>,
    answers: Streaming<LeaseKeepAliveResponse>,
    asked_at: Instant,
}

/// Makes a lease; 0 lets the cluster choose the id.
pub async fn grant(cluster: &Cluster, ttl: i64, id: i64) -> Result<LeaseGrantResponse, CommandError> {
    let message = LeaseGrantRequest { ttl, id };
    let answer = cluster
        .call(Repeat::OnlyIfNotCarriedOut, |channel| {
            let message = request(message);
            async move { LeaseClient::new(channel).lease_grant(message).await }
        })
        .await?
        .into_inner();
    if answer.error.is_empty() {
        Ok(answer)
    } else {
        Err(CommandError::failed(format!(
            "the cluster refused: {}",
            answer.error
        )))
    }
}

/// Ends a lease. May be carried out twice: an id is not used again by itself.
pub async fn revoke(cluster: &Cluster, id: i64) -> Result<(), CommandError> {
    let message = LeaseRevokeRequest { id };
    cluster
        .call(Repeat::Freely, |channel| {
            let message = request(message);
            async move { LeaseClient::new(channel).lease_revoke(message).await }
        })
        .await
        .map(|_| ())
}

/// Renews a lease once; the new lifetime in seconds, 0 when there is no such lease.
pub async fn renew(cluster: &Cluster, id: i64) -> Result<i64, CommandError> {
    let mut renewals = open(cluster, id).await?;
    let late = || CommandError::NotServed {
        endpoints: cluster.names(),
        reason: "no answer in time".to_owned(),
    };
    match timeout(cluster.timeout(), renewals.answers.message()).await {
        Ok(Ok(Some(answer))) => Ok(answer.ttl),
        Ok(Err(status)) => Err(cluster.end_of_stream(&status).unwrap_or_else(late)),
        Ok(Ok(None)) | Err(_) => Err(late()),
    }
}

/// Renews a lease for ever, over members that go away; ends only with the reason why the lease is lost. `granted` is the
/// lifetime in seconds if the lease was just made; each new lifetime is shown to `renewed`, whose error ends it, too.
pub async fn keep(
    cluster: &Cluster,
    id: i64,
    granted: Option<i64>,
    mut renewed: impl FnMut(i64) -> Result<(), CommandError>,
) -> CommandError {
    let mut alive_until = granted.map(|ttl| Instant::now() + seconds(ttl));
    loop {
        let opened = match alive_until {
            Some(end) => tokio::time::timeout_at(end, open(cluster, id)).await,
            None => Ok(open(cluster, id).await),
        };
        let ended = match opened {
            Ok(Ok(mut renewals)) => renewals.follow(cluster, id, &mut alive_until, &mut renewed).await,
            Ok(Err(error)) => Some(error),
            Err(_) => None,
        };
        match ended {
            Some(CommandError::Unreachable { .. } | CommandError::NotServed { .. })
                if alive_until.is_some() => {}
            Some(error) => return error,
            None => {}
        }
        if alive_until.is_some_and(|end| Instant::now() >= end) {
            return CommandError::failed(format!("lease {id:x} is lost: no member could renew it in time"));
        }
        sleep(BACK_OFF).await;
    }
}

impl Renewals {
    /// Renews until the stream breaks (`None`) or there is nothing more to renew.
    async fn follow(
        &mut self,
        cluster: &Cluster,
        id: i64,
        alive_until: &mut Option<Instant>,
        renewed: &mut impl FnMut(i64) -> Result<(), CommandError>,
    ) -> Option<CommandError> {
        loop {
            let answer = match timeout(cluster.timeout(), self.answers.message()).await {
                Ok(Ok(Some(answer))) => answer,
                Ok(Err(status)) => return cluster.end_of_stream(&status),
                Ok(Ok(None)) | Err(_) => return None,
            };
            if answer.ttl <= 0 {
                return Some(CommandError::NotFound(format!(
                    "there is no lease {id:x}: it has ended or was revoked"
                )));
            }
            *alive_until = Some(self.asked_at + seconds(answer.ttl));
            if let Err(error) = renewed(answer.ttl) {
                return Some(error);
            }
            sleep(seconds(answer.ttl) / RENEWALS_PER_LIFETIME).await;
            self.asked_at = Instant::now();
            if self.asking.send(LeaseKeepAliveRequest { id }).await.is_err() {
                return None;
            }
        }
    }
}

/// Opens a stream with the first renewal on it.
async fn open(cluster: &Cluster, id: i64) -> Result<Renewals, CommandError> {
    let mut opened = None;
    let answer = cluster
        .call(Repeat::Freely, |channel| {
            let (asking, receiver) = mpsc::channel(1);
            asking
                .try_send(LeaseKeepAliveRequest { id })
                .expect("there is room for the first");
            opened = Some((asking, Instant::now()));
            let message = request(ReceiverStream::new(receiver));
            async move { LeaseClient::new(channel).lease_keep_alive(message).await }
        })
        .await?;
    let (asking, asked_at) = opened.expect("an answer has a call");
    Ok(Renewals {
        asking,
        answers: answer.into_inner(),
        asked_at,
    })
}

fn seconds(ttl: i64) -> Duration {
    Duration::from_secs(ttl.max(0).unsigned_abs())
}
