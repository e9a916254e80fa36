//! The few calls the demo makes: to one member by name, or to whichever serves. Built on the client commands' own parts;
//! it checks nothing.

use crate::commands::cluster::{MESSAGE_BYTES_MAX, connect, request};
use crate::commands::global::{Address, address};
use crate::commands::tls::Security;
use almadia_etcd::proto::etcdserverpb::kv_client::KvClient;
use almadia_etcd::proto::etcdserverpb::maintenance_client::MaintenanceClient;
use almadia_etcd::proto::etcdserverpb::{PutRequest, RangeRequest, StatusRequest, StatusResponse};
use almadia_etcd::proto::mvccpb::KeyValue;
use std::time::Duration;
use tonic::transport::Channel;

/// Keys of one page: large enough to be quick, small enough to fit every message.
const PAGE_KEYS: i64 = 1000;

/// How long to wait for a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// One member, asked directly.
#[derive(Clone)]
pub struct MemberClient {
    address: Address,
    channel: Channel,
}

/// Everything under a prefix at one revision.
#[derive(Debug, Clone, PartialEq)]
pub struct Contents {
    /// The revision all pages were read at.
    pub revision: i64,
    /// In key order.
    pub pairs: Vec<KeyValue>,
}

impl MemberClient {
    /// Connects to the member at this URL.
    ///
    /// # Errors
    /// Why it cannot be reached.
    pub async fn connect(url: &str) -> Result<Self, String> {
        let address = address(url, &Security::default()).map_err(|error| error.to_string())?;
        let channel = connect(&address, CONNECT_LIMIT).await?;
        Ok(Self { address, channel })
    }

    /// The connection, for calls that are not here.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    fn wording(&self, status: &tonic::Status) -> String {
        format!("{}: {}", self.address.authority, status.message())
    }

    /// Writes one key; answers with the revision.
    ///
    /// # Errors
    /// The member's words.
    pub async fn put(&self, key: &str, value: &str) -> Result<i64, String> {
        let put = PutRequest {
            key: key.to_owned().into(),
            value: value.to_owned().into(),
            ..PutRequest::default()
        };
        let answer = self
            .kv()
            .put(request(put))
            .await
            .map_err(|status| self.wording(&status))?
            .into_inner();
        Ok(answer.header.map_or(0, |header| header.revision))
    }

    /// Reads one key, linearizably.
    ///
    /// # Errors
    /// The member's words.
    pub async fn get(&self, key: &str) -> Result<Option<KeyValue>, String> {
        let range = RangeRequest {
            key: key.to_owned().into(),
            ..RangeRequest::default()
        };
        let answer = self
            .kv()
            .range(request(range))
            .await
            .map_err(|status| self.wording(&status))?
            .into_inner();
        Ok(answer.kvs.into_iter().next())
    }

    /// Reads everything under a prefix at one revision, page by page: the first page linearizably, which fixes the revision.
    ///
    /// # Errors
    /// The member's words.
    pub async fn contents(&self, prefix: &str) -> Result<Contents, String> {
        self.contents_at(prefix, 0).await
    }

    /// The same at a given revision; 0 is the present one.
    ///
    /// # Errors
    /// The member's words.
    pub async fn contents_at(&self, prefix: &str, revision: i64) -> Result<Contents, String> {
        let mut contents = Contents {
            revision,
            pairs: Vec::new(),
        };
        let mut from = prefix.as_bytes().to_vec();
        loop {
            let range = RangeRequest {
                key: from.clone().into(),
                range_end: after_prefix(prefix).into(),
                limit: PAGE_KEYS,
                revision: contents.revision,
                ..RangeRequest::default()
            };
            let answer = self
                .kv()
                .range(request(range))
                .await
                .map_err(|status| self.wording(&status))?
                .into_inner();
            if contents.revision == 0 {
                contents.revision = answer.header.map_or(0, |header| header.revision);
            }
            contents.pairs.extend(answer.kvs);
            let Some(last) = contents.pairs.last().filter(|_| answer.more) else {
                return Ok(contents);
            };
            // The smallest key after the last one.
            from = last.key.to_vec();
            from.push(0);
        }
    }

    /// How the member sees itself.
    ///
    /// # Errors
    /// The member's words.
    pub async fn status(&self) -> Result<StatusResponse, String> {
        let answer = MaintenanceClient::new(self.channel.clone())
            .status(StatusRequest {})
            .await;
        answer
            .map(tonic::Response::into_inner)
            .map_err(|status| self.wording(&status))
    }
}

/// Asks the member at this URL how it sees itself.
///
/// # Errors
/// Why there is no answer.
pub async fn status(url: &str, limit: Duration) -> Result<StatusResponse, String> {
    let ask = async { MemberClient::connect(url).await?.status().await };
    tokio::time::timeout(limit, ask)
        .await
        .unwrap_or_else(|_| Err(format!("{url}: no answer within {limit:?}")))
}

/// The end of the range of a prefix, which must not end with the byte 255.
fn after_prefix(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    *end.last_mut().expect("a prefix has a letter") += 1;
    end
}
