use proptest::prelude::*;

use super::*;

fn refusal(rules: &EgressRules, address: &str) -> Option<&'static str> {
    rules.refusal(address.parse().expect("an address"))
}

#[test]
fn special_addresses_are_refused_and_public_ones_are_not() {
    let rules = EgressRules::default();
    let refused = [
        "0.0.0.0:80",
        "0.1.2.3:80",
        "10.0.0.1:80",
        "10.255.255.255:80",
        "100.64.0.1:80",
        "100.100.100.200:80",
        "100.127.255.255:80",
        "127.0.0.1:80",
        "127.255.255.254:80",
        "168.63.129.16:80",
        "169.254.169.254:80",
        "169.254.170.2:80",
        "172.16.0.1:80",
        "172.31.255.255:80",
        "192.0.0.192:80",
        "192.0.2.1:80",
        "192.168.0.1:80",
        "198.18.0.1:80",
        "198.19.255.255:80",
        "224.0.0.1:80",
        "239.255.255.255:80",
        "240.0.0.1:80",
        "255.255.255.255:80",
        "[::]:80",
        "[::1]:80",
        "[::127.0.0.1]:80",
        "[::ffff:127.0.0.1]:80",
        "[::ffff:8.8.8.8]:80",
        "[64:ff9b::7f00:1]:80",
        "[64:ff9b:1::1]:80",
        "[100::1]:80",
        "[2001::1]:80",
        "[2001:db8::1]:80",
        "[2002:7f00:1::1]:80",
        "[fc00::1]:80",
        "[fd00:ec2::254]:80",
        "[fe80::1]:80",
        "[fec0::1]:80",
        "[ff02::1]:80",
        "[3fff::1]:80",
        "[4000::1]:80",
    ];
    for address in refused {
        assert!(refusal(&rules, address).is_some(), "{address}");
    }
    let public = [
        "1.1.1.1:443",
        "8.8.8.8:443",
        "9.255.255.255:443",
        "11.0.0.0:443",
        "100.63.255.255:443",
        "100.128.0.0:443",
        "126.255.255.255:443",
        "128.0.0.0:443",
        "168.63.129.17:443",
        "172.15.255.255:443",
        "172.32.0.0:443",
        "192.167.255.255:443",
        "223.255.255.255:443",
        "[2606:4700::1111]:443",
        "[2a00:1450::1]:443",
        "[2001:4860:4860::8888]:443",
    ];
    for address in public {
        assert_eq!(refusal(&rules, address), None, "{address}");
    }
}

#[test]
fn listing_allows_exactly_what_it_says() {
    let rules = EgressRules::new(["127.0.0.1:8090", "[::1]:9000", "10.1.0.0/16", "fd00::/8"])
        .expect("rules");
    for address in ["127.0.0.1:8090", "[::1]:9000", "10.1.2.3:1", "[fd12::1]:1"] {
        assert_eq!(refusal(&rules, address), None, "{address}");
    }
    let refused = [
        "127.0.0.1:8091",
        "127.0.0.2:8090",
        "[::1]:8090",
        "10.2.0.0:1",
        "[fc00::1]:1",
        "[::ffff:127.0.0.1]:8090",
        "[::ffff:10.1.2.3]:1",
    ];
    for address in refused {
        assert!(refusal(&rules, address).is_some(), "{address}");
    }
}

#[test]
fn entries_that_are_no_rules_are_refused() {
    let entries = [
        "",
        "localhost:8090",
        "127.0.0.1",
        "127.0.0.1:0",
        "127.0.0.1:70000",
        "10.0.0.0/33",
        "::/129",
        "10.0.0.0/-1",
        "10.0.0.0/",
        "/8",
        "127.1:80",
        "[fe80::1%1]:80",
        "10.0.0.0/8 ",
        "http://127.0.0.1:80",
    ];
    for entry in entries {
        assert!(
            matches!(EgressRules::new([entry]), Err(EgressRuleError::Form(_))),
            "{entry}"
        );
    }
    assert!(matches!(
        EgressRules::new(["10.0.0.1/8"]),
        Err(EgressRuleError::HostBits(_))
    ));
}

proptest! {
    /// No form that carries an IPv4 address reaches one without a listing.
    #[test]
    fn embedded_ipv4_addresses_are_refused(v4 in any::<u32>(), port in 1u16..) {
        let rules = EgressRules::new(["0.0.0.0/0"]).expect("rules");
        let v4 = u128::from(v4);
        let forms = [v4, 0xffff << 32 | v4, 0x64_ff9b << 96 | v4, 0x2002 << 112 | v4 << 80];
        for form in forms {
            let address = SocketAddr::from((std::net::Ipv6Addr::from_bits(form), port));
            prop_assert!(rules.refusal(address).is_some());
        }
    }

    /// A network that is listed is allowed to its borders and no further.
    #[test]
    fn networks_end_where_their_prefix_says(bits in any::<u32>(), prefix in 1u8..=32, probe in any::<u32>()) {
        let mask = u32::MAX << (32 - u32::from(prefix));
        let network = std::net::Ipv4Addr::from_bits(bits & mask);
        let entry = format!("{network}/{prefix}");
        let rules = EgressRules::new([entry.as_str()]).expect("a rule");
        let address = SocketAddr::from((std::net::Ipv4Addr::from_bits(probe), 1));
        let allowed = rules.refusal(address).is_none();
        let public = EgressRules::default().refusal(address).is_none();
        prop_assert_eq!(allowed, public || probe & mask == bits & mask);
    }

    #[test]
    fn entries_never_panic(entry in ".{0,40}") {
        let _read = EgressRules::new([entry.as_str()]);
    }
}
