//! Reading a connection's messages: tungstenite's state machine, fed from a buffer that all connections of
//! a shard share, so that a quiet connection keeps next to no memory for reading.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocketConfig, WebSocketContext};
use waggle_core::limits::{CLIENT_MESSAGE_BYTES_MAX, CONTROL_BYTES_MAX, READ_BUFFER_BYTES, SHARD_READ_BYTES};

use super::link::Link;

/// What a shard reads into; each read of a connection is used up before the next one.
#[derive(Debug)]
pub(super) struct Scratch(RefCell<Box<[u8]>>);

impl Default for Scratch {
    fn default() -> Self {
        Self(RefCell::new(vec![0; SHARD_READ_BYTES].into_boxed_slice()))
    }
}

/// How a server reads and answers.
pub(super) fn config() -> WebSocketConfig {
    // The write buffer is emptied into the outbox at once; its limit only has to be above 0.
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(CONTROL_BYTES_MAX)
        .max_message_size(Some(CLIENT_MESSAGE_BYTES_MAX))
        .max_frame_size(Some(CLIENT_MESSAGE_BYTES_MAX))
}

/// The receiving half of a connection whose handshake is done. It keeps the beginning of a message that
/// is not complete, and nothing else.
#[derive(Debug)]
pub(super) struct Reader {
    context: WebSocketContext,
}

impl Reader {
    /// Begins with what was read behind the handshake.
    pub(super) fn new(leftover: &[u8]) -> Self {
        let context = match leftover {
            [] => WebSocketContext::new(Role::Server, Some(config())),
            _ => WebSocketContext::from_partially_read(leftover.to_vec(), Role::Server, Some(config())),
        };
        Self { context }
    }

    /// Takes what a leftover holds in messages; see [`Reader::poll_read`].
    pub(super) fn take_leftover(
        &mut self,
        link: &Link,
        take: impl FnMut(Message) -> bool,
    ) -> Result<bool, Error> {
        self.take_chunk(link, Chunk { rest: &[], is_end: false }, take)
    }

    /// Reads once from the socket and hands each message that is complete to `take`, until it returns
    /// false. Ready with whether to go on reading; with an error where the client broke the protocol or
    /// the connection is gone.
    pub(super) fn poll_read(
        &mut self,
        link: &Link,
        scratch: &Scratch,
        cx: &mut Context<'_>,
        take: impl FnMut(Message) -> bool,
    ) -> Poll<Result<bool, Error>> {
        let mut buffer = scratch.0.borrow_mut();
        let read = ready!(link.poll_read_some(cx, &mut buffer))?;
        let chunk = Chunk { rest: buffer.get(..read).unwrap_or_default(), is_end: read == 0 };
        Poll::Ready(self.take_chunk(link, chunk, take))
    }

    fn take_chunk(
        &mut self,
        link: &Link,
        chunk: Chunk<'_>,
        mut take: impl FnMut(Message) -> bool,
    ) -> Result<bool, Error> {
        let mut wire = Wire { link, chunk };
        loop {
            match self.context.read(&mut wire) {
                Ok(message) => {
                    if !take(message) {
                        return Ok(false);
                    }
                }
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Bytes that were read from the socket; after the last ones nothing follows where it is its end.
struct Chunk<'a> {
    rest: &'a [u8],
    is_end: bool,
}

/// A connection as tungstenite sees it: reads come from the chunk, writes (pongs and close replies, each
/// as a whole) go to the outbox.
struct Wire<'a> {
    link: &'a Link,
    chunk: Chunk<'a>,
}

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.chunk.rest.is_empty() && !self.chunk.is_end {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.chunk.rest.read(buffer)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.link.queue_control(Bytes::copy_from_slice(bytes)) {
            Ok(()) => Ok(bytes.len()),
            Err(_) => Err(io::ErrorKind::QuotaExceeded.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
