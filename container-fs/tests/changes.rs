//! Change sets of real overlays, against each other and against what was done.
#![allow(clippy::unwrap_used, reason = "a failure is the test's")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use common::{Layout, as_ordinary_user, can_mount, is_child, lines};
use container_fs::changes::{between, of_upper};
use container_fs::whiteout::{create_whiteout, set_opaque};
use container_fs::{Change, ChangeKind, ErrorKind, FileType, Root, XattrNamespace};
use proptest::prelude::*;

/// Two layers in which a whiteout, an opaque directory and a type change hide things below.
/// `None` where the file system can't hold the marks: tmpfs before Linux 6.6, as ordinary user.
fn layered() -> Option<Layout> {
    let layout = Layout::new(2);
    let [base, top] = [0, 1].map(|index| layout.layers[index].as_path());
    for dir in ["etc", "usr/bin", "usr/lib", "opt/old", "was-dir"] {
        fs::create_dir_all(base.join(dir)).unwrap();
    }
    for file in ["etc/passwd", "etc/gone", "usr/bin/sh", "opt/old/x", "was-dir/y", "was-file"] {
        fs::write(base.join(file), file).unwrap();
    }
    for dir in ["etc", "opt", "was-file"] {
        fs::create_dir_all(top.join(dir)).unwrap();
    }
    for file in ["opt/new", "was-file/z", "was-dir"] {
        fs::write(top.join(file), file).unwrap();
    }
    create_whiteout(Root::open(top.join("etc")).unwrap(), "gone").unwrap();
    let opt = Root::open(top.join("opt")).unwrap();
    match set_opaque(opt, XattrNamespace::detect()) {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            assert!(!testkit::require_kernel(6, 6), "{error}");
            None
        }
        result => result.map(|()| Some(layout)).unwrap(),
    }
}

fn every_kind_of_change() {
    let Some(layout) = layered() else { return };
    let stack = layout.stack();
    assert_eq!(stack.changes().unwrap(), []);
    let attached = stack.mount().unwrap().attach(layout.at("merged")).unwrap();
    let at = |path: &str| layout.at("merged").join(path);
    assert!(!at("etc/gone").exists() && !at("opt/old").exists());

    fs::write(at("etc/gone"), "new again").unwrap();
    fs::write(at("etc/passwd"), "changed").unwrap();
    fs::remove_dir_all(at("usr")).unwrap();
    fs::create_dir(at("usr")).unwrap();
    fs::create_dir(at("usr/bin")).unwrap();
    fs::write(at("usr/bin/bash"), "").unwrap();
    fs::set_permissions(at("opt"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::remove_file(at("was-dir")).unwrap();
    fs::create_dir(at("was-dir")).unwrap();
    fs::write(at("was-dir/fresh"), "").unwrap();
    fs::remove_dir_all(at("was-file")).unwrap();
    std::os::unix::fs::symlink("/outside", at("was-file")).unwrap();
    attached.detach().unwrap();

    assert_eq!(
        lines(&stack.changes().unwrap()),
        [
            "A /etc/gone",
            "M /etc/passwd",
            "M /opt",
            "A /usr/bin/bash",
            "D /usr/bin/sh",
            "D /usr/lib",
            "M /was-dir",
            "A /was-dir/fresh",
            "M /was-file",
        ]
    );
}

#[test]
fn every_kind_of_change_as_root() {
    if !is_child() && testkit::require_root() {
        every_kind_of_change();
    }
}

#[test]
fn every_kind_of_change_as_ordinary_user() {
    if is_child() {
        every_kind_of_change();
    }
    as_ordinary_user("every_kind_of_change_as_ordinary_user");
}

/// What a program does to its files, on a few names, so that the operations meet each other.
#[derive(Debug, Clone)]
enum Op {
    Write(String),
    Remove(String),
    MakeDir(String),
    Link(String),
    Chmod(String, u32),
    Rename(String, String),
}

fn any_path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..4)
        .prop_map(|names| names.join("/"))
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => any_path().prop_map(Op::Write),
        2 => any_path().prop_map(Op::Remove),
        3 => any_path().prop_map(Op::MakeDir),
        1 => any_path().prop_map(Op::Link),
        1 => (any_path(), prop::sample::select(vec![0o700, 0o755, 0o711]))
            .prop_map(|(path, mode)| Op::Chmod(path, mode)),
        2 => (any_path(), any_path()).prop_map(|(from, to)| Op::Rename(from, to)),
    ]
}

