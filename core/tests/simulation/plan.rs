//! What a seed is about: sizes, speeds, and which things go wrong how often.

use waggle_core::id::TenantId;

use crate::author::PATIENCE_MS;
use crate::random::Random;

/// Something that goes wrong at a given time.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trouble {
    /// The gateway's process dies; it comes back.
    Crash { down_ms: u64 },
    /// The same, and an older copy of one log is restored meanwhile.
    Restore { tenant: TenantId, down_ms: u64 },
    /// A viewer's connections break.
    Cut { viewer: usize },
    /// A viewer's process dies; it comes back with what its application had saved.
    Kill { viewer: usize, down_ms: u64 },
    /// Every session is drained; new connections go to another gateway of the same log.
    Drain { after_ms: u64, spread_ms: u64 },
    /// The same, but another process has the log from then on.
    Takeover { after_ms: u64, spread_ms: u64 },
    /// A viewer's application reads nothing more.
    Stop { viewer: usize },
    /// Nothing wrong: a viewer's application wants to watch something else.
    Change { viewer: usize },
}

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) tenants: u32,
    pub(crate) queues: u32,
    pub(crate) agents: u32,
    pub(crate) authors: usize,
    pub(crate) commands_per_author: u32,
    pub(crate) tickets_per_tenant: usize,
    pub(crate) viewers: usize,
    pub(crate) shards: usize,
    /// Until here things go wrong.
    pub(crate) troubled_ms: u64,
    pub(crate) think_ms: u64,
    /// Milliseconds that an author waits for its first answer; those in a hurry ask again while the
    /// first request is still under way.
    pub(crate) patience_ms: u64,
    pub(crate) network_ms: u64,
    pub(crate) store_ms: u64,
    pub(crate) heartbeat_ms: u64,
    pub(crate) long_text_per_mille: u64,
    /// An admission's thread is put aside between its reservation and the channel.
    pub(crate) stall_per_mille: u64,
    pub(crate) commit_fails_per_mille: u64,
    pub(crate) commit_answer_lost_per_mille: u64,
    pub(crate) read_fails_per_mille: u64,
    pub(crate) answer_lost_per_mille: u64,
    pub(crate) batch_dropped_per_mille: u64,
    pub(crate) dial_fails_per_mille: u64,
    pub(crate) slow_reader_per_mille: u64,
    pub(crate) in_flight_max: usize,
    pub(crate) batch_max: usize,
    pub(crate) cells_max: usize,
    pub(crate) ring_events_max: usize,
    pub(crate) ring_bytes_max: usize,
    pub(crate) warm_events: u64,
    pub(crate) page_events_max: usize,
    /// Shards offer an event only to sessions that watch it.
    pub(crate) is_indexed: bool,
    pub(crate) troubles: Vec<(u64, Trouble)>,
}

impl Plan {
    pub(crate) fn draw(random: &mut Random) -> Self {
        let often = |random: &mut Random, most: u64| if random.chance(400) { random.below(most) } else { 0 };
        let tenants = random.between(1, 2) as u32;
        let viewers = random.between(1, 4) as usize;
        let troubled_ms = random.between(4_000, 16_000);
        let mut plan = Self {
            tenants,
            queues: 3,
            agents: 3,
            authors: random.between(2, 8) as usize,
            commands_per_author: random.between(4, 24) as u32,
            tickets_per_tenant: random.between(1, 5) as usize,
            viewers,
            shards: random.between(1, 2) as usize,
            troubled_ms,
            think_ms: random.pick(&[5, 100, 600, 1200]),
            patience_ms: random.pick(&[20, 200, PATIENCE_MS]),
            network_ms: random.pick(&[1, 20, 200]),
            store_ms: random.pick(&[1, 10, 80]),
            heartbeat_ms: random.pick(&[700, 2_000, 5_000]),
            long_text_per_mille: random.pick(&[0, 100, 400, 900]),
            stall_per_mille: often(random, 800),
            commit_fails_per_mille: often(random, 150),
            commit_answer_lost_per_mille: often(random, 150),
            read_fails_per_mille: often(random, 60),
            answer_lost_per_mille: often(random, 200),
            batch_dropped_per_mille: often(random, 300),
            dial_fails_per_mille: often(random, 300),
            slow_reader_per_mille: often(random, 1000),
            in_flight_max: random.pick(&[2, 100]),
            batch_max: random.pick(&[1, 3, 1000]),
            cells_max: random.pick(&[1, 1000, 1000]),
            ring_events_max: random.pick(&[3, 20, 1000]),
            ring_bytes_max: random.pick(&[800, 1_000_000]),
            warm_events: random.pick(&[0, 5, 1000]),
            page_events_max: random.pick(&[1, 4, 512]),
            is_indexed: random.chance(500),
            troubles: Vec::new(),
        };
        for _ in 0..random.below(7) {
            let at = random.below(troubled_ms);
            plan.troubles.push((at, trouble(random, tenants, viewers)));
        }
        for _ in 0..random.below(4) {
            let at = random.below(troubled_ms);
            let trouble = later_trouble(random, viewers);
            plan.troubles.push((at, trouble));
            if let Trouble::Takeover { after_ms, .. } = trouble
                && random.chance(500)
            {
                // While connections take over from others.
                for viewer in (0..viewers).cycle().take(3 * viewers) {
                    let at = at + random.below(after_ms + plan.network_ms);
                    plan.troubles.push((at, Trouble::Change { viewer }));
                }
            }
        }
        if random.chance(500) {
            for _ in 0..random.below(12) {
                let viewer = random.below(viewers as u64) as usize;
                plan.troubles.push((random.below(troubled_ms), Trouble::Change { viewer }));
            }
        }
        plan
    }
}

fn later_trouble(random: &mut Random, viewers: usize) -> Trouble {
    match random.below(2) {
        0 => Trouble::Takeover { after_ms: random.between(1, 1_500), spread_ms: random.below(1_500) },
        _ => Trouble::Stop { viewer: random.below(viewers as u64) as usize },
    }
}

fn trouble(random: &mut Random, tenants: u32, viewers: usize) -> Trouble {
    let down_ms = random.pick(&[1, 300, 3_000]);
    let viewer = random.below(viewers as u64) as usize;
    match random.below(10) {
        0..=2 => Trouble::Crash { down_ms },
        3..=5 => Trouble::Cut { viewer },
        6 | 7 => Trouble::Kill { viewer, down_ms },
        8 => Trouble::Drain { after_ms: random.between(1, 1_500), spread_ms: random.below(1_500) },
        _ => Trouble::Restore { tenant: TenantId(random.between(1, tenants.into()) as u32), down_ms },
    }
}
