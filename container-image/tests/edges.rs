//! Corners in which layer implementations have gone wrong: marks on the root, whiteouts and
//! entries of one layer in an odd order, what grows without being counted, records that two
//! parsers read differently.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::{Arena, RawTar, overlay_options, require_user_xattrs, tree};
use container_image::layer::{
    ApplyOptions, Budget, Compression, Content, LayerBuilder, LayerOptions, Metadata, Node, apply,
};
use container_image::{ErrorKind, HostPrograms};
use testkit::TempDir;

fn kind(arena: &Arena, tar: RawTar) -> ErrorKind {
    arena.plain(&tar.end()).unwrap_err().kind()
}

fn names(dir: &Path) -> Vec<String> {
    tree(dir).into_keys().map(|path| path.to_string_lossy().into_owned()).collect()
}

#[test]
fn overlay_marks_cannot_be_forged_on_the_root_either() {
    for key in ["trusted.overlay.opaque", "user.overlay.opaque", "trusted.overlay.redirect"] {
        for root in ["./", ".", "/"] {
            let arena = Arena::new();
            let tar = RawTar::new().pax(&[(&format!("SCHILY.xattr.{key}"), "y")]).dir(root);
            let error = arena.overlay(&tar.end()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidPath, "{key} on {root}: {error}");
        }
    }
}

#[test]
fn a_whiteout_spares_what_its_own_layer_put_below_it() {
    let base = RawTar::new().dir("d").file("d/old", "1").dir("d/sub").file("d/sub/old", "1").end();
    // The layer says nothing about d and d/sub themselves.
    for marker in [".wh.d", "d/.wh..wh..opq"] {
        let arena = Arena::new();
        let _ = arena.plain(&base).unwrap();
        let top = RawTar::new().file("d/new", "2").file("d/sub/new", "2").file(marker, "");
        let _ = arena.plain(&top.end()).unwrap();
        assert_eq!(names(&arena.root()), ["d", "d/new", "d/sub", "d/sub/new"], "{marker}");
    }
}

#[test]
fn a_directory_in_the_place_of_a_file_of_its_layer_hides_what_is_below() {
    let temp = TempDir::new();
    if !common::require_opaque(temp.path()) {
        return;
    }
    let (base, top) = (temp.join("base"), temp.join("top"));
    for dir in [&base, &top] {
        fs::create_dir(dir).unwrap();
    }
    let lower = RawTar::new().dir("d").file("d/secret", "1").end();
    let _ = apply(&lower[..], &base, &overlay_options()).unwrap();
    let upper = RawTar::new().file("d", "a file").dir("d").hardlink("link", "d/secret").end();
    let error = apply(&upper[..], &top, &overlay_options().lower([&base])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidPath, "d is empty for this layer: {error}");
}

#[test]
fn files_copied_up_count_against_the_budget() {
    let temp = TempDir::new();
    let (base, top) = (temp.join("base"), temp.join("top"));
    for dir in [&base, &top] {
        fs::create_dir(dir).unwrap();
    }
    let mut lower = RawTar::new();
    let mut upper = RawTar::new();
    for n in 0..8 {
        lower = lower.file(&format!("f{n}"), &"x".repeat(64 << 10));
        upper = upper.hardlink(&format!("l{n}"), &format!("f{n}"));
    }
    let _ = apply(&lower.end()[..], &base, &overlay_options()).unwrap();
    let budget = Budget::default().bytes(200 << 10);
    let options = overlay_options().lower([&base]).budget(budget);
    let error = apply(&upper.end()[..], &top, &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BudgetExceeded, "{error}");
}

#[test]
fn metadata_that_waits_for_the_end_is_bounded() {
    // Each directory's attributes are kept until all entries are made.
    let options = ApplyOptions::plain(Compression::None).budget(Budget::default().memory(8 << 20));
    let refused = |tar: RawTar| Arena::new().with(&tar.end(), &options).unwrap_err().kind();
    let value = "v".repeat(1000 << 10);
    let mut tar = RawTar::new();
    for n in 0..10 {
        tar = tar.pax(&[("SCHILY.xattr.user.big", &value)]).dir(&format!("d{n}"));
    }
    assert_eq!(refused(tar), ErrorKind::BudgetExceeded);
    // So are the names of the directories that one long path makes.
    let mut tar = RawTar::new();
    for n in 0..5 {
        let path = format!("{n}/{}f", "d/".repeat(2000));
        tar = tar.pax(&[("path", &path)]).file("x", "");
    }
    assert_eq!(refused(tar), ErrorKind::BudgetExceeded);
}

#[test]
fn records_that_parsers_read_differently_are_refused() {
    let arena = Arena::new();
    let file = |tar: RawTar| tar.file("f", "");
    // Some take both records together, some the last one only.
    let twice = RawTar::new().pax(&[("size", "0")]).pax(&[("path", "other")]);
    assert_eq!(kind(&arena, file(twice)), ErrorKind::Malformed);
    let names =
        |tar: RawTar, kind| tar.entry("n", kind, "", b"name\0").entry("n", kind, "", b"x\0");
    assert_eq!(kind(&arena, file(names(RawTar::new(), b'L'))), ErrorKind::Malformed);
    assert_eq!(kind(&arena, file(names(RawTar::new(), b'K'))), ErrorKind::Malformed);
    // Some forget the record in front of a global one.
    let global = |tar: RawTar, records: &[u8]| tar.entry("g", b'g', "", records);
    let between = global(RawTar::new().pax(&[("path", "other")]), b"13 comment=x\n");
    assert_eq!(kind(&arena, file(between)), ErrorKind::Malformed);
    // Some heed a size or name for the whole archive, some do not.
    for record in [&b"12 size=512\n"[..], b"9 path=x\n", b"13 linkpath=x\n"] {
        assert_eq!(kind(&arena, file(global(RawTar::new(), record))), ErrorKind::Malformed);
    }
    assert!(arena.plain(&file(global(RawTar::new(), b"13 comment=x\n")).end()).is_ok());
}

