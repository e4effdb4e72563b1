//! What each environment leaves of acceleration, in each mode.

use std::fs;
use std::process::Command;

use serde_json::Value;
use waggle_gateway::accel::{CheckReport, Rung, Status, XdpAttachment};

use crate::cgroup::Cgroup;
use crate::gateway::{Gateway, Refused, Starting, accel};
use crate::skipped;

/// Something that is taken away, and what is left.
struct Environment {
    /// For the shell that becomes the gateway: in a mount and a network namespace of its own, as root, in the
    /// cgroup `$CGROUP`, with its files below `$FILES`. Its last word is the beginning of a command.
    script: &'static str,
    /// Of every profile's setting.
    rung: Rung,
    /// Why it is there.
    reason: &'static str,
    /// Why there is no guard; none where there is.
    no_guard: Option<&'static str>,
    /// A part of why nothing is pinned, where the environment has to do with that.
    no_pins: &'static str,
}

const WHOLE: Environment = Environment {
    script: "exec",
    rung: Rung::Ebpf,
    reason: "sock_ops program",
    no_guard: None,
    no_pins: "off: ",
};

#[test]
fn as_root_everything_is_there() {
    check("as_root_everything_is_there", &WHOLE);
}

#[test]
fn without_capabilities_setsockopt_serves() {
    let script = "exec setpriv --bounding-set=-all --inh-caps=-all";
    let reason = "no eBPF: missing capability CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON";
    let no_guard = Some("missing capability CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON");
    let environment =
        Environment { script, rung: Rung::Setsockopt, reason, no_guard, no_pins: "off: no eBPF" };
    check("without_capabilities_setsockopt_serves", &environment);
}

#[test]
fn with_two_of_three_capabilities_setsockopt_serves() {
    let script = "exec setpriv --bounding-set=-all,+bpf,+net_admin --inh-caps=-all";
    let reason = "no eBPF: missing capability CAP_PERFMON";
    let no_guard = Some("missing capability CAP_PERFMON");
    let environment =
        Environment { script, rung: Rung::Setsockopt, reason, no_guard, no_pins: "off: no eBPF" };
    check("with_two_of_three_capabilities_setsockopt_serves", &environment);
}

#[test]
fn three_capabilities_are_enough_for_all() {
    let script = "exec setpriv --bounding-set=-all,+bpf,+net_admin,+perfmon --inh-caps=-all";
    check("three_capabilities_are_enough_for_all", &Environment { script, ..WHOLE });
}

#[test]
fn on_a_read_only_file_system_its_own_cgroup_serves() {
    let script = r#"
        mount --bind "$FILES" "$FILES"
        mount -o remount,bind,ro /
        mount -o remount,bind,ro "$CGROUPS"
        ! mkdir "$CGROUP/child" 2>/dev/null
        exec"#;
    check("on_a_read_only_file_system_its_own_cgroup_serves", &Environment { script, ..WHOLE });
}

#[test]
fn without_a_bpf_file_system_nothing_is_pinned() {
    let script = "while umount /sys/fs/bpf 2>/dev/null; do :; done; exec";
    let no_pins = "off: no bpf file system is mounted at or above /sys/fs/bpf/waggle";
    check("without_a_bpf_file_system_nothing_is_pinned", &Environment { script, no_pins, ..WHOLE });
}

#[test]
fn with_cgroup_v1_only_setsockopt_serves() {
    let script = r#"
        umount -R /sys/fs/cgroup
        mount -t tmpfs none /sys/fs/cgroup
        mkdir /sys/fs/cgroup/named
        mount -t cgroup -o none,name=waggle-ladder none /sys/fs/cgroup/named
        exec"#;
    let reason = "no eBPF: no cgroup to attach to: cgroup v2 is not mounted";
    let environment =
        Environment { script, rung: Rung::Setsockopt, reason, no_pins: "off: no eBPF", ..WHOLE };
    check("with_cgroup_v1_only_setsockopt_serves", &environment);
}

