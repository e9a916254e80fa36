//! `almadia get`: reads keys.

use almadia_etcd::proto::etcdserverpb::kv_client::KvClient;
use almadia_etcd::proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use almadia_etcd::proto::etcdserverpb::{RangeRequest, RangeResponse};
use serde_json::{Value, json};

use super::cluster::{Cluster, MESSAGE_BYTES_MAX, Repeat, request};
use super::error::CommandError;
use super::get_stream;
use super::global::Output;
use super::key_range::KeyArguments;
use super::output::{Report, escaped, pair_json, pair_line};

/// What to read.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
One key: prints its value; exit code 4 when there is no such key.
Several keys: prints one line each, key and value separated by a tab, strange bytes escaped.

Examples:
  almadia get color
  almadia get --prefix app/                   all keys that begin with app/
  almadia get a c                             all keys from a on, before c
  almadia get --prefix \"\" --count             how many keys there are
  almadia get color --rev 7                   as it was at revision 7
  almadia get --prefix app/ --sort modified --reverse --limit 10
  almadia get --prefix app/ --stream          prints while it reads; as JSON one object for each key
  almadia get color --serializable            from this member alone, may be old")]
pub struct GetArguments {
    /// Which keys.
    #[command(flatten)]
    pub keys: KeyArguments,
    /// Read as of this revision instead of now.
    #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(i64).range(1..))]
    pub rev: Option<i64>,
    /// No more keys than this.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(i64).range(1..))]
    pub limit: Option<i64>,
    /// Leave the values out.
    #[arg(long)]
    pub keys_only: bool,
    /// Only count the keys.
    #[arg(long, conflicts_with_all = ["keys_only", "limit"])]
    pub count: bool,
    /// Order of the keys.
    #[arg(long, value_enum, value_name = "BY")]
    pub sort: Option<SortBy>,
    /// The largest first.
    #[arg(long)]
    pub reverse: bool,
    /// Take the answer of the member that is asked, though it may be old: fast, and possible without a leader.
    #[arg(long)]
    pub serializable: bool,
    /// Print keys while they come: for answers of any size.
    #[arg(long, conflicts_with = "count")]
    pub stream: bool,
}

/// What keys are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum SortBy {
    /// The key.
    Key,
    /// Puts since it was created.
    Version,
    /// When it was created.
    Created,
    /// When it was written last.
    Modified,
    /// The value.
    Value,
}

impl GetArguments {
    /// The request.
    pub fn to_request(&self) -> Result<RangeRequest, CommandError> {
        let range = self.keys.range()?;
        let sort_target = match self.sort.unwrap_or(SortBy::Key) {
            SortBy::Key => SortTarget::Key,
            SortBy::Version => SortTarget::Version,
            SortBy::Created => SortTarget::Create,
            SortBy::Modified => SortTarget::Mod,
            SortBy::Value => SortTarget::Value,
        };
        let sort_order = match (self.sort, self.reverse) {
            (_, true) => SortOrder::Descend,
            (Some(_), false) => SortOrder::Ascend,
            (None, false) => SortOrder::None,
        };
        Ok(RangeRequest {
            key: range.key,
            range_end: range.end,
            limit: self.limit.unwrap_or_default(),
            revision: self.rev.unwrap_or_default(),
            sort_order: sort_order.into(),
            sort_target: sort_target.into(),
            serializable: self.serializable,
            keys_only: self.keys_only,
            count_only: self.count,
            ..RangeRequest::default()
        })
    }
}

/// Runs the command.
pub async fn run(
    arguments: &GetArguments,
    output: Output,
    cluster: &Cluster,
) -> Result<Report, CommandError> {
    let message = arguments.to_request()?;
    let is_single = message.range_end.is_empty();
    // There is nothing to stream in a single key.
    if arguments.stream && !is_single {
        return get_stream::run(arguments, output, cluster).await;
    }
    let answer = range(&message, cluster).await?;
    if is_single && !arguments.count && answer.kvs.is_empty() {
        let key = escaped(&message.key);
        return Err(CommandError::NotFound(format!(
            "there is no key '{key}'; to see what there is: almadia get --prefix \"\" --keys-only"
        )));
    }
    Ok(render(&answer, arguments, is_single))
}

