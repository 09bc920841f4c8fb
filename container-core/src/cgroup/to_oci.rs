//! [`Resources`] as `linux.resources` of the OCI runtime specification.

use std::collections::BTreeMap;

use oci_spec::runtime::LinuxResources;
use serde_json::{Map, Value, json};

use super::devices::{DeviceClass, DeviceRule};
use super::resources::{BlockIo, DeviceNumber, Resources};
use super::values::{CpuShare, Limit, SwapLimit};
use crate::error::{Error, ErrorKind, Result};

impl Resources {
    /// The limits as a spec has them: [`from_oci`](Self::from_oci) of them has the same effect.
    /// What the format has no field for is in `unified`, for cgroup v2.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](ErrorKind::Unsupported) naming what the format can't say: a limit of 0
    /// processes, swap without a memory limit to add it to, device rules without those that
    /// every runtime [adds](DeviceRule::runtime_defaults).
    pub fn to_oci(&self) -> Result<LinuxResources> {
        let mut unified: BTreeMap<&str, String> =
            self.unified.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        if let Some(high) = self.memory.high {
            let text = || high.value().map_or_else(|| "max".to_owned(), |bytes| bytes.to_string());
            unified.entry("memory.high").or_insert_with(text);
        }
        let rdma: BTreeMap<_, _> = self
            .rdma
            .iter()
            .map(|(device, limit)| {
                let limit = json!({"hcaHandles": limit.handles, "hcaObjects": limit.objects});
                (device, without_null(limit))
            })
            .collect();
        let huge: Vec<_> = self
            .hugepages
            .iter()
            .map(|(size, limit)| {
                // Without a sign in the specification: all bits set for no limit.
                json!({"pageSize": size, "limit": limit.value().map_or(i64::MAX, |it| it as i64)})
            })
            .collect();
        let priorities: Vec<_> = self
            .priorities
            .iter()
            .map(|(name, priority)| json!({"name": name, "priority": priority}))
            .collect();
        let json = json!({
            "memory": self.memory_to_oci()?,
            "cpu": self.cpu_to_oci()?,
            "pids": self.pids_max.map(pids).transpose()?,
            "blockIO": block_io(&self.block_io),
            "hugepageLimits": huge,
            "network": without_null(json!({"classID": self.class_id, "priorities": priorities})),
            "rdma": rdma,
            "unified": unified,
        });
        let mut spec: LinuxResources = serde_json::from_value(without_null(json))
            .map_err(|error| unsayable("resources", error.to_string()))?;
        if let Some(rules) = self.devices.as_deref() {
            // No rules but the defaults are rules too.
            let rules = serde_json::from_value(Value::from(devices(rules)?))
                .map_err(|error| unsayable("devices", error.to_string()))?;
            spec.set_devices(Some(rules));
        }
        Ok(spec)
    }

    fn memory_to_oci(&self) -> Result<Value> {
        let memory = &self.memory;
        let limit = |limit: Option<Limit>| limit.map(|one| signed("memory", one)).transpose();
        let swap = match (memory.swap, memory.max) {
            (None, _) => None,
            (Some(SwapLimit::Total(total)), _) => Some(signed("memory.swap", total)?),
            (Some(SwapLimit::Alone(Limit::Unlimited)), _) => Some(-1),
            (Some(SwapLimit::Alone(Limit::At(swap))), Some(Limit::At(max))) => {
                Some(signed("memory.swap", Limit::At(max.saturating_add(swap)))?)
            }
            (Some(SwapLimit::Alone(_)), _) => {
                return Err(unsayable("memory.swap", "swap without a memory limit"));
            }
        };
        Ok(without_null(json!({
            "limit": limit(memory.max)?,
            "reservation": limit(memory.low)?,
            "swap": swap,
            "kernel": limit(memory.kernel)?,
            "kernelTCP": limit(memory.kernel_tcp)?,
            "swappiness": memory.swappiness,
            "disableOOMKiller": memory.disable_oom_killer,
            "useHierarchy": memory.use_hierarchy,
            "checkBeforeUpdate": memory.check_before_update.then_some(true),
        })))
    }

    fn cpu_to_oci(&self) -> Result<Value> {
        let cpu = &self.cpu;
        Ok(without_null(json!({
            "shares": cpu.share.map(CpuShare::shares),
            "quota": cpu.quota.map(|quota| signed("cpu.quota", quota)).transpose()?,
            "period": cpu.period,
            "burst": cpu.burst,
            "idle": cpu.idle.map(u8::from),
            "realtimeRuntime": cpu.realtime_runtime,
            "realtimePeriod": cpu.realtime_period,
            "cpus": self.cpuset_cpus.as_ref().map(ToString::to_string),
            "mems": self.cpuset_mems.as_ref().map(ToString::to_string),
        })))
    }
}

