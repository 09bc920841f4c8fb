//! Where the names of the `oci-spec` crate differ from the specification's.
//!
//! A spec is read as JSON first, then brought to what the crate's types take;
//! on the way out the other way round:
//!
//! - `process.user` may be missing and means root; the crate demands it;
//! - `process.capabilities` may name what the crate does not know: to be warned
//!   about, not to be refused;
//! - `SCHED_FLAG_DL_OVERRUN` is `SCHED_FLAG_D_L_OVERRUN` there, and
//!   `SCHED_FLAG_RESET_ON_FORK` is `SCHED_RESET_ON_FORK`;
//! - `linux.intelRdt.enableCMT` and `enableMBM` are `enableCmt` and `enableMbm`;
//! - `linux.resources.pids.limit` may be missing, and then sets nothing; the
//!   crate makes it 0;
//! - `linux.resources.hugepageLimits[].limit` has no sign; there it has one, and
//!   what is above its bound becomes the bound, which no machine reaches.

use oci_spec::runtime::Capabilities;
use serde_json::{Map, Value};

const FLAGS: [(&str, &str); 2] = [
    ("SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_D_L_OVERRUN"),
    ("SCHED_FLAG_RESET_ON_FORK", "SCHED_RESET_ON_FORK"),
];
const RDT_FIELDS: [(&str, &str); 2] = [("enableCMT", "enableCmt"), ("enableMBM", "enableMbm")];
const CAPABILITY_SETS: [&str; 5] = ["bounding", "effective", "inheritable", "permitted", "ambient"];

/// From the specification's form to the crate's; and what was left out.
pub(super) fn from_specification(mut json: Value) -> (Value, Vec<String>) {
    let mut ignored = Vec::new();
    if let Some(process) = json.pointer_mut("/process") {
        ignored = process_from_specification(process);
    }
    rename_rdt(&mut json, |(ours, theirs)| (ours, theirs));
    let limits = json.pointer_mut("/linux/resources").and_then(Value::as_object_mut);
    if let Some(resources) = limits
        && let Some(Value::Object(pids)) = resources.get("pids")
        && pids.get("limit").is_none_or(Value::is_null)
    {
        resources.remove("pids");
    }
    bound_huge_pages(&mut json);
    (json, ignored)
}

/// Their limits are of 64 bits without a sign.
fn bound_huge_pages(json: &mut Value) {
    let list = json.pointer_mut("/linux/resources/hugepageLimits").and_then(Value::as_array_mut);
    for entry in list.into_iter().flatten() {
        if let Some(limit) = entry.get_mut("limit")
            && limit.as_u64().is_some_and(|limit| i64::try_from(limit).is_err())
        {
            *limit = i64::MAX.into();
        }
    }
}

/// Likewise for `process` alone, as `exec` is given it.
pub(super) fn process_from_specification(process: &mut Value) -> Vec<String> {
    let Some(fields) = process.as_object_mut() else {
        return Vec::new();
    };
    if fields.get("user").is_none_or(Value::is_null) {
        fields.insert("user".into(), Value::Object(Map::new()));
    }
    rename_flags(process, |(ours, theirs)| (ours, theirs));
    let mut ignored = Vec::new();
    for set in CAPABILITY_SETS {
        let list = process.get_mut("capabilities").and_then(|all| all.get_mut(set));
        if let Some(Value::Array(names)) = list {
            names.retain(|name| {
                let keep = !name.is_string() || is_known_capability(name);
                if !keep {
                    ignored.push(format!("process.capabilities.{set}: {name} is unknown here"));
                }
                keep
            });
        }
    }
    ignored
}

/// From the crate's form to the specification's.
pub(super) fn to_specification(mut json: Value) -> Value {
    if let Some(process) = json.pointer_mut("/process") {
        rename_flags(process, |(ours, theirs)| (theirs, ours));
    }
    rename_rdt(&mut json, |(ours, theirs)| (theirs, ours));
    json
}

type Pair = (&'static str, &'static str);

fn rename_flags(process: &mut Value, order: impl Fn(Pair) -> Pair) {
    let Some(Value::Array(flags)) = process.pointer_mut("/scheduler/flags") else {
        return;
    };
    for pair in FLAGS {
        let (from, to) = order(pair);
        flags.iter_mut().filter(|flag| *flag == from).for_each(|flag| *flag = to.into());
    }
}

fn rename_rdt(json: &mut Value, order: impl Fn(Pair) -> Pair) {
    let Some(Value::Object(rdt)) = json.pointer_mut("/linux/intelRdt") else {
        return;
    };
    for pair in RDT_FIELDS {
        let (from, to) = order(pair);
        if let Some(value) = rdt.remove(from) {
            rdt.insert(to.into(), value);
        }
    }
}

fn is_known_capability(name: &Value) -> bool {
    let list = Value::Array(vec![name.clone()]);
    serde_json::from_value::<Capabilities>(list).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::{LinuxSchedulerFlag, Spec};
    use serde_json::json;

    #[test]
    fn both_ways() {
        let text = json!({
            "ociVersion": "1.3.0",
            "process": {
                "cwd": "/", "user": {"uid": 0, "gid": 0},
                "scheduler": {"policy": "SCHED_DEADLINE", "flags": ["SCHED_FLAG_DL_OVERRUN"]},
            },
            "linux": {"intelRdt": {"enableCMT": true, "enableMBM": false}},
        });
        let (known, ignored) = from_specification(text.clone());
        assert!(ignored.is_empty());
        let spec: Spec = serde_json::from_value(known).unwrap();
        let scheduler = spec.process().as_ref().unwrap().scheduler().as_ref().unwrap();
        assert_eq!(*scheduler.flags(), Some(vec![LinuxSchedulerFlag::SchedFlagDLOverrun]));
        #[allow(deprecated)]
        let cmt = *spec.linux().as_ref().unwrap().intel_rdt().as_ref().unwrap().enable_cmt();
        assert_eq!(cmt, Some(true));
        assert_eq!(to_specification(serde_json::to_value(&spec).unwrap()), text);
    }

    #[test]
    fn what_may_be_missing() {
        let (json, ignored) = from_specification(json!({
            "process": {"cwd": "/", "capabilities": {"bounding": ["CAP_KILL", "CAP_NEWER"]}},
            "linux": {"resources": {"pids": {}}},
        }));
        assert_eq!(json["process"]["user"], json!({}));
        assert_eq!(json["process"]["capabilities"]["bounding"], json!(["CAP_KILL"]));
        assert_eq!(json["linux"]["resources"], json!({}));
        assert_eq!(ignored.len(), 1);
        assert!(ignored[0].contains("CAP_NEWER"));
    }
}
