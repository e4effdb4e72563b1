//! The guard, tried on packets whose verdicts are known, and on interfaces.
#![allow(unsafe_code, reason = "a network namespace for one thread")]

use std::thread;

use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::{CheckConfig, FeatureCheck, advice};
use crate::error::chain;
use crate::guard::{Guard, GuardConfig, XdpAttachment};
use crate::{AccelError, Mode};

/// The port that the test's packets are for. Nothing listens: they go into no network.
const PORT: u16 = 8081;
const LOOPBACK: &str = "lo";

const SYN: u8 = 2;
const ACK: u8 = 16;
const SYN_FIN: u8 = 3;

const STRANGER: [u8; 4] = [192, 0, 2, 1];
const DENIED: [u8; 4] = [198, 51, 100, 1];
const ALLOWED: [u8; 4] = [198, 51, 100, 2];

/// The program's verdicts, its place on loopback, and its place on each interface that is named.
pub(super) fn features(config: &CheckConfig) -> Vec<FeatureCheck> {
    let verdicts = match trial_guard() {
        Ok(guard) => verdicts(&guard),
        Err(AccelError::Required(error)) => {
            return vec![feature("guard", "off", "ebpf", chain(&error), Some(advice::after(&error)))];
        }
        Err(error) => return vec![feature("guard", "off", "ebpf", chain(&error), None)],
    };
    let mut features = vec![verdicts, on_loopback()];
    features.extend(config.interfaces.iter().map(|name| on_interface(name)));
    features
}

fn feature(name: &str, rung: &str, best: &str, reason: String, change: Option<&str>) -> FeatureCheck {
    FeatureCheck {
        feature: name.to_owned(),
        rung: rung.to_owned(),
        best: best.to_owned(),
        reason,
        change: change.map(str::to_owned),
    }
}

/// Loaded, with rules that the packets below know of, and on no interface.
fn trial_guard() -> Result<Guard, AccelError> {
    let network = |address: [u8; 4]| crate::Network::of(address.into());
    let config = GuardConfig {
        rate_per_second: 1,
        burst: 2,
        allow: vec![network(ALLOWED)],
        // Holds the allowed one, too: allowing wins.
        deny: vec![network(DENIED).shortened(120)],
        ..GuardConfig::default()
    };
    Guard::detached(&config, &[PORT])
}

fn verdicts(guard: &Guard) -> FeatureCheck {
    let known = [
        ("an ARP request", arp(), true),
        ("a first SYN", ipv4(STRANGER, PORT, SYN), true),
        ("a second SYN", ipv4(STRANGER, PORT, SYN), true),
        ("a SYN beyond the burst", ipv4(STRANGER, PORT, SYN), false),
        ("a segment of a connection", ipv4(STRANGER, PORT, ACK), true),
        ("SYN and FIN at once", ipv4(STRANGER, PORT, SYN_FIN), false),
        ("SYN and FIN for another port", ipv4(STRANGER, PORT + 1, SYN_FIN), true),
        ("SYN and FIN in a VLAN", tagged(ipv4(STRANGER, PORT, SYN_FIN)), false),
        ("a denied source", ipv4(DENIED, PORT, ACK), false),
        ("an allowed source", ipv4(ALLOWED, PORT, SYN), true),
        ("SYN and FIN over IPv6", ipv6(PORT, SYN_FIN), false),
    ];
    let count = known.len();
    for (what, packet, passes) in known {
        let reason = match guard.try_packet(&packet, 1) {
            Ok((passed, _)) if passed == passes => continue,
            Ok(_) => format!("self-test: {what} {}", if passes { "is dropped" } else { "passes" }),
            Err(error) => format!("self-test: the kernel does not run it: {error}"),
        };
        return feature("guard", "off", "ebpf", reason, Some("do not name an interface on this kernel"));
    }
    let reason = format!("XDP program; {count} packets had the verdicts that are known");
    feature("guard", "ebpf", "ebpf", reason, None)
}

/// In a network namespace of its own where that may be made, so that nobody's packets are seen. Loopback
/// has no driver, so this is the generic way at best.
fn on_loopback() -> FeatureCheck {
    let attached = thread::scope(|scope| {
        let inside = scope.spawn(|| {
            // SAFETY: the namespace of networks concerns sockets made later by this thread alone, which
            // ends here; it shares no table of descriptors less than before.
            let apart = unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.is_ok();
            (attach(LOOPBACK), apart)
        });
        inside.join()
    });
    let name = format!("guard.{LOOPBACK}");
    match attached {
        Ok((Ok((XdpAttachment::Off, reason)), _)) => {
            feature(&name, "off", "generic", reason, Some("build the kernel with generic XDP"))
        }
        Ok((Ok((_, _)), apart)) => {
            let place = if apart { "in a network namespace made for it" } else { "for a moment" };
            feature(&name, "generic", "generic", format!("attached to loopback {place}"), None)
        }
        Ok((Err(reason), _)) => feature(&name, "off", "generic", reason, None),
        Err(_) => feature(&name, "off", "generic", "the trial panicked".to_owned(), None),
    }
}

fn on_interface(name: &str) -> FeatureCheck {
    let label = format!("guard.{name}");
    match attach(name) {
        Ok((attached, reason)) => {
            let reason = if reason.is_empty() { "attached in the driver".to_owned() } else { reason };
            let change = match attached {
                XdpAttachment::Native => None,
                XdpAttachment::Generic => Some("use a driver with XDP; what passes costs more like this"),
                XdpAttachment::Off => {
                    Some("name another interface in accel.guard.interfaces, or take off what is on it")
                }
            };
            feature(&label, attached.name(), "native", reason, change)
        }
        Err(reason) => feature(&label, "off", "native", reason, None),
    }
}

/// Puts the program there, guarding no port, and takes it off.
fn attach(interface: &str) -> Result<(XdpAttachment, String), String> {
    let config = GuardConfig { interfaces: vec![interface.to_owned()], ..GuardConfig::default() };
    let guard = Guard::start(&config, &[], Mode::Auto).map_err(|error| chain(&error))?;
    let status = guard.status();
    match status.interfaces.into_iter().next() {
        Some(found) => Ok((found.attached, found.reason)),
        None => Err(status.unguarded.unwrap_or_default()),
    }
}

fn arp() -> Vec<u8> {
    let mut packet = vec![2; 12];
    packet.extend([8, 6]);
    packet.resize(42, 0);
    packet
}

fn segment(port: u16, flags: u8) -> Vec<u8> {
    let mut header = 50_000_u16.to_be_bytes().to_vec();
    header.extend(port.to_be_bytes());
    header.extend([0; 8]);
    // Five words long; then window, checksum and urgent pointer.
    header.extend([5 << 4, flags]);
    header.extend([0; 6]);
    header
}

fn ipv4(source: [u8; 4], port: u16, flags: u8) -> Vec<u8> {
    let mut packet = vec![2; 12];
    packet.extend([8, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0]);
    packet.extend(source);
    packet.extend([10, 0, 0, 1]);
    packet.extend(segment(port, flags));
    packet
}

fn ipv6(port: u16, flags: u8) -> Vec<u8> {
    let mut packet = vec![2; 12];
    packet.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, 6, 64]);
    packet.extend([0xfd; 32]);
    packet.extend(segment(port, flags));
    packet
}

fn tagged(mut packet: Vec<u8>) -> Vec<u8> {
    packet.splice(12..12, [0x81, 0, 0, 5]);
    packet
}
