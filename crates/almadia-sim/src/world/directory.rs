//! Where clients find members: who is up right now, and where its requests run.

use super::host::Host;
use almadia_member::Member;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::runtime::Handle;

/// A member that takes requests.
#[derive(Clone)]
pub struct Entry {
    /// The member.
    pub member: Member,
    /// Its process: what is spawned there dies with it.
    pub process: Handle,
}

/// The members that take requests, by machine. Clones are the same directory.
#[derive(Clone, Default)]
pub struct Directory {
    entries: Arc<Mutex<BTreeMap<usize, (u64, Entry)>>>,
}

impl Directory {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, (u64, Entry)>> {
        self.entries
            .lock()
            .expect("nobody panics while holding the directory")
    }

    /// Notes how a machine stands.
    pub fn set(&self, index: usize, host: &Host, _now_ms: u64) {
        let mut entries = self.lock();
        let life = host.life_number();
        if life == 0 {
            entries.remove(&index);
            return;
        }
        if entries.get(&index).is_some_and(|(known, _)| *known == life) {
            return;
        }
        let entry = host
            .member()
            .zip(host.runtime())
            .map(|(member, process)| Entry { member, process });
        match entry {
            Some(entry) => entries.insert(index, (life, entry)),
            None => entries.remove(&index),
        };
    }

    /// The member of a machine.
    pub fn get(&self, index: usize) -> Option<Entry> {
        self.lock().get(&index).map(|(_, entry)| entry.clone())
    }

    /// Machines with a member that takes requests.
    pub fn up(&self) -> Vec<usize> {
        self.lock().keys().copied().collect()
    }

    /// Forgets all.
    pub fn clear(&self) {
        self.lock().clear();
    }
}
