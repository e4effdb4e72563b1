//! One connection as the driver polls it: waited for, made, written and read without blocking others.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use waggle_core::push::{Link, Loss};

use crate::endpoint::{Endpoint, Socket};

type Connecting = Pin<Box<dyn Future<Output = Result<Socket, String>> + Send>>;

/// Texts that wait for a socket before the application has to.
const OUTGOING_MAX: usize = 256;
/// How long a goodbye may take.
const GOODBYE_MS_MAX: u64 = 1_000;

pub(crate) struct Connection {
    pub(crate) link: Link,
    state: State,
    outgoing: VecDeque<Message>,
    /// Set once another has taken over: only results count, and only until then.
    pub(crate) retired_until: Option<Instant>,
}

enum State {
    Connecting(Connecting),
    Open(Box<Socket>),
}

/// What a connection has to tell.
pub(crate) enum Input {
    Connected,
    Text(Utf8Bytes),
    Heard,
    Lost(Loss),
}

impl Connection {
    pub(crate) fn new(link: Link, endpoint: Endpoint, after_ms: u64, read_buffer_bytes: usize) -> Self {
        let connecting = Box::pin(async move {
            if after_ms > 0 {
                tokio::time::sleep(Duration::from_millis(after_ms)).await;
            }
            endpoint.connect(read_buffer_bytes).await
        });
        Self { link, state: State::Connecting(connecting), outgoing: VecDeque::new(), retired_until: None }
    }

    /// Whether the socket does not take what is queued.
    pub(crate) fn is_clogged(&self) -> bool {
        self.outgoing.len() >= OUTGOING_MAX
    }

    /// Queues a text. Bounded by what is queued: one hello, acks that answer what was read, signals that
    /// are on, the commands in flight, and what the application says while [`Self::is_clogged`] is false.
    pub(crate) fn send(&mut self, text: String) {
        self.outgoing.push_back(Message::text(text));
    }

    /// Writes what can be written; reads one message unless `is_reading` says not to.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, is_reading: bool) -> Poll<Input> {
        let socket = match &mut self.state {
            State::Connecting(connecting) => {
                let made = std::task::ready!(connecting.as_mut().poll(cx));
                return Poll::Ready(match made {
                    Ok(socket) => {
                        self.state = State::Open(Box::new(socket));
                        Input::Connected
                    }
                    Err(why) => Input::Lost(Loss::Cut { why }),
                });
            }
            State::Open(socket) => socket,
        };
        // A write that fails is seen by the read as well, maybe with the server's reason.
        while !self.outgoing.is_empty() && socket.poll_ready_unpin(cx).is_ready() {
            if let Some(message) = self.outgoing.pop_front()
                && socket.start_send_unpin(message).is_err()
            {
                self.outgoing.clear();
            }
        }
        let _ = socket.poll_flush_unpin(cx);
        if !is_reading {
            return Poll::Pending;
        }
        socket.poll_next_unpin(cx).map(|message| match message {
            Some(Ok(Message::Text(text))) => Input::Text(text),
            Some(Ok(Message::Close(Some(close)))) => {
                Input::Lost(Loss::Closed { code: close.code.into(), reason: close.reason.to_string() })
            }
            Some(Ok(Message::Close(None))) | None => {
                Input::Lost(Loss::Cut { why: "the server closed the connection without a reason".to_owned() })
            }
            Some(Ok(_)) => Input::Heard,
            Some(Err(error)) => Input::Lost(Loss::Cut { why: format!("the connection broke: {error}") }),
        })
    }

    /// Writes what is queued and says goodbye, where there is somebody to say it to.
    pub(crate) async fn close(self) {
        let State::Open(socket) = self.state else { return };
        // A box of it is a sink by itself, which says no goodbye, where another package wants it so.
        let mut socket = *socket;
        let goodbye = async {
            for message in self.outgoing {
                socket.send(message).await?;
            }
            socket.close(None).await
        };
        // Nothing depends on its arrival.
        let _ = tokio::time::timeout(Duration::from_millis(GOODBYE_MS_MAX), goodbye).await;
    }
}
