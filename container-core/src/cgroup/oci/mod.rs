//! `linux.resources` of the OCI runtime specification, as [`Resources`].

use std::collections::BTreeMap;

use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxDeviceCgroup, LinuxDeviceType, LinuxMemory, LinuxResources,
    LinuxThrottleDevice,
};

use crate::cgroup::devices::{DeviceAccess, DeviceClass, DeviceRule};
use crate::cgroup::resources::{
    BlockIo, DeviceNumber, MAJOR_MAX, MINOR_MAX, RdmaLimit, Resources, field, refuse,
};
use crate::cgroup::values::{CpuShare, IdSet, Limit, SwapLimit};
use crate::error::Result;

impl Resources {
    /// The limits that a spec's `linux.resources` names.
    ///
    /// As runtimes have agreed: -1 is no limit, and 0 is the same as leaving the field
    /// out, except for `pids.limit`, where it is no limit. To device rules those that every
    /// container needs are [appended](DeviceRule::runtime_defaults).
    ///
    /// ```
    /// use container_core::cgroup::Resources;
    ///
    /// let text = r#"{"memory": {"limit": 67108864, "swap": -1}, "pids": {"limit": 100}}"#;
    /// let limits = Resources::from_oci(&serde_json::from_str(text).unwrap())?;
    /// assert_eq!(limits, Resources::from_oci(&limits.to_oci()?)?);
    /// # Ok::<(), container_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming the field and its value.
    pub fn from_oci(spec: &LinuxResources) -> Result<Self> {
        let mut limits = Self::new();
        if let Some(memory) = spec.memory() {
            limits.read_memory(memory)?;
        }
        if let Some(cpu) = spec.cpu() {
            limits.read_cpu(cpu)?;
        }
        if let Some(pids) = spec.pids() {
            let limit = u64::try_from(pids.limit()).ok().filter(|limit| *limit > 0);
            limits.pids_max = Some(limit.map_or(Limit::Unlimited, Limit::At));
        }
        if let Some(block) = spec.block_io() {
            limits.block_io = block_io(block)?;
        }
        for huge in spec.hugepage_limits().iter().flatten() {
            // All bits set is what the unsigned field of the specification has for no limit.
            let limit = match huge.limit() {
                i64::MAX => Limit::Unlimited,
                limit => signed("hugepageLimits.limit", limit)?,
            };
            if limits.hugepages.insert(huge.page_size().clone(), limit).is_some() {
                let reason = "is limited twice";
                return Err(refuse("hugepageLimits.pageSize", huge.page_size(), reason));
            }
        }
        if let Some(network) = spec.network() {
            limits.class_id = network.class_id().filter(|id| *id != 0);
            for one in network.priorities().iter().flatten() {
                limits.priorities.insert(one.name().clone(), one.priority());
            }
        }
        for (device, limit) in spec.rdma().iter().flatten() {
            let limit = RdmaLimit::new(limit.hca_handles(), limit.hca_objects());
            limits.rdma.insert(device.clone(), limit);
        }
        limits.unified =
            spec.unified().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
        if let Some(rules) = spec.devices() {
            let mut rules = device_rules(rules)?;
            rules.extend(DeviceRule::runtime_defaults());
            limits.devices = Some(rules);
        }
        limits.validate()?;
        Ok(limits)
    }

    fn read_memory(&mut self, spec: &LinuxMemory) -> Result<()> {
        let read =
            |name, value: Option<i64>| set(value).map(|value| signed(name, value)).transpose();
        let memory = &mut self.memory;
        memory.max = read("memory.limit", spec.limit())?;
        memory.low = read("memory.reservation", spec.reservation())?;
        memory.swap = read("memory.swap", spec.swap())?.map(SwapLimit::Total);
        #[allow(deprecated)]
        let kernel = spec.kernel();
        memory.kernel = read("memory.kernel", kernel)?;
        memory.kernel_tcp = read("memory.kernelTCP", spec.kernel_tcp())?;
        memory.swappiness = spec.swappiness();
        memory.disable_oom_killer = spec.disable_oom_killer();
        memory.use_hierarchy = spec.use_hierarchy();
        memory.check_before_update = spec.check_before_update().unwrap_or(false);
        Ok(())
    }

    fn read_cpu(&mut self, spec: &LinuxCpu) -> Result<()> {
        let cpu = &mut self.cpu;
        cpu.share = spec.shares().filter(|shares| *shares != 0).map(CpuShare::Shares);
        cpu.quota = set(spec.quota()).map(|quota| signed("cpu.quota", quota)).transpose()?;
        cpu.period = spec.period().filter(|period| *period != 0);
        cpu.burst = spec.burst();
        cpu.idle = match spec.idle() {
            None => None,
            Some(0) => Some(false),
            Some(1) => Some(true),
            Some(other) => return Err(refuse("cpu.idle", other, "is neither 0 nor 1")),
        };
        cpu.realtime_runtime = set(spec.realtime_runtime());
        cpu.realtime_period = spec.realtime_period().filter(|period| *period != 0);
        self.cpuset_cpus = ids("cpu.cpus", spec.cpus().as_deref())?;
        self.cpuset_mems = ids("cpu.mems", spec.mems().as_deref())?;
        Ok(())
    }
}

