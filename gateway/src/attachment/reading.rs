//! A file on its way out, in pieces, and proved on the way.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::{AttachmentError, Hash};

/// Bytes of a file that are read at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// A file on its way out. Its last piece comes only where all of it has the hash that names it: whoever gets the
/// file from here never takes a damaged one for whole.
#[derive(Debug)]
pub struct Reading {
    source: Source,
    hash: Hash,
    left: u64,
    hasher: Sha256,
}

#[derive(Debug)]
enum Source {
    File { file: File, piece: BytesMut },
    Store { body: Incoming, quiet: Duration, waiting: Option<Pin<Box<Sleep>>> },
}

impl Reading {
    pub(super) fn of_file(file: File, hash: Hash, bytes: u64) -> Self {
        Self::new(Source::File { file, piece: BytesMut::new() }, hash, bytes)
    }

    /// An answer of a store, which may be quiet for so long between two pieces.
    pub(super) fn of_store(body: Incoming, hash: Hash, bytes: u64, quiet: Duration) -> Self {
        Self::new(Source::Store { body, quiet, waiting: None }, hash, bytes)
    }

    fn new(source: Source, hash: Hash, bytes: u64) -> Self {
        Self { source, hash, left: bytes, hasher: Sha256::new() }
    }

    /// Which file it is.
    #[must_use]
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// The next piece; none at the end.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, AttachmentError>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let piece = ready!(self.source.poll_piece(self.left, cx));
        Poll::Ready(Some(piece.map_err(AttachmentError::Io).and_then(|piece| self.prove(piece))))
    }

    fn prove(&mut self, piece: Bytes) -> Result<Bytes, AttachmentError> {
        let damaged = Err(AttachmentError::Damaged(self.hash));
        // It ends early, or goes on for too long.
        if piece.is_empty() || piece.len() as u64 > self.left {
            return damaged;
        }
        self.hasher.update(&piece);
        self.left -= piece.len() as u64;
        if self.left == 0 && Hash(std::mem::take(&mut self.hasher).finalize().into()) != self.hash {
            return damaged;
        }
        Ok(piece)
    }

    /// Reads all of it.
    ///
    /// # Errors
    /// Where it cannot be read, or is not what its hash says.
    pub async fn prove_whole(mut self) -> Result<(), AttachmentError> {
        while let Some(piece) = std::future::poll_fn(|cx| self.poll_piece(cx)).await {
            piece?;
        }
        Ok(())
    }

    /// Bytes that are still to come.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left
    }
}

impl Source {
    /// Some bytes, at most `left` of a file; none where there are no more.
    fn poll_piece(&mut self, left: u64, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        match self {
            Self::File { file, piece } => {
                piece.resize(usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES), 0);
                let mut buffer = ReadBuf::new(piece);
                ready!(Pin::new(file).poll_read(cx, &mut buffer))?;
                let read = buffer.filled().len();
                Poll::Ready(Ok(piece.split_to(read).freeze()))
            }
            Self::Store { body, quiet, waiting } => loop {
                match Pin::new(&mut *body).poll_frame(cx) {
                    Poll::Ready(frame) => {
                        *waiting = None;
                        match frame {
                            None => return Poll::Ready(Ok(Bytes::new())),
                            Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                            // Trailers, and pieces of nothing, are no bytes.
                            Some(Ok(frame)) => match frame.into_data() {
                                Ok(bytes) if !bytes.is_empty() => return Poll::Ready(Ok(bytes)),
                                _ => {}
                            },
                        }
                    }
                    Poll::Pending => {
                        let until = Instant::now() + *quiet;
                        let sleep = waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
                        ready!(sleep.as_mut().poll(cx));
                        let why = format!("the store sent nothing for {} milliseconds", quiet.as_millis());
                        return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)));
                    }
                }
            },
        }
    }
}

/// As a request's body.
impl Body for Reading {
    type Data = Bytes;
    type Error = AttachmentError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AttachmentError>>> {
        self.get_mut().poll_piece(cx).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
