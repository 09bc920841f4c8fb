//! The limits of `update`: of a file, or of the flags.

use std::io::Read;
use std::path::Path;

use container_core::cgroup::Resources;
use serde_json::{Map, Value, json};

use crate::Failure;
use crate::args::Update;

/// What to change; nothing is said of what stays.
pub(crate) fn describe(update: &Update) -> Result<Resources, Failure> {
    if update.l3_cache_schema.is_some() || update.mem_bw_schema.is_some() {
        return Err(Failure::new("update: a schema of Intel RDT can be given at creation only"));
    }
    let (origin, json) = match &update.resources {
        Some(file) => (format!("--resources {}", file.display()), read(file)?),
        None => ("update".into(), by_flags(update)),
    };
    let spec = serde_json::from_value(json).map_err(|error| Failure::new(error).within(origin))?;
    Ok(Resources::from_oci(&spec)?)
}

fn read(file: &Path) -> Result<Value, Failure> {
    let mut text = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().read_to_end(&mut text).map(|_| ())
    } else {
        std::fs::read(file).map(|read| text = read)
    };
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(format!("--resources {}: {error}", file.display()))
    };
    read.map_err(|error| failed(&error))?;
    serde_json::from_slice(&text).map_err(|error| failed(&error))
}

fn by_flags(update: &Update) -> Value {
    let object = |fields: Vec<(&str, Option<Value>)>| {
        let set = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Some(Value::Object(set.collect::<Map<_, _>>())).filter(|value| *value != json!({}))
    };
    let cpu = object(vec![
        ("shares", update.cpu_share.map(Value::from)),
        ("quota", update.cpu_quota.map(Value::from)),
        ("period", update.cpu_period.map(Value::from)),
        ("burst", update.cpu_burst.map(Value::from)),
        ("realtimeRuntime", update.cpu_rt_runtime.map(Value::from)),
        ("realtimePeriod", update.cpu_rt_period.map(Value::from)),
        ("cpus", update.cpuset_cpus.clone().map(Value::from)),
        ("mems", update.cpuset_mems.clone().map(Value::from)),
        ("idle", update.cpu_idle.map(Value::from)),
    ]);
    let memory = object(vec![
        ("limit", update.memory.map(Value::from)),
        ("reservation", update.memory_reservation.map(Value::from)),
        ("swap", update.memory_swap.map(Value::from)),
    ]);
    object(vec![
        ("cpu", cpu),
        ("memory", memory),
        ("pids", update.pids_limit.map(|limit| json!({ "limit": limit }))),
        ("blockIO", update.blkio_weight.map(|weight| json!({ "weight": weight }))),
    ])
    .unwrap_or_else(|| json!({}))
}
