//! What several test programs need: tars with anything in them, and a way to run a program in
//! an unpacked image.
#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use container_fs::XattrNamespace;
use container_image::layer::{Applied, ApplyOptions, Compression, apply};
use container_image::{Result, Store};
use testkit::TempDir;

/// A tar written field by field, as an attacker would.
#[derive(Default)]
pub struct RawTar {
    bytes: Vec<u8>,
}

impl RawTar {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn entry(self, name: &str, kind: u8, link: &str, content: &[u8]) -> Self {
        self.full(name.as_bytes(), kind, link.as_bytes(), content, 0o755, content.len() as u64)
    }

    pub fn file(self, name: &str, content: &str) -> Self {
        self.full(name.as_bytes(), b'0', b"", content.as_bytes(), 0o644, content.len() as u64)
    }

    pub fn dir(self, name: &str) -> Self {
        self.entry(name, b'5', "", b"")
    }

    pub fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(name, b'2', target, b"")
    }

    pub fn hardlink(self, name: &str, target: &str) -> Self {
        self.entry(name, b'1', target, b"")
    }

    /// Pax records for the next entry.
    pub fn pax(self, records: &[(&str, &str)]) -> Self {
        let mut content = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while length != rest + length.to_string().len() {
                length = rest + length.to_string().len();
            }
            content.extend(format!("{length} {key}={value}\n").into_bytes());
        }
        self.entry("pax", b'x', "", &content)
    }

    /// An entry whose header states another size than its content has.
    pub fn full(
        mut self,
        name: &[u8],
        kind: u8,
        link: &[u8],
        content: &[u8],
        mode: u32,
        size: u64,
    ) -> Self {
        let mut header = [0u8; 512];
        header[..name.len()].copy_from_slice(name);
        header[100..107].copy_from_slice(format!("{mode:07o}").as_bytes());
        header[108..115].copy_from_slice(b"0000000");
        header[116..123].copy_from_slice(b"0000000");
        header[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
        header[136..147].copy_from_slice(b"00000000000");
        header[156] = kind;
        header[157..157 + link.len()].copy_from_slice(link);
        header[257..265].copy_from_slice(b"ustar\x0000");
        header[329..336].copy_from_slice(b"0000000");
        header[337..344].copy_from_slice(b"0000000");
        header[148..156].copy_from_slice(b"        ");
        let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.bytes.extend_from_slice(&header);
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    /// The entries without the end of the archive.
    pub fn bytes_only(self) -> Vec<u8> {
        self.bytes
    }

    /// The archive with its end.
    pub fn end(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 1024, 0);
        self.bytes
    }
}

/// A directory to apply to, in a directory whose other content must stay as it is.
pub struct Arena {
    temp: TempDir,
}

impl Arena {
    pub fn new() -> Self {
        let temp = TempDir::new();
        fs::create_dir(temp.join("root")).unwrap();
        fs::create_dir(temp.join("outside")).unwrap();
        fs::write(temp.join("outside/secret"), "secret").unwrap();
        fs::set_permissions(temp.join("outside/secret"), fs::Permissions::from_mode(0o600))
            .unwrap();
        Self { temp }
    }

    pub fn root(&self) -> PathBuf {
        self.temp.join("root")
    }

    pub fn outside(&self) -> PathBuf {
        self.temp.join("outside")
    }

    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.temp.join(name)
    }

    /// Applies in the plain form; whatever comes of it, nothing outside may change.
    pub fn plain(&self, tar: &[u8]) -> Result<Applied> {
        self.with(tar, &ApplyOptions::plain(Compression::None))
    }

    /// Applies in the overlay form, as a bottom layer.
    pub fn overlay(&self, tar: &[u8]) -> Result<Applied> {
        self.with(tar, &overlay_options())
    }

    pub fn with(&self, tar: &[u8], options: &ApplyOptions) -> Result<Applied> {
        let before = tree(&self.outside());
        let result = apply(tar, self.root(), options);
        assert_eq!(tree(&self.outside()), before, "something outside changed");
        let names: Vec<_> = fs::read_dir(self.temp.path()).unwrap().flatten().collect();
        assert!(names.len() >= 2, "the root or its neighbour went: {names:?}");
        assert!(self.root().is_dir() && !self.root().is_symlink());
        result
    }
}

pub fn overlay_options() -> ApplyOptions {
    ApplyOptions::overlay(Compression::None, XattrNamespace::detect()).lower(Vec::<PathBuf>::new())
}

/// Path, type, mode, owner, time and content of all that is in a directory.
pub fn tree(dir: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut todo = vec![dir.to_path_buf()];
    while let Some(at) = todo.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            let stat = fs::symlink_metadata(&path).unwrap();
            let content = if stat.is_symlink() {
                fs::read_link(&path).unwrap().to_string_lossy().into_owned()
            } else if stat.is_file() {
                String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned()
            } else {
                String::new()
            };
            if is_whiteout(&path) {
                found.insert(path.strip_prefix(dir).unwrap().to_path_buf(), "whiteout".into());
                continue;
            }
            let line = format!(
                "{:o} {}:{} {}.{} {:x} {content}",
                stat.mode(),
                stat.uid(),
                stat.gid(),
                stat.mtime(),
                stat.mtime_nsec(),
                stat.rdev()
            );
            found.insert(path.strip_prefix(dir).unwrap().to_path_buf(), line);
            if stat.is_dir() {
                todo.push(path);
            }
        }
    }
    found
}

/// Whether files in this directory can have `user.*` attributes; tmpfs has them since Linux 6.6.
/// A gate: where they are missing on a newer kernel, the test runs, and fails.
pub fn require_user_xattrs(dir: &Path) -> bool {
    let flags = rustix::fs::XattrFlags::empty();
    let works = rustix::fs::setxattr(dir, "user.container-image-test", b"x", flags).is_ok();
    let _ = rustix::fs::removexattr(dir, "user.container-image-test");
    works || testkit::require_kernel(6, 6)
}

/// Whether directories below can be made opaque for an overlay of this user.
pub fn require_opaque(dir: &Path) -> bool {
    testkit::is_root() || require_user_xattrs(dir)
}

/// Whether this is how overlayfs writes "deleted".
pub fn is_whiteout(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    fs::symlink_metadata(path).is_ok_and(|s| s.file_type().is_char_device() && s.rdev() == 0)
}

/// Runs a program with the directory as its root and /proc in it (the loader reads `$ORIGIN` from
/// there); `None` where this user can't.
pub fn run_inside(root: &Path, args: &[&str]) -> Option<Output> {
    let mut command = Command::new("unshare");
    if !testkit::is_root() {
        if !testkit::require_unprivileged_userns() {
            return None;
        }
        command.arg("--map-root-user");
    }
    fs::create_dir_all(root.join("proc")).unwrap();
    // The path of the host would hide a missing program in the image.
    let script = "mount --rbind /proc \"$1/proc\" && export PATH=/usr/sbin:/usr/bin:/sbin:/bin && exec chroot \"$@\"";
    command.args(["--mount", "sh", "-c", script, "sh"]).arg(root).args(args);
    // A program of another test that is being started holds, until its exec, what this process has
    // open for writing: the file just unpacked is busy for that long.
    let mut output = command.output().expect("run a program in the image");
    for _ in 0..100 {
        if !String::from_utf8_lossy(&output.stderr).contains("Text file busy") {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
        output = command.output().expect("run a program in the image");
    }
    Some(output)
}

pub fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A store in a directory of the test.
pub fn store(temp: &TempDir) -> Store {
    Store::open(temp.join("store")).unwrap().durable(false)
}
