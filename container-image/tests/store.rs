//! The store: what it keeps, what it refuses, and what a killed process leaves behind.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{is_whiteout, require_opaque, run_inside, stdout, store, tree};
use container_fs::XattrNamespace;
use container_image::commit::layer_of_upper;
use container_image::layer::{Budget, Compression, LayerBuilder, LayerOptions};
use container_image::{
    Commit, Digest, ErrorKind, HostPrograms, Image, ImageBuilder, Reference, Store,
};
use testkit::TempDir;

fn name(text: &str) -> Reference {
    text.parse().unwrap()
}

fn put(store: &Store, builder: &LayerBuilder) -> container_image::layer::Layer {
    store.put_layer(builder, &LayerOptions::new()).unwrap()
}

/// Two layers: the second adds a file, changes one and deletes one.
fn two_layers(store: &Store, image: &str) -> Image {
    let mut base = LayerBuilder::new();
    base.dir("", 0o755).unwrap().dir("etc", 0o755).unwrap();
    base.file("etc/kept", "kept\n", 0o644).unwrap();
    base.file("etc/changed", "before\n", 0o644).unwrap();
    base.file("etc/deleted", "gone\n", 0o644).unwrap();
    let mut top = LayerBuilder::new();
    top.file("etc/added", "added\n", 0o644).unwrap();
    top.file("etc/changed", "after\n", 0o600).unwrap();
    top.whiteout("etc/deleted").unwrap();
    let (base, top) = (put(store, &base), put(store, &top));
    let builder = ImageBuilder::new().layer(&base, "base").layer(&top, "change");
    store.put_image(&name(image), &builder).unwrap()
}

/// All that a store holds but its lock.
fn content(store: &Store) -> BTreeMap<PathBuf, String> {
    let mut found = tree(store.path());
    found.retain(|path, _| !path.starts_with("lock"));
    found.values_mut().for_each(|line| {
        // Directories change their time with their content.
        if line.starts_with("40") {
            *line = "dir".into();
        }
    });
    found
}

