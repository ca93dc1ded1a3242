//! One run: keeps the queue filled, kills, samples, plays the person, and looks for stuck tasks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use longhaul_core::ids::TaskId;
use longhaul_core::task::{State, StateWord, Task};
use longhaul_hosts::SPAWN_KEY_ENV;
use longhaul_store::{Reader as _, SqliteReader, TaskFilter};
use longhaul_testkit::world::{ProcessIdentity, Ran, World, read, wait_until, write};

use crate::Options;
use crate::acts::Act;
use crate::audit;
use crate::gauge::{Sample, kib, memory, trend};
use crate::rng::Rng;

/// How long one command may take on a busy machine.
const COMMAND: Duration = Duration::from_secs(200);
/// A live task whose ledger has not moved for so long is stuck: every deadline of the acts is shorter.
const STUCK: Duration = Duration::from_secs(240);
/// Between two samples.
const SAMPLE: Duration = Duration::from_secs(5);
/// How long what is left may take to come to rest at the end.
const SETTLE: Duration = Duration::from_secs(900);

/// See the module.
struct Soak<'a> {
    world: World,
    repo: PathBuf,
    rng: Rng,
    sessions: u64,
    begun: Instant,
    say: &'a mut dyn FnMut(&str),
    number: u64,
    samples: Vec<Sample>,
    /// From when on a dead daemon is started again.
    start_at: Duration,
    kills: BTreeMap<&'static str, u64>,
    /// Commands that did not succeed while things were killed around them.
    refused: BTreeMap<String, u64>,
    cancelled: BTreeSet<String>,
    /// When a task was first seen at its version.
    seen: BTreeMap<TaskId, (u64, Instant)>,
    told: BTreeSet<TaskId>,
    tidy: VecDeque<TaskId>,
    tidied: BTreeSet<TaskId>,
    wrong: Vec<String>,
}

/// Runs to the end; gives what is wrong.
pub(crate) fn run(options: &Options, say: &mut dyn FnMut(&str)) -> io::Result<Vec<String>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let world = World::new(&options.binary)?;
    let repo = world.repo("repo")?.path().to_owned();
    write(
        &world.home().join(".gitconfig"),
        &read(&world.path("gitconfig")),
    )?;
    write(
        &world.config_file(),
        &format!(
            "concurrency = {}\nmax_workspaces = 10000\nmin_free = \"1MiB\"\nmin_free_memory = \"1MiB\"\n\
             [retry]\nbackoff_min = \"100ms\"\nbackoff_max = \"1s\"\n\
             [limits]\nwake_jitter = \"0s\"\nthrottle_pause = \"1s\"\noverload_min = \"1s\"\noverload_max = \"2s\"\n",
            options.sessions
        ),
    )?;
    say(&format!(
        "# world {} seed {}",
        world.root().display(),
        options.seed
    ));
    say(Sample::HEADER);
    let mut soak = Soak {
        world,
        repo,
        rng: Rng::new(options.seed),
        sessions: options.sessions,
        begun: Instant::now(),
        say,
        number: 0,
        samples: Vec::new(),
        start_at: Duration::ZERO,
        kills: BTreeMap::new(),
        refused: BTreeMap::new(),
        cancelled: BTreeSet::new(),
        seen: BTreeMap::new(),
        told: BTreeSet::new(),
        tidy: VecDeque::new(),
        tidied: BTreeSet::new(),
        wrong: Vec::new(),
    };
    let before = soak.checkout();
    soak.storm(Duration::from_secs(options.minutes * 60), &stop);
    soak.settle();
    soak.judge_growth();
    soak.finish(&before);
    Ok(soak.wrong)
}