fn signed(field: &str, limit: Limit) -> Result<i64> {
    match limit {
        Limit::Unlimited => Ok(-1),
        Limit::At(0) => Err(unsayable(field, "a limit of 0")),
        Limit::At(value) => i64::try_from(value)
            .map_err(|_| unsayable(field, format!("{value}, which is above its bound"))),
    }
}

fn pids(limit: Limit) -> Result<Value> {
    Ok(json!({"limit": signed("pids.limit", limit)?}))
}

fn block_io(block: &BlockIo) -> Value {
    let numbers = |device: &DeviceNumber| (device.major, device.minor);
    let rates = |rates: &BTreeMap<DeviceNumber, Limit>| -> Vec<Value> {
        let rate = |limit: &Limit| match limit {
            Limit::Unlimited => 0,
            Limit::At(rate) => *rate,
        };
        rates
            .iter()
            .map(|(device, limit)| {
                let (major, minor) = numbers(device);
                json!({"major": major, "minor": minor, "rate": rate(limit)})
            })
            .collect()
    };
    let mut devices: Vec<_> =
        block.device_weight.keys().chain(block.device_leaf_weight.keys()).collect();
    devices.sort();
    devices.dedup();
    let weights: Vec<_> = devices
        .into_iter()
        .map(|device| {
            let (major, minor) = numbers(device);
            without_null(json!({
                "major": major,
                "minor": minor,
                "weight": block.device_weight.get(device),
                "leafWeight": block.device_leaf_weight.get(device),
            }))
        })
        .collect();
    without_null(json!({
        "weight": block.weight,
        "leafWeight": block.leaf_weight,
        "weightDevice": weights,
        "throttleReadBpsDevice": rates(&block.read_bps),
        "throttleWriteBpsDevice": rates(&block.write_bps),
        "throttleReadIOPSDevice": rates(&block.read_iops),
        "throttleWriteIOPSDevice": rates(&block.write_iops),
    }))
}

/// Without those at the end that runtimes add.
fn devices(rules: &[DeviceRule]) -> Result<Vec<Value>> {
    let defaults: Vec<DeviceRule> = DeviceRule::runtime_defaults().into_iter().collect();
    let rules = rules
        .strip_suffix(defaults.as_slice())
        .ok_or_else(|| unsayable("devices", "rules without those of the default devices"))?;
    let rule = |rule: &DeviceRule| {
        let class = match rule.class {
            DeviceClass::All => "a",
            DeviceClass::Block => "b",
            DeviceClass::Character => "c",
        };
        without_null(json!({
            "allow": rule.allow,
            "type": class,
            "major": rule.major,
            "minor": rule.minor,
            "access": rule.access.to_string(),
        }))
    };
    Ok(rules.iter().map(rule).collect())
}

/// Without what is null or empty.
fn without_null(json: Value) -> Value {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    match json {
        Value::Object(fields) => {
            let kept: Map<_, _> = fields.into_iter().filter(|(_, value)| !empty(value)).collect();
            Value::Object(kept)
        }
        other => other,
    }
}

fn unsayable(field: &str, what: impl std::fmt::Display) -> Error {
    let reason = format!("a spec can't say {what}");
    Error::with(ErrorKind::Unsupported, "check spec", format!("linux.resources.{field}"), reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::IdSet;

    #[test]
    fn there_and_back() {
        let limits = Resources::new()
            .memory_max(1 << 30)
            .memory_and_swap_max(2 << 30)
            .memory_low(1 << 20)
            .pids_max(100)
            .cpu_quota(50_000, 100_000)
            .cpu_shares(512)
            .cpu_idle(false)
            .cpuset_cpus("0".parse::<IdSet>().unwrap());
        let spec = limits.to_oci().unwrap();
        assert_eq!(Resources::from_oci(&spec).unwrap(), limits);
        let rules = [DeviceRule::deny_all()].into_iter().chain(DeviceRule::runtime_defaults());
        let limits = limits.devices(rules);
        let spec = limits.to_oci().unwrap();
        assert_eq!(spec.devices().as_ref().unwrap().len(), 1);
        assert_eq!(Resources::from_oci(&spec).unwrap(), limits);
        assert_eq!(Resources::new().to_oci().unwrap(), LinuxResources::default());
    }

    #[test]
    fn what_v2_alone_has_is_unified() {
        let spec = Resources::new().memory_high(7 << 20).to_oci().unwrap();
        assert_eq!(spec.unified().as_ref().unwrap()["memory.high"], "7340032");
        let spec = Resources::new().memory_max(5 << 20).memory_swap_max(0).to_oci().unwrap();
        assert_eq!(spec.memory().unwrap().swap(), Some(5 << 20));
    }

    #[test]
    fn what_a_spec_can_not_say() {
        for limits in [
            Resources::new().pids_max(0),
            Resources::new().memory_swap_max(1 << 20),
            Resources::new().devices([DeviceRule::deny_all()]),
        ] {
            assert_eq!(limits.to_oci().unwrap_err().kind(), ErrorKind::Unsupported);
        }
    }
}
