//! `wagglectl watch`: lines first, cursor after.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::JoinHandle;
use waggle_client::{Client, Cursor, Event, Item, Items, LossReason, SignalItem, SuggestionItem, ViewCount};
use waggle_core::limits::WATCH_BATCH_ITEMS_MAX;
use waggle_core::push::ServerMessage;

use super::args::{Format, Global, WatchArgs};
use super::failure::{Exit, Failure};
use super::output::Output;
use super::render::{Look, event_line};
use super::signal_lines::{count_line, signal_lines, suggestion_lines};
use super::speak::notice;
use super::state::{State, StateFile};
use super::stop::StopSignals;

/// How long a write that hangs (a pipe that nobody reads) keeps the process after a signal.
const LAST_WRITE_MS_MAX: u64 = 1_000;
/// Bytes read from the socket at a time: one client, and much may come.
const READ_BUFFER_BYTES: usize = 64 * 1024;

struct Watch {
    output: Output,
    state: Option<StateFile>,
    format: Format,
    look: Look,
    cursor: Option<Cursor>,
    /// Events still to be printed, where that is bounded.
    left: Option<u64>,
    shows_signals: bool,
    was_lost: bool,
}

/// Why the loop ends.
enum End {
    Signal,
    Count,
    Stopped(LossReason),
    /// Nobody reads the output any more.
    NoReader,
}

pub(crate) async fn run(global: &Global, args: &WatchArgs) -> Result<Exit, Failure> {
    let mut signals = StopSignals::new()?;
    let (mut watch, mut items) = start(global, args)?;
    let end = loop {
        let item = tokio::select! {
            () = signals.next() => break End::Signal,
            item = items.next() => item,
        };
        let Some(item) = item else { break End::Signal };
        if let Some(end) = watch.batch(item, &mut items, &mut signals).await? {
            break end;
        }
    };
    match end {
        End::Signal | End::Count | End::NoReader => Ok(Exit::Ok),
        End::Stopped(reason) => Err(Failure::ended(&reason)),
    }
}

fn start(global: &Global, args: &WatchArgs) -> Result<(Watch, Items), Failure> {
    let opened = args.out.as_deref().map_or_else(Output::stdout, Output::append);
    let mut output = opened.map_err(|error| Failure::local("cannot open the output", error))?;
    let state_path = args.state.clone().or_else(|| args.out.as_deref().map(state_of));
    let state = state_path.as_deref().map(StateFile::open).transpose()?;
    let saved = state.as_ref().and_then(StateFile::saved);
    if let Some(saved) = saved
        && let Err(error) = output.look_back(saved.output)
    {
        notice(format_args!(
            "warning: the output cannot be read back ({error}); its last lines may come twice"
        ));
    }
    let mut builder = Client::builder(&global.push, &global.token)
        .views(args.views.iter().copied())
        .read_buffer_bytes(READ_BUFFER_BYTES);
    if let Some(ca) = &global.ca {
        builder = builder.ca(ca);
    }
    match saved {
        Some(saved) => builder = builder.resume(saved.cursor),
        None if args.from_start => builder = builder.from_start(),
        None => {}
    }
    let usage = |error: waggle_client::EndpointError| Failure::new(Exit::Usage, error.to_string());
    let (_, items) = builder.connect().map_err(usage)?;
    let look = Look::of(output.is_terminal(), global.is_colored(output.is_terminal()));
    let cursor = saved.map(|saved| saved.cursor);
    let (left, shows_signals, format) = (args.count, args.signals, global.output);
    Ok((Watch { output, state, format, look, cursor, left, shows_signals, was_lost: false }, items))
}

fn state_of(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".state");
    name.into()
}

impl Watch {
    /// Prints `item` and what else is there, then saves the cursor.
    async fn batch(
        &mut self,
        item: Item,
        items: &mut Items,
        signals: &mut StopSignals,
    ) -> Result<Option<End>, Failure> {
        let mut out = Vec::new();
        let mut next = Some(item);
        let mut end = None;
        let mut taken = 0;
        while let Some(item) = next.take() {
            taken += 1;
            // What moves the cursor by itself is saved before a further line is written: above all the
            // first cursor, without which a restart would begin with another one.
            let is_routine = matches!(item, Item::Event(_) | Item::CaughtUp { .. });
            end = self.take(item, &mut out);
            if end.is_none() && is_routine && taken < WATCH_BATCH_ITEMS_MAX {
                next = items.next_ready();
            }
        }
        if !out.is_empty() {
            let writer = self.output.writer();
            let writing = tokio::task::spawn_blocking(move || writer(out));
            match written(writing, signals).await? {
                None => {}
                // What was not written whole is not covered by the cursor.
                Some(End::NoReader) => return Ok(Some(End::NoReader)),
                Some(by_signal) => end = end.or(Some(by_signal)),
            }
        }
        self.save()?;
        Ok(end)
    }

