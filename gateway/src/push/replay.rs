//! Replays: the log is read in pages whose starts are multiples of [`REPLAY_EVENTS_MAX`], so that sessions
//! share them wherever they were, out of memory as well as out of storage.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use waggle_core::id::{Offset, TenantId};
use waggle_core::limits::{
    REPLAY_EVENTS_MAX, REPLAY_PAGE_BYTES_MAX, REPLAY_PAGE_MS_MAX, REPLAY_PAGES_KEPT_MAX,
    REPLAY_SESSIONS_PER_TURN_MAX, REPLAY_STORED_PAGES_KEPT_MAX,
};
use waggle_core::push::CloseCode;
use waggle_core::ticket::Entry;
use waggle_core::time::Tick;

use super::port::Log;
use super::shard::{Key, Shard, turn_page};

type Page = Rc<[Arc<Entry>]>;

/// A session that waits for a page, and where it is.
type Waiting = (Key, Offset);

/// Who waits for which page, and pages that were read a moment ago; all by the offset before the page.
#[derive(Debug, Default)]
pub(super) struct Replays {
    waiting: RefCell<FxHashMap<(TenantId, Offset), Vec<Waiting>>>,
    pages: RefCell<FxHashMap<(TenantId, Offset), Kept>>,
}

#[derive(Debug)]
struct Kept {
    read_at: Tick,
    /// Its frames are kept by it alone; those of the log's part in memory are there anyway.
    is_stored: bool,
    page: Page,
}

/// The offset before the page that the event after `after` is on.
fn start_of(after: Offset) -> Offset {
    Offset(after.0 - after.0 % REPLAY_EVENTS_MAX as u64)
}

/// What of a page comes after `after`.
pub(super) fn part_after(page: &[Arc<Entry>], after: Offset) -> &[Arc<Entry>] {
    page.get(page.partition_point(|entry| entry.offset <= after)..).unwrap_or_default()
}

impl Replays {
    /// The page that the event after `after` is on, where it was read lately or is in memory. The log only
    /// grows, so what is in one stays true.
    pub(super) fn find(&self, log: &dyn Log, tenant: TenantId, after: Offset, now: Tick) -> Option<Page> {
        let start = start_of(after);
        if let Some(kept) = self.pages.borrow().get(&(tenant, start))
            && now.since_ms(kept.read_at) <= REPLAY_PAGE_MS_MAX
        {
            let last = kept.page.last().map_or(start, |entry| entry.offset);
            let is_whole = last.0 >= start.0 + REPLAY_EVENTS_MAX as u64;
            if is_whole || log.head(tenant).is_some_and(|head| last >= head.offset) {
                return Some(Rc::clone(&kept.page));
            }
        }
        match log.recent_after(tenant, start, REPLAY_EVENTS_MAX) {
            Some(page) => {
                let page = Page::from(page);
                self.keep(tenant, start, Kept { read_at: now, is_stored: false, page: Rc::clone(&page) });
                Some(page)
            }
            // Memory may reach back to the session, though not to the start of the page.
            None => log.recent_after(tenant, after, REPLAY_EVENTS_MAX).map(Page::from),
        }
    }

    fn keep(&self, tenant: TenantId, start: Offset, new: Kept) {
        let bytes: usize = new.page.iter().map(|entry| entry.frame.len()).sum();
        if new.page.is_empty() || bytes > REPLAY_PAGE_BYTES_MAX {
            return;
        }
        let mut pages = self.pages.borrow_mut();
        pages.remove(&(tenant, start));
        let alike = pages.values().filter(|kept| kept.is_stored == new.is_stored).count();
        let most = if new.is_stored { REPLAY_STORED_PAGES_KEPT_MAX } else { REPLAY_PAGES_KEPT_MAX };
        if alike >= most {
            let alike = pages.iter().filter(|(_, kept)| kept.is_stored == new.is_stored);
            if let Some(oldest) = alike.min_by_key(|(_, kept)| kept.read_at).map(|(key, _)| *key) {
                pages.remove(&oldest);
            }
        }
        pages.insert((tenant, start), new);
    }

