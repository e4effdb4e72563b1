//! Queries that take long are answered beside the threads that answer requests, a few at a time. Which ones do is known
//! from the time before; of a query that was never asked it is taken to, where there are many tickets.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;
use rustc_hash::FxHasher;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use waggle_core::find::{Index, Order, Query};
use waggle_core::id::{Offset, TenantId};
use waggle_core::limits::{
    QUERIES_ASIDE_MAX, QUERIES_KNOWN_MAX, QUERIES_RUNNING_MAX, QUERY_QUICK_US_MAX, QUERY_SLOW_MS,
    QUERY_TICKETS_FEW,
};

use super::{FindError, Finder};

/// What queries have cost.
#[derive(Debug, Default)]
pub struct QueryStats {
    /// Those that took longer than [`QUERY_SLOW_MS`].
    pub slow: AtomicU64,
    /// Those that were answered beside.
    pub aside: AtomicU64,
    /// Those that found no place.
    pub overloaded: AtomicU64,
}

/// A query with its order, in one tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryKey(u64);

impl QueryKey {
    /// Of a list.
    #[must_use]
    pub fn of(tenant: TenantId, query: &Query, order: Order) -> Self {
        let mut hasher = FxHasher::default();
        (tenant, query.to_string(), order).hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// Queries under way, and what is known of those before.
pub(super) struct Asides {
    /// Microseconds that a query took the last time.
    known: Cache<u64, u32>,
    /// Under way and waiting.
    places: Semaphore,
    running: Arc<Semaphore>,
    stats: QueryStats,
}

impl Default for Asides {
    fn default() -> Self {
        Self {
            known: Cache::new(QUERIES_KNOWN_MAX),
            places: Semaphore::new(QUERIES_ASIDE_MAX),
            running: Arc::new(Semaphore::new(QUERIES_RUNNING_MAX)),
            stats: QueryStats::default(),
        }
    }
}

impl Asides {
    fn is_quick(&self, key: QueryKey, tickets: u64) -> bool {
        match self.known.get(&key.0) {
            Some(us) => us <= QUERY_QUICK_US_MAX,
            None => tickets <= QUERY_TICKETS_FEW,
        }
    }

    fn note(&self, key: QueryKey, took: Duration) {
        let us = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        self.known.insert(key.0, us);
        if took > Duration::from_millis(QUERY_SLOW_MS) {
            self.stats.slow.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn enter(&self) -> Result<SemaphorePermit<'_>, FindError> {
        self.places.try_acquire().map_err(|_| {
            self.stats.overloaded.fetch_add(1, Ordering::Relaxed);
            FindError::Busy
        })
    }

    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        self.stats.aside.fetch_add(1, Ordering::Relaxed);
        // It is never closed.
        Arc::clone(&self.running).acquire_owned().await.ok()
    }
}

impl Finder {
    /// The same as [`Finder::read`] for a query that may take long.
    ///
    /// # Errors
    /// [`FindError`].
    pub async fn ask<T: Send + 'static>(
        &self,
        tenant: TenantId,
        head: Offset,
        key: QueryKey,
        look: impl FnOnce(&Index) -> T + Send + 'static,
    ) -> Result<T, FindError> {
        let known = self.reached(tenant, head).await?;
        let asides = Arc::clone(&self.asides);
        let timed = move |index: &Index| {
            let began = Instant::now();
            let answer = look(index);
            (answer, began.elapsed())
        };
        {
            let index = known.index.read();
            if asides.is_quick(key, index.len()) {
                let (answer, took) = timed(&index);
                asides.note(key, took);
                return Ok(answer);
            }
        }
        let _place = asides.enter()?;
        let turn = asides.turn().await;
        let run = move || {
            let _turn = turn;
            timed(&known.index.read())
        };
        // Where it panicked, it has said so.
        let (answer, took) = tokio::task::spawn_blocking(run).await.map_err(|_| FindError::Busy)?;
        asides.note(key, took);
        Ok(answer)
    }

    /// What queries have cost.
    #[must_use]
    pub fn query_stats(&self) -> &QueryStats {
        &self.asides.stats
    }

    /// Of each tenant, the event up to which everything is in its index.
    #[must_use]
    pub fn applied(&self) -> Vec<(TenantId, Offset)> {
        let known = self.tenants.known.read();
        known.iter().map(|(tenant, index)| (*tenant, *index.applied.borrow())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_long_is_asked_aside_and_not_by_too_many() {
        let asides = Asides::default();
        let key = |text: &str| QueryKey::of(TenantId(1), &Query::parse(text).unwrap(), Order::NEWEST);
        assert_ne!(key("tag:a"), key("tag:b"));
        assert_eq!(key("tag:a status:open"), key(" tag:A  (status:open)"));
        assert!(asides.is_quick(key("tag:a"), QUERY_TICKETS_FEW), "few tickets");
        assert!(!asides.is_quick(key("tag:a"), QUERY_TICKETS_FEW + 1), "nobody has asked that before");
        asides.note(key("tag:a"), Duration::from_micros(QUERY_QUICK_US_MAX.into()));
        assert!(asides.is_quick(key("tag:a"), u64::MAX));
        asides.note(key("tag:a"), Duration::from_millis(QUERY_SLOW_MS + 1));
        assert!(!asides.is_quick(key("tag:a"), 1));
        assert_eq!(asides.stats.slow.load(Ordering::Relaxed), 1);
        let places: Vec<_> = (0..QUERIES_ASIDE_MAX).map(|_| asides.enter().unwrap()).collect();
        assert!(matches!(asides.enter(), Err(FindError::Busy)));
        drop(places);
        assert!(asides.enter().is_ok());
        assert_eq!(asides.stats.overloaded.load(Ordering::Relaxed), 1);
    }
}
