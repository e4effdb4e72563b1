//! One keep-alive HTTP connection with at most one request on its way.

use std::io::{self, Read};

use crate::poller::{Interest, Key, Poller, Ready};
use crate::stream::{Outbox, Stream};
use crate::target::Target;
use crate::wire::http::{Head, HttpError, Requests};

const READ_BYTES: usize = 4 * 1024;

/// Why a lane is of no use any more.
#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    /// The server has closed it.
    #[error("connection closed")]
    Closed,
    /// The kernel has an error for it.
    #[error("connection failed: {0}")]
    Io(#[from] io::Error),
    /// An answer to nothing.
    #[error("an answer without a request")]
    Unasked,
    /// The answer is not understood.
    #[error(transparent)]
    Http(#[from] HttpError),
}

/// A connection and its buffers.
#[derive(Debug)]
pub struct Lane {
    stream: Stream,
    key: Key,
    outbox: Outbox,
    waits_for_room: bool,
    input: Vec<u8>,
    filled: usize,
    requests: Requests,
}

impl Lane {
    /// Connects to the API of `target` as its `index`-th user.
    ///
    /// # Errors
    /// As the kernel tells them.
    pub fn connect(target: &Target, index: u32, poller: &Poller) -> io::Result<Self> {
        Self::over(Stream::connect(&target.api)?, target, index, poller)
    }

    /// Begins to connect, without a wait, as the `client`-th client: see [`Stream::begin`].
    ///
    /// # Errors
    /// As the kernel tells them at once.
    pub fn begin(target: &Target, index: u32, client: u32, poller: &Poller) -> io::Result<Self> {
        Self::over(Stream::begin(&target.api, client)?, target, index, poller)
    }

    fn over(stream: Stream, target: &Target, index: u32, poller: &Poller) -> io::Result<Self> {
        let key = Key::Lane(index);
        poller.add(&stream, key, Interest::Read)?;
        let requests = Requests::new(&target.host, target.token(index as usize));
        let input = vec![0; READ_BYTES];
        let outbox = Outbox::default();
        Ok(Self { stream, key, outbox, waits_for_room: false, input, filled: 0, requests })
    }

    /// Sends what `write` appends.
    ///
    /// # Errors
    /// Where the connection is gone.
    pub fn send(
        &mut self,
        poller: &Poller,
        write: impl FnOnce(&Requests, &mut Vec<u8>),
    ) -> Result<(), LaneError> {
        write(&self.requests, self.outbox.buffer());
        self.flush(poller)
    }

    /// Goes on with a request that the socket did not take whole.
    ///
    /// # Errors
    /// Where the connection is gone.
    pub fn flush(&mut self, poller: &Poller) -> Result<(), LaneError> {
        let waits = !self.outbox.flush(&mut self.stream)?;
        if waits != self.waits_for_room {
            let interest = if waits { Interest::ReadWrite } else { Interest::Read };
            poller.modify(&self.stream, self.key, interest)?;
            self.waits_for_room = waits;
        }
        Ok(())
    }

    /// Goes on where its socket is ready; `Some` as [`Self::receive`] has it.
    ///
    /// # Errors
    /// Where the connection is gone or the answer is not understood.
    pub fn on_ready(&mut self, poller: &Poller, ready: Ready) -> Result<Option<Head>, LaneError> {
        // Under TLS a write may have waited for bytes to read.
        self.flush(poller)?;
        if ready.readable { self.receive() } else { Ok(None) }
    }

    /// Reads once; `Some` when a whole answer is there: give it back to [`Self::done`].
    ///
    /// # Errors
    /// Where the connection is gone or the answer is not understood.
    pub fn receive(&mut self) -> Result<Option<Head>, LaneError> {
        if self.filled == self.input.len() {
            // Bounded: `Head::parse` refuses what is over its limit.
            self.input.resize(self.filled * 2, 0);
        }
        match self.stream.read(self.input.get_mut(self.filled..).unwrap_or_default()) {
            Ok(0) => return Err(LaneError::Closed),
            Ok(count) => self.filled += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let head = Head::parse(self.input.get(..self.filled).unwrap_or_default())?;
        Ok(head.filter(|head| head.head_bytes + head.body_bytes <= self.filled))
    }

    /// The body of a whole answer.
    #[must_use]
    pub fn body(&self, head: &Head) -> &[u8] {
        self.input.get(head.head_bytes..head.head_bytes + head.body_bytes).unwrap_or_default()
    }

    /// Forgets an answer.
    pub fn done(&mut self, head: &Head) {
        let used = (head.head_bytes + head.body_bytes).min(self.filled);
        self.input.copy_within(used..self.filled, 0);
        self.filled -= used;
    }
}