/// Reads.
pub async fn range(message: &RangeRequest, cluster: &Cluster) -> Result<RangeResponse, CommandError> {
    let answer = cluster
        .call(Repeat::Freely, |channel| {
            let message = ask(message);
            async move {
                KvClient::new(channel)
                    .max_decoding_message_size(MESSAGE_BYTES_MAX)
                    .range(message)
                    .await
            }
        })
        .await?;
    Ok(answer.into_inner())
}

/// The question with its metadata: a serializable one is answered without a leader, too.
pub fn ask(message: &RangeRequest) -> tonic::Request<RangeRequest> {
    let mut request = request(message.clone());
    if message.serializable {
        request.metadata_mut().remove("hasleader");
    }
    request
}

fn render(answer: &RangeResponse, arguments: &GetArguments, is_single: bool) -> Report {
    if arguments.count {
        return Report::new(format!("{}\n", answer.count), json(answer, false));
    }
    let with_value = !arguments.keys_only;
    let text = match answer.kvs.first() {
        Some(pair) if is_single && with_value => {
            let mut text = pair.value.to_vec();
            text.push(b'\n');
            text
        }
        _ => lines(answer, with_value).into_bytes(),
    };
    Report::new(text, json(answer, with_value))
}

/// One line for each pair.
pub fn lines(answer: &RangeResponse, with_value: bool) -> String {
    answer
        .kvs
        .iter()
        .map(|pair| pair_line(pair, with_value))
        .collect()
}

/// For programs.
pub fn json(answer: &RangeResponse, with_value: bool) -> Value {
    let pairs: Vec<Value> = answer
        .kvs
        .iter()
        .map(|pair| pair_json(pair, with_value))
        .collect();
    json!({
        "revision": answer.header.as_ref().map_or(0, |header| header.revision),
        "count": answer.count,
        "more": answer.more,
        "kvs": pairs,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use almadia_etcd::proto::mvccpb::KeyValue;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        get: GetArguments,
    }

    fn parse(line: &str) -> GetArguments {
        Line::try_parse_from(line.split(' '))
            .unwrap_or_else(|error| panic!("{error}"))
            .get
    }

    #[test]
    fn flags_become_a_request() {
        let request = parse("get app/ --prefix --sort modified --reverse --limit 3 --rev 9 --keys-only")
            .to_request()
            .expect("valid");
        assert_eq!(
            (&request.key[..], &request.range_end[..]),
            (&b"app/"[..], &b"app0"[..])
        );
        assert_eq!((request.limit, request.revision, request.keys_only), (3, 9, true));
        assert_eq!(request.sort_order, i32::from(SortOrder::Descend));
        assert_eq!(request.sort_target, i32::from(SortTarget::Mod));
        let plain = parse("get a").to_request().expect("valid");
        assert_eq!(
            (plain.sort_order, plain.serializable, plain.count_only),
            (0, false, false)
        );
        assert!(Line::try_parse_from(["get", "a", "b", "--prefix"]).is_err());
        assert!(Line::try_parse_from(["get", "a", "--rev", "0"]).is_err());
    }

    #[test]
    fn output() {
        let pair = |key: &'static str, value: &'static str| KeyValue {
            key: key.into(),
            value: value.into(),
            create_revision: 2,
            mod_revision: 3,
            version: 2,
            lease: 0,
        };
        let answer = RangeResponse {
            kvs: vec![pair("a", "1\n"), pair("b", "2")],
            count: 2,
            ..Default::default()
        };
        assert_eq!(render(&answer, &parse("get a c"), false).text, b"a\t1\\n\nb\t2\n");
        assert_eq!(render(&answer, &parse("get a"), true).text, b"1\n\n");
        assert_eq!(
            render(&answer, &parse("get a c --keys-only"), false).text,
            b"a\nb\n"
        );
        let count = render(&answer, &parse("get a c --count"), false);
        assert_eq!((&count.text[..], &count.json["count"]), (&b"2\n"[..], &json!(2)));
        let json = json(&answer, true);
        let expected =
            json!({"key": "b", "value": "2", "create_revision": 2, "mod_revision": 3, "version": 2});
        assert_eq!(json["kvs"][1], expected);
    }
}
