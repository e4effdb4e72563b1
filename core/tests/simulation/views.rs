//! Viewers that change what they watch: which events they must be shown, and which they may.

use std::collections::BTreeMap;
use std::sync::Arc;

use waggle_core::id::{AgentId, Offset, QueueId, TicketId};
use waggle_core::push::{Change, ChangeId, View};

use crate::store::Logged;
use crate::viewer::Item;
use crate::world::World;

/// What a viewer watches, as its application may count on it.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    /// Asked for, and not given up before the gateway has said that it is: its events may be shown.
    views: BTreeMap<View, Certain>,
    pending: Vec<(ChangeId, Change)>,
}

/// Events of the view must be shown: those after this one, once the gateway has said that it watches.
type Certain = Option<Offset>;

impl Watched {
    /// Of a process that starts, and has seen nothing of its own yet.
    pub(crate) fn begin(views: &[View]) -> Self {
        Self { views: views.iter().map(|view| (*view, Some(Offset(0)))).collect(), pending: Vec::new() }
    }

    /// A process starts again and asks for `views`: what it was sure of, it is still; of the rest it is
    /// once it is welcomed.
    pub(crate) fn begin_again(&mut self, views: &[View]) {
        self.pending.clear();
        self.views.retain(|view, _| views.contains(view));
        for view in views {
            self.views.entry(*view).or_default();
        }
    }

    /// A hello with all that is asked for was welcomed, in a log that goes up to `head`.
    pub(crate) fn welcomed(&mut self, head: Offset) {
        let is_pending = |view: &View| {
            let of = |(_, change): &(ChangeId, Change)| matches!(change, Change::Subscribe(views) if views.contains(view));
            self.pending.iter().any(of)
        };
        let sure: Vec<_> = self.views.keys().copied().filter(|view| !is_pending(view)).collect();
        for (view, certain) in &mut self.views {
            let is_given_up = self
                .pending
                .iter()
                .any(|(_, change)| matches!(change, Change::Unsubscribe(views) if views.contains(view)));
            if sure.contains(view) && !is_given_up {
                certain.get_or_insert(head);
            }
        }
    }

    /// Another log goes on here, which the old one's offsets say nothing about.
    pub(crate) fn resync(&mut self, cursor: Offset) {
        self.views.values_mut().flatten().for_each(|certain| *certain = cursor);
    }

    fn ask(&mut self, id: ChangeId, change: Change) {
        // Of a view that is given up, events may still be under way.
        if let Change::Subscribe(views) | Change::Unsubscribe(views) = &change {
            self.views.extend(views.iter().map(|view| (*view, None)));
        }
        self.pending.push((id, change));
    }

    fn confirm(&mut self, id: ChangeId, head: Offset) {
        let place = self.pending.iter().position(|(pending, _)| *pending == id);
        let (_, change) = self.pending.remove(place.expect("a change that was asked for"));
        match change {
            Change::Subscribe(views) => self.views.extend(views.iter().map(|view| (*view, Some(head)))),
            Change::Unsubscribe(views) => self.views.retain(|view, _| !views.contains(view)),
            Change::Refresh(_) => {}
        }
    }

    fn has_pending(&self, view: View) -> bool {
        let of = |(_, change): &(ChangeId, Change)| match change {
            Change::Subscribe(views) | Change::Unsubscribe(views) => views.contains(&view),
            Change::Refresh(_) => false,
        };
        self.pending.iter().any(of)
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }

    /// The next event after `after` that must be shown.
    pub(crate) fn next_due<'a>(
        &self,
        log: &'a [Arc<Logged>],
        after: Offset,
        agent: AgentId,
    ) -> Option<&'a Arc<Logged>> {
        log.iter().skip(after.0 as usize).find(|logged| {
            let stored = &logged.stored;
            let is_due = |(view, certain): (&View, &Certain)| {
                certain.is_some_and(|certain| stored.offset > certain)
                    && view.matches(Some(agent), stored.ticket, &stored.route, &stored.followers)
            };
            self.views.iter().any(is_due)
        })
    }

    /// Whether an event may be shown.
    pub(crate) fn may_show(&self, logged: &Logged, agent: AgentId) -> bool {
        let stored = &logged.stored;
        self.views
            .keys()
            .any(|view| view.matches(Some(agent), stored.ticket, &stored.route, &stored.followers))
    }
}

impl World {
    /// A viewer's application watches one view more, or one less; or it has a new token.
    pub(crate) fn change(&mut self, viewer: usize) {
        let queue = View::Queue(QueueId(self.random.between(1, self.plan.queues.into()) as u32));
        let ticket = View::Ticket(TicketId(self.random.between(1, 3)));
        let view = self.random.pick(&[View::Tenant, View::Mine, queue, queue, ticket]);
        let now = self.tick();
        let is_refresh = self.random.chance(200);
        let place = &mut self.viewers[viewer];
        let Some(client) = &mut place.client else { return };
        let views = &mut place.config.views;
        let change = match views.iter().position(|watched| *watched == view) {
            _ if is_refresh => Change::Refresh(place.config.token.clone()),
            _ if place.watched.has_pending(view) => return,
            Some(at) => {
                views.remove(at);
                Change::Unsubscribe(vec![view])
            }
            None => {
                views.push(view);
                Change::Subscribe(vec![view])
            }
        };
        let id = client.change(change.clone(), now).expect("few changes");
        place.watched.ask(id, change);
        self.trace.note(self.now, "changes", &[viewer as u64, id.0]);
        self.drive(viewer);
    }

    pub(crate) fn sees_change(&mut self, viewer: usize, id: ChangeId) {
        self.reached.changes += 1;
        let place = &self.viewers[viewer];
        let seen_to = place.seen_to.expect("a welcome comes before changes are made");
        // Its own log's, even where that has been replaced since.
        let head = Offset(self.model.log(&self.store, place.tenant, seen_to.epoch).len() as u64);
        self.viewers[viewer].watched.confirm(id, head);
        self.trace.note(self.now, "has changed", &[viewer as u64, id.0]);
    }

    /// The machine has heard that a change is made. What it has yielded before comes before.
    pub(crate) fn hear_change(&mut self, viewer: usize, id: ChangeId) {
        self.hand_over(viewer, Item::Changed(id));
    }
}
