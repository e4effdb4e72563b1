//! Which sessions of a tenant an event is for.

use rustc_hash::FxHashMap;
use waggle_core::id::{AgentId, QueueId, SavedViewId, TicketId};
use waggle_core::push::View;
use waggle_core::ticket::Entry;

use super::slot_set::SlotSet;

/// What a view means for one agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Interest {
    Agent(AgentId),
    Queue(QueueId),
    Ticket(TicketId),
    Presence,
    /// No event is for it.
    Count(SavedViewId),
    Inbox(AgentId),
}

/// The sessions of one tenant on one shard, by what they watch.
#[derive(Debug, Default)]
pub(super) struct Interests {
    everything: SlotSet,
    by_interest: FxHashMap<Interest, SlotSet>,
    /// How many watch the view `inbox`: where nobody does, nobody is looked for.
    inboxes: usize,
}

impl Interests {
    /// The session in `slot`, of `agent`, watches `view`; it did not before.
    pub(super) fn add(&mut self, view: View, agent: AgentId, slot: u32) {
        self.inboxes += usize::from(view == View::Inbox);
        match interest(view, agent) {
            None => self.everything.insert(slot),
            Some(interest) => self.by_interest.entry(interest).or_default().insert(slot),
        }
    }

    /// It watches it no longer.
    pub(super) fn remove(&mut self, view: View, agent: AgentId, slot: u32) {
        self.inboxes -= usize::from(view == View::Inbox);
        let Some(interest) = interest(view, agent) else { return self.everything.remove(slot) };
        if let Some(slots) = self.by_interest.get_mut(&interest) {
            slots.remove(slot);
            if slots.is_empty() {
                self.by_interest.remove(&interest);
            }
        }
    }

    /// Slots of the sessions that an event is for. A session whose views overlap comes more than once;
    /// it takes an event only once.
    pub(super) fn of(&self, entry: &Entry) -> impl Iterator<Item = u32> {
        let route = &entry.route;
        let interests = [
            Some(Interest::Queue(route.queue)),
            route.queue_from.map(Interest::Queue),
            Some(Interest::Ticket(entry.ticket)),
            route.agent.map(Interest::Agent),
            route.agent_from.map(Interest::Agent),
        ];
        let concerned = route.agent.into_iter().chain(route.agent_from).chain(entry.followers.iter());
        let inboxes = concerned.take(if self.inboxes == 0 { 0 } else { usize::MAX }).map(Interest::Inbox);
        let listed = interests
            .into_iter()
            .flatten()
            .chain(inboxes)
            .filter_map(|interest| self.by_interest.get(&interest));
        self.everything.iter().chain(listed.flat_map(SlotSet::iter))
    }

    /// Slots of the sessions that watch a ticket, each once.
    pub(super) fn of_ticket(&self, ticket: TicketId) -> impl Iterator<Item = u32> {
        self.by_interest.get(&Interest::Ticket(ticket)).into_iter().flat_map(SlotSet::iter)
    }

    /// Slots of the sessions that watch a ticket by itself, or as one of its agent's; one may come more than once.
    pub(super) fn of_suggestion(
        &self,
        ticket: TicketId,
        agent: Option<AgentId>,
    ) -> impl Iterator<Item = u32> {
        let own = agent.into_iter().flat_map(|agent| [Interest::Agent(agent), Interest::Inbox(agent)]);
        let wanted = std::iter::once(Interest::Ticket(ticket)).chain(own);
        wanted.filter_map(|interest| self.by_interest.get(&interest)).flat_map(SlotSet::iter)
    }

    /// Slots of the sessions that are told who is there, each once.
    pub(super) fn of_presence(&self) -> impl Iterator<Item = u32> {
        self.by_interest.get(&Interest::Presence).into_iter().flat_map(SlotSet::iter)
    }
}

fn interest(view: View, agent: AgentId) -> Option<Interest> {
    match view {
        View::Tenant => None,
        View::Mine => Some(Interest::Agent(agent)),
        View::Queue(queue) => Some(Interest::Queue(queue)),
        View::Ticket(ticket) => Some(Interest::Ticket(ticket)),
        View::Presence => Some(Interest::Presence),
        View::Count(view) => Some(Interest::Count(view)),
        View::Inbox => Some(Interest::Inbox(agent)),
    }
}

#[cfg(test)]
mod tests {
    use waggle_core::id::{Offset, Version};
    use waggle_core::ticket::{Actor, Followers, Kind, Route, StoredEvent};
    use waggle_core::time::Timestamp;

    use super::*;

    #[test]
    fn agrees_with_the_views() {
        let views = [
            View::Tenant,
            View::Mine,
            View::Inbox,
            View::Queue(QueueId(1)),
            View::Queue(QueueId(2)),
            View::Ticket(TicketId(1)),
        ];
        let agents = [AgentId(1), AgentId(2)];
        let mut interests = Interests::default();
        let mut slot = 0;
        for view in views {
            for agent in agents {
                interests.add(view, agent, slot);
                slot += 1;
            }
        }
        let routes = [
            Route { queue: QueueId(1), ..Route::default() },
            Route { queue: QueueId(2), queue_from: Some(QueueId(1)), ..Route::default() },
            Route { queue: QueueId(3), agent: Some(AgentId(2)), ..Route::default() },
            Route {
                queue: QueueId(3),
                agent: Some(AgentId(1)),
                agent_from: Some(AgentId(2)),
                queue_from: None,
            },
        ];
        for route in routes {
            for (ticket, followers) in [
                (TicketId(1), Followers::default()),
                (TicketId(2), Followers::default()),
                (TicketId(2), [AgentId(2), AgentId(9)].into_iter().collect()),
            ] {
                let entry = entry(ticket, route, &followers);
                let mut found: Vec<u32> = interests.of(&entry).collect();
                found.sort_unstable();
                found.dedup();
                let pairs = views.into_iter().flat_map(|view| agents.map(|agent| (view, agent)));
                let wanted: Vec<u32> = (0..)
                    .zip(pairs)
                    .filter(|(_, (view, agent))| view.matches(Some(*agent), ticket, &route, &followers))
                    .map(|(slot, _)| slot)
                    .collect();
                assert_eq!(found, wanted, "{route:?}");
            }
        }
        slot = 0;
        for view in views {
            for agent in agents {
                interests.remove(view, agent, slot);
                slot += 1;
            }
        }
        assert!(interests.everything.is_empty() && interests.by_interest.is_empty());
    }

    fn entry(ticket: TicketId, route: Route, followers: &Followers) -> Entry {
        Entry::from_stored(&StoredEvent {
            offset: Offset(1),
            ticket,
            version: Version(1),
            kind: Kind::Note,
            actor: Actor::System,
            at: Timestamp(1),
            route,
            followers: followers.clone(),
            data: "{}".to_owned(),
        })
    }
}
