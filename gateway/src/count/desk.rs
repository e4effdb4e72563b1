//! The thread that counts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use waggle_core::find::{Is, Plan, Query, Term};
use waggle_core::id::{AgentId, SavedViewId, TenantId};
use waggle_core::limits::{COUNT_LOOK_MS, COUNT_MS, COUNT_OF_THE_MOMENT_MS, COUNT_ROUND_MS, COUNTS_MAX};
use waggle_core::push::EndReason;
use waggle_core::right::{QueueSet, Right};

use super::mailbox::CountNews;
use super::watch::{CountKey, View, Watches};
use super::{Order, Shared, WatchId};
use crate::directory::{Directory, Principal};
use crate::find::{CountId, Counted, Finder, TenantNames};
use crate::store::{Store, StoreError};

/// Pause after storage could not be read.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// Counting in one turn, of what is new and of what is made anew each.
const COUNTING: Duration = Duration::from_millis(50);

pub(super) struct Desk {
    shared: Arc<Shared>,
    finder: Finder,
    store: Arc<dyn Store>,
    directory: Directory,
    watches: Watches,
    views: FxHashMap<(TenantId, SavedViewId), View>,
    by_key: FxHashMap<CountKey, CountId>,
    counts: BTreeMap<CountId, Count>,
    next: u64,
    /// Those that may have something to tell.
    pending: BTreeSet<CountId>,
    /// Watches whose view could not be read.
    unread: BTreeSet<WatchId>,
}

struct Count {
    key: CountKey,
    query: Query,
    plan: Plan,
    now: u64,
    /// What its watchers know, and since when.
    told: u64,
    told_at: Instant,
    is_stale: bool,
}

