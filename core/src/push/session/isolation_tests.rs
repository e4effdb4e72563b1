//! Every kind of view, for every set of queues that one may see, with every way that a ticket may go.

use super::tests::{AGENT, position};
use super::*;
use crate::id::{AgentId, QueueId, SavedViewId, TicketId, Version};
use crate::right::QueueSet;
use crate::ticket::{Actor, Followers, Kind, Route, StoredEvent};
use crate::time::Timestamp;

/// A new kind of view must come into the matrix below.
fn kinds() -> [View; 7] {
    let next = |view| match view {
        View::Mine => View::Queue(QueueId(1)),
        View::Queue(_) => View::Ticket(TicketId(7)),
        View::Ticket(_) => View::Tenant,
        View::Tenant => View::Presence,
        View::Presence => View::Inbox,
        View::Inbox => View::Count(SavedViewId(7)),
        View::Count(_) => View::Mine,
    };
    let mut view = View::Count(SavedViewId(7));
    [(); 7].map(|()| {
        view = next(view);
        view
    })
}

fn entry(route: Route, followers: &Followers) -> Entry {
    Entry::from_stored(&StoredEvent {
        offset: Offset(11),
        ticket: TicketId(7),
        version: Version(2),
        kind: Kind::Note,
        actor: Actor::System,
        at: Timestamp(1),
        route,
        followers: followers.clone(),
        data: "{}".to_owned(),
    })
}

#[test]
fn a_view_shows_what_one_may_see_and_no_more() {
    let seen: [&[u32]; 4] = [&[1, 2, 3], &[1], &[2], &[]];
    let (mut cells, mut shown) = (0, 0);
    for view in kinds() {
        for sees in seen {
            for (queue, from) in [(1, None), (2, None), (3, None), (1, Some(2)), (2, Some(1)), (3, Some(1))] {
                for (holder, follower) in
                    [(Some(AGENT), None), (None, None), (None, Some(AGENT)), (None, Some(AgentId(9)))]
                {
                    let mut session =
                        Session::new(crate::id::SessionId(1), Arc::new(SessionSettings::new("n")), Tick(0));
                    let hello = format!(r#"{{"type":"hello","token":"t","views":["{view}"]}}"#);
                    session.received_text(hello.as_bytes(), Tick(0));
                    let set = match sees.len() {
                        3 => QueueSet::All,
                        _ => QueueSet::of(sees.iter().copied().map(QueueId)),
                    };
                    session.authenticated(AGENT, set, None, position(10, 10), Tick(0));
                    let route = Route {
                        queue: QueueId(queue),
                        queue_from: from.map(QueueId),
                        agent: holder,
                        agent_from: None,
                    };
                    // In words of its own: where the ticket is or was is seen, and it belongs to the view.
                    let is_seen = sees.contains(&queue) || from.is_some_and(|from| sees.contains(&from));
                    let belongs = match view {
                        View::Mine => holder.is_some(),
                        View::Inbox => holder.is_some() || follower == Some(AGENT),
                        View::Queue(_) => sees.contains(&1) && (queue == 1 || from == Some(1)),
                        View::Ticket(_) | View::Tenant => true,
                        View::Presence | View::Count(_) => false,
                    };
                    let followers = follower.into_iter().collect();
                    let offered = matches!(session.offer(&entry(route, &followers)), Offer::Send);
                    assert_eq!(offered, is_seen && belongs, "{view} of {sees:?}: {route:?}");
                    cells += 1;
                    shown += usize::from(offered);
                }
            }
        }
    }
    assert_eq!((cells, shown), (672, 175), "cells, and those that show the event");
}
