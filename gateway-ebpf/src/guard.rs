//! What the guard does with a packet: pure functions over its bytes, shared by the XDP program and by
//! host tests.
//!
//! The guard is for new connections to our ports. What is not for our ports passes: it is the kernel's, or
//! somebody else's. What may be for our ports, though its headers do not say so within reach, goes by its
//! source's rules and limit, lest a longer chain of headers be a way around them.

/// Map from a TCP port in host byte order to 1: what the guard guards.
pub const MAP_PORTS: &str = "GUARD_PORTS";
/// LPM trie of 16-byte addresses to [`Entry`]. Sources that nothing is done to, whatever else is said of them.
pub const MAP_ALLOW: &str = "GUARD_ALLOW";
/// Likewise: sources that nothing is taken from.
pub const MAP_DENY: &str = "GUARD_DENY";
/// LRU hash from a source to its [`take`] state.
pub const MAP_SOURCES: &str = "GUARD_SOURCES";
/// Array of one [`Limits`].
pub const MAP_LIMITS: &str = "GUARD_LIMITS";
/// Array of one `u64`: the time, in nanoseconds since boot, after which nobody is denied any more; 0 is
/// never. The gateway sets it while rules are on probation, so that they end even if it does not live.
pub const MAP_TERM: &str = "GUARD_TERM";
/// Hash from [`UndoKey`] to [`Undo`]: what was before the rules that are on probation. For gateways alone.
pub const MAP_UNDO: &str = "GUARD_UNDO";
/// Per-CPU array of `u64`, indexed by [`Verdict`].
pub const MAP_VERDICTS: &str = "GUARD_VERDICTS";
/// The XDP program.
pub const PROGRAM: &str = "waggle_guard";

/// Most ports.
pub const PORTS_MAX: u32 = 64;
/// Most networks that are allowed or denied, each.
pub const NETWORKS_MAX: u32 = 16_384;
/// Sources whose new connections are counted; beyond, those unused for longest are forgotten.
pub const SOURCES_MAX: u32 = 65_536;

/// Most rules that are on probation at once.
pub const UNDO_MAX: u32 = 256;

/// An entry of the tries. Sixteen bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Entry {
    /// Nanoseconds since boot up to which it holds; 0 is for ever.
    pub until_ns: u64,
    /// Who made it, as the gateway numbers them; the program does not care.
    pub said: u32,
    /// Always 0.
    pub zero: u32,
}

/// A network of one of the two tries. Twenty-four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct UndoKey {
    /// 1 for the trie of allowed networks, 0 for that of denied ones.
    pub is_allow: u32,
    /// How many bits of the address matter.
    pub bits: u32,
    /// As in the tries.
    pub address: [u8; 16],
}

/// What was said of a network before. Twenty-four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Undo {
    /// What was there, if something was.
    pub entry: Entry,
    /// 1 where something was, else 0.
    pub was: u32,
    /// Always 0.
    pub zero: u32,
}

const _: () = assert!(size_of::<Entry>() == 16 && align_of::<Entry>() == 8);
const _: () = assert!(size_of::<UndoKey>() == 24 && align_of::<UndoKey>() == 4);
const _: () = assert!(size_of::<Undo>() == 24 && align_of::<Undo>() == 8);

/// New connections that a source may make. Sixteen bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Limits {
    /// Nanoseconds for each of them in the long run; 0 is no limit.
    pub interval_ns: u64,
    /// How far ahead of that pace a source may be, in nanoseconds.
    pub ahead_ns: u64,
}

const _: () = assert!(size_of::<Limits>() == 16 && align_of::<Limits>() == 8);

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Verdict {
    /// Passed: not TCP, or not for our ports.
    Other = 0,
    /// Passed: its source is allowed.
    Allowed = 1,
    /// Passed: of a connection that there is, or an answer.
    Established = 2,
    /// Passed: a new connection within its source's limit, or what may be one.
    Opened = 3,
    /// Dropped: its source is denied.
    Denied = 4,
    /// Dropped: no TCP sends such a segment.
    Bad = 5,
    /// Dropped: too many new connections of its source.
    Limited = 6,
}

impl Verdict {
    /// All verdicts, in the order of their numbers.
    pub const ALL: [Self; 7] =
        [Self::Other, Self::Allowed, Self::Established, Self::Opened, Self::Denied, Self::Bad, Self::Limited];

