//! Layers that attack: each attack is carried out, fails with a clear error or lands inside the
//! root, and changes nothing outside ([`Arena`] compares).
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use common::{Arena, RawTar, is_whiteout, overlay_options, tree};
use container_image::layer::{ApplyOptions, Budget, Compression, apply};
use container_image::{Digest, ErrorKind};
use flate2::write::GzEncoder;

fn kind(arena: &Arena, tar: RawTar) -> ErrorKind {
    arena.plain(&tar.end()).unwrap_err().kind()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

#[test]
fn a_link_then_a_write_through_it_stays_inside() {
    // CVE-2025-47290, CVE-2026-46703
    for target in [
        "outside",
        "absolute",
        "../outside",
        "../../../../../..",
        "/proc/self/root",
        "/proc/self/cwd",
    ] {
        let arena = Arena::new();
        let outside = arena.outside();
        let target = if target == "absolute" { outside.to_str().unwrap() } else { target };
        let tar = RawTar::new()
            .symlink("x", target)
            .file("x/secret", "overwritten")
            .file("x/new", "1")
            .dir("x/dir");
        let _ = arena.plain(&tar.end()).unwrap();
        assert!(!outside.join("new").exists());
        assert!(arena.root().join("x").is_symlink());
        // It landed where the link leads *in the root*.
        let inside = tree(&arena.root()).into_keys().any(|path| path.ends_with("new"));
        assert!(inside, "{target}");
    }
}

#[test]
fn a_link_replaced_by_its_leaf_is_legitimate() {
    let arena = Arena::new();
    let secret = arena.outside().join("secret");
    let tar = RawTar::new().symlink("x", secret.to_str().unwrap()).file("x", "a file now");
    let _ = arena.plain(&tar.end()).unwrap();
    assert_eq!(fs::read_to_string(arena.root().join("x")).unwrap(), "a file now");
    assert!(!arena.root().join("x").is_symlink());
}

#[test]
fn modes_and_owners_are_not_set_through_links() {
    // CVE-2021-32760, CVE-2026-33056: chmod and mkdir where a link stands.
    let arena = Arena::new();
    let outside = arena.outside();
    let secret = outside.join("secret");
    let tar = RawTar::new()
        .symlink("d", outside.to_str().unwrap())
        .entry("d", b'5', "", b"")
        .symlink("f", secret.to_str().unwrap())
        .hardlink("h", "f");
    let _ = arena.plain(&tar.end()).unwrap();
    assert!(arena.root().join("d").is_dir() && !arena.root().join("d").is_symlink());
    assert!(arena.root().join("h").is_symlink(), "the link itself was linked");
}

#[test]
fn hard_links_reach_nothing_outside() {
    // CVE-2018-20990, CVE-2021-38511
    let outside = |arena: &Arena| arena.outside().join("secret").to_str().unwrap().to_owned();
    for overlay in [false, true] {
        let arena = Arena::new();
        let apply = |tar: RawTar| match overlay {
            false => arena.plain(&tar.end()),
            true => arena.overlay(&tar.end()),
        };
        for target in [&outside(&arena), "/etc/passwd", "missing", "", "h", "/", "dir"] {
            let tar = RawTar::new().dir("dir").hardlink("h", target).file("h", "overwritten");
            assert_eq!(apply(tar).unwrap_err().kind(), ErrorKind::InvalidPath, "{target}");
        }
        let through =
            RawTar::new().symlink("s", arena.outside().to_str().unwrap()).hardlink("h", "s/secret");
        assert_eq!(apply(through).unwrap_err().kind(), ErrorKind::InvalidPath);
        let up = RawTar::new().hardlink("h", "../outside/secret");
        assert_eq!(apply(up).unwrap_err().kind(), ErrorKind::InvalidPath);
    }
}

#[test]
fn dot_dot_is_refused() {
    let arena = Arena::new();
    for name in [
        "../evil",
        "..",
        "a/../../evil",
        "/../evil",
        "./../evil",
        "a/..",
        ".wh...",
        "a/.wh..",
        "../.wh.outside",
    ] {
        assert_eq!(kind(&arena, RawTar::new().file(name, "x")), ErrorKind::InvalidPath, "{name}");
    }
    assert_eq!(
        kind(&arena, RawTar::new().pax(&[("path", "../evil")]).file("good", "x")),
        ErrorKind::InvalidPath
    );
    assert!(tree(&arena.root()).is_empty());
}

#[test]
fn absolute_names_land_inside() {
    let arena = Arena::new();
    let name = arena.outside().join("secret");
    let tar = RawTar::new().pax(&[("path", name.to_str().unwrap())]).file("x", "inside");
    let _ = arena.plain(&tar.end()).unwrap();
    let inside = arena.root().join(name.strip_prefix("/").unwrap());
    assert_eq!(fs::read_to_string(inside).unwrap(), "inside");
}

#[test]
fn the_root_is_not_replaced() {
    // CVE-2021-29136
    for name in [".", "/", "./", "./.", "//"] {
        for entry in [b'2', b'0', b'1', b'6'] {
            let arena = Arena::new();
            let tar = RawTar::new().entry(name, entry, arena.outside().to_str().unwrap(), b"");
            // A plain file whose name ends in a slash is a directory in old archives.
            if entry == b'0' && name.ends_with('/') {
                let _ = arena.plain(&tar.end()).unwrap();
            } else {
                assert_eq!(kind(&arena, tar), ErrorKind::InvalidPath, "{name} {entry}");
            }
        }
        for marker in [".wh.", ".wh..", ".wh..."] {
            let tar = RawTar::new().file(&format!("{name}/{marker}"), "");
            assert_eq!(kind(&Arena::new(), tar), ErrorKind::InvalidPath, "{marker}");
        }
    }
    let arena = Arena::new();
    let _ = arena.plain(&RawTar::new().dir("./").file("a", "1").end()).unwrap();
    assert!(arena.root().join("a").exists());
}

#[test]
fn whiteouts_delete_nothing_outside() {
    let arena = Arena::new();
    let outside = arena.outside();
    let tar = RawTar::new()
        .symlink("x", outside.to_str().unwrap())
        .file("x/.wh.secret", "")
        .file("x/.wh..wh..opq", "");
    let _ = arena.plain(&tar.end()).unwrap();
    assert!(outside.join("secret").exists());
    // In place of the marker, something that is no file.
    for kind_of in [b'2', b'5', b'1'] {
        let tar = RawTar::new().entry(".wh.x", kind_of, "/etc", b"");
        assert_eq!(kind(&arena, tar), ErrorKind::InvalidPath);
    }
}

#[test]
fn overlay_marks_cannot_be_forged() {
    let arena = Arena::new();
    for key in ["trusted.overlay.redirect", "user.overlay.opaque", "trusted.overlay.metacopy"] {
        let record = format!("SCHILY.xattr.{key}");
        for entry in [b'0', b'5'] {
            let tar = RawTar::new().pax(&[(&record, "/etc")]).entry("d", entry, "", b"");
            assert_eq!(
                arena.overlay(&tar.end()).unwrap_err().kind(),
                ErrorKind::InvalidPath,
                "{key}"
            );
        }
    }
    let device = RawTar::new().entry("d", b'3', "", b""); // 0:0
    assert_eq!(arena.overlay(&device.end()).unwrap_err().kind(), ErrorKind::InvalidPath);
    assert!(!is_whiteout(&arena.root().join("d")));
}

#[test]
fn pax_size_wins_and_contradictions_are_refused() {
    // CVE-2025-62518, CVE-2026-33055: an archive in an archive, visible to one parser only.
    let hidden = RawTar::new().file("hidden", "evil").bytes_only();
    let size = hidden.len().to_string();
    let tar = RawTar::new()
        .pax(&[("size", &size)])
        .full(b"file", b'0', b"", &hidden, 0o644, 0)
        .file("after", "seen");
    let arena = Arena::new();
    let _ = arena.plain(&tar.end()).unwrap();
    let names: Vec<_> = tree(&arena.root()).into_keys().collect();
    assert_eq!(names, [Path::new("after"), Path::new("file")]);
    assert_eq!(fs::read(arena.root().join("file")).unwrap(), hidden);
    // Content where there can be none: parsers differ on whether to skip it.
    for entry in [b'1', b'2', b'3', b'5', b'6'] {
        let tar = RawTar::new().full(b"d", entry, b"x", &hidden, 0o755, hidden.len() as u64);
        assert_eq!(kind(&arena, tar), ErrorKind::Malformed);
    }
    for bad in ["x", "-1", "0x10", "99999999999999999999999"] {
        assert_eq!(
            kind(&arena, RawTar::new().pax(&[("size", bad)]).file("f", "")),
            ErrorKind::Malformed
        );
    }
    let huge = u64::MAX.to_string();
    assert_eq!(
        kind(&arena, RawTar::new().pax(&[("size", &huge)]).file("f", "")),
        ErrorKind::Malformed
    );
}

#[test]
fn owners_beyond_the_range_are_refused() {
    // CVE-2024-40635: ids that wrap around to root.
    for id in ["2147483648", "4294967296", "18446744073709551615", "-1"] {
        for key in ["uid", "gid"] {
            let tar = RawTar::new().pax(&[(key, id)]).file("f", "");
            assert_eq!(kind(&Arena::new(), tar), ErrorKind::Malformed, "{key} {id}");
        }
    }
}

#[test]
fn damaged_archives_are_refused() {
    let arena = Arena::new();
    let whole = RawTar::new().file("a", &"x".repeat(5000)).end();
    for cut in [1, 100, 511, 513, 600, 5000, 5511] {
        assert_eq!(arena.plain(&whole[..cut]).unwrap_err().kind(), ErrorKind::Malformed, "{cut}");
    }
    let mut flipped = whole.clone();
    flipped[0] ^= 1;
    assert_eq!(arena.plain(&flipped).unwrap_err().kind(), ErrorKind::Malformed);
    let mut trailing = whole.clone();
    trailing.extend_from_slice(b"garbage");
    assert_eq!(arena.plain(&trailing).unwrap_err().kind(), ErrorKind::Malformed);
    let gzip_options = ApplyOptions::plain(Compression::Gzip);
    let mut cut = gzip(&whole);
    cut.truncate(cut.len() - 5);
    assert_eq!(arena.with(&cut, &gzip_options).unwrap_err().kind(), ErrorKind::Malformed);
    let mut longer = gzip(&whole);
    longer.extend_from_slice(b"garbage");
    assert_eq!(arena.with(&longer, &gzip_options).unwrap_err().kind(), ErrorKind::Malformed);
    for sparse in [
        RawTar::new().entry("s", b'S', "", b""),
        RawTar::new().pax(&[("GNU.sparse.major", "1")]).file("s", ""),
    ] {
        assert_eq!(kind(&arena, sparse), ErrorKind::Unsupported);
    }
    assert_eq!(kind(&arena, RawTar::new().entry("s", b'Z', "", b"")), ErrorKind::Unsupported);
}

#[test]
fn content_must_be_what_was_announced() {
    let arena = Arena::new();
    let tar = RawTar::new().file("a", "1").end();
    let zipped = gzip(&tar);
    let none = || ApplyOptions::plain(Compression::None);
    let gzip = || ApplyOptions::plain(Compression::Gzip);
    let kind = |blob: &[u8], options: ApplyOptions| arena.with(blob, &options).unwrap_err().kind();
    assert_eq!(kind(&tar, gzip()), ErrorKind::MediaType);
    assert_eq!(kind(&zipped, none()), ErrorKind::MediaType);
    assert_eq!(kind(b"\x28\xb5\x2f\xfdzstd", gzip()), ErrorKind::MediaType);

    let other = Digest::sha256("other");
    let right = (Digest::sha256(&zipped), zipped.len() as u64);
    assert_eq!(kind(&zipped, gzip().diff_id(other.clone().into())), ErrorKind::DigestMismatch);
    assert_eq!(kind(&zipped, gzip().blob(other, right.1)), ErrorKind::DigestMismatch);
    for wrong in [right.1 - 1, right.1 + 1] {
        let error = arena.with(&zipped, &gzip().blob(right.0.clone(), wrong)).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::SizeMismatch | ErrorKind::Malformed), "{error}");
    }
    let right = gzip().blob(right.0, right.1).diff_id(Digest::sha256(&tar).into());
    let _ = arena.with(&zipped, &right).unwrap();
    // The long form of the hash is verified too.
    let long: Digest = format!("sha512:{}", "0".repeat(128)).parse().unwrap();
    assert_eq!(kind(&zipped, gzip().diff_id(long.into())), ErrorKind::DigestMismatch);
}

