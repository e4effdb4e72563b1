//! `waggle accel legs`: how the legs' paths are, as the program measured them.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use waggle_ebpf::histogram::{BUCKETS, floor_us, quantile_us};

/// Moments shown to people.
const MOMENTS_SHOWN: usize = 12;

/// What was measured since the program was attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegsReport {
    /// Why nothing is measured; `None` where it is.
    pub unmeasured: Option<String>,
    /// Each leg.
    pub legs: Vec<LegPath>,
    /// The latest moments, oldest first.
    pub moments: Vec<MomentReport>,
}

/// The path of one leg.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegPath {
    /// `agent`, `mesh` or `local`.
    pub leg: String,
    /// Connections since the start.
    pub connections: u64,
    /// Segments sent again.
    pub retransmits: u64,
    /// Retransmission timers that fired.
    pub timeouts: u64,
    /// Peers that the kernel gave up.
    pub dead: u64,
    /// Moments that are missing from the list, for there were too many at once.
    pub moments_lost: u64,
    /// Counts of measured round trips by bucket; bucket `i` starts at
    /// [`floor_us`](waggle_ebpf::histogram::floor_us) of `i`.
    pub round_trips: Vec<u64>,
}

/// A moment worth a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MomentReport {
    /// Milliseconds since 1970.
    pub at_unix_ms: u64,
    /// The leg's word.
    pub leg: String,
    /// What happened.
    pub what: What,
    /// Timeouts in a row.
    pub timeouts: u32,
    /// The other end.
    pub peer: SocketAddr,
    /// The socket's cookie, as in the list of push sessions.
    pub cookie: u64,
}

/// See [`MomentReport::what`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// A retransmission timer fired.
    Timeout,
    /// The kernel gave the peer up.
    Dead,
}

impl LegPath {
    /// Measured round trips.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.round_trips.iter().sum()
    }

    /// See [`quantile_us`].
    #[must_use]
    pub fn quantile_us(&self, thousandths: u64) -> Option<u32> {
        quantile_us(&self.round_trips, thousandths)
    }

    /// The sum of all measured round trips, each taken as the middle of its bucket, in microseconds.
    #[must_use]
    pub fn sum_us(&self) -> f64 {
        let middle = |bucket: u32| f64::from(floor_us(bucket)).midpoint(f64::from(floor_us(bucket + 1)));
        self.round_trips.iter().zip(0..).map(|(count, bucket)| *count as f64 * middle(bucket)).sum()
    }

    /// A line of blocks, one for each doubling from 16 us to 4 s, as high as its share of the largest.
    #[must_use]
    pub fn plot(&self) -> String {
        const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        const FROM: usize = 12;
        const DOUBLINGS: usize = 18;
        let bars: Vec<u64> = self
            .round_trips
            .get(FROM..)
            .unwrap_or_default()
            .chunks(4)
            .take(DOUBLINGS)
            .map(|counts| counts.iter().sum())
            .collect();
        let most = bars.iter().copied().max().unwrap_or(0).max(1);
        let bar = |count: &u64| match count {
            0 => ' ',
            count => LEVELS[((count * 7).div_ceil(most) as usize).min(7)],
        };
        bars.iter().map(bar).collect()
    }
}

impl fmt::Display for LegsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(why) = &self.unmeasured {
            writeln!(f, "not measured: {why}")?;
        }
        writeln!(
            f,
            "{:<7} {:>11} {:>11} {:>9} {:>9} {:>9} {:>11} {:>8} {:>5}  16 us ... 4 s",
            "LEG", "CONNECTIONS", "ROUND TRIPS", "P50", "P99", "P99.9", "RETRANSMITS", "TIMEOUTS", "DEAD"
        )?;
        for leg in &self.legs {
            let time = |thousandths| leg.quantile_us(thousandths).map_or_else(|| "-".to_owned(), shown);
            writeln!(
                f,
                "{:<7} {:>11} {:>11} {:>9} {:>9} {:>9} {:>11} {:>8} {:>5}  {}",
                leg.leg,
                leg.connections,
                leg.samples(),
                time(500),
                time(990),
                time(999),
                leg.retransmits,
                leg.timeouts,
                leg.dead,
                leg.plot().trim_end()
            )?;
        }
        let skipped = self.moments.len().saturating_sub(MOMENTS_SHOWN);
        for moment in &self.moments[skipped..] {
            let what = match moment.what {
                What::Timeout => "timeout",
                What::Dead => "dead",
            };
            let (seconds, ms) = (moment.at_unix_ms / 1_000, moment.at_unix_ms % 1_000);
            writeln!(
                f,
                "{seconds}.{ms:03} {} {what} {} (in a row {}) cookie {}",
                moment.leg, moment.peer, moment.timeouts, moment.cookie
            )?;
        }
        Ok(())
    }
}

fn shown(us: u32) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{:.1} ms", f64::from(us) / 1e3),
        _ => format!("{:.2} s", f64::from(us) / 1e6),
    }
}

/// Round trips by doubling, for a histogram of few buckets: (upper edge in microseconds, count).
#[must_use]
pub fn by_doubling(round_trips: &[u64]) -> Vec<(u32, u64)> {
    let edges = (0..BUCKETS).step_by(4).map(|bucket| floor_us(bucket + 4));
    edges.zip(round_trips.chunks(4).map(|counts| counts.iter().sum())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use waggle_ebpf::histogram::bucket;

    #[test]
    fn the_table_shows_quantiles_plots_and_moments() {
        let mut round_trips = vec![0; BUCKETS as usize];
        round_trips[bucket(40) as usize] = 990;
        round_trips[bucket(20_000) as usize] = 10;
        let leg = LegPath {
            leg: "agent".to_owned(),
            connections: 3,
            retransmits: 2,
            timeouts: 1,
            dead: 0,
            moments_lost: 0,
            round_trips: round_trips.clone(),
        };
        let moment = MomentReport {
            at_unix_ms: 1_002,
            leg: "agent".to_owned(),
            what: What::Timeout,
            timeouts: 1,
            peer: ([192, 0, 2, 1], 50_000).into(),
            cookie: 7,
        };
        let report = LegsReport { unmeasured: None, legs: vec![leg], moments: vec![moment] };
        let text = report.to_string();
        assert!(text.contains("48 us") && text.contains("20.5 ms"), "{text}");
        assert!(text.contains(" █        ▂"), "{text}");
        assert!(text.contains("1.002 agent timeout 192.0.2.1:50000 (in a row 1) cookie 7"), "{text}");
        let doubled = by_doubling(&round_trips);
        assert_eq!(doubled.iter().map(|(_, count)| count).sum::<u64>(), 1_000);
        assert_eq!(doubled[4], (64, 990));
    }
}