    /// Whether the packet goes on.
    #[must_use]
    pub const fn passes(self) -> bool {
        (self as u32) < (Self::Denied as u32)
    }

    /// The verdict's word in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Allowed => "allowed",
            Self::Established => "established",
            Self::Opened => "opened",
            Self::Denied => "denied",
            Self::Bad => "bad",
            Self::Limited => "limited",
        }
    }
}

/// A packet as it came, from its Ethernet header on.
pub trait Packet {
    /// `N` bytes from `at` on; `None` where the packet is shorter, or `at` is beyond [`REACH`].
    fn load<const N: usize>(&self, at: usize) -> Option<[u8; N]>;

    /// Its length.
    fn length(&self) -> usize;
}

/// No header is looked for beyond this many bytes.
pub const REACH: usize = 255;

/// A TCP segment, as far as the guard cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it comes from; IPv4 as IPv4-mapped IPv6.
    pub source: [u8; 16],
    /// Where it goes to, in host byte order; 0 where it is [`Kind::Unreadable`].
    pub port: u16,
    /// What it is.
    pub kind: Kind,
}

/// See [`Segment::kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The first of a new connection.
    Opening,
    /// Any other that TCP may send.
    Established,
    /// None that TCP sends: lengths that do not fit, or flags that exclude each other.
    Bad,
    /// Any of them, and for any port: its TCP header is not within reach.
    Unreadable,
}

const ETHERNET: usize = 14;
const VLAN_TAGS_MAX: usize = 2;
const TYPE_VLAN: u16 = 0x8100;
const TYPE_PROVIDER: u16 = 0x88a8;
const TYPE_IPV4: u16 = 0x0800;
const TYPE_IPV6: u16 = 0x86dd;
const PROTOCOL_TCP: u8 = 6;
const IPV6_HEADER: usize = 40;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;
/// Headers between IPv6's and TCP's that are skipped; with more of them a packet is unreadable.
const EXTENSIONS_MAX: usize = 4;
/// Bytes of a TCP header up to its flags.
const TCP_FLAGS: usize = 12;
/// Where a header is that is not looked for.
const NOWHERE: usize = REACH + 1;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const PSH: u8 = 8;
const ACK: u8 = 16;
const URG: u8 = 32;

/// Where the TCP header is, up to where its packet goes, and from whom.
struct Inner {
    source: [u8; 16],
    at: usize,
    end: usize,
}

/// The TCP segment of a packet, or of its first fragment; `None` is for what is none of the guard's.
#[inline(always)]
pub fn parse(packet: &impl Packet) -> Option<Segment> {
    let mut at = ETHERNET;
    let mut kind = u16::from_be_bytes(packet.load(12)?);
    let mut tags = 0;
    while tags < VLAN_TAGS_MAX && (kind == TYPE_VLAN || kind == TYPE_PROVIDER) {
        kind = u16::from_be_bytes(packet.load(at + 2)?);
        at += 4;
        tags += 1;
    }
    match kind {
        TYPE_IPV4 => Some(segment(packet, &ipv4(packet, at)?)),
        TYPE_IPV6 => Some(segment(packet, &ipv6(packet, at)?)),
        _ => None,
    }
}

#[inline(always)]
fn ipv4(packet: &impl Packet, at: usize) -> Option<Inner> {
    let header: [u8; 20] = packet.load(at)?;
    let length = ((header[0] & 15) as usize) * 4;
    let fragment = u16::from_be_bytes([header[6], header[7]]) & 0x1fff;
    if header[0] >> 4 != 4 || length < 20 || header[9] != PROTOCOL_TCP || fragment != 0 {
        return None;
    }
    let total = u16::from_be_bytes([header[2], header[3]]) as usize;
    let mut source = [0; 16];
    (source[10], source[11]) = (0xff, 0xff);
    (source[12], source[13], source[14], source[15]) = (header[12], header[13], header[14], header[15]);
    Some(Inner { source, at: at + length, end: at + total })
}

