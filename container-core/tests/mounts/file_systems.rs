//! New file systems: options, flags, sources, terminals, what a user namespace
//! shares with the host.

use std::os::unix::fs::PermissionsExt;

use container_core::{
    Container, ErrorKind, Mount, NamespaceKind, Namespaces, ProcessBuilder, WindowSize,
};

use crate::common::{in_rootfs, script};
use crate::support::{at, can_run, in_user_namespace, mounts_of, seen, shifted};

#[test]
fn options_and_flags_of_the_file_system() {
    if !can_run() {
        return;
    }
    let found = seen(
        Mount::tmpfs("/m")
            .option("source", "scratch")
            .option("size", "64k")
            .option("mode", "750")
            .option("lazytime", None::<&str>)
            .option("sync", None::<&str>),
    );
    assert_eq!((found.kind.as_str(), found.source.as_str()), ("tmpfs", "scratch"));
    for option in ["size=64k", "mode=750", "lazytime", "sync"] {
        assert!(found.data.iter().any(|own| own == option), "{option}: {found:?}");
    }
    let unset = Mount::tmpfs("/m").option("sync", None::<&str>).option("async", None::<&str>);
    assert!(!seen(unset).data.iter().any(|own| own == "sync"));
    let rootfs = testkit::rootfs_dirs();
    let wrong = in_rootfs(&rootfs, "true").mount(Mount::tmpfs("/m").option("no-such", "1"));
    let error = wrong.spawn().unwrap_err();
    assert!(error.to_string().contains("no-such"), "{error}");
}

#[test]
fn a_small_tmpfs_is_full_soon() {
    if !can_run() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let builder = in_rootfs(&rootfs, "sh").mount(Mount::tmpfs("/m").option("size", "64k"));
    let command = "head -c 100000 /dev/zero > /m/f 2>/dev/null || echo full; wc -c < /m/f";
    assert_eq!(script(builder, command), "full\n65536\n");
}

#[test]
fn the_permissions_of_what_is_covered() {
    if !can_run() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let path = rootfs.join("m");
    std::fs::create_dir(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o1751)).unwrap();
    let mode = |mount: Mount| {
        script(in_rootfs(&rootfs, "sh").mount(mount), "stat -c %a /m /n 2>/dev/null || true")
    };
    assert_eq!(mode(Mount::tmpfs("/m").mode_of_target()), "1751\n");
    assert_eq!(mode(Mount::tmpfs("/m")), "1777\n");
    // Where nothing is covered, the file system's own default.
    let missing = in_rootfs(&rootfs, "sh").mount(Mount::tmpfs("/n").mode_of_target());
    assert_eq!(script(missing, "stat -c %a /n"), "1777\n");
}

