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

/// Connections of a flood that are open or opening at once.
const OPEN_MAX: usize = 512;
/// A flood ends by itself after this, whatever happens to the bench.
const LAST_MAX: Duration = Duration::from_secs(120);

/// What comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bare SYN segments, whose senders never answer.
    Syn,
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
    /// Starts one from these addresses of `host`; `per_second` 0 is as many as one thread makes.
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
        let mut pace =
            Pace { per_second, began: Instant::now(), stop: Arc::clone(&stop), sent: Arc::clone(&sent) };
        let sources = sources.to_vec();
        let thread = host.within(|| {
            let raw = match kind {
                Kind::Syn => Some(raw().context("cannot make a raw socket")?),
                Kind::Connections => None,
            };
            // A thread is in the namespace of the one that starts it.
            let flood = move || match raw {
                Some(raw) => syns(&raw, &sources, to, &mut pace),
                None => connections(&sources, to, &mut pace),
            };
            Ok(thread::Builder::new().name("flood".to_owned()).spawn(flood)?)
        })?;
        Ok(Self { stop, sent, thread: Some(thread) })
    }

    /// Packets or connections so far.
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
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
}

impl Pace {
    /// Waits for the next; false at the end.
    fn next(&mut self) -> bool {
        let sent = self.sent.fetch_add(1, Ordering::Relaxed);
        if self.stop.load(Ordering::Relaxed) || self.began.elapsed() > LAST_MAX {
            return false;
        }
        if let Some(due) = sent.saturating_mul(1_000_000_000).checked_div(self.per_second) {
            let due = Duration::from_nanos(due);
            // Short of a tenth of a millisecond, sleeping takes longer than it should.
            if let Some(early) = due.checked_sub(self.began.elapsed()).filter(|early| early.as_micros() > 100)
            {
                thread::sleep(early);
            }
        }
        true
    }
}

fn raw() -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::TCP))?;
    socket.set_header_included_v4(true)?;
    Ok(socket)
}

fn syns(raw: &Socket, sources: &[Ipv4Addr], to: SocketAddrV4, pace: &mut Pace) {
    let mut random = Random::new(7);
    let address = SockAddr::from(SocketAddr::from(to));
    let mut drained = [MaybeUninit::uninit(); 2_048];
    // What is answered comes here as well; it is thrown away.
    let _ = raw.set_nonblocking(true);
    while pace.next() {
        let source = sources[random.below(sources.len())];
        let segment = syn(source, to, &mut random);
        // What the wire does not take is not sent.
        let _ = raw.send_to(&segment, &address);
        if pace.sent.load(Ordering::Relaxed).is_multiple_of(64) {
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
            // It is under way, which is an error of its own.
            let _ = socket.connect(&SocketAddr::from(to).into());
            Ok(socket)
        });
        if let Ok(socket) = opened {
            if open.len() == OPEN_MAX {
                open.pop_front();
            }
            open.push_back(socket);
        }
    }
}
