//! Puts both ends of same-host connections into a map of sockets, and gives what is sent on accepted ends
//! to the other end's queue.
//!
//! `unsafe` is needed for what BPF is: raw context pointers, helper calls and symbols with fixed names.
#![allow(unsafe_code, reason = "BPF helpers, context pointers and linker sections")]

use aya_ebpf::{
    bindings::{BPF_F_INGRESS, BPF_SK_STORAGE_GET_F_CREATE, bpf_sock_ops, sk_action, sk_msg_md},
    btf_maps::SkStorage,
    helpers::{
        bpf_get_netns_cookie,
        generated::{bpf_msg_redirect_hash, bpf_sk_storage_get, bpf_sock_hash_update},
    },
    macros::{btf_map, map, sk_msg, sock_ops},
    maps::{HashMap, LruHashMap, PerCpuArray, SockHash},
    programs::{SkMsgContext, SockOpsContext},
};
use waggle_ebpf::{
    abi::{ABI_VERSION, OP_ACTIVE_ESTABLISHED, OP_PASSIVE_ESTABLISHED},
    decision::address,
    redirect::{Count, EXPECTED_MAX, End, Ends, PORTS_MAX, SOCKETS_MAX, Way, established, verdict},
};

/// `sock_ops` programs answer 1 for "handled"; other answers mean something for other calls only.
const HANDLED: u32 = 1;

#[map]
static REDIRECT_PORTS: HashMap<u16, u8> = HashMap::with_max_entries(PORTS_MAX, 0);

#[map]
static REDIRECT_SOCKETS: SockHash<Ends> = SockHash::with_max_entries(SOCKETS_MAX, 0);

#[map]
static REDIRECT_EXPECTED: LruHashMap<Ends, u8> = LruHashMap::with_max_entries(EXPECTED_MAX, 0);

// The kernel wants type information of this map, which only this kind of definition has.
#[btf_map]
static REDIRECT_WAYS: SkStorage<u32> = SkStorage::new();

#[map]
static REDIRECT_COUNTS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Count::ALL.len() as u32, 0);

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

/// A field of a context. Volatile keeps each read a load of one 32-bit field: LLVM may merge neighbours into
/// one load of 64 bits, which the verifier refuses.
macro_rules! field {
    ($context:expr, $($field:tt)+) => {{
        // SAFETY: the kernel passes a valid context.
        unsafe { (&raw const (*$context).$($field)+).read_volatile() }
    }};
}

/// The connection as the end that a context is about sees it.
macro_rules! ends {
    ($context:expr) => {{
        let family = field!($context, family);
        let local = [
            field!($context, local_ip6[0]),
            field!($context, local_ip6[1]),
            field!($context, local_ip6[2]),
            field!($context, local_ip6[3]),
        ];
        let remote = [
            field!($context, remote_ip6[0]),
            field!($context, remote_ip6[1]),
            field!($context, remote_ip6[2]),
            field!($context, remote_ip6[3]),
        ];
        // SAFETY: the context is the kernel's own.
        let namespace = unsafe { bpf_get_netns_cookie($context.cast()) };
        Ends::new(
            namespace,
            (address(family, field!($context, local_ip4), local), field!($context, local_port)),
            (address(family, field!($context, remote_ip4), remote), field!($context, remote_port)),
        )
    }};
}

/// Entry: called for every TCP event of the cgroups; acts on new connections to known ports.
#[sock_ops]
pub(crate) fn waggle_enter(ctx: SockOpsContext) -> u32 {
    let ops: *mut bpf_sock_ops = ctx.ops;
    let op = field!(ops, op);
    if op == OP_ACTIVE_ESTABLISHED || op == OP_PASSIVE_ESTABLISHED {
        enter(ops, op);
    }
    HANDLED
}

#[inline(always)]
fn enter(ops: *mut bpf_sock_ops, op: u32) {
    let ends = ends!(ops);
    let Some((end, port)) = established(op, &ends) else {
        return;
    };
    // SAFETY: the entry is only looked for.
    if unsafe { REDIRECT_PORTS.get(&port) }.is_none() {
        return;
    }
    match end {
        End::Client => enter_client(ops, ends),
        End::Accepted => enter_accepted(ops, ends),
    }
}

#[inline(always)]
fn enter_client(ops: *mut bpf_sock_ops, ends: Ends) {
    if put(ops, ends) && REDIRECT_EXPECTED.insert(&ends, &1, 0).is_ok() {
        count(Count::Clients, 1);
    }
}

