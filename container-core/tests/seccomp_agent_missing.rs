//! An agent that isn't there: a clear error, and nothing left. The only test of
//! its file, for it looks at the whole process.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::os::unix::net::UnixListener;

use container_core::seccomp::{Action, Filter, Rule, SeccompListener};
use container_core::{ErrorKind, ProcessBuilder};

fn notifying(script: &str) -> ProcessBuilder {
    let filter = Filter::new(Action::Allow).rule(Rule::new(["acct"], Action::Notify));
    ProcessBuilder::new("/bin/sh")
        .args(["-c", script])
        .no_new_privileges(true)
        .seccomp(filter.compile().unwrap())
}

#[test]
fn a_missing_agent_leaves_nothing() {
    let dir = testkit::TempDir::new();
    let made = dir.join("made");
    // What the library makes once and keeps.
    notifying("true").status().unwrap();
    let before = testkit::Leaks::tagged(dir.path().to_str().unwrap());

    let none = SeccompListener::new(dir.join("nobody"));
    let script = format!("echo > {}", made.display());
    let error = notifying(&script).seccomp_listener(none).spawn().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("nobody") && error.step() == "connect", "{error}");
    before.assert_unchanged();
    assert!(!made.exists(), "the program must not run");

    let stale = dir.join("stale");
    drop(UnixListener::bind(&stale).unwrap());
    let stale = SeccompListener::new(stale);
    let error = notifying(&script).seccomp_listener(stale).spawn().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ECONNREFUSED), "{error}");
    before.assert_unchanged();
    assert!(!made.exists(), "the program must not run");
}
