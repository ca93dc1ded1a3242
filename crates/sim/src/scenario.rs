//! What a seed asks for: the tasks, the settings and how bad the world is.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use longhaul_core::ids::TaskId;
use longhaul_core::policy::Policy;
use longhaul_core::queue::MergeStyle;
use longhaul_core::schedule::Capacity;
use longhaul_core::spec::{
    CheckKind, CheckSpec, CommitMode, Expect, Land, OnDrift, Permission, Priority, Sandbox,
    TaskSpec, WorkspaceKind,
};
use longhaul_core::time::SpanMs;
use longhaul_core::usage::MicroUsd;
use longhaul_engine::machine::Limits;

use crate::rng::Rng;

/// Harnesses that tasks use.
pub(crate) const HARNESSES: [&str; 3] = ["claude", "codex", "script"];

/// How bad the world is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Malice {
    /// How often, on average, something is done to the world, in milliseconds; 0 = never.
    pub(crate) fault_every_ms: u64,
    /// How often, on average, a person says something; 0 = never.
    pub(crate) order_every_ms: u64,
    /// The world is bad for so long.
    pub(crate) for_ms: u64,
    /// Effects that meet trouble, of a thousand.
    pub(crate) effect_trouble: u64,
    /// Reports that come a second time, of a thousand.
    pub(crate) repeats: u64,
    /// Only faults that must not change how tasks end.
    pub(crate) benign: bool,
}

/// How tasks land, and what the merge queue meets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Landing {
    /// Tasks that land, of a thousand.
    pub(crate) lands: u64,
    /// Pairs of changes that clash, of a thousand.
    pub(crate) strife: u64,
    /// Changes that fail a check, of a thousand; pairs of them fail it four times less often.
    pub(crate) red: u64,
    /// Runs of a check that fail for nothing, of a thousand.
    pub(crate) flaky: u64,
    /// `advance_checkout`.
    pub(crate) advance: bool,
    /// How often, on average, somebody uses the queue or commits beside it; 0 = never.
    pub(crate) deed_every_ms: u64,
}

/// Everything that follows from a seed before anything happens.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) limits: Limits,
    /// Files in the order in which they are handed in, with the time of it.
    pub(crate) files: Vec<(u64, File)>,
    pub(crate) malice: Malice,
    pub(crate) landing: Landing,
}

/// A task file.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) source: String,
    pub(crate) digest: String,
    pub(crate) tasks: Vec<(TaskId, TaskSpec)>,
}

/// The id of the n-th task.
pub(crate) fn task_id(n: u64) -> TaskId {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&n.to_be_bytes());
    TaskId::new(1_700_000_000_000, random)
}

/// The number of a task by its id.
pub(crate) fn number_of(id: TaskId) -> u64 {
    let bytes = id.uuid().into_bytes();
    bytes[12..16].iter().fold(0, |n, b| n << 8 | u64::from(*b))
}

impl Scenario {
    pub(crate) fn of(seed: u64, without_queue: bool) -> Self {
        let mut rng = Rng::keyed(&[seed, 1]);
        let benign = rng.permille(200);
        let mut limits = limits(&mut rng, benign);
        limits.live_conflicts = crate::overlap::strategy(seed, benign);
        let mut files = Vec::new();
        let mut made: Vec<TaskId> = Vec::new();
        let mut at = 0;
        for n in 0..rng.within(1, 3) {
            let mut tasks = Vec::new();
            for _ in 0..rng.within(1, 4) {
                let number = made.len() as u64 + 1;
                let id = task_id(number);
                tasks.push((id, spec(&mut rng, number, &made, benign)));
                made.push(id);
            }
            let file = File {
                source: format!("/tasks{n}.toml"),
                digest: format!("{seed}-{n}"),
                tasks,
            };
            files.push((at, file));
            at += rng.within(0, 600_000);
        }
        let malice = Malice {
            fault_every_ms: if rng.permille(100) {
                0
            } else {
                rng.within(3_000, 90_000)
            },
            order_every_ms: if benign || rng.permille(200) {
                0
            } else {
                rng.within(10_000, 200_000)
            },
            for_ms: rng.within(60_000, 3_600_000),
            effect_trouble: rng.within(0, 80),
            repeats: rng.within(0, 200),
            benign,
        };
        // Drawn apart: with the queue or without, all else of a seed is the same.
        let mut rng = Rng::keyed(&[seed, 3]);
        let landing = if without_queue || rng.permille(300) {
            Landing::default()
        } else {
            landing(&mut rng, benign)
        };
        if rng.permille(250) {
            limits.merge_style = rng
                .pick(&[MergeStyle::Squash, MergeStyle::Rebase])
                .unwrap_or_default();
        }
        for (id, spec) in files.iter_mut().flat_map(|(_, f)| &mut f.tasks) {
            if spec.workspace == WorkspaceKind::Worktree && rng.permille(landing.lands) {
                spec.land = Land::Yes;
                spec.land_unverified = benign || rng.permille(200);
                if rng.permille(300) {
                    spec.land_checks = vec![land_check("make")];
                }
                // Drawn apart once more: those that land all the same are as before.
                if Rng::keyed(&[seed, 5, number_of(*id)]).permille(100) {
                    (spec.land, spec.land_checks) = (Land::Pr, Vec::new());
                }
            }
        }
        Self {
            limits,
            files,
            malice,
            landing,
        }
    }
}

