//! The wire: carries packets between two TUN devices, late, and loses some.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::clock::Random;

/// Packets under way in one direction; more are dropped, as a full router does.
const UNDER_WAY_MAX: usize = 65_536;
const PACKET_BYTES_MAX: usize = 2_048;
/// How soon a stop is seen.
const IDLE_MAX: Duration = Duration::from_millis(100);

/// How packets with data are lost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loss {
    /// Share that is lost, 0 to 1.
    pub share: f64,
    /// Mean length of the times in which a connection loses everything; zero is independent losses. This is
    /// the two-state model of Gilbert (Bell System Technical Journal 39, 1960), in time instead of bits: a
    /// path that is down does not come back sooner because more is sent.
    pub outage: Duration,
}

impl Loss {
    /// Nothing is lost.
    pub const NONE: Self = Self { share: 0.0, outage: Duration::ZERO };
}

/// What the wire does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wire {
    /// Delay of each packet in each direction.
    pub one_way: Duration,
    /// Of packets with data towards the client. Handshakes are never lost.
    pub to_client: Loss,
    /// Towards the server.
    pub to_server: Loss,
    /// Of the losses.
    pub seed: u64,
}

/// Packets with data towards the client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FlowCount {
    /// That came to the wire.
    pub packets: u64,
    /// That it lost.
    pub lost: u64,
}

#[derive(Debug)]
struct Shared {
    wire: Mutex<(Wire, u64)>,
    flows: Mutex<BTreeMap<u16, FlowCount>>,
    stop: AtomicBool,
}

