//! Messages, in the forms that podman and containerd read: the last line of `--log` that says
//! `error` is what they tell their users.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;

use serde_json::json;

use crate::args::LogFormat;

/// The file of `--log`, if there is one.
#[derive(Debug)]
pub(crate) struct Log {
    file: Option<File>,
    format: LogFormat,
    debug: bool,
}

impl Log {
    /// Opens the file for appending; it may also be a pipe.
    pub(crate) fn open(path: Option<&Path>, format: LogFormat, debug: bool) -> io::Result<Self> {
        let open = |path| OpenOptions::new().append(true).create(true).mode(0o644).open(path);
        Ok(Self { file: path.map(open).transpose()?, format, debug })
    }

    /// What failed: to the file, and to the standard error stream for whoever runs this by hand.
    pub(crate) fn error(&self, message: &str) {
        eprintln!("ocirun: {message}");
        self.write("error", message);
    }

    /// What was passed over, and why.
    pub(crate) fn warning(&self, message: &str) {
        if self.file.is_none() {
            eprintln!("ocirun: warning: {message}");
        }
        self.write("warning", message);
    }

    /// What is being done, where `--debug` asks for it.
    pub(crate) fn debug(&self, message: &str) {
        if self.debug {
            if self.file.is_none() {
                eprintln!("ocirun: debug: {message}");
            }
            self.write("debug", message);
        }
    }

    fn write(&self, level: &str, message: &str) {
        let Some(mut file) = self.file.as_ref() else { return };
        let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let line = match self.format {
            LogFormat::Json => json!({ "level": level, "msg": message, "time": time }).to_string(),
            LogFormat::Text => format!("time={time:?} level={level} msg={message:?}"),
        };
        // One write, so that lines of several processes stay whole.
        let _ = file.write_all(format!("{line}\n").as_bytes());
    }
}
