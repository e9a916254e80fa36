//! Members that the suite starts itself, on this machine, and stops again: a set of three, told by one pattern and a file with the
//! wished size, so that a lost disk and another size heal by themselves as on Kubernetes. It never speaks to a member.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use super::small_disk::{self, SmallDisk};
use crate::commands::error::CommandError;
use crate::demo::cluster::{LocalCluster, Plan, free_ports, is_free};

/// How many found the cluster.
const FOUNDERS: usize = 3;
/// How many there may be while it is scaled.
const MEMBERS_MAX: usize = 5;
/// Ports that differ in the last digit only; the ordinal stands there.
const BLOCK: u16 = 10;
/// Blocks that are looked at before it is given up.
const BLOCKS_MAX: usize = 1000;

/// A stop ends well inside this (M5.3).
const STOP_MAX: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);

/// The members, and where their data and logs lie.
pub struct Own {
    /// As processes: all that there may be.
    pub cluster: LocalCluster,
    program: PathBuf,
    directory: PathBuf,
    /// Peer URLs, with `%d` for the ordinal.
    pattern: String,
    /// How many there are to be; ordinals from 0.
    size: usize,
}

impl Own {
    /// Names, ports, a directory; starts nothing.
    pub fn plan() -> Result<Self, CommandError> {
        let failed =
            |what: &str, error: std::io::Error| CommandError::failed(format!("cannot {what}: {error}"));
        let directory = crate::demo::new_directory("almadia-verify")
            .map_err(|error| failed("make a directory for the members", error))?;
        let program =
            std::env::current_exe().map_err(|error| failed("find this program's own file", error))?;
        let plan = Plan {
            program: program.clone(),
            directory: directory.clone(),
            members: MEMBERS_MAX,
            arguments: Vec::new(),
        };
        let cluster = LocalCluster::new(plan).map_err(|error| failed("find ports", error))?;
        let block = free_block(&cluster).map_err(|error| failed("find ports", error))?;
        Ok(Self {
            cluster,
            program,
            directory,
            pattern: format!("http://127.0.0.1:{}%d", block / BLOCK),
            size: FOUNDERS,
        })
    }

    /// How many members there are to be.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Where clients reach those who found the cluster.
    pub fn client_urls(&self) -> Vec<String> {
        self.cluster.client_urls()[..FOUNDERS].to_vec()
    }

    /// Starts those that do not run and are to be there.
    pub fn start(&mut self) -> Result<(), String> {
        self.write_size()?;
        for ordinal in 0..self.size {
            if !self.cluster.is_running(ordinal) {
                self.start_one(ordinal)?;
            }
        }
        Ok(())
    }

    /// Starts one that does not run.
    pub fn start_one(&mut self, ordinal: usize) -> Result<(), String> {
        let command = self.command(ordinal);
        self.start_as(ordinal, command)
    }

    fn start_as(&mut self, ordinal: usize, command: Command) -> Result<(), String> {
        let started = self.cluster.start_as(ordinal, command);
        started.map_err(|error| format!("almadia-{ordinal} cannot be started: {error}"))
    }

    /// Kills one, empties its data directory, and starts it again.
    pub fn wipe(&mut self, ordinal: usize) -> Result<(), String> {
        self.empty(ordinal)?;
        self.start_one(ordinal)
    }

    /// The same, onto a small disk of its own.
    pub fn wipe_onto_small_disk(&mut self, ordinal: usize) -> Result<(), String> {
        self.empty(ordinal)?;
        let data_dir = &self.cluster.members()[ordinal].data_dir;
        let made = fs::create_dir_all(data_dir);
        made.map_err(|error| format!("cannot make {}: {error}", data_dir.display()))?;
        let command = SmallDisk::new(data_dir)?.around(&self.command(ordinal), data_dir);
        self.start_as(ordinal, command)
    }

    /// Fills it.
    pub fn fill_disk(&mut self, ordinal: usize) -> Result<(), String> {
        let (pid, data_dir) = self.place_of(ordinal)?;
        small_disk::fill(pid, &data_dir).map(drop)
    }

    /// Gives the room back.
    pub fn free_disk(&mut self, ordinal: usize) -> Result<(), String> {
        let (pid, data_dir) = self.place_of(ordinal)?;
        small_disk::free(pid, &data_dir)
    }

    fn place_of(&mut self, ordinal: usize) -> Result<(u32, PathBuf), String> {
        let pid = self.cluster.pid(ordinal);
        let pid = pid.ok_or_else(|| format!("almadia-{ordinal} does not run"))?;
        Ok((pid, self.cluster.members()[ordinal].data_dir.clone()))
    }

