use super::super::compile::compile_for;
use super::super::decide::{Call, run};
use super::super::target::Target;
use super::super::{Architecture, Filter, Program};
use super::*;
use crate::ErrorKind;

const X86_64: Target = Target::of(Architecture::X86_64).unwrap();

fn parse(text: &str) -> LinuxSeccomp {
    serde_json::from_str(text).unwrap()
}

fn compiled(text: &str) -> Program {
    compile_for(&Filter::from_oci(&parse(text)).unwrap(), X86_64).unwrap()
}

fn answer(
    program: &Program,
    architecture: Architecture,
    number: u32,
    arguments: [u64; 6],
) -> Action {
    let arch = Target::of(architecture).unwrap().audit_arch;
    Action::from_code(run(program, &Call { number, arch, arguments }, true).0).unwrap()
}

#[test]
fn every_name_of_the_specification_parses() {
    for architecture in Architecture::ALL {
        let seccomp = parse(&format!(
            r#"{{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["{architecture}"]}}"#
        ));
        let filter = Filter::from_oci(&seccomp).unwrap();
        assert_eq!(filter.architectures, [*architecture]);
        let program = compile_for(&filter, X86_64).unwrap();
        let takes =
            matches!(architecture, Architecture::X86 | Architecture::X86_64 | Architecture::X32);
        assert_eq!(program.passed_over().is_empty(), takes, "{architecture}");
    }
    for (name, action) in [
        ("KILL", Action::KillThread),
        ("KILL_THREAD", Action::KillThread),
        ("KILL_PROCESS", Action::KillProcess),
        ("TRAP", Action::Trap),
        ("ERRNO", Action::Errno(1)),
        ("TRACE", Action::Trace(1)),
        ("ALLOW", Action::Allow),
        ("LOG", Action::Log),
    ] {
        let program = compiled(&format!(r#"{{"defaultAction": "SCMP_ACT_{name}"}}"#));
        assert_eq!(answer(&program, Architecture::X86_64, 1, [0; 6]), action);
    }
}

#[test]
fn wrong_fields_are_named() {
    let rule =
        |entry: &str| format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{entry}]}}"#);
    let cases = [
        (r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#.to_owned(), "defaultAction"),
        (r#"{"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}"#.into(), "defaultErrnoRet"),
        (
            r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4096}"#.into(),
            "defaultErrnoRet",
        ),
        (rule(r#"{"names": [], "action": "SCMP_ACT_LOG"}"#), "syscalls[0].names"),
        (rule(r#"{"names": [""], "action": "SCMP_ACT_LOG"}"#), "syscalls[0].names"),
        (
            rule(r#"{"names": ["read"], "action": "SCMP_ACT_KILL", "errnoRet": 5}"#),
            "syscalls[0].errnoRet",
        ),
        (
            rule(r#"{"names": ["read"], "action": "SCMP_ACT_TRACE", "errnoRet": 65536}"#),
            "syscalls[0].errnoRet",
        ),
        (
            rule(
                r#"{"names": ["read"], "action": "SCMP_ACT_KILL",
                "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}"#,
            ),
            "syscalls[0].args[0].index",
        ),
    ];
    for (text, field) in cases {
        let error = Filter::from_oci(&parse(&text)).unwrap_err();
        assert_eq!((error.kind(), error.object()), (ErrorKind::InvalidInput, field), "{text}");
    }
}

#[test]
fn an_agent_needs_its_path() {
    let notify = r#""syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]"#;
    let of = |more: &str| {
        SeccompListener::from_oci(&parse(&format!(
            r#"{{"defaultAction": "SCMP_ACT_ALLOW"{more}}}"#
        )))
    };
    assert_eq!(of(r#", "listenerPath": "/run/x""#).unwrap(), None);
    assert_eq!(of(r#", "listenerMetadata": "m""#).unwrap_err().object(), "listenerMetadata");
    assert_eq!(of(&format!(", {notify}")).unwrap_err().object(), "listenerPath");
    let agent = of(&format!(r#", {notify}, "listenerPath": "/run/x", "listenerMetadata": "m""#));
    assert_eq!(agent.unwrap(), Some(SeccompListener::new("/run/x").metadata("m")));
}

#[test]
fn rules_have_no_order() {
    let program = compiled(
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_TRAP",
             "args": [{"index": 0, "value": 7, "op": "SCMP_CMP_EQ"}]},
            {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["write"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"},
                      {"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}]},
            {"names": ["open"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1},
            {"names": ["open"], "action": "SCMP_ACT_LOG",
             "args": [{"index": 1, "value": 3, "valueTwo": 6, "op": "SCMP_CMP_MASKED_EQ"}]}
        ]}"#,
    );
    let native = |number, first, second| {
        answer(&program, Architecture::X86_64, number, [first, second, 0, 0, 0, 0])
    };
    assert_eq!(native(0, 7, 0), Action::Allow);
    for (first, expected) in [(1, Action::Allow), (2, Action::Allow), (3, Action::Errno(1))] {
        assert_eq!(native(1, first, 0), expected);
    }
    // The rule with the default's action does not count; the mask is applied
    // to both sides.
    assert_eq!(native(2, 0, 2), Action::Log);
    assert_eq!(native(2, 0, 1), Action::Errno(1));
    // open is the newest call that is named.
    assert_eq!(native(3, 0, 0), Action::Errno(38));
    assert_eq!(native(0x4000_0001, 0, 0), Action::KillThread);
}

#[test]
fn from_and_back_is_the_same() {
    let text = r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"],
        "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],
        "listenerPath": "/run/agent", "listenerMetadata": "m",
        "syscalls": [
            {"names": ["mkdir", "mknod"], "action": "SCMP_ACT_NOTIFY"},
            {"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 2,
             "args": [{"index": 0, "value": 7, "valueTwo": 3, "op": "SCMP_CMP_MASKED_EQ"},
                      {"index": 1, "value": 7, "op": "SCMP_CMP_GE"}]}
        ]}"#;
    let seccomp = parse(text);
    let listener = SeccompListener::from_oci(&seccomp).unwrap();
    let back = Filter::from_oci(&seccomp).unwrap().to_oci(listener.as_ref()).unwrap();
    assert_eq!(back, seccomp);
}

#[test]
fn the_default_profile_can_be_written() {
    let own = Filter::container_default();
    let written = own.to_oci(None).unwrap();
    let (own, back) =
        (own.compile().unwrap(), Filter::from_oci(&written).unwrap().compile().unwrap());
    let words = [0, 1, 2, 8, 16, 38, 40, 0x5412, 0x541c, 0x2_0000, 0x1000_0000, 0xffff_ffff];
    let words = words.into_iter().chain([1 << 32 | 38, 1 << 32 | 0x1000_0000, u64::MAX]);
    let words: Vec<u64> = words.collect();
    let native = Architecture::native().unwrap();
    for architecture in [native].iter().chain(native.companions()) {
        let base = if *architecture == Architecture::X32 { 0x4000_0000 } else { 0 };
        for number in (base..base + 600).chain([0xf_0002, u32::MAX]) {
            for (first, second) in words.iter().flat_map(|w| [(*w, 1), (1, *w), (*w, *w)]) {
                let arguments = [first, second, 0, 0, 0, 0];
                let a = own.decide(*architecture, number, arguments);
                let b = back.decide(*architecture, number, arguments);
                // What no listed architecture has ends the process here, the thread there.
                let ended = [Action::KillProcess, Action::KillThread];
                assert!(
                    a == b || [a, b] == ended,
                    "{architecture} {number} {arguments:x?}: {a:?}, {b:?}"
                );
            }
        }
    }
}
