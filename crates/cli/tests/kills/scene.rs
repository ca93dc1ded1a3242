//! The stage: a world with one repository, a task file for the `script` harness, gates that hold an
//! agent where a test wants it, and ways to look, wait and kill. What must hold at the end of every
//! scenario is in `audit`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use longhaul_acts::{CRASH_DIR, CRASH_POINT};
use longhaul_core::ids::SpawnKey;
use longhaul_core::task::{State, StateWord, Task};
use longhaul_hosts::{Bundle, BundleState, JobIdentity};
use longhaul_store::{Reader as _, Resolution, SqliteReader};
use longhaul_testkit::world::{ProcessIdentity, Ran, World, append, read, wait_until, write};
use serde_json::Value;

use crate::audit::Checkout;

/// How long anything may take on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A script's first line: leaves a trace of this very session in the workspace.
pub(crate) const START: &str = "run echo $LONGHAUL_SESSION >> starts.txt";

/// See the module.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) repo: PathBuf,
    before: Option<Checkout>,
}

impl Scene {
    /// With quick waits.
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    /// With further lines of top-level configuration. A long run may name a binary that no build replaces.
    pub(crate) fn with(config: &str) -> Self {
        let own = env!("CARGO_BIN_EXE_longhaul").to_owned();
        let binary = std::env::var("LONGHAUL_TEST_BINARY").unwrap_or(own);
        Self::around(World::new(binary).unwrap(), config)
    }

    /// In a world that was prepared otherwise.
    pub(crate) fn around(world: World, config: &str) -> Self {
        let repo = world.repo("repo").unwrap().path().to_owned();
        let scene = Self {
            world,
            repo,
            before: None,
        };
        scene.config(config);
        // Sessions have their git identity from the home, as people's agents do.
        let identity = read(&scene.world.path("gitconfig"));
        write(&scene.world.home().join(".gitconfig"), &identity).unwrap();
        scene
    }

    /// Replaces the configuration: quick waits, and these further top-level lines.
    pub(crate) fn config(&self, more: &str) {
        let or = |key: &str, line: &str| {
            if more.contains(key) {
                String::new()
            } else {
                format!("{line}\n")
            }
        };
        let text = format!(
            "{}{}min_free_memory = \"1MiB\"\n{more}\n[retry]\nbackoff_min = \"0s\"\nbackoff_max = \"1s\"\n\
             [limits]\nwake_jitter = \"0s\"\n",
            or("min_free ", "min_free = \"1MiB\""),
            or("concurrency ", "concurrency = 12"),
        );
        write(&self.world.config_file(), &text).unwrap();
    }

    /// The file of a gate; agents and checks wait for it with [`Scene::wait_for`].
    pub(crate) fn gate(&self, name: &str) -> PathBuf {
        self.world.path("gates").join(name)
    }

    /// A shell command that ends when the gate is open.
    pub(crate) fn wait_for(&self, gate: &str) -> String {
        format!(
            "while [ ! -e {} ]; do sleep 0.05; done",
            self.gate(gate).display()
        )
    }

    /// Opens a gate.
    pub(crate) fn open(&self, gate: &str) {
        write(&self.gate(gate), "").unwrap();
    }

    /// Writes `tasks.toml` beside the checkout's own files; the checkout's state is noted with it.
    pub(crate) fn tasks(&mut self, text: &str) {
        let text = format!("[defaults]\nharness = \"script\"\n\n{text}");
        write(&self.repo.join("tasks.toml"), &text).unwrap();
        self.before = Some(Checkout::of(&self.world, &self.repo));
    }

    /// The checkout as it was when the tasks were written.
    pub(crate) fn before(&self) -> Option<&Checkout> {
        self.before.as_ref()
    }

    /// `longhaul ARGS` in the repository.
    #[track_caller]
    pub(crate) fn longhaul(&self, args: &[&str]) -> Ran {
        let command = self.world.longhaul_in(&self.repo, args);
        self.world.run_within(LIMIT, command)
    }