/// Carries until it is dropped.
#[derive(Debug)]
pub struct Relay {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Relay {
    pub(super) fn start(server: File, client: File, wire: Wire) -> Result<Self> {
        let shared = Arc::new(Shared {
            wire: Mutex::new((wire, 0)),
            flows: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let towards_client = (server.try_clone()?, client.try_clone()?, true);
        let directions = [towards_client, (client, server, false)];
        let threads = directions.into_iter().map(|(from, to, is_to_client)| {
            let shared = Arc::clone(&shared);
            let carry = move || Direction::new(is_to_client).carry(from, to, &shared);
            Ok(thread::Builder::new().name("wire".to_owned()).spawn(carry)?)
        });
        Ok(Self { threads: threads.collect::<Result<_>>()?, shared })
    }

    pub(super) fn set_wire(&self, wire: Wire) {
        let mut held = lock(&self.shared.wire);
        *held = (wire, held.1 + 1);
    }

    pub(super) fn take_flows(&self) -> BTreeMap<u16, FlowCount> {
        std::mem::take(&mut lock(&self.shared.flows))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A panic in it has been reported.
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// One direction's state.
struct Direction {
    is_to_client: bool,
    under_way: VecDeque<(Instant, Vec<u8>)>,
    /// By the connection's ports: whether its path is down, and until when it is as it is.
    paths: BTreeMap<(u16, u16), (bool, Instant)>,
    random: Random,
    /// Of the wire that `random` was seeded for.
    generation: Option<u64>,
}

impl Direction {
    fn new(is_to_client: bool) -> Self {
        Self {
            is_to_client,
            under_way: VecDeque::new(),
            paths: BTreeMap::new(),
            random: Random::new(0),
            generation: None,
        }
    }

    fn carry(mut self, mut from: File, mut to: File, shared: &Shared) {
        let mut buffer = [0_u8; PACKET_BYTES_MAX];
        while !shared.stop.load(Ordering::Relaxed) {
            self.wait(&from);
            loop {
                match from.read(&mut buffer) {
                    Ok(bytes) => self.take(&buffer[..bytes], shared),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    // The device is gone, or going.
                    Err(_) => return,
                }
            }
            let now = Instant::now();
            while self.under_way.front().is_some_and(|(due, _)| *due <= now) {
                if let Some((_, packet)) = self.under_way.pop_front() {
                    // What the device does not take is lost, as on any wire.
                    let _ = to.write(&packet);
                }
            }
        }
    }

    /// Until there is a packet, or one is due.
    fn wait(&self, from: &File) {
        let left = self.under_way.front().map(|(due, _)| due.saturating_duration_since(Instant::now()));
        let left = left.unwrap_or(IDLE_MAX).min(IDLE_MAX);
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(left.subsec_nanos()) };
        // An interrupted wait is a short one.
        let _ = poll(&mut [PollFd::new(from, PollFlags::IN)], Some(&timeout));
    }

    fn take(&mut self, packet: &[u8], shared: &Shared) {
        let (wire, generation) = *lock(&shared.wire);
        if self.generation != Some(generation) {
            self.generation = Some(generation);
            self.random = Random::new(wire.seed.wrapping_mul(2).wrapping_add(self.is_to_client.into()));
            self.paths.clear();
        }
        let loss = if self.is_to_client { wire.to_client } else { wire.to_server };
        if let Some(ports) = ports_of_data(packet) {
            let is_lost = self.loses(ports, loss, Instant::now());
            if self.is_to_client {
                let mut flows = lock(&shared.flows);
                let flow = flows.entry(ports.0).or_default();
                flow.packets += 1;
                flow.lost += u64::from(is_lost);
            }
            if is_lost {
                return;
            }
        }
        if self.under_way.len() < UNDER_WAY_MAX {
            self.under_way.push_back((Instant::now() + wire.one_way, packet.to_vec()));
        }
    }

    fn loses(&mut self, ports: (u16, u16), loss: Loss, now: Instant) -> bool {
        if loss.outage.is_zero() || loss.share <= 0.0 {
            return self.random.unit() < loss.share;
        }
        let up = loss.outage.mul_f64((1.0 - loss.share) / loss.share);
        // Both last exponentially distributed times.
        let random = &mut self.random;
        let mut lasts = |mean: Duration| mean.mul_f64(-random.unit().ln());
        let (is_down, until) = self.paths.entry(ports).or_insert_with(|| (false, now + lasts(up)));
        while *until <= now {
            *is_down = !*is_down;
            *until += lasts(if *is_down { loss.outage } else { up });
        }
        *is_down
    }
}

/// The ports, from and to, of an IPv4 TCP segment with data; `None` for any other packet.
fn ports_of_data(packet: &[u8]) -> Option<(u16, u16)> {
    let word = |at: usize| Some(u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]));
    if packet.first()? >> 4 != 4 || *packet.get(9)? != 6 {
        return None;
    }
    let header = usize::from(packet.first()? & 15) * 4;
    let data = usize::from(packet.get(header + 12)? >> 4) * 4;
    let is_handshake = packet.get(header + 13)? & 0b10 != 0;
    let has_data = usize::from(word(2)?) > header + data;
    if has_data && !is_handshake { Some((word(header)?, word(header + 2)?)) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The share that is lost of a packet a millisecond, and the mean length of a loss in packets.
    fn share_and_runs(loss: Loss) -> (f64, f64) {
        let mut direction = Direction::new(true);
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let lost: Vec<bool> = (0..400_000).map(|ms| direction.loses((1, 2), loss, at(ms))).collect();
        let count = lost.iter().filter(|lost| **lost).count() as f64;
        let runs = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count() as f64;
        (count / lost.len() as f64, count / runs)
    }

    #[test]
    fn losses_have_their_share_and_length() {
        for (share, outage_ms) in [(0.01, 0), (0.06, 0), (0.03, 30), (0.06, 30)] {
            let (found, length) = share_and_runs(Loss { share, outage: Duration::from_millis(outage_ms) });
            assert!((found / share - 1.0).abs() < 0.15, "{share}: {found}");
            // Independent losses are next to each other by chance.
            let wanted = if outage_ms > 0 { outage_ms as f64 } else { 1.0 / (1.0 - share) };
            assert!((length / wanted - 1.0).abs() < 0.15, "{outage_ms}: {length}");
        }
    }

    #[test]
    fn only_segments_with_data_are_lost() {
        let mut segment = vec![0_u8; 41];
        segment[0] = 0x45;
        segment[3] = 41;
        segment[9] = 6;
        (segment[20], segment[21], segment[23]) = (1, 2, 9);
        segment[32] = 5 << 4;
        assert_eq!(ports_of_data(&segment), Some((258, 9)));
        for (at, value) in [(3, 40), (9, 17), (0, 0x65), (33, 0b10)] {
            let mut other = segment.clone();
            other[at] = value;
            assert_eq!(ports_of_data(&other), None, "{at}");
        }
        for length in 0..34 {
            assert_eq!(ports_of_data(&segment[..length]), None, "{length}");
        }
    }
}
