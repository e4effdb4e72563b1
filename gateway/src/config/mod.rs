//! Configuration: a TOML file, then `WAGGLE_*` variables, then flags; the later wins.

mod attachments;
mod auth;
mod keys;

pub use attachments::{AttachmentsConfig, S3Config};
pub use auth::AuthConfig;
pub use keys::{KEYS, Key, reference, reference_json};

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::{Deserialize, Serialize};
use waggle_core::limits::{
    HEARTBEAT_MS, HTTP_CONNECTIONS_MAX, MESSAGES_PER_SECOND_MAX, NAME_BYTES_MAX, SESSIONS_MAX,
    SESSIONS_PER_ADDRESS_MAX, SESSIONS_PER_TENANT_MAX,
};

use crate::accel::{GuardConfig, LegSettings, Mode, Network, Pins, RedirectConfig};
use crate::observe::LogFormat;
use crate::push::{PeerRules, TrustedProxy};

/// All that can be set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// See [`KEYS`] for this and all others.
    pub data_dir: PathBuf,
    /// Address of the HTTP API.
    pub api: SocketAddr,
    /// Connections of that.
    pub http_connections_max: u32,
    /// Address of the push engine.
    pub push: SocketAddr,
    /// Unix socket of the push engine.
    pub push_unix: Option<PathBuf>,
    /// How much push clients may do.
    pub push_limits: PushLimitsConfig,
    /// Pages that may connect.
    pub push_origins: Vec<String>,
    /// Proxies that are believed.
    pub push_trusted_proxies: Vec<TrustedProxy>,
    /// Threads of the push engine; 0 is one per core.
    pub shards: u16,
    /// The gateway's name; empty is the host's.
    pub node: String,
    /// Between heartbeats of push sessions.
    pub heartbeat_ms: u64,
    /// From the announcement of a drain to the first close.
    pub drain_after_ms: u64,
    /// Over which a drain's closes are spread.
    pub drain_spread_ms: u64,
    /// Files of tickets.
    pub attachments: AttachmentsConfig,
    /// Certificate and key.
    pub tls: TlsConfig,
    /// Logs.
    pub log: LogConfig,
    /// Letting people in.
    pub auth: AuthConfig,
    /// eBPF.
    pub accel: AccelConfig,
}

/// See [`Config::push_limits`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushLimitsConfig {
    /// Of the gateway.
    pub sessions: u32,
    /// Of one tenant.
    pub sessions_per_tenant: u32,
    /// From one address.
    pub sessions_per_address: u32,
    /// Of one session.
    pub messages_per_second: u32,
}

/// See [`Config::tls`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The chain, in PEM form.
    pub certificate: Option<PathBuf>,
    /// Its key, in PEM form.
    pub key: Option<PathBuf>,
}

/// See [`Config::log`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// How lines look.
    pub format: LogFormat,
    /// What is logged.
    pub level: String,
}

/// See [`Config::accel`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccelConfig {
    /// Whether to use eBPF.
    pub mode: Mode,
    /// Local ports whose connections are of the leg `mesh`.
    pub mesh_ports: Vec<u16>,
    /// Directory of the cgroup that programs are attached to.
    pub cgroup: Option<PathBuf>,
    /// Directory in which programs and maps outlive the gateway.
    pub pin_dir: Option<PathBuf>,
    /// What the legs' profiles have other than by default, and the networks of each.
    pub legs: LegSettings,
    /// The guard.
    pub guard: GuardSettings,
    /// Redirection past TCP.
    pub redirect: RedirectConfig,
}

/// See [`AccelConfig::guard`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardSettings {
    /// Where it is.
    pub interfaces: Vec<String>,
    /// New connections per second and source.
    pub rate_per_second: u32,
    /// As many at once.
    pub burst: u32,
    /// Networks that nothing is done to.
    pub allow: Vec<Network>,
    /// Networks that nothing is taken from.
    pub deny: Vec<Network>,
    /// Failed authentications within a minute after which an address is denied.
    pub failures: u32,
    /// For how many seconds.
    pub failures_deny_s: u32,
}

impl Default for GuardSettings {
    fn default() -> Self {
        let guard = GuardConfig::default();
        Self {
            interfaces: guard.interfaces,
            rate_per_second: guard.rate_per_second,
            burst: guard.burst,
            allow: guard.allow,
            deny: guard.deny,
            failures: guard.failures,
            failures_deny_s: guard.failures_deny_s,
        }
    }
}

