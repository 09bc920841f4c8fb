//! Stacks in the kernel: mounted, written, read, deleted from, refused.
#![allow(clippy::unwrap_used, reason = "a failure is the test's")]

mod common;

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use common::{Layout, as_ordinary_user, can_mount, is_child, lines, mount_options, temp_dir};
use container_fs::whiteout::is_whiteout;
use container_fs::{ErrorKind, MountOption, Root, Stack, XattrNamespace};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use testkit::TempDir;

/// Builds, mounts, uses and unmounts a stack of that many layers.
fn use_stack(count: usize) {
    let layout = Layout::new(count);
    for (index, layer) in layout.layers.iter().enumerate() {
        fs::write(layer.join(format!("only{index}")), index.to_string()).unwrap();
        fs::write(layer.join("shared"), index.to_string()).unwrap();
    }
    let merged = layout.at("merged");
    let stack = layout.stack();
    let attached = stack.mount().unwrap().attach(&merged).unwrap();

    // Every layer shows, and the topmost wins.
    assert_eq!(fs::read_dir(&merged).unwrap().count(), count + 1);
    for index in 0..count {
        let only = fs::read_to_string(merged.join(format!("only{index}"))).unwrap();
        assert_eq!(only, index.to_string());
    }
    assert_eq!(fs::read_to_string(merged.join("shared")).unwrap(), (count - 1).to_string());

    fs::write(merged.join("shared"), "changed").unwrap();
    fs::write(merged.join("new"), "new").unwrap();
    fs::remove_file(merged.join("only0")).unwrap();
    assert!(!merged.join("only0").exists());
    assert_eq!(lines(&stack.changes().unwrap()), ["A /new", "D /only0", "M /shared"]);
    assert!(is_whiteout(Root::open(layout.at("upper")).unwrap(), "only0").unwrap());

    attached.detach().unwrap();
    assert_eq!(mount_options(&merged), None);
    assert_eq!(fs::read_dir(&merged).unwrap().count(), 0);
    // The layers are as they were.
    assert_eq!(fs::read_to_string(layout.layers[0].join("only0")).unwrap(), "0");
    let top = layout.layers.last().unwrap();
    assert_eq!(fs::read_to_string(top.join("shared")).unwrap(), (count - 1).to_string());
    assert_eq!(fs::read_dir(top).unwrap().count(), 2);
}

fn use_stacks_of_all_sizes() {
    for count in [1, 2, 50, 128, 200, 500] {
        use_stack(count);
    }
}

#[test]
fn stacks_of_up_to_500_layers_as_root() {
    if !is_child() && testkit::require_root() {
        use_stacks_of_all_sizes();
    }
}

#[test]
fn stacks_of_up_to_500_layers_as_ordinary_user() {
    if is_child() {
        assert_eq!(XattrNamespace::detect(), XattrNamespace::User);
        use_stacks_of_all_sizes();
    }
    as_ordinary_user("stacks_of_up_to_500_layers_as_ordinary_user");
}

/// Does by hand what a container's init does with the options.
fn apply(options: &[MountOption]) -> rustix::io::Result<OwnedFd> {
    let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for option in options {
        match &option.value {
            Some(value) => {
                rustix::mount::fsconfig_set_string(&context, option.key, value.as_os_str())?;
            }
            None => rustix::mount::fsconfig_set_flag(&context, option.key)?,
        }
    }
    rustix::mount::fsconfig_create(&context)?;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

fn options_mount_the_stack() {
    for name in ["plain", "a:b", "a\\b", "a\\:b", "a\nb", "a,b"] {
        let dir = temp_dir();
        let [low, high, upper, work] =
            ["low", "high", "upper", "work"].map(|part| dir.join(format!("{part} {name}")));
        for path in [&low, &high, &upper, &work] {
            fs::create_dir(path).unwrap();
        }
        fs::write(low.join("file"), "low").unwrap();
        fs::write(high.join("file"), "high").unwrap();
        let stack = Stack::new([&low, &high]).writable(&upper, &work);
        let options = match stack.options() {
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                assert!(name == "a,b" && testkit::kernel_version() < (6, 7), "{error}");
                continue;
            }
            options => options.unwrap(),
        };
        let keys: Vec<&str> = options.iter().map(|option| option.key).collect();
        assert_eq!(keys.contains(&"userxattr"), is_child());
        let root = Root::from_fd(apply(&options).unwrap()).unwrap();
        let text = std::io::read_to_string(root.open_file("file").unwrap()).unwrap();
        assert_eq!(text, "high", "{name:?}");
        root.create_file("new", 0o644).unwrap();
        assert!(upper.join("new").exists(), "{name:?}");
    }
}

