//! Programs of the host, packed, unpacked somewhere else and run there.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{run_inside, stdout};
use container_image::layer::{ApplyOptions, Compression, LayerBuilder, LayerOptions, apply};
use container_image::{ErrorKind, HostPrograms};
use testkit::TempDir;

/// Writes a layer and applies it to a directory, in the plain form.
fn unpack(layer: &LayerBuilder, dir: &Path, compression: Compression) {
    let mut blob = Vec::new();
    let options = LayerOptions::new().compression(compression);
    let written = layer.write(&mut blob, &options).unwrap();
    let options = ApplyOptions::plain(compression)
        .diff_id(written.diff_id().clone())
        .blob(written.digest().clone(), written.size());
    let applied = apply(&blob[..], dir, &options).unwrap();
    assert!(applied.skipped().is_empty(), "{applied:?}");
}

#[test]
fn packed_programs_run_and_layers_change_them() {
    let base = HostPrograms::new()
        .programs(["/bin/sh", "ls", "cat"])
        .dir("/tmp", 0o1777)
        .add_file("/etc/motd", "from the base\n", 0o644)
        .add_file("/etc/old", "to be deleted\n", 0o644)
        .build()
        .unwrap();
    let dir = TempDir::new();
    unpack(&base, dir.path(), Compression::Gzip);

    let mut second = LayerBuilder::new();
    second.file("etc/new", "added\n", 0o644).unwrap();
    second.file("etc/motd", "changed\n", 0o644).unwrap();
    second.whiteout("etc/old").unwrap();
    unpack(&second, dir.path(), Compression::None);

    let script = "ls /etc; cat /etc/motd /etc/new; ls -d /tmp";
    let Some(output) = run_inside(dir.path(), &["/bin/sh", "-c", script]) else {
        return;
    };
    assert_eq!(stdout(&output), "motd\nnew\nchanged\nadded\n/tmp\n");
}

#[test]
fn the_same_programs_give_the_same_layer() {
    let pack = || {
        let layer = HostPrograms::new().programs(["sh", "cat"]).build().unwrap();
        let mut blob = Vec::new();
        layer.write(&mut blob, &LayerOptions::new()).unwrap()
    };
    assert_eq!(pack(), pack());
}

#[test]
fn a_program_gets_another_path_and_brings_what_it_needs() {
    let dir = TempDir::new();
    let odd = dir.join("odd");
    fs::copy(testkit::peer("cat").unwrap(), &odd).unwrap();
    let odd = odd.to_str().unwrap();
    let build = |programs: HostPrograms| programs.add_file("/etc/motd", "hi\n", 0o644).build();
    let layer = build(HostPrograms::new().program_at(odd, "/opt/tools/show")).unwrap();
    assert!(layer.contains("/opt/tools/show") && !layer.contains(odd));
    let error = build(HostPrograms::new().program_at("/etc", "/x")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let root = TempDir::new();
    unpack(&layer, root.path(), Compression::None);
    let Some(output) = run_inside(root.path(), &["/opt/tools/show", "/etc/motd"]) else {
        return;
    };
    assert_eq!(stdout(&output), "hi\n");
}

#[test]
fn scripts_bring_their_interpreter() {
    let dir = TempDir::new();
    let script = dir.join("script");
    fs::write(&script, "#!/usr/bin/env cat\nhello\n").unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let layer = HostPrograms::new().program(script.to_str().unwrap()).build().unwrap();
    let root = TempDir::new();
    unpack(&layer, root.path(), Compression::None);
    let Some(output) = run_inside(root.path(), &[script.to_str().unwrap()]) else {
        return;
    };
    assert_eq!(stdout(&output), "#!/usr/bin/env cat\nhello\n");
}

#[test]
fn what_is_missing_is_named() {
    let error = HostPrograms::new().program("no-such-program").build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("no-such-program"), "{error}");
    let error = HostPrograms::new().program("/no/such/program").build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    for bad in ["", "bin/sh", "./sh"] {
        let error = HostPrograms::new().program(bad).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bad:?}");
    }
    let error = HostPrograms::new().program("/etc").build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let error = HostPrograms::new().file("/no/such/file", "/x").build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = HostPrograms::new().library("libno-such.so.9").build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingLibrary);
}

#[test]
fn paths_lead_through_the_links_of_the_image() {
    let layer = HostPrograms::new()
        .dir("/data/real", 0o700)
        .symlink("/data/link", "real")
        .symlink("/abs", "/data/link")
        .add_file("/abs/file", "x", 0o600)
        .dir("/abs", 0o711)
        .build()
        .unwrap();
    assert!(layer.contains("data/real/file"));
    let loops =
        HostPrograms::new().symlink("/a", "b").symlink("/b", "a").add_file("/a/x", "", 0o600);
    assert_eq!(loops.build().unwrap_err().kind(), ErrorKind::AlreadyExists);
    let twice = HostPrograms::new().add_file("/x", "1", 0o600).add_file("/x", "2", 0o600);
    assert_eq!(twice.build().unwrap_err().kind(), ErrorKind::AlreadyExists);
    for bad in ["/../x", "/a/../../x", "/a\0b"] {
        let error = HostPrograms::new().add_file(bad, "", 0o600).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidPath, "{bad:?}");
    }
}

/// Compiles; `false` where there is no C compiler.
fn cc(dir: &Path, args: &[&str]) -> bool {
    if !testkit::require_peer("cc") {
        return false;
    }
    let output = Command::new("cc").current_dir(dir).args(args).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    true
}