#[inline(always)]
fn ipv6(packet: &impl Packet, at: usize) -> Option<Inner> {
    let [first]: [u8; 1] = packet.load(at)?;
    if first >> 4 != 6 {
        return None;
    }
    let [high, low, mut next]: [u8; 3] = packet.load(at + 4)?;
    let source: [u8; 16] = packet.load(at + 8)?;
    let end = at + IPV6_HEADER + u16::from_be_bytes([high, low]) as usize;
    let nowhere = Inner { source, at: NOWHERE, end };
    let mut inner = at + IPV6_HEADER;
    let mut skipped = 0;
    while skipped < EXTENSIONS_MAX && is_extension(next) {
        let Some(header) = packet.load::<4>(inner) else {
            return Some(nowhere);
        };
        inner += match next {
            // Only the first fragment holds a TCP header.
            FRAGMENT if u16::from_be_bytes([header[2], header[3]]) & 0xfff8 != 0 => return None,
            FRAGMENT => 8,
            AUTHENTICATION => (header[1] as usize + 2) * 4,
            _ => (header[1] as usize + 1) * 8,
        };
        next = header[0];
        skipped += 1;
    }
    match next {
        PROTOCOL_TCP => Some(Inner { at: inner, ..nowhere }),
        _ if is_extension(next) => Some(nowhere),
        _ => None,
    }
}

#[inline(always)]
const fn is_extension(next: u8) -> bool {
    matches!(next, HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION)
}

#[inline(always)]
fn segment(packet: &impl Packet, inner: &Inner) -> Segment {
    let unreadable = Segment { source: inner.source, port: 0, kind: Kind::Unreadable };
    if inner.at + TCP_FLAGS > REACH {
        return unreadable;
    }
    // Cut before this, it is of no use by itself, but an old kernel may put it together with a fragment.
    let Some(ports) = packet.load::<4>(inner.at) else {
        return unreadable;
    };
    let port = u16::from_be_bytes([ports[2], ports[3]]);
    let bad = Segment { port, kind: Kind::Bad, ..unreadable };
    let Some(tail) = packet.load::<2>(inner.at + TCP_FLAGS) else {
        return bad;
    };
    let header = ((tail[0] >> 4) as usize) * 4;
    let is_whole = header >= 20 && inner.at + header <= inner.end && inner.end <= packet.length();
    let flags = tail[1];
    let is_possible = match flags & (SYN | FIN | RST) {
        0 => flags & ACK != 0,
        SYN => flags & (URG | PSH) == 0 || flags & ACK != 0,
        FIN => flags & ACK != 0,
        RST => flags & (URG | PSH) == 0 || flags & ACK != 0,
        _ => false,
    };
    let has_source_port = ports[0] != 0 || ports[1] != 0;
    if !(is_whole && is_possible && has_source_port) {
        return bad;
    }
    let kind = if flags & (SYN | ACK) == SYN { Kind::Opening } else { Kind::Established };
    Segment { kind, ..bad }
}

/// Under which address new connections are counted: IPv4's own, also behind NAT64, and of IPv6 the network
/// of 64 bits, which one host may have whole.
#[must_use]
#[inline(always)]
pub const fn counted_as(mut source: [u8; 16]) -> [u8; 16] {
    if !is_counted_whole(&source) {
        let mut at = 8;
        while at < 16 {
            source[at] = 0;
            at += 1;
        }
    }
    source
}

/// Whether all bits of an address count: of IPv4-mapped ones, and of IPv4 hosts behind NAT64 (64:ff9b::/96),
/// who share their 64 bits with everybody else.
#[must_use]
#[inline(always)]
pub const fn is_counted_whole(source: &[u8; 16]) -> bool {
    const MAPPED: u128 = 0xffff;
    const NAT64: u128 = 0x0064_ff9b << 64;
    let prefix = u128::from_be_bytes(*source) >> 32;
    prefix == MAPPED || prefix == NAT64
}

/// Takes one from a source's allowance, or says no. The state is the time at which all that was taken
/// will be paid off: the generic cell rate algorithm (ITU-T I.371), a token bucket in one number.
#[must_use]
#[inline(always)]
pub const fn take(paid_at_ns: u64, now_ns: u64, limits: &Limits) -> Option<u64> {
    let from = if paid_at_ns > now_ns { paid_at_ns } else { now_ns };
    if from - now_ns > limits.ahead_ns { None } else { Some(from + limits.interval_ns) }
}

