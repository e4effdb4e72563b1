//! The accelerator on real connections between two network namespaces: profiles by eBPF, the fall to
//! setsockopt without capabilities, and nothing at all when switched off.
//!
//! Needs root, kernel type information and `ip`; where one is missing the test says `SKIPPED` with the
//! reason, and adds a line to the file that `WAGGLE_SKIP_LOG` names.
#![cfg(target_os = "linux")]

mod gateway;
mod namespaces;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use rustix::thread::{CapabilitySet, capabilities};
use waggle_gateway::accel::{Mode, ReadBack, Rung, SocketValues, Status};

use gateway::{Answer, Capabilities, Gateway, Order, Socket};
use namespaces::Namespaces;

const NAME: &str = "accel_netns";

// The kernel rounds up to whole jiffies of at most 10 ms, and takes no less than two of them.
const PUSH_RTO_MIN_US: RangeInclusive<u32> = 50_000..=60_000;
const MESH_RTO_MIN_US: RangeInclusive<u32> = 8_000..=20_000;
const MESH_DELACK_MAX_US: RangeInclusive<u32> = 4_000..=20_000;

const NO_CAPABILITIES: &str = "no eBPF: missing capability CAP_BPF, CAP_NET_ADMIN";
const NEITHER_RUNG: &str = "no eBPF: missing capability CAP_BPF, CAP_NET_ADMIN; \
    no setsockopt: this kernel has no such socket option (Linux 6.15 has)";

type Case = fn(&Namespaces, &SocketValues) -> Result<()>;

const CASES: [(&str, Case); 6] = [
    (
        "ebpf_gives_each_leg_its_profile",
        ebpf_gives_each_leg_its_profile,
    ),
    (
        "without_capabilities_it_falls_to_setsockopt",
        without_capabilities_it_falls_to_setsockopt,
    ),
    (
        "switched_off_it_touches_nothing",
        switched_off_it_touches_nothing,
    ),
    (
        "required_without_capabilities_it_refuses_to_start",
        required_without_capabilities_it_refuses_to_start,
    ),
    (
        "a_cgroup_that_was_given_is_used_and_kept",
        a_cgroup_that_was_given_is_used_and_kept,
    ),
    (
        "what_a_killed_gateway_leaves_the_next_one_removes",
        what_a_killed_gateway_leaves_the_next_one_removes,
    ),
];

fn main() -> ExitCode {
    if let Some(order) = gateway::order() {
        let served = order
            .context("not an order")
            .and_then(|order| gateway::serve(&order));
        return match served {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error:#}");
                ExitCode::FAILURE
            }
        };
    }
    // What test runners ask of a binary without the standard harness.
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        CASES.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let filters: Vec<_> = arguments
        .iter()
        .filter(|word| !word.starts_with('-'))
        .collect();
    let wanted = |name: &str| filters.is_empty() || filters.iter().any(|f| name.contains(*f));
    let cases: Vec<_> = CASES.iter().filter(|(name, _)| wanted(name)).collect();
    if cases.is_empty() {
        return ExitCode::SUCCESS;
    }
    match run(&cases) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            println!("{NAME} could not be set up: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns how many cases failed.
fn run(cases: &[&(&str, Case)]) -> Result<usize> {
    if let Some(reason) = lacking() {
        skip(&reason)?;
        return Ok(0);
    }
    let namespaces = Namespaces::make()?;
    let untouched = untouched_values(&namespaces)?;
    println!("untouched: {}", shown(&untouched));
    if let ReadBack::Unreadable { unreadable } = &untouched.rto_min_us {
        // The program's counts and what can be read are still checked.
        skip(&format!("the timers' values: {unreadable}"))?;
    }
    if let Some(reason) = without_object(&namespaces)? {
        skip(&reason)?;
        return Ok(0);
    }
    let mut failed = 0;
    for (name, case) in cases {
        match case(&namespaces, &untouched) {
            Ok(()) => println!("test {name} ... ok"),
            Err(error) => {
                failed += 1;
                println!("test {name} ... FAILED\n{error:?}");
            }
        }
    }
    println!(
        "test result: {} passed; {failed} failed",
        cases.len() - failed
    );
    Ok(failed)
}

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
    ensure!(
        status.legs[0].connections == 1,
        "probes are counted as connections"
    );
    ensure!(status.legs[1].connections == 2);
    for leg in &status.legs {
        for feature in &leg.features {
            ensure!(
                feature.applied + feature.raised == leg.connections,
                "{feature:?}"
            );
            ensure!(feature.refused == 0, "{feature:?}");
        }
    }
    status_reads_back(&status, untouched)?;

    let cgroup = status.cgroup.context("the status names no cgroup")?;
    ensure!(cgroup.exists());
    let (cgroup_at_end, log) = gateway.stop()?;
    ensure!(
        cgroup_at_end == started.cgroup_before,
        "the process stays in {cgroup_at_end}"
    );
    ensure!(!cgroup.exists(), "{} stays behind", cgroup.display());
    let lines: Vec<_> = log
        .lines()
        .filter(|line| line.contains("established:"))
        .collect();
    println!("log of the eBPF program:\n  {}", lines.join("\n  "));
    // Three connections here and the probes.
    ensure!(
        lines.len() >= 3,
        "the program's log lines are missing:\n{log}"
    );
    Ok(())
}

