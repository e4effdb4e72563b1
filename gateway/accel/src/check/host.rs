//! What the host is like.

use std::fs;
use std::path::Path;

use rustix::process::{Resource, getrlimit};
use rustix::system::uname;
use rustix::thread::{CapabilitySet, capabilities};

use super::HostFact;
use super::advice;
use crate::capability;
use crate::cgroup;
use crate::memory_lock;
use crate::mounts::{Mount, mounts, mounts_of};

/// The oldest kernel that the programs are for.
const KERNEL_LEAST: (u32, u32) = (5, 10);

const BTF: &str = "/sys/kernel/btf/vmlinux";
const UNPRIVILEGED: &str = "/proc/sys/kernel/unprivileged_bpf_disabled";
const JIT: &str = "/proc/sys/net/core/bpf_jit_enable";

/// Each in the order of a checklist.
pub(super) fn facts() -> Vec<HostFact> {
    let mut facts = vec![kernel(), privileges(), user_namespace(), seccomp(), unprivileged(), jit(), btf()];
    facts.extend([locked_memory(), cgroup_v2(), cgroup_v1(), bpf_file_system(), loopback()]);
    facts
}

fn fact(name: &str, found: impl Into<String>, change: Option<&str>) -> HostFact {
    HostFact { name: name.to_owned(), found: found.into(), change: change.map(str::to_owned) }
}

fn kernel() -> HostFact {
    let system = uname();
    let release = system.release().to_string_lossy();
    let found = format!("Linux {release} on {}", system.machine().to_string_lossy());
    let is_old = memory_lock::kernel().is_some_and(|version| version < KERNEL_LEAST);
    fact("kernel", found, is_old.then_some("run Linux 5.10 or newer"))
}

fn privileges() -> HostFact {
    let Ok(sets) = capabilities(None) else {
        return fact("capabilities", "not told by the kernel", None);
    };
    let known = [
        ("CAP_BPF", CapabilitySet::BPF),
        ("CAP_NET_ADMIN", CapabilitySet::NET_ADMIN),
        ("CAP_PERFMON", CapabilitySet::PERFMON),
        ("CAP_SYS_ADMIN", CapabilitySet::SYS_ADMIN),
    ];
    let held: Vec<_> =
        known.iter().filter(|(_, one)| sets.effective.contains(*one)).map(|(name, _)| *name).collect();
    let found = if held.is_empty() { "none that matters".to_owned() } else { held.join(", ") };
    let enough = capability::check().is_ok();
    fact("capabilities", found, (!enough).then_some(advice::CAPABILITIES))
}

fn user_namespace() -> HostFact {
    match fs::read_to_string("/proc/self/uid_map").as_deref().map(is_first_namespace) {
        Ok(true) => fact("user namespace", "the machine's own", None),
        Ok(false) => fact(
            "user namespace",
            "one of its own, where capabilities do not count for eBPF",
            Some("run it outside of that: no rootless container, no user remapping"),
        ),
        Err(error) => fact("user namespace", format!("not told: {error}"), None),
    }
}

/// The machine's own maps every id to itself.
fn is_first_namespace(uid_map: &str) -> bool {
    uid_map.split_whitespace().eq(["0", "0", "4294967295"])
}

fn seccomp() -> HostFact {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mode = status.lines().find_map(|line| line.strip_prefix("Seccomp:")).map(str::trim);
    match mode {
        Some("0") => fact("seccomp", "none", None),
        Some(_) => fact("seccomp", "a filter; it has to let bpf(2) through", None),
        None => fact("seccomp", "not told", None),
    }
}

fn unprivileged() -> HostFact {
    let found = match read_word(UNPRIVILEGED).as_deref() {
        Some("0") => "open to any user; Waggle does not use that".to_owned(),
        Some("1") => "closed until the next boot; Waggle does not use it".to_owned(),
        Some("2") => "closed; Waggle does not use it".to_owned(),
        Some(other) => other.to_owned(),
        None => "not told".to_owned(),
    };
    fact("unprivileged eBPF", found, None)
}

fn jit() -> HostFact {
    match read_word(JIT).as_deref() {
        Some("0") => fact("JIT", "off: programs are interpreted", Some("sysctl net.core.bpf_jit_enable=1")),
        Some(_) => fact("JIT", "on", None),
        None => fact("JIT", "not told", None),
    }
}

fn btf() -> HostFact {
    match fs::metadata(BTF) {
        Ok(metadata) => fact("type information", format!("{BTF}, {} bytes", metadata.len()), None),
        Err(_) => fact("type information", "none (BTF); the programs do not need it", None),
    }
}

fn locked_memory() -> HostFact {
    let limit = match getrlimit(Resource::Memlock).current {
        None => "unlimited".to_owned(),
        Some(bytes) => format!("{bytes} bytes"),
    };
    if !memory_lock::counts_maps() {
        return fact("locked memory", format!("{limit}; maps do not count since Linux 5.11"), None);
    }
    let change = (limit != "unlimited").then_some(advice::MEMORY_LOCK);
    fact("locked memory", format!("{limit}; maps count before Linux 5.11"), change)
}

fn shown(mounts: &[Mount]) -> String {
    let one = |mount: &Mount| {
        let how = if mount.is_read_only() { "read-only" } else { "writable" };
        format!("{} ({how})", mount.dir.display())
    };
    mounts.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn cgroup_v2() -> HostFact {
    if let Err(error) = mounts() {
        let change = Some("mount -t proc proc /proc");
        return fact("cgroup v2", format!("cannot read the mounts: {error}"), change);
    }
    let mounts = mounts_of("cgroup2");
    if mounts.is_empty() {
        return fact("cgroup v2", "not mounted", Some(advice::CGROUP_V2));
    }
    let own = match cgroup::own_dir() {
        Ok(dir) => format!("; this process is in {}", dir.display()),
        Err(error) => format!("; {}", crate::error::chain(&error)),
    };
    fact("cgroup v2", format!("{}{own}", shown(&mounts)), None)
}

fn cgroup_v1() -> HostFact {
    match mounts_of("cgroup").len() {
        0 => fact("cgroup v1", "not mounted", None),
        count => fact("cgroup v1", format!("{count} hierarchies, which do not matter"), None),
    }
}

fn bpf_file_system() -> HostFact {
    let mounts = mounts_of("bpf");
    if mounts.is_empty() {
        return fact("bpf file system", "not mounted", Some(advice::BPF_FILE_SYSTEM));
    }
    fact("bpf file system", shown(&mounts), None)
}

fn loopback() -> HostFact {
    match crate::probe::Probe::listen().and_then(|probe| probe.connect().map(drop)) {
        Ok(()) => fact("loopback", "answers", None),
        Err(error) => fact("loopback", error.to_string(), Some(advice::LOOPBACK)),
    }
}

fn read_word(path: &str) -> Option<String> {
    fs::read_to_string(Path::new(path)).ok().map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_namespace_of_ones_own_maps_other_ids() {
        assert!(is_first_namespace("         0          0 4294967295\n"));
        assert!(!is_first_namespace("         0       1000          1\n"));
        assert!(!is_first_namespace(""));
    }

    #[test]
    fn every_fact_is_told() {
        let facts = facts();
        assert!(facts.iter().all(|fact| !fact.found.is_empty()), "{facts:?}");
    }
}
