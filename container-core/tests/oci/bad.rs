//! Specs that can't be: each is refused with the field's name before anything
//! is made.

use container_core::{ContainerBuilder, Error, ErrorKind, oci};
use proptest::prelude::*;
use serde_json::{Value, json};

use ErrorKind::{InvalidInput as Invalid, NotFound, Unsupported};

/// A spec with a little of everything, for `/` as its root.
pub(crate) fn valid() -> Value {
    let mut json: Value = serde_json::from_str(include_str!("../data/runc-spec.json")).unwrap();
    json["root"]["path"] = "/".into();
    json["process"]["terminal"] = false.into();
    json
}

/// Puts a value where the pointer says; objects on the way are made, `-`
/// appends to a list, null removes.
pub(crate) fn put(json: &mut Value, pointer: &str, value: Value) {
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    let mut place = json;
    for part in parent.split('/').skip(1) {
        place = match place {
            Value::Array(list) => &mut list[part.parse::<usize>().unwrap()],
            other => &mut other[part],
        };
    }
    match place {
        Value::Array(list) if last == "-" => list.push(value),
        Value::Array(list) => list[last.parse::<usize>().unwrap()] = value,
        Value::Object(fields) if value.is_null() => drop(fields.remove(last)),
        other => other[last] = value,
    }
}

fn build(json: &Value) -> Result<ContainerBuilder, Error> {
    let bundle = oci::Bundle::parse("/", json.to_string().as_bytes())?;
    let builder = ContainerBuilder::from_spec(bundle.spec(), bundle.directory())?;
    builder.plan()?;
    Ok(builder)
}

pub(crate) type Case = (&'static str, Value, ErrorKind, &'static str);

#[track_caller]
pub(crate) fn check(cases: Vec<Case>) {
    for (pointer, value, kind, field) in cases {
        let mut json = valid();
        put(&mut json, pointer, value.clone());
        let error = match build(&json) {
            Err(error) => error,
            Ok(_) => panic!("{pointer} = {value} was taken"),
        };
        assert_eq!(error.kind(), kind, "{pointer} = {value}: {error}");
        assert!(error.to_string().contains(field), "{pointer} = {value}: {error}");
    }
}

#[test]
fn the_base_is_good() {
    assert!(build(&valid()).unwrap().annotations().is_empty());
}

#[test]
fn versions_platforms_and_root() {
    check(vec![
        ("/ociVersion", Value::Null, Invalid, "ociVersion"),
        ("/ociVersion", json!(""), Invalid, "ociVersion"),
        ("/ociVersion", json!(1), Invalid, "ociVersion"),
        ("/ociVersion", json!("one"), Invalid, "ociVersion"),
        ("/ociVersion", json!("2.0.0"), Unsupported, "ociVersion"),
        ("/windows", json!({"layerFolders": ["C:\\x"]}), Unsupported, "windows"),
        ("/solaris", json!({"milestone": "x"}), Unsupported, "solaris"),
        ("/vm", json!({"kernel": {"path": "/k"}}), Unsupported, "vm"),
        ("/root", Value::Null, Invalid, "root"),
        ("/root", json!("rootfs"), Invalid, "root"),
        ("/root/path", Value::Null, Invalid, "root.path"),
        ("/root/path", json!(""), Invalid, "root.path"),
        ("/root/path", json!("/a\0b"), Invalid, "root.path"),
        ("/root/path", json!("no/such/place"), NotFound, "root.path"),
        ("/root/path", json!("/dev/null"), Invalid, "root.path"),
        ("/root/readonly", json!("yes"), Invalid, "root.readonly"),
        ("/hostname", json!("x".repeat(65)), Invalid, "hostname"),
        ("/hostname", json!("a\0b"), Invalid, "hostname"),
        ("/hostname", json!(7), Invalid, "hostname"),
        ("/domainname", json!("x".repeat(65)), Invalid, "domainname"),
        ("/annotations", json!({"a": 1}), Invalid, "annotations.a"),
        ("/annotations", json!({"": "x"}), Invalid, "annotations"),
    ]);
}

