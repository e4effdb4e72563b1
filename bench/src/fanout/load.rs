//! The clients of one server: connects them, sends at intended times, and finds each message again in what
//! sessions get.

use std::collections::VecDeque;
use std::io::Read;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use memchr::memmem;

use super::dialect::{Step, unit_end};
use super::heartbeat;
use super::server::{Peer, Running};
use super::{Reach, TEXT_BYTES};
use crate::clock::{Clock, Random, nanos};
use crate::measure::{Latencies, latencies};
use crate::pace::{Arrivals, Pace, Rate};
use crate::poller::{Interest, Key, Poller, Ready};
use crate::process::Group;
use crate::stop;
use crate::stream::{Outbox, Stream};
use crate::wire::frame::{PONG, push_masked};

/// All sessions have to be there within this.
const CONNECT: Duration = Duration::from_secs(60);
/// Connections that are being made at a time.
const CONNECTING_MAX: usize = 256;
/// A server is left alone for this long before its memory is read and before load.
pub(super) const SETTLE: Duration = Duration::from_millis(1_500);
/// Messages may be this late.
const LATE: Duration = Duration::from_secs(5);
/// Stands on both sides of a message's number.
const MARK: &[u8] = b"@@";
/// Mark, 16 hexadecimal digits, mark.
const TAG_BYTES: usize = 20;

pub(super) struct Connection {
    pub(super) stream: Stream,
    steps: VecDeque<Step>,
    received: Vec<u8>,
    outbox: Outbox,
    waits_for_room: bool,
}

struct Flight {
    intended_ns: u64,
    watchers: u32,
    left: u32,
}

/// What is sent in one go.
#[derive(Debug, Clone)]
pub(super) struct Traffic {
    pub(super) rate: Rate,
    pub(super) arrivals: Arrivals,
    pub(super) warm_up: Duration,
    pub(super) window: Duration,
    pub(super) reach: Reach,
    /// Topics that messages go to, in turn at random.
    pub(super) topics: usize,
    /// Sessions that get each message.
    pub(super) watchers: u32,
    pub(super) random: Random,
}

/// What came of it.
pub(super) struct Sent {
    /// From intended send to each session's frame.
    pub(super) deliveries: Latencies,
    /// To the first session's, and to the last one's.
    pub(super) first: Latencies,
    pub(super) last: Latencies,
    /// Frames that did not come.
    pub(super) lost: u64,
    /// The server's CPU time in the window, in nanoseconds.
    pub(super) cpu_ns: u64,
}

/// The server's side of sessions that live long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    /// What comes is searched for messages.
    Messages,
    /// Its heartbeats are answered, and no messages come.
    Heartbeats,
}

/// Sessions and publishers of one server.
pub(super) struct Load {
    pub(super) clock: Clock,
    poller: Poller,
    peer: Peer,
    care: Care,
    pub(super) subscribers: Vec<Option<Connection>>,
    publishers: Vec<Connection>,
    flights: Vec<Flight>,
    deliveries: Latencies,
    first: Latencies,
    last: Latencies,
    /// Numbers of the messages whose samples count.
    counted: std::ops::Range<usize>,
    /// Messages that not all have.
    open: usize,
    /// What went wrong.
    pub(super) errors: u64,
    /// Sessions that were lost, where that is no error.
    pub(super) lost: Option<Vec<u32>>,
    /// Sessions that became live.
    pub(super) greeted: usize,
    /// Of those, the ones that go on where they were.
    pub(super) resumed: usize,
    /// For Waggle: where its log is, as the first welcome said it.
    cursor: Option<String>,
    scratch: Vec<u8>,
    ready: Vec<Ready>,
}

impl Load {
    pub(super) fn new(peer: Peer, care: Care) -> Result<Self> {
        Ok(Self {
            clock: Clock::start(),
            poller: Poller::new()?,
            peer,
            care,
            subscribers: Vec::new(),
            publishers: Vec::new(),
            flights: Vec::new(),
            deliveries: latencies(),
            first: latencies(),
            last: latencies(),
            counted: 0..0,
            open: 0,
            errors: 0,
            lost: None,
            greeted: 0,
            resumed: 0,
            cursor: None,
            scratch: vec![0; 64 * 1024],
            ready: Vec::new(),
        })
    }

