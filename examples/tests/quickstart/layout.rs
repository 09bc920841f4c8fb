//! The image that the quickstart keeps: what its story says, and what other programs say.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::harness::{Run, alone, can_run, stdout};

#[test]
fn the_kept_layout_is_what_the_story_says_and_others_accept_it() {
    if !can_run() {
        return;
    }
    let _alone = alone();
    let run = Run::new();
    let kept = run.temp.join("kept");
    let story = run.story(&["--keep", kept.to_str().unwrap()]);
    let index = json(&kept.join("index.json"));
    let manifests = index["manifests"].as_array().unwrap();
    assert_eq!(manifests.len(), 2);
    for manifest in manifests {
        let manifest = json(&blob(&kept, &manifest["digest"]));
        let config = json(&blob(&kept, &manifest["config"]["digest"]));
        let diff_ids = config["rootfs"]["diff_ids"].as_array().unwrap();
        let layers = manifest["layers"].as_array().unwrap();
        assert_eq!(layers.len(), diff_ids.len());
        for (layer, diff_id) in layers.iter().zip(diff_ids) {
            let path = blob(&kept, &layer["digest"]);
            assert_eq!(layer["digest"], sha256(&fs::read(&path).unwrap()));
            if testkit::require_peer("gzip") {
                let mut gzip = Command::new("gzip");
                let tar = gzip.arg("-dc").stdin(fs::File::open(&path).unwrap()).output().unwrap();
                assert_eq!(*diff_id, sha256(&tar.stdout));
            }
        }
        // The recursion of the image specification, once more.
        let mut chain = String::new();
        for diff_id in diff_ids.iter().map(|id| id.as_str().unwrap()) {
            chain = match chain.as_str() {
                "" => diff_id.to_owned(),
                below => sha256(format!("{below} {diff_id}").as_bytes()),
            };
            let short = format!("ChainID {}", &chain[..7 + 12]);
            assert!(story.contains(&short) || diff_ids.len() == 3, "no {short} in\n{story}");
        }
        assert!(story.contains(&format!("ChainID {}", &chain[..7 + 12])), "{chain}\n{story}");
    }
    accepted_by_others(&run, &kept, manifests);
}

fn accepted_by_others(run: &Run, kept: &Path, manifests: &[Value]) {
    for (name, manifest) in ["quickstart", "quickstart-changed"].into_iter().zip(manifests) {
        if testkit::require_peer("skopeo") {
            let image = format!("oci:{}:{name}", kept.display());
            let shown = stdout(Command::new("skopeo").args(["inspect", &image]));
            let shown: Value = serde_json::from_str(&shown).unwrap();
            assert_eq!(shown["Digest"], manifest["digest"]);
        }
        if testkit::require_peer("umoci") {
            let bundle = run.temp.join(format!("bundle-{name}"));
            let mut unpack = Command::new("umoci");
            unpack.args(["unpack", "--image"]).arg(format!("{}:{name}", kept.display()));
            if !testkit::is_root() {
                unpack.arg("--rootless");
            }
            stdout(unpack.arg(&bundle));
            let rootfs = bundle.join("rootfs");
            let motd = fs::read_to_string(rootfs.join("etc/motd")).unwrap();
            let changed = name == "quickstart-changed";
            assert_eq!(motd.ends_with("changed by the container\n"), changed, "{motd}");
            assert_eq!(rootfs.join("data/new/report").exists(), changed);
            assert_eq!(rootfs.join("data/draft").exists(), !changed);
            assert!(!rootfs.join("etc/obsolete").exists());
            assert!(rootfs.join("bin/quickstart-server").exists());
        }
    }
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn blob(layout: &Path, digest: &Value) -> PathBuf {
    layout.join("blobs").join(digest.as_str().unwrap().replace(':', "/"))
}

fn sha256(bytes: &[u8]) -> String {
    let digits: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}
