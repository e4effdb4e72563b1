//! The machine and the code that a result belongs to.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Facts that figures depend on; unknown ones are empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// When the bench began, UTC.
    pub date: String,
    /// The processor's name.
    pub cpu: String,
    /// Processors that may be used; generator and gateway share them.
    pub cores: usize,
    /// All of the machine's memory, in MiB.
    pub memory_mib: u64,
    /// The kernel's release.
    pub kernel: String,
    /// The file system of the gateway's data directory, and whether it is on a disk.
    pub file_system: String,
    /// The compiler's version.
    pub rustc: String,
    /// The commit.
    pub git_revision: String,
    /// Whether files differ from that commit.
    pub git_dirty: bool,
    /// How the generator was built: release, or debug (no figures from that are worth keeping).
    pub generator_build: String,
    /// Load averages before the run (1, 5 and 15 minutes): the machine's noise.
    pub load_average: [f64; 3],
}

impl Facts {
    /// Collects them; the data directory may be on another machine.
    #[must_use]
    pub fn collect(data_dir: Option<&Path>) -> Self {
        Self {
            date: now(),
            cpu: field("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_mib: memory_mib(),
            kernel: read("/proc/sys/kernel/osrelease"),
            file_system: data_dir.map_or_else(|| "of another process".into(), file_system),
            rustc: output("rustc", &["--version"]).unwrap_or_default(),
            git_revision: output("git", &["rev-parse", "--short=12", "HEAD"]).unwrap_or_default(),
            git_dirty: output("git", &["status", "--porcelain"]).is_some_and(|text| !text.is_empty()),
            generator_build: if cfg!(debug_assertions) { "debug" } else { "release" }.into(),
            load_average: load_average(),
        }
    }
}

/// The type of the file system that `path` is on: the mount with the longest prefix, as in
/// proc_pid_mountinfo(5).
#[must_use]
pub fn file_system(path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mounts = read("/proc/self/mountinfo");
    let under = mounts.lines().filter_map(|line| {
        let (mount, rest) = line.split_once(" - ")?;
        let point = mount.split(' ').nth(4)?;
        path.starts_with(point).then(|| (point.len(), rest.split(' ').next().unwrap_or("")))
    });
    under.max_by_key(|(length, _)| *length).map_or_else(String::new, |(_, kind)| kind.to_owned())
}

fn now() -> String {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(0).unwrap_or(now).format(&Rfc3339).unwrap_or_default()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim_end().to_owned()
}

fn field(path: &str, name: &str) -> String {
    let text = read(path);
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.split_once(':'));
    value.map_or_else(String::new, |(_, value)| value.trim().to_owned())
}

fn memory_mib() -> u64 {
    let text = field("/proc/meminfo", "MemTotal");
    let kib = text.split(' ').next().and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

fn load_average() -> [f64; 3] {
    let text = read("/proc/loadavg");
    let mut values = text.split(' ').map(|value| value.parse().unwrap_or(0.0));
    std::array::from_fn(|_| values.next().unwrap_or(0.0))
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_facts() {
        let facts = Facts::collect(Some(Path::new("/proc")));
        assert_eq!(facts.file_system, "proc");
        assert!(facts.cores > 0 && facts.memory_mib > 0 && !facts.kernel.is_empty());
        assert!(facts.date.ends_with('Z') && facts.date.len() == 20, "{}", facts.date);
    }
}
