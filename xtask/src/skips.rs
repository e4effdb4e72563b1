//! Checks that a test could not run here.
//!
//! Such a test appends one line, `name: reason`, to the file that `WAGGLE_SKIP_LOG` names. A line with
//! `bpf` in it, in any case, is an eBPF skip: where eBPF must work, it fails the run.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The variable that tells tests where to write.
pub(crate) const VARIABLE: &str = "WAGGLE_SKIP_LOG";

/// The file that tests write to during one run.
pub(crate) struct SkipLog {
    path: PathBuf,
}

impl SkipLog {
    /// Starts an empty log in `folder`, named for this process so that two runs do not mix.
    pub(crate) fn start(folder: &Path) -> Result<SkipLog> {
        let path = folder.join(format!("skipped-checks-{}.log", std::process::id()));
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        fs::write(&path, "").with_context(|| format!("cannot write {}", path.display()))?;
        Ok(SkipLog { path })
    }

    /// Where tests append.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Ends the log and gives its lines.
    pub(crate) fn finish(self) -> Result<Vec<String>> {
        let text = fs::read_to_string(&self.path)
            .with_context(|| format!("cannot read {}: did a test remove it?", self.path.display()))?;
        fs::remove_file(&self.path).with_context(|| format!("cannot remove {}", self.path.display()))?;
        Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
    }
}

/// The skips that are about eBPF.
pub(crate) fn about_ebpf(skips: &[String]) -> Vec<&str> {
    skips.iter().map(String::as_str).filter(|line| line.to_ascii_lowercase().contains("bpf")).collect()
}

/// Whether eBPF must work on this machine: the automated build, as root, on Linux with type information.
pub(crate) fn ebpf_must_work() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    ci && Path::new("/sys/kernel/btf/vmlinux").exists() && may_load(&status)
}

/// Whether a process of this `/proc/self/status` is root in truth: a container's root may lack the capabilities.
fn may_load(status: &str) -> bool {
    const NET_ADMIN: u32 = 12;
    const BPF: u32 = 39;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let root = field("Uid:").and_then(|ids| ids.split_whitespace().nth(1)) == Some("0");
    let capabilities = field("CapEff:").and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0);
    root && [NET_ADMIN, BPF].iter().all(|bit| capabilities & (1 << bit) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_gives_what_tests_appended() {
        let log = SkipLog::start(&std::env::temp_dir().join("xtask-skips")).unwrap();
        let path = log.path().to_owned();
        fs::write(&path, "netns: no ip\n\n profiles: no eBPF object \n").unwrap();
        assert_eq!(log.finish().unwrap(), ["netns: no ip", "profiles: no eBPF object"]);
        assert!(!path.exists());
    }

    #[test]
    fn a_lost_log_is_an_error() {
        let log = SkipLog::start(&std::env::temp_dir().join("xtask-skips-lost")).unwrap();
        fs::remove_file(log.path()).unwrap();
        assert!(log.finish().is_err());
    }

    #[test]
    fn knows_skips_about_ebpf() {
        let skips = ["profiles: no eBPF object".to_owned(), "postgres: no server".to_owned()];
        assert_eq!(about_ebpf(&skips), ["profiles: no eBPF object"]);
    }

    #[test]
    fn root_needs_its_capabilities() {
        for (status, expected) in [
            ("Uid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\n", true),
            ("Uid:\t0\t0\t0\t0\nCapEff:\t00000000a80425fb\n", false),
            ("Uid:\t1000\t1000\t1000\t1000\nCapEff:\t000001ffffffffff\n", false),
            ("", false),
        ] {
            assert_eq!(may_load(status), expected, "{status}");
        }
    }
}
