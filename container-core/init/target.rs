//! Places in the container's root, resolved inside it by descriptor and made
//! where they are missing.

use crate::kernel::{
    self, EEXIST, ENOENT, Errno, O_CLOEXEC, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_PATH,
    RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS, Text, sys,
};
use crate::machine::Machine;
use crate::raw::nr;
use crate::wire::{Span, target};

/// A place, and what to make of it.
#[derive(Clone, Copy)]
pub struct Target {
    pub root: i32,
    /// A string of the plan, relative to the root.
    pub path: Span,
    /// A symlink anywhere on the way is refused, not resolved in the root.
    pub strict: bool,
    /// [`target::DIRECTORY`] or [`target::FILE`], or neither.
    pub make: u32,
    pub mode: u64,
}

impl Target {
    fn resolve(&self) -> u64 {
        RESOLVE_IN_ROOT | if self.strict { RESOLVE_NO_SYMLINKS } else { 0 }
    }

    /// A descriptor of the place, made if it is missing, like all directories
    /// on the way.
    pub fn open(&self, machine: &mut Machine) -> Result<i32, Errno> {
        machine.detail = "openat2";
        match kernel::open_in(self.root, machine.text(self.path), O_PATH, self.resolve()) {
            Err(ENOENT) if self.make & (target::DIRECTORY | target::FILE) != 0 => {}
            other => return other,
        }
        for at in 1..self.path.len {
            if machine.bytes(self.path).get(at as usize) == Some(&b'/') {
                let made = self.make_prefix(machine, at)?;
                kernel::close(made);
            }
        }
        self.make_prefix(machine, self.path.len)
    }

    /// The directory that the place is in, made if it is missing, and the
    /// place's name in it.
    pub fn open_parent(&self, machine: &mut Machine) -> Result<(i32, Text), Errno> {
        let slash = machine.bytes(self.path).iter().rposition(|byte| *byte == b'/');
        let name = |at: u32| Span { at: self.path.at + at, len: 0 };
        let Some(at) = slash.map(|at| at as u32) else {
            machine.detail = "openat2";
            let here = Text(c".".as_ptr().cast());
            let parent = kernel::open_in(self.root, here, O_PATH, self.resolve())?;
            return Ok((parent, machine.text(name(0))));
        };
        cut(machine, self.path, at, 0);
        let path = Span { at: self.path.at, len: at };
        let parent = Self { path, make: target::DIRECTORY, mode: 0o755, ..*self }.open(machine);
        cut(machine, self.path, at, b'/');
        Ok((parent?, machine.text(name(at + 1))))
    }

    /// Opens the first `length` bytes of the path, making the last component
    /// if it is missing.
    fn make_prefix(&self, machine: &mut Machine, length: u32) -> Result<i32, Errno> {
        cut(machine, self.path, length, 0);
        machine.detail = "openat2";
        let opened =
            match kernel::open_in(self.root, machine.text(self.path), O_PATH, self.resolve()) {
                Err(ENOENT) => self.make_last(machine, length),
                other => other,
            };
        cut(machine, self.path, length, b'/');
        opened
    }

    fn make_last(&self, machine: &mut Machine, length: u32) -> Result<i32, Errno> {
        let path = machine.bytes(Span { at: self.path.at, len: length });
        let slash = path.iter().rposition(|byte| *byte == b'/');
        let resolve = self.resolve();
        let parent = match slash {
            None | Some(0) => {
                kernel::open_in(self.root, Text(c".".as_ptr().cast()), O_PATH, resolve)?
            }
            Some(at) => {
                cut(machine, self.path, at as u32, 0);
                let path = machine.text(self.path);
                let parent = kernel::open_in(self.root, path, O_PATH | O_DIRECTORY, resolve);
                cut(machine, self.path, at as u32, b'/');
                parent?
            }
        };
        let start = slash.map_or(0, |at| at as u32 + 1);
        let name = machine.text(Span { at: self.path.at + start, len: 0 });
        let file = length == self.path.len && self.make & target::FILE != 0;
        machine.detail = if file { "openat O_CREAT" } else { "mkdirat" };
        let made = if file {
            let flags = O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
            sys!(nr::OPENAT, parent, name.0, flags, self.mode).map(|fd| kernel::close(fd as i32))
        } else {
            sys!(nr::MKDIRAT, parent, name.0, self.mode).map(drop)
        };
        let opened = match made {
            Ok(()) | Err(EEXIST) => {
                machine.detail = "openat2 of what was made";
                kernel::open_in(parent, name, O_PATH, RESOLVE_NO_SYMLINKS)
            }
            Err(errno) => Err(errno),
        };
        kernel::close(parent);
        opened
    }
}

/// Ends the path early, or restores the separator there.
fn cut(machine: &mut Machine, path: Span, at: u32, byte: u8) {
    if at < path.len
        && let Some(place) = machine.bytes_mut(path).get_mut(at as usize)
    {
        *place = byte;
    }
}
