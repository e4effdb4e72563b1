//! When each command is meant to be sent.

use crate::clock::Random;

/// How open-loop arrivals are spaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// At equal distances.
    Even,
    /// At random, as of many independent users.
    Poisson,
}

/// Load: as fast as answers come, or open loop.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rate {
    /// Closed loop: each connection sends when it has its answer.
    Max,
    /// Commands per second, whatever the answers do.
    PerSecond(f64),
}

impl std::str::FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse::<f64>() {
            _ if text == "max" => Ok(Self::Max),
            Ok(rate) if (0.001..=10_000_000.0).contains(&rate) => Ok(Self::PerSecond(rate)),
            _ => Err(format!("rate {text:?}: expected max, or commands per second from 0.001 to 10000000")),
        }
    }
}

/// The intended send times of one run, one after the other.
#[derive(Debug)]
pub struct Pace {
    kind: Kind,
    end_ns: u64,
}

#[derive(Debug)]
enum Kind {
    Max,
    Open { next_ns: f64, interval_ns: f64, arrivals: Arrivals, random: Random },
}

impl Pace {
    /// Sends in `start_ns..end_ns`.
    #[must_use]
    pub fn new(rate: Rate, arrivals: Arrivals, start_ns: u64, end_ns: u64, random: Random) -> Self {
        let kind = match rate {
            Rate::Max => Kind::Max,
            Rate::PerSecond(rate) => {
                Kind::Open { next_ns: start_ns as f64, interval_ns: 1e9 / rate, arrivals, random }
            }
        };
        Self { kind, end_ns }
    }

    /// Takes the next send if it is due: when it was meant to be.
    pub fn due(&mut self, now_ns: u64) -> Option<u64> {
        match &mut self.kind {
            Kind::Max => (now_ns < self.end_ns).then_some(now_ns),
            Kind::Open { next_ns, interval_ns, arrivals, random } => {
                let intended = *next_ns as u64;
                if intended > now_ns || intended >= self.end_ns {
                    return None;
                }
                *next_ns += match arrivals {
                    Arrivals::Even => *interval_ns,
                    Arrivals::Poisson => -random.unit().ln() * *interval_ns,
                };
                Some(intended)
            }
        }
    }

    /// Nanoseconds until the next send is due; `None` when none will be.
    #[must_use]
    pub fn until_next(&self, now_ns: u64) -> Option<u64> {
        let next = match self.kind {
            Kind::Max => now_ns,
            Kind::Open { next_ns, .. } => next_ns as u64,
        };
        (next < self.end_ns).then(|| next.saturating_sub(now_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_sends_keep_their_intended_times() {
        let mut pace = Pace::new(Rate::PerSecond(1000.0), Arrivals::Even, 0, 3_000_000, Random::new(1));
        assert_eq!(pace.due(0), Some(0));
        assert_eq!((pace.due(999_999), pace.until_next(999_999)), (None, Some(1)));
        let late: Vec<u64> = std::iter::from_fn(|| pace.due(10_000_000)).collect();
        assert_eq!(late, [1_000_000, 2_000_000]);
        assert_eq!(pace.until_next(10_000_000), None);
    }

    #[test]
    fn poisson_arrivals_have_the_rate() {
        let end = 10_000_000_000;
        let mut pace = Pace::new(Rate::PerSecond(1000.0), Arrivals::Poisson, 0, end, Random::new(3));
        let count = std::iter::from_fn(|| pace.due(end)).count();
        assert!((9_600..10_400).contains(&count), "{count}");
    }

    #[test]
    fn rates_are_numbers_or_max() {
        assert_eq!("max".parse(), Ok(Rate::Max));
        assert_eq!("2000".parse(), Ok(Rate::PerSecond(2000.0)));
        assert!("0".parse::<Rate>().is_err() && "x".parse::<Rate>().is_err());
    }
}
