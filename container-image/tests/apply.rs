//! What a layer means on disk, in both forms.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use common::{
    Arena, RawTar, is_whiteout, overlay_options, require_opaque, require_user_xattrs, tree,
};
use container_fs::{Root, XattrNamespace, whiteout};
use container_image::layer::{
    ApplyOptions, Compression, LayerBuilder, LayerOptions, Metadata, Node, Owners, Timestamp, apply,
};
use container_image::{Digest, ErrorKind};
use testkit::TempDir;

fn is_opaque(path: impl AsRef<Path>) -> bool {
    whiteout::is_opaque(Root::open(path).unwrap(), XattrNamespace::detect()).unwrap()
}

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

/// Applies tars as a stack in overlay form; returns the directories, bottom first.
fn stack(temp: &TempDir, tars: &[Vec<u8>]) -> Vec<std::path::PathBuf> {
    let mut dirs = Vec::new();
    for (n, tar) in tars.iter().enumerate() {
        let dir = temp.join(n.to_string());
        fs::create_dir(&dir).unwrap();
        let options = overlay_options().lower(&dirs);
        let _ = apply(&tar[..], &dir, &options).unwrap();
        dirs.push(dir);
    }
    dirs
}

#[test]
fn everything_that_a_layer_can_hold_comes_back() {
    if !require_user_xattrs(&std::env::temp_dir()) {
        return;
    }
    let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let (uid, gid) = if testkit::is_root() { (1234, 2_500_000) } else { own };
    let time = Timestamp { seconds: 1_500_000_000, nanos: 123_456_789 };
    let meta = |mode| Metadata::new(mode).owner(uid, gid).mtime(time);
    let long = format!("dir/{}/{}", "n".repeat(150), "m".repeat(200));
    let mut layer = LayerBuilder::new();
    layer.insert("", Node::Dir, meta(0o751)).unwrap();
    layer.insert("dir", Node::Dir, meta(0o500)).unwrap();
    layer.insert(Path::new(&long).parent().unwrap(), Node::Dir, meta(0o2775)).unwrap();
    layer
        .insert(&long, Node::File(container_image::layer::Content::bytes("long")), meta(0o4711))
        .unwrap();
    layer.insert("dir/link", Node::Symlink("t".repeat(300).into()), meta(0o777)).unwrap();
    layer.insert("dir/hard", Node::Hardlink(long.clone().into()), meta(0o4711)).unwrap();
    layer.insert("dir/pipe", Node::Fifo, meta(0o622)).unwrap();
    layer
        .insert(
            "old",
            Node::Dir,
            Metadata::new(0o755).owner(uid, gid).mtime(Timestamp::from_seconds(-5)),
        )
        .unwrap();
    let attr = meta(0o644).xattr("user.note", b"with\nnewline\0".to_vec());
    layer.insert("attr", Node::File(container_image::layer::Content::bytes("")), attr).unwrap();
    for compression in [Compression::None, Compression::Gzip] {
        let mut blob = Vec::new();
        layer.write(&mut blob, &LayerOptions::new().compression(compression)).unwrap();
        let dir = TempDir::new();
        let applied = apply(&blob[..], dir.path(), &ApplyOptions::plain(compression)).unwrap();
        assert!(applied.skipped().is_empty(), "{applied:?}");
        fs::set_permissions(dir.join("dir"), fs::Permissions::from_mode(0o700)).unwrap();
        let stat = |path: &str| fs::symlink_metadata(dir.join(path)).unwrap();
        for path in ["", "dir", &long, "dir/link", "dir/hard", "dir/pipe"] {
            let stat = stat(path);
            assert_eq!((stat.uid(), stat.gid()), (uid, gid), "{path}");
            assert_eq!((stat.mtime(), stat.mtime_nsec()), (1_500_000_000, 123_456_789), "{path}");
        }
        assert_eq!(mode(dir.path()), 0o751);
        assert_eq!(mode(dir.join(&long)), 0o4711);
        assert_eq!(mode(dir.join(Path::new(&long).parent().unwrap())), 0o2775);
        assert_eq!(mode(dir.join("dir/pipe")), 0o622);
        assert_eq!(stat(&long).ino(), stat("dir/hard").ino());
        assert_eq!(fs::read_link(dir.join("dir/link")).unwrap().as_os_str().len(), 300);
        assert_eq!(stat("old").mtime(), -5);
        let mut value = [0; 64];
        let n = rustix::fs::getxattr(dir.join("attr"), "user.note", &mut value[..]).unwrap();
        assert_eq!(&value[..n], b"with\nnewline\0");
    }
}

