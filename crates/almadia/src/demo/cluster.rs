//! Members as processes of this program on this machine: started, killed, stopped, started again. It knows processes,
//! ports and directories; it never speaks to a member.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// Ports are taken from here: below the range from which systems hand out ports for outgoing connections (32768 on Linux).
/// A port from that range could be taken by somebody's connection while its member is dead, even by a peer that tries to
/// reach just this port.
const PORT_MIN: u16 = 10_000;
const PORTS: u16 = 20_000;

/// How often a stopping process is looked at.
const POLL: Duration = Duration::from_millis(5);

/// What a cluster shall be.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The almadia program.
    pub program: PathBuf,
    /// Where data and logs lie; it must exist.
    pub directory: PathBuf,
    /// How many members.
    pub members: usize,
    /// Flags that each member gets besides name, addresses and directory.
    pub arguments: Vec<String>,
}

/// One member as a process.
#[derive(Debug)]
pub struct LocalMember {
    /// `almadia-0`, `almadia-1` and so on.
    pub name: String,
    /// Where clients reach it.
    pub client_url: String,
    /// Where its peers reach it.
    pub peer_url: String,
    /// Its data.
    pub data_dir: PathBuf,
    /// What it says, all starts one after the other.
    pub log_file: PathBuf,
    process: Option<Child>,
}

/// A cluster of processes. Dropping it kills those that run, unless [`LocalCluster::let_go`] was called.
#[derive(Debug)]
pub struct LocalCluster {
    plan: Plan,
    members: Vec<LocalMember>,
}

impl LocalCluster {
    /// Chooses names, ports and directories; starts nothing.
    ///
    /// # Errors
    /// When no ports are free.
    pub fn new(plan: Plan) -> io::Result<Self> {
        let ports = free_ports(plan.members * 2)?;
        let member = |ordinal: usize| {
            let name = format!("almadia-{ordinal}");
            LocalMember {
                client_url: format!("http://127.0.0.1:{}", ports[ordinal * 2]),
                peer_url: format!("http://127.0.0.1:{}", ports[ordinal * 2 + 1]),
                data_dir: plan.directory.join(&name),
                log_file: plan.directory.join(format!("{name}.log")),
                name,
                process: None,
            }
        };
        let members = (0..plan.members).map(member).collect();
        Ok(Self { plan, members })
    }

    /// The members in order of their ordinals.
    pub fn members(&self) -> &[LocalMember] {
        &self.members
    }

    /// Where clients reach the members.
    pub fn client_urls(&self) -> Vec<String> {
        self.members
            .iter()
            .map(|member| member.client_url.clone())
            .collect()
    }

