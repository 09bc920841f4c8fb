//! What the host gives to a process at launch, and takes back if that fails.

use std::fs::File;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::intel_rdt::Entered;
use crate::net_device::{self, HandedOver};
use crate::plan::Plan;

/// Dropping it takes everything back.
#[derive(Debug, Default)]
pub(super) struct Lent {
    devices: Option<HandedOver>,
    class: Option<Entered>,
}

impl Lent {
    /// Gives what the plan says to the process that the init runs in.
    pub(super) fn to(plan: &Plan, pid: u32) -> Result<Self> {
        let class = match &plan.host.intel_rdt {
            Some(step) => Some(step.rdt.enter(&step.root, &step.container, pid)?),
            None => None,
        };
        Ok(Self { devices: hand_devices_over(plan, pid)?, class })
    }

    /// The process has come to be.
    pub(super) fn keep(self) {
        if let Some(devices) = self.devices {
            devices.keep();
        }
        if let Some(class) = self.class {
            class.keep();
        }
    }
}

fn hand_devices_over(plan: &Plan, pid: u32) -> Result<Option<HandedOver>> {
    let devices = &plan.host.net_devices;
    if devices.is_empty() {
        return Ok(None);
    }
    let namespace = match &plan.host.net_namespace {
        Some(joined) => Arc::clone(joined),
        None => {
            let path = format!("/proc/{pid}/ns/net");
            let opened = File::open(&path).map_err(|error| Error::os("open", path, error))?;
            Arc::new(opened.into())
        }
    };
    net_device::hand_over(devices, namespace).map(Some)
}
