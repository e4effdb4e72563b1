//! A morning's rush: many agents take tickets from one queue, in bursts in which some want the same one.

use crate::clock::Random;

/// How it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rush {
    /// Agents, each with at most one attempt in a burst.
    pub agents: usize,
    /// Tickets, all of which are taken in the end.
    pub tickets: usize,
    /// Attempts to take one.
    pub attempts: usize,
}

/// What the contention replay is about.
pub const RUSH: Rush = Rush { agents: 160, tickets: 799, attempts: 878 };

/// An attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Which agent, from zero.
    pub agent: usize,
    /// Wants which ticket, from zero.
    pub ticket: usize,
}

impl Rush {
    /// The bursts: each ticket is wanted in one of them, by one agent or by several, and all who want it want
    /// it at the same time.
    #[must_use]
    pub fn bursts(&self, random: &mut Random) -> Vec<Vec<Attempt>> {
        let mut wanted = vec![1; self.tickets];
        for _ in self.tickets..self.attempts {
            if let Some(count) = wanted.get_mut(random.below(self.tickets)) {
                *count += 1;
            }
        }
        let mut agents: Vec<usize> = (0..self.agents).collect();
        let (mut bursts, mut burst) = (Vec::new(), Vec::new());
        let mut size = 1 + random.below(self.agents);
        for (ticket, count) in wanted.into_iter().enumerate() {
            if burst.len() + count > size && !burst.is_empty() {
                bursts.push(shuffled(std::mem::take(&mut burst), random));
                size = 1 + random.below(self.agents);
            }
            if burst.is_empty() {
                agents = shuffled(agents, random);
            }
            let free = agents.iter().skip(burst.len()).take(count);
            burst.extend(free.map(|agent| Attempt { agent: *agent, ticket }));
        }
        bursts.push(shuffled(burst, random));
        bursts
    }
}

/// By Fisher and Yates.
fn shuffled<T>(mut all: Vec<T>, random: &mut Random) -> Vec<T> {
    for index in (1..all.len()).rev() {
        all.swap(index, random.below(index + 1));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ticket_is_wanted_in_one_burst() {
        for seed in 0..200 {
            let bursts = RUSH.bursts(&mut Random::new(seed));
            assert_eq!(bursts.iter().map(Vec::len).sum::<usize>(), RUSH.attempts);
            let mut burst_of = vec![None; RUSH.tickets];
            for (number, burst) in bursts.iter().enumerate() {
                let mut agents: Vec<_> = burst.iter().map(|attempt| attempt.agent).collect();
                agents.sort_unstable();
                agents.dedup();
                assert_eq!(agents.len(), burst.len(), "an agent has one attempt in a burst");
                for attempt in burst {
                    assert!(burst_of[attempt.ticket].is_none_or(|known| known == number));
                    burst_of[attempt.ticket] = Some(number);
                }
            }
            assert!(burst_of.iter().all(Option::is_some));
        }
        assert_eq!(RUSH.bursts(&mut Random::new(1)), RUSH.bursts(&mut Random::new(1)));
    }
}
