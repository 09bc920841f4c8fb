//! Places in the container's root, resolved inside it by descriptor and made
//! where they are missing.

use crate::kernel::{
    self, EEXIST, ELOOP, ENAMETOOLONG, ENOENT, Errno, O_CLOEXEC, O_CREAT, O_DIRECTORY, O_EXCL,
    O_NOFOLLOW, O_PATH, RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS, Text, sys,
};
use crate::machine::Machine;
use crate::raw::nr;
use crate::wire::{Span, target};

/// The kernel's `PATH_MAX`.
const MAX_PATH: usize = 4096;
/// As many symlinks as the kernel follows (`MAXSYMLINKS`).
const MAX_LINKS: u32 = 40;

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
            Err(ENOENT) if self.make & (target::DIRECTORY | target::FILE) != 0 => {
                let path = Path::new(machine.bytes(self.path))?;
                self.make_all(machine, path)
            }
            other => other,
        }
    }

    /// The directory that the place is in, made if it is missing, and the
    /// place's name in it.
    pub fn open_parent(&self, machine: &mut Machine) -> Result<(i32, Text), Errno> {
        let bytes = machine.bytes(self.path);
        let slash = bytes.iter().rposition(|byte| *byte == b'/');
        let parent = bytes.get(..slash.unwrap_or(0)).unwrap_or(&[]);
        let parent = Path::new(if parent.is_empty() { b"." } else { parent })?;
        let directory = Self { make: target::DIRECTORY, mode: 0o755, ..*self };
        let parent = directory.make_all(machine, parent)?;
        let at = self.path.at + slash.map_or(0, |at| at as u32 + 1);
        Ok((parent, machine.text(Span { at, len: 0 })))
    }

    /// Opens each directory on the way and makes those that are missing, and
    /// the place itself. A symlink that leads to nothing is followed in the
    /// root, and what it names is made.
    fn make_all(&self, machine: &mut Machine, mut path: Path) -> Result<i32, Errno> {
        let (mut from, mut links) = (0, 0);
        loop {
            let end = path.component_end(from);
            let last = end == path.length;
            let cut = path.set(end, 0);
            let opened = self.open_or_make(machine, &path, end, last);
            path.set(end, cut);
            match opened? {
                Found::Place(fd) if last => return Ok(fd),
                Found::Place(fd) => {
                    kernel::close(fd);
                    from = end + 1;
                }
                Found::Link(link) => {
                    links += 1;
                    let followed = path.follow(end, link);
                    kernel::close(link);
                    followed?;
                    from = 0;
                }
            }
            if links > MAX_LINKS {
                return Err(ELOOP);
            }
        }
    }

    /// Opens the path, which ends at `end`, or makes its last component.
    fn open_or_make(
        &self,
        machine: &mut Machine,
        path: &Path,
        end: usize,
        last: bool,
    ) -> Result<Found, Errno> {
        machine.detail = "openat2";
        match kernel::open_in(self.root, path.text(0), O_PATH, self.resolve()) {
            Err(ENOENT) => {}
            other => return other.map(Found::Place),
        }
        let name = path.name_start(end);
        let mut directory = Path::new(path.bytes(name.saturating_sub(1)))?;
        if directory.length == 0 {
            directory = Path::new(b".")?;
        }
        let flags = O_PATH | O_DIRECTORY;
        let parent = kernel::open_in(self.root, directory.text(0), flags, self.resolve())?;
        let made = self.make_in(machine, parent, path.text(name), last);
        kernel::close(parent);
        made
    }

    fn make_in(
        &self,
        machine: &mut Machine,
        parent: i32,
        name: Text,
        last: bool,
    ) -> Result<Found, Errno> {
        let file = last && self.make & target::FILE != 0;
        machine.detail = if file { "openat O_CREAT" } else { "mkdirat" };
        let made = if file {
            let flags = O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
            sys!(nr::OPENAT, parent, name.0, flags, self.mode).map(|fd| kernel::close(fd as i32))
        } else {
            sys!(nr::MKDIRAT, parent, name.0, if last { self.mode } else { 0o755 }).map(drop)
        };
        match made {
            Ok(()) | Err(EEXIST) => {}
            Err(errno) => return Err(errno),
        }
        machine.detail = "openat2 of what was made";
        let found = kernel::open_in(parent, name, O_PATH | O_NOFOLLOW, RESOLVE_NO_SYMLINKS)?;
        match kernel::stat(found) {
            Ok(stat) if stat.kind() != 0o12_0000 => Ok(Found::Place(found)),
            Ok(_) if !self.strict => Ok(Found::Link(found)),
            other => {
                kernel::close(found);
                Err(other.err().unwrap_or(ELOOP))
            }
        }
    }
}

/// What stands at a path.
enum Found {
    Place(i32),
    /// A symlink that leads to nothing.
    Link(i32),
}

/// A path that grows where symlinks are followed; a NUL is behind it.
struct Path {
    bytes: [u8; MAX_PATH + 1],
    length: usize,
}

impl Path {
    fn new(bytes: &[u8]) -> Result<Self, Errno> {
        let mut path = Self { bytes: [0; MAX_PATH + 1], length: 0 };
        path.append(bytes)?;
        Ok(path)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        if self.length + bytes.len() >= MAX_PATH {
            return Err(ENAMETOOLONG);
        }
        for (to, from) in self.bytes.iter_mut().skip(self.length).zip(bytes) {
            *to = *from;
        }
        self.length += bytes.len();
        Ok(())
    }

    fn text(&self, at: usize) -> Text {
        self.bytes.get(at..).map_or(Text::EMPTY, |rest| Text(rest.as_ptr()))
    }

    fn bytes(&self, end: usize) -> &[u8] {
        self.bytes.get(..end).unwrap_or(&[])
    }

    /// Puts a byte there and tells which one was.
    fn set(&mut self, at: usize, byte: u8) -> u8 {
        self.bytes.get_mut(at).map_or(0, |place| core::mem::replace(place, byte))
    }

    /// Where the component ends that begins there or behind.
    fn component_end(&self, from: usize) -> usize {
        let rest = self.bytes.get(from..self.length).unwrap_or(&[]);
        rest.iter().position(|byte| *byte == b'/').map_or(self.length, |at| from + at)
    }

    /// Where the last component begins of the path that ends at `end`.
    fn name_start(&self, end: usize) -> usize {
        self.bytes(end).iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1)
    }

    /// Puts what the symlink says in the place of the component that ends at
    /// `end`. An absolute link begins at the root.
    fn follow(&mut self, end: usize, link: i32) -> Result<(), Errno> {
        let mut said = [0u8; MAX_PATH];
        let (into, room) = (said.as_mut_ptr(), said.len());
        let length = sys!(nr::READLINKAT, link, Text::EMPTY.0, into, room)?;
        let said = said.get(..length).unwrap_or(&[]);
        let absolute = said.first() == Some(&b'/');
        let mut path = Self::new(if absolute { b"." } else { self.bytes(self.name_start(end)) })?;
        path.append(said)?;
        path.append(self.bytes.get(end..self.length).unwrap_or(&[]))?;
        *self = path;
        Ok(())
    }
}
