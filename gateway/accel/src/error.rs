//! Why acceleration is not what was asked for.

use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;

type Source = Box<dyn Error + Send + Sync>;

/// Why the accelerator refuses to start, or to take a port. Only [`Mode::Require`](super::Mode) brings it
/// about; otherwise the ladder goes a rung down.
#[derive(Debug, thiserror::Error)]
pub enum AccelError {
    /// eBPF is required and cannot be had.
    #[error("acceleration is required, but eBPF is unavailable")]
    Required(#[source] Unavailable),
    /// eBPF is required and attached, but does not do this.
    #[error("acceleration is required, but {feature} on the {leg} leg is not set by eBPF: {reason}")]
    NotTaken {
        /// The leg's word.
        leg: &'static str,
        /// The feature's word.
        feature: &'static str,
        /// What the self-test saw.
        reason: String,
    },
    /// The configured profiles make no sense; whatever the mode.
    #[error("accel.legs is not taken")]
    Profiles(#[source] super::ProfileError),
    /// The configured rules of the guard contradict each other; whatever the mode.
    #[error("accel.guard is not taken")]
    Guard(#[source] super::GuardError),
    /// eBPF is required, but an interface that is named has no guard.
    #[error("acceleration is required, but {interface} has no guard: {reason}")]
    NoGuard {
        /// Its name.
        interface: String,
        /// What the kernel said.
        reason: String,
    },
    /// eBPF is required, but same-host connections are not redirected as configured.
    #[error("acceleration is required, but connections are not redirected: {reason}")]
    NoRedirect {
        /// What the self-test or the kernel said.
        reason: String,
    },
    /// eBPF is required, but a port could not be put into the profile map.
    #[error("acceleration is required, but port {port} is not in the profile map")]
    Port {
        /// The TCP port.
        port: u16,
        /// What the kernel said.
        source: Source,
    },
}

/// Why eBPF cannot be used on this machine, by this process.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// eBPF is a part of Linux.
    #[error("this system is not Linux")]
    NotLinux,
    /// The binary was built before the object was.
    #[error("built without the eBPF object")]
    NoObject,
    /// The object file that was asked for cannot be read.
    #[error("cannot read the eBPF object {}", path.display())]
    ObjectUnreadable {
        /// Where it should be.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no eBPF object of ours.
    #[error("the eBPF object has no section {section} with its ABI version")]
    NoAbi {
        /// The section looked for.
        section: &'static str,
    },
    /// The object and the gateway were built from different sources.
    #[error("the eBPF object has ABI version {found}, the gateway has {expected}")]
    AbiMismatch {
        /// The object's.
        found: u32,
        /// The gateway's.
        expected: u32,
    },
    /// The process may not load or attach programs.
    #[error("missing capability {missing}")]
    Capability {
        /// Names, separated by commas.
        missing: String,
    },
    /// One process attaches one accelerator: a second would move the process's cgroup under the first.
    #[error("another accelerator is active in this process")]
    AlreadyActive,
    /// No cgroup to attach to.
    #[error("no cgroup to attach to")]
    Cgroup(#[source] Source),
    /// The kernel refused the object.
    #[error("the kernel did not load the eBPF object")]
    Load(#[source] Source),
    /// The kernel refused a program.
    #[error("the kernel did not load program {program} ({source}){}", said(verdict, instructions))]
    Refused {
        /// Its name.
        program: &'static str,
        /// The verifier's last word; empty where it said nothing.
        verdict: String,
        /// The instructions before that.
        instructions: String,
        /// The system call's error.
        source: std::io::Error,
    },
    /// The program could not be attached.
    #[error("cannot attach the sock_ops program to {}", cgroup.display())]
    Attach {
        /// The cgroup folder.
        cgroup: PathBuf,
        /// What the kernel said.
        source: Source,
    },
}

fn said(verdict: &str, instructions: &str) -> String {
    if verdict.is_empty() {
        return String::new();
    }
    let after = if instructions.is_empty() { String::new() } else { format!(" after {instructions:?}") };
    format!(": the verifier says {verdict:?}{after}")
}

/// The error and its sources on one line, outermost first.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        // Some libraries repeat the source in their own text.
        let inner = error.to_string();
        if !text.contains(&inner) {
            // Writing to a String does not fail.
            let _ = write!(text, ": {inner}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_reads_from_the_outside_in_and_says_each_thing_once() {
        let missing = "CAP_BPF".to_owned();
        let error = AccelError::Required(Unavailable::Capability { missing });
        assert_eq!(
            chain(&error),
            "acceleration is required, but eBPF is unavailable: missing capability CAP_BPF"
        );
    }
}
