//! Clients that write while things go wrong, and remember exactly what was acknowledged. A write whose fate is unknown is
//! remembered as such and never counted as acknowledged.

use crate::commands::cluster::{Cluster, Repeat, request};
use crate::commands::error::CommandError;
use crate::commands::global::{Global, Output};
use crate::commands::tls::TlsArguments;
use almadia_etcd::proto::etcdserverpb::PutRequest;
use almadia_etcd::proto::etcdserverpb::kv_client::KvClient;
use almadia_etcd::proto::mvccpb::KeyValue;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Longest wait for one member before the write's fate counts as unknown, and for a write altogether.
const ATTEMPT_MAX: Duration = Duration::from_secs(5);
const WRITE_MAX: Duration = Duration::from_secs(10);

/// An acknowledged write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// What was written.
    pub value: String,
    /// At which revision.
    pub revision: i64,
    /// When the answer came.
    pub at: Instant,
}

/// What writers know when they have stopped.
#[derive(Debug, Default)]
pub struct Journal {
    /// By key.
    pub acknowledged: BTreeMap<String, Acknowledged>,
    /// Keys of writes that may or may not have been carried out, with their values.
    pub unknown: BTreeMap<String, String>,
    /// What was never carried out, by reason.
    pub refused: BTreeMap<String, usize>,
    /// Broken promises seen while writing.
    pub violations: Vec<String>,
}

/// Writers at work.
pub struct Writers {
    stop: watch::Sender<bool>,
    tasks: JoinSet<Journal>,
}

impl Writers {
    /// Starts `count` writers; each writes new keys `PREFIX/WRITER/NUMBER` one after the other through all members, until
    /// they are stopped.
    ///
    /// # Errors
    /// When the URLs are none.
    pub fn start(urls: &[String], prefix: &str, count: usize) -> Result<Self, CommandError> {
        Self::start_with(urls, &TlsArguments::default(), prefix, count)
    }

    /// The same with certificates, for members with `https://` URLs.
    ///
    /// # Errors
    /// When the URLs are none, or a certificate cannot be used.
    pub fn start_with(
        urls: &[String],
        tls: &TlsArguments,
        prefix: &str,
        count: usize,
    ) -> Result<Self, CommandError> {
        let mut clusters = Vec::with_capacity(count);
        for writer in 0..count {
            // Each begins with another member, so that all of them serve.
            let mut endpoints = urls.to_vec();
            endpoints.rotate_left(writer % urls.len().max(1));
            let global = Global {
                endpoints,
                timeout: WRITE_MAX,
                output: Output::Text,
                tls: tls.clone(),
            };
            clusters.push(Cluster::new(&global)?);
        }
        Ok(Self::start_on(clusters, prefix))
    }

    /// The same with a client for each writer.
    pub fn start_on(clusters: Vec<Cluster>, prefix: &str) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for (writer, cluster) in clusters.into_iter().enumerate() {
            tasks.spawn(write_until_stopped(
                cluster.with_attempt_max(ATTEMPT_MAX, WRITE_MAX),
                format!("{prefix}/{writer}"),
                stopped.clone(),
            ));
        }
        Self { stop, tasks }
    }

    /// Lets each writer finish its write and gathers what they know.
    pub async fn stop(self) -> Journal {
        // Fails only when all writers are gone, which they are not before this.
        let _ = self.stop.send(true);
        let mut journal = Journal::default();
        for one in self.tasks.join_all().await {
            journal.absorb(one);
        }
        journal
    }
}

async fn write_until_stopped(cluster: Cluster, prefix: String, stopped: watch::Receiver<bool>) -> Journal {
    let mut journal = Journal::default();
    let mut last_revision = 0;
    for number in 0_u64.. {
        if *stopped.borrow() {
            break;
        }
        let key = format!("{prefix}/{number:08}");
        let value = format!("value {number} of {prefix}");
        let put = PutRequest {
            key: key.clone().into(),
            value: value.clone().into(),
            ..PutRequest::default()
        };
        let answer = cluster
            .call(Repeat::OnlyIfNotCarriedOut, |channel| {
                let put = put.clone();
                async move { KvClient::new(channel).put(request(put)).await }
            })
            .await;
        match answer {
            Ok(answer) => {
                let revision = answer.into_inner().header.map_or(0, |header| header.revision);
                if revision <= last_revision {
                    journal
                        .violations
                        .push(format!("{key} got revision {revision} after {last_revision}"));
                }
                last_revision = revision;
                journal.acknowledged.insert(
                    key,
                    Acknowledged {
                        value,
                        revision,
                        at: Instant::now(),
                    },
                );
            }
            Err(CommandError::Unknown { .. }) => {
                journal.unknown.insert(key, value);
            }
            Err(error) => *journal.refused.entry(error.to_string()).or_default() += 1,
        }
    }
    journal
}

