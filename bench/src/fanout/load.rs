//! One server's run: connects, sends at intended times, and finds each message again in what sessions get.

use std::collections::VecDeque;
use std::io::Read;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use memchr::memmem;

use super::dialect::Step;
use super::server::Running;
use super::{Plan, Reach, TEXT_BYTES};
use crate::clock::{Clock, Random, nanos};
use crate::measure::latencies;
use crate::pace::Pace;
use crate::poller::{Interest, Key, Poller, Ready};
use crate::process::Group;
use crate::result::Run;
use crate::stop;
use crate::stream::{Outbox, Stream};

/// All sessions have to be there within this.
const CONNECT: Duration = Duration::from_secs(60);
/// Connections that are being made at a time.
const CONNECTING_MAX: usize = 256;
/// A server is left alone for this long before its memory is read and before load.
const SETTLE: Duration = Duration::from_millis(1_500);
/// Messages may be this late.
const LATE: Duration = Duration::from_secs(5);
/// Stands on both sides of a message's number.
const MARK: &[u8] = b"@@";
/// Mark, 16 hexadecimal digits, mark.
const TAG_BYTES: usize = 20;

struct Connection {
    stream: Stream,
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

/// Loads one server for one run; `ready` is told when all is connected and the load begins.
pub(super) fn run(server: &Running, plan: &Plan, seed: u64, ready: impl FnOnce()) -> Result<Run> {
    let settings = &plan.settings;
    let mut load = Load {
        clock: Clock::start(),
        poller: Poller::new()?,
        subscribers: Vec::new(),
        publishers: Vec::new(),
        flights: Vec::new(),
        deliveries: latencies(),
        first: latencies(),
        last: latencies(),
        counted: 0..0,
        open: 0,
        errors: 0,
        scratch: vec![0; 64 * 1024],
        ready: Vec::new(),
    };
    let group = Group::of(server.pid());
    load.rest(SETTLE)?;
    let empty = group.memory_bytes();
    load.connect(server, plan)?;
    load.rest(SETTLE)?;
    let full = group.memory_bytes();
    ready();

    let random = Random::new(settings.seed ^ seed);
    let start_ns = load.clock.now_ns() + nanos(Duration::from_millis(100));
    let warm_up = nanos(Duration::try_from_secs_f64(settings.warm_up_s).context("warm-up")?);
    let window = nanos(Duration::try_from_secs_f64(settings.duration_s).context("duration")?);
    let end_ns = start_ns + warm_up + window;
    let mut pace = Pace::new(settings.rate, settings.arrivals, start_ns, end_ns, random.clone());
    let mut topics = random;
    let mut begun = None;
    let watchers = if plan.reach == Reach::All { settings.sessions as u32 } else { 1 };
    let mut usage = 0;
    loop {
        let now = load.clock.now_ns();
        if begun.is_none() && now >= start_ns + warm_up {
            begun = Some(group.cpu_ns());
            load.counted = load.flights.len()..usize::MAX;
        }
        if now >= end_ns && load.counted.end == usize::MAX {
            usage = group.cpu_ns().saturating_sub(begun.unwrap_or_default());
            load.counted.end = load.flights.len();
        }
        if now >= end_ns && (load.open == 0 || now >= end_ns + nanos(LATE)) {
            break;
        }
        while let Some(intended_ns) = pace.due(load.clock.now_ns()) {
            let topic = if plan.reach == Reach::All { 0 } else { topics.below(settings.sessions) };
            load.publish(server, topic, intended_ns, watchers)?;
        }
        let wake = pace.until_next(load.clock.now_ns()).or(Some(10_000_000));
        load.turn(wake)?;
    }
    let mut run = Run::default();
    run.add_latencies("delivery", &load.deliveries);
    if plan.reach == Reach::All {
        run.add_latencies("first", &load.first);
        run.add_latencies("last", &load.last);
    }
    let lost: u64 = load.flights.iter().map(|flight| u64::from(flight.left)).sum();
    for (what, count) in [("messages lost", lost), ("errors", load.errors)] {
        if count > 0 {
            run.errors.insert(what.to_owned(), count);
        }
    }
    let deliveries = load.deliveries.len() as f64;
    run.add("deliveries_per_second", Some(deliveries / settings.duration_s));
    run.add("gateway_cpu_us_per_delivery", Some(usage as f64 / 1e3 / deliveries));
    run.add("gateway_cpu_percent", Some(usage as f64 / 1e7 / settings.duration_s));
    run.add("gateway_bytes_per_session", Some((full as f64 - empty as f64) / settings.sessions as f64));
    run.add("errors", Some((lost + load.errors) as f64));
    Ok(run)
}

struct Load {
    clock: Clock,
    poller: Poller,
    subscribers: Vec<Connection>,
    publishers: Vec<Connection>,
    flights: Vec<Flight>,
    deliveries: crate::measure::Latencies,
    first: crate::measure::Latencies,
    last: crate::measure::Latencies,
    /// Numbers of the messages whose samples count.
    counted: std::ops::Range<usize>,
    /// Messages that not all have.
    open: usize,
    errors: u64,
    scratch: Vec<u8>,
    ready: Vec<Ready>,
}

impl Load {
    fn connect(&mut self, server: &Running, plan: &Plan) -> Result<()> {
        let deadline = self.clock.now_ns() + nanos(CONNECT);
        let sessions = plan.settings.sessions;
        let count = |load: &Self| load.subscribers.iter().filter(|one| !one.steps.is_empty()).count();
        while self.subscribers.len() < sessions {
            let topic = if plan.reach == Reach::All { 0 } else { self.subscribers.len() };
            let key = Key::Session(self.subscribers.len() as u32);
            let steps = server.dialect.subscribe(topic);
            let connection = self.open(Stream::connect(&server.subscribe)?, key, steps)?;
            self.subscribers.push(connection);
            if self.subscribers.len().is_multiple_of(CONNECTING_MAX) {
                self.until_live(deadline, count).context(server.dialect.peer.name())?;
            }
        }
        self.until_live(deadline, count).context(server.dialect.peer.name())?;
        for number in 0..plan.publishers() {
            let steps = server.dialect.become_publisher();
            let connection = self.open(Stream::connect(&server.publish)?, Key::Lane(number), steps)?;
            self.publishers.push(connection);
        }
        self.until_live(deadline, |load| load.publishers.iter().filter(|one| !one.steps.is_empty()).count())
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

    fn rest(&mut self, time: Duration) -> Result<()> {
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
        let place = topic % self.publishers.len().max(1);
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
                self.errors += 1;
            }
        }
        self.ready = ready;
        Ok(())
    }

    fn serve(&mut self, socket: Ready) -> Result<()> {
        let connection = match socket.key {
            Key::Session(number) => self.subscribers.get_mut(number as usize),
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
            if memmem::find(&connection.received, step.until).is_some() {
                connection.received.clear();
                connection.steps.pop_front();
                if let Some(next) = connection.steps.front() {
                    connection.outbox.buffer().extend_from_slice(&next.say);
                    connection.flush(socket.key, &self.poller)?;
                }
            }
            return Ok(());
        }
        if matches!(socket.key, Key::Lane(_)) {
            return Ok(());
        }
        let mut found = Vec::new();
        if connection.received.is_empty() {
            let used = tags(received, &mut found);
            connection.received.extend_from_slice(received.get(used..).unwrap_or_default());
        } else {
            connection.received.extend_from_slice(received);
            let used = tags(&connection.received, &mut found);
            connection.received.drain(..used);
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

#[cfg(test)]
mod tests {
    use super::*;

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
