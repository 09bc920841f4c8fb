//! Follows programs to everything that they need, and puts it into a layer.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::elf::{Elf, Machine};
use super::host::{Host, Step};
use super::search::Search;
use crate::error::{Error, ErrorKind, Result};
use crate::layer::{Content, LayerBuilder, Metadata, Node};

/// The longest `#!` line that the kernel reads (`BINPRM_BUF_SIZE`).
const MAX_SHEBANG: u64 = 256;
/// How many scripts may stand behind each other.
const MAX_SCRIPTS: usize = 5;
/// The C library of glibc, which every dynamic program needs.
const LIBC: &[u8] = b"libc.so.6";

pub(super) struct Packer {
    host: Host,
    path: Vec<PathBuf>,
    search: Search,
    layer: LayerBuilder,
    /// ELF files read so far, by their path without links.
    seen: HashMap<PathBuf, Option<Rc<Elf>>>,
    /// Where each machine's libc was found.
    libc_dirs: HashMap<Machine, PathBuf>,
    /// Libraries that were found by the host's `ld.so.conf`.
    configured: Vec<(Machine, PathBuf)>,
}

/// A file whose needs are to be found, and the files through which it is loaded.
struct Loaded {
    path: PathBuf,
    elf: Rc<Elf>,
    by: Option<Rc<Loaded>>,
}

impl Packer {
    pub(super) fn new(host: Host, path: Vec<PathBuf>) -> Self {
        let search = Search::of(&host);
        Self {
            host,
            path,
            search,
            layer: LayerBuilder::new(),
            seen: HashMap::new(),
            libc_dirs: HashMap::new(),
            configured: Vec::new(),
        }
    }

    pub(super) fn program(&mut self, program: &str) -> Result<()> {
        self.program_at_depth(program, 0)
    }

    fn program_at_depth(&mut self, program: &str, depth: usize) -> Result<()> {
        let path = self.find_program(program)?;
        let file = self.place(&path)?;
        self.needs_of_file(file, depth)
    }

    /// What a program needs, without the program.
    pub(super) fn needs_of_program(&mut self, program: &str) -> Result<()> {
        let path = self.find_program(program)?;
        let file = self.host_file(&path)?;
        self.needs_of_file(file, 0)
    }

    /// The program alone, at another path.
    pub(super) fn copy_program(&mut self, program: &str, inside: &Path) -> Result<()> {
        self.copy_file(&self.find_program(program)?, inside)
    }

    fn needs_of_file(&mut self, file: PathBuf, depth: usize) -> Result<()> {
        match self.elf(&file)? {
            Some(elf) => self.needs(file, elf),
            None => self.script(&file, depth),
        }
    }

    /// A file's path without links.
    fn host_file(&self, path: &Path) -> Result<PathBuf> {
        match self.host.walk(path)?.pop() {
            Some(Step::File(file, _)) => Ok(file),
            _ => Err(not_a_file(path)),
        }
    }

    fn find_program(&self, program: &str) -> Result<PathBuf> {
        let invalid =
            |reason| Err(Error::new(ErrorKind::InvalidInput, "find program", program, reason));
        if program.is_empty() {
            return invalid("the name is empty");
        }
        if program.contains('/') {
            return match program.starts_with('/') {
                true => Ok(PathBuf::from(program)),
                false => invalid("a relative path: give an absolute one, or a name to look up"),
            };
        }
        self.host.lookup(program, &self.path).ok_or_else(|| {
            let dirs: Vec<_> = self.path.iter().map(|dir| dir.to_string_lossy()).collect();
            let reason = format!("no such executable file in {}", dirs.join(":"));
            Error::new(ErrorKind::NotFound, "find program", program, reason)
        })
    }