#[test]
fn options_mount_the_same_stack_as_root() {
    if !is_child() && testkit::require_root() {
        options_mount_the_stack();
    }
}

#[test]
fn options_mount_the_same_stack_as_ordinary_user() {
    if is_child() {
        options_mount_the_stack();
    }
    as_ordinary_user("options_mount_the_same_stack_as_ordinary_user");
}

#[test]
fn options_need_no_privilege() {
    let layout = Layout::new(2);
    let stack = layout.stack().xattr_namespace(XattrNamespace::User);
    let options = stack.options().unwrap();
    let shown: Vec<String> = options
        .iter()
        .map(|option| match &option.value {
            Some(value) => format!("{}={}", option.key, value.display()),
            None => option.key.to_owned(),
        })
        .collect();
    let at = |name: &str| layout.at(name).display().to_string();
    let lower = if testkit::kernel_version() >= (6, 7) {
        vec![format!("lowerdir+={}", at("l1")), format!("lowerdir+={}", at("l0"))]
    } else {
        vec![format!("lowerdir={}:{}", at("l1"), at("l0"))]
    };
    let mut expected = lower;
    expected.push(format!("upperdir={}", at("upper")));
    expected.push(format!("workdir={}", at("work")));
    let fixed = ["index=off", "metacopy=off", "redirect_dir=nofollow", "userxattr", "volatile"];
    expected.extend(fixed.map(String::from));
    assert_eq!(shown, expected);

    let long = layout.at(&"x".repeat(250));
    fs::create_dir(&long).unwrap();
    let stack = Stack::new([&layout.layers[0], &long]);
    assert_eq!(stack.options().unwrap_err().kind(), ErrorKind::TooLong);
    assert!(stack.mount_data().is_ok());
}

#[test]
fn mounting_needs_privilege_and_says_so() {
    if testkit::is_root() || is_child() {
        return;
    }
    let error = Layout::new(2).stack().mount().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("Stack::options"), "{error}");
}

#[test]
fn the_kernel_got_the_options() {
    if !can_mount() {
        return;
    }
    let layout = Layout::new(2);
    let merged = layout.at("merged");
    let attached = layout.stack().mount().unwrap().attach(&merged).unwrap();
    let options = mount_options(&merged).unwrap();
    let options: Vec<&str> = options.split(',').collect();
    // Linux 6.18 shows it as the value of a newer option.
    let volatile = ["volatile", "fsync=volatile"];
    assert!(volatile.iter().any(|shown| options.contains(shown)), "{options:?}");
    for off in ["metacopy=on", "redirect_dir=on", "redirect_dir=follow", "index=on"] {
        assert!(!options.contains(&off), "{options:?}");
    }
    drop(attached);
    assert_eq!(mount_options(&merged), None);
}

