//! What stays when a gateway ends, for how long, and how it is taken away.

use std::io::Read as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use waggle_gateway::accel::{CheckReport, ReadBack, SocketValues, XdpAttachment, read_back};

use crate::gateway::{PATIENCE, accel};
use crate::laboratory::{CLIENT, Laboratory};
use crate::skipped;

/// Stands in for the gateway in its cgroup, in a process of its own; run by the test below.
#[test]
#[ignore = "a part of profiles_hold_between_two_gateways"]
fn stand_in() {
    let listener = std::net::TcpListener::bind((crate::laboratory::SERVER, crate::laboratory::PUSH)).unwrap();
    println!("listening");
    let (accepted, _) = listener.accept().unwrap();
    println!("values {}", serde_json::to_string(&read_back(&accepted)).unwrap());
}

#[test]
fn profiles_hold_between_two_gateways() {
    if skipped("profiles_hold_between_two_gateways") {
        return;
    }
    let laboratory = Laboratory::make();
    let gateway = laboratory.gateway("data");
    let cgroup = gateway.status().cgroup.unwrap();
    gateway.kill();
    let this = std::env::current_exe().unwrap();
    let script = format!("echo 0 > {}/cgroup.procs; exec \"$@\"", cgroup.display());
    let mut command: Command = laboratory.command();
    command.args(["sh", "-ec", &script, "sh"]).arg(this);
    command.args(["--exact", "pins::stand_in", "--include-ignored", "--nocapture"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    laboratory.wait_connects(PATIENCE);
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success());
    let values = said.lines().find_map(|line| line.split_once("values ")).expect(&said).1;
    let values: SocketValues = serde_json::from_str(values).unwrap();
    println!("{values:?}");
    // Of the agent's profile, which no socket has by itself.
    assert_eq!(values.of("notsent_lowat_bytes"), ReadBack::Value { value: 131_072 });
    assert_eq!(values.of("nodelay"), ReadBack::Value { value: 1 });
}

#[test]
fn detach_spares_the_living_and_leaves_nothing_of_the_dead() {
    if skipped("detach_spares_the_living_and_leaves_nothing_of_the_dead") {
        return;
    }
    let laboratory = Laboratory::make();
    let gateway = laboratory.gateway("data");
    let (code, report) = laboratory.detach(&[]);
    assert_eq!(code, Some(3), "{report}");
    let reason = report["left"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("is used by the running gateway on ") && reason.ends_with("/data"), "{reason}");
    assert!(laboratory.program().is_some() && laboratory.pins().len() > 15);

    gateway.kill();
    assert!(laboratory.program().is_some(), "it went with the gateway");
    let (code, report) = laboratory.detach(&[]);
    assert_eq!((code, &report["left"]), (Some(0), &json!([])), "{report}");
    assert_eq!((laboratory.program(), laboratory.pins().len()), (None, 0));
    assert_eq!(laboratory.cgroup.children(), [""; 0]);
    let nothing = json!({"detached": [], "cgroups": [], "left": []});
    assert_eq!(laboratory.detach(&[]), (Some(0), nothing));
}

#[test]
fn detach_leaves_what_is_somebody_elses() {
    if skipped("detach_leaves_what_is_somebody_elses") {
        return;
    }
    let laboratory = Laboratory::make();
    laboratory.gateway("data").kill();
    let [map, link] = ["sock_ops_map_RULES", "guard_link_"];
    let folder = laboratory.folder();
    // Beside ours: a folder of another name with objects of the same names, and one of our form without a note.
    laboratory.sh("cd /sys/fs/bpf/waggle; mkdir other 1-2; ln -s elsewhere other/sock_ops_link");
    laboratory.sh(&format!("ls {folder}/{map} {folder}/{link}*"));
    let (code, report) = laboratory.detach(&["--pin-dir", "/sys/fs/bpf"]);
    let reason = report["left"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("name a folder below it, such as /sys/fs/bpf/waggle"), "{reason}");
    assert!(code == Some(3) && laboratory.program().is_some(), "{report}");
    let (code, report) = laboratory.detach(&[]);
    assert_eq!((code, report["detached"].as_array().unwrap().len()), (Some(0), 1), "{report}");
    assert_eq!(
        laboratory.sh("cd /sys/fs/bpf/waggle; find . | sort"),
        ".\n./1-2\n./other\n./other/sock_ops_link\n"
    );

    let addresses = ["--api", "0.0.0.0:8080", "--push", "0.0.0.0:8081", "--accel-pin-dir", "/sys/fs/bpf"];
    let gateway = laboratory.start_with("data", "", &addresses).outcome().unwrap();
    let pinning = gateway.guard().pinning;
    assert!(pinning.starts_with("off: /sys/fs/bpf is the whole bpf file system"), "{pinning}");
    let (cgroup, data) = (gateway.status().cgroup.unwrap(), json!([]));
    gateway.kill();
    let left = json!({"detached": data, "cgroups": [cgroup], "left": []});
    assert_eq!(laboratory.detach(&[]), (Some(0), left));
}

/// As in a container without a volume for its data: each start has other data.
#[test]
fn what_a_gateway_left_whose_data_is_gone_is_in_nobodys_way() {
    if skipped("what_a_gateway_left_whose_data_is_gone_is_in_nobodys_way") {
        return;
    }
    let laboratory = Laboratory::make();
    laboratory.gateway("first").kill();
    let program = laboratory.program().unwrap();
    // There before the first goes, so that it is not given that one's inode.
    let second = laboratory.data("second");
    std::fs::DirBuilder::new().mode(0o700).create(second).unwrap();
    std::fs::remove_dir_all(laboratory.data("first")).unwrap();
    let second = laboratory.gateway("second");
    assert_eq!(second.guard().interfaces[0].attached, XdpAttachment::Native);
    assert!(laboratory.program().is_some_and(|now| now != program));
    // One folder: that of the second.
    assert!(second.serves() && laboratory.folder().lines().count() == 1);
    assert_eq!(laboratory.cgroup.children().len(), 1);
    second.stop();
}

#[test]
fn detach_by_force_takes_it_from_the_living_which_go_on() {
    if skipped("detach_by_force_takes_it_from_the_living_which_go_on") {
        return;
    }
    let laboratory = Laboratory::make();
    let gateway = laboratory.gateway("data");
    let (code, report) = laboratory.detach(&["--force"]);
    // The living one is in its cgroup, which stays for that.
    assert_eq!(code, Some(3), "{report}");
    assert_eq!((laboratory.program(), laboratory.pins().len()), (None, 0));
    assert!(gateway.serves());
    gateway.stop();
    laboratory.gateway("data").kill();
    assert_eq!(laboratory.detach(&[]).0, Some(0));
    assert_eq!(laboratory.cgroup.children(), [""; 0]);
}

/// A gateway that dies while a change waits for a confirmation does not lock anybody out.
#[test]
fn changes_on_probation_end_without_a_gateway() {
    if skipped("changes_on_probation_end_without_a_gateway") {
        return;
    }
    let laboratory = Laboratory::make();
    let gateway = laboratory.gateway("data");
    gateway.change("allow", "192.0.2.1", 0);
    gateway.change("deny", CLIENT, 10);
    let changed = Instant::now();
    gateway.change("remove", "192.0.2.1", 10);
    assert!(!laboratory.connects());
    gateway.kill();

    // A successor that comes in time takes the probation over with the rules.
    let second = laboratory.gateway("data");
    let guard = second.guard();
    assert!(guard.probation_s.is_some() && guard.rules.len() == 1, "{guard}");
    second.kill();
    let stand_in = laboratory.stand_in();
    laboratory.wait_connects(PATIENCE);
    assert!(changed.elapsed() > Duration::from_secs(10), "the probation ended early");
    drop(stand_in);

    let third = laboratory.gateway("data");
    let guard = third.guard();
    let rules: Vec<_> = guard.rules.iter().map(|rule| rule.network.to_string()).collect();
    assert_eq!((guard.probation_s, rules), (None, vec!["192.0.2.1/32".to_owned()]), "{guard}");
    assert!(laboratory.connects());
    third.stop();
}

#[test]
fn a_gateway_on_other_data_steals_nothing() {
    if skipped("a_gateway_on_other_data_steals_nothing") {
        return;
    }
    let laboratory = Laboratory::make();
    let first = laboratory.gateway("data");
    let program = laboratory.program();
    let addresses = ["--api", "0.0.0.0:9080", "--push", "0.0.0.0:9081"];
    let pins = ["--accel-pin-dir", "/sys/fs/bpf/waggle"];
    let other = |pins: &[&str]| laboratory.start_with("other", "", &[&addresses[..], pins].concat());
    // While the first one lives, and when it has been killed: the interface stays its own.
    let reason = format!(
        "the program of the gateway on {} is pinned on it; `waggle accel detach` takes it off",
        laboratory.data("data").display()
    );
    for pins in [&pins[..], &[]] {
        let second = other(pins).outcome().unwrap();
        let guard = second.guard();
        assert_eq!(guard.interfaces[0].attached, XdpAttachment::Off);
        assert_eq!(guard.interfaces[0].reason, reason);
        assert!(second.serves());
        second.stop();
    }
    first.kill();
    let second = other(&pins).outcome().unwrap();
    assert_eq!(second.guard().interfaces[0].reason, reason);
    assert_eq!(laboratory.program(), program);
    // What is the dead one's goes, and what is the living one's stays.
    let (code, report) = laboratory.detach(&[]);
    assert_eq!((code, report["detached"].as_array().unwrap().len()), (Some(3), 1), "{report}");
    assert_eq!(laboratory.program(), None);
    second.stop();
    let third = other(&pins).outcome().unwrap();
    assert_eq!(third.guard().interfaces[0].attached, XdpAttachment::Native);
    third.stop();
}

#[test]
fn what_is_no_longer_asked_for_is_taken_off() {
    if skipped("what_is_no_longer_asked_for_is_taken_off") {
        return;
    }
    let laboratory = Laboratory::make();
    laboratory.gateway("data").stop();
    assert!(laboratory.program().is_some(), "it went with the gateway");
    let off = laboratory.start("data", &["--accel", "off"]).outcome().unwrap();
    assert_eq!(laboratory.program(), None);
    let kept: Vec<_> = laboratory.pins().into_iter().filter(|name| name.contains("_map_")).collect();
    assert_eq!(kept, [""; 0]);
    off.stop();
}

/// On a host that has everything, beside a gateway and without one.
#[test]
fn a_check_finds_all_on_the_best_rung_and_leaves_nothing() {
    if skipped("a_check_finds_all_on_the_best_rung_and_leaves_nothing") {
        return;
    }
    let laboratory = Laboratory::make();
    let check = || {
        let output = accel(laboratory.command(), &["check", "--interface", "wire", "--output", "json"]);
        let report: CheckReport = serde_json::from_slice(&output.stdout).unwrap();
        println!("{report}");
        (output.status.code(), report)
    };
    let (code, report) = check();
    let lower: Vec<_> = report.features.iter().filter(|row| !row.is_best()).collect();
    // Linux 6.15 and newer have it.
    assert!(lower.iter().all(|row| row.feature == "profiles.rto_max_ms"), "{report}");
    assert_eq!(code, Some(if lower.is_empty() { 0 } else { 9 }));
    assert_eq!((laboratory.program(), laboratory.cgroup.children().len()), (None, 0));
    assert_eq!(laboratory.sh("find /sys/fs/bpf -name '*waggle*' -o -name 'check*'"), "");

    let gateway = laboratory.gateway("data");
    let (program, pins) = (laboratory.program(), laboratory.pins());
    let (code, report) = check();
    let wire = report.features.iter().find(|row| row.feature == "guard.wire").unwrap();
    assert!(code == Some(9) && wire.reason.contains("is pinned on it"), "{report}");
    assert_eq!((laboratory.program(), laboratory.pins()), (program, pins));
    assert_eq!(gateway.guard().interfaces[0].attached, XdpAttachment::Native);
    gateway.stop();
}

#[test]
fn where_nothing_can_be_pinned_all_else_works() {
    if skipped("where_nothing_can_be_pinned_all_else_works") {
        return;
    }
    let laboratory = Laboratory::make();
    laboratory.sh("mount -o remount,ro /sys/fs/bpf");
    let gateway = laboratory.gateway("data");
    let (guard, status) = (gateway.guard(), gateway.status());
    let reason = "off: cannot make /sys/fs/bpf/waggle: Read-only file system (os error 30)";
    assert_eq!((guard.pinning.as_str(), status.pinning.as_str()), (reason, reason));
    assert_eq!(guard.interfaces[0].attached, XdpAttachment::Native);
    gateway.stop();
    assert_eq!(laboratory.program(), None, "it stays after the end");
    assert_eq!(laboratory.cgroup.children(), [""; 0]);
    assert!(laboratory.files().exists());
}
