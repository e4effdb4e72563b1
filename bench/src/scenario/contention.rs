//! Many agents claim tickets of one queue at the same time.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{Bench, Column, Data, Scenario, Shape};
use crate::clock::Random;
use crate::desk::{Answer, Attempt, Exchange, RUSH};
use crate::measure::{Latencies, latencies};
use crate::pace::Rate;
use crate::process::check_descriptors;
use crate::result::Run;

/// See the module.
#[derive(Debug)]
pub(super) struct Contention;

impl Scenario for Contention {
    fn name(&self) -> &'static str {
        "contention"
    }

    fn about(&self) -> &'static str {
        "160 agents claim the 799 tickets of one queue by 878 attempts in bursts, again and again: whether a ticket ever has two holders"
    }

    fn defaults(&self) -> Shape {
        let connections = u32::try_from(RUSH.agents).unwrap_or(u32::MAX);
        Shape { rate: Rate::Max, connections, tickets: RUSH.tickets, sessions: 0 }
    }

    fn data(&self) -> Data {
        // A queue more than there has to be.
        Data::People { queues: 2, agents: u32::try_from(RUSH.agents).unwrap_or(u32::MAX) }
    }

    fn headline(&self) -> &'static str {
        "claim_p99_us"
    }

    fn columns(&self) -> &'static [Column] {
        &[
            Column { head: "rushes", figure: "rushes", per: 1.0 },
            Column { head: "bursts", figure: "bursts", per: 1.0 },
            Column { head: "attempts", figure: "attempts", per: 1.0 },
            Column { head: "claims", figure: "claims", per: 1.0 },
            Column { head: "lost", figure: "losses", per: 1.0 },
            Column { head: "told who holds it", figure: "losses_told_holder", per: 1.0 },
            Column { head: "two holders", figure: "two_holders", per: 1.0 },
            Column { head: "claim p50 ms", figure: "claim_p50_us", per: 1e3 },
            Column { head: "claim p99 ms", figure: "claim_p99_us", per: 1e3 },
            Column { head: "errors", figure: "errors", per: 1.0 },
        ]
    }

    fn run(&self, bench: &mut Bench) -> Result<Vec<Run>> {
        let settings = &bench.settings;
        if settings.connections as usize != RUSH.agents || settings.tickets != RUSH.tickets {
            bail!("contention has {} agents and {} tickets always", RUSH.agents, RUSH.tickets);
        }
        let [target] = bench.targets.as_slice() else { bail!("contention needs one gateway") };
        if target.tokens.len() < RUSH.agents {
            let tokens = target.tokens.len();
            bail!("contention needs {} agents, and {tokens} are known: run it without --target", RUSH.agents);
        }
        check_descriptors(0, settings.connections, 1)?;
        let queue = bench.queues.first().copied().unwrap_or(1);
        let mut exchange = Exchange::connect(&bench.targets, settings.connections)?;
        let window = Duration::try_from_secs_f64(settings.duration_s).context("duration")?;
        let mut random = Random::new(settings.seed);
        let mut runs = Vec::new();
        for number in 1..=settings.repeat {
            let mut seen = Seen::default();
            let begin = Instant::now();
            while begin.elapsed() < window {
                rush(&mut exchange, queue, &mut random, &mut seen)?;
            }
            let run = seen.run();
            eprintln!(
                "run {number} of {}: {} rushes, {} attempts, {} lost, {} tickets with two holders",
                settings.repeat, seen.rushes, seen.attempts, seen.losses, seen.two_holders
            );
            runs.push(run);
        }
        Ok(runs)
    }
}

/// What was seen in one run.
struct Seen {
    rushes: u64,
    bursts: u64,
    attempts: u64,
    claims: u64,
    losses: u64,
    losses_told_holder: u64,
    two_holders: u64,
    latencies: Latencies,
    run: Run,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            rushes: 0,
            bursts: 0,
            attempts: 0,
            claims: 0,
            losses: 0,
            losses_told_holder: 0,
            two_holders: 0,
            latencies: latencies(),
            run: Run::default(),
        }
    }
}

impl Seen {
    fn error(&mut self, what: &str, answer: &Answer) {
        *self.run.errors.entry(what.to_owned()).or_default() += 1;
        let body = String::from_utf8_lossy(&answer.body);
        self.run.first_error.get_or_insert_with(|| format!("{what}: {} {body}", answer.status));
    }

    fn run(&self) -> Run {
        let mut run = self.run.clone();
        run.add_latencies("claim", &self.latencies);
        let counts = [
            ("rushes", self.rushes),
            ("bursts", self.bursts),
            ("attempts", self.attempts),
            ("claims", self.claims),
            ("losses", self.losses),
            ("losses_told_holder", self.losses_told_holder),
            ("two_holders", self.two_holders),
            ("errors", run.errors.values().sum()),
        ];
        for (name, count) in counts {
            run.add(name, Some(count as f64));
        }
        run
    }
}

