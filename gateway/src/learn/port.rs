//! What the assistant needs of the push engine.

use bytes::Bytes;
use waggle_core::id::{AgentId, QueueId, TenantId, TicketId};

use crate::push::{PushHub, SuggestionNews};

/// A suggestion for whoever watches its ticket.
#[derive(Debug)]
pub struct Shown {
    /// Whose ticket.
    pub tenant: TenantId,
    /// The ticket.
    pub ticket: TicketId,
    /// Where it is: whoever may not see that queue is not told.
    pub queue: QueueId,
    /// Who holds it.
    pub agent: Option<AgentId>,
    /// The message, as a whole WebSocket frame.
    pub frame: Bytes,
}

/// Who looks at tickets.
pub trait Screens: Send + Sync + 'static {
    /// Whether somebody may watch a ticket, which an agent holds. It may say so of one that nobody does.
    fn may_watch(&self, tenant: TenantId, ticket: TicketId, agent: Option<AgentId>) -> bool;
    /// Shows a suggestion; it may be lost.
    fn show(&self, shown: Shown);
}

impl Screens for PushHub {
    fn may_watch(&self, tenant: TenantId, ticket: TicketId, agent: Option<AgentId>) -> bool {
        PushHub::may_watch(self, tenant, ticket, agent)
    }

    fn show(&self, shown: Shown) {
        let Shown { tenant, ticket, queue, agent, frame } = shown;
        self.suggest(SuggestionNews { tenant, ticket, queue, agent, frame });
    }
}

/// Nobody looks.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoScreens;

impl Screens for NoScreens {
    fn may_watch(&self, _: TenantId, _: TicketId, _: Option<AgentId>) -> bool {
        false
    }

    fn show(&self, _: Shown) {}
}