#[test]
fn process() {
    check(vec![
        ("/process", Value::Null, Invalid, "process"),
        ("/process", json!([]), Invalid, "process"),
        ("/process/args", Value::Null, Invalid, "process.args"),
        ("/process/args", json!([]), Invalid, "process.args"),
        ("/process/args", json!([""]), Invalid, "process.args[0]"),
        ("/process/args", json!(["sh", "a\0b"]), Invalid, "process.args[1]"),
        ("/process/args", json!("sh"), Invalid, "process.args"),
        ("/process/cwd", Value::Null, Invalid, "cwd"),
        ("/process/cwd", json!("tmp"), Invalid, "process.cwd"),
        ("/process/cwd", json!(""), Invalid, "process.cwd"),
        ("/process/cwd", json!("/a\0"), Invalid, "process.cwd"),
        ("/process/env/-", json!("NOVALUE"), Invalid, "process.env[2]"),
        ("/process/env/-", json!("=x"), Invalid, "process.env[2]"),
        ("/process/env/-", json!("A=\0"), Invalid, "process.env[2]"),
        ("/process/env/-", json!(1), Invalid, "process.env[2]"),
        ("/process/user/uid", json!(-1), Invalid, "process.user.uid"),
        ("/process/user/uid", json!(4_294_967_295_u64), Invalid, "process.user"),
        ("/process/user/gid", json!(4_294_967_296_u64), Invalid, "process.user.gid"),
        ("/process/user/umask", json!(0o1777), Invalid, "process.user.umask"),
        ("/process/user/additionalGids", json!([-1]), Invalid, "process.user.additionalGids[0]"),
        ("/process/user/additionalGids", json!([u32::MAX]), Invalid, "process.user.additionalGids"),
        ("/process/terminal", json!("yes"), Invalid, "process.terminal"),
        ("/process/consoleSize", json!({"height": -1}), Invalid, "process.consoleSize.height"),
        ("/process/rlimits/0/type", json!("RLIMIT_X"), Invalid, "process.rlimits[0].type"),
        ("/process/rlimits/0/soft", json!(1025), Invalid, "process.rlimits[0].soft"),
        ("/process/rlimits/0/hard", json!(-1), Invalid, "process.rlimits[0].hard"),
        (
            "/process/rlimits/-",
            json!({"type": "RLIMIT_NOFILE", "soft": 1, "hard": 1}),
            Invalid,
            "process.rlimits[1].type",
        ),
        ("/process/oomScoreAdj", json!(1001), Invalid, "process.oomScoreAdj"),
        ("/process/oomScoreAdj", json!(-1001), Invalid, "process.oomScoreAdj"),
        ("/process/oomScoreAdj", json!(1.5), Invalid, "process.oomScoreAdj"),
        ("/process/noNewPrivileges", json!(1), Invalid, "process.noNewPrivileges"),
        ("/process/capabilities", json!(["CAP_KILL"]), Invalid, "process.capabilities"),
        ("/process/capabilities/bounding", json!([1]), Invalid, "process.capabilities.bounding"),
    ]);
}

#[test]
fn terminals_have_a_size_that_fits() {
    let mut json = valid();
    put(&mut json, "/process/terminal", json!(true));
    put(&mut json, "/process/consoleSize", json!({"height": 70_000, "width": 80}));
    let error = build(&json).unwrap_err();
    assert!(error.to_string().contains("process.consoleSize.height"), "{error}");
    // Without a terminal the size is to be ignored.
    put(&mut json, "/process/terminal", json!(false));
    assert!(build(&json).is_ok());
}

