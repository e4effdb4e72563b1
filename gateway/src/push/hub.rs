//! The way into the shards, from the ledger's writer and from everything else.

use std::net::{IpAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use rustls::ServerConnection;
use tokio::sync::{Notify, mpsc, oneshot};
use waggle_core::id::{AgentId, Offset, TenantId, TicketId};
use waggle_core::limits::{SHARD_BATCHES_MAX, SHARD_ORDERS_MAX, SHARDS_MAX};

use super::newsbox::{News, Newsbox, SuggestionNews};
use super::peer::Via;
use super::report::{SessionList, SessionOrder};
use super::stats::{PushStats, ShardStats};
use crate::ledger::{PublishedBatch, Publisher};

/// The shards' inboxes. It is there before the ledger and the engine, which both need it. Clones share it.
#[derive(Debug, Clone)]
pub struct PushHub {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    inlets: Vec<Inlet>,
    outlets: Mutex<Vec<Outlet>>,
    next: AtomicUsize,
}

/// One shard's inbox, from outside.
#[derive(Debug)]
struct Inlet {
    batches: mpsc::Sender<Arc<PublishedBatch>>,
    orders: mpsc::Sender<Order>,
    news: Arc<Newsbox>,
    lost: Arc<Lost>,
    stop: Arc<Notify>,
    stats: Arc<ShardStats>,
}

pub(super) type Batches = mpsc::Receiver<Arc<PublishedBatch>>;

/// One shard's inbox, from inside.
#[derive(Debug)]
pub(super) struct Outlet {
    pub(super) batches: Batches,
    pub(super) rest: Inbox,
}

/// All but what is to be delivered.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) news: Arc<Newsbox>,
    pub(super) lost: Arc<Lost>,
    /// Says that the shard is to end at once.
    pub(super) stop: Arc<Notify>,
    pub(super) stats: Arc<ShardStats>,
}

/// Batches that found no room: the newest offset of each tenant's.
#[derive(Debug, Default)]
pub(super) struct Lost {
    newest: Mutex<FxHashMap<TenantId, Offset>>,
    pub(super) happened: Notify,
}

/// A connection whose WebSocket handshake was done outside the engine.
#[derive(Debug)]
pub struct Handover {
    /// Its socket.
    pub stream: HandoverStream,
    /// What was read behind the handshake.
    pub leftover: Bytes,
    /// Its client's address.
    pub remote: IpAddr,
    /// The address of the TCP connection's other end, a proxy's where there is one.
    pub peer: IpAddr,
    /// The way that it came.
    pub via: Via,
}

/// The socket of a [`Handover`].
#[derive(Debug)]
pub enum HandoverStream {
    /// Plain.
    Tcp(TcpStream),
    /// Under TLS whose handshake is done.
    Tls(TcpStream, Box<ServerConnection>),
    /// From within this process.
    Local(UnixStream),
}

/// What a shard is told to do.
#[derive(Debug)]
pub(super) enum Order {
    /// Serve a connection whose handshake has been done elsewhere.
    Adopt(Handover),
    /// Say which of the tenant's agents are there.
    Presence { tenant: TenantId, answer: oneshot::Sender<Vec<AgentId>> },
    /// Tell of a tenant's sessions.
    List { tenant: TenantId, order: SessionOrder, limit: usize, answer: oneshot::Sender<SessionList> },
    /// Take no new connections; `done` once the listeners are closed.
    StopListening { done: oneshot::Sender<()> },
    /// Close all sessions, in this order of time, and end.
    Drain { after_ms: u64, spread_ms: u64, done: oneshot::Sender<()> },
}

impl PushHub {
    /// Inboxes for so many shards: at least one, at most [`SHARDS_MAX`].
    #[must_use]
    pub fn new(shards: usize) -> Self {
        let (inlets, outlets) = (0..shards.clamp(1, SHARDS_MAX)).map(|_| pipe()).unzip();
        let outlets = Mutex::new(outlets);
        Self { shared: Arc::new(Shared { inlets, outlets, next: AtomicUsize::new(0) }) }
    }

    /// Where the ledger publishes to.
    #[must_use]
    pub fn publisher(&self) -> Arc<dyn Publisher> {
        Arc::new(self.clone())
    }