    fn empty(&mut self, ordinal: usize) -> Result<(), String> {
        self.cluster.kill(&[ordinal]);
        let data_dir = &self.cluster.members()[ordinal].data_dir;
        let emptied = fs::remove_dir_all(data_dir);
        emptied.map_err(|error| format!("cannot empty {}: {error}", data_dir.display()))
    }

    /// Says how many there are to be and starts those that come. Those that go leave by themselves.
    pub fn scale(&mut self, size: usize) -> Result<(), String> {
        assert!(size <= MEMBERS_MAX, "there are ports for {MEMBERS_MAX}");
        self.size = size;
        self.start()
    }

    /// Stops those that have left, as Kubernetes does.
    pub async fn stop_surplus(&mut self) -> Result<(), String> {
        self.stop_from(self.size).await
    }

    /// Stops all, one after the other, and says whose end was not a good one.
    pub async fn stop(&mut self) -> Result<(), String> {
        self.stop_from(0).await
    }

    async fn stop_from(&mut self, first: usize) -> Result<(), String> {
        for ordinal in first..MEMBERS_MAX {
            if self.cluster.is_running(ordinal) {
                self.stop_one(ordinal).await?;
            }
        }
        Ok(())
    }

    async fn stop_one(&mut self, ordinal: usize) -> Result<(), String> {
        let asked = self.cluster.ask_to_stop(ordinal);
        asked.map_err(|error| error.to_string())?;
        let status = self.end_of(ordinal).await?;
        if !status.success() {
            return Err(format!("almadia-{ordinal} did not stop cleanly: {status}"));
        }
        Ok(())
    }

    /// Waits until a process has ended; others go on meanwhile, the clients among them.
    pub async fn end_of(&mut self, ordinal: usize) -> Result<ExitStatus, String> {
        let deadline = Instant::now() + STOP_MAX;
        loop {
            if let Some(status) = self.cluster.exit_status(ordinal) {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                return Err(format!(
                    "almadia-{ordinal} did not end within {} s",
                    STOP_MAX.as_secs()
                ));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Ends the processes; removes the data unless it may tell what went wrong.
    pub fn clear(mut self, keep: bool) {
        self.cluster.kill_all();
        if keep {
            eprintln!("data and logs are in {}", self.directory.display());
        } else if let Err(error) = fs::remove_dir_all(&self.directory) {
            eprintln!("cannot remove {}: {error}", self.directory.display());
        }
    }

    fn size_file(&self) -> PathBuf {
        self.directory.join("wished-size")
    }

    /// Replaces the file at once: whoever reads it finds a whole number.
    fn write_size(&self) -> Result<(), String> {
        let next = self.directory.join("wished-size.next");
        let written = fs::write(&next, format!("{}\n", self.size));
        let renamed = written.and_then(|()| fs::rename(&next, self.size_file()));
        renamed.map_err(|error| format!("cannot write {}: {error}", self.size_file().display()))
    }

    fn command(&self, ordinal: usize) -> Command {
        let member = &self.cluster.members()[ordinal];
        let mut command = Command::new(&self.program);
        // Settings meant for somebody else's server must not reach this one.
        for (name, _) in std::env::vars_os() {
            let name_text = name.to_string_lossy();
            if name_text.starts_with("ETCD_") || name_text.starts_with("ALMADIA_") {
                command.env_remove(name);
            }
        }
        command
            .args(["server", "--enable-fault-injection", "--name", &member.name])
            .arg("--data-dir")
            .arg(&member.data_dir)
            .args(["--listen-client-urls", &member.client_url])
            .args(["--advertise-client-urls", &member.client_url])
            .args(["--peer-pattern", &self.pattern])
            .args([
                "--listen-peer-urls",
                &self.pattern.replace("%d", &ordinal.to_string()),
            ])
            .args(["--cluster-size", &FOUNDERS.to_string()])
            .arg(format!("--wished-size=file:{}", self.size_file().display()));
        command
    }
}

/// The first of ten ports of which the members' are free, and that the cluster does not use for something else.
fn free_block(cluster: &LocalCluster) -> std::io::Result<u16> {
    let is_taken = |port: u16| {
        let end = format!(":{port}");
        let uses = |url: &String| url.ends_with(&end);
        cluster.client_urls().iter().any(uses) || !is_free(port)
    };
    for _ in 0..BLOCKS_MAX {
        let first = free_ports(1)?[0] / BLOCK * BLOCK;
        if (first..first + MEMBERS_MAX as u16).all(|port| !is_taken(port)) {
            return Ok(first);
        }
    }
    Err(std::io::Error::other("no five free ports in a row on 127.0.0.1"))
}