/// Whether an entry with this expiry still holds.
#[must_use]
#[inline(always)]
pub const fn holds(until_ns: u64, now_ns: u64) -> bool {
    until_ns == 0 || until_ns > now_ns
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Bytes<'a>(&'a [u8]);

    impl Packet for Bytes<'_> {
        fn load<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
            if at > REACH {
                return None;
            }
            self.0.get(at..at + N)?.try_into().ok()
        }

        fn length(&self) -> usize {
            self.0.len()
        }
    }

    fn tcp(flags: u8) -> Vec<u8> {
        let mut header = vec![0; 20];
        header[..4].copy_from_slice(&[0xc0, 1, 0x1f, 0x91]);
        (header[12], header[13]) = (5 << 4, flags);
        header
    }

    fn over_ipv4(inner: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; 12];
        packet.extend([8, 0]);
        let total = 20 + inner.len() as u16;
        packet.extend([0x45, 0]);
        packet.extend(total.to_be_bytes());
        packet.extend([0, 0, 0, 0, 64, 6, 0, 0, 192, 0, 2, 7, 10, 0, 0, 1]);
        packet.extend(inner);
        packet
    }

    fn over_ipv6(extensions: &[(u8, Vec<u8>)], inner: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; 12];
        packet.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        let length: usize = extensions.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() + inner.len();
        packet.extend((length as u16).to_be_bytes());
        packet.push(extensions.first().map_or(6, |(kind, _)| *kind));
        packet.push(64);
        packet.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
        packet.extend([0; 16]);
        for (at, (_, bytes)) in extensions.iter().enumerate() {
            let next = extensions.get(at + 1).map_or(6, |(kind, _)| *kind);
            packet.push(next);
            packet.extend(&bytes[1..]);
        }
        packet.extend(inner);
        packet
    }

    fn kind(packet: &[u8]) -> Option<Kind> {
        parse(&Bytes(packet)).map(|segment| segment.kind)
    }

    #[test]
    fn segments_are_found_under_tags_and_extension_headers() {
        let segment = parse(&Bytes(&over_ipv4(&tcp(SYN)))).expect("a segment");
        let source = std::net::Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped().octets();
        assert_eq!(segment, Segment { source, port: 8081, kind: Kind::Opening });

        let mut tagged = over_ipv4(&tcp(SYN | ACK));
        for tag in [[0x81, 0, 0, 5], [0x88, 0xa8, 0, 6]] {
            tagged.splice(12..12, tag);
            assert_eq!(kind(&tagged), Some(Kind::Established));
        }
        tagged.splice(12..12, [0x81, 0, 0, 7]);
        assert_eq!(kind(&tagged), None, "three tags");

        let options = vec![0; 8];
        let long = [vec![0, 1], vec![0; 14]].concat();
        let fragment = vec![0; 8];
        let later = vec![0, 0, 0, 8, 0, 0, 0, 0];
        let of_length = |eights: u8| [vec![0, eights - 1], vec![0; usize::from(eights) * 8 - 2]].concat();
        for (extensions, wanted) in [
            (vec![], Some(Kind::Opening)),
            (vec![(0, options.clone())], Some(Kind::Opening)),
            (vec![(60, long), (43, options.clone()), (51, options.clone())], Some(Kind::Opening)),
            (vec![(44, fragment)], Some(Kind::Opening)),
            (vec![(44, later)], None),
            (vec![(0, options.clone()); 4], Some(Kind::Opening)),
            (vec![(0, options.clone()); 5], Some(Kind::Unreadable)),
            (vec![(0, options.clone()); 9], Some(Kind::Unreadable)),
            // 54 bytes before them: TCP's flags are the last that are within reach, or just not.
            (vec![(60, of_length(23))], Some(Kind::Opening)),
            (vec![(60, of_length(24))], Some(Kind::Unreadable)),
            (vec![(60, of_length(26))], Some(Kind::Unreadable)),
            (vec![(0, of_length(20)), (60, of_length(20)), (43, options.clone())], Some(Kind::Unreadable)),
            (vec![(44, vec![0; 8]), (60, of_length(250))], Some(Kind::Unreadable)),
            (vec![(50, options)], None),
        ] {
            assert_eq!(kind(&over_ipv6(&extensions, &tcp(SYN))), wanted, "{extensions:?}");
        }
    }

    #[test]
    fn what_is_not_ours_passes_unread() {
        let mut udp = over_ipv4(&tcp(SYN));
        udp[23] = 17;
        let mut fragment = over_ipv4(&tcp(SYN));
        fragment[21] = 1;
        let mut arp = over_ipv4(&tcp(SYN));
        (arp[12], arp[13]) = (8, 6);
        let discovery = over_ipv6(&[], &[135, 0, 0, 0]);
        let discovery = [&discovery[..20], &[58], &discovery[21..]].concat();
        let mut late_udp =
            over_ipv6(&[(0, vec![0; 8]), (43, vec![0; 8]), (60, vec![0; 8]), (60, vec![0; 8])], &[]);
        late_udp[54 + 24] = 17;
        for packet in [&udp[..], &fragment, &arp, &discovery, &late_udp, &[], &[0; 13]] {
            assert_eq!(kind(packet), None);
        }
    }

    #[test]
    fn flags_that_no_tcp_sends_are_bad() {
        for flags in 0..64 {
            let found = kind(&over_ipv4(&tcp(flags)));
            let resets_and_openings = [SYN, RST].contains(&(flags & (SYN | FIN | RST)));
            let wanted = match flags {
                SYN => Kind::Opening,
                RST => Kind::Established,
                _ if flags & ACK != 0
                    && (resets_and_openings || [0, FIN].contains(&(flags & (SYN | FIN | RST)))) =>
                {
                    Kind::Established
                }
                _ => Kind::Bad,
            };
            assert_eq!(found, Some(wanted), "{flags:#b}");
        }
        assert_eq!(kind(&over_ipv4(&tcp(SYN | 0x40 | 0x80))), Some(Kind::Opening), "with congestion flags");
    }

    #[test]
    fn lengths_that_do_not_fit_are_bad() {
        let good = over_ipv4(&tcp(SYN));
        for (at, value) in [(46, 4 << 4), (46, 6 << 4), (17, 39), (17, 41), (34, 0)] {
            let mut packet = good.clone();
            packet[at] = value;
            if at == 34 {
                packet[35] = 0;
            }
            assert_eq!(kind(&packet), Some(Kind::Bad), "{at}");
        }
        for length in 0..good.len() {
            let wanted = match length {
                0..34 => None,
                34..38 => Some(Kind::Unreadable),
                _ => Some(Kind::Bad),
            };
            assert_eq!(kind(&good[..length]), wanted, "{length}");
        }
    }

    #[test]
    fn sources_are_counted_by_ipv4_address_or_ipv6_network() {
        let ipv4 = std::net::Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped().octets();
        assert_eq!(counted_as(ipv4), ipv4);
        assert_eq!(counted_as([7; 16]), [7, 7, 7, 7, 7, 7, 7, 7, 0, 0, 0, 0, 0, 0, 0, 0]);
        for (text, is_whole) in [
            ("64:ff9b::192.0.2.7", true),
            ("64:ff9b:1::192.0.2.7", false),
            ("64:ff9b::1:192.0.2.7", false),
            ("::ffff:192.0.2.7", true),
            ("::fffe:192.0.2.7", false),
            ("1::ffff:192.0.2.7", false),
            ("0:0:0:1::ffff:192.0.2.7", false),
        ] {
            let source = text.parse::<std::net::Ipv6Addr>().expect(text).octets();
            assert_eq!(counted_as(source) == source, is_whole, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_have_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&Bytes(&bytes));
        }

        /// However they come, no more than the pace and what it may run ahead are let through.
        #[test]
        fn a_source_gets_its_pace_and_no_more(
            gaps in proptest::collection::vec(0_u64..3_000_000_000, 1..200),
            interval_ns in 1_000_000_u64..1_000_000_000,
            burst in 0_u64..20,
        ) {
            let limits = Limits { interval_ns, ahead_ns: burst * interval_ns };
            let (mut state, mut now, mut taken) = (0, 1_000_000_000, 0_u64);
            let start = now;
            for gap in gaps {
                now += gap;
                if let Some(next) = take(state, now, &limits) {
                    state = next;
                    taken += 1;
                }
            }
            prop_assert!(taken <= burst + 1 + (now - start) / interval_ns);
        }
    }
}
