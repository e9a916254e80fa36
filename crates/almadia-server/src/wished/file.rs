//! The wished size in a file: one number. It is read again twice a second, which is what works with mounted ConfigMaps, whose
//! files are replaced by links. What cannot be read changes nothing.

use super::tell_if_new;
use almadia_member::naming::MEMBERS_MAX;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

/// Between two looks.
const TICK: Duration = Duration::from_millis(500);

/// A number of one digit, and blanks around it.
const FILE_BYTES_MAX: usize = 64;

/// Follows a file until it is aborted.
pub(super) async fn follow(path: PathBuf, tell: watch::Sender<Option<u32>>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut complained = None;
    loop {
        ticks.tick().await;
        let looked = look(&path, &tell).await.err();
        if let Some(reason) = looked.as_ref().filter(|_| looked != complained) {
            tracing::warn!(file = %path.display(), reason, "--wished-size: the size stays what it was");
        }
        complained = looked;
    }
}

/// Reads it once.
pub(super) async fn look(path: &Path, tell: &watch::Sender<Option<u32>>) -> Result<(), String> {
    let own = path.to_owned();
    let size = tokio::task::spawn_blocking(move || read(&own)).await;
    let size = size.expect("reading a file neither panics nor is cancelled")?;
    tell_if_new(tell, size, &path.display().to_string());
    Ok(())
}

fn read(path: &Path) -> Result<u32, String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(format!("it has more than {FILE_BYTES_MAX} bytes"));
    }
    parse(&String::from_utf8_lossy(&bytes))
}

fn parse(text: &str) -> Result<u32, String> {
    let size: Option<u32> = text.trim().parse().ok();
    size.filter(|size| *size <= MEMBERS_MAX)
        .ok_or_else(|| format!("expected a number from 0 to {MEMBERS_MAX}, not {:?}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::super::WishedSize;
    use super::*;
    use crate::config::WishedSource;

    #[test]
    fn a_size_is_a_number() {
        assert_eq!(parse("3\n"), Ok(3));
        assert_eq!(parse(" 0 "), Ok(0));
        for wrong in ["", "x", "-1", "3 4", "10", "3.0"] {
            let reason = parse(wrong).expect_err(wrong);
            assert!(
                reason.contains("from 0 to 9") && !reason.contains('\n'),
                "{reason}"
            );
        }
    }

    /// The file is replaced, spoilt, removed and written again: the last number that could be read holds.
    #[tokio::test]
    async fn changes_are_noticed_and_nonsense_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("size");
        let wished = WishedSize::of(WishedSource::File(path.clone()), 0);
        let mut size = wished.size();
        assert_eq!(*size.borrow(), None, "there is no file yet");
        std::fs::write(&path, "3").unwrap();
        assert_eq!(wished.known().await, Some(3));
        std::fs::write(&path, "many").unwrap();
        std::fs::remove_file(&path).unwrap();
        let next = directory.path().join("next");
        std::fs::write(&next, "5\n").unwrap();
        std::fs::rename(&next, &path).unwrap();
        let five = size.wait_for(|size| *size == Some(5)).await;
        assert_eq!(*five.unwrap(), Some(5));
        std::fs::write(&path, "4").unwrap();
        wished.refresh().await;
        assert_eq!(
            *size.borrow(),
            Some(4),
            "whoever stops need not wait for the next look"
        );
    }
}
