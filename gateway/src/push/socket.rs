//! The sockets below connections: plain ones, and TCP under TLS.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::task::{Context, Poll};

use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
use rustls::ServerConnection;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;
use waggle_core::limits::TLS_BUFFER_BYTES_MAX;

/// A connected socket.
#[derive(Debug)]
pub(super) enum Socket {
    /// From the TCP listener, or the API's.
    Tcp(TcpStream),
    /// From the Unix socket, or another end within this process.
    Unix(LocalSocket),
    /// TCP under TLS; in a box, so that plain ones do not take its memory.
    Tls(Box<TlsSocket>),
}

/// A Unix socket. The kernel wakes whoever waits for room whenever the peer has read something, whether or
/// not there was room before: asked all the time, that is a wake-up for each frame of each session. So it is
/// asked only while there is none.
#[derive(Debug)]
pub(super) struct LocalSocket {
    stream: AsyncFd<UnixStream>,
    /// Another descriptor of the same socket, as one cannot be registered twice.
    room: RefCell<Option<AsyncFd<OwnedFd>>>,
}

/// Has the runtime watch a descriptor for one thing only.
#[expect(
    deprecated,
    reason = "the other way is unsafe for types that may change or close their descriptor; these two cannot"
)]
fn watched<T: std::os::fd::AsRawFd>(inner: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(inner, interest)
}

impl LocalSocket {
    fn wait_for_room(&self) -> io::Result<()> {
        let mut room = self.room.borrow_mut();
        if room.is_none() {
            let other = self.stream.get_ref().as_fd().try_clone_to_owned()?;
            *room = Some(watched(other, Interest::WRITABLE)?);
        }
        Ok(())
    }

    fn try_write_vectored(&self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let write = || {
            let (mut ancillary, flags) = (SendAncillaryBuffer::default(), SendFlags::NOSIGNAL);
            Ok(sendmsg(self.stream.get_ref(), slices, &mut ancillary, flags)?)
        };
        let outcome = match &*self.room.borrow() {
            Some(room) => return room.try_io(Interest::WRITABLE, |_| write()),
            None => write(),
        };
        if outcome.as_ref().is_err_and(|error: &io::Error| error.kind() == io::ErrorKind::WouldBlock) {
            self.wait_for_room()?;
        }
        outcome
    }
}

/// The gateway's end of TLS.
#[derive(Debug)]
pub(super) struct TlsSocket {
    stream: TcpStream,
    connection: RefCell<ServerConnection>,
}

impl Socket {
    /// A connected Unix socket that does not block.
    ///
    /// # Errors
    /// Where the runtime cannot watch it.
    pub(super) fn local(stream: UnixStream) -> io::Result<Self> {
        let stream = watched(stream, Interest::READABLE)?;
        Ok(Self::Unix(LocalSocket { stream, room: RefCell::new(None) }))
    }

    /// The gateway's end of a TLS connection, of which nothing or some has been read already.
    pub(super) fn tls(stream: TcpStream, mut connection: ServerConnection) -> Self {
        connection.set_buffer_limit(Some(TLS_BUFFER_BYTES_MAX));
        Self::Tls(Box::new(TlsSocket { stream, connection: RefCell::new(connection) }))
    }