fn without_capabilities_it_falls_to_setsockopt(
    wire: &Namespaces,
    untouched: &SocketValues,
) -> Result<()> {
    let mut gateway = Gateway::run(&order(wire, Mode::Auto, Capabilities::Dropped))?;
    let started = gateway.started()?;
    ensure!(
        started.cgroup_now == started.cgroup_before,
        "the process was moved"
    );

    let _push = wire.connect(started.push_port)?;
    let socket = gateway.socket("push")?;
    ensure!(
        &socket.before == untouched,
        "something else than setsockopt set a value"
    );
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
        let (rung, set, reason) = if has_option {
            (Rung::Setsockopt, 1, NO_CAPABILITIES)
        } else {
            (Rung::Off, 0, NEITHER_RUNG)
        };
        ensure!(
            feature.rung == rung && feature.reason == reason,
            "{feature:?}"
        );
        ensure!(
            feature.applied + feature.raised == set && feature.refused == 0,
            "{feature:?}"
        );
    }
    status_reads_back(&status, untouched)?;
    gateway.stop()?;
    Ok(())
}

fn switched_off_it_touches_nothing(wire: &Namespaces, untouched: &SocketValues) -> Result<()> {
    let mut gateway = Gateway::run(&order(wire, Mode::Off, Capabilities::Kept))?;
    let started = gateway.started()?;
    ensure!(
        started.cgroup_now == started.cgroup_before,
        "the process was moved"
    );
    for (port, what) in [(started.push_port, "push"), (started.mesh_port, "mesh")] {
        let _socket = wire.connect(port)?;
        let socket = gateway.socket(what)?;
        ensure!(
            &socket.after == untouched,
            "{what}: {}",
            shown(&socket.after)
        );
    }
    let status = gateway.status()?;
    on_rung(&status, Rung::Off)?;
    ensure!(status.legs[0].features[0].reason == "switched off");
    gateway.stop()?;
    Ok(())
}

fn required_without_capabilities_it_refuses_to_start(
    wire: &Namespaces,
    _: &SocketValues,
) -> Result<()> {
    let mut gateway = Gateway::run(&order(wire, Mode::Require, Capabilities::Dropped))?;
    let Answer::Refused(reason) = gateway.answer()? else {
        anyhow::bail!("it started");
    };
    println!("refused: {reason}");
    ensure!(
        reason.ends_with("missing capability CAP_BPF, CAP_NET_ADMIN"),
        "{reason}"
    );
    Ok(())
}

fn a_cgroup_that_was_given_is_used_and_kept(
    wire: &Namespaces,
    untouched: &SocketValues,
) -> Result<()> {
    let plain = order(wire, Mode::Require, Capabilities::Kept);
    let mut gateway = Gateway::run(&plain)?;
    gateway.started()?;
    let own = gateway
        .status()?
        .cgroup
        .context("the status names no cgroup")?;
    gateway.stop()?;
    let given = own.with_file_name(format!("given-{}", std::process::id()));
    std::fs::create_dir(&given)?;

    // Dropped, and so removed, after the gateway.
    let given = RemovedOnDrop(given);
    let mut gateway = Gateway::run(&Order {
        cgroup: Some(given.0.clone()),
        ..plain
    })?;
    let started = gateway.started()?;
    let _push = wire.connect(started.push_port)?;
    push_profile(&gateway.socket("push")?.before, untouched)?;
    ensure!(gateway.status()?.cgroup.as_ref() == Some(&given.0));
    let (cgroup_at_end, _) = gateway.stop()?;
    ensure!(
        cgroup_at_end == started.cgroup_before,
        "the process stays in {cgroup_at_end}"
    );
    ensure!(given.0.exists(), "a cgroup that was given was removed");
    Ok(())
}

struct RemovedOnDrop(PathBuf);

impl Drop for RemovedOnDrop {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir(&self.0) {
            eprintln!("{}: {error}", self.0.display());
        }
    }
}

fn what_a_killed_gateway_leaves_the_next_one_removes(
    wire: &Namespaces,
    _: &SocketValues,
) -> Result<()> {
    let order = order(wire, Mode::Require, Capabilities::Kept);
    let mut killed = Gateway::run(&order)?;
    killed.started()?;
    let left = killed
        .status()?
        .cgroup
        .context("the status names no cgroup")?;
    killed.kill();
    ensure!(left.exists(), "a killed process cannot have cleaned up");
    let mut next = Gateway::run(&order)?;
    next.started()?;
    next.status()?;
    let removed = !left.exists();
    if !removed {
        std::fs::remove_dir(&left)?;
    }
    ensure!(removed, "{} stayed behind", left.display());
    next.stop()?;
    Ok(())
}

fn order(wire: &Namespaces, mode: Mode, capabilities: Capabilities) -> Order {
    Order {
        namespace: wire.server.clone(),
        mode,
        capabilities,
        cgroup: None,
    }
}

