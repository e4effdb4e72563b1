//! A laboratory on one machine: two hosts (network namespaces) and a wire between them that delays and
//! loses packets as it is told.
//!
//! The namespaces have no names: nothing is left of them when the bench and what it has started in them have
//! ended, and a gateway ends with the bench however that ends.

mod flood;
mod namespace;
mod relay;
mod tun;

pub use flood::{Flood, Kind, STRANGERS};
pub use namespace::Namespace;
pub use relay::{FlowCount, Loss, Relay, Wire};

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result};

/// The first host's address.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 233, 0, 1);
/// The second host's.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 233, 0, 2);

/// Two hosts with a wire between them.
#[derive(Debug)]
pub struct Lab {
    /// Where servers are.
    pub server: Namespace,
    /// Where clients are.
    pub client: Namespace,
    relay: Relay,
}

impl Lab {
    /// Makes both hosts and the wire.
    ///
    /// # Errors
    /// Where the process may not make namespaces or devices, or `ip` (iproute2) is missing.
    pub fn new(wire: Wire) -> Result<Self> {
        let [server, client] = [Namespace::new()?, Namespace::new()?];
        let [near, far] = [(&server, SERVER), (&client, CLIENT)].map(|(host, address)| {
            host.within(|| {
                let device = tun::open("wire")?;
                namespace::ip(&format!("address add {address}/24 dev wire"))?;
                namespace::ip("link set wire mtu 1500 up")?;
                namespace::ip("link set lo up")?;
                Ok(device)
            })
        });
        let relay =
            Relay::start(near.context("the server's host")?, far.context("the client's host")?, wire)?;
        Ok(Self { server, client, relay })
    }

    /// Packets with data towards the client since the last call, by the server's port.
    pub fn take_flows(&self) -> std::collections::BTreeMap<u16, FlowCount> {
        self.relay.take_flows()
    }

    /// Changes the wire from the next packet on.
    pub fn set_wire(&self, wire: Wire) {
        self.relay.set_wire(wire);
    }
}

/// Two hosts with a bare wire (a veth pair, called `wire` on both) between them.
#[derive(Debug)]
pub struct Pair {
    /// Where servers are.
    pub server: Namespace,
    /// Where clients are.
    pub client: Namespace,
}

impl Pair {
    /// Makes both hosts; the client has [`CLIENT`] and these addresses.
    ///
    /// # Errors
    /// Where the process may not make namespaces or devices, or `ip` (iproute2) is missing.
    pub fn new(more: &[Ipv4Addr]) -> Result<Self> {
        let [server, client] = [Namespace::new()?, Namespace::new()?];
        let peer = client.path();
        server.within(|| {
            namespace::ip(&format!("link add wire type veth peer name wire netns {peer}"))?;
            namespace::ip(&format!("address add {SERVER}/16 dev wire"))?;
            namespace::ip("link set wire up")?;
            namespace::ip("link set lo up")
        })?;
        client.within(|| {
            for address in [CLIENT].iter().chain(more) {
                namespace::ip(&format!("address add {address}/16 dev wire"))?;
            }
            namespace::ip("link set wire up")
        })?;
        Ok(Self { server, client })
    }
}

impl Pair {
    /// Lets the server answer [`STRANGERS`], who are behind the client's wire.
    ///
    /// # Errors
    /// Where `ip` (iproute2) does not do it.
    pub fn know_strangers(&self) -> Result<()> {
        self.server.within(|| namespace::ip(&format!("route add {STRANGERS} via {CLIENT} dev wire")))
    }
}

impl Wire {
    /// A wire with this round-trip time that loses packets with data towards the client.
    #[must_use]
    pub fn towards_client(round_trip: Duration, loss: Loss, seed: u64) -> Self {
        Self { one_way: round_trip / 2, to_client: loss, to_server: Loss::NONE, seed }
    }
}