    /// Forgets pages that are old.
    pub(super) fn forget(&self, now: Tick) {
        self.pages.borrow_mut().retain(|_, kept| now.since_ms(kept.read_at) <= REPLAY_PAGE_MS_MAX);
    }

    fn wait(&self, tenant: TenantId, start: Offset, session: Waiting) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        let sessions = waiting.entry((tenant, start)).or_default();
        sessions.push(session);
        sessions.len() == 1
    }

    fn waiting_count(&self, tenant: TenantId, start: Offset) -> usize {
        self.waiting.borrow().get(&(tenant, start)).map_or(0, Vec::len)
    }

    fn take_waiting(&self, tenant: TenantId, start: Offset) -> Vec<Waiting> {
        self.waiting.borrow_mut().remove(&(tenant, start)).unwrap_or_default()
    }
}

/// The session waits for the page after `after`; the first to wait for one has it read.
pub(super) fn wait_for(shard: &Rc<Shard>, tenant: TenantId, after: Offset, key: Key) {
    let start = start_of(after);
    if shard.replays.wait(tenant, start, (key, after)) {
        tokio::task::spawn_local(read(Rc::clone(shard), tenant, start));
    }
}

/// Reads a page for all who wait for it, those included who come while it is being read.
async fn read(shard: Rc<Shard>, tenant: TenantId, start: Offset) {
    tokio::task::yield_now().await;
    // The semaphore is never closed.
    let permit = shard.reads.acquire().await;
    let (read_at, early) = (shard.clock.now(), shard.replays.waiting_count(tenant, start));
    shard.stats.replay_reads.add(1);
    let outcome = shard.log.read_after(tenant, start, REPLAY_EVENTS_MAX).await;
    drop(permit);
    let mut waiting = shard.replays.take_waiting(tenant, start);
    match outcome {
        Ok(page) => {
            let page = Page::from(page);
            shard.replays.keep(tenant, start, Kept { read_at, is_stored: true, page: Rc::clone(&page) });
            for (key, after) in waiting.split_off(early.min(waiting.len())) {
                if part_after(&page, after).is_empty() {
                    // It came later than the read began: there may be something for it by now.
                    wait_for(&shard, tenant, after, key);
                } else {
                    waiting.push((key, after));
                }
            }
            hand_out(&shard, &waiting, &page).await;
        }
        // The log is another gateway's by now: the clients go on there.
        Err(_) if shard.is_draining.get() => close(&shard, &waiting, CloseCode::Drain, "draining"),
        Err(error) => {
            tracing::warn!(%error, tenant = tenant.0, "a replay could not read the log");
            let refusal = shard.admission.refuse("the log cannot be read at the moment".to_owned());
            close(&shard, &waiting, CloseCode::Overload, &refusal.reason);
        }
    }
}

/// Gives a page to some sessions at a time, so that live ones do not wait for all of them.
async fn hand_out(shard: &Rc<Shard>, waiting: &[Waiting], page: &Page) {
    for some in waiting.chunks(REPLAY_SESSIONS_PER_TURN_MAX) {
        {
            let mut sessions = shard.sessions.borrow_mut();
            shard.heed_directory(&mut sessions);
            for (key, after) in some {
                let effects = turn_page(&mut sessions, *key, part_after(page, *after));
                shard.carry_out(&mut sessions, *key, effects, &Bytes::new());
            }
        }
        shard.deliver_waiting();
        tokio::task::yield_now().await;
    }
}

fn close(shard: &Rc<Shard>, waiting: &[Waiting], code: CloseCode, reason: &str) {
    for (key, _) in waiting {
        shard.drive(*key, |session| session.close(code, reason.to_owned()));
    }
}