fn push_profile(values: &SocketValues, untouched: &SocketValues) -> Result<()> {
    within(&values.nodelay, &(1..=1)).context("nodelay")?;
    timer_within(&values.rto_min_us, &PUSH_RTO_MIN_US, untouched).context("rto_min_us")?;
    ensure!(
        values.delack_max_us == untouched.delack_max_us,
        "delack_max_us was touched"
    );
    Ok(())
}

fn mesh_profile(values: &SocketValues, untouched: &SocketValues) -> Result<()> {
    within(&values.nodelay, &(1..=1)).context("nodelay")?;
    timer_within(&values.rto_min_us, &MESH_RTO_MIN_US, untouched).context("rto_min_us")?;
    timer_within(&values.delack_max_us, &MESH_DELACK_MAX_US, untouched).context("delack_max_us")
}

fn status_reads_back(status: &Status, untouched: &SocketValues) -> Result<()> {
    let ranges = [
        (0, "rto_min_us", PUSH_RTO_MIN_US),
        (1, "rto_min_us", MESH_RTO_MIN_US),
        (1, "delack_max_us", MESH_DELACK_MAX_US),
    ];
    for (leg, name, range) in ranges {
        let leg = &status.legs[leg];
        let feature = leg.features.iter().find(|feature| feature.feature == name);
        let feature = feature.with_context(|| format!("{} has no {name}", leg.leg))?;
        timer_within(&feature.read_back, &range, untouched)
            .with_context(|| format!("{} {name}", leg.leg))?;
    }
    Ok(())
}

fn unchanged_by_setsockopt(socket: &Socket) -> Result<()> {
    ensure!(
        socket.before == socket.after,
        "setsockopt did what eBPF should have done"
    );
    Ok(())
}

fn on_rung(status: &Status, rung: Rung) -> Result<()> {
    let mut features = status.legs.iter().flat_map(|leg| &leg.features);
    ensure!(
        features.all(|feature| feature.rung == rung),
        "not all on {}:\n{status}",
        rung.name()
    );
    Ok(())
}

/// Before Linux 6.15 the timers cannot be read; that was reported as skipped.
fn timer_within(
    value: &ReadBack,
    range: &RangeInclusive<u32>,
    untouched: &SocketValues,
) -> Result<()> {
    if readable(&untouched.rto_min_us) {
        within(value, range)
    } else {
        Ok(())
    }
}

fn readable(value: &ReadBack) -> bool {
    matches!(value, ReadBack::Value { .. })
}

fn within(value: &ReadBack, range: &RangeInclusive<u32>) -> Result<()> {
    let ReadBack::Value { value } = value else {
        anyhow::bail!("not readable: {value:?}");
    };
    ensure!(range.contains(value), "{value} is not in {range:?}");
    Ok(())
}

/// What the kernel gives a socket that nobody touches.
fn untouched_values(wire: &Namespaces) -> Result<SocketValues> {
    let mut gateway = Gateway::run(&order(wire, Mode::Off, Capabilities::Kept))?;
    let started = gateway.started()?;
    let _other = wire.connect(started.other_port)?;
    Ok(gateway.socket("other")?.before)
}

/// Why there is nothing to test: the binary holds no eBPF object.
fn without_object(wire: &Namespaces) -> Result<Option<String>> {
    let mut gateway = Gateway::run(&order(wire, Mode::Auto, Capabilities::Kept))?;
    gateway.started()?;
    let status = gateway.status()?;
    gateway.stop()?;
    let reason = &status.legs[0].features[0].reason;
    Ok(reason
        .ends_with("built without the eBPF object")
        .then(|| reason.clone()))
}

/// What this machine lacks for the test.
fn lacking() -> Option<String> {
    let needed = CapabilitySet::SYS_ADMIN | CapabilitySet::NET_ADMIN | CapabilitySet::BPF;
    if !capabilities(None).is_ok_and(|sets| sets.effective.contains(needed)) {
        return Some("needs root: network namespaces, and eBPF".to_owned());
    }
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        return Some("needs a kernel with type information (BTF)".to_owned());
    }
    if Command::new("ip").arg("-V").output().is_err() {
        return Some("needs `ip` (iproute2)".to_owned());
    }
    None
}

fn skip(reason: &str) -> Result<()> {
    println!("SKIPPED: {NAME}: {reason}");
    if let Some(log) = std::env::var_os("WAGGLE_SKIP_LOG") {
        let mut log = OpenOptions::new().append(true).create(true).open(log)?;
        writeln!(log, "{NAME}: {reason}")?;
    }
    Ok(())
}

fn shown(values: &SocketValues) -> String {
    let value = |value: &ReadBack| match value {
        ReadBack::Value { value } => value.to_string(),
        ReadBack::Unreadable { unreadable } => format!("? ({unreadable})"),
    };
    format!(
        "nodelay {}, rto_min_us {}, delack_max_us {}",
        value(&values.nodelay),
        value(&values.rto_min_us),
        value(&values.delack_max_us)
    )
}