#[test]
fn guards_detach_exactly_their_own_mount() {
    if !can_mount() {
        return;
    }
    let (first, second) = (Layout::new(2), Layout::new(2));
    let merged = first.at("merged");
    fs::write(first.layers[0].join("first"), "").unwrap();
    fs::write(second.layers[0].join("second"), "").unwrap();
    let below = first.stack().mount().unwrap().attach(&merged).unwrap();
    let above = second.stack().mount().unwrap().attach(&merged).unwrap();
    assert!(merged.join("second").exists());
    drop(above);
    assert!(merged.join("first").exists());
    assert_eq!(below.path(), merged);
    let left = below.leave();
    assert!(merged.join("first").exists());
    rustix::mount::unmount(&left, rustix::mount::UnmountFlags::DETACH).unwrap();

    // Detached by somebody else: no failure.
    let fresh = Layout::new(2);
    let attached = fresh.stack().mount().unwrap().attach(fresh.at("merged")).unwrap();
    rustix::mount::unmount(fresh.at("merged"), rustix::mount::UnmountFlags::DETACH).unwrap();
    attached.detach().unwrap();
}

#[test]
fn an_unused_or_failed_mount_leaves_nothing() {
    if !can_mount() {
        return;
    }
    let layout = Layout::new(2);
    let overlays = || {
        let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        mounts.matches(layout.dir.path().to_str().unwrap()).count()
    };
    drop(layout.stack().mount().unwrap());
    let fresh = Layout::new(2);
    let error = fresh.stack().mount().unwrap().attach(fresh.at("missing")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    // The mark of the volatile mount before is still there.
    let error = fresh.stack().volatile(false).mount().unwrap_err();
    assert!(error.to_string().contains("volatile"), "{error}");
    assert_eq!(overlays(), 0);
}

#[test]
fn a_read_only_stack_is_read_only() {
    if !can_mount() {
        return;
    }
    for count in [1, 2] {
        let layout = Layout::new(count);
        fs::write(layout.layers[0].join("file"), "x").unwrap();
        let mounted = Stack::new(&layout.layers).mount().unwrap();
        let root = Root::from_fd(mounted.as_fd().try_clone_to_owned().unwrap()).unwrap();
        root.open_file("file").unwrap();
        assert_eq!(root.create_file("new", 0o600).unwrap_err().kind(), ErrorKind::ReadOnly);
        assert_eq!(root.remove_file("file").unwrap_err().kind(), ErrorKind::ReadOnly);
    }
}

fn refused(stack: &Stack) -> ErrorKind {
    let (mount, options) = (stack.mount().unwrap_err(), stack.options().unwrap_err());
    assert_eq!(mount.kind(), options.kind());
    mount.kind()
}

#[test]
fn bad_stacks_are_refused_before_anything_is_touched() {
    let layout = Layout::new(3);
    let [a, b, c] = [0, 1, 2].map(|index| layout.layers[index].clone());
    let (upper, work) = (layout.at("upper"), layout.at("work"));
    let file = layout.at("file");
    fs::write(&file, "").unwrap();
    let none: [PathBuf; 0] = [];
    assert_eq!(refused(&Stack::new(none)), ErrorKind::NoLayers);
    assert_eq!(refused(&Stack::new(vec![a.clone(); 501])), ErrorKind::TooManyLayers);
    assert_eq!(refused(&Stack::new([&a, &layout.at("missing")])), ErrorKind::NotFound);
    assert_eq!(refused(&Stack::new([&a, &file])), ErrorKind::NotADirectory);
    assert_eq!(refused(&Stack::new([Path::new(""), &a])), ErrorKind::InvalidPath);
    assert_eq!(refused(&Stack::new([Path::new("a\0b"), &a])), ErrorKind::InvalidPath);
    assert_eq!(refused(&Stack::new([&a, &b, &a])), ErrorKind::OverlappingLayers);
    let ab = || Stack::new([&a, &b]);
    assert_eq!(refused(&ab().writable(&c, &c)), ErrorKind::OverlappingLayers);
    assert_eq!(refused(&ab().writable(&a, &work)), ErrorKind::OverlappingLayers);
    assert_eq!(refused(&ab().writable(layout.at("missing"), &work)), ErrorKind::NotFound);
    assert_eq!(refused(&ab().writable(&upper, &file)), ErrorKind::NotADirectory);

    // One inside another, also seen through a link.
    fs::create_dir(a.join("inside")).unwrap();
    fs::create_dir(upper.join("inside")).unwrap();
    std::os::unix::fs::symlink(&a, layout.at("link")).unwrap();
    assert_eq!(refused(&Stack::new([&a, &a.join("inside")])), ErrorKind::OverlappingLayers);
    let linked = layout.at("link/inside");
    assert_eq!(refused(&Stack::new([&a, &linked])), ErrorKind::OverlappingLayers);
    assert_eq!(refused(&Stack::new([&a, &layout.at("link")])), ErrorKind::OverlappingLayers);
    let work_inside = ab().writable(&upper, upper.join("inside"));
    assert_eq!(refused(&work_inside), ErrorKind::OverlappingLayers);
    let all = Stack::new([layout.dir.path()]).writable(&upper, &work);
    assert_eq!(refused(&all), ErrorKind::OverlappingLayers);
    // A name that only starts alike is not inside.
    fs::create_dir(layout.at("l0-more")).unwrap();
    Stack::new([a.clone(), layout.at("l0-more")]).options().unwrap();

    assert_eq!(fs::read_dir(&work).unwrap().count(), 0);
}

#[test]
fn upper_and_work_on_different_file_systems_are_refused() {
    let layout = Layout::new(2);
    let device = |path: &Path| std::os::unix::fs::MetadataExt::dev(&fs::metadata(path).unwrap());
    let here = device(layout.dir.path());
    let others = ["/dev/shm", "/tmp", "/var/tmp"];
    let Some(other) = others.iter().find(|other| device(Path::new(other)) != here) else {
        eprintln!("SKIP: needs two file systems among {others:?}");
        return;
    };
    let elsewhere = TempDir::new_in(other);
    let stack = layout.stack().writable(layout.at("upper"), elsewhere.path());
    assert_eq!(refused(&stack), ErrorKind::CrossDevice);
}

#[test]
fn a_read_only_upper_is_refused() {
    if !can_mount() {
        return;
    }
    let (layout, inner) = (Layout::new(2), Layout::new(1));
    fs::create_dir(inner.layers[0].join("upper")).unwrap();
    fs::create_dir(inner.layers[0].join("work")).unwrap();
    let read_only = Stack::new(&inner.layers).mount().unwrap();
    let attached = read_only.attach(inner.at("merged")).unwrap();
    let stack = layout.stack().writable(inner.at("merged/upper"), inner.at("merged/work"));
    assert_eq!(refused(&stack), ErrorKind::ReadOnly);
    attached.detach().unwrap();
}

#[test]
fn an_upper_on_an_overlay_is_refused() {
    if !can_mount() {
        return;
    }
    let (layout, outer) = (Layout::new(2), Layout::new(1));
    let attached = outer.stack().mount().unwrap().attach(outer.at("merged")).unwrap();
    let [upper, work] = ["upper", "work"].map(|name| outer.at("merged").join(name));
    fs::create_dir(&upper).unwrap();
    fs::create_dir(&work).unwrap();
    assert_eq!(refused(&layout.stack().writable(upper, work)), ErrorKind::Unsupported);
    attached.detach().unwrap();
}

#[test]
fn what_bind_mounts_hide_the_kernel_refuses() {
    if !is_child() {
        // In the child's own mount namespace, nothing has to be cleaned up.
        as_ordinary_user("what_bind_mounts_hide_the_kernel_refuses");
        return;
    }
    let layout = Layout::new(2);
    fs::create_dir(layout.layers[0].join("inside")).unwrap();
    fs::create_dir(layout.at("bound")).unwrap();
    let (inside, bound) = (layout.layers[0].join("inside"), layout.at("bound"));
    rustix::mount::mount_bind(&inside, &bound).unwrap();
    let error = Stack::new([&layout.layers[0], &bound]).mount().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OverlappingLayers, "{error}");
    rustix::mount::unmount(&bound, rustix::mount::UnmountFlags::DETACH).unwrap();
}

#[test]
fn mount_and_attach_work_from_any_thread() {
    if !can_mount() {
        return;
    }
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    use_stack(3);
                }
            });
        }
    });
}
