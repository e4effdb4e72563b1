//! Gives each new connection the TCP profile of its leg, before its first byte is sent, and measures it.
//!
//! `unsafe` is needed for what BPF is: raw context pointers, helper calls and symbols with fixed names.
#![allow(unsafe_code, reason = "BPF helpers, context pointers and linker sections")]

use aya_ebpf::{
    bindings::bpf_sock_ops,
    helpers::{
        bpf_get_socket_cookie, bpf_ktime_get_boot_ns,
        generated::{bpf_setsockopt, bpf_sock_ops_cb_flags_set},
    },
    macros::{map, sock_ops},
    maps::{Array, LpmTrie, LruHashMap, PerCpuArray, RingBuf, lpm_trie::Key},
    programs::SockOpsContext,
};
use aya_log_ebpf::{debug, warn};
use waggle_ebpf::{
    Account, Connection, Counter, Event, Feature, Moment, MomentKind, Profile, RuleKey,
    abi::{
        ABI_VERSION, CALLBACKS, CONNECTIONS_MAX, COUNTERS_LEN, MOMENTS_BYTES, OP_RETRANSMIT, OP_ROUND_TRIP,
        OP_STATE, OP_TIMEOUT, ROUND_TRIPS_LEN, RULES_MAX, STATE_CLOSE,
    },
    attempts,
    decision::address,
    histogram::{BUCKETS, bucket},
    lookup_port,
};

/// `IPPROTO_TCP`, as a level of `bpf_setsockopt`.
const LEVEL_TCP: i32 = 6;

/// `sock_ops` programs answer 1 for "handled"; other answers mean something for other calls only.
const HANDLED: u32 = 1;

#[map]
static RULES: LpmTrie<RuleKey, u32> = LpmTrie::with_max_entries(RULES_MAX, 0);

#[map]
static PROFILES: Array<Profile> = Array::with_max_entries(Account::ALL.len() as u32, 0);

#[map]
static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(COUNTERS_LEN, 0);

#[map]
static ROUND_TRIPS: PerCpuArray<u64> = PerCpuArray::with_max_entries(ROUND_TRIPS_LEN, 0);

#[map]
static CONNECTIONS: LruHashMap<u64, Connection> = LruHashMap::with_max_entries(CONNECTIONS_MAX, 0);

#[map]
static MOMENTS: RingBuf = RingBuf::with_byte_size(MOMENTS_BYTES, 0);

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

/// A field of the context. Volatile keeps each read a load of one 32-bit field: LLVM may merge neighbours
/// into one load of 64 bits, which the verifier refuses.
macro_rules! field {
    ($ctx:expr, $($field:tt)+) => {{
        let ops: *const bpf_sock_ops = $ctx.ops;
        // SAFETY: the kernel passes a valid context.
        unsafe { (&raw const (*ops).$($field)+).read_volatile() }
    }};
}

/// Entry: called for every TCP event of the cgroup; acts on connections of known ports.
#[sock_ops]
pub(crate) fn waggle_profiles(ctx: SockOpsContext) -> u32 {
    match field!(ctx, op) {
        OP_ROUND_TRIP => round_trip(&ctx),
        OP_RETRANSMIT => retransmit(&ctx),
        OP_TIMEOUT => timeout(&ctx),
        OP_STATE => state(&ctx),
        op => established(&ctx, op),
    }
    HANDLED
}

#[inline(always)]
fn established(ctx: &SockOpsContext, op: u32) {
    let Some((side, port)) = lookup_port(op, field!(ctx, local_port), field!(ctx, remote_port)) else {
        return;
    };
    let key = Key::new(RuleKey::BITS, RuleKey::new(side, port, remote_address(ctx)));
    let Some(number) = RULES.get(&key).copied() else {
        return;
    };
    let (Some(account), Some(profile)) = (Account::from_number(number), PROFILES.get(number)) else {
        return;
    };
    // User space copies a new profile over the old one: a connection that is made at that moment may get some
    // settings of each. All of them are ones that somebody asked for.
    let profile = *profile;
    count(Counter::Connections(account), 1);
    debug!(ctx, "established: account {} port {} side {}", number, port, side as u8);
    set(ctx, account, Feature::Nodelay, &profile);
    set(ctx, account, Feature::RtoMin, &profile);
    set(ctx, account, Feature::DelackMax, &profile);
    set(ctx, account, Feature::NotsentLowat, &profile);
    set(ctx, account, Feature::UserTimeout, &profile);
    set(ctx, account, Feature::RtoMax, &profile);
    set(ctx, account, Feature::ThinLinear, &profile);
    if account != Account::Probe {
        follow(ctx, number);
    }
}

/// Measures the connection from now on.
#[inline(always)]
fn follow(ctx: &SockOpsContext, account: u32) {
    let connection = Connection { account, srtt_us: 0, retransmits: 0, timeouts: 0 };
    if CONNECTIONS.insert(&cookie(ctx), &connection, 0).is_ok() {
        // SAFETY: the context is the kernel's own. A kernel that does not know a flag says so, and goes on
        // without it.
        unsafe { bpf_sock_ops_cb_flags_set(ctx.ops, CALLBACKS) };
    }
}

