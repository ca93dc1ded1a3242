//! Longhaul's git: workspaces, snapshots, the seal of a turn, escape checks and the plan of what may
//! be removed. The user's own checkout, index and stash are never written here (I9).
//!
//! Every call of git is guarded (L20): see [`Git`] and [`Repo`]. What each oddity of a repository
//! leads to stands in `docs/workspaces.md`.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod branch;
mod catch_up;
mod diff;
mod disk;
mod escape;
mod fsx;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod gc;
mod git;
mod include;
mod lock;
mod merge;
mod oid;
mod path;
mod procs;
mod protect;
mod queue;
mod refs;
mod replay;
mod repo;
mod rework;
mod seal;
mod settings;
mod site;
mod snapshot;
mod stamp;
mod start;
mod worktree;

pub use branch::{BranchRepair, BranchState, Unfinished};
pub use catch_up::{CatchUp, CatchUpStyle, CaughtUp};
pub use diff::{ChangeKind, ChangedPath, Changes, DiffText};
pub use disk::{disk_usage, network_filesystem};
pub use escape::{CheckoutMark, Difference};
pub use gc::{
    GcCandidate, KeptBecause, RemoveError, Removed, SafeBecause, Secured, TreeVerdict, Verdict,
};
pub use git::{ErrorClass, Git, GitError, GitSettings};
pub use include::{IncludeLimits, NotPlaced, Placed};
pub use oid::{NotAnOid, Oid};
pub use path::{BadEscape, RepoPath};
pub use procs::{FolderUse, folder_use};
pub use protect::{BadPattern, Protect};
pub use queue::{
    AdvanceCheckout, BaseStand, CandidateCommit, EntryEnd, FollowIntent, FollowPlan,
    FollowRecovery, HeadVerdict, LandEnd, Matrix, PairConflict, Position, Predictor, PublishEnd,
    PushEnd, Queue, QueueError, Slot, SlotError, SlotPlan, Trial, TrialEntry, TrialRequest,
    UndoEnd, UndoRequest, Work, WorkPlace,
};
pub use refs::{PutBack, RefChange, RefList};
pub use repo::{Head, OpenError, Repo, StartError, top_level};
pub use rework::MergeBegun;
pub use seal::{SealError, SealRequest, Sealed};
pub use settings::{RestoreGuardError, SettingsMark};
pub use snapshot::{
    FileRules, RestoreError, RestoreScope, Restored, SkipReason, Skipped, Snapshot, SnapshotRef,
    SnapshotRequest,
};
pub use start::{ConflictKind, ConflictPath, StartPoint};
pub use worktree::{EnsureError, Ensured, Made, Note, WorkspacePlan, Worktree};
