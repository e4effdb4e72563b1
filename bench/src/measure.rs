//! What is written down while a load runs.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use rustc_hash::FxHashMap;

use crate::wire::message::EventKey;

/// Latencies up to this are told apart; longer ones count as this.
const LATENCY_NS_MAX: u64 = 120_000_000_000;
/// Width of a step of the series over time.
pub const STEP_NS: u64 = 100_000_000;
/// Steps that are kept.
const STEPS_MAX: usize = 36_000;
/// Events that sessions have not seen yet.
const FLIGHTS_MAX: usize = 4_000_000;

/// Latencies in nanoseconds, to three digits.
pub type Latencies = Histogram<u64>;

/// An empty histogram.
#[must_use]
pub fn latencies() -> Latencies {
    // The bounds are constants that hdrhistogram takes; if not, an unbounded one does as well.
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3)
        .or_else(|_| Histogram::new(3))
        .unwrap_or_else(|_| unreachable!("three digits are within hdrhistogram's range"))
}

/// One tenth of a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Step {
    /// Answers received.
    pub answers: u64,
    /// Event frames received.
    pub deliveries: u64,
    /// The longest latency of a frame (or of an answer, without sessions) received then.
    pub slowest_ns: u64,
}

/// The part of a run whose samples count.
#[derive(Debug, Clone, Copy, Default)]
pub struct Window {
    /// After the warm-up.
    pub start_ns: u64,
    /// The end of sending.
    pub end_ns: u64,
}

impl Window {
    /// Whether a time is in it.
    #[must_use]
    pub fn holds(&self, at_ns: u64) -> bool {
        (self.start_ns..self.end_ns).contains(&at_ns)
    }
}

/// An event that was asked for.
#[derive(Debug, Clone, Copy)]
struct Flight {
    intended_ns: u64,
    /// Sessions that have not seen it.
    left: u32,
}

/// Histograms, counts and series of one run.
#[derive(Debug)]
pub struct Recorder {
    /// Samples that were meant to be sent in it count.
    pub window: Window,
    /// From intended send to answer.
    pub answers: Latencies,
    /// From intended send to each session's frame.
    pub deliveries: Latencies,
    /// From intended send to the last session's frame.
    pub last: Latencies,
    /// Answers that arrived in the window.
    pub answers_in_window: u64,
    /// Frames that arrived in the window.
    pub deliveries_in_window: u64,
    /// What went wrong, with counts; over the whole run, warm-up included.
    pub errors: BTreeMap<String, u64>,
    /// Tenths of a second since the start of the window.
    pub steps: Vec<Step>,
    flights: FxHashMap<(u64, u32), Flight>,
    watchers: u32,
}

impl Recorder {
    /// An empty one, for events that each go to `watchers` sessions.
    #[must_use]
    pub fn new(watchers: u32) -> Self {
        Self {
            window: Window::default(),
            answers: latencies(),
            deliveries: latencies(),
            last: latencies(),
            answers_in_window: 0,
            deliveries_in_window: 0,
            errors: BTreeMap::new(),
            steps: Vec::new(),
            flights: FxHashMap::default(),
            watchers,
        }
    }

    /// A command leaves that will make `version` of `ticket`.
    pub fn sent(&mut self, ticket: u64, version: u32, intended_ns: u64) {
        if self.watchers == 0 {
            return;
        }
        if self.flights.len() >= FLIGHTS_MAX {
            self.error("too many undelivered events to watch");
            return;
        }
        self.flights.insert((ticket, version), Flight { intended_ns, left: self.watchers });
    }

    /// The command was not taken: no event comes of it.
    pub fn refused(&mut self, ticket: u64, version: u32) {
        self.flights.remove(&(ticket, version));
    }

    /// A command's answer is here.
    pub fn answered(&mut self, intended_ns: u64, now_ns: u64) {
        let latency_ns = now_ns.saturating_sub(intended_ns);
        if self.window.holds(intended_ns) {
            self.answers.saturating_record(latency_ns);
        }
        if self.window.holds(now_ns) {
            self.answers_in_window += 1;
        }
        let without_sessions = self.watchers == 0;
        if let Some(step) = self.step(now_ns) {
            step.answers += 1;
            if without_sessions {
                step.slowest_ns = step.slowest_ns.max(latency_ns);
            }
        }
    }

