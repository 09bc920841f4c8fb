//! Real runtimes: the filter that runc and crun install for a bundle is read
//! back from the kernel, and compared with ours for the same `config.json`.

use std::io::Read;
use std::process::{Child, Command, Stdio};

use container_core::seccomp::Filter;
use nix::sys::ptrace;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use oci_spec::runtime::LinuxSeccomp;
use serde_json::{Value, json};
use testkit::{Rootfs, TempDir};

use super::library::packaged_profile;
use super::{bpf, differences};

/// A bundle whose program says that it runs, and waits.
fn bundle(directory: &TempDir, root: &Rootfs, seccomp: &Value) {
    let mut mounts = vec![json!({"destination": "/proc", "type": "proc", "source": "proc"})];
    for path in Rootfs::binds() {
        mounts.push(json!({
            "destination": path, "source": path, "type": "bind", "options": ["rbind", "ro"],
        }));
    }
    let spec = json!({
        "ociVersion": "1.0.2",
        "root": {"path": root.path()},
        "process": {
            "args": ["/bin/sh", "-c", "echo ready; read line || true"],
            "cwd": "/",
            "env": ["PATH=/usr/bin:/bin"],
            "user": {"uid": 0, "gid": 0},
            "noNewPrivileges": true,
        },
        "mounts": mounts,
        "linux": {
            "namespaces": [{"type": "pid"}, {"type": "mount"}],
            "seccomp": seccomp,
        },
    });
    let path = directory.join("config.json");
    std::fs::write(path, serde_json::to_vec_pretty(&spec).unwrap()).unwrap();
}

/// A process whose command line is that of the bundle's program, below `child`.
fn payload_of(child: &Child) -> Option<Pid> {
    let mut open = vec![child.id()];
    while let Some(pid) = open.pop() {
        for task in std::fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
            let path = task.path().join("children");
            let children = std::fs::read_to_string(path).unwrap_or_default();
            open.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if line.starts_with(b"/bin/sh\0-c\0echo ready") {
            return Some(Pid::from_raw(pid.cast_signed()));
        }
    }
    None
}

/// The only filter of a process, as the kernel keeps it (ptrace(2),
/// `PTRACE_SECCOMP_GET_FILTER`).
#[allow(unsafe_code, reason = "nix has no such request")]
fn filter_of(pid: Pid) -> Option<Vec<bpf::Instruction>> {
    const PTRACE_SECCOMP_GET_FILTER: libc::c_uint = 0x420c;
    ptrace::seize(pid, ptrace::Options::empty()).unwrap();
    ptrace::interrupt(pid).unwrap();
    waitpid(pid, None).unwrap();
    let mut buffer = vec![0u8; 4096 * 8];
    // SAFETY: the buffer holds the longest program that there can be; the
    // third argument is the index of the filter.
    let length =
        unsafe { libc::ptrace(PTRACE_SECCOMP_GET_FILTER, pid.as_raw(), 0, buffer.as_mut_ptr()) };
    let error = std::io::Error::last_os_error();
    ptrace::detach(pid, None).unwrap();
    if length < 0 {
        println!("SKIP: PTRACE_SECCOMP_GET_FILTER: {error}");
        return None;
    }
    buffer.truncate(length as usize * 8);
    Some(bpf::parse(&buffer))
}

fn installed_by(runtime: &str, seccomp: &Value) -> Option<Vec<bpf::Instruction>> {
    if !(testkit::require_root() && testkit::require_peer(runtime)) {
        return None;
    }
    let (directory, root) = (TempDir::new(), testkit::rootfs_dirs());
    bundle(&directory, &root, seccomp);
    let name = testkit::unique("seccomp");
    let state = directory.join("state");
    let mut command = Command::new("unshare");
    // crun refuses a hybrid of cgroup versions: it sees version 2 alone.
    command
        .args(["--mount", "--propagation", "private", "sh", "-c"])
        .arg("umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; exec \"$@\"");
    command.arg("_").arg(testkit::peer(runtime)?).arg("--root").arg(state);
    if runtime == "crun" {
        command.args(["--cgroup-manager=disabled"]);
    }
    let mut child = command
        .args(["run", "--bundle"])
        .arg(directory.path())
        .arg(&name)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0u8; 6];
    let read = child.stdout.as_mut().unwrap().read_exact(&mut ready);
    assert!(read.is_ok(), "{runtime} ran nothing: {:?}", child.wait());
    let found = payload_of(&child).and_then(filter_of);
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    found
}

pub(crate) fn same_as(runtime: &str, spec: &Value, words: &[u64]) {
    let Some(theirs) = installed_by(runtime, spec) else { return };
    let seccomp: LinuxSeccomp = serde_json::from_value(spec.clone()).unwrap();
    // Only runc answers ENOSYS to newer calls.
    let newer = runtime == "runc";
    let filter = Filter::from_oci(&seccomp).unwrap();
    let filter = if newer { filter } else { filter.newer_unknown(false) };
    let found = differences(&filter.compile().unwrap(), &theirs, words);
    assert!(found.is_empty(), "{runtime}: {found:#?}");
}

/// A refusal by default, so that the answer to newer calls shows.
fn small() -> Value {
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [
            {"names": [
                "read", "write", "openat", "close", "execve", "brk", "mmap", "mprotect", "munmap",
                "fstat", "newfstatat", "access", "pread64", "arch_prctl", "set_tid_address",
                "set_robust_list", "rseq", "prlimit64", "getrandom", "exit_group", "futex",
                "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "getpid", "getppid",
                "gettid", "tgkill", "nanosleep", "epoll_pwait", "fcntl", "getdents64", "dup3",
                "chdir", "setgroups", "setuid", "setgid", "capget", "capset", "prctl", "clone",
                "statfs", "fstatfs", "sched_yield", "madvise", "readlinkat", "geteuid", "getegid",
                "getuid", "getgid", "stat", "lseek", "ioctl", "wait4", "getcwd", "sendmsg",
                "faccessat2", "clone3", "epoll_ctl", "close_range", "kill", "chown32"
             ], "action": "SCMP_ACT_ALLOW"},
            {"names": ["getpgid"], "action": "SCMP_ACT_LOG",
             "args": [{"index": 0, "value": 5, "op": "SCMP_CMP_GT"}]},
            {"names": ["mount"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99},
            {"names": ["socket"], "action": "SCMP_ACT_TRAP",
             "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_EQ"},
                      {"index": 1, "value": 15, "valueTwo": 2, "op": "SCMP_CMP_MASKED_EQ"}]}
        ],
    })
}

#[test]
fn runc_installs_what_we_compile() {
    same_as("runc", &small(), &[0, 2, 4, 5, 6, 40, 1 << 32 | 5, 1 << 32 | 40]);
}

#[test]
fn crun_installs_what_we_compile() {
    same_as("crun", &small(), &[0, 2, 4, 5, 6, 40, 1 << 32 | 5, 1 << 32 | 40]);
}

#[test]
fn runc_takes_the_packaged_profile_and_ours_alike() {
    let words = [0, 1, 8, 9, 16, 38, 40, 0x5412, 0x2_0000, 0x1000_0000, 0x80, 1 << 32 | 40];
    if let Some(packaged) = packaged_profile() {
        same_as("runc", &packaged, &words);
    }
    let own = serde_json::to_value(Filter::container_default().to_oci(None).unwrap()).unwrap();
    same_as("runc", &own, &words);
}
