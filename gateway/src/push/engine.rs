//! The engine: its shards' threads, and the way to all of them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::LocalSet;
use waggle_core::id::{AgentId, TenantId};
use waggle_core::limits::{DRAIN_SESSIONS_PER_SECOND, HEARTBEAT_MS, HELLO_MS_MAX, MESSAGES_PER_SECOND_MAX};
use waggle_core::push::SessionSettings;

use super::admission::{Admission, PushLimits, PushRefusal};
use super::hub::{Order, Outlet, PushHub};
use super::listen::{AcceptHook, Listeners, RedirectHook, UnauthorizedHook, bind_tcp, bind_unix};
use super::peer::PeerRules;
use super::port::{Access, Counting, Log};
use super::run;
use super::shard::{Parts, Shard};
use super::stats::PushStats;
use crate::learn::Learner;
use crate::tls::Tls;

/// How the engine is to be. The number of shards is the hub's.
#[derive(Clone)]
pub struct PushConfig {
    /// Where to listen for TCP connections; port 0 takes any.
    pub tcp: Option<SocketAddr>,
    /// Where to listen for connections of this host.
    pub unix: Option<PathBuf>,
    /// The gateway's name, as welcomes tell it.
    pub node: String,
    /// Milliseconds between two marks of a quiet session; at least 1.
    pub heartbeat_ms: u64,
    /// Milliseconds from a connection to its `hello`.
    pub hello_ms: u64,
    /// Messages per second of one session; at least 1.
    pub messages_per_second: u32,
    /// How many sessions there may be.
    pub limits: PushLimits,
    /// Who may connect from where.
    pub rules: PeerRules,
    /// What the TCP address is served with, where it is not plain.
    pub tls: Option<Tls>,
    /// Called with each socket that a shard accepts, on its thread; must not block.
    pub on_accept: Option<AcceptHook>,
    /// Told of each TCP peer that has shown a token that nobody has.
    pub on_unauthorized: Option<UnauthorizedHook>,
    /// Asked about each connection to the TCP address.
    pub redirect: Option<RedirectHook>,
    /// Counts saved views, a place for each shard; without it such views end at once.
    pub counts: Option<Arc<dyn Counting>>,
    /// The assistant, which knows what it has suggested; without it feedback is not checked.
    pub learn: Option<Learner>,
}

impl PushConfig {
    /// The usual times, and no listener: connections come from [`PushHub::adopt`] alone.
    #[must_use]
    pub fn new(node: &str) -> Self {
        Self {
            tcp: None,
            unix: None,
            node: node.to_owned(),
            heartbeat_ms: HEARTBEAT_MS,
            hello_ms: HELLO_MS_MAX,
            messages_per_second: MESSAGES_PER_SECOND_MAX,
            limits: PushLimits::default(),
            rules: PeerRules::default(),
            tls: None,
            on_accept: None,
            on_unauthorized: None,
            redirect: None,
            counts: None,
            learn: None,
        }
    }
}

