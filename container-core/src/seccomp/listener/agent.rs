//! Handing a listener to an agent, as the OCI runtime specification has it
//! (config-linux, "The Container Process State").

use std::collections::{BTreeMap, HashMap};
use std::io::{IoSlice, Write};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, connect, sendmsg,
    setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;
use oci_spec::runtime::{ContainerProcessState, ContainerState, SECCOMP_FD_NAME, State};

use crate::error::{Error, ErrorKind, Result};
use crate::oci::SPEC_VERSION;

const STEP: &str = "seccomp listener";
/// How long an agent may take to accept the connection and the message.
const PATIENCE: i64 = 10;

/// An agent that answers where a filter notifies: the path of its Unix stream
/// socket, and what it is told besides.
///
/// ```
/// use container_core::seccomp::SeccompListener;
///
/// let listener = SeccompListener::new("/run/agent.sock").metadata("profile=7");
/// # let _ = listener;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct SeccompListener {
    path: PathBuf,
    metadata: Option<String>,
    id: String,
    pid: Option<u32>,
    bundle: PathBuf,
    annotations: HashMap<String, String>,
}

impl SeccompListener {
    /// The agent that listens at this absolute path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            metadata: None,
            id: String::new(),
            pid: None,
            bundle: PathBuf::new(),
            annotations: HashMap::new(),
        }
    }

    /// Any text that means something to the agent; none unless given.
    pub fn metadata(mut self, metadata: impl Into<String>) -> Self {
        self.metadata = Some(metadata.into());
        self
    }

    /// The container's id in the state that the agent is sent; of a
    /// [`ContainerBuilder`](crate::ContainerBuilder) its own unless given.
    pub fn container_id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    /// The container's first process in the state, where the agent answers for
    /// another one that is executed inside: the state is then `running`.
    pub fn container_pid(mut self, pid: u32) -> Self {
        self.pid = Some(pid);
        self
    }

    /// The container's bundle directory in the state; empty unless given.
    pub fn bundle(mut self, directory: impl Into<PathBuf>) -> Self {
        self.bundle = directory.into();
        self
    }

    /// The container's annotations in the state; none unless given.
    pub fn annotations(mut self, all: impl IntoIterator<Item = (String, String)>) -> Self {
        self.annotations = all.into_iter().collect();
        self
    }

    /// The path of its socket.
    #[must_use]
    pub fn get_path(&self) -> &Path {
        &self.path
    }

    /// The text for the agent.
    #[must_use]
    pub fn get_metadata(&self) -> Option<&str> {
        self.metadata.as_deref()
    }

    /// What has not been given is the container's.
    pub(crate) fn or_of_container(
        mut self,
        id: &str,
        annotations: &BTreeMap<String, String>,
    ) -> Self {
        if self.id.is_empty() {
            self.id = id.to_owned();
        }
        if self.annotations.is_empty() {
            self.annotations.extend(annotations.clone());
        }
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        let shown = self.path.to_string_lossy();
        if !self.path.is_absolute() {
            return Err(Error::invalid(STEP, shown, "not an absolute path"));
        }
        UnixAddr::new(&self.path)
            .map(drop)
            .map_err(|_| Error::invalid(STEP, shown, "a socket's path takes 107 bytes, none NUL"))
    }
}

/// The JSON text of the state that goes with the descriptor.
pub(crate) fn process_state(
    listener: &SeccompListener,
    pid: u32,
    status: ContainerState,
) -> Result<String> {
    let number = |pid: u32| i32::try_from(pid).unwrap_or_default();
    let status = if listener.pid.is_some() { ContainerState::Running } else { status };
    let version = SPEC_VERSION.to_owned();
    let mut state = State::default();
    state.set_version(version.clone());
    state.set_id(listener.id.clone());
    state.set_status(status);
    state.set_pid(Some(number(listener.pid.unwrap_or(pid))));
    state.set_bundle(listener.bundle.clone());
    if !listener.annotations.is_empty() {
        state.set_annotations(Some(listener.annotations.clone()));
    }
    let mut process = ContainerProcessState::default();
    process.set_version(version);
    process.set_fds(vec![SECCOMP_FD_NAME.to_owned()]);
    process.set_pid(number(pid));
    process.set_metadata(listener.metadata.clone());
    process.set_state(state);
    serde_json::to_string(&process)
        .map_err(|error| Error::with(ErrorKind::InvalidInput, STEP, "state", error.to_string()))
}

/// Hands a filter's listener to the agent at the Unix stream socket `path`:
/// one connection, one message, the descriptor by `SCM_RIGHTS`. `state` is the
/// JSON text of the OCI *container process state*, whose `fds` must be
/// `["seccompFd"]`.
///
/// ```no_run
/// # fn demo(listener: container_core::seccomp::Listener) -> container_core::Result<()> {
/// use std::os::fd::AsFd;
/// let state = r#"{"ociVersion":"1.3.0","fds":["seccompFd"],"pid":4422,"state":{}}"#;
/// container_core::seccomp::listener::forward("/run/agent.sock".as_ref(), state, listener.as_fd())
/// # }
/// ```
///
/// # Errors
///
/// Those of [connect(2)] and [sendmsg(2)]:
/// [`NotFound`](ErrorKind::NotFound) if there is no socket,
/// [`LimitReached`](ErrorKind::LimitReached) if the agent takes no connection
/// for ten seconds.
///
/// [connect(2)]: https://man7.org/linux/man-pages/man2/connect.2.html
/// [sendmsg(2)]: https://man7.org/linux/man-pages/man2/sendmsg.2.html
pub fn forward(path: &Path, state: &str, listener: BorrowedFd<'_>) -> Result<()> {
    let failed = |call: &'static str| {
        move |error: nix::errno::Errno| {
            Error::os(call, path.to_string_lossy(), error)
                .hint("the seccomp agent must listen at listenerPath, on a Unix stream socket")
        }
    };
    let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)
        .map_err(failed("socket"))?;
    setsockopt(&socket, sockopt::SendTimeout, &TimeVal::new(PATIENCE, 0))
        .map_err(failed("setsockopt SO_SNDTIMEO"))?;
    let address = UnixAddr::new(path).map_err(failed("connect"))?;
    connect(socket.as_raw_fd(), &address).map_err(failed("connect"))?;
    let descriptors = [listener.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&descriptors)];
    let parts = [IoSlice::new(state.as_bytes())];
    let flags = MsgFlags::MSG_NOSIGNAL;
    let sent = sendmsg::<()>(socket.as_raw_fd(), &parts, &rights, flags, None)
        .map_err(failed("sendmsg"))?;
    // Only a state longer than the socket's buffer is left in part.
    let rest = state.as_bytes().get(sent..).unwrap_or_default();
    UnixStream::from(socket)
        .write_all(rest)
        .map_err(|error| Error::os("write", path.to_string_lossy(), error))
}
