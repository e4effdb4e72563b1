//! One connection's socket and outbox, shared by the shard that writes and the task that reads.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use waggle_core::limits::{HANDSHAKE_BYTES_MAX, UNREAD_BYTES_PROOF, WRITE_SLICES_MAX};
use waggle_core::push::SignalKey;

use super::admission::Place;
use super::outbox::{Outbox, Overflow};
use super::peer::{Peer, Via};
use super::socket::Socket;
use super::unread::Unread;
use crate::accel::{PathQuality, path_quality};

/// A connection. All bytes for its socket go through here, so frames never mix: they are written at once
/// where nothing waits, or else behind what waits.
#[derive(Debug)]
pub(super) struct Link {
    socket: Socket,
    peer: Peer,
    /// Of a socket on which the kernel gives no back-pressure.
    unread: Option<Box<RefCell<Unread>>>,
    /// Among the connections that are taken.
    place: RefCell<Option<Place>>,
    outbox: RefCell<Outbox>,
    state: Cell<State>,
    /// Of the task that reads from the socket, and flushes when it takes bytes again.
    task: RefCell<Option<Waker>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The close frame is the last thing that waits.
    Closing,
    /// The socket has failed.
    Broken,
}

/// When the client is asked for proof that it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    Now,
    Later,
}

impl Proof {
    fn of(is_time: bool) -> Self {
        if is_time { Self::Now } else { Self::Later }
    }
}

impl Link {
    pub(super) fn new(socket: Socket, peer: Peer, unread: Option<Unread>) -> Rc<Self> {
        Rc::new(Self {
            socket,
            peer,
            unread: unread.map(|unread| Box::new(RefCell::new(unread))),
            place: RefCell::default(),
            outbox: RefCell::default(),
            state: Cell::new(State::Open),
            task: RefCell::default(),
        })
    }

    /// The way that it came.
    pub(super) fn via(&self) -> Via {
        self.peer.via
    }

    /// Whether the gateway itself encrypts it.
    pub(super) fn is_tls(&self) -> bool {
        self.socket.is_tls()
    }

    /// What the kernel knows of the path; nothing of the Unix socket.
    pub(super) fn path_quality(&self) -> Option<PathQuality> {
        path_quality(self.socket.as_fd())
    }