#[inline(always)]
fn round_trip(ctx: &SockOpsContext) {
    let Some(connection) = connection(ctx) else {
        return;
    };
    let smoothed = field!(ctx, srtt_us) >> 3;
    // Kernels before 6.10 give no argument here.
    let measured = match field!(ctx, __bindgen_anon_1.args[0]) {
        0 => smoothed,
        measured => measured,
    };
    // SAFETY: the entry stays for the length of this call, and other writers write whole words.
    let account = unsafe {
        (*connection).srtt_us = smoothed;
        (*connection).account
    };
    if account < Account::ALL.len() as u32 {
        if let Some(cell) = ROUND_TRIPS.get_ptr_mut(account * BUCKETS + bucket(measured)) {
            // SAFETY: the cell is this CPU's own.
            unsafe { *cell += 1 };
        }
    }
}

#[inline(always)]
fn retransmit(ctx: &SockOpsContext) {
    // What this machine did not take was not sent, and is tried again.
    if field!(ctx, __bindgen_anon_1.args[2]) != 0 {
        return;
    }
    if let Some(connection) = connection(ctx) {
        let segments = field!(ctx, __bindgen_anon_1.args[1]).max(1);
        // SAFETY: as in `round_trip`.
        let account = unsafe {
            (*connection).retransmits = (*connection).retransmits.wrapping_add(segments);
            (*connection).account
        };
        happened(account, Event::Retransmit, u64::from(segments));
    }
}

#[inline(always)]
fn timeout(ctx: &SockOpsContext) {
    if let Some(connection) = connection(ctx) {
        // SAFETY: as in `round_trip`.
        let account = unsafe {
            (*connection).timeouts = (*connection).timeouts.wrapping_add(1);
            (*connection).account
        };
        happened(account, Event::Timeout, 1);
        let kind = if field!(ctx, __bindgen_anon_1.args[2]) == 0 {
            MomentKind::Timeout
        } else {
            happened(account, Event::Dead, 1);
            MomentKind::Dead
        };
        let moment = Moment {
            // SAFETY: a helper without arguments.
            at_ns: unsafe { bpf_ktime_get_boot_ns() },
            cookie: cookie(ctx),
            kind: kind as u32,
            account,
            timeouts: field!(ctx, __bindgen_anon_1.args[0]),
            port: u32::from_be(field!(ctx, remote_port)),
            address: remote_address(ctx),
        };
        if MOMENTS.output::<Moment>(&moment, 0).is_err() {
            happened(account, Event::MomentLost, 1);
        }
    }
}

#[inline(always)]
fn state(ctx: &SockOpsContext) {
    if field!(ctx, __bindgen_anon_1.args[1]) == STATE_CLOSE {
        // Whether it was there does not matter.
        let _ = CONNECTIONS.remove(&cookie(ctx));
    }
}

#[inline(always)]
fn connection(ctx: &SockOpsContext) -> Option<*mut Connection> {
    CONNECTIONS.get_ptr_mut(&cookie(ctx))
}

#[inline(always)]
fn cookie(ctx: &SockOpsContext) -> u64 {
    // SAFETY: the context is the kernel's own.
    unsafe { bpf_get_socket_cookie(ctx.ops.cast()) }
}

#[inline(always)]
fn remote_address(ctx: &SockOpsContext) -> [u8; 16] {
    let ipv6 = [
        field!(ctx, remote_ip6[0]),
        field!(ctx, remote_ip6[1]),
        field!(ctx, remote_ip6[2]),
        field!(ctx, remote_ip6[3]),
    ];
    address(field!(ctx, family), field!(ctx, remote_ip4), ipv6)
}

#[inline(always)]
fn set(ctx: &SockOpsContext, account: Account, feature: Feature, profile: &Profile) {
    let Some(wanted) = profile.wanted(feature) else {
        return;
    };
    let attempts = attempts(feature, wanted);
    let mut error = set_option(ctx, feature, attempts[0]);
    if error == 0 {
        return count(Counter::Applied(account, feature), 1);
    }
    for value in &attempts[1..] {
        error = set_option(ctx, feature, *value);
        if error == 0 {
            return count(Counter::Raised(account, feature), 1);
        }
    }
    count(Counter::Refused(account, feature), 1);
    warn!(
        ctx,
        "refused: account {} option {} value {} error {}",
        account.number(),
        feature.bpf_option(),
        wanted,
        error
    );
}

/// 0, or a negative error number.
#[inline(always)]
fn set_option(ctx: &SockOpsContext, feature: Feature, value: u32) -> i64 {
    let mut value = value;
    // SAFETY: the context is the kernel's own, and the option's value is four bytes on this stack.
    unsafe {
        bpf_setsockopt(
            ctx.ops.cast(),
            LEVEL_TCP,
            feature.bpf_option(),
            (&raw mut value).cast(),
            size_of::<u32>() as i32,
        )
    }
}

#[inline(always)]
fn happened(account: u32, event: Event, by: u64) {
    if let Some(account) = Account::from_number(account) {
        count(Counter::Happened(account, event), by);
    }
}

#[inline(always)]
fn count(counter: Counter, by: u64) {
    if let Some(cell) = COUNTERS.get_ptr_mut(counter.index()) {
        // SAFETY: the cell is this CPU's own, and the program is not preempted by itself on it.
        unsafe { *cell += by };
    }
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier proves that no path comes here.
    loop {}
}
