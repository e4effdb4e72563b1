//! Idempotency keys whose first request is still under way.

use std::sync::Arc;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::watch;
use waggle_core::id::TenantId;
use waggle_core::ticket::Actor;

type Key = (TenantId, Actor, String);

/// Which keys are taken. Each is held by a [`KeyLease`], which goes with the command until its fate
/// is known, so that a second request never runs beside the first.
#[derive(Clone, Default)]
pub(super) struct Keys {
    taken: Arc<Mutex<FxHashMap<Key, Taken>>>,
}

struct Taken {
    fingerprint: u64,
    /// Closes when the lease ends.
    over: watch::Receiver<()>,
}

/// The right to run the one request of a key.
pub(super) struct KeyLease {
    keys: Keys,
    key: Key,
    _over: watch::Sender<()>,
}

/// What a request with a key finds.
pub(super) enum Turn {
    /// It is the first.
    Lease(KeyLease),
    /// The same request is under way: wait, then look again.
    Wait(watch::Receiver<()>),
    /// Another request is under way with this key.
    Other,
}

impl Keys {
    pub(super) fn turn(&self, tenant: TenantId, caller: Actor, key: &str, fingerprint: u64) -> Turn {
        let key = (tenant, caller, key.to_owned());
        let mut taken = self.taken.lock();
        match taken.get(&key) {
            Some(first) if first.fingerprint != fingerprint => Turn::Other,
            Some(first) => Turn::Wait(first.over.clone()),
            None => {
                let (sender, over) = watch::channel(());
                taken.insert(key.clone(), Taken { fingerprint, over });
                Turn::Lease(KeyLease { keys: self.clone(), key, _over: sender })
            }
        }
    }
}

impl Drop for KeyLease {
    fn drop(&mut self) {
        self.keys.taken.lock().remove(&self.key);
    }
}
