//! The push engine: shards, sessions on sockets, fan-out.
//!
//! One thread per shard, each with its own event loop, listeners, sessions and index of who watches what;
//! no locks between them. What a session does is decided by [`waggle_core::push::Session`]; this part
//! carries it out. A committed event goes from the ledger's writer through the [`PushHub`] to each shard,
//! which writes its one shared frame straight to the sockets of those who watch.

mod admission;
mod clock;
mod command;
mod connection;
mod counts;
mod deliver;
mod engine;
mod handshake;
mod hub;
mod interests;
mod link;
mod listen;
mod newsbox;
mod outbox;
mod peer;
mod port;
mod reader;
mod replay;
mod report;
mod rights;
mod run;
mod shard;
mod signals;
mod slot_set;
mod socket;
mod stats;
mod timers;
mod unread;

pub use admission::{PushLimits, PushRefusal};
pub use engine::{PushConfig, PushEngine, PushError};
pub use hub::{Handover, HandoverStream, PushHub};
pub use listen::{AcceptHook, RedirectHook, UnauthorizedHook};
pub use newsbox::SuggestionNews;
pub use peer::{PeerRules, TrustedProxy, TrustedProxyError, Via, is_same_host};
pub use port::{Access, Counting, Log};
pub use report::{RedirectRow, SessionList, SessionOrder, SessionOrderError, SessionRow};
pub use stats::PushStats;
