//! No field of the specification is passed over in silence: each is in the
//! table of the documentation, and each makes a difference or is refused.

use std::collections::BTreeSet;

use container_core::{ContainerBuilder, ErrorKind, oci};
use serde_json::Value;

use crate::bad::{pointers, put};

const FULL: &str = include_str!("../data/full-spec.json");
const TABLE: &str = include_str!("../../../docs/oci-spec.md");

fn full() -> Value {
    serde_json::from_str(FULL).unwrap()
}

/// Objects whose keys are free.
const MAPS: [&str; 7] = [
    "/annotations",
    "/linux/netDevices",
    "/linux/sysctl",
    "/linux/timeOffsets",
    "/linux/resources/rdma",
    "/linux/resources/unified",
    "/linux/resources/hugepageLimits/-",
];

/// A pointer as the table writes the field.
fn field(pointer: &str) -> String {
    let mut path = String::new();
    let mut at = String::new();
    for part in pointer.split('/').skip(1) {
        if part.parse::<usize>().is_ok() {
            path.push_str("[]");
        } else if MAPS.contains(&at.as_str()) {
            path.push_str(".{}");
        } else {
            path.push_str(if path.is_empty() { "" } else { "." });
            path.push_str(part);
        }
        at = format!("{at}/{part}");
    }
    path
}

fn leaves(json: &Value) -> Vec<String> {
    let mut all = Vec::new();
    pointers(json, "", &mut all);
    let is_leaf = |pointer: &String| {
        json.pointer(pointer).is_some_and(|value| !value.is_object() && !value.is_array())
    };
    all.into_iter().filter(is_leaf).collect()
}

#[test]
fn the_full_spec_has_every_field() {
    let bundle = oci::Bundle::parse("/", FULL.as_bytes()).unwrap();
    let shown = format!("{:?}", bundle.spec());
    let mut left: Vec<&str> =
        shown.split(", ").filter(|field| field.contains(": None")).map(str::trim).collect();
    // Those of other platforms, and two that never were in the specification.
    let others = ["solaris", "windows", "vm", "zos", "uid_mappings", "gid_mappings"];
    left.retain(|field| !others.iter().any(|other| field.starts_with(other)));
    // A namespace without a path is new; two entries, two sets of fields.
    left.retain(|field| !field.contains("path: None"));
    left.retain(|field| !field.starts_with("errno_ret: None"));
    left.retain(|field| !["args: None", "args: None }"].contains(field));
    left.retain(|field| !field.starts_with("args: None }]"));
    assert!(left.is_empty(), "missing in full-spec.json: {left:?}");
}

#[test]
fn every_field_is_in_the_table() {
    let known: BTreeSet<&str> = TABLE.split('`').skip(1).step_by(2).collect();
    let missing: BTreeSet<String> =
        leaves(&full()).iter().map(|pointer| field(pointer)).collect::<BTreeSet<_>>();
    let missing: Vec<_> =
        missing.into_iter().filter(|field| !known.contains(field.as_str())).collect();
    assert!(missing.is_empty(), "not in docs/oci-spec.md: {missing:#?}");
}

#[test]
fn every_mount_option_is_in_the_table() {
    let words: BTreeSet<&str> = TABLE.split('`').skip(1).step_by(2).collect();
    let options = oci::features().mount_options().clone().unwrap();
    let missing: Vec<_> = options
        .iter()
        .filter(|option| {
            let plain = option.strip_prefix('r').unwrap_or(option);
            !words.contains(option.as_str()) && !words.contains(plain)
        })
        .collect();
    assert!(missing.is_empty(), "not in docs/oci-spec.md: {missing:?}");
}

/// What this machine, or no machine, has.
fn refused() -> Vec<&'static str> {
    let mut refused = vec!["/linux/personality/flags"];
    let without = |path: &str| !std::path::Path::new(path).exists();
    if without("/sys/module/apparmor") {
        refused.push("/process/apparmorProfile");
    }
    if without("/sys/fs/selinux/enforce") {
        refused.extend(["/process/selinuxLabel", "/linux/mountLabel"]);
    }
    if without("/sys/fs/resctrl/schemata") {
        refused.push("/linux/intelRdt");
    }
    refused
}

