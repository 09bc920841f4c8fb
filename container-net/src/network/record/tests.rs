//! Records, their locks and what remains of them.

use super::*;

fn record(name: &str) -> Record {
    let name = Name::new("network name", name).unwrap();
    Record::new(name, "10.88.0.0/24".parse().unwrap(), 7).unwrap()
}

#[test]
fn a_record_is_abandoned_only_when_its_claim_is_gone() {
    let temp = testkit::TempDir::new();
    let run_dir = RunDir::new(temp.join("run"), 1);
    let lock = run_dir.lock().unwrap();
    let claim = lock.claim(record("a")).unwrap();
    assert!(lock.abandoned().unwrap().is_empty());
    assert_eq!(lock.claim(record("a")).unwrap_err().kind(), ErrorKind::AlreadyExists);
    // What a SIGKILL does: the descriptor closes, the file stays.
    drop(claim);
    let mut abandoned = lock.abandoned().unwrap();
    assert_eq!(abandoned.len(), 1);
    let abandoned = abandoned.remove(0);
    assert_eq!(abandoned.record_of_this_boot().unwrap().unwrap().group, 7);
    lock.discard(abandoned).unwrap();
    drop(lock);
    assert!(!temp.join("run").exists(), "empty directories are removed");
}

#[test]
fn a_record_of_another_boot_or_half_written_describes_nothing() {
    let temp = testkit::TempDir::new();
    let lock = RunDir::new(temp.join("run"), 1).lock().unwrap();
    let mut old = record("old");
    old.boot_id = "another".into();
    drop(lock.claim(old).unwrap());
    fs::write(lock.path("half.network"), "{\"version\":1,\"na").unwrap();
    let abandoned = lock.abandoned().unwrap();
    assert_eq!(abandoned.len(), 2);
    // Nor is one of a later version ours to judge.
    fs::write(lock.path("later.network"), "{\"version\":2}").unwrap();
    assert_eq!(lock.abandoned().unwrap().len(), 0, "two are held by us, one is foreign");
    for one in abandoned {
        assert!(one.record_of_this_boot().unwrap().is_none());
        lock.discard(one).unwrap();
    }
}

#[test]
fn hostile_records_are_not_believed() {
    for text in [
        r#"{"version":1,"boot_id":"x","name":"../a","subnet":"10.0.0.0/24","group":7}"#,
        r#"{"version":1,"boot_id":"x","name":"a","subnet":"10.0.0.0/0","group":7}"#,
        r#"{"version":1,"boot_id":"x","name":"a","subnet":"10.0.0.0/24","group":0}"#,
        "",
    ] {
        assert!(Record::parse(text).is_none(), "{text}");
    }
}

#[test]
fn the_lock_is_exclusive_between_threads_and_survives_removal() {
    let temp = testkit::TempDir::new();
    let run_dir = RunDir::new(temp.join("run"), 1);
    let holders = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let lock = run_dir.lock().unwrap();
                    let before = holders.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    assert_eq!(before, 0, "two holders at once");
                    holders.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                    drop(lock);
                }
            });
        }
    });
    assert!(!temp.join("run").exists());
}
