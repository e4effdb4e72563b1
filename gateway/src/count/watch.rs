//! Who watches which count.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use waggle_core::find::Query;
use waggle_core::id::{AgentId, SavedViewId, TenantId};
use waggle_core::right::QueueSet;

use super::WatchId;
use crate::directory::Principal;
use crate::find::CountId;
use crate::store::SavedViewRow;

/// What makes a count the same count, whoever watches it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct CountKey {
    pub(super) tenant: TenantId,
    /// As it is printed.
    pub(super) query: Arc<str>,
    /// Where the query says so.
    pub(super) me: Option<AgentId>,
    pub(super) visible: QueueSet,
    /// Where deleted tickets count, if the query asks for some.
    pub(super) deletes: QueueSet,
}

/// A session's watch.
pub(super) struct Watching {
    pub(super) principal: Principal,
    pub(super) view: SavedViewId,
    /// None while it could not be found out.
    pub(super) count: Option<CountId>,
}

/// A saved view that is watched.
pub(super) struct View {
    pub(super) row: SavedViewRow,
    pub(super) query: Query,
    pub(super) text: Arc<str>,
}

/// All watches.
#[derive(Default)]
pub(super) struct Watches {
    known: FxHashMap<WatchId, Watching>,
    by_view: FxHashMap<(TenantId, SavedViewId), BTreeSet<WatchId>>,
    by_count: FxHashMap<CountId, BTreeSet<WatchId>>,
}

impl Watches {
    pub(super) fn get(&self, id: WatchId) -> Option<&Watching> {
        self.known.get(&id)
    }

    pub(super) fn add(&mut self, id: WatchId, principal: Principal, view: SavedViewId) {
        self.known.insert(id, Watching { principal, view, count: None });
        self.by_view.entry((principal.tenant, view)).or_default().insert(id);
    }

    /// Takes one out; gives the view that nobody watches any more then, and what it counted.
    pub(super) fn remove(&mut self, id: WatchId) -> Option<Watching> {
        self.leave(id);
        let watching = self.known.remove(&id)?;
        let key = (watching.principal.tenant, watching.view);
        if let Some(ids) = self.by_view.get_mut(&key) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_view.remove(&key);
            }
        }
        Some(watching)
    }

    /// It counts this from now on.
    pub(super) fn join(&mut self, id: WatchId, count: CountId) {
        self.leave(id);
        if let Some(watching) = self.known.get_mut(&id) {
            watching.count = Some(count);
            self.by_count.entry(count).or_default().insert(id);
        }
    }

    /// It counts nothing.
    fn leave(&mut self, id: WatchId) {
        let Some(count) = self.known.get_mut(&id).and_then(|watching| watching.count.take()) else { return };
        if let Some(ids) = self.by_count.get_mut(&count) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_count.remove(&count);
            }
        }
    }

    pub(super) fn of_view(&self, tenant: TenantId, view: SavedViewId) -> Vec<WatchId> {
        self.by_view.get(&(tenant, view)).into_iter().flatten().copied().collect()
    }

    pub(super) fn is_watched(&self, tenant: TenantId, view: SavedViewId) -> bool {
        self.by_view.contains_key(&(tenant, view))
    }

    /// Whether a count has a watch.
    pub(super) fn is_counted(&self, count: CountId) -> bool {
        self.by_count.contains_key(&count)
    }

    /// Places that are told of a count, each once.
    pub(super) fn places(&self, count: CountId) -> BTreeSet<usize> {
        self.by_count.get(&count).into_iter().flatten().map(|id| id.place).collect()
    }

    pub(super) fn all(&self) -> Vec<WatchId> {
        self.known.keys().copied().collect()
    }
}