impl Desk {
    pub(super) fn new(
        shared: Arc<Shared>,
        finder: Finder,
        store: Arc<dyn Store>,
        directory: Directory,
    ) -> Self {
        Self {
            shared,
            finder,
            store,
            directory,
            watches: Watches::default(),
            views: FxHashMap::default(),
            by_key: FxHashMap::default(),
            counts: BTreeMap::new(),
            next: 0,
            pending: BTreeSet::new(),
            unread: BTreeSet::new(),
        }
    }

    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Order>) {
        let mut revision = self.directory.revision();
        let (mut moment, mut looked_at, mut look_at) = (Instant::now(), Instant::now(), None::<Instant>);
        loop {
            let wake = look_at.into_iter().fold(self.wake_at(moment), Instant::min);
            let (finder, shared) = (self.finder.clone(), Arc::clone(&self.shared));
            tokio::select! {
                order = inbox.recv() => {
                    let Some(order) = order else { return };
                    let began = Instant::now();
                    self.take(order).await;
                    while began.elapsed() < COUNTING && let Ok(order) = inbox.try_recv() {
                        self.take(order).await;
                    }
                }
                tenants = finder.counts_changed() => tenants.into_iter().for_each(|id| self.note(id)),
                () = shared.views.happened.notified() => self.look_at_views().await,
                changed = revision.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let next = looked_at + Duration::from_millis(COUNT_LOOK_MS);
                    look_at = look_at.or(Some(next));
                }
                () = sleep_until(wake) => {}
            }
            if moment <= Instant::now() {
                moment = Instant::now() + Duration::from_millis(COUNT_OF_THE_MOMENT_MS);
                self.note_moment();
            }
            if look_at.is_some_and(|at| at <= Instant::now()) {
                // Somebody logs in all the time.
                (look_at, looked_at) = (None, Instant::now());
                self.look_at_all().await;
            }
            self.read_again().await;
            // A longer rest than counting took: who counts is in the way of what changes the index.
            let rest = (self.tell() * 4).max(Duration::from_millis(COUNT_ROUND_MS));
            sleep(rest).await;
        }
    }

    /// When there is something to do, though nothing happens.
    fn wake_at(&self, moment: Instant) -> Instant {
        let due = self.pending.iter().filter_map(|id| self.counts.get(id)).map(Count::due_at).min();
        let unread = (!self.unread.is_empty()).then(|| Instant::now() + RETRY_PAUSE);
        [due, unread].into_iter().flatten().fold(moment, Instant::min)
    }

    async fn take(&mut self, order: Order) {
        match order {
            Order::Watch { id, principal, view } => {
                self.watches.add(id, principal, view);
                self.find_out(id).await;
            }
            Order::Unwatch { id } => self.forget(id),
        }
    }

    /// Finds out what a watch counts, and says so.
    async fn find_out(&mut self, id: WatchId) {
        let Some(watching) = self.watches.get(id) else { return };
        let (principal, view, before) = (watching.principal, watching.view, watching.count);
        self.unread.remove(&id);
        match self.resolve(&principal, view).await {
            Ok(Ok((key, query, plan))) => match self.counted(key, query, plan) {
                Some(count) if before != Some(count) => self.join(id, count),
                Some(_) => {}
                None => self.end(id, EndReason::Overload),
            },
            Ok(Err(reason)) => self.end(id, reason),
            Err(error) => {
                tracing::warn!(%error, "a view whose count is watched could not be read; it is tried again");
                self.unread.insert(id);
            }
        }
        if let Some(before) = before {
            self.end_if_unwatched(before);
        }
    }

    /// What a view counts for somebody.
    async fn resolve(
        &mut self,
        principal: &Principal,
        view: SavedViewId,
    ) -> Result<Result<(CountKey, Query, Plan), EndReason>, StoreError> {
        let known = (principal.tenant, view);
        if !self.views.contains_key(&known)
            && let Some(row) = self.store.saved_view(principal.tenant, view).await?
            // It was printed by what parses it.
            && let Ok(query) = Query::parse(&row.query)
        {
            let text = row.query.as_str().into();
            self.views.insert(known, View { row, query, text });
        }
        let Some(view) = self.views.get(&known).filter(|view| self.directory.sees_view(principal, &view.row))
        else {
            return Ok(Err(EndReason::NoRight));
        };
        let key = CountKey {
            tenant: principal.tenant,
            query: Arc::clone(&view.text),
            me: view.query.is_personal().then_some(principal.agent),
            visible: self.directory.visible_queues(principal),
            deletes: self.deletes(principal, &view.query),
        };
        if key.visible.is_empty() {
            return Ok(Err(EndReason::NoRight));
        }
        // A name that stands for nothing, or for nothing that may be seen, is not there.
        let plan = self.plan(&key, &view.query).ok_or(EndReason::NoRight);
        Ok(plan.map(|plan| (key, view.query.clone(), plan)))
    }

    fn plan(&self, key: &CountKey, query: &Query) -> Option<Plan> {
        let who = (key.tenant, key.me.unwrap_or(AgentId(0)));
        let names = TenantNames::seen(&self.directory, who, key.visible.clone(), key.deletes.clone());
        let plan = Plan::of(query, &names).ok()?;
        Some(if plan.shows_deleted() { names.without_hidden(plan) } else { plan })
    }

    /// Where somebody sees deleted tickets; nowhere where it does not matter, so that counts are the same.
    fn deletes(&self, principal: &Principal, query: &Query) -> QueueSet {
        let shows_deleted = query.terms().iter().any(|term| matches!(term, Term::Is(Is::Deleted)));
        if shows_deleted { self.directory.queues_where(principal, Right::Delete) } else { QueueSet::none() }
    }

    /// The count of this key, which is begun where there is none; `None` where there are too many.
    fn counted(&mut self, key: CountKey, query: Query, plan: Plan) -> Option<CountId> {
        if let Some(id) = self.by_key.get(&key).copied() {
            self.replan(id, plan);
            return Some(id);
        }
        if self.counts.len() >= COUNTS_MAX {
            return None;
        }
        let id = CountId(self.next);
        self.next += 1;
        let long_ago = Instant::now().checked_sub(Duration::from_millis(COUNT_MS));
        let told_at = long_ago.unwrap_or_else(Instant::now);
        let mut count = Count { key: key.clone(), query, plan, now: 0, told: 0, told_at, is_stale: false };
        count.begin(&self.finder, id);
        count.told = count.now;
        self.by_key.insert(key, id);
        self.counts.insert(id, count);
        self.shared.stats.counts.store(self.counts.len(), Ordering::Relaxed);
        Some(id)
    }

    /// Names may stand for something else now.
    fn replan(&mut self, id: CountId, plan: Plan) {
        let Some(count) = self.counts.get_mut(&id) else { return };
        if !count.query.is_of_the_moment() && count.plan != plan {
            count.plan = plan;
            count.is_stale = true;
            self.pending.insert(id);
        }
    }

    fn join(&mut self, id: WatchId, count: CountId) {
        self.watches.join(id, count);
        // What the others know: what has changed since is told to all.
        let now = self.counts.get(&count).map_or(0, |count| count.told);
        self.say(id, CountNews::Joined { number: id.number, count, now });
    }

    fn end(&mut self, id: WatchId, reason: EndReason) {
        self.forget(id);
        self.say(id, CountNews::Ended { number: id.number, reason });
    }

    fn say(&self, id: WatchId, news: CountNews) {
        if let Some(place) = self.shared.boxes.get(id.place) {
            place.tell(news);
        }
    }

    /// A watch is over.
    fn forget(&mut self, id: WatchId) {
        self.unread.remove(&id);
        let Some(count) = self.watches.get(id).map(|watching| watching.count) else { return };
        let Some(gone) = self.watches.remove(id) else { return };
        self.shared.stats.watches.fetch_sub(1, Ordering::Relaxed);
        let view = (gone.principal.tenant, gone.view);
        if !self.watches.is_watched(view.0, view.1) {
            self.views.remove(&view);
        }
        if let Some(count) = count {
            self.end_if_unwatched(count);
        }
    }

    fn end_if_unwatched(&mut self, id: CountId) {
        if self.watches.is_counted(id) {
            return;
        }
        if let Some(count) = self.counts.remove(&id) {
            self.finder.end_count(count.key.tenant, id);
            self.by_key.remove(&count.key);
            self.pending.remove(&id);
            self.shared.stats.counts.store(self.counts.len(), Ordering::Relaxed);
        }
    }

    /// Takes in what has changed in a tenant.
    fn note(&mut self, tenant: TenantId) {
        for (id, now) in self.finder.changed_counts(tenant) {
            let Some(count) = self.counts.get_mut(&id) else { continue };
            match now {
                Some(now) => count.now = now,
                None => count.is_stale = true,
            }
            self.pending.insert(id);
        }
    }

    /// Time has passed: counts of queries with times from now are made anew.
    fn note_moment(&mut self) {
        for (id, count) in &mut self.counts {
            if count.query.is_of_the_moment() {
                count.is_stale = true;
                self.pending.insert(*id);
            }
        }
    }

    /// Saved views were changed or deleted.
    async fn look_at_views(&mut self) {
        for (tenant, view) in self.shared.views.take() {
            self.views.remove(&(tenant, view));
            for id in self.watches.of_view(tenant, view) {
                self.find_out(id).await;
            }
        }
    }

    /// Rights, teams or names were changed.
    async fn look_at_all(&mut self) {
        let mut gone = BTreeSet::new();
        for id in self.counts.keys().copied().collect::<Vec<_>>() {
            let Some(count) = self.counts.get(&id) else { continue };
            match self.plan(&count.key, &count.query) {
                Some(plan) => self.replan(id, plan),
                None => {
                    gone.insert(id);
                }
            }
        }
        for id in self.watches.all() {
            // Most watches stay as they are.
            if !self.is_as_before(id, &gone) {
                self.find_out(id).await;
            }
        }
    }

    /// Whether a watch still stands for the same count.
    fn is_as_before(&self, id: WatchId, gone: &BTreeSet<CountId>) -> bool {
        let Some(watching) = self.watches.get(id) else { return true };
        let principal = &watching.principal;
        let count = watching.count.filter(|count| !gone.contains(count));
        let count = count.and_then(|count| self.counts.get(&count));
        let view = self.views.get(&(principal.tenant, watching.view));
        count.zip(view).is_some_and(|(count, view)| {
            self.directory.sees_view(principal, &view.row)
                && count.key.visible == self.directory.visible_queues(principal)
                && count.key.deletes == self.deletes(principal, &count.query)
        })
    }

    async fn read_again(&mut self) {
        for id in std::mem::take(&mut self.unread) {
            self.find_out(id).await;
        }
    }

    /// Tells what is due. How long it took to count anew.
    fn tell(&mut self) -> Duration {
        let began = Instant::now();
        let mut recounts = Duration::ZERO;
        for id in self.pending.clone() {
            let Some(count) = self.counts.get_mut(&id) else { continue };
            let now = Instant::now();
            if count.due_at() > now || recounts > COUNTING {
                continue;
            }
            self.pending.remove(&id);
            if count.is_stale {
                self.begin_anew(id);
                recounts = began.elapsed();
            }
            let Some(count) = self.counts.get_mut(&id).filter(|count| count.now != count.told) else {
                continue;
            };
            (count.told, count.told_at) = (count.now, now);
            let told = count.told;
            self.shared.stats.told.fetch_add(1, Ordering::Relaxed);
            for place in self.watches.places(id) {
                if let Some(place) = self.shared.boxes.get(place) {
                    place.put(id, told);
                }
            }
        }
        recounts
    }

    fn begin_anew(&mut self, id: CountId) {
        let Some(count) = self.counts.get(&id) else { return };
        // What a time from now means changes; where a name is gone, the directory has told so.
        let fresh = self.plan(&count.key, &count.query);
        let Some(count) = self.counts.get_mut(&id) else { return };
        if let Some(plan) = fresh {
            count.plan = plan;
        }
        count.begin(&self.finder, id);
        self.shared.stats.recounts.fetch_add(1, Ordering::Relaxed);
    }
}

impl Count {
    fn begin(&mut self, finder: &Finder, id: CountId) {
        let what = Counted {
            plan: self.plan.clone(),
            visible: self.key.visible.clone(),
            is_of_the_moment: self.query.is_of_the_moment(),
        };
        self.now = finder.count(self.key.tenant, id, what);
        self.is_stale = false;
    }

    /// When its watchers may be told something.
    fn due_at(&self) -> Instant {
        self.told_at + Duration::from_millis(COUNT_MS)
    }
}
