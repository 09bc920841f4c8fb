use super::*;
use proptest::prelude::*;

fn extent(inside: u32, outside: u32, count: u32) -> IdExtent {
    IdExtent { inside, outside, count }
}

#[track_caller]
fn refused(extents: &[IdExtent], words: &str) {
    let error = IdMap::new(extents.iter().copied()).unwrap_err();
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn bad_maps_are_refused_by_name() {
    refused(&[], "needs an extent");
    refused(&[extent(0, 0, 0)], "holds no ids");
    refused(&[extent(u32::MAX, 0, 1)], "inside run past");
    refused(&[extent(0, 2, u32::MAX - 1)], "outside run past");
    refused(&[extent(0, 10, 5), extent(4, 100, 1)], "overlap inside");
    refused(&[extent(0, 10, 5), extent(9, 14, 1)], "overlap outside");
    refused(&[extent(0, 0, u32::MAX), extent(0, 0, 1)], "overlap inside");
    let many: Vec<_> = (0..341).map(|i| extent(i, i, 1)).collect();
    refused(&many, "340 extents");
    IdMap::new(many[..340].iter().copied()).unwrap();
}

#[test]
fn a_text_longer_than_a_page_is_refused() {
    let long: Vec<_> = (0..340).map(|i| extent(1_000_000_000 + i, 2_000_000_000 + i, 1)).collect();
    let error = IdMap::new(long).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitReached);
}

#[test]
fn root_only_is_one_extent() {
    let maps = IdMappings::root_only(1000, 100).unwrap();
    assert_eq!(maps.uids.to_string(), "0 1000 1\n");
    assert_eq!(maps.gids.to_string(), "0 100 1\n");
    assert!(maps.is_only(1000, 100));
    assert!(!maps.is_only(1000, 1000));
    assert!(IdMappings::root_only(u32::MAX, 0).is_err());
}

#[test]
fn identity_is_what_the_first_namespace_shows() {
    let map = IdMap::identity();
    assert_eq!(map.to_string(), "0 0 4294967295\n");
    assert_eq!(IdMap::new(map.extents().iter().copied()).unwrap(), map);
    assert_eq!(map.to_outside(u32::MAX - 1), Some(u32::MAX - 1));
    assert_eq!(map.to_outside(u32::MAX), None);
}

#[test]
fn subids_by_name_and_number_without_overlap() {
    let subuid = b"# comment\nbob:1:1\nann:100000:10\n1000:200000:20\nann:100005:1\nann:990:20\n\
        ann:1\nann:-1:5\nann:5:0\nann:4294967290:10\nann: 7:1\nann:7:1:\n:300000:5\nann:300000:5\r";
    let maps = IdMappings::from_subid("ann", 1000, 100, subuid, b"ann:7:3").unwrap();
    assert_eq!(maps.uids.to_string(), "0 1000 1\n1 100000 10\n11 200000 20\n31 300000 5\n");
    assert_eq!(maps.gids.to_string(), "0 100 1\n1 7 3\n");
    assert_eq!(
        maps.uids.helper_args(42),
        ["42", "0", "1000", "1", "1", "100000", "10", "11", "200000", "20", "31", "300000", "5"]
    );
}

#[test]
fn no_subids_says_how_to_get_them() {
    let error = IdMappings::from_subid("ann", 1000, 1000, b"ann:1:1", b"bob:1:1").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.step(), "read /etc/subgid");
    assert!(error.way_out().unwrap().contains("usermod"));
}

fn extents() -> impl Strategy<Value = Vec<IdExtent>> {
    let id = prop_oneof![0u32..300, any::<u32>()];
    let one = (id.clone(), id, prop_oneof![0u32..50, any::<u32>()]);
    proptest::collection::vec(one.prop_map(|(i, o, c)| extent(i, o, c)), 0..6)
}

proptest! {
    #[test]
    fn accepted_exactly_when_sound(extents in extents()) {
        let end = |first: u32, count: u32| u64::from(first) + u64::from(count);
        let fits = |e: &IdExtent| e.count > 0
            && end(e.inside, e.count) <= u64::from(u32::MAX)
            && end(e.outside, e.count) <= u64::from(u32::MAX);
        let apart = |a: (u32, u32), b: (u32, u32)| {
            end(a.0, a.1) <= u64::from(b.0) || end(b.0, b.1) <= u64::from(a.0)
        };
        let sound = !extents.is_empty() && extents.iter().all(fits)
            && extents.iter().enumerate().all(|(i, a)| extents[i + 1..].iter().all(|b| {
                apart((a.inside, a.count), (b.inside, b.count))
                    && apart((a.outside, a.count), (b.outside, b.count))
            }));
        prop_assert_eq!(IdMap::new(extents).is_ok(), sound);
    }

    #[test]
    fn translation_goes_there_and_back(extents in extents(), id in any::<u32>()) {
        if let Ok(map) = IdMap::new(extents) {
            for probe in map.extents().iter().flat_map(|e| [e.inside, e.inside + e.count - 1, id]) {
                if let Some(outside) = map.to_outside(probe) {
                    prop_assert_eq!(map.to_inside(outside), Some(probe));
                }
            }
        }
    }

    #[test]
    fn any_subid_file_gives_a_valid_map_or_an_error(
        lines in proptest::collection::vec("(a|b|7):[0-9]{0,11}:[0-9]{0,11}", 0..30),
        own in any::<u32>(),
    ) {
        let text = lines.join("\n");
        if let Ok(maps) = IdMappings::from_subid("a", own, 7, text.as_bytes(), b"a:100:1") {
            prop_assert_eq!(maps.uids.to_outside(0), Some(own));
            IdMap::new(maps.uids.extents().iter().copied()).unwrap();
        }
    }
}
