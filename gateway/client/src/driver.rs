//! Carries out what the machine decides: one task per client.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use waggle_core::limits::RETIRED_MS_MAX;
use waggle_core::push::{ClientConfig, ClientEffect, Link, PushClient, ServerMessage, Signal};
use waggle_core::time::Tick;

use crate::backlog::Backlog;
use crate::change::{Changing, Request};
use crate::command::{CommandFailure, CommandRequest, InFlight};
use crate::endpoint::Endpoint;
use crate::item::{Event, Item, SignalItem, SuggestionItem};
use crate::link::{Connection, Input};

pub(crate) struct Driver {
    machine: PushClient,
    endpoint: Endpoint,
    read_buffer_bytes: usize,
    /// The current one, its successor, and those retired: bounded by the machine and by time.
    connections: Vec<Connection>,
    backlog: Backlog,
    in_flight: InFlight,
    changing: Changing,
    items: mpsc::Sender<Item>,
    requests: mpsc::Receiver<Request>,
    started: Instant,
    has_handles: bool,
    is_stopped: bool,
}

/// What ends a wait.
enum Turn {
    /// The application can take an item.
    Room,
    /// The application has dropped its items.
    NoReader,
    /// A connection has something to tell.
    Input(Link, Input),
    /// The application wants something done.
    Request(Request),
    /// The application has dropped its last handle.
    NoHandles,
    /// The machine is to be woken.
    Time,
}

impl Driver {
    pub(crate) fn new(
        config: ClientConfig,
        endpoint: Endpoint,
        read_buffer_bytes: usize,
        items: mpsc::Sender<Item>,
        requests: mpsc::Receiver<Request>,
    ) -> Self {
        Self {
            machine: PushClient::new(config, Tick(0)),
            endpoint,
            read_buffer_bytes,
            connections: Vec::new(),
            backlog: Backlog::default(),
            in_flight: InFlight::default(),
            changing: Changing::default(),
            items,
            requests,
            started: Instant::now(),
            has_handles: true,
            is_stopped: false,
        }
    }

    /// Until the application is gone, or the server wants no more of it and all items are read.
    pub(crate) async fn run(mut self) {
        self.settle(None);
        while !(self.is_stopped && self.backlog.is_empty()) {
            match self.turn().await {
                Turn::Room => self.hand_over(),
                Turn::Input(link, input) => self.take(link, input),
                Turn::Request(request) => self.request(request),
                Turn::NoHandles => self.has_handles = false,
                Turn::Time => self.pass_time(),
                Turn::NoReader => break,
            }
            self.settle(None);
        }
        for connection in self.connections.drain(..) {
            connection.close().await;
        }
    }

    async fn turn(&mut self) -> Turn {
        let wake_at = self.wake_at();
        let is_reading = self.backlog.has_room();
        let takes_requests = self.has_handles && self.has_room();
        let connections = &mut self.connections;
        tokio::select! {
            permit = self.items.reserve(), if !self.backlog.is_empty() => {
                permit.map_or(Turn::NoReader, |_| Turn::Room)
            }
            (link, input) = poll_fn(|cx| poll_any(connections, cx, is_reading)) => Turn::Input(link, input),
            request = self.requests.recv(), if takes_requests => {
                request.map_or(Turn::NoHandles, Turn::Request)
            }
            () = tokio::time::sleep_until(wake_at) => Turn::Time,
            () = self.items.closed() => Turn::NoReader,
        }
    }

    /// Gives the application as much as it has room for.
    fn hand_over(&mut self) {
        while let Ok(permit) = self.items.try_reserve() {
            let Some((item, receipt)) = self.backlog.pop() else { break };
            permit.send(item);
            if let Some(receipt) = receipt {
                self.machine.shown(receipt);
            }
        }
    }

    fn take(&mut self, link: Link, input: Input) {
        let now = tick(self.started);
        let is_retired = self.connections.iter().any(|it| it.link == link && it.retired_until.is_some());
        match input {
            Input::Connected => self.machine.connected(link, now),
            Input::Heard => self.machine.heard(link, now),
            Input::Text(text) if is_retired => self.take_late_result(link, &text),
            Input::Text(text) => {
                self.machine.received(link, text.as_str(), now);
                self.settle(Some(&text));
            }
            Input::Lost(loss) => {
                self.connections.retain(|it| it.link != link);
                self.in_flight.lose(link);
                self.machine.disconnected(link, loss, now);
            }
        }
    }