#[test]
fn with_cgroup_v2_only_everything_is_there() {
    let script = r#"
        umount -R /sys/fs/cgroup
        mount -t cgroup2 none /sys/fs/cgroup
        exec"#;
    check("with_cgroup_v2_only_everything_is_there", &Environment { script, ..WHOLE });
}

#[test]
fn with_both_cgroups_everything_is_there() {
    let script = r#"
        umount -R /sys/fs/cgroup
        mount -t tmpfs none /sys/fs/cgroup
        mkdir /sys/fs/cgroup/named /sys/fs/cgroup/unified
        mount -t cgroup -o none,name=waggle-ladder none /sys/fs/cgroup/named
        mount -t cgroup2 none /sys/fs/cgroup/unified
        exec"#;
    check("with_both_cgroups_everything_is_there", &Environment { script, ..WHOLE });
}

/// The loader looks for type information there; the programs need none.
#[test]
fn without_type_information_everything_is_there() {
    let script = "mount -t tmpfs none /sys/kernel/btf 2>/dev/null || mount -t tmpfs none /sys/kernel; exec";
    check("without_type_information_everything_is_there", &Environment { script, ..WHOLE });
}

/// Capabilities in it are worth nothing for eBPF, and the kernel says so only when it is asked.
#[test]
fn in_a_user_namespace_setsockopt_serves() {
    let script = "exec unshare --user --map-root-user";
    let reason = "no eBPF: the kernel did not load the eBPF object: map error: failed to create map";
    let no_guard = Some("the kernel did not load the eBPF object: map error: failed to create map");
    let environment =
        Environment { script, rung: Rung::Setsockopt, reason, no_guard, no_pins: "off: no eBPF" };
    check("in_a_user_namespace_setsockopt_serves", &environment);
}

/// Kernels before 5.11 count maps against this limit, and the gateway, being root, raises it.
#[test]
fn no_locked_memory_is_enough() {
    check("no_locked_memory_is_enough", &Environment { script: "ulimit -l 0; exec", ..WHOLE });
}

fn check(test: &str, environment: &Environment) {
    if skipped(test) {
        return;
    }
    let cgroup = Cgroup::make();
    let files = tempfile::tempdir().unwrap();
    let place = Place { environment, cgroup: &cgroup, files: &files };
    fs::write(place.file("waggle.toml"), "[accel.guard]\ninterfaces = [\"lo\"]\n").unwrap();
    place.auto_serves();
    place.off_serves();
    place.require();
    place.accel_check();
    assert_eq!(cgroup.children(), [""; 0], "cgroups stay behind");
}

struct Place<'a> {
    environment: &'a Environment,
    cgroup: &'a Cgroup,
    files: &'a tempfile::TempDir,
}

