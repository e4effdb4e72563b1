//! The only place that sees all parts: what starts after what, and what stops before what.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpSocket;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use waggle_core::limits::{
    DIRECTORY_REFRESH_MS, HTTP_HANDOVER_MS_MAX, HTTP_STOP_MS_MAX, HTTP_STREAMS_MAX, REDIRECT_LINGER_MS_MAX,
    TLS_RELOAD_MS,
};

use crate::accel::{Accel, AccelConfig, AccelError, Guard, Leg, Pins, Redirect};
use crate::attachment::{Others, SettingsError};
use crate::config::{Config, ConfigError};
use crate::count::Counts;
use crate::data_dir::{DataDir, DataDirError, DataDirLock};
use crate::directory::{self, Directory};
use crate::erasure::{self, Eraser};
use crate::http::{Api, ControlServer, PastPlaces, Phase, PushAdopter, Readiness, RequestIdSource, Server};
use crate::learn::{LearnParts, Learner};
use crate::ledger::Ledger;
use crate::lifecycle;
use crate::observe::Metrics;
use crate::push::{PushEngine, PushError, PushHub};
use crate::store::{Store, StoreError};
use crate::tls::{Tls, TlsError};

mod attachment_stats;
mod auth_stats;
mod count_stats;
mod find;
mod find_stats;
mod guard_stats;
mod learn_stats;
mod leg_stats;
mod letting_in;
mod open;
mod push_start;
mod push_view;
mod redirect_stats;
mod reload;
mod stats;

use self::find::{Find, Hubs};
pub use open::{open_attachments, open_store, open_store_beside};
use push_start::{LateGuard, Own, PushParts, failed, start_push};
use push_view::PushView;
pub use stats::all_metrics;

