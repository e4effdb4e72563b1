//! A configuration that is read again while the gateway runs.

use serde_json::Value;

use crate::accel::{Accel, Leg};
use crate::config::{Config, KEYS};

/// The key that is taken at once.
const LIVE: &str = "accel.legs";

/// Takes what may change of `fresh`, and names what waits for the next start of what runs on `running`.
pub(super) fn configuration(accel: &Accel, running: &Config, fresh: &Config) {
    match accel.reconfigure(&fresh.accel.legs) {
        Ok(legs) if legs.is_empty() => tracing::info!("the configuration's profiles are as before"),
        Ok(legs) => {
            let legs = legs.into_iter().map(Leg::name).collect::<Vec<_>>().join(", ");
            tracing::info!(legs, "the configuration's profiles are taken for connections to come");
        }
        Err(error) => {
            tracing::error!(%error, "the configuration's profiles are not taken; the old ones stay")
        }
    }
    let waiting = waiting(running, fresh);
    if !waiting.is_empty() {
        tracing::warn!(
            keys = waiting.join(", "),
            "these keys have changed, and take effect at the next start"
        );
    }
}

fn waiting(running: &Config, fresh: &Config) -> Vec<&'static str> {
    // A configuration has a JSON form: it was made from one.
    let [before, after] = [running, fresh].map(|config| serde_json::to_value(config).unwrap_or_default());
    let value = |of: &Value, name: &str| of.pointer(&format!("/{}", name.replace('.', "/"))).cloned();
    let names = KEYS.iter().map(|key| key.name).filter(|name| *name != LIVE);
    names.filter(|name| value(&before, name) != value(&after, name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_live_is_named() {
        let running = Config::default();
        let mut fresh = Config { shards: 3, ..Config::default() };
        fresh.accel.guard.failures = 20;
        fresh.accel.legs.of_mut(Leg::Agent).set("rto_min_us", 40_000);
        assert_eq!(waiting(&running, &fresh), ["shards", "accel.guard.failures"]);
        assert!(waiting(&running, &running).is_empty());
    }
}
