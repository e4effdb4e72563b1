//! A rush on one queue, ten thousand times: 160 agents claim 799 tickets by 878 attempts in bursts.

// Helpers of tests are no tests to clippy.
#![allow(clippy::unwrap_used)]

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use waggle_core::id::{AgentId, Fence, Version};
use waggle_core::right::Rights;
use waggle_core::ticket::{Actor, Authority, Cell, Expect, Hold, Intent, Lifecycles, Refusal};

const AGENTS: usize = 160;
const TICKETS: usize = 799;
const ATTEMPTS: usize = 878;
const SEEDS: u64 = 10_000;

/// Agent and ticket, from zero.
type Attempt = (usize, usize);

fn below(random: &mut ChaCha8Rng, bound: usize) -> usize {
    // The high half of the product is below `bound`.
    ((u64::from(random.next_u32()) * bound as u64) >> 32) as usize
}

fn shuffle<T>(all: &mut [T], random: &mut ChaCha8Rng) {
    for index in (1..all.len()).rev() {
        all.swap(index, below(random, index + 1));
    }
}

/// Bursts of at most an attempt for each agent; all who want a ticket want it in the same burst.
fn bursts(random: &mut ChaCha8Rng) -> Vec<Vec<Attempt>> {
    let mut wanted = vec![1; TICKETS];
    for _ in TICKETS..ATTEMPTS {
        wanted[below(random, TICKETS)] += 1;
    }
    let mut agents: Vec<usize> = (0..AGENTS).collect();
    shuffle(&mut agents, random);
    let (mut bursts, mut burst) = (Vec::new(), Vec::new());
    let mut size = 1 + below(random, AGENTS);
    for (ticket, count) in wanted.into_iter().enumerate() {
        if burst.len() + count > size && !burst.is_empty() {
            bursts.push(std::mem::take(&mut burst));
            size = 1 + below(random, AGENTS);
        }
        if burst.is_empty() {
            let by = below(random, AGENTS);
            agents.rotate_left(by);
        }
        let begin = burst.len();
        burst.extend(agents[begin..begin + count].iter().map(|agent| (*agent, ticket)));
    }
    bursts.push(burst);
    for burst in &mut bursts {
        shuffle(burst, random);
    }
    bursts
}

fn as_agent(agent: usize) -> Authority {
    let id = AgentId(u32::try_from(agent).unwrap() + 1);
    Authority { actor: Actor::Agent(id), rights: Rights::AGENT }
}

/// One rush; returns how many attempts lost.
fn rush(seed: u64) -> usize {
    let lifecycles = Lifecycles::built_in();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let new = lifecycles.all()[0].initial();
    let cells: Vec<_> = (0..TICKETS).map(|_| Cell::new(Version(1), new, Fence(0), None)).collect();
    let mut holders = vec![None; TICKETS];
    let mut losers = Vec::new();
    let bursts = bursts(&mut random);
    assert_eq!(bursts.iter().map(Vec::len).sum::<usize>(), ATTEMPTS);
    for (agent, ticket) in bursts.into_iter().flatten() {
        let claimed = cells[ticket].reserve(&lifecycles, as_agent(agent), Expect::Any, None, Intent::Claim);
        match claimed {
            Ok(reserved) => {
                let before = holders[ticket].replace(agent);
                assert_eq!(before, None, "seed {seed}: ticket {ticket} has two holders");
                let word = reserved.word;
                assert_eq!((word.version(), word.fence(), word.hold()), (Version(2), Fence(1), Hold::Held));
            }
            Err(Refusal::AlreadyClaimed) => {
                assert!(holders[ticket].is_some(), "seed {seed}: ticket {ticket} is refused and free");
                losers.push((agent, ticket));
            }
            Err(refusal) => panic!("seed {seed}: agent {agent} on ticket {ticket}: {refusal:?}"),
        }
    }
    assert!(holders.iter().all(Option::is_some), "seed {seed}: a ticket was left");
    let release = |agent, ticket: usize| {
        let fence = Some(Fence(1));
        cells[ticket].reserve(&lifecycles, as_agent(agent), Expect::Any, fence, Intent::Release)
    };
    // Whoever lost cannot act as the holder, even with the holder's fence; the one who won can.
    for (agent, ticket) in &losers {
        assert_eq!(release(*agent, *ticket).err(), Some(Refusal::NotHolder), "seed {seed}");
    }
    let lost = losers.len();
    losers.sort_unstable_by_key(|(_, ticket)| *ticket);
    losers.dedup_by_key(|(_, ticket)| *ticket);
    for (_, ticket) in losers {
        let released = release(holders[ticket].unwrap(), ticket).unwrap();
        assert_eq!(released.transition.holder, Some(None), "seed {seed}");
    }
    lost
}

#[test]
fn no_ticket_ever_has_two_holders() {
    for seed in 0..SEEDS {
        assert_eq!(rush(seed), ATTEMPTS - TICKETS, "seed {seed}");
    }
}

#[test]
fn a_seed_replays_its_rush() {
    let of = |seed| bursts(&mut ChaCha8Rng::seed_from_u64(seed));
    assert_eq!(of(5), of(5));
    assert_ne!(of(5), of(6));
}