/// `app/bin/main` needs libone (beside it in `../lib`), which needs libtwo (in `../lib/deep`).
fn program_with_libraries(dir: &Path, one_flags: &str, main_flags: &str) -> bool {
    for sub in ["app/bin", "app/lib/deep"] {
        fs::create_dir_all(dir.join(sub)).unwrap();
    }
    fs::write(dir.join("two.c"), "int two(void) { return 42; }").unwrap();
    fs::write(dir.join("one.c"), "int two(void); int one(void) { return two(); }").unwrap();
    let main = "#include <stdio.h>\nint one(void); int main(void) { printf(\"%d\\n\", one()); }";
    fs::write(dir.join("main.c"), main).unwrap();
    cc(dir, &["-shared", "-fPIC", "two.c", "-o", "app/lib/deep/libtwo.so"])
        && cc(
            dir,
            &[
                "-shared",
                "-fPIC",
                "one.c",
                "-o",
                "app/lib/libone.so",
                "-Lapp/lib/deep",
                "-ltwo",
                one_flags,
            ],
        )
        && cc(
            dir,
            &[
                "main.c",
                "-o",
                "app/bin/main",
                "-Lapp/lib",
                "-lone",
                "-Wl,-rpath-link,app/lib/deep",
                main_flags,
            ],
        )
}

#[test]
fn runpath_with_origin_is_followed() {
    let host = TempDir::new();
    let one = "-Wl,--enable-new-dtags,-rpath,$ORIGIN/deep";
    if !program_with_libraries(host.path(), one, "-Wl,--enable-new-dtags,-rpath,$ORIGIN/../lib") {
        return;
    }
    let main = host.join("app/bin/main");
    let layer = HostPrograms::new().program(main.to_str().unwrap()).build().unwrap();
    let root = TempDir::new();
    unpack(&layer, root.path(), Compression::None);
    if let Some(output) = run_inside(root.path(), &[main.to_str().unwrap()]) {
        assert_eq!(stdout(&output), "42\n");
    }
}

#[test]
fn rpath_holds_for_the_libraries_too_and_runpath_does_not() {
    let host = TempDir::new();
    let dirs = "$ORIGIN/../lib:$ORIGIN/../lib/deep";
    let old = format!("-Wl,--disable-new-dtags,-rpath,{dirs}");
    if !program_with_libraries(host.path(), "-O0", &old) {
        return;
    }
    let main = host.join("app/bin/main").to_str().unwrap().to_owned();
    let root = TempDir::new();
    unpack(&HostPrograms::new().program(&main).build().unwrap(), root.path(), Compression::None);
    if let Some(output) = run_inside(root.path(), &[&main]) {
        assert_eq!(stdout(&output), "42\n");
    }
    // The loader itself would fail here too: libone has no RUNPATH of its own.
    let new = format!("-Wl,--enable-new-dtags,-rpath,{dirs}");
    assert!(program_with_libraries(host.path(), "-O0", &new));
    assert!(!Command::new(&main).output().unwrap().status.success());
    let error = HostPrograms::new().program(&main).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingLibrary);
    let text = error.to_string();
    assert!(text.contains("libtwo.so") && text.contains("libone.so"), "{text}");
}

#[test]
fn a_library_of_another_machine_is_passed_over() {
    let host = TempDir::new();
    let runpath = "-Wl,--enable-new-dtags,-rpath,$ORIGIN/../wrong:$ORIGIN/../lib";
    let one = "-Wl,--enable-new-dtags,-rpath,$ORIGIN/deep";
    if !program_with_libraries(host.path(), one, runpath) {
        return;
    }
    // The same library, turned into one for another machine by its header.
    fs::create_dir(host.join("app/wrong")).unwrap();
    let mut library = fs::read(host.join("app/lib/libone.so")).unwrap();
    library[18] = 0x28;
    fs::write(host.join("app/wrong/libone.so"), library).unwrap();
    let main = host.join("app/bin/main").to_str().unwrap().to_owned();
    let layer = HostPrograms::new().program(&main).build().unwrap();
    assert!(layer.contains(host.join("app/lib/libone.so")));
    assert!(!layer.contains(host.join("app/wrong/libone.so")));
}

#[test]
fn a_static_program_needs_nothing() {
    let host = TempDir::new();
    fs::write(host.join("main.c"), "int main(void) { return 0; }").unwrap();
    if !cc(host.path(), &["-static", "main.c", "-o", "main"]) {
        return;
    }
    let main = host.join("main").to_str().unwrap().to_owned();
    let layer = HostPrograms::new().program(&main).build().unwrap();
    let files = layer.paths().filter(|path| path.ends_with("main")).count();
    assert_eq!((files, layer.len()), (1, host.path().components().count()));
    let root = TempDir::new();
    unpack(&layer, root.path(), Compression::Gzip);
    if let Some(output) = run_inside(root.path(), &[&main]) {
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn damaged_elf_files_are_refused_and_never_panic() {
    let host = TempDir::new();
    let sound = fs::read("/bin/sh").unwrap();
    let path = host.join("program");
    let try_it = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        HostPrograms::new().program(path.to_str().unwrap()).build().map(drop)
    };
    assert!(try_it(b"\x7fELF").is_ok(), "too short for a header, so no ELF file");
    let error = try_it(&sound[..100]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    // Flips in the file header, the program headers and the dynamic section.
    for at in (0..1024).chain((1024..sound.len()).step_by(997)) {
        let mut bytes = sound[..sound.len().min(at.max(4096) + 70_000)].to_vec();
        for flip in [0xff, 0x01, 0x80] {
            bytes[at] ^= flip;
            let _ = try_it(&bytes);
        }
    }
}
