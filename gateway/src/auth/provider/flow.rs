//! Logins at an identity provider that were begun here: each is finished once, by the browser that began it.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Instant;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use subtle::ConstantTimeEq;
use waggle_core::limits::{LOGIN_COUNTERS, LOGIN_FLOW_MS, LOGIN_FLOWS_MAX, LOGIN_FLOWS_PER_SOURCE_MAX};
use waggle_core::throttle::{Attempt, Throttle, ThrottleRule};
use waggle_core::time::Tick;

use crate::auth::Keys;
use crate::directory::hash_secret;

/// What has to come back from the provider, or goes to it again.
#[derive(Debug, Clone)]
pub(crate) struct Flow {
    /// SHA-256 of the secret in the browser's cookie.
    pub(crate) browser: [u8; 32],
    /// RFC 7636's code verifier.
    pub(crate) verifier: String,
    /// What the ID token has to repeat.
    pub(crate) nonce: String,
    /// Where the browser goes in the end: a path here.
    pub(crate) return_to: String,
}

/// Those under way.
pub(crate) struct Flows {
    keys: Keys,
    start: Instant,
    state: Mutex<State>,
}

struct State {
    /// By SHA-256 of the state that goes to the provider.
    flows: FxHashMap<[u8; 32], (Flow, Tick)>,
    /// Oldest first; those that are finished, too.
    order: VecDeque<[u8; 32]>,
    sources: Throttle,
}

impl Flows {
    pub(super) fn new() -> Self {
        let rule = ThrottleRule {
            failures_max: LOGIN_FLOWS_PER_SOURCE_MAX,
            window_ms: LOGIN_FLOW_MS,
            rest_ms: LOGIN_FLOW_MS,
        };
        let sources = Throttle::new(rule, LOGIN_COUNTERS);
        let state = State { flows: FxHashMap::default(), order: VecDeque::new(), sources };
        Self { keys: Keys::default(), start: Instant::now(), state: Mutex::new(state) }
    }

    /// Begins one; where the source has begun too many, says for how many milliseconds it waits.
    pub(crate) fn begin(&self, state: &str, flow: Flow, source: IpAddr) -> Result<(), u64> {
        let now = self.now();
        let known = &mut *self.state.lock();
        if let Attempt::Rests { ms } = known.sources.begin(self.keys.source(source), now) {
            return Err(ms);
        }
        while known.order.len() >= LOGIN_FLOWS_MAX
            && let Some(oldest) = known.order.pop_front()
        {
            known.flows.remove(&oldest);
        }
        let key = hash_secret(state);
        known.flows.insert(key, (flow, now.after_ms(LOGIN_FLOW_MS)));
        known.order.push_back(key);
        Ok(())
    }

    /// Finishes one: it is there no more, whoever asks. `None` where there is none for this browser.
    pub(crate) fn finish(&self, state: &str, browser: &str) -> Option<Flow> {
        let taken = self.state.lock().flows.remove(&hash_secret(state));
        let (flow, ends) = taken?;
        let is_browsers = bool::from(flow.browser.ct_eq(&hash_secret(browser)));
        (is_browsers && self.now() < ends).then_some(flow)
    }

    fn now(&self) -> Tick {
        // 584 million years of milliseconds fit.
        Tick(self.start.elapsed().as_millis() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(browser: &str) -> Flow {
        let text = str::to_owned;
        Flow { browser: hash_secret(browser), verifier: text("v"), nonce: text("n"), return_to: text("/") }
    }

    #[test]
    fn a_flow_is_finished_once_by_its_browser() {
        let flows = Flows::new();
        let source = IpAddr::from([192, 0, 2, 1]);
        flows.begin("one", flow("browser"), source).unwrap();
        flows.begin("two", flow("browser"), source).unwrap();
        assert_eq!(flows.finish("one", "browser").unwrap().nonce, "n");
        assert!(flows.finish("one", "browser").is_none(), "a second time");
        assert!(flows.finish("two", "another").is_none(), "by another browser");
        assert!(flows.finish("two", "browser").is_none(), "after another has tried");
        assert!(flows.finish("three", "browser").is_none());
    }

    #[test]
    fn flows_are_bounded_and_so_is_a_source() {
        let flows = Flows::new();
        let source = |number: usize| {
            let bytes = u32::try_from(number).unwrap().to_be_bytes();
            IpAddr::from([10, bytes[1], bytes[2], bytes[3]])
        };
        for number in 0..=LOGIN_FLOWS_MAX {
            flows.begin(&number.to_string(), flow("browser"), source(number)).unwrap();
        }
        assert!(flows.finish("0", "browser").is_none(), "the oldest made room");
        assert!(flows.finish("1", "browser").is_some());
        let one = IpAddr::from([192, 0, 2, 1]);
        let begun =
            (0..1_000).take_while(|number| flows.begin(&format!("x{number}"), flow("b"), one).is_ok());
        assert_eq!(begun.count(), LOGIN_FLOWS_PER_SOURCE_MAX as usize);
    }
}
