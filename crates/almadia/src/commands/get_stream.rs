//! `almadia get --stream`: prints keys while they come, so that an answer of any size takes little memory.
//!
//! Asks with RangeStream (etcd 3.7, Almadia) and, where a member has none, page by page at one revision. Never repeats what was
//! printed: when a stream breaks, the output is incomplete and the command says so.

use almadia_etcd::proto::etcdserverpb::kv_client::KvClient;
use almadia_etcd::proto::etcdserverpb::{RangeRequest, RangeResponse};
use bytes::Bytes;
use tonic::Code;

use super::cluster::{Cluster, MESSAGE_BYTES_MAX, Repeat};
use super::error::CommandError;
use super::get::{self, GetArguments};
use super::global::Output;
use super::meaning::without_origin;
use super::output::{Reader, Report, pair_json, pair_line, print_on};

/// Keys of a page, where there are no streams.
const PAGE_KEYS: i64 = 1000;

/// Runs the command.
pub async fn run(
    arguments: &GetArguments,
    output: Output,
    cluster: &Cluster,
) -> Result<Report, CommandError> {
    let message = arguments.to_request()?;
    let with_value = !arguments.keys_only;
    let mut printer = Printer {
        output,
        with_value,
        printed: 0,
    };
    match stream(&message, &mut printer, cluster).await {
        Err(CommandError::Refused {
            code: Code::Unimplemented,
            ..
        }) => pages(message, &mut printer, cluster).await?,
        outcome => outcome?,
    }
    Ok(Report::printed())
}

struct Printer {
    output: Output,
    with_value: bool,
    printed: i64,
}

impl Printer {
    fn print(&mut self, answer: &RangeResponse) -> Result<Reader, CommandError> {
        for pair in &answer.kvs {
            let json = pair_json(pair, self.with_value);
            if print_on(self.output, &pair_line(pair, self.with_value), &json)? == Reader::Gone {
                return Ok(Reader::Gone);
            }
            self.printed += 1;
        }
        Ok(Reader::There)
    }
}

async fn stream(
    message: &RangeRequest,
    printer: &mut Printer,
    cluster: &Cluster,
) -> Result<(), CommandError> {
    let answer = cluster
        .call(Repeat::Freely, |channel| {
            let message = get::ask(message);
            async move {
                KvClient::new(channel)
                    .max_decoding_message_size(MESSAGE_BYTES_MAX)
                    .range_stream(message)
                    .await
            }
        })
        .await?;
    let mut pieces = answer.into_inner();
    loop {
        let piece = match tokio::time::timeout(cluster.timeout(), pieces.message()).await {
            Ok(Ok(Some(piece))) => piece.range_response.unwrap_or_default(),
            Ok(Ok(None)) => return Ok(()),
            // Nothing was printed: as if it had been refused at once.
            Ok(Err(status)) if printer.printed == 0 && status.code() == Code::Unimplemented => {
                return Err(CommandError::Refused {
                    code: status.code(),
                    message: String::new(),
                });
            }
            Ok(Err(status)) => return Err(broken(printer, without_origin(status.message()))),
            Err(_) => return Err(broken(printer, "no more came in time")),
        };
        if printer.print(&piece)? == Reader::Gone {
            return Ok(());
        }
    }
}

fn broken(printer: &Printer, why: &str) -> CommandError {
    CommandError::failed(format!(
        "the stream broke off after {} keys: {why}; the output is incomplete, repeat the command",
        printer.printed
    ))
}

/// Page by page, all at the revision of the first. An order other than the keys' needs them all at once.
async fn pages(
    mut message: RangeRequest,
    printer: &mut Printer,
    cluster: &Cluster,
) -> Result<(), CommandError> {
    let limit = message.limit;
    let is_paged = message.sort_order == 0 && !message.range_end.is_empty();
    loop {
        if is_paged {
            let left = if limit == 0 {
                PAGE_KEYS
            } else {
                limit - printer.printed
            };
            message.limit = left.min(PAGE_KEYS);
        }
        let answer = get::range(&message, cluster).await?;
        let Some(last) = answer.kvs.last().map(|pair| pair.key.clone()) else {
            return Ok(());
        };
        if printer.print(&answer)? == Reader::Gone {
            return Ok(());
        }
        if !is_paged || !answer.more || printer.printed == limit {
            return Ok(());
        }
        message.key = after(&last);
        if message.revision == 0 {
            message.revision = answer.header.as_ref().map_or(0, |header| header.revision);
        }
    }
}

/// The first key after this one.
fn after(key: &[u8]) -> Bytes {
    let mut next = key.to_vec();
    next.push(0);
    next.into()
}
