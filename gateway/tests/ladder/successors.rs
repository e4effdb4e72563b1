//! What a gateway takes over from the one before, and that nobody gets in between.

use waggle_gateway::accel::{GuardAction, Rung, XdpAttachment};

use crate::gateway::{Gateway, PATIENCE};
use crate::laboratory::{CLIENT, Laboratory};
use crate::skipped;

/// A gateway that denies the client, and is killed.
fn killed_while_it_denies(laboratory: &Laboratory) {
    let gateway = laboratory.gateway("data");
    assert_eq!(gateway.guard().interfaces[0].attached, XdpAttachment::Native);
    laboratory.wait_connects(PATIENCE);
    gateway.change("deny", CLIENT, 0);
    assert!(!laboratory.connects());
    gateway.kill();
}

fn denied(gateway: &Gateway) -> u64 {
    let verdicts = gateway.guard().verdicts;
    verdicts.iter().find(|(verdict, _)| verdict == "denied").map(|(_, count)| *count).unwrap()
}

#[test]
fn a_killed_gateways_guard_stands_and_its_successor_takes_it_over() {
    if skipped("a_killed_gateways_guard_stands_and_its_successor_takes_it_over") {
        return;
    }
    let laboratory = Laboratory::make();
    killed_while_it_denies(&laboratory);
    let program = laboratory.program();
    let siege = laboratory.besiege();
    let stand_in = laboratory.stand_in();
    siege.wait(5);
    drop(stand_in);
    let successor = laboratory.gateway("data");
    siege.wait(5);
    let (successes, tries) = siege.end();
    assert_eq!(successes, 0, "of {tries} tries some got in");

    assert_eq!(laboratory.program(), program, "the same program was attached again");
    let guard = successor.guard();
    println!("{guard}");
    assert!(guard.pinning.ends_with(": taken over, same program"), "{}", guard.pinning);
    assert_eq!(guard.interfaces[0].attached, XdpAttachment::Native);
    let rules: Vec<_> = guard.rules.iter().map(|rule| (rule.action, rule.network.to_string())).collect();
    assert_eq!(rules, [(GuardAction::Deny, CLIENT.to_owned())]);
    assert!(denied(&successor) > u64::from(tries), "the counts go on");
    let status = successor.status();
    assert!(status.pinning.ends_with(": taken over"), "{}", status.pinning);
    assert_eq!(status.lowest_rung(), Rung::Ebpf);

    successor.change("remove", CLIENT, 0);
    laboratory.wait_connects(PATIENCE);
    assert_eq!(successor.status().legs[0].connections, 2, "one with each gateway");
    successor.stop();
}

#[test]
fn another_program_replaces_the_one_before_in_one_step() {
    if skipped("another_program_replaces_the_one_before_in_one_step") {
        return;
    }
    let laboratory = Laboratory::make();
    killed_while_it_denies(&laboratory);
    let program = laboratory.program();
    // Of another program, this would have another tag.
    laboratory.sh(&format!("rm {}/guard_program", laboratory.folder()));
    let siege = laboratory.besiege();
    siege.wait(2);
    let successor = laboratory.gateway("data");
    siege.wait(5);
    let (successes, tries) = siege.end();
    assert_eq!(successes, 0, "of {tries} tries some got in");
    assert_ne!(laboratory.program(), program, "the old program is still there");
    assert_eq!(successor.guard().rules.len(), 1);
    successor.stop();
}

#[test]
fn maps_of_another_abi_are_laid_anew_and_that_is_said() {
    if skipped("maps_of_another_abi_are_laid_anew_and_that_is_said") {
        return;
    }
    let laboratory = Laboratory::make();
    killed_while_it_denies(&laboratory);
    let (program, folder) = (laboratory.program(), laboratory.folder());
    laboratory
        .sh(&format!("for abi in guard_abi sock_ops_abi; do rm {folder}/$abi; ln -s 2 {folder}/$abi; done"));
    let successor = laboratory.gateway("data");
    let (guard, status) = (successor.guard(), successor.status());
    let said = ": new, maps laid anew: those there had ABI 2, not 3; rules made live are gone";
    assert!(guard.pinning.ends_with(said), "{}", guard.pinning);
    assert!(status.pinning.ends_with(": maps laid anew: those there had ABI 2, not 3"), "{}", status.pinning);
    assert_eq!((guard.rules.len(), guard.interfaces[0].attached), (0, XdpAttachment::Native));
    assert_ne!(laboratory.program(), program, "the old program goes on with the old maps");
    laboratory.wait_connects(PATIENCE);
    successor.stop();
}

