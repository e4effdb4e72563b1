//! Signals and presence on one shard. Every shard has a copy of who views and types what and of who is
//! there, which it keeps by the news that all shards tell each other; so it can tell a new watcher without
//! asking anybody, and there are no locks. Where news find no room, all that the shard knows of its own
//! sessions is told anew, later.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;
use tokio::sync::Notify;
use waggle_core::id::{AgentId, SessionId, TenantId};
use waggle_core::limits::{NEWS_PER_TURN_MAX, PRESENCE_MS, TYPING_MS};
use waggle_core::push::{
    Board, Noted, Presence, Signal, SignalKey, SignalKind, SignalNews, View, presence_frames,
};
use waggle_core::time::Tick;

use super::hub::PushHub;
use super::newsbox::{News, Newsbox, SuggestionNews};
use super::shard::{Key, Sessions, Shard};

/// Sessions that are looked at before the first of them is written to; see [`Shard::deliver`].
const GROUP: usize = 32;

/// What is going on in one tenant.
#[derive(Debug, Default)]
pub(super) struct Live {
    board: Board,
    presence: Presence,
    /// How many sessions each agent has on this shard.
    here: FxHashMap<AgentId, u32>,
}

impl Live {
    fn is_over(&self) -> bool {
        self.board.is_empty() && self.presence.is_empty() && self.here.is_empty()
    }
}

/// What a shard has to do for signals, apart from passing them on.
#[derive(Debug)]
pub(super) struct Chores {
    hub: PushHub,
    /// What the other shards tell this one.
    pub(super) news: Arc<Newsbox>,
    /// Whose typing may be over, in order of time.
    typing: RefCell<VecDeque<(Tick, Key)>>,
    /// A bit for each shard that has not been told everything.
    untold: Cell<u64>,
    begin: Notify,
}

impl Chores {
    pub(super) fn new(hub: PushHub, news: Arc<Newsbox>) -> Self {
        Self { hub, news, typing: RefCell::default(), untold: Cell::new(0), begin: Notify::new() }
    }
}

impl Shard {
    /// A session says a signal.
    pub(super) fn signal(&self, sessions: &mut Sessions, key: Key, signal: &Signal<'_>) {
        let now = self.clock.now();
        let Some(slot) = sessions.get(key) else { return };
        let Some(principal) = slot.principal else { return };
        if !slot.may_signal(signal.ticket) {
            return self.stats.signals_dropped.add(1);
        }
        match slot.signals.get_or_insert_default().note(signal, now) {
            Noted::News => {}
            Noted::Nothing => return,
            Noted::NoRoom => return self.stats.signals_dropped.add(1),
        }
        if signal.on && signal.kind == SignalKind::Typing {
            self.chores.typing.borrow_mut().push_back((now.after_ms(TYPING_MS), key));
            self.chores.begin.notify_one();
        }
        let news = SignalNews::said(signal, principal.agent, key.session);
        self.spread(sessions, principal.tenant, news);
    }

    /// Tells the other shards, which may begin while this one tells its own sessions.
    fn spread(&self, sessions: &mut Sessions, tenant: TenantId, news: SignalNews) {
        let news = Arc::new(News::Signal { tenant, news });
        self.tell_others(&news);
        if let News::Signal { news, .. } = news.as_ref() {
            self.show(sessions, tenant, news);
        }
    }

    fn tell_others(&self, news: &Arc<News>) {
        let untold = self.chores.hub.tell_others(self.index, news);
        if untold != 0 {
            self.chores.untold.set(self.chores.untold.get() | untold);
            self.chores.begin.notify_one();
        }
    }

    /// Takes in what other shards have told, but not so much that others wait. Whether there is more.
    pub(super) fn learn_some(&self) -> bool {
        let sessions = &mut *self.sessions.borrow_mut();
        for _ in 0..NEWS_PER_TURN_MAX {
            let Some(news) = self.chores.news.take() else { return false };
            self.learn(sessions, &news);
        }
        true
    }

    fn learn(&self, sessions: &mut Sessions, news: &News) {
        match news {
            News::Signal { tenant, news } => self.show(sessions, *tenant, news),
            News::Suggestion(news) => self.show_suggestion(sessions, news),
            News::Presence { tenant, agent, place, is_there } => {
                self.note_presence(sessions, *tenant, *agent, *place, *is_there);
            }
            News::Anew { place, signals, agents } => self.learn_anew(sessions, *place, signals, agents),
        }
    }