/// Milliseconds between two looks at whether redirected clients have read all.
const REDIRECT_LOOK_MS: u64 = 10;
/// Connections to the API that the kernel keeps until they are accepted.
const API_BACKLOG: u32 = 1_024;

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Where files are kept.
    #[error("attachments cannot be kept")]
    Attachments(#[from] SettingsError),
    /// The data directory.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The database.
    #[error("the database {} cannot be opened", path.display())]
    Store {
        /// Its file.
        path: PathBuf,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// A socket.
    #[error("cannot listen on {place} ({what})")]
    Listen {
        /// Which part.
        what: &'static str,
        /// Where.
        place: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The push engine.
    #[error(transparent)]
    Push(#[from] PushError),
    /// Acceleration that was required.
    #[error(transparent)]
    Accel(#[from] AccelError),
    /// Certificate or key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// What lets people in.
    #[error("logins cannot be taken")]
    Auth(#[source] io::Error),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
}

/// A running gateway.
pub struct App {
    config: Config,
    dir: DataDir,
    store: Arc<dyn Store>,
    directory: Directory,
    ledger: Ledger,
    find: Find,
    counts: Counts,
    learn: Learner,
    push: Arc<PushEngine>,
    server: Server,
    control: ControlServer,
    readiness: Arc<Readiness>,
    accel: Arc<Accel>,
    guard: Arc<Guard>,
    redirect: Arc<Redirect>,
    pins: Arc<Pins>,
    tls: Option<Tls>,
    background: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
    lock: DataDirLock,
}

impl App {
    /// Starts all parts. The gateway serves, and is not ready yet: see [`App::open`].
    ///
    /// # Errors
    /// Says which part does not start, and why.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Self::start_within(config, Duration::ZERO).await
    }

    /// The same, and waits at most `within` for the gateway that has the data directory to let go of it.
    ///
    /// # Errors
    /// As [`App::start`].
    pub async fn start_within(config: Config, within: Duration) -> Result<Self, StartError> {
        let dir = DataDir::open(&config.data_dir)?;
        let lock = dir.lock_within(within).await?;
        let tls = open_tls(&config)?;
        // What is wrong with files of keys is told before the log is read.
        drop(config.attachments.s3.settings()?);
        // Before any socket is made: it may move the process into a cgroup of its own.
        let pins = Arc::new(open_pins(&config));
        let accel = Arc::new(start_accel(&config, &pins)?);
        let store = open_store(&dir).await?;
        let in_store = |source| StartError::Store { path: dir.database(), source };
        let directory = Directory::open(store.as_ref()).await.map_err(in_store)?;
        let (hub, hubs) = (PushHub::new(config.shards()), Hubs::default());
        let publisher = hubs.publisher(&hub);
        let ledger =
            Ledger::open(Arc::clone(&store), directory.clone(), publisher).await.map_err(in_store)?;
        let find = Find::start(&hubs, &dir, &store, &ledger).await.map_err(in_store)?;
        let (tickets, stored) = (find.tickets.clone(), Arc::clone(&store));
        let counts = Counts::start(hub.shards(), tickets, stored, directory.clone()).map_err(in_store)?;
        let parts = LearnParts {
            folder: dir.learn(),
            store: Arc::clone(&store),
            ledger: ledger.clone(),
            screens: Arc::new(hub.clone()),
        };
        let learn = Learner::start(&hubs.learn, parts).map_err(in_store)?;
        // The guard needs the push engine's port, and the push engine tells the guard whom it refuses.
        let late = LateGuard::default();
        let redirect = Arc::new(start_redirect(&config, &accel)?);
        // Before clients that wait for it find it there; any other port is known only when it is bound.
        if config.push.port() != 0 {
            redirect.set_port(config.push.port());
        }
        let own = Own { accel: &accel, guard: &late, redirect: &redirect };
        let parts = PushParts { ledger: &ledger, directory: &directory, counts: &counts, learn: &learn };
        let push = start_push(&config, hub, parts, own, tls.as_ref())?;
        let push = Arc::new(push);
        let base = Base {
            config,
            dir,
            store,
            directory,
            ledger,
            find,
            counts,
            learn,
            push: Arc::clone(&push),
            accel,
            redirect,
            pins,
            tls,
            lock,
        };
        match base.serve(late).await {
            Ok(app) => Ok(app),
            Err(error) => {
                // Its threads hold the accelerator, which undoes what it has done when nobody does.
                push.drain(0, 0).await;
                Err(error)
            }
        }
    }

    /// Tells probes that the gateway takes work.
    pub fn open(&self) {
        self.readiness.enter(Phase::Ready);
    }

    /// Where the HTTP API listens.
    #[must_use]
    pub fn api_addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Where push connections are taken.
    #[must_use]
    pub fn push_addr(&self) -> SocketAddr {
        // It was started with a TCP address, so it has one.
        self.push.tcp_addr().unwrap_or(self.config.push)
    }

    /// What it was started with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Its data directory.
    #[must_use]
    pub fn dir(&self) -> &DataDir {
        &self.dir
    }

    /// Its storage.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Learns of tenants, queues, agents and tokens now, instead of within a moment.
    ///
    /// # Errors
    /// As storage tells them.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        self.directory.refresh(self.store.as_ref()).await?;
        self.ledger.refresh_tenants().await
    }

    /// Takes what may change while it runs of a configuration that was read again, and a new certificate now,
    /// where there is one.
    pub fn reload(&self, fresh: &Result<Config, ConfigError>) {
        if let Some(tls) = &self.tls {
            reload_certificate(tls);
        }
        match fresh {
            Ok(fresh) => reload::configuration(&self.accel, &self.config, fresh),
            Err(error) => tracing::error!(%error, "the configuration is not taken; the old one stays"),
        }
    }

    /// Acceleration.
    #[must_use]
    pub fn accel(&self) -> &Accel {
        &self.accel
    }

    /// Stops without breaking a promise: nobody is sent here any more, what was admitted is committed, and
    /// addresses and data are let go for a successor; then push clients move away.
    pub async fn stop(mut self) {
        self.readiness.enter(Phase::Draining);
        self.push.stop_listening().await;
        // A successor's connections are its own.
        self.redirect.stop_taking();
        self.server.close(Duration::from_millis(HTTP_HANDOVER_MS_MAX)).await;
        self.ledger.stop().await;
        self.stop.send_replace(true);
        for task in self.background {
            // A task that panicked has said so.
            let _ = task.await;
        }
        drop(self.control);
        self.counts.stop().await;
        self.learn.stop().await;
        self.find.stop().await;
        self.store.close().await;
        self.guard.let_go();
        self.pins.release();
        drop(self.lock);
        tracing::info!("the data directory is free; draining push connections");
        self.push.drain(self.config.drain_after_ms, self.config.drain_spread_ms).await;
        let emptied = emptied(&self.redirect);
        let lingering = tokio::time::timeout(Duration::from_millis(REDIRECT_LINGER_MS_MAX), emptied);
        if lingering.await.is_err() {
            tracing::warn!("redirected clients that do not read lose what they have not read");
        }
        let cut = self.server.stop(Duration::from_millis(HTTP_STOP_MS_MAX)).await;
        if cut > 0 {
            tracing::warn!(cut, "HTTP connections did not finish in time");
        }
        tracing::info!("stopped");
    }
}

/// What is there before the API is.
struct Base {
    config: Config,
    dir: DataDir,
    store: Arc<dyn Store>,
    directory: Directory,
    ledger: Ledger,
    find: Find,
    counts: Counts,
    learn: Learner,
    push: Arc<PushEngine>,
    accel: Arc<Accel>,
    redirect: Arc<Redirect>,
    pins: Arc<Pins>,
    tls: Option<Tls>,
    lock: DataDirLock,
}

impl Base {
    /// Starts the guard, the API and the control socket.
    async fn serve(self, late: LateGuard) -> Result<App, StartError> {
        let Self {
            config,
            dir,
            store,
            directory,
            ledger,
            find,
            counts,
            learn,
            push,
            accel,
            redirect,
            pins,
            tls,
            lock,
        } = self;
        if let Some(addr) = push.tcp_addr() {
            accel.set_port(Leg::Agent, addr.port())?;
            redirect.set_port(addr.port());
        }
        let metrics = Arc::new(Metrics::default());
        stats::add_to(&metrics, &ledger, &push, tls.as_ref());
        count_stats::add_to(&metrics, &counts);
        made_of_the_log(&metrics, &find, &learn, &ledger);
        leg_stats::add_to(&metrics, &accel);
        redirect_stats::add_to(&metrics, &redirect);
        let readiness = Arc::new(Readiness::default());
        let api_at = |source| StartError::Listen { what: "api", place: config.api.to_string(), source };
        let socket = bind(config.api).map_err(api_at)?;
        let port = socket.local_addr().map_err(api_at)?.port();
        // Before anybody can connect: a connection keeps the profile that it begins with.
        accel.set_port(Leg::Agent, port)?;
        let ports: Vec<_> = [port].into_iter().chain(push.tcp_addr().map(|at| at.port())).collect();
        let guard =
            Arc::new(Guard::start(&config.accel.guard.guard(Arc::clone(&pins)), &ports, config.accel.mode)?);
        guard_stats::add_to(&metrics, &guard);
        let listener = socket.listen(API_BACKLOG).map_err(api_at)?;
        let accepting = Arc::clone(&accel);
        let (failing, rules) = (Arc::clone(&guard), config.peer_rules());
        let watched = counts.clone();
        let (letting_in, watching) = letting_in::start(&config, &store, &directory)?;
        auth_stats::add_to(&metrics, &letting_in);
        // It was empty: nobody else sets it.
        let _ = late.set(Arc::clone(&guard));
        let attachments = Arc::new(open_attachments(&dir, &config.attachments, Others::None)?);
        open::look_at(&attachments);
        attachment_stats::add_to(&metrics, &attachments);
        let api = Arc::new(Api {
            commands: Arc::new(ledger.clone()),
            store: Arc::clone(&store),
            find: find.tickets.clone(),
            search: find.texts.clone(),
            learn: learn.clone(),
            directory: directory.clone(),
            auth: letting_in,
            metrics,
            readiness: Arc::clone(&readiness),
            adopt: adopter(&push),
            push: Arc::new(PushView(Arc::clone(&push))),
            streams: Arc::new(Semaphore::new(HTTP_STREAMS_MAX)),
            past: PastPlaces::default(),
            attachments,
            request_ids: RequestIdSource::new().map_err(StartError::Random)?,
            accepted: Box::new(move |socket| accepting.apply_to(&socket, Leg::Agent)),
            unauthorized: Box::new(move |peer| failed(&failing, &rules, peer)),
            view_changed: Box::new(move |tenant, view| watched.view_changed(tenant, view)),
        });
        let eraser = eraser(&api, &ledger);
        let server =
            Server::start(listener, api, tls.clone(), config.http_connections_max).map_err(api_at)?;
        let control = start_control(&dir, &accel, &guard, &redirect)?;
        let stop = watch::Sender::new(false);
        let mut background = watch_directory(&directory, &store, &ledger, &stop);
        background.extend(watching.run(&stop));
        background.push(tokio::spawn(eraser.run(stop.subscribe())));
        background.extend(tls.clone().map(|tls| tokio::spawn(watch_certificate(tls, stop.subscribe()))));
        Ok(App {
            config,
            dir,
            store,
            directory,
            ledger,
            find,
            counts,
            learn,
            push,
            server,
            control,
            readiness,
            accel,
            guard,
            redirect,
            pins,
            tls,
            background,
            stop,
            lock,
        })
    }
}

/// Metrics of what is made of the log.
fn made_of_the_log(metrics: &Metrics, find: &Find, learn: &Learner, ledger: &Ledger) {
    find_stats::add_to(metrics, find, ledger);
    learn_stats::add_to(metrics, learn, ledger);
}

/// The one that erases people, with what the API has.
fn eraser(api: &Api, ledger: &Ledger) -> Eraser {
    Eraser {
        directory: api.directory.clone(),
        ledger: ledger.clone(),
        store: Arc::clone(&api.store),
        find: api.find.clone(),
        search: api.search.clone(),
        learn: api.learn.clone(),
        attachments: Arc::clone(&api.attachments),
        grace: erasure::grace(),
    }
}

/// A socket that has its address, and does not listen yet.
fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Connections that a gateway has left behind do not hold it.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// What this gateway leaves to its successor; its data directory is there and locked.
fn open_pins(config: &Config) -> Pins {
    config.accel.pin_dir.as_ref().map_or_else(Pins::default, |dir| Pins::open(dir, &config.data_dir))
}

fn start_accel(config: &Config, pins: &Arc<Pins>) -> Result<Accel, AccelError> {
    Accel::start(AccelConfig {
        mode: config.accel.mode,
        // Those that are known already; port 0 is any.
        push_ports: vec![config.push.port(), config.api.port()],
        mesh_ports: config.accel.mesh_ports.clone(),
        cgroup: config.accel.cgroup.clone(),
        legs: config.accel.legs.clone(),
        object: None,
        pins: Arc::clone(pins),
    })
}

fn start_redirect(config: &Config, accel: &Accel) -> Result<Redirect, AccelError> {
    let cgroup = accel.cgroup();
    let own = cgroup.as_ref().map(PathBuf::as_path).map_err(String::as_str);
    let tls = "the push address speaks TLS, whose connections are not redirected";
    let barred = config.tls.certificate.is_some().then_some(tls);
    let redirect = Redirect::start(&config.accel.redirect, config.accel.mode, own, barred)?;
    // Before clients that wait for it find it there; any other port is known only when it is bound.
    if config.push.port() != 0 {
        redirect.set_port(config.push.port());
    }
    Ok(redirect)
}

/// Waits until clients have taken what waits for them in redirected connections: it is lost with the programs.
async fn emptied(redirect: &Redirect) {
    while !redirect.emptied() {
        tokio::time::sleep(Duration::from_millis(REDIRECT_LOOK_MS)).await;
    }
}

fn open_tls(config: &Config) -> Result<Option<Tls>, TlsError> {
    // The configuration has both or none.
    let files = config.tls.certificate.as_ref().zip(config.tls.key.as_ref());
    files.map(|(certificate, key)| Tls::open(certificate, key)).transpose()
}

/// Looks for a new certificate from time to time.
async fn watch_certificate(tls: Tls, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = stop.changed() => return,
            () = tokio::time::sleep(Duration::from_millis(TLS_RELOAD_MS)) => {}
        }
        let tls = tls.clone();
        // Where it panicked, it has said so, and the old certificate is served on.
        let _ = tokio::task::spawn_blocking(move || reload_certificate(&tls)).await;
    }
}

fn reload_certificate(tls: &Tls) {
    match tls.reload() {
        Ok(true) => tracing::info!(not_after_s = tls.not_after_s(), "serving a new certificate"),
        Ok(false) => {}
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, cause, "the new certificate is not taken; the old one is served on");
        }
    }
}

