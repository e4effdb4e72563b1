//! The guard's program in the kernel, and its verdict function on the host, over the same packets: they
//! answer alike.
//!
//! Needs root; elsewhere the test says `SKIPPED`, and adds a line to the file that `WAGGLE_SKIP_LOG` names.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::io::Write as _;

use waggle_accel::{Guard, GuardAction, GuardChange, GuardConfig, Network};
use waggle_ebpf::guard::{Kind, Packet, REACH, Verdict, parse};

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

fn network(text: &str) -> Network {
    text.parse().unwrap()
}

/// Rules about some of the corpus's sources, and what lies next to them.
fn with_rules() -> GuardConfig {
    let networks = |texts: &[&str]| texts.iter().map(|text| network(text)).collect();
    GuardConfig {
        allow: networks(&["192.0.2.6", "2001:db8:0:1::/64"]),
        deny: networks(&["192.0.2.0/29", "2001:db8:0:0::/62"]),
        ..unlimited()
    }
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
    ipv6_from([0x20, 1, 0xd, 0xb8, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9], extensions, inner)
}

fn ipv6_from(source: [u8; 16], extensions: &[(u8, &[u8])], inner: &[u8]) -> Vec<u8> {
    let mut packet = vec![2; 12];
    let length: usize = extensions.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() + inner.len();
    packet.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
    packet.extend((length as u16).to_be_bytes());
    packet.push(extensions.first().map_or(6, |(kind, _)| *kind));
    packet.push(64);
    packet.extend(source);
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

/// Chains of headers between IPv6's and TCP's: readable ones, and such as are too many or reach too far.
const CHAINS: &[&[(u8, &[u8])]] = &[
    &[],
    &[(0, OPTIONS)],
    &[(0, OPTIONS), (60, LONG), (43, OPTIONS), (51, OPTIONS)],
    &[(0, OPTIONS), (60, OPTIONS), (43, OPTIONS), (60, OPTIONS), (60, OPTIONS)],
    &[(60, OPTIONS), (60, OPTIONS), (60, OPTIONS), (60, OPTIONS), (60, OPTIONS), (60, OPTIONS)],
    &[(60, LONGER), (60, LONGER)],
    &[(60, LONGER), (60, LONGER), (43, LONG)],
    &[(44, OPTIONS)],
    &[(44, LATER)],
    &[(44, OPTIONS), (60, LONGER), (60, LONGER), (60, LONGER), (60, OPTIONS)],
    &[(50, OPTIONS)],
];
const OPTIONS: &[u8] = &[0; 8];
const LONG: &[u8] = &[0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// Two of them, and TCP's flags are the last that are within reach.
const LONGER: &[u8] = &{
    let mut longer = [0; 88];
    longer[1] = 10;
    longer
};
const LATER: &[u8] = &[0, 0, 0, 8, 0, 0, 0, 0];

fn corpus() -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    for flags in [2, 16, 18, 17, 4, 0, 3, 6, 41, 1] {
        for host in [5, 6, 7, 8] {
            packets.push(ipv4([192, 0, 2, host], &segment(flags, PORT)));
        }
        packets.push(ipv4([192, 0, 2, 7], &segment(flags, PORT + 1)));
    }
    for (tags, flags) in (1..4).flat_map(|tags| [2, 3, 16].map(|flags| (tags, flags))) {
        packets.push(tagged(ipv4([192, 0, 2, 8], &segment(flags, PORT)), tags));
        packets.push(tagged(ipv6(&[], &segment(flags, PORT)), tags));
        packets.push(tagged(ipv6(&[(60, LONG), (44, OPTIONS)], &segment(flags, PORT)), tags));
    }
    for (chain, flags) in CHAINS.iter().flat_map(|chain| [2, 3, 16].map(|flags| (chain, flags))) {
        packets.push(ipv6(chain, &segment(flags, PORT)));
        for network in 0..5 {
            let source = [0x20, 1, 0xd, 0xb8, 0, 0, 0, network, 0, 0, 0, 0, 0, 0, 0, 9];
            packets.push(ipv6_from(source, chain, &segment(flags, PORT)));
        }
    }
    packets
}

/// By the host's parser, and the rules in their plainest form.
fn wanted(config: &GuardConfig, packet: &[u8]) -> Verdict {
    let segment = parse(&Bytes(packet));
    let Some(segment) = segment.filter(|found| found.kind == Kind::Unreadable || found.port == PORT) else {
        return Verdict::Other;
    };
    let is_in = |networks: &[Network]| networks.iter().any(|network| network.contains(segment.source.into()));
    match segment.kind {
        _ if is_in(&config.allow) => Verdict::Allowed,
        _ if is_in(&config.deny) => Verdict::Denied,
        Kind::Bad => Verdict::Bad,
        Kind::Established => Verdict::Established,
        Kind::Opening | Kind::Unreadable => Verdict::Opened,
    }
}

fn counts(guard: &Guard) -> Vec<u64> {
    guard.status().verdicts.iter().map(|(_, count)| *count).collect()
}

/// What the loaded program's own counters say of one packet.
fn verdict(guard: &Guard, packet: &[u8]) -> Verdict {
    let before = counts(guard);
    let (passes, _) = guard.try_packet(packet, 1).unwrap();
    let after = counts(guard);
    let counted: Vec<_> = Verdict::ALL
        .into_iter()
        .filter(|verdict| after[*verdict as usize] != before[*verdict as usize])
        .collect();
    assert!(counted.len() == 1 && passes == counted[0].passes(), "{counted:?} {packet:02x?}");
    counted[0]
}

/// How many of each verdict there were.
#[derive(Default)]
struct Seen([u32; Verdict::ALL.len()]);

impl Seen {
    fn compare(&mut self, guard: &Guard, config: &GuardConfig, packet: &[u8]) {
        let found = verdict(guard, packet);
        assert_eq!(found, wanted(config, packet), "{packet:02x?}");
        self.0[found as usize] += 1;
    }

    /// All but `Limited`, which needs limits.
    fn shows_something(&self) {
        assert!(self.0[..Verdict::Limited as usize].iter().all(|seen| *seen > 10), "{:?}", self.0);
    }
}

#[test]
fn every_packet_cut_at_every_length_has_the_hosts_answer() {
    let config = with_rules();
    let Some(guard) = guard(&config) else { return };
    let mut seen = Seen::default();
    for packet in corpus() {
        for length in SHORTEST..=packet.len() {
            seen.compare(&guard, &config, &packet[..length]);
        }
    }
    seen.shows_something();
}

#[test]
fn packets_with_random_changes_have_the_hosts_answer() {
    let config = with_rules();
    let Some(guard) = guard(&config) else { return };
    let mut seen = Seen::default();
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
        seen.compare(&guard, &config, &packet);
    }
    seen.shows_something();
}

