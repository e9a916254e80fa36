//! A member whose disk is full for a while: on a small filesystem of its own, in an image or in memory. Where the machine does not let
//! tests mount, this is skipped, aloud.

use crate::soak::{Load, Soak, seconds};
use crate::workload::Chance;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Room for the log's first segments, its spares and a checkpoint.
const VOLUME_MIB: u64 = 96;

/// How long the disk stays full at most.
const FULL_MS_MAX: u64 = 1500;

/// The member with the small disk.
const SMALL: usize = 0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_whose_disk_is_full_for_a_while() {
    let mut soak = Soak::planned(3);
    let data_dir = soak.deployment.cluster.members()[SMALL].data_dir.clone();
    let volume = match Volume::mount(&data_dir) {
        Ok(volume) => volume,
        Err(why) => return println!("SKIPPED: no small filesystem can be mounted here: {why}"),
    };
    println!("the small disk is {}", volume.kind);
    soak.deployment.cluster.start_all().unwrap();
    soak.deployment.leader_above(0).await;
    let load = Load::begin(&soak.deployment.urls, &soak.recorder);
    let mut chance = Chance::from_entropy();
    let end = Instant::now() + Duration::from_secs(seconds());
    while Instant::now() < end {
        let begun = soak.recorder.now_us();
        let filled = fill(&data_dir.join("filler"));
        crate::faults::nap(&mut chance, FULL_MS_MAX).await;
        std::fs::remove_file(data_dir.join("filler")).unwrap();
        // A member that needed room and had none has ended; it comes back when there is some.
        soak.deployment.cluster.start_all().unwrap();
        soak.deployment.leader_above(0).await;
        soak.recorder
            .disturbed(begun, format!("disk full by {filled} bytes"));
        crate::faults::nap(&mut chance, FULL_MS_MAX).await;
    }
    soak.finish(load).await;
    drop(volume);
}

/// Takes all the room there is; answers with how much that was.
fn fill(path: &Path) -> u64 {
    let mut file = std::fs::File::create(path).unwrap();
    let mut filled = 0;
    for piece in [1 << 20, 4096, 1] {
        let bytes = vec![b'f'; piece];
        while file.write_all(&bytes).is_ok() {
            filled += piece as u64;
        }
    }
    assert!(filled > 0, "there was room to be taken");
    filled
}

/// A mounted filesystem, unmounted when it is dropped.
struct Volume {
    at: PathBuf,
    kind: &'static str,
}

impl Volume {
    fn mount(at: &Path) -> Result<Volume, String> {
        std::fs::create_dir_all(at).map_err(|error| error.to_string())?;
        let volume = |kind| Volume {
            at: at.to_owned(),
            kind,
        };
        match mount_image(at) {
            Ok(()) => Ok(volume("an image with ext4")),
            Err(of_image) => {
                let size = format!("size={VOLUME_MIB}m");
                run(
                    "mount",
                    &["-t", "tmpfs", "-o", &size, "tmpfs", &at.display().to_string()],
                )
                .map_err(|of_memory| format!("image: {of_image}; memory: {of_memory}"))?;
                Ok(volume("in memory"))
            }
        }
    }
}

fn mount_image(at: &Path) -> Result<(), String> {
    let image = at.with_extension("image");
    let file = std::fs::File::create(&image).map_err(|error| error.to_string())?;
    file.set_len(VOLUME_MIB << 20)
        .map_err(|error| error.to_string())?;
    let (image, at_text) = (image.display().to_string(), at.display().to_string());
    // No reserve for root, who may run this test.
    run("mkfs.ext4", &["-q", "-m", "0", "-F", &image])?;
    run("mount", &["-o", "loop", &image, &at_text])?;
    std::fs::remove_dir(at.join("lost+found")).map_err(|error| error.to_string())
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Lazily: members may still have files open when a test fails.
        let _ = run("umount", &["-l", &self.at.display().to_string()]);
    }
}

/// Runs a program of the system; its words if it fails.
pub fn run(program: &str, words: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(words).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    ))
}
