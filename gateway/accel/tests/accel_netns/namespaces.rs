//! Two network namespaces with a wire between them, gone when the value is dropped.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 231, 0, 1);
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 231, 0, 2);
const CONNECT_MAX: Duration = Duration::from_secs(5);

pub(crate) struct Namespaces {
    pub(crate) server: String,
    pub(crate) client: String,
}

impl Namespaces {
    pub(crate) fn make() -> Result<Self> {
        let pid = std::process::id();
        let made = Self { server: format!("waggle-server-{pid}"), client: format!("waggle-client-{pid}") };
        let Self { server, client } = &made;
        ip(&format!("netns add {server}"))?;
        ip(&format!("netns add {client}"))?;
        ip(&format!("link add wire netns {server} type veth peer name wire netns {client}"))?;
        for (name, address) in [(server, SERVER), (client, CLIENT)] {
            ip(&format!("-n {name} address add {address}/30 dev wire"))?;
            ip(&format!("-n {name} link set wire up"))?;
            ip(&format!("-n {name} link set lo up"))?;
        }
        Ok(made)
    }

    /// A connection from the client's namespace to a port of the server's.
    pub(crate) fn connect(&self, port: u16) -> Result<TcpStream> {
        self.connect_within(port, CONNECT_MAX)
    }

    /// The same, with this much patience.
    pub(crate) fn connect_within(&self, port: u16, patience: Duration) -> Result<TcpStream> {
        let to = SocketAddr::from((SERVER, port));
        within(&self.client, || TcpStream::connect_timeout(&to, patience))
            .with_context(|| format!("cannot connect to {to}"))
    }

    /// A listener in the client's namespace.
    pub(crate) fn listen(&self, port: u16) -> Result<TcpListener> {
        within(&self.client, || TcpListener::bind((CLIENT, port)))
            .with_context(|| format!("cannot listen on {CLIENT}:{port}"))
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in [&self.server, &self.client] {
            if let Err(error) = ip(&format!("netns delete {name}")) {
                eprintln!("{error:#}");
            }
        }
    }
}

/// Moves the calling thread into the namespace.
pub(crate) fn enter(name: &str) -> io::Result<()> {
    let file = File::open(Path::new("/run/netns").join(name))?;
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
    Ok(())
}

/// Runs `act` on a thread of its own inside the namespace; sockets stay where they were made.
fn within<T: Send>(name: &str, act: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let inside = scope.spawn(|| {
            enter(name)?;
            act()
        });
        inside.join().unwrap_or_else(|_| Err(io::Error::other("the thread inside the namespace panicked")))
    })
}

fn ip(arguments: &str) -> Result<()> {
    let output = Command::new("ip").args(arguments.split(' ')).output().context("cannot run ip")?;
    ensure!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
