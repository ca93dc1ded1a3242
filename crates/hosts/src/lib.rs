//! Running jobs (any process tree: a session, a check, a set-up command) so that nothing can make
//! Longhaul lose or double one: shims, process identity, whole-tree stops, confinement. Linux.
//!
//! It knows nothing of tasks. Start reading at [`Launcher::launch`] and [`Bundle::survey`], then
//! `shim`. Everything here blocks; keep it off async threads.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

pub mod authority;
pub mod bundle;
mod cgroup;
pub mod confine;
mod durable;
pub mod foreground;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod identity;
pub mod join;
pub mod launch;
pub mod limits;
mod lock;
pub mod logs;
pub mod memory;
mod procfs;
mod protocol;
pub mod record;
pub mod shim;
pub mod spec;
pub mod tree;
pub mod watch;
mod writers;

pub use authority::{Authority, job_of, peer_authority};
pub use bundle::{Bundle, BundleState, Lost, SurveyError};
pub use confine::{ConfinementLevel, confinement_support};
pub use identity::{BootId, Liveness, ProcessIdentity, Signal, SignalOutcome};
pub use launch::{LaunchError, LaunchErrorClass, Launched, Launcher};
pub use logs::{JobLog, LogRead, Stream};
pub use protocol::Refusal;
pub use record::{ExitRecord, JobIdentity, Outcome, SpawnStep, StreamStats, Usage};
pub use shim::SHIM_VERB;
pub use spec::{CgroupMode, Confinement, JobSpec, SPAWN_KEY_ENV, SpecError, Stdin, Stdio};
pub use tree::{SweepOutcome, SweepReport, Tree};
pub use watch::{Frame, JobWatch, ShimError, ShimHandle};
pub use writers::has_writer;
