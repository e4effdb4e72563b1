//! Push client library of Waggle.
//!
//! A [`Client`] keeps one push connection (two while a gateway drains), resumes where it was after
//! every break, and yields every event of its views once and in order:
//!
//! ```no_run
//! # async fn example() -> Result<(), waggle_client::EndpointError> {
//! use waggle_client::{Client, Item, View};
//!
//! let (client, mut items) =
//!     Client::builder("ws://127.0.0.1:8081/v1/push", "token").views([View::Tenant]).connect()?;
//! while let Some(item) = items.next().await {
//!     match item {
//!         Item::Event(event) => println!("{}", event.text()),
//!         Item::Stopped { reason } => eprintln!("{reason}"),
//!         _ => {}
//!     }
//! }
//! # drop(client);
//! # Ok(())
//! # }
//! ```
//!
//! What is watched may change while it runs ([`Client::subscribe`], [`Client::unsubscribe`]), and so may the
//! token ([`Client::refresh`]). [`Client::signal_on`] tells others what one's agent does, until
//! [`Client::signal_off`]; what others do comes as [`Item::Signal`] where a view of the ticket, or of
//! presence, is watched.
//!
//! An application that does not read stops the acks, and so the server: nothing piles up here beyond
//! one window of events.

mod backlog;
mod change;
mod client;
mod command;
mod driver;
mod endpoint;
mod item;
mod link;
mod suggestion;
mod tls;

pub use change::{ChangeFailure, SignalFailure};
pub use client::{Builder, Client, Items};
pub use command::{CommandFailure, Problem};
pub use endpoint::{Endpoint, EndpointError};
pub use item::{Event, Item, SignalItem, SuggestionItem};
pub use suggestion::{Candidate, SuggestedIntent, SuggestedReply, Suggestion, SuggestionModel};
pub use tls::{Trust, TrustError};
pub use waggle_core::id::{AgentId, Cursor, Epoch, Offset, QueueId, TicketId};
pub use waggle_core::push::{
    ChangeError, EventMessage, Hint, Loss, LossReason, ResyncReason, SignalError, SignalKind, TicketHint,
    View, ViewCount,
};
