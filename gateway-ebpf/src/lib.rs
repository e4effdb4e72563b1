//! What the eBPF programs and the gateway share: map layouts, names, constants and decisions.
//!
//! This library has no dependency and no `std`, so that one source builds for the BPF target and for
//! the host. The programs themselves are the crate's binaries; on the host those build to stubs.
//!
//! - [`abi`]: the bytes that cross between kernel and user space.
//! - [`leg`]: the legs of the network and the TCP profile that each one gets.
//! - [`decision`]: which profile a connection gets, as pure functions; tested on the host.
//! - [`guard`]: what the guard does with a packet.
//! - [`redirect`]: which connections are redirected past TCP, and which way their messages go.
//! - [`histogram`]: the histograms that the programs fill and the gateway reads.
#![cfg_attr(not(test), no_std)]

pub mod abi;
pub mod decision;
pub mod guard;
pub mod histogram;
pub mod leg;
pub mod redirect;

pub use abi::{ABI_VERSION, Account, Connection, Counter, Event, Moment, MomentKind, RuleKey, Side};
pub use decision::{attempts, lookup_port, sides};
pub use leg::{Feature, Leg, Profile};