    /// Hands the tasks in and leaves.
    #[track_caller]
    pub(crate) fn start(&self) {
        self.longhaul(&["run", "tasks.toml", "--detach"])
            .expect_code(0);
    }

    /// Hands the tasks in to a daemon that dies at this crash point, and starts the next one.
    #[track_caller]
    pub(crate) fn dies_once_at(&self, point: &str) {
        let folder = self.world.path("points");
        std::fs::create_dir(&folder).unwrap();
        let mut start = self
            .world
            .longhaul_in(&self.repo, ["run", "tasks.toml", "--detach"]);
        start.env(CRASH_DIR, &folder);
        start.env(CRASH_POINT, format!("{point}:1"));
        self.world.run_within(LIMIT, start).expect_code(0);
        let died = || folder.join(point).exists() && self.daemon().is_none();
        assert!(
            wait_until(LIMIT, died),
            "{point} was not passed\n{}",
            self.daemon_log()
        );
        self.longhaul(&["daemon", "start"]).expect_code(0);
    }

    /// The store, opened anew.
    pub(crate) fn reader(&self) -> Option<SqliteReader> {
        SqliteReader::open(&camino_of(&self.world.state().join("longhaul.db"))).ok()
    }

    /// A task as it is stored.
    pub(crate) fn try_task(&self, name: &str) -> Option<Task> {
        let reader = self.reader()?;
        match reader.resolve(name).ok()? {
            Resolution::One(id) => reader.task(id).ok().flatten().map(|t| t.task),
            Resolution::None { .. } | Resolution::Ambiguous(_) => None,
        }
    }

    /// A task as it is stored.
    #[track_caller]
    pub(crate) fn task(&self, name: &str) -> Task {
        match self.try_task(name) {
            Some(task) => task,
            None => panic!("there is no one task {name}"),
        }
    }

    /// Waits until a task is as wanted.
    #[track_caller]
    pub(crate) fn until(&self, name: &str, what: &str, fits: impl Fn(&Task) -> bool) -> Task {
        let mut found = None;
        let reached = wait_until(LIMIT, || {
            found = self.try_task(name).filter(|task| fits(task));
            found.is_some()
        });
        match found {
            Some(task) => task,
            None => {
                assert!(!reached);
                panic!(
                    "{name} did not become {what}; it is {:#?}\n--- daemon.log\n{}",
                    self.try_task(name),
                    self.daemon_log()
                );
            }
        }
    }

    /// Waits until a task is in a state.
    #[track_caller]
    pub(crate) fn until_state(&self, name: &str, word: StateWord) -> Task {
        self.until(name, &format!("{word:?}"), |task| task.state.word() == word)
    }

    /// Waits until the live session of a task printed this text.
    #[track_caller]
    pub(crate) fn until_said(&self, name: &str, text: &str) -> Task {
        self.until(name, &format!("heard: {text}"), |task| {
            self.output(&session_key(task)).contains(text)
        })
    }

    /// The standard output of a job.
    pub(crate) fn output(&self, key: &SpawnKey) -> String {
        read(&self.jobs().join(key.as_str()).join("out.log"))
    }

    /// The folder of bundles.
    pub(crate) fn jobs(&self) -> PathBuf {
        self.world.state().join("jobs")
    }

    /// Who runs the live session of a task.
    #[track_caller]
    pub(crate) fn session(&self, name: &str) -> JobIdentity {
        self.job(&session_key(&self.task(name)))
    }

    /// Who runs a live job.
    #[track_caller]
    pub(crate) fn job(&self, key: &SpawnKey) -> JobIdentity {
        let bundle = Bundle::new(&self.jobs(), key.as_str()).unwrap();
        let mut found = None;
        wait_until(LIMIT, || {
            if let Ok(BundleState::Live(shim)) = bundle.survey() {
                found = shim.identity().cloned();
            }
            found.is_some()
        });
        match found {
            Some(identity) => identity,
            None => panic!("{key} does not live: {:?}", bundle.survey()),
        }
    }