impl Journal {
    /// Takes over what another knows.
    pub fn absorb(&mut self, other: Self) {
        self.acknowledged.extend(other.acknowledged);
        self.unknown.extend(other.unknown);
        self.violations.extend(other.violations);
        for (reason, count) in other.refused {
            *self.refused.entry(reason).or_default() += count;
        }
    }

    /// The longest time after `from` in which nobody got an acknowledgement, up to the last one there is.
    pub fn longest_silence_after(&self, from: Instant) -> Option<Duration> {
        let mut times: Vec<Instant> = self
            .acknowledged
            .values()
            .map(|acknowledged| acknowledged.at)
            .filter(|at| *at > from)
            .collect();
        times.sort_unstable();
        let before = std::iter::once(from).chain(times.iter().copied());
        before
            .zip(times.iter())
            .map(|(before, after)| *after - before)
            .max()
    }

    /// What is wrong with what a member holds under the writers' prefix: acknowledged writes that are missing or other than
    /// acknowledged, and keys nobody wrote.
    pub fn compare(&self, pairs: &[KeyValue]) -> Vec<String> {
        let held: BTreeMap<&[u8], &KeyValue> = pairs.iter().map(|pair| (pair.key.as_ref(), pair)).collect();
        let mut wrong = Vec::new();
        for (key, acknowledged) in &self.acknowledged {
            match held.get(key.as_bytes()) {
                None => wrong.push(format!(
                    "{key} was acknowledged at revision {} and is missing",
                    acknowledged.revision
                )),
                Some(pair) if pair.value != acknowledged.value.as_bytes() => {
                    wrong.push(format!("{key} holds another value than acknowledged"));
                }
                Some(pair) if pair.mod_revision != acknowledged.revision => wrong.push(format!(
                    "{key} was acknowledged at revision {} and stands at {}",
                    acknowledged.revision, pair.mod_revision
                )),
                Some(_) => {}
            }
        }
        for pair in pairs {
            let key = String::from_utf8_lossy(&pair.key).into_owned();
            let known = self.acknowledged.contains_key(&key)
                || self
                    .unknown
                    .get(&key)
                    .is_some_and(|value| pair.value == value.as_bytes());
            if !known {
                wrong.push(format!("{key} is there and nobody wrote it so"));
            }
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(start: Instant) -> Journal {
        let mut journal = Journal::default();
        for (number, at_ms) in [(1, 10), (2, 20), (3, 900), (4, 910)] {
            let at = start + Duration::from_millis(at_ms);
            let acknowledged = Acknowledged {
                value: format!("v{number}"),
                revision: number,
                at,
            };
            journal.acknowledged.insert(format!("k{number}"), acknowledged);
        }
        journal.unknown.insert("u".to_owned(), "maybe".to_owned());
        journal
    }

    fn pair(key: &str, value: &str, revision: i64) -> KeyValue {
        KeyValue {
            key: key.to_owned().into(),
            value: value.to_owned().into(),
            mod_revision: revision,
            ..KeyValue::default()
        }
    }

    fn held() -> Vec<KeyValue> {
        (1..=4)
            .map(|number| pair(&format!("k{number}"), &format!("v{number}"), number))
            .collect()
    }

    #[test]
    fn silence_is_measured_from_the_disturbance() {
        let start = Instant::now();
        let journal = journal(start);
        let from = start + Duration::from_millis(15);
        assert_eq!(
            journal.longest_silence_after(from),
            Some(Duration::from_millis(880))
        );
        assert_eq!(
            journal.longest_silence_after(start + Duration::from_secs(1)),
            None
        );
    }

    /// The check must bite: each kind of loss is found, and what is allowed is not.
    #[test]
    fn losses_are_found() {
        let journal = journal(Instant::now());
        assert_eq!(journal.compare(&held()), Vec::<String>::new());
        let mut with_unknown = held();
        with_unknown.push(pair("u", "maybe", 5));
        assert_eq!(journal.compare(&with_unknown), Vec::<String>::new());

        let mut missing = held();
        missing.remove(1);
        let mut changed = held();
        changed[0].value = "other".into();
        let mut moved = held();
        moved[2].mod_revision = 7;
        let mut foreign = held();
        foreign.push(pair("x", "y", 5));
        let mut unknown_changed = held();
        unknown_changed.push(pair("u", "other", 5));
        for wrong in [missing, changed, moved, foreign, unknown_changed] {
            assert_eq!(journal.compare(&wrong).len(), 1, "{wrong:?}");
        }
    }
}