    pub(super) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Reads what is there, as much as fits; `WouldBlock` where nothing is.
    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut partial = None;
        // A buffer that was not filled has taken all there was: saying so spares the next call, which
        // would find nothing. (tokio does the same in `poll_read`, but not in `try_read`.)
        let mut read = || match rustix::io::read(self.as_fd(), &mut *buffer)? {
            read if (1..buffer.len()).contains(&read) => {
                partial = Some(read);
                Err(io::ErrorKind::WouldBlock.into())
            }
            read => Ok(read),
        };
        let outcome = match self {
            Self::Tcp(stream) => stream.try_io(Interest::READABLE, read),
            Self::Unix(local) => local.stream.try_io(Interest::READABLE, |_| read()),
            Self::Tls(tls) => return tls.try_read(buffer),
        };
        partial.map_or(outcome, Ok)
    }

    /// Whether there is something to read that the kernel does not know of.
    pub(super) fn has_read_ahead(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Unix(_) => false,
            Self::Tls(tls) => tls.has_plaintext(),
        }
    }

    /// Writes without asking tokio first, which knows nothing better than the socket itself. Where this
    /// would block, tokio learns it from the next [`Socket::try_write_vectored`].
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => {
                if let Self::Unix(local) = self {
                    // Nothing waits any more.
                    local.room.take();
                }
                Ok(rustix::net::send(self.as_fd(), bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?)
            }
            Self::Tls(tls) => tls.try_write(|writer| writer.write(bytes)),
        }
    }

    pub(super) fn try_write_vectored(&self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write_vectored(slices),
            Self::Unix(local) => local.try_write_vectored(slices),
            Self::Tls(tls) => tls.try_write(|writer| writer.write_vectored(slices)),
        }
    }

    /// Whether bytes that were taken are not with the kernel yet; at most [`TLS_BUFFER_BYTES_MAX`].
    pub(super) fn holds_back(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Unix(_) => false,
            Self::Tls(tls) => tls.connection.borrow().wants_write(),
        }
    }

    /// Gives such bytes to the kernel.
    pub(super) fn try_flush(&self) -> io::Result<()> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => Ok(()),
            Self::Tls(tls) => tls.flush(&mut tls.connection.borrow_mut()),
        }
    }

    /// Tells the peer that nothing more will come.
    pub(super) fn shut_down_write(&self) {
        if let Self::Tls(tls) = self {
            tls.connection.borrow_mut().send_close_notify();
            // Where the socket takes nothing more now, the end of the stream has to say it.
            let _ = self.try_flush();
        }
        // Where this fails the connection is gone, which reading shows.
        let _ = socket2::SockRef::from(self).shutdown(std::net::Shutdown::Write);
    }

    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            // The readiness stays until a read finds nothing.
            Self::Unix(local) => local.stream.poll_read_ready(cx).map_ok(drop),
            Self::Tls(tls) => tls.stream.poll_read_ready(cx),
        }
    }

    pub(super) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_write_ready(cx),
            Self::Unix(local) => match &*local.room.borrow() {
                Some(room) => room.poll_write_ready(cx).map_ok(drop),
                None => Poll::Ready(Ok(())),
            },
            Self::Tls(tls) => tls.stream.poll_write_ready(cx),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(local) => local.stream.get_ref().as_fd(),
            Self::Tls(tls) => tls.stream.as_fd(),
        }
    }
}

impl TlsSocket {
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut connection = self.connection.borrow_mut();
        loop {
            match connection.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The peer has gone without a word, as many do.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                outcome => return outcome,
            }
            if connection.read_tls(&mut Ciphertext(&self.stream))? == 0 {
                return Ok(0);
            }
            let outcome = connection.process_new_packets();
            // Answers of the handshake, and an alert where it failed.
            self.flush(&mut connection)?;
            outcome.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
    }

    fn has_plaintext(&self) -> bool {
        let mut connection = self.connection.borrow_mut();
        // Nothing is read: this asks rustls to look for more packets that have come already.
        connection.process_new_packets().is_ok_and(|state| state.plaintext_bytes_to_read() > 0)
    }

    /// Encrypts where all that was encrypted before is with the kernel; returns how much was taken.
    fn try_write(
        &self,
        write: impl FnOnce(&mut rustls::Writer<'_>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let mut connection = self.connection.borrow_mut();
        self.flush(&mut connection)?;
        if connection.wants_write() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let taken = write(&mut connection.writer())?;
        self.flush(&mut connection)?;
        Ok(taken)
    }

    /// Gives the kernel what it takes of what is encrypted.
    fn flush(&self, connection: &mut ServerConnection) -> io::Result<()> {
        while connection.wants_write() {
            match connection.write_tls(&mut Ciphertext(&self.stream)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// What rustls reads from and writes to.
struct Ciphertext<'a>(&'a TcpStream);

impl Read for Ciphertext<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Ciphertext<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