#[test]
fn an_image_comes_back_as_it_was_put() {
    let temp = TempDir::new();
    let store = store(&temp);
    let put = two_layers(&store, "app:1");
    let read = store.image(&name("app:1")).unwrap();
    assert_eq!(put, read);
    assert_eq!(store.names().unwrap(), [name("app:1")]);
    let error = store.image(&name("app:2")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(fs::metadata(store.path()).unwrap().mode() & 0o777, 0o700);
    let again = Store::open(store.path()).unwrap();
    assert_eq!(again.image(&name("app:1")).unwrap(), read);
}

#[test]
fn unpacked_layers_are_what_an_overlay_needs() {
    let temp = TempDir::new();
    let store = store(&temp);
    let image = two_layers(&store, "app");
    let dirs = store.unpack(&image).unwrap();
    assert_eq!(dirs.len(), 2);
    for (dir, chain) in dirs.iter().zip(image.chain_ids()) {
        assert!(dir.ends_with(format!("layers/sha256/{}/diff", chain.digest().hex())));
    }
    assert_eq!(fs::read_to_string(dirs[1].join("etc/changed")).unwrap(), "after\n");
    assert!(is_whiteout(&dirs[1].join("etc/deleted")));
    assert!(dirs[0].join("etc/deleted").is_file());
    let before = content(&store);
    assert_eq!(store.unpack(&image).unwrap(), dirs, "a second time there is nothing to do");
    assert_eq!(content(&store), before);
    assert_eq!(fs::read_dir(store.path().join("staging")).unwrap().count(), 0);
}

#[test]
fn the_kernel_shows_the_layers_as_the_image_says() {
    let mut unshare = Command::new("unshare");
    let mut xattrs = "";
    if !testkit::is_root() {
        if !testkit::require_unprivileged_userns() || !testkit::require_kernel(5, 11) {
            return;
        }
        unshare.arg("--map-root-user");
        xattrs = ",userxattr";
    }
    let temp = TempDir::new();
    if !require_opaque(temp.path()) {
        return;
    }
    let store = store(&temp);
    let image = two_layers(&store, "app:1");
    let mut third = LayerBuilder::new();
    third.dir("etc", 0o711).unwrap().opaque("etc").unwrap();
    third.file("etc/alone", "alone\n", 0o644).unwrap();
    let builder = ImageBuilder::from_image(&image).layer(&put(&store, &third), "all new");
    let opaque = store.put_image(&name("app:2"), &builder).unwrap();
    fs::create_dir(temp.join("merged")).unwrap();
    for (image, want) in [(&image, "added\nchanged\nkept\nafter\n755\n"), (&opaque, "alone\n711\n")]
    {
        let dirs = store.unpack(image).unwrap();
        let lower: Vec<_> = dirs.iter().rev().map(|dir| dir.to_str().unwrap()).collect();
        let options = format!("lowerdir={}{xattrs}", lower.join(":"));
        let script = "mount -t overlay overlay -o \"$1\" \"$2\" && cd \"$2\" && ls etc && \
                      if [ -e etc/changed ]; then cat etc/changed; fi && stat -c %a etc";
        let output = Command::new(unshare.get_program())
            .args(unshare.get_args())
            .args(["--mount", "sh", "-c", script, "sh", &options])
            .arg(temp.join("merged"))
            .output()
            .unwrap();
        assert_eq!(stdout(&output), want);
    }
}

#[test]
fn chain_ids_are_those_of_the_shell() {
    let temp = TempDir::new();
    let store = store(&temp);
    let image = two_layers(&store, "app");
    // From the blobs alone, with other people's programs.
    let script = r#"
        set -e
        chain=
        for blob in "$@"; do
            diff=sha256:$(gzip -dc "$blob" | sha256sum | cut -d' ' -f1)
            if [ -z "$chain" ]; then chain=$diff
            else chain=sha256:$(printf '%s %s' "$chain" "$diff" | sha256sum | cut -d' ' -f1)
            fi
            echo "$diff $chain"
        done"#;
    let blobs =
        image.layers().iter().map(|l| store.path().join("blobs/sha256").join(l.digest().hex()));
    let output = Command::new("sh").args(["-c", script, "sh"]).args(blobs).output().unwrap();
    let ours: String = image
        .diff_ids()
        .iter()
        .zip(image.chain_ids())
        .map(|(diff, chain)| format!("{diff} {chain}\n"))
        .collect();
    assert_eq!(stdout(&output), ours);
}

#[test]
fn packed_programs_run_from_an_overlay_and_their_changes_are_committed() {
    if !testkit::require_root() {
        return;
    }
    let temp = TempDir::new();
    let store = store(&temp);
    let base = HostPrograms::new()
        .programs(["/bin/sh", "cat", "ls", "rm", "chmod", "ln", "mkdir"])
        .add_file("/etc/kept", "kept\n", 0o644)
        .add_file("/etc/changed", "before\n", 0o644)
        .add_file("/etc/deleted", "gone\n", 0o644)
        .dir("/data/old", 0o755)
        .add_file("/data/old/file", "x", 0o644)
        .build()
        .unwrap();
    let builder = ImageBuilder::new().layer(&put(&store, &base), "programs").cmd(["/bin/sh"]);
    let image = store.put_image(&name("app:1"), &builder).unwrap();
    for dir in ["upper", "work", "merged"] {
        fs::create_dir(temp.join(dir)).unwrap();
    }
    let layers = store.unpack(&image).unwrap();
    let stack = container_fs::Stack::new(&layers).writable(temp.join("upper"), temp.join("work"));
    let attached = stack.mount().unwrap().attach(temp.join("merged")).unwrap();
    let script = "set -e; echo new > /etc/added; echo after > /etc/changed; rm /etc/deleted; \
                  rm -r /data/old; mkdir /data/old; echo y > /data/old/other; \
                  chmod 700 /etc/kept; ln /etc/added /etc/twin; ln -s added /etc/link; ls /etc";
    let listed = run_inside(&temp.join("merged"), &["/bin/sh", "-c", script]).unwrap();
    assert_eq!(stdout(&listed), "added\nchanged\nkept\nlink\ntwin\n");
    fs::remove_dir(temp.join("merged/proc")).unwrap();
    let merged = tree(&temp.join("merged"));
    attached.detach().unwrap();

    let commit = Commit::new("ran a script").author("a test");
    let new = store.commit(&image, temp.join("upper"), &name("app:2"), &commit).unwrap();
    assert_eq!(new.layers()[..1], image.layers()[..], "the parent layers are kept");
    assert_eq!(new.cmd(), ["/bin/sh"]);
    let history = new.config().history().as_ref().unwrap();
    assert_eq!(history.last().unwrap().created_by().as_deref(), Some("ran a script"));

    // The new image, stacked again, is what the container saw.
    let layers = store.unpack(&new).unwrap();
    let stack = container_fs::Stack::new(&layers);
    let attached = stack.mount().unwrap().attach(temp.join("merged")).unwrap();
    assert_eq!(tree_without_dir_times(&temp.join("merged")), without_dir_times(merged));
    let links = |path: &str| fs::metadata(temp.join("merged").join(path)).unwrap().ino();
    assert_eq!(links("etc/added"), links("etc/twin"));
    attached.detach().unwrap();
}

fn tree_without_dir_times(dir: &Path) -> BTreeMap<PathBuf, String> {
    without_dir_times(tree(dir))
}

/// A directory whose entries changed has another time; a layer does not list it for that.
fn without_dir_times(mut tree: BTreeMap<PathBuf, String>) -> BTreeMap<PathBuf, String> {
    for line in tree.values_mut().filter(|line| line.starts_with("40")) {
        let words: Vec<&str> = line.split(' ').collect();
        *line = [words[0], words[1]].join(" ");
    }
    tree
}

#[test]
fn an_upper_directory_becomes_a_layer_without_a_mount() {
    let temp = TempDir::new();
    let store = store(&temp);
    let image = two_layers(&store, "app:1");
    let upper = temp.join("upper");
    fs::create_dir_all(upper.join("etc")).unwrap();
    fs::write(upper.join("etc/mine"), "mine\n").unwrap();
    let root = container_fs::Root::open(upper.join("etc")).unwrap();
    container_fs::whiteout::create_whiteout(&root, "kept").unwrap();
    let layer = layer_of_upper(&upper, &store.unpack(&image).unwrap()).unwrap();
    assert!(layer.contains("etc/mine"));
    let new = store.commit(&image, &upper, &name("app:2"), &Commit::new("by hand")).unwrap();
    assert_eq!(new.layers().len(), 3);
    let dirs = store.unpack(&new).unwrap();
    let names: Vec<_> =
        tree(&dirs[2]).into_keys().filter(|path| path != Path::new("etc")).collect();
    assert_eq!(names, ["etc/kept", "etc/mine"].map(Path::new));
    assert!(is_whiteout(&dirs[2].join("etc/kept")));
    let error =
        store.commit(&image, temp.join("none"), &name("app:3"), &Commit::new("")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn removing_an_image_keeps_what_others_need() {
    let temp = TempDir::new();
    let store = store(&temp);
    let empty = content(&store);
    let one = two_layers(&store, "one");
    let after_one = content(&store);
    let mut extra = LayerBuilder::new();
    extra.file("extra", "x", 0o644).unwrap();
    let builder = ImageBuilder::from_image(&one).layer(&put(&store, &extra), "extra");
    let two = store.put_image(&name("two"), &builder).unwrap();
    let dirs = store.unpack(&two).unwrap();

    store.remove_image(&name("two")).unwrap();
    assert!(!dirs[2].exists());
    assert!(dirs[0].exists() && dirs[1].exists(), "they are layers of the other image too");
    assert_eq!(store.image(&name("one")).unwrap(), one);
    store.remove_image(&name("one")).unwrap();
    assert!(!dirs[0].exists());
    let left = content(&store);
    assert_eq!(left.keys().collect::<Vec<_>>(), empty.keys().collect::<Vec<_>>());
    assert!(after_one.len() > left.len());
    let error = store.remove_image(&name("one")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn a_name_can_move_to_another_image() {
    let temp = TempDir::new();
    let store = store(&temp);
    let first = two_layers(&store, "app");
    let second = store.put_image(&name("app"), &ImageBuilder::new().label("a", "b")).unwrap();
    assert_ne!(first.digest(), second.digest());
    assert_eq!(store.image(&name("app")).unwrap(), second);
    assert_eq!(store.names().unwrap().len(), 1);
}

fn blob(store: &Store, digest: &Digest) -> PathBuf {
    store.path().join("blobs/sha256").join(digest.hex())
}

#[test]
fn damaged_content_is_refused_before_anything_uses_it() {
    type Damage = fn(&Path);
    let flip: Damage = |path| {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    let longer: Damage = |path| {
        let mut bytes = fs::read(path).unwrap();
        bytes.push(b' ');
        fs::write(path, bytes).unwrap();
    };
    let gone: Damage = |path| fs::remove_file(path).unwrap();
    let temp = TempDir::new();
    for (number, damage) in [flip, longer, gone].into_iter().enumerate() {
        for part in ["manifest", "config", "layer"] {
            let store = Store::open(temp.join(format!("{number}-{part}"))).unwrap().durable(false);
            let image = two_layers(&store, "app");
            let config = Digest::try_from(image.manifest().config().digest()).unwrap();
            let path = match part {
                "manifest" => blob(&store, image.digest()),
                "config" => blob(&store, &config),
                _ => blob(&store, image.layers()[1].digest()),
            };
            damage(&path);
            let error = match part {
                "layer" => store.unpack(&store.image(&name("app")).unwrap()).unwrap_err(),
                _ => store.image(&name("app")).unwrap_err(),
            };
            let kinds = [
                ErrorKind::DigestMismatch,
                ErrorKind::SizeMismatch,
                ErrorKind::NotFound,
                ErrorKind::Malformed,
            ];
            assert!(kinds.contains(&error.kind()), "{part} {number}: {error}");
            // No half layer is there; the sound one below it may be.
            let layers = fs::read_dir(store.path().join("layers/sha256")).unwrap().count();
            assert_eq!(layers, usize::from(part == "layer"));
            assert_eq!(fs::read_dir(store.path().join("staging")).unwrap().count(), 0);
        }
    }
}

#[test]
fn a_diff_id_that_is_not_the_content_is_refused() {
    let temp = TempDir::new();
    let store = store(&temp);
    let image = two_layers(&store, "app");
    // A config with another diff-id, and a manifest over it: all digests in order but one.
    let mut config = image.config().clone();
    let wrong = Digest::sha256("something else").to_string();
    config.rootfs_mut().diff_ids_mut()[1] = wrong;
    let config = config.to_string().unwrap().into_bytes();
    let write = |bytes: &[u8]| {
        let digest = Digest::sha256(bytes);
        fs::write(blob(&store, &digest), bytes).unwrap();
        digest.as_str().parse::<oci_spec::image::Digest>().unwrap()
    };
    let mut manifest = image.manifest().clone();
    let media = manifest.config().media_type().clone();
    manifest.set_config(oci_spec::image::Descriptor::new(
        media,
        config.len() as u64,
        write(&config),
    ));
    let manifest = manifest.to_string().unwrap().into_bytes();
    let digest = write(&manifest);
    let index = fs::read_to_string(store.path().join("index.json")).unwrap();
    let old = format!("\"digest\":\"{}\"", image.digest());
    let new = format!("\"digest\":\"{digest}\"");
    let size =
        index.split("\"size\":").nth(1).unwrap().split(['}', ',']).next().unwrap().to_owned();
    let index = index
        .replace(&old, &new)
        .replace(&format!("\"size\":{size}"), &format!("\"size\":{}", manifest.len()));
    fs::write(store.path().join("index.json"), index).unwrap();
    let image = store.image(&name("app")).unwrap();
    let error = store.unpack(&image).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DigestMismatch, "{error}");
    assert_eq!(fs::read_dir(store.path().join("layers/sha256")).unwrap().count(), 1);
}

#[test]
fn a_bomb_leaves_the_store_as_it_was() {
    let temp = TempDir::new();
    let store = store(&temp).budget(Budget::default().bytes(1 << 20));
    let mut bomb = LayerBuilder::new();
    bomb.file("zeros", vec![0; 8 << 20], 0o644).unwrap();
    let builder = ImageBuilder::new().layer(&put(&store, &bomb), "bomb");
    let image = store.put_image(&name("bomb"), &builder).unwrap();
    let before = content(&store);
    let error = store.unpack(&image).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BudgetExceeded, "{error}");
    assert_eq!(content(&store), before);
}

#[test]
fn leftovers_of_killed_processes_are_removed() {
    let temp = TempDir::new();
    let first = store(&temp);
    let image = two_layers(&first, "app");
    let staging = first.path().join("staging");
    // As SIGKILL in the middle of an apply leaves it: also directories closed to their owner.
    let left = staging.join("99999999-0/layer/diff/closed");
    fs::create_dir_all(left.join("sub")).unwrap();
    fs::write(left.join("sub/file"), "half").unwrap();
    fs::set_permissions(&left, fs::Permissions::from_mode(0o000)).unwrap();
    fs::write(staging.join("new-index.json"), "{half").unwrap();
    // In use by a living process: its folder is locked.
    let living = staging.join("1-0");
    fs::create_dir(&living).unwrap();
    let lock = fs::File::open(&living).unwrap();
    lock.lock().unwrap();
    let again = Store::open(first.path()).unwrap();
    let names: Vec<_> = fs::read_dir(&staging).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["1-0"]);
    assert_eq!(again.image(&name("app")).unwrap(), image);
    drop(lock);
    Store::open(first.path()).unwrap();
    assert_eq!(fs::read_dir(&staging).unwrap().count(), 0);
}

#[test]
fn folders_that_are_no_store_are_refused() {
    let temp = TempDir::new();
    fs::write(temp.join("precious"), "data").unwrap();
    let error = Store::open(temp.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1, "nothing was made in it");
    let error = Store::open(temp.join("no/such/parent")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = Store::open(temp.join("precious")).unwrap_err();
    assert_ne!(error.raw_os_error(), None, "a file: {error}");
    let newer = temp.join("newer");
    drop(Store::open(&newer).unwrap());
    fs::write(newer.join("store.json"), r#"{"version":2}"#).unwrap();
    assert_eq!(Store::open(&newer).unwrap_err().kind(), ErrorKind::Unsupported);
    fs::write(newer.join("store.json"), "{}").unwrap();
    assert_eq!(Store::open(&newer).unwrap_err().kind(), ErrorKind::Malformed);
}

#[test]
fn an_image_of_a_layer_that_is_not_there_is_refused() {
    let temp = TempDir::new();
    let (one, two) = (temp.join("one"), temp.join("two"));
    let (one, two) = (Store::open(one).unwrap(), Store::open(two).unwrap());
    let mut layer = LayerBuilder::new();
    layer.file("x", "", 0o644).unwrap();
    let builder = ImageBuilder::new().layer(&put(&one, &layer), "elsewhere");
    let error = two.put_image(&name("app"), &builder).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(two.names().unwrap().is_empty());
}

#[test]
fn threads_with_stores_of_their_own_do_not_get_in_each_others_way() {
    let temp = TempDir::new();
    let path = temp.join("store");
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let path = &path;
            scope.spawn(move || {
                for round in 0..5 {
                    let store = Store::open(path).unwrap().durable(false);
                    // The same layers from everybody, under different names.
                    let image = two_layers(&store, &format!("app:{thread}-{round}"));
                    let dirs = store.unpack(&image).unwrap();
                    assert_eq!(fs::read_to_string(dirs[1].join("etc/added")).unwrap(), "added\n");
                }
            });
        }
    });
    let store = Store::open(&path).unwrap();
    assert_eq!(store.names().unwrap().len(), 30);
    assert_eq!(fs::read_dir(path.join("layers/sha256")).unwrap().count(), 2);
    assert_eq!(fs::read_dir(path.join("staging")).unwrap().count(), 0);
}

#[test]
fn a_layer_unpacked_for_the_other_kind_of_mount_is_refused() {
    let temp = TempDir::new();
    let store = store(&temp);
    let image = two_layers(&store, "app");
    let dirs = store.unpack(&image).unwrap();
    let record = dirs[0].with_file_name("layer.json");
    let text = fs::read_to_string(&record).unwrap();
    let (own, other) = match XattrNamespace::detect() {
        XattrNamespace::Trusted => ("trusted.overlay", "user.overlay"),
        XattrNamespace::User => ("user.overlay", "trusted.overlay"),
    };
    fs::write(&record, text.replace(own, other)).unwrap();
    let error = store.unpack(&image).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.way_out().is_some());
}

#[test]
fn layers_without_compression_are_kept_as_they_are() {
    let temp = TempDir::new();
    let store = store(&temp);
    let mut layer = LayerBuilder::new();
    layer.file("x", "content", 0o644).unwrap();
    let options = LayerOptions::new().compression(Compression::None);
    let layer = store.put_layer(&layer, &options).unwrap();
    assert_eq!(layer.digest(), layer.diff_id().digest());
    let image = store.put_image(&name("app"), &ImageBuilder::new().layer(&layer, "x")).unwrap();
    assert_eq!(image.layers(), [layer]);
    assert_eq!(fs::read_to_string(store.unpack(&image).unwrap()[0].join("x")).unwrap(), "content");
}