#[test]
fn bombs_end_at_the_budget() {
    let arena = Arena::new();
    // 32 MiB of zeros in some 32 KiB.
    let mut bomb = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let header = RawTar::new().full(b"zeros", b'0', b"", b"", 0o644, 32 << 20).bytes_only();
    bomb.write_all(&header).unwrap();
    for _ in 0..32 {
        bomb.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 1 << 20);
    let options = ApplyOptions::plain(Compression::Gzip).budget(Budget::default().bytes(1 << 20));
    let error = arena.with(&bomb, &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BudgetExceeded);
    assert!(fs::metadata(arena.root().join("zeros")).unwrap().len() <= 1 << 20);
    // Endless padding behind the end of the archive.
    let padded = gzip(&[RawTar::new().end(), vec![0; 4 << 20]].concat());
    assert_eq!(arena.with(&padded, &options).unwrap_err().kind(), ErrorKind::BudgetExceeded);
    // Many empty entries, and many directories out of one entry.
    let mut many = RawTar::new();
    for n in 0..200 {
        many = many.file(&format!("f{n}"), "");
    }
    let few = ApplyOptions::plain(Compression::None).budget(Budget::default().entries(100));
    assert_eq!(arena.with(&many.end(), &few).unwrap_err().kind(), ErrorKind::BudgetExceeded);
    let deep = "d/".repeat(1000);
    let deep = RawTar::new().pax(&[("path", &deep)]).file("x", "").end();
    assert_eq!(arena.with(&deep, &few).unwrap_err().kind(), ErrorKind::BudgetExceeded);
    let short = ApplyOptions::plain(Compression::None).budget(Budget::default().path_len(20));
    let long = RawTar::new().file(&"n".repeat(30), "").end();
    assert_eq!(arena.with(&long, &short).unwrap_err().kind(), ErrorKind::BudgetExceeded);
    // Endless metadata for one entry (CVE-2023-25153).
    let value = "v".repeat(2 << 20);
    let pax = RawTar::new().pax(&[("comment", &value)]).file("f", "");
    assert_eq!(kind(&arena, pax), ErrorKind::BudgetExceeded);
    let name = RawTar::new().full(b"n", b'L', b"", b"", 0o644, 0o77_777_777_777).file("f", "");
    assert_eq!(kind(&arena, name), ErrorKind::BudgetExceeded);
}

