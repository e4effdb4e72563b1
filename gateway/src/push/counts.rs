//! Counts of saved views on one shard: which session watches which, and what it was told last. What a session is told
//! is told by this alone, so differences are right though it may miss some counts between.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use tokio::task::yield_now;
use tokio::time::timeout;
use waggle_core::id::{SavedViewId, SessionId};
use waggle_core::limits::{COUNT_MS, COUNT_WRITES_PER_TURN_MAX};
use waggle_core::push::{Effects, EndReason, ServerMessage, View, ViewCount, text_frame};

use super::shard::{Key, Sessions, Shard};
use crate::count::{CountNews, WatchId};
use crate::find::CountId;

/// Watches of this shard's sessions, by number.
#[derive(Debug, Default)]
pub(super) struct Counted {
    watches: FxHashMap<u64, Watch>,
    by_session: FxHashMap<SessionId, SmallVec<[(SavedViewId, u64); 4]>>,
    by_count: FxHashMap<CountId, BTreeSet<u64>>,
    /// Those whose session could not be told: something waits for its socket.
    behind: BTreeSet<u64>,
    next: u64,
    /// The last frame that was made: many sessions are told the same.
    last: Option<(ViewCount, Bytes)>,
}

#[derive(Debug)]
struct Watch {
    key: Key,
    view: SavedViewId,
    /// None until it is found out, and whenever rights have changed.
    count: Option<CountId>,
    now: u64,
    told: Option<u64>,
}

impl Counted {
    fn number_of(&self, session: SessionId, view: SavedViewId) -> Option<u64> {
        let watched = self.by_session.get(&session)?;
        watched.iter().find(|(known, _)| *known == view).map(|(_, number)| *number)
    }

    fn add(&mut self, key: Key, view: SavedViewId, told: Option<u64>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.watches.insert(number, Watch { key, view, count: None, now: 0, told });
        self.by_session.entry(key.session).or_default().push((view, number));
        number
    }

    fn remove(&mut self, number: u64) -> Option<Watch> {
        let watch = self.watches.remove(&number)?;
        self.behind.remove(&number);
        if let Some(watched) = self.by_session.get_mut(&watch.key.session) {
            watched.retain(|(_, known)| *known != number);
            if watched.is_empty() {
                self.by_session.remove(&watch.key.session);
            }
        }
        self.leave(number, watch.count);
        Some(watch)
    }

    fn join(&mut self, number: u64, count: CountId, now: u64) {
        let Some(watch) = self.watches.get_mut(&number) else { return };
        watch.now = now;
        let before = watch.count.replace(count);
        self.leave(number, before);
        self.by_count.entry(count).or_default().insert(number);
    }

    fn leave(&mut self, number: u64, count: Option<CountId>) {
        if let Some(count) = count
            && let Some(numbers) = self.by_count.get_mut(&count)
        {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.by_count.remove(&count);
            }
        }
    }

    fn frame(&mut self, count: ViewCount) -> Bytes {
        if let Some((known, frame)) = &self.last
            && *known == count
        {
            return frame.clone();
        }
        // It always has a JSON text.
        let frame = text_frame(&ServerMessage::Count(count).to_json().unwrap_or_default());
        self.last = Some((count, frame.clone()));
        frame
    }
}