    fn learn_anew(
        &self,
        sessions: &mut Sessions,
        place: usize,
        signals: &[(TenantId, SignalNews)],
        agents: &[(TenantId, AgentId)],
    ) {
        let still_on: FxHashSet<(TenantId, SignalKey, SessionId)> =
            signals.iter().map(|(tenant, news)| (*tenant, news.key, news.session)).collect();
        let still_there: FxHashSet<_> = agents.iter().copied().collect();
        let (mut ends, mut gone) = (Vec::new(), Vec::new());
        for (tenant, live) in &sessions.live {
            let of_place = live.board.ends_of(|session| self.place_of(session) == place);
            let over =
                of_place.into_iter().filter(|end| !still_on.contains(&(*tenant, end.key, end.session)));
            ends.extend(over.map(|end| (*tenant, end)));
            let there = live.presence.at(place).map(|agent| (*tenant, agent));
            gone.extend(there.filter(|agent| !still_there.contains(agent)));
        }
        for (tenant, news) in ends.iter().chain(signals) {
            self.show(sessions, *tenant, news);
        }
        for (tenant, agent) in gone {
            self.note_presence(sessions, tenant, agent, place, false);
        }
        for (tenant, agent) in still_there {
            self.note_presence(sessions, tenant, agent, place, true);
        }
    }

    /// The shard that a session is on: shards give out numbers in turn.
    fn place_of(&self, session: SessionId) -> usize {
        (session.0.wrapping_sub(1) % self.shards as u64) as usize
    }

    /// Takes news of a signal in, and tells the sessions here that watch its ticket, apart from the one
    /// that said it.
    fn show(&self, sessions: &mut Sessions, id: TenantId, news: &SignalNews) {
        let Sessions { slots, tenants, live, .. } = sessions;
        let here = live.entry(id).or_default();
        let is_new = here.board.apply(news);
        if here.is_over() {
            live.remove(&id);
        }
        let Some(tenant) = tenants.get(&id).filter(|_| is_new) else { return };
        let (mut sent, mut dropped) = (0, 0);
        let mut group = SmallVec::<[u32; GROUP]>::new();
        let mut numbers = tenant.interests.of_ticket(news.key.ticket).filter(|number| {
            let slot = slots.get(*number as usize);
            slot.is_some_and(|slot| {
                let is_shown = slot.may_signal(news.key.ticket);
                is_shown && slot.session.id() != news.session && !slot.link.is_ending()
            })
        });
        loop {
            group.clear();
            group.extend(numbers.by_ref().take(GROUP));
            if group.is_empty() {
                break;
            }
            for number in &group {
                match slots.get(*number as usize).map(|slot| slot.link.send_signal(news.key, &news.frame)) {
                    Some(true) => sent += 1,
                    _ => dropped += 1,
                }
            }
        }
        drop(numbers);
        self.stats.signals_sent.add(sent);
        self.stats.signals_dropped.add(dropped);
    }

    /// Tells the sessions here that watch a ticket, and may see it, what the assistant suggests. Who has something waiting
    /// for its socket is not told.
    fn show_suggestion(&self, sessions: &mut Sessions, news: &SuggestionNews) {
        let Sessions { slots, tenants, .. } = sessions;
        let Some(tenant) = tenants.get(&news.tenant) else { return };
        let numbers = tenant.interests.of_suggestion(news.ticket, news.agent);
        let mut numbers: SmallVec<[u32; GROUP]> = numbers.collect();
        numbers.sort_unstable();
        numbers.dedup();
        for number in numbers {
            let Some(slot) = slots.get(number as usize) else { continue };
            let sees = slot.session.sees().is_some_and(|sees| sees.contains(news.queue));
            if sees && !slot.link.is_ending() && slot.link.send_if_idle(&news.frame) {
                self.stats.suggestions_sent.add(1);
            }
        }
    }

    /// A session of the agent begins.
    pub(super) fn arrive(&self, sessions: &mut Sessions, tenant: TenantId, agent: AgentId) {
        let count = sessions.live.entry(tenant).or_default().here.entry(agent).or_default();
        *count += 1;
        if *count == 1 {
            self.note_presence(sessions, tenant, agent, self.index, true);
            self.tell_others(&Arc::new(News::Presence { tenant, agent, place: self.index, is_there: true }));
        }
    }

    /// A session of the agent has ended, and with it what it had on.
    pub(super) fn leave(
        &self,
        sessions: &mut Sessions,
        tenant: TenantId,
        agent: AgentId,
        session: SessionId,
        had_on: impl Iterator<Item = (SignalKind, waggle_core::id::TicketId)>,
    ) {
        for (kind, ticket) in had_on {
            self.spread(sessions, tenant, SignalNews::ended(kind, ticket, agent, session));
        }
        let Some(live) = sessions.live.get_mut(&tenant) else { return };
        let Some(count) = live.here.get_mut(&agent) else { return };
        *count -= 1;
        if *count == 0 {
            live.here.remove(&agent);
            self.note_presence(sessions, tenant, agent, self.index, false);
            self.tell_others(&Arc::new(News::Presence { tenant, agent, place: self.index, is_there: false }));
        }
    }

