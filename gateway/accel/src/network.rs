//! A range of addresses, IPv4 or IPv6.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Bits before an IPv4 address in its IPv4-mapped form.
const MAPPED_BITS: u8 = 96;

/// All addresses whose first bits are the same; IPv4 is kept as IPv4-mapped IPv6, as in the maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: [u8; 16],
    bits: u8,
}

/// Why a text is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// No address before the slash.
    #[error("{0:?} is not a network; expected an address with a length, such as 10.0.0.0/8 or 2001:db8::/32")]
    Syntax(String),
    /// A length beyond the address's.
    #[error("{text:?} has a length beyond {most}")]
    Length {
        /// As given.
        text: String,
        /// Bits of an address of this family.
        most: u8,
    },
    /// Bits after the length that are not 0.
    #[error("{text:?} has bits beyond its length; expected {wanted}")]
    Bits {
        /// As given.
        text: String,
        /// The network that holds the address.
        wanted: Network,
    },
}

impl Network {
    /// Every address of both families.
    pub const ALL: Self = Self { address: [0; 16], bits: 0 };

    /// Every IPv4 address.
    pub const EVERY_IPV4: Self =
        Self { address: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0], bits: MAPPED_BITS };

    /// The address's bytes; IPv4 as IPv4-mapped IPv6.
    #[must_use]
    pub fn address(&self) -> [u8; 16] {
        self.address
    }

    /// How many bits of [`Network::address`] matter.
    #[must_use]
    pub fn bits(&self) -> u8 {
        self.bits
    }

    /// Whether `address` lies in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        masked(mapped(address), self.bits) == self.address
    }

    /// Whether all of `other` lies in it.
    #[must_use]
    pub fn holds(&self, other: &Self) -> bool {
        other.bits >= self.bits && masked(other.address, self.bits) == self.address
    }

    /// The network of an address of a map, of which so many bits matter.
    #[cfg(target_os = "linux")]
    pub(super) fn from_map(address: [u8; 16], bits: u32) -> Self {
        let bits = u8::try_from(bits).unwrap_or(128).min(128);
        Self { address: masked(address, bits), bits }
    }

    /// The network of `bits` bits that this one lies in; IPv4 has 96 bits before its own.
    #[must_use]
    pub(super) fn shortened(&self, bits: u8) -> Self {
        let bits = bits.min(self.bits);
        Self { address: masked(self.address, bits), bits }
    }

    /// The network of this address alone.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self { address: mapped(address), bits: 128 }
    }
}

/// The address's bytes; IPv4 as IPv4-mapped IPv6.
pub(super) fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

fn masked(address: [u8; 16], bits: u8) -> [u8; 16] {
    let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
    (u128::from_be_bytes(address) & mask).to_be_bytes()
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let syntax = || NetworkError::Syntax(text.to_owned());
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| syntax())?;
        let (most, before) = if address.is_ipv4() { (32, MAPPED_BITS) } else { (128, 0) };
        let length = match length {
            None => most,
            Some(length) if length.starts_with('+') => return Err(syntax()),
            Some(length) => length.parse::<u8>().map_err(|_| syntax())?,
        };
        if length > most {
            return Err(NetworkError::Length { text: text.to_owned(), most });
        }
        let bits = before + length;
        let wanted = Self { address: masked(mapped(address), bits), bits };
        if wanted.address == mapped(address) {
            Ok(wanted)
        } else {
            Err(NetworkError::Bits { text: text.to_owned(), wanted })
        }
    }
}

impl TryFrom<String> for Network {
    type Error = NetworkError;

    fn try_from(text: String) -> Result<Self, NetworkError> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = Ipv6Addr::from(self.address);
        match address.to_ipv4_mapped() {
            Some(address) if self.bits >= MAPPED_BITS => write!(f, "{address}/{}", self.bits - MAPPED_BITS),
            _ => write!(f, "{address}/{}", self.bits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_read_back_as_written() {
        for text in ["10.0.0.0/8", "0.0.0.0/0", "192.0.2.7/32", "2001:db8::/32", "::/0", "::1/128"] {
            assert_eq!(text.parse::<Network>().expect(text).to_string(), text);
        }
        assert_eq!("192.0.2.7".parse::<Network>().expect("one address").to_string(), "192.0.2.7/32");
        assert_eq!("::/0".parse::<Network>(), Ok(Network::ALL));
    }

    #[test]
    fn what_is_no_network_says_what_would_be() {
        for (text, said) in [
            ("", "is not a network"),
            ("10.0.0/8", "is not a network"),
            ("10.0.0.0/", "is not a network"),
            ("10.0.0.0/+8", "is not a network"),
            ("10.0.0.0/-1", "is not a network"),
            ("10.0.0.0/8/8", "is not a network"),
            ("10.0.0.0/33", "beyond 32"),
            ("::/129", "beyond 128"),
            ("10.1.2.3/8", "expected 10.0.0.0/8"),
            ("2001:db8::1/32", "expected 2001:db8::/32"),
        ] {
            let error = text.parse::<Network>().expect_err(text).to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn a_network_contains_its_own_family_only() {
        let contains = |network: &str, address: &str| {
            network.parse::<Network>().expect(network).contains(address.parse().expect(address))
        };
        assert!(contains("10.0.0.0/8", "10.255.0.1"));
        assert!(contains("10.0.0.0/8", "::ffff:10.0.0.1"));
        assert!(!contains("10.0.0.0/8", "11.0.0.0"));
        assert!(!contains("0.0.0.0/0", "::1"));
        assert!(contains("::/0", "10.0.0.1"));
    }
}