    /// An event's frame is at a session.
    pub fn delivered(&mut self, event: EventKey, now_ns: u64) {
        let key = (event.ticket, event.version);
        let Some(flight) = self.flights.get_mut(&key) else {
            self.error("unexpected event");
            return;
        };
        flight.left -= 1;
        let Flight { intended_ns, left } = *flight;
        if left == 0 {
            self.flights.remove(&key);
        }
        let latency_ns = now_ns.saturating_sub(intended_ns);
        if self.window.holds(intended_ns) {
            self.deliveries.saturating_record(latency_ns);
            if left == 0 {
                self.last.saturating_record(latency_ns);
            }
        }
        if self.window.holds(now_ns) {
            self.deliveries_in_window += 1;
        }
        if let Some(step) = self.step(now_ns) {
            step.deliveries += 1;
            step.slowest_ns = step.slowest_ns.max(latency_ns);
        }
    }

    /// Whether all events were seen by all their sessions.
    #[must_use]
    pub fn all_delivered(&self) -> bool {
        self.flights.is_empty()
    }

    /// Gives up on what has not come: it counts as an error, and its latency as at least the wait so far.
    pub fn give_up(&mut self, unanswered_ns: impl Iterator<Item = u64>, now_ns: u64) {
        for intended_ns in unanswered_ns {
            self.error("no answer in time");
            self.answers.saturating_record(now_ns.saturating_sub(intended_ns));
        }
        for flight in std::mem::take(&mut self.flights).into_values() {
            self.errors_add("event not delivered in time", u64::from(flight.left));
            let latency_ns = now_ns.saturating_sub(flight.intended_ns);
            if self.window.holds(flight.intended_ns) {
                self.deliveries.saturating_record_n(latency_ns, u64::from(flight.left));
                self.last.saturating_record(latency_ns);
            }
        }
    }

    /// Something went wrong, once.
    pub fn error(&mut self, what: &str) {
        self.errors_add(what, 1);
    }

    fn errors_add(&mut self, what: &str, count: u64) {
        match self.errors.get_mut(what) {
            Some(known) => *known += count,
            None => {
                self.errors.insert(what.to_owned(), count);
            }
        }
    }

    /// How much went wrong.
    #[must_use]
    pub fn error_count(&self) -> u64 {
        self.errors.values().sum()
    }

    fn step(&mut self, now_ns: u64) -> Option<&mut Step> {
        if !self.window.holds(now_ns) {
            return None;
        }
        let index = usize::try_from((now_ns - self.window.start_ns) / STEP_NS).ok()?;
        if index >= STEPS_MAX {
            return None;
        }
        if index >= self.steps.len() {
            self.steps.resize(index + 1, Step::default());
        }
        self.steps.get_mut(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(ticket: u64, version: u32) -> EventKey {
        EventKey { offset: 1, ticket, version }
    }

    #[test]
    fn an_event_is_complete_with_its_last_session() {
        let mut recorder = Recorder::new(2);
        recorder.window = Window { start_ns: 0, end_ns: 1_000_000_000 };
        recorder.sent(7, 2, 1_000);
        recorder.delivered(event(7, 2), 11_000);
        assert!(!recorder.all_delivered());
        recorder.delivered(event(7, 2), 21_000);
        assert!(recorder.all_delivered());
        assert_eq!((recorder.deliveries.len(), recorder.last.len()), (2, 1));
        assert_eq!(recorder.last.max() / 100, 200);
        recorder.delivered(event(7, 2), 31_000);
        assert_eq!(recorder.errors.get("unexpected event"), Some(&1));
    }

    #[test]
    fn what_never_comes_counts_with_its_wait() {
        let mut recorder = Recorder::new(3);
        recorder.window = Window { start_ns: 0, end_ns: 1_000_000_000 };
        recorder.sent(7, 2, 0);
        recorder.delivered(event(7, 2), 1_000);
        recorder.give_up([0].into_iter(), 5_000_000);
        assert_eq!((recorder.deliveries.len(), recorder.last.len(), recorder.answers.len()), (3, 1, 1));
        assert_eq!(recorder.error_count(), 3);
    }
}