impl Place<'_> {
    fn file(&self, name: &str) -> String {
        self.files.path().join(name).to_str().unwrap().to_owned()
    }

    /// A command that prepares the environment, and becomes what follows it.
    fn command(&self) -> Command {
        let mut command = Command::new("unshare");
        let script = format!(
            "echo 0 > \"$CGROUP/cgroup.procs\"\nip link set lo up\n{} \"$@\"",
            self.environment.script
        );
        command.args(["--mount", "--net", "--propagation", "private", "sh", "-ec", &script, "sh"]);
        let mount = crate::cgroup::mount().unwrap();
        command.env("CGROUP", self.cgroup.dir()).env("CGROUPS", mount).env("FILES", self.files.path());
        command
    }

    fn start(&self, mode: &str) -> Result<Gateway, Refused> {
        let config = self.file("waggle.toml");
        let arguments = [
            "--config",
            &config,
            "--accel",
            mode,
            "--accel-pin-dir",
            "/sys/fs/bpf/waggle",
            "--api",
            "127.0.0.1:0",
            "--push",
            "127.0.0.1:0",
        ];
        Starting::run(self.command(), &self.files.path().join("data"), &arguments).outcome()
    }

    fn auto_serves(&self) {
        let gateway = self.start("auto").unwrap();
        assert!(gateway.serves());
        let status = gateway.status();
        println!("{status}");
        let expected = self.environment;
        for feature in status.legs.iter().flat_map(|leg| &leg.features) {
            let is_newer = ["rto_min_us", "delack_max_us", "rto_max_ms"].contains(&feature.feature.as_str());
            // Before Linux 6.15 only eBPF has the timers.
            let is_off = feature.rung == Rung::Off && is_newer && expected.rung == Rung::Setsockopt;
            assert!(feature.rung == expected.rung || is_off, "{status}");
            assert!(feature.reason.starts_with(expected.reason), "{status}");
        }
        assert!(status.pinning.starts_with(expected.no_pins), "{}", status.pinning);
        let guard = gateway.guard();
        println!("{guard}");
        match expected.no_guard {
            Some(reason) => assert!(guard.unguarded.is_some_and(|why| why.starts_with(reason)), "{reason}"),
            None => assert_eq!(guard.interfaces[0].attached, XdpAttachment::Generic),
        }
        let log = gateway.stop();
        assert!(log.contains("acceleration") && log.contains(expected.reason), "one line says why:\n{log}");
    }

    fn off_serves(&self) {
        let gateway = self.start("off").unwrap();
        assert!(gateway.serves());
        let status: Status = gateway.status();
        assert!(status.legs.iter().flat_map(|leg| &leg.features).all(|feature| feature.rung == Rung::Off));
        assert_eq!(gateway.guard().unguarded.as_deref(), Some("switched off"));
        gateway.stop();
    }

    fn require(&self) {
        let expected = self.environment;
        let outcome = self.start("require");
        if expected.rung == Rung::Ebpf {
            let gateway = outcome.unwrap();
            assert!(gateway.serves());
            gateway.stop();
            return;
        }
        let Err(refused) = outcome else { panic!("it started without what is required") };
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.log.contains("acceleration is required, but eBPF is unavailable"), "{refused:?}");
        let reason = expected.no_guard.unwrap_or(expected.reason.trim_start_matches("no eBPF: "));
        let reason = if expected.rung == Rung::Ebpf {
            reason
        } else {
            expected.reason.trim_start_matches("no eBPF: ")
        };
        assert!(refused.log.contains(reason), "{refused:?}");
    }

    /// It says the same without a gateway.
    fn accel_check(&self) {
        let output =
            accel(self.command(), &["check", "--config", &self.file("waggle.toml"), "--output", "json"]);
        let said = String::from_utf8_lossy(&output.stderr);
        let report: CheckReport = serde_json::from_slice(&output.stdout).expect(&said);
        println!("{report}");
        assert_eq!(output.status.code(), Some(if report.best { 0 } else { 9 }), "{said}");
        let expected = self.environment;
        for feature in report.features.iter().filter(|row| row.feature.starts_with("profiles.")) {
            let is_known = feature.rung == expected.rung.name() || feature.rung == "off";
            assert!(is_known && feature.reason.starts_with(expected.reason), "{report}");
            assert_eq!(feature.is_best(), feature.change.is_none(), "{report}");
        }
        let of = |name: &str| report.features.iter().find(|row| row.feature == name).expect(name);
        assert_eq!(of("legs").is_best(), expected.rung == Rung::Ebpf, "{report}");
        let guard = of("guard");
        match expected.no_guard {
            Some(reason) => assert!(guard.rung == "off" && guard.reason.starts_with(reason), "{report}"),
            None => assert!(guard.is_best(), "{report}"),
        }
        let host: Value = serde_json::to_value(&report.host).unwrap();
        assert!(host.as_array().is_some_and(|facts| facts.len() > 8));
    }
}
