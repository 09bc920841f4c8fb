//! `linux.devices`, `linux.netDevices` and `linux.sysctl`.

use std::path::Path;

use oci_spec::runtime::{Linux, LinuxDevice, LinuxDeviceType};

use super::field::{inside, invalid, no_nul};
use crate::error::Result;
use crate::mount::{Device, DeviceKind, Source};
use crate::namespace::{Namespace, NamespaceKind};
use crate::net_device::NetDevice;
use crate::process::{Description, ProcessBuilder};

/// The kernel keeps a major number in 12 bits and a minor one in 20.
const MAX_MAJOR: i64 = 0xfff;
const MAX_MINOR: i64 = 0xf_ffff;

/// The devices of the spec and the default ones, unless `/dev` is the host's
/// own, bound: nothing is made there.
pub(super) fn devices(
    linux: &Linux,
    mut builder: ProcessBuilder,
    ignored: &mut Vec<String>,
) -> Result<ProcessBuilder> {
    let dev = Path::new("/dev");
    let mount = builder.description.mounts.iter().rfind(|mount| mount.target() == dev);
    let bound = mount.is_some_and(|mount| matches!(mount.source, Source::Bind { .. }));
    let filled = mount.is_some_and(|mount| matches!(mount.source, Source::Dev { .. }));
    builder = builder.default_devices(!bound && !filled);
    for (index, described) in linux.devices().iter().flatten().enumerate() {
        let field = format!("linux.devices[{index}]");
        let device = device(described, &field)?;
        if device.path() == Path::new("/dev/ptmx") {
            ignored.push(format!("{field}: /dev/ptmx is that of the container's own terminals"));
            continue;
        }
        if bound && device.path().starts_with(dev) {
            ignored.push(format!("{field}: /dev is bound, nothing is made in it"));
            continue;
        }
        builder = builder.device(device);
    }
    Ok(builder)
}

fn device(described: &LinuxDevice, field: &str) -> Result<Device> {
    let path = inside(format_args!("{field}.path"), described.path())?;
    if path == Path::new("/") {
        return Err(invalid(format!("{field}.path"), "the root itself is no device"));
    }
    let number = |name: &str, number: i64, most: i64| match number {
        0.. if number <= most => Ok(number as u32),
        _ => Err(invalid(format!("{field}.{name}"), format!("{number}: out of 0 to {most}"))),
    };
    let kind = match described.typ() {
        LinuxDeviceType::C | LinuxDeviceType::U => DeviceKind::Character,
        LinuxDeviceType::B => DeviceKind::Block,
        LinuxDeviceType::P => DeviceKind::Fifo,
        LinuxDeviceType::A => {
            return Err(invalid(format!("{field}.type"), "\"a\" is for rules, no kind of device"));
        }
    };
    let device = match kind {
        DeviceKind::Fifo => Device::fifo(path),
        _ => Device::new(
            kind,
            path,
            number("major", described.major(), MAX_MAJOR)?,
            number("minor", described.minor(), MAX_MINOR)?,
        ),
    };
    let mode = described.file_mode().unwrap_or(0o666);
    // Some writers put the whole of `st_mode` there.
    let of_type = mode & libc::S_IFMT;
    if mode & !(libc::S_IFMT | 0o7777) != 0 || (of_type != 0 && of_type != kind.mode_bits()) {
        return Err(invalid(format!("{field}.fileMode"), format!("{mode:#o}: no such mode")));
    }
    let (uid, gid) = (described.uid().unwrap_or(0), described.gid().unwrap_or(0));
    Ok(device.mode(mode).owner(uid, gid))
}

/// In the order of their names: a map has none.
pub(super) fn net_devices(linux: &Linux, mut builder: ProcessBuilder) -> Result<ProcessBuilder> {
    let mut all: Vec<_> = linux.net_devices().iter().flatten().collect();
    all.sort_by_key(|(name, _)| *name);
    let namespaces = &builder.description.namespaces;
    let own = !matches!(namespaces.get(NamespaceKind::Net), Namespace::Inherit);
    for (name, described) in all {
        let field = format!("linux.netDevices.{name}");
        if !own {
            return Err(invalid(field, "needs a network namespace")
                .hint("add {\"type\": \"network\"} to linux.namespaces"));
        }
        let device = match described.name().as_deref() {
            Some(inside) if !inside.is_empty() => NetDevice::new(name).renamed(inside),
            _ => NetDevice::new(name),
        };
        device.check().map_err(|error| error.in_field(field))?;
        builder = builder.net_device(device);
    }
    Ok(builder)
}

/// In the order of their keys.
pub(super) fn sysctls(linux: &Linux, mut builder: ProcessBuilder) -> Result<ProcessBuilder> {
    let mut all: Vec<_> = linux.sysctl().iter().flatten().collect();
    all.sort();
    for (key, value) in all {
        no_nul(format_args!("linux.sysctl.{key}"), value)?;
        builder = builder.sysctl(key, value);
        check(&builder.description).map_err(|error| error.in_field("linux.sysctl"))?;
    }
    Ok(builder)
}

fn check(description: &Description) -> Result<()> {
    crate::plan::check_sysctls(description)
}