#[test]
fn mtimes_are_clamped_on_request() {
    let mut layer = LayerBuilder::new();
    for (name, time) in [("early", 10), ("late", 1_000_000)] {
        let meta = Metadata::new(0o755).mtime(Timestamp::from_seconds(time));
        layer.insert(name, Node::Dir, meta).unwrap();
    }
    let mut blob = Vec::new();
    let options = LayerOptions::new().clamp_mtime(Timestamp::from_seconds(500));
    layer.write(&mut blob, &options).unwrap();
    let dir = TempDir::new();
    let _ = apply(&blob[..], dir.path(), &ApplyOptions::plain(Compression::Gzip)).unwrap();
    let mtime = |name| fs::metadata(dir.join(name)).unwrap().mtime();
    assert_eq!((mtime("early"), mtime("late")), (10, 500));
}

#[test]
fn order_is_parents_first_and_whiteouts_before_their_siblings() {
    let mut layer = LayerBuilder::new();
    layer.file("b/!file", "", 0o644).unwrap();
    layer.dir("b", 0o755).unwrap();
    layer.whiteout("b/z").unwrap();
    layer.opaque("b").unwrap();
    layer.dir("b.c", 0o755).unwrap();
    layer.dir("b/sub", 0o755).unwrap();
    layer.file("b/sub/x", "", 0o644).unwrap();
    let mut blob = Vec::new();
    layer.write(&mut blob, &LayerOptions::new().compression(Compression::None)).unwrap();
    let mut archive = tar::Archive::new(&blob[..]);
    let names: Vec<String> = archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().to_string_lossy().into_owned())
        .collect();
    let want = ["b/", "b/.wh..wh..opq", "b/.wh.z", "b/!file", "b/sub/", "b/sub/x", "b.c/"];
    assert_eq!(names, want);
}

#[test]
fn a_builder_refuses_what_makes_no_sense() {
    let mut layer = LayerBuilder::new();
    layer.file("file", "", 0o644).unwrap();
    layer.dir("dir", 0o755).unwrap();
    layer.file("dir/x", "", 0o644).unwrap();
    let kind = |result: container_image::Result<&mut LayerBuilder>| result.unwrap_err().kind();
    assert_eq!(kind(layer.file("file/below", "", 0o644)), ErrorKind::AlreadyExists);
    assert_eq!(kind(layer.file("dir", "", 0o644)), ErrorKind::AlreadyExists);
    assert_eq!(kind(layer.dir("file", 0o755)), ErrorKind::AlreadyExists);
    assert_eq!(kind(layer.file("a/../b", "", 0o644)), ErrorKind::InvalidPath);
    assert_eq!(kind(layer.file(".wh.x", "", 0o644)), ErrorKind::InvalidPath);
    assert_eq!(kind(layer.file("", "", 0o644)), ErrorKind::InvalidPath);
    assert_eq!(kind(layer.symlink("s", "")), ErrorKind::InvalidPath);
    assert_eq!(kind(layer.whiteout("")), ErrorKind::InvalidPath);
    assert_eq!(kind(layer.file("m", "", 0o10000)), ErrorKind::InvalidInput);
    let far = Metadata::new(0o644).owner(u32::MAX, 0);
    assert_eq!(kind(layer.insert("m", Node::Fifo, far)), ErrorKind::InvalidInput);
    assert_eq!(layer.len(), 3);
}

#[test]
fn whiteouts_in_overlay_form() {
    if !require_opaque(&std::env::temp_dir()) {
        return;
    }
    let temp = TempDir::new();
    let base = RawTar::new()
        .dir("d")
        .file("d/a", "1")
        .file("d/b", "1")
        .dir("e")
        .file("e/x", "1")
        .file("f", "1");
    let top = RawTar::new()
        .file("d/.wh.a", "")
        .file("d/.wh.never", "")
        .file("no/such/.wh.dir", "")
        .file(".wh.e", "")
        .dir("e") // the directory made anew: nothing of the old one shows
        .file("e/y", "2")
        .file("f", "2")
        .file(".wh.f", ""); // the layer's own file wins
    let dirs = stack(&temp, &[base.end(), top.end()]);
    assert!(is_whiteout(&dirs[1].join("d/a")));
    assert!(!dirs[1].join("d/never").exists() && !is_whiteout(&dirs[1].join("d/never")));
    assert!(!dirs[1].join("no").exists());
    assert!(is_opaque(dirs[1].join("e")) && dirs[1].join("e/y").exists());
    assert!(!is_opaque(dirs[1].join("d")));
    assert_eq!(fs::read_to_string(dirs[1].join("f")).unwrap(), "2");
}

