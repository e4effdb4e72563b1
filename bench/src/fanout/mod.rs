//! Ephemeral messages through several push servers, with the same client code, in one run: each server is
//! started, connected to, loaded and stopped in turn, again and again, so that the machine's moods touch
//! all of them alike.

mod dialect;
pub mod floor;
mod install;
mod load;
pub mod naive;
mod server;

use std::path::PathBuf;

use anyhow::{Result, bail};

pub use server::Peer;

use crate::facts::Facts;
use crate::process::check_descriptors;
use crate::result::{Document, Run, SCHEMA, medians};
use crate::scenario::{Scenario, Settings};
use crate::stop;
use crate::target::Target;

/// Bytes of a message's text, the same for all servers.
pub const TEXT_BYTES: usize = 256;

/// To whom each message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Every session: all listen to one topic.
    All,
    /// One session: each listens to a topic of its own.
    One,
}

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// To whom.
    pub reach: Reach,
    /// How; its rate is of messages.
    pub settings: Settings,
    /// Which servers, the floor and Waggle among them.
    pub peers: Vec<Peer>,
    /// Waggle's binary, where it is not beside this one.
    pub gateway: Option<PathBuf>,
    /// Where peers are installed.
    pub folder: PathBuf,
}

/// Measures all; one document for each server.
///
/// # Errors
/// Where a server cannot be installed, started or connected to.
pub fn run(plan: &Plan, scenario: &dyn Scenario, name: &str) -> Result<Vec<Document>> {
    let settings = &plan.settings;
    let publishers = plan.publishers();
    check_descriptors(settings.sessions, publishers, 1)?;
    if let Some(peer) = plan.peers.iter().find(|peer| !peer.has(settings.path)) {
        bail!("{} has no --path {}: leave it out of --peers", peer.name(), settings.path.name());
    }
    let binaries =
        install::find(&plan.peers, plan.gateway.clone(), &settings.gateway_arguments, &plan.folder)?;
    let mut runs: Vec<Vec<Run>> = vec![Vec::new(); plan.peers.len()];
    let mut versions = vec![String::new(); plan.peers.len()];
    let facts = Facts::collect(None);
    for round in 1..=settings.repeat {
        for (place, peer) in plan.peers.iter().enumerate() {
            stop::check()?;
            let running = peer.start(&binaries, settings, plan.reach)?;
            let run = load::run(&running, plan, u64::from(round), || {})?;
            let shown = |name: &str| run.figures.get(name).copied().unwrap_or(f64::NAN);
            eprintln!(
                "round {round}, {:<9} p50 {:>8.3} ms  p99 {:>8.3} ms  last p50 {:>8.3} ms  CPU {:>6.2} us/delivery  {} errors",
                peer.name(),
                shown("delivery_p50_us") / 1e3,
                shown("delivery_p99_us") / 1e3,
                shown("last_p50_us") / 1e3,
                shown("gateway_cpu_us_per_delivery"),
                run.errors.values().sum::<u64>(),
            );
            versions[place].clone_from(&running.version);
            runs[place].push(run);
            running.stop();
        }
    }
    let documents = plan.peers.iter().zip(runs).zip(versions).map(|((peer, runs), version)| Document {
        schema: SCHEMA,
        name: format!("{name}-{}", peer.name()),
        scenario: scenario.name().to_owned(),
        settings: Settings { gateway_arguments: vec![version], ..settings.clone() },
        facts: facts.clone(),
        median: medians(&runs),
        runs,
    });
    Ok(documents.collect())
}

/// Signals to one of `sessions` sessions each, at a gateway that runs already; `ready` is told when they begin.
///
/// # Errors
/// Where it cannot be connected to.
pub fn signals_at(target: &Target, settings: Settings, ready: impl FnOnce()) -> Result<Run> {
    let seed = settings.seed;
    let plan = Plan {
        reach: Reach::One,
        settings,
        peers: vec![Peer::Waggle],
        gateway: None,
        folder: PathBuf::new(),
    };
    load::run(&server::Running::at(target), &plan, seed, ready)
}

impl Plan {
    /// Connections that publish: a session of Waggle has at most 32 signals on, so those of many topics
    /// are spread, and all servers get as many.
    fn publishers(&self) -> u32 {
        match self.reach {
            Reach::All => 4,
            Reach::One => u32::try_from(self.settings.sessions.div_ceil(30)).unwrap_or(u32::MAX),
        }
    }
}