/// Operations on what is not there fail, as they would for any program.
fn run(tree: &Path, op: &Op, serial: usize) {
    let at = |path: &str| tree.join(path);
    let _ = match op {
        Op::Write(path) => fs::write(at(path), format!("content {serial}")),
        Op::Remove(path) => fs::remove_file(at(path)).or_else(|_| fs::remove_dir_all(at(path))),
        Op::MakeDir(path) => fs::create_dir_all(at(path)),
        Op::Link(path) => std::os::unix::fs::symlink(format!("target {serial}"), at(path)),
        Op::Chmod(path, mode) => {
            let is_link = at(path).is_symlink();
            if is_link {
                Ok(())
            } else {
                fs::set_permissions(at(path), fs::Permissions::from_mode(*mode))
            }
        }
        Op::Rename(from, to) => fs::rename(at(from), at(to)),
    };
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status().unwrap();
    assert!(status.success());
}

/// The upper directory tells the same as a comparison of the trees before and after, but that
/// overlay copies up what in the end did not change.
fn same_as_comparison(lower: &[Op], upper: &[Op]) -> Result<(), TestCaseError> {
    // The layers themselves are made by an overlay, so that they hold whiteouts.
    let below = Layout::new(1);
    for (serial, op) in lower.iter().enumerate() {
        run(&below.layers[0], op, serial);
    }
    let attached = below.stack().mount().unwrap().attach(below.at("merged")).unwrap();
    for (serial, op) in lower.iter().rev().enumerate() {
        run(&below.at("merged"), op, 100 + serial);
    }
    attached.detach().unwrap();

    let layout = Layout::new(0);
    let stack = container_fs::Stack::new([below.layers[0].clone(), below.at("upper")])
        .writable(layout.at("upper"), layout.at("work"))
        .volatile(true);
    let attached = stack.mount().unwrap().attach(layout.at("merged")).unwrap();
    let before = layout.at("before");
    fs::create_dir(&before).unwrap();
    copy(&layout.at("merged"), &before);
    for (serial, op) in upper.iter().enumerate() {
        run(&layout.at("merged"), op, 200 + serial);
    }
    let merged = Root::open(layout.at("merged")).unwrap();
    let compared = between(Root::open(&before).unwrap(), &merged).unwrap();
    let told = stack.changes().unwrap();
    drop(merged);
    attached.detach().unwrap();

    prop_assert!(told.is_sorted());
    let told: BTreeSet<Change> = told.into_iter().collect();
    let compared: BTreeSet<Change> = compared.into_iter().collect();
    let missed: Vec<&Change> = compared.difference(&told).collect();
    prop_assert!(missed.is_empty(), "missed {missed:?} of {compared:?}");
    for extra in told.difference(&compared) {
        let copied_up =
            extra.kind == ChangeKind::Modified && extra.file_type != FileType::Directory;
        prop_assert!(copied_up, "invented {extra:?}");
    }
    Ok(())
}

fn random_changes(cases: u32) {
    let ops = || prop::collection::vec(any_op(), 0..20);
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(lower in ops(), upper in ops())| same_as_comparison(&lower, &upper)?);
}

#[test]
fn random_changes_as_root() {
    if !is_child() && testkit::require_root() {
        random_changes(100);
    }
}

