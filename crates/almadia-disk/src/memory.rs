//! A disk in memory that knows what a power loss would take: for tests and for the simulator.
//!
//! Written and synced bytes are kept apart per file, and so are names. Bytes become durable by a sync of the file,
//! names (create, rename, remove, link) by a sync of their directory. It never does anything by chance.

mod fault;
mod pages;
mod recording;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use fault::{Failure, Fault, Operation};
pub use recording::{Recording, Replay};

use crate::{Disk, DiskError, DiskFile, Space};
use fault::Faults;
use pages::{PAGE_BYTES, Pages};
use recording::{FileId, Step};

/// What a disk writes as one: a power loss may keep one sector of a write and drop the next.
const SECTOR_BYTES: usize = 512;

/// Larger than any test.
const CAPACITY_BYTES_DEFAULT: u64 = 1 << 40;

/// What becomes of unsynced bytes and names when the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// All are gone.
    DropUnsynced,
    /// All had just been written out.
    KeepAll,
    /// Each 512-byte sector, each length and each change of a name is kept or dropped on its own, by this seed.
    Seeded(u64),
}

/// A disk in memory. A clone is another handle of the same disk; [`MemDisk::copy`] makes another disk.
#[derive(Clone, Debug)]
pub struct MemDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Debug)]
enum Node {
    Directory,
    File(Arc<Mutex<Inode>>),
}

/// A file whatever its names are.
#[derive(Debug)]
struct Inode {
    id: FileId,
    written: Pages,
    synced: Pages,
    /// Pages that the next sync makes durable.
    dirty: BTreeSet<usize>,
}

/// What one call did to names; kept or lost as one.
#[derive(Clone, Debug)]
struct Change(Vec<(String, Option<Node>)>);

#[derive(Debug)]
struct State {
    names: BTreeMap<String, Node>,
    synced_names: BTreeMap<String, Node>,
    /// In the order they were made; all changes of one name are in one directory.
    unsynced_changes: Vec<Change>,
    next_file: FileId,
    /// Grows at each power loss: files opened before belong to a process that is gone.
    epoch: u64,
    capacity_bytes: u64,
    faults: Faults,
    recording: Option<Recording>,
}

