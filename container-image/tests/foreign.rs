//! Images and layouts that other programs made: what they may leave out, and what they may add.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::store;
use container_image::layer::{Compression, LayerBuilder, LayerOptions};
use container_image::{Commit, Digest, ErrorKind, Image, ImageBuilder, Reference, Store};
use serde_json::{Value, json};
use testkit::TempDir;

fn name(text: &str) -> Reference {
    text.parse().unwrap()
}

fn small_image(store: &Store, text: &str) -> Image {
    let mut layer = LayerBuilder::new();
    layer.file("file", text, 0o644).unwrap();
    let options = LayerOptions::new().compression(Compression::None);
    let layer = store.put_layer(&layer, &options).unwrap();
    store.put_image(&name(text), &ImageBuilder::new().layer(&layer, text)).unwrap()
}

/// Gives a name to an image whose config and manifest were changed.
fn rewrite(
    store: &Store,
    image: &Image,
    config: impl FnOnce(&mut Value),
    manifest: impl FnOnce(&mut Value),
) -> Image {
    let put = |value: &Value| {
        let bytes = value.to_string();
        let digest = Digest::sha256(&bytes);
        fs::write(store.path().join("blobs/sha256").join(digest.hex()), &bytes).unwrap();
        (digest.to_string(), bytes.len())
    };
    let mut value = serde_json::to_value(image.config()).unwrap();
    config(&mut value);
    let (digest, size) = put(&value);
    let mut value = serde_json::to_value(image.manifest()).unwrap();
    value["config"]["digest"] = json!(digest);
    value["config"]["size"] = json!(size);
    manifest(&mut value);
    let (digest, size) = put(&value);
    edit_index(store, |index| {
        index["manifests"] = json!([{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest,
            "size": size,
            "annotations": {"org.opencontainers.image.ref.name": "changed"}
        }]);
    });
    store.image(&name("changed")).unwrap()
}

fn edit_index(store: &Store, edit: impl FnOnce(&mut Value)) {
    let path = store.path().join("index.json");
    let mut index = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&mut index);
    fs::write(&path, index.to_string()).unwrap();
}

fn sha512sum(path: &Path) -> String {
    let output = Command::new("sha512sum").arg(path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    format!("sha512:{}", text.split_whitespace().next().unwrap())
}

#[test]
fn a_diff_id_may_be_a_sha512() {
    let temp = TempDir::new();
    let store = store(&temp);
    let image = small_image(&store, "one");
    let blob = store.path().join("blobs/sha256").join(image.layers()[0].digest().hex());
    let diff_id = sha512sum(&blob);
    let config = |config: &mut Value| config["rootfs"]["diff_ids"] = json!([diff_id]);
    let image = rewrite(&store, &image, config, |_| {});
    let dirs = store.unpack(&image).unwrap();
    assert_eq!(fs::read_to_string(dirs[0].join("file")).unwrap(), "one");
    store.remove_image(&name("changed")).unwrap();
    assert!(!dirs[0].exists());
}

#[test]
fn a_commit_on_an_image_without_history_keeps_lines_and_layers_together() {
    let temp = TempDir::new();
    let store = store(&temp);
    let image = small_image(&store, "one");
    let without = |config: &mut Value| {
        config.as_object_mut().unwrap().remove("history");
    };
    let image = rewrite(&store, &image, without, |_| {});
    let upper = temp.join("upper");
    fs::create_dir(&upper).unwrap();
    fs::write(upper.join("new"), "").unwrap();
    let new = store.commit(&image, &upper, &name("two"), &Commit::new("the change")).unwrap();
    let history = new.config().history().clone().unwrap_or_default();
    let lines: Vec<_> = history.iter().map(|line| line.created_by().as_deref()).collect();
    assert_eq!(lines, [None, Some("the change")]);
}

#[test]
fn more_layers_than_a_kernel_stacks_are_not_unpacked() {
    // Each of them may grow to the budget, all from one small blob.
    let temp = TempDir::new();
    let store = store(&temp);
    let image = small_image(&store, "one");
    let count = container_fs::stack::MAX_LAYERS + 1;
    let many = |list: &mut Value| *list = json!(vec![list[0].clone(); count]);
    let image = rewrite(
        &store,
        &image,
        |config| many(&mut config["rootfs"]["diff_ids"]),
        |manifest| many(&mut manifest["layers"]),
    );
    let error = store.unpack(&image).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BudgetExceeded, "{error}");
    assert_eq!(fs::read_dir(store.path().join("layers/sha256")).unwrap().count(), 0);
}

#[test]
fn entries_of_others_in_the_index_stay_as_they_are() {
    let temp = TempDir::new();
    let store = store(&temp);
    let image = small_image(&store, "one");
    let digest = Digest::sha256("elsewhere").to_string();
    let foreign = json!({
        "mediaType": "application/vnd.example.thing+json",
        "digest": digest,
        "size": 7,
        "urls": ["https://example.com/thing"],
        "artifactType": "application/vnd.example",
        "data": "e30=",
        "vnd.example": {"kept": true},
        "platform": {"architecture": "arm64", "os": "linux", "variant": "v8"},
        "annotations": {"org.opencontainers.image.ref.name": "Not A Name!", "x": "y"}
    });
    edit_index(&store, |index| {
        index["manifests"].as_array_mut().unwrap().push(foreign.clone());
        index["annotations"] = json!({"kept": "yes"});
        index["vnd.example"] = json!(1);
    });
    let mut other = LayerBuilder::new();
    other.file("other", "", 0o644).unwrap();
    let layer = store.put_layer(&other, &LayerOptions::new()).unwrap();
    store.put_image(&name("two"), &ImageBuilder::new().layer(&layer, "")).unwrap();
    store.remove_image(image.name()).unwrap();
    let index: Value =
        serde_json::from_slice(&fs::read(store.path().join("index.json")).unwrap()).unwrap();
    assert!(index["manifests"].as_array().unwrap().contains(&foreign), "{index:#}");
    assert_eq!((&index["annotations"]["kept"], &index["vnd.example"]), (&json!("yes"), &json!(1)));
    assert_eq!(store.names().unwrap(), [name("two")]);
}

#[test]
fn an_index_entry_that_is_no_json_does_not_stand_in_the_way() {
    let temp = TempDir::new();
    let store = store(&temp);
    let image = small_image(&store, "one");
    let bytes = b"not JSON";
    let digest = Digest::sha256(bytes);
    let blob = store.path().join("blobs/sha256").join(digest.hex());
    fs::write(&blob, bytes).unwrap();
    edit_index(&store, |index| {
        let entry = json!({
            "mediaType": "application/octet-stream", "digest": digest.as_str(), "size": bytes.len()
        });
        index["manifests"].as_array_mut().unwrap().push(entry);
    });
    store.remove_image(image.name()).unwrap();
    assert!(blob.exists());
    assert_eq!(store.names().unwrap(), []);
}
