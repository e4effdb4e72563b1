//! The client as an application sees it.

use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::Stream;
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use waggle_core::id::{Cursor, TicketId};
use waggle_core::limits::{CLIENT_ITEMS_MAX, SESSION_COMMANDS_MAX};
use waggle_core::push::{Change, ClientConfig, EventMessage, SignalKind, Start, View};

use crate::change::{ChangeFailure, OwnedSignal, Request, SignalFailure};
use crate::command::{CommandFailure, CommandRequest};
use crate::driver::Driver;
use crate::endpoint::{Endpoint, EndpointError};
use crate::item::Item;

/// Bytes read from a socket at a time where not said otherwise.
const READ_BUFFER_BYTES: usize = 4 * 1024;

/// Sends commands and signals over a push connection, and changes what it watches. Cheap to clone; the connection lives as long as its
/// [`Items`].
#[derive(Debug, Clone)]
pub struct Client {
    requests: mpsc::Sender<Request>,
}

/// Says what a client is for. See [`Client::builder`].
#[derive(Debug, Clone)]
pub struct Builder {
    url: String,
    ca: Option<PathBuf>,
    config: ClientConfig,
    read_buffer_bytes: usize,
}

/// What happens, in order: a stream of [`Item`]s. Dropping it closes the connection.
#[derive(Debug)]
pub struct Items {
    items: mpsc::Receiver<Item>,
    driver: JoinHandle<()>,
}

impl Client {
    /// A client of the gateway at `url` (`ws://host:port/v1/push`, `wss://…` or `unix:///path`), with an API
    /// token.
    /// It watches nothing until views are named.
    #[must_use]
    pub fn builder(url: impl Into<String>, token: impl Into<String>) -> Builder {
        let config =
            ClientConfig { token: token.into(), views: Vec::new(), start: Start::Now, window: None, seed: 0 };
        Builder { url: url.into(), ca: None, config, read_buffer_bytes: READ_BUFFER_BYTES }
    }

    /// Carries out a command: `ticket` is `None` for create; `command` is the same JSON object as over
    /// HTTP; the same `key` gives one effect and the same answer however often it is sent.
    ///
    /// # Errors
    /// Where it was refused, not sent, or its answer was lost; see [`CommandFailure`].
    pub async fn command(
        &self,
        ticket: Option<TicketId>,
        command: Box<RawValue>,
        key: Option<&str>,
    ) -> Result<EventMessage, CommandFailure> {
        let (answer, answered) = oneshot::channel();
        let request = CommandRequest { ticket, key: key.map(str::to_owned), command, answer };
        self.requests.send(Request::Command(request)).await.map_err(|_| CommandFailure::Stopped)?;
        answered.await.unwrap_or(Err(CommandFailure::Lost))
    }

    /// Watches these views as well. Once this returns, a server has taken it in: what is committed from
    /// then on is yielded, over all connections to come. Without a connection it waits for the next one;
    /// where it is given up (by a timeout), the views are wanted all the same.
    ///
    /// # Errors
    /// Where they are too many, or the client has stopped.
    pub async fn subscribe(&self, views: impl IntoIterator<Item = View>) -> Result<(), ChangeFailure> {
        self.change(Change::Subscribe(views.into_iter().collect())).await
    }

    /// Watches these views no longer. Events that were sent before the server took it in may still come.
    ///
    /// # Errors
    /// Where the client has stopped.
    pub async fn unsubscribe(&self, views: impl IntoIterator<Item = View>) -> Result<(), ChangeFailure> {
        self.change(Change::Unsubscribe(views.into_iter().collect())).await
    }

    /// Replaces the token by a new one of the same agent, on the connection there is and for those to
    /// come. To be called before the old one expires: an expired token ends the session, and the client.
    ///
    /// # Errors
    /// Where the client has stopped, which it also does where the new token is refused.
    pub async fn refresh(&self, token: impl Into<String>) -> Result<(), ChangeFailure> {
        self.change(Change::Refresh(token.into())).await
    }

