//! All push sessions of a load; where losses are allowed for, they come back as the protocol asks for.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use rustc_hash::FxHashMap;
use waggle_core::id::Cursor;

use super::SCRATCH_BYTES;
use crate::clock::{Clock, Random, nanos};
use crate::measure::{Latencies, Recorder, STEP_NS, latencies};
use crate::poller::{Key, Poller, Ready};
use crate::session::{Opening, Reading, Seen, Session, SessionError};
use crate::stream::Stream;
use crate::target::Target;

/// Sessions that are opened again per turn, so that frames of others do not wait for long.
const OPENS_PER_TURN: usize = 16;
/// After an attempt that failed without a hint: half to all of it.
const BACKOFF_NS: u64 = 400_000_000;
/// An attempt that takes longer has failed.
const ATTEMPT_NS: u64 = 20_000_000_000;

/// What the end of a session means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// An error.
    Errors,
    /// A loss: the session comes back with its cursor after a random part of this time.
    Losses { spread_ns: u64 },
    /// What was to be seen.
    Expected,
}

/// How sessions were lost and came back.
#[derive(Debug, Clone)]
pub struct Returns {
    /// Connections that were made for it.
    pub attempts: u64,
    /// Sessions that came back.
    pub returned: u64,
    /// How sessions and attempts ended, with counts; those that the bench ended itself are not in it.
    pub ends: BTreeMap<String, u64>,
    /// Connections that ended by a reset, at any time.
    pub resets: u64,
    /// From loss (or from the word to go) to live.
    pub away: Latencies,
    /// Sessions that came back, by tenths of a second since the first did.
    pub steps: Vec<u64>,
    /// The first loss.
    pub lost_ns: Option<u64>,
    /// The last time that all became live.
    pub whole_ns: Option<u64>,
    first_return_ns: Option<u64>,
}

impl Returns {
    fn new() -> Self {
        Self {
            attempts: 0,
            returned: 0,
            ends: BTreeMap::new(),
            resets: 0,
            away: latencies(),
            steps: Vec::new(),
            lost_ns: None,
            whole_ns: None,
            first_return_ns: None,
        }
    }

    fn end(&mut self, error: &SessionError) {
        if matches!(error, SessionError::Io(error) if error.kind() == io::ErrorKind::ConnectionReset) {
            self.resets += 1;
        }
        let what: String = error.to_string().chars().take_while(|c| *c != '\r').take(160).collect();
        *self.ends.entry(what).or_default() += 1;
    }

    fn back(&mut self, lost_ns: u64, now_ns: u64) {
        self.returned += 1;
        self.away.saturating_record(now_ns.saturating_sub(lost_ns));
        let first_ns = *self.first_return_ns.get_or_insert(now_ns);
        let step = ((now_ns - first_ns) / STEP_NS) as usize;
        if step >= self.steps.len() {
            self.steps.resize(step + 1, 0);
        }
        self.steps[step] += 1;
    }

    /// The most sessions that came back within one second.
    #[must_use]
    pub fn most_per_second(&self) -> u64 {
        let steps = usize::try_from(1_000_000_000 / STEP_NS).unwrap_or(1);
        let whole = self.steps.windows(steps).map(|window| window.iter().sum()).max();
        whole.unwrap_or_else(|| self.steps.iter().sum())
    }
}

/// One user.
struct Place {
    session: Option<Session>,
    view: Arc<str>,
    ticket: u64,
    /// Where a session that was lost had got to.
    cursor: Option<Cursor>,
    /// When it was lost or told to go, or its attempt to come back began.
    since_ns: Option<u64>,
    /// The gateway wants its session gone.
    is_told: bool,
    /// It does not read: what comes is of no interest.
    is_stopped: bool,
}

pub(super) struct Crowd {
    places: Vec<Place>,
    /// Sessions that others take the place of, until their connections are closed.
    former: FxHashMap<u32, Session>,
    live: usize,
    ends: Ends,
    due: BinaryHeap<Reverse<(u64, u32)>>,
    returns: Returns,
    /// Set as soon as all are live again.
    whole: Option<Arc<AtomicBool>>,
    scratch: Vec<u8>,
    random: Random,
    first_error: Option<String>,
}