#[inline(always)]
fn enter_accepted(ops: *mut bpf_sock_ops, ends: Ends) {
    // Whether it was there is all that matters, and removing it tells.
    if REDIRECT_EXPECTED.remove(&ends.reversed()).is_err() {
        return count(Count::Elsewhere, 1);
    }
    let socket = field!(ops, __bindgen_anon_2.sk);
    if socket.is_null() {
        return;
    }
    // Before it is in the map: the first message looks for it.
    let mut way = Way::Undecided as u32;
    // SAFETY: the socket is the context's own and not null; the value is four bytes on this stack.
    let kept = unsafe {
        bpf_sk_storage_get(
            (&raw const REDIRECT_WAYS).cast_mut().cast(),
            socket.cast(),
            (&raw mut way).cast(),
            BPF_SK_STORAGE_GET_F_CREATE.into(),
        )
    };
    let kept: *mut u32 = kept.cast();
    if kept.is_null() {
        return;
    }
    if put(ops, ends) {
        count(Count::Pairs, 1);
    } else {
        // SAFETY: the entry lives as long as its socket, whose connection begins just now.
        unsafe { *kept = Way::Tcp as u32 };
    }
}

/// Puts the socket into the map; returns whether there was room.
#[inline(always)]
fn put(ops: *mut bpf_sock_ops, ends: Ends) -> bool {
    let mut ends = ends;
    // SAFETY: the context is the kernel's own, and the key is on this stack.
    let refused = unsafe {
        bpf_sock_hash_update(ops, (&raw const REDIRECT_SOCKETS).cast_mut().cast(), (&raw mut ends).cast(), 0)
    };
    if refused != 0 {
        count(Count::Full, 1);
    }
    refused == 0
}

/// Entry: called for every message that is sent on a socket of the map.
#[sk_msg]
pub(crate) fn waggle_message(ctx: SkMsgContext) -> u32 {
    let message: *mut sk_msg_md = ctx.msg;
    let socket = field!(message, __bindgen_anon_3.sk);
    if socket.is_null() {
        return sk_action::SK_PASS;
    }
    // SAFETY: the socket is the context's own and not null; nothing is created without a value.
    let kept = unsafe {
        bpf_sk_storage_get(
            (&raw const REDIRECT_WAYS).cast_mut().cast(),
            socket.cast(),
            core::ptr::null_mut(),
            0,
        )
    };
    // Clients' ends have none: what they send needs TCP's back-pressure.
    let kept: *mut u32 = kept.cast();
    if kept.is_null() {
        return sk_action::SK_PASS;
    }
    // SAFETY: the entry lives as long as its socket, which is locked while it sends.
    let Some(before) = Way::from_number(unsafe { *kept }) else {
        return sk_action::SK_PASS;
    };
    if before == Way::Tcp {
        return sk_action::SK_PASS;
    }
    let found = redirect(message);
    let verdict = verdict(before, found);
    if before == Way::Undecided {
        // SAFETY: as above.
        unsafe { *kept = verdict.way as u32 };
        count(if found { Count::Redirected } else { Count::Missed }, 1);
    }
    if found {
        count(Count::Messages, 1);
        count(Count::Bytes, u64::from(field!(message, size)));
    }
    if verdict.passes {
        return sk_action::SK_PASS;
    }
    count(Count::Gone, 1);
    sk_action::SK_DROP
}

/// Has the message given to the other end, where that is in the map; returns whether it is.
#[inline(always)]
fn redirect(message: *mut sk_msg_md) -> bool {
    let mut other = ends!(message).reversed();
    // SAFETY: the context is the kernel's own, and the key is on this stack.
    let action = unsafe {
        bpf_msg_redirect_hash(
            message,
            (&raw const REDIRECT_SOCKETS).cast_mut().cast(),
            (&raw mut other).cast(),
            BPF_F_INGRESS.into(),
        )
    };
    action == i64::from(sk_action::SK_PASS)
}

#[inline(always)]
fn count(count: Count, by: u64) {
    if let Some(cell) = REDIRECT_COUNTS.get_ptr_mut(count as u32) {
        // SAFETY: the cell is this CPU's own. A program that is interrupted by another one on it may lose a
        // count, and nothing else.
        unsafe { *cell += by };
    }
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier proves that no path comes here.
    loop {}
}
