//! Every key, and the reference that is made of them.

use serde::Serialize;

use super::Config;

/// A key as `docs/CONFIGURATION.md` shows it. Its default is [`Config::default`]'s.
#[derive(Debug, Serialize)]
pub struct Key {
    /// Its name in the file; a dot is a table.
    pub name: &'static str,
    /// What values it takes.
    pub kind: &'static str,
    /// What it does.
    pub meaning: &'static str,
}

const fn key(name: &'static str, kind: &'static str, meaning: &'static str) -> Key {
    Key { name, kind, meaning }
}

/// Every key.
pub const KEYS: &[Key] = &[
    key(
        "data_dir",
        "path",
        "Directory of the database, the lock and the control socket; made where it is missing (mode 0700).",
    ),
    key("api", "address:port", "Where the HTTP API listens; port 0 takes a free one."),
    key(
        "http_connections_max",
        "1 to 1000000",
        "Connections of the HTTP API; one more is answered `overload` and closed. Each takes a descriptor.",
    ),
    key(
        "push",
        "address:port",
        "Where push connections (WebSocket) are taken; `/v1/push` on the API's port takes them too.",
    ),
    key(
        "push_unix",
        "path",
        "A Unix socket for push connections, for a proxy on the same host; none where not set.",
    ),
    key(
        "push_limits.sessions",
        "1 to 10000000",
        "Push sessions of this gateway; one more is answered 503 with Retry-After.",
    ),
    key(
        "push_limits.sessions_per_tenant",
        "1 to 10000000",
        "Push sessions of one tenant; one more is closed with 4100 and a hint when to come back.",
    ),
    key(
        "push_limits.sessions_per_address",
        "0 to 10000000",
        "Push sessions from one IPv4 address or one /64 of IPv6; 0 is no limit. Not for the Unix socket, unless its \
         proxy is trusted.",
    ),
    key(
        "push_limits.messages_per_second",
        "1 to 100000",
        "Messages per second of one push session, twice that at once; beyond it is closed with 4103. Acks that go \
         forward are not counted, and signals are dropped instead.",
    ),
    key(
        "push_origins",
        "list of origins",
        "Web pages that may open push connections, as `https://host`; `*` is any; empty: those of the request's own \
         host. Clients that are no browsers send no origin, and may always.",
    ),
    key(
        "push_trusted_proxies",
        "list of networks, unix",
        "Peers whose last `X-Forwarded-For` entry is the client's address: networks such as `10.0.0.0/8`, or `unix` \
         for whoever connects to the Unix socket.",
    ),
    key("shards", "0 to 64", "Threads of the push engine; 0 is one per core."),
    key("node", "text", "This gateway's name, which push clients are told; empty is the host's name."),
    key(
        "heartbeat_ms",
        "100 to 600000",
        "Milliseconds between heartbeats of push sessions; a session silent for 2.5 of them is closed.",
    ),
    key(
        "drain_after_ms",
        "0 to 600000",
        "Milliseconds from telling push clients to go until the first connection is closed; longer with more than 2,700 \
         sessions for each second of it, so that at most 4,000 a second come to other gateways.",
    ),
    key("drain_spread_ms", "0 to 600000", "Milliseconds over which the closes are spread."),
    key(
        "attachments.bytes_max",
        "bytes",
        "The longest file that a ticket takes; with `attachments.s3` at most 5 GiB.",
    ),
    key(
        "attachments.s3.endpoint",
        "address",
        "A store that speaks S3, such as `https://s3.eu-central-1.amazonaws.com`, in which files of tickets are kept; \
         empty is the data directory. See docs/DESK.md.",
    ),
    key("attachments.s3.region", "text", "The region that requests are signed for."),
    key("attachments.s3.bucket", "text", "The bucket; it has to be there."),
    key("attachments.s3.prefix", "text", "What names of objects begin with; a slash follows."),
    key(
        "attachments.s3.access_key_file",
        "path",
        "A file with the access key; where not set, `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` are read.",
    ),
    key("attachments.s3.secret_key_file", "path", "A file with the secret key."),
    key(
        "attachments.s3.path_style",
        "true, false",
        "Whether the bucket is in the path of addresses, or else in the host's name.",
    ),
    key(
        "attachments.s3.ca_file",
        "path",
        "Certificate authorities (PEM) that are trusted besides the system's.",
    ),
    key(
        "tls.certificate",
        "path",
        "A certificate chain (PEM, the gateway's own first) for `api` and `push`, which speak TLS only then; \
         it and its key are taken anew when they change, or at SIGHUP.",
    ),
    key("tls.key", "path", "The certificate's private key (PEM)."),
    key(
        "log.format",
        "human, json",
        "One line for people, or one JSON object, per event, on standard error.",
    ),
    key(
        "log.level",
        "filter",
        "error, warn, info, debug or trace; or pairs such as `info,waggle_gateway::http=debug`.",
    ),
    key(
        "auth.session_idle_minutes",
        "5 to 43200",
        "Minutes without a request after which a session of a browser ends, and its push connections with it.",
    ),
    key(
        "auth.session_hours",
        "1 to 8760",
        "Hours after which it ends, used or not: its agent logs in again.",
    ),
    key(
        "auth.provider.issuer",
        "https address",
        "An identity provider, as its tokens have it in `iss`; empty is none. See docs/DESK.md.",
    ),
    key("auth.provider.tenant", "text", "The name of the tenant whose agents it lets in."),
    key(
        "auth.provider.claim",
        "text",
        "The claim that agents are known by, as `waggle admin agent link` links it; `email` counts only where it is \
         verified.",
    ),
    key(
        "auth.provider.algorithms",
        "list of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA",
        "What its tokens may be signed by.",
    ),
    key(
        "auth.provider.jwks_url",
        "https address",
        "Where its keys are; as its own metadata say where not set.",
    ),
    key(
        "auth.provider.audience",
        "text",
        "What its tokens have in `aud` that are taken as API tokens; none are where not set.",
    ),
    key(
        "auth.provider.client_id",
        "text",
        "This gateway's name at the provider, for logins by OpenID Connect; there are none where not set.",
    ),
    key(
        "auth.provider.client_secret_file",
        "path",
        "A file with the secret that goes with it; a public client has none.",
    ),
    key(
        "auth.provider.redirect_url",
        "https address",
        "Where browsers come back to: the gateway's `/v1/login/oidc/callback`, as they see it.",
    ),
    key("auth.provider.scopes", "text", "What is asked for, with spaces; `openid` is among it."),
    key(
        "auth.provider.provision",
        "true, false",
        "Whether somebody whom the provider knows and nobody here becomes an agent at the first login.",
    ),
    key(
        "auth.provider.ca_file",
        "path",
        "Certificate authorities (PEM) that are trusted besides the system's.",
    ),
    key(
        "accel.mode",
        "auto, off, require",
        "eBPF as far as the system allows; not at all; or else refuse to start.",
    ),
    key("accel.mesh_ports", "list of ports", "Local ports whose connections are between nodes."),
    key(
        "accel.cgroup",
        "path",
        "The cgroup whose connections are accelerated; the gateway's own where not set.",
    ),
    key(
        "accel.pin_dir",
        "path",
        "A folder of a bpf file system, such as `/sys/fs/bpf/waggle`, in which programs, maps and rules of the guard \
         stay from one gateway on `data_dir` to the next, for which that has to stay, too; nothing stays where not set. \
         See docs/ACCELERATION.md.",
    ),
    key(
        "accel.legs",
        "tables agent, mesh, local",
        "TCP settings of a leg, where they are not the default ones, and the `networks` whose clients are of \
         it: `[accel.legs.agent]` with `rto_min_us = 40000` and `networks = [\"10.0.0.0/8\"]`; 0 leaves the \
         kernel's own. Taken anew at SIGHUP, for connections to come. See docs/ACCELERATION.md.",
    ),
    key(
        "accel.guard.interfaces",
        "list of names",
        "Network interfaces on which an XDP program looks at what comes for `api` and `push`; none is no guard.",
    ),
    key(
        "accel.guard.rate_per_second",
        "0 to 1000000",
        "New connections per second that one IPv4 address, or 64 bits of IPv6, may make in the long run; 0 is \
         no limit.",
    ),
    key("accel.guard.burst", "1 to 1000000", "As many it may make at once."),
    key(
        "accel.guard.allow",
        "list of networks",
        "Nothing is done to these, whatever else is said: name the way that you administer by.",
    ),
    key("accel.guard.deny", "list of networks", "Nothing is taken from these."),
    key(
        "accel.guard.failures",
        "0 to 1000000",
        "Tokens that nobody has, shown by one address over HTTP or push within a minute, after which it is denied; 0 \
         is never. Not counted: loopback, and peers in `push_trusted_proxies`. See docs/ACCELERATION.md.",
    ),
    key("accel.guard.failures_deny_s", "1 to 31536000", "For how many seconds it is."),
    key(
        "accel.redirect.mode",
        "off, on",
        "Whether what is sent to clients of `push` on this machine goes past TCP, if a self-test at the start finds \
         nothing against it. `push_unix` is better where it can be used. See docs/ACCELERATION.md.",
    ),
    key(
        "accel.redirect.cgroups",
        "list of paths",
        "Folders of cgroups that such clients live in, or above, besides the gateway's own.",
    ),
    key("accel.redirect.accept", "list of fionread", "Findings of that self-test that are accepted."),
];