#[test]
fn nothing_is_made_below_a_reserved_name() {
    let arena = Arena::new();
    for tar in [RawTar::new().file(".wh.d/x", ""), RawTar::new().file("a/.wh.d/b/.wh.x", "")] {
        assert_eq!(kind(&arena, tar), ErrorKind::InvalidPath);
    }
    let aufs = RawTar::new().dir(".wh..wh.plnk").file(".wh..wh.plnk/1.2", "").file("seen", "");
    let _ = arena.plain(&aufs.end()).unwrap();
    assert_eq!(names(&arena.root()), ["seen"]);
}

#[test]
fn a_read_only_file_keeps_its_attributes_for_an_ordinary_user_too() {
    let arena = Arena::new();
    if !require_user_xattrs(&arena.root()) {
        return;
    }
    let mut layer = LayerBuilder::new();
    let metadata = Metadata::new(0o444).xattr("user.key", "value");
    layer.insert("f", Node::File(Content::bytes("x")), metadata).unwrap();
    let mut tar = Vec::new();
    layer.write(&mut tar, &LayerOptions::new().compression(Compression::None)).unwrap();
    let applied = arena.plain(&tar).unwrap();
    assert_eq!(applied.skipped(), [] as [&Path; 0]);
    let mut value = [0; 8];
    let n = rustix::fs::getxattr(arena.root().join("f"), "user.key", &mut value[..]).unwrap();
    assert_eq!(&value[..n], b"value");
}

#[test]
fn a_set_id_bit_is_not_given_away_to_root() {
    // In the image the file is root's; its bit meant another user or group.
    let dir = TempDir::new();
    let program = dir.join("program");
    fs::copy(testkit::peer("cat").unwrap(), &program).unwrap();
    if testkit::is_root() {
        std::os::unix::fs::chown(&program, Some(1234), Some(1234)).unwrap();
    }
    fs::set_permissions(&program, fs::Permissions::from_mode(0o6755)).unwrap();
    let layer = HostPrograms::new().program(program.to_str().unwrap()).build().unwrap();
    let mut tar = Vec::new();
    layer.write(&mut tar, &LayerOptions::new().compression(Compression::None)).unwrap();
    let arena = Arena::new();
    let _ = apply(&tar[..], arena.root(), &ApplyOptions::plain(Compression::None)).unwrap();
    let inside = arena.root().join(program.strip_prefix("/").unwrap());
    assert_eq!(fs::metadata(inside).unwrap().permissions().mode() & 0o7777, 0o755);
}

#[test]
fn an_elf_file_whose_offsets_wrap_around_is_refused() {
    let word = |n: u64| n.to_le_bytes();
    let mut file = Vec::new();
    file.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    file.extend([2, 0, 62, 0, 1, 0, 0, 0]); // executable, x86-64
    for field in [0, 64, 0] {
        file.extend(word(field)); // entry, program headers, sections
    }
    file.extend([0, 0, 0, 0, 64, 0, 56, 0, 2, 0, 64, 0, 0, 0, 0, 0]);
    let segment = |kind: u8, offset: u64, size: u64| {
        let mut header = vec![kind, 0, 0, 0, 4, 0, 0, 0];
        for field in [offset, 0, 0, size, size, 8] {
            header.extend(word(field));
        }
        header
    };
    file.extend(segment(1, u64::MAX - 10, 1000)); // PT_LOAD, at the end of 64 bits
    file.extend(segment(2, 64 + 2 * 56, 64)); // PT_DYNAMIC
    for (tag, value) in [(5, 0), (10, 1000), (1, 3), (0, 0)] {
        file.extend(word(tag)); // DT_STRTAB, DT_STRSZ, DT_NEEDED, DT_NULL
        file.extend(word(value));
    }
    let dir = TempDir::new();
    let path = dir.join("program");
    fs::write(&path, file).unwrap();
    let error = HostPrograms::new().program(path.to_str().unwrap()).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
}

#[test]
fn a_read_only_directory_of_an_earlier_layer_can_be_filled_and_emptied() {
    // As /usr/bin in Fedora's images; root would not notice.
    let arena = Arena::new();
    let base = RawTar::new()
        .full(b"d", b'5', b"", b"", 0o555, 0)
        .full(b"e", b'5', b"", b"", 0o500, 0)
        .full(b"d/old", b'0', b"", b"1", 0o444, 1)
        .full(b"d/kept", b'0', b"", b"1", 0o444, 1)
        .full(b"e/old", b'0', b"", b"1", 0o444, 1);
    let _ = arena.plain(&base.end()).unwrap();
    let top = RawTar::new().file("d/.wh.old", "").file("d/new", "2").file("e/.wh..wh..opq", "");
    let _ = arena.plain(&top.end()).unwrap();
    assert_eq!(names(&arena.root()), ["d", "d/kept", "d/new", "e"]);
    let mode = |name| fs::metadata(arena.root().join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("d"), mode("e")), (0o555, 0o500));
}
