//! A cluster that is measured: its addresses, its processes, and which address gets the clients.
//!
//! Asks with the ordinary client; the load itself does not pass through here.

use std::time::Duration;

use almadia_etcd::proto::etcdserverpb::kv_client::KvClient;
use almadia_etcd::proto::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, RangeRequest, RangeResponse, StatusResponse,
};

use super::process::disks_written_bytes;
use super::workload::{self, kube, leases};
use crate::commands::cluster::{Cluster, Repeat, request};
use crate::commands::error::CommandError;
use crate::commands::global::{Address, Global};
use crate::commands::status;

/// Which members get the clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Receiver {
    /// The leader alone.
    Leader,
    /// All members in turn.
    Any,
    /// All members but the leader.
    Follower,
}

/// A cluster that is measured.
#[derive(Clone, Debug)]
pub struct Target {
    /// As it is called in tables.
    pub name: String,
    /// Client addresses.
    pub addresses: Vec<Address>,
    /// Processes of its members; empty: their use is not measured.
    pub pids: Vec<u32>,
    /// The device with its data; `None`: all disks of this machine are counted.
    pub disk: Option<String>,
    flags: Global,
}

impl Target {
    /// A cluster by its addresses; `flags` gives the rest of what a client needs.
    pub fn new(name: &str, endpoints: &[String], pids: &[u32], flags: &Global) -> Result<Self, CommandError> {
        let flags = Global {
            endpoints: endpoints.to_vec(),
            ..flags.clone()
        };
        let addresses = flags.addresses()?;
        Ok(Self {
            name: name.to_owned(),
            addresses,
            pids: pids.to_vec(),
            disk: None,
            flags,
        })
    }

    /// The same, with its data on a device of its own.
    ///
    /// # Errors
    /// When this machine has no such device.
    pub fn on_disk(self, disk: Option<&str>) -> Result<Self, CommandError> {
        if let Some(name) = disk
            && disks_written_bytes(Some(name)).is_none()
        {
            let reason = format!("this machine has no device {name}: see /proc/diskstats for names");
            return Err(CommandError::usage(reason));
        }
        Ok(Self {
            disk: disk.map(str::to_owned),
            ..self
        })
    }

    /// A client for questions before and after the load.
    pub fn client(&self) -> Result<Cluster, CommandError> {
        Cluster::new(&self.flags)
    }

    /// The place of the leader among the addresses.
    pub async fn leader(&self) -> Result<usize, CommandError> {
        let statuses = status::ask(self.addresses.clone(), self.flags.timeout).await;
        let is_leader = |answer: &StatusResponse| {
            answer.leader != 0
                && answer
                    .header
                    .as_ref()
                    .is_some_and(|header| header.member_id == answer.leader)
        };
        let found = statuses
            .iter()
            .position(|status| status.answer.as_ref().is_ok_and(is_leader));
        found.ok_or_else(|| {
            let reasons: Vec<String> = statuses
                .iter()
                .map(|status| match &status.answer {
                    Ok(answer) => format!("{} follows {:x}", status.address.authority, answer.leader),
                    Err(reason) => format!("{}: {reason}", status.address.authority),
                })
                .collect();
            CommandError::failed(format!(
                "no leader among the addresses of {} ({}); name all members, or use --target any",
                self.name,
                reasons.join(", ")
            ))
        })
    }

    /// The address of each of `connections` connections.
    pub async fn connections(
        &self,
        receiver: Receiver,
        connections: usize,
    ) -> Result<Vec<Address>, CommandError> {
        let chosen: Vec<&Address> = match receiver {
            Receiver::Any => self.addresses.iter().collect(),
            Receiver::Leader if self.addresses.len() == 1 => self.addresses.iter().collect(),
            Receiver::Leader => vec![&self.addresses[self.leader().await?]],
            Receiver::Follower => {
                let leader = self.leader().await?;
                let others = self.addresses.iter().enumerate().filter(|(at, _)| *at != leader);
                others.map(|(_, address)| address).collect()
            }
        };
        if chosen.is_empty() {
            return Err(CommandError::usage(format!(
                "{} has no follower among its addresses",
                self.name
            )));
        }
        Ok((0..connections)
            .map(|at| chosen[at % chosen.len()].clone())
            .collect())
    }

    /// The newest revision.
    pub async fn revision(&self) -> Result<u64, CommandError> {
        let message = RangeRequest {
            key: workload::KEY_PREFIX.into(),
            ..RangeRequest::default()
        };
        let header = self.range(message).await?.header.unwrap_or_default();
        Ok(header.revision.unsigned_abs())
    }

    /// How many keys there are in a range.
    pub async fn count(&self, (key, end): (&'static [u8], &'static [u8])) -> Result<u64, CommandError> {
        let message = RangeRequest {
            key: key.into(),
            range_end: end.into(),
            count_only: true,
            ..RangeRequest::default()
        };
        Ok(self.range(message).await?.count.unsigned_abs())
    }

    async fn range(&self, message: RangeRequest) -> Result<RangeResponse, CommandError> {
        let call = |channel| {
            let message = request(message.clone());
            async move { KvClient::new(channel).range(message).await }
        };
        Ok(self.client()?.call(Repeat::Freely, call).await?.into_inner())
    }

    /// Compacts up to `revision` and waits, as long as `limit`, until that is done.
    pub async fn compact(&self, revision: u64, limit: Duration) -> Result<(), CommandError> {
        let message = CompactionRequest {
            revision: revision.cast_signed(),
            physical: true,
        };
        let call = |channel| {
            let message = request(message);
            async move { KvClient::new(channel).compact(message).await }
        };
        let client = self.client()?.with_attempt_max(limit, limit);
        client.call(Repeat::OnlyIfNotCarriedOut, call).await?;
        Ok(())
    }

    /// How many keys of the benchmark there are, and the size of the first one's value.
    pub async fn keys(&self) -> Result<(u64, usize), CommandError> {
        let message = RangeRequest {
            key: workload::KEY_PREFIX.into(),
            range_end: workload::KEY_PREFIX_END.into(),
            limit: 1,
            ..RangeRequest::default()
        };
        let answer = self.range(message).await?;
        let value_bytes = answer.kvs.first().map_or(0, |pair| pair.value.len());
        Ok((answer.count.unsigned_abs(), value_bytes))
    }

    /// Deletes all keys of the benchmark.
    pub async fn clear(&self) -> Result<(), CommandError> {
        let ranges = [
            (workload::KEY_PREFIX, workload::KEY_PREFIX_END),
            (workload::SWAP_PREFIX, workload::SWAP_PREFIX_END),
            (kube::EVENT_PREFIX, kube::EVENT_PREFIX_END),
            (leases::LEASED_PREFIX, leases::LEASED_PREFIX_END),
        ];
        let client = self.client()?;
        for (key, end) in ranges {
            let message = DeleteRangeRequest {
                key: key.into(),
                range_end: end.into(),
                prev_kv: false,
            };
            client
                .call(Repeat::Freely, |channel| {
                    let message = request(message.clone());
                    async move { KvClient::new(channel).delete_range(message).await }
                })
                .await?;
        }
        Ok(())
    }
}
