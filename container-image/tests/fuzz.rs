//! Arbitrary bytes as layers: whatever they are, there is an answer, and nothing outside changes
//! ([`Arena`] compares).
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod common;

use common::{Arena, RawTar, overlay_options};
use container_image::layer::{ApplyOptions, Budget, Compression};
use proptest::prelude::*;

fn small() -> Budget {
    Budget::default().bytes(1 << 20).entries(500)
}

fn both_forms(tar: &[u8]) {
    let arena = Arena::new();
    let _ = arena.with(tar, &overlay_options().budget(small()));
    let arena = Arena::new();
    let _ = arena.with(tar, &ApplyOptions::plain(Compression::None).budget(small()));
    let _ = arena.with(tar, &ApplyOptions::plain(Compression::None).budget(small()));
}

/// Names that make trouble together: links, what is below them, whiteouts, ways out.
fn any_name() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => prop::sample::select(vec!["a", "b", "c", "a/b", "a/b/c", "b/a"]).prop_map(String::from),
        1 => prop::sample::select(vec!["..", ".", "", "../outside", ".wh.a", ".wh..wh..opq", ".wh..", "outside"])
            .prop_map(String::from),
    ];
    (prop::bool::ANY, prop::collection::vec(part, 1..4))
        .prop_map(|(slash, parts)| format!("{}{}", if slash { "/" } else { "" }, parts.join("/")))
}

fn any_entry() -> impl Strategy<Value = (u8, String, String, Vec<u8>)> {
    let kind = prop::sample::select(vec![
        b'0', b'0', b'5', b'5', b'2', b'2', b'1', b'6', b'3', b'7', b'L', b'x',
    ]);
    (kind, any_name(), any_name(), prop::collection::vec(any::<u8>(), 0..20))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        both_forms(&bytes);
        let arena = Arena::new();
        let _ = arena.with(&bytes, &ApplyOptions::plain(Compression::Gzip).budget(small()));
    }

    #[test]
    fn sound_headers_in_any_order(entries in prop::collection::vec(any_entry(), 0..12)) {
        let mut tar = RawTar::new();
        for (kind, name, link, content) in &entries {
            let content: &[u8] = if matches!(kind, b'0' | b'7' | b'L' | b'x') { content } else { b"" };
            tar = tar.entry(name, *kind, link, content);
        }
        both_forms(&tar.end());
    }

    #[test]
    fn sound_archives_with_flips(
        entries in prop::collection::vec(any_entry(), 1..6),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut tar = RawTar::new();
        for (kind, name, link, _) in &entries {
            tar = tar.entry(name, *kind, link, b"");
        }
        let mut tar = tar.end();
        for (at, value) in flips {
            let at = at.index(tar.len());
            tar[at] = value;
        }
        // With the checksums put right again, so that the flips get past them.
        for block in 0..tar.len() / 512 {
            let header = &mut tar[block * 512..][..512];
            header[148..156].copy_from_slice(b"        ");
            let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        both_forms(&tar);
    }
}
