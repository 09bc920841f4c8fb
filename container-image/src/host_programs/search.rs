//! Where the dynamic loader looks for a library: `ld.so(8)`, without the environment.

use std::collections::HashSet;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::elf::{Elf, Machine};
use super::host::Host;

/// How deep `include` lines of `ld.so.conf` are followed.
const MAX_INCLUDES: usize = 8;

/// Directories that the host's loader searches for every program: those of `ld.so.conf` (from
/// which `ld.so.cache` is made), then the built-in ones.
#[derive(Debug)]
pub(super) struct Search {
    glibc: Vec<PathBuf>,
    musl: Vec<PathBuf>,
}

/// A directory to look in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SearchDir {
    pub(super) path: PathBuf,
    /// It comes from the host's configuration, which an image need not have.
    pub(super) configured: bool,
}

impl Search {
    pub(super) fn of(host: &Host) -> Self {
        let mut glibc = Vec::new();
        read_conf(host, Path::new("/etc/ld.so.conf"), &mut glibc, MAX_INCLUDES);
        let mut musl = Vec::new();
        for path in host.glob(Path::new("/etc"), "ld-musl-*.path") {
            let text = fs::read_to_string(host.real(&path)).unwrap_or_default();
            musl.extend(
                text.split([':', '\n']).filter(|dir| dir.starts_with('/')).map(PathBuf::from),
            );
        }
        if musl.is_empty() {
            musl = ["/lib", "/usr/local/lib", "/usr/lib"].map(PathBuf::from).to_vec();
        }
        Self { glibc, musl }
    }

    /// The directories for one file's needs, first match wins. `chain` is the file itself and
    /// the files through which it was loaded, up to the program.
    pub(super) fn dirs(&self, chain: &[(&Path, &Elf)], musl: bool) -> Vec<SearchDir> {
        let mut dirs = Vec::new();
        let Some((own_path, own)) = chain.first() else {
            return dirs;
        };
        if own.runpath.is_none() {
            for (path, elf) in chain {
                if let (Some(rpath), None) = (&elf.rpath, &elf.runpath) {
                    expand(rpath, path, own.machine, &mut dirs);
                }
            }
        }
        if let Some(runpath) = &own.runpath {
            expand(runpath, own_path, own.machine, &mut dirs);
        }
        let configured = |path: &PathBuf| SearchDir { path: path.clone(), configured: true };
        if musl {
            dirs.extend(self.musl.iter().map(configured));
        } else if !own.no_default {
            dirs.extend(self.glibc.iter().map(configured));
            dirs.extend(default_dirs(own.machine).iter().map(configured));
        }
        let mut seen = HashSet::new();
        dirs.retain(|dir| seen.insert(dir.path.clone()));
        dirs
    }
}

/// The directories that are built into the loader, so that no configuration is needed to find
/// a library there.
fn default_dirs(machine: Machine) -> Vec<PathBuf> {
    let lib = if machine.is_64 { "lib64" } else { "lib" };
    let mut dirs = Vec::new();
    // Debian's loaders have their multiarch directories built in.
    if let Some(triplet) = multiarch(machine) {
        dirs.push(Path::new("/lib").join(triplet));
        dirs.push(Path::new("/usr/lib").join(triplet));
    }
    for dir in [format!("/{lib}"), format!("/usr/{lib}"), "/lib".into(), "/usr/lib".into()] {
        dirs.push(PathBuf::from(dir));
    }
    dirs
}

/// Debian's name for a machine: the directory below `/lib`. ELF machine numbers as in `elf.h`.
fn multiarch(machine: Machine) -> Option<&'static str> {
    Some(match (machine.machine, machine.is_64, machine.big_endian) {
        (62, true, false) => "x86_64-linux-gnu",
        (62, false, false) => "x86_64-linux-gnux32",
        (3, false, false) => "i386-linux-gnu",
        (183, true, false) => "aarch64-linux-gnu",
        (40, false, false) => "arm-linux-gnueabihf",
        (243, true, false) => "riscv64-linux-gnu",
        (21, true, false) => "powerpc64le-linux-gnu",
        (22, true, true) => "s390x-linux-gnu",
        (258, true, false) => "loongarch64-linux-gnu",
        _ => return None,
    })
}