#[test]
fn mounts() {
    let bind = |options: Value| json!({"destination": "/x", "source": "/usr", "options": options});
    let end = "/mounts/-";
    check(vec![
        ("/mounts", json!({}), Invalid, "mounts"),
        (end, json!({"type": "tmpfs"}), Invalid, "mounts[7]"),
        (end, json!({"destination": "", "type": "tmpfs"}), Invalid, "mounts[7].destination"),
        (end, json!({"destination": "/", "type": "tmpfs"}), Invalid, "mounts[7].destination"),
        (end, json!({"destination": "/..", "type": "tmpfs"}), Invalid, "mounts[7].destination"),
        (end, json!({"destination": "/a\0", "type": "tmpfs"}), Invalid, "mounts[7].destination"),
        (end, json!({"destination": "/x"}), Invalid, "mounts[7].type"),
        (end, json!({"destination": "/x", "type": "a\0b"}), Invalid, "mounts[7].type"),
        (end, json!({"destination": "/x", "type": "bind"}), Invalid, "mounts[7].source"),
        (end, json!({"destination": "/x", "options": ["rbind"]}), Invalid, "mounts[7].source"),
        (
            end,
            json!({"destination": "/x", "source": "/no/such", "options": ["bind"]}),
            NotFound,
            "mounts[7].source",
        ),
        (end, bind(json!(["bind", "size=1m"])), Invalid, "mounts[7].options[1]"),
        (end, bind(json!(["rbind", "roo"])), Invalid, "mounts[7].options[1]"),
        (end, bind(json!(["bind", "a\0b"])), Invalid, "mounts[7].options[1]"),
        (end, bind(json!("bind")), Invalid, "mounts[7].options"),
        (end, bind(json!(["bind", 1])), Invalid, "mounts[7].options[1]"),
        (
            end,
            json!({"destination": "/x", "type": "tmpfs", "options": [format!("size={}", "1".repeat(256))]}),
            Invalid,
            "size=",
        ),
        (
            end,
            json!({
                "destination": "/x", "source": "/usr", "options": ["bind"],
                "uidMappings": [{"containerID": 0, "hostID": 1, "size": 1}],
            }),
            Invalid,
            "mounts[7].gidMappings",
        ),
    ]);
}

#[test]
fn namespaces_and_ids() {
    let map = |size: i64| json!([{"containerID": 0, "hostID": 100_000, "size": size}]);
    let end = "/linux/namespaces/-";
    check(vec![
        ("/linux", Value::Null, Invalid, "linux.namespaces"),
        ("/linux/namespaces", json!([]), Invalid, "linux.namespaces"),
        ("/linux/namespaces", json!([{"type": "mount"}]), Invalid, "hostname"),
        (end, json!({}), Invalid, "linux.namespaces[5]"),
        (end, json!({"type": "net"}), Invalid, "linux.namespaces[5].type"),
        (end, json!({"type": "pid"}), Invalid, "linux.namespaces[5]"),
        (end, json!({"type": "cgroup", "path": "x"}), Invalid, "linux.namespaces[5].path"),
        (end, json!({"type": "cgroup", "path": "/a\0"}), Invalid, "linux.namespaces[5].path"),
        (end, json!({"type": "cgroup", "path": "/no/such"}), NotFound, "linux.namespaces[5].path"),
        (
            end,
            json!({"type": "cgroup", "path": "/proc/self/ns/net"}),
            Invalid,
            "linux.namespaces[5].path",
        ),
        (end, json!({"type": "cgroup", "path": "/dev/null"}), Invalid, "linux.namespaces[5].path"),
        (
            "/linux/namespaces/4/path",
            json!("/proc/self/ns/mnt"),
            Unsupported,
            "linux.namespaces[4].path",
        ),
        (end, json!({"type": "user"}), Invalid, "linux.uidMappings"),
        ("/linux/uidMappings", map(1), Invalid, "linux.uidMappings"),
        ("/linux/gidMappings", map(1), Invalid, "linux.gidMappings"),
        ("/linux/timeOffsets", json!({"boottime": {"secs": 1}}), Invalid, "linux.timeOffsets"),
        ("/linux/timeOffsets", json!({"realtime": {}}), Invalid, "linux.timeOffsets.realtime"),
        (
            "/linux/timeOffsets",
            json!({"boottime": {"secs": 0, "nanosecs": 1_000_000_000}}),
            Invalid,
            "linux.timeOffsets.boottime",
        ),
        ("/linux/netDevices", json!({"a/b": {}}), Invalid, "linux.netDevices.a/b"),
        ("/linux/netDevices", json!({"a": {"name": "b c"}}), Invalid, "linux.netDevices.a"),
        ("/linux/netDevices", json!({"a": {"name": 1}}), Invalid, "linux.netDevices.a.name"),
        ("/linux/netDevices", json!({"a": {"name": "c"}, "b": {"name": "c"}}), Invalid, "device"),
        ("/linux/maskedPaths/-", json!("x"), Invalid, "linux.maskedPaths[10]"),
        ("/linux/maskedPaths/-", json!("/"), Invalid, "linux.maskedPaths[10]"),
        ("/linux/maskedPaths/-", json!("/a\0"), Invalid, "linux.maskedPaths[10]"),
        ("/linux/readonlyPaths/-", json!(""), Invalid, "linux.readonlyPaths[5]"),
        ("/linux/readonlyPaths", json!("/proc"), Invalid, "linux.readonlyPaths"),
    ]);
}

