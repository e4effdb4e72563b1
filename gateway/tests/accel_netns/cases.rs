//! What must hold, case by case.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use waggle_gateway::accel::{Mode, Rung, SocketValues};

use crate::expectations::{
    mesh_profile, on_rung, push_profile, readable, shown, status_reads_back, unchanged_by_setsockopt,
};
use crate::gateway::{Answer, Capabilities, Gateway, Order};
use crate::namespaces::Namespaces;

const NO_CAPABILITIES: &str = "no eBPF: missing capability CAP_BPF, CAP_NET_ADMIN";
const NEITHER_RUNG: &str = "no eBPF: missing capability CAP_BPF, CAP_NET_ADMIN; \
    no setsockopt: this kernel has no such socket option (Linux 6.15 has)";

pub(crate) type Case = fn(&Namespaces, &SocketValues) -> Result<()>;

pub(crate) const CASES: [(&str, Case); 7] = [
    ("ebpf_gives_each_leg_its_profile", ebpf_gives_each_leg_its_profile),
    ("without_capabilities_it_falls_to_setsockopt", without_capabilities_it_falls_to_setsockopt),
    ("switched_off_it_touches_nothing", switched_off_it_touches_nothing),
    ("required_without_capabilities_it_refuses_to_start", required_without_capabilities_it_refuses_to_start),
    ("a_cgroup_that_was_given_is_used_and_kept", a_cgroup_that_was_given_is_used_and_kept),
    ("behind_a_read_only_mount_its_own_cgroup_serves", behind_a_read_only_mount_its_own_cgroup_serves),
    ("what_a_killed_gateway_leaves_the_next_one_removes", what_a_killed_gateway_leaves_the_next_one_removes),
];

fn ebpf_gives_each_leg_its_profile(wire: &Namespaces, untouched: &SocketValues) -> Result<()> {
    let mut gateway = Gateway::run(&order(wire, Mode::Require, Capabilities::Kept))?;
    let started = gateway.started()?;
    ensure!(
        started.cgroup_now != started.cgroup_before,
        "the gateway has no cgroup of its own: {}",
        started.cgroup_now
    );

    let _push = wire.connect(started.push_port)?;
    let socket = gateway.socket("push")?;
    unchanged_by_setsockopt(&socket)?;
    println!("push port: {}", shown(&socket.before));
    push_profile(&socket.before, untouched)?;

    let _mesh = wire.connect(started.mesh_port)?;
    let socket = gateway.socket("mesh")?;
    unchanged_by_setsockopt(&socket)?;
    println!("mesh port: {}", shown(&socket.before));
    mesh_profile(&socket.before, untouched)?;

    let _peer = wire.listen(started.mesh_port)?;
    let socket = gateway.socket("mesh peer")?;
    unchanged_by_setsockopt(&socket)?;
    println!("mesh port, opened: {}", shown(&socket.before));
    mesh_profile(&socket.before, untouched)?;

    let _other = wire.connect(started.other_port)?;
    let socket = gateway.socket("other")?;
    println!("other port: {}", shown(&socket.before));
    ensure!(&socket.before == untouched, "another port was touched");

    let status = gateway.status()?;
    println!("{status}");
    on_rung(&status, Rung::Ebpf)?;
    ensure!(status.legs[0].ports == [started.push_port]);
    ensure!(status.legs[1].ports == [started.mesh_port]);
    ensure!(status.legs[0].connections == 1, "probes are counted as connections");
    ensure!(status.legs[1].connections == 2);
    for leg in &status.legs {
        for feature in &leg.features {
            ensure!(feature.applied + feature.raised == leg.connections, "{feature:?}");
            ensure!(feature.refused == 0, "{feature:?}");
        }
    }
    status_reads_back(&status, untouched)?;

    let cgroup = status.cgroup.context("the status names no cgroup")?;
    ensure!(cgroup.exists());
    let (cgroup_at_end, log) = gateway.stop()?;
    ensure!(cgroup_at_end == started.cgroup_before, "the process stays in {cgroup_at_end}");
    ensure!(!cgroup.exists(), "{} stays behind", cgroup.display());
    let lines: Vec<_> = log.lines().filter(|line| line.contains("established:")).collect();
    println!("log of the eBPF program:\n  {}", lines.join("\n  "));
    // Three connections here and the probes.
    ensure!(lines.len() >= 3, "the program's log lines are missing:\n{log}");
    Ok(())
}

fn without_capabilities_it_falls_to_setsockopt(wire: &Namespaces, untouched: &SocketValues) -> Result<()> {
    let mut gateway = Gateway::run(&order(wire, Mode::Auto, Capabilities::Dropped))?;
    let started = gateway.started()?;
    ensure!(started.cgroup_now == started.cgroup_before, "the process was moved");

    let _push = wire.connect(started.push_port)?;
    let socket = gateway.socket("push")?;
    ensure!(&socket.before == untouched, "something else than setsockopt set a value");
    println!("push port: {}", shown(&socket.after));
    push_profile(&socket.after, untouched)?;

    let _mesh = wire.connect(started.mesh_port)?;
    let socket = gateway.socket("mesh")?;
    println!("mesh port: {}", shown(&socket.after));
    mesh_profile(&socket.after, untouched)?;

    let status = gateway.status()?;
    println!("{status}");
    ensure!(status.object.is_none() && status.cgroup.is_none());
    for feature in status.legs.iter().flat_map(|leg| &leg.features) {
        let has_option = feature.feature == "nodelay" || readable(&untouched.rto_min_us);
        let (rung, set, reason) =
            if has_option { (Rung::Setsockopt, 1, NO_CAPABILITIES) } else { (Rung::Off, 0, NEITHER_RUNG) };
        ensure!(feature.rung == rung && feature.reason == reason, "{feature:?}");
        ensure!(feature.applied + feature.raised == set && feature.refused == 0, "{feature:?}");
    }
    status_reads_back(&status, untouched)?;
    gateway.stop()?;
    Ok(())
}

