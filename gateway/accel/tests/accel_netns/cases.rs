//! What must hold, case by case.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use waggle_accel::{Mode, ReadBack, Rung, SocketValues, XdpAttachment};

use crate::expectations::{
    mesh_profile, on_rung, push_profile, readable, shown, status_reads_back, unchanged_by_setsockopt,
};
use crate::gateway::{Answer, Capabilities, Gateway, Order};
use crate::namespaces::{CLIENT, Namespaces};

const NO_CAPABILITIES: &str = "no eBPF: missing capability CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON";
const NEITHER_RUNG: &str = "no eBPF: missing capability CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON; \
    no setsockopt: this kernel has no such socket option (Linux 6.15 has)";

pub(crate) type Case = fn(&Namespaces, &SocketValues) -> Result<()>;

pub(crate) const CASES: [(&str, Case); 10] = [
    ("ebpf_gives_each_leg_its_profile", ebpf_gives_each_leg_its_profile),
    ("profiles_change_for_connections_to_come", profiles_change_for_connections_to_come),
    ("the_legs_are_measured", the_legs_are_measured),
    ("the_guard_lets_in_whom_its_rules_let_in", the_guard_lets_in_whom_its_rules_let_in),
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

/// On both rungs: what is set live holds from the next connection on, by network as well, and back.
fn profiles_change_for_connections_to_come(wire: &Namespaces, untouched: &SocketValues) -> Result<()> {
    let is_number =
        |value: &ReadBack, wanted: u32| matches!(value, ReadBack::Value { value } if *value == wanted);
    for capabilities in [Capabilities::Kept, Capabilities::Dropped] {
        let mut gateway = Gateway::run(&order(wire, Mode::Auto, capabilities))?;
        let started = gateway.started()?;
        let _first = wire.connect(started.push_port)?;
        let first = gateway.socket("push")?.after;
        ensure!(is_number(&first.of("notsent_lowat_bytes"), 131_072), "{}", shown(&first));

        let status =
            gateway.set_profiles(&json!({"agent": {"notsent_lowat_bytes": 65_536, "rto_max_ms": 0}}))?;
        ensure!(!status.legs[0].features.iter().any(|feature| feature.feature == "rto_max_ms"));
        let _second = wire.connect(started.push_port)?;
        let second = gateway.socket("push")?.after;
        ensure!(is_number(&second.of("notsent_lowat_bytes"), 65_536), "{}", shown(&second));
        ensure!(second.of("rto_max_ms") == untouched.of("rto_max_ms"), "{}", shown(&second));
        ensure!(gateway.again()? == first, "an established connection was touched");

        let networks = json!({"local": {"networks": [format!("{CLIENT}/32"), "::1/128"]}});
        let status = gateway.set_profiles(&networks)?;
        ensure!(status.legs[2].networks.len() == 2, "{status}");
        let before = status.legs[2].connections;
        let _third = wire.connect(started.push_port)?;
        let third = gateway.socket("push")?.after;
        ensure!(third.of("notsent_lowat_bytes") == untouched.of("notsent_lowat_bytes"), "{}", shown(&third));
        ensure!(is_number(&third.of("nodelay"), 1));
        ensure!(gateway.status()?.legs[2].connections == before + 1);

        let Err(refusal) = gateway.set_profiles(&json!({"agent": {"rto_min_us": 1}})) else {
            bail!("a value out of range was taken");
        };
        ensure!(refusal.to_string().contains("expected 0 (the kernel's own) or 1000 to"), "{refusal}");

        gateway.reset_profiles()?;
        let _fourth = wire.connect(started.push_port)?;
        let fourth = gateway.socket("push")?.after;
        ensure!(fourth == first, "{}", shown(&fourth));
        gateway.stop()?;
    }
    Ok(())
}

fn the_guard_lets_in_whom_its_rules_let_in(wire: &Namespaces, _: &SocketValues) -> Result<()> {
    const PATIENCE: Duration = Duration::from_millis(300);
    let order = Order { guard: Mode::Auto, ..order(wire, Mode::Auto, Capabilities::Kept) };
    let mut gateway = Gateway::run(&order)?;
    let started = gateway.started()?;
    let status = gateway.guard(&json!(null))?;
    println!("{status}");
    ensure!(status.interfaces[0].attached == XdpAttachment::Native, "{status}");
    ensure!(status.interfaces[1].reason.starts_with("there is no such interface"), "{status}");
    let connects = |port| wire.connect_within(port, PATIENCE).is_ok();
    let mut established = wire.connect(started.push_port)?;
    gateway.socket("push")?;
    gateway.echo(&mut established)?;

    let client = format!("{CLIENT}/32");
    let deny = json!({"action": "deny", "network": client, "confirm_within_s": 5});
    gateway.guard(&deny)?;
    ensure!(!connects(started.push_port), "a denied source got in");
    ensure!(connects(started.other_port), "a port that is not guarded was closed");
    let denied = gateway.guard(&json!(null))?;
    ensure!(denied.probation_s.is_some() && denied.rules.len() == 1, "{denied}");
    // Nobody confirms.
    let begun = Instant::now();
    while !connects(started.push_port) {
        ensure!(begun.elapsed() < Duration::from_secs(10), "the rules before did not come back");
    }
    ensure!(begun.elapsed() > Duration::from_secs(3), "they came back at once");
    gateway.echo(&mut established)?;

    gateway.guard(&json!({"action": "allow", "network": client}))?;
    let Err(refusal) = gateway.guard(&deny) else { bail!("an allowed source was denied") };
    ensure!(refusal.to_string().contains("allowing wins"), "{refusal}");
    ensure!((0..40).all(|_| connects(started.push_port)), "an allowed source was limited");
    gateway.guard(&json!({"action": "remove", "network": client}))?;
    let let_in = (0..40).filter(|_| wire.connect_within(started.push_port, PATIENCE / 10).is_ok()).count();
    ensure!((5..25).contains(&let_in), "{let_in} of 40 at once got in with a burst of 20");
    gateway.echo(&mut established)?;

    // Three failures deny it for two seconds.
    for _ in 0..2 {
        ensure!(gateway.failed()?.rules.is_empty());
    }
    gateway.failed()?;
    let begun = Instant::now();
    let denied = loop {
        if let Some(rule) = gateway.guard(&json!(null))?.rules.into_iter().next() {
            break rule;
        }
        ensure!(begun.elapsed() < Duration::from_secs(2), "it is not denied");
    };
    ensure!(denied.left_s.is_some(), "it is denied for ever");
    ensure!(!connects(started.push_port), "a source that keeps failing got in");
    let begun = Instant::now();
    while !gateway.guard(&json!(null))?.rules.is_empty() {
        ensure!(begun.elapsed() < Duration::from_secs(5), "the rule did not expire");
        thread::sleep(PATIENCE);
    }
    println!("{}", gateway.guard(&json!(null))?);
    gateway.stop()?;
    Ok(())
}

fn the_legs_are_measured(wire: &Namespaces, _: &SocketValues) -> Result<()> {
    let mut gateway = Gateway::run(&order(wire, Mode::Require, Capabilities::Kept))?;
    let started = gateway.started()?;
    let mut push = wire.connect(started.push_port)?;
    gateway.socket("push")?;
    for _ in 0..20 {
        gateway.echo(&mut push)?;
    }
    let report = gateway.legs()?;
    println!("{report}");
    ensure!(report.unmeasured.is_none() && report.moments.is_empty());
    let agent = &report.legs[0];
    ensure!(agent.connections == 1 && agent.retransmits == 0 && agent.timeouts == 0, "{agent:?}");
    // A sample for each of the 20 bytes that we acknowledged, and perhaps the handshake's.
    ensure!((20..=24).contains(&agent.samples()), "{}", agent.samples());
    ensure!(agent.quantile_us(500).is_some_and(|us| us < 100_000), "{agent:?}");
    ensure!(report.legs[1..].iter().all(|leg| leg.samples() == 0), "another leg was measured");
    gateway.stop()?;
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
    let features = status.legs.iter().flat_map(|leg| leg.features.iter().map(|f| (leg.leg.as_str(), f)));
    for (leg, feature) in features {
        let since_6_15 = ["rto_min_us", "delack_max_us", "rto_max_ms"];
        let has_option =
            !since_6_15.contains(&feature.feature.as_str()) || readable(&untouched.of("rto_min_us"));
        let (rung, set, reason) =
            if has_option { (Rung::Setsockopt, 1, NO_CAPABILITIES) } else { (Rung::Off, 0, NEITHER_RUNG) };
        // Nobody connected from this machine.
        let set = if leg == "local" { 0 } else { set };
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
    ensure!(reason.ends_with("missing capability CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON"), "{reason}");
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
    Order {
        namespace: wire.server.clone(),
        mode,
        capabilities,
        guard: Mode::Off,
        cgroup: None,
        container: None,
    }
}
