//! What a supervisor and those who attach to it say to each other: shared by
//! the init and the library.
//!
//! The socket is a `SOCK_SEQPACKET` unix socket, so a message arrives whole or
//! not at all. Its first byte is its [kind](to_client); numbers are little
//! endian. Any message that is not one of these ends the connection.
//!
//! ```text
//! client      HELLO flags
//! supervisor  WELCOME version, flags, process, supervisor
//!             STDOUT bytes, STDERR bytes, LOST count ... EXIT status, end
//! client      INPUT bytes, RESIZE rows columns, CLOSE_INPUT, REOPEN_LOG,
//!             SIGNAL number; closing the connection detaches
//! ```

/// In WELCOME.
pub const VERSION: u8 = 1;
/// Bytes of the longest message, its kind included.
pub const MAX_MESSAGE: usize = CHUNK + 1;
/// Bytes of output that are read and passed on at a time, and of input that
/// one message carries.
pub const CHUNK: usize = 8192;
/// Bytes of output that are kept for those who attach later or read slowly,
/// three more counted for each message. A power of two.
pub const KEPT: usize = 64 << 10;
/// Connections at a time; more wait until one of these ends.
pub const MAX_CLIENTS: usize = 32;
/// How long, in milliseconds, the container's output waits for a client that
/// reads nothing. Then that client is passed over: it loses what it comes too
/// late for (LOST), until it has caught up.
pub const PATIENCE: u64 = 250;
/// How long, in milliseconds, the last output and the exit status are offered
/// to clients that are slow to read them.
pub const FAREWELL: u64 = 1000;
/// Bytes that are read at most after the container's end: what others who
/// have its streams open write on is nobody's output.
pub const LAST_OUTPUT: usize = 1 << 20;

/// The exit status, once it is there.
pub const EXIT_FILE: &core::ffi::CStr = c"exit";
/// Its file until then, of a size that is enough on a full disk too.
pub const EXIT_FILE_NEW: &core::ffi::CStr = c"exit.new";
/// Bytes that are put into that file in advance.
pub const EXIT_FILE_SIZE: usize = 512;
/// The socket.
pub const SOCKET: &core::ffi::CStr = c"attach.sock";
/// Log files at most, the current one and those it was rotated to.
pub const MAX_LOGS: usize = 16;

/// Kinds of messages from the supervisor.
pub mod to_client {
    /// Version, [flags](super::welcome) (a byte each), the container's first
    /// process and the supervisor's (`u32` each).
    pub const WELCOME: u8 = 1;
    /// Bytes from standard output, or from the terminal.
    pub const STDOUT: u8 = 2;
    /// Bytes from standard error.
    pub const STDERR: u8 = 3;
    /// So many bytes (`u64`) came too fast for this client and are not told.
    pub const LOST: u8 = 4;
    /// The program has ended with this status of wait(2) (`i32`); the last
    /// message.
    pub const EXIT: u8 = 5;
}

/// Flags of WELCOME.
pub mod welcome {
    /// It has a terminal.
    pub const TERMINAL: u8 = 1;
    /// Somebody reads the input.
    pub const INPUT: u8 = 2;
}

/// Kinds of messages from a client.
pub mod to_supervisor {
    /// [Flags](super::hello), a byte. To be the first.
    pub const HELLO: u8 = 16;
    /// Bytes for standard input.
    pub const INPUT: u8 = 17;
    /// Rows and columns (`u16` each) of the terminal.
    pub const RESIZE: u8 = 18;
    /// No more input, from anybody; to a terminal as its ctrl-d.
    pub const CLOSE_INPUT: u8 = 19;
    /// Opens the log anew by its name: somebody has moved it away.
    pub const REOPEN_LOG: u8 = 20;
    /// Sends a signal (a byte) to the container's first process.
    pub const SIGNAL: u8 = 21;
}

/// Flags of HELLO.
pub mod hello {
    /// Wants output.
    pub const OUTPUT: u8 = 1;
    /// And first what is kept of earlier output.
    pub const TAIL: u8 = 2;
}
