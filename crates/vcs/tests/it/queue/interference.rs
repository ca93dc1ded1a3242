//! A user who works in the checkout of the base branch while the queue lands (facts/git.md §4): edits,
//! stages, commits, stashes, switches branches, rebases, collects garbage, and holds git's own lock.
//! Nothing of the user's is changed or lost, and the queue goes on or says why it waits.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use longhaul_core::queue::FollowEnd;
use longhaul_vcs::{
    AdvanceCheckout, EntryEnd, FollowIntent, FollowPlan, FollowRecovery, LandEnd, Oid, TrialRequest,
};

use super::random::Rng;
use super::{Bench, entry};
use crate::support::write;

/// Branches that land meanwhile.
const BRANCHES: usize = 16;
/// The file of the last of them.
const LAST: &str = "landed/15";
/// How long it may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(150);

/// The user with everything that is the user's own.
struct User<'a> {
    bench: &'a Bench,
    repo: PathBuf,
    rng: Rng,
    /// What `own.txt` holds in the checkout, and as it was last committed.
    own: String,
    committed: String,
    /// What was stashed of it.
    stashed: Option<String>,
    /// Files that git does not know, with their bytes.
    loose: Vec<(String, String)>,
    side: Option<String>,
    words: usize,
}

impl User<'_> {
    /// Git as the user runs it: tried again while a lock is held, as the user would.
    fn git(&self, args: &[&str]) {
        let said = self.try_git(args);
        assert!(said.is_none(), "git {args:?}: {said:?}");
    }

    /// What git refuses it for, unless that is a file of the user's that is in its way.
    fn try_git(&self, args: &[&str]) -> Option<String> {
        let mut said = String::new();
        for _ in 0..60 {
            let ran = self.bench.world.git_raw(&self.repo, args);
            if ran.status.success() {
                return None;
            }
            said = String::from_utf8_lossy(&ran.stderr).into_owned();
            if said.contains("untracked working tree files would be overwritten") {
                return Some(said);
            }
            let busy = [
                ".lock",
                "cannot lock ref",
                "unable to write new index",
                "could not write index",
                // What an earlier `prune` of the user's took of a candidate that was just being made; it
                // is made anew.
                "bad tree object",
                "bad object",
            ];
            assert!(
                busy.iter().any(|b| said.contains(b)),
                "git {args:?}: {said}"
            );
            // Locked in its middle, a stash is made and the files are as they were: once more, then.
            if args.starts_with(&["stash", "push"]) && !self.stashes().is_empty() {
                self.bench.world.git(&self.repo, &["stash", "drop", "-q"]);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("git {args:?} never got the lock: {said}");
    }

    fn stashes(&self) -> String {
        self.bench.world.git(&self.repo, &["stash", "list"])
    }

    fn word(&mut self) -> String {
        self.words += 1;
        format!("word{}\n", self.words)
    }

    /// One deed, and a look at everything that is the user's own.
    fn act(&mut self) {
        match self.rng.below(12) {
            0..=2 => {
                let word = self.word();
                self.own.push_str(&word);
                write(&self.repo, "own.txt", &self.own);
            }
            3 => self.git(&["add", "own.txt"]),
            4 if self.own != self.committed && self.side.is_none() => {
                self.git(&["commit", "-qm", "My own work", "own.txt"]);
                self.committed.clone_from(&self.own);
            }
            5 if self.own != self.committed && self.stashed.is_none() => {
                self.git(&["stash", "push", "-q", "--", "own.txt"]);
                self.stashed = Some(std::mem::replace(&mut self.own, self.committed.clone()));
            }
            6 if self.own == self.committed => self.unstash(),
            7 => match self.side.take() {
                Some(side) => {
                    let blocked = self.try_git(&["switch", "-q", "main"]).is_some();
                    self.side = blocked.then_some(side);
                }
                None if self.own == self.committed => {
                    let name = format!("side{}", self.words);
                    self.word();
                    self.git(&["switch", "-q", "-c", &name]);
                    self.side = Some(name);
                }
                None => {}
            },
            8 => {
                let commands: [&[&str]; 4] = [
                    &["gc", "-q", "--prune=now"],
                    &["repack", "-adq"],
                    &["pack-refs", "--all"],
                    &["prune"],
                ];
                let command = commands[self.rng.below(commands.len())];
                self.git(command);
            }
            9 => {
                let (name, text) = (format!("loose{}", self.words), self.word());
                let name = if self.rng.below(2) == 0 {
                    name
                } else {
                    format!("target/{name}")
                };
                write(&self.repo, &name, &text);
                self.loose.push((name, text));
            }
            10 => self.hold_the_lock(),
            _ => self.rebase(),
        }
        self.look();
    }

    fn unstash(&mut self) {
        if let Some(stashed) = self.stashed.take() {
            if self.own == *self.committed && stashed.starts_with(&self.own) {
                self.git(&["stash", "pop", "-q"]);
                self.own = stashed;
            } else {
                self.stashed = Some(stashed);
            }
        }
    }

    /// A lock that a git of the user's holds for a while, or left behind.
    fn hold_the_lock(&self) {
        let lock = self.repo.join(".git/index.lock");
        if fs::File::create_new(&lock).is_ok() {
            std::thread::sleep(Duration::from_millis(120));
            fs::remove_file(&lock).expect("nobody but the user removes the user's lock");
        }
    }

    /// Commits of a branch of the user's own, replayed onto main as it is now; elsewhere, as people do.
    fn rebase(&mut self) {
        let tree = self.bench.world.root.join("users-own");
        let path = tree.to_str().unwrap();
        let name = format!("topic{}", self.words);
        let word = self.word();
        self.git(&["worktree", "add", "-q", "-b", &name, path, "main~1"]);
        write(&tree, &name, &word);
        self.bench.world.commit(&tree, "A topic");
        self.bench.world.git(&tree, &["rebase", "-q", "main"]);
        assert_eq!(fs::read_to_string(tree.join(&name)).unwrap(), word);
        self.git(&["worktree", "remove", path]);
    }

    #[track_caller]
    fn look(&self) {
        let file = |name: &str| fs::read_to_string(self.repo.join(name)).unwrap();
        assert_eq!(file("own.txt"), self.own);
        assert_eq!(file(".env"), "SECRET=1\n");
        for (name, text) in &self.loose {
            assert_eq!(&file(name), text, "{name}");
        }
        let head = self.bench.world.git(&self.repo, &["symbolic-ref", "HEAD"]);
        let branch = self.side.as_deref().unwrap_or("main");
        assert_eq!(head, format!("refs/heads/{branch}"), "HEAD is the user's");
        assert_eq!(
            self.stashes().lines().count(),
            usize::from(self.stashed.is_some())
        );
        if let Some(stashed) = &self.stashed {
            let kept = self
                .bench
                .world
                .git_raw(&self.repo, &["show", "stash@{0}:own.txt"]);
            assert_eq!(String::from_utf8_lossy(&kept.stdout), *stashed);
        }
        // Nothing else is staged or modified: what landed is not taken back by the user's next commit. While
        // the checkout is advanced the branch moves last; a commit in that moment waits for the next landing.
        let mut other = Vec::new();
        let quiet = (0..1000).any(|_| {
            let status = ["--no-optional-locks", "status", "--porcelain", "-uno"];
            let status = self.bench.world.git(&self.repo, &status);
            let lines = status.lines().filter(|l| !l.ends_with(" own.txt"));
            other = lines.map(str::to_owned).collect();
            std::thread::sleep(Duration::from_millis(20 * u64::from(!other.is_empty())));
            other.is_empty()
        });
        assert!(quiet, "{other:?}");
        let object = format!("{branch}:own.txt");
        let kept = self.bench.world.git_raw(&self.repo, &["show", &object]);
        assert_eq!(String::from_utf8_lossy(&kept.stdout), self.committed);
    }
}

/// The queue, as an engine drives it: what fails is tried again.
struct Lander<'a> {
    bench: &'a Bench,
    waiting: Vec<Oid>,
    /// What is about to be done to the checkout, as if it were on the disk.
    journal: Option<FollowIntent>,
    /// Why it could not go on, each reason once, the newest last.
    reasons: Vec<String>,
}

