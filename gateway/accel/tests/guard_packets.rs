//! The guard's program in the kernel, and its verdict function on the host, over the same packets: they
//! answer alike.
//!
//! Needs root; elsewhere the test says `SKIPPED`, and adds a line to the file that `WAGGLE_SKIP_LOG` names.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::io::Write as _;

use waggle_accel::{Guard, GuardAction, GuardChange, GuardConfig, Network};
use waggle_ebpf::guard::{Kind, Packet, REACH, parse};

const PORT: u16 = 8081;
/// Of the kernel's own: a packet for a test run has at least an Ethernet header.
const SHORTEST: usize = 14;

struct Bytes<'a>(&'a [u8]);

impl Packet for Bytes<'_> {
    fn load<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        if at > REACH { None } else { self.0.get(at..at + N)?.try_into().ok() }
    }

    fn length(&self) -> usize {
        self.0.len()
    }
}

fn guard(config: &GuardConfig) -> Option<Guard> {
    match Guard::detached(config, &[PORT]) {
        Ok(guard) => Some(guard),
        Err(error) => {
            let reason =
                std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source())
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(": ");
            assert!(
                ["missing capability", "built without"].iter().any(|word| reason.contains(word)),
                "{reason}"
            );
            println!("SKIPPED: guard_packets: {reason}");
            if let Some(log) = std::env::var_os("WAGGLE_SKIP_LOG") {
                let mut log = std::fs::OpenOptions::new().append(true).create(true).open(log).unwrap();
                writeln!(log, "guard_packets: {reason}").unwrap();
            }
            None
        }
    }
}

fn unlimited() -> GuardConfig {
    GuardConfig { rate_per_second: 0, ..GuardConfig::default() }
}

fn segment(flags: u8, port: u16) -> Vec<u8> {
    let mut header = vec![0; 24];
    header[..2].copy_from_slice(&50_000_u16.to_be_bytes());
    header[2..4].copy_from_slice(&port.to_be_bytes());
    (header[12], header[13]) = (6 << 4, flags);
    header
}

fn ipv4(source: [u8; 4], inner: &[u8]) -> Vec<u8> {
    let mut packet = vec![2; 12];
    packet.extend([8, 0, 0x45, 0]);
    packet.extend((20 + inner.len() as u16).to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, 6, 0, 0]);
    packet.extend(source);
    packet.extend([10, 0, 0, 1]);
    packet.extend(inner);
    packet
}

/// `extensions`: the kind of each header, and its bytes.
fn ipv6(extensions: &[(u8, &[u8])], inner: &[u8]) -> Vec<u8> {
    let mut packet = vec![2; 12];
    let length: usize = extensions.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() + inner.len();
    packet.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
    packet.extend((length as u16).to_be_bytes());
    packet.push(extensions.first().map_or(6, |(kind, _)| *kind));
    packet.push(64);
    packet.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
    packet.extend([0xfd; 16]);
    for (at, (_, bytes)) in extensions.iter().enumerate() {
        packet.push(extensions.get(at + 1).map_or(6, |(kind, _)| *kind));
        packet.extend(&bytes[1..]);
    }
    packet.extend(inner);
    packet
}

fn tagged(mut packet: Vec<u8>, tags: usize) -> Vec<u8> {
    for _ in 0..tags {
        packet.splice(12..12, [0x81, 0, 0, 5]);
    }
    packet
}

fn corpus() -> Vec<Vec<u8>> {
    let options: &[u8] = &[0; 8];
    let long: &[u8] = &[0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let later: &[u8] = &[0, 0, 0, 8, 0, 0, 0, 0];
    let mut packets = Vec::new();
    for flags in [2, 16, 18, 17, 4, 0, 3, 6, 41, 1] {
        packets.push(ipv4([192, 0, 2, 7], &segment(flags, PORT)));
        packets.push(ipv4([192, 0, 2, 7], &segment(flags, PORT + 1)));
    }
    for tags in 1..4 {
        packets.push(tagged(ipv4([192, 0, 2, 7], &segment(3, PORT)), tags));
        packets.push(tagged(ipv6(&[], &segment(3, PORT)), tags));
    }
    for extensions in [
        &[][..],
        &[(0, options)],
        &[(0, options), (60, long), (43, options), (51, options)],
        &[(0, options), (60, options), (43, options), (60, options), (60, options)],
        &[(44, options)],
        &[(44, later)],
        &[(50, options)],
    ] {
        packets.push(ipv6(extensions, &segment(3, PORT)));
        packets.push(ipv6(extensions, &segment(2, PORT)));
    }
    packets
}

fn wanted(packet: &[u8]) -> bool {
    !parse(&Bytes(packet)).is_some_and(|segment| segment.port == PORT && segment.kind == Kind::Bad)
}

fn agrees(guard: &Guard, packet: &[u8]) -> bool {
    let (passes, _) = guard.try_packet(packet, 1).unwrap();
    assert_eq!(passes, wanted(packet), "{packet:02x?}");
    passes
}

#[test]
fn every_packet_cut_at_every_length_has_the_hosts_answer() {
    let Some(guard) = guard(&unlimited()) else { return };
    let mut dropped = 0;
    for packet in corpus() {
        for length in SHORTEST..=packet.len() {
            dropped += u32::from(!agrees(&guard, &packet[..length]));
        }
    }
    assert!(dropped > 100, "only {dropped} were dropped: the corpus shows nothing");
}

#[test]
fn packets_with_random_changes_have_the_hosts_answer() {
    let Some(guard) = guard(&unlimited()) else { return };
    let packets = corpus();
    let mut state = 1_u64;
    let mut random = move |below: usize| {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) as usize % below
    };
    for _ in 0..30_000 {
        let mut packet = packets[random(packets.len())].clone();
        for _ in 0..=random(4) {
            // Headers are where changes matter.
            let at = random(packet.len().min(80));
            packet[at] = random(256) as u8;
        }
        if random(4) == 0 {
            packet.truncate(SHORTEST + random(packet.len() - SHORTEST));
        }
        agrees(&guard, &packet);
    }
}