/// Splits a search path and puts in what `$ORIGIN`, `$LIB` and `$PLATFORM` stand for.
fn expand(path: &[u8], file: &Path, machine: Machine, dirs: &mut Vec<SearchDir>) {
    let origin = file.parent().unwrap_or(Path::new("/")).as_os_str().as_bytes();
    let lib: &[u8] = match (multiarch(machine), machine.is_64) {
        (Some(triplet), _) if Path::new("/usr/lib").join(triplet).is_dir() => {
            &[b"lib/", triplet.as_bytes()].concat()
        }
        (_, true) => b"lib64",
        (_, false) => b"lib",
    };
    let platform = multiarch(machine).and_then(|triplet| triplet.split('-').next());
    let platform = platform.unwrap_or_default().as_bytes();
    for part in path.split(|b| matches!(b, b':' | b';')) {
        let mut text = part.to_vec();
        for (name, value) in [("ORIGIN", origin), ("LIB", lib), ("PLATFORM", platform)] {
            text = replace(&text, format!("${{{name}}}").as_bytes(), value);
            text = replace(&text, format!("${name}").as_bytes(), value);
        }
        let dir = PathBuf::from(std::ffi::OsString::from_vec(text));
        // A relative entry would mean the working directory of whoever starts the program.
        if dir.is_absolute() {
            dirs.push(SearchDir { path: normal(&dir), configured: false });
        }
    }
}

fn replace(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.windows(from.len()).position(|window| window == from) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}

/// Drops `.` parts and double slashes; `..` stays, since links may stand in front of it.
fn normal(path: &Path) -> PathBuf {
    path.components().collect()
}

fn read_conf(host: &Host, path: &Path, dirs: &mut Vec<PathBuf>, depth: usize) {
    let Ok(text) = fs::read_to_string(host.real(path)) else {
        return;
    };
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        match line.strip_prefix("include").filter(|rest| rest.starts_with([' ', '\t'])) {
            Some(patterns) if depth > 0 => {
                for pattern in patterns.split_whitespace() {
                    let base = path.parent().unwrap_or(Path::new("/"));
                    let pattern = base.join(pattern);
                    let (Some(dir), Some(name)) = (pattern.parent(), pattern.file_name()) else {
                        continue;
                    };
                    for file in host.glob(dir, &name.to_string_lossy()) {
                        read_conf(host, &file, dirs, depth - 1);
                    }
                }
            }
            None if line.starts_with('/') => {
                // Older files tie a directory to a libc, as in "/usr/lib/libc5=libc5".
                let dir = line.split('=').next().unwrap_or_default().trim_end();
                dirs.push(normal(Path::new(dir)));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const X86_64: Machine = Machine { is_64: true, big_endian: false, machine: 62 };

    fn elf(rpath: Option<&str>, runpath: Option<&str>) -> Elf {
        Elf {
            machine: X86_64,
            interpreter: None,
            needed: Vec::new(),
            rpath: rpath.map(|p| p.into()),
            runpath: runpath.map(|p| p.into()),
            no_default: true,
        }
    }

    fn dirs(chain: &[(&Path, &Elf)]) -> Vec<PathBuf> {
        let search = Search { glibc: Vec::new(), musl: Vec::new() };
        search.dirs(chain, false).into_iter().map(|dir| dir.path).collect()
    }

    #[test]
    fn origin_is_the_directory_of_the_file() {
        let program = elf(None, Some("$ORIGIN/../lib:${ORIGIN}:/opt//x/./y::relative"));
        assert_eq!(
            dirs(&[(Path::new("/app/bin/run"), &program)]),
            ["/app/bin/../lib", "/app/bin", "/opt/x/y"].map(PathBuf::from)
        );
    }

    #[test]
    fn rpath_is_inherited_and_runpath_is_not() {
        let lib = elf(None, None);
        let lib_path = Path::new("/l/lib.so");
        let program_path = Path::new("/p/run");
        let with_rpath = elf(Some("/r"), None);
        assert_eq!(dirs(&[(lib_path, &lib), (program_path, &with_rpath)]), [PathBuf::from("/r")]);
        let with_runpath = elf(None, Some("/r"));
        assert!(dirs(&[(lib_path, &lib), (program_path, &with_runpath)]).is_empty());
        // A RUNPATH of the library itself turns off the RPATHs of all that loaded it.
        let own = elf(None, Some("/own"));
        assert_eq!(dirs(&[(lib_path, &own), (program_path, &with_rpath)]), [PathBuf::from("/own")]);
        // A RUNPATH beside it makes a file's RPATH void.
        let both = elf(Some("/r"), Some("/q"));
        assert_eq!(dirs(&[(program_path, &both)]), [PathBuf::from("/q")]);
    }
}