    /// What `longhaul show` tells of a task.
    #[track_caller]
    pub(crate) fn show(&self, name: &str) -> Value {
        let shown = self.longhaul(&["show", name, "--json"]).expect_code(0);
        shown.json()["data"].clone()
    }

    /// The pid of the daemon that holds the state folder, if it lives.
    pub(crate) fn daemon(&self) -> Option<ProcessIdentity> {
        let pid = read(&self.world.state().join("daemon.lock"));
        ProcessIdentity::of(pid.trim().parse().ok()?).filter(|p| p.mentions(self.world.id()))
    }

    /// Kills the daemon with -9 and waits until it is gone.
    #[track_caller]
    pub(crate) fn kill_daemon(&self) -> ProcessIdentity {
        let Some(daemon) = self.daemon() else {
            panic!("no daemon runs; its log:\n{}", self.daemon_log());
        };
        kill(&daemon);
        daemon
    }

    /// The daemon's own log.
    pub(crate) fn daemon_log(&self) -> String {
        read(&self.world.state().join("daemon.log"))
    }

    /// Path of a task's workspace.
    #[track_caller]
    pub(crate) fn workspace(&self, name: &str) -> PathBuf {
        match self.task(name).carry.workspace {
            Some(workspace) => PathBuf::from(workspace.path),
            None => panic!("{name} has no workspace"),
        }
    }

    /// A file on the branch of a task.
    #[track_caller]
    pub(crate) fn on_branch(&self, name: &str, file: &str) -> String {
        let workspace = self.task(name).carry.workspace.unwrap();
        let branch = workspace.branch.unwrap();
        self.git(&["show", &format!("{branch}:{file}")])
    }

    /// Git in the user's checkout.
    #[track_caller]
    pub(crate) fn git(&self, args: &[&str]) -> String {
        git(&self.world, &self.repo, args)
    }

    /// Adds to a file of the checkout.
    pub(crate) fn append(&self, below: &str, text: &str) {
        append(&self.repo.join(below), text).unwrap();
    }
}

/// Git somewhere in a world.
#[track_caller]
pub(crate) fn git(world: &World, folder: &Path, args: &[&str]) -> String {
    let mut command = world.command("git");
    command.current_dir(folder).args(args);
    let ran = world.run_within(LIMIT, command).expect_code(0);
    ran.stdout.trim_end().to_owned()
}

/// The key of a task's current session.
pub(crate) fn session_key(task: &Task) -> SpawnKey {
    SpawnKey::session(task.id, task.fence)
}

/// Kills a process with -9 and waits until it is gone (or a zombie).
#[track_caller]
pub(crate) fn kill(process: &ProcessIdentity) {
    process.kill();
    assert!(
        wait_until(LIMIT, || !process.is_alive()),
        "{process:?} does not die"
    );
}

/// The live process of an identity that a shim wrote down.
#[track_caller]
pub(crate) fn process(identity: &longhaul_hosts::ProcessIdentity) -> ProcessIdentity {
    match ProcessIdentity::of(identity.pid).filter(|p| p.started_ticks == identity.start_ticks) {
        Some(process) => process,
        None => panic!("{identity:?} does not run"),
    }
}

/// Sends a signal to a process of ours.
#[track_caller]
pub(crate) fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// True while a task has a live session.
pub(crate) fn is_live(task: &Task) -> bool {
    matches!(
        task.state,
        State::Running {
            step: longhaul_core::task::RunStep::Live
        }
    )
}

fn camino_of(path: &Path) -> camino::Utf8PathBuf {
    camino::Utf8PathBuf::from_path_buf(path.to_owned()).unwrap()
}

/// A file of this name below a folder.
pub(crate) fn find(folder: &Path, name: &str, depth: u32) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let mut folders = Vec::new();
    for entry in entries {
        if entry.file_name() == name {
            return Some(entry.path());
        }
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            folders.push(entry.path());
        }
    }
    let next = depth.checked_sub(1)?;
    folders.iter().find_map(|f| find(f, name, next))
}
