//! What is given with a user, in place of what the files say.

use super::{User, UserSpec};
use crate::error::Result;

impl UserSpec {
    /// Exactly these supplementary groups, in place of those that the files
    /// would give.
    ///
    /// # Errors
    ///
    /// Those of [`User::with_additional_gids`].
    pub fn with_additional_gids(mut self, gids: impl Into<Vec<u32>>) -> Result<Self> {
        self.additional_gids = Some(User::root().with_additional_gids(gids)?.additional_gids);
        Ok(self)
    }

    /// The file mode mask ([umask(2)](https://man7.org/linux/man-pages/man2/umask.2.html)).
    ///
    /// # Errors
    ///
    /// Those of [`User::with_umask`].
    pub fn with_umask(mut self, umask: u32) -> Result<Self> {
        self.umask = User::root().with_umask(umask)?.umask;
        Ok(self)
    }

    /// Looks the home directory up also where both ids are given; `/` where the
    /// passwd file has none. It is then no error that this file can't be read.
    #[must_use]
    pub fn with_home(mut self) -> Self {
        self.finds_home = true;
        self
    }

    /// Whether the home directory is looked up though both ids are given.
    #[must_use]
    pub fn finds_home(&self) -> bool {
        self.finds_home
    }

    /// The supplementary groups, if they are given.
    #[must_use]
    pub fn additional_gids(&self) -> Option<&[u32]> {
        self.additional_gids.as_deref()
    }

    /// The file mode mask, if it is given.
    #[must_use]
    pub fn umask(&self) -> Option<u32> {
        self.umask
    }
}
