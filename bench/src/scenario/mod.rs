//! Scenarios: each is a named load with a question that it answers.

mod commands;
mod contention;
mod contests;
mod desk;
mod drain;
mod idle;
mod list;
mod loaded;
mod mixed;
mod push_all;
mod push_one;
mod search;
mod slow;
mod soak;
mod storm;
mod table;

pub use contests::{IDLE_PEERS, SIGNAL_ALL, SIGNAL_ONE, SLOW_PEERS, STORM_PEERS, Versus};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::gateway::{Gateway, PushPath, Start};
use crate::pace::{Arrivals, Rate};
use crate::result::Run;
use crate::seed::Manifest;
use crate::target::Target;

/// All scenarios, by name.
pub static SCENARIOS: [&dyn Scenario; 18] = [
    &commands::Commands,
    &table::Table,
    &list::List,
    &search::Search,
    &mixed::Mixed,
    &contention::Contention,
    &push_one::PushOne,
    &push_all::PushAll,
    &idle::Idle,
    &storm::Storm,
    &slow::Slow,
    &drain::Drain,
    &soak::Soak,
    &SIGNAL_ONE,
    &SIGNAL_ALL,
    &IDLE_PEERS,
    &STORM_PEERS,
    &SLOW_PEERS,
];

/// The one called `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn Scenario> {
    SCENARIOS.into_iter().find(|scenario| scenario.name() == name)
}

/// A load with a name.
pub trait Scenario: Sync {
    /// As on the command line.
    fn name(&self) -> &'static str;

    /// What it does, and what it tells; one line.
    fn about(&self) -> &'static str;

    /// Its own sizes.
    fn defaults(&self) -> Shape;

    /// Seconds that count, where the command line does not say.
    fn duration_s(&self) -> f64 {
        10.0
    }

    /// What the gateway's data directory has to hold.
    fn data(&self) -> Data {
        Data::Demo
    }

    /// Arguments of `waggle serve` that the scenario is defined with.
    fn gateway_arguments(&self) -> &'static [&'static str] {
        &[]
    }

    /// The figure that says most: its median run is plotted.
    fn headline(&self) -> &'static str;

    /// Columns of its table.
    fn columns(&self) -> &'static [Column];

    /// Figures that are drawn for all servers side by side, where it compares some.
    fn sides(&self) -> &'static [Column] {
        &[]
    }

    /// The same question to other push servers as well.
    ///
    /// # Errors
    /// Says why they cannot be asked.
    fn versus(&self) -> Result<&'static Versus, &'static str> {
        Err("no other server does the like")
    }

    /// Runs it as often as the settings say.
    ///
    /// # Errors
    /// Where it cannot go on.
    fn run(&self, bench: &mut Bench) -> Result<Vec<Run>>;
}

/// What a gateway serves when a scenario begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Data {
    /// The demo's people and no tickets.
    Demo,
    /// That, or a copy of a seeded directory.
    Either,
    /// A copy of a seeded directory.
    Seeded,
    /// So many people and no tickets.
    People {
        /// Queues.
        queues: u32,
        /// Agents.
        agents: u32,
    },
}

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its head, with the unit.
    pub head: &'static str,
    /// The figure in it.
    pub figure: &'static str,
    /// Figures are divided by this.
    pub per: f64,
}

/// Sizes of a scenario.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// Commands per second, or as many as are answered.
    pub rate: Rate,
    /// Keep-alive connections for commands.
    pub connections: u32,
    /// Tickets that commands move.
    pub tickets: usize,
    /// Push sessions.
    pub sessions: usize,
}

/// How a scenario is run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Commands per second, or as many as are answered.
    pub rate: Rate,
    /// Spacing of commands, in open loop.
    pub arrivals: Arrivals,
    /// Keep-alive connections for commands.
    pub connections: u32,
    /// Tickets that commands move.
    pub tickets: usize,
    /// Push sessions.
    pub sessions: usize,
    /// Load before the window, in seconds.
    pub warm_up_s: f64,
    /// The window that counts, in seconds.
    pub duration_s: f64,
    /// Runs, of which figures are medians.
    pub repeat: u32,
    /// Of all randomness.
    pub seed: u64,
    /// From sessions to the gateway.
    pub path: PushPath,
    /// Gateways.
    pub targets: usize,
    /// Arguments that the gateway was given besides the bench's own.
    pub gateway_arguments: Vec<String>,
    /// Processes that the load comes from, where it may come from several.
    #[serde(default)]
    pub processes: u32,
    /// Tickets that were there before.
    #[serde(default)]
    pub seeded: u64,
}

/// A gateway that the bench has started.
#[derive(Debug)]
pub struct Own {
    /// How.
    pub start: Start,
    /// It.
    pub gateway: Gateway,
}

/// What a scenario works with.
#[derive(Debug)]
pub struct Bench {
    /// The gateway, where it is the bench's own.
    pub own: Option<Own>,
    /// How to run.
    pub settings: Settings,
    /// Against which gateways.
    pub targets: Vec<Target>,
    /// Where tickets are made; never none.
    pub queues: Vec<u32>,
    /// Whether to count calls for durability in a phase of their own.
    pub count_fsync: bool,
    /// What was there before, where that was seeded.
    pub seeded: Option<Manifest>,
}
