//! One loopback connection made to see what really happens to a connection.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// Loopback answers within microseconds; beyond this it does not answer.
const CONNECT_MAX: Duration = Duration::from_secs(1);

/// Strangers on the probe's port that are turned away before it gives up.
const STRANGERS_MAX: usize = 8;

/// A listener on a port of its own.
pub(super) struct Probe {
    listener: TcpListener,
    address: SocketAddr,
}

/// Both ends of the probe's connection; what matters is the accepted one.
pub(super) struct Pair {
    pub(super) accepted: TcpStream,
    opened: TcpStream,
}

impl Pair {
    /// Sends a byte from the accepted end, which the other end sends back, so many times.
    pub(super) fn exchange(&mut self, times: u32) -> io::Result<()> {
        let mut byte = [7];
        for end in [&self.accepted, &self.opened] {
            end.set_read_timeout(Some(CONNECT_MAX))?;
        }
        for _ in 0..times {
            self.accepted.write_all(&byte)?;
            self.opened.read_exact(&mut byte)?;
            self.opened.write_all(&byte)?;
            self.accepted.read_exact(&mut byte)?;
        }
        Ok(())
    }
}

impl Probe {
    /// Listens on loopback.
    pub(super) fn listen() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .or_else(|_| TcpListener::bind((Ipv6Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// The port listened on.
    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Connects to itself.
    pub(super) fn connect(&self) -> io::Result<Pair> {
        let opened = TcpStream::connect_timeout(&self.address, CONNECT_MAX)?;
        let ours = opened.local_addr()?;
        for _ in 0..STRANGERS_MAX {
            // Ours is in the queue already, so this does not block.
            let (accepted, peer) = self.listener.accept()?;
            if peer == ours {
                return Ok(Pair { accepted, opened });
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_accepts_its_own_connection() {
        let probe = Probe::listen().expect("loopback");
        let pair = probe.connect().expect("loopback");
        let local = pair.accepted.local_addr().expect("connected");
        assert_eq!(local.port(), probe.port());
    }
}
