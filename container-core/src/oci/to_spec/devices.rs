//! Devices and settings, as a spec says them.

use std::collections::HashMap;
use std::path::Path;

use oci_spec::runtime::{LinuxDevice, LinuxDeviceType, LinuxNetDevice};

use super::{text, unsayable};
use crate::error::Result;
use crate::mount::{DeviceKind, Source};
use crate::process::Description;

pub(super) fn devices(description: &Description) -> Result<Option<Vec<LinuxDevice>>> {
    let dev = Path::new("/dev");
    let mount = description.mounts.iter().rfind(|mount| mount.target() == dev);
    let has_own =
        mount.is_some_and(|mount| matches!(mount.source, Source::Dev { .. } | Source::Bind { .. }));
    if !description.default_devices && !has_own {
        return Err(unsayable("linux.devices", "a /dev without the default devices"));
    }
    let list: Vec<_> = description
        .devices
        .iter()
        .map(|device| {
            let mut described = LinuxDevice::default();
            described
                .set_path(device.path.clone())
                .set_typ(match device.kind {
                    DeviceKind::Character => LinuxDeviceType::C,
                    DeviceKind::Block => LinuxDeviceType::B,
                    DeviceKind::Fifo => LinuxDeviceType::P,
                })
                .set_major(device.major.into())
                .set_minor(device.minor.into())
                .set_file_mode(Some(device.mode))
                .set_uid(Some(device.uid))
                .set_gid(Some(device.gid));
            described
        })
        .collect();
    Ok((!list.is_empty()).then_some(list))
}

pub(super) fn net_devices(description: &Description) -> Option<HashMap<String, LinuxNetDevice>> {
    let devices = &description.net_devices;
    let described = |inside: &str| {
        let mut described = LinuxNetDevice::default();
        described.set_name(Some(inside.to_owned()));
        described
    };
    (!devices.is_empty()).then(|| {
        devices
            .iter()
            .map(|device| (device.name().to_owned(), described(device.name_inside())))
            .collect()
    })
}

pub(super) fn sysctls(description: &Description) -> Result<Option<HashMap<String, String>>> {
    let settings = &description.sysctls;
    let settings: HashMap<_, _> = settings
        .iter()
        .map(|(key, value)| Ok((key.clone(), text("linux.sysctl", value)?)))
        .collect::<Result<_>>()?;
    Ok((!settings.is_empty()).then_some(settings))
}
