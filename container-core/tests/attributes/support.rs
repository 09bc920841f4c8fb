//! A process to look at from outside, and what it tells itself.

use container_core::{Error, ErrorKind, Process, ProcessBuilder, Stdio};

/// A process that sleeps; killed on drop.
pub(crate) fn sleeper(
    change: impl FnOnce(ProcessBuilder) -> ProcessBuilder,
) -> Result<Process, Error> {
    change(ProcessBuilder::new("sleep").arg("100").stdin(Stdio::Null)).spawn()
}

/// What a program prints.
#[track_caller]
pub(crate) fn printed(builder: ProcessBuilder) -> String {
    let output = builder.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {stderr}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// A field of `/proc/PID/status`.
#[track_caller]
pub(crate) fn status(pid: u32, field: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let start = format!("{field}:");
    let line = text.lines().find(|line| line.starts_with(&start)).unwrap();
    line[start.len()..].trim().to_owned()
}

/// Refused for lack of a privilege, with the way out.
#[track_caller]
pub(crate) fn assert_denied(error: &Error, call: &str) {
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    assert!(error.to_string().contains(call), "{call:?} not in: {error}");
    assert!(error.way_out().is_some(), "{error}");
}
