//! Waggle and other push servers under the same load, with the same client code, in one run: each server is
//! started, connected to, loaded and stopped in turn, again and again, so that the machine's moods touch
//! all of them alike.

mod dialect;
pub mod floor;
mod heartbeat;
mod idle;
mod install;
mod load;
mod messages;
pub mod naive;
mod server;
mod slow;
mod storm;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

pub use server::Peer;

use crate::facts::Facts;
use crate::process::check_descriptors;
use crate::report;
use crate::result::{Document, Run, SCHEMA, medians};
use crate::scenario::{Scenario, Settings};
use crate::stop;
use crate::target::Target;

/// Bytes of a message's text, the same for all servers.
pub const TEXT_BYTES: usize = 256;

/// Sessions that stay in a storm.
pub const STEADY: usize = 100;

/// What servers are compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contest {
    /// Messages, to these.
    Messages(Reach),
    /// Sessions that do nothing.
    Idle,
    /// All connections are lost and made again.
    Storm,
    /// Some sessions stop reading.
    Slow,
}

impl Contest {
    fn reach(self) -> Reach {
        match self {
            Self::Messages(reach) => reach,
            Self::Slow => Reach::All,
            Self::Idle | Self::Storm => Reach::One,
        }
    }

    /// Whether the floor can be asked for it: its sessions neither rest nor come back.
    #[must_use]
    pub fn has_floor(self) -> bool {
        matches!(self, Self::Messages(_))
    }
}

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
    /// By what.
    pub contest: Contest,
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
    let steady = if plan.contest == Contest::Storm { STEADY } else { 0 };
    check_descriptors(settings.sessions + steady, plan.publishers(), 1)?;
    if plan.peers.iter().any(|peer| !peer.takes_part(plan.contest)) {
        bail!("the floor only sends: leave it out of --peers");
    }
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
            let running = peer.start(&binaries, settings, plan.contest)?;
            let seed = u64::from(round);
            let run = match plan.contest {
                Contest::Messages(reach) => messages::run(&running, plan, reach, seed, || {}),
                Contest::Idle => idle::run(&running, plan),
                Contest::Storm => storm::run(&running, plan, seed),
                Contest::Slow => slow::run(&running, plan, seed),
            };
            let run = run.with_context(|| format!("{} in round {round}", peer.name()))?;
            let shown = report::line(&run.figures, scenario.columns());
            eprintln!("round {round}, {:<9}{shown}", peer.name());
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

/// One run of one server, which needs nothing installed: Waggle or the floor.
///
/// # Errors
/// Where it cannot be started or connected to.
pub fn once(peer: Peer, plan: &Plan, round: u32) -> Result<Run> {
    stop::check()?;
    let Contest::Messages(reach) = plan.contest else { bail!("only messages have a floor") };
    check_descriptors(plan.settings.sessions, plan.publishers(), 1)?;
    let binaries =
        install::find(&plan.peers, plan.gateway.clone(), &plan.settings.gateway_arguments, &plan.folder)?;
    let running = peer.start(&binaries, &plan.settings, plan.contest)?;
    let mut run = messages::run(&running, plan, reach, u64::from(round), || {})?;
    run.add("redirected_messages", running.counter("waggle_redirect_messages_total"));
    running.stop();
    Ok(run)
}

/// Signals to one of `sessions` sessions each, at a gateway that runs already; `ready` is told when they begin.
///
/// # Errors
/// Where it cannot be connected to.
pub fn signals_at(target: &Target, settings: Settings, ready: impl FnOnce()) -> Result<Run> {
    let seed = settings.seed;
    let plan = Plan {
        contest: Contest::Messages(Reach::One),
        settings,
        peers: vec![Peer::Waggle],
        gateway: None,
        folder: PathBuf::new(),
    };
    messages::run(&server::Running::at(target), &plan, Reach::One, seed, ready)
}

impl Plan {
    /// Connections that publish: a session of Waggle has at most 32 signals on, so those of many topics
    /// are spread, and all servers get as many.
    fn publishers(&self) -> u32 {
        let topics = match self.contest {
            Contest::Messages(Reach::All) | Contest::Slow => return 4,
            Contest::Messages(Reach::One) => self.settings.sessions,
            Contest::Storm => STEADY,
            Contest::Idle => 0,
        };
        u32::try_from(topics.div_ceil(30)).unwrap_or(u32::MAX)
    }
}
