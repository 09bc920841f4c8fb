//! The same container by builder and by spec makes the same plan.

use container_core::hooks::{Hook, HookPoint};
use container_core::mount::{Attribute, Device};
use container_core::net_device::NetDevice;
use container_core::rlimit::{Resource, Rlimit};
use container_core::scheduling::{IoClass, IoPriority, Policy, Scheduler};
use container_core::user::UserSpec;
use container_core::{
    Capabilities, CapabilitySet, Container, ContainerBuilder, ErrorKind, IdMappings, Mount,
    NamespaceKind, Namespaces, ProcessBuilder, Rootfs, Stdio, WindowSize, oci,
};
use proptest::prelude::*;
use serde_json::Value;

use crate::bad::valid;

const RUNC: &str = include_str!("../data/runc-spec.json");
const RUNC_ROOTLESS: &str = include_str!("../data/runc-spec-rootless.json");

fn from_spec(json: &str) -> ContainerBuilder {
    let mut json: Value = serde_json::from_str(json).unwrap();
    json["root"]["path"] = "/".into();
    let bundle = oci::Bundle::parse("/", json.to_string().as_bytes()).unwrap();
    ContainerBuilder::from_spec(bundle.spec(), bundle.directory()).unwrap()
}

/// What `runc spec` describes, by the builder's methods.
fn runc_default() -> ProcessBuilder {
    use NamespaceKind::{Ipc, Mount as MountKind, Net, Pid, Uts};
    let namespaces = [Pid, Net, Ipc, Uts, MountKind];
    let few = CapabilitySet::of(&[
        container_core::Capability::AuditWrite,
        container_core::Capability::Kill,
        container_core::Capability::NetBindService,
    ]);
    let source = |mount: Mount, name: &str| mount.option("source", name);
    let plain = |mount: Mount| {
        [Attribute::NoSuid, Attribute::NoExec, Attribute::NoDev].into_iter().fold(mount, Mount::set)
    };
    let proc = Mount::proc("/proc")
        .clear_recursive(Attribute::NoSuid)
        .clear_recursive(Attribute::NoExec)
        .clear_recursive(Attribute::NoDev);
    ProcessBuilder::new("sh")
        .rootfs(Rootfs::directory("/").read_only())
        .namespaces(namespaces.into_iter().fold(Namespaces::none(), Namespaces::with))
        .hostname("runc")
        .mount(source(proc, "proc"))
        .mount(
            Mount::dev("/dev")
                .clear_recursive(Attribute::NoExec)
                .set(Attribute::StrictAtime)
                .option("source", "tmpfs"),
        )
        .mount(Mount::devpts("/dev/pts").option("gid", "5").option("source", "devpts"))
        .mount(plain(
            Mount::tmpfs("/dev/shm")
                .option("mode", "1777")
                .option("size", "65536k")
                .option("source", "shm"),
        ))
        .mount(source(Mount::mqueue("/dev/mqueue"), "mqueue"))
        .mount(source(Mount::sysfs("/sys"), "sysfs"))
        .mount(Mount::cgroup("/sys/fs/cgroup").set(Attribute::RelAtime))
        .masked_paths([
            "/proc/acpi",
            "/proc/asound",
            "/proc/kcore",
            "/proc/keys",
            "/proc/latency_stats",
            "/proc/timer_list",
            "/proc/timer_stats",
            "/proc/sched_debug",
            "/sys/firmware",
            "/proc/scsi",
        ])
        .read_only_paths(["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"])
        .new_session(true)
        .terminal(WindowSize { rows: 0, columns: 0 })
        .user(UserSpec::root().with_home().with_additional_gids([]).unwrap())
        .exact_environment()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("TERM", "xterm")
        .capabilities(Capabilities::root(few).restricted_to(CapabilitySet::of_caller().unwrap()))
        .rlimit(Rlimit::fixed(Resource::Nofile, 1024))
        .no_new_privileges(true)
}