    /// Adds the interpreter of a `#!` script; a file that is neither that nor ELF stays as it is.
    fn script(&mut self, file: &Path, depth: usize) -> Result<()> {
        let mut line = Vec::new();
        let real = self.host.real(file);
        File::open(&real)
            .and_then(|opened| opened.take(MAX_SHEBANG).read_to_end(&mut line))
            .map_err(|e| Error::os("read script", &real, e))?;
        let Some(line) = line.strip_prefix(b"#!") else {
            return Ok(());
        };
        let line = line.split(|b| *b == b'\n').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let mut words = line.split_whitespace();
        let Some(interpreter) = words.next() else {
            return Ok(());
        };
        if depth == MAX_SCRIPTS {
            let shown = file.to_string_lossy();
            let reason = "the interpreters of scripts are scripts over and over";
            return Err(Error::new(ErrorKind::Malformed, "read script", shown, reason));
        }
        self.program_at_depth(interpreter, depth + 1)?;
        // `#!/usr/bin/env python3` and `#!/usr/bin/env -S python3 -u` mean python3.
        if Path::new(interpreter).file_name() == Some(OsStr::new("env"))
            && let Some(real) = words.find(|word| !word.starts_with('-') && !word.contains('='))
        {
            self.program_at_depth(real, depth + 1)?;
        }
        Ok(())
    }

    pub(super) fn library(&mut self, library: &str) -> Result<()> {
        let path = match library.starts_with('/') {
            true => PathBuf::from(library),
            false => self.library_by_name(library)?,
        };
        let file = self.place(&path)?;
        match self.elf(&file)? {
            Some(elf) => self.needs(file, elf),
            None => {
                let reason = "not an ELF file";
                Err(Error::new(ErrorKind::Malformed, "read ELF", library, reason))
            }
        }
    }

    /// A library that no file asks for: searched for as if this machine's `/bin/sh` had.
    fn library_by_name(&mut self, name: &str) -> Result<PathBuf> {
        let shell = self.host.file(Path::new("/bin/sh"));
        let nowhere = || missing(name.as_bytes(), Path::new("the image"));
        let path = shell.ok_or_else(nowhere)?;
        let elf = self.elf(&path)?.ok_or_else(nowhere)?;
        self.find_library(name.as_bytes(), &Loaded { path, elf, by: None })?.ok_or_else(nowhere)
    }

    /// Adds all that an ELF file needs, breadth first as the loader does.
    fn needs(&mut self, path: PathBuf, elf: Rc<Elf>) -> Result<()> {
        let mut todo = VecDeque::from([Rc::new(Loaded { path, elf, by: None })]);
        let mut done = HashSet::new();
        while let Some(loaded) = todo.pop_front() {
            if let Some(interpreter) = &loaded.elf.interpreter {
                self.interpreter(interpreter, &loaded.path)?;
            }
            for name in &loaded.elf.needed {
                // The loader loads one library of a name, whoever asks for it.
                if !done.insert(name.clone()) {
                    continue;
                }
                let Some(path) = self.find_library(name, &loaded)? else {
                    continue;
                };
                let file = self.place(&path)?;
                if let Some(elf) = self.elf(&file)? {
                    let by = Some(Rc::clone(&loaded));
                    todo.push_back(Rc::new(Loaded { path, elf, by }));
                }
            }
        }
        Ok(())
    }

    fn interpreter(&mut self, path: &[u8], needed_by: &Path) -> Result<()> {
        let path = PathBuf::from(OsString::from_vec(path.to_vec()));
        if !path.is_absolute() || self.host.file(&path).is_none() {
            return Err(missing(path.as_os_str().as_bytes(), needed_by)
                .hint("install the libc that the program was built for"));
        }
        self.place(&path).map(drop)
    }

    /// Where the loader finds `name`, needed by `loaded`; `None` if musl's loader is it itself.
    fn find_library(&mut self, name: &[u8], loaded: &Loaded) -> Result<Option<PathBuf>> {
        let name_path = Path::new(OsStr::from_bytes(name));
        let machine = loaded.elf.machine;
        if name.contains(&b'/') {
            return match self.fits(name_path, machine)? {
                true => Ok(Some(name_path.to_path_buf())),
                false => Err(missing(name, &loaded.path)),
            };
        }
        let chain: Vec<(&Path, &Elf)> = std::iter::successors(Some(loaded), |l| l.by.as_deref())
            .map(|loaded| (loaded.path.as_path(), loaded.elf.as_ref()))
            .collect();
        let musl = chain.last().is_some_and(|(_, program)| program.is_musl());
        let dirs = self.search.dirs(&chain, musl);
        for dir in &dirs {
            let path = dir.path.join(name_path);
            if self.fits(&path, machine)? {
                if name == LIBC {
                    self.libc_dirs.insert(machine, dir.path.clone());
                } else if dir.configured {
                    self.configured.push((machine, path.clone()));
                }
                return Ok(Some(path));
            }
        }
        if musl && (name == b"libc.so" || name.starts_with(b"libc.musl-")) {
            return Ok(None);
        }
        let dirs: Vec<_> = dirs.iter().map(|dir| dir.path.to_string_lossy()).collect();
        Err(missing(name, &loaded.path).hint(format!("searched {}", dirs.join(":"))))
    }