#[test]
fn id_mappings() {
    let mut base = valid();
    put(&mut base, "/linux/namespaces/-", json!({"type": "user"}));
    let one = json!([{"containerID": 0, "hostID": 100_000, "size": 10}]);
    put(&mut base, "/linux/uidMappings", one.clone());
    let wrong = [
        (Value::Null, "linux.gidMappings"),
        (json!([]), "linux.gidMappings"),
        (json!([{"containerID": 0, "hostID": 1, "size": 0}]), "linux.gidMappings[0]"),
        (json!([{"containerID": 0, "hostID": 1}]), "linux.gidMappings[0]"),
        (json!([{"containerID": 9, "hostID": 1, "size": u32::MAX}]), "linux.gidMappings[0]"),
        (json!([{"containerID": -1, "hostID": 1, "size": 1}]), "linux.gidMappings[0].containerID"),
        (json!([one[0], one[0]]), "linux.gidMappings"),
    ];
    for (gids, field) in wrong {
        let mut json = base.clone();
        put(&mut json, "/linux/gidMappings", gids.clone());
        let error = build(&json).unwrap_err();
        assert_eq!(error.kind(), Invalid, "{gids}: {error}");
        assert!(error.to_string().contains(field), "{gids}: {error}");
    }
    // Mapped, but not the user.
    put(&mut base, "/linux/gidMappings", one);
    put(&mut base, "/process/user/uid", json!(10));
    let error = build(&base).unwrap_err();
    assert!(error.to_string().contains("uid 10"), "{error}");
}

/// Any JSON, deep and wide enough to be of use.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        "[/a-z=\\.\\x00]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-zA-Z]{1,8}", inner, 0..4)
                .prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// Every place of a document, as pointers.
pub(crate) fn pointers(json: &Value, at: &str, found: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match json {
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(list) => {
            list.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect()
        }
        _ => Vec::new(),
    };
    for (key, value) in children {
        let at = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
        pointers(value, &at, found);
        found.push(at);
    }
}

proptest! {
    #[test]
    fn any_text_is_taken_or_refused(text in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = oci::Bundle::parse("/", &text);
    }

    #[test]
    fn any_json_is_taken_or_refused(json in any_json()) {
        let _ = build(&json);
    }

    #[test]
    fn a_mutated_spec_is_taken_or_refused(
        places in prop::collection::vec((any::<prop::sample::Index>(), any_json()), 1..4),
    ) {
        let mut json = valid();
        for (index, value) in places {
            let mut all = Vec::new();
            pointers(&json, "", &mut all);
            if let Some(place) = json.pointer_mut(index.get(&all).as_str()) {
                *place = value;
            }
        }
        if let Err(error) = build(&json) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
