//! Which device nodes the processes of a cgroup may open and make.
//!
//! v1 has lists (`devices.allow`, `devices.deny`), v2 runs a BPF program at each open and
//! mknod: both are made of the same [`DeviceRule`]s.

mod attach;
mod lists;
mod program;
mod rule;

pub use rule::{DeviceAccess, DeviceClass, DeviceRule};

use std::io;

use super::controller::{Controller, Version};
use super::dir;
use super::group::{Cgroup, Node};
use super::resources::field;
use crate::error::{Error, Result};
use attach::{Program, attach};
use lists::Lists;

impl Cgroup {
    /// Puts the rules in the place of those in force, or leaves these as they are.
    pub(super) fn set_devices(&self, rules: &[DeviceRule]) -> Result<()> {
        match self.node_of(Controller::Devices) {
            Some((node, Version::V1)) => self.set_device_lists(node, rules),
            Some((node, Version::V2)) => {
                let program =
                    Program::load(rules).map_err(|e| refused_by_bpf("BPF_PROG_LOAD", e))?;
                attach(node.fd(), &program).map_err(|e| refused_by_bpf("BPF_PROG_ATTACH", e))
            }
            None => Err(self.hierarchy.lacks(Controller::Devices)),
        }
    }

    fn set_device_lists(&self, node: &Node, rules: &[DeviceRule]) -> Result<()> {
        let target = Lists::of(rules)?;
        let list = dir::read(node.fd(), "devices.list")
            .map_err(|e| Error::os("read devices.list", self.directory_of(node), e))?;
        let present = Lists::parse(&list);
        let Err(error) = self.write_lists(node, &present.steps_to(&target)) else {
            return Ok(());
        };
        let half_way = dir::read(node.fd(), "devices.list").unwrap_or_default();
        match self.write_lists(node, &Lists::parse(&half_way).steps_to(&present)) {
            Ok(()) => Err(error),
            Err(second) => {
                Err(error.hint(format!("the former rules could not be set back: {second}")))
            }
        }
    }

    fn write_lists(&self, node: &Node, steps: &[(&'static str, String)]) -> Result<()> {
        steps.iter().try_for_each(|(file, value)| {
            dir::write(node.fd(), file, value).map_err(|e| {
                let hint = match e.raw_os_error() {
                    Some(libc::EPERM) => "an ancestor cgroup forbids it, or CAP_SYS_ADMIN lacks",
                    Some(libc::EINVAL) => "a cgroup with children keeps its default",
                    _ => "",
                };
                let failed =
                    Error::os(format!("write {file} = {value}"), self.directory_of(node), e);
                if hint.is_empty() { failed } else { failed.hint(hint) }
            })
        })
    }
}

fn refused_by_bpf(step: &'static str, error: io::Error) -> Error {
    let hint = match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            "device rules on cgroup v2 take CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN, in the \
             initial user namespace"
        }
        Some(libc::EINVAL | libc::ENOSYS) => "the kernel needs CONFIG_CGROUP_BPF and Linux 4.15",
        _ => return Error::os(step, field("devices"), error),
    };
    Error::os(step, field("devices"), error).hint(hint)
}
