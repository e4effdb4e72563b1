//! The generator of work at the desk against a gateway whose behaviour is known.

// Helpers of tests are no tests to clippy.
#![allow(clippy::unwrap_used)]

mod fake;

use std::time::Duration;

use fake::Behaviour;
use waggle_bench::desk::{Drive, MovesAndReads, Schedule, Tally};
use waggle_bench::load::Load;
use waggle_bench::measure::Latencies;
use waggle_bench::pace::{Arrivals, Rate};
use waggle_bench::target::Target;
use waggle_bench::tickets::Tickets;

const MS: f64 = 1e6;

/// Two seconds of moves and reads at 400 per second.
fn run(behaviour: Behaviour, connections: u32) -> Tally {
    let target = Target::from_url(&format!("http://{}", fake::spawn(behaviour)), "t", None).unwrap();
    let targets = [target];
    let mut load = Load::connect(&targets, 4, 1).unwrap();
    load.create_tickets(64, &[1]).unwrap();
    let work = MovesAndReads::new(Tickets::new(load.tickets().collect()));
    let mut drive = Drive::connect(&targets, connections, 0, work, 1).unwrap();
    let schedule = Schedule {
        rate: Rate::PerSecond(400.0),
        arrivals: Arrivals::Even,
        warm_up: Duration::from_millis(200),
        duration: Duration::from_secs(2),
    };
    let mut marks = 0;
    let tally = drive.run(&schedule, || marks += 1).unwrap();
    assert_eq!(marks, 2);
    assert_eq!((&tally.first_error, tally.error_count()), (&None, 0));
    assert_eq!(tally.all().len(), 800, "each request that was due has an answer");
    tally
}

fn quantile_ms(latencies: &Latencies, quantile: f64) -> f64 {
    latencies.value_at_quantile(quantile) as f64 / MS
}

#[test]
fn kinds_are_told_apart() {
    let delay = Duration::from_millis(20);
    let tally = run(Behaviour { delay, ..Behaviour::default() }, 200);
    let [moves, reads] = tally.series.as_slice() else { panic!("two kinds") };
    assert!((300..500).contains(&moves.latencies.len()), "{}", moves.latencies.len());
    assert!(quantile_ms(&moves.latencies, 0.0) >= 19.9);
    assert!(quantile_ms(&reads.latencies, 0.5) < 10.0, "{}", quantile_ms(&reads.latencies, 0.5));
    let figures = tally.run(2.0, None).figures;
    let mean = figures["mean_us"] / 1e3;
    assert!((9.0..20.0).contains(&mean), "half of them take 20 ms: {mean}");
}

#[test]
fn a_stall_shows_in_requests_that_found_no_connection() {
    let behaviour = Behaviour {
        stall_after: Duration::from_millis(1_000),
        stall: Duration::from_millis(600),
        ..Behaviour::default()
    };
    // Moves that wait hold all of the few connections, so that reads are late, too.
    let tally = run(behaviour, 4);
    for series in &tally.series {
        assert!(quantile_ms(&series.latencies, 0.5) < 50.0, "{}", series.kind);
        assert!(quantile_ms(&series.latencies, 1.0) > 400.0, "{}", series.kind);
    }
}
