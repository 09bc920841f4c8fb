//! The layers as one tree, and where the container's writes go.

use std::ffi::OsString;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use container_core::Rootfs;
use container_fs::{ErrorKind, Root, Stack};

use crate::image::MOTD;
use crate::story::Told;
use crate::{Result, ensure};

/// The stack of `layers`, with a writable directory in `directory` on top.
pub(crate) fn stack(layers: &[PathBuf], directory: &Path) -> Result<Stack> {
    let (upper, work) = (directory.join("upper"), directory.join("work"));
    for new in [directory, &upper, &work] {
        std::fs::create_dir(new)?;
    }
    Ok(Stack::new(layers).writable(upper, work))
}

/// The root of a container: mounted here if we may, else by the container in its own user
/// namespace, where everybody may.
pub(crate) fn root(told: &mut Told, stack: &Stack, can_mount: bool) -> Result<Rootfs> {
    let layers = stack.layers().len();
    if !can_mount {
        let rootfs = mounted_inside(stack)?;
        told.say(format!(
            "{layers} layers below, one writable above; the container will mount it in its own user \
             namespace, as an ordinary user mounts nothing on the host"
        ));
        return Ok(rootfs);
    }
    let mounted = stack.mount()?;
    // The mount stands nowhere: the descriptor is the only way to it.
    let tree = Root::from_fd(mounted.as_fd().try_clone_to_owned()?)?;
    let mut motd = String::new();
    tree.open_file("etc/motd")?.read_to_string(&mut motd)?;
    ensure(motd == MOTD, || format!("the overlay shows another /etc/motd: {motd:?}"))?;
    let deleted = tree.metadata("etc/obsolete").is_err_and(|e| e.kind() == ErrorKind::NotFound);
    ensure(deleted, || "the overlay shows the deleted file".into())?;
    tree.metadata("bin/sh")?;
    told.say(format!(
        "{layers} layers below, one writable above, as a detached mount without a path"
    ));
    Ok(Rootfs::detached(mounted))
}

/// The root of a container that writes nothing.
pub(crate) fn read_only(stack: &Stack, can_mount: bool) -> container_fs::Result<Rootfs> {
    if can_mount { Ok(Rootfs::detached(stack.mount()?)) } else { mounted_inside(stack) }
}

/// The same options, for the container to mount by itself.
fn mounted_inside(stack: &Stack) -> container_fs::Result<Rootfs> {
    let (with_value, flags): (Vec<_>, Vec<_>) =
        stack.options()?.into_iter().partition(|option| option.value.is_some());
    let pairs = with_value.into_iter().map(|option| (option.key, option.value.unwrap_or_default()));
    let rootfs = Rootfs::file_system::<&str, OsString>("overlay", pairs);
    Ok(flags.into_iter().fold(rootfs, |rootfs, flag| rootfs.flag(flag.key)))
}
