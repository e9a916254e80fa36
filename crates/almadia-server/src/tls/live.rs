//! What is made of files, and made again when they change. New connections get the newest that is good; those that are open
//! keep what they began with.
//!
//! It looks by the clock, never while somebody waits for a handshake: a file on a slow disk costs no connection anything.

use super::TlsError;
use super::pem::{FileError, Named};
use arc_swap::ArcSwap;
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::task::JoinSet;
use tracing::{info, warn};

/// How often files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A file that was written this shortly before may have been written again without its times telling.
const TIMES_TELL_AFTER: Duration = Duration::from_secs(2);

/// Something made of files.
pub(super) struct Live<T> {
    files: Vec<Named>,
    make: Make<T>,
    current: ArcSwap<T>,
    seen: Mutex<Seen>,
}

type Make<T> = Box<dyn Fn(&Contents) -> Result<T, TlsError> + Send + Sync>;

/// What the files were when they were looked at last.
struct Seen {
    /// `None`: their times may lie.
    stamps: Option<Vec<Stamp>>,
    contents: Result<Contents, FileError>,
}

/// What changes when a file does: times of change in nanoseconds, length, number.
#[derive(Debug, PartialEq, Eq)]
struct Stamp(Option<(i128, i128, u64, u64)>);

/// The bytes of all files, in their order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Contents(Vec<(Named, Vec<u8>)>);

impl Contents {
    fn read(files: &[Named]) -> Result<Self, FileError> {
        let each = files.iter().map(|named| Ok((named.clone(), named.read()?)));
        each.collect::<Result<_, _>>().map(Self)
    }

    /// The file of a flag.
    pub(super) fn get(&self, flag: &str) -> Option<(&Named, &[u8])> {
        let found = self.0.iter().find(|(named, _)| named.flag == flag);
        found.map(|(named, bytes)| (named, bytes.as_slice()))
    }
}

impl<T> fmt::Debug for Live<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

/// Something that may have changed behind our back.
pub(super) trait Changing: Send + Sync + 'static {
    /// Looks, and takes over what is new and good.
    fn look(&self);
}

impl<T> Live<T> {
    /// Reads the files and makes the first.
    pub(super) fn open(
        files: Vec<Named>,
        make: impl Fn(&Contents) -> Result<T, TlsError> + Send + Sync + 'static,
    ) -> Result<Self, TlsError> {
        let stamps = stamps(&files);
        let contents = Contents::read(&files)?;
        let first = make(&contents)?;
        Ok(Self {
            files,
            make: Box::new(make),
            current: ArcSwap::from_pointee(first),
            seen: Mutex::new(Seen {
                stamps,
                contents: Ok(contents),
            }),
        })
    }

    /// The newest that is good.
    pub(super) fn current(&self) -> Arc<T> {
        self.current.load_full()
    }

    /// Looks whether the files have changed; each state of them is made something of, or complained about, once.
    pub(super) fn look(&self) {
        let mut seen = self
            .seen
            .lock()
            .expect("nobody panics while reading certificates");
        let stamps = stamps(&self.files);
        if stamps.is_some() && stamps == seen.stamps {
            return;
        }
        let contents = Contents::read(&self.files);
        seen.stamps = stamps;
        if contents == seen.contents {
            return;
        }
        let made = match &contents {
            Ok(contents) => (self.make)(contents),
            Err(error) => Err(error.clone().into()),
        };
        let files = self.names();
        match made {
            Ok(new) => {
                self.current.store(Arc::new(new));
                info!(%files, "TLS files have changed; new connections use the new ones");
            }
            Err(error) => {
                warn!(%error, %files, "TLS files have changed and cannot be used; those of before stay in use")
            }
        }
        seen.contents = contents;
    }

    fn names(&self) -> String {
        let names: Vec<String> = self
            .files
            .iter()
            .map(|named| named.path.display().to_string())
            .collect();
        names.join(", ")
    }
}

/// The stamps of all files; `None` when they cannot be relied on yet.
fn stamps(files: &[Named]) -> Option<Vec<Stamp>> {
    let now = SystemTime::now();
    let mut stamps = Vec::with_capacity(files.len());
    for named in files {
        let metadata = std::fs::metadata(&named.path).ok();
        let is_young = metadata.as_ref().is_some_and(|metadata| {
            let written = metadata.modified().unwrap_or(now);
            now.duration_since(written)
                .is_ok_and(|age| age < TIMES_TELL_AFTER)
        });
        if is_young {
            return None;
        }
        let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        stamps.push(Stamp(metadata.map(|metadata| {
            (
                nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
                nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
                metadata.len(),
                metadata.ino(),
            )
        })));
    }
    Some(stamps)
}

/// Looks at changing things, each second, until it is dropped.
#[derive(Debug, Default)]
pub(super) struct Watching {
    tasks: JoinSet<()>,
}

impl Watching {
    /// One more thing.
    pub(super) fn watch(&mut self, changing: Arc<impl Changing>) {
        self.tasks.spawn(async move {
            let mut interval = tokio::time::interval(LOOK_EVERY);
            interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                interval.tick().await;
                let changing = changing.clone();
                // A panic in there has been reported; the next look may do better.
                let _ = tokio::task::spawn_blocking(move || changing.look()).await;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn text_of(path: &Path) -> Live<String> {
        let make = |contents: &Contents| {
            let (named, bytes) = contents.get("--file").expect("named");
            let text = String::from_utf8(bytes.to_vec()).map_err(|_| named.error("no text"))?;
            Ok(text)
        };
        Live::open(vec![Named::new("--file", path)], make).expect("readable")
    }

    /// Promise: what is good is taken over at the next look, even when a file is written twice within a tick of its
    /// times; what is not good leaves the old one in use.
    #[test]
    fn the_newest_good_contents_count() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let write = |bytes: &[u8]| std::fs::write(&path, bytes).unwrap();
        write(b"one");
        let live = text_of(&path);
        for text in ["two", "six", "ten"] {
            write(text.as_bytes());
            live.look();
            assert_eq!(*live.current(), text);
        }
        write(b"\xff");
        live.look();
        assert_eq!(*live.current(), "ten");
        std::fs::remove_file(&path).unwrap();
        live.look();
        assert_eq!(*live.current(), "ten");
        write(b"new");
        live.look();
        assert_eq!(*live.current(), "new");
    }

    /// Old times are believed, and a change of them leads to another reading.
    #[test]
    fn times_tell_once_they_are_old() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "old").unwrap();
        let age = |seconds| {
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(seconds))
                .unwrap();
        };
        age(100);
        let named = [Named::new("--file", &path)];
        let first = stamps(&named);
        assert!(first.is_some());
        assert_eq!(first, stamps(&named));
        age(90);
        assert_ne!(first, stamps(&named));
        age(0);
        assert_eq!(stamps(&named), None);
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let missing = Live::open(vec![Named::new("--cert-file", Path::new("/no/such"))], |_| Ok(()));
        assert_eq!(
            missing.unwrap_err().to_string(),
            "--cert-file /no/such: there is no such file"
        );
    }
}
