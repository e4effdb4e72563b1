//! The generator against a gateway whose behaviour is known.

// Helpers of tests are no tests to clippy.
#![allow(clippy::unwrap_used)]

mod fake;

use std::time::Duration;

use fake::Behaviour;
use waggle_bench::load::{Load, Outcome, Plan, Watch};
use waggle_bench::pace::{Arrivals, Rate};
use waggle_bench::process::Probe;
use waggle_bench::target::Target;

const MS: f64 = 1e6;

fn load(behaviour: Behaviour, connections: u32, tickets: usize) -> Load {
    let address = fake::spawn(behaviour);
    let target = Target::from_url(&format!("http://{address}"), "t", None).unwrap();
    let mut load = Load::connect(&[target], connections, 1).unwrap();
    load.create_tickets(tickets, &[1]).unwrap();
    load
}

fn run(load: &mut Load, rate: Rate) -> Outcome {
    let plan = Plan {
        rate,
        arrivals: Arrivals::Even,
        warm_up: Duration::from_millis(200),
        duration: Duration::from_secs(2),
        losses: None,
    };
    let outcome = load.run(&plan, &Probe::default()).unwrap();
    assert_eq!(outcome.first_error, None);
    assert_eq!(outcome.recorder.errors, Default::default());
    outcome
}

fn quantile_ms(histogram: &waggle_bench::measure::Latencies, quantile: f64) -> f64 {
    histogram.value_at_quantile(quantile) as f64 / MS
}

#[test]
fn a_known_delay_is_what_is_measured() {
    let delay = Duration::from_millis(20);
    let mut load = load(Behaviour { delay, ..Behaviour::default() }, 16, 64);
    let recorder = run(&mut load, Rate::PerSecond(200.0)).recorder;
    assert_eq!(recorder.answers.len(), 400);
    assert_eq!(recorder.deliveries.len(), 0);
    // Tokio's timer adds up to 1 ms; the rest is for a busy machine.
    assert!(quantile_ms(&recorder.answers, 0.0) >= 19.9);
    assert!(quantile_ms(&recorder.answers, 0.5) < 26.0, "{}", quantile_ms(&recorder.answers, 0.5));
}

#[test]
fn a_stall_shows_in_every_command_that_was_meant_to_be_sent() {
    let behaviour = Behaviour {
        stall_after: Duration::from_millis(1_000),
        stall: Duration::from_millis(600),
        ..Behaviour::default()
    };
    let mut load = load(behaviour, 4, 64);
    let recorder = run(&mut load, Rate::PerSecond(500.0)).recorder;
    // All are sent and counted, though only four connections were there to wait in.
    assert_eq!(recorder.answers.len(), 1_000);
    // 600 of 2000 ms were stalled: 30 % of the commands waited, evenly from 0 to 600 ms.
    assert!(quantile_ms(&recorder.answers, 0.5) < 20.0);
    let at_85 = quantile_ms(&recorder.answers, 0.85);
    assert!((240.0..400.0).contains(&at_85), "{at_85}");
    assert!(quantile_ms(&recorder.answers, 1.0) > 570.0);
}

#[test]
fn closed_loop_has_one_command_per_connection() {
    let delay = Duration::from_millis(10);
    let mut load = load(Behaviour { delay, ..Behaviour::default() }, 8, 64);
    let recorder = run(&mut load, Rate::Max).recorder;
    // 8 connections, 10 to 12 ms each, for 2 s.
    assert!((1_000..1_620).contains(&recorder.answers_in_window), "{}", recorder.answers_in_window);
}

#[test]
fn push_one_measures_from_the_command_to_its_own_session() {
    let delay = Duration::from_millis(20);
    let mut load = load(Behaviour { delay, ..Behaviour::default() }, 16, 50);
    load.open_sessions(50, &Watch::OwnTicket).unwrap();
    let recorder = run(&mut load, Rate::PerSecond(200.0)).recorder;
    assert_eq!((recorder.deliveries.len(), recorder.last.len()), (400, 400));
    assert!(quantile_ms(&recorder.deliveries, 0.0) >= 19.9);
    assert!(quantile_ms(&recorder.deliveries, 0.5) < 26.0);
}

#[test]
fn push_all_counts_each_session_once() {
    let mut load = load(Behaviour::default(), 4, 20);
    load.open_sessions(100, &Watch::All("tenant".into())).unwrap();
    let recorder = run(&mut load, Rate::PerSecond(20.0)).recorder;
    assert_eq!((recorder.answers.len(), recorder.deliveries.len(), recorder.last.len()), (40, 4_000, 40));
    assert!(recorder.last.min() >= recorder.deliveries.min());
    // Again, with the same sessions: versions and offsets go on.
    let again = run(&mut load, Rate::PerSecond(20.0)).recorder;
    assert_eq!(again.deliveries.len(), 4_000);
}