/// What the crowd needs of its load.
pub(super) struct Tools<'a> {
    pub(super) poller: &'a Poller,
    pub(super) clock: Clock,
    pub(super) recorder: &'a mut Recorder,
}

impl Crowd {
    pub(super) fn new(random: Random) -> Self {
        Self {
            places: Vec::new(),
            former: FxHashMap::default(),
            live: 0,
            ends: Ends::Errors,
            due: BinaryHeap::new(),
            returns: Returns::new(),
            whole: None,
            scratch: vec![0; SCRATCH_BYTES],
            random,
            first_error: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn live(&self) -> usize {
        self.live
    }

    pub(super) fn take_first_error(&mut self) -> Option<String> {
        self.first_error.take()
    }

    /// Begins to count anew.
    pub(super) fn take_returns(&mut self) -> Returns {
        std::mem::replace(&mut self.returns, Returns::new())
    }

    pub(super) fn set_ends(&mut self, ends: Ends) {
        self.ends = ends;
    }

    pub(super) fn tell_when_whole(&mut self, flag: Arc<AtomicBool>) {
        self.whole = Some(flag);
    }

    /// Opens one more.
    pub(super) fn open(
        &mut self,
        target: &Target,
        view: Arc<str>,
        ticket: u64,
        poller: &Poller,
    ) -> Result<()> {
        let index = u32::try_from(self.places.len()).context("too many sessions")?;
        let stream = Stream::begin(&target.push, index)
            .with_context(|| format!("cannot connect session {index} to {}", target.push))?;
        let token = target.token(index as usize);
        let opening = Opening { host: &target.host, token, view: &view, ticket, resume: None };
        let session = Some(Session::open(stream, Key::Session(index), poller, opening)?);
        let (cursor, since_ns) = (None, None);
        let place = Place { session, view, ticket, cursor, since_ns, is_told: false, is_stopped: false };
        self.places.push(place);
        Ok(())
    }

    /// When the next has to be opened again.
    pub(super) fn next_due(&self) -> Option<u64> {
        self.due.peek().map(|Reverse((due_ns, _))| *due_ns)
    }

    /// The first `count` read no more.
    pub(super) fn stop_reading(&mut self, count: usize, poller: &Poller) -> io::Result<()> {
        for place in self.places.iter_mut().take(count) {
            place.is_stopped = true;
            place.session.as_ref().map_or(Ok(()), |session| session.stop_reading(poller))?;
        }
        Ok(())
    }

    /// Those that had stopped read again.
    pub(super) fn read_on(&mut self, poller: &Poller) -> io::Result<()> {
        let stopped = self.places.iter().filter(|place| place.is_stopped);
        stopped.filter_map(|place| place.session.as_ref()).try_for_each(|session| session.read_on(poller))
    }

    /// Sessions that had stopped and are still there.
    pub(super) fn stopped(&self) -> usize {
        self.places.iter().filter(|place| place.is_stopped && place.session.is_some()).count()
    }

    /// `count` sessions lose their connections at once, without a word: all, or some at random.
    pub(super) fn lose(&mut self, count: usize, now_ns: u64) {
        let all = self.places.len();
        for number in 0..count.min(all) {
            let index = if count >= all { number } else { self.random.below(all) };
            let Some(place) = self.places.get_mut(index) else { continue };
            if !place.session.as_ref().is_some_and(Session::is_live) {
                continue;
            }
            place.cursor = place.session.take().and_then(|session| session.cursor());
            place.since_ns = Some(now_ns);
            self.live -= 1;
            self.returns.lost_ns.get_or_insert(now_ns);
            self.schedule(index as u32, now_ns);
        }
    }

    fn schedule(&mut self, index: u32, now_ns: u64) {
        let Ends::Losses { spread_ns } = self.ends else { return };
        let wait = self.random.below(usize::try_from(spread_ns).unwrap_or(usize::MAX)) as u64;
        self.due.push(Reverse((now_ns + wait, index)));
    }

    /// Opens sessions again whose time has come.
    pub(super) fn reopen(&mut self, targets: &[Target], with: &mut Tools<'_>) {
        for _ in 0..OPENS_PER_TURN {
            let now_ns = with.clock.now_ns();
            if self.next_due().is_none_or(|due_ns| due_ns > now_ns) {
                return;
            }
            let Some(Reverse((_, index))) = self.due.pop() else { return };
            if let Err(error) = self.reopen_one(index, targets, now_ns, with.poller) {
                self.returns.end(&error);
                self.try_again(index, now_ns, &error);
            }
        }
    }

    fn reopen_one(
        &mut self,
        index: u32,
        targets: &[Target],
        now_ns: u64,
        poller: &Poller,
    ) -> Result<(), SessionError> {
        let at = index as usize;
        let Some(place) = self.places.get_mut(at) else { return Ok(()) };
        if place.session.is_some() && !place.is_told {
            // It was lost after it was told to go, and is back.
            return Ok(());
        }
        place.is_told = false;
        if let Some(mut old) = place.session.take() {
            // It was told to go: the new connection is made before this one is closed.
            place.cursor = old.cursor();
            self.live -= usize::from(old.is_live());
            if old.retire(Key::Former(index), poller).is_ok() {
                self.former.insert(index, old);
            }
        }
        self.returns.attempts += 1;
        place.since_ns.get_or_insert(now_ns);
        // There is a target: a load takes none without.
        let target = &targets[at % targets.len()];
        let stream = Stream::begin(&target.push, index)?;
        let (view, ticket, resume) = (&*place.view, place.ticket, place.cursor);
        let opening = Opening { host: &target.host, token: target.token(at), view, ticket, resume };
        place.session = Some(Session::open(stream, Key::Session(index), poller, opening)?);
        Ok(())
    }

    pub(super) fn on_ready(&mut self, index: u32, ready: Ready, with: &mut Tools<'_>) {
        let Self { scratch, random, .. } = self;
        let Some(place) = self.places.get_mut(index as usize) else { return };
        let Some(session) = &mut place.session else { return };
        let was_live = session.is_live();
        let (mut is_live, mut told) = (false, None);
        let mut result = if ready.writable { session.flush(with.poller) } else { Ok(()) };
        if result.is_ok() && ready.readable {
            let mut reading = Reading { poller: with.poller, clock: with.clock, scratch, random };
            let is_stopped = place.is_stopped;
            result = session.receive(&mut reading, |seen| match seen {
                Seen::Live => is_live = true,
                Seen::Event { .. } | Seen::Fault(_) if is_stopped => {}
                Seen::Event { event, now_ns } => with.recorder.delivered(event, now_ns),
                // It may come with any message of a customer's.
                Seen::Suggestion { .. } => {}
                Seen::Drain { after_ms } => told = Some(after_ms),
                Seen::Fault(fault) => with.recorder.error(fault),
            });
        }
        if is_live {
            self.welcomed(index, with);
        }
        match result {
            Err(error) => self.lost(index, was_live || is_live, &error, with),
            Ok(()) => {
                if let Some(after_ms) = told {
                    self.told_to_go(index, after_ms, with);
                }
            }
        }
    }

    fn welcomed(&mut self, index: u32, with: &mut Tools<'_>) {
        let now_ns = with.clock.now_ns();
        self.live += 1;
        let Some(place) = self.places.get_mut(index as usize) else { return };
        if let Some(since_ns) = place.since_ns.take() {
            self.returns.back(since_ns, now_ns);
        }
        if let Some(former) = self.former.get_mut(&index)
            && former.say_goodbye(with.poller, &mut self.random).is_err()
        {
            self.former.remove(&index);
        }
        if self.live == self.places.len() {
            self.returns.whole_ns = Some(now_ns);
            if self.returns.lost_ns.is_some()
                && let Some(flag) = self.whole.take()
            {
                flag.store(true, Ordering::Relaxed);
            }
        }
    }

    /// The protocol's rule: at a random moment of the first three quarters.
    fn told_to_go(&mut self, index: u32, after_ms: u64, with: &mut Tools<'_>) {
        if self.ends == Ends::Errors {
            return with.recorder.error("the gateway drains");
        }
        if let Some(place) = self.places.get_mut(index as usize) {
            place.is_told = true;
        }
        let most_ns = nanos(Duration::from_millis(after_ms)) / 4 * 3;
        let wait = self.random.below(usize::try_from(most_ns).unwrap_or(usize::MAX)) as u64;
        self.due.push(Reverse((with.clock.now_ns() + wait, index)));
    }

    fn lost(&mut self, index: u32, was_live: bool, error: &SessionError, with: &mut Tools<'_>) {
        let now_ns = with.clock.now_ns();
        self.live -= usize::from(was_live);
        let Some(place) = self.places.get_mut(index as usize) else { return };
        place.is_told = false;
        if let Some(session) = place.session.take() {
            place.cursor = session.cursor().or(place.cursor);
        }
        self.returns.end(error);
        match self.ends {
            Ends::Errors => {
                let error = error.to_string();
                with.recorder.error(&error);
                self.first_error.get_or_insert(error);
            }
            Ends::Losses { .. } if was_live => {
                place.since_ns = Some(now_ns);
                self.returns.lost_ns.get_or_insert(now_ns);
                self.schedule(index, now_ns);
            }
            Ends::Losses { .. } => {
                let first_ns = place.since_ns.unwrap_or(now_ns);
                if now_ns.saturating_sub(first_ns) > ATTEMPT_NS {
                    with.recorder.error(&format!("a session does not come back: {error}"));
                }
                self.try_again(index, now_ns, error);
            }
            Ends::Expected => {}
        }
    }

    fn try_again(&mut self, index: u32, now_ns: u64, error: &SessionError) {
        let hint_ns = retry_after(error).map(|hint| hint.as_secs().max(1) * 1_000_000_000);
        let base_ns = hint_ns.unwrap_or(BACKOFF_NS / 2);
        let jitter = self.random.below(usize::try_from(base_ns).unwrap_or(usize::MAX)) as u64;
        self.due.push(Reverse((now_ns + base_ns + jitter, index)));
    }

    pub(super) fn on_former(&mut self, index: u32, ready: Ready, with: &Tools<'_>) {
        let Self { scratch, random, .. } = self;
        let Some(session) = self.former.get_mut(&index) else { return };
        let mut result = if ready.writable { session.flush(with.poller) } else { Ok(()) };
        if result.is_ok() && ready.readable {
            let mut reading = Reading { poller: with.poller, clock: with.clock, scratch, random };
            result = session.receive(&mut reading, |_| {});
        }
        if let Err(error) = result {
            self.former.remove(&index);
            self.returns.end(&error);
        }
    }
}

/// The hint in a refusal: a header before the upgrade, the end of a reason after it.
fn retry_after(error: &SessionError) -> Option<Duration> {
    let (SessionError::Handshake(text) | SessionError::CloseCode { reason: text, .. }) = error else {
        return None;
    };
    let text = text.to_ascii_lowercase();
    let at = ["retry-after: ", "retry after "].iter().find_map(|hint| Some(text.find(hint)? + hint.len()))?;
    let digits: String = text.get(at..)?.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_are_read_from_headers_and_reasons() {
        let header = SessionError::Handshake("HTTP/1.1 503 x\r\nRetry-After: 7\r\n".into());
        assert_eq!(retry_after(&header), Some(Duration::from_secs(7)));
        let reason = "tenant has too many sessions; retry after 12 s".to_owned();
        assert_eq!(
            retry_after(&SessionError::CloseCode { code: 4100, reason }),
            Some(Duration::from_secs(12))
        );
        assert_eq!(retry_after(&SessionError::Closed), None);
    }

    #[test]
    fn the_most_per_second_is_over_any_ten_steps() {
        let mut returns = Returns::new();
        for ms in [0, 100, 950, 1_050, 1_100, 5_000] {
            returns.back(0, ms * 1_000_000 + 1);
        }
        assert_eq!((returns.most_per_second(), returns.returned), (3, 6));
    }
}