/// Under whatever headers a source hides its SYN: rules and limit are the same. That many at once are tried
/// within one run in the kernel, so that no time passes between them.
#[test]
fn openings_are_limited_by_their_source_under_tags_and_any_chain() {
    const BURST: u32 = 3;
    const TRIES: u32 = 20;
    let config = GuardConfig { rate_per_second: 1, burst: BURST, ..GuardConfig::default() };
    let Some(guard) = guard(&config) else { return };
    let mut openings: Vec<Vec<u8>> = Vec::new();
    for number in 1..4 {
        openings.push(tagged(ipv4([192, 0, 2, number], &segment(2, PORT)), usize::from(number) - 1));
    }
    for (number, chain) in CHAINS.iter().enumerate() {
        let source = [0x20, 1, 0xd, 0xb8, 0, 1, 0, number as u8, 0, 0, 0, 0, 0, 0, 0, 9];
        let packet = ipv6_from(source, chain, &segment(2, PORT));
        if wanted(&config, &packet) == Verdict::Opened {
            openings.push(packet);
        }
    }
    assert_eq!(openings.len(), 3 + CHAINS.len() - 2, "a later fragment and ESP are none");
    // IPv4 hosts behind NAT64.
    for number in 1..3 {
        let source = [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 192, 0, 2, number];
        openings.push(ipv6_from(source, &[], &segment(2, PORT)));
    }
    for packet in &openings {
        let before = counts(&guard);
        guard.try_packet(packet, TRIES).unwrap();
        let after = counts(&guard);
        let more = |verdict: Verdict| after[verdict as usize] - before[verdict as usize];
        let counted = (more(Verdict::Opened), more(Verdict::Limited));
        assert_eq!(counted, (u64::from(BURST), u64::from(TRIES - BURST)), "{packet:02x?}");
    }
    // One host may have all addresses of its 64 bits, another has others.
    let from = |bytes: [u8; 16]| verdict(&guard, &ipv6_from(bytes, &[], &segment(2, PORT)));
    assert_eq!(from([0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 7, 7, 7, 7, 7, 7, 7, 7]), Verdict::Limited);
    assert_eq!(from([0x20, 1, 0xd, 0xb8, 0, 1, 0, 99, 7, 7, 7, 7, 7, 7, 7, 7]), Verdict::Opened);
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
