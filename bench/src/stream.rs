//! Sockets of the paths that are measured.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, ipproto, socket_with};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// A connect that takes longer has failed.
const CONNECT: Duration = Duration::from_secs(5);

/// Where a socket goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix stream socket.
    Unix(PathBuf),
    /// TLS over TCP.
    Tls(SocketAddr, Trust),
}

/// Whom TLS connections trust, and their session cache.
#[derive(Debug, Clone)]
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// Trusts the certificate (PEM) in this file.
    ///
    /// # Errors
    /// Where the file is none.
    pub fn in_file(path: &std::path::Path) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(path)?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }
}

impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Trust {}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) | Self::Tls(address, _) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// A connected socket that never blocks.
#[derive(Debug)]
pub enum Stream {
    /// With `TCP_NODELAY`.
    Tcp(TcpStream),
    /// On the same host.
    Unix(UnixStream),
    /// As [`Stream::Tcp`]; its handshake is part of the first reads and writes.
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// Connects; the wait for it is the only one.
    ///
    /// # Errors
    /// As the kernel tells them; after 5 s (TCP) a time-out.
    pub fn connect(address: &Address) -> io::Result<Self> {
        let tcp = match address {
            Address::Tcp(address) | Address::Tls(address, _) => {
                Some(TcpStream::connect_timeout(address, CONNECT)?)
            }
            Address::Unix(_) => None,
        };
        Self::of(address, tcp)
    }

    /// Begins to connect, without a wait: what fails shows when the socket is read or written. Over the
    /// loopback the `client`-th client comes from an address of its own, as it would from elsewhere: so
    /// the kernel does not search long for a free port.
    ///
    /// # Errors
    /// As the kernel tells them at once.
    pub fn begin(address: &Address, client: u32) -> io::Result<Self> {
        let tcp = match address {
            Address::Tcp(address) | Address::Tls(address, _) => {
                let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
                let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
                let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
                if let IpAddr::V4(ip) = address.ip()
                    && ip.is_loopback()
                {
                    let [_, a, b, c] = client.to_be_bytes();
                    bind(&socket, &SocketAddr::from(([127, a.wrapping_add(1), b, c], 0)))?;
                }
                match connect(&socket, address) {
                    Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Some(socket.into()),
                    Err(error) => return Err(error.into()),
                }
            }
            Address::Unix(_) => None,
        };
        Self::of(address, tcp)
    }

    fn of(address: &Address, tcp: Option<TcpStream>) -> io::Result<Self> {
        if let Some(stream) = &tcp {
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
        }
        match (address, tcp) {
            (Address::Tls(address, Trust(config)), Some(stream)) => {
                let name = ServerName::IpAddress(address.ip().into());
                let connection = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
                Ok(Self::Tls(Box::new(StreamOwned::new(connection, stream))))
            }
            (_, Some(stream)) => Ok(Self::Tcp(stream)),
            (Address::Unix(path), None) => {
                let stream = UnixStream::connect(path)?;
                stream.set_nonblocking(true)?;
                Ok(Self::Unix(stream))
            }
            (_, None) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// Lets reads and writes wait, for so long.
    ///
    /// # Errors
    /// As the kernel tells them.
    pub fn block(&self, patience: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => {
                stream.set_read_timeout(Some(patience))?;
                stream.set_nonblocking(false)
            }
            Self::Tls(stream) => {
                stream.sock.set_read_timeout(Some(patience))?;
                stream.sock.set_nonblocking(false)
            }
            Self::Unix(stream) => {
                stream.set_read_timeout(Some(patience))?;
                stream.set_nonblocking(false)
            }
        }
    }

    /// Whether room to write is what a write waits for: under TLS it may be bytes to read.
    fn wants_room(&self) -> bool {
        match self {
            Self::Tls(stream) => stream.conn.wants_write(),
            _ => true,
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
            Self::Tls(stream) => stream.sock.as_fd(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tls(stream) => stream.flush(),
            _ => Ok(()),
        }
    }
}

/// Bytes on their way out: kept until the socket has taken them.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    written: usize,
}

impl Outbox {
    /// To append to.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Writes what the socket takes; `false` where the rest waits for room.
    ///
    /// # Errors
    /// As the kernel tells them.
    pub fn flush(&mut self, stream: &mut Stream) -> io::Result<bool> {
        match self.write(stream) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(!stream.wants_room()),
            Err(error) => Err(error),
        }
    }

    fn write(&mut self, stream: &mut Stream) -> io::Result<()> {
        while let Some(rest) = self.bytes.get(self.written..)
            && !rest.is_empty()
        {
            match stream.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.bytes.clear();
        self.written = 0;
        Write::flush(stream)
    }
}
