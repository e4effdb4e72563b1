//! Lets packets in or drops them before the kernel has spent anything on them.
//!
//! `unsafe` is needed for what BPF is: raw packet pointers, helper calls and symbols with fixed names.
#![allow(unsafe_code, reason = "BPF helpers, packet pointers and linker sections")]

use aya_ebpf::{
    bindings::xdp_action,
    helpers::bpf_ktime_get_boot_ns,
    macros::{map, xdp},
    maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, lpm_trie::Key},
    programs::XdpContext,
};
use waggle_ebpf::{
    abi::ABI_VERSION,
    guard::{
        Entry, Kind, Limits, NETWORKS_MAX, PORTS_MAX, Packet, REACH, SOURCES_MAX, UNDO_MAX, Undo, UndoKey,
        Verdict, counted_as, holds, parse, take,
    },
};

#[map]
static GUARD_PORTS: HashMap<u16, u8> = HashMap::with_max_entries(PORTS_MAX, 0);

#[map]
static GUARD_ALLOW: LpmTrie<[u8; 16], Entry> = LpmTrie::with_max_entries(NETWORKS_MAX, 0);

#[map]
static GUARD_DENY: LpmTrie<[u8; 16], Entry> = LpmTrie::with_max_entries(NETWORKS_MAX, 0);

#[map]
static GUARD_SOURCES: LruHashMap<[u8; 16], u64> = LruHashMap::with_max_entries(SOURCES_MAX, 0);

#[map]
static GUARD_LIMITS: Array<Limits> = Array::with_max_entries(1, 0);

#[map]
static GUARD_TERM: Array<u64> = Array::with_max_entries(1, 0);

/// Unused here: it is in the object so that it is made, and pinned, like the others.
#[map]
static GUARD_UNDO: HashMap<UndoKey, Undo> = HashMap::with_max_entries(UNDO_MAX, 0);

#[map]
static GUARD_VERDICTS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Verdict::ALL.len() as u32, 0);

/// Compared by the loader before anything else; see `waggle_ebpf::abi`.
#[used]
// SAFETY: the section is this crate's own; nothing else is put into it.
#[unsafe(link_section = "waggle.abi")]
#[unsafe(no_mangle)]
static WAGGLE_ABI: u32 = ABI_VERSION;

/// The kernel allows GPL-only helpers to programs that say so here.
#[used]
// SAFETY: a zero-terminated string is what the kernel expects in this section.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

struct Bytes {
    start: usize,
    end: usize,
}

impl Packet for Bytes {
    #[inline(always)]
    fn load<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        if at > REACH {
            return None;
        }
        let from = self.start + at;
        if from + N > self.end {
            return None;
        }
        // SAFETY: the `N` bytes lie between the packet's start and its end, as the verifier sees as well.
        Some(unsafe { (from as *const [u8; N]).read_unaligned() })
    }

    #[inline(always)]
    fn length(&self) -> usize {
        self.end - self.start
    }
}

/// Entry: called for every packet that comes in.
#[xdp]
pub(crate) fn waggle_guard(ctx: XdpContext) -> u32 {
    let verdict = decide(&Bytes { start: ctx.data(), end: ctx.data_end() });
    if let Some(cell) = GUARD_VERDICTS.get_ptr_mut(verdict as u32) {
        // SAFETY: the cell is this CPU's own.
        unsafe { *cell += 1 };
    }
    if verdict.passes() { xdp_action::XDP_PASS } else { xdp_action::XDP_DROP }
}

#[inline(always)]
fn decide(packet: &Bytes) -> Verdict {
    let Some(segment) = parse(packet) else {
        return Verdict::Other;
    };
    // SAFETY: the entry is only looked for.
    if segment.kind != Kind::Unreadable && unsafe { GUARD_PORTS.get(&segment.port) }.is_none() {
        return Verdict::Other;
    }
    // SAFETY: a helper without arguments.
    let now = unsafe { bpf_ktime_get_boot_ns() };
    let source = Key::new(128, segment.source);
    if GUARD_ALLOW.get(&source).is_some_and(|entry| holds(entry.until_ns, now)) {
        return Verdict::Allowed;
    }
    if GUARD_DENY.get(&source).is_some_and(|entry| holds(entry.until_ns, now)) && denying(now) {
        return Verdict::Denied;
    }
    match segment.kind {
        Kind::Bad => Verdict::Bad,
        Kind::Established => Verdict::Established,
        Kind::Opening | Kind::Unreadable => opening(segment.source, now),
    }
}

/// Rules on probation end even where no gateway lives to end them.
#[inline(always)]
fn denying(now: u64) -> bool {
    GUARD_TERM.get(0).is_none_or(|until| holds(*until, now))
}

#[inline(always)]
fn opening(source: [u8; 16], now: u64) -> Verdict {
    let Some(limits) = GUARD_LIMITS.get(0).filter(|limits| limits.interval_ns != 0) else {
        return Verdict::Opened;
    };
    let counted = counted_as(source);
    // SAFETY: the value is copied at once; two CPUs that race let one connection more through.
    let paid_at = unsafe { GUARD_SOURCES.get(&counted) }.copied().unwrap_or(0);
    match take(paid_at, now, limits) {
        None => Verdict::Limited,
        // A map without room counts nothing, and lets nobody wait.
        Some(paid_at) => {
            let _ = GUARD_SOURCES.insert(&counted, &paid_at, 0);
            Verdict::Opened
        }
    }
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier proves that no path comes here.
    loop {}
}
