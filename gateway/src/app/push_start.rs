//! Starts the push engine.

use std::net::IpAddr;
use std::sync::Arc;

use crate::accel::{Accel, Guard, Leg, Redirect};
use crate::config::Config;
use crate::count::Counts;
use crate::directory::Directory;
use crate::learn::Learner;
use crate::ledger::Ledger;
use crate::push::{
    AcceptHook, PeerRules, PushConfig, PushEngine, PushError, PushHub, PushLimits, UnauthorizedHook,
};
use crate::tls::Tls;

/// The gateway's own parts that look at the push engine's sockets.
pub(super) struct Own<'a> {
    pub(super) accel: &'a Arc<Accel>,
    pub(super) guard: &'a LateGuard,
    pub(super) redirect: &'a Arc<Redirect>,
}

/// The guard, once it is there.
pub(super) type LateGuard = Arc<std::sync::OnceLock<Arc<Guard>>>;

/// What the push engine stands on.
pub(super) struct PushParts<'a> {
    pub(super) ledger: &'a Ledger,
    pub(super) directory: &'a Directory,
    pub(super) counts: &'a Counts,
    pub(super) learn: &'a Learner,
}

pub(super) fn start_push(
    config: &Config,
    hub: PushHub,
    PushParts { ledger, directory, counts, learn }: PushParts<'_>,
    Own { accel, guard, redirect }: Own<'_>,
    tls: Option<&Tls>,
) -> Result<PushEngine, PushError> {
    let accel = Arc::clone(accel);
    let redirect = Arc::clone(redirect);
    let on_accept: AcceptHook = Arc::new(move |socket| accel.apply_to(&socket, Leg::Agent));
    let (guard, rules) = (Arc::clone(guard), config.peer_rules());
    let on_unauthorized: UnauthorizedHook = Arc::new(move |peer| {
        if let Some(guard) = guard.get() {
            failed(guard, &rules, peer);
        }
    });
    let push = PushConfig {
        tcp: Some(config.push),
        unix: config.push_unix.clone(),
        heartbeat_ms: config.heartbeat_ms,
        messages_per_second: config.push_limits.messages_per_second,
        limits: PushLimits {
            sessions: config.push_limits.sessions,
            sessions_per_tenant: config.push_limits.sessions_per_tenant,
            sessions_per_address: config.push_limits.sessions_per_address,
        },
        rules: config.peer_rules(),
        tls: tls.cloned(),
        on_accept: Some(on_accept),
        on_unauthorized: Some(on_unauthorized),
        redirect: Some(Arc::new(move |socket| redirect.way_of(socket))),
        counts: Some(Arc::new(counts.clone())),
        learn: Some(learn.clone()),
        ..PushConfig::new(&config.node_name())
    };
    PushEngine::start(push, hub, Arc::new(ledger.clone()), Arc::new(directory.clone()))
}

/// Tells the guard of a peer that has shown a token that nobody has. A trusted proxy shows its clients' tokens.
pub(super) fn failed(guard: &Guard, rules: &PeerRules, peer: IpAddr) {
    if !rules.is_trusted(Some(peer)) {
        guard.failed(peer);
    }
}