#[test]
fn random_changes_as_ordinary_user() {
    if is_child() {
        random_changes(40);
    }
    as_ordinary_user("random_changes_as_ordinary_user");
}

#[test]
fn an_upper_that_is_not_whole_is_refused() {
    if !can_mount() {
        return;
    }
    let layout = Layout::new(1);
    for dir in [&layout.layers[0], &layout.at("upper")] {
        fs::create_dir(dir.join("moved")).unwrap();
    }
    let xattrs = XattrNamespace::detect();
    let upper = Root::open(layout.at("upper")).unwrap();
    let key = format!("{}redirect", xattrs.prefix());
    upper.open_dir("").unwrap().set_xattr("moved", key, b"/elsewhere").unwrap();
    let layers = [Root::open(&layout.layers[0]).unwrap()];
    let error = of_upper(&upper, &layers, xattrs).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[test]
fn a_part_under_a_new_name_is_refused_too() {
    // What a mount with redirect_dir=on or metacopy=on leaves after `mv old new`.
    if !can_mount() {
        return;
    }
    let xattrs = XattrNamespace::detect();
    for (name, what) in [("new-dir", "redirect"), ("new-dir/file", "metacopy")] {
        let layout = Layout::new(1);
        fs::create_dir(layout.at("upper/new-dir")).unwrap();
        fs::write(layout.at("upper/new-dir/file"), "").unwrap();
        let key = format!("{}{what}", xattrs.prefix());
        let upper = Root::open(layout.at("upper")).unwrap();
        let (dir, name) = upper.parent(name).unwrap();
        dir.set_xattr(name, key, b"/old").unwrap();
        let layers = [Root::open(&layout.layers[0]).unwrap()];
        let error = of_upper(&upper, &layers, xattrs).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{what}");
    }
}

#[test]
fn trusted_marks_are_not_read_without_the_privilege() {
    if testkit::is_root() {
        return;
    }
    let layout = Layout::new(1);
    let (upper, layers) =
        (Root::open(layout.at("upper")), [Root::open(&layout.layers[0]).unwrap()]);
    let error = of_upper(upper.unwrap(), &layers, XattrNamespace::Trusted).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
}

#[test]
fn content_is_compared_when_all_else_agrees() {
    let layout = Layout::new(2);
    let [old, new] = [0, 1].map(|index| layout.layers[index].clone());
    let time = std::time::SystemTime::UNIX_EPOCH;
    for (dir, content) in [(&old, "abc"), (&new, "abd")] {
        for (name, content) in [("same", "xyz"), ("other", content)] {
            fs::write(dir.join(name), content).unwrap();
            let file = fs::File::options().write(true).open(dir.join(name)).unwrap();
            file.set_modified(time).unwrap();
        }
    }
    let roots = [&old, &new].map(|dir| Root::open(dir).unwrap());
    assert_eq!(lines(&between(&roots[0], &roots[1]).unwrap()), ["M /other"]);
    fs::hard_link(new.join("same"), new.join("zz")).unwrap();
    fs::remove_file(old.join("other")).unwrap();
    let changes = between(&roots[0], &roots[1]).unwrap();
    assert_eq!(lines(&changes), ["A /other", "A /zz"]);
}

#[test]
fn links_and_pipes_are_entries() {
    let layout = Layout::new(2);
    let [old, new] = [0, 1].map(|index| Root::open(&layout.layers[index]).unwrap());
    new.symlink("/etc", "link").unwrap();
    let (dir, name) = new.parent("pipe").unwrap();
    dir.create_node(name, container_fs::Node::Fifo, 0o600).unwrap();
    let changes = between(&old, &new).unwrap();
    assert_eq!(lines(&changes), ["A /link", "A /pipe"]);
    assert_eq!(changes[0].file_type, FileType::Symlink);
    assert_eq!(lines(&between(&new, &old).unwrap()), ["D /link", "D /pipe"]);
    assert_eq!(between(&new, &new).unwrap(), []);
}
