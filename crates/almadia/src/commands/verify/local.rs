//! Three members that the suite starts itself, on this machine, and stops again.

use std::path::PathBuf;
use std::time::Duration;

use crate::commands::error::CommandError;
use crate::demo::cluster::{LocalCluster, Plan};

/// How many.
const MEMBERS: usize = 3;

/// A stop ends well inside this (M5.3).
const STOP_MAX: Duration = Duration::from_secs(10);

/// The members, and where their data and logs lie.
pub struct Own {
    /// As processes.
    pub cluster: LocalCluster,
    directory: PathBuf,
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
            program,
            directory: directory.clone(),
            members: MEMBERS,
            arguments: vec!["--enable-fault-injection".to_owned()],
        };
        let cluster = LocalCluster::new(plan).map_err(|error| failed("find ports", error))?;
        Ok(Self { cluster, directory })
    }

    /// Starts those that do not run.
    pub fn start(&mut self) -> Result<(), String> {
        let started = self.cluster.start_all();
        started.map_err(|error| format!("a member cannot be started: {error}"))
    }

    /// Stops all, one after the other, and says whose end was not a good one.
    pub fn stop(&mut self) -> Result<(), String> {
        for ordinal in 0..MEMBERS {
            let status = self
                .cluster
                .stop(ordinal, STOP_MAX)
                .map_err(|error| error.to_string())?;
            if !status.success() {
                return Err(format!("almadia-{ordinal} did not stop cleanly: {status}"));
            }
        }
        Ok(())
    }

    /// Ends the processes; removes the data unless it may tell what went wrong.
    pub fn clear(mut self, keep: bool) {
        self.cluster.kill_all();
        if keep {
            eprintln!("data and logs are in {}", self.directory.display());
        } else if let Err(error) = std::fs::remove_dir_all(&self.directory) {
            eprintln!("cannot remove {}: {error}", self.directory.display());
        }
    }
}
