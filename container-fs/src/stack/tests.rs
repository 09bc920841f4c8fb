//! Every way of telling the kernel, on whatever kernel this is.

use std::fs;
use std::os::fd::AsFd as _;

use super::*;
use crate::error::ErrorKind;
use crate::safe_path::Root;
use testkit::TempDir;

/// Not on an overlay, as `/tmp` is in many a container: it can't hold an upper directory.
fn temp_dir() -> TempDir {
    match rustix::fs::statfs(std::env::temp_dir()).unwrap().f_type {
        check::OVERLAYFS_MAGIC => TempDir::new_in("/dev/shm"),
        _ => TempDir::new(),
    }
}

fn layers(dir: &TempDir, count: usize) -> Vec<PathBuf> {
    (0..count)
        .map(|index| {
            let layer = dir.join(format!("layer{index}"));
            fs::create_dir(&layer).unwrap();
            fs::write(layer.join(format!("only{index}")), "").unwrap();
            fs::write(layer.join("shared"), index.to_string()).unwrap();
            layer
        })
        .collect()
}

fn mount_by(stack: &Stack, interface: Interface) -> Result<Mounted> {
    let places = check::check(stack)?;
    mounting::mount(&places, &stack.settings(), interface).map(Mounted::new)
}

fn interfaces() -> Vec<Interface> {
    let all = [Interface::Data, Interface::Paths, Interface::Descriptors];
    let best = interface().unwrap();
    let end = all.iter().position(|interface| *interface == best).unwrap();
    all[..=end].to_vec()
}

fn read(root: &Root, name: &str) -> String {
    std::io::read_to_string(root.open_file(name).unwrap()).unwrap()
}

#[test]
fn each_interface_mounts_the_same_tree() {
    if !testkit::require_root() {
        return;
    }
    for interface in interfaces() {
        for count in [1, 2, 300, 500] {
            let dir = temp_dir();
            let (upper, work) = (dir.join("upper"), dir.join("work"));
            fs::create_dir(&upper).unwrap();
            fs::create_dir(&work).unwrap();
            let stack = Stack::new(layers(&dir, count)).writable(&upper, &work);
            let mounted = mount_by(&stack, interface).unwrap();
            let root = Root::from_fd(mounted.into_fd()).unwrap();
            assert_eq!(read(&root, "shared"), (count - 1).to_string(), "{interface:?} {count}");
            for index in [0, count / 2, count - 1] {
                root.metadata(format!("only{index}")).unwrap();
            }
            root.create_file("new", 0o644).unwrap();
            root.remove_file("only0").unwrap();
            assert!(upper.join("new").exists());
            assert!(crate::whiteout::is_whiteout(Root::open(&upper).unwrap(), "only0").unwrap());
        }
    }
}

#[test]
fn each_interface_takes_any_name() {
    if !testkit::require_root() {
        return;
    }
    let long = "x".repeat(200);
    for interface in interfaces() {
        for name in
            ["a:b", "a,b", "a\\b", "a\\:,\\\\", "a\nb", "a=b,lowerdir=/", ":", long.as_str()]
        {
            let dir = temp_dir();
            let [lower, other, upper, work] =
                ["lower", "other", "upper", "work"].map(|part| dir.join(format!("{part}{name}")));
            for path in [&lower, &other, &upper, &work] {
                fs::create_dir(path).unwrap();
            }
            fs::write(lower.join("file"), name).unwrap();
            let stack = Stack::new([&other, &lower]).writable(&upper, &work);
            let mounted = mount_by(&stack, interface);
            let mounted = mounted.unwrap_or_else(|error| panic!("{interface:?} {name:?}: {error}"));
            let root = Root::from_fd(mounted.into_fd()).unwrap();
            assert_eq!(read(&root, "file"), name);
            root.create_file("new", 0o600).unwrap();
            assert!(upper.join("new").exists(), "{interface:?} {name:?}");
        }
    }
}

#[test]
fn a_single_layer_is_read_only() {
    if !testkit::require_root() {
        return;
    }
    for interface in interfaces() {
        let dir = temp_dir();
        let layers = layers(&dir, 1);
        let root = Root::open(&layers[0]).unwrap();
        crate::whiteout::create_whiteout(&root, "gone").unwrap();
        let mounted = mount_by(&Stack::new(&layers), interface).unwrap();
        let root = Root::from_fd(mounted.into_fd()).unwrap();
        assert_eq!(read(&root, "shared"), "0", "{interface:?}");
        assert_eq!(root.create_file("x", 0o600).unwrap_err().kind(), ErrorKind::ReadOnly);
        assert_eq!(root.metadata("gone").unwrap_err().kind(), ErrorKind::NotFound);
    }
}

#[test]
fn the_callers_thread_is_left_alone() {
    if !testkit::require_root() {
        return;
    }
    let state = || {
        let namespace = fs::read_link("/proc/thread-self/ns/mnt").unwrap();
        (
            namespace,
            std::env::current_dir().unwrap(),
            fs::read("/proc/self/mountinfo").unwrap().len(),
        )
    };
    let before = state().0;
    let cwd = state().1;
    let dir = temp_dir();
    let mounted = mount_by(&Stack::new(layers(&dir, 400)), Interface::Data).unwrap();
    assert_eq!((before, cwd), (state().0, state().1));
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(dir.path().to_str().unwrap()));
    assert!(mounted.as_fd().try_clone_to_owned().is_ok());
}
