//! What came to the laboratory's server: counted by its kernel behind the guard, and by the guard.

use anyhow::{Context, Result};

use crate::lab::Pair;
use crate::scrape;
use crate::target::Target;

/// Verdicts whose packets the guard drops.
const DROPPED: [&str; 3] = ["denied", "bad", "limited"];

/// Packets so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arrived {
    /// All of IPv4.
    pub(super) packets: u64,
    /// Those of them that the guard dropped.
    pub(super) dropped: u64,
}

impl Arrived {
    /// Reads the counts of the server's host, and of the gateway on it.
    pub(super) fn read(pair: &Pair, target: &Target) -> Result<Self> {
        // Not /proc/self, which is the process's first thread.
        let snmp = pair.server.within(|| Ok(std::fs::read_to_string("/proc/thread-self/net/snmp")?))?;
        let metrics = pair.client.within(|| scrape::get(target))?;
        let behind = received(&snmp).context("the kernel does not count what it has received")?;
        let dropped = DROPPED.iter().map(|verdict| counted(&metrics, verdict)).sum();
        Ok(Self { packets: behind + dropped, dropped })
    }

    pub(super) fn since(&self, before: &Self) -> Self {
        Self { packets: self.packets - before.packets, dropped: self.dropped - before.dropped }
    }
}

/// `InReceives` of the two lines on IP in proc_net_snmp: names, and values.
fn received(snmp: &str) -> Option<u64> {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Ip: "));
    let at = lines.next()?.split(' ').position(|name| name == "InReceives")?;
    lines.next()?.split(' ').nth(at)?.parse().ok()
}

/// None where there is no guard.
fn counted(metrics: &str, verdict: &str) -> u64 {
    let series = format!("waggle_guard_packets_total{{verdict=\"{verdict}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_found_by_name() {
        let snmp =
            "Ip: Forwarding DefaultTTL InReceives InHdrErrors\nIp: 2 64 7407781 0\nIcmp: InMsgs\nIcmp: 1\n";
        assert_eq!((received(snmp), received("Tcp: A\nTcp: 1\n")), (Some(7_407_781), None));
        let metrics =
            "# TYPE waggle_guard_packets counter\nwaggle_guard_packets_total{verdict=\"limited\"} 12\n";
        assert_eq!((counted(metrics, "limited"), counted(metrics, "bad")), (12, 0));
    }
}