    /// Tells those who watch the ticket what this client's agent does there. It is told again to every
    /// later session: viewing until it is ended; typing ends by itself unless it is said again within
    /// [`waggle_core::limits::TYPING_MS`]. `data` is a JSON object. Nothing tells whether it arrived.
    ///
    /// # Errors
    /// Where no server would take it, or the client has stopped.
    pub async fn signal_on(
        &self,
        kind: SignalKind,
        ticket: TicketId,
        data: Option<Box<RawValue>>,
    ) -> Result<(), SignalFailure> {
        self.signal(OwnedSignal { kind, ticket, on: true, data }).await
    }

    /// Ends what [`Self::signal_on`] began.
    ///
    /// # Errors
    /// Where the client has stopped.
    pub async fn signal_off(&self, kind: SignalKind, ticket: TicketId) -> Result<(), SignalFailure> {
        self.signal(OwnedSignal { kind, ticket, on: false, data: None }).await
    }

    async fn change(&self, change: Change) -> Result<(), ChangeFailure> {
        let (answer, answered) = oneshot::channel();
        let request = Request::Change { change, answer };
        self.requests.send(request).await.map_err(|_| ChangeFailure::Stopped)?;
        answered.await.unwrap_or(Err(ChangeFailure::Stopped))
    }

    async fn signal(&self, signal: OwnedSignal) -> Result<(), SignalFailure> {
        let (answer, answered) = oneshot::channel();
        let request = Request::Signal { signal, answer };
        self.requests.send(request).await.map_err(|_| SignalFailure::Stopped)?;
        Ok(answered.await.map_err(|_| SignalFailure::Stopped)??)
    }
}

impl Builder {
    /// What to watch.
    #[must_use]
    pub fn views(mut self, views: impl IntoIterator<Item = View>) -> Self {
        self.config.views = views.into_iter().collect();
        self
    }

    /// Goes on after what was delivered before.
    #[must_use]
    pub fn resume(mut self, cursor: Cursor) -> Self {
        self.config.start = Start::After(cursor);
        self
    }

    /// Starts with the first event of the log instead of with what happens from now on.
    #[must_use]
    pub fn from_start(mut self) -> Self {
        self.config.start = Start::Beginning;
        self
    }

    /// Bytes of unacknowledged events to take, within the server's bounds.
    #[must_use]
    pub fn window(mut self, bytes: u32) -> Self {
        self.config.window = Some(bytes);
        self
    }

    /// Fixes the jitter of pauses; drawn at random where not said.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.config.seed = seed;
        self
    }

    /// Bytes read from the socket at a time: 4096 where not said. More is faster where much comes.
    #[must_use]
    pub fn read_buffer_bytes(mut self, bytes: usize) -> Self {
        self.read_buffer_bytes = bytes.max(512);
        self
    }

    /// Under TLS, trusts the authorities in this file (PEM) and no others; the system's where not said.
    #[must_use]
    pub fn ca(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca = Some(path.into());
        self
    }

    /// Starts the client on the current tokio runtime. It connects, and connects again, by itself.
    ///
    /// # Errors
    /// Where the address is none, or it asks for TLS and there is nobody to trust.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn connect(mut self) -> Result<(Client, Items), EndpointError> {
        let endpoint: Endpoint = self.url.parse()?;
        let endpoint = endpoint.trusting(self.ca.as_deref())?;
        if self.config.seed == 0 {
            // Without randomness from the system, clients only come back closer together.
            self.config.seed = getrandom::u64().unwrap_or(1);
        }
        let (items_in, items) = mpsc::channel(CLIENT_ITEMS_MAX);
        let (requests, requests_out) = mpsc::channel(SESSION_COMMANDS_MAX);
        let driver = Driver::new(self.config, endpoint, self.read_buffer_bytes, items_in, requests_out);
        let driver = tokio::spawn(driver.run());
        Ok((Client { requests }, Items { items, driver }))
    }
}

impl Items {
    /// The next item; `None` after [`Item::Stopped`].
    pub async fn next(&mut self) -> Option<Item> {
        self.items.recv().await
    }

    /// The next item where one is there already.
    pub fn next_ready(&mut self) -> Option<Item> {
        self.items.try_recv().ok()
    }
}

impl Items {
    /// Closes the connection, after what was said over it is written; waits for both, a second at most.
    pub async fn close(self) {
        drop(self.items);
        // It ends once nobody takes items.
        let _ = self.driver.await;
    }
}

impl Stream for Items {
    type Item = Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        self.items.poll_recv(cx)
    }
}
