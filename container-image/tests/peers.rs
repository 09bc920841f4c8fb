//! Other people's programs read what this crate writes, and the other way round.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod common;

use std::fs;
use std::process::{Command, Output};

use common::{require_opaque, run_inside, stdout, store, tree};
use container_image::layer::{Compression, LayerBuilder, LayerOptions};
use container_image::{HostPrograms, Image, ImageBuilder, Reference, Store};
use testkit::TempDir;

fn name(text: &str) -> Reference {
    text.parse().unwrap()
}

fn image(store: &Store) -> Image {
    let base = HostPrograms::new()
        .programs(["/bin/sh", "cat"])
        .dir("/", 0o755)
        .add_file("/etc/kept", "kept\n", 0o644)
        .add_file("/etc/deleted", "gone\n", 0o644)
        .dir("/cache", 0o755)
        .add_file("/cache/old", "old\n", 0o644)
        .build()
        .unwrap();
    let mut top = LayerBuilder::new();
    top.file(format!("etc/{}", "long".repeat(40)), "long\n", 0o600).unwrap();
    top.whiteout("etc/deleted").unwrap();
    top.dir("cache", 0o700).unwrap().opaque("cache").unwrap();
    top.file("cache/new", "new\n", 0o644).unwrap();
    let base = store.put_layer(&base, &LayerOptions::new()).unwrap();
    let plain = LayerOptions::new().compression(Compression::None);
    let top = store.put_layer(&top, &plain).unwrap();
    let builder = ImageBuilder::new()
        .author("a test")
        .layer(&base, "programs of the host")
        .layer(&top, "changes")
        .cmd(["/bin/sh"])
        .env("PATH", "/usr/bin:/bin")
        .expose("80/tcp")
        .label("org.example", "yes");
    store.put_image(&name("app:1.0"), &builder).unwrap()
}

fn run(program: &str, args: &[&str]) -> Output {
    let output = Command::new(testkit::peer(program).unwrap()).args(args).output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {err}");
    output
}

#[test]
fn skopeo_inspects_the_store() {
    if !testkit::require_peer("skopeo") || !require_opaque(&std::env::temp_dir()) {
        return;
    }
    let temp = TempDir::new();
    let store = store(&temp);
    let image = image(&store);
    store.unpack(&image).unwrap();
    let place = format!("oci:{}:app:1.0", store.path().display());
    let report: serde_json::Value =
        serde_json::from_slice(&run("skopeo", &["inspect", &place]).stdout).unwrap();
    assert_eq!(report["Digest"], image.digest().as_str());
    let layers: Vec<_> = image.layers().iter().map(|l| l.digest().as_str()).collect();
    assert_eq!(report["Layers"], serde_json::json!(layers));
    assert_eq!(report["Labels"]["org.example"], "yes");
    let config = run("skopeo", &["inspect", "--config", &place]);
    let config: serde_json::Value = serde_json::from_slice(&config.stdout).unwrap();
    assert_eq!(config["config"]["Cmd"], serde_json::json!(["/bin/sh"]));
    assert_eq!(config["history"][1]["created_by"], "changes");
}

#[test]
fn skopeo_copies_out_of_the_store_and_back() {
    if !testkit::require_peer("skopeo") || !require_opaque(&std::env::temp_dir()) {
        return;
    }
    let temp = TempDir::new();
    let store = store(&temp);
    let image = image(&store);
    let from = format!("oci:{}:app:1.0", store.path().display());
    // skopeo verifies every digest, and the diff-ids of layers that it compresses anew.
    let copy = temp.join("copy");
    let to = format!("oci:{}:again", copy.display());
    run("skopeo", &["copy", "--dest-compress-format", "gzip", &from, &to]);
    let other = Store::open(&copy).unwrap().durable(false);
    let again = other.image(&name("again")).unwrap();
    assert_eq!(again.chain_ids(), image.chain_ids());
    let (ours, theirs) = (store.unpack(&image).unwrap(), other.unpack(&again).unwrap());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(tree(ours), tree(theirs));
    }
}

#[test]
fn umoci_unpacks_the_store() {
    if !testkit::require_peer("umoci") {
        return;
    }
    let temp = TempDir::new();
    let store = store(&temp);
    let image = image(&store);
    let from = format!("{}:app:1.0", store.path().display());
    let bundle = temp.join("bundle");
    let mut args = vec!["unpack", "--image", &from];
    if !testkit::is_root() {
        args.push("--rootless");
    }
    args.push(bundle.to_str().unwrap());
    run("umoci", &args);
    let rootfs = bundle.join("rootfs");
    assert!(!rootfs.join("etc/deleted").exists());
    assert!(!rootfs.join("cache/old").exists());
    assert_eq!(fs::read_to_string(rootfs.join("cache/new")).unwrap(), "new\n");

    // Ours, layer on layer in the plain form, is the same tree to the byte.
    let plain = temp.join("plain");
    fs::create_dir(&plain).unwrap();
    for layer in image.layers() {
        let blob = store.path().join("blobs/sha256").join(layer.digest().hex());
        let options = container_image::layer::ApplyOptions::plain(layer.compression())
            .diff_id(layer.diff_id().clone());
        let _ =
            container_image::layer::apply(fs::File::open(blob).unwrap(), &plain, &options).unwrap();
    }
    let times = |mut tree: std::collections::BTreeMap<_, String>| {
        // A directory that is not in the last layer gets a new time by what is made in it.
        tree.values_mut()
            .filter(|l| l.starts_with("40"))
            .for_each(|l| *l = l[..l.find(' ').unwrap()].into());
        tree
    };
    assert_eq!(times(tree(&plain)), times(tree(&rootfs)));
    let output = run_inside(&rootfs, &["/bin/sh", "-c", "cat /etc/kept"]);
    if let Some(output) = output {
        assert_eq!(stdout(&output), "kept\n");
    }
}

#[test]
fn an_image_that_umoci_made_is_read() {
    if !testkit::require_peer("umoci") {
        return;
    }
    let temp = TempDir::new();
    let layout = temp.join("layout");
    let at = |tag: &str| format!("{}:{tag}", layout.display());
    run("umoci", &["init", "--layout", layout.to_str().unwrap()]);
    run("umoci", &["new", "--image", &at("new")]);
    let source = temp.join("source");
    fs::create_dir_all(source.join("dir")).unwrap();
    fs::write(source.join("dir/file"), "from umoci\n").unwrap();
    let mut insert = vec!["insert"];
    if !testkit::is_root() {
        insert.push("--rootless");
    }
    let image = at("new");
    insert.extend(["--image", &image, source.to_str().unwrap(), "/data"]);
    run("umoci", &insert);
    let store = Store::open(&layout).unwrap().durable(false);
    let image = store.image(&name("new")).unwrap();
    let dirs = store.unpack(&image).unwrap();
    let found = fs::read_to_string(dirs.last().unwrap().join("data/dir/file")).unwrap();
    assert_eq!(found, "from umoci\n");
}
