//! A temporary jobs folder with a launcher; whatever it started is gone when it is dropped.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use longhaul_hosts::{
    Bundle, BundleState, ExitRecord, Frame, JobLog, JobSpec, Launched, Launcher, Liveness,
    ProcessIdentity, ShimHandle, Stream,
};

/// No wait in these tests is longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct World {
    pub(crate) root: Utf8PathBuf,
    pub(crate) launcher: Launcher,
    keys: RefCell<Vec<String>>,
    _dir: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("lh-hosts-")
            .tempdir()
            .unwrap();
        let root = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
        let jobs = root.join("jobs");
        Self {
            launcher: Launcher::new(shim_exe(), jobs.as_std_path()).unwrap(),
            root,
            keys: RefCell::new(Vec::new()),
            _dir: dir,
        }
    }

    pub(crate) fn jobs(&self) -> PathBuf {
        self.root.join("jobs").into_std_path_buf()
    }

    /// The real key of a short name: keys are unique on a machine, so tests must not share them.
    pub(crate) fn key(&self, name: &str) -> String {
        let folder = self
            .root
            .file_name()
            .unwrap()
            .trim_start_matches("lh-hosts-");
        format!("test-{}-{folder}-{name}", std::process::id())
    }

    /// A shell script as a job.
    pub(crate) fn sh(&self, name: &str, script: &str) -> JobSpec {
        let key = &self.key(name);
        self.keys.borrow_mut().push(key.to_owned());
        let argv = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        let mut spec = JobSpec::new(key, argv, self.root.clone());
        let path = std::env::var("PATH").unwrap();
        spec.env = vec![
            ("PATH".to_owned(), path),
            ("W".to_owned(), self.root.to_string()),
        ];
        spec.stop_grace_ms = 300;
        spec
    }

    pub(crate) fn bundle(&self, name: &str) -> Bundle {
        self.launcher.bundle(&self.key(name)).unwrap()
    }

    pub(crate) fn live(&self, spec: &JobSpec) -> ShimHandle {
        match self.launcher.launch(spec).unwrap() {
            Launched {
                fresh: true,
                state: BundleState::Live(handle),
            } => handle,
            other => panic!("not live: {other:?}"),
        }
    }

    /// Launches and waits for the record.
    pub(crate) fn run(&self, spec: &JobSpec) -> ExitRecord {
        let launched = self.launcher.launch(spec).unwrap();
        assert!(launched.fresh);
        match launched.state {
            BundleState::Live(handle) => exit_of(&handle),
            BundleState::Exited(record) => *record,
            other => panic!("neither live nor ended: {other:?}"),
        }
    }

    pub(crate) fn output(&self, name: &str, stream: Stream) -> Vec<u8> {
        std::fs::read(self.bundle(name).dir().join(stream.file_name())).unwrap()
    }

    pub(crate) fn log(&self, name: &str, stream: Stream) -> JobLog {
        JobLog::new(self.bundle(name).dir(), stream)
    }

    /// A path below the world's folder.
    pub(crate) fn path(&self, name: &str) -> Utf8PathBuf {
        self.root.join(name)
    }

    /// A file below the world's folder, if it is there.
    pub(crate) fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.path(name)).ok()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let keys = self.keys.borrow().clone();
        for key in keys {
            match self.launcher.bundle(&key).unwrap().survey() {
                Ok(BundleState::Live(handle)) => {
                    handle.stop(Duration::ZERO).ok();
                    let mut watch = handle.watch();
                    let deadline = Instant::now() + PATIENCE;
                    while Instant::now() < deadline
                        && !matches!(
                            watch.next_frame(Duration::from_millis(200)),
                            Ok(Frame::Ended(_)) | Err(_)
                        )
                    {}
                }
                Ok(BundleState::Lost(lost)) => {
                    drop(lost.tree().sweep(Duration::ZERO));
                }
                _ => {}
            }
        }
        self.launcher.reap();
    }
}

pub(crate) fn shim_exe() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_longhaul-shim-test"))
}

pub(crate) fn exit_of(handle: &ShimHandle) -> ExitRecord {
    match end_of(handle) {
        BundleState::Exited(record) => *record,
        other => panic!("no exit record: {other:?}"),
    }
}

pub(crate) fn end_of(handle: &ShimHandle) -> BundleState {
    let mut watch = handle.watch();
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "the job does not end");
        if let Frame::Ended(state) = watch.next_frame(Duration::from_millis(500)).unwrap() {
            return state;
        }
    }
}

/// Waits until `ready` gives something.
pub(crate) fn wait_for<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ready() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// Waits for a file of pids, one a line, with at least `count` lines; identifies them.
pub(crate) fn identities(world: &World, name: &str, count: usize) -> Vec<ProcessIdentity> {
    wait_for(name, || {
        let text = world.read(name)?;
        let pids: Vec<u32> = text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
            .filter_map(|line| line.trim().parse().ok())
            .collect();
        (pids.len() >= count).then_some(pids)
    })
    .into_iter()
    .map(|pid| ProcessIdentity::of(pid).unwrap())
    .collect()
}

pub(crate) fn all_gone(processes: &[ProcessIdentity]) -> bool {
    processes.iter().all(|p| p.liveness() == Liveness::Gone)
}

pub(crate) fn kill(process: &ProcessIdentity) {
    assert_eq!(
        process.signal(longhaul_hosts::Signal::Kill),
        longhaul_hosts::SignalOutcome::Sent
    );
}
