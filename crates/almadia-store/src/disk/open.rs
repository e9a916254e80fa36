//! Finding the state after a start: the newest manifest that verifies, with all its segments.

use std::sync::Arc;

use almadia_command::Revision;
use almadia_disk::Disk;

use super::error::{Damage, KeeperError};
use super::garbage::Garbage;
use super::keeper::{Keeper, Options};
use super::load::load;
use super::manifest::{self, Manifest};
use super::names::{self, INCOMING_DIR, OUTGOING_DIR, SEGMENT_DIR};
use super::reserve;
use super::segment_reader::open_whole;
use crate::Store;

/// A manifest that was read with its segments, and what had to be passed over to get there.
struct Found {
    manifest: Manifest,
    store: Store,
    damages: Vec<Damage>,
}

impl Keeper {
    /// Opens the state on `disk` and builds the store from it: exactly what the newest usable manifest says. A
    /// fresh disk becomes an empty store. Entries of the log after [`Keeper::checkpointed`] are to be applied next.
    ///
    /// A damaged newest manifest, or one with a damaged segment, is passed over for the older one;
    /// [`Keeper::damages`] tells. Leftovers of a crash are removed. Except on a fresh disk no new room is needed.
    ///
    /// # Errors
    /// [`KeeperError::NothingValid`], [`KeeperError::ManifestMissing`], [`KeeperError::Newer`], or a failing disk.
    pub fn open(disk: Arc<dyn Disk>, options: Options) -> Result<(Self, Store), KeeperError> {
        assert!(
            options.load_threads > 0 && options.slice_blocks > 0 && options.slice_keys > 0,
            "work needs hands"
        );
        for dir in [SEGMENT_DIR, INCOMING_DIR, OUTGOING_DIR] {
            disk.create_dir(dir)?;
        }
        let mut numbers: Vec<u64> = disk
            .list("")?
            .iter()
            .filter_map(|name| names::manifest_number(name))
            .collect();
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        let found = match find(disk.as_ref(), &numbers, &options)? {
            Some(found) => found,
            None => found_fresh(disk.as_ref())?,
        };
        let is_fresh = numbers.is_empty();
        let mut keeper = Self::with(disk, options, found.manifest, found.damages)?;
        keeper.next_number = numbers.first().map_or(1, |newest| newest + 1);
        if is_fresh {
            // From now on segments without a manifest are a loss, not a beginning.
            keeper.commit(Manifest::empty(0))?;
            keeper.previous = None;
        } else {
            keeper.previous = keeper.find_previous(&numbers);
            keeper.remove_leftovers(&numbers);
        }
        reserve::keep(keeper.disk.as_ref(), options.reserve_bytes_max);
        let mut store = found.store;
        // Before the first command: compaction must not drop what the segments do not hold.
        store
            .publish()
            .note_checkpointed(Revision(keeper.current.revision));
        Ok((keeper, store))
    }

    fn with(
        disk: Arc<dyn Disk>,
        options: Options,
        current: Manifest,
        damages: Vec<Damage>,
    ) -> Result<Self, KeeperError> {
        let seen = disk
            .list(SEGMENT_DIR)?
            .iter()
            .filter_map(|name| names::generation(name))
            .max()
            .unwrap_or(0);
        Ok(Self {
            disk,
            options,
            next_number: 1,
            next_generation: current.next_generation.max(seen + 1),
            previous: None,
            leftovers: Vec::new(),
            garbage: Garbage::default(),
            rewrite: None,
            scrubbed: 0,
            snapshots_made: 0,
            manifest_bytes: current.encode().len() as u64,
            damages,
            current,
        })
    }

    /// The next older manifest, if it could be fallen back to. Only lengths are looked at: scrubbing reads the rest.
    fn find_previous(&self, numbers: &[u64]) -> Option<Manifest> {
        let number = *numbers.iter().find(|number| **number < self.current.number)?;
        let older = manifest::read(self.disk.as_ref(), &names::manifest(number)).ok()?;
        let is_whole = |name: &str, bytes: u64| open_whole(self.disk.as_ref(), name, bytes).is_ok();
        older
            .segments
            .iter()
            .all(|segment| is_whole(&segment.name(), segment.bytes))
            .then_some(older)
    }

    /// Removes what a crash left behind. After damage, segments and manifests stay for whoever looks into it: until
    /// the next open that finds all well.
    fn remove_leftovers(&mut self, numbers: &[u64]) {
        let mut remove: Vec<String> = Vec::new();
        for dir in [INCOMING_DIR, OUTGOING_DIR] {
            let files = self.disk.list(dir).unwrap_or_default();
            remove.extend(files.iter().map(|name| names::inside(dir, name)));
        }
        let root = self.disk.list("").unwrap_or_default();
        remove.extend(root.into_iter().filter(|name| names::is_temporary_manifest(name)));
        if self.damages.is_empty() {
            let kept: Vec<u64> = self.kept().map(|manifest| manifest.number).collect();
            remove.extend(
                numbers
                    .iter()
                    .filter(|number| !kept.contains(number))
                    .map(|n| names::manifest(*n)),
            );
            let kept: Vec<String> = self
                .kept()
                .flat_map(|manifest| &manifest.segments)
                .map(|segment| segment.name())
                .collect();
            let segments = self.disk.list(SEGMENT_DIR).unwrap_or_default();
            let named = segments.iter().map(|name| names::inside(SEGMENT_DIR, name));
            remove.extend(named.filter(|name| !kept.contains(name)));
        }
        for name in remove {
            tracing::debug!(name, "a leftover of a crash is removed");
            let _ = self.disk.remove(&name);
        }
    }
}

/// The newest manifest that can be read with all its segments. None when there are no manifests at all.
fn find(disk: &dyn Disk, numbers: &[u64], options: &Options) -> Result<Option<Found>, KeeperError> {
    let mut damages = Vec::new();
    for number in numbers {
        let name = names::manifest(*number);
        let read = manifest::read(disk, &name).and_then(|manifest| {
            let store = load(disk, &manifest, options.load_threads)?;
            Ok((manifest, store))
        });
        match read {
            Ok((manifest, store)) => {
                return Ok(Some(Found {
                    manifest,
                    store,
                    damages,
                }));
            }
            Err(error @ KeeperError::Newer { .. }) => return Err(error),
            Err(KeeperError::Damaged(damage)) => damages.push(damage),
            // A medium that cannot be read is as good as rotten: the older manifest may do without that file.
            Err(error) => damages.push(Damage::new(&name, error.to_string())),
        }
    }
    if damages.is_empty() {
        Ok(None)
    } else {
        Err(KeeperError::NothingValid(damages))
    }
}

fn found_fresh(disk: &dyn Disk) -> Result<Found, KeeperError> {
    let segments = disk.list(SEGMENT_DIR)?;
    if let Some(name) = segments.iter().find(|name| name.ends_with(".seg")) {
        return Err(KeeperError::ManifestMissing(names::inside(SEGMENT_DIR, name)));
    }
    Ok(Found {
        manifest: Manifest::empty(0),
        store: Store::empty(),
        damages: Vec::new(),
    })
}