/// Where the world is benign, the order of landings must not matter: nothing clashes or fails.
fn landing(rng: &mut Rng, benign: bool) -> Landing {
    let bad = |rng: &mut Rng, most: u64| if benign { 0 } else { rng.within(0, most) };
    Landing {
        lands: rng.within(300, 1_000),
        strife: bad(rng, 500),
        red: bad(rng, 120),
        flaky: bad(rng, 120),
        advance: rng.permille(500),
        deed_every_ms: if benign || rng.permille(200) {
            0
        } else {
            rng.within(10_000, 150_000)
        },
    }
}

fn land_check(command: &str) -> CheckSpec {
    CheckSpec {
        name: "merged".to_owned(),
        kind: CheckKind::Run {
            command: command.to_owned(),
        },
        timeout: SpanMs::from_secs(120),
        retry_flaky: 0,
    }
}

fn limits(rng: &mut Rng, benign: bool) -> Limits {
    let mut per_harness = BTreeMap::new();
    if rng.permille(300) {
        per_harness.insert("claude".to_owned(), 1);
    }
    Limits {
        capacity: Capacity {
            total: u32::try_from(rng.within(1, 4)).unwrap_or(1),
            per_repo: rng.permille(200).then_some(1),
            per_harness,
            max_workspaces: if rng.permille(200) && !benign { 2 } else { 200 },
        },
        policy: Policy {
            max_refusals: u32::try_from(rng.within(2, 6)).unwrap_or(2),
            ..Policy::default()
        },
        ..Limits::default()
    }
}

fn spec(rng: &mut Rng, number: u64, made: &[TaskId], benign: bool) -> TaskSpec {
    let mut depends_on = Vec::new();
    for dep in made {
        if rng.permille(150) {
            depends_on.push(*dep);
        }
    }
    let checks = (0..rng.below(4))
        .map(|n| CheckSpec {
            name: format!("check-{n}"),
            kind: CheckKind::Run {
                command: "true".to_owned(),
            },
            timeout: SpanMs::from_secs(if benign { 7_200 } else { rng.within(30, 300) }),
            retry_flaky: u8::try_from(rng.below(3)).unwrap_or(0),
        })
        .collect();
    let in_place = rng.permille(250);
    let repo = Utf8PathBuf::from(rng.pick(&["/a", "/b"]).unwrap_or("/a"));
    let pick = |rng: &mut Rng, n: u64| u32::try_from(rng.below(n)).unwrap_or(0);
    TaskSpec {
        name: format!("t{number}"),
        prompt: "do".to_owned(),
        repo,
        dir: None,
        workspace: if in_place {
            WorkspaceKind::InPlace
        } else {
            WorkspaceKind::Worktree
        },
        base: Some("main".to_owned()),
        harness: rng.pick(&HARNESSES).unwrap_or("script").to_owned(),
        profile: None,
        model: None,
        role: None,
        depends_on,
        priority: rng
            .pick(&[
                Priority::Low,
                Priority::Normal,
                Priority::High,
                Priority::Critical,
            ])
            .unwrap_or_default(),
        budget: (rng.permille(150) && !benign).then(|| MicroUsd(rng.within(200, 3_000))),
        budget_tokens: (rng.permille(150) && !benign).then(|| rng.within(200, 3_000)),
        timeout: SpanMs::from_secs(if benign { 7_200 } else { rng.within(60, 1_200) }),
        idle_timeout: SpanMs::from_secs(if benign { 3_600 } else { rng.within(60, 600) }),
        answer_timeout: SpanMs::from_secs(60),
        max_retries: pick(rng, 4),
        // Crashes of the daemon may cost restarts where a start was lost with it; the twin must not
        // end differently for that.
        max_restarts: if benign { 20 } else { pick(rng, 6) },
        on_drift: if rng.permille(500) {
            OnDrift::Ask
        } else {
            OnDrift::Warn
        },
        land: Land::No,
        land_checks: vec![],
        land_unverified: false,
        merge_style: None,
        project: None,
        group: None,
        labels: Vec::new(),
        allow: Vec::new(),
        keep: Vec::new(),
        sandbox: Sandbox::Write,
        protect: Vec::new(),
        expect: if rng.permille(700) {
            Expect::Change
        } else {
            Expect::Any
        },
        permission: Permission::Edits,
        commit: CommitMode::Auto,
        env: BTreeMap::new(),
        env_pass: Vec::new(),
        setup: rng.permille(400).then(|| "make".to_owned()),
        teardown: None,
        checks,
        task_file: None,
        caller_env: BTreeMap::new(),
    }
}
