//! Suggests what to answer a customer's message as soon as it is committed, to those who watch its ticket.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quick_cache::unsync::Cache;
use waggle_core::id::{TenantId, TicketId, Version};
use waggle_core::learn::{Ask, Dialogue, Mode};
use waggle_core::limits::{AUTOMATIC_WAIT_MS_MAX, SUGGEST_DIALOGUES_MAX};
use waggle_core::push::{suggestion_message, text_frame};
use waggle_core::ticket::Kind;

use super::automatic::{Robot, Trigger};
use super::dialogues;
use super::hub::{Asked, LearnHub, Lost};
use super::port::{Screens, Shown};
use super::seen::Seen;
use super::state::Tenants;
use crate::ledger::Ledger;
use crate::store::{Store, StoreError};

pub(super) struct Suggester {
    hub: LearnHub,
    store: Arc<dyn Store>,
    screens: Arc<dyn Screens>,
    tenants: Arc<Tenants>,
    robot: Arc<Robot>,
    /// Dialogues of tickets that are watched, with the versions that they are at.
    known: Cache<(TenantId, TicketId), (Dialogue, Version)>,
}

impl Suggester {
    pub(super) fn new(
        hub: LearnHub,
        store: Arc<dyn Store>,
        ledger: Ledger,
        screens: Arc<dyn Screens>,
        tenants: Arc<Tenants>,
    ) -> Self {
        let patience = Duration::from_millis(AUTOMATIC_WAIT_MS_MAX);
        let robot = Robot::new(Arc::clone(&store), ledger, Arc::clone(&tenants), patience);
        Self {
            hub,
            store,
            screens,
            tenants,
            robot: Arc::new(robot),
            known: Cache::new(SUGGEST_DIALOGUES_MAX),
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            let asked = self.hub.asked().await;
            let lost = self.hub.lost();
            if !lost.is_empty() {
                // They are made of what is left when they are needed: one that is erased may be among those.
                self.known.clear();
                self.leave(&lost);
            }
            if let Err(error) = self.suggest(&asked).await {
                tracing::warn!(%error, ticket = %asked.entry.ticket, "nothing could be suggested");
            }
        }
    }

    /// Messages that found no room are left to people where one of them might have got a reply.
    fn leave(&self, lost: &Lost) {
        for (&(tenant, queue), &messages) in lost {
            let known = self.tenants.of(tenant);
            let is_auto = known.is_ready() && matches!(known.model.read().mode(queue), Mode::Auto { .. });
            self.tenants.stats.left.add(if is_auto { messages } else { 0 });
        }
    }

    async fn suggest(&mut self, asked: &Asked) -> Result<(), StoreError> {
        let Asked { tenant, entry } = asked;
        let (tenant, ticket, route) = (*tenant, entry.ticket, entry.route);
        if entry.kind() == Some(Kind::Erased) {
            self.known.remove(&(tenant, ticket));
            return Ok(());
        }
        let known = self.tenants.of(tenant);
        if !known.is_ready() {
            return Ok(());
        }
        let mode = known.model.read().mode(route.queue);
        if matches!(mode, Mode::Off) {
            return Ok(());
        }
        if matches!(mode, Mode::Auto { .. }) {
            let (message, offset) = (entry.version, entry.offset);
            self.robot.take(Trigger { tenant, ticket, message, offset });
        }
        if !self.screens.may_watch(tenant, ticket, route.agent) {
            return Ok(());
        }
        let Some(ask) = self.ask(asked).await? else { return Ok(()) };
        let began = Instant::now();
        let suggestion = known.model.read().suggest(&ask);
        self.tenants.stats.suggestion_time.observe(began.elapsed());
        self.tenants.stats.suggestions.add(1);
        match suggestion_message(&suggestion) {
            Ok(text) => {
                let frame = text_frame(&text);
                self.screens.show(Shown { tenant, ticket, queue: route.queue, agent: route.agent, frame });
            }
            Err(error) => tracing::error!(%error, "a suggestion has no JSON text"),
        }
        Ok(())
    }

    /// The message as a part of its dialogue.
    async fn ask(&mut self, asked: &Asked) -> Result<Option<Ask>, StoreError> {
        let Asked { tenant, entry } = asked;
        let key = (*tenant, entry.ticket);
        let Some(seen) = Seen::of(entry) else { return Ok(None) };
        let (mut dialogue, mut at) = match self.known.remove(&key) {
            Some((_, known)) => known,
            None => (Dialogue::default(), Version(0)),
        };
        if at.next() == entry.version {
            // What there is to learn of it the follower learns.
            let _ = dialogue.apply(&seen.happening());
            at = entry.version;
        } else if at < entry.version {
            (dialogue, at) = dialogues::go_on(&*self.store, *tenant, entry.ticket, (dialogue, at)).await?;
        }
        let ask = dialogue.ask_about(entry.version);
        self.known.insert(key, (dialogue, at));
        Ok(ask)
    }
}
