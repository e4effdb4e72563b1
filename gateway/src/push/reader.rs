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
    bytes: ReadBytes,
}

impl Reader {
    /// Begins with what was read behind the handshake.
    pub(super) fn new(leftover: &[u8]) -> Self {
        let context = match leftover {
            [] => WebSocketContext::new(Role::Server, Some(config())),
            _ => WebSocketContext::from_partially_read(leftover.to_vec(), Role::Server, Some(config())),
        };
        Self { context, bytes: ReadBytes { fed: leftover.len(), ..ReadBytes::default() } }
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
        self.bytes.fed += wire.chunk.rest.len();
        loop {
            match self.context.read(&mut wire) {
                Ok(message) => {
                    self.bytes.take(&message);
                    if !take(message) {
                        return Ok(false);
                    }
                }
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.let_go();
                    return Ok(true);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Gives back what a long message needed, where nothing of another one has come yet.
    fn let_go(&mut self) {
        if self.bytes.largest > KEPT_BYTES_MAX && self.bytes.is_all_taken() && self.context.can_read() {
            *self = Self::new(&[]);
        }
    }
}

/// A message over this grows a connection's buffer, which is given back afterwards.
const KEPT_BYTES_MAX: usize = 1024;

/// Bytes of frames that a connection has fed to its machine, and those that messages have come of.
#[derive(Debug, Default)]
struct ReadBytes {
    fed: usize,
    taken: usize,
    largest: usize,
}

impl ReadBytes {
    /// A message was taken: in one frame, with the shortest header, as all but odd clients write it. What
    /// odd ones write is more than is counted here, so it never looks as if all were taken.
    fn take(&mut self, message: &Message) {
        const MASK_BYTES: usize = 4;
        let payload = message.len();
        let header = match payload {
            0..=125 => 2,
            126..=0xffff => 4,
            _ => 10,
        };
        self.taken += header + MASK_BYTES + payload;
        self.largest = self.largest.max(payload);
    }

    fn is_all_taken(&self) -> bool {
        self.fed == self.taken
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

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x81];
        match payload.len() {
            short @ 0..=125 => frame.push(0x80 | short as u8),
            middle @ 126..=0xffff => {
                frame.push(0x80 | 126);
                frame.extend((middle as u16).to_be_bytes());
            }
            long => {
                frame.push(0x80 | 127);
                frame.extend((long as u64).to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(payload);
        frame
    }

    #[test]
    fn all_is_taken_exactly_when_nothing_of_a_frame_is_left() {
        for length in [0, 125, 126, 65_535, 65_536, 90_000] {
            let frame = masked(&vec![b'x'; length]);
            let text = Message::text("x".repeat(length));
            let mut bytes = ReadBytes { fed: frame.len() + 3, ..ReadBytes::default() };
            bytes.take(&text);
            assert!(!bytes.is_all_taken(), "three bytes of the next one are there");
            bytes.fed = frame.len();
            assert!(bytes.is_all_taken(), "{length}");
            assert_eq!(bytes.largest, length);
        }
    }
}