    /// Carries out the machine's effects; `text` is what was just fed to it.
    fn settle(&mut self, text: Option<&Utf8Bytes>) {
        while let Some(effect) = self.machine.poll() {
            match effect {
                ClientEffect::Connect { link, after_ms } => {
                    let endpoint = self.endpoint.clone();
                    self.connections.push(Connection::new(link, endpoint, after_ms, self.read_buffer_bytes));
                }
                ClientEffect::Send { link, text } => {
                    if let Some(connection) = self.connections.iter_mut().find(|it| it.link == link) {
                        connection.send(text);
                    }
                }
                ClientEffect::Close { link } => self.close(link),
                ClientEffect::Retire { link } => self.retire(link),
                ClientEffect::Result { id, event, error, .. } => self.in_flight.finish(&id, event, error),
                ClientEffect::Changed { id, error } => self.changing.finish(id, error),
                ClientEffect::Deliver { event, receipt } => {
                    let text = text.cloned().unwrap_or_default();
                    self.backlog.push(Item::Event(Event { message: event, text }), Some(receipt));
                }
                ClientEffect::Stop { reason } => {
                    self.is_stopped = true;
                    self.connections.clear();
                    self.changing = Changing::default();
                    self.backlog.push(Item::Stopped { reason }, None);
                }
                ClientEffect::Connected { welcome, .. } => {
                    let cursor = self.machine.cursor().unwrap_or_default();
                    let (node, session, resumed) = (welcome.node, welcome.session, welcome.resumed);
                    self.backlog.push(Item::Connected { node, session, cursor, resumed }, None);
                }
                ClientEffect::CaughtUp { cursor } => self.backlog.push(Item::CaughtUp { cursor }, None),
                ClientEffect::Ended { views } => self.backlog.push(Item::Ended { views }, None),
                ClientEffect::Resync { reason, cursor } => {
                    self.backlog.push(Item::Resync { reason, cursor }, None);
                }
                ClientEffect::Lost { reason, retry_ms, .. } => {
                    self.backlog.push(Item::Disconnected { reason, retry_ms }, None);
                }
                ClientEffect::Count(count) => self.backlog.push(Item::Count(count), None),
                ClientEffect::Suggestion(text) => {
                    self.backlog.push(Item::Suggestion(SuggestionItem { text }), None);
                }
                ClientEffect::Signal(text) => self.backlog.push(Item::Signal(SignalItem { text }), None),
            }
        }
    }

    /// Whether more can be asked for: not while answers are due, or a socket does not take what is said.
    fn has_room(&self) -> bool {
        let is_clogged = self.connections.iter().any(Connection::is_clogged);
        self.in_flight.has_room() && self.changing.has_room() && !is_clogged
    }

    fn request(&mut self, request: Request) {
        let now = tick(self.started);
        match request {
            Request::Command(request) => self.command(request),
            // A sender that is dropped says that the client has stopped.
            _ if self.is_stopped => {}
            Request::Change { change, answer } => {
                let asked = self.machine.change(change, now);
                self.changing.start(asked, answer);
            }
            Request::Signal { signal, answer } => {
                let data = signal.data.as_deref();
                let signal = Signal { kind: signal.kind, ticket: signal.ticket, on: signal.on, data };
                // Nobody waits where this fails.
                let _ = answer.send(self.machine.signal(&signal, now));
            }
        }
    }

    fn command(&mut self, request: CommandRequest) {
        let Some(link) = self.machine.live_link() else {
            // Nobody waits where this fails.
            let _ = request.answer.send(Err(CommandFailure::NotConnected));
            return;
        };
        if let Some(text) = self.in_flight.start(link, request)
            && let Some(connection) = self.connections.iter_mut().find(|it| it.link == link)
        {
            connection.send(text);
        }
    }

    fn close(&mut self, link: Link) {
        self.in_flight.lose(link);
        if let Some(at) = self.connections.iter().position(|it| it.link == link) {
            tokio::spawn(self.connections.swap_remove(at).close());
        }
    }

    /// Keeps a replaced connection for the answers that it still owes.
    fn retire(&mut self, link: Link) {
        if self.in_flight.is_idle(link) {
            return self.close(link);
        }
        if let Some(connection) = self.connections.iter_mut().find(|it| it.link == link) {
            connection.retired_until = Some(Instant::now() + Duration::from_millis(RETIRED_MS_MAX));
        }
    }

    fn take_late_result(&mut self, link: Link, text: &Utf8Bytes) {
        if let Ok(ServerMessage::Result { id: Some(id), event, error }) =
            ServerMessage::parse(text.as_str().as_bytes())
        {
            self.in_flight.finish(&id, event, error);
        }
        if self.in_flight.is_idle(link) {
            self.close(link);
        }
    }

    fn pass_time(&mut self) {
        self.machine.tick(tick(self.started));
        let now = Instant::now();
        let overdue: Vec<Link> = self
            .connections
            .iter()
            .filter(|it| it.retired_until.is_some_and(|until| until <= now))
            .map(|it| it.link)
            .collect();
        overdue.into_iter().for_each(|link| self.close(link));
    }

    fn wake_at(&self) -> Instant {
        let machine = self.machine.wake_at().map(|at| self.started + Duration::from_millis(at.0));
        let retired = self.connections.iter().filter_map(|it| it.retired_until).min();
        // A stopped client has nothing to wake for; the bound keeps the type simple.
        let never = Instant::now() + Duration::from_secs(3_600);
        [machine, retired].into_iter().flatten().fold(never, Instant::min)
    }
}

fn tick(started: Instant) -> Tick {
    // 2^64 milliseconds do not pass.
    Tick(started.elapsed().as_millis() as u64)
}

fn poll_any(connections: &mut [Connection], cx: &mut Context<'_>, is_reading: bool) -> Poll<(Link, Input)> {
    for connection in connections {
        if let Poll::Ready(input) = connection.poll(cx, is_reading) {
            return Poll::Ready((connection.link, input));
        }
    }
    Poll::Pending
}
