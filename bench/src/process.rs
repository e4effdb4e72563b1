//! CPU time, memory and limits of processes, from /proc.

use std::fs;

use anyhow::{Result, bail};
use rustix::process::{Resource, getrlimit};

/// Descriptors that are not sockets of the load: output, poller, files, libraries.
const DESCRIPTORS_SPARE: u64 = 64;

/// Whose CPU time is read.
#[derive(Debug, Clone, Default)]
pub struct Probe {
    pids: Vec<u32>,
}

/// CPU time within a window.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Of the gateways' processes, user and system, in nanoseconds; in steps of a clock tick.
    pub gateway_ns: Option<u64>,
    /// Of the generator's thread, in nanoseconds.
    pub generator_ns: u64,
}

impl Probe {
    /// For gateways with these processes.
    #[must_use]
    pub fn new(pids: Vec<u32>) -> Self {
        Self { pids }
    }

    /// CPU time until now.
    #[must_use]
    pub fn begin(&self) -> Usage {
        let each = self.pids.iter().map(|pid| cpu_ns(*pid));
        let gateway_ns = if self.pids.is_empty() { None } else { each.sum() };
        Usage { gateway_ns, generator_ns: thread_cpu_ns().unwrap_or_default() }
    }

    /// CPU time since `begin`.
    #[must_use]
    pub fn end(&self, begin: &Usage) -> Usage {
        let now = self.begin();
        let gateway_ns = now.gateway_ns.zip(begin.gateway_ns).map(|(now, begin)| now.saturating_sub(begin));
        Usage { gateway_ns, generator_ns: now.generator_ns.saturating_sub(begin.generator_ns) }
    }

    /// Resident bytes of all.
    #[must_use]
    pub fn resident_bytes(&self) -> Option<u64> {
        if self.pids.is_empty() { None } else { self.pids.iter().map(|pid| resident_bytes(*pid)).sum() }
    }
}

/// A process and those that it started, as long as they stay in its process group.
#[derive(Debug, Clone, Copy)]
pub struct Group(u32);

impl Group {
    /// The group that is called like its first process.
    #[must_use]
    pub fn of(leader: u32) -> Self {
        Self(leader)
    }

    /// Time on a CPU until now, in nanoseconds, of the threads that there are.
    #[must_use]
    pub fn cpu_ns(self) -> u64 {
        let threads = self.pids().into_iter().flat_map(|pid| {
            let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
            tasks.filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
        });
        threads.filter_map(|text| text.split_whitespace().next()?.parse::<u64>().ok()).sum()
    }

    /// Memory in bytes, what processes share counted once ("Pss" of proc_pid_smaps(5)).
    #[must_use]
    pub fn memory_bytes(self) -> u64 {
        let rollups = self.pids().into_iter().filter_map(|pid| {
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        });
        rollups.sum::<u64>() * 1024
    }

    fn pids(self) -> Vec<u32> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.filter(|pid| group_of(*pid) == Some(self.0)).collect()
    }
}

/// Field 5 of proc_pid_stat(5).
fn group_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(2)?.parse().ok()
}

/// utime + stime of /proc/PID/stat: fields 14 and 15 of proc_pid_stat(5).
fn cpu_ns(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; the state, field 3, follows it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) * (1_000_000_000 / rustix::param::clock_ticks_per_second().max(1)))
}

/// This thread's time on a CPU in nanoseconds: the first field of schedstat.
#[must_use]
pub fn thread_cpu_ns() -> Option<u64> {
    fs::read_to_string("/proc/thread-self/schedstat").ok()?.split_whitespace().next()?.parse().ok()
}

fn resident_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// This thread leaves the processor to others that want it.
pub fn be_nice() {
    // It is a favour: where it is not granted, the figures are worse.
    let _ = rustix::process::nice(5);
}

/// Open descriptors of a process.
#[must_use]
pub fn descriptors(pid: u32) -> Option<usize> {
    Some(fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count())
}

/// Threads of a process.
#[must_use]
pub fn threads(pid: u32) -> Option<usize> {
    Some(fs::read_dir(format!("/proc/{pid}/task")).ok()?.count())
}

/// Refuses a load with more sockets than this process, or a gateway with the same limit, may have.
///
/// # Errors
/// Says how many there may be.
pub fn check_descriptors(sessions: usize, connections: u32, targets: usize) -> Result<()> {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let need = sessions as u64 + u64::from(connections) + DESCRIPTORS_SPARE;
    if need > limit {
        let most = limit.saturating_sub(u64::from(connections) + DESCRIPTORS_SPARE);
        bail!(
            "{sessions} sessions and {connections} connections to {targets} gateway(s) need {need} file descriptors, \
             and a process may have {limit} here: run with at most --sessions {most}, or raise `ulimit -n`"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_time_and_memory() {
        let probe = Probe::new(vec![std::process::id()]);
        let begin = probe.begin();
        let mut random = crate::clock::Random::new(1);
        assert!((0..3_000_000_u64).fold(0, |sum: u64, _| sum ^ random.next_u64()) != 0);
        let usage = probe.end(&begin);
        assert!(usage.generator_ns > 100_000 && usage.gateway_ns.is_some());
        assert!(probe.resident_bytes().unwrap() > 100_000);
        assert_eq!(Probe::default().begin().gateway_ns, None);
    }

    #[test]
    fn too_many_sessions_are_refused_with_the_most_there_may_be() {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        if let Ok(sessions) = usize::try_from(limit) {
            let error = check_descriptors(sessions, 10, 1).unwrap_err().to_string();
            assert!(error.contains(&format!("--sessions {}", sessions - 74)), "{error}");
        }
        assert!(check_descriptors(10, 10, 1).is_ok());
    }
}
