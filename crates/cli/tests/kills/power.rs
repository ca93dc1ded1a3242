//! The power fails while the real binary, its shims, agents and git work; the machine comes up with a disk
//! that this may leave, and the next daemon settles everything: nothing that was accepted, and no move
//! that anybody saw, is lost; no program is run twice for one key; sealed commits are whole and held by a
//! ref; the rest is as after any scenario (`audit`).
//!
//! One run is recorded; `LONGHAUL_POWER_CUTS` is the number of moments at which its power is cut (8 unless
//! given), `LONGHAUL_POWER_SEED` where their choice begins. What a disk may lose: `longhaul-powercut`.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;

use longhaul_core::task::StateWord;
use longhaul_hosts::{BootId, Bundle, BundleState, SPAWN_KEY_ENV};
use longhaul_powercut::{Change, Choice, Model, Recorder, Recording};
use longhaul_store::{Reader as _, TaskFilter};
use longhaul_testkit::world::wait_until;

use crate::scene::{LIMIT, Scene};

/// The accepted tasks have this word before their names among the marks.
const ACCEPTED: &str = "accepted";

const TASKS: &str = "
[[task]]
name = \"plain\"
prompt = '''
write a/b.txt one
done
'''
[[task.check]]
run = \"grep -q one a/b.txt && echo fine\"

[[task]]
name = \"commits\"
prompt = '''
write own.txt mine
run git add own.txt && git commit -qm own
write left.txt over
done
'''
[[task.check]]
run = \"git log --format=%s | grep -q own\"

[[task]]
name = \"again\"
prompt = '''
@attempt 1
write n.txt 1
done
@attempt 2..
write n.txt 2
done
'''
[[task.check]]
run = \"grep -q 2 n.txt\"

