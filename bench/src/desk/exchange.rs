//! Bursts: many requests at once, one on each connection, and then all their answers.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::clock::{Clock, nanos};
use crate::lane::Lane;
use crate::poller::{Key, Poller};
use crate::stop;
use crate::target::Target;
use crate::wire::http::Requests;

/// All answers to a burst must be there after this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// An answer to a request of a burst.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
    /// From its sending to its answer.
    pub latency_ns: u64,
}

/// Keep-alive connections, one for each agent.
pub struct Exchange {
    clock: Clock,
    poller: Poller,
    lanes: Vec<Lane>,
}

impl Exchange {
    /// Connects `count` lanes: the `i`-th acts as the target's `i`-th agent.
    ///
    /// # Errors
    /// Where a connection cannot be made.
    pub fn connect(targets: &[Target], count: u32) -> Result<Self> {
        let poller = Poller::new().context("cannot make a poller")?;
        let connect = |(index, target): (u32, &Target)| {
            Lane::connect(target, index, &poller)
                .with_context(|| format!("cannot connect to the gateway at {}", target.api))
        };
        let lanes = (0..count).zip(targets.iter().cycle()).map(connect).collect::<Result<Vec<_>>>()?;
        Ok(Self { clock: Clock::start(), poller, lanes })
    }

    /// How many connections there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lanes.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// Sends one request over each of these connections, one right after the other, then waits for all
    /// answers; they come in the order of `over`, which names each connection once.
    ///
    /// # Errors
    /// Where a connection is lost, or answers do not come.
    pub fn burst(
        &mut self,
        over: &[usize],
        mut write: impl FnMut(usize, &Requests, &mut Vec<u8>),
    ) -> Result<Vec<Answer>> {
        let mut waiting = vec![None; self.lanes.len()];
        for (request, index) in over.iter().enumerate() {
            let lane = self.lanes.get_mut(*index).context("a burst over a connection that is not there")?;
            let sent_ns = self.clock.now_ns();
            lane.send(&self.poller, |requests, out| write(request, requests, out))?;
            if let Some(slot) = waiting.get_mut(*index) {
                *slot = Some((request, sent_ns));
            }
        }
        let mut answers: Vec<Option<Answer>> = vec![None; over.len()];
        let (mut left, mut ready) = (over.len(), Vec::new());
        let until_ns = self.clock.now_ns() + nanos(PATIENCE);
        while left > 0 {
            stop::check()?;
            if self.clock.now_ns() > until_ns {
                bail!("{left} of {} answers did not come in {} s", over.len(), PATIENCE.as_secs());
            }
            self.poller.wait(None, &mut ready)?;
            for socket in &ready {
                let Key::Lane(index) = socket.key else { continue };
                let Some(lane) = self.lanes.get_mut(index as usize) else { continue };
                let Some(head) = lane.on_ready(&self.poller, *socket)? else { continue };
                let slot = waiting.get_mut(index as usize).and_then(Option::take);
                let (request, sent_ns) = slot.context("an answer without a request")?;
                let latency_ns = self.clock.now_ns().saturating_sub(sent_ns);
                let answer = Answer { status: head.status, body: lane.body(&head).to_vec(), latency_ns };
                lane.done(&head);
                if let Some(slot) = answers.get_mut(request) {
                    *slot = Some(answer);
                    left -= 1;
                }
            }
        }
        Ok(answers.into_iter().flatten().collect())
    }
}
