//! What a session watches.

use std::fmt;
use std::str::FromStr;

use crate::id::{AgentId, QueueId, SavedViewId, TicketId};
use crate::right::QueueSet;
use crate::ticket::{Followers, Route};

/// One thing a session watches, within its tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum View {
    /// Tickets that the session's own agent holds, or held until the event.
    Mine,
    /// Tickets in a queue, or there until the event.
    Queue(QueueId),
    /// One ticket.
    Ticket(TicketId),
    /// All of the tenant.
    Tenant,
    /// Who of the tenant's agents is there: signals, no events.
    Presence,
    /// What concerns the session's own agent: tickets that it holds, follows or is named in.
    Inbox,
    /// How many tickets a saved view shows: counts, no events.
    Count(SavedViewId),
}

/// A text that names no view.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown view {0:?}; expected mine, inbox, queue:<id>, ticket:<id>, count:<id>, tenant or presence")]
pub struct ViewError(String);

impl View {
    /// Whether whoever sees these queues may watch it. What is shown in it is of these queues alone.
    #[must_use]
    pub fn is_allowed(self, sees: &QueueSet) -> bool {
        match self {
            Self::Queue(queue) => sees.contains(queue),
            Self::Mine | Self::Ticket(_) | Self::Tenant | Self::Presence | Self::Inbox | Self::Count(_) => {
                !sees.is_empty()
            }
        }
    }

    /// Whether an event of `ticket` with `route`, which concerns `followers`, too, belongs to this view of `agent`'s.
    #[must_use]
    pub fn matches(
        self,
        agent: Option<AgentId>,
        ticket: TicketId,
        route: &Route,
        followers: &Followers,
    ) -> bool {
        match self {
            Self::Tenant => true,
            Self::Presence | Self::Count(_) => false,
            Self::Ticket(watched) => watched == ticket,
            Self::Queue(queue) => route.queue == queue || route.queue_from == Some(queue),
            Self::Mine => agent.is_some() && (route.agent == agent || route.agent_from == agent),
            Self::Inbox => {
                Self::Mine.matches(agent, ticket, route, followers)
                    || agent.is_some_and(|agent| followers.has(agent))
            }
        }
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mine => f.write_str("mine"),
            Self::Queue(queue) => write!(f, "queue:{queue}"),
            Self::Ticket(ticket) => write!(f, "ticket:{ticket}"),
            Self::Tenant => f.write_str("tenant"),
            Self::Presence => f.write_str("presence"),
            Self::Inbox => f.write_str("inbox"),
            Self::Count(view) => write!(f, "count:{view}"),
        }
    }
}

impl FromStr for View {
    type Err = ViewError;

    fn from_str(text: &str) -> Result<Self, ViewError> {
        let view = match text {
            "mine" => Some(Self::Mine),
            "tenant" => Some(Self::Tenant),
            "presence" => Some(Self::Presence),
            "inbox" => Some(Self::Inbox),
            _ => match text.split_once(':') {
                Some(("queue", id)) => id.parse().ok().map(Self::Queue),
                Some(("ticket", id)) => id.parse().ok().map(Self::Ticket),
                Some(("count", id)) => id.parse().ok().map(Self::Count),
                _ => None,
            },
        };
        view.ok_or_else(|| ViewError(text.chars().take(40).collect()))
    }
}

impl serde::Serialize for View {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for View {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for view in [
            View::Mine,
            View::Queue(QueueId(3)),
            View::Ticket(TicketId(17)),
            View::Tenant,
            View::Presence,
            View::Inbox,
            View::Count(SavedViewId(7)),
        ] {
            assert_eq!(view.to_string().parse(), Ok(view));
        }
        for text in ["", "queue", "queue:", "queue:0", "queue:-1", "ticket:x", "count:0", "Mine", "tenant:1"]
        {
            assert!(text.parse::<View>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn leaving_a_queue_or_an_agent_is_seen_there() {
        let route = Route {
            queue: QueueId(2),
            queue_from: Some(QueueId(1)),
            agent: None,
            agent_from: Some(AgentId(7)),
        };
        let seen = |view: View, agent| view.matches(agent, TicketId(1), &route, &Followers::default());
        assert!(seen(View::Queue(QueueId(1)), None) && seen(View::Queue(QueueId(2)), None));
        assert!(seen(View::Mine, Some(AgentId(7))) && !seen(View::Mine, Some(AgentId(8))));
        assert!(!seen(View::Mine, None) && !seen(View::Queue(QueueId(3)), None));
    }
}
