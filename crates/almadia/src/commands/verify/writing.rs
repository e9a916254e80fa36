//! Writing through one member, and looking where a write came to stand in the members' logs.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use almadia_etcd::proto::almadia_v1::admin_client::AdminClient;
use almadia_etcd::proto::almadia_v1::{LogRequest, LogResponse};
use almadia_etcd::proto::etcdserverpb::kv_client::KvClient;
use almadia_etcd::proto::etcdserverpb::{PutRequest, RangeRequest};

use super::lab::{Lab, PATIENCE};
use crate::commands::cluster::{connect, request};
use crate::commands::log;
use crate::commands::log_compare::{Verdict, compare};
use crate::commands::login::{self, Connection};
use crate::commands::meaning::{Meaning, meaning, without_origin};
use crate::commands::position::Position;

/// A write that must succeed may take this long: what a member waits at most, and a little.
const WRITE_MAX: Duration = Duration::from_secs(10);
/// How long one member may take to accept a connection or to show its log.
const ASK_MAX: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);

/// Where a write came to stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its key.
    pub key: String,
    /// Log index.
    pub index: u64,
    /// Term.
    pub term: u64,
    /// The leader's id, as the member knows it that answered.
    pub leader: u64,
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Committed.
    Written(Written),
    /// It may or may not be carried out.
    Unknown(String),
    /// It was not carried out.
    Refused(String),
}

/// Writes through the member at the other end; the value is the key.
pub async fn put(connection: Connection, key: String, limit: Duration) -> Fate {
    let message = PutRequest {
        key: key.clone().into(),
        value: key.clone().into(),
        ..PutRequest::default()
    };
    let mut client = KvClient::new(connection);
    match tokio::time::timeout(limit, client.put(request(message))).await {
        Err(_) => Fate::Unknown(format!("no answer within {} s", limit.as_secs())),
        Ok(Err(status)) => {
            let reason = without_origin(status.message()).to_owned();
            match meaning(&status) {
                Meaning::Unknown => Fate::Unknown(reason),
                _ => Fate::Refused(reason),
            }
        }
        Ok(Ok(answer)) => {
            let position = Position::read(answer.metadata(), answer.get_ref().header.as_ref());
            match (position.log_index, position.term, position.leader) {
                (Some(index), Some(term), Some(leader)) => Fate::Written(Written {
                    key,
                    index,
                    term,
                    leader,
                }),
                _ => Fate::Refused("the answer does not tell log index, term and leader".to_owned()),
            }
        }
    }
}

impl Lab {
    /// A connection to one member, with the user's token.
    pub async fn connect(&self, seat: usize) -> Result<Connection, String> {
        let address = &self.seats[seat].address;
        let named = |reason: String| format!("{}: {reason}", self.seats[seat].name);
        let channel = connect(address, ASK_MAX).await.map_err(named)?;
        let login = self.cluster.login();
        let logged_in = tokio::time::timeout(ASK_MAX, login::connection(login.as_deref(), &channel)).await;
        let logged_in = logged_in.map_err(|_| named("no answer in time".to_owned()))?;
        logged_in.map_err(|status| named(status.message().to_owned()))
    }

    /// A write through this member that must succeed.
    pub async fn write(&self, seat: usize, name: &str) -> Result<Written, String> {
        let key = self.key(name);
        match put(self.connect(seat).await?, key, WRITE_MAX).await {
            Fate::Written(written) => Ok(written),
            Fate::Unknown(reason) | Fate::Refused(reason) => Err(format!(
                "a write through {} failed: {reason}",
                self.seats[seat].name
            )),
        }
    }

    /// Three in a row.
    pub async fn write_three(&self, seat: usize, name: &str) -> Result<Vec<Written>, String> {
        let mut written = Vec::new();
        for number in 1..=3 {
            written.push(self.write(seat, &format!("{name}-{number}")).await?);
        }
        Ok(written)
    }

    /// A member's log from `from` on, with entries that are not committed.
    pub async fn raw_log(&self, seat: usize, from: u64) -> Result<LogResponse, String> {
        let mut client = AdminClient::new(self.connect(seat).await?);
        let asked = tokio::time::timeout(ASK_MAX, client.log(LogRequest { from, limit: 0 })).await;
        let named = |reason: &str| format!("the log of {}: {reason}", self.seats[seat].name);
        match asked {
            Err(_) => Err(named("no answer in time")),
            Ok(Err(status)) => Err(named(status.message())),
            Ok(Ok(answer)) => Ok(answer.into_inner()),
        }
    }

    /// Waits until a member has all these entries and knows them to be committed.
    pub async fn holds(&self, seat: usize, written: &[Written]) -> Result<(), String> {
        let wanted: BTreeSet<(u64, u64)> = written.iter().map(|entry| (entry.index, entry.term)).collect();
        let (Some(first), Some(last)) = (wanted.first(), wanted.last()) else {
            return Ok(());
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let addresses = vec![self.seats[seat].address.clone()];
            let logs = log::ask_all(addresses, first.0, last.0 - first.0 + 1, &self.cluster).await;
            let log = &logs[0];
            let held: BTreeSet<(u64, u64)> =
                log.places.iter().map(|place| (place.index, place.term)).collect();
            // What is no longer in the log is in a checkpoint, and was committed before.
            let is_held = |place: &(u64, u64)| place.0 < log.first || held.contains(place);
            if log.failure.is_none() && wanted.iter().all(is_held) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let reason = log
                    .failure
                    .clone()
                    .unwrap_or_else(|| format!("committed {} of up to {}", log.committed, last.0));
                return Err(format!(
                    "{} does not have all entries: {reason}",
                    self.seats[seat].name
                ));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The members' logs are the same from here on, up to what all know to be committed.
    pub async fn logs_are_equal(&self, from: u64) -> Result<(), String> {
        let addresses = self.seats.iter().map(|seat| seat.address.clone()).collect();
        let logs = log::ask_all(addresses, from, u64::MAX, &self.cluster).await;
        if let Some(log) = logs.iter().find(|log| log.failure.is_some()) {
            let reason = log.failure.clone().unwrap_or_default();
            return Err(format!("the log of {} cannot be read: {reason}", log.name));
        }
        match compare(&logs) {
            Verdict::Same { .. } => Ok(()),
            Verdict::NothingInCommon => Err("the members' logs have nothing in common".to_owned()),
            Verdict::Different { index, .. } => Err(format!("the members' logs differ at log index {index}")),
        }
    }

    /// Every member answers these keys with the values that were written, read linearizably.
    pub async fn all_read(&self, keys: &[String]) -> Result<(), String> {
        for seat in 0..self.seats.len() {
            let mut client = KvClient::new(self.connect(seat).await?);
            for key in keys {
                let message = RangeRequest {
                    key: key.clone().into(),
                    ..RangeRequest::default()
                };
                let name = &self.seats[seat].name;
                let answer = tokio::time::timeout(WRITE_MAX, client.range(request(message))).await;
                let answer = answer.map_err(|_| format!("{name} did not answer a read in time"))?;
                let answer = answer.map_err(|status| format!("{name}: {}", status.message()))?;
                let found = answer.get_ref().kvs.first();
                if found.is_none_or(|pair| pair.value != key.as_bytes()) {
                    return Err(format!("{name} does not have {key}"));
                }
            }
        }
        Ok(())
    }
}