    /// Whether an ELF file for this machine stands there.
    fn fits(&mut self, path: &Path, machine: Machine) -> Result<bool> {
        let Some(file) = self.host.file(path) else {
            return Ok(false);
        };
        Ok(self.elf(&file)?.is_some_and(|elf| elf.machine == machine))
    }

    fn elf(&mut self, file: &Path) -> Result<Option<Rc<Elf>>> {
        if let Some(known) = self.seen.get(file) {
            return Ok(known.clone());
        }
        let real = self.host.real(file);
        let opened = File::open(&real).map_err(|e| Error::os("open", &real, e))?;
        let elf = Elf::read(opened, file)?.map(Rc::new);
        self.seen.insert(file.to_path_buf(), elf.clone());
        Ok(elf)
    }

    /// Adds what stands at a path of the host, with every directory and link on the way, and
    /// returns the file's path without links.
    fn place(&mut self, path: &Path) -> Result<PathBuf> {
        let mut last = None;
        for step in self.host.walk(path)? {
            last = None;
            match step {
                Step::Dir(path) => self.layer.ensure_dir(&path)?,
                Step::Link(path, target) if !self.layer.contains(&path) => {
                    self.layer.symlink(path, target)?;
                }
                Step::Link(..) => {}
                Step::File(path, mode) => {
                    if !self.layer.contains(&path) {
                        let content = Node::File(Content::host_file(self.host.real(&path)));
                        self.layer.insert(&path, content, Metadata::new(mode))?;
                    }
                    last = Some(path);
                }
            }
        }
        last.ok_or_else(|| not_a_file(path))
    }

    pub(super) fn copy_file(&mut self, host: &Path, inside: &Path) -> Result<()> {
        let steps = self.host.walk(host)?;
        let Some(Step::File(file, mode)) = steps.last() else {
            return Err(not_a_file(host));
        };
        let content = Content::host_file(self.host.real(file));
        let inside = self.layer.inside(inside)?;
        self.layer.insert(inside, Node::File(content), Metadata::new(*mode)).map(drop)
    }

    pub(super) fn bytes(&mut self, path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
        let path = self.layer.inside(path)?;
        self.layer.file(path, bytes, mode).map(drop)
    }

    pub(super) fn dir(&mut self, path: &Path, mode: u32) -> Result<()> {
        // Below the directory, so that a link that stands for it is followed.
        let path = self.layer.inside(&path.join("x"))?;
        let path = path.parent().unwrap_or(Path::new(""));
        self.layer.dir(path, mode).map(drop)
    }

    pub(super) fn symlink(&mut self, path: &Path, target: &Path) -> Result<()> {
        let path = self.layer.inside(path)?;
        self.layer.symlink(path, target).map(drop)
    }

    /// The layer. A library that the host's loader finds only by `ld.so.conf` gets a link beside
    /// libc, where a loader without configuration finds it too.
    pub(super) fn finish(mut self) -> Result<LayerBuilder> {
        for (machine, library) in std::mem::take(&mut self.configured) {
            let (Some(home), Some(name)) = (self.libc_dirs.get(&machine), library.file_name())
            else {
                continue;
            };
            let without_usr = |dir: &Path| {
                dir.strip_prefix("/usr").map_or(dir.into(), |rest| Path::new("/").join(rest))
            };
            if library.parent().map(without_usr) == Some(without_usr(home)) {
                continue;
            }
            let link = self.layer.inside(&home.join(name))?;
            if !self.layer.contains(&link) {
                self.layer.symlink(link, library)?;
            }
        }
        Ok(self.layer)
    }
}

fn not_a_file(path: &Path) -> Error {
    let shown = path.to_string_lossy();
    Error::new(ErrorKind::InvalidInput, "pack", shown, "not a regular file")
}

fn missing(library: &[u8], needed_by: &Path) -> Error {
    let library = String::from_utf8_lossy(library);
    let reason = format!("no such library for {}", needed_by.display());
    Error::new(ErrorKind::MissingLibrary, "find library", library, reason)
}
