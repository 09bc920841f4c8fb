//! [`OwnedCgroup`]: a cgroup that goes with its owner.

use std::ops::Deref;
use std::time::Duration;

use super::group::Cgroup;
use crate::error::Result;

/// How long a drop may take to kill, and again to remove.
const DROP_TIME: Duration = Duration::from_millis(100);

/// A [`Cgroup`] whose processes are killed and whose directories are removed on drop.
///
/// The drop takes at most some 200 ms, cannot fail and never panics; what is still in use
/// then remains. [`close`](Self::close) does the same with more patience and says what failed.
#[derive(Debug)]
#[must_use = "dropping it at once removes the cgroup again"]
pub struct OwnedCgroup {
    cgroup: Cgroup,
    armed: bool,
}

impl OwnedCgroup {
    pub(super) fn new(cgroup: Cgroup) -> Self {
        Self { cgroup, armed: true }
    }

    /// Kills and removes now: [`Cgroup::destroy`].
    ///
    /// # Errors
    ///
    /// As [`Cgroup::destroy`]; the cgroup is then left as it is.
    pub fn close(mut self) -> Result<()> {
        self.armed = false;
        self.cgroup.destroy()
    }

    /// Gives up the ownership: the cgroup stays.
    #[must_use]
    pub fn release(mut self) -> Cgroup {
        self.armed = false;
        self.cgroup.clone()
    }
}

impl Deref for OwnedCgroup {
    type Target = Cgroup;

    fn deref(&self) -> &Cgroup {
        &self.cgroup
    }
}

impl Drop for OwnedCgroup {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        // A drop has nobody to tell; removing is tried even if killing failed.
        let _ = self.cgroup.kill_within(DROP_TIME);
        let _ = self.cgroup.remove_recursive_within(DROP_TIME);
        self.cgroup.remove_made_parents();
    }
}