#[test]
fn what_is_broken_is_laid_anew() {
    if skipped("what_is_broken_is_laid_anew") {
        return;
    }
    let laboratory = Laboratory::make();
    killed_while_it_denies(&laboratory);
    let folder = laboratory.folder();
    // One map in another's place: its keys and values have other sizes.
    laboratory.sh(&format!(
        "rm {folder}/guard_map_GUARD_DENY {folder}/sock_ops_map_RULES; \
         mv {folder}/guard_map_GUARD_PORTS {folder}/guard_map_GUARD_DENY; \
         mv {folder}/sock_ops_map_COUNTERS {folder}/sock_ops_map_RULES"
    ));
    let successor = laboratory.gateway("data");
    assert_eq!(successor.guard().interfaces[0].attached, XdpAttachment::Native);
    assert_eq!(successor.status().lowest_rung(), Rung::Ebpf, "{}", successor.status());
    successor.change("deny", CLIENT, 0);
    assert!(!laboratory.connects());
    successor.stop();
}

#[test]
fn allowances_are_not_refilled_by_a_restart() {
    if skipped("allowances_are_not_refilled_by_a_restart") {
        return;
    }
    const BURST: usize = 20;
    let laboratory = Laboratory::make();
    let arguments =
        ["--api", "0.0.0.0:8080", "--push", "0.0.0.0:8081", "--accel-pin-dir", "/sys/fs/bpf/waggle"];
    let lines = format!("rate_per_second = 1\nburst = {BURST}\n");
    let start = || laboratory.start_with("data", &lines, &arguments).outcome().unwrap();
    let first = start();
    let let_in = (0..BURST).filter(|_| laboratory.connects()).count();
    assert_eq!(let_in, BURST);
    first.kill();
    let second = start();
    // One comes back each second.
    let let_in = (0..BURST).filter(|_| laboratory.connects()).count();
    assert!(let_in <= BURST / 2, "{let_in} got in after the restart");
    second.stop();
}

/// Both live at once for a while, on one cgroup and one interface.
#[test]
fn a_takeover_leaves_no_gap() {
    if skipped("a_takeover_leaves_no_gap") {
        return;
    }
    let laboratory = Laboratory::make();
    let first = laboratory.gateway("data");
    first.change("deny", CLIENT, 0);
    let siege = laboratory.besiege();
    siege.wait(2);
    let second = laboratory.start("data", &["--takeover"]);
    first.terminate();
    let second = second.outcome().unwrap();
    siege.wait(3);
    first.wait_end();
    siege.wait(3);
    let (successes, tries) = siege.end();
    assert_eq!(successes, 0, "of {tries} tries some got in");
    let (guard, status) = (second.guard(), second.status());
    assert!(guard.pinning.ends_with(": taken over, same program"), "{}", guard.pinning);
    assert!(status.pinning.ends_with(": taken over"), "{}", status.pinning);
    assert!(status.cgroup.is_some_and(|cgroup| cgroup.exists()), "it went with the first gateway");
    assert_eq!(guard.rules.len(), 1);
    second.stop();
}

#[test]
fn a_takeover_without_pins_has_a_guard_as_well() {
    if skipped("a_takeover_without_pins_has_a_guard_as_well") {
        return;
    }
    let laboratory = Laboratory::make();
    let addresses = ["--api", "0.0.0.0:8080", "--push", "0.0.0.0:8081"];
    let lines = "deny = [\"10.232.0.2/32\"]\n";
    let first = laboratory.start_with("data", lines, &addresses).outcome().unwrap();
    let second = laboratory.start_with("data", lines, &[&addresses[..], &["--takeover"]].concat());
    first.terminate();
    let second = second.outcome().unwrap();
    first.wait_end();
    let guard = second.guard();
    assert_eq!(guard.interfaces[0].attached, XdpAttachment::Native, "{guard}");
    assert_eq!(guard.pinning, "off: accel.pin_dir is not set");
    assert!(!laboratory.connects());
    second.stop();
    assert_eq!(laboratory.program(), None, "it stays after the end");
    assert_eq!(laboratory.cgroup.children(), [""; 0]);
}