impl Default for MemDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl MemDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::with(BTreeMap::new(), 1, CAPACITY_BYTES_DEFAULT)
    }

    fn with(names: BTreeMap<String, Node>, next_file: FileId, capacity_bytes: u64) -> Self {
        let state = State {
            synced_names: names.clone(),
            names,
            unsynced_changes: Vec::new(),
            next_file,
            epoch: 0,
            capacity_bytes,
            faults: Faults::default(),
            recording: None,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Takes the power away: what is left is what was synced, and more as `loss` says. Files opened before give
    /// errors from now on; faults and the recording end.
    pub fn power_loss(&self, loss: Loss) {
        let image = self.after_power_loss(loss);
        let mut state = self.lock();
        let mut other = image.lock();
        state.names = std::mem::take(&mut other.names);
        state.synced_names = std::mem::take(&mut other.synced_names);
        state.unsynced_changes.clear();
        state.epoch += 1;
        state.faults.clear();
        state.recording = None;
    }

    /// The disk that a power loss at this moment would leave; this one goes on.
    pub fn after_power_loss(&self, loss: Loss) -> MemDisk {
        let state = self.lock();
        let mut choice = Choice::new(loss);
        let mut names = state.synced_names.clone();
        for change in &state.unsynced_changes {
            if choice.keep() {
                change.apply(&mut names);
            }
        }
        let all = names.clone();
        names.retain(|name, _| parents(name).all(|parent| matches!(all.get(parent), Some(Node::Directory))));
        let names = copy_names(&names, &mut BTreeMap::new(), |inode| {
            inode.after_power_loss(&mut choice)
        });
        Self::with(names, state.next_file, state.capacity_bytes)
    }

    /// Another disk with the same content, synced or not, without faults and recording.
    pub fn copy(&self) -> MemDisk {
        let state = self.lock();
        let mut copies = BTreeMap::new();
        let names = copy_names(&state.names, &mut copies, Inode::copy);
        let copy = Self::with(names, state.next_file, state.capacity_bytes);
        let mut other = copy.lock();
        other.synced_names = copy_names(&state.synced_names, &mut copies, Inode::copy);
        for change in &state.unsynced_changes {
            let copied = change.0.iter().map(|(name, node)| {
                let node = node
                    .as_ref()
                    .map(|node| copy_node(node, &mut copies, &mut Inode::copy));
                (name.clone(), node)
            });
            other.unsynced_changes.push(Change(copied.collect()));
        }
        drop(other);
        copy
    }

    /// Plants a fault.
    pub fn inject(&self, fault: Fault) {
        self.lock().faults.plant(fault);
    }

    /// Takes back all faults that have not hit yet.
    pub fn clear_faults(&self) {
        self.lock().faults.clear();
    }

    /// After so many more calls that change something every call fails, as if the process had been stopped right there:
    /// with [`MemDisk::power_loss`] that is a power loss between any two calls.
    pub fn die_after(&self, calls: u64) {
        self.lock().faults.die_after(calls);
    }

    /// Whether it has come to that.
    pub fn is_dead(&self) -> bool {
        self.lock().faults.is_dead()
    }

    /// Sets the size of the volume; files that would grow beyond it get ENOSPC.
    pub fn set_capacity(&self, bytes: u64) {
        self.lock().capacity_bytes = bytes;
    }

    /// Rot: turns one bit of a file over, on the medium and in the cache. Nothing happens behind the file's end.
    pub fn flip_bit(&self, name: &str, offset: u64, bit: u8) {
        assert!(bit < 8, "a byte has 8 bits");
        let state = self.lock();
        let Some(Node::File(inode)) = state.names.get(name) else {
            return;
        };
        let mut inode = lock(inode);
        inode.written.flip_bit(offset, bit);
        inode.synced.flip_bit(offset, bit);
    }

    /// Begins a new recording with the disk as it is now.
    pub fn start_recording(&self) {
        let base = self.copy();
        self.lock().recording = Some(Recording {
            base,
            steps: Vec::new(),
        });
    }

    /// What was done since [`MemDisk::start_recording`]; it goes on. None when there is no recording.
    pub fn recording(&self) -> Option<Recording> {
        self.lock().recording.clone()
    }

    /// How many syncs were recorded so far.
    pub fn recorded_syncs(&self) -> usize {
        self.lock().recording.as_ref().map_or(0, Recording::syncs)
    }

    /// The disk as a power loss right after the `n`-th recorded sync would leave it, unsynced bytes dropped.
    pub fn image_at_sync(&self, n: usize) -> MemDisk {
        self.recording()
            .expect("a recording was started")
            .image_at_sync(n)
    }

    /// A file's bytes as a running process sees them. None when there is no such file.
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.lock();
        let Some(Node::File(inode)) = state.names.get(name) else {
            return None;
        };
        let inode = lock(inode);
        let mut bytes = vec![0; inode.written.len() as usize];
        assert!(inode.written.read(0, &mut bytes), "a file can be read to its end");
        Some(bytes)
    }

    /// One handle for each file, for a replay.
    fn open_files(&self) -> BTreeMap<FileId, Box<dyn DiskFile>> {
        let state = self.lock();
        let mut files: BTreeMap<FileId, Box<dyn DiskFile>> = BTreeMap::new();
        for (name, node) in &state.names {
            if let Node::File(inode) = node {
                let id = lock(inode).id;
                files.insert(id, Box::new(self.handle(name, inode, state.epoch)));
            }
        }
        files
    }

    fn handle(&self, name: &str, inode: &Arc<Mutex<Inode>>, epoch: u64) -> MemFile {
        MemFile {
            disk: self.clone(),
            inode: Arc::clone(inode),
            name: name.to_owned(),
            epoch,
        }
    }
}

impl Disk for MemDisk {
    fn create(&self, name: &str) -> Result<Box<dyn DiskFile>, DiskError> {
        let mut state = self.lock();
        state.begin("create", Operation::Create, name)?;
        state.expect_parent("create", name)?;
        if state.names.contains_key(name) {
            return Err(error("create", name, ErrorKind::AlreadyExists));
        }
        let id = state.next_file;
        state.next_file += 1;
        let (written, synced) = (Pages::default(), Pages::default());
        let inode = Arc::new(Mutex::new(Inode {
            id,
            written,
            synced,
            dirty: BTreeSet::new(),
        }));
        state.change(vec![(name.to_owned(), Some(Node::File(Arc::clone(&inode))))]);
        state.record(|| Step::Create(name.to_owned(), id));
        Ok(Box::new(self.handle(name, &inode, state.epoch)))
    }

