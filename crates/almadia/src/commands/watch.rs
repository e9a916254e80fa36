//! `almadia watch`: prints changes as they come.
//!
//! Goes on at the revision after the last one seen when a member goes away: no change is printed twice, none is left out.

use almadia_etcd::proto::etcdserverpb::watch_client::WatchClient;
use almadia_etcd::proto::etcdserverpb::watch_create_request::FilterType;
use almadia_etcd::proto::etcdserverpb::watch_request::RequestUnion;
use almadia_etcd::proto::etcdserverpb::{WatchCreateRequest, WatchRequest, WatchResponse};
use almadia_etcd::proto::mvccpb::Event;
use almadia_etcd::proto::mvccpb::event::EventType;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

use super::cluster::{Cluster, MESSAGE_BYTES_MAX, Repeat, request};
use super::error::CommandError;
use super::follow::{Followed, Next, follow};
use super::global::Output;
use super::key_range::KeyArguments;
use super::login;
use super::meaning::without_origin;
use super::output::{Reader, Report, pair_json, pair_line, print_on};

/// What to watch.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Prints one line for each change: revision, PUT or DELETE, key and value, separated by tabs. Ctrl-C ends it with exit code
0. When a member goes away, another one goes on at the next revision. When the history that is asked for has been
compacted, it says so and ends with exit code 1.

Examples:
  almadia watch color                         changes from now on
  almadia watch --prefix app/ --rev 7         first what happened since revision 7
  almadia watch --prefix app/ --prev-kv       also what was there before
  almadia watch job --filter noput --limit 1  waits until the key is deleted
  almadia watch --prefix \"\" -o json | jq .kv  one JSON object for each change")]
pub struct WatchArguments {
    /// Which keys.
    #[command(flatten)]
    pub keys: KeyArguments,
    /// Begin with this revision instead of now.
    #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(i64).range(1..))]
    pub rev: Option<i64>,
    /// Show the keys as they were before, too.
    #[arg(long, visible_alias = "prev-kv")]
    pub prev: bool,
    /// Show now and then how far the watch is, also when nothing happens.
    #[arg(long)]
    pub progress_notify: bool,
    /// Leave out changes of this kind.
    #[arg(long, value_enum, value_name = "KIND", value_delimiter = ',')]
    pub filter: Vec<Filter>,
    /// End after this many changes.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
}

/// Changes to leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Filter {
    /// Puts.
    Noput,
    /// Deletes, also those of leases that end.
    Nodelete,
}

/// A watch that is under way.
struct Watched {
    request: WatchCreateRequest,
    output: Output,
    /// Changes still wanted; `None`: all.
    left: Option<u64>,
    /// Keeps the asking half of the stream open: etcd's clients may still ask.
    asking: Option<mpsc::Sender<WatchRequest>>,
}

impl WatchArguments {
    fn to_request(&self) -> Result<WatchCreateRequest, CommandError> {
        let range = self.keys.range()?;
        let filter = |filter: &Filter| match filter {
            Filter::Noput => FilterType::Noput.into(),
            Filter::Nodelete => FilterType::Nodelete.into(),
        };
        Ok(WatchCreateRequest {
            key: range.key,
            range_end: range.end,
            start_revision: self.rev.unwrap_or_default(),
            progress_notify: self.progress_notify,
            filters: self.filter.iter().map(filter).collect(),
            prev_kv: self.prev,
            ..WatchCreateRequest::default()
        })
    }
}

/// Runs the command.
pub async fn run(
    arguments: &WatchArguments,
    output: Output,
    cluster: &Cluster,
) -> Result<Report, CommandError> {
    let mut watched = Watched {
        request: arguments.to_request()?,
        output,
        left: arguments.limit,
        asking: None,
    };
    follow(&mut watched, cluster).await?;
    Ok(Report::printed())
}

impl Followed for Watched {
    type Message = WatchResponse;

    async fn open(&mut self, cluster: &Cluster) -> Result<Streaming<WatchResponse>, CommandError> {
        let create = WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(self.request.clone())),
        };
        let mut asking = None;
        let answer = cluster
            .call(Repeat::Freely, |channel| {
                let (sender, receiver) = mpsc::channel(1);
                sender
                    .try_send(create.clone())
                    .expect("there is room for the first");
                asking = Some(sender);
                let message = request(ReceiverStream::new(receiver));
                async move {
                    WatchClient::new(channel)
                        .max_decoding_message_size(MESSAGE_BYTES_MAX)
                        .watch(message)
                        .await
                }
            })
            .await?;
        self.asking = asking;
        Ok(answer.into_inner())
    }

    fn take(&mut self, message: WatchResponse, cluster: &Cluster) -> Result<Next, CommandError> {
        if message.canceled {
            return self.canceled(&message, cluster);
        }
        let revision = message.header.as_ref().map_or(0, |header| header.revision);
        if message.created {
            // From now on: should the member go away before the first change, nothing is missed.
            if self.request.start_revision == 0 {
                self.request.start_revision = revision + 1;
            }
            return Ok(Next::Opened);
        }
        if message.events.is_empty() {
            return self.progress(revision);
        }
        for event in &message.events {
            self.request.start_revision = revision_of(event) + 1;
            if self.print(&event_line(event), event_json(event))? == Reader::Gone {
                return Ok(Next::End);
            }
            if let Some(left) = &mut self.left {
                *left -= 1;
                if *left == 0 {
                    return Ok(Next::End);
                }
            }
        }
        Ok(Next::GoOn)
    }
}

