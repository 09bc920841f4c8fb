//! A failing operation in words, also where the plan is not at hand: who
//! starts a container that another process created has only what that one
//! stored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::op::Op;
use super::{Plan, way_out};
use crate::error::Error;

/// The operations behind the wait for the start, in words: what
/// [`start_over`](crate::process::start::start_over) needs of a plan. It can be
/// serialized, so that the creator stores it beside the socket.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StartWords {
    /// The index of the first.
    first: u32,
    steps: Vec<Words>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Words {
    call: String,
    object: String,
    /// By errno.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    ways_out: BTreeMap<i32, String>,
}

/// The kernel's highest errno that programs meet (`EHWPOISON`).
const LAST_ERRNO: i32 = 133;

impl Words {
    fn of(op: &Op) -> Self {
        /// Characters of an object that are kept.
        const MOST: usize = 1024;
        let (call, object) = op.call_and_object();
        let ways_out = (1..=LAST_ERRNO)
            .filter_map(|errno| Some((errno, way_out::way_out(op, errno)?.to_owned())))
            .collect();
        Self { call: call.to_owned(), object: object.chars().take(MOST).collect(), ways_out }
    }
}

impl StartWords {
    /// The words of a failure that the init reported.
    pub(crate) fn failure(&self, index: u32, errno: i32, text: &str) -> Error {
        let place = index.checked_sub(self.first);
        let Some(words) = place.and_then(|place| self.steps.get(place as usize)) else {
            return unknown(index, errno);
        };
        let error = failure(index, &words.call, words.object.clone(), errno, text);
        match words.ways_out.get(&errno) {
            Some(hint) => error.hint(hint.clone()),
            None => error,
        }
    }
}

impl Plan {
    /// Whether another process will start it.
    pub(crate) fn has_start_socket(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.op, Op::Accept(_)))
    }

    /// What a starter needs to tell a failure; empty unless the process
    /// [waits on a socket](crate::ProcessBuilder::wait_on_socket).
    #[must_use]
    pub fn start_words(&self) -> StartWords {
        let accept = self.steps.iter().position(|step| matches!(step.op, Op::Accept(_)));
        let Some(first) = accept else { return StartWords::default() };
        let steps = self.steps[first..].iter().map(|step| Words::of(&step.op)).collect();
        StartWords { first: first as u32, steps }
    }
}

pub(super) fn failure(index: u32, call: &str, object: String, errno: i32, text: &str) -> Error {
    let call = if text.is_empty() {
        format!("op {index}: {call}")
    } else {
        format!("op {index}: {call} ({})", without_level(text))
    };
    Error::os(call, object, std::io::Error::from_raw_os_error(errno))
}

pub(super) fn unknown(index: u32, errno: i32) -> Error {
    let error = std::io::Error::from_raw_os_error(errno);
    Error::os("init", format!("operation {index}"), error)
}

/// A message of a file system context starts with its level: e, w or i.
fn without_level(text: &str) -> &str {
    let text = text.trim();
    ["e ", "w ", "i "].iter().find_map(|level| text.strip_prefix(level)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, ProcessBuilder};

    #[test]
    fn stored_words_tell_what_the_plan_tells() {
        let (listener, _) = std::os::unix::net::UnixStream::pair().unwrap();
        let builder = ProcessBuilder::new("tool").wait_on_socket(listener);
        let plan = builder.plan().unwrap();
        let stored = serde_json::to_string(&plan.start_words()).unwrap();
        let words: StartWords = serde_json::from_str(&stored).unwrap();
        let last = plan.steps.len() as u32 - 1;
        for (index, errno) in [(last, libc::ENOENT), (last, libc::EACCES), (last - 1, libc::EIO)] {
            let told = plan.failure(index, errno, "").to_string();
            assert_eq!(words.failure(index, errno, "").to_string(), told);
        }
        let gone = words.failure(last, libc::ENOENT, "");
        assert_eq!(gone.kind(), ErrorKind::NotFound);
        assert!(gone.to_string().contains("executable file not found in $PATH"), "{gone}");
        assert!(words.failure(0, libc::EIO, "").to_string().contains("operation 0"));
        assert!(words.failure(u32::MAX, libc::EIO, "").to_string().contains("operation"));
        assert_eq!(ProcessBuilder::new("/x").plan().unwrap().start_words(), StartWords::default());
    }
}
