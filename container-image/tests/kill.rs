//! SIGKILL at random moments while a process puts, unpacks, commits and removes images: the store
//! opens again, whatever has a name is whole, and nothing is left in staging.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use container_image::layer::{LayerBuilder, LayerOptions};
use container_image::{Commit, Digest, ErrorKind, ImageBuilder, Reference, Store};
use testkit::TempDir;

/// Set for the process that is to be killed.
const STORE: &str = "CONTAINER_IMAGE_TEST_STORE";
const ROUNDS: u64 = 40;
const FILES: usize = 60;

/// Not a test: the work of the process that is killed. Returns at once without the variable.
#[test]
fn work_until_killed() {
    let Some(path) = std::env::var_os(STORE) else {
        return;
    };
    let upper = Path::new(&path).with_file_name("upper");
    for round in 0.. {
        let store = Store::open(&path).unwrap();
        let mut base = LayerBuilder::new();
        for n in 0..FILES {
            base.file(format!("file-{n}"), format!("{round} {n}").repeat(500), 0o644).unwrap();
        }
        let base = store.put_layer(&base, &LayerOptions::new()).unwrap();
        let (one, two) = (name("one"), name("two"));
        let image = store.put_image(&one, &ImageBuilder::new().layer(&base, "base")).unwrap();
        store.unpack(&image).unwrap();
        let new = store.commit(&image, &upper, &two, &Commit::new("commit")).unwrap();
        store.unpack(&new).unwrap();
        store.remove_image(&one).unwrap();
        store.remove_image(&two).unwrap();
    }
}

fn name(text: &str) -> Reference {
    text.parse().unwrap()
}

fn spawn(store: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "work_until_killed", "--nocapture"])
        .env(STORE, store)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_killed_process_leaves_a_sound_store() {
    let temp = TempDir::new();
    let path = temp.join("store");
    fs::create_dir(temp.join("upper")).unwrap();
    fs::write(temp.join("upper/mine"), "mine").unwrap();
    let mut seen = 0;
    for round in 0.. {
        if round >= ROUNDS && (seen > 0 || round >= 3 * ROUNDS) {
            break;
        }
        let mut child = spawn(&path);
        // Spread over the start, and over all steps of the work; later on a slow machine.
        let slow = if seen == 0 { 1 + round / 10 } else { 1 };
        std::thread::sleep(Duration::from_micros(slow * (3_000 + round * 7_919 % 97_000)));
        assert!(child.try_wait().unwrap().is_none(), "the process ended by itself");
        child.kill().unwrap();
        child.wait().unwrap();
        if path.exists() {
            seen += usize::from(check(&path));
        }
    }
    assert!(seen > 0, "no image was ever there; the moments are chosen badly");
}

/// Checks everything that has a name; whether an image was among it.
fn check(path: &Path) -> bool {
    let store = Store::open(path).unwrap();
    assert_eq!(fs::read_dir(path.join("staging")).unwrap().count(), 0);
    for entry in fs::read_dir(path.join("blobs/sha256")).unwrap() {
        let blob = entry.unwrap().path();
        let digest = Digest::sha256(fs::read(&blob).unwrap());
        assert_eq!(digest.hex(), blob.file_name().unwrap().to_str().unwrap());
    }
    for entry in fs::read_dir(path.join("layers/sha256")).unwrap() {
        let layer = entry.unwrap().path();
        assert!(layer.join("layer.json").is_file());
        let files = fs::read_dir(layer.join("diff")).unwrap().count();
        assert!(files == FILES || files == 1, "{files} files in an unpacked layer");
    }
    let mut found = false;
    for name in store.names().unwrap() {
        found = true;
        let image = store.image(&name).unwrap();
        assert_eq!(store.unpack(&image).unwrap().len(), image.layers().len());
        store.remove_image(&name).unwrap();
        assert_eq!(store.image(&name).unwrap_err().kind(), ErrorKind::NotFound);
    }
    found
}
