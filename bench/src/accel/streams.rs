//! Streams of small messages, one way, at a fixed pace: many connections of several arms at once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rustix::time::{ClockId, clock_gettime};

use crate::clock::{Clock, Random, nanos};
use crate::lab::{CLIENT, Lab, SERVER};
use crate::measure::{Latencies, latencies};
use crate::poller::{Interest, Key, Poller};
use crate::stop;

/// Of each message.
pub(super) const MESSAGE_BYTES: usize = 128;
const CONNECT_MAX: Duration = Duration::from_secs(20);
/// Connections that are opened at once: a listener keeps no more than 128 until they are accepted.
const OPENING_MAX: usize = 60;
/// How long what is under way may take after the last message.
const SETTLE_MAX: Duration = Duration::from_secs(20);

/// One connection, both ends.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) arm: usize,
    pub(super) server: TcpStream,
    pub(super) client: TcpStream,
}

/// Connects `count` clients to a listener of the server's host.
pub(super) fn connect(lab: &Lab, listener: &TcpListener, arm: usize, count: usize) -> Result<Vec<Stream>> {
    let mut streams = Vec::with_capacity(count);
    while streams.len() < count {
        let at_once = (count - streams.len()).min(OPENING_MAX);
        streams.extend(connect_some(lab, listener, arm, at_once)?);
    }
    Ok(streams)
}

fn connect_some(lab: &Lab, listener: &TcpListener, arm: usize, count: usize) -> Result<Vec<Stream>> {
    let to = SocketAddr::from((SERVER, listener.local_addr()?.port()));
    let mut clients = thread::scope(|scope| {
        let opening = (0..count).map(|_| {
            let open = || Ok(TcpStream::connect_timeout(&to, CONNECT_MAX)?);
            scope.spawn(move || lab.client.within(open))
        });
        // All are started before the first is waited for.
        let opening: Vec<_> = opening.collect();
        let opened = opening.into_iter().map(|one| one.join().map_err(|_| anyhow!("a connect panicked"))?);
        opened.collect::<Result<Vec<_>>>()
    })
    .with_context(|| format!("cannot connect from {CLIENT} to {to}"))?;
    let mut streams = Vec::with_capacity(count);
    for _ in 0..count {
        let (server, peer) = listener.accept()?;
        let is_its_own = |client: &TcpStream| client.local_addr().is_ok_and(|address| address == peer);
        let at = clients.iter().position(is_its_own).context("a stranger connected")?;
        let client = clients.swap_remove(at);
        server.set_nonblocking(true)?;
        client.set_nonblocking(true)?;
        streams.push(Stream { arm, server, client });
    }
    Ok(streams)
}

/// What came of an arm's messages. Latencies are from the intended time of sending, in nanoseconds.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) latencies: Latencies,
    pub(super) sent: u64,
}

/// What an exchange cost, in nanoseconds on a processor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Cpu {
    /// The sending thread's, with what its kernel does for it up to the wire.
    pub(super) sender_ns: u64,
    /// All of it: both hosts and the wire between them.
    pub(super) whole_ns: u64,
}

fn cpu_ns(of: ClockId) -> u64 {
    Duration::try_from(clock_gettime(of)).map_or(0, nanos)
}

/// Sends `messages` on each stream, one every `gap`, and takes them at the other end.
pub(super) fn exchange(
    streams: &[Stream],
    arms: usize,
    messages: u64,
    gap: Duration,
    seed: u64,
) -> Result<(Vec<Received>, Cpu)> {
    let clock = Clock::start();
    let mut received: Vec<_> = (0..arms).map(|_| Received { latencies: latencies(), sent: 0 }).collect();
    let before_ns = cpu_ns(ClockId::ProcessCPUTime);
    let sender_ns = thread::scope(|scope| {
        let sender = scope.spawn(|| {
            send(streams, messages, gap, seed, clock)?;
            // The thread is new, so that this is all that it has taken.
            anyhow::Ok(cpu_ns(ClockId::ThreadCPUTime))
        });
        let wanted = messages * streams.len() as u64;
        let give_up = clock.now_ns() + nanos(gap) * messages + nanos(SETTLE_MAX);
        let outcome = receive(streams, &mut received, wanted, give_up, clock);
        let sender_ns = sender.join().map_err(|_| anyhow!("the sender panicked"))??;
        outcome.map(|()| sender_ns)
    })?;
    let whole_ns = cpu_ns(ClockId::ProcessCPUTime) - before_ns;
    for stream in streams {
        if let Some(arm) = received.get_mut(stream.arm) {
            arm.sent += messages;
        }
    }
    Ok((received, Cpu { sender_ns, whole_ns }))
}