    fn note_presence(
        &self,
        sessions: &mut Sessions,
        tenant: TenantId,
        agent: AgentId,
        place: usize,
        is_there: bool,
    ) {
        let presence = &mut sessions.live.entry(tenant).or_default().presence;
        if is_there {
            presence.arrived(agent, place);
        } else {
            presence.left(agent, place, self.clock.now());
        }
        if presence.is_unsettled() {
            self.chores.begin.notify_one();
        }
    }

    /// Tells a session that has begun to watch what is going on there.
    pub(super) fn show_what_is_on(&self, sessions: &mut Sessions, key: Key, watched: &[View]) {
        if watched.is_empty() {
            return;
        }
        // Of a ticket that nobody watched there may be news that nobody was woken for.
        while let Some(news) = self.chores.news.take() {
            self.learn(sessions, &news);
        }
        for view in watched {
            match view {
                View::Ticket(ticket) => {
                    let Sessions { slots, live, .. } = sessions;
                    let Some(slot) = slots.get(key.slot as usize) else { return };
                    let board = slot.principal.and_then(|who| live.get(&who.tenant)).map(|live| &live.board);
                    for (signal, frame) in board.into_iter().flat_map(|board| board.at(*ticket)) {
                        slot.link.send_signal(signal, frame);
                    }
                }
                View::Presence => self.tell_presence(sessions, key),
                View::Mine | View::Inbox | View::Queue(_) | View::Tenant | View::Count(_) => {}
            }
        }
    }

    /// Tells a session who is there.
    pub(super) fn tell_presence(&self, sessions: &mut Sessions, key: Key) {
        let Some(slot) = sessions.get(key) else { return };
        let Some(principal) = slot.principal else { return };
        let link = Rc::clone(&slot.link);
        let there: Vec<_> =
            self.there(sessions, principal.tenant).into_iter().map(|agent| (agent, true)).collect();
        link.send_presence(&presence_frames(&there, true));
    }

    /// Who is there, by number.
    pub(super) fn there(&self, sessions: &Sessions, tenant: TenantId) -> Vec<AgentId> {
        sessions.live.get(&tenant).map(|live| live.presence.there()).unwrap_or_default()
    }

    /// Ends what time ends and tells who came and went; whether there will be more to do.
    fn do_chores(&self) -> bool {
        let now = self.clock.now();
        let sessions = &mut *self.sessions.borrow_mut();
        self.end_typing(sessions, now);
        let mut is_unsettled = false;
        let Sessions { slots, tenants, live, .. } = sessions;
        live.retain(|id, live| {
            if live.presence.is_unsettled() {
                let changes = presence_frames(&live.presence.take_changes(now), false);
                is_unsettled |= live.presence.is_unsettled();
                let told = tenants.get(id).into_iter().flat_map(|tenant| tenant.interests.of_presence());
                for slot in told.filter_map(|number| slots.get(number as usize)) {
                    slot.link.send_presence(&changes);
                }
            }
            !live.is_over()
        });
        self.tell_anew(sessions);
        is_unsettled || self.chores.untold.get() != 0 || !self.chores.typing.borrow().is_empty()
    }

    fn end_typing(&self, sessions: &mut Sessions, now: Tick) {
        loop {
            let due = self.chores.typing.borrow_mut().pop_front_if(|(at, _)| *at <= now);
            let Some((_, key)) = due else { return };
            let Some(slot) = sessions.get(key) else { continue };
            let Some(principal) = slot.principal else { continue };
            let over = slot.signals.as_mut().map(|held| held.take_expired(now)).unwrap_or_default();
            for (kind, ticket) in over {
                let news = SignalNews::ended(kind, ticket, principal.agent, key.session);
                self.spread(sessions, principal.tenant, news);
            }
        }
    }

    /// Tells everything to shards that some news could not reach.
    fn tell_anew(&self, sessions: &Sessions) {
        let untold = self.chores.untold.replace(0);
        if untold == 0 {
            return;
        }
        let (mut signals, mut agents) = (Vec::new(), Vec::new());
        for (tenant, live) in &sessions.live {
            agents.extend(live.here.keys().map(|agent| (*tenant, *agent)));
            let own = live.board.held_by(|session| self.place_of(session) == self.index);
            signals.extend(own.into_iter().map(|news| (*tenant, news)));
        }
        let anew = Arc::new(News::Anew { place: self.index, signals, agents });
        self.chores.untold.set(self.chores.hub.tell_some(untold, &anew));
    }
}

/// Does a shard's chores for as long as there are any.
pub(super) async fn keep_up(shard: Rc<Shard>) {
    loop {
        shard.chores.begin.notified().await;
        loop {
            tokio::time::sleep(Duration::from_millis(PRESENCE_MS)).await;
            if !shard.do_chores() {
                break;
            }
        }
    }
}
