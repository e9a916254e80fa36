//! A small filesystem in memory for one member, which can be filled without harm to anybody else. It takes no rights: the
//! filesystem is mounted in a namespace of the member's own process, where the system lets users make one (Linux, mostly).

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Room for the log's first segments, its spares and a checkpoint.
const MIB: u64 = 192;
/// Mounts, and becomes the program.
const SCRIPT: &str = "mount -t tmpfs -o \"size=$1\" tmpfs \"$2\" && shift 2 && exec \"$@\"";
/// How the filler is called; no member calls a file so.
const FILLER: &str = "filler";

/// That such filesystems can be made here.
#[derive(Clone, Copy, Debug)]
pub struct SmallDisk;

impl SmallDisk {
    /// Tries it out in a directory, which is left as it is.
    ///
    /// # Errors
    /// In words, where the system does not allow it.
    pub fn new(directory: &Path) -> Result<Self, String> {
        let mut command = Self.around(&Command::new("true"), directory);
        let output = command.stdin(Stdio::null()).output();
        let output = output.map_err(|error| format!("unshare: {error}"))?;
        if output.status.success() {
            return Ok(Self);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(said.lines().next().unwrap_or("unshare failed").to_owned())
    }

    /// A command that runs with an empty small filesystem at this directory.
    pub fn around(self, command: &Command, directory: &Path) -> Command {
        let mut around = Command::new("unshare");
        around
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", SCRIPT, "sh"])
            .arg(format!("{MIB}m"))
            .arg(directory)
            .arg(command.get_program())
            .args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => around.env(name, value),
                None => around.env_remove(name),
            };
        }
        around
    }
}

/// Takes all the room that the process with this number has at this directory; answers with how many bytes that was.
///
/// # Errors
/// In words, when there is none to be taken.
pub fn fill(pid: u32, directory: &Path) -> Result<u64, String> {
    let path = filler(pid, directory);
    let failed = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
    let mut file = fs::File::create(&path).map_err(failed)?;
    let mut filled = 0;
    for piece in [1 << 20, 4096, 1] {
        let bytes = vec![b'f'; piece];
        // No more than the filesystem is large, should it be another one than ours after all.
        while filled < MIB << 20 && file.write_all(&bytes).is_ok() {
            filled += piece as u64;
        }
    }
    if filled == 0 || filled >= MIB << 20 {
        let _ = fs::remove_file(&path);
        return Err(format!("{filled} bytes were taken at {}", path.display()));
    }
    Ok(filled)
}

/// Gives it back.
///
/// # Errors
/// In words.
pub fn free(pid: u32, directory: &Path) -> Result<(), String> {
    let path = filler(pid, directory);
    fs::remove_file(&path).map_err(|error| format!("cannot remove {}: {error}", path.display()))
}

/// The filesystem as the process sees it.
fn filler(pid: u32, directory: &Path) -> PathBuf {
    let root = PathBuf::from(format!("/proc/{pid}/root"));
    let inside = directory.strip_prefix("/").unwrap_or(directory);
    root.join(inside).join(FILLER)
}
