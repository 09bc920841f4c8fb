//! A layer made of programs that the host has: an image without a registry.
//!
//! A dynamically linked program is more than its file. The kernel starts the *interpreter* that
//! the file names (`PT_INTERP`, the dynamic loader), and that loads the libraries which the file
//! and its libraries ask for (`DT_NEEDED`), from directories named in the files (`RPATH`,
//! `RUNPATH`), in `/etc/ld.so.conf`, or built in. [`HostPrograms`] finds the same files in the same
//! order **by reading** the ELF files; nothing is run, as `ldd` would. Scripts (`#!`) bring their
//! interpreter.
//!
//! ```
//! use container_image::host_programs::HostPrograms;
//!
//! let layer = HostPrograms::new()
//!     .program("/bin/sh")
//!     .program("ls") // looked up in PATH
//!     .dir("/tmp", 0o1777)
//!     .add_file("/etc/motd", "made of this machine's own programs\n", 0o644)
//!     .build()?;
//! assert!(layer.contains("/etc/motd"));
//! assert!(layer.len() > 4); // the loader and libraries came along
//! # Ok::<(), container_image::Error>(())
//! ```
//!
//! # Paths and links
//!
//! On most systems `/bin` is a link to `usr/bin`, `/bin/sh` one to `dash`, and the loader's
//! path goes through `/lib64`. Each path is walked as the kernel does, and every directory and
//! link on the way goes into the layer as it is; so whatever path works on the host works in
//! the image, for the program, its interpreter and its libraries alike.
//!
//! Everything belongs to root in the image. A set-id bit that means another user or group on the
//! host is therefore left out.
//!
//! # What is not found
//!
//! Files that a program opens on its own: plug-ins (`dlopen`), locales, configuration, data
//! below `/usr/share`. Add them with [`file`](HostPrograms::file) and
//! [`library`](HostPrograms::library). `LD_LIBRARY_PATH` and `LD_PRELOAD` of the calling
//! process are not looked at, and of `glibc-hwcaps` variants the plain library is taken, which
//! runs on every processor of the architecture.

mod elf;
mod host;
mod pack;
mod search;

use std::env;
use std::path::PathBuf;

use crate::error::Result;
use crate::layer::LayerBuilder;
use host::Host;
use pack::Packer;

/// Where programs are looked up if the process has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What goes into the layer, in the order of the calls.
#[derive(Debug, Clone)]
enum Item {
    Program(String),
    ProgramAt(String, PathBuf),
    Library(String),
    File(PathBuf, PathBuf),
    Bytes(PathBuf, Vec<u8>, u32),
    Dir(PathBuf, u32),
    Symlink(PathBuf, PathBuf),
}

/// Collects programs and files of the host for a layer; see the [module documentation](self).
///
/// Nothing is looked at before [`build`](Self::build).
#[derive(Debug, Clone)]
#[must_use = "nothing happens before build()"]
pub struct HostPrograms {
    root: PathBuf,
    path: Option<Vec<PathBuf>>,
    items: Vec<Item>,
}

impl Default for HostPrograms {
    fn default() -> Self {
        Self::new()
    }
}

impl HostPrograms {
    /// No programs yet; taken from `/`.
    pub fn new() -> Self {
        Self { root: PathBuf::from("/"), path: None, items: Vec::new() }
    }

    /// Takes everything from this directory instead of `/`: another system's tree. Links are
    /// resolved inside it. Content that changes meanwhile is not guarded against.
    pub fn root(mut self, root: impl Into<PathBuf>) -> Self {
        self.root = root.into();
        self
    }

    /// Sets the directories in which names without a slash are looked up. Default: the `PATH`
    /// of this process.
    pub fn search_path(mut self, dirs: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        self.path = Some(dirs.into_iter().map(Into::into).collect());
        self
    }

    /// Adds a program with all that it needs: an absolute path, or a name to look up.
    pub fn program(self, program: impl Into<String>) -> Self {
        self.item(Item::Program(program.into()))
    }

    /// Adds several programs.
    pub fn programs(self, programs: impl IntoIterator<Item = impl Into<String>>) -> Self {
        programs.into_iter().fold(self, Self::program)
    }

    /// Adds a program under another path, with all that it needs at the host's own paths: for
    /// one that lies where no image has programs, such as [`std::env::current_exe`].
    pub fn program_at(self, program: impl Into<String>, inside: impl Into<PathBuf>) -> Self {
        self.item(Item::ProgramAt(program.into(), inside.into()))
    }

    /// Adds a shared library that a program opens on its own, with all that it needs: an
    /// absolute path, or a name such as `libnss_dns.so.2` to look up as the loader does.
    pub fn library(self, library: impl Into<String>) -> Self {
        self.item(Item::Library(library.into()))
    }

    /// Copies one file of the host to a path in the image, with its mode and without looking
    /// at what it needs. Parents are made as needed, with mode 0755.
    pub fn file(self, host: impl Into<PathBuf>, inside: impl Into<PathBuf>) -> Self {
        self.item(Item::File(host.into(), inside.into()))
    }

    /// Adds a file with the given content. Parents are made as needed, with mode 0755.
    pub fn add_file(
        self,
        path: impl Into<PathBuf>,
        content: impl Into<Vec<u8>>,
        mode: u32,
    ) -> Self {
        self.item(Item::Bytes(path.into(), content.into(), mode))
    }

    /// Adds a directory, and its parents with mode 0755.
    pub fn dir(self, path: impl Into<PathBuf>, mode: u32) -> Self {
        self.item(Item::Dir(path.into(), mode))
    }

    /// Adds a symbolic link. Parents are made as needed, with mode 0755.
    pub fn symlink(self, path: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        self.item(Item::Symlink(path.into(), target.into()))
    }

    fn item(mut self, item: Item) -> Self {
        self.items.push(item);
        self
    }

    /// Finds everything and puts the layer together. Everything belongs to 0:0 in it and is
    /// dated 1970, so that the same programs give the same layer.
    ///
    /// Programs and libraries are placed first, so that the other paths may lead through the
    /// links that came with them.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) for a program or file that the host
    /// lacks; [`ErrorKind::MissingLibrary`](crate::ErrorKind::MissingLibrary) naming the
    /// library and the file that needs it;
    /// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) for a broken ELF file; those of
    /// [`LayerBuilder::insert`].
    pub fn build(&self) -> Result<LayerBuilder> {
        let path = self.path.clone().unwrap_or_else(|| {
            let path = env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
            env::split_paths(&path).collect()
        });
        let mut packer = Packer::new(Host::new(&self.root), path);
        for item in &self.items {
            match item {
                Item::Program(program) => packer.program(program)?,
                Item::ProgramAt(program, _) => packer.needs_of_program(program)?,
                Item::Library(library) => packer.library(library)?,
                _ => {}
            }
        }
        for item in &self.items {
            match item {
                Item::Program(_) | Item::Library(_) => {}
                Item::ProgramAt(program, inside) => packer.copy_program(program, inside)?,
                Item::File(host, inside) => packer.copy_file(host, inside)?,
                Item::Bytes(path, bytes, mode) => packer.bytes(path, bytes, *mode)?,
                Item::Dir(path, mode) => packer.dir(path, *mode)?,
                Item::Symlink(path, target) => packer.symlink(path, target)?,
            }
        }
        packer.finish()
    }
}
