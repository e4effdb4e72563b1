//! What Waggle and other push servers are compared by, servers in turn. Run by `waggle-bench compare`, or by
//! `run … --peers`.

use anyhow::{Result, bail};

use super::{Bench, Column, Scenario, Shape};
use crate::fanout::{Contest, Reach};
use crate::pace::Rate;
use crate::result::Run;

/// A contest as a scenario: all that differs between them is data.
#[derive(Debug)]
pub struct Versus {
    name: &'static str,
    about: &'static str,
    contest: Contest,
    shape: Shape,
    duration_s: f64,
    headline: &'static str,
    columns: &'static [Column],
    sides: &'static [Column],
}

const fn shape(rate: f64, connections: u32, sessions: usize) -> Shape {
    Shape { rate: Rate::PerSecond(rate), connections, tickets: 0, sessions }
}

const fn column(head: &'static str, figure: &'static str, per: f64) -> Column {
    Column { head, figure, per }
}

const CPU: Column = column("CPU µs/delivery", "gateway_cpu_us_per_delivery", 1.0);
const KIB: Column = column("KiB/session", "gateway_bytes_per_session", 1024.0);
const P50: Column = column("p50 ms", "delivery_p50_us", 1e3);
const P99: Column = column("p99 ms", "delivery_p99_us", 1e3);
const LAST: Column = column("last p50 ms", "last_p50_us", 1e3);
const ERRORS: Column = column("errors", "errors", 1.0);
const IDLE_CPU: Column = column("CPU µs/s/session", "gateway_cpu_us_per_second_per_session", 1.0);
const WHOLE: Column = column("all live after s", "whole_after_ms", 1e3);
const CALM: Column = column("signal p99 before ms", "quiet_signal_p99_us", 1e3);
const STORM: Column = column("signal p99 meanwhile ms", "storm_signal_p99_us", 1e3);
const HEALTHY: Column = column("p99 with slow ms", "slow_p99_us", 1e3);
const SLOW_KIB: Column = column("KiB/slow session", "gateway_bytes_per_slow_session", 1024.0);

/// A message to all.
pub static SIGNAL_ALL: Versus = Versus {
    name: "signal-all",
    about: "an ephemeral message of 256 bytes to all sessions, servers in turn (`compare`): per delivery, and until the last has it",
    contest: Contest::Messages(Reach::All),
    shape: shape(10.0, 4, 1_000),
    duration_s: 5.0,
    headline: "last_p50_us",
    columns: &[
        column("deliveries/s", "deliveries_per_second", 1.0),
        CPU,
        P50,
        P99,
        column("p99.9 ms", "delivery_p999_us", 1e3),
        column("max ms", "delivery_max_us", 1e3),
        column("first p50 ms", "first_p50_us", 1e3),
        LAST,
        column("last p99 ms", "last_p99_us", 1e3),
        KIB,
        ERRORS,
    ],
    sides: &[CPU, LAST, P99, KIB],
};

/// Messages, each to one.
pub static SIGNAL_ONE: Versus = Versus {
    name: "signal-one",
    about: "ephemeral messages of 256 bytes, each to one of the sessions, servers in turn (`compare`)",
    contest: Contest::Messages(Reach::One),
    shape: shape(2_000.0, 4, 5_000),
    duration_s: 5.0,
    headline: "delivery_p99_us",
    columns: &[
        column("deliveries/s", "deliveries_per_second", 1.0),
        CPU,
        P50,
        P99,
        column("p99.9 ms", "delivery_p999_us", 1e3),
        column("max ms", "delivery_max_us", 1e3),
        KIB,
        ERRORS,
    ],
    sides: &[CPU, P50, P99, KIB],
};

/// Sessions that do nothing.
pub static IDLE_PEERS: Versus = Versus {
    name: "idle-peers",
    about: "sessions that only answer heartbeats, one in 25 s where the server has them, servers in turn (`idle --peers`)",
    contest: Contest::Idle,
    shape: shape(1.0, 0, 15_000),
    duration_s: 55.0,
    headline: "gateway_bytes_per_session",
    columns: &[KIB, IDLE_CPU, column("live", "sessions_live", 1.0), ERRORS],
    sides: &[KIB, IDLE_CPU],
};

/// All connections are lost.
pub static STORM_PEERS: Versus = Versus {
    name: "storm-peers",
    about: "all sessions lose their connections at once and connect again, 100 others stay and get ephemeral messages, servers in turn (`storm --peers`); a server that cannot resume has lost what was said meanwhile",
    contest: Contest::Storm,
    shape: shape(500.0, 4, 15_000),
    duration_s: 5.0,
    headline: "whole_after_ms",
    columns: &[
        WHOLE,
        column("of those resumed", "resumed", 1.0),
        column("connections made", "attempts", 1.0),
        CALM,
        STORM,
        column("ratio", "signal_p99_ratio", 1.0),
        column("CPU µs/return", "gateway_cpu_us_per_return", 1.0),
        ERRORS,
    ],
    sides: &[WHOLE, column("sessions that resumed", "resumed", 1.0), CALM, STORM],
};

/// Some stop reading.
pub static SLOW_PEERS: Versus = Versus {
    name: "slow-peers",
    about: "an ephemeral message to all sessions, first with all reading, then with one in twenty stopped, servers in turn (`slow --peers`)",
    contest: Contest::Slow,
    shape: shape(200.0, 4, 200),
    duration_s: 30.0,
    headline: "slow_p99_us",
    columns: &[
        column("p50 before ms", "quiet_p50_us", 1e3),
        column("p99 before ms", "quiet_p99_us", 1e3),
        column("p50 with slow ms", "slow_p50_us", 1e3),
        HEALTHY,
        column("ratio", "p99_ratio", 1.0),
        SLOW_KIB,
        column("slow", "slow_sessions", 1.0),
        column("ended", "slow_ended", 1.0),
        ERRORS,
    ],
    sides: &[column("p99 before ms", "quiet_p99_us", 1e3), HEALTHY, SLOW_KIB],
};

impl Versus {
    /// What is done to each server.
    #[must_use]
    pub fn contest(&self) -> Contest {
        self.contest
    }
}

impl Scenario for Versus {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn defaults(&self) -> Shape {
        self.shape
    }

    fn duration_s(&self) -> f64 {
        self.duration_s
    }

    fn headline(&self) -> &'static str {
        self.headline
    }

    fn columns(&self) -> &'static [Column] {
        self.columns
    }

    fn sides(&self) -> &'static [Column] {
        self.sides
    }

    fn run(&self, _: &mut Bench) -> Result<Vec<Run>> {
        bail!("{} is for several servers: run it by `compare`, or by `run … --peers`", self.name)
    }
}
