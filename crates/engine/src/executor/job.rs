//! Running a job to its end: launched once, adopted after a restart, stopped at its deadline.

use std::time::{Duration, Instant};

use longhaul_hosts::{
    BundleState, ExitRecord, Frame, JobSpec, LaunchErrorClass, ShimHandle, SweepOutcome,
};

use super::Desk;
use super::desk::chain;

/// How often a running job is looked at beside its news.
const LOOK: Duration = Duration::from_secs(1);

/// How a job ended.
#[derive(Debug)]
pub(crate) enum JobEnd {
    /// It ended under its shim.
    Exited(Box<ExitRecord>),
    /// It was stopped at its deadline.
    TimedOut(Box<ExitRecord>),
    /// Its shim was killed; what was left of its tree has been ended.
    Lost,
    /// It ran in an earlier boot.
    OtherBoot,
    /// It could not be started and trying again gives the same.
    Impossible(String),
    /// Nobody knows, or the system is in trouble: ask again.
    Unsettled(String),
}

/// Starts the job, or finds it, and waits for its end; `deadline` counts from its start.
pub(crate) fn run(desk: &Desk, spec: &JobSpec, deadline: Duration) -> JobEnd {
    let launched = match desk.launcher.launch(spec) {
        Ok(launched) => launched,
        Err(error) => {
            let why = chain(&error);
            return match error.class() {
                LaunchErrorClass::Permanent => JobEnd::Impossible(why),
                LaunchErrorClass::Retry | LaunchErrorClass::Unsettled => JobEnd::Unsettled(why),
            };
        }
    };
    match launched.state {
        BundleState::Live(shim) => watch(desk, &shim, deadline),
        state => settle(state, false),
    }
}

fn watch(desk: &Desk, shim: &ShimHandle, deadline: Duration) -> JobEnd {
    let ran = shim
        .identity()
        .map_or(0, |i| desk.now().0.saturating_sub(i.started_ms).max(0));
    let ran = Duration::from_millis(ran.unsigned_abs());
    let end_by = Instant::now() + deadline.saturating_sub(ran);
    let mut timed_out = false;
    let mut watch = shim.watch();
    loop {
        let left = end_by.saturating_duration_since(Instant::now());
        let wait = if timed_out { LOOK } else { left.min(LOOK) };
        match watch.next_frame(wait) {
            Ok(Frame::Grew { .. } | Frame::Quiet) => {}
            Ok(Frame::Ended(state)) => return settle(state, timed_out),
            Err(error) => return JobEnd::Unsettled(chain(&error)),
        }
        if !timed_out && end_by <= Instant::now() {
            timed_out = true;
            if let Err(error) = shim.stop(desk.practice.stop_grace) {
                tracing::warn!(%error, "a job past its deadline could not be told to end");
            }
        }
    }
}

/// What a bundle that is not live means; ends what is left of a lost tree (I8).
fn settle(state: BundleState, timed_out: bool) -> JobEnd {
    match state {
        BundleState::Exited(record) if timed_out => JobEnd::TimedOut(record),
        BundleState::Exited(record) => JobEnd::Exited(record),
        BundleState::Lost(lost) => {
            let report = lost.tree().sweep(Duration::from_secs(2));
            if report.outcome == SweepOutcome::Unknown {
                return JobEnd::Unsettled("nobody can tell what is left of its tree".to_owned());
            }
            JobEnd::Lost
        }
        BundleState::OtherBoot(_) => JobEnd::OtherBoot,
        BundleState::Absent | BundleState::NotStarted => {
            JobEnd::Unsettled("its program was not started".to_owned())
        }
        BundleState::Starting | BundleState::Live(_) => {
            JobEnd::Unsettled("its shim is still starting".to_owned())
        }
    }
}