    /// Its socket, where the kernel may redirect what is sent on it.
    pub(super) fn redirectable(&self) -> Option<BorrowedFd<'_>> {
        self.unread.is_some().then(|| self.socket.as_fd())
    }

    /// What its client has not proved to have read, and the time that the latest proof took in microseconds;
    /// 0 bytes where the kernel sees to it.
    pub(super) fn unread(&self) -> (u64, Option<u32>) {
        let unread = self.unread.as_ref().map(|unread| unread.borrow());
        unread.map_or((0, None), |unread| (unread.bytes(), unread.latency_us()))
    }

    /// Asks for a proof now, so that the latency is known.
    pub(super) fn ask_for_proof(&self) {
        if self.state.get() == State::Open {
            self.ask_in(&mut self.outbox.borrow_mut());
            self.wake();
        }
    }

    /// A pong came. Returns whether it is the proof that was asked for; then there is room again.
    pub(super) fn proved(&self, payload: &[u8]) -> bool {
        let proved = |unread: &RefCell<Unread>| unread.borrow_mut().answered(payload, Instant::now());
        self.unread.as_deref().is_some_and(proved)
    }

    /// The address at the other end: the client's, or its proxy's; none of the Unix socket.
    pub(super) fn peer_address(&self) -> Option<IpAddr> {
        self.peer.address
    }

    /// The address of the TCP connection's other end: what the network shows.
    pub(super) fn tcp_peer(&self) -> Option<IpAddr> {
        self.peer.tcp
    }

    /// The client's address, where it is known.
    pub(super) fn client_address(&self) -> Option<IpAddr> {
        self.place.borrow().as_ref().and_then(Place::address)
    }

    /// Keeps the place until the connection is gone.
    pub(super) fn take_place(&self, place: Place) {
        *self.place.borrow_mut() = Some(place);
    }

    pub(super) fn has_no_place(&self) -> bool {
        self.place.borrow().is_none()
    }

    /// Bytes that wait for the socket.
    pub(super) fn queued_bytes(&self) -> usize {
        self.outbox.borrow().bytes()
    }

    /// Whether a frame would go straight to the socket.
    pub(super) fn takes_at_once(&self) -> bool {
        self.state.get() == State::Open && self.outbox.borrow().is_empty()
    }

    /// Sends an event's frame: straight to the socket where nothing waits.
    pub(super) fn send_event(&self, frame: &Bytes) -> Result<(), Overflow> {
        if self.state.get() != State::Open {
            return Ok(());
        }
        let mut outbox = self.outbox.borrow_mut();
        if !outbox.is_empty() {
            return outbox.push_event(frame.clone());
        }
        match self.write(frame) {
            Ok((written, Proof::Later)) if written == frame.len() && !self.socket.holds_back() => {
                return Ok(());
            }
            Ok((written, proof)) => {
                if written < frame.len() {
                    outbox.push_rest(frame.slice(written..))?;
                }
                self.ask_where(proof, &mut outbox);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => outbox.push_event(frame.clone())?,
            Err(error) => self.break_off(&error),
        }
        self.wake();
        Ok(())
    }

    /// Puts an event's frame behind what waits. Returns whether nothing waited: [`Link::flush`] has to
    /// come after then, and after nothing else.
    pub(super) fn queue_event(&self, frame: Bytes) -> Result<bool, Overflow> {
        if self.state.get() != State::Open {
            return Ok(false);
        }
        let mut outbox = self.outbox.borrow_mut();
        let was_empty = outbox.is_empty();
        outbox.push_event(frame)?;
        Ok(was_empty)
    }

    /// Puts any other frame behind what waits; [`Link::flush`] comes after.
    pub(super) fn queue_control(&self, frame: Bytes) -> Result<(), Overflow> {
        if self.state.get() == State::Open {
            self.outbox.borrow_mut().push_control(frame)?;
        }
        Ok(())
    }

    /// Sends a signal's frame where nothing waits; else it waits behind all else, or is lost. Returns
    /// whether it was not lost.
    pub(super) fn send_signal(&self, key: SignalKey, frame: &Bytes) -> bool {
        if self.state.get() != State::Open {
            return false;
        }
        let mut outbox = self.outbox.borrow_mut();
        if !outbox.is_idle() {
            return outbox.push_signal(key, frame.clone());
        }
        self.write_lossy(&mut outbox, frame) || outbox.push_signal(key, frame.clone())
    }

    /// Sends a frame where nothing waits; returns whether it was sent, in whole or for the rest to follow.
    pub(super) fn send_if_idle(&self, frame: &Bytes) -> bool {
        let mut outbox = self.outbox.borrow_mut();
        self.state.get() == State::Open && outbox.is_idle() && self.write_lossy(&mut outbox, frame)
    }

    /// Tells who came and went, where nothing waits; else it will have to be told who is there.
    ///
    /// What has begun is told to its end: a list that a full socket could break off would begin anew each
    /// time that the socket has room, and never come to its end.
    pub(super) fn send_presence(&self, frames: &[Bytes]) {
        if self.state.get() != State::Open {
            return;
        }
        let mut outbox = self.outbox.borrow_mut();
        let is_idle = outbox.is_idle();
        if !is_idle || frames.iter().any(|frame| outbox.push_control(frame.clone()).is_err()) {
            outbox.note_presence_stale();
        }
        drop(outbox);
        if is_idle {
            self.flush();
        }
    }

    /// Whether who is there has to be told, and nothing is in the way of it.
    pub(super) fn take_presence_stale(&self) -> bool {
        self.outbox.borrow_mut().take_presence_stale()
    }

    /// Writes to a socket that nothing waits for; returns false where it does not take anything now.
    fn write_lossy(&self, outbox: &mut Outbox, frame: &Bytes) -> bool {
        match self.write(frame) {
            Ok((written, Proof::Later)) if written == frame.len() && !self.socket.holds_back() => {
                return true;
            }
            Ok((written, proof)) => {
                if written < frame.len() {
                    outbox.push_cut(frame.slice(written..));
                }
                self.ask_where(proof, outbox);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.wake();
                return false;
            }
            Err(error) => self.break_off(&error),
        }
        self.wake();
        true
    }

    /// Writes, unless the client has too much unread.
    fn write(&self, bytes: &[u8]) -> io::Result<(usize, Proof)> {
        let Some(unread) = &self.unread else { return Ok((self.socket.try_write(bytes)?, Proof::Later)) };
        if unread.borrow().room() == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let written = self.socket.try_write(bytes)?;
        Ok((written, Proof::of(unread.borrow_mut().note_sent(written))))
    }

    fn break_off(&self, error: &io::Error) {
        tracing::debug!(%error, address = ?self.peer.address, "a push connection takes nothing more");
        self.state.set(State::Broken);
    }

    fn ask_where(&self, proof: Proof, outbox: &mut Outbox) {
        if proof == Proof::Now {
            self.ask_in(outbox);
        }
    }

    fn ask_in(&self, outbox: &mut Outbox) {
        let ping = self.unread.as_ref().and_then(|unread| unread.borrow_mut().ask(Instant::now()));
        if let Some(ping) = ping {
            outbox.push_next(ping);
        }
    }

    /// Whether the client has to read before anything is sent.
    fn is_full(&self) -> bool {
        self.unread.as_ref().is_some_and(|unread| unread.borrow().room() == 0)
    }

    /// Puts the close frame behind what waits, and takes nothing after it.
    pub(super) fn queue_close(&self, frame: Bytes) {
        if self.state.get() == State::Open {
            self.outbox.borrow_mut().push_last(frame);
            self.state.set(State::Closing);
            self.wake();
        }
    }

    /// Writes as much of what waits as the socket takes. The task does the rest.
    pub(super) fn flush(&self) {
        self.write_waiting();
        if self.waits() {
            self.wake();
        }
    }

    /// Writes all that waits. Pending while the socket does not take it.
    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.write_waiting();
            if !self.waits() || self.is_broken() {
                return Poll::Ready(());
            }
            if self.is_full() {
                // The task that reads the proof comes by here again. Where nobody reads any more, the
                // connection ends without what waits, as it does where a socket stays full.
                return Poll::Pending;
            }
            if ready!(self.socket.poll_write_ready(cx)).is_err() {
                self.state.set(State::Broken);
            }
        }
    }

    /// Whether frames wait for the socket.
    fn waits(&self) -> bool {
        self.outbox.borrow().waits() || self.socket.holds_back()
    }

    fn write_waiting(&self) {
        let mut outbox = self.outbox.borrow_mut();
        if self.socket.try_flush().is_err() {
            self.state.set(State::Broken);
        }
        // So much at a time that the next proof can be asked for before there is no room for the question.
        let bytes_max = if self.unread.is_some() { UNREAD_BYTES_PROOF } else { usize::MAX };
        while outbox.waits() && !self.is_broken() && !self.is_full() {
            let mut slices = [io::IoSlice::new(&[]); WRITE_SLICES_MAX];
            let count = outbox.fill(&mut slices, bytes_max);
            match self.socket.try_write_vectored(slices.get(..count).unwrap_or_default()) {
                Ok(written) => {
                    outbox.advance(written);
                    let note = |unread: &RefCell<Unread>| unread.borrow_mut().note_sent(written);
                    self.ask_where(Proof::of(self.unread.as_deref().is_some_and(note)), &mut outbox);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => self.break_off(&error),
            }
        }
    }

    /// Whether there is nothing more to read for: it is closing or broken.
    pub(super) fn is_ending(&self) -> bool {
        self.state.get() != State::Open
    }

    pub(super) fn is_broken(&self) -> bool {
        self.state.get() == State::Broken
    }

    /// Remembers whom to wake.
    pub(super) fn register(&self, waker: &Waker) {
        let mut task = self.task.borrow_mut();
        match task.as_mut() {
            Some(known) => known.clone_from(waker),
            None => *task = Some(waker.clone()),
        }
    }

    fn wake(&self) {
        if let Some(task) = self.task.borrow().as_ref() {
            task.wake_by_ref();
        }
    }

    /// Tells the peer that nothing more will come.
    pub(super) fn shut_down_write(&self) {
        self.socket.shut_down_write();
    }

    /// Reads whatever comes, for nobody. Ready at the end of the stream.
    pub(super) fn poll_discard(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [0; 512];
        loop {
            match ready!(self.poll_read_some(cx, &mut scratch)) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Poll::Ready(()),
            }
        }
    }

    /// Ready when there is something to read, or the socket has failed.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.socket.has_read_ahead() {
            return Poll::Ready(());
        }
        self.socket.poll_read_ready(cx).map(drop)
    }

    /// Reads what is there, as much as fits. 0 is the end of the stream.
    pub(super) fn poll_read_some(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            if !self.socket.has_read_ahead() {
                ready!(self.socket.poll_read_ready(cx))?;
            }
            match self.socket.try_read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }
}

/// A link as the handshake sees it: reads come from the socket, so many bytes at most; writes go to the
/// outbox.
#[derive(Debug)]
pub(super) struct Wire {
    link: Rc<Link>,
    bytes_left: usize,
}

impl Wire {
    pub(super) fn new(link: Rc<Link>) -> Self {
        Self { link, bytes_left: HANDSHAKE_BYTES_MAX }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(self.link.poll_read_some(cx, buffer.initialize_unfilled()))?;
        match self.bytes_left.checked_sub(read) {
            Some(left) => self.bytes_left = left,
            None => return Poll::Ready(Err(io::ErrorKind::FileTooLarge.into())),
        }
        buffer.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.link.queue_control(Bytes::copy_from_slice(bytes)) {
            Ok(()) => Poll::Ready(Ok(bytes.len())),
            Err(_) => Poll::Ready(Err(io::ErrorKind::QuotaExceeded.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