    /// Sends until the window is over, or `is_over` says so once a turn.
    pub(super) fn send(
        &mut self,
        server: &Running,
        traffic: &Traffic,
        mut is_over: impl FnMut(&mut Self) -> Result<bool>,
    ) -> Result<Sent> {
        let group = Group::of(server.pid());
        (self.deliveries, self.first, self.last) = (latencies(), latencies(), latencies());
        let sent_before = self.flights.len();
        self.counted = 0..0;
        let start_ns = self.clock.now_ns() + nanos(Duration::from_millis(100));
        let begin_ns = start_ns + nanos(traffic.warm_up);
        let mut end_ns = begin_ns + nanos(traffic.window);
        let mut topics = traffic.random.clone();
        let mut pace = Pace::new(traffic.rate, traffic.arrivals, start_ns, end_ns, topics.clone());
        let (mut begun, mut cpu_ns) = (None, 0);
        loop {
            let now = self.clock.now_ns();
            if begun.is_none() && now >= begin_ns {
                begun = Some(group.cpu_ns());
                self.counted = self.flights.len()..usize::MAX;
            }
            if self.counted.end == usize::MAX && is_over(self)? {
                end_ns = end_ns.min(now);
            }
            if now >= end_ns && self.counted.end == usize::MAX {
                cpu_ns = group.cpu_ns().saturating_sub(begun.unwrap_or_default());
                self.counted.end = self.flights.len();
            }
            if now >= end_ns && (self.open == 0 || now >= end_ns + nanos(LATE)) {
                break;
            }
            while self.clock.now_ns() < end_ns
                && let Some(intended_ns) = pace.due(self.clock.now_ns())
            {
                let topic = if traffic.reach == Reach::All { 0 } else { topics.below(traffic.topics) };
                self.publish(server, topic, intended_ns, traffic.watchers)?;
            }
            let wake = pace.until_next(self.clock.now_ns()).or(Some(10_000_000));
            self.turn(wake)?;
        }
        let flights = self.flights.get_mut(sent_before..).unwrap_or_default();
        // What comes later still is an error, not a message of the next phase.
        let lost = flights.iter_mut().map(|flight| u64::from(std::mem::take(&mut flight.left))).sum();
        self.open = 0;
        let empty = latencies;
        Ok(Sent {
            deliveries: std::mem::replace(&mut self.deliveries, empty()),
            first: std::mem::replace(&mut self.first, empty()),
            last: std::mem::replace(&mut self.last, empty()),
            lost,
            cpu_ns,
        })
    }

    /// Connects sessions, each with its topic, and then publishers.
    pub(super) fn connect(
        &mut self,
        server: &Running,
        sessions: usize,
        topic: impl Fn(usize) -> usize,
        publishers: u32,
    ) -> Result<()> {
        let deadline = self.clock.now_ns() + nanos(CONNECT);
        while self.subscribers.len() < sessions {
            let number = self.subscribers.len();
            let steps = server.dialect.subscribe(topic(number), None);
            let connection =
                self.open(Stream::connect(&server.subscribe)?, Key::Session(number as u32), steps)?;
            self.subscribers.push(Some(connection));
            if self.subscribers.len().is_multiple_of(CONNECTING_MAX) {
                self.until_live(deadline, Self::connecting).context(server.dialect.peer.name())?;
            }
        }
        self.until_live(deadline, Self::connecting).context(server.dialect.peer.name())?;
        for number in 0..publishers {
            let steps = server.dialect.become_publisher();
            let connection = self.open(Stream::connect(&server.publish)?, Key::Lane(number), steps)?;
            self.publishers.push(connection);
        }
        self.until_live(deadline, |load| load.publishers.iter().filter(|one| !one.steps.is_empty()).count())
    }

    /// Begins to connect a session anew; where the server can, it goes on where it was.
    pub(super) fn reconnect(&mut self, server: &Running, number: u32, topic: usize) -> Result<()> {
        let steps = server.dialect.subscribe(topic, self.cursor.as_deref());
        let stream = Stream::begin(&server.subscribe, number)?;
        let connection = self.open(stream, Key::Session(number), steps)?;
        if let Some(place) = self.subscribers.get_mut(number as usize) {
            *place = Some(connection);
        }
        Ok(())
    }

    /// Cuts a session's connection from this side.
    pub(super) fn cut(&mut self, number: u32) {
        if let Some(place) = self.subscribers.get_mut(number as usize) {
            *place = None;
        }
    }

    /// A session's socket is read no longer.
    pub(super) fn stop_reading(&mut self, number: usize) -> Result<()> {
        if let Some(Some(connection)) = self.subscribers.get(number) {
            self.poller.remove(&connection.stream)?;
        }
        Ok(())
    }