/// The text of `docs/CONFIGURATION.md`.
#[must_use]
pub fn reference() -> String {
    let mut out = String::from(
        "# Configuration\n\n\
         `waggle serve` reads a TOML file (`--config FILE`), then variables, then flags; the later wins. \
         An unknown key is an error.\n\
         The variable of a key is its name in capitals with `WAGGLE_` in front and `_` for a dot: \
         `log.level` is `WAGGLE_LOG_LEVEL`. Its flag has `-` for `_` and for a dot: `--log-level`; \
         only `accel.mode` is `--accel`.\n\n\
         This is what `waggle config` prints; a test compares the two.\n\n\
         | Key | Values | Default | Meaning |\n|---|---|---|---|\n",
    );
    for key in KEYS {
        let default = default_of(key.name);
        out.push_str(&format!("| `{}` | {} | {default} | {} |\n", key.name, key.kind, key.meaning));
    }
    out
}

/// Every key with its default, for programs.
#[must_use]
pub fn reference_json() -> serde_json::Value {
    let keys = KEYS.iter().map(|key| {
        serde_json::json!({
            "key": key.name, "values": key.kind, "default": default_value(key.name), "meaning": key.meaning,
        })
    });
    keys.collect()
}

fn default_of(name: &str) -> String {
    match default_value(name) {
        serde_json::Value::Null => "none".to_owned(),
        serde_json::Value::String(text) if text.is_empty() => "empty".to_owned(),
        serde_json::Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}

fn default_value(name: &str) -> serde_json::Value {
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    let pointer = format!("/{}", name.replace('.', "/"));
    defaults.pointer(&pointer).cloned().unwrap_or_default()
}
