//! The rarer controllers, and which controllers a set of limits needs.

use super::Resources;
use crate::cgroup::controller::{Controller, Controllers};
use crate::cgroup::devices::DeviceRule;
use crate::cgroup::values::Limit;

/// What a cgroup may hold of one RDMA device: `rdma.max`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RdmaLimit {
    /// Handles of the device (`hca_handle`); `None` for no limit.
    pub handles: Option<u32>,
    /// Objects on the device (`hca_object`); `None` for no limit.
    pub objects: Option<u32>,
}

impl RdmaLimit {
    /// At most so many handles and objects.
    #[must_use]
    pub fn new(handles: impl Into<Option<u32>>, objects: impl Into<Option<u32>>) -> Self {
        Self { handles: handles.into(), objects: objects.into() }
    }
}

/// A setting that has no effect on any kernel that runs today, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ignored {
    /// The OCI field, such as `linux.resources.memory.kernel`.
    pub field: &'static str,
    /// Why nothing is written for it.
    pub reason: &'static str,
}

impl Resources {
    /// Bytes of huge pages of one size, named as the kernel names its files: `2MB`, `1GB`.
    pub fn hugepages(mut self, page_size: impl Into<String>, bytes: impl Into<Limit>) -> Self {
        self.hugepages.insert(page_size.into(), bytes.into());
        self
    }

    /// The class id that traffic control sees on packets (v1 `net_cls.classid`).
    ///
    /// v2 has none (there, `iptables -m cgroup --path` tells cgroups apart).
    pub fn class_id(mut self, id: u32) -> Self {
        self.class_id = Some(id);
        self
    }

    /// The priority of packets that leave by an interface (v1 `net_prio.ifpriomap`).
    pub fn network_priority(mut self, interface: impl Into<String>, priority: u32) -> Self {
        self.priorities.insert(interface.into(), priority);
        self
    }

    /// What may be held of an RDMA device.
    pub fn rdma(mut self, device: impl Into<String>, limit: RdmaLimit) -> Self {
        self.rdma.insert(device.into(), limit);
        self
    }

    /// A raw v2 file and what to write to it, line by line, after all other limits.
    pub fn unified(mut self, file: impl Into<String>, value: impl Into<String>) -> Self {
        self.unified.insert(file.into(), value.into());
        self
    }

    /// Which devices may be opened and made, later rules before earlier ones.
    ///
    /// Replaces all rules in force. See [`DeviceRule`].
    pub fn devices(mut self, rules: impl IntoIterator<Item = DeviceRule>) -> Self {
        self.devices = Some(rules.into_iter().collect());
        self
    }

    /// The same limits without device rules, for callers that cannot set any (rootless).
    pub fn without_devices(mut self) -> Self {
        self.devices = None;
        self
    }

    /// The device rules; `None` leaves those in force.
    #[must_use]
    pub fn device_rules(&self) -> Option<&[DeviceRule]> {
        self.devices.as_deref()
    }

    /// Whether nothing is limited, device rules aside.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        self.clone().without_devices().controllers().is_empty() && self.unified.is_empty()
    }

    /// What was asked for and will not be done, as in runc, since no kernel does it any more.
    #[must_use]
    pub fn ignored(&self) -> Vec<Ignored> {
        let memory = &self.memory;
        [
            (
                memory.kernel.is_some(),
                "linux.resources.memory.kernel",
                "kernel memory has no limit of its own since Linux 5.16: memory.limit counts it",
            ),
            (
                memory.use_hierarchy == Some(false),
                "linux.resources.memory.useHierarchy",
                "since Linux 5.11 and on v2 every cgroup counts those below it",
            ),
        ]
        .into_iter()
        .filter(|(set, ..)| *set)
        .map(|(_, field, reason)| Ignored { field, reason })
        .collect()
    }

    /// The controllers that these limits need: what to pass to
    /// [`Hierarchy::create`](crate::cgroup::Hierarchy::create).
    #[must_use]
    pub fn controllers(&self) -> Controllers {
        let memory = &self.memory;
        let needs_memory = memory.max.is_some()
            || memory.swap.is_some()
            || memory.high.is_some()
            || memory.low.is_some()
            || memory.swappiness.is_some()
            || memory.kernel_tcp.is_some()
            || memory.disable_oom_killer == Some(true);
        let cpu = &self.cpu;
        let needs_cpu = cpu.share.is_some()
            || cpu.quota.is_some()
            || cpu.period.is_some()
            || cpu.burst.is_some()
            || cpu.idle.is_some()
            || cpu.realtime_runtime.is_some()
            || cpu.realtime_period.is_some();
        let named: Controllers = [
            (needs_memory, Controller::Memory),
            (self.pids_max.is_some(), Controller::Pids),
            (needs_cpu, Controller::Cpu),
            (self.cpuset_cpus.is_some() || self.cpuset_mems.is_some(), Controller::CpuSet),
            (!self.block_io.is_empty(), Controller::Io),
            (!self.hugepages.is_empty(), Controller::HugeTlb),
            (self.class_id.is_some(), Controller::NetCls),
            (!self.priorities.is_empty(), Controller::NetPrio),
            (!self.rdma.is_empty(), Controller::Rdma),
            (self.devices.is_some(), Controller::Devices),
        ]
        .into_iter()
        .filter_map(|(needed, controller)| needed.then_some(controller))
        .collect();
        let unified = self.unified.keys().filter_map(|file| controller_of(file));
        named | unified.collect()
    }
}

/// The controller whose file it is; `None` for those that every v2 cgroup has.
pub(in crate::cgroup) fn controller_of(file: &str) -> Option<Controller> {
    Controller::from_name(file.split('.').next()?)
}
