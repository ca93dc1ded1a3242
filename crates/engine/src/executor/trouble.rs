//! Why something could not be done with a repository, and whether trying again can help.

use longhaul_vcs::{ErrorClass, GitError, OpenError};

use super::check::{Finding, Ruling};
use super::desk::chain;

/// Why something could not be done with a repository, and whether trying again can help.
pub(super) struct Trouble {
    pub(super) detail: String,
    pub(super) transient: bool,
}

impl From<GitError> for Trouble {
    fn from(error: GitError) -> Self {
        Self {
            detail: chain(&error),
            transient: error.class() == ErrorClass::Transient,
        }
    }
}

impl From<OpenError> for Trouble {
    fn from(error: OpenError) -> Self {
        Self {
            detail: chain(&error),
            transient: error.class() == ErrorClass::Transient,
        }
    }
}

impl Trouble {
    /// What it means for a check: asked again where that can help, else FAIL (I13).
    pub(super) fn finding(self) -> Finding {
        if self.transient {
            Finding::Unsettled(self.detail)
        } else {
            Finding::Judged(Ruling::fail(self.detail))
        }
    }

    pub(super) fn for_good(detail: impl Into<String>) -> Self {
        Self {
            detail: detail.into(),
            transient: false,
        }
    }
}
