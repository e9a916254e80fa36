//! Clients that write while things break, and the comparison of what was acknowledged with what every member has.

use std::time::{Duration, Instant};

use almadia_etcd::proto::etcdserverpb::RangeRequest;
use almadia_etcd::proto::etcdserverpb::kv_client::KvClient;
use almadia_etcd::proto::mvccpb::KeyValue;

use super::super::lab::{Lab, PATIENCE};
use crate::commands::cluster::{Cluster, request};
use crate::demo::writer::{Journal, Writers};

/// Clients that write at the same time.
const WRITERS: usize = 4;
/// Keys of a page when everything is read back.
const PAGE_KEYS: i64 = 1000;
/// One page takes no longer.
const PAGE_MAX: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);
/// Reasons that are told at most.
const REASONS_MAX: usize = 3;

/// Clients at work.
pub struct Load {
    writers: Writers,
    prefix: String,
}

/// What came out.
#[derive(Debug)]
pub struct Judged {
    /// Writes that were acknowledged.
    pub acknowledged: usize,
    /// Writes whose fate the clients do not know.
    pub unknown: usize,
    /// The longest time without an acknowledged write.
    pub silence: Option<Duration>,
}

impl Load {
    /// Starts the clients; each knows all members but one that is spared and begins with another one.
    pub fn start(lab: &Lab, name: &str, spared: Option<usize>) -> Self {
        let prefix = lab.key(name);
        let seats = lab.others(spared.as_slice());
        let client = |writer: usize| -> Cluster {
            let mut addresses: Vec<_> = seats
                .iter()
                .map(|seat| lab.seats[*seat].address.clone())
                .collect();
            let by = writer % addresses.len();
            addresses.rotate_left(by);
            lab.cluster.at(addresses)
        };
        Self {
            writers: Writers::start_on((0..WRITERS).map(client).collect(), &prefix),
            prefix,
        }
    }

    /// Stops the clients and compares what was acknowledged with what each of the lab's members has.
    pub async fn judge(self, lab: &Lab, from: Instant) -> Result<Judged, String> {
        let journal = self.writers.stop().await;
        if let Some(violation) = journal.violations.first() {
            return Err(format!("a promise was broken: {violation}"));
        }
        if !journal.refused.is_empty() {
            let reasons: Vec<&str> = journal
                .refused
                .keys()
                .map(String::as_str)
                .take(REASONS_MAX)
                .collect();
            return Err(format!("clients saw errors: {}", reasons.join("; ")));
        }
        for seat in 0..lab.seats.len() {
            compare(lab, seat, &format!("{}/", self.prefix), &journal).await?;
        }
        Ok(Judged {
            acknowledged: journal.acknowledged.len(),
            unknown: journal.unknown.len(),
            silence: journal.longest_silence_after(from),
        })
    }
}

/// A member may need a moment before it serves again; what it then has must be right.
async fn compare(lab: &Lab, seat: usize, prefix: &str, journal: &Journal) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    let pairs = loop {
        match contents(lab, seat, prefix).await {
            Ok(pairs) => break pairs,
            Err(reason) if Instant::now() >= deadline => return Err(reason),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    };
    let wrong = journal.compare(&pairs);
    match wrong.first() {
        None => Ok(()),
        Some(first) => Err(format!(
            "{} has {} things wrong; the first: {first}",
            lab.seats[seat].name,
            wrong.len()
        )),
    }
}

/// Everything under a prefix through one member, read linearizably.
async fn contents(lab: &Lab, seat: usize, prefix: &str) -> Result<Vec<KeyValue>, String> {
    let mut client = KvClient::new(lab.connect(seat).await?);
    let mut end = prefix.as_bytes().to_vec();
    // It ends with a slash, which has a successor.
    *end.last_mut().expect("the prefix is not empty") += 1;
    let (mut from, mut revision) = (prefix.as_bytes().to_vec(), 0);
    let mut pairs: Vec<KeyValue> = Vec::new();
    loop {
        let message = RangeRequest {
            key: from.clone().into(),
            range_end: end.clone().into(),
            limit: PAGE_KEYS,
            revision,
            ..RangeRequest::default()
        };
        let answer = tokio::time::timeout(PAGE_MAX, client.range(request(message))).await;
        let answer = answer.map_err(|_| format!("{} did not answer in time", lab.seats[seat].name))?;
        let answer = answer.map_err(|status| format!("{}: {}", lab.seats[seat].name, status.message()))?;
        let answer = answer.into_inner();
        if revision == 0 {
            revision = answer.header.map_or(0, |header| header.revision);
        }
        pairs.extend(answer.kvs);
        let Some(last) = pairs.last().filter(|_| answer.more) else {
            return Ok(pairs);
        };
        // The smallest key after the last one.
        from = last.key.to_vec();
        from.push(0);
    }
}