    /// Reads what has come to a session that reads no longer: whether the server has ended it.
    pub(super) fn has_ended(&mut self, number: usize) -> bool {
        let Some(Some(connection)) = self.subscribers.get_mut(number) else { return true };
        loop {
            match connection.stream.read(&mut self.scratch) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
            }
        }
    }

    /// Sessions that are not live yet.
    fn connecting(&self) -> usize {
        self.subscribers.iter().flatten().filter(|one| !one.steps.is_empty()).count()
    }

    fn open(&self, stream: Stream, key: Key, steps: Vec<Step>) -> Result<Connection> {
        self.poller.add(&stream, key, Interest::Read)?;
        let mut connection = Connection {
            stream,
            steps: steps.into(),
            received: Vec::new(),
            outbox: Outbox::default(),
            waits_for_room: false,
        };
        if let Some(first) = connection.steps.front() {
            connection.outbox.buffer().extend_from_slice(&first.say);
            connection.flush(key, &self.poller)?;
        }
        Ok(connection)
    }

    fn until_live(&mut self, deadline_ns: u64, waiting: impl Fn(&Self) -> usize) -> Result<()> {
        while waiting(self) > 0 {
            self.turn(None)?;
            if self.clock.now_ns() > deadline_ns || self.errors > 0 {
                bail!("{} connections are not live in time ({} errors)", waiting(self), self.errors);
            }
        }
        Ok(())
    }

    pub(super) fn rest(&mut self, time: Duration) -> Result<()> {
        let until = self.clock.now_ns() + nanos(time);
        while self.clock.now_ns() < until {
            self.turn(Some(10_000_000))?;
        }
        Ok(())
    }

    fn publish(&mut self, server: &Running, topic: usize, intended_ns: u64, watchers: u32) -> Result<()> {
        let number = self.flights.len();
        let tag = format!("@@{number:016x}@@");
        let text = format!("{tag}{}", "x".repeat(TEXT_BYTES - tag.len()));
        // A topic's messages come from one publisher, unless all go to one topic: no session of Waggle may say
        // more than 100 a second.
        let turn = if watchers > 1 { number } else { topic };
        let place = turn % self.publishers.len().max(1);
        let Some(publisher) = self.publishers.get_mut(place) else { bail!("no publishers") };
        server.dialect.publish(topic, &text, publisher.outbox.buffer());
        publisher.flush(Key::Lane(place as u32), &self.poller)?;
        self.flights.push(Flight { intended_ns, watchers, left: watchers });
        self.open += 1;
        Ok(())
    }

    /// Waits for sockets and reads them.
    fn turn(&mut self, wake_in_ns: Option<u64>) -> Result<()> {
        stop::check()?;
        let mut ready = std::mem::take(&mut self.ready);
        self.poller.wait(wake_in_ns, &mut ready)?;
        for socket in &ready {
            if self.serve(*socket).is_err() {
                match (&mut self.lost, socket.key) {
                    (Some(lost), Key::Session(number)) => lost.push(number),
                    _ => self.errors += 1,
                }
            }
        }
        self.ready = ready;
        Ok(())
    }

    fn serve(&mut self, socket: Ready) -> Result<()> {
        let connection = match socket.key {
            Key::Session(number) => self.subscribers.get_mut(number as usize).and_then(Option::as_mut),
            Key::Lane(number) => self.publishers.get_mut(number as usize),
            Key::Former(_) => None,
        };
        let Some(connection) = connection else { return Ok(()) };
        if socket.writable {
            connection.flush(socket.key, &self.poller)?;
        }
        if !socket.readable {
            return Ok(());
        }
        let count = match connection.stream.read(&mut self.scratch) {
            Ok(0) => {
                self.poller.remove(&connection.stream)?;
                bail!("closed");
            }
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => {
                self.poller.remove(&connection.stream)?;
                return Err(error.into());
            }
        };
        let now_ns = self.clock.now_ns();
        let received = self.scratch.get(..count).unwrap_or_default();
        if let Some(step) = connection.steps.front() {
            connection.received.extend_from_slice(received);
            let place = memmem::find(&connection.received, step.until);
            let Some(end) = place.and_then(|place| unit_end(&connection.received, place)) else {
                return Ok(());
            };
            connection.steps.pop_front();
            if let Some(next) = connection.steps.front() {
                connection.outbox.buffer().extend_from_slice(&next.say);
                connection.flush(socket.key, &self.poller)?;
            } else if matches!(socket.key, Key::Session(_)) {
                self.greeted += 1;
                let unit = connection.received.get(..end).unwrap_or_default();
                self.resumed += usize::from(memmem::find(unit, b"\"resumed\":true").is_some());
                if self.cursor.is_none() {
                    self.cursor = super::dialect::cursor(unit);
                }
            }
            connection.received.drain(..end);
            return Ok(());
        }
        if matches!(socket.key, Key::Lane(_)) {
            return Ok(());
        }
        if self.care == Care::Heartbeats {
            connection.received.extend_from_slice(received);
            heartbeat::answer(self.peer, &mut connection.received, connection.outbox.buffer())?;
            return connection.flush(socket.key, &self.poller);
        }
        let mut found = Vec::new();
        if connection.received.is_empty() {
            let used = tags(received, &mut found).min(answer_pings(received, connection.outbox.buffer()));
            connection.received.extend_from_slice(received.get(used..).unwrap_or_default());
        } else {
            connection.received.extend_from_slice(received);
            let pings = answer_pings(&connection.received, connection.outbox.buffer());
            let used = tags(&connection.received, &mut found).min(pings);
            connection.received.drain(..used);
        }
        if !connection.outbox.buffer().is_empty() {
            connection.flush(socket.key, &self.poller)?;
        }
        for number in found {
            self.deliver(number, now_ns);
        }
        Ok(())
    }

    fn deliver(&mut self, number: usize, now_ns: u64) {
        let Some(flight) = self.flights.get_mut(number).filter(|flight| flight.left > 0) else {
            self.errors += 1;
            return;
        };
        let is_first = flight.left == flight.watchers;
        flight.left -= 1;
        let latency = now_ns.saturating_sub(flight.intended_ns);
        if flight.left == 0 {
            self.open -= 1;
        }
        if self.counted.contains(&number) {
            self.deliveries.saturating_record(latency);
            if is_first {
                self.first.saturating_record(latency);
            }
            if flight.left == 0 {
                self.last.saturating_record(latency);
            }
        }
    }
}

