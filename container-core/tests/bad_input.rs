//! Bad input: a typed error that names the step and the value; nothing left.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::isolated;
use container_core::idmap::{IdExtent, IdMap};
use container_core::{ErrorKind, Mount, NamespaceKind, Namespaces, ProcessBuilder, UserSpec};

#[track_caller]
fn refused(builder: &ProcessBuilder, kind: ErrorKind, words: &str) {
    let error = builder.output().expect_err("must be refused");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(words), "{words:?} not in: {error}");
}

#[test]
fn descriptions_that_can_not_be() {
    let full = || ProcessBuilder::new("/bin/true").namespaces(isolated());
    let invalid = ErrorKind::InvalidInput;
    refused(&ProcessBuilder::new(""), invalid, "program");
    refused(&ProcessBuilder::new("a\0b"), invalid, "NUL");
    refused(&ProcessBuilder::new("/bin/true").arg("a\0b"), invalid, "NUL");
    refused(&ProcessBuilder::new("/bin/true").env("A=B", "x"), invalid, "A=B");
    refused(&ProcessBuilder::new("/bin/true").env("", "x"), invalid, "environment");
    refused(&ProcessBuilder::new("true").env("PATH", "relative:"), invalid, "PATH");
    refused(&ProcessBuilder::new("/bin/true").current_dir("tmp"), invalid, "\"tmp\"");
    refused(&full().hostname("x".repeat(65)), invalid, "65 bytes");
    refused(&full().hostname(""), invalid, "hostname");
    refused(&full().rootfs("relative"), invalid, "relative");
    refused(&full().rootfs("/etc/passwd"), invalid, "not a directory");
    refused(&full().rootfs("/does/not/exist"), ErrorKind::NotFound, "/does/not/exist");
    refused(&full().mount(Mount::bind("/nope", "/mnt")), ErrorKind::NotFound, "/nope");
    refused(&full().mount(Mount::tmpfs("relative")), invalid, "relative");
    refused(&full().mount(Mount::tmpfs("/a/../../b")), invalid, "..");
    refused(&full().mount(Mount::tmpfs("/")), invalid, "rootfs");
    refused(&full().mount(Mount::bind("/usr", "/mnt").option("a", "b")), invalid, "/mnt");
    refused(&full().masked_paths(["relative"]), invalid, "relative");
    refused(&full().masked_paths(["/"]), invalid, "root");
    refused(&full().read_only_paths(["/."]), invalid, "Rootfs::read_only");
    refused(&full().oom_score_adj(1001), invalid, "1001");
    refused(&full().parent_death_signal(65), invalid, "65");
    refused(
        &full().user("nobody-knows-me".parse::<UserSpec>().unwrap()),
        ErrorKind::NotFound,
        "nobody-knows-me",
    );
}

#[test]
fn what_would_change_the_host_is_refused() {
    let plain = || ProcessBuilder::new("/bin/true");
    let invalid = ErrorKind::InvalidInput;
    refused(&plain().hostname("x"), invalid, "uts");
    refused(&plain().mount(Mount::tmpfs("/mnt")), invalid, "mnt");
    refused(&plain().rootfs("/usr"), invalid, "mnt");
}

#[test]
fn id_maps_that_overlap() {
    let extent = |inside, outside| IdExtent { inside, outside, count: 10 };
    let error = IdMap::new([extent(0, 1000), extent(5, 2000)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let error = IdMap::new([extent(0, 1000), extent(20, 1005)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn users_that_do_not_exist_or_are_not_mapped() {
    for wrong in ["", ":", "0:", "-1", "4294967296", "2147483648", " 0"] {
        assert!(wrong.parse::<UserSpec>().is_err(), "{wrong:?}");
    }
    let single = container_core::IdMappings::root_only(0, 0).unwrap();
    let builder = ProcessBuilder::new("/bin/true")
        .namespaces(Namespaces::none().with(NamespaceKind::User))
        .id_mappings(single)
        .user("7".parse::<UserSpec>().unwrap());
    refused(&builder, ErrorKind::InvalidInput, "uid 7");
    let others = IdExtent { inside: 1000, outside: 700_000, count: 10 };
    let others = IdMap::new([others]).unwrap();
    let mappings = container_core::IdMappings { uids: others.clone(), gids: others };
    let builder = ProcessBuilder::new("/bin/true")
        .namespaces(Namespaces::none().with(NamespaceKind::User))
        .id_mappings(mappings);
    refused(&builder, ErrorKind::InvalidInput, "stay the host's user");
}

#[test]
fn lack_of_privilege_names_the_way_out() {
    if testkit::is_root() {
        return;
    }
    let builder = ProcessBuilder::new("/bin/true").namespaces(Namespaces::isolated());
    refused(&builder, ErrorKind::PermissionDenied, "user namespace");
}