impl Lander<'_> {
    fn said(&mut self, why: impl Into<String>) {
        let why = why.into();
        assert!(!why.is_empty(), "it waits and does not say why");
        self.reasons.retain(|known| *known != why);
        self.reasons.push(why);
    }

    fn round(&mut self) {
        let queue = self.bench.repo.queue("main");
        let batch: Vec<_> = self.waiting.iter().take(3).cloned().collect();
        let request = TrialRequest {
            pin: "test".to_owned(),
            entries: batch.iter().map(entry).collect(),
            date: 1_700_000_000,
            sign: false,
            message: &|_| "Land".to_owned(),
        };
        match queue.trial(&request) {
            Ok(trial) => {
                for (commit, end) in batch.iter().zip(&trial.ends) {
                    match end {
                        EntryEnd::Contained => self.waiting.retain(|c| c != commit),
                        EntryEnd::Merged | EntryEnd::Left => {}
                        other => panic!("{other:?}"),
                    }
                }
                if let Some(made) = trial.candidate {
                    match queue.land(&made.at, &trial.tip.commit) {
                        Ok(LandEnd::Landed | LandEnd::Moved { .. }) => {}
                        Err(error) => self.said(error.to_string()),
                    }
                }
            }
            Err(error) => self.said(error.to_string()),
        }
        self.follow();
    }

    fn follow(&mut self) {
        let queue = self.bench.repo.queue("main");
        if let Some(intent) = self.journal.clone() {
            match queue.recover_follow(&intent) {
                Ok(FollowRecovery::Settled) => self.journal = None,
                Ok(FollowRecovery::Stuck { why }) => return self.said(why),
                Err(error) => return self.said(error.to_string()),
            }
        }
        let end = match queue.plan_follow(AdvanceCheckout::Clean) {
            Ok(FollowPlan::End(end)) => Ok(end),
            Ok(FollowPlan::Go(intent)) => {
                let end = queue.follow(&intent);
                self.journal = end.is_err().then_some(intent);
                end
            }
            Err(error) => Err(error),
        };
        match end {
            Ok(FollowEnd::There | FollowEnd::Diverged) => {}
            Ok(FollowEnd::Waits { why }) => self.said(why),
            Ok(FollowEnd::Rejected) => panic!("nothing is pushed here"),
            Err(error) => self.said(error.to_string()),
        }
    }
}

