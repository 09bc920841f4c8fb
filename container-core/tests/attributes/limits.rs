//! Every resource limit, and the score for when memory is short.

use container_core::rlimit::Resource;
use container_core::{ErrorKind, ProcessBuilder, Rlimit};

use crate::support::{assert_denied, printed, sleeper};

/// Soft and hard value, by the resource's name in `/proc/PID/limits`.
fn limit(pid: u32, resource: Resource) -> (u64, u64) {
    let (mut limit, id) = (libc::rlimit64 { rlim_cur: 0, rlim_max: 0 }, resource.number());
    #[allow(unsafe_code)]
    // SAFETY: the kernel writes one rlimit64.
    let result =
        unsafe { syscalls::syscall!(syscalls::Sysno::prlimit64, pid, id, 0, &raw mut limit) };
    assert_eq!(result, Ok(0), "{resource}");
    (limit.rlim_cur, limit.rlim_max)
}

#[test]
fn every_resource_is_limited() {
    for resource in Resource::ALL.iter().copied() {
        let (soft, hard) = limit(std::process::id(), resource);
        let lower = |value: u64| if value == u64::MAX { 1 << 40 } else { value.max(1) - 1 };
        // Programs need some stack, memory and files of their own.
        let (soft, hard) = (lower(soft), lower(hard));
        let wanted = Rlimit::new(resource, soft.min(hard), hard).unwrap();
        let process = sleeper(|builder| builder.rlimit(wanted)).unwrap();
        assert_eq!(limit(process.id(), resource), (wanted.soft(), hard), "{resource}");
    }
}

#[test]
fn a_later_limit_replaces_an_earlier_one() {
    let builder = ProcessBuilder::new("/bin/sh").args(["-c", "ulimit -n"]);
    let limited = builder
        .rlimit(Rlimit::fixed(Resource::Nofile, 77))
        .rlimit(Rlimit::fixed(Resource::Nofile, 88));
    assert_eq!(printed(limited), "88\n");
}

#[test]
fn a_score_that_may_not_be_set() {
    let own: i32 =
        std::fs::read_to_string("/proc/self/oom_score_adj").unwrap().trim().parse().unwrap();
    let score = |builder: ProcessBuilder| printed(builder).trim().parse::<i32>().unwrap();
    let new = || ProcessBuilder::new("cat").arg("/proc/self/oom_score_adj");
    assert_eq!(score(new().oom_score_adj(999)), 999);
    assert_eq!(score(new().oom_score_adj_if_permitted(998)), 998);
    let lower = own - 1;
    if lower < -1000 {
        return;
    }
    match new().oom_score_adj(lower).output() {
        Ok(_) => assert_eq!(score(new().oom_score_adj_if_permitted(lower)), lower),
        Err(error) => {
            assert_denied(&error, "oom_score_adj");
            assert_eq!(score(new().oom_score_adj_if_permitted(lower)), own);
        }
    }
    for wrong in [-1001, 1001] {
        let error = new().oom_score_adj_if_permitted(wrong).plan().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
}