impl GuardSettings {
    /// As the accelerator takes them.
    #[must_use]
    pub fn guard(&self, pins: Arc<Pins>) -> GuardConfig {
        GuardConfig {
            interfaces: self.interfaces.clone(),
            rate_per_second: self.rate_per_second,
            burst: self.burst,
            allow: self.allow.clone(),
            deny: self.deny.clone(),
            failures: self.failures,
            failures_deny_s: self.failures_deny_s,
            pins,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("waggle-data"),
            api: SocketAddr::from(([127, 0, 0, 1], 8080)),
            http_connections_max: HTTP_CONNECTIONS_MAX,
            push: SocketAddr::from(([127, 0, 0, 1], 8081)),
            push_unix: None,
            push_limits: PushLimitsConfig {
                sessions: SESSIONS_MAX,
                sessions_per_tenant: SESSIONS_PER_TENANT_MAX,
                sessions_per_address: SESSIONS_PER_ADDRESS_MAX,
                messages_per_second: MESSAGES_PER_SECOND_MAX,
            },
            push_origins: Vec::new(),
            push_trusted_proxies: Vec::new(),
            shards: 0,
            node: String::new(),
            heartbeat_ms: HEARTBEAT_MS,
            drain_after_ms: 1_000,
            drain_spread_ms: 10_000,
            attachments: AttachmentsConfig::default(),
            tls: TlsConfig::default(),
            log: LogConfig { format: LogFormat::Human, level: "info".to_owned() },
            auth: AuthConfig::default(),
            accel: AccelConfig {
                mode: Mode::Auto,
                mesh_ports: Vec::new(),
                cgroup: None,
                pin_dir: None,
                legs: LegSettings::default(),
                guard: GuardSettings::default(),
                redirect: RedirectConfig::default(),
            },
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that cannot be read, an unknown key, or a value of another type.
    #[error("{0}")]
    Source(Box<figment::Error>),
    /// A store of files that cannot be one.
    #[error(transparent)]
    Store(#[from] crate::attachment::SettingsError),
    /// A value out of range.
    #[error("{key} is {value}; expected {wanted}")]
    Range {
        /// Which.
        key: &'static str,
        /// As given.
        value: String,
        /// What is taken.
        wanted: String,
    },
}

impl Config {
    /// Reads `file`, the environment and `flags` (an object of the keys that were given).
    ///
    /// # Errors
    /// Where a source cannot be read, a key is unknown or a value is not taken.
    pub fn load(file: Option<&Path>, flags: &serde_json::Value) -> Result<Self, ConfigError> {
        let mut sources = Figment::from(Serialized::defaults(Self::default()));
        if let Some(file) = file {
            sources = sources.merge(Toml::file_exact(file));
        }
        let config: Self = sources
            .merge(variables())
            .merge(Serialized::defaults(flags))
            .extract()
            .map_err(|error| ConfigError::Source(Box::new(error)))?;
        config.check()
    }

    fn check(self) -> Result<Self, ConfigError> {
        range("http_connections_max", self.http_connections_max.into(), 1, 1_000_000)?;
        self.attachments.check()?;
        range("shards", u64::from(self.shards), 0, 64)?;
        let limits = &self.push_limits;
        range("push_limits.sessions", limits.sessions.into(), 1, 10_000_000)?;
        range("push_limits.sessions_per_tenant", limits.sessions_per_tenant.into(), 1, 10_000_000)?;
        range("push_limits.sessions_per_address", limits.sessions_per_address.into(), 0, 10_000_000)?;
        range("push_limits.messages_per_second", limits.messages_per_second.into(), 1, 100_000)?;
        range("heartbeat_ms", self.heartbeat_ms, 100, 600_000)?;
        let guard = &self.accel.guard;
        range("accel.guard.rate_per_second", guard.rate_per_second.into(), 0, 1_000_000)?;
        range("accel.guard.burst", guard.burst.into(), 1, 1_000_000)?;
        range("accel.guard.failures", guard.failures.into(), 0, 1_000_000)?;
        range("accel.guard.failures_deny_s", guard.failures_deny_s.into(), 1, 31_536_000)?;
        self.auth.check()?;
        range("drain_after_ms", self.drain_after_ms, 0, 600_000)?;
        range("drain_spread_ms", self.drain_spread_ms, 0, 600_000)?;
        if self.tls.certificate.is_some() != self.tls.key.is_some() {
            let value = "one of two".to_owned();
            let wanted = "both of them, or none".to_owned();
            return Err(ConfigError::Range { key: "tls.certificate and tls.key", value, wanted });
        }
        range("node (its length)", self.node.len() as u64, 0, NAME_BYTES_MAX as u64)?;
        Ok(self)
    }

    /// How many shards to run.
    #[must_use]
    pub fn shards(&self) -> usize {
        match self.shards {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            shards => usize::from(shards),
        }
    }

    /// Who may open push connections from where.
    #[must_use]
    pub fn peer_rules(&self) -> PeerRules {
        PeerRules { trusted_proxies: self.push_trusted_proxies.clone(), origins: self.push_origins.clone() }
    }

    /// The gateway's name.
    #[must_use]
    pub fn node_name(&self) -> String {
        if !self.node.is_empty() {
            return self.node.clone();
        }
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        if host.is_empty() { "waggle".to_owned() } else { host }
    }
}

fn range(key: &'static str, value: u64, least: u64, most: u64) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::Range { key, value: value.to_string(), wanted: format!("{least} to {most}") })
}

/// Variables that are not settings: of `wagglectl`, of the build and of tests.
const FOREIGN_VARIABLES: [&str; 8] =
    ["bless", "config", "crashes", "ebpf_object", "sim_seed", "sim_seeds", "skip_log", "token"];

/// `WAGGLE_LOG_LEVEL` is `log.level`. What no key is called stays as it is, and is an error then.
fn variables() -> Env {
    Env::prefixed("WAGGLE_").filter_map(|name| {
        let name = name.as_str().to_ascii_lowercase();
        if FOREIGN_VARIABLES.contains(&name.as_str()) || is_service_link(&name) || is_of_the_client(&name) {
            return None;
        }
        let known = KEYS.iter().find(|key| key.name.replace('.', "_") == name);
        Some(known.map_or(name.clone(), |key| key.name.to_owned()).into())
    })
}

/// `wagglectl` reads addresses from `WAGGLE_API` and `WAGGLE_PUSH` too, as URLs, often in the same shell.
fn is_of_the_client(name: &str) -> bool {
    let variable = format!("WAGGLE_{}", name.to_ascii_uppercase());
    matches!(name, "api" | "push") && std::env::var(variable).is_ok_and(|value| value.contains("://"))
}

/// Whether Kubernetes sets such a variable, for a service that is called `waggle` or `waggle-…`.
fn is_service_link(name: &str) -> bool {
    let after_port = name.split("port_").nth(1);
    name.contains("service_host")
        || name.contains("service_port")
        || name == "port"
        || name.ends_with("_port")
        || after_port.is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn every_key_is_documented() {
        fn collect(prefix: &str, value: &Value, names: &mut Vec<String>) {
            match value {
                Value::Object(table) if !table.is_empty() => {
                    let dot = if prefix.is_empty() { "" } else { "." };
                    table
                        .iter()
                        .for_each(|(key, value)| collect(&format!("{prefix}{dot}{key}"), value, names));
                }
                _ => names.push(prefix.to_owned()),
            }
        }
        let mut names = Vec::new();
        collect("", &serde_json::to_value(Config::default()).unwrap(), &mut names);
        let mut documented: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
        names.sort();
        documented.sort_unstable();
        assert_eq!(documented, names);
        crate::observe::assert_document("docs/CONFIGURATION.md", &reference());
    }

    #[test]
    #[allow(clippy::result_large_err)]
    fn files_then_variables_then_flags() {
        figment::Jail::expect_with(|jail| {
            let file = "api = \"127.0.0.1:1\"\nshards = 3\n[log]\nlevel = \"warn\"\n";
            jail.create_file("waggle.toml", file)?;
            jail.set_env("WAGGLE_LOG_LEVEL", "debug");
            jail.set_env("WAGGLE_API", "127.0.0.1:2");
            jail.set_env("WAGGLE_ACCEL_MESH_PORTS", "[7000, 7001]");
            jail.set_env("WAGGLE_TOKEN", "wgl_of_the_client");
            jail.set_env("WAGGLE_PUSH", "ws://127.0.0.1:9/v1/push");
            jail.set_env("WAGGLE_PORT_8080_TCP_ADDR", "10.0.0.1");
            jail.set_env("WAGGLE_PUSH_SERVICE_HOST", "10.0.0.1");
            let flags = json!({"api": "127.0.0.1:3"});
            let config = Config::load(Some(Path::new("waggle.toml")), &flags).unwrap();
            assert_eq!((config.api.port(), config.shards), (3, 3));
            assert_eq!(config.log.level, "debug");
            assert_eq!(config.accel.mesh_ports, [7000, 7001]);
            assert_eq!(config.push, Config::default().push);
            Ok(())
        });
    }

    #[test]
    #[allow(clippy::result_large_err)]
    fn unknown_keys_and_values_out_of_range_are_named() {
        figment::Jail::expect_with(|jail| {
            let refused = |flags: Value| Config::load(None, &flags).unwrap_err().to_string();
            assert_eq!(refused(json!({"heartbeat_ms": 1})), "heartbeat_ms is 1; expected 100 to 600000");
            jail.create_file("waggle.toml", "[log]\nlevle = \"warn\"\n")?;
            let error = Config::load(Some(Path::new("waggle.toml")), &json!({})).unwrap_err().to_string();
            assert!(
                error.contains("levle") && error.contains("`level`") && error.contains("waggle.toml"),
                "{error}"
            );
            assert!(Config::load(Some(Path::new("missing.toml")), &json!({})).is_err());
            jail.set_env("WAGGLE_HEARTBEAT", "5");
            let error = refused(json!({}));
            assert!(error.contains("heartbeat") && error.contains("heartbeat_ms"), "{error}");
            Ok(())
        });
    }
}
