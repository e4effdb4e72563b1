//! The push protocol: messages, views, close codes, and the machines at both ends.

mod client;
mod client_message;
mod close;
mod frame;
mod server_message;
mod session;
mod signal;
mod view;

pub use client::{
    Change, ChangeError, ChangeId, ClientConfig, ClientEffect, ClientStats, Link, Loss, LossReason,
    PushClient, Receipt, SignalError, Start,
};
pub use client_message::{ClientMessage, Hello, MessageError, PushCommand};
pub use close::{CLOSE_CODES, CloseCode, CloseEntry, Retry, retry_after_s, with_retry_after};
pub use frame::{close_frame, ping_frame, pong_frame, text_frame, text_frame_header};
pub use server_message::{
    EndReason, EventMessage, ResyncReason, ServerMessage, ViewCount, Welcome, suggestion_message,
};
pub use session::{
    Effect, Effects, LogPosition, Offer, Session, SessionPhase, SessionReport, SessionSettings,
};
pub use signal::{
    Board, HeldSignals, Hint, Noted, Presence, Signal, SignalKey, SignalKind, SignalNews, TicketHint,
    presence_frames,
};
pub use view::{View, ViewError};

/// The WebSocket subprotocol of version 1.
pub const SUBPROTOCOL: &str = "waggle.v1.json";
/// The path of the push endpoint.
pub const PATH: &str = "/v1/push";
