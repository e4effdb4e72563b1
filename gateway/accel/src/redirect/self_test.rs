//! What redirection does on the running kernel: each of its hazards is tried on connections of this process
//! with itself. Needs no cgroup, no running gateway, and leaves nothing behind.

use std::fs;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd as _, OwnedFd};
use std::thread;
use std::time::Instant;

use rustix::event::epoll;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use waggle_ebpf::redirect::Count;

use super::kernel::Kernel;
use super::pair::{PATIENCE, TcpPair, ends};
use super::{RedirectWay, SelfTestCheck, SelfTestReport};
use crate::Unavailable;

/// As much as the push protocol leaves unread with a client at most: its queue has to hold that.
const WINDOW_BYTES: usize = 512 * 1024;
/// Messages that a reader is woken for, in each way of waiting.
const WAKE_UPS: u8 = 100;

type Outcome = Result<(), String>;
type Check = fn(&Kernel) -> Outcome;

const CHECKS: [(&str, Check); 6] = [
    ("order", order),
    ("window", window),
    ("wake_up", wake_up),
    ("close", close),
    ("death", death),
    ("fionread", fionread),
];

/// Tries redirection on the running kernel: the order of bytes, a whole window for a reader that has
/// stopped, waking readers, closing after sending, the death of either end, and `FIONREAD`. Takes some
/// milliseconds, and at most a few seconds where a kernel does not do what it should.
///
/// # Errors
/// Where the programs cannot be loaded, so that nothing could be tried.
pub fn self_test() -> Result<SelfTestReport, Unavailable> {
    let kernel = Kernel::load()?;
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let check = |(name, check): (&str, Check)| SelfTestCheck {
        check: name.to_owned(),
        failure: check(&kernel).err(),
    };
    let checks = CHECKS.into_iter().map(check).collect();
    Ok(SelfTestReport { kernel: release.trim().to_owned(), checks })
}

/// A connection both of whose ends are in the map.
fn pair(kernel: &Kernel) -> Result<TcpPair, String> {
    let pair = connected()?;
    put_accepted(kernel, &pair)?;
    put_client(kernel, &pair)?;
    Ok(pair)
}

fn connected() -> Result<TcpPair, String> {
    TcpPair::listen().and_then(|listening| listening.connect()).map_err(said("cannot connect over loopback"))
}

fn put_accepted(kernel: &Kernel, pair: &TcpPair) -> Outcome {
    let ends = ends(&pair.accepted).map_err(said("cannot name a connection"))?;
    let put = kernel.put_undecided(pair.accepted()).and_then(|()| kernel.put_socket(pair.accepted(), ends));
    put.map_err(|error| format!("a socket is not taken into the map: {error}"))
}

fn put_client(kernel: &Kernel, pair: &TcpPair) -> Outcome {
    let ends = ends(&pair.client).map_err(said("cannot name a connection"))?;
    let put = kernel.put_socket(pair.client.as_fd(), ends);
    put.map_err(|error| format!("a socket is not taken into the map: {error}"))
}

/// Bytes come once, in order, and past TCP; and a connection that has begun by TCP goes on so.
fn order(kernel: &Kernel) -> Outcome {
    let mut redirected = pair(kernel)?;
    exchange(&mut redirected)?;
    if kernel.way_of(redirected.accepted()) != Some(RedirectWay::Redirected) {
        return Err("a connection between two sockets of the map was not redirected".to_owned());
    }
    let mut late = connected()?;
    put_accepted(kernel, &late)?;
    late.accepted.write_all(b"by TCP").map_err(said("a first message without its other end"))?;
    put_client(kernel, &late)?;
    let before = kernel.counted(Count::Messages);
    late.accepted.write_all(b", and so on").map_err(said("a second message"))?;
    let mut text = [0; 17];
    late.client.read_exact(&mut text).map_err(said("bytes that were sent by TCP do not come"))?;
    if &text != b"by TCP, and so on" || kernel.counted(Count::Messages) != before {
        return Err("a connection changed its way after its first message".to_owned());
    }
    Ok(())
}

/// Messages of many sizes, read in pieces of other sizes.
fn exchange(pair: &mut TcpPair) -> Outcome {
    let (mut sent, mut came) = (0_usize, 0_usize);
    let mut buffer = vec![0; 1_777];
    for size in (1..200).map(|number| number * 37) {
        let message: Vec<u8> = (sent..sent + size).map(byte_at).collect();
        pair.accepted.write_all(&message).map_err(said("sending"))?;
        sent += size;
        while came < sent {
            let count = pair.client.read(&mut buffer).map_err(said("reading"))?;
            expect(buffer.get(..count).unwrap_or_default(), came)?;
            came += count;
        }
    }
    Ok(())
}

