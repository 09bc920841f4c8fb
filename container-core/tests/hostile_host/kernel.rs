//! Kernel-wide counts of the objects that containers are made of.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

/// Caches of `slabinfo(5)` that grow with what is left behind.
const CACHES: [&str; 9] = [
    "task_struct",
    "signal_cache",
    "pid_namespace",
    "net_namespace",
    "user_namespace",
    "uts_namespace",
    "nsproxy",
    "mnt_cache",
    "sock_inode_cache",
];

/// Objects in each cache; empty where the file can't be read (not root).
#[derive(Debug)]
pub(super) struct Counts(BTreeMap<String, u64>);

impl Counts {
    pub(super) fn now() -> Self {
        let table = fs::read_to_string("/proc/slabinfo").unwrap_or_default();
        let rows = table.lines().filter_map(|line| {
            let mut fields = line.split_whitespace();
            let name = fields.next().filter(|name| CACHES.contains(name))?;
            Some((name.to_owned(), fields.next()?.parse().ok()?))
        });
        Self(rows.collect())
    }

    /// What grew by more than half of `containers`. The whole machine counts,
    /// so a fraction of them is other programs' doing; and the kernel takes
    /// network namespaces down in its own time.
    pub(super) fn assert_not_grown(&self, containers: usize) -> String {
        let start = Instant::now();
        loop {
            let now = Self::now();
            let grown = |name: &String| {
                let (before, after) = (self.0[name], now.0.get(name).copied().unwrap_or(0));
                after as i64 - before as i64
            };
            let changes: Vec<(&String, i64)> =
                self.0.keys().map(|name| (name, grown(name))).collect();
            if changes.iter().all(|(_, grown)| *grown < containers as i64 / 2) {
                let shown = changes.iter().map(|(name, grown)| format!("{name} {grown:+}"));
                return shown.collect::<Vec<_>>().join(", ");
            }
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "kernel objects are left: {changes:?}"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