#[test]
fn runc_spec_and_builder_make_the_same_plan() {
    let by_spec = from_spec(RUNC).plan().unwrap();
    let by_builder = runc_default().plan().unwrap();
    assert_eq!(by_spec.to_string(), by_builder.to_string());
    assert_eq!(by_spec.steps(), by_builder.steps());
}

#[test]
fn our_defaults_are_those_of_runc() {
    let spec = oci::Bundle::new("/", oci::default_spec()).unwrap();
    let mut ours: Value = serde_json::from_str(&spec.to_json()).unwrap();
    let mut theirs: Value = serde_json::from_str(RUNC).unwrap();
    for json in [&mut ours, &mut theirs] {
        json["hostname"] = "".into();
        json["ociVersion"] = "".into();
        sort(json);
    }
    // On a host with nothing but cgroup v2 there is one namespace more.
    let namespaces = ours["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "cgroup");
    assert_eq!(ours, theirs);
}

/// Lists whose order means nothing.
fn sort(json: &mut Value) {
    for set in ["bounding", "effective", "permitted", "ambient"] {
        if let Some(list) = json["process"]["capabilities"][set].as_array_mut() {
            list.sort_by_key(ToString::to_string);
        }
    }
    let namespaces = json["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.sort_by_key(ToString::to_string);
    for mount in json["mounts"].as_array_mut().unwrap() {
        if let Some(options) = mount["options"].as_array_mut() {
            options.sort_by_key(ToString::to_string);
        }
    }
}

#[test]
fn the_rootless_default_is_that_of_runc() {
    if !testkit::is_root() {
        return;
    }
    let spec = oci::Bundle::new("/", oci::default_rootless_spec()).unwrap();
    let mut ours: Value = serde_json::from_str(&spec.to_json()).unwrap();
    let mut theirs: Value = serde_json::from_str(RUNC_ROOTLESS).unwrap();
    for json in [&mut ours, &mut theirs] {
        json["hostname"] = "".into();
        json["ociVersion"] = "".into();
        sort(json);
    }
    let namespaces = ours["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "cgroup");
    assert_eq!(ours, theirs);
    let plan = from_spec(RUNC_ROOTLESS).plan().unwrap().to_string();
    assert!(plan.contains("write uid_map"), "{plan}");
}

#[test]
fn the_installed_runc_writes_what_is_compared_here() {
    if !testkit::require_peer("runc") {
        return;
    }
    let directory = testkit::TempDir::new();
    let run = std::process::Command::new("runc")
        .arg("spec")
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert!(run.status.success());
    let text = std::fs::read_to_string(directory.join("config.json")).unwrap();
    let live = from_spec(&text).plan().unwrap().to_string();
    // Newer ones differ, but none differs in more than a list.
    let calls = |text: &str| text.lines().count();
    let known = from_spec(RUNC).plan().unwrap().to_string();
    assert!(calls(&live).abs_diff(calls(&known)) < 40, "{live}");
}

/// Compares two plans, and shows where they part.
#[track_caller]
fn same_plan(one: &ContainerBuilder, other: &ContainerBuilder) {
    let (one, other) = (one.plan().unwrap(), other.plan().unwrap());
    for (mine, theirs) in one.steps().iter().zip(other.steps()) {
        assert_eq!(*mine, theirs);
    }
    assert_eq!(one.steps().len(), other.steps().len());
}

/// There and back: the same plan, and the same spec from then on.
#[track_caller]
fn round_trip(builder: ContainerBuilder) {
    let builder = builder.stdin(Stdio::Null);
    let spec = match builder.to_spec() {
        Ok(spec) => spec,
        Err(error) => panic!("{error}"),
    };
    let bundle = oci::Bundle::new("/", spec.clone()).unwrap();
    let parsed = oci::Bundle::parse("/", bundle.to_json().as_bytes()).unwrap();
    assert_eq!(*parsed.spec(), spec);
    let back = ContainerBuilder::from_spec(parsed.spec(), "/").unwrap().stdin(Stdio::Null);
    same_plan(&back, &builder);
    let again = serde_json::to_value(back.to_spec().unwrap()).unwrap();
    assert_eq!(again["mounts"], serde_json::to_value(&spec).unwrap()["mounts"]);
    assert_eq!(back.to_spec().unwrap(), spec);
    assert!(back.ignored().is_empty(), "{:?}", back.ignored());
}

fn base() -> ContainerBuilder {
    Container::builder("/").id("golden").command("/bin/true").without_seccomp()
}

#[test]
fn specs_go_there_and_back() {
    for json in [RUNC.to_owned(), RUNC_ROOTLESS.to_owned(), valid().to_string()] {
        let builder = from_spec(&json);
        let spec = builder.to_spec().unwrap();
        let back = ContainerBuilder::from_spec(&spec, "/").unwrap();
        same_plan(&back, &builder);
        assert_eq!(back.to_spec().unwrap(), spec);
    }
}

#[test]
fn a_builder_with_everything_goes_there_and_back() {
    round_trip(
        base()
            .args(["a", "b"])
            .env("A", "1")
            .current_dir("/tmp/made")
            .hostname("named")
            .annotation("org.example", "x")
            .resources(container_core::cgroup::Resources::new().pids_max(50).memory_max(1 << 26))
            .hook(HookPoint::Poststop, Hook::new("/bin/true"))
            .mount(Mount::tmpfs("/run").nosuid().option("mode", "700").copy_up())
            .mount(Mount::tmpfs("/var").mode_of_target())
            .mount(
                Mount::bind("/usr", "/usr")
                    .read_only()
                    .set(Attribute::NoExec)
                    .clear(Attribute::NoDev)
                    .propagation(container_core::Propagation::Slave),
            )
            .mount(
                Mount::bind("/etc", "/etc")
                    .without_submounts()
                    .noatime()
                    .top_propagation(container_core::Propagation::Shared),
            )
            .process(|process| {
                process
                    .domainname("domain")
                    .oom_score_adj(500)
                    .rlimit(Rlimit::fixed(Resource::Core, 0))
                    .sysctl("net.ipv4.ip_forward", "1")
                    .device(Device::character("/dev/fuse", 10, 229).mode(0o660).owner(0, 5))
                    .net_device(NetDevice::new("eth9").renamed("eth0"))
                    .scheduler(Scheduler::new(Policy::Batch).nice(3))
                    .io_priority(IoPriority::new(IoClass::Idle, 0).unwrap())
            }),
    );
}

#[test]
fn other_users_and_ids_go_there_and_back() {
    let user = |text: &str| text.parse::<UserSpec>().unwrap();
    // An ordinary user has a user namespace, in which these are to be mapped.
    let base = || match testkit::is_root() {
        true => base(),
        false => base().process(|process| process.id_mappings(IdMappings::identity())),
    };
    round_trip(base().user(user("1000:100").with_umask(0o27).unwrap()));
    round_trip(base().user(user("7:7").with_additional_gids([1, 2]).unwrap()));
    round_trip(base().terminal(WindowSize { rows: 3, columns: 4 }));
    if testkit::is_root() {
        round_trip(
            base().namespaces(|all| all.with(NamespaceKind::User)).process(|process| {
                process.id_mappings(IdMappings::shifted(100_000, 65_536).unwrap())
            }),
        );
    }
}

#[test]
fn filters_go_there_and_back() {
    // Written once, in words that say the same, they stay as they are.
    let builder = Container::builder("/").id("golden").command("/bin/true");
    let spec = builder.to_spec().unwrap();
    assert!(spec.linux().as_ref().unwrap().seccomp().is_some());
    let back = ContainerBuilder::from_spec(&spec, "/").unwrap();
    assert_eq!(back.to_spec().unwrap(), spec);
    assert!(back.plan().unwrap().to_string().contains("seccomp"));
    let program = container_core::seccomp::Program::container_default().unwrap();
    let error = base().seccomp(program).to_spec().unwrap_err();
    assert_eq!((error.kind(), error.object()), (ErrorKind::Unsupported, "linux.seccomp"));
}

#[test]
fn what_a_spec_can_not_say() {
    let file = || std::fs::File::open("/proc/self/ns/net").unwrap();
    let refused = [
        base().namespaces(|all| all.join(NamespaceKind::Net, file())),
        base().mount(Mount::detached(file(), "/x")),
        base().init(true),
        base().process(|process| process.pass_fd(file())),
        base().process(|process| process.parent_death_signal(9)),
        base().process(|process| process.new_session(false)),
        base().process(|process| process.arg0("-sh")),
        base().mount(Mount::dev("/other")),
        base().arg(std::os::unix::ffi::OsStrExt::from_bytes(b"\xff") as &std::ffi::OsStr),
    ];
    for builder in refused {
        let error = builder.to_spec().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains("a spec can't say"), "{error}");
    }
}

#[test]
fn a_joined_namespace_keeps_its_path() {
    let mut json = valid();
    json["linux"]["namespaces"][1]["path"] = "/proc/self/ns/net".into();
    let builder = from_spec(&json.to_string());
    let spec = serde_json::to_value(builder.to_spec().unwrap()).unwrap();
    let list = spec["linux"]["namespaces"].as_array().unwrap();
    let net = list.iter().find(|namespace| namespace["type"] == "network").unwrap();
    assert_eq!(net["path"], "/proc/self/ns/net");
}

fn attribute() -> impl Strategy<Value = Attribute> {
    prop::sample::select(vec![
        Attribute::ReadOnly,
        Attribute::NoSuid,
        Attribute::NoDev,
        Attribute::NoExec,
        Attribute::NoSymFollow,
        Attribute::NoDirAtime,
        Attribute::NoAtime,
        Attribute::RelAtime,
        Attribute::StrictAtime,
    ])
}

fn mount() -> impl Strategy<Value = Mount> {
    let changes = prop::collection::vec((attribute(), 0..4u8), 0..4);
    (0..4u8, changes).prop_map(|(kind, changes)| {
        let base = match kind {
            0 => Mount::bind("/usr", "/x"),
            1 => Mount::bind("/usr", "/x").without_submounts(),
            2 => Mount::tmpfs("/x").option("size", "1m").option("mode", "755"),
            _ => Mount::file_system("ramfs", "/x"),
        };
        changes.into_iter().fold(base, |mount, (attribute, how)| match how {
            0 => mount.set(attribute),
            1 => mount.clear(attribute),
            2 => mount.set_recursive(attribute),
            _ => mount.clear_recursive(attribute),
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_builder_goes_there_and_back(
        arguments in prop::collection::vec("[a-z =-]{0,8}", 0..4),
        variables in prop::collection::btree_map("[A-Z]{1,4}", "[ -~]{0,8}", 0..4),
        uid in 0..70_000u32,
        gid in 0..70_000u32,
        gids in prop::option::of(prop::collection::vec(0..70_000u32, 0..3)),
        umask in prop::option::of(0..0o1000u32),
        bits in 0..1u64 << 41,
        mounts in prop::collection::vec(mount(), 0..3),
        directory in "(/[a-z]{1,5}){1,3}",
        no_new_privileges in any::<bool>(),
    ) {
        let mut user: UserSpec = format!("{uid}:{gid}").parse().unwrap();
        if let Some(gids) = gids {
            user = user.with_additional_gids(gids).unwrap();
        }
        if let Some(umask) = umask {
            user = user.with_umask(umask).unwrap();
        }
        let available = CapabilitySet::of_caller().unwrap();
        let last: u8 = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap")
            .unwrap().trim().parse().unwrap();
        let set = CapabilitySet::from_bits_truncate(bits).intersection(available);
        let set = set.difference(set.unknown_to(last));
        let builder = mounts.into_iter().fold(base(), ContainerBuilder::mount)
            .args(arguments)
            .user(user)
            .current_dir(directory)
            .capabilities(Capabilities::root(set))
            .process(|process| process.envs(variables).no_new_privileges(no_new_privileges))
            .process(|process| process.id_mappings(IdMappings::identity()))
            .namespaces(|all| all.with(NamespaceKind::User));
        round_trip(builder);
    }
}