    fn open(&self, name: &str) -> Result<Box<dyn DiskFile>, DiskError> {
        let mut state = self.lock();
        state.begin("open", Operation::Open, name)?;
        let inode = state.file("open", name)?;
        Ok(Box::new(self.handle(name, &inode, state.epoch)))
    }

    fn create_dir(&self, name: &str) -> Result<(), DiskError> {
        let mut state = self.lock();
        state.begin("create directory", Operation::Create, name)?;
        let missing: Vec<String> = parents(name)
            .chain(Some(name))
            .filter(|part| !part.is_empty() && !state.names.contains_key(*part))
            .map(str::to_owned)
            .collect();
        for part in missing {
            state.expect_parent("create directory", &part)?;
            state.change(vec![(part, Some(Node::Directory))]);
        }
        if matches!(state.names.get(name), Some(Node::File(_))) {
            return Err(error("create directory", name, ErrorKind::AlreadyExists));
        }
        state.record(|| Step::CreateDir(name.to_owned()));
        Ok(())
    }

    fn list(&self, dir: &str) -> Result<Vec<String>, DiskError> {
        let mut state = self.lock();
        state.begin("list", Operation::List, dir)?;
        let files = state
            .names
            .iter()
            .filter(|(_, node)| matches!(node, Node::File(_)));
        Ok(files
            .map(|(name, _)| split(name))
            .filter(|(d, _)| *d == dir)
            .map(|(_, n)| n.to_owned())
            .collect())
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        let mut state = self.lock();
        state.begin("rename", Operation::Rename, from)?;
        let inode = state.file("rename", from)?;
        state.expect_parent("rename to", to)?;
        if from != to {
            state.change(vec![
                (from.to_owned(), None),
                (to.to_owned(), Some(Node::File(inode))),
            ]);
        }
        state.record(|| Step::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn link(&self, from: &str, to: &str) -> Result<(), DiskError> {
        let mut state = self.lock();
        state.begin("link", Operation::Link, from)?;
        let inode = state.file("link", from)?;
        state.expect_parent("link to", to)?;
        if state.names.contains_key(to) {
            return Err(error("link to", to, ErrorKind::AlreadyExists));
        }
        state.change(vec![(to.to_owned(), Some(Node::File(inode)))]);
        state.record(|| Step::Link(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), DiskError> {
        let mut state = self.lock();
        state.begin("remove", Operation::Remove, name)?;
        state.file("remove", name)?;
        state.change(vec![(name.to_owned(), None)]);
        state.record(|| Step::Remove(name.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, dir: &str) -> Result<(), DiskError> {
        let mut state = self.lock();
        state.begin("sync directory", Operation::SyncDir, dir)?;
        if !dir.is_empty() && !matches!(state.names.get(dir), Some(Node::Directory)) {
            return Err(error("sync directory", dir, ErrorKind::NotFound));
        }
        let changes = std::mem::take(&mut state.unsynced_changes);
        let (now, later) = changes.into_iter().partition(|change| change.touches(dir));
        state.unsynced_changes = later;
        let now: Vec<Change> = now;
        for change in &now {
            change.apply(&mut state.synced_names);
        }
        state.record(|| Step::SyncDir(dir.to_owned()));
        Ok(())
    }

    fn space(&self) -> Result<Space, DiskError> {
        let state = self.lock();
        let total_bytes = state.capacity_bytes;
        Ok(Space {
            free_bytes: total_bytes.saturating_sub(state.used_bytes()),
            total_bytes,
        })
    }
}

/// An open file of a [`MemDisk`].
#[derive(Debug)]
struct MemFile {
    disk: MemDisk,
    inode: Arc<Mutex<Inode>>,
    name: String,
    epoch: u64,
}

impl MemFile {
    /// Begins a call: the process must still live, and a planted fault may hit.
    fn begin(&self, action: &'static str) -> Result<MutexGuard<'_, State>, DiskError> {
        let state = self.disk.lock();
        if state.epoch == self.epoch {
            Ok(state)
        } else {
            let cause = io::Error::other("the file was opened before the power loss");
            Err(DiskError {
                action,
                name: self.name.clone(),
                cause,
            })
        }
    }

    fn failed(&self, action: &'static str, failure: Failure) -> DiskError {
        DiskError {
            action,
            name: self.name.clone(),
            cause: failure.error(),
        }
    }

    fn sync(&self) -> Result<(), DiskError> {
        let mut state = self.begin("sync")?;
        let failure = state.faults.hit(Operation::Sync, &self.name);
        let mut inode = lock(&self.inode);
        if let Some(failure) = failure {
            inode.dirty.clear();
            return Err(self.failed("sync", failure));
        }
        inode.sync();
        let id = inode.id;
        drop(inode);
        state.record(|| Step::Sync(id));
        Ok(())
    }

    /// Writes what the volume has room for.
    fn write(&self, state: &mut State, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let end = offset + bytes.len() as u64;
        let len = lock(&self.inode).written.len();
        if end > len && state.used_bytes() + (end - len) > state.capacity_bytes {
            return Err(self.failed("write", Failure::NoSpace));
        }
        let mut inode = lock(&self.inode);
        let touched = inode.written.write(offset, bytes);
        inode.dirty.extend(touched.into_iter().flatten());
        let id = inode.id;
        drop(inode);
        state.record(|| Step::Write(id, offset, Arc::from(bytes)));
        Ok(())
    }
}

impl DiskFile for MemFile {
    fn len(&self) -> Result<u64, DiskError> {
        let _state = self.begin("measure")?;
        Ok(lock(&self.inode).written.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        let mut state = self.begin("read")?;
        if let Some(failure) = state.faults.hit(Operation::Read, &self.name) {
            return Err(self.failed("read", failure));
        }
        if lock(&self.inode).written.read(offset, buffer) {
            Ok(())
        } else {
            Err(error("read", &self.name, ErrorKind::UnexpectedEof))
        }
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let mut state = self.begin("write")?;
        let failure = state.faults.hit(Operation::Write, &self.name);
        match failure {
            None => self.write(&mut state, offset, bytes),
            Some(Failure::ShortWrite { bytes: count }) => {
                self.write(&mut state, offset, &bytes[..count.min(bytes.len())])?;
                Err(self.failed("write", Failure::ShortWrite { bytes: count }))
            }
            Some(Failure::Misdirected { by_bytes }) => self.write(&mut state, offset + by_bytes, bytes),
            Some(Failure::Lost) => Ok(()),
            Some(failure) => Err(self.failed("write", failure)),
        }
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        self.sync()
    }

    fn sync_all(&self) -> Result<(), DiskError> {
        self.sync()
    }

    fn set_len(&self, len: u64) -> Result<(), DiskError> {
        let mut state = self.begin("resize")?;
        if let Some(failure) = state.faults.hit(Operation::SetLen, &self.name) {
            return Err(self.failed("resize", failure));
        }
        let mut inode = lock(&self.inode);
        let touched = inode.written.set_len(len);
        inode.dirty.extend(touched.into_iter().flatten());
        let id = inode.id;
        drop(inode);
        state.record(|| Step::SetLen(id, len));
        Ok(())
    }
}

impl State {
    /// Begins a call on a name: it must be a good one, and a planted fault may hit.
    fn begin(&mut self, action: &'static str, operation: Operation, name: &str) -> Result<(), DiskError> {
        if !crate::is_inside(name) {
            return Err(error(action, name, ErrorKind::InvalidInput));
        }
        match self.faults.hit(operation, name) {
            Some(failure) => Err(DiskError {
                action,
                name: name.to_owned(),
                cause: failure.error(),
            }),
            None => Ok(()),
        }
    }

    fn file(&self, action: &'static str, name: &str) -> Result<Arc<Mutex<Inode>>, DiskError> {
        match self.names.get(name) {
            Some(Node::File(inode)) => Ok(Arc::clone(inode)),
            Some(Node::Directory) => Err(error(action, name, ErrorKind::IsADirectory)),
            None => Err(error(action, name, ErrorKind::NotFound)),
        }
    }

    fn expect_parent(&self, action: &'static str, name: &str) -> Result<(), DiskError> {
        let (dir, plain) = split(name);
        let is_there = dir.is_empty() || matches!(self.names.get(dir), Some(Node::Directory));
        if is_there && crate::is_inside(name) && !plain.is_empty() {
            Ok(())
        } else {
            Err(error(action, name, ErrorKind::NotFound))
        }
    }

    fn change(&mut self, parts: Vec<(String, Option<Node>)>) {
        let change = Change(parts);
        change.apply(&mut self.names);
        self.unsynced_changes.push(change);
    }

    fn record(&mut self, step: impl FnOnce() -> Step) {
        if let Some(recording) = &mut self.recording {
            recording.steps.push(step());
        }
    }

    fn used_bytes(&self) -> u64 {
        let mut lens = BTreeMap::new();
        for node in self.names.values() {
            if let Node::File(inode) = node {
                let inode = lock(inode);
                lens.insert(inode.id, inode.written.len());
            }
        }
        lens.values().sum()
    }
}

impl Inode {
    fn sync(&mut self) {
        self.synced.set_len(self.written.len());
        for page in std::mem::take(&mut self.dirty) {
            self.synced.take(&self.written, page, PAGE_BYTES, || true);
        }
    }

    fn copy(&self) -> Inode {
        Inode {
            written: self.written.clone(),
            synced: self.synced.clone(),
            dirty: self.dirty.clone(),
            ..*self
        }
    }

    fn after_power_loss(&self, choice: &mut Choice) -> Inode {
        let mut synced = self.synced.clone();
        if choice.keep() {
            synced.set_len(self.written.len());
        }
        for page in &self.dirty {
            synced.take(&self.written, *page, SECTOR_BYTES, || choice.keep());
        }
        synced.clear_behind_end();
        Inode {
            id: self.id,
            written: synced.clone(),
            synced,
            dirty: BTreeSet::new(),
        }
    }
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, Node>) {
        for (name, node) in &self.0 {
            match node {
                Some(node) => names.insert(name.clone(), node.clone()),
                None => names.remove(name),
            };
        }
    }

    fn touches(&self, dir: &str) -> bool {
        self.0.iter().any(|(name, _)| split(name).0 == dir)
    }
}

/// Whether the next unsynced piece survives.
struct Choice {
    loss: Loss,
    state: u64,
}

impl Choice {
    fn new(loss: Loss) -> Self {
        let state = if let Loss::Seeded(seed) = loss { seed } else { 0 };
        Self { loss, state }
    }

    fn keep(&mut self) -> bool {
        match self.loss {
            Loss::DropUnsynced => false,
            Loss::KeepAll => true,
            Loss::Seeded(_) => {
                // SplitMix64 (Steele, Lea and Flood 2014): small, and the same on every machine.
                self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut z = self.state;
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                (z ^ (z >> 31)) & 1 == 1
            }
        }
    }
}

/// Copies names with their files; files with several names stay one file.
fn copy_names(
    names: &BTreeMap<String, Node>,
    copies: &mut BTreeMap<FileId, Arc<Mutex<Inode>>>,
    mut copy: impl FnMut(&Inode) -> Inode,
) -> BTreeMap<String, Node> {
    names
        .iter()
        .map(|(name, node)| (name.clone(), copy_node(node, copies, &mut copy)))
        .collect()
}

fn copy_node(
    node: &Node,
    copies: &mut BTreeMap<FileId, Arc<Mutex<Inode>>>,
    copy: &mut impl FnMut(&Inode) -> Inode,
) -> Node {
    let Node::File(inode) = node else {
        return Node::Directory;
    };
    let inode = lock(inode);
    Node::File(Arc::clone(
        copies
            .entry(inode.id)
            .or_insert_with(|| Arc::new(Mutex::new(copy(&inode)))),
    ))
}

/// A poisoned lock means that a test has panicked already; the state is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn error(action: &'static str, name: &str, kind: ErrorKind) -> DiskError {
    DiskError {
        action,
        name: name.to_owned(),
        cause: kind.into(),
    }
}

/// The directory and the plain name.
fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('/').unwrap_or(("", name))
}

/// All directories above a name, from the top.
fn parents(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('/').map(|(position, _)| &name[..position])
}

#[cfg(test)]
mod tests;