impl Shard {
    /// A session begins to watch a count. Where there are too many, its view ends.
    pub(super) fn begin_count(
        &self,
        sessions: &mut Sessions,
        key: Key,
        view: SavedViewId,
    ) -> Effects<'static> {
        self.watch_count(sessions, key, view, None)
    }

    /// It does no longer.
    pub(super) fn end_count(&self, sessions: &mut Sessions, key: Key, view: SavedViewId) {
        if let Some(number) = sessions.counted.number_of(key.session, view) {
            self.unwatch_count(sessions, number);
        }
    }

    /// What a session may see has changed: until it is found out what its counts are now it is told nothing.
    pub(super) fn count_again(self: &Rc<Self>, sessions: &mut Sessions, key: Key) {
        let watched = sessions.counted.by_session.get(&key.session).cloned().unwrap_or_default();
        for (view, number) in watched {
            let told = self.unwatch_count(sessions, number);
            let effects = self.watch_count(sessions, key, view, told);
            self.carry_out(sessions, key, effects, &Bytes::new());
        }
    }

    fn watch_count(
        &self,
        sessions: &mut Sessions,
        key: Key,
        view: SavedViewId,
        told: Option<u64>,
    ) -> Effects<'static> {
        let Some(principal) = sessions.get(key).and_then(|slot| slot.principal) else {
            return Effects::new();
        };
        let number = sessions.counted.add(key, view, told);
        let id = WatchId { place: self.index, number };
        if self.counts.as_ref().is_some_and(|counts| counts.watch(id, principal, view)) {
            return Effects::new();
        }
        sessions.counted.remove(number);
        let Some(slot) = sessions.get(key) else { return Effects::new() };
        slot.session.end_view(View::Count(view), EndReason::Overload)
    }

    /// Gives what its session was told.
    fn unwatch_count(&self, sessions: &mut Sessions, number: u64) -> Option<u64> {
        if let Some(counts) = &self.counts {
            counts.unwatch(WatchId { place: self.index, number });
        }
        sessions.counted.remove(number).and_then(|watch| watch.told)
    }

    fn heed_count(self: &Rc<Self>, sessions: &mut Sessions, news: CountNews) {
        match news {
            CountNews::Joined { number, count, now } => {
                sessions.counted.join(number, count, now);
                self.tell_count(sessions, number);
            }
            CountNews::Ended { number, reason } => {
                let Some(watch) = sessions.counted.remove(number) else { return };
                let Some(slot) = sessions.get(watch.key) else { return };
                let effects = slot.session.end_view(View::Count(watch.view), reason);
                self.carry_out(sessions, watch.key, effects, &Bytes::new());
            }
        }
    }

    /// Tells a session what it does not know yet; later, where something waits for its socket.
    fn tell_count(&self, sessions: &mut Sessions, number: u64) {
        let Sessions { slots, counted, .. } = sessions;
        counted.behind.remove(&number);
        let Some(watch) = counted.watches.get(&number).filter(|watch| watch.told != Some(watch.now)) else {
            return;
        };
        let (key, view, count) = (watch.key, watch.view, watch.now);
        let delta = watch.told.map(|told| count.cast_signed().wrapping_sub(told.cast_signed()));
        let Some(slot) = slots.get(key.slot as usize).filter(|slot| slot.session.id() == key.session) else {
            return;
        };
        let frame = counted.frame(ViewCount { view, count, delta });
        if slot.link.send_if_idle(&frame) {
            if let Some(watch) = counted.watches.get_mut(&number) {
                watch.told = Some(count);
            }
        } else if !slot.link.is_ending() {
            counted.behind.insert(number);
        }
    }
}

/// Tells sessions what they watch, for as long as the shard runs.
pub(super) async fn keep_up(shard: Rc<Shard>) {
    let mailbox = shard.counts.as_ref().and_then(|counts| counts.mailbox(shard.index));
    let Some(mailbox) = mailbox else { return std::future::pending().await };
    loop {
        if shard.sessions.borrow().counted.behind.is_empty() {
            mailbox.told().await;
        } else {
            // However it ends, what is there is told.
            let _ = timeout(Duration::from_millis(COUNT_MS), mailbox.told()).await;
        }
        let mail = mailbox.take();
        let behind = std::mem::take(&mut shard.sessions.borrow_mut().counted.behind);
        let mut turn = Turn::default();
        for news in mail.news {
            turn.next().await;
            let sessions = &mut *shard.sessions.borrow_mut();
            shard.heed_directory(sessions);
            shard.heed_count(sessions, news);
        }
        for (count, now) in mail.counts {
            let numbers: Vec<u64> = {
                let counted = &mut shard.sessions.borrow_mut().counted;
                counted.by_count.get(&count).into_iter().flatten().copied().collect()
            };
            for number in numbers {
                turn.next().await;
                let sessions = &mut *shard.sessions.borrow_mut();
                shard.heed_directory(sessions);
                // Its session's rights may have changed while others had their turn.
                if let Some(watch) = sessions.counted.watches.get_mut(&number)
                    && watch.count == Some(count)
                {
                    watch.now = now;
                    shard.tell_count(sessions, number);
                }
            }
        }
        for number in behind {
            turn.next().await;
            let sessions = &mut *shard.sessions.borrow_mut();
            shard.heed_directory(sessions);
            shard.tell_behind(sessions, number);
        }
    }
}

impl Shard {
    fn tell_behind(&self, sessions: &mut Sessions, number: u64) {
        if sessions.counted.watches.get(&number).is_some_and(|watch| watch.count.is_some()) {
            self.tell_count(sessions, number);
        }
    }
}

/// Lets others have their turn after so many sessions.
#[derive(Default)]
struct Turn(usize);

impl Turn {
    async fn next(&mut self) {
        self.0 += 1;
        if self.0 >= COUNT_WRITES_PER_TURN_MAX {
            self.0 = 0;
            yield_now().await;
        }
    }
}
