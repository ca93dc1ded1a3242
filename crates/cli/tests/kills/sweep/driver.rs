//! Drives a play through crashes: repeats orders until they are acknowledged, starts the daemon again
//! when it is gone, arms the second crash, and tells how it all ended.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use longhaul_acts::{CRASH_DIR, CRASH_POINT};
use longhaul_core::task::{State, StateWord};
use longhaul_store::{Reader as _, TaskFilter};
use longhaul_testkit::world::{read, wait_until};

use super::plays::Play;
use crate::scene::{LIMIT, Scene};

/// Bytes of a line in the file that counts all passages.
const LINE: u64 = 64;

/// Descriptors by which two daemons at rest may differ: readers of the database are kept for the next
/// call, and how many there are depends on how many calls came at once.
const POOLED: usize = 6;

/// How one task ended: what must not depend on crashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TaskEnd {
    state: String,
    verdicts: BTreeMap<String, String>,
    files: String,
}

/// How a play ended.
#[derive(Clone, Debug)]
pub(super) struct End {
    tasks: BTreeMap<String, TaskEnd>,
    attempts: BTreeMap<String, (u32, u32)>,
    descriptors: usize,
}

impl End {
    /// Equal in substance. An attempt that a crash took may have been made again, at most one for each
    /// crash. A retry is burnt only where the crash was of a check's own process: a check that is killed
    /// has failed (I13).
    #[track_caller]
    pub(super) fn compare(&self, undisturbed: &Self, crashes: u32, case: &str) {
        assert_eq!(self.tasks, undisturbed.tasks, "{case}");
        for (name, (attempts, retries)) in &self.attempts {
            let (usual, usual_retries) = undisturbed.attempts[name];
            assert!(
                *attempts <= usual + crashes,
                "{case}: {name} took {attempts} attempts, {usual} undisturbed"
            );
            assert!(
                *retries <= usual_retries + crashes,
                "{case}: {name} burnt {retries} retries, {usual_retries} undisturbed"
            );
        }
        assert!(
            self.descriptors <= undisturbed.descriptors + POOLED,
            "{case}: {} descriptors are open, {} undisturbed",
            self.descriptors,
            undisturbed.descriptors
        );
    }
}

/// See the module.
pub(super) struct Driver {
    pub(super) scene: Scene,
    play: &'static Play,
    crash: Option<(String, u64, u64)>,
    /// 0: the first crash is to come; 1: the second; 2: none.
    phase: Cell<u8>,
}

impl Driver {
    pub(super) fn new(play: &'static Play, crash: Option<(String, u64, u64)>) -> Self {
        let mut scene = Scene::new();
        for below in ["points-0", "points-1"] {
            std::fs::create_dir(scene.world.path(below)).unwrap();
        }
        (play.prepare)(&scene);
        let mut tasks = play.tasks.to_owned();
        for gate in ["both", "one", "two"] {
            tasks = tasks.replace(&format!("GATE-{gate}"), &scene.wait_for(gate));
        }
        scene.tasks(&tasks.replace("GATE", &scene.wait_for("go")));
        Self {
            scene,
            play,
            crash,
            phase: Cell::new(0),
        }
    }

    fn folder(&self, phase: u8) -> PathBuf {
        self.scene.world.path(format!("points-{phase}"))
    }

    fn length(&self, phase: u8, name: &str) -> u64 {
        let file = self.folder(phase).join(name);
        file.metadata().map_or(0, |meta| meta.len())
    }

    /// How often each point was passed.
    pub(super) fn passages(&self) -> BTreeMap<String, u64> {
        let files = std::fs::read_dir(self.folder(0)).unwrap().flatten();
        files
            .map(|file| {
                let count = file.metadata().unwrap().len();
                (file.file_name().into_string().unwrap(), count)
            })
            .filter(|(name, _)| name != "any")
            .collect()
    }

    /// How many crashes there were.
    pub(super) fn crashes(&self) -> u32 {
        self.look();
        u32::from(self.phase.get())
    }

    /// Goes on to the next phase if the crash of this one has happened.
    fn look(&self) {
        let Some((point, n, second)) = &self.crash else {
            return;
        };
        match self.phase.get() {
            0 if self.length(0, point) >= *n => self.phase.set(1),
            1 if self.length(1, "any") >= *second * LINE => self.phase.set(2),
            _ => {}
        }
    }

    fn try_longhaul(&self, args: &[&str]) -> longhaul_testkit::world::Ran {
        self.look();
        let mut command = self.scene.world.longhaul_in(&self.scene.repo, args);
        match (&self.crash, self.phase.get()) {
            (None, _) => {
                command.env(CRASH_DIR, self.folder(0));
            }
            (Some((point, n, _)), 0) => {
                command.env(CRASH_DIR, self.folder(0));
                command.env(CRASH_POINT, format!("{point}:{n}"));
            }
            (Some((_, _, second)), 1) => {
                command.env(CRASH_DIR, self.folder(1));
                command.env(CRASH_POINT, format!("any:{second}"));
            }
            (Some(_), _) => {}
        }
        self.scene.world.run_within(LIMIT, command)
    }

    /// An order, repeated until it is acknowledged with one of these codes.
    #[track_caller]
    pub(super) fn order(&self, args: &[&str], codes: &[i32]) {
        let mut last = None;
        let done = wait_until(LIMIT * 3, || {
            let ran = self.try_longhaul(args);
            let fits = codes.contains(&ran.code());
            last = Some(ran);
            fits
        });
        assert!(done, "{args:?}: {last:#?}\n{}", self.scene.daemon_log());
    }

