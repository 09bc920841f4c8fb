//! The encoder, without a kernel.

use proptest::prelude::*;

use super::encode::{Attrs, Kind, element_message, parse_elements};
use super::*;

#[test]
fn a_value_that_does_not_fit_an_attribute_is_an_error() {
    let mut attrs = Attrs::new();
    attrs.bytes(1, &vec![0; 65_531]);
    assert!(attrs.finish().is_some());
    let mut attrs = Attrs::new();
    attrs.bytes(1, &vec![0; 65_532]);
    assert!(attrs.finish().is_none());
    let mut attrs = Attrs::new();
    attrs.nest(1, |a| {
        a.bytes(2, &vec![0; 40_000]).bytes(3, &vec![0; 40_000]);
    });
    assert!(attrs.finish().is_none(), "two that fit can still be too long together");
}

#[test]
fn a_port_element_is_laid_out_as_the_kernel_compares_it() {
    let ports = [Port::tcp(8080, 80), Port::udp(53, 5353).on(Ipv4Addr::LOCALHOST)];
    let [(_, any), (_, one)] = port_elements(Ipv4Addr::new(10, 88, 0, 2), &ports);
    assert_eq!(any[0].key, [6, 0, 0, 0, 0x1f, 0x90, 0, 0]);
    assert_eq!(any[0].data.as_deref(), Some(&[10, 88, 0, 2, 0, 80, 0, 0][..]));
    assert_eq!(one[0].key, [127, 0, 0, 1, 17, 0, 0, 0, 0, 53, 0, 0]);
    assert_eq!(one[0].data.as_deref(), Some(&[10, 88, 0, 2, 0x14, 0xe9, 0, 0][..]));
}

#[test]
fn the_interval_ends_behind_the_last_address() {
    let subnet = "10.88.0.0/24".parse().unwrap();
    let [_, _, (_, interval)] = network_elements("br0", subnet);
    assert_eq!(interval[0].key, [10, 88, 0, 0]);
    assert_eq!(interval[1].key, [10, 88, 1, 0]);
    assert!(interval[1].interval_end);
}

#[test]
fn a_published_port_is_known_by_where_it_leads() {
    let subnet = "10.88.0.0/24".parse().unwrap();
    let inside = port_elements(Ipv4Addr::new(10, 88, 0, 9), &[Port::tcp(1, 1)]);
    let outside = port_elements(Ipv4Addr::new(10, 88, 1, 9), &[Port::tcp(1, 1)]);
    assert!(leads_into(&inside[0].1[0], subnet));
    assert!(!leads_into(&outside[0].1[0], subnet));
}

fn element() -> impl Strategy<Value = Element> {
    let key = prop::collection::vec(any::<u8>(), 1..33);
    let data = prop::option::of(prop::collection::vec(any::<u8>(), 1..9));
    (key, data, any::<bool>()).prop_map(|(key, data, interval_end)| Element {
        key,
        data,
        interval_end,
    })
}

proptest! {
    #[test]
    fn elements_survive_the_wire(elements in prop::collection::vec(element(), 0..40)) {
        let message = element_message(Kind::NewSetElem, 0, "published", &elements).unwrap();
        prop_assert_eq!(parse_elements(message.payload()), elements);
    }

    #[test]
    fn any_answer_is_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_elements(&bytes);
    }
}
