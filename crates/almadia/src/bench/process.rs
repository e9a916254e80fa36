//! What processes used, from `/proc`: processor time, memory, bytes written; and what disks wrote.
//!
//! Bytes at a disk of its own are the truth. The kernel's count for a process (`/proc/PID/io`) takes a whole folio of up to
//! hundreds of KiB for each small write into a file that lies in the page cache (it showed 250 KiB for a write of which 15 KiB
//! reached the disk), but it is exact for writes past the page cache and leaves other processes out. Reads only.
//! On a system without `/proc`, or of a foreign process, there are no figures.

use std::time::Duration;

/// The unit of `/proc/diskstats`, whatever the disk's own sectors are.
const SECTOR_BYTES: u64 = 512;

/// What one or more processes have used since they began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// User and system time.
    pub cpu: Duration,
    /// Memory in RAM now (VmRSS).
    pub memory_bytes: u64,
    /// The most memory it ever had in RAM (VmHWM).
    pub memory_bytes_max: u64,
    /// Bytes it caused to be written, as the kernel counts them; `None` when it does not tell.
    pub written_bytes: Option<u64>,
}

impl Usage {
    /// Of one process.
    pub fn of(pid: u32) -> Result<Self, String> {
        let read = |file: &str| {
            std::fs::read_to_string(format!("/proc/{pid}/{file}"))
                .map_err(|error| format!("cannot read /proc/{pid}/{file}: {error}"))
        };
        let ticks = ticks_of(&read("stat")?).ok_or_else(|| format!("cannot understand /proc/{pid}/stat"))?;
        let status = read("status")?;
        let kibibytes = |name| number_after(&status, name).unwrap_or(0) * 1024;
        Ok(Self {
            cpu: Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64),
            memory_bytes: kibibytes("VmRSS:"),
            memory_bytes_max: kibibytes("VmHWM:"),
            // Another user's process keeps this to itself.
            written_bytes: read("io").ok().as_deref().and_then(written_by),
        })
    }

    /// Of several, added up.
    pub fn of_all(pids: &[u32]) -> Result<Self, String> {
        let nothing = Self {
            written_bytes: Some(0),
            ..Self::default()
        };
        pids.iter().try_fold(nothing, |sum, pid| {
            let one = Self::of(*pid)?;
            Ok(Self {
                cpu: sum.cpu + one.cpu,
                memory_bytes: sum.memory_bytes + one.memory_bytes,
                memory_bytes_max: sum.memory_bytes_max + one.memory_bytes_max,
                written_bytes: sum.written_bytes.zip(one.written_bytes).map(|(a, b)| a + b),
            })
        })
    }
}

/// Bytes that the device `only` has written since this machine started, or all its disks.
pub fn disks_written_bytes(only: Option<&str>) -> Option<u64> {
    let is_disk = |name: &str| {
        // Stacked devices would count twice what the disks below them write.
        let is_stacked = ["loop", "ram", "zram", "dm-", "md"]
            .iter()
            .any(|prefix| name.starts_with(prefix));
        !is_stacked && std::path::Path::new("/sys/block").join(name).exists()
    };
    let counts = |name: &str| only.map_or_else(|| is_disk(name), |only| name == only);
    let sectors = sectors_written(&std::fs::read_to_string("/proc/diskstats").ok()?, counts)?;
    Some(sectors * SECTOR_BYTES)
}

/// What a process caused to be written, without what was taken back before it reached the disk.
fn written_by(io: &str) -> Option<u64> {
    let written = number_after(io, "write_bytes:")?;
    Some(written.saturating_sub(number_after(io, "cancelled_write_bytes:")?))
}

/// The sectors written by all devices that count; `None` when there is no such device.
fn sectors_written(diskstats: &str, counts: impl Fn(&str) -> bool) -> Option<u64> {
    let each = diskstats.lines().filter_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(2);
        let is_counted = counts(fields.next()?);
        // Behind the name: the seventh field.
        let sectors: u64 = fields.nth(6)?.parse().ok()?;
        is_counted.then_some(sectors)
    });
    each.reduce(|sum, sectors| sum + sectors)
}

/// utime + stime of a stat line. The program's name may contain blanks and parentheses.
fn ticks_of(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace();
    // Behind the name: state is the first, utime the 12th, stime the 13th.
    let user: u64 = fields.nth(11)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// The number behind `name` at the beginning of a line.
fn number_after(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_are_read() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 1000 0 0 0 250 50 0 0 20 0 1 0 100 0 0";
        assert_eq!(ticks_of(stat), Some(300));
        assert_eq!(ticks_of("7 (a"), None);
        let status = "Name:\tx\nVmHWM:\t  200 kB\nVmRSS:\t  100 kB\n";
        assert_eq!(
            (number_after(status, "VmHWM:"), number_after(status, "VmSwap:")),
            (Some(200), None)
        );
    }

    #[test]
    fn bytes_that_were_taken_back_are_not_counted() {
        let io = "wchar: 9000\nread_bytes: 1\nwrite_bytes: 8192\ncancelled_write_bytes: 4096\n";
        assert_eq!(written_by(io), Some(4096));
        assert_eq!(written_by("write_bytes: 8192\n"), None);
    }

    #[test]
    fn disks_are_added_up_without_their_parts() {
        let line = |name: &str, sectors: u64| format!(" 254 0 {name} 10 0 20 30 40 0 {sectors} 50 0 60 70\n");
        let text = line("vda", 100) + &line("vda1", 90) + &line("vdb", 11) + "broken";
        assert_eq!(
            sectors_written(&text, |name| ["vda", "vdb"].contains(&name)),
            Some(111)
        );
        assert_eq!(sectors_written(&text, |_| false), None);
    }

    #[test]
    fn this_process_has_figures() {
        let usage = Usage::of(std::process::id()).expect("on Linux");
        assert!(usage.memory_bytes > 0 && usage.memory_bytes_max >= usage.memory_bytes);
        assert!(Usage::of(u32::MAX).is_err());
    }
}
