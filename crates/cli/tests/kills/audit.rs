//! What must hold after every scenario, whatever happened in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use longhaul_core::ids::SpawnKey;
use longhaul_core::ledger::Cause;
use longhaul_core::task::StateWord;
use longhaul_hosts::{Bundle, BundleState, JobLog, LogRead, Stream};
use longhaul_store::{Chain, Reader as _, SqliteReader, TaskFilter};
use longhaul_testkit::world::World;

use crate::landing::INTEGRATION;
use crate::scene::{Scene, git};

/// How long the last processes may take to go once no daemon is left.
const QUIET: Duration = Duration::from_secs(15);

/// The user's own checkout: nothing of it may change (I9).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Checkout {
    head: String,
    commit: String,
    status: String,
    index: String,
    staged: String,
    stash: String,
    content: String,
}

impl Checkout {
    /// As it is now.
    #[track_caller]
    pub(crate) fn of(world: &World, repo: &Path) -> Self {
        Self {
            head: read_head(repo),
            commit: git(world, repo, &["rev-parse", "HEAD"]),
            status: git(
                world,
                repo,
                &["status", "--porcelain=v1", "--untracked-files=all"],
            ),
            index: git(world, repo, &["ls-files", "--stage"]),
            staged: git(world, repo, &["diff", "--cached"]),
            stash: git(world, repo, &["stash", "list"]),
            content: git(world, repo, &["diff", "HEAD"]),
        }
    }
}

fn read_head(repo: &Path) -> String {
    std::fs::read_to_string(repo.join(".git/HEAD")).unwrap_or_default()
}

impl Scene {
    /// Ends the daemon in order and checks everything that must hold: the states named here, one
    /// session per fence, an unbroken ledger, whole logs, a sound repository, an untouched checkout,
    /// nobody left.
    #[track_caller]
    pub(crate) fn audit(&self, wanted: &[(&str, StateWord)]) {
        for (name, word) in wanted {
            let task = self.task(name);
            assert_eq!(task.state.word(), *word, "{name} is {:#?}", task.state);
        }
        self.longhaul(&["daemon", "stop"]).expect_code(0);
        let Some(reader) = self.reader() else {
            panic!("the database cannot be opened");
        };
        let mut keys = BTreeSet::new();
        let all = TaskFilter::default();
        for stored in reader.list(&all).unwrap() {
            let task = stored.task;
            match reader.verify_chain(task.id).unwrap() {
                Some(Chain::Intact { rows, .. }) => assert_eq!(rows, task.version, "{}", task.name),
                other => panic!("the ledger of {} is {other:?}", task.name),
            }
            one_session_per_fence(&reader, &task);
            for attempt in reader.attempts(task.id).unwrap() {
                assert!(keys.insert(attempt.spawn_key), "two attempts share a key");
            }
        }
        self.bundles_belong_to(&keys);
        self.starts_are_unique();
        self.git(&["fsck", "--full", "--strict", "--no-dangling"]);
        if let Some(before) = self.before() {
            self.expect_kept(before);
        }
        self.world.expect_quiet(QUIET);
    }

    /// The checkout is as it was; or it was advanced to what has landed, and what is the user's own in it is
    /// as it was (L14).
    #[track_caller]
    fn expect_kept(&self, before: &Checkout) {
        let now = Checkout::of(&self.world, &self.repo);
        if now.commit == before.commit {
            assert_eq!(before, &now);
            return;
        }
        for (from, to) in [(&before.commit, "HEAD"), (&now.commit, INTEGRATION)] {
            self.git(&["merge-base", "--is-ancestor", from, to]);
        }
        let own =
            |c: &Checkout| [&c.head, &c.status, &c.staged, &c.stash, &c.content].map(Clone::clone);
        assert_eq!(own(before), own(&now));
    }

    /// Every session's bundle has its attempt, is over, and its log is whole.
    #[track_caller]
    fn bundles_belong_to(&self, keys: &BTreeSet<SpawnKey>) {
        for entry in std::fs::read_dir(self.jobs()).into_iter().flatten() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let bundle = Bundle::new(&self.jobs(), &name).unwrap();
            let state = bundle.survey().unwrap();
            let is_session = name.matches('-').count() == 1;
            if is_session {
                assert!(
                    keys.iter().any(|key| key.as_str() == name),
                    "the session {name} has no attempt"
                );
            }
            match state {
                BundleState::Exited(record) => {
                    for (stream, stats) in [(Stream::Out, record.out), (Stream::Err, record.err)] {
                        assert_eq!(stats.lost, 0, "{name} lost output");
                        if stats.cut == 0 {
                            assert_eq!(length(bundle.dir(), stream), stats.bytes, "{name}");
                        }
                    }
                    assert_eq!(record.survivors, 0, "{name}");
                }
                BundleState::Lost(_) | BundleState::OtherBoot(_) | BundleState::NotStarted => {}
                BundleState::Live(_) | BundleState::Starting | BundleState::Absent => {
                    panic!("{name} is not over: {state:?}")
                }
            }
        }
    }

    /// Each session said once in its workspace that it began.
    #[track_caller]
    fn starts_are_unique(&self) {
        let workspaces = self.world.state().join("workspaces");
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for text in starts_below(&workspaces, 4) {
            let mut here = BTreeMap::new();
            for line in text.lines() {
                *here.entry(line.to_owned()).or_insert(0) += 1;
            }
            for (line, n) in here {
                let most = seen.entry(line).or_insert(0);
                *most = n.max(*most);
            }
        }
        for (key, times) in seen {
            assert_eq!(times, 1, "the session {key} began {times} times");
        }
    }
}

/// At most one `session_started` per fence (I2, T18).
#[track_caller]
fn one_session_per_fence(reader: &SqliteReader, task: &longhaul_core::task::Task) {
    let mut started = BTreeSet::new();
    for row in reader.ledger(task.id).unwrap() {
        if row.entry.cause == Cause::SessionStarted {
            let fence = row.entry.fence;
            assert!(
                started.insert(fence),
                "{}: {fence} started twice",
                task.name
            );
        }
    }
}

/// Bytes that a log holds, read to its end.
#[track_caller]
fn length(bundle: &Path, stream: Stream) -> u64 {
    let log = JobLog::new(bundle, stream);
    let mut chunk = vec![0; 64 * 1024];
    let mut at = 0;
    loop {
        match log.read_at(at, &mut chunk).unwrap() {
            LogRead::Bytes(0) | LogRead::End => return at,
            LogRead::Bytes(n) => at += n as u64,
            LogRead::Cut { next } => at = next,
        }
    }
}

fn starts_below(folder: &Path, depth: u32) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_name() == "starts.txt" {
            found.extend(std::fs::read_to_string(&path));
        } else if depth > 0 && entry.file_type().is_ok_and(|t| t.is_dir()) {
            found.extend(starts_below(&path, depth - 1));
        }
    }
    found
}