    /// The member's command line as it would be started now.
    pub fn command(&self, ordinal: usize) -> Command {
        let member = &self.members[ordinal];
        let initial: Vec<String> = self
            .members
            .iter()
            .map(|member| format!("{}={}", member.name, member.peer_url))
            .collect();
        let mut command = Command::new(&self.plan.program);
        command
            .arg("server")
            .args(["--name", &member.name])
            .arg("--data-dir")
            .arg(&member.data_dir)
            .args(["--listen-client-urls", &member.client_url])
            .args(["--advertise-client-urls", &member.client_url])
            .args(["--listen-peer-urls", &member.peer_url])
            .args(["--initial-advertise-peer-urls", &member.peer_url])
            .args(["--initial-cluster", &initial.join(",")])
            .args(&self.plan.arguments);
        // Settings meant for somebody else's server must not reach this one.
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("ETCD_")) {
                command.env_remove(name);
            }
        }
        command
    }

    /// Starts a member that does not run.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn start(&mut self, ordinal: usize) -> io::Result<()> {
        let command = self.command(ordinal);
        self.start_as(ordinal, command)
    }

    /// Starts a member with another command line.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn start_as(&mut self, ordinal: usize, mut command: Command) -> io::Result<()> {
        assert!(
            !self.is_running(ordinal),
            "{} runs already",
            self.members[ordinal].name
        );
        let member = &mut self.members[ordinal];
        let log = File::options().create(true).append(true).open(&member.log_file)?;
        // A group of its own, so that Ctrl-C in a terminal reaches us and not the members behind our back.
        command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        member.process = Some(command.spawn()?);
        Ok(())
    }

    /// Starts all members that do not run.
    ///
    /// # Errors
    /// When a process cannot be started.
    pub fn start_all(&mut self) -> io::Result<()> {
        (0..self.members.len())
            .filter(|ordinal| !self.is_running(*ordinal))
            .collect::<Vec<_>>()
            .into_iter()
            .try_for_each(|ordinal| self.start(ordinal))
    }

    /// True while the member's process lives.
    pub fn is_running(&mut self, ordinal: usize) -> bool {
        let process = &mut self.members[ordinal].process;
        process
            .as_mut()
            .is_some_and(|process| matches!(process.try_wait(), Ok(None)))
    }

    /// How the member's process ended, if it did.
    pub fn exit_status(&mut self, ordinal: usize) -> Option<ExitStatus> {
        self.members[ordinal].process.as_mut()?.try_wait().ok().flatten()
    }

    /// The member's process id, while it runs.
    pub fn pid(&mut self, ordinal: usize) -> Option<u32> {
        if !self.is_running(ordinal) {
            return None;
        }
        self.members[ordinal].process.as_ref().map(Child::id)
    }

    /// Kills members at once, as `kill -9` does, all signals before the first wait.
    pub fn kill(&mut self, ordinals: &[usize]) {
        for ordinal in ordinals {
            if let Some(process) = &mut self.members[*ordinal].process {
                // Fails only when it has ended by itself, which is as good.
                let _ = process.kill();
            }
        }
        for ordinal in ordinals {
            if let Some(mut process) = self.members[*ordinal].process.take() {
                let _ = process.wait();
            }
        }
    }

    /// Kills all members.
    pub fn kill_all(&mut self) {
        let all: Vec<usize> = (0..self.members.len()).collect();
        self.kill(&all);
    }

    /// Asks a member to stop (SIGTERM).
    ///
    /// # Errors
    /// When it does not run.
    pub fn ask_to_stop(&self, ordinal: usize) -> io::Result<()> {
        let member = &self.members[ordinal];
        let Some(process) = &member.process else {
            return Err(io::Error::other(format!("{} does not run", member.name)));
        };
        let id = i32::try_from(process.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        let id = id.ok_or_else(|| io::Error::other("a process id out of range"))?;
        Ok(rustix::process::kill_process(id, rustix::process::Signal::TERM)?)
    }

    /// The same, and waits for its end.
    ///
    /// # Errors
    /// When it does not run, or does not end in time; then it still runs.
    pub fn stop(&mut self, ordinal: usize, limit: Duration) -> io::Result<ExitStatus> {
        self.ask_to_stop(ordinal)?;
        let member = &mut self.members[ordinal];
        let process = member.process.as_mut().expect("it was asked to stop");
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = process.try_wait()? {
                member.process = None;
                return Ok(status);
            }
            if Instant::now() >= deadline {
                return Err(io::Error::other(format!(
                    "{} did not stop within {limit:?}",
                    member.name
                )));
            }
            std::thread::sleep(POLL);
        }
    }

    /// Leaves the processes that run to themselves.
    pub fn let_go(&mut self) {
        for member in &mut self.members {
            member.process = None;
        }
    }

    /// The last lines a member wrote.
    pub fn last_words(&self, ordinal: usize, lines: usize) -> Vec<String> {
        last_lines(&self.members[ordinal].log_file, lines)
    }
}

impl Drop for LocalCluster {
    fn drop(&mut self) {
        self.kill_all();
    }
}

fn last_lines(path: &Path, count: usize) -> Vec<String> {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..]
        .iter()
        .map(|line| (*line).to_owned())
        .collect()
}

/// Ports nobody listens on. They are only looked at, not kept: what is started next must take them.
///
/// # Errors
/// When there are not that many.
pub fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    // Where to look next: apart for processes that look at the same time, and moving on within one.
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let process_offset = (std::process::id().wrapping_mul(97) % u32::from(PORTS)) as u16;
    let mut ports = Vec::with_capacity(count);
    for _ in 0..PORTS {
        if ports.len() == count {
            return Ok(ports);
        }
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % PORTS;
        let port = PORT_MIN + (process_offset + step) % PORTS;
        if is_free(port) {
            ports.push(port);
        }
    }
    Err(io::Error::other("no free ports on 127.0.0.1"))
}

/// Whether nobody listens on this port just now.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_distinct_and_free() {
        let ports = free_ports(20).expect("20 of 20000");
        let mut distinct = ports.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), 20);
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, ports[0])).is_ok());
    }

    #[test]
    fn the_command_line_names_every_member() {
        let plan = Plan {
            program: "almadia".into(),
            directory: "/nowhere".into(),
            members: 3,
            arguments: vec!["--log-level=warn".to_owned()],
        };
        let cluster = LocalCluster::new(plan).expect("ports");
        let command = cluster.command(1);
        let arguments: Vec<&str> = command
            .get_args()
            .filter_map(|argument| argument.to_str())
            .collect();
        let initial = arguments
            .iter()
            .find(|argument| argument.contains("almadia-0=http://127.0.0.1:"));
        assert!(
            initial.is_some_and(|initial| initial.contains(",almadia-2=http://127.0.0.1:")),
            "{arguments:?}"
        );
        assert_eq!(arguments.last(), Some(&"--log-level=warn"));
    }

    #[test]
    fn a_process_that_ended_is_seen() {
        let directory = tempfile::tempdir().expect("a directory");
        let plan = Plan {
            program: "/bin/false".into(),
            directory: directory.path().to_owned(),
            members: 1,
            arguments: Vec::new(),
        };
        let mut cluster = LocalCluster::new(plan).expect("ports");
        cluster.start_all().expect("/bin/false starts");
        while cluster.is_running(0) {
            std::thread::yield_now();
        }
        assert_eq!(cluster.exit_status(0).and_then(|status| status.code()), Some(1));
        assert_eq!(cluster.pid(0), None);
        cluster.kill_all();
    }
}
