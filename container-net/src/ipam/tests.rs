//! The pool against a model, and the subnet parser.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[test]
fn subnets_are_parsed_strictly() {
    for bad in [
        "",
        "10.88.0.0",
        "10.88.0.0/",
        "10.88.0.0/33",
        "10.88.0.0/31",
        "10.88.0.0/7",
        "10.88.0.1/24",
        "10.88.0.0/+24",
        "10.88.0.0/024",
        "10.88.0/24",
        "127.0.0.0/8",
        "224.0.0.0/24",
        "0.0.0.0/8",
        "10.88.0.0/24 ",
        "::/64",
    ] {
        let error = bad.parse::<Subnet>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bad:?}");
    }
    let subnet: Subnet = "10.88.4.0/22".parse().unwrap();
    assert_eq!(subnet.to_string(), "10.88.4.0/22");
    assert_eq!(subnet.broadcast().to_string(), "10.88.7.255");
}

#[test]
fn overlap_is_symmetric_and_sees_containment() {
    let parse = |s: &str| s.parse::<Subnet>().unwrap();
    let wide = parse("10.0.0.0/8");
    let narrow = parse("10.88.0.0/24");
    assert!(wide.overlaps(&narrow) && narrow.overlaps(&wide));
    assert!(!narrow.overlaps(&parse("10.88.1.0/24")));
    assert!(narrow.overlaps_route(Ipv4Addr::new(10, 88, 0, 7), 32));
    assert!(narrow.overlaps_route(Ipv4Addr::UNSPECIFIED, 0));
}

#[test]
fn the_first_subnet_clear_of_routes_is_found() {
    let range = "10.88.0.0/16".parse().unwrap();
    let taken = [(Ipv4Addr::new(10, 88, 0, 0), 23), (Ipv4Addr::new(10, 88, 2, 9), 32)];
    assert_eq!(first_free(range, 24, &taken).unwrap().to_string(), "10.88.3.0/24");
    assert_eq!(first_free(range, 24, &[(Ipv4Addr::new(10, 0, 0, 0), 8)]), None);
    let top = "255.255.255.0/24".parse().unwrap();
    assert_eq!(first_free(top, 30, &[(top.network(), 25)]).unwrap().prefix(), 30);
}

#[test]
fn a_released_address_comes_back_only_after_the_round() {
    let mut pool = Pool::new("10.88.0.0/29".parse().unwrap());
    let first = pool.allocate().unwrap();
    assert!(pool.release(first));
    let order: Vec<_> = (0..5).map(|_| pool.allocate().unwrap()).collect();
    assert_eq!(order.last(), Some(&first));
    assert_eq!(pool.allocate().unwrap_err().kind(), ErrorKind::AddressesExhausted);
}

#[test]
fn the_gateway_can_be_any_host_address() {
    let subnet: Subnet = "10.88.0.0/24".parse().unwrap();
    let mut pool = Pool::with_gateway(subnet, Ipv4Addr::new(10, 88, 0, 254)).unwrap();
    assert_eq!(pool.allocate().unwrap(), Ipv4Addr::new(10, 88, 0, 1));
    assert_eq!(pool.reserve(pool.gateway()).unwrap_err().kind(), ErrorKind::AddressInUse);
    assert!(!pool.release(pool.gateway()));
    assert!(Pool::with_gateway(subnet, subnet.broadcast()).is_err());
    assert!(Pool::with_gateway(subnet, Ipv4Addr::new(10, 89, 0, 1)).is_err());
}

#[test]
fn a_slash_eight_is_handed_out_without_slowing() {
    let mut pool = Pool::new("10.0.0.0/8".parse().unwrap());
    let started = std::time::Instant::now();
    for _ in 0..100_000 {
        pool.allocate().unwrap();
    }
    assert!(started.elapsed().as_secs() < 2);
}

#[derive(Debug, Clone)]
enum Step {
    Allocate,
    Reserve(u32),
    Release(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Allocate),
        1 => (0u32..300).prop_map(Step::Reserve),
        2 => (0u32..300).prop_map(Step::Release),
    ];
    prop::collection::vec(step, 0..400)
}

proptest! {
    #[test]
    fn the_pool_behaves_like_a_set(prefix in 24u8..=30, gateway in 1u32..3, steps in steps()) {
        let subnet = Subnet::new(Ipv4Addr::new(10, 88, 0, 0), prefix).unwrap();
        let gateway = Ipv4Addr::from_bits(subnet.network + gateway.min(2));
        let mut pool = Pool::with_gateway(subnet, gateway).unwrap();
        let capacity = (subnet.last() - subnet.network + 1 - 3) as usize;
        let mut leased = BTreeSet::new();
        for step in steps {
            match step {
                Step::Allocate => match pool.allocate() {
                    Ok(address) => {
                        prop_assert!(subnet.contains(address));
                        prop_assert!(address != gateway);
                        prop_assert!(address != subnet.network() && address != subnet.broadcast());
                        prop_assert!(leased.insert(address), "{address} was given out twice");
                    }
                    Err(_) => prop_assert_eq!(leased.len(), capacity),
                },
                Step::Reserve(offset) => {
                    let address = Ipv4Addr::from_bits(subnet.network + offset);
                    let host = check_host(&subnet, address, "address").is_ok();
                    let expected = host && address != gateway && !leased.contains(&address);
                    prop_assert_eq!(pool.reserve(address).is_ok(), expected);
                    if expected {
                        leased.insert(address);
                    }
                }
                Step::Release(offset) => {
                    let address = Ipv4Addr::from_bits(subnet.network + offset);
                    prop_assert_eq!(pool.release(address), leased.remove(&address));
                }
            }
            prop_assert_eq!(pool.free() as usize, capacity - leased.len());
        }
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in "[0-9./+ ]{0,20}") {
        if let Ok(subnet) = text.parse::<Subnet>() {
            prop_assert_eq!(subnet.to_string(), text);
        }
    }
}