#[test]
fn the_deepest_path_works_and_a_deeper_one_is_refused() {
    let arena = Arena::new();
    let deepest = format!("{}f", "d/".repeat(2047));
    assert_eq!(deepest.len(), 4095);
    let tar = RawTar::new().pax(&[("path", &deepest)]).file("x", "deep").end();
    let result = arena.with(&tar, &overlay_options());
    // Whether the kernel takes 4,095 bytes below a directory is its own affair; no panic.
    if let Err(error) = result {
        assert_eq!(error.kind(), ErrorKind::InvalidPath, "{error}");
    }
    let deeper = RawTar::new().pax(&[("path", &"d/".repeat(2100))]).file("x", "").end();
    let error = arena.plain(&deeper).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidPath | ErrorKind::BudgetExceeded));
}

#[test]
fn loops_of_links_end() {
    let arena = Arena::new();
    let tar = RawTar::new().symlink("a", "b").symlink("b", "a").file("a/x", "");
    assert_eq!(kind(&arena, tar), ErrorKind::InvalidPath);
    let tar = RawTar::new().symlink("self", "self/self").file("self/x", "");
    assert_eq!(kind(&arena, tar), ErrorKind::InvalidPath);
    let tar = RawTar::new().file("file", "").file("file/x", "");
    assert_eq!(kind(&arena, tar), ErrorKind::InvalidPath);
}

#[test]
fn a_lower_layer_cannot_lead_out_either() {
    let arena = Arena::new();
    let lower = arena.join("lower");
    fs::create_dir(&lower).unwrap();
    std::os::unix::fs::symlink(arena.outside(), lower.join("x")).unwrap();
    let tar = RawTar::new().file("x/secret", "overwritten").hardlink("h", "x/secret").end();
    let options = overlay_options().lower([PathBuf::from(&lower)]);
    let _ = arena.with(&tar, &options).unwrap();
    let copied = fs::read_to_string(arena.root().join("h")).unwrap();
    assert_eq!(copied, "overwritten");
    assert!(fs::read_dir(&lower).unwrap().count() == 1);
    let _ = apply(&RawTar::new().end()[..], &lower, &options).unwrap();
}
