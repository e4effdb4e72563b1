//! What an operator can change, by what was in the way.

use std::error::Error as _;

use crate::Unavailable;
use crate::cgroup::CgroupError;

pub(super) const CAPABILITIES: &str = "give it CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON: \
     `AmbientCapabilities=CAP_BPF CAP_NET_ADMIN CAP_PERFMON` (systemd), `capabilities: {add: [BPF, NET_ADMIN, \
     PERFMON]}` (Kubernetes), or `setcap cap_bpf,cap_net_admin,cap_perfmon+ep` on the binary";
pub(super) const CGROUP_V2: &str =
    "mount -t cgroup2 cgroup2 /sys/fs/cgroup (beside v1: any empty folder, such as /sys/fs/cgroup/unified)";
pub(super) const BPF_FILE_SYSTEM: &str =
    "mount -t bpf bpf /sys/fs/bpf (in a container: a hostPath volume of /sys/fs/bpf)";
pub(super) const LOOPBACK: &str = "ip link set lo up";
pub(super) const MEMORY_LOCK: &str = "`LimitMEMLOCK=infinity` (systemd) or `ulimit -l unlimited`";
pub(super) const REDIRECT: &str = "give same-host clients the Unix socket (push_unix), which needs none of this, or run Linux 5.15 or newer";
pub(super) const REDIRECT_HAZARD: &str = "give same-host clients the Unix socket (push_unix); where they cannot be given it and never ask how much \
     there is to be read: accel.redirect.accept = [\"fionread\"]";
const NO_OBJECT: &str = "build it with `cargo xtask ebpf` first, then the gateway again";
const OTHER_OBJECT: &str = "use the object that was built with this gateway";
const REFUSED: &str = "look above for what the host lacks: a user namespace, a seccomp filter or a limit of \
     locked memory makes the kernel refuse; else run Linux 5.10 or newer";
const OWN_CGROUP: &str =
    "let the gateway make a cgroup below its own (systemd: `Delegate=yes`), or name one by accel.cgroup";

/// For what kept a program from being loaded or attached.
pub(super) fn after(unavailable: &Unavailable) -> &'static str {
    match unavailable {
        Unavailable::NotLinux => "run the gateway on Linux",
        Unavailable::NoObject => NO_OBJECT,
        Unavailable::ObjectUnreadable { .. }
        | Unavailable::NoAbi { .. }
        | Unavailable::AbiMismatch { .. } => OTHER_OBJECT,
        Unavailable::Capability { .. } => CAPABILITIES,
        Unavailable::AlreadyActive => "check in a process of its own",
        Unavailable::Cgroup(_) => match unavailable.source().and_then(|source| source.downcast_ref()) {
            Some(CgroupError::NotMounted) => CGROUP_V2,
            _ => OWN_CGROUP,
        },
        Unavailable::Load(_) | Unavailable::Refused { .. } => REFUSED,
        Unavailable::Attach { .. } => {
            "take off a program that was attached there exclusively, or name another cgroup by accel.cgroup"
        }
    }
}
