//! Device nodes: made, bound, refused.

use std::os::unix::fs::{FileTypeExt, MetadataExt};

use container_core::mount::{Device, DeviceKind};
use container_core::{ErrorKind, Mount, ProcessBuilder};

use crate::common::{in_rootfs, script};
use crate::support::{can_run, in_user_namespace, shifted};

#[test]
fn nodes_are_made_as_described() {
    if !testkit::require_root() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let text = script(
        in_rootfs(&rootfs, "sh")
            .device(Device::character("/dev/sub/zero", 1, 5).mode(0o640).owner(1000, 33))
            .device(Device::block("/dev/disk", 7, 300).mode(0o600))
            .device(Device::fifo("/run/pipe").mode(0o622).owner(5, 6)),
        "stat -c '%F %a %u:%g %Hr:%Lr' /dev/sub/zero /dev/disk /run/pipe; \
         head -c 3 /dev/sub/zero | od -An -tx1",
    );
    let expected = "character special file 640 1000:33 1:5\nblock special file 600 0:0 7:300\n\
                    fifo 622 5:6 0:0\n 00 00 00\n";
    assert_eq!(text, expected);
    assert!(rootfs.join("run/pipe").metadata().unwrap().file_type().is_fifo());
}

#[test]
fn in_a_user_namespace_the_hosts_node_is_bound() {
    if !can_run() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let builder = || -> ProcessBuilder {
        if testkit::is_root() {
            in_user_namespace(&rootfs, shifted())
        } else {
            in_rootfs(&rootfs, "sh")
        }
    };
    // At another path than the host's: found by its number.
    let text = script(
        builder().device(Device::character("/dev/nothing", 1, 3)).mount(Mount::tmpfs("/run")),
        "stat -c %Hr:%Lr /dev/nothing; echo x > /dev/nothing && echo written",
    );
    assert_eq!(text, "1:3\nwritten\n");
    let missing = builder().device(Device::character("/dev/none", 4000, 77)).plan().unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert!(missing.object().contains("c 4000:77"), "{missing}");
}

#[test]
fn default_devices_in_whatever_dev_is() {
    if !can_run() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    let mut builder = ProcessBuilder::new("sh")
        .namespaces(crate::common::isolated())
        .rootfs(rootfs.path())
        .mount(Mount::proc("/proc"))
        .default_devices(true);
    for path in testkit::Rootfs::binds() {
        builder = builder.mount(Mount::bind(&path, &path).read_only());
    }
    let show = "for d in null zero full random urandom tty; do stat -c %Hr:%Lr /dev/$d; done; \
                readlink /dev/fd /dev/stdout /dev/ptmx; echo gone > /dev/null; head -c1 /dev/zero | wc -c";
    let expected = "1:3\n1:5\n1:7\n1:8\n1:9\n5:0\n/proc/self/fd\n/proc/self/fd/1\npts/ptmx\n1\n";
    assert_eq!(script(builder.clone().mount(Mount::tmpfs("/dev")), show), expected);
    // In the root's own directory too, also when it is there from before.
    for _ in 0..2 {
        assert_eq!(script(builder.clone(), show), expected);
    }
}

#[test]
fn something_else_in_its_place_is_refused() {
    if !testkit::require_root() {
        return;
    }
    let rootfs = testkit::rootfs_dirs();
    std::fs::write(rootfs.join("run/file"), "host").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", rootfs.join("run/link")).unwrap();
    for name in ["file", "link"] {
        let device = Device::character(format!("/run/{name}"), 1, 3).owner(7, 7);
        let error = in_rootfs(&rootfs, "true").device(device).spawn().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
        let found = rootfs.join("run").join(name).symlink_metadata().unwrap();
        assert_eq!(found.uid(), 0);
    }
}

#[test]
fn of_the_host_as_it_is_there() {
    let null = Device::of_host("/dev/null", "/dev/zilch").unwrap();
    assert_eq!((null.kind(), null.numbers()), (DeviceKind::Character, (1, 3)));
    assert_eq!(Device::of_host("/etc", "/x").unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(Device::of_host("/no/such", "/x").unwrap_err().kind(), ErrorKind::NotFound);
    let rootfs = testkit::rootfs_dirs();
    for wrong in [
        Device::character("relative", 1, 3),
        Device::character("/dev/../x", 1, 3),
        Device::character("/", 1, 3),
        Device::character("/dev/x", 4096, 0),
        Device::block("/dev/x", 0, 1 << 20),
    ] {
        let error = in_rootfs(&rootfs, "true").device(wrong).plan().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    let bare = ProcessBuilder::new("true").namespaces(crate::common::isolated());
    for wrong in [bare.clone().device(null), bare.default_devices(true)] {
        assert_eq!(wrong.plan().unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