/// One rush: new tickets, the bursts, and a look at the log.
fn rush(exchange: &mut Exchange, queue: u32, random: &mut Random, seen: &mut Seen) -> Result<()> {
    let tickets = create(exchange, queue)?;
    let mut holders = vec![None; tickets.len()];
    for burst in RUSH.bursts(random) {
        claim(exchange, &burst, &tickets, &mut holders, seen)?;
        seen.bursts += 1;
    }
    check_log(exchange, &tickets, &holders, seen)?;
    seen.rushes += 1;
    Ok(())
}

/// Makes the tickets; their numbers.
fn create(exchange: &mut Exchange, queue: u32) -> Result<Vec<u64>> {
    let body = format!(
        r#"{{"type":"create","queue":{queue},"subject":"Bench","requester":"bench@example.org","text":"It does not work."}}"#
    );
    let mut tickets = Vec::with_capacity(RUSH.tickets);
    while tickets.len() < RUSH.tickets {
        let over: Vec<_> = (0..exchange.len().min(RUSH.tickets - tickets.len())).collect();
        let answers =
            exchange.burst(&over, |_, requests, out| requests.post(out, "/v1/tickets", body.as_bytes()))?;
        for answer in answers {
            let event: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let ticket = event.get("ticket").and_then(Value::as_u64);
            let ticket = ticket.filter(|_| answer.status == 201).with_context(|| {
                format!("create answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body))
            })?;
            tickets.push(ticket);
        }
    }
    Ok(tickets)
}

/// All attempts of a burst at once; who has won is noted in `holders`.
fn claim(
    exchange: &mut Exchange,
    burst: &[Attempt],
    tickets: &[u64],
    holders: &mut [Option<u64>],
    seen: &mut Seen,
) -> Result<()> {
    let over: Vec<_> = burst.iter().map(|attempt| attempt.agent).collect();
    let answers = exchange.burst(&over, |request, requests, out| {
        let ticket = burst.get(request).and_then(|attempt| tickets.get(attempt.ticket)).unwrap_or(&0);
        requests.post(out, &format!("/v1/tickets/{ticket}/commands"), br#"{"type":"claim"}"#);
    })?;
    ensure!(answers.len() == burst.len(), "{} answers to {} attempts", answers.len(), burst.len());
    let mut told = Vec::new();
    for (attempt, answer) in burst.iter().zip(&answers) {
        seen.attempts += 1;
        seen.latencies.saturating_record(answer.latency_ns);
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let Some(holder) = holders.get_mut(attempt.ticket) else { continue };
        match (answer.status, body.pointer("/code").and_then(Value::as_str)) {
            (200, _) => {
                let winner = body.pointer("/data/agent").and_then(Value::as_u64);
                seen.claims += 1;
                if holder.is_some() || winner.is_none() {
                    seen.two_holders += 1;
                    seen.error("a second claim was granted", answer);
                }
                *holder = winner;
            }
            (409, Some("already_claimed")) => {
                seen.losses += 1;
                told.push((attempt.ticket, told_holder(&body), answer));
            }
            _ => seen.error("an answer to a claim that is neither yes nor no", answer),
        }
    }
    for (ticket, named, answer) in told {
        match (named, holders.get(ticket).copied().flatten()) {
            (Some(named), Some(holder)) if named == holder => seen.losses_told_holder += 1,
            (Some(_), _) => seen.error("a loser was told of another holder", answer),
            (None, _) => seen.error("a loser was not told who holds it", answer),
        }
    }
    Ok(())
}

/// The holder that a refusal names: a number, or an object with an id.
fn told_holder(problem: &Value) -> Option<u64> {
    let holder = problem.get("holder")?;
    holder.as_u64().or_else(|| holder.get("id")?.as_u64())
}

/// Each ticket's events have one claim: that of the agent who was told so.
fn check_log(
    exchange: &mut Exchange,
    tickets: &[u64],
    holders: &[Option<u64>],
    seen: &mut Seen,
) -> Result<()> {
    for (tickets, holders) in tickets.chunks(exchange.len()).zip(holders.chunks(exchange.len())) {
        let over: Vec<_> = (0..tickets.len()).collect();
        let answers = exchange.burst(&over, |request, requests, out| {
            let ticket = tickets.get(request).unwrap_or(&0);
            requests.get(out, &format!("/v1/tickets/{ticket}/events"));
        })?;
        for (answer, holder) in answers.iter().zip(holders) {
            let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let events = body.get("events").and_then(Value::as_array).cloned().unwrap_or_default();
            let claims =
                events.iter().filter(|event| event.get("kind").is_some_and(|kind| kind == "claimed"));
            let claims: Vec<_> =
                claims.map(|event| event.pointer("/data/agent").and_then(Value::as_u64)).collect();
            if claims.len() > 1 {
                seen.two_holders += 1;
            }
            if claims != [*holder] || holder.is_none() {
                seen.error("a ticket's log has other claims than were granted", answer);
            }
        }
    }
    Ok(())
}
