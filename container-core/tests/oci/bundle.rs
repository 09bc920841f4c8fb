//! Reading and writing bundles.

use container_core::{ErrorKind, oci};
use serde_json::{Value, json};

fn directory() -> testkit::TempDir {
    testkit::TempDir::new()
}

#[test]
fn unknown_fields_are_kept() {
    let dir = directory();
    let text = json!({
        "ociVersion": "1.0.2",
        "root": {"path": "fs", "org.example.more": [1]},
        "org.example": {"deep": {"er": null}},
    });
    std::fs::write(dir.path().join("config.json"), text.to_string()).unwrap();
    let bundle = oci::Bundle::load(dir.path()).unwrap();
    assert_eq!(bundle.rootfs(), Some(dir.path().join("fs")));
    assert_eq!(serde_json::from_str::<Value>(&bundle.to_json()).unwrap(), text);
    bundle.save().unwrap();
    let again = oci::Bundle::load(dir.path()).unwrap();
    assert_eq!(again, bundle);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn no_json_has_line_and_column() {
    let error = oci::Bundle::parse("/", b"{\n  \"ociVersion\": \"1.0.0\",\n  oops\n}").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(error.object(), "line 3 column 3");
    assert!(oci::Bundle::parse("/", b"[1]").is_err());
    assert!(oci::Bundle::parse("/", b"").is_err());
    let deep = "[".repeat(100_000);
    assert!(oci::Bundle::parse("/", deep.as_bytes()).is_err());
}

#[test]
fn what_is_no_bundle() {
    let dir = directory();
    assert_eq!(oci::Bundle::load(dir.path()).unwrap_err().kind(), ErrorKind::NotFound);
    let config = dir.path().join("config.json");
    nix::unistd::mkfifo(&config, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(oci::Bundle::load(dir.path()).unwrap_err().kind(), ErrorKind::InvalidInput);
    std::fs::remove_file(&config).unwrap();
    let file = std::fs::File::create(&config).unwrap();
    file.set_len(oci::Bundle::MAX_FILE + 1).unwrap();
    assert_eq!(oci::Bundle::load(dir.path()).unwrap_err().kind(), ErrorKind::LimitReached);
}

#[test]
fn a_spec_in_memory_needs_no_file() {
    let bundle = oci::Bundle::new("some/where", oci::default_spec()).unwrap();
    assert!(bundle.directory().is_absolute());
    assert!(bundle.to_json().contains("\"ociVersion\": \"1.3.0\""));
}

#[test]
fn a_process_on_its_own() {
    let text = br#"{"cwd": "/", "args": ["ps"], "capabilities": {"bounding": ["CAP_OF_2040"]}}"#;
    let process = oci::parse_process(text).unwrap();
    assert_eq!(process.user().uid(), 0);
    let builder =
        oci::process(&process, container_core::ProcessBuilder::new("").env("KEPT", "1")).unwrap();
    assert_eq!(builder.get_program(), "ps");
    assert_eq!(builder.get_envs().count(), 1, "what is not mentioned stays");
    let error = oci::parse_process(br#"{"cwd": 1}"#).unwrap_err();
    assert_eq!(error.object(), "cwd");
    assert!(oci::parse_process(b"{").unwrap_err().object().starts_with("line 1"));
}
