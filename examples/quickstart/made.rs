//! The list of what was made, so that its end can be proven.

use std::fmt::Display;
use std::path::{Path, PathBuf};

/// Everything that the quickstart makes outside of its own memory.
#[derive(Default)]
pub(crate) struct Made(Vec<Item>);

struct Item {
    name: String,
    what: &'static str,
    is_gone: Box<dyn Fn() -> bool>,
}

impl Made {
    /// Notes something, and how to see that it is gone.
    pub(crate) fn note(
        &mut self,
        what: &'static str,
        name: impl Display,
        is_gone: impl Fn() -> bool + 'static,
    ) {
        self.0.push(Item { name: name.to_string(), what, is_gone: Box::new(is_gone) });
    }

    /// Notes something that has a path.
    pub(crate) fn path(&mut self, what: &'static str, path: impl Into<PathBuf>) {
        let path = path.into();
        self.note(what, path.display(), {
            let path = path.clone();
            move || !path.exists()
        });
    }

    /// Notes a link of the host's network.
    pub(crate) fn link(&mut self, what: &'static str, name: &str) {
        let path = Path::new("/sys/class/net").join(name);
        self.note(what, name, move || !path.exists());
    }

    /// A line for each, and whether all are gone.
    pub(crate) fn report(&self) -> (Vec<String>, bool) {
        let width = self.0.iter().map(|item| item.what.len()).max().unwrap_or(0);
        let mut all = true;
        let mut lines = Vec::with_capacity(self.0.len());
        for Item { name, what, is_gone } in &self.0 {
            let gone = is_gone();
            all &= gone;
            let state = if gone { "removed" } else { "STILL THERE" };
            lines.push(format!("{state}  {what:<width$}  {name}"));
        }
        (lines, all)
    }
}
