//! Which addresses are not public, by the registries of special-purpose addresses (IANA, RFC 6890 and later).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const V4: &[(Ipv4Addr, u8, &str)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8, "an unspecified address"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "a private address"),
    (
        Ipv4Addr::new(100, 64, 0, 0),
        10,
        "a shared (carrier) address",
    ),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "a loopback address"),
    // Azure's wire server hands out credentials from a public address.
    (Ipv4Addr::new(168, 63, 129, 16), 32, "a metadata address"),
    (
        Ipv4Addr::new(169, 254, 0, 0),
        16,
        "a link-local or metadata address",
    ),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "a private address"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "a reserved address"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "a documentation address"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "a relay address"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "a private address"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "a benchmarking address"),
    (
        Ipv4Addr::new(198, 51, 100, 0),
        24,
        "a documentation address",
    ),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "a documentation address"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "a multicast address"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "a reserved address"),
];

const GLOBAL_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// Inside the global range: forms that carry an IPv4 address to wherever it leads, and what is nobody's.
const V6_SPECIAL: &[(Ipv6Addr, u8, &str)] = &[
    (
        Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0),
        23,
        "a tunnel or reserved address",
    ),
    (
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0),
        32,
        "a documentation address",
    ),
    (
        Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0),
        16,
        "a 6to4 address",
    ),
    (
        Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0),
        20,
        "a documentation address",
    ),
];

/// Outside it, for words alone: the first that fits.
const V6_OUTSIDE: &[(Ipv6Addr, u8, &str)] = &[
    (Ipv6Addr::UNSPECIFIED, 128, "an unspecified address"),
    (Ipv6Addr::LOCALHOST, 128, "a loopback address"),
    (
        Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0),
        96,
        "an IPv4-mapped address",
    ),
    (Ipv6Addr::UNSPECIFIED, 96, "an IPv4-compatible address"),
    (
        Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0),
        32,
        "a NAT64 address",
    ),
    (
        Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0),
        7,
        "a private address",
    ),
    (
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0),
        10,
        "a link-local address",
    ),
    (
        Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0),
        8,
        "a multicast address",
    ),
    (Ipv6Addr::UNSPECIFIED, 0, "a reserved address"),
];

/// What an address is, if it is not public.
pub(super) fn not_public(ip: IpAddr) -> Option<&'static str> {
    let first = |table: &[(Ipv6Addr, u8, &'static str)]| {
        let found = table
            .iter()
            .find(|(network, prefix, _)| is_within(ip, (*network).into(), *prefix));
        found.map(|(_, _, what)| *what)
    };
    match ip {
        IpAddr::V4(_) => V4
            .iter()
            .find(|(network, prefix, _)| is_within(ip, (*network).into(), *prefix))
            .map(|(_, _, what)| *what),
        IpAddr::V6(_) if is_within(ip, GLOBAL_V6.0.into(), GLOBAL_V6.1) => first(V6_SPECIAL),
        IpAddr::V6(_) => first(V6_OUTSIDE),
    }
}

/// Whether an address lies in a network. An IPv4 address lies in no IPv6 network, whatever form it could take.
pub(super) fn is_within(ip: IpAddr, network: IpAddr, prefix: u8) -> bool {
    match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => {
            let differ = ip.to_bits() ^ network.to_bits();
            differ.leading_zeros() >= u32::from(prefix)
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) => {
            let differ = ip.to_bits() ^ network.to_bits();
            differ.leading_zeros() >= u32::from(prefix)
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

/// Whether no bit is set beyond the prefix.
pub(super) fn is_first(ip: IpAddr, prefix: u8) -> bool {
    let zeros = match ip {
        IpAddr::V4(ip) => ip.to_bits().trailing_zeros(),
        IpAddr::V6(ip) => ip.to_bits().trailing_zeros(),
    };
    zeros >= u32::from(bits(ip) - prefix)
}

/// Bits of an address of this family.
pub(super) const fn bits(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}
