//! Deleting links, many at the price of one.
//!
//! `RTM_DELLINK` of a veth pair keeps its caller waiting for some 20 to 50 ms until every CPU has
//! let go of it. A whole group of links waits but once. So whoever deletes while a deletion is
//! under way queues up, and the next one takes the whole queue along.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, ErrorKind, Result};
use crate::link::Rtnl;

/// The link group of links that are about to be deleted, next to their network's own group.
pub(super) fn burial_group(group: u32) -> u32 {
    group | 1
}

/// The queue, and a socket apart from the one that makes links.
#[derive(Debug)]
pub(crate) struct Reaper {
    group: u32,
    queue: Mutex<Vec<Arc<Doomed>>>,
    rtnl: Mutex<Rtnl>,
}

/// A link to delete, and what became of it.
#[derive(Debug)]
struct Doomed {
    link: String,
    outcome: Mutex<Option<Result<()>>>,
}

impl Reaper {
    pub(super) fn new(network_group: u32, rtnl: Rtnl) -> Self {
        Self { group: burial_group(network_group), queue: Mutex::default(), rtnl: Mutex::new(rtnl) }
    }

    /// Deletes a link and waits until it is gone. A link that is gone is no error.
    pub(crate) fn delete(&self, link: String) -> Result<()> {
        let doomed = Arc::new(Doomed { link, outcome: Mutex::new(None) });
        lock(&self.queue).push(Arc::clone(&doomed));
        let mut rtnl = lock(&self.rtnl);
        // The holder before us may have taken ours along.
        if let Some(outcome) = lock(&doomed.outcome).take() {
            return outcome;
        }
        let batch = mem::take(&mut *lock(&self.queue));
        self.delete_all(&mut rtnl, &batch);
        drop(rtnl);
        let outcome = lock(&doomed.outcome).take();
        outcome.unwrap_or_else(|| {
            let hint = "it was not in the queue; this is a bug";
            Err(Error::refused(ErrorKind::Os, "delete link", doomed.link.as_str(), hint))
        })
    }

    fn delete_all(&self, rtnl: &mut Rtnl, batch: &[Arc<Doomed>]) {
        let together = batch.len() > 1 && self.delete_group(rtnl, batch).is_ok();
        for doomed in batch {
            let outcome = if together { Ok(()) } else { rtnl.delete(&doomed.link) };
            *lock(&doomed.outcome) = Some(outcome);
        }
    }

    fn delete_group(&self, rtnl: &mut Rtnl, batch: &[Arc<Doomed>]) -> Result<()> {
        for doomed in batch {
            match rtnl.set_group(&doomed.link, self.group) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        rtnl.delete_group(self.group)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
