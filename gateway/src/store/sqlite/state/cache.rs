//! Texts that were read lately: a ticket on somebody's screen is read again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use waggle_core::id::{TenantId, TicketId};
use waggle_core::limits::TEXT_CACHE_BYTES_MAX;

use super::text::TicketText;

type Key = (TenantId, TicketId);

/// Texts as storage has them, bounded by their bytes.
///
/// What has changed since is applied by whoever reads them ([`super::text::PendingTexts`]), so an entry may be
/// old for as long as the change is pending. When it is written the entry goes. What was read from storage
/// before that, and would be added after it, is kept out by a count of writes that is odd while one is under way.
pub(super) struct TextCache {
    texts: Cache<Key, Arc<TicketText>, Bytes>,
    writes: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
struct Bytes;

impl Weighter<Key, Arc<TicketText>> for Bytes {
    fn weight(&self, _: &Key, text: &Arc<TicketText>) -> u64 {
        let bytes = text.subject.len() + text.requester.len() + text.extra.len();
        (bytes + size_of::<TicketText>() + size_of::<Key>()) as u64
    }
}

/// When reading began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Began(u64);

impl TextCache {
    pub(super) fn new() -> Self {
        // Entries are expected at about this size; only the bytes are a bound.
        let entries = usize::try_from(TEXT_CACHE_BYTES_MAX / 256).unwrap_or(usize::MAX);
        Self { texts: Cache::with_weighter(entries, TEXT_CACHE_BYTES_MAX, Bytes), writes: AtomicU64::new(0) }
    }

    pub(super) fn get(&self, tenant: TenantId, ticket: TicketId) -> Option<Arc<TicketText>> {
        self.texts.get(&(tenant, ticket))
    }

    /// To be asked for before storage is read.
    pub(super) fn begin(&self) -> Began {
        Began(self.writes.load(Ordering::Acquire))
    }

    /// Adds what was read since `began`, unless it may have been written meanwhile.
    pub(super) fn add(&self, tenant: TenantId, ticket: TicketId, text: &Arc<TicketText>, began: Began) {
        if began.0 % 2 == 1 {
            return;
        }
        self.texts.insert((tenant, ticket), Arc::clone(text));
        if self.writes.load(Ordering::Acquire) != began.0 {
            self.texts.remove(&(tenant, ticket));
        }
    }

    /// Storage is about to change.
    pub(super) fn begin_write(&self) {
        self.writes.fetch_add(1, Ordering::AcqRel);
    }

    /// Storage may have changed.
    pub(super) fn end_write(&self, written: impl Iterator<Item = Key>) {
        for key in written {
            self.texts.remove(&key);
        }
        self.writes.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use waggle_core::id::Offset;

    fn text(newest: u64) -> Arc<TicketText> {
        Arc::new(TicketText {
            newest: Offset(newest),
            subject: "s".to_owned(),
            requester: "r".to_owned(),
            follow_up_of: None,
            extra: "{}".to_owned(),
        })
    }

    #[test]
    fn what_was_read_before_a_write_is_not_added_after_it() {
        let cache = TextCache::new();
        let (tenant, ticket) = (TenantId(1), TicketId(1));
        let early = cache.begin();
        cache.begin_write();
        let meanwhile = cache.begin();
        cache.end_write([(tenant, ticket)].into_iter());
        cache.add(tenant, ticket, &text(1), early);
        assert_eq!(cache.get(tenant, ticket), None);
        cache.add(tenant, ticket, &text(1), meanwhile);
        assert_eq!(cache.get(tenant, ticket), None);
        let late = cache.begin();
        cache.add(tenant, ticket, &text(2), late);
        assert_eq!(cache.get(tenant, ticket), Some(text(2)));
        cache.begin_write();
        cache.end_write([(tenant, ticket)].into_iter());
        assert_eq!(cache.get(tenant, ticket), None);
    }

    #[test]
    fn bytes_are_bounded() {
        let cache = TextCache::new();
        let began = cache.begin();
        for number in 0..1_000_000 {
            cache.add(TenantId(1), TicketId(number), &text(1), began);
        }
        assert!(cache.texts.weight() <= TEXT_CACHE_BYTES_MAX, "{}", cache.texts.weight());
        assert!(cache.texts.len() > 100_000);
    }
}