[[task]]
name = \"after\"
depends_on = [\"plain\"]
prompt = '''
append a/b.txt two
done
'''
[[task.check]]
run = \"grep -q two a/b.txt\"
";

const NAMES: [&str; 4] = ["plain", "commits", "again", "after"];

/// What an observer had seen, from the marks of a recording.
#[derive(Debug, Default)]
struct Seen {
    accepted: bool,
    rows: BTreeSet<String>,
    commits: BTreeSet<String>,
    /// Keys of jobs whose program ran.
    ran: BTreeSet<String>,
}

impl Seen {
    fn take(&mut self, change: &Change) {
        match change {
            Change::Mark(word) if word == ACCEPTED => self.accepted = true,
            Change::Mark(text) => {
                if let Some(row) = text.strip_prefix("row ") {
                    self.rows.insert(row.to_owned());
                } else if let Some(commit) = text.strip_prefix("commit ") {
                    self.commits.insert(commit.to_owned());
                }
            }
            Change::Exec { env, .. } => {
                let key = env.iter().find_map(|v| {
                    let text = v.to_str()?;
                    Some(
                        text.strip_prefix(SPAWN_KEY_ENV)?
                            .strip_prefix('=')?
                            .to_owned(),
                    )
                });
                self.ran.extend(key);
            }
            _ => {}
        }
    }
}

/// The rows of the ledger and the sealed commits as anybody can read them.
fn visible(scene: &Scene) -> Option<(BTreeSet<String>, BTreeSet<String>)> {
    let reader = scene.reader()?;
    let rows = reader.ledger_tail(0, usize::MAX).ok()?;
    let mut commits = BTreeSet::new();
    for stored in reader.list(&TaskFilter::default()).ok()? {
        for attempt in reader.attempts(stored.task.id).ok()? {
            let sealed = attempt.attempt.sealed;
            commits.extend(sealed.map(|s| s.commit).filter(|c| !c.is_empty()));
        }
    }
    let rows = rows.into_iter().map(|row| format!("{:?}", row.entry));
    Some((rows.collect(), commits))
}

fn all_done(scene: &Scene) -> bool {
    NAMES.iter().all(|name| {
        scene
            .try_task(name)
            .is_some_and(|task| task.state.word() == StateWord::Done)
    })
}

/// Records the scene's tasks from the first command to the daemon's orderly end.
fn record(scene: &Scene) -> Recording {
    let root = scene.world.root().to_owned();
    let mut recorder = Recorder::start(&root, &[]).expect("ptrace must be permitted");
    let args = ["run", "tasks.toml", "--detach"];
    let said = recorder
        .run(&scene.world.longhaul_in(&scene.repo, args))
        .unwrap();
    assert_eq!(said.code, 0, "{said:?}");
    recorder.mark(ACCEPTED);
    let (mut rows, mut commits) = (BTreeSet::new(), BTreeSet::new());
    // Every system call is looked at: on a busy machine that takes its time.
    let finished = wait_until(LIMIT * 5, || {
        if let Some((all_rows, all_commits)) = visible(scene) {
            for row in all_rows.difference(&rows) {
                recorder.mark(format!("row {row}"));
            }
            for commit in all_commits.difference(&commits) {
                recorder.mark(format!("commit {commit}"));
            }
            (rows, commits) = (all_rows, all_commits);
        }
        all_done(scene)
    });
    assert!(finished, "{}", scene.daemon_log());
    let stop = scene.world.longhaul_in(&scene.repo, ["daemon", "stop"]);
    let said = recorder.run(&stop).unwrap();
    assert_eq!(said.code, 0, "{said:?}");
    let recording = recorder.finish();
    recording.verify(&root).unwrap();
    recording
}

fn given(name: &str, otherwise: u64) -> u64 {
    let value = std::env::var(name).ok();
    value.map_or(otherwise, |n| n.parse().expect("a number"))
}

/// Cuts the power after so many changes, starts a daemon on what is left, and looks.
#[expect(clippy::print_stdout, reason = "a failing cut names itself")]
fn cut(scene: &Scene, recording: &Recording, model: Model, moment: usize, seed: u64) {
    let mut disk = recording.disk(model);
    let mut seen = Seen::default();
    for change in &recording.changes()[..moment] {
        disk.apply(change);
        seen.take(change);
    }
    println!(
        "{model:?}, moment {moment} of {}, seed {seed}: {} at risk, {} rows seen",
        recording.changes().len(),
        disk.at_risk(),
        seen.rows.len()
    );
    let root = scene.world.root();
    disk.cut(&mut Choice::new(seed)).write_to(root).unwrap();
    scene.longhaul(&["daemon", "start"]).expect_code(0);
    let accepted: Vec<&str> = NAMES
        .into_iter()
        .filter(|name| scene.try_task(name).is_some())
        .collect();
    assert!(
        accepted.len() == NAMES.len() || accepted.is_empty() && !seen.accepted,
        "accepted, and lost but for {accepted:?}"
    );
    for name in &accepted {
        scene.until_state(name, StateWord::Done);
    }
    let (rows, _) = visible(scene).unwrap();
    let lost: Vec<_> = seen.rows.difference(&rows).collect();
    assert!(lost.is_empty(), "moves that were seen are lost: {lost:#?}");
    for commit in &seen.commits {
        scene.git(&["rev-list", "--objects", commit]);
        let held = scene.git(&["for-each-ref", "--contains", commit, "--format=%(refname)"]);
        assert!(!held.is_empty(), "no ref holds the sealed commit {commit}");
    }
    let now = BootId::current().unwrap();
    for key in &seen.ran {
        let bundle = Bundle::new(&scene.jobs(), key).unwrap();
        match bundle.survey().unwrap() {
            BundleState::OtherBoot(_) | BundleState::Absent => {}
            BundleState::Exited(_) => {
                let identity = std::fs::read_to_string(bundle.dir().join("identity.json"));
                let again = identity.is_ok_and(|text| text.contains(now.as_str()));
                assert!(!again, "{key} ran before and after the cut");
            }
            other => panic!("{key} is {other:?}"),
        }
    }
    let wanted: Vec<_> = accepted.into_iter().map(|n| (n, StateWord::Done)).collect();
    scene.audit(&wanted);
}

#[test]
fn i3_the_next_daemon_settles_everything_after_a_power_cut() {
    let mut scene = Scene::new();
    scene.tasks(TASKS);
    let recording = record(&scene);
    let mut choice = Choice::new(given("LONGHAUL_POWER_SEED", 1));
    // Half of the moments right after something that the world outside can know.
    let told: Vec<usize> = (0..recording.changes().len())
        .filter(|n| {
            matches!(
                recording.changes()[*n],
                Change::Mark(_) | Change::Exec { .. } | Change::End { .. } | Change::Flush { .. }
            )
        })
        .collect();
    for n in 0..given("LONGHAUL_POWER_CUTS", 8) {
        let moment = if n % 2 == 0 {
            told[choice.below(told.len())] + 1
        } else {
            choice.below(recording.changes().len() + 1)
        };
        // git flushes no folder: where names are as loose as `Model::Loose` has them, its own repositories
        // are not safe either, and nothing is promised.
        let model = Model::Journal;
        cut(&scene, &recording, model, moment, choice.bits());
    }
}
