//! Readiness of many sockets, and one precise timer: epoll and a timerfd.

use std::mem;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{Timespec, epoll};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

/// Events taken per wait: few, so that due sends are not held up by a broadcast's reads.
const READY_MAX: usize = 64;
/// A wait ends after this long at the latest, so that a stop is seen.
const WAIT_NS: u64 = 100_000_000;
const WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: WAIT_NS as _ };
const TIMER: u64 = u64::MAX;
const SESSION: u64 = 1 << 32;
const FORMER: u64 = 2 << 32;

/// Whose socket it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// An HTTP connection's.
    Lane(u32),
    /// A push session's.
    Session(u32),
    /// Of a session that another has taken the place of.
    Former(u32),
}

/// A socket that can be read or written.
#[derive(Debug, Clone, Copy)]
pub struct Ready {
    /// Whose.
    pub key: Key,
    /// Has bytes, an end or an error to read.
    pub readable: bool,
    /// Has room, where that was asked for.
    pub writable: bool,
}

/// What to wait for besides bytes to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Nothing else.
    Read,
    /// Room to write.
    ReadWrite,
}

/// Level-triggered epoll with a timer of nanosecond resolution.
pub struct Poller {
    epoll: OwnedFd,
    timer: OwnedFd,
    /// Whether the timer may still fire.
    armed: bool,
}

impl Poller {
    /// A poller without sockets.
    ///
    /// # Errors
    /// As the kernel tells them, for want of descriptors.
    pub fn new() -> std::io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &timer, epoll::EventData::new_u64(TIMER), epoll::EventFlags::IN)?;
        Ok(Self { epoll, timer, armed: false })
    }

    /// Watches a socket until it is closed.
    ///
    /// # Errors
    /// As the kernel tells them.
    pub fn add(&self, socket: impl AsFd, key: Key, interest: Interest) -> std::io::Result<()> {
        Ok(epoll::add(&self.epoll, socket, data(key), flags(interest))?)
    }

    /// Changes what is waited for.
    ///
    /// # Errors
    /// As the kernel tells them.
    pub fn modify(&self, socket: impl AsFd, key: Key, interest: Interest) -> std::io::Result<()> {
        Ok(epoll::modify(&self.epoll, socket, data(key), flags(interest))?)
    }

    /// Watches a socket no longer.
    ///
    /// # Errors
    /// As the kernel tells them.
    pub fn remove(&self, socket: impl AsFd) -> std::io::Result<()> {
        Ok(epoll::delete(&self.epoll, socket)?)
    }

    /// Waits until a socket is ready, `wake_in_ns` are over (zero: does not wait), or 100 ms have
    /// passed, and puts ready sockets into `ready`.
    ///
    /// # Errors
    /// As the kernel tells them.
    pub fn wait(&mut self, wake_in_ns: Option<u64>, ready: &mut Vec<Ready>) -> std::io::Result<()> {
        ready.clear();
        let timeout = match wake_in_ns {
            Some(0) => Timespec { tv_sec: 0, tv_nsec: 0 },
            Some(ns) if ns < WAIT_NS => {
                self.arm(ns)?;
                WAIT
            }
            _ => {
                if mem::take(&mut self.armed) {
                    self.arm(0)?;
                    self.armed = false;
                }
                WAIT
            }
        };
        let mut room = [mem::MaybeUninit::<epoll::Event>::uninit(); READY_MAX];
        let events = match epoll::wait(&self.epoll, &mut room, Some(&timeout)) {
            Ok((events, _)) => events,
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for event in events {
            let bits = event.data.u64();
            if bits == TIMER {
                continue;
            }
            // The low half is the index that `data` put there.
            let index = bits as u32;
            let key = match bits & !u64::from(u32::MAX) {
                SESSION => Key::Session(index),
                FORMER => Key::Former(index),
                _ => Key::Lane(index),
            };
            let flags = event.flags;
            let writable = flags.contains(epoll::EventFlags::OUT);
            ready.push(Ready { key, readable: !(flags - epoll::EventFlags::OUT).is_empty(), writable });
        }
        Ok(())
    }

    /// Setting the timer also takes back an expiry that was not read.
    fn arm(&mut self, ns: u64) -> std::io::Result<()> {
        let value = Timespec {
            tv_sec: i64::try_from(ns / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: (ns % 1_000_000_000) as _,
        };
        let interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        let spec = Itimerspec { it_interval: interval, it_value: value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec)?;
        self.armed = true;
        Ok(())
    }
}

fn data(key: Key) -> epoll::EventData {
    epoll::EventData::new_u64(match key {
        Key::Lane(index) => u64::from(index),
        Key::Session(index) => SESSION | u64::from(index),
        Key::Former(index) => FORMER | u64::from(index),
    })
}

fn flags(interest: Interest) -> epoll::EventFlags {
    match interest {
        Interest::Read => epoll::EventFlags::IN | epoll::EventFlags::RDHUP,
        Interest::ReadWrite => epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::OUT,
    }
}