    /// How many shards there are.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.shared.inlets.len()
    }

    /// Hands a connection over whose WebSocket handshake is done. Where no shard has room, or the engine has
    /// stopped, the connection is dropped.
    pub fn adopt(&self, handover: Handover) {
        let shards = self.shards();
        let first = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let remote = handover.remote;
        let mut order = Order::Adopt(handover);
        for turn in 0..shards {
            let Some(inlet) = self.shared.inlets.get((first.wrapping_add(turn)) % shards) else { break };
            match inlet.orders.try_send(order) {
                Ok(()) => return,
                Err(mpsc::error::TrySendError::Full(back) | mpsc::error::TrySendError::Closed(back)) => {
                    order = back;
                }
            }
        }
        tracing::warn!(%remote, "no shard has room for an upgraded connection; it is dropped");
    }

    /// All shards' counts.
    #[must_use]
    pub fn stats(&self) -> PushStats {
        let mut sum = PushStats::default();
        for inlet in &self.shared.inlets {
            sum += inlet.stats.read();
        }
        sum
    }

    /// Tells news to every shard but `from`. Returns a bit for each that had no room.
    pub(super) fn tell_others(&self, from: usize, news: &Arc<News>) -> u64 {
        self.tell_some(!(1 << from), news)
    }

    /// Tells news to the shards whose bits are set. Returns the bits of those that had no room.
    pub(super) fn tell_some(&self, shards: u64, news: &Arc<News>) -> u64 {
        let mut untold = 0;
        for (number, inlet) in self.shared.inlets.iter().enumerate() {
            let bit = 1 << number;
            if shards & bit != 0 && !inlet.news.put(news) {
                untold |= bit;
            }
        }
        untold
    }

    /// Whether a session may watch a ticket, which an agent has. Of few tickets that nobody watches it is said, too.
    #[must_use]
    pub fn may_watch(&self, tenant: TenantId, ticket: TicketId, agent: Option<AgentId>) -> bool {
        self.shared.inlets.iter().any(|inlet| inlet.news.may_watch(tenant, ticket, agent))
    }

    /// Shows a suggestion to those who watch its ticket. Where a shard has no room for it, they are not told.
    pub fn suggest(&self, news: SuggestionNews) {
        let news = Arc::new(News::Suggestion(news));
        for inlet in &self.shared.inlets {
            // Whoever misses it asks for it.
            let _ = inlet.news.put(&news);
        }
    }

    /// Which of the tenant's agents are there; `None` where no shard runs.
    pub(super) async fn presence(&self, tenant: TenantId) -> Option<Vec<AgentId>> {
        let (answer, there) = oneshot::channel();
        // All shards know the same.
        self.shared.inlets.first()?.orders.send(Order::Presence { tenant, answer }).await.ok()?;
        there.await.ok()
    }

    /// The inner ends, once.
    pub(super) fn take_outlets(&self) -> Vec<Outlet> {
        std::mem::take(&mut *self.shared.outlets.lock())
    }

    /// Gives each shard an order; those that have ended take none.
    pub(super) async fn order_all(&self, mut order: impl FnMut() -> Order) {
        for inlet in &self.shared.inlets {
            // An error means that the shard has ended.
            let _ = inlet.orders.send(order()).await;
        }
    }

    /// Ends all shards at once, however much waits for them.
    pub(super) fn stop_all(&self) {
        self.shared.inlets.iter().for_each(|inlet| inlet.stop.notify_one());
    }
}

impl Publisher for PushHub {
    fn publish(&self, batch: &Arc<PublishedBatch>) {
        for inlet in &self.shared.inlets {
            match inlet.batches.try_send(Arc::clone(batch)) {
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
                Err(mpsc::error::TrySendError::Full(_)) => inlet.lost.record(batch),
            }
        }
    }
}

impl Lost {
    fn record(&self, batch: &PublishedBatch) {
        let Some(last) = batch.entries.last() else { return };
        self.newest.lock().insert(batch.tenant, last.offset);
        self.happened.notify_one();
    }

    pub(super) fn take(&self) -> FxHashMap<TenantId, Offset> {
        std::mem::take(&mut *self.newest.lock())
    }
}

fn pipe() -> (Inlet, Outlet) {
    let (batches, batches_out) = mpsc::channel(SHARD_BATCHES_MAX);
    let (orders, orders_out) = mpsc::channel(SHARD_ORDERS_MAX);
    let news = Arc::<Newsbox>::default();
    let lost = Arc::<Lost>::default();
    let stop = Arc::<Notify>::default();
    let stats = Arc::<ShardStats>::default();
    let inlet = Inlet {
        batches,
        orders,
        news: Arc::clone(&news),
        lost: Arc::clone(&lost),
        stop: Arc::clone(&stop),
        stats: Arc::clone(&stats),
    };
    let rest = Inbox { orders: orders_out, news, lost, stop, stats };
    (inlet, Outlet { batches: batches_out, rest })
}
