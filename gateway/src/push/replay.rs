//! Replays from storage: sessions that are at the same place of the log share one read.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use waggle_core::id::{Offset, TenantId};
use waggle_core::limits::{
    REPLAY_EVENTS_MAX, REPLAY_PAGE_BYTES_MAX, REPLAY_PAGE_MS_MAX, REPLAY_PAGES_KEPT_MAX,
    REPLAY_SESSIONS_PER_TURN_MAX,
};
use waggle_core::push::CloseCode;
use waggle_core::ticket::Entry;
use waggle_core::time::Tick;

use super::shard::{Key, Shard, turn_page};

type Page = Rc<[Arc<Entry>]>;

/// Who waits for which page, and pages that were read a moment ago.
#[derive(Debug, Default)]
pub(super) struct Replays {
    waiting: RefCell<FxHashMap<(TenantId, Offset), Vec<Key>>>,
    recent: RefCell<VecDeque<Recent>>,
}

#[derive(Debug)]
struct Recent {
    tenant: TenantId,
    after: Offset,
    read_at: Tick,
    page: Page,
}

impl Replays {
    /// A page that was read lately. The log only grows, so what is in one stays true; sessions read on from
    /// its end.
    pub(super) fn recent(&self, tenant: TenantId, after: Offset, now: Tick) -> Option<Page> {
        let mut recent = self.recent.borrow_mut();
        while recent.front().is_some_and(|oldest| now.since_ms(oldest.read_at) > REPLAY_PAGE_MS_MAX) {
            recent.pop_front();
        }
        let found = recent.iter().find(|kept| kept.tenant == tenant && kept.after == after);
        found.map(|kept| Rc::clone(&kept.page))
    }

    /// The session waits for a page; returns whether it is the first one, so that somebody has to read it.
    pub(super) fn wait_for(&self, tenant: TenantId, after: Offset, key: Key) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        let keys = waiting.entry((tenant, after)).or_default();
        keys.push(key);
        keys.len() == 1
    }

    fn waiting_count(&self, tenant: TenantId, after: Offset) -> usize {
        self.waiting.borrow().get(&(tenant, after)).map_or(0, Vec::len)
    }

    fn take_waiting(&self, tenant: TenantId, after: Offset) -> Vec<Key> {
        self.waiting.borrow_mut().remove(&(tenant, after)).unwrap_or_default()
    }

    fn keep(&self, tenant: TenantId, after: Offset, read_at: Tick, page: &Page) {
        let bytes: usize = page.iter().map(|entry| entry.frame.len()).sum();
        if page.is_empty() || bytes > REPLAY_PAGE_BYTES_MAX {
            return;
        }
        let mut recent = self.recent.borrow_mut();
        if recent.len() == REPLAY_PAGES_KEPT_MAX {
            recent.pop_front();
        }
        recent.push_back(Recent { tenant, after, read_at, page: Rc::clone(page) });
    }
}

/// Reads a page for all who wait for it, those included who come while it is being read.
pub(super) async fn read(shard: Rc<Shard>, tenant: TenantId, after: Offset) {
    tokio::task::yield_now().await;
    // The semaphore is never closed.
    let permit = shard.reads.acquire().await;
    let (read_at, early) = (shard.clock.now(), shard.replays.waiting_count(tenant, after));
    shard.stats.replay_reads.add(1);
    let outcome = shard.log.read_after(tenant, after, REPLAY_EVENTS_MAX).await;
    drop(permit);
    let mut keys = shard.replays.take_waiting(tenant, after);
    match outcome {
        Ok(page) => {
            let page: Page = page.into();
            shard.replays.keep(tenant, after, read_at, &page);
            if page.is_empty() {
                // For those who came later there may be something by now.
                let late = keys.split_off(early.min(keys.len()));
                let is_first = late.into_iter().map(|key| shard.replays.wait_for(tenant, after, key));
                if is_first.fold(false, |any, first| any | first) {
                    tokio::task::spawn_local(read(Rc::clone(&shard), tenant, after));
                }
            }
            hand_out(&shard, &keys, &page).await;
        }
        // The log is another gateway's by now: the clients go on there.
        Err(_) if shard.is_draining.get() => close(&shard, &keys, CloseCode::Drain, "draining"),
        Err(error) => {
            tracing::warn!(%error, tenant = tenant.0, "a replay could not read the log");
            close(&shard, &keys, CloseCode::Overload, "the log cannot be read at the moment");
        }
    }
}

/// Gives a page to some sessions at a time, so that live ones do not wait for all of them.
async fn hand_out(shard: &Rc<Shard>, keys: &[Key], page: &Page) {
    for some in keys.chunks(REPLAY_SESSIONS_PER_TURN_MAX) {
        {
            let mut sessions = shard.sessions.borrow_mut();
            for key in some {
                let effects = turn_page(&mut sessions, *key, page);
                shard.carry_out(&mut sessions, *key, effects, &Bytes::new());
            }
        }
        tokio::task::yield_now().await;
    }
}

fn close(shard: &Rc<Shard>, keys: &[Key], code: CloseCode, reason: &'static str) {
    for key in keys {
        shard.drive(*key, |session| session.close(code, reason));
    }
}