/// The builder in words, with all that it says about itself.
fn build(json: &Value) -> Result<String, container_core::Error> {
    let bundle = oci::Bundle::parse("/", json.to_string().as_bytes())?;
    let builder = ContainerBuilder::from_spec(bundle.spec(), bundle.directory())?;
    builder.plan()?;
    // But for the numbers of descriptors, which differ each time.
    let shown = format!("{builder:?}");
    let mut parts = shown.split("fd: ");
    let first = parts.next().unwrap_or_default().to_owned();
    let digit = |c: char| c.is_ascii_digit();
    Ok(parts.fold(first, |all, part| all + part.trim_start_matches(digit)))
}

/// The full spec without what is refused, and with settings that go with a
/// container of one caller's.
fn usable() -> Value {
    let mut json = full();
    for pointer in refused() {
        put(&mut json, pointer, Value::Null);
    }
    json
}

#[test]
fn every_refused_field_is_named() {
    for pointer in refused() {
        let mut json = usable();
        put(&mut json, pointer, full().pointer(pointer).unwrap().clone());
        let error = build(&json).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{pointer}: {error}");
        let name = pointer[1..].replace('/', ".");
        assert!(error.to_string().contains(&name), "{pointer}: {error}");
    }
}

#[test]
fn every_other_field_makes_a_difference() {
    if !testkit::require_root() {
        return;
    }
    let base = usable();
    let whole = build(&base).unwrap();
    let mut without = Vec::new();
    for pointer in leaves(&base) {
        let mut changed = base.clone();
        *changed.pointer_mut(&pointer).unwrap() = other(base.pointer(&pointer).unwrap());
        let mut absent = base.clone();
        put(&mut absent, &pointer, Value::Null);
        let differs = |json: &Value| build(json).map_or(true, |built| built != whole);
        if !differs(&changed) && !differs(&absent) {
            without.push(pointer);
        }
    }
    // What bind mounts have as a type means nothing.
    assert_eq!(without, ["/mounts/1/type"]);
}

/// Another value of the same type.
fn other(value: &Value) -> Value {
    match value {
        Value::Bool(on) => (!on).into(),
        Value::Number(number) => (number.as_i64().unwrap_or(0) + 1).into(),
        Value::String(text) => match text.parse::<u32>() {
            Ok(number) => (number + 1).to_string().into(),
            Err(_) => format!("{text}0").into(),
        },
        _ => Value::Null,
    }
}

#[test]
fn the_full_spec_goes_there_and_back() {
    if !testkit::require_root() {
        return;
    }
    let bundle = oci::Bundle::parse("/", usable().to_string().as_bytes()).unwrap();
    let builder = ContainerBuilder::from_spec(bundle.spec(), "/").unwrap();
    let spec = builder.to_spec().unwrap();
    let mut there = serde_json::to_value(&spec).unwrap();
    let back = ContainerBuilder::from_spec(&spec, "/").unwrap();
    assert_eq!(back.to_spec().unwrap(), spec);
    assert_eq!(back.plan().unwrap().to_string(), builder.plan().unwrap().to_string());
    let lost: Vec<_> = leaves(&usable())
        .into_iter()
        .filter(|pointer| there.pointer_mut(pointer).is_none())
        .collect();
    // For Windows; 0, which says nothing; and namespaces have an order of their own there.
    let others = [
        "/process/user/username",
        "/process/commandLine",
        "/process/scheduler/nice",
        "/process/scheduler/priority",
        "/linux/resources/cpu/realtimeRuntime",
        "/linux/namespaces/7/path",
    ];
    let lost: Vec<_> =
        lost.into_iter().filter(|pointer| !others.contains(&pointer.as_str())).collect();
    assert!(lost.is_empty(), "{lost:#?}");
}
