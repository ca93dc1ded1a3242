//! Why there is no workspace.

use longhaul_core::fact::WorkspaceFault;
use longhaul_vcs::{EnsureError, ErrorClass, GitError};

use super::super::desk::chain;
use super::super::trouble::Trouble;

/// Why there is no workspace.
pub(super) struct Fault {
    pub(super) fault: WorkspaceFault,
    pub(super) detail: String,
    pub(super) remedy: String,
    /// Nobody knows whether `setup` runs: the same attempt has to ask again, another one would run it
    /// a second time beside the first.
    pub(super) unsettled: bool,
}

impl Fault {
    pub(super) fn new(
        fault: WorkspaceFault,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            fault,
            detail: detail.into(),
            remedy: remedy.into(),
            unsettled: false,
        }
    }

    pub(super) fn git(error: &GitError) -> Self {
        let fault = match error.class() {
            ErrorClass::Transient => WorkspaceFault::Transient,
            ErrorClass::Permanent => WorkspaceFault::Permanent,
        };
        Self::new(fault, chain(error), error.remedy())
    }

    pub(super) fn trouble(trouble: Trouble, remedy: &str) -> Self {
        let fault = if trouble.transient {
            WorkspaceFault::Transient
        } else {
            WorkspaceFault::Permanent
        };
        Self::new(fault, trouble.detail, remedy)
    }

    pub(super) fn io(what: &str, error: &std::io::Error) -> Self {
        let detail = format!("{what}: {error}");
        Self::new(
            WorkspaceFault::Transient,
            detail,
            "make room or mend the folder's rights",
        )
    }
}

pub(super) fn ensure_fault(error: &EnsureError) -> Fault {
    let fault = match error.class() {
        ErrorClass::Transient => WorkspaceFault::Transient,
        ErrorClass::Permanent => WorkspaceFault::Permanent,
    };
    Fault::new(fault, chain(error), error.remedy())
}