/// What stands at a place of the stream: no period that a page or a message has.
fn byte_at(place: usize) -> u8 {
    (place % 251) as u8
}

fn expect(bytes: &[u8], from: usize) -> Outcome {
    if bytes.is_empty() {
        return Err(format!("the stream ended after {from} bytes"));
    }
    match bytes.iter().zip(from..).find(|(byte, place)| **byte != byte_at(*place)) {
        Some((_, place)) => Err(format!("byte {place} of a stream is another one's")),
        None => Ok(()),
    }
}

/// A reader that has stopped: its queue takes a whole window without blocking, and gives all of it back.
fn window(kernel: &Kernel) -> Outcome {
    let mut pair = pair(kernel)?;
    pair.accepted.set_nonblocking(true).map_err(said("cannot set a socket"))?;
    send(&mut pair.accepted, WINDOW_BYTES).map_err(said("a window's bytes are not taken"))?;
    read_back(&mut pair.client, WINDOW_BYTES)
}

fn send(socket: &mut TcpStream, bytes: usize) -> io::Result<()> {
    let all: Vec<u8> = (0..bytes).map(byte_at).collect();
    all.chunks(4 * 1024).try_for_each(|chunk| socket.write_all(chunk))
}

fn read_back(socket: &mut TcpStream, bytes: usize) -> Outcome {
    let mut all = vec![0; bytes];
    socket.read_exact(&mut all).map_err(said("bytes that were sent do not come"))?;
    expect(&all, 0)
}

#[derive(Clone, Copy, Debug)]
enum Waiting {
    Read,
    Level,
    Edge,
}

/// Whoever waits for bytes is woken: by a blocking read, and by epoll in both of its ways; and what was read
/// in part shows again.
fn wake_up(kernel: &Kernel) -> Outcome {
    for waiting in [Waiting::Read, Waiting::Level, Waiting::Edge] {
        let TcpPair { client, mut accepted } = pair(kernel)?;
        let reader = thread::spawn(move || answer_each(client, waiting));
        let mut outcome = Ok(());
        for number in 0..WAKE_UPS {
            let mut answer = [0];
            // The answer goes by TCP, and says that the reader has been woken.
            outcome = accepted.write_all(&[number, number]).and_then(|()| accepted.read_exact(&mut answer));
            if outcome.is_err() {
                break;
            }
        }
        drop(accepted);
        let read = reader.join().map_err(|_| "the reader panicked".to_owned())?;
        read.map_err(said(&format!("waiting by {waiting:?}")))?;
        outcome.map_err(said(&format!("waiting by {waiting:?}: no answer")))?;
    }
    Ok(())
}

/// Reads two bytes, one at a time, after having waited for each; says so by a third.
fn answer_each(mut client: TcpStream, waiting: Waiting) -> io::Result<()> {
    let poller = match waiting {
        Waiting::Read => None,
        Waiting::Level => Some(watch(&client, epoll::EventFlags::IN)?),
        Waiting::Edge => Some(watch(&client, epoll::EventFlags::IN | epoll::EventFlags::ET)?),
    };
    for number in 0..WAKE_UPS {
        let mut byte = [0];
        for part in 0..2 {
            // An edge tells of new bytes only.
            if let Some(poller) = poller.as_ref().filter(|_| part == 0 || matches!(waiting, Waiting::Level)) {
                wait(poller)?;
            }
            client.read_exact(&mut byte)?;
            if byte != [number] {
                return Err(io::Error::other(format!("{byte:?} came instead of {number}")));
            }
        }
        client.write_all(&byte)?;
    }
    Ok(())
}

fn watch(socket: &TcpStream, flags: epoll::EventFlags) -> io::Result<OwnedFd> {
    let poller = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&poller, socket, epoll::EventData::new_u64(0), flags)?;
    Ok(poller)
}

fn wait(poller: &OwnedFd) -> io::Result<()> {
    let mut events = Vec::with_capacity(1);
    let patience = Timespec::try_from(PATIENCE).map_err(io::Error::other)?;
    epoll::wait(poller, rustix::buffer::spare_capacity(&mut events), Some(&patience))?;
    if events.is_empty() {
        Err(io::Error::new(ErrorKind::TimedOut, "epoll does not tell of bytes"))
    } else {
        Ok(())
    }
}

