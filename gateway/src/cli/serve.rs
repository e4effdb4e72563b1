//! `waggle serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde_json::{Map, Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};

use waggle_core::limits::TAKEOVER_MS_MAX;

use super::OutputArg;
use super::demo::{self, Demo};
use super::exit::Exit;
use super::output::{Output, print, print_json};
use crate::accel::Mode;
use crate::app::App;
use crate::config::{Config, ConfigError};
use crate::observe::{LogFormat, start_logging};

/// Arguments of `waggle serve`. What is not given comes from variables, the file or the defaults:
/// `waggle config` lists them all.
#[derive(Args)]
pub(super) struct ServeArgs {
    /// A TOML file; see `waggle config`.
    #[arg(long, value_name = "FILE", env = "WAGGLE_CONFIG")]
    config: Option<PathBuf>,
    /// Directory of the database.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where the HTTP API listens.
    #[arg(long, value_name = "ADDR")]
    api: Option<SocketAddr>,
    /// Where push connections are taken.
    #[arg(long, value_name = "ADDR")]
    push: Option<SocketAddr>,
    /// A Unix socket for push connections.
    #[arg(long, value_name = "PATH")]
    push_unix: Option<PathBuf>,
    /// Threads of the push engine; 0 is one per core.
    #[arg(long, value_name = "N")]
    shards: Option<u16>,
    /// This gateway's name.
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Milliseconds between heartbeats.
    #[arg(long, value_name = "MS")]
    heartbeat_ms: Option<u64>,
    /// Milliseconds from the announcement of a drain to its first close.
    #[arg(long, value_name = "MS")]
    drain_after_ms: Option<u64>,
    /// Milliseconds over which a drain's closes are spread.
    #[arg(long, value_name = "MS")]
    drain_spread_ms: Option<u64>,
    /// How log lines look.
    #[arg(long, value_enum)]
    log_format: Option<LogFormat>,
    /// What is logged.
    #[arg(long, value_name = "FILTER")]
    log_level: Option<String>,
    /// A certificate chain (PEM) to serve TLS with.
    #[arg(long, value_name = "PATH", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// The certificate's private key (PEM).
    #[arg(long, value_name = "PATH", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// Whether to use eBPF.
    #[arg(long, value_enum, value_name = "MODE")]
    accel: Option<Mode>,
    /// Local ports whose connections are between nodes, separated by commas.
    #[arg(long, value_name = "PORTS", value_delimiter = ',')]
    accel_mesh_ports: Option<Vec<u16>>,
    /// The cgroup whose connections are accelerated.
    #[arg(long, value_name = "PATH")]
    accel_cgroup: Option<PathBuf>,
    /// Where programs and maps stay from one gateway to the next.
    #[arg(long, value_name = "PATH")]
    accel_pin_dir: Option<PathBuf>,
    /// Wait for the gateway that uses the data directory to let go of it, instead of failing.
    #[arg(long)]
    takeover: bool,
    /// Make a tenant to try things with, and print what to type next.
    #[arg(long)]
    demo: bool,
    #[command(flatten)]
    output: OutputArg,
}

impl ServeArgs {
    /// The keys that were given.
    fn flags(&self) -> Value {
        let mut flags = Map::new();
        put(&mut flags, "data_dir", &self.data_dir);
        put(&mut flags, "api", &self.api);
        put(&mut flags, "push", &self.push);
        put(&mut flags, "push_unix", &self.push_unix);
        put(&mut flags, "shards", &self.shards);
        put(&mut flags, "node", &self.node);
        put(&mut flags, "heartbeat_ms", &self.heartbeat_ms);
        put(&mut flags, "drain_after_ms", &self.drain_after_ms);
        put(&mut flags, "drain_spread_ms", &self.drain_spread_ms);
        let mut tls = Map::new();
        put(&mut tls, "certificate", &self.tls_certificate);
        put(&mut tls, "key", &self.tls_key);
        flags.insert("tls".to_owned(), tls.into());
        let mut log = Map::new();
        put(&mut log, "format", &self.log_format);
        put(&mut log, "level", &self.log_level);
        flags.insert("log".to_owned(), log.into());
        let mut accel = Map::new();
        put(&mut accel, "mode", &self.accel);
        put(&mut accel, "mesh_ports", &self.accel_mesh_ports);
        put(&mut accel, "cgroup", &self.accel_cgroup);
        put(&mut accel, "pin_dir", &self.accel_pin_dir);
        flags.insert("accel".to_owned(), accel.into());
        flags.into()
    }
}

fn put<T: serde::Serialize>(flags: &mut Map<String, Value>, key: &str, given: &Option<T>) {
    if let Some(value) = given {
        flags.insert(key.to_owned(), json!(value));
    }
}

/// Runs a gateway until a signal ends it.
pub(super) fn run(args: ServeArgs) -> anyhow::Result<()> {
    let sources = Sources { file: args.config.clone(), flags: args.flags() };
    let config = sources.load()?;
    start_logging(config.log.format, &config.log.level)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(config, &sources, args.takeover, args.demo, args.output.output))
}

/// Where the configuration is from, besides variables.
struct Sources {
    file: Option<PathBuf>,
    flags: Value,
}

impl Sources {
    fn load(&self) -> Result<Config, ConfigError> {
        Config::load(self.file.as_deref(), &self.flags)
    }
}

async fn serve(
    config: Config,
    sources: &Sources,
    takeover: bool,
    with_demo: bool,
    output: Output,
) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let within = if takeover { Duration::from_millis(TAKEOVER_MS_MAX) } else { Duration::ZERO };
    // Who waits may be told to end.
    let app = tokio::select! {
        started = App::start_within(config, within) => started?,
        end = signals.next_end() => anyhow::bail!("ended by {end} before it had started"),
    };
    let demo = if with_demo { Some(demo::prepare(&app).await?) } else { None };
    app.open();
    tracing::info!(api = %app.api_addr(), push = %app.push_addr(), "ready");
    match (output, &demo) {
        (Output::Json, _) => print_json(&ready_line(&app, demo.as_ref()))?,
        (Output::Human, Some(demo)) => print(&demo::guide(&app, demo))?,
        (Output::Human, None) => {}
    }
    let first = loop {
        match signals.next().await {
            SIGHUP => app.reload(&sources.load()),
            end => break end,
        }
    };
    tracing::info!(signal = first, "stopping; a second signal stops at once");
    tokio::select! {
        () = app.stop() => Ok(()),
        second = signals.next_end() => {
            tracing::warn!(signal = second, "stopped at once");
            std::process::exit(i32::from(Exit::Interrupted as u8))
        }
    }
}

/// What programs that start a gateway wait for.
fn ready_line(app: &App, demo: Option<&Demo>) -> Value {
    let config = app.config();
    let mut line = json!({
        "ready": true,
        "pid": std::process::id(),
        "api": app.api_addr(),
        "push": app.push_addr(),
        "push_unix": config.push_unix,
        "tls": config.tls.certificate.is_some(),
        "data_dir": config.data_dir,
        "accel": app.accel().lowest_rung(),
    });
    if let (Some(demo), Value::Object(line)) = (demo, &mut line) {
        line.insert("demo".to_owned(), json!(demo));
    }
    line
}

/// The signal that asks for a reload.
const SIGHUP: &str = "SIGHUP";

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.hang_up.recv() => SIGHUP,
        }
    }

    /// The next one that is to end the gateway.
    async fn next_end(&mut self) -> &'static str {
        loop {
            let next = self.next().await;
            if next != SIGHUP {
                return next;
            }
        }
    }
}
