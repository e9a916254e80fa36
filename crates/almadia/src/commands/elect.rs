//! `almadia elect`: stands for an election and leads until Ctrl-C, or shows who leads.

use almadia_etcd::proto::etcdserverpb::ResponseHeader;
use almadia_etcd::proto::mvccpb::KeyValue;
use almadia_etcd::proto::v3electionpb::election_client::ElectionClient;
use almadia_etcd::proto::v3electionpb::{
    CampaignRequest, LeaderKey, LeaderRequest, LeaderResponse, ResignRequest,
};
use serde_json::{Map, Value};
use tonic::Streaming;

use super::cluster::{Cluster, MESSAGE_BYTES_MAX, Repeat, request};
use super::error::CommandError;
use super::follow::{Followed, Next, follow};
use super::global::Output;
use super::interrupt::Interrupt;
use super::lease::lifetime;
use super::lease_keeper;
use super::output::{Reader, Report, insert_bytes, pair_json, pair_line, print_on};

/// Which election.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
With a value: waits until it is elected, prints its key and value, leads until Ctrl-C, and resigns. With --listen: prints the
leader's key and value now and whenever they change, until Ctrl-C.

Examples:
  almadia elect controller $(hostname)
  almadia elect controller --listen
  almadia elect controller --listen -o json | jq -r .value")]
pub struct ElectArguments {
    /// The election's name.
    pub name: String,
    /// What the others are to see when this one leads.
    #[arg(required_unless_present = "listen", conflicts_with = "listen")]
    pub value: Option<String>,
    /// Show who leads, do not stand.
    #[arg(long)]
    pub listen: bool,
    /// How long the leadership outlives this process when it dies without a word.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = lifetime)]
    pub ttl: i64,
}

/// Runs the command.
pub async fn run(
    arguments: &ElectArguments,
    output: Output,
    cluster: &Cluster,
) -> Result<Report, CommandError> {
    let Some(value) = &arguments.value else {
        let mut observed = Observed {
            name: arguments.name.clone(),
            output,
            last: None,
        };
        follow(&mut observed, cluster).await?;
        return Ok(Report::printed());
    };
    let mut interrupt = Interrupt::new()?;
    let granted = lease_keeper::grant(cluster, arguments.ttl, 0).await?;
    let message = CampaignRequest {
        name: arguments.name.clone().into(),
        lease: granted.id,
        value: value.clone().into(),
    };
    let mut leading = None;
    let outcome = tokio::select! {
        lost = lease_keeper::keep(cluster, granted.id, Some(granted.ttl), |_| Ok(())) => {
            Err(CommandError::failed(format!("the leadership is lost: {lost}; somebody else may lead now")))
        }
        outcome = lead(message, output, cluster, &mut leading) => outcome,
        _ = interrupt.wait() => Ok(()),
    };
    let resigned = resign(cluster, granted.id, leading).await;
    outcome.and(resigned).map(|()| Report::printed())
}

/// Campaigns and then leads for ever; the leadership is in `leading` as soon as it is won.
async fn lead(
    message: CampaignRequest,
    output: Output,
    cluster: &Cluster,
    leading: &mut Option<LeaderKey>,
) -> Result<(), CommandError> {
    let answer = cluster
        .wait(|channel| {
            let message = request(message.clone());
            async move { ElectionClient::new(channel).campaign(message).await }
        })
        .await?
        .into_inner();
    let key = answer.leader.unwrap_or_default();
    let pair = KeyValue {
        key: key.key.clone(),
        value: message.value,
        ..KeyValue::default()
    };
    *leading = Some(key);
    print_on(
        output,
        &pair_line(&pair, true),
        &json(&pair, answer.header.as_ref()),
    )?;
    std::future::pending().await
}

/// Steps down; the lease's end takes away what may be left, such as a place in the queue.
async fn resign(cluster: &Cluster, lease: i64, leading: Option<LeaderKey>) -> Result<(), CommandError> {
    if let Some(leader) = leading {
        let message = ResignRequest { leader: Some(leader) };
        let resigned = cluster.call(Repeat::Freely, |channel| {
            let message = request(message.clone());
            async move { ElectionClient::new(channel).resign(message).await }
        });
        // The lease's end does the same: only that one may not fail.
        let _ = resigned.await;
    }
    match lease_keeper::revoke(cluster, lease).await {
        Err(CommandError::Refused {
            code: tonic::Code::NotFound,
            ..
        })
        | Ok(()) => Ok(()),
        Err(error) => Err(CommandError::failed(format!(
            "the leadership could not be given up and stays until its lease {lease:x} ends: {error}"
        ))),
    }
}

/// Who leads, followed.
struct Observed {
    name: String,
    output: Output,
    /// Key and revision of what was printed last: it comes again when another member goes on.
    last: Option<(bytes::Bytes, i64)>,
}

impl Followed for Observed {
    type Message = LeaderResponse;

    async fn open(&mut self, cluster: &Cluster) -> Result<Streaming<LeaderResponse>, CommandError> {
        let message = LeaderRequest {
            name: self.name.clone().into(),
        };
        // The member answers when there is a leader, which may never be.
        let answer = cluster
            .wait(|channel| {
                let message = request(message.clone());
                async move {
                    ElectionClient::new(channel)
                        .max_decoding_message_size(MESSAGE_BYTES_MAX)
                        .observe(message)
                        .await
                }
            })
            .await?;
        Ok(answer.into_inner())
    }

    fn take(&mut self, message: LeaderResponse, _: &Cluster) -> Result<Next, CommandError> {
        let Some(pair) = message.kv else {
            return Ok(Next::GoOn);
        };
        let place = Some((pair.key.clone(), pair.mod_revision));
        if self.last == place {
            return Ok(Next::GoOn);
        }
        self.last = place;
        let json = json(&pair, message.header.as_ref());
        match print_on(self.output, &pair_line(&pair, true), &json)? {
            Reader::There => Ok(Next::GoOn),
            Reader::Gone => Ok(Next::End),
        }
    }
}

fn json(pair: &KeyValue, header: Option<&ResponseHeader>) -> Value {
    let mut object = match pair_json(pair, true) {
        Value::Object(object) if pair.mod_revision != 0 => object,
        _ => {
            let mut object = Map::new();
            insert_bytes(&mut object, "key", &pair.key);
            insert_bytes(&mut object, "value", &pair.value);
            object
        }
    };
    object.insert(
        "revision".into(),
        header.map_or(0, |header| header.revision).into(),
    );
    Value::Object(object)
}