impl Soak<'_> {
    /// The long part.
    fn storm(&mut self, length: Duration, stop: &AtomicBool) {
        let (mut next_sample, mut next_kill) = (Duration::ZERO, Duration::from_secs(5));
        loop {
            let at = self.begun.elapsed();
            if at >= length || stop.load(Ordering::Relaxed) {
                return;
            }
            let tasks = self.unfinished();
            if (tasks.iter().filter(|t| !is_settled(t)).count() as u64) < self.sessions + 6 {
                self.submit(8);
            }
            if at >= next_kill {
                let calm = at >= length / 4 && at < length * 3 / 4;
                self.kill(calm);
                next_kill = at + Duration::from_millis(500 + self.rng.below(4000));
            }
            if at >= self.start_at && self.daemon().is_none() {
                self.longhaul(&["daemon", "start"]);
            }
            if at >= next_sample {
                self.sample(tasks.len() as u64);
                next_sample = at + SAMPLE;
            }
            self.look_for_stuck(&tasks);
            self.person(&tasks);
            // The pace of this tool, not a wait for anything.
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn reader(&self) -> Option<SqliteReader> {
        let path =
            camino::Utf8PathBuf::from_path_buf(self.world.state().join("longhaul.db")).ok()?;
        SqliteReader::open(&path).ok()
    }

    /// Tasks that are not final.
    fn unfinished(&self) -> Vec<Task> {
        let states = StateWord::ALL.into_iter();
        let filter = TaskFilter {
            states: states
                .filter(|s| !matches!(s, StateWord::Done | StateWord::Cancelled))
                .collect(),
            limit: 10_000,
            ..TaskFilter::default()
        };
        let list = self.reader().and_then(|r| r.list(&filter).ok());
        list.unwrap_or_default()
            .into_iter()
            .map(|t| t.task)
            .collect()
    }

    /// `longhaul ARGS`; what it refuses is counted, since its daemon may be killed under it.
    fn longhaul(&mut self, args: &[&str]) -> Ran {
        let command = self.world.longhaul_in(&self.repo, args);
        let running = self.world.spawn(command);
        let pid = running.pid();
        let ended = wait_until(COMMAND, || ProcessIdentity::of(pid).is_none());
        if !ended {
            self.wrong
                .push(format!("{args:?} did not end within {COMMAND:?}"));
            return running.kill();
        }
        let ran = running.finish(COMMAND);
        if ran.code() != 0 {
            let line = ran.stderr.lines().next().unwrap_or_default();
            let what = format!("{} exit {}: {}", args[0], ran.code(), nameless(line));
            *self.refused.entry(what).or_insert(0) += 1;
        }
        ran
    }

    fn submit(&mut self, tasks: u64) {
        let repo = self.repo.display().to_string();
        let mut text = String::new();
        for _ in 0..tasks {
            self.number += 1;
            text.push_str(&Act::any(&mut self.rng).task(self.number, &repo));
        }
        let path = self
            .world
            .path("batches")
            .join(format!("{}.toml", self.number));
        if let Err(error) = write(&path, &text) {
            self.wrong
                .push(format!("cannot write {}: {error}", path.display()));
            return;
        }
        let file = path.display().to_string();
        // Repeated until it is known to have been accepted: the same file is never run twice.
        let mut ran = self.longhaul(&["run", &file, "--detach"]);
        for _ in 0..5 {
            if ran.code() == 0 {
                return;
            }
            ran = self.longhaul(&["run", &file, "--detach"]);
        }
        self.wrong
            .push(format!("a batch was refused six times: {}", ran.stderr));
    }

    fn daemon(&self) -> Option<ProcessIdentity> {
        let pid = read(&self.world.state().join("daemon.lock"));
        ProcessIdentity::of(pid.trim().parse().ok()?).filter(|p| p.mentions(self.world.id()))
    }

    /// Kills one of ours with -9; in calm times not the daemon.
    fn kill(&mut self, calm: bool) {
        let roll = self.rng.below(10);
        if !calm && roll < 2 {
            for again in [false, true] {
                if again && self.rng.below(3) > 0 {
                    break;
                }
                if let Some(daemon) = self.daemon() {
                    daemon.kill();
                    wait_until(COMMAND, || !daemon.is_alive());
                    *self.kills.entry("daemon").or_insert(0) += 1;
                }
                // Else the next client starts it, or we do a few seconds later.
                if self.rng.below(2) == 0 {
                    self.longhaul(&["daemon", "start"]);
                }
            }
            self.start_at = self.begun.elapsed() + Duration::from_secs(self.rng.below(4));
            return;
        }
        let all = self.world.processes();
        let victims: Vec<_> = all
            .into_iter()
            .filter(|p| match p.command.contains("__shim") {
                true => roll < 5,
                false => roll >= 5 && p.mentions(SPAWN_KEY_ENV),
            })
            .collect();
        let word = if roll < 5 {
            "shim"
        } else {
            "agent or its children"
        };
        if self.rng.pick(&victims).is_some_and(ProcessIdentity::kill) {
            *self.kills.entry(word).or_insert(0) += 1;
        }
    }

    fn sample(&mut self, unfinished: u64) {
        let mut sample = Sample {
            at: self.begun.elapsed().as_secs_f64(),
            unfinished,
            ..Sample::default()
        };
        if let Some(daemon) = self.daemon() {
            sample.look_at(&daemon);
        }
        let all = self.world.processes();
        sample.processes = all.len() as u64;
        for shim in all.iter().filter(|p| p.command.contains("__shim")) {
            sample.shims += 1;
            sample.shim_private_kib = sample.shim_private_kib.max(memory(shim.pid).1);
        }
        let database = self.world.state().join("longhaul.db");
        sample.store_kib = kib(&database);
        sample.wal_kib = kib(&database.with_extension("db-wal"));
        if let Some(counts) = self.reader().and_then(|r| r.counts().ok()) {
            sample.finished = counts.of(StateWord::Done) + counts.of(StateWord::Cancelled);
        }
        (self.say)(&sample.line());
        self.samples.push(sample);
    }

    /// A task that can move and does not.
    fn look_for_stuck(&mut self, tasks: &[Task]) {
        let now = Instant::now();
        self.seen.retain(|id, _| tasks.iter().any(|t| t.id == *id));
        for task in tasks {
            let entry = self.seen.entry(task.id).or_insert((task.version, now));
            if entry.0 != task.version {
                *entry = (task.version, now);
            }
            let waited = now.duration_since(entry.1);
            if waited > STUCK
                && !matches!(task.state, State::NeedsHuman { .. })
                && self.told.insert(task.id)
            {
                let what = format!("{} is stuck for {waited:?} in {:?}", task.name, task.state);
                (self.say)(&format!("# {what}"));
                self.wrong.push(what);
            }
        }
    }

    /// What a person does: answers some needs, and lets workspaces of ended tasks go.
    fn person(&mut self, tasks: &[Task]) {
        let needs = tasks
            .iter()
            .filter(|t| matches!(t.state, State::NeedsHuman { .. }));
        let needs: Vec<&Task> = needs.take(2).collect();
        for task in needs {
            if let Err(why) = audit::rightful(task)
                && self.told.insert(task.id)
            {
                (self.say)(&format!("# {why}"));
                self.wrong.push(why);
            }
            let id = task.id.to_string();
            if self.rng.below(4) == 0 {
                self.longhaul(&["retry", &id, "--note", "try once more"]);
            } else {
                self.cancelled.insert(task.name.clone());
                self.longhaul(&["cancel", &id, "--yes"]);
            }
        }
        if self.tidy.is_empty() {
            let filter = TaskFilter {
                states: vec![StateWord::Done, StateWord::Cancelled],
                limit: 200,
                ..TaskFilter::default()
            };
            let ended = self
                .reader()
                .and_then(|r| r.list(&filter).ok())
                .unwrap_or_default();
            let new = ended.into_iter().map(|t| t.task.id);
            self.tidy = new.filter(|id| self.tidied.insert(*id)).collect();
        }
        if let Some(id) = self.tidy.pop_front() {
            self.longhaul(&["workspace", "remove", &id.to_string(), "--yes"]);
        }
    }

    /// No more kills, nothing new: everything comes to rest.
    fn settle(&mut self) {
        let begun = Instant::now();
        self.longhaul(&["daemon", "start"]);
        while begun.elapsed() < SETTLE {
            let tasks = self.unfinished();
            if tasks.is_empty() {
                (self.say)(&format!(
                    "# settled within {:.0} s",
                    begun.elapsed().as_secs_f64()
                ));
                return;
            }
            let needs: Vec<_> = tasks
                .iter()
                .filter(|t| matches!(t.state, State::NeedsHuman { .. }))
                .collect();
            for task in needs {
                if let Err(why) = audit::rightful(task)
                    && self.told.insert(task.id)
                {
                    self.wrong.push(why);
                }
                self.cancelled.insert(task.name.clone());
                self.longhaul(&["cancel", &task.id.to_string(), "--yes"]);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        for task in self.unfinished() {
            self.wrong.push(format!(
                "{} never came to an end: {:?}",
                task.name, task.state
            ));
        }
    }

    /// Memory, descriptors and threads of the daemon that lived longest, after its first minute.
    fn judge_growth(&mut self) {
        let mut lives: BTreeMap<u32, Vec<&Sample>> = BTreeMap::new();
        for sample in self.samples.iter().filter(|s| s.daemon != 0) {
            lives.entry(sample.daemon).or_default().push(sample);
        }
        let Some(longest) = lives.into_values().max_by_key(Vec::len) else {
            self.wrong.push("no daemon was ever seen".to_owned());
            return;
        };
        let from = longest.first().map_or(0.0, |s| s.at) + 60.0;
        let longest: Vec<&Sample> = longest.into_iter().filter(|s| s.at >= from).collect();
        let lasted = longest.last().map_or(0.0, |s| s.at) - from;
        (self.say)(&format!(
            "# the longest life of a daemon: {lasted:.0} s after its first minute"
        ));
        type Measure = (&'static str, fn(&Sample) -> u64, f64);
        // What may be gained: noise of the allocator, a burst of sessions at one end of the line.
        let measures: [Measure; 5] = [
            ("resident memory (KiB)", |s| s.rss_kib, 6144.0),
            ("private memory (KiB)", |s| s.private_kib, 6144.0),
            ("descriptors", |s| s.fds, 16.0),
            ("threads", |s| s.threads, 12.0),
            ("zombies", |s| s.zombies, 3.0),
        ];
        for (name, of, bound) in measures {
            let points: Vec<_> = longest.iter().map(|s| (s.at, of(s) as f64)).collect();
            let most = longest.iter().map(|s| of(s)).max().unwrap_or(0);
            let Some((begin, rise)) = trend(&points) else {
                (self.say)(&format!("# {name}: too few samples to judge"));
                continue;
            };
            (self.say)(&format!(
                "# {name}: {begin:.0} at first, {rise:+.0} over the time, at most {most}"
            ));
            if rise > bound {
                self.wrong
                    .push(format!("{name} grew by {rise:.0} from {begin:.0}"));
            }
        }
    }

    /// Stops in order and goes through everything.
    fn finish(&mut self, before: &str) {
        self.longhaul(&["daemon", "stop"]);
        let (kills, refused) = (
            std::mem::take(&mut self.kills),
            std::mem::take(&mut self.refused),
        );
        for (what, n) in kills
            .iter()
            .map(|(k, n)| (format!("killed: {k}"), n))
            .chain(refused.iter().map(|(k, n)| (format!("refused: {k}"), n)))
        {
            (self.say)(&format!("# {what}: {n}"));
        }
        match self.reader() {
            Some(reader) => {
                let found =
                    audit::audit(&reader, &self.world.state().join("jobs"), &self.cancelled);
                (self.say)(&format!(
                    "# {} attempts, {} ledger rows, {} jobs of which {} without an exit record",
                    found.attempts, found.rows, found.bundles, found.without_exit_record
                ));
                for (end, n) in &found.ends {
                    (self.say)(&format!("# ended: {end}: {n}"));
                }
                self.wrong.extend(found.wrong);
            }
            None => self.wrong.push("the database cannot be opened".to_owned()),
        }
        let mut git = self.world.command("git");
        git.current_dir(&self.repo)
            .args(["fsck", "--full", "--strict", "--no-dangling"]);
        let fsck = self.world.run_within(COMMAND * 5, git);
        if fsck.code() != 0 {
            self.wrong
                .push(format!("git fsck: {}{}", fsck.stdout, fsck.stderr));
        }
        if self.checkout() != before {
            self.wrong
                .push("the user's checkout is not as it was".to_owned());
        }
        let log = read(&self.world.state().join("daemon.log"));
        if let Some(line) = log.lines().find(|l| l.contains("panicked")) {
            self.wrong.push(format!("the daemon panicked: {line}"));
        }
        if !wait_until(Duration::from_secs(30), || {
            self.world.processes().is_empty()
        }) {
            self.wrong
                .push(format!("processes are left: {:#?}", self.world.processes()));
        }
    }

    /// HEAD, index, stash and files of the user's checkout.
    fn checkout(&self) -> String {
        let git = |args: &[&str]| {
            let mut command = self.world.command("git");
            command.current_dir(&self.repo).args(args);
            self.world.run_within(COMMAND, command).stdout
        };
        [
            git(&[
                "status",
                "--porcelain=v1",
                "--untracked-files=all",
                "--branch",
            ]),
            git(&["ls-files", "--stage"]),
            git(&["stash", "list"]),
            git(&["rev-parse", "HEAD"]),
            git(&["diff", "HEAD"]),
        ]
        .concat()
    }
}

fn is_settled(task: &Task) -> bool {
    matches!(task.state, State::NeedsHuman { .. })
}

/// A message without what differs from task to task.
fn nameless(line: &str) -> String {
    let digits = |c: char| c.is_ascii_hexdigit() && !c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut text: String = line
        .chars()
        .map(|c| if digits(c) { '#' } else { c })
        .collect();
    while text.contains("##") {
        text = text.replace("##", "#");
    }
    text.chars().take(160).collect()
}