    /// Takes one item's line and cursor over.
    fn take(&mut self, item: Item, out: &mut Vec<u8>) -> Option<End> {
        match item {
            Item::Event(event) => return self.print(&event, out),
            Item::CaughtUp { cursor } => self.cursor = Some(cursor),
            Item::Connected { node, cursor, .. } => {
                if self.was_lost {
                    notice(format_args!("connected again, to {}", super::render::plain(&node)));
                } else if self.cursor.is_none() {
                    notice(format_args!("watching from offset {}", cursor.offset));
                }
                self.was_lost = false;
                self.cursor = Some(cursor);
            }
            Item::Resync { reason, cursor } => {
                let reason = serde_json::to_string(&reason).unwrap_or_default();
                notice(format_args!(
                    "RESYNC ({}): events may be missing here; going on after offset {} of epoch {}",
                    reason.trim_matches('"'),
                    cursor.offset,
                    cursor.epoch
                ));
                self.cursor = Some(cursor);
            }
            Item::Ended { views } => {
                let views: Vec<String> = views.iter().map(ToString::to_string).collect();
                notice(format_args!("ENDED: {}: you may not see that, or it is not there", views.join(", ")));
            }
            Item::Disconnected { reason, retry_ms } => {
                self.was_lost = true;
                let reason = super::render::plain(&reason.to_string()).into_owned();
                match retry_ms {
                    Some(ms) => {
                        notice(format_args!(
                            "connection lost: {reason}; trying again in {:.1} s",
                            ms as f64 / 1_000.0
                        ));
                    }
                    None => notice(format_args!("connection lost: {reason}; another one is being made")),
                }
            }
            Item::Count(count) => self.show_count(count, out),
            Item::Suggestion(suggestion) => self.show_suggestion(&suggestion, out),
            Item::Signal(signal) if self.shows_signals => self.show(&signal, out),
            Item::Signal(_) => {}
            Item::Stopped { reason } => return Some(End::Stopped(reason)),
        }
        None
    }

    fn print(&mut self, event: &Event, out: &mut Vec<u8>) -> Option<End> {
        let line = match self.format {
            Format::Human => event_line(&event.message, self.look),
            Format::Json => one_line(event.text()),
        };
        self.output.push_line(line.as_bytes(), out);
        if let Some(cursor) = &mut self.cursor {
            cursor.offset = cursor.offset.max(event.message.offset);
        }
        let left = self.left.as_mut()?;
        *left = left.saturating_sub(1);
        (*left == 0).then_some(End::Count)
    }

    fn show(&self, signal: &SignalItem, out: &mut Vec<u8>) {
        let lines = match self.format {
            Format::Human => signal_lines(&signal.hint(), self.look),
            Format::Json => one_line(signal.text()),
        };
        out.extend_from_slice(lines.as_bytes());
    }

    fn show_suggestion(&self, item: &SuggestionItem, out: &mut Vec<u8>) {
        let lines = match self.format {
            Format::Human => {
                item.suggestion().map(|told| suggestion_lines(&told, self.look)).unwrap_or_default()
            }
            Format::Json => one_line(item.text()),
        };
        out.extend_from_slice(lines.as_bytes());
    }

    fn show_count(&self, count: ViewCount, out: &mut Vec<u8>) {
        let line = match self.format {
            Format::Human => count_line(count, self.look),
            Format::Json => count_json(count),
        };
        out.extend_from_slice(line.as_bytes());
    }

    fn save(&mut self) -> Result<(), Failure> {
        let (Some(state), Some(cursor)) = (&mut self.state, self.cursor) else { return Ok(()) };
        let output =
            self.output.mark().map_err(|error| Failure::local("cannot look at the output", error))?;
        state.save(State { cursor, output })
    }
}

/// Waits for a write; a signal lets it finish, for a while.
async fn written(
    mut writing: JoinHandle<std::io::Result<()>>,
    signals: &mut StopSignals,
) -> Result<Option<End>, Failure> {
    let mut end = None;
    let done = tokio::select! {
        done = &mut writing => done,
        () = signals.next() => {
            end = Some(End::Signal);
            match tokio::time::timeout(Duration::from_millis(LAST_WRITE_MS_MAX), &mut writing).await {
                Ok(done) => done,
                Err(_) => return Ok(Some(End::NoReader)),
            }
        }
    };
    match done.map_err(std::io::Error::other).flatten() {
        Ok(()) => Ok(end),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(Some(End::NoReader)),
        Err(error) => Err(Failure::local("cannot write the output", error)),
    }
}

/// The message as the protocol has it, on one line.
fn count_json(count: ViewCount) -> String {
    // It always has a JSON text.
    let text = ServerMessage::Count(count).to_json().unwrap_or_default();
    format!("{}\n", String::from_utf8_lossy(&text))
}

/// The message as it came: one line, since no JSON needs a line break.
fn one_line(text: &str) -> String {
    let text = text.trim_end();
    if !text.contains(['\n', '\r']) {
        return format!("{text}\n");
    }
    let value: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    format!("{value}\n")
}