#[test]
fn opaque_directories_in_overlay_form() {
    if !require_opaque(&std::env::temp_dir()) {
        return;
    }
    for late in [false, true] {
        let temp = TempDir::new();
        let base = RawTar::new().dir("d").file("d/a", "1").symlink("d/link", "/elsewhere");
        let mut top = RawTar::new().dir("d");
        top = match late {
            false => top.file("d/.wh..wh..opq", "").dir("d/link").file("d/link/x", "2"),
            true => top.dir("d/link").file("d/link/x", "2").file("d/.wh..wh..opq", ""),
        };
        let dirs = stack(&temp, &[base.end(), top.end()]);
        assert!(is_opaque(dirs[1].join("d")));
        assert!(dirs[1].join("d/link/x").exists());
        assert!(!dirs[1].join("d/.wh..wh..opq").exists());
    }
}

#[test]
fn plain_form_deletes() {
    let arena = Arena::new();
    let base = RawTar::new()
        .dir("d")
        .file("d/a", "1")
        .file("d/b", "1")
        .dir("d/sub")
        .file("d/sub/x", "1")
        .dir("o")
        .file("o/a", "1")
        .dir("o/s")
        .file("o/s/x", "1");
    let _ = arena.plain(&base.end()).unwrap();
    let top = RawTar::new()
        .file("d/.wh.a", "")
        .file("d/.wh.sub", "")
        .file(".wh.never", "")
        .file("o/new", "2")
        .dir("o/s")
        .file("o/s/y", "2")
        .file("o/.wh..wh..opq", "");
    let _ = arena.plain(&top.end()).unwrap();
    let names: Vec<_> = tree(&arena.root()).into_keys().collect();
    let want = ["d", "d/b", "o", "o/new", "o/s", "o/s/y"].map(Path::new);
    assert_eq!(names, want);
}

#[test]
fn links_of_the_layers_below_are_followed() {
    let temp = TempDir::new();
    let base = RawTar::new()
        .dir("usr")
        .dir("usr/bin")
        .symlink("bin", "usr/bin")
        .symlink("abs", "/usr/bin")
        .symlink("up", "../../usr");
    let top = RawTar::new()
        .file("bin/one", "1")
        .file("abs/two", "2")
        .file("up/bin/three", "3")
        .file("bin/.wh.none", "");
    let dirs = stack(&temp, &[base.end(), top.end()]);
    let names: Vec<_> = tree(&dirs[1]).into_keys().collect();
    let want = ["usr", "usr/bin", "usr/bin/one", "usr/bin/three", "usr/bin/two"].map(Path::new);
    assert_eq!(names, want);
}

#[test]
fn directories_that_a_layer_does_not_list_keep_their_metadata() {
    if !require_user_xattrs(&std::env::temp_dir()) {
        return;
    }
    let temp = TempDir::new();
    let mut base = LayerBuilder::new();
    let time = Timestamp::from_seconds(1_000_000_000);
    base.insert("", Node::Dir, Metadata::new(0o711).mtime(time)).unwrap();
    base.insert("secret", Node::Dir, Metadata::new(0o700).mtime(time).xattr("user.k", "v"))
        .unwrap();
    let mut blob = Vec::new();
    base.write(&mut blob, &LayerOptions::new().compression(Compression::None)).unwrap();
    let top = RawTar::new().file("secret/file", "x").file("fresh/file", "x");
    let dirs = stack(&temp, &[blob, top.end()]);
    assert_eq!(mode(&dirs[1]), 0o711);
    assert_eq!(mode(dirs[1].join("secret")), 0o700);
    assert_eq!(fs::metadata(dirs[1].join("secret")).unwrap().mtime(), 1_000_000_000);
    let mut value = [0; 8];
    let n = rustix::fs::getxattr(dirs[1].join("secret"), "user.k", &mut value[..]).unwrap();
    assert_eq!(&value[..n], b"v");
    assert_eq!(mode(dirs[1].join("fresh")), 0o755);
}

#[test]
fn a_hard_link_to_a_file_below_copies_it_up() {
    let temp = TempDir::new();
    let base = RawTar::new().dir("d").full(b"d/file", b'0', b"", b"content", 0o640, 7);
    let top = RawTar::new().hardlink("link", "d/file");
    let dirs = stack(&temp, &[base.end(), top.end()]);
    let (link, file) = (dirs[1].join("link"), dirs[1].join("d/file"));
    assert_eq!(fs::read_to_string(&link).unwrap(), "content");
    assert_eq!(fs::metadata(&link).unwrap().ino(), fs::metadata(&file).unwrap().ino());
    assert_eq!(mode(&link), 0o640);
}

