//! Loads with an end: laying out keys, a number of calls, calls until told to stop.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::values::Random;
use super::{KEY_PREFIX, Spec, key};
use crate::bench::engine::load::{Verdict, Workload};
use crate::bench::engine::method::Method;
use crate::bench::message;

/// Keys written by one transaction while the keys are laid out; etcd allows 128.
const PRELOAD_BATCH: u64 = 100;

/// Lays out the keys that are read later.
pub struct Preload {
    spec: Spec,
    random: Random,
    next: u64,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Preload {
    /// All keys of `spec`.
    pub fn new(spec: Spec) -> Self {
        Self {
            random: Random(1),
            next: 0,
            key: Vec::new(),
            value: vec![0; spec.value_bytes],
            spec,
        }
    }

    fn batch(&self) -> u64 {
        // One transaction stays well below the sizes that every server accepts in one go.
        PRELOAD_BATCH
            .min(32 * 1024 / (self.spec.value_bytes as u64 + 64))
            .max(1)
    }
}

impl Workload for Preload {
    fn request(&mut self, _client: usize, _began: Instant, message: &mut Vec<u8>) -> Option<Method> {
        if self.next >= self.spec.keys {
            return None;
        }
        let until = (self.next + self.batch()).min(self.spec.keys);
        for number in self.next..until {
            self.key.clear();
            key(&mut self.key, KEY_PREFIX, number);
            self.spec.values.fill(&mut self.random, &mut self.value);
            message::put_in_txn(message, &self.key, &self.value);
        }
        self.next = until;
        Some(message::TXN)
    }

    fn answer(&mut self, _client: usize, answer: &[u8]) -> Verdict {
        if message::find_number(answer, 2) == 1 {
            Verdict::Counted
        } else {
            Verdict::Wrong("not written")
        }
    }

    fn message_bytes_max(&self) -> usize {
        (self.batch() as usize) * (self.spec.value_bytes + 64)
    }
}

/// A workload that ends after a number of calls.
pub struct Limited<W> {
    calls: W,
    left: u64,
}

impl<W> Limited<W> {
    /// No more than `calls_max` of these calls.
    pub fn new(calls: W, calls_max: u64) -> Self {
        let left = calls_max;
        Self { calls, left }
    }
}

impl<W: Workload> Workload for Limited<W> {
    fn request(&mut self, client: usize, began: Instant, message: &mut Vec<u8>) -> Option<Method> {
        self.left = self.left.checked_sub(1)?;
        self.calls.request(client, began, message)
    }

    fn answer(&mut self, client: usize, answer: &[u8]) -> Verdict {
        self.calls.answer(client, answer)
    }

    fn message_bytes_max(&self) -> usize {
        self.calls.message_bytes_max()
    }
}

/// A workload that ends when it is told to.
pub struct UntilStopped<'a, W> {
    calls: W,
    stop: &'a AtomicBool,
}

impl<'a, W> UntilStopped<'a, W> {
    /// These calls until `stop` is set.
    pub fn new(calls: W, stop: &'a AtomicBool) -> Self {
        Self { calls, stop }
    }
}

impl<W: Workload> Workload for UntilStopped<'_, W> {
    fn request(&mut self, client: usize, began: Instant, message: &mut Vec<u8>) -> Option<Method> {
        if self.stop.load(Ordering::Relaxed) {
            return None;
        }
        self.calls.request(client, began, message)
    }

    fn answer(&mut self, client: usize, answer: &[u8]) -> Verdict {
        self.calls.answer(client, answer)
    }

    fn message_bytes_max(&self) -> usize {
        self.calls.message_bytes_max()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{kind::Kind, plain::Plain, test_spec};
    use super::*;
    use almadia_etcd::proto::etcdserverpb::TxnRequest;
    use almadia_etcd::proto::etcdserverpb::request_op::Request;
    use prost::Message;

    #[test]
    fn preload_writes_every_key_once() {
        let mut preload = Preload::new(test_spec(Kind::Put, 250));
        let mut keys = Vec::new();
        let mut message = Vec::new();
        while preload.request(0, Instant::now(), &mut message).is_some() {
            assert!(message.len() <= preload.message_bytes_max());
            let txn = TxnRequest::decode(&message[..]).expect("valid");
            keys.extend(txn.success.into_iter().map(|operation| match operation.request {
                Some(Request::RequestPut(put)) => put.key,
                other => panic!("{other:?}"),
            }));
            message.clear();
        }
        assert_eq!(keys.len(), 250);
        assert!(keys.is_sorted());
    }

    #[test]
    fn loads_end() {
        let calls = || Plain::new(test_spec(Kind::Put, 10), 0, 1, 1);
        let count = |workload: &mut dyn Workload| {
            let is_call = |_: &usize| workload.request(0, Instant::now(), &mut Vec::new()).is_some();
            (0..100).take_while(is_call).count()
        };
        assert_eq!(count(&mut Limited::new(calls(), 7)), 7);
        let stop = AtomicBool::new(false);
        let mut stoppable = UntilStopped::new(calls(), &stop);
        assert_eq!(count(&mut stoppable), 100);
        stop.store(true, Ordering::Relaxed);
        assert_eq!(count(&mut stoppable), 0);
    }
}
