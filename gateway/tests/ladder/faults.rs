//! Settings that cannot be followed, and a host that is occupied already.

use waggle_gateway::accel::XdpAttachment;

use crate::gateway::PATIENCE;
use crate::laboratory::{CLIENT, Laboratory};
use crate::skipped;

const ADDRESSES: [&str; 4] = ["--api", "127.0.0.1:0", "--push", "127.0.0.1:0"];

#[test]
fn settings_that_make_no_sense_are_refused_with_what_would_be_right() {
    if skipped("settings_that_make_no_sense_are_refused_with_what_would_be_right") {
        return;
    }
    let laboratory = Laboratory::make();
    for (lines, said) in [
        ("deny = [\"10.0.0.0/33\"]", "\"10.0.0.0/33\" has a length beyond 32"),
        ("deny = [\"10.1.2.3/8\"]", "expected 10.0.0.0/8"),
        ("allow = [\"somewhere\"]", "\"somewhere\" is not a network"),
        ("deny = [\"0.0.0.0/0\"]", "0.0.0.0/0 holds every IPv4 address, and denying it would deny everybody"),
        ("burst = 0", "accel.guard.burst is 0; expected 1 to 1000000"),
        (
            "allow = [\"10.0.0.0/8\"]\ndeny = [\"10.1.0.0/16\"]",
            "10.1.0.0/16 is within 10.0.0.0/8, which is allowed, and allowing wins",
        ),
        ("[accel.legs.agent]\nrto_min_us = 1", "rto_min_us"),
    ] {
        let Err(refused) = laboratory.start_with("data", lines, &ADDRESSES).outcome() else {
            panic!("{lines} was taken");
        };
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.log.contains(said), "{lines}: {}", refused.log);
    }
    assert_eq!((laboratory.program(), laboratory.cgroup.children().len()), (None, 0));
}

#[test]
fn an_unknown_interface_is_named_and_the_others_are_guarded() {
    if skipped("an_unknown_interface_is_named_and_the_others_are_guarded") {
        return;
    }
    let laboratory = Laboratory::make();
    laboratory.sh("ip link set wire name wire0");
    let reason = "there is no such interface; `ip link` lists those there are";
    let gateway = laboratory.start_with("data", "", &ADDRESSES).outcome().unwrap();
    assert_eq!(gateway.guard().interfaces[0].reason, reason);
    assert!(gateway.serves());
    // Nothing would go by a rule.
    let refused = gateway.refused_change("deny", CLIENT);
    assert!(
        refused.contains(&format!("there is no guard: it is on no interface; wire: {reason}")),
        "{refused}"
    );
    gateway.stop();
    let require = [&ADDRESSES[..], &["--accel", "require"]].concat();
    let Err(refused) = laboratory.start_with("data", "", &require).outcome() else {
        panic!("it started without the guard that is required");
    };
    assert!(refused.code == Some(1) && refused.log.contains(reason), "{refused:?}");
    assert_eq!(laboratory.cgroup.children(), [""; 0]);
}

/// Somebody else's program stays; ours is attached beside nothing.
#[test]
fn another_program_on_the_interface_is_left_alone() {
    if skipped("another_program_on_the_interface_is_left_alone") {
        return;
    }
    let laboratory = Laboratory::make();
    let first = laboratory.start_with("first", "", &ADDRESSES).outcome().unwrap();
    let program = laboratory.program();
    assert!(program.is_some());
    let reason = "another XDP program is on it; take that off first";
    for pins in [&[][..], &["--accel-pin-dir", "/sys/fs/bpf/waggle"]] {
        let second = laboratory.start_with("data", "", &[&ADDRESSES[..], pins].concat()).outcome().unwrap();
        let guard = second.guard();
        assert_eq!(
            (guard.interfaces[0].attached, guard.interfaces[0].reason.as_str()),
            (XdpAttachment::Off, reason)
        );
        assert!(second.serves());
        second.stop();
    }
    let require = [&ADDRESSES[..], &["--accel", "require"]].concat();
    let Err(refused) = laboratory.start_with("data", "", &require).outcome() else {
        panic!("it started without the guard that is required");
    };
    assert!(refused.code == Some(1) && refused.log.contains(reason), "{refused:?}");
    assert_eq!(laboratory.program(), program);
    first.stop();
    assert_eq!(laboratory.program(), None);
}

#[test]
fn a_killed_gateway_without_pins_leaves_nothing_attached() {
    if skipped("a_killed_gateway_without_pins_leaves_nothing_attached") {
        return;
    }
    let laboratory = Laboratory::make();
    let arguments = ["--api", "0.0.0.0:8080", "--push", "0.0.0.0:8081"];
    let gateway = laboratory.start_with("data", "", &arguments).outcome().unwrap();
    laboratory.wait_connects(PATIENCE);
    gateway.change("deny", CLIENT, 0);
    assert!(!laboratory.connects());
    gateway.kill();
    assert_eq!(laboratory.program(), None);
    let stand_in = laboratory.stand_in();
    assert!(laboratory.connects());
    drop(stand_in);
    assert_eq!(laboratory.cgroup.children().len(), 1, "nobody was there to remove it");
    let (code, report) = laboratory.detach(&[]);
    assert_eq!((code, report["cgroups"].as_array().unwrap().len()), (Some(0), 1), "{report}");
    assert_eq!(laboratory.cgroup.children(), [""; 0]);
}