/// Zero is what Go programs write for what is not set.
fn set(value: Option<i64>) -> Option<i64> {
    value.filter(|value| *value != 0)
}

fn signed(name: &str, value: i64) -> Result<Limit> {
    match value {
        -1 => Ok(Limit::Unlimited),
        _ => u64::try_from(value)
            .map(Limit::At)
            .map_err(|_| refuse(name, value, "is negative; -1 is no limit")),
    }
}

fn ids(name: &str, list: Option<&str>) -> Result<Option<IdSet>> {
    list.filter(|list| !list.trim().is_empty())
        .map(|list| list.trim().parse::<IdSet>())
        .transpose()
        .map_err(|error| error.in_field(field(name)))
}

fn block_io(spec: &LinuxBlockIo) -> Result<BlockIo> {
    let weight = |weight: Option<u16>| weight.filter(|weight| *weight != 0);
    let mut block = BlockIo {
        weight: weight(spec.weight()),
        leaf_weight: weight(spec.leaf_weight()),
        read_bps: rates("throttleReadBpsDevice", spec.throttle_read_bps_device())?,
        write_bps: rates("throttleWriteBpsDevice", spec.throttle_write_bps_device())?,
        read_iops: rates("throttleReadIOPSDevice", spec.throttle_read_iops_device())?,
        write_iops: rates("throttleWriteIOPSDevice", spec.throttle_write_iops_device())?,
        ..BlockIo::default()
    };
    for one in spec.weight_device().iter().flatten() {
        let number = device_number("blockIO.weightDevice", one.major(), one.minor())?;
        if let Some(weight) = weight(one.weight()) {
            block.device_weight.insert(number, weight);
        }
        if let Some(weight) = weight(one.leaf_weight()) {
            block.device_leaf_weight.insert(number, weight);
        }
    }
    Ok(block)
}

/// A rate of 0 is none, as v1's files have it.
fn rates(
    name: &str,
    list: &Option<Vec<LinuxThrottleDevice>>,
) -> Result<BTreeMap<DeviceNumber, Limit>> {
    let rate = |rate: u64| if rate == 0 { Limit::Unlimited } else { Limit::At(rate) };
    list.iter()
        .flatten()
        .map(|one| {
            let number = device_number(&format!("blockIO.{name}"), one.major(), one.minor())?;
            Ok((number, rate(one.rate())))
        })
        .collect()
}

fn device_number(name: &str, major: i64, minor: i64) -> Result<DeviceNumber> {
    let number = |value: i64, most| u32::try_from(value).ok().filter(|value| *value <= most);
    match (number(major, MAJOR_MAX), number(minor, MINOR_MAX)) {
        (Some(major), Some(minor)) => Ok(DeviceNumber { major, minor }),
        _ => Err(refuse(name, format!("{major}:{minor}"), "majors have 12 bits, minors 20")),
    }
}

fn device_rules(list: &[LinuxDeviceCgroup]) -> Result<Vec<DeviceRule>> {
    list.iter()
        .enumerate()
        .map(|(at, spec)| {
            let field = |part: &str| format!("devices[{at}].{part}");
            let number = |part: &str, value: Option<i64>, most: u32| match value {
                None | Some(-1) => Ok(None),
                Some(value) => match u32::try_from(value) {
                    Ok(value) if value <= most => Ok(Some(value)),
                    _ => Err(refuse(&field(part), value, "is no device number; -1 is every one")),
                },
            };
            let class = match spec.typ() {
                None | Some(LinuxDeviceType::A) => DeviceClass::All,
                Some(LinuxDeviceType::B) => DeviceClass::Block,
                Some(LinuxDeviceType::C | LinuxDeviceType::U) => DeviceClass::Character,
                Some(LinuxDeviceType::P) => {
                    return Err(refuse(&field("type"), "p", "there are no rules for named pipes"));
                }
            };
            let access = match spec.access().as_deref() {
                None | Some("") => DeviceAccess::ALL,
                Some(text) => text.parse().map_err(|_| {
                    refuse(&field("access"), text, "is not made of the letters r, w and m")
                })?,
            };
            Ok(DeviceRule {
                allow: spec.allow(),
                class,
                major: number("major", spec.major(), MAJOR_MAX)?,
                minor: number("minor", spec.minor(), MINOR_MAX)?,
                access,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests;