impl Watched {
    fn print(&self, text: &str, json: Value) -> Result<Reader, CommandError> {
        print_on(self.output, text, &json)
    }

    fn progress(&mut self, revision: i64) -> Result<Next, CommandError> {
        self.request.start_revision = self.request.start_revision.max(revision + 1);
        if !self.request.progress_notify {
            return Ok(Next::GoOn);
        }
        let json = json!({ "type": "progress", "revision": revision });
        match self.print(&format!("{revision}\tPROGRESS\n"), json)? {
            Reader::There => Ok(Next::GoOn),
            Reader::Gone => Ok(Next::End),
        }
    }

    fn canceled(&self, message: &WatchResponse, cluster: &Cluster) -> Result<Next, CommandError> {
        let reason = message.cancel_reason.as_str();
        if message.compact_revision > 0 {
            let (from, compacted) = (self.request.start_revision, message.compact_revision);
            return Err(CommandError::failed(format!(
                "the history from revision {from} on is gone: it was compacted up to {compacted}; read the keys with \
                 'almadia get' and watch on with --rev {compacted} or later"
            )));
        }
        if login::is_outdated(reason) && cluster.forget_token() {
            return Ok(Next::Again);
        }
        Err(refused(reason))
    }
}

/// Why the cluster does not serve a watch. The reason may be a whole gRPC error as text.
fn refused(reason: &str) -> CommandError {
    let words = reason.rsplit_once("desc = ").map_or(reason, |(_, words)| words);
    let code = [
        Code::PermissionDenied,
        Code::Unauthenticated,
        Code::InvalidArgument,
    ]
    .into_iter()
    .find(|code| reason.contains(&format!("code = {code:?} ")));
    CommandError::Refused {
        code: code.unwrap_or(Code::Cancelled),
        message: match words {
            "" => "the watch was ended without a reason".to_owned(),
            words => without_origin(words).to_owned(),
        },
    }
}

fn revision_of(event: &Event) -> i64 {
    event.kv.as_ref().map_or(0, |pair| pair.mod_revision)
}

fn is_delete(event: &Event) -> bool {
    event.r#type == i32::from(EventType::Delete)
}

fn event_line(event: &Event) -> String {
    let kind = if is_delete(event) { "DELETE" } else { "PUT" };
    let pair = event.kv.clone().unwrap_or_default();
    let mut line = format!(
        "{}\t{kind}\t{}",
        revision_of(event),
        pair_line(&pair, !is_delete(event))
    );
    if let Some(prev) = &event.prev_kv {
        line.push_str("before: ");
        line.push_str(&pair_line(prev, true));
    }
    line
}

fn event_json(event: &Event) -> Value {
    let kind = if is_delete(event) { "delete" } else { "put" };
    json!({
        "type": kind,
        "revision": revision_of(event),
        "kv": event.kv.as_ref().map(|pair| pair_json(pair, !is_delete(event))),
        "prev": event.prev_kv.as_ref().map(|prev| pair_json(prev, true)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use almadia_etcd::proto::mvccpb::KeyValue;

    #[test]
    fn reasons_for_an_end() {
        let text = |reason| refused(reason).to_string();
        let denied = text("rpc error: code = PermissionDenied desc = etcdserver: permission denied");
        assert!(
            denied.starts_with("the cluster refused: permission denied (PermissionDenied); log in"),
            "{denied}"
        );
        assert!(text("mvcc: watcher range is empty").contains("watcher range is empty"));
        assert!(text("").contains("without a reason"));
    }

    #[test]
    fn output() {
        let pair = |value: &'static str| KeyValue {
            key: "a\tb".into(),
            value: value.into(),
            mod_revision: 7,
            ..KeyValue::default()
        };
        let mut event = Event {
            r#type: EventType::Put.into(),
            kv: Some(pair("1")),
            prev_kv: None,
        };
        assert_eq!(event_line(&event), "7\tPUT\ta\\tb\t1\n");
        event.prev_kv = Some(pair("0"));
        assert_eq!(event_line(&event), "7\tPUT\ta\\tb\t1\nbefore: a\\tb\t0\n");
        assert_eq!(event_json(&event)["prev"]["value"], "0");
        let event = Event {
            r#type: EventType::Delete.into(),
            kv: Some(pair("")),
            prev_kv: None,
        };
        assert_eq!(event_line(&event), "7\tDELETE\ta\\tb\n");
        assert_eq!(event_json(&event)["type"], "delete");
    }
}
