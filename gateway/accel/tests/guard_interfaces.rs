//! Where the guard is, and what stays of it: interfaces of several kinds, in a network namespace and with a
//! bpf file system of the test's own, which end with its process.
//!
//! Needs root; elsewhere the test says `SKIPPED`, and adds a line to the file that `WAGGLE_SKIP_LOG` names.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use waggle_accel::{Guard, GuardAction, GuardChange, GuardConfig, Mode, Pins, XdpAttachment};

const PINS: &str = "/sys/fs/bpf/waggle";
const PORT: u16 = 8081;

/// Runs a test below, in namespaces made for it.
fn run_apart(name: &str) {
    if !rustix::process::geteuid().is_root() {
        let reason = "it needs root";
        println!("SKIPPED: {name}: {reason}");
        if let Some(log) = std::env::var_os("WAGGLE_SKIP_LOG") {
            let mut log = std::fs::OpenOptions::new().append(true).create(true).open(log).unwrap();
            writeln!(log, "{name}: {reason}").unwrap();
        }
        return;
    }
    let script = "mount -t bpf bpf /sys/fs/bpf; ip link add wire type veth peer name far; \
                  ip link add other type veth peer name beyond; exec \"$@\"";
    let this = std::env::current_exe().unwrap();
    let arguments = ["--net", "--mount", "--propagation", "private", "sh", "-ec", script, "sh"];
    let mut command = Command::new("unshare");
    command.args(arguments).arg(this).args(["--exact", name, "--include-ignored", "--nocapture"]);
    assert!(command.status().unwrap().success(), "{name} failed");
}

fn sh(script: &str) {
    assert!(Command::new("sh").args(["-ec", script]).status().unwrap().success(), "{script}");
}

fn config(interfaces: &[&str], pins: &Arc<Pins>) -> GuardConfig {
    let interfaces = interfaces.iter().map(|name| (*name).to_owned()).collect();
    GuardConfig { interfaces, pins: Arc::clone(pins), ..GuardConfig::default() }
}

fn start(interfaces: &[&str], pins: &Arc<Pins>, mode: Mode) -> Guard {
    Guard::start(&config(interfaces, pins), &[PORT], mode).unwrap()
}

/// Each interface with how the guard is there.
fn places(guard: &Guard) -> Vec<(String, XdpAttachment)> {
    guard.status().interfaces.into_iter().map(|place| (place.name, place.attached)).collect()
}

fn deny(guard: &Guard) -> Result<(), String> {
    let network = "192.0.2.0/24".parse().unwrap();
    let change = GuardChange { action: GuardAction::Deny, network, for_s: None, confirm_within_s: None };
    guard.change(&change).map_err(|error| error.to_string())
}

/// Names of what is pinned.
fn pinned() -> Vec<String> {
    let folders = std::fs::read_dir(PINS).unwrap().map(|folder| folder.unwrap().path());
    let names = folders.flat_map(|folder| std::fs::read_dir(folder).unwrap());
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn links() -> usize {
    pinned().iter().filter(|name| name.starts_with("guard_link_")).count()
}

#[test]
fn interfaces_that_cannot_be_guarded_are_said() {
    run_apart("inside_interfaces");
}

#[test]
fn what_is_required_and_fails_leaves_nothing_new() {
    run_apart("inside_required");
}

#[test]
fn other_limits_count_everybody_anew() {
    run_apart("inside_limits");
}

#[test]
#[ignore = "a part of interfaces_that_cannot_be_guarded_are_said"]
fn inside_interfaces() {
    use XdpAttachment::{Native, Off};
    sh("ip tuntap add mode tun tunnel");
    let none = Arc::default();
    let guard = start(&["tunnel", "wire", "wire", "nosuch"], &none, Mode::Auto);
    let found =
        [("tunnel", Off), ("wire", Native), ("nosuch", Off)].map(|(name, how)| (name.to_owned(), how));
    assert_eq!(places(&guard), found);
    let reason = guard.status().interfaces[0].reason.clone();
    assert!(reason.starts_with("its packets have no Ethernet header (type 65534)"), "{reason}");
    deny(&guard).expect("it is somewhere");
    sh("ip link del wire");
    assert_eq!(places(&guard)[1].1, Off, "the interface is gone");
    let refused = deny(&guard).unwrap_err();
    assert!(refused.contains("wire: the interface is gone"), "{refused}");
    drop(guard);

    let data = tempfile::tempdir().unwrap();
    let pins = Arc::new(Pins::open(Path::new(PINS), data.path()));
    let guard = start(&["other"], &pins, Mode::Auto);
    assert_eq!(places(&guard), [("other".to_owned(), Native)]);
    let link = pinned().into_iter().find(|name| name.starts_with("guard_link_")).unwrap();
    sh(&format!("rm {PINS}/*/{link}"));
    assert_eq!(places(&guard), [("other".to_owned(), Off)], "nothing holds the link any more");
    let refused = deny(&guard).unwrap_err();
    assert!(refused.contains("other: the program was taken off"), "{refused}");
}

#[test]
#[ignore = "a part of what_is_required_and_fails_leaves_nothing_new"]
fn inside_required() {
    let data = tempfile::tempdir().unwrap();
    let pins = Arc::new(Pins::open(Path::new(PINS), data.path()));
    let required = |interfaces: &[&str]| {
        Guard::start(&config(interfaces, &pins), &[PORT], Mode::Require).unwrap_err().to_string()
    };
    let refused = required(&["wire", "nosuch"]);
    assert!(refused.contains("nosuch"), "{refused}");
    assert_eq!(pinned(), ["data_dir"], "the first interface stays guarded by nobody");

    // What an earlier gateway has left stays.
    drop(start(&["wire"], &pins, Mode::Require));
    assert_eq!(links(), 1);
    let before = pinned().len();
    required(&["wire", "other", "nosuch"]);
    assert_eq!((links(), pinned().len()), (1, before));
    let guard = start(&["wire"], &pins, Mode::Require);
    assert_eq!(places(&guard), [("wire".to_owned(), XdpAttachment::Native)]);
}

#[test]
#[ignore = "a part of other_limits_count_everybody_anew"]
fn inside_limits() {
    let data = tempfile::tempdir().unwrap();
    let pins = Arc::new(Pins::open(Path::new(PINS), data.path()));
    let with = |burst: u32| {
        let config = GuardConfig { rate_per_second: 1, burst, ..config(&["wire"], &pins) };
        Guard::start(&config, &[PORT], Mode::Require).unwrap()
    };
    let mut syn = vec![2; 12];
    syn.extend([8, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 192, 0, 2, 1, 10, 0, 0, 1, 0xc3, 0x50]);
    syn.extend(PORT.to_be_bytes());
    syn.extend([0; 8]);
    syn.extend([5 << 4, 2, 0, 0, 0, 0, 0, 0]);
    let count = |guard: &Guard, verdict: &str| {
        guard.status().verdicts.iter().find(|(name, _)| name == verdict).unwrap().1
    };
    let opened = |guard: &Guard| {
        let before = count(guard, "opened");
        guard.try_packet(&syn, 2_000).unwrap();
        count(guard, "opened") - before
    };
    // A thousand at once, which take a quarter of an hour to pay off.
    let first = with(1_000);
    assert!((1_000..1_002).contains(&opened(&first)));
    drop(first);
    let same = with(1_000);
    assert!(opened(&same) < 60, "the allowance was refilled");
    drop(same);
    let other = with(10);
    assert!((10..12).contains(&opened(&other)), "it still pays for what was allowed then");
}