fn send(streams: &[Stream], messages: u64, gap: Duration, seed: u64, clock: Clock) -> Result<()> {
    let mut random = Random::new(seed);
    let begin = clock.now_ns() + 10_000_000;
    let phase = |random: &mut Random| (nanos(gap) as f64 * random.unit()) as u64;
    let mut due: BinaryHeap<_> =
        (0..streams.len()).map(|at| Reverse((begin + phase(&mut random), at, 0_u64))).collect();
    let mut message = [0_u8; MESSAGE_BYTES];
    let mut waiting: Vec<Vec<u8>> = vec![Vec::new(); streams.len()];
    while let Some(Reverse((at_ns, stream, number))) = due.pop() {
        stop::check()?;
        thread::sleep(Duration::from_nanos(at_ns.saturating_sub(clock.now_ns())));
        message[..8].copy_from_slice(&at_ns.to_ne_bytes());
        waiting[stream].extend_from_slice(&message);
        flush(&streams[stream], &mut waiting[stream])?;
        if number + 1 < messages {
            due.push(Reverse((at_ns + nanos(gap), stream, number + 1)));
        }
    }
    let give_up_ns = clock.now_ns() + nanos(SETTLE_MAX);
    while waiting.iter().any(|bytes| !bytes.is_empty()) && clock.now_ns() < give_up_ns {
        stop::check()?;
        thread::sleep(Duration::from_millis(1));
        streams.iter().zip(&mut waiting).try_for_each(|(stream, bytes)| flush(stream, bytes))?;
    }
    Ok(())
}

/// Writes what the socket takes: one that has stood still for long takes nothing.
fn flush(stream: &Stream, waiting: &mut Vec<u8>) -> Result<()> {
    while !waiting.is_empty() {
        match (&stream.server).write(waiting) {
            Ok(bytes) => drop(waiting.drain(..bytes)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error).context("a stream has failed"),
        }
    }
    Ok(())
}

fn receive(
    streams: &[Stream],
    received: &mut [Received],
    wanted: u64,
    give_up_ns: u64,
    clock: Clock,
) -> Result<()> {
    let mut poller = Poller::new()?;
    for (at, stream) in streams.iter().enumerate() {
        // There are fewer than descriptors.
        poller.add(&stream.client, Key::Session(at as u32), Interest::Read)?;
    }
    let mut ready = Vec::new();
    let mut partial = vec![Vec::new(); streams.len()];
    let mut buffer = [0_u8; 64 * 1024];
    let mut count = 0;
    while count < wanted && clock.now_ns() < give_up_ns {
        stop::check()?;
        poller.wait(None, &mut ready)?;
        for one in &ready {
            let Key::Session(at) = one.key else { continue };
            let (at, stream) = (at as usize, &streams[at as usize]);
            loop {
                let bytes = match (&stream.client).read(&mut buffer) {
                    Ok(0) => return Err(anyhow!("a stream ended early")),
                    Ok(bytes) => bytes,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                };
                let now = clock.now_ns();
                let waiting: &mut Vec<u8> = &mut partial[at];
                waiting.extend_from_slice(&buffer[..bytes]);
                let whole = waiting.len() / MESSAGE_BYTES * MESSAGE_BYTES;
                for message in waiting[..whole].chunks_exact(MESSAGE_BYTES) {
                    let sent = message[..8].try_into().map_or(0, u64::from_ne_bytes);
                    received[stream.arm].latencies.saturating_record(now.saturating_sub(sent));
                    count += 1;
                }
                waiting.drain(..whole);
            }
        }
    }
    Ok(())
}
