//! Limits of block devices.

use std::collections::BTreeMap;
use std::fmt;

use super::Resources;
use crate::cgroup::values::Limit;

/// A device by its numbers, as `stat` and `/proc/partitions` show them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceNumber {
    /// The driver's number.
    pub major: u32,
    /// The device's number within the driver.
    pub minor: u32,
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// Shares and ceilings of block devices: the OCI `blockIO` object.
///
/// Weights lie between 10 and 1,000. They need a scheduler that honours them: BFQ
/// (`blkio.bfq.weight`, `io.bfq.weight`) or, on v2, the cost model of `io.weight`, whose
/// scale of 1 to 10,000 they are converted to. `leaf` weights are of v1 kernels before 5.0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockIo {
    /// The share relative to siblings.
    pub weight: Option<u16>,
    /// The share of the cgroup's own processes relative to its children.
    pub leaf_weight: Option<u16>,
    /// The share on one device.
    pub device_weight: BTreeMap<DeviceNumber, u16>,
    /// The leaf share on one device.
    pub device_leaf_weight: BTreeMap<DeviceNumber, u16>,
    /// Bytes read per second.
    pub read_bps: BTreeMap<DeviceNumber, Limit>,
    /// Bytes written per second.
    pub write_bps: BTreeMap<DeviceNumber, Limit>,
    /// Read operations per second.
    pub read_iops: BTreeMap<DeviceNumber, Limit>,
    /// Write operations per second.
    pub write_iops: BTreeMap<DeviceNumber, Limit>,
}

impl BlockIo {
    pub(in crate::cgroup) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Resources {
    /// The share of block device time relative to siblings: 10 to 1,000.
    pub fn block_weight(mut self, weight: u16) -> Self {
        self.block_io.weight = Some(weight);
        self
    }

    /// Bytes per second read from a device, as v1 `blkio.throttle.read_bps_device` and
    /// v2 `io.max` `rbps`; [`Limit::Unlimited`] lifts it.
    pub fn read_bps(mut self, device: DeviceNumber, bytes: impl Into<Limit>) -> Self {
        self.block_io.read_bps.insert(device, bytes.into());
        self
    }

    /// Bytes per second written to a device.
    pub fn write_bps(mut self, device: DeviceNumber, bytes: impl Into<Limit>) -> Self {
        self.block_io.write_bps.insert(device, bytes.into());
        self
    }

    /// Read operations per second on a device.
    pub fn read_iops(mut self, device: DeviceNumber, operations: impl Into<Limit>) -> Self {
        self.block_io.read_iops.insert(device, operations.into());
        self
    }

    /// Write operations per second on a device.
    pub fn write_iops(mut self, device: DeviceNumber, operations: impl Into<Limit>) -> Self {
        self.block_io.write_iops.insert(device, operations.into());
        self
    }

    /// All limits of block devices at once.
    pub fn block_io(mut self, limits: BlockIo) -> Self {
        self.block_io = limits;
        self
    }
}
