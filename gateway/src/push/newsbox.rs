//! What the other shards tell one shard, and whether it has to know at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use bytes::Bytes;
use crossbeam_queue::ArrayQueue;
use tokio::sync::Notify;
use waggle_core::id::{AgentId, QueueId, TenantId, TicketId};
use waggle_core::limits::SHARD_NEWS_MAX;
use waggle_core::push::SignalNews;

/// Places in the table of watched tickets; a power of two. With 10,000 tickets one in seven that nobody
/// watches looks as if somebody did, which costs a wake-up and no more.
const PLACES: usize = 1 << 16;

/// What one shard tells the others.
#[derive(Debug)]
pub(super) enum News {
    /// A signal of one of its sessions.
    Signal { tenant: TenantId, news: SignalNews },
    /// What the assistant suggests about a ticket's newest message.
    Suggestion(SuggestionNews),
    /// An agent's first session on it has begun, or its last one has ended.
    Presence { tenant: TenantId, agent: AgentId, place: usize, is_there: bool },
    /// All that its sessions have on, and whose they are: what else is known of it is over.
    Anew { place: usize, signals: Vec<(TenantId, SignalNews)>, agents: Vec<(TenantId, AgentId)> },
}

/// A suggestion, for whoever watches its ticket and may see the queue that it is in.
#[derive(Debug)]
pub struct SuggestionNews {
    /// Whose ticket.
    pub tenant: TenantId,
    /// The ticket.
    pub ticket: TicketId,
    /// Where it is.
    pub queue: QueueId,
    /// Who holds it.
    pub agent: Option<AgentId>,
    /// The message, as a whole WebSocket frame.
    pub frame: Bytes,
}

/// A bounded queue of news for one shard, in order. Its thread is woken only for what somebody there may
/// watch: a wake-up costs more than everything else about a signal. The rest is taken in with the next
/// news that matter, before anybody new is told what is on, or when the queue is half full.
#[derive(Debug)]
pub(super) struct Newsbox {
    queue: ArrayQueue<Arc<News>>,
    woken: Notify,
    /// How many sessions there watch a ticket that has this place.
    watched: Vec<AtomicU32>,
}

impl Default for Newsbox {
    fn default() -> Self {
        Self {
            queue: ArrayQueue::new(SHARD_NEWS_MAX),
            woken: Notify::new(),
            watched: std::iter::repeat_with(AtomicU32::default).take(PLACES).collect(),
        }
    }
}

impl Newsbox {
    /// Puts news behind the others; returns whether there was room.
    pub(super) fn put(&self, news: &Arc<News>) -> bool {
        if self.queue.push(Arc::clone(news)).is_err() {
            self.tell();
            return false;
        }
        // Either the watcher is seen here, or the news are seen by the watcher, who looks into the queue
        // after it has said that it watches.
        fence(Ordering::SeqCst);
        if self.matters(news) || self.queue.len() >= SHARD_NEWS_MAX / 2 {
            self.tell();
        }
        true
    }

    /// Takes the oldest.
    pub(super) fn take(&self) -> Option<Arc<News>> {
        self.queue.pop()
    }

    /// Wakes the shard.
    pub(super) fn tell(&self) {
        self.woken.notify_one();
    }

    /// Ready when the shard was woken.
    pub(super) async fn told(&self) {
        self.woken.notified().await;
    }

    /// A session of the shard begins to watch a ticket; what is in the queue is to be taken after this.
    pub(super) fn watch(&self, tenant: TenantId, ticket: TicketId) {
        if let Some(count) = self.watched.get(place(tenant, ticket)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        fence(Ordering::SeqCst);
    }

    /// It does no longer.
    pub(super) fn unwatch(&self, tenant: TenantId, ticket: TicketId) {
        if let Some(count) = self.watched.get(place(tenant, ticket)) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// A session of the shard begins to watch what an agent has.
    pub(super) fn watch_agent(&self, tenant: TenantId, agent: AgentId) {
        self.watch(tenant, of_agent(agent));
    }

    /// It does no longer.
    pub(super) fn unwatch_agent(&self, tenant: TenantId, agent: AgentId) {
        self.unwatch(tenant, of_agent(agent));
    }

    /// Whether a session of the shard may watch this ticket, which the agent has.
    pub(super) fn may_watch(&self, tenant: TenantId, ticket: TicketId, agent: Option<AgentId>) -> bool {
        let watched = |ticket| {
            let count = self.watched.get(place(tenant, ticket));
            count.is_none_or(|count| count.load(Ordering::Relaxed) > 0)
        };
        watched(ticket) || agent.is_some_and(|agent| watched(of_agent(agent)))
    }

    fn matters(&self, news: &News) -> bool {
        match news {
            News::Signal { tenant, news } => self.may_watch(*tenant, news.key.ticket, None),
            News::Suggestion(news) => self.may_watch(news.tenant, news.ticket, news.agent),
            News::Presence { .. } | News::Anew { .. } => true,
        }
    }
}

/// Among the tickets: no ticket has so high a number.
fn of_agent(agent: AgentId) -> TicketId {
    TicketId(u64::MAX - u64::from(agent.0))
}

fn place(tenant: TenantId, ticket: TicketId) -> usize {
    // The high bits of a product with an odd constant spread neighbours (Knuth, section 6.4).
    let mixed = (ticket.0 ^ (u64::from(tenant.0) << 40)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 48) as usize
}

#[cfg(test)]
mod tests {
    use waggle_core::id::SessionId;
    use waggle_core::push::SignalKind;

    use super::*;

    fn signal(ticket: u64) -> Arc<News> {
        let news = SignalNews::ended(SignalKind::Viewing, TicketId(ticket), AgentId(1), SessionId(1));
        Arc::new(News::Signal { tenant: TenantId(1), news })
    }

    fn is_woken(news: &Newsbox) -> bool {
        let mut told = std::pin::pin!(news.told());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        told.as_mut().poll(&mut context).is_ready()
    }

    #[test]
    fn it_wakes_for_what_is_watched_and_when_it_fills() {
        let news = Newsbox::default();
        assert!(news.put(&signal(7)) && !is_woken(&news));
        news.watch(TenantId(1), TicketId(7));
        assert!(news.put(&signal(7)) && is_woken(&news));
        assert!(news.put(&signal(8)) && !is_woken(&news));
        news.unwatch(TenantId(1), TicketId(7));
        assert!(news.put(&signal(7)) && !is_woken(&news));
        while news.take().is_some() {}
        for _ in 0..SHARD_NEWS_MAX / 2 - 1 {
            assert!(news.put(&signal(9)) && !is_woken(&news));
        }
        assert!(news.put(&signal(9)) && is_woken(&news));
        while news.put(&signal(9)) {}
        assert!(is_woken(&news), "one who finds no room says so");
    }
}
