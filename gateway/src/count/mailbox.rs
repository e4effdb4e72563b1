//! What one place that tells sessions is told of counts.

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::Notify;
use waggle_core::push::EndReason;

use crate::find::CountId;

/// A mailbox. Of a count only the newest is kept; news of a watch are no more than its watcher has asked for.
#[derive(Debug, Default)]
pub struct CountBox {
    mail: Mutex<CountMail>,
    happened: Notify,
}

/// What is in it.
#[derive(Debug, Default)]
pub struct CountMail {
    /// Of single watches, in order; before the counts.
    pub news: Vec<CountNews>,
    /// Counts that have changed.
    pub counts: FxHashMap<CountId, u64>,
}

/// What becomes of a watch, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountNews {
    /// From now on it is told this count.
    Joined {
        /// The watch.
        number: u64,
        /// The count.
        count: CountId,
        /// What it is now.
        now: u64,
    },
    /// It is over.
    Ended {
        /// The watch.
        number: u64,
        /// Why.
        reason: EndReason,
    },
}

impl CountBox {
    /// Puts in news of a watch.
    pub(super) fn tell(&self, news: CountNews) {
        let mut mail = self.mail.lock();
        if let CountNews::Joined { count, now, .. } = news
            && let Some(older) = mail.counts.get_mut(&count)
        {
            *older = now;
        }
        mail.news.push(news);
        self.happened.notify_one();
    }

    /// Puts in a count that has changed.
    pub(super) fn put(&self, count: CountId, now: u64) {
        self.mail.lock().counts.insert(count, now);
        self.happened.notify_one();
    }

    /// Waits for news.
    pub async fn told(&self) {
        self.happened.notified().await;
    }

    /// Takes all of it.
    #[must_use]
    pub fn take(&self) -> CountMail {
        std::mem::take(&mut *self.mail.lock())
    }
}
