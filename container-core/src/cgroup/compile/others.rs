//! Block devices, huge pages, network, RDMA and raw files.

use std::collections::{BTreeMap, BTreeSet};

use super::{Place, Present, Undo, Writes, max, minus_one, no_such_limit, zero};
use crate::cgroup::controller::{Controller, Version};
use crate::cgroup::resources::{BlockIo, DeviceNumber, Resources, controller_of, field};
use crate::cgroup::values::Limit;
use crate::error::{Error, ErrorKind, Result};

const IO: Controller = Controller::Io;

impl Writes {
    pub(super) fn block_v1(&mut self, block: &BlockIo, present: &Present) {
        let (weight, device) = match present.bfq {
            true => ("blkio.bfq.weight", "blkio.bfq.weight_device"),
            false => ("blkio.weight", "blkio.weight_device"),
        };
        for (file, value) in [(weight, block.weight), ("blkio.leaf_weight", block.leaf_weight)] {
            if let Some(value) = value {
                self.add(IO, file, value.to_string());
            }
        }
        for (file, weights) in [
            (device, &block.device_weight),
            ("blkio.leaf_weight_device", &block.device_leaf_weight),
        ] {
            for (number, weight) in weights {
                self.entry(IO, file, number, &weight.to_string(), "default");
            }
        }
        for (file, rates) in [
            ("blkio.throttle.read_bps_device", &block.read_bps),
            ("blkio.throttle.write_bps_device", &block.write_bps),
            ("blkio.throttle.read_iops_device", &block.read_iops),
            ("blkio.throttle.write_iops_device", &block.write_iops),
        ] {
            for (number, rate) in rates {
                self.entry(IO, file, number, &zero(*rate), "0");
            }
        }
    }

    pub(super) fn block_v2(&mut self, block: &BlockIo, present: &Present) -> Result<()> {
        if block.leaf_weight.is_some() || !block.device_leaf_weight.is_empty() {
            return Err(no_such_limit("blockIO.leafWeight", Version::V2, "leave it out"));
        }
        let file = if present.bfq { "io.bfq.weight" } else { "io.weight" };
        let scaled = |weight: u16| match present.bfq {
            true => weight.to_string(),
            false => io_weight(weight).to_string(),
        };
        if let Some(weight) = block.weight {
            self.entry(IO, file, "default", &scaled(weight), "100");
        }
        for (number, weight) in &block.device_weight {
            self.entry(IO, file, number, &scaled(*weight), "default");
        }
        let kinds: [(&str, &BTreeMap<DeviceNumber, Limit>); 4] = [
            ("rbps", &block.read_bps),
            ("wbps", &block.write_bps),
            ("riops", &block.read_iops),
            ("wiops", &block.write_iops),
        ];
        let devices: BTreeSet<_> = kinds.iter().flat_map(|(_, rates)| rates.keys()).collect();
        for device in devices {
            let rates = kinds.iter().filter_map(|(name, rates)| {
                rates.get(device).map(|rate| format!("{name}={}", max(*rate)))
            });
            let rates = rates.collect::<Vec<_>>().join(" ");
            self.entry(IO, "io.max", device, &rates, "rbps=max wbps=max riops=max wiops=max");
        }
        Ok(())
    }

    pub(super) fn huge_pages(&mut self, limits: &Resources, version: Version) {
        for (size, limit) in &limits.hugepages {
            let (files, value) = match version {
                Version::V1 => (["limit_in_bytes", "rsvd.limit_in_bytes"], minus_one(*limit)),
                Version::V2 => (["max", "rsvd.max"], max(*limit)),
            };
            let [used, reserved] = files.map(|file| format!("hugetlb.{size}.{file}"));
            self.add(Controller::HugeTlb, used, value.clone());
            self.add(Controller::HugeTlb, reserved, value);
            // Linux 5.7.
            self.optionally();
        }
    }

    pub(super) fn network(&mut self, limits: &Resources) {
        if let Some(id) = limits.class_id {
            self.add(Controller::NetCls, "net_cls.classid", id.to_string());
        }
        for (name, priority) in &limits.priorities {
            let priority = priority.to_string();
            self.entry(Controller::NetPrio, "net_prio.ifpriomap", name, &priority, "0");
        }
    }

    pub(super) fn rdma(&mut self, limits: &Resources) {
        for (device, limit) in &limits.rdma {
            let number = |n: Option<u32>| n.map_or_else(|| "max".to_owned(), |n| n.to_string());
            let (handles, objects) = (number(limit.handles), number(limit.objects));
            let value = format!("hca_handle={handles} hca_object={objects}");
            let unset = "hca_handle=max hca_object=max";
            self.entry(Controller::Rdma, "rdma.max", device, &value, unset);
        }
    }

    /// Raw files, line by line, after all that has a name of its own.
    pub(super) fn unified(
        &mut self,
        limits: &Resources,
        version_of: impl Fn(Controller) -> Version,
    ) -> Result<()> {
        for (file, value) in &limits.unified {
            if controller_of(file).is_some_and(|c| version_of(c) == Version::V1) {
                return Err(Error::with(
                    ErrorKind::Unsupported,
                    "set limit",
                    field(&format!("unified: {file}")),
                    "the controller of this file is on cgroup v1 here, and unified is for v2",
                )
                .hint("use the field that linux.resources has for it"));
            }
            for line in value.lines() {
                self.push(Place::Unified, file.clone(), line.to_owned(), Undo::Text);
            }
        }
        Ok(())
    }
}

/// The weight of BFQ, 10 to 1,000, on the scale of `io.weight`, 1 to 10,000: a straight line, as
/// runc and crun have it.
fn io_weight(weight: u16) -> u64 {
    1 + (u64::from(weight).saturating_sub(10)) * 9_999 / 990
}
