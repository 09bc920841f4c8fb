//! Reading what block devices, huge pages and RDMA devices were used for.

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use nix::dir::Dir;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::{Reader, Stats};
use crate::cgroup::controller::{Controller, Version};
use crate::cgroup::events::value_of;
use crate::cgroup::group::Cgroup;
use crate::cgroup::resources::DeviceNumber;
use crate::cgroup::values::Limit;
use crate::error::{Error, Result};

/// What went to and from block devices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IoStats {
    /// Each device that was used.
    pub devices: BTreeMap<DeviceNumber, DeviceIo>,
}

/// What went to and from one block device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceIo {
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Bytes discarded.
    pub discarded_bytes: u64,
    /// Read operations.
    pub reads: u64,
    /// Write operations.
    pub writes: u64,
    /// Discard operations.
    pub discards: u64,
}

/// Huge pages of one size, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HugepageStats {
    /// In use now.
    pub current: Option<u64>,
    /// The most that was in use (v1).
    pub peak: Option<u64>,
    /// The ceiling.
    pub limit: Option<Limit>,
    /// How often the ceiling refused an allocation.
    pub limit_hits: Option<u64>,
}

/// What is held of one RDMA device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RdmaStats {
    /// Handles now.
    pub handles: u64,
    /// Objects now.
    pub objects: u64,
}

impl Cgroup {
    pub(super) fn read_devices(&self, stats: &mut Stats) -> Result<()> {
        match self.node_of(Controller::Io) {
            Some((node, Version::V1)) => stats.io = Reader { cgroup: self, node }.io_v1()?,
            Some((node, Version::V2)) => stats.io = Reader { cgroup: self, node }.io_v2()?,
            None => {}
        }
        if let Some((node, version)) = self.node_of(Controller::HugeTlb) {
            stats.hugepages = Reader { cgroup: self, node }.hugepages(version)?;
        }
        if let Some((node, _)) = self.node_of(Controller::Rdma) {
            let text = Reader { cgroup: self, node }.text("rdma.current")?.unwrap_or_default();
            stats.rdma = rdma_of(&text);
        }
        Ok(())
    }
}

impl Reader<'_> {
    fn io_v2(&self) -> Result<IoStats> {
        let text = self.text("io.stat")?.unwrap_or_default();
        let devices = text.lines().filter_map(|line| {
            let (device, counts) = line.split_once(' ')?;
            let of = |key: &str| {
                let mut pairs = counts.split(' ').filter_map(|pair| pair.split_once('='));
                pairs.find(|(k, _)| *k == key).and_then(|(_, v)| v.parse().ok()).unwrap_or(0)
            };
            let io = DeviceIo {
                read_bytes: of("rbytes"),
                written_bytes: of("wbytes"),
                discarded_bytes: of("dbytes"),
                reads: of("rios"),
                writes: of("wios"),
                discards: of("dios"),
            };
            Some((number_of(device)?, io))
        });
        Ok(IoStats { devices: devices.collect() })
    }

    fn io_v1(&self) -> Result<IoStats> {
        let mut stats = IoStats::default();
        let bytes = self.text("blkio.throttle.io_service_bytes_recursive")?.unwrap_or_default();
        for (device, operation, count) in bytes.lines().filter_map(line_v1) {
            let io = stats.devices.entry(device).or_default();
            match operation {
                "Read" => io.read_bytes = count,
                "Write" => io.written_bytes = count,
                "Discard" => io.discarded_bytes = count,
                _ => {}
            }
        }
        let served = self.text("blkio.throttle.io_serviced_recursive")?.unwrap_or_default();
        for (device, operation, count) in served.lines().filter_map(line_v1) {
            let io = stats.devices.entry(device).or_default();
            match operation {
                "Read" => io.reads = count,
                "Write" => io.writes = count,
                "Discard" => io.discards = count,
                _ => {}
            }
        }
        Ok(stats)
    }

    fn hugepages(&self, version: Version) -> Result<BTreeMap<String, HugepageStats>> {
        let mut all = BTreeMap::new();
        for size in self.page_sizes(version)? {
            let file = |name: &str| format!("hugetlb.{size}.{name}");
            let stats = match version {
                Version::V1 => HugepageStats {
                    current: self.number(&file("usage_in_bytes"))?,
                    peak: self.number(&file("max_usage_in_bytes"))?,
                    limit: self.limit(&file("limit_in_bytes"))?,
                    limit_hits: self.number(&file("failcnt"))?,
                },
                Version::V2 => HugepageStats {
                    current: self.number(&file("current"))?,
                    peak: None,
                    limit: self.limit(&file("max"))?,
                    limit_hits: value_of(&self.text(&file("events"))?.unwrap_or_default(), "max"),
                },
            };
            all.insert(size, stats);
        }
        Ok(all)
    }

    /// The sizes are in the names of the files.
    fn page_sizes(&self, version: Version) -> Result<Vec<String>> {
        let ending = if version == Version::V1 { ".usage_in_bytes" } else { ".current" };
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let failed = |e| Error::os("list cgroup", self.cgroup.directory_of(self.node), e);
        let mut directory =
            Dir::openat(self.node.fd().as_fd(), ".", flags, Mode::empty()).map_err(failed)?;
        let mut sizes = Vec::new();
        for entry in directory.iter() {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_str().unwrap_or_default();
            let size = name.strip_prefix("hugetlb.").and_then(|name| name.strip_suffix(ending));
            sizes.extend(size.filter(|size| !size.contains('.')).map(str::to_owned));
        }
        Ok(sizes)
    }
}

/// `8:0 Read 4096`; the line of totals has no device.
fn line_v1(line: &str) -> Option<(DeviceNumber, &str, u64)> {
    let mut fields = line.split(' ');
    let device = number_of(fields.next()?)?;
    Some((device, fields.next()?, fields.next()?.parse().ok()?))
}

fn number_of(text: &str) -> Option<DeviceNumber> {
    let (major, minor) = text.split_once(':')?;
    Some(DeviceNumber { major: major.parse().ok()?, minor: minor.parse().ok()? })
}

/// `mlx4_0 hca_handle=2 hca_object=20`
fn rdma_of(text: &str) -> BTreeMap<String, RdmaStats> {
    let devices = text.lines().filter_map(|line| {
        let (name, counts) = line.split_once(' ')?;
        let of = |key: &str| {
            let mut pairs = counts.split(' ').filter_map(|pair| pair.split_once('='));
            pairs.find(|(k, _)| *k == key).and_then(|(_, v)| v.parse().ok()).unwrap_or(0)
        };
        Some((name.to_owned(), RdmaStats { handles: of("hca_handle"), objects: of("hca_object") }))
    });
    devices.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let device = DeviceNumber { major: 8, minor: 0 };
        assert_eq!(line_v1("8:0 Read 4096"), Some((device, "Read", 4096)));
        assert_eq!(line_v1("Total 4096"), None);
        let rdma = rdma_of("mlx4_0 hca_handle=2 hca_object=20\nbroken\n");
        assert_eq!(rdma["mlx4_0"], RdmaStats { handles: 2, objects: 20 });
        assert_eq!(rdma.len(), 1);
    }
}
