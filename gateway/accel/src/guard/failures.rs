//! Failed authentications: who has too many of them within a minute.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use waggle_ebpf::guard::is_counted_whole;

use crate::network::{Network, mapped};

/// Hosts whose failures are remembered, and as many sites; beyond, those counted for longest are forgotten.
const COUNTED_MAX: usize = 16_384;
/// Failures are counted over so long.
const WITHIN: Duration = Duration::from_secs(60);
/// Bits of an IPv6 site.
const SITE_BITS: u8 = 48;
/// A site may fail as often as so many of its hosts.
const SITE_HOSTS: u32 = 8;

/// Failures by host, and of IPv6 by site as well: a site has 65,536 networks that each count as one host.
#[derive(Debug, Default)]
pub(super) struct Failures {
    hosts: Counts,
    sites: Counts,
}

impl Failures {
    /// Counts one more. Gives the networks that have too many: the host with `most` of them, its site with
    /// [`SITE_HOSTS`] times as many.
    pub(super) fn count(&mut self, address: IpAddr, most: u32, now: Instant) -> Vec<Network> {
        let host = host(address);
        let site = (host.bits() == 64).then(|| host.shortened(SITE_BITS));
        let is_enough = self.hosts.count(host, most, now);
        let site = site.filter(|site| self.sites.count(*site, most.saturating_mul(SITE_HOSTS), now));
        site.into_iter().chain(is_enough.then_some(host)).collect()
    }
}

/// The network that counts as one host: an IPv4 address, also one behind NAT64, or 64 bits of IPv6.
fn host(address: IpAddr) -> Network {
    let bits = if is_counted_whole(&mapped(address)) { 128 } else { 64 };
    Network::of(address).shortened(bits)
}

/// Counts of networks since their first failure within a minute.
#[derive(Debug, Default)]
struct Counts {
    counts: HashMap<Network, (u32, Instant)>,
    /// The keys of `counts`, those counted for longest first.
    oldest: VecDeque<Network>,
}

impl Counts {
    /// Counts one more; true when there are now `most` within a minute, and then from 0 again.
    fn count(&mut self, network: Network, most: u32, now: Instant) -> bool {
        while self.oldest.front().is_some_and(|first| self.is_over(first, now)) {
            self.forget_oldest();
        }
        if !self.counts.contains_key(&network) {
            if self.oldest.len() >= COUNTED_MAX {
                self.forget_oldest();
            }
            self.oldest.push_back(network);
        }
        let (count, _) = self.counts.entry(network).or_insert((0, now));
        *count += 1;
        let is_enough = *count >= most;
        if is_enough {
            *count = 0;
        }
        is_enough
    }

    fn is_over(&self, network: &Network, now: Instant) -> bool {
        self.counts.get(network).is_none_or(|(_, since)| now.saturating_duration_since(*since) >= WITHIN)
    }

    fn forget_oldest(&mut self) {
        if let Some(first) = self.oldest.pop_front() {
            self.counts.remove(&first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    fn counted(failures: &mut Failures, text: &str, most: u32, now: Instant) -> Vec<String> {
        failures.count(address(text), most, now).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn failures_are_counted_by_host_within_a_minute() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        let later = now + WITHIN;
        for (text, at, wanted) in [
            ("2001:db8::1", now, ""),
            ("2001:db8::2", now, ""),
            ("192.0.2.1", now, ""),
            ("2001:db8::1", now, "2001:db8::/64"),
            ("2001:db8::1", now, ""),
            ("2001:db8::1", now, ""),
            ("2001:db8::1", later, ""),
            ("2001:db8::1", later, ""),
            ("2001:db8::1", later, "2001:db8::/64"),
        ] {
            assert_eq!(counted(&mut failures, text, 3, at).concat(), wanted, "{text}");
        }
        for (text, wanted) in [
            ("192.0.2.1", "192.0.2.1/32"),
            ("::ffff:192.0.2.1", "192.0.2.1/32"),
            ("2001:db8:1:2:3::9", "2001:db8:1:2::/64"),
            ("64:ff9b::192.0.2.1", "64:ff9b::c000:201/128"),
            ("64:ff9b:1::192.0.2.1", "64:ff9b:1::/64"),
        ] {
            assert_eq!(host(address(text)).to_string(), wanted);
        }
    }

    #[test]
    fn a_site_with_many_networks_is_one_site() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        let mut found = Vec::new();
        for network in 0..24 {
            found.extend(counted(&mut failures, &format!("2001:db8:7:{network:x}::1"), 3, now));
        }
        assert_eq!(found, ["2001:db8:7::/48"]);
        // Neither IPv4 nor what comes through NAT64 is of a site.
        for host in 0..24 {
            assert!(failures.count(address(&format!("192.0.2.{host}")), 3, now).is_empty());
            assert!(failures.count(address(&format!("64:ff9b::192.0.2.{host}")), 3, now).is_empty());
        }
    }

    #[test]
    fn with_too_many_at_once_only_the_oldest_are_forgotten() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        let of = |n: u32| IpAddr::from((0x0a00_0000 + n).to_be_bytes());
        let last = COUNTED_MAX as u32;
        for n in 0..=last {
            assert!(failures.count(of(n), 2, now).is_empty());
        }
        assert!(failures.count(of(0), 2, now).is_empty(), "it was the oldest");
        assert_eq!(failures.count(of(last), 2, now), [Network::of(of(last))]);
        assert_eq!(failures.count(of(3), 2, now), [Network::of(of(3))]);
        assert_eq!((failures.hosts.counts.len(), failures.hosts.oldest.len()), (COUNTED_MAX, COUNTED_MAX));
    }
}