fn play(seed: u64) {
    let bench = Bench::new();
    let repo = bench.world.repo_path();
    write(&repo, "own.txt", "mine\n");
    bench.world.git(&repo, &["add", "own.txt"]);
    bench.world.git(&repo, &["commit", "-qm", "Mine"]);
    let waiting: Vec<Oid> = (0..BRANCHES)
        .map(|n| {
            let (file, text) = (format!("landed/{n}"), format!("landed{n}\n"));
            let commit = bench.branch("main", &[(&file, &text)]);
            bench
                .world
                .git(&repo, &["branch", &format!("work{n}"), commit.as_str()]);
            commit
        })
        .collect();
    let mut lander = Lander {
        bench: &bench,
        waiting,
        journal: None,
        reasons: Vec::new(),
    };
    write(&repo, LAST, "mine\n");
    let over = AtomicBool::new(false);
    let began = Instant::now();
    let mut user = std::thread::scope(|scope| {
        let user = scope.spawn(|| {
            let mut user = User {
                bench: &bench,
                repo: repo.clone(),
                rng: Rng(seed),
                own: "mine\n".to_owned(),
                committed: "mine\n".to_owned(),
                stashed: None,
                // In the place of a file that is to land.
                loose: vec![(LAST.to_owned(), "mine\n".to_owned())],
                side: None,
                words: 0,
            };
            while !over.load(Ordering::Relaxed) {
                user.act();
            }
            user
        });
        while !lander.waiting.is_empty() && began.elapsed() < LIMIT && !user.is_finished() {
            lander.round();
        }
        over.store(true, Ordering::Relaxed);
        let (reasons, open) = (&lander.reasons, lander.journal.is_some());
        match user.join() {
            Ok(user) => user,
            Err(_) => {
                panic!("seed {seed}: something of the user's was touched; {open}: {reasons:#?}")
            }
        }
    });
    let reasons = &lander.reasons;
    assert!(
        lander.waiting.is_empty(),
        "seed {seed}: it did not go on: {reasons:#?}"
    );
    // The user is done, and leaves a dirty file: the rest follows, once nothing lies in its place.
    let clear = |user: &mut User<'_>| {
        user.loose.remove(0);
        fs::remove_file(repo.join(LAST)).unwrap();
    };
    let away = user.side.take().is_some();
    if away {
        clear(&mut user);
        user.git(&["switch", "-q", "main"]);
    }
    user.own = user.committed.clone() + "the last word\n";
    write(&repo, "own.txt", &user.own);
    if !away {
        lander.round();
        lander.round();
        let why = lander.reasons.last().expect("it waits");
        assert!(why.contains(LAST), "{:#?}", lander.reasons);
        user.look();
        clear(&mut user);
    }
    let integration = "refs/longhaul/integration/main";
    let followed = (0..20).any(|_| {
        lander.round();
        bench.at("main") == bench.at(integration)
    });
    assert!(followed, "seed {seed}: {:#?}", lander.reasons);
    user.look();
    for n in 0..BRANCHES {
        let text = fs::read_to_string(repo.join(format!("landed/{n}"))).unwrap();
        assert_eq!(text, format!("landed{n}\n"));
    }
    assert!(!repo.join(".git/index.lock").exists());
    bench.world.fsck();
}

#[test]
fn l8_l14_a_user_who_works_in_the_checkout_loses_nothing_and_blocks_nothing() {
    play(1);
}

#[test]
#[ignore = "minutes; run by scripts/proof --long"]
fn l8_l14_many_users_lose_nothing() {
    for seed in 2..24 {
        eprintln!("seed {seed}");
        play(seed);
    }
}