/// Why the engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The TCP address cannot be listened on.
    #[error("cannot listen on {address}")]
    Tcp {
        /// As configured.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The Unix socket cannot be listened on.
    #[error("cannot listen on {}", path.display())]
    Unix {
        /// As configured.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A thread or its event loop could not be made.
    #[error("cannot start a push shard")]
    Shard(#[source] io::Error),
    /// The hub has an engine already.
    #[error("this hub has an engine already; make a new hub for each engine")]
    HubTaken,
}

/// A running push engine. Dropped without [`PushEngine::drain`], its shards end at once and cut their
/// connections.
#[derive(Debug)]
pub struct PushEngine {
    hub: PushHub,
    threads: Mutex<Vec<JoinHandle<()>>>,
    tcp_addr: Option<SocketAddr>,
    /// Until it is removed: then another gateway may have bound the path.
    unix: Mutex<Option<PathBuf>>,
    admission: Arc<Admission>,
    rules: Arc<PeerRules>,
}

impl PushEngine {
    /// Binds the listeners and starts one thread for each shard of `hub`.
    ///
    /// # Errors
    /// See [`PushError`]; nothing runs then.
    pub fn start(
        config: PushConfig,
        hub: PushHub,
        log: Arc<dyn Log>,
        access: Arc<dyn Access>,
    ) -> Result<Self, PushError> {
        let outlets = hub.take_outlets();
        if outlets.is_empty() {
            return Err(PushError::HubTaken);
        }
        let (tcp_addr, listeners) = bind(&config, outlets.len())?;
        let settings = Arc::new(SessionSettings {
            node: config.node.as_str().into(),
            heartbeat_ms: config.heartbeat_ms.max(1),
            hello_ms: config.hello_ms,
            messages_per_second: config.messages_per_second.max(1),
        });
        let parts = Parts {
            hub: hub.clone(),
            settings,
            log,
            access,
            admission: Admission::new(config.limits),
            rules: Arc::new(config.rules),
            tls: config.tls,
            on_unauthorized: config.on_unauthorized,
            redirect: config.redirect,
            counts: config.counts,
            learn: config.learn,
        };
        let engine = Self {
            hub,
            threads: Mutex::default(),
            tcp_addr,
            unix: Mutex::new(config.unix),
            admission: Arc::clone(&parts.admission),
            rules: Arc::clone(&parts.rules),
        };
        for (index, (outlet, listeners)) in outlets.into_iter().zip(listeners).enumerate() {
            let seed =
                Seed { index, parts: parts.clone(), outlet, listeners, hook: config.on_accept.clone() };
            let thread = seed.start().map_err(PushError::Shard)?;
            engine.threads.lock().push(thread);
        }
        Ok(engine)
    }

    /// The TCP address that it listens on.
    #[must_use]
    pub fn tcp_addr(&self) -> Option<SocketAddr> {
        self.tcp_addr
    }

    /// The hub that it was started with.
    #[must_use]
    pub fn hub(&self) -> &PushHub {
        &self.hub
    }

    /// Who may connect from where.
    #[must_use]
    pub fn rules(&self) -> &PeerRules {
        &self.rules
    }

    /// Whether there is room for one more connection from `address` now. It takes no place: that is done
    /// when the connection is handed over.
    ///
    /// # Errors
    /// Says which limit it is, and when to come back.
    pub fn check_room(&self, address: Option<IpAddr>) -> Result<(), PushRefusal> {
        self.admission.enter(address).map(drop)
    }

    /// What it has counted.
    #[must_use]
    pub fn stats(&self) -> PushStats {
        self.hub.stats()
    }

    /// Whether all shards run: false after a drain, and where one has failed.
    #[must_use]
    pub fn is_running(&self) -> bool {
        let threads = self.threads.lock();
        !threads.is_empty() && !threads.iter().any(JoinHandle::is_finished)
    }

    /// Which of the tenant's agents are there, by number: they have a session, or had one until
    /// [`waggle_core::limits::PRESENCE_GRACE_MS`] ago. `None` once the engine has stopped.
    pub async fn presence(&self, tenant: TenantId) -> Option<Vec<AgentId>> {
        self.hub.presence(tenant).await
    }

    /// Closes the listeners, so that another gateway may bind their addresses. Connections that are there
    /// live on; handshakes that are not finished are refused.
    pub async fn stop_listening(&self) {
        // Whoever finds the file has a listener behind it.
        self.remove_socket_file();
        let mut waiting = Vec::new();
        self.hub
            .order_all(|| {
                let (done, closed) = oneshot::channel();
                waiting.push(closed);
                Order::StopListening { done }
            })
            .await;
        for closed in waiting {
            // An error means that the shard has ended.
            let _ = closed.await;
        }
    }

    /// Takes no new connections, tells every client that its connection will close, waits `after_ms` (longer
    /// where more than [`DRAIN_SESSIONS_PER_SECOND`] would come to other gateways), closes the sessions evenly
    /// over `spread_ms`, waits a bounded time for their ends, and stops.
    pub async fn drain(&self, after_ms: u64, spread_ms: u64) {
        self.stop_listening().await;
        let after_ms = after_ms.max(drain_after_ms(self.stats().sessions));
        let mut waiting = Vec::new();
        self.hub
            .order_all(|| {
                let (done, drained) = oneshot::channel();
                waiting.push(drained);
                Order::Drain { after_ms, spread_ms, done }
            })
            .await;
        for drained in waiting {
            // An error means that the shard has ended.
            let _ = drained.await;
        }
        let threads = std::mem::take(&mut *self.threads.lock());
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                if thread.join().is_err() {
                    tracing::error!("a push shard has panicked");
                }
            }
        });
        // It only joins threads that are ending.
        let _ = joined.await;
    }

    fn remove_socket_file(&self) {
        if let Some(path) = self.unix.lock().take() {
            // The next start replaces one that is left.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Drop for PushEngine {
    fn drop(&mut self) {
        if !self.threads.get_mut().is_empty() {
            self.hub.stop_all();
            self.remove_socket_file();
        }
    }
}

fn bind(config: &PushConfig, shards: usize) -> Result<(Option<SocketAddr>, Vec<Listeners>), PushError> {
    let mut listeners: Vec<Listeners> = (0..shards).map(|_| Listeners::default()).collect();
    let mut tcp_addr = None;
    if let Some(address) = config.tcp {
        let tcp = |source| PushError::Tcp { address, source };
        for (one, bound) in listeners.iter_mut().zip(bind_tcp(address, shards).map_err(tcp)?) {
            tcp_addr = Some(bound.local_addr().map_err(tcp)?);
            one.tcp = Some(bound);
        }
    }
    if let Some(path) = &config.unix {
        let unix = |source| PushError::Unix { path: path.clone(), source };
        let bound = bind_unix(path).map_err(unix)?;
        for one in &mut listeners {
            one.unix = Some(bound.try_clone().map_err(unix)?);
        }
    }
    Ok((tcp_addr, listeners))
}

/// What a shard's thread is made of.
/// Clients come back at random moments of the first three quarters of it; a tenth is for chance.
fn drain_after_ms(sessions: u64) -> u64 {
    let evenly_ms = sessions.saturating_mul(1_000) / DRAIN_SESSIONS_PER_SECOND;
    evenly_ms.saturating_mul(4) / 3 * 11 / 10
}

struct Seed {
    index: usize,
    parts: Parts,
    outlet: Outlet,
    listeners: Listeners,
    hook: Option<AcceptHook>,
}

impl Seed {
    fn start(self) -> io::Result<JoinHandle<()>> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let name = format!("push-{}", self.index);
        std::thread::Builder::new().name(name).spawn(move || {
            let Self { index, parts, outlet, listeners, hook } = self;
            let Outlet { batches, rest: inbox } = outlet;
            let local = LocalSet::new();
            let outcome = local.block_on(&runtime, async move {
                let (stats, news) = (Arc::clone(&inbox.stats), Arc::clone(&inbox.news));
                let shard = Shard::new(index, parts, batches, stats, news);
                run::run(shard, inbox, listeners, hook).await
            });
            if let Err(error) = outcome {
                tracing::error!(%error, shard = index, "a push shard has failed");
            }
        })
    }
}
