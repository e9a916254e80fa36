//! What is shown in the metrics of the process and of the body below the member: memory, files, the log's syncs, traffic with
//! peers, certificates. Read when somebody looks; what cannot be read is left out.

use almadia_etcd::{Sheet, Source};
use almadia_member::Member;
use almadia_server::BodyVitals;
use almadia_server::peers::{Cut, Who};
use rustix::process::{Resource, getrlimit};
use std::sync::atomic::Ordering;

/// The source of these numbers.
pub struct Body {
    /// Whose body it is.
    pub member: Member,
    /// What it counts.
    pub vitals: BodyVitals,
    /// Knows from whom it is cut off on purpose.
    pub who: Who,
}

impl Source for Body {
    fn write(&self, sheet: &mut Sheet) {
        sheet.durations(
            "etcd_disk_wal_fsync_duration_seconds",
            "The latency distributions of fsync called by WAL.",
            &self.vitals.syncs.read(),
        );
        self.traffic(sheet);
        for (purpose, end) in self.vitals.certificates_end() {
            sheet.gauge_of(
                "almadia_certificate_expiry_timestamp_seconds",
                "When the certificate that this member shows to clients or peers ends.",
                &[("purpose", purpose)],
                end,
            );
        }
        sheet.gauge(
            "almadia_isolated",
            "1 while this member is cut off its peers, or some of them, on purpose.",
            self.who.cut() != Cut::None,
        );
        sheet.gauge_of(
            "almadia_build_info",
            "1, with the release that runs.",
            &[("version", env!("CARGO_PKG_VERSION"))],
            true,
        );
        process(sheet);
    }
}

impl Body {
    fn traffic(&self, sheet: &mut Sheet) {
        let own = format!("{:x}", self.member.id().get());
        let peers = self.vitals.traffic.read();
        // Before a member is known by its id it is 0.
        for (id, peer) in peers.iter().filter(|(id, _)| id.get() != 0) {
            let id = format!("{:x}", id.get());
            sheet.counter_of(
                "etcd_network_peer_sent_bytes_total",
                "The total number of bytes sent to peers.",
                &[("To", &id)],
                &peer.sent,
            );
            sheet.counter_of(
                "etcd_network_peer_received_bytes_total",
                "The total number of bytes received from peers.",
                &[("From", &id)],
                &peer.received,
            );
            let ends = [("Local", own.as_str()), ("Remote", id.as_str())];
            sheet.gauge_of(
                "etcd_network_active_peers",
                "The current number of active peer connections.",
                &ends,
                peer.open.load(Ordering::Relaxed) > 0,
            );
            sheet.counter_of(
                "etcd_network_disconnected_peers_total",
                "The total number of disconnected peers.",
                &ends,
                &peer.disconnected,
            );
        }
    }
}

fn process(sheet: &mut Sheet) {
    if let Some(stat) = std::fs::read_to_string("/proc/self/stat")
        .ok()
        .and_then(|text| Stat::read(&text))
    {
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        sheet.counter(
            "process_cpu_seconds_total",
            "Total user and system CPU time spent in seconds.",
            stat.cpu_ticks as f64 / ticks,
        );
        sheet.gauge(
            "process_resident_memory_bytes",
            "Resident memory size in bytes.",
            stat.resident_pages * rustix::param::page_size() as u64,
        );
        sheet.gauge(
            "process_virtual_memory_bytes",
            "Virtual memory size in bytes.",
            stat.virtual_bytes,
        );
        sheet.gauge("process_threads", "Threads of this process.", stat.threads);
        if let Some(boot) = boot_time() {
            sheet.gauge(
                "process_start_time_seconds",
                "Start time of the process since unix epoch in seconds.",
                boot as f64 + stat.start_ticks as f64 / ticks,
            );
        }
    }
    let limit = getrlimit(Resource::Nofile).current;
    if let Some(limit) = limit {
        sheet.gauge(
            "process_max_fds",
            "Maximum number of open file descriptors.",
            limit,
        );
        sheet.gauge("os_fd_limit", "The file descriptor limit.", limit);
    }
    if let Some(open) = open_files() {
        sheet.gauge("process_open_fds", "Number of open file descriptors.", open);
        sheet.gauge("os_fd_used", "The number of used file descriptors.", open);
    }
}

/// What the kernel says in `/proc/self/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn read(text: &str) -> Option<Self> {
        // The name, in parentheses, may hold anything.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // Numbered from 3 on in the kernel's manual.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)? + field(15)?,
            threads: field(20)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// When the machine started, in seconds since 1970.
fn boot_time() -> Option<u64> {
    static BOOT: std::sync::OnceLock<Option<u64>> = std::sync::OnceLock::new();
    *BOOT.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/stat").ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("btime "))?;
        line.trim().parse().ok()
    })
}

/// How many files are open. Newer kernels tell it as the size of a directory; else they are counted.
fn open_files() -> Option<u64> {
    let size = std::fs::metadata("/proc/self/fd").ok()?.len();
    if size > 0 {
        return Some(size);
    }
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_line_is_read_whatever_the_name() {
        let line = "42 (a) b) (c) S 1 42 42 0 -1 4194560 100 0 0 0 70 30 0 0 20 0 9 0 12345 1000000 250 18446744073709551615";
        let expected = Stat {
            cpu_ticks: 100,
            threads: 9,
            start_ticks: 12345,
            virtual_bytes: 1_000_000,
            resident_pages: 250,
        };
        assert_eq!(Stat::read(line), Some(expected));
        assert_eq!(Stat::read("42 (short) S 1"), None);
    }

    #[test]
    fn this_process_has_numbers() {
        let text = std::fs::read_to_string("/proc/self/stat").unwrap();
        assert!(Stat::read(&text).unwrap().resident_pages > 0);
        assert!(open_files().unwrap() > 2);
        assert!(boot_time().unwrap() > 1_000_000_000);
    }
}
