//! Running a job to its end: launched once, adopted after a restart, stopped at its deadline.

use std::fs;
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use longhaul_hosts::{
    BundleState, ExitRecord, Frame, JobSpec, LaunchErrorClass, ShimHandle, SweepOutcome,
};

use super::Desk;
use super::desk::chain;
use super::files::write_whole;

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
    follow(desk, &spec.key, launched.state, deadline)
}

/// Waits for the end of a job that was started, whoever started it.
pub(crate) fn follow(desk: &Desk, key: &str, state: BundleState, deadline: Duration) -> JobEnd {
    match state {
        BundleState::Live(shim) => watch(desk, key, &shim, deadline),
        state => settle(state, overdue(desk, key).exists()),
    }
}

/// Noted beside the bundle of a job before it is stopped at its deadline, so that its end means the same to
/// whoever looks at it again.
fn overdue(desk: &Desk, key: &str) -> Utf8PathBuf {
    desk.dirs.jobs().join(key).join("overdue")
}

fn watch(desk: &Desk, key: &str, shim: &ShimHandle, deadline: Duration) -> JobEnd {
    let ran = Duration::from_millis(desk.mono_ms().saturating_sub(begun(desk, key, shim)));
    let end_by = Instant::now() + deadline.saturating_sub(ran);
    let mut timed_out = false;
    let mut told = false;
    let mut watch = shim.watch();
    loop {
        let left = end_by.saturating_duration_since(Instant::now());
        let wait = if timed_out { LOOK } else { left.min(LOOK) };
        match watch.next_frame(wait) {
            Ok(Frame::Grew { .. } | Frame::Quiet) => {}
            Ok(Frame::Ended(state)) => {
                return settle(state, timed_out || overdue(desk, key).exists());
            }
            Err(error) => return JobEnd::Unsettled(chain(&error)),
        }
        if !told && end_by <= Instant::now() {
            timed_out = true;
            let note = overdue(desk, key);
            if let Err(error) = write_whole(&note, b"") {
                tracing::debug!(%error, %note, "that a job is past its deadline is not noted");
            }
            // Told until it was heard: a job past its deadline must not live on.
            match shim.stop(desk.practice.stop_grace) {
                Ok(_) => told = true,
                Err(error) => {
                    tracing::warn!(%key, %error, "a job past its deadline could not be told to end");
                }
            }
        }
    }
}

/// When the job began, on the monotonic clock of this boot: noted beside its bundle by whoever first
/// watches it, so that neither a sleep nor a new daemon changes it (T21).
fn begun(desk: &Desk, key: &str, shim: &ShimHandle) -> u64 {
    let note = desk.dirs.jobs().join(key).join("begun");
    let boot = desk.boot.as_str();
    let noted = fs::read_to_string(&note).ok();
    let noted = noted.as_deref().and_then(|text| noted_at(text, boot));
    noted.unwrap_or_else(|| {
        let ran = shim
            .identity()
            .and_then(|i| u64::try_from(desk.now().0 - i.started_ms).ok());
        let at = desk.mono_ms().saturating_sub(ran.unwrap_or(0));
        if let Err(error) = write_whole(&note, format!("{boot} {at}").as_bytes()) {
            tracing::debug!(%error, %note, "a job's start is not noted");
        }
        at
    })
}

fn noted_at(text: &str, boot: &str) -> Option<u64> {
    let (of, at) = text.split_once(' ')?;
    (of == boot).then(|| at.parse().ok()).flatten()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t21_a_start_is_believed_of_this_boot_only() {
        assert_eq!(noted_at("b1 1234", "b1"), Some(1234));
        assert_eq!(noted_at("b1 1234", "b2"), None);
        assert_eq!(noted_at("b1 torn?", "b1"), None);
        assert_eq!(noted_at("", "b1"), None);
    }
}
