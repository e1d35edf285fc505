//! Where the target is in its network: its VPCs, and every address that is its own. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

/// The target's VPCs and addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// The VPCs of its interfaces.
    pub vpcs: BTreeSet<String>,
    /// Its private addresses, IPv4 and IPv6, and the prefixes that are delegated to it for its containers.
    pub ranges: BTreeSet<Range>,
}

/// An address, or a whole prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    base: IpAddr,
    bits: u32,
}

impl Places {
    /// Whether this is one of the target's addresses, however it is written.
    pub fn holds(&self, address: &str) -> bool {
        address.parse().is_ok_and(|address: IpAddr| self.ranges.iter().any(|range| range.holds(address)))
    }
}

impl Range {
    /// Reads `10.0.0.7`, `10.0.0.16/28` or `2001:db8::/80`.
    pub fn parse(text: &str) -> Option<Self> {
        let (base, bits) = match text.split_once('/') {
            Some((base, bits)) => (base.parse().ok()?, Some(bits.parse().ok()?)),
            None => (text.parse().ok()?, None),
        };
        let width = if matches!(base, IpAddr::V4(_)) { 32 } else { 128 };
        let bits = bits.unwrap_or(width);
        (bits <= width).then_some(Self { base, bits })
    }

    fn holds(&self, address: IpAddr) -> bool {
        let (differing, width): (u128, u32) = match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => (u128::from(base.to_bits() ^ address.to_bits()), 32),
            (IpAddr::V6(base), IpAddr::V6(address)) => (base.to_bits() ^ address.to_bits(), 128),
            _ => return false,
        };
        differing.checked_shr(width - self.bits).unwrap_or_default() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_the_targets_however_it_is_written_and_so_is_each_of_a_delegated_prefix() {
        let ranges = ["10.0.0.7", "10.0.1.16/28", "2001:db8::7", "2001:db8:0:1::/80"];
        let places = Places { vpcs: BTreeSet::new(), ranges: ranges.iter().filter_map(|text| Range::parse(text)).collect() };
        assert_eq!(places.ranges.len(), ranges.len());
        for (address, held) in [
            ("10.0.0.7", true),
            ("10.0.0.8", false),
            ("10.0.1.16", true),
            ("10.0.1.31", true),
            ("10.0.1.32", false),
            ("10.0.1.15", false),
            ("2001:0db8:0000::0007", true),
            ("2001:db8::8", false),
            ("2001:db8:0:1:0:ffff:ffff:ffff", true),
            ("2001:db8:0:1:1::", false),
            ("::ffff:10.0.0.7", false),
            ("i-0123456789abcdef0", false),
            ("", false),
        ] {
            assert_eq!(places.holds(address), held, "{address}");
        }
        for none in ["", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "10.0.0/8", "x/8"] {
            assert_eq!(Range::parse(none), None, "{none}");
        }
    }
}
