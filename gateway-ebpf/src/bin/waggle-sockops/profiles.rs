//! Gives each new connection the TCP profile of its leg, before its first byte is sent.
//!
//! `unsafe` is needed for what BPF is: raw context pointers, helper calls and symbols with fixed names.
#![allow(unsafe_code, reason = "BPF helpers, context pointers and linker sections")]

use aya_ebpf::{
    bindings::bpf_sock_ops,
    helpers::generated::bpf_setsockopt,
    macros::{map, sock_ops},
    maps::{HashMap, PerCpuArray},
    programs::SockOpsContext,
};
use aya_log_ebpf::{debug, warn};
use waggle_ebpf::{
    Account, Counter, Feature, PortKey, Profile,
    abi::{ABI_VERSION, COUNTERS_LEN, PROFILES_MAX},
    attempts_us, lookup_key,
};

/// `IPPROTO_TCP`, as a level of `bpf_setsockopt`.
const LEVEL_TCP: i32 = 6;

/// `sock_ops` programs answer 1 for "handled"; other answers mean something for other calls only.
const HANDLED: u32 = 1;

#[map]
static PROFILES: HashMap<PortKey, Profile> = HashMap::with_max_entries(PROFILES_MAX, 0);

#[map]
static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(COUNTERS_LEN, 0);

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

/// Entry: called for every TCP event of the cgroup; acts on established connections of known ports.
#[sock_ops]
pub(crate) fn waggle_profiles(ctx: SockOpsContext) -> u32 {
    if let Some((key, profile)) = profile_of(&ctx) {
        apply(&ctx, key, &profile);
    }
    HANDLED
}

fn profile_of(ctx: &SockOpsContext) -> Option<(PortKey, Profile)> {
    let ops: *const bpf_sock_ops = ctx.ops;
    // SAFETY: the kernel passes a valid context. Volatile keeps each read a load of one 32-bit field:
    // LLVM may merge neighbours into one load of 64 bits, which the verifier refuses.
    let (op, local_port, remote_port_be) = unsafe {
        (
            (&raw const (*ops).op).read_volatile(),
            (&raw const (*ops).local_port).read_volatile(),
            (&raw const (*ops).remote_port).read_volatile(),
        )
    };
    let key = lookup_key(op, local_port, remote_port_be)?;
    // SAFETY: entries are replaced whole by user space, and the copy is made at once.
    let profile = unsafe { *PROFILES.get(key)? };
    Some((key, profile))
}

#[inline(always)]
fn apply(ctx: &SockOpsContext, key: PortKey, profile: &Profile) {
    let Some(account) = Account::from_number(profile.account) else {
        return;
    };
    count(Counter::Connections(account));
    debug!(ctx, "established: account {} port {} side {}", profile.account, key.port, key.side);
    set(ctx, account, Feature::Nodelay, profile);
    set(ctx, account, Feature::RtoMin, profile);
    set(ctx, account, Feature::DelackMax, profile);
}

#[inline(always)]
fn set(ctx: &SockOpsContext, account: Account, feature: Feature, profile: &Profile) {
    let Some(wanted) = feature.wanted(profile) else {
        return;
    };
    let attempts = attempts_us(feature, wanted);
    let mut error = set_option(ctx, feature, attempts[0]);
    if error == 0 {
        return count(Counter::Applied(account, feature));
    }
    for value in &attempts[1..] {
        error = set_option(ctx, feature, *value);
        if error == 0 {
            return count(Counter::Raised(account, feature));
        }
    }
    count(Counter::Refused(account, feature));
    warn!(
        ctx,
        "refused: account {} option {} value {} error {}",
        profile.account,
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
fn count(counter: Counter) {
    if let Some(cell) = COUNTERS.get_ptr_mut(counter.index()) {
        // SAFETY: the cell is this CPU's own, and the program is not preempted by itself on it.
        unsafe { *cell += 1 };
    }
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier proves that no path comes here.
    loop {}
}
