//! Floods, bounded in rate and time, for the laboratory's own wire only.

use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::Namespace;
use crate::clock::Random;

/// Where the sources of such a flood are (RFC 6598), `STRANGERS_BITS` of them; the server has to have a route to
/// them, or it answers none.
pub const STRANGERS: &str = "100.64.0.0/10";
const STRANGERS_BITS: u32 = 22;
/// Odd, so that multiples of it name each of them once before any of them twice.
const STRANGERS_STEP: u32 = 2_654_435_761;

/// Connections of a flood that are open or opening at once.
const OPEN_MAX: usize = 512;
/// A flood ends by itself after this, whatever happens to the bench.
const LAST_MAX: Duration = Duration::from_secs(120);

/// What comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bare SYN segments, whose senders never answer.
    Syn,
    /// The same, each from another source of [`STRANGERS`].
    SynFromStrangers,
    /// Connections that are made and dropped.
    Connections,
}

/// A running flood; dropping it ends it.
#[derive(Debug)]
pub struct Flood {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Flood {
    /// Starts one from these addresses of `host`.
    ///
    /// # Errors
    /// Where the process may not.
    pub fn start(
        host: &Namespace,
        kind: Kind,
        sources: &[Ipv4Addr],
        to: SocketAddrV4,
        per_second: u64,
    ) -> Result<Self> {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let began = Instant::now();
        let mut pace = Pace { per_second, began, tried: 0, stop: Arc::clone(&stop), sent: Arc::clone(&sent) };
        let sources = sources.to_vec();
        let thread = host.within(|| {
            let raw = match kind {
                Kind::Syn | Kind::SynFromStrangers => Some(raw().context("cannot make a raw socket")?),
                Kind::Connections => None,
            };
            // A thread is in the namespace of the one that starts it.
            let flood = move || match raw {
                Some(raw) if kind == Kind::Syn => {
                    syns(&raw, |random| sources[random.below(sources.len())], to, &mut pace);
                }
                Some(raw) => {
                    let mut number = 0;
                    syns(&raw, |_| stranger(&mut number), to, &mut pace);
                }
                None => connections(&sources, to, &mut pace),
            };
            Ok(thread::Builder::new().name("flood".to_owned()).spawn(flood)?)
        })?;
        Ok(Self { stop, sent, thread: Some(thread) })
    }

    /// Packets that the kernel took, or connections that it began, so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in it has been reported.
            let _ = thread.join();
        }
    }
}

struct Pace {
    per_second: u64,
    began: Instant,
    tried: u64,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
}

impl Pace {
    /// Waits for the next; false at the end.
    fn next(&mut self) -> bool {
        let tried = self.tried;
        self.tried += 1;
        if self.stop.load(Ordering::Relaxed) || self.began.elapsed() > LAST_MAX {
            return false;
        }
        if let Some(due) = tried.saturating_mul(1_000_000_000).checked_div(self.per_second) {
            let due = Duration::from_nanos(due);
            // Short of a tenth of a millisecond, sleeping takes longer than it should.
            if let Some(early) = due.checked_sub(self.began.elapsed()).filter(|early| early.as_micros() > 100)
            {
                thread::sleep(early);
            }
        }
        true
    }

    fn sent(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }
}

fn stranger(number: &mut u32) -> Ipv4Addr {
    *number = number.wrapping_add(STRANGERS_STEP);
    let [_, high, middle, low] = (*number % (1 << STRANGERS_BITS)).to_be_bytes();
    Ipv4Addr::new(100, 64 + high, middle, low)
}

fn raw() -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::TCP))?;
    socket.set_header_included_v4(true)?;
    Ok(socket)
}

fn syns(raw: &Socket, mut source: impl FnMut(&mut Random) -> Ipv4Addr, to: SocketAddrV4, pace: &mut Pace) {
    let mut random = Random::new(7);
    let address = SockAddr::from(SocketAddr::from(to));
    let mut drained = [MaybeUninit::uninit(); 2_048];
    // What is answered comes here as well; it is thrown away.
    let _ = raw.set_nonblocking(true);
    while pace.next() {
        let from = source(&mut random);
        let segment = syn(from, to, &mut random);
        if raw.send_to(&segment, &address).is_ok() {
            pace.sent();
        }
        if pace.tried.is_multiple_of(64) {
            while raw.recv(&mut drained).is_ok() {}
        }
    }
}

fn syn(source: Ipv4Addr, to: SocketAddrV4, random: &mut Random) -> [u8; 40] {
    let mut packet = [0; 40];
    packet[0] = 0x45;
    packet[3] = 40;
    (packet[8], packet[9]) = (64, 6);
    packet[12..16].copy_from_slice(&source.octets());
    packet[16..20].copy_from_slice(&to.ip().octets());
    let port = 1_024 + random.below(64_000) as u16;
    packet[20..22].copy_from_slice(&port.to_be_bytes());
    packet[22..24].copy_from_slice(&to.port().to_be_bytes());
    packet[24..28].copy_from_slice(&(random.next_u64() as u32).to_be_bytes());
    (packet[32], packet[33]) = (5 << 4, 2);
    packet[34..36].copy_from_slice(&64_240_u16.to_be_bytes());
    // The kernel fills in the header's checksum; TCP's is of the segment and a pseudo-header (RFC 9293).
    let words = packet[12..40].chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let mut sum = words.sum::<u32>() + 6 + 20;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    packet[36..38].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    packet
}

fn connections(sources: &[Ipv4Addr], to: SocketAddrV4, pace: &mut Pace) {
    let mut random = Random::new(9);
    let mut open = VecDeque::with_capacity(OPEN_MAX);
    while pace.next() {
        let source = SocketAddrV4::new(sources[random.below(sources.len())], 0);
        let opened = Socket::new(Domain::IPV4, Type::STREAM, None).and_then(|socket| {
            socket.set_nonblocking(true)?;
            socket.set_linger(Some(Duration::ZERO))?;
            socket.bind(&SocketAddr::from(source).into())?;
            match socket.connect(&SocketAddr::from(to).into()) {
                // It is under way, which is an error of its own.
                Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
                _ => Ok(socket),
            }
        });
        if let Ok(socket) = opened {
            pace.sent();
            if open.len() == OPEN_MAX {
                open.pop_front();
            }
            open.push_back(socket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_all_different() {
        let mut number = 0;
        let mut seen: Vec<_> = (0..1 << STRANGERS_BITS).map(|_| stranger(&mut number)).collect();
        assert!(seen.iter().all(|one| one.octets()[0] == 100 && (64..128).contains(&one.octets()[1])));
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 1 << STRANGERS_BITS);
    }
}