/// An end that has sent a window and closes: the other one reads all of it, and then the end.
fn close(kernel: &Kernel) -> Outcome {
    let TcpPair { mut client, mut accepted } = pair(kernel)?;
    send(&mut accepted, WINDOW_BYTES / 2).map_err(said("sending"))?;
    drop(accepted);
    read_back(&mut client, WINDOW_BYTES / 2)?;
    ended(&mut client)?;

    let TcpPair { mut client, mut accepted } = pair(kernel)?;
    send(&mut accepted, 100).map_err(said("sending"))?;
    accepted.shutdown(Shutdown::Write).map_err(said("closing one half"))?;
    read_back(&mut client, 100)?;
    ended(&mut client)?;
    client.write_all(b"still here").map_err(said("the other half"))?;
    let mut answer = [0; 10];
    accepted.read_exact(&mut answer).map_err(said("the other half"))
}

fn ended(socket: &mut TcpStream) -> Outcome {
    match socket.read(&mut [0]) {
        Ok(0) => Ok(()),
        Ok(_) => Err("there are bytes after the end".to_owned()),
        Err(error) => Err(format!("the end does not come: {error}")),
    }
}

/// Either end is gone without a word: the other one learns it, and is not held up by sending.
fn death(kernel: &Kernel) -> Outcome {
    let TcpPair { client, mut accepted } = pair(kernel)?;
    send(&mut accepted, 1_000).map_err(said("sending"))?;
    drop(client);
    told(&accepted, "the sender does not learn that its reader is gone")?;
    let begun = Instant::now();
    // It may be taken, or fail.
    let _ = accepted.write(b"to nobody");
    if begun.elapsed() >= PATIENCE {
        return Err("sending to a reader that is gone blocks".to_owned());
    }

    let TcpPair { mut client, mut accepted } = pair(kernel)?;
    send(&mut accepted, 1_000).map_err(said("sending"))?;
    rustix::net::sockopt::set_socket_linger(&accepted, Some(std::time::Duration::ZERO))
        .map_err(|error| format!("cannot set a socket: {error}"))?;
    drop(accepted);
    told(&client, "the reader does not learn that its sender is gone")?;
    // What was not read may be lost, as after a reset.
    let mut buffer = [0; 1_000];
    for _ in 0..2 {
        match client.read(&mut buffer) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Err("a reader whose sender is gone waits on".to_owned());
            }
            Ok(0) | Err(_) => return Ok(()),
            Ok(_) => {}
        }
    }
    Err("a reader whose sender is gone reads on".to_owned())
}

/// Whether the socket shows that there is something to be learned.
fn told(socket: &TcpStream, otherwise: &str) -> Outcome {
    let mut one = [PollFd::new(socket, PollFlags::IN | PollFlags::RDHUP)];
    let patience = Timespec::try_from(PATIENCE).map_err(|error| error.to_string())?;
    match poll(&mut one, Some(&patience)) {
        Ok(1..) => Ok(()),
        Ok(_) => Err(otherwise.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// What a reader is told of how much there is: all, the rest after it has read some, and nothing at the end.
fn fionread(kernel: &Kernel) -> Outcome {
    let mut pair = pair(kernel)?;
    send(&mut pair.accepted, 1_000).map_err(said("sending"))?;
    if kernel.way_of(pair.accepted()) != Some(RedirectWay::Redirected) {
        return Err("a connection between two sockets of the map was not redirected".to_owned());
    }
    for (wait, read) in [(1_000, 400), (600, 600), (0, 0)] {
        match rustix::io::ioctl_fionread(&pair.client) {
            Ok(said) if said == wait => {}
            Ok(said) => return Err(format!("ioctl(FIONREAD) says {said} where {wait} bytes wait")),
            Err(error) => return Err(format!("ioctl(FIONREAD): {error}")),
        }
        pair.client.read_exact(&mut vec![0; read]).map_err(said("reading"))?;
    }
    Ok(())
}

fn said(what: &str) -> impl Fn(io::Error) -> String {
    move |error| format!("{what}: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only `fionread` may fail: no kernel is known on which another check does.
    #[test]
    fn the_running_kernel_redirects_as_it_should() {
        let report = match self_test() {
            Ok(report) => report,
            Err(error) => {
                let reason = crate::error::chain(&error);
                let lacks = ["missing capability", "built without"].iter().any(|word| reason.contains(word));
                assert!(lacks, "{reason}");
                return crate::skip("the_running_kernel_redirects_as_it_should", &reason);
            }
        };
        println!("{report}");
        assert_eq!(report.checks.len(), CHECKS.len());
        assert_eq!(report.failure(&[super::super::Hazard::Fionread]), None, "{report}");
    }
}