#[test]
fn a_later_entry_replaces_an_earlier_one() {
    let arena = Arena::new();
    let tar = RawTar::new()
        .file("a", "1")
        .file("a", "2")
        .dir("b")
        .file("b/x", "1")
        .file("b", "now a file")
        .file("c", "1")
        .dir("c")
        .file("c/x", "2")
        .symlink("l", "a")
        .file("l", "not through the link");
    let _ = arena.overlay(&tar.end()).unwrap();
    let read = |name| fs::read_to_string(arena.root().join(name)).unwrap();
    assert_eq!((read("a"), read("b"), read("c/x")), ("2".into(), "now a file".into(), "2".into()));
    assert_eq!(read("l"), "not through the link");
}

#[test]
fn owners_current_leaves_out_what_an_ordinary_user_cannot_make() {
    let arena = Arena::new();
    let mut layer = LayerBuilder::new();
    layer.insert("null", Node::CharDevice(1, 3), Metadata::new(0o666)).unwrap();
    layer.insert("file", Node::Fifo, Metadata::new(0o666).owner(4242, 4242)).unwrap();
    let mut blob = Vec::new();
    layer.write(&mut blob, &LayerOptions::new().compression(Compression::None)).unwrap();
    let options = ApplyOptions::plain(Compression::None).owners(Owners::Current);
    let applied = arena.with(&blob, &options).unwrap();
    assert_eq!(applied.skipped(), [Path::new("null")]);
    let stat = fs::symlink_metadata(arena.root().join("file")).unwrap();
    assert_eq!(stat.uid(), rustix::process::geteuid().as_raw());
}

#[test]
fn devices_and_capabilities_are_made_for_root() {
    if !testkit::require_root() {
        return;
    }
    let arena = Arena::new();
    let mut layer = LayerBuilder::new();
    layer.insert("null", Node::CharDevice(1, 3), Metadata::new(0o666)).unwrap();
    layer.insert("disk", Node::BlockDevice(7, 300), Metadata::new(0o660)).unwrap();
    // VFS_CAP_REVISION_2, cap_net_raw+ep
    let caps = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let meta = Metadata::new(0o755).owner(7, 8).xattr("security.capability", caps);
    layer.insert("ping", Node::File(container_image::layer::Content::bytes("x")), meta).unwrap();
    let mut blob = Vec::new();
    layer.write(&mut blob, &LayerOptions::new().compression(Compression::None)).unwrap();
    let _ = arena.plain(&blob).unwrap();
    let stat = |name| fs::symlink_metadata(arena.root().join(name)).unwrap();
    assert_eq!(stat("null").rdev(), rustix::fs::makedev(1, 3));
    assert_eq!(stat("disk").rdev(), rustix::fs::makedev(7, 300));
    assert_eq!(mode(arena.root().join("null")), 0o666);
    let mut value = [0; 64];
    let path = arena.root().join("ping");
    let n = rustix::fs::getxattr(path, "security.capability", &mut value[..]).unwrap();
    assert_eq!(value[..n], caps);
}

#[test]
fn tars_of_gnu_tar_are_read() {
    if !testkit::require_peer("tar") {
        return;
    }
    for (format, name, link) in [("gnu", 120, 200), ("pax", 120, 200), ("ustar", 90, 90)] {
        let arena = Arena::new();
        let source = arena.join("source");
        let long = source.join("x".repeat(name)).join("y".repeat(name));
        fs::create_dir_all(long.parent().unwrap()).unwrap();
        fs::write(&long, "long name").unwrap();
        std::os::unix::fs::symlink("z".repeat(link), source.join("link")).unwrap();
        if format != "ustar" {
            fs::hard_link(&long, source.join("hard")).unwrap();
        }
        let format_arg = format!("--format={format}");
        let output = std::process::Command::new("tar")
            .args([&format_arg, "-C", source.to_str().unwrap(), "-cf", "-", "."])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let _ = arena.plain(&output.stdout).unwrap();
        let (mut want, mut got) = (tree(&source), tree(&arena.root()));
        if format != "pax" {
            // Only pax keeps parts of a second.
            for line in want.values_mut().chain(got.values_mut()) {
                let (start, rest) = line.split_once('.').unwrap();
                *line = format!("{start} {}", rest.split_once(' ').unwrap().1);
            }
        }
        assert_eq!(got, want, "{format}");
    }
}

#[test]
fn the_digests_are_those_of_the_whole_stream() {
    let arena = Arena::new();
    let mut tar = RawTar::new().file("a", "1").end();
    tar.resize(10_240, 0); // padding after the end counts too
    let applied = arena.plain(&tar).unwrap();
    assert_eq!(*applied.digest(), Digest::sha256(&tar));
    assert_eq!(*applied.diff_id().digest(), Digest::sha256(&tar));
    assert_eq!((applied.size(), applied.unpacked(), applied.entries()), (10_240, 10_240, 1));
}
