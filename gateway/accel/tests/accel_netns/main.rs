//! The accelerator on real connections between two network namespaces: profiles by eBPF, the fall to
//! setsockopt without capabilities, and nothing at all when switched off.
//!
//! Needs root, kernel type information and `ip`; where one is missing the test says `SKIPPED` with the
//! reason, and adds a line to the file that `WAGGLE_SKIP_LOG` names.
#![cfg(target_os = "linux")]

mod cases;
mod expectations;
mod gateway;
mod namespaces;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use rustix::thread::{CapabilitySet, capabilities};
use waggle_accel::{Mode, ReadBack, SocketValues};

use cases::{CASES, Case, order};
use expectations::shown;
use gateway::{Capabilities, Gateway};
use namespaces::Namespaces;

const NAME: &str = "accel_netns";

fn main() -> ExitCode {
    if let Some(order) = gateway::order() {
        let served = order.context("not an order").and_then(|order| gateway::serve(&order));
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
    let filters: Vec<_> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
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
    if let ReadBack::Unreadable { unreadable } = untouched.of("rto_min_us") {
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
    println!("test result: {} passed; {failed} failed", cases.len() - failed);
    Ok(failed)
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
    Ok(reason.ends_with("built without the eBPF object").then(|| reason.clone()))
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