fn adopter(push: &PushEngine) -> PushAdopter {
    let hub = push.hub().clone();
    Arc::new(move |handover| hub.adopt(handover))
}

fn start_control(
    dir: &DataDir,
    accel: &Arc<Accel>,
    guard: &Arc<Guard>,
    redirect: &Arc<Redirect>,
) -> Result<ControlServer, StartError> {
    let path = dir.control_socket();
    let parts = (Arc::clone(accel), Arc::clone(guard), Arc::clone(redirect));
    ControlServer::start(&path, parts.0, parts.1, parts.2).map_err(|source| StartError::Listen {
        what: "control",
        place: path.display().to_string(),
        source,
    })
}

/// Keeps the directory fresh, the ledger's tenants with it, and tickets within their lifecycles.
fn watch_directory(
    directory: &Directory,
    store: &Arc<dyn Store>,
    ledger: &Ledger,
    stop: &watch::Sender<bool>,
) -> Vec<JoinHandle<()>> {
    let every = Duration::from_millis(DIRECTORY_REFRESH_MS);
    let refresher = directory::keep_fresh(directory.clone(), Arc::clone(store), every, stop.subscribe());
    let for_lifecycles = ledger.clone();
    let (ledger, mut revision, mut stopped) = (ledger.clone(), directory.revision(), stop.subscribe());
    let tenants = async move {
        loop {
            tokio::select! {
                _ = stopped.changed() => return,
                changed = revision.changed() => if changed.is_err() { return },
            }
            if let Err(error) = ledger.refresh_tenants().await {
                tracing::warn!(%error, "new tenants could not be read; their first command does it");
            }
        }
    };
    let settling =
        lifecycle::keep_settled(directory.clone(), for_lifecycles, Arc::clone(store), stop.subscribe());
    vec![tokio::spawn(refresher), tokio::spawn(tenants), tokio::spawn(settling)]
}