fn switched_off_it_touches_nothing(wire: &Namespaces, untouched: &SocketValues) -> Result<()> {
    let mut gateway = Gateway::run(&order(wire, Mode::Off, Capabilities::Kept))?;
    let started = gateway.started()?;
    ensure!(started.cgroup_now == started.cgroup_before, "the process was moved");
    for (port, what) in [(started.push_port, "push"), (started.mesh_port, "mesh")] {
        let _socket = wire.connect(port)?;
        let socket = gateway.socket(what)?;
        ensure!(&socket.after == untouched, "{what}: {}", shown(&socket.after));
    }
    let status = gateway.status()?;
    on_rung(&status, Rung::Off)?;
    ensure!(status.legs[0].features[0].reason == "switched off");
    gateway.stop()?;
    Ok(())
}

fn required_without_capabilities_it_refuses_to_start(wire: &Namespaces, _: &SocketValues) -> Result<()> {
    let mut gateway = Gateway::run(&order(wire, Mode::Require, Capabilities::Dropped))?;
    let Answer::Refused(reason) = gateway.answer()? else {
        bail!("it started");
    };
    println!("refused: {reason}");
    ensure!(reason.ends_with("missing capability CAP_BPF, CAP_NET_ADMIN"), "{reason}");
    Ok(())
}

fn a_cgroup_that_was_given_is_used_and_kept(wire: &Namespaces, untouched: &SocketValues) -> Result<()> {
    let given = GivenCgroup::make(wire)?;
    let mut gateway = Gateway::run(&Order {
        cgroup: Some(given.0.clone()),
        ..order(wire, Mode::Require, Capabilities::Kept)
    })?;
    let started = gateway.started()?;
    let _push = wire.connect(started.push_port)?;
    push_profile(&gateway.socket("push")?.before, untouched)?;
    ensure!(gateway.status()?.cgroup.as_ref() == Some(&given.0));
    let (cgroup_at_end, _) = gateway.stop()?;
    ensure!(cgroup_at_end == started.cgroup_before, "the process stays in {cgroup_at_end}");
    ensure!(given.0.exists(), "a cgroup that was given was removed");
    Ok(())
}

/// A container with the two capabilities and nothing more: its cgroup is its own, but mounted read-only.
fn behind_a_read_only_mount_its_own_cgroup_serves(wire: &Namespaces, untouched: &SocketValues) -> Result<()> {
    let given = GivenCgroup::make(wire)?;
    let mut gateway = Gateway::run(&Order {
        container: Some(given.0.clone()),
        ..order(wire, Mode::Require, Capabilities::Kept)
    })?;
    let started = gateway.started()?;
    ensure!(started.cgroup_now == started.cgroup_before, "the process was moved");
    let _push = wire.connect(started.push_port)?;
    push_profile(&gateway.socket("push")?.before, untouched)?;
    ensure!(gateway.status()?.cgroup.as_ref() == Some(&given.0));
    gateway.stop()?;
    ensure!(given.0.exists(), "its own cgroup was removed");
    Ok(())
}

/// A cgroup made by the test beside the one that a gateway makes; removed on drop.
struct GivenCgroup(PathBuf);

impl GivenCgroup {
    fn make(wire: &Namespaces) -> Result<Self> {
        let mut gateway = Gateway::run(&order(wire, Mode::Require, Capabilities::Kept))?;
        gateway.started()?;
        let own = gateway.status()?.cgroup.context("the status names no cgroup")?;
        gateway.stop()?;
        let given = own.with_file_name(format!("given-{}", std::process::id()));
        fs::create_dir(&given)?;
        Ok(Self(given))
    }
}

impl Drop for GivenCgroup {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.0) {
            eprintln!("{}: {error}", self.0.display());
        }
    }
}

fn what_a_killed_gateway_leaves_the_next_one_removes(wire: &Namespaces, _: &SocketValues) -> Result<()> {
    let order = order(wire, Mode::Require, Capabilities::Kept);
    let mut killed = Gateway::run(&order)?;
    killed.started()?;
    let left = killed.status()?.cgroup.context("the status names no cgroup")?;
    killed.kill();
    ensure!(left.exists(), "a killed process cannot have cleaned up");
    let mut next = Gateway::run(&order)?;
    next.started()?;
    next.status()?;
    let removed = !left.exists();
    if !removed {
        fs::remove_dir(&left)?;
    }
    ensure!(removed, "{} stayed behind", left.display());
    next.stop()?;
    Ok(())
}

pub(crate) fn order(wire: &Namespaces, mode: Mode, capabilities: Capabilities) -> Order {
    Order { namespace: wire.server.clone(), mode, capabilities, cgroup: None, container: None }
}