impl Connection {
    /// Whether all has been said that makes it a session.
    pub(super) fn is_live(&self) -> bool {
        self.steps.is_empty()
    }

    fn flush(&mut self, key: Key, poller: &Poller) -> Result<()> {
        let waits = !self.outbox.flush(&mut self.stream)?;
        if waits != self.waits_for_room {
            poller.modify(&self.stream, key, if waits { Interest::ReadWrite } else { Interest::Read })?;
            self.waits_for_room = waits;
        }
        Ok(())
    }
}

/// Finds the numbers of whole tags; returns how many bytes need not be looked at again.
fn tags(bytes: &[u8], found: &mut Vec<usize>) -> usize {
    let mut from = 0;
    while let Some(place) = memmem::find(bytes.get(from..).unwrap_or_default(), MARK) {
        let start = from + place;
        let Some(tag) = bytes.get(start..start + TAG_BYTES) else { return start };
        let digits = std::str::from_utf8(&tag[2..18]).ok();
        if let Some(number) = digits.and_then(|digits| usize::from_str_radix(digits, 16).ok()) {
            found.push(number);
        }
        from = start + TAG_BYTES;
    }
    // Half a mark may be at the end.
    let rest = bytes.len() - usize::from(bytes.last() == Some(&b'@'));
    from.max(rest)
}

/// A gateway's ping with eight bytes. Nothing else looks like it: all other frames are of ASCII, and none is
/// so long that its length has these bytes.
const PING: &[u8] = &[0x89, 8];
const PING_BYTES: usize = 10;

/// Answers whole pings; returns how many bytes need not be looked at again.
fn answer_pings(bytes: &[u8], out: &mut Vec<u8>) -> usize {
    let mut from = 0;
    while let Some(place) = memmem::find(bytes.get(from..).unwrap_or_default(), PING) {
        let start = from + place;
        let Some(ping) = bytes.get(start..start + PING_BYTES) else { return start };
        push_masked(out, PONG, 0x1234_5678, ping.get(2..).unwrap_or_default());
        from = start + PING_BYTES;
    }
    from.max(bytes.len() - usize::from(bytes.last() == Some(&0x89)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pings_are_answered_however_they_are_cut() {
        let text = b"xx\x89\x0812345678yy\x89\x08abcdefgh";
        for cut in 0..=text.len() {
            let mut out = Vec::new();
            let mut kept = text[..cut].to_vec();
            let used = answer_pings(&kept, &mut out);
            kept.drain(..used);
            kept.extend_from_slice(&text[cut..]);
            answer_pings(&kept, &mut out);
            let mut wanted = Vec::new();
            push_masked(&mut wanted, PONG, 0x1234_5678, b"12345678");
            push_masked(&mut wanted, PONG, 0x1234_5678, b"abcdefgh");
            assert_eq!(out, wanted, "cut at {cut}");
        }
    }

    #[test]
    fn tags_are_found_however_they_are_cut() {
        let text = b"xx@@000000000000000a@@yyy@@0000000000000010@@";
        for cut in 0..=text.len() {
            let mut found = Vec::new();
            let mut kept = text[..cut].to_vec();
            let used = tags(&kept, &mut found);
            kept.drain(..used);
            kept.extend_from_slice(&text[cut..]);
            tags(&kept, &mut found);
            assert_eq!(found, [10, 16], "cut at {cut}");
        }
    }
}
