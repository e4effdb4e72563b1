//! The object with Waggle's `sk_msg` program, and the `sock_ops` program that finds sockets for it; built for
//! the BPF target by `cargo xtask ebpf`.
//!
//! On the host this is a stub that only says so, and a workspace build needs no eBPF toolchain.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod redirect;

#[cfg(not(target_arch = "bpf"))]
fn main() {
    eprintln!("waggle-redirect is an eBPF object: build it with `cargo xtask ebpf`");
    std::process::exit(2);
}