    /// Waits for something, with a daemon at work all the time.
    #[track_caller]
    pub(super) fn until(&self, what: &str, mut fits: impl FnMut(&Scene) -> bool) {
        let reached = wait_until(LIMIT * 3, || {
            if self.scene.daemon().is_none() {
                // Not acknowledged is as good: the next look tells.
                drop(self.try_longhaul(&["daemon", "start"]));
            }
            fits(&self.scene)
        });
        assert!(
            reached,
            "{what} was not reached\n{}\n{}",
            self.scene.longhaul(&["ls", "--all"]).stdout,
            self.scene.daemon_log()
        );
    }

    /// Waits until a task is in a state.
    #[track_caller]
    pub(super) fn until_state(&self, name: &str, word: StateWord) {
        self.until(&format!("{name}: {word:?}"), |scene| {
            scene.try_task(name).is_some_and(|t| t.state.word() == word)
        });
    }

    /// Plays it to its end, audits the world, and tells how it ended.
    #[track_caller]
    pub(super) fn play(&self) -> End {
        (self.play.act)(self);
        for (name, word) in self.play.ends {
            self.until_state(name, *word);
        }
        let descriptors = self.settled();
        let end = self.end(descriptors);
        // The end of a daemon has points, too; the audit ends one that dies no more.
        drop(self.try_longhaul(&["daemon", "stop"]));
        let started = wait_until(LIMIT, || {
            self.scene.longhaul(&["daemon", "start"]).code() == 0 && self.scene.daemon().is_some()
        });
        assert!(started, "{}", self.scene.daemon_log());
        self.scene.audit(self.play.ends);
        end
    }

    /// Descriptors of the daemon at rest; it has no zombie.
    #[track_caller]
    fn settled(&self) -> usize {
        let mut open = usize::MAX;
        let mut dead = Vec::new();
        let quiet = wait_until(Duration::from_secs(20), || {
            let Some(daemon) = self.scene.daemon() else {
                drop(self.try_longhaul(&["daemon", "start"]));
                return false;
            };
            let fds = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid));
            open = open.min(fds.map_or(usize::MAX, Iterator::count));
            dead = zombies_of(daemon.pid);
            dead.is_empty() && open < 40
        });
        assert!(quiet, "descriptors: {open}, zombies: {dead:?}");
        open
    }

    #[track_caller]
    fn end(&self, descriptors: usize) -> End {
        let reader = self.scene.reader().unwrap();
        let mut tasks = BTreeMap::new();
        let mut attempts = BTreeMap::new();
        for stored in reader.list(&TaskFilter::default()).unwrap() {
            let task = stored.task;
            let state = match &task.state {
                State::NeedsHuman { need } => format!("needs_human {:?}", need.kind),
                State::Parked { cause, .. } => format!("parked {cause:?}"),
                other => format!("{:?}", other.word()),
            };
            let verdicts = reader.verdicts(task.id).unwrap();
            let last = verdicts.iter().map(|v| v.fence).max();
            let verdicts = verdicts
                .into_iter()
                .filter(|v| Some(v.fence) == last)
                .map(|v| (v.name, format!("{:?}", v.grade)))
                .collect();
            let branch = task.carry.workspace.as_ref().and_then(|w| w.branch.clone());
            let files = branch.map_or_else(String::new, |branch| self.files(&branch));
            attempts.insert(task.name.clone(), (task.tally.attempts, task.tally.retries));
            self.seals(&task.name, task.id, task.tally.attempts);
            let end = TaskEnd {
                state,
                verdicts,
                files,
            };
            assert!(
                tasks.insert(task.name.clone(), end).is_none(),
                "{} is there twice",
                task.name
            );
        }
        End {
            tasks,
            attempts,
            descriptors,
        }
    }

    /// The files of a branch, without the sessions' own marks; empty if it is gone.
    fn files(&self, branch: &str) -> String {
        let mut command = self.scene.world.command("git");
        command
            .current_dir(&self.scene.repo)
            .args(["ls-tree", "-r", branch]);
        let ran = self.scene.world.run_within(LIMIT, command);
        let lines = ran.stdout.lines().filter(|l| !l.ends_with("starts.txt"));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// At most one commit of Longhaul's for each attempt; the queue's own merges name the task, too.
    #[track_caller]
    fn seals(&self, name: &str, id: longhaul_core::ids::TaskId, attempts: u32) {
        let of = format!("--grep=Longhaul-Task: {id}");
        let mut log = vec!["log", "--all", "--format=%H %T %P", &of];
        if self.play.lands {
            log.push("--no-merges");
        }
        let commits = self.scene.git(&log);
        let distinct: BTreeSet<_> = commits.lines().collect();
        assert!(
            distinct.len() <= attempts as usize,
            "{name}: {attempts} attempts and these commits: {commits}"
        );
    }
}

fn zombies_of(daemon: u32) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let stat = read_stat(&entry.path())?;
            let (_, rest) = stat.rsplit_once(')')?;
            let mut fields = rest.split_whitespace();
            (fields.next() == Some("Z") && fields.next()?.parse() == Ok(daemon)).then_some(stat)
        })
        .collect()
}

fn read_stat(folder: &std::path::Path) -> Option<String> {
    let text = read(&folder.join("stat"));
    (!text.is_empty()).then_some(text)
}
