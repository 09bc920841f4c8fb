//! Both resolvers against the same trees.

use super::*;

fn both(test: impl Fn(&Path, Root)) {
    for walking in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        test(dir.path(), if walking { root.walking() } else { root });
    }
}

#[test]
fn splits_before_the_last_name() {
    let split = |path| split(Path::new(path)).map(|(dir, name)| (dir.to_owned(), name.to_owned()));
    assert_eq!(split("a").unwrap(), ("".into(), "a".into()));
    assert_eq!(split("/a").unwrap(), ("/".into(), "a".into()));
    assert_eq!(split("a/b//").unwrap(), ("a/".into(), "b".into()));
    for bad in ["", "/", "//", ".", "a/.", "a/..", "..", "a/../", "a\0/b"] {
        assert_eq!(split(bad).unwrap_err().kind(), ErrorKind::InvalidPath, "{bad:?}");
    }
}

#[test]
fn creates_and_reads_inside() {
    both(|host, root| {
        root.create_dir_all("a/b/../c/", 0o750).unwrap();
        assert!(host.join("a/b").is_dir() && host.join("a/c").is_dir());
        root.create_file("/a/c/file", 0o4755).unwrap();
        assert_eq!(root.metadata("a/c/file").unwrap().mode, 0o4755);
        assert_eq!(root.metadata("a/c").unwrap().mode, 0o750);
        root.hard_link("a/c/file", "../../../link").unwrap();
        assert_eq!(root.metadata("link").unwrap().nlink, 2);
        assert_eq!(root.create_file("link", 0o600).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(root.remove_dir("a").unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
        root.remove_tree("a").unwrap();
        assert_eq!(root.metadata("a").unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(root.open_file("link/").unwrap_err().kind(), ErrorKind::NotADirectory);
    });
}

#[test]
fn pipes_are_not_opened() {
    both(|_, root| {
        let (dir, name) = root.parent("pipe").unwrap();
        dir.create_node(&name, Node::Fifo, 0o644).unwrap();
        assert_eq!(root.open_file("pipe").unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(dir.open_file("pipe").unwrap_err().kind(), ErrorKind::Unsupported);
    });
}

#[test]
fn the_walk_refuses_links_and_openat2_keeps_them_inside() {
    both(|host, root| {
        std::os::unix::fs::symlink("/etc", host.join("x")).unwrap();
        let kind = match root.resolver {
            Resolver::OpenAt2 => ErrorKind::NotFound,
            Resolver::Walk => ErrorKind::Symlink,
        };
        assert_eq!(root.open_file("x/passwd").unwrap_err().kind(), kind);
        assert_eq!(root.resolve("x").unwrap_err().kind(), kind);
        assert_eq!(root.create_file("x/new", 0o600).unwrap_err().kind(), kind);
        assert_eq!(root.create_dir_all("x/new", 0o700).unwrap_err().kind(), kind);
        assert_eq!(root.read_link("x").unwrap(), "/etc");
        root.remove_file("x").unwrap();
    });
}

#[test]
fn attributes_are_set_on_the_entry_itself() {
    both(|host, root| {
        std::fs::write(host.join("file"), b"").unwrap();
        root.symlink("file", "link").unwrap();
        let dir = root.open_dir("").unwrap();
        assert_eq!(dir.set_mode("link", 0o600).unwrap_err().kind(), ErrorKind::Symlink);
        dir.set_mtime("link", -5, 7).unwrap();
        let link = dir.metadata("link").unwrap();
        assert_eq!((link.mtime, link.mtime_nsec), (-5, 7));
        assert_ne!(dir.metadata("file").unwrap().mtime, -5);
        dir.set_mode("file", 0o1751).unwrap();
        assert_eq!(dir.metadata("file").unwrap().mode, 0o1751);
        assert!(dir.set_owner("file", u32::MAX, 0).is_err());
        let names: Vec<_> = dir.entries().unwrap().into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["file", "link"]);
    });
}

/// The same race as in the kernel tests, which can't choose the resolver.
#[test]
fn a_racing_swap_does_not_lead_outside() {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use std::sync::atomic::{AtomicBool, Ordering};
    both(|host, root| {
        let outside = tempfile::tempdir().unwrap();
        root.create_dir("x", 0o755).unwrap();
        root.symlink(outside.path(), "swap").unwrap();
        let (dir, link, done) = (host.join("x"), host.join("swap"), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let _ = renameat_with(CWD, &dir, CWD, &link, RenameFlags::EXCHANGE);
                }
            });
            for index in 0..2_000 {
                let _ = root.create_file(format!("x/f{index}"), 0o600);
                let _ = root.create_dir_all(format!("x/d{index}/e"), 0o700);
            }
            done.store(true, Ordering::Relaxed);
        });
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    });
}