#[test]
fn terminals_belong_to_group_5_where_it_is_mapped() {
    if !can_run() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let gid = |builder: ProcessBuilder| {
        let mounts = mounts_of(builder.mount(Mount::devpts("/dev/pts")));
        let data = &at(&mounts, "/dev/pts").data;
        // Shown as the host's root sees it.
        data.iter().any(|option| option == "gid=5" || option == "gid=200005")
    };
    if testkit::is_root() {
        assert!(gid(in_rootfs(&rootfs, "sh")));
        assert!(gid(in_user_namespace(&rootfs, shifted())));
    }
    let (euid, egid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    let alone = container_core::IdMappings::root_only(euid, egid).unwrap();
    assert!(!gid(in_user_namespace(&rootfs, alone)));
}

#[test]
fn the_console_is_the_terminal() {
    if !can_run() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let builder =
        testkit::Rootfs::binds().iter().fold(Container::builder(rootfs.path()), |builder, path| {
            builder.mount(Mount::bind(path, path).read_only())
        });
    let mut container = builder
        .command("/bin/sh")
        .args([
            "-c",
            "[ $(stat -c %t:%T /dev/console) = $(stat -c %t:%T $(tty)) ] && echo same; \
             echo written > /dev/console",
        ])
        .terminal(WindowSize { rows: 25, columns: 80 })
        .start()
        .unwrap();
    let mut shown = String::new();
    let mut terminal = container.take_terminal().unwrap();
    let _ = std::io::Read::read_to_string(&mut terminal, &mut shown);
    assert_eq!(shown, "same\r\nwritten\r\n");
    container.delete().unwrap();
}

/// With the host's net and ipc namespaces: binds of the host's, read-only as
/// asked, where root alone could mount them.
#[test]
fn what_a_user_namespace_shares_is_bound() {
    if !can_run() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let namespaces = Namespaces::isolated()
        .with(NamespaceKind::User)
        .inherit(NamespaceKind::Net)
        .inherit(NamespaceKind::Ipc);
    let mut builder = in_rootfs(&rootfs, "sh").namespaces(namespaces).mount(Mount::sysfs("/sys"));
    let queues = std::path::Path::new("/dev/mqueue").is_dir();
    if queues {
        builder = builder.mount(Mount::mqueue("/dev/mqueue"));
    }
    let mounts = mounts_of(builder);
    let sys = at(&mounts, "/sys");
    assert!(sys.kind == "sysfs" && sys.has("ro") && sys.has("nosuid"), "{sys:?}");
    let below = mounts.iter().filter(|mount| mount.point.starts_with("/sys/"));
    below.for_each(|mount| assert!(mount.has("ro"), "{mount:?}"));
    if queues {
        assert!(at(&mounts, "/dev/mqueue").has("noexec"));
    }
    // With namespaces of its own they are new.
    let own = in_rootfs(&rootfs, "sh").mount(Mount::sysfs("/sys"));
    let links = script(own, "ls /sys/class/net");
    assert_eq!(links.trim(), "lo");
}

#[test]
fn an_unknown_file_system_says_so() {
    if !can_run() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let mount = Mount::file_system("no-such-fs", "/m");
    let error = in_rootfs(&rootfs, "true").mount(mount).spawn().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("no-such-fs"), "{error}");
}

#[test]
fn many_layers_of_an_overlay() {
    if !testkit::require_root() || !testkit::require_kernel(6, 7) {
        return;
    }
    let (dir, rootfs) = (testkit::TempDir::new(), testkit::rootfs_dirs());
    let layers: Vec<String> = (0..12)
        .map(|index| {
            let layer = dir.join(format!("a layer with a long name, and a number: {index}"));
            std::fs::create_dir(&layer).unwrap();
            std::fs::write(layer.join(format!("file{index}")), "").unwrap();
            layer.to_str().unwrap().replace(':', "\\:")
        })
        .collect();
    let mount = Mount::file_system("overlay", "/m").option("lowerdir", layers.join(":").as_str());
    let builder = in_rootfs(&rootfs, "sh").mount(mount);
    assert_eq!(script(builder, "ls /m | wc -l"), "12\n");
}

/// What is to be in a file system in memory is made before it is read-only.
#[test]
fn read_only_and_filled() {
    if !can_run() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    rootfs.write("m/below", "copied\n");
    let builder = ProcessBuilder::new("sh").namespaces(crate::common::isolated());
    let builder = testkit::Rootfs::binds()
        .iter()
        .fold(builder, |builder, path| builder.mount(Mount::bind(path, path).read_only()));
    let builder = builder
        .rootfs(rootfs.path())
        .mount(Mount::proc("/proc"))
        .mount(Mount::dev("/dev").read_only())
        .mount(Mount::tmpfs("/m").copy_up().read_only())
        .mount(Mount::tmpfs("/m/inner"));
    let text = script(
        builder.clone(),
        "cat /m/below; echo x > /dev/null && echo device; touch /dev/x 2>/dev/null || echo ro; \
         touch /m/x 2>/dev/null || echo ro; touch /m/inner/x && echo rw",
    );
    assert_eq!(text, "copied\ndevice\nro\nro\nrw\n");
    let mut process = builder
        .mount(Mount::devpts("/dev/pts"))
        .program("/bin/sh")
        .args(["-c", "echo console > /dev/console; touch /dev/x 2>/dev/null || echo ro"])
        .terminal(WindowSize { rows: 25, columns: 80 })
        .spawn()
        .unwrap();
    let mut shown = String::new();
    let mut terminal = process.take_terminal().unwrap();
    let _ = std::io::Read::read_to_string(&mut terminal, &mut shown);
    assert_eq!(shown, "console\r\nro\r\n");
    process.wait().unwrap();
}