#[test]
fn rules_decide_by_source_and_allowing_wins() {
    let Some(guard) = guard(&GuardConfig { rate_per_second: 1, burst: 3, ..GuardConfig::default() }) else {
        return;
    };
    let passes =
        |source: [u8; 4], flags| guard.try_packet(&ipv4(source, &segment(flags, PORT)), 1).unwrap().0;
    let change = |action, network: &str| {
        let network: Network = network.parse().unwrap();
        guard.change(&GuardChange { action, network, for_s: None, confirm_within_s: None })
    };
    const SYN: u8 = 2;
    const ACK: u8 = 16;
    let opened = (0..10).filter(|_| passes([192, 0, 2, 1], SYN)).count();
    assert!((3..=4).contains(&opened), "{opened} of a burst of 3");
    assert!(passes([192, 0, 2, 1], ACK), "an established connection is not limited");
    assert!(passes([192, 0, 2, 2], SYN), "another source is not limited");
    change(GuardAction::Deny, "192.0.2.0/24").unwrap();
    assert!(!passes([192, 0, 2, 1], ACK) && !passes([192, 0, 2, 2], SYN) && passes([192, 0, 3, 1], SYN));
    change(GuardAction::Allow, "192.0.2.1").unwrap();
    assert!((0..10).all(|_| passes([192, 0, 2, 1], SYN)), "an allowed source is not limited");
    assert!(!passes([192, 0, 2, 2], SYN));
    assert!(change(GuardAction::Deny, "192.0.2.1").is_err());
    change(GuardAction::Remove, "192.0.2.0/24").unwrap();
    assert!(passes([192, 0, 2, 2], ACK));
    let counted = |word: &str| guard.status().verdicts.iter().find(|(name, _)| name == word).unwrap().1;
    assert_eq!(counted("denied"), 3);
    assert_eq!(counted("limited"), 10 - opened as u64);
}

#[test]
fn the_deny_list_is_taken_to_its_limit_and_no_further() {
    /// Of rules of one kind; as many addresses that failed to authenticate have room of their own.
    const RULES_MAX: u32 = 8_192;
    let address = |n: u32| Network::of(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into());
    let deny: Vec<_> = (0..RULES_MAX).map(address).collect();
    let Some(guard) = guard(&GuardConfig { deny: deny.clone(), ..unlimited() }) else { return };
    let passes = |n: u32| {
        let source = (0x0a00_0000 + n).to_be_bytes();
        guard.try_packet(&ipv4(source, &segment(16, PORT)), 1).unwrap().0
    };
    assert!(!passes(0) && !passes(RULES_MAX - 1) && passes(RULES_MAX));
    let one_more = GuardChange {
        action: GuardAction::Deny,
        network: address(RULES_MAX),
        for_s: None,
        confirm_within_s: None,
    };
    let refusal = guard.change(&one_more).unwrap_err().to_string();
    assert!(refusal.starts_with("there are 8192 rules of this kind already"), "{refusal}");
    assert!(!passes(0) && !passes(RULES_MAX - 1) && passes(RULES_MAX), "nothing was changed");
    assert_eq!(guard.status().rules.len(), RULES_MAX as usize);
    // Replacing one of them is possible at the limit.
    guard
        .change(&GuardChange { action: GuardAction::Remove, network: address(0), ..one_more.clone() })
        .unwrap();
    guard.change(&one_more).unwrap();
    assert!(passes(0) && !passes(RULES_MAX));

    let deny: Vec<_> = (0..=RULES_MAX).map(address).collect();
    let error = Guard::detached(&GuardConfig { deny, ..unlimited() }, &[PORT]).unwrap_err();
    assert_eq!(error.to_string(), "accel.guard is not taken");
}

#[test]
fn more_changes_on_probation_than_can_be_taken_back_are_refused() {
    const UNDO_MAX: u32 = 256;
    let Some(guard) = guard(&unlimited()) else { return };
    let change = |n: u32| GuardChange {
        action: GuardAction::Deny,
        network: Network::of(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into()),
        for_s: None,
        confirm_within_s: Some(3_600),
    };
    (0..UNDO_MAX).for_each(|n| guard.change(&change(n)).unwrap());
    let refusal = guard.change(&change(UNDO_MAX)).unwrap_err().to_string();
    assert!(refusal.starts_with("more than 256 changes would wait"), "{refusal}");
    assert_eq!(guard.status().rules.len(), UNDO_MAX as usize);
    guard.confirm().unwrap();
    guard.change(&change(UNDO_MAX)).unwrap();
}
