//! The merge queue against a pretended repository, with crashes, flakes and people (facts/git.md §4).

use std::collections::{BTreeMap, BTreeSet};

use longhaul_core::ids::{Fence, TaskId};
use longhaul_core::queue::{
    Candidate, ConflictReport, Entry, EntryId, FollowEnd, Judgement, LandCheck, LandNews, Line,
    LineId, MergeStyle, Origin, Outcome, Point, QueueAct, QueueChange, QueueEffect, QueueFact,
    QueueNews, QueueOrder, QueuePolicy, Stage, Subject, TrialEnd, TrialReport, WaitOn, decide,
    outstanding, standing,
};
use longhaul_core::spec::Priority;
use longhaul_core::time::{Now, SpanMs, UnixMs};

/// A small generator: the same seed, the same run.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }
    fn percent(&mut self, p: u64) -> bool {
        self.below(100) < p
    }
}

type Set = BTreeSet<u32>;

/// A repository in which a tree is the set of the changes in it. Change 0 to 999 are entries, from
/// 1000 on what the user committed.
struct Repo {
    integration: Set,
    base: Set,
    /// Pairs that cannot be merged.
    conflicts: BTreeSet<(u32, u32)>,
    /// Sets of changes that are red wherever all of them are in.
    red: Vec<Set>,
    flaky_percent: u64,
    dirty: bool,
}

impl Repo {
    fn is_red(&self, tree: &Set) -> bool {
        self.red.iter().any(|r| r.is_subset(tree))
    }
    fn conflict(&self, change: u32, tree: &Set) -> Option<u32> {
        let with = |c: &u32| self.conflicts.contains(&(change.min(*c), change.max(*c)));
        tree.iter().copied().find(with)
    }
}

fn point(tree: &Set) -> Point {
    let name: Vec<String> = tree.iter().map(u32::to_string).collect();
    Point {
        commit: format!("c{}", name.join(".")),
        tree: format!("t{}", name.join(".")),
    }
}

fn tree_of(point: &Point) -> Set {
    let names = point.tree.trim_start_matches('t');
    names
        .split('.')
        .filter(|s| !s.is_empty())
        .map(|s| s.parse().expect("the model made it"))
        .collect()
}

fn id(n: u32) -> EntryId {
    EntryId(uuid::Uuid::from_u128(u128::from(n) + 1))
}

fn number(id: EntryId) -> u32 {
    u32::try_from(id.0.as_u128() - 1).expect("the model made it")
}

fn entry(n: u32, rng: &mut Rng, now: UnixMs) -> Entry {
    let by_hand = rng.percent(15);
    let origin = if by_hand {
        Origin::Branch {
            name: format!("b{n}"),
        }
    } else {
        Origin::Task {
            task: TaskId::from_uuid(id(n).0),
            fence: Fence(1),
        }
    };
    let check = LandCheck {
        name: "test".to_owned(),
        command: "make test".to_owned(),
        timeout: SpanMs(1000),
        key: "k".to_owned(),
        of: id(n),
    };
    let unverified = rng.percent(5);
    Entry {
        id: id(n),
        origin,
        title: format!("e{n}"),
        commit: format!("head{n}"),
        priority: [Priority::Low, Priority::Normal, Priority::High][rng.below(3) as usize],
        since: now,
        style: [MergeStyle::Merge, MergeStyle::Merge, MergeStyle::Squash][rng.below(3) as usize],
        checks: if unverified { vec![] } else { vec![check] },
        land_unverified: unverified,
        held: false,
        wait: None,
    }
}

/// The world around one line.
struct World {
    rng: Rng,
    repo: Repo,
    line: Line,
    policy: QueuePolicy,
    now: Now,
    /// How each entry ended, once.
    ends: BTreeMap<u32, LandNews>,
    by_hand: BTreeSet<u32>,
    unverified: BTreeSet<u32>,
    /// Red sets that only show with this.
    removed: BTreeSet<u32>,
    landings: Vec<(Point, Point)>,
    entered: BTreeMap<u32, UnixMs>,
    checks_run: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng(seed);
        let entries = 2 + rng.below(12) as u32;
        let mut conflicts = BTreeSet::new();
        let mut red = Vec::new();
        for a in 0..entries {
            for b in a + 1..entries {
                if rng.percent(8) {
                    conflicts.insert((a, b));
                } else if rng.percent(3) {
                    red.push(Set::from([a, b]));
                }
            }
            if rng.percent(12) {
                red.push(Set::from([a]));
            }
        }
        let flaky_percent = if rng.percent(30) { 10 } else { 0 };
        Self {
            rng,
            repo: Repo {
                integration: Set::new(),
                base: Set::new(),
                conflicts,
                red,
                flaky_percent,
                dirty: false,
            },
            line: Line::new(LineId {
                repo: "/r".to_owned(),
                base: "main".to_owned(),
            }),
            policy: QueuePolicy::default(),
            now: Now {
                wall: UnixMs(1_000_000),
                mono_ms: 0,
            },
            ends: BTreeMap::new(),
            by_hand: BTreeSet::new(),
            unverified: BTreeSet::new(),
            removed: BTreeSet::new(),
            landings: Vec::new(),
            entered: BTreeMap::new(),
            checks_run: 0,
        }
    }

    /// Decides a fact, and keeps what comes of it; a crash may lose the daemon, never the change.
    fn say(&mut self, fact: &QueueFact) -> Option<QueueChange> {
        match decide(&self.line, fact, self.now, &self.policy) {
            Outcome::Change(change) => {
                assert_eq!(change.line.version, self.line.version + 1);
                assert!(change.line.round >= self.line.round);
                for said in &change.tasks {
                    let n = number(EntryId::of_task(said.task));
                    let landed = matches!(said.news, LandNews::Landed { .. });
                    let before = self.ends.insert(n, said.news.clone());
                    assert_eq!(before, None, "e{n} ended twice");
                    if landed {
                        assert!(
                            self.repo.integration.contains(&n),
                            "e{n} is told landed and is not there"
                        );
                    }
                    if let LandNews::Red { .. } = &said.news {
                        self.must_be_guilty(n);
                    }
                    assert!(change.line.entry(id(n)).is_none(), "e{n} left and stayed");
                }
                self.line = change.line.clone();
                let json = serde_json::to_string(&self.line).expect("it can be written");
                let again: Line = serde_json::from_str(&json).expect("it can be read");
                assert_eq!(again, self.line, "what is stored is what was decided");
                Some(*change)
            }
            Outcome::Ignore(_) | Outcome::Refuse(_) => None,
        }
    }

    /// Never guilty by association: without it green, with it red.
    fn must_be_guilty(&self, n: u32) {
        if self.repo.flaky_percent > 0 {
            return;
        }
        let tip = tree_of(self.line.tip.as_ref().expect("something was tried"));
        assert!(
            !self.repo.is_red(&tip),
            "e{n} was sent back from a red base"
        );
        let mut with = tip;
        with.insert(n);
        assert!(self.repo.is_red(&with), "e{n} was sent back although green");
    }

    fn perform(&mut self, effect: &QueueEffect) -> QueueNews {
        match &effect.act {
            QueueAct::Trial { batch } => self.trial(batch),
            QueueAct::Check {
                subject,
                check,
                run,
            } => {
                let candidate = self.line.candidate().expect("a check has one").clone();
                let tree = match subject {
                    Subject::Candidate => &candidate.point,
                    Subject::Parent => &candidate.onto,
                };
                self.checks_run += 1;
                if self.rng.percent(3) {
                    return QueueNews::CheckLost {
                        subject: *subject,
                        check: *check,
                        run: *run,
                        detail: "its shim was killed".to_owned(),
                    };
                }
                let green = !self.repo.is_red(&tree_of(tree));
                let flake = *subject == Subject::Candidate
                    && *run == 0
                    && self.repo.flaky_percent > 0
                    && self.rng.percent(self.repo.flaky_percent);
                QueueNews::Judged {
                    judgement: Box::new(Judgement {
                        subject: *subject,
                        check: *check,
                        run: *run,
                        pass: green && !flake,
                        cached: false,
                        reason: String::new(),
                        tail: String::new(),
                        evidence: None,
                    }),
                }
            }
            QueueAct::Land => {
                let candidate = self.line.candidate().expect("a landing has one").clone();
                let now = point(&self.repo.integration);
                if now == candidate.point {
                    return QueueNews::Landed;
                }
                if now != candidate.onto {
                    return QueueNews::Moved { now };
                }
                let tree = tree_of(&candidate.point);
                let unverified = candidate.checks.is_empty();
                assert!(
                    unverified || !self.repo.is_red(&tree),
                    "a red tree lands: {candidate:?}"
                );
                assert!(
                    !unverified
                        || candidate
                            .entries
                            .iter()
                            .all(|e| self.unverified.contains(&number(*e))),
                    "an unchecked tree lands: {candidate:?}"
                );
                self.landings.push((candidate.onto, candidate.point));
                self.repo.integration = tree;
                QueueNews::Landed
            }
            QueueAct::Follow => {
                let end = if self.repo.base == self.repo.integration {
                    FollowEnd::There
                } else if self.repo.dirty {
                    FollowEnd::Waits {
                        why: "a.txt is modified".to_owned(),
                    }
                } else if self.repo.base.is_subset(&self.repo.integration) {
                    self.repo.base = self.repo.integration.clone();
                    FollowEnd::There
                } else {
                    FollowEnd::Diverged
                };
                QueueNews::Followed { end, pushed: None }
            }
            QueueAct::Clear => QueueNews::Cleared,
        }
    }

    fn trial(&mut self, batch: &[EntryId]) -> QueueNews {
        if self.rng.percent(4) {
            return QueueNews::Failed {
                detail: "the index is locked".to_owned(),
                remedy: None,
            };
        }
        if self.repo.integration.is_subset(&self.repo.base) {
            self.repo.integration = self.repo.base.clone();
        }
        let tip = point(&self.repo.integration);
        let mut tree = self.repo.integration.clone();
        if !self.repo.base.is_subset(&tree) {
            tree.extend(&self.repo.base);
            return QueueNews::Tried {
                report: Box::new(TrialReport {
                    ends: batch.iter().map(|id| (*id, TrialEnd::Left)).collect(),
                    candidate: Some(Candidate {
                        point: point(&tree),
                        onto: tip.clone(),
                        entries: vec![],
                        checks: vec![],
                        flaky: vec![],
                        red: None,
                    }),
                    tip,
                }),
            };
        }
        let mut merged = Vec::new();
        let mut ends = Vec::new();
        for id in batch {
            let n = number(*id);
            let report = ConflictReport::default;
            let end = if tree.contains(&n) {
                TrialEnd::Contained
            } else if self.repo.conflict(n, &self.repo.integration).is_some() {
                TrialEnd::Conflict { report: report() }
            } else if let Some(with) = self.repo.conflict(n, &tree) {
                TrialEnd::Overlaps {
                    with: self::id(with),
                    report: report(),
                }
            } else {
                tree.insert(n);
                merged.push(*id);
                TrialEnd::Merged
            };
            ends.push((*id, end));
        }
        let candidate = (!merged.is_empty()).then(|| Candidate {
            point: point(&tree),
            onto: tip.clone(),
            entries: merged,
            checks: vec![],
            flaky: vec![],
            red: None,
        });
        QueueNews::Tried {
            report: Box::new(TrialReport {
                tip,
                ends,
                candidate,
            }),
        }
    }

    /// Does what is outstanding, sometimes twice (a crash after the effect), and tells its news,
    /// sometimes twice or of an older round.
    fn work(&mut self) -> bool {
        let Some(effect) = outstanding(&self.line) else {
            let due = self.line.due().filter(|at| *at > self.now.wall);
            if let Some(at) = due {
                self.now.wall = at;
            }
            return self.say(&QueueFact::Tick).is_some();
        };
        if let Some(at) = self.line.due() {
            self.now.wall = self.now.wall.max(at);
        }
        let mut news = self.perform(&effect);
        if self.rng.percent(10) {
            // The daemon died before it could say so; the next one asks again.
            news = self.perform(&effect);
        }
        let fact = QueueFact::Round {
            round: effect.round,
            news,
        };
        self.now.wall = self.now.wall.plus(SpanMs(10));
        self.say(&fact);
        if self.rng.percent(10) {
            let before = self.line.clone();
            if outstanding(&before) != Some(effect) {
                self.say(&fact);
                assert_eq!(self.line, before, "old news changed something: {fact:?}");
            }
        }
        true
    }

    fn enter(&mut self, n: u32) {
        let entry = entry(n, &mut self.rng, self.now.wall);
        if matches!(entry.origin, Origin::Branch { .. }) {
            self.by_hand.insert(n);
        }
        if entry.land_unverified {
            self.unverified.insert(n);
        }
        self.entered.insert(n, self.now.wall);
        let entry = Box::new(entry);
        self.say(&QueueFact::Enter { entry });
    }

    fn interfere(&mut self, entered: u32) {
        let pick = id(self.rng.below(u64::from(entered.max(1))) as u32);
        let fact = match self.rng.below(12) {
            0 => QueueFact::Order {
                order: QueueOrder::Pause,
            },
            1 | 2 => QueueFact::Order {
                order: QueueOrder::Resume,
            },
            3 => QueueFact::Order {
                order: QueueOrder::Hold { entry: pick },
            },
            4 | 5 => QueueFact::Order {
                order: QueueOrder::Release { entry: pick },
            },
            6 => QueueFact::Order {
                order: QueueOrder::Prefer {
                    entry: pick,
                    priority: Priority::Critical,
                },
            },
            7 => QueueFact::Order {
                order: QueueOrder::Once,
            },
            8 => {
                // The user commits on base.
                let change = 1000 + self.rng.below(1000) as u32;
                self.repo.base.insert(change);
                QueueFact::BaseMoved
            }
            9 => {
                self.repo.dirty = !self.repo.dirty;
                QueueFact::BaseMoved
            }
            10 => {
                let known = self.line.entry(pick).is_some();
                let fact = QueueFact::Withdraw {
                    entry: pick,
                    why: "cancelled".to_owned(),
                };
                if self.say(&fact).is_some() && known {
                    self.removed.insert(number(pick));
                }
                return;
            }
            _ => QueueFact::Order {
                order: QueueOrder::Freeze {
                    below: self.rng.percent(50).then_some(Priority::Normal),
                },
            },
        };
        self.say(&fact);
    }

    fn entries(&self) -> u32 {
        self.repo
            .conflicts
            .iter()
            .map(|(_, b)| *b)
            .chain(self.repo.red.iter().flatten().copied())
            .max()
            .unwrap_or(4)
            + 2
    }

    fn run(&mut self) {
        let all = self.entries();
        let mut entered = 0;
        let mut steps = 0;
        while entered < all || steps < 200 {
            steps += 1;
            if entered < all && self.rng.percent(30) {
                self.enter(entered);
                entered += 1;
            }
            if self.rng.percent(8) {
                self.interfere(entered);
            }
            self.work();
        }
        // Everything is let go, and must come to rest.
        self.repo.dirty = false;
        for n in 0..entered {
            self.say(&QueueFact::Order {
                order: QueueOrder::Release { entry: id(n) },
            });
        }
        for order in [QueueOrder::Freeze { below: None }, QueueOrder::Resume] {
            self.say(&QueueFact::Order { order });
        }
        let (mut idle, mut moved) = (0, 0);
        for _ in 0..2_000 {
            // A base that is red by itself (something unverified landed) stays so.
            if self.line.block.is_some() && moved < 4 {
                moved += 1;
                self.say(&QueueFact::BaseMoved);
            }
            if self.line.block.is_some() && moved == 4 && self.line.stage == Stage::Rest {
                break;
            }
            idle = if self.work() { 0 } else { idle + 1 };
            if idle > 3 {
                break;
            }
        }
        assert_eq!(self.line.stage, Stage::Rest, "it does not come to rest");
        self.judge(entered);
    }

    fn judge(&self, entered: u32) {
        // Each landing continues the one before, or what the user committed.
        for pair in self.landings.windows(2) {
            let (before, after) = (tree_of(&pair[0].1), tree_of(&pair[1].0));
            assert!(before.is_subset(&after), "a landing was lost: {pair:?}");
        }
        for n in 0..entered {
            let landed = self.repo.integration.contains(&n);
            let waits = self.line.entry(id(n)).is_some();
            if self.by_hand.contains(&n) || self.removed.contains(&n) {
                continue;
            }
            let end = self.ends.get(&n);
            assert!(
                end.is_some() || waits,
                "e{n} is neither ended nor in the queue"
            );
            assert_eq!(
                landed,
                matches!(end, Some(LandNews::Landed { .. })),
                "e{n}: {end:?}"
            );
        }
        let blocked = self.line.block.is_some();
        for s in standing(&self.line) {
            assert!(!s.why.is_empty());
            if let Some(WaitOn::Entry { with, .. }) = s.entry.wait.as_ref().map(|w| &w.on) {
                assert!(self.line.entry(*with).is_some(), "waits for nobody: {s:?}");
            }
            let tip_is_red = self.repo.is_red(&self.repo.integration);
            assert!(
                !s.ready || blocked || tip_is_red,
                "e{} could land and does not: {} {:?}",
                number(s.entry.id),
                s.why,
                self.line
            );
        }
    }
}

/// Every landed tree was checked, order and blame are right, nothing is lost, nothing is done twice.
#[test]
fn i9_l8_l11_l18_whatever_happens_only_green_trees_land() {
    let (mut landed, mut back, mut checks) = (0, 0, 0);
    for seed in 0..1_000 {
        let mut world = World::new(seed);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.run()));
        assert!(outcome.is_ok(), "seed {seed}");
        landed += world.repo.integration.iter().filter(|n| **n < 1000).count();
        back += world.ends.len();
        checks += world.checks_run;
    }
    eprintln!("{landed} landed, {back} told, {checks} checks");
    assert!(landed > 3_000 && back > 3_000, "the world is too quiet");
}

/// A line whose only entry is being checked for the first time.
fn checking() -> (World, Candidate) {
    let mut world = World::new(0);
    let entry = Entry {
        origin: Origin::Task {
            task: TaskId::from_uuid(id(0).0),
            fence: Fence(1),
        },
        land_unverified: false,
        checks: vec![LandCheck {
            name: "test".to_owned(),
            command: "make test".to_owned(),
            timeout: SpanMs(1000),
            key: "k".to_owned(),
            of: id(0),
        }],
        ..entry(0, &mut Rng(1), world.now.wall)
    };
    world.say(&QueueFact::Enter {
        entry: Box::new(entry),
    });
    let onto = point(&Set::new());
    let candidate = Candidate {
        point: point(&Set::from([0])),
        onto: onto.clone(),
        entries: vec![id(0)],
        checks: vec![],
        flaky: vec![],
        red: None,
    };
    let tried = |tip| QueueNews::Tried {
        report: Box::new(TrialReport {
            tip,
            ends: vec![(id(0), TrialEnd::Merged)],
            candidate: Some(candidate.clone()),
        }),
    };
    let round = world.line.round;
    let elsewhere = decide(
        &world.line,
        &QueueFact::Round {
            round,
            news: tried(point(&Set::from([7]))),
        },
        world.now,
        &world.policy,
    );
    let Outcome::Change(change) = elsewhere else {
        panic!("a trial is news");
    };
    assert!(
        change.line.candidate().is_none(),
        "a candidate that was made on another tip is never checked, and never landed (L8)"
    );
    world.say(&QueueFact::Round {
        round,
        news: tried(onto),
    });
    (world, candidate)
}

fn judge(world: &mut World, subject: Subject, run: u16, pass: bool) {
    let round = world.line.round;
    let judgement = Box::new(Judgement {
        subject,
        check: 0,
        run,
        pass,
        cached: false,
        reason: "exit code 1".to_owned(),
        tail: String::new(),
        evidence: None,
    });
    let news = QueueNews::Judged { judgement };
    world.say(&QueueFact::Round { round, news });
}

#[test]
fn l11_one_red_run_is_no_verdict_and_is_recorded_as_flaky() {
    let (mut world, candidate) = checking();
    judge(&mut world, Subject::Candidate, 0, false);
    assert!(world.ends.is_empty(), "sent back after one red run");
    judge(&mut world, Subject::Candidate, 1, true);
    let Stage::Land { candidate: landing } = &world.line.stage else {
        panic!("{:?}", world.line.stage);
    };
    assert_eq!(landing.point, candidate.point);
    assert_eq!(landing.flaky, ["test"]);
}

#[test]
fn l18_that_an_earlier_run_was_lost_says_nothing_of_the_one_that_is_at_work() {
    let (mut world, _) = checking();
    judge(&mut world, Subject::Candidate, 0, false);
    let at_work = world.line.clone();
    let round = at_work.round;
    let news = QueueNews::CheckLost {
        subject: Subject::Candidate,
        check: 0,
        run: 0,
        detail: "its process was lost".to_owned(),
    };
    world.say(&QueueFact::Round { round, news });
    assert_eq!(world.line, at_work);
}

#[test]
fn l11_a_red_base_blocks_the_line_and_blames_nobody() {
    let (mut world, _) = checking();
    let first = world.line.entry(id(0)).cloned().unwrap();
    let second = Entry {
        id: id(1),
        origin: Origin::Branch { name: "x".into() },
        held: true,
        ..first
    };
    world.say(&QueueFact::Enter {
        entry: Box::new(second),
    });
    judge(&mut world, Subject::Candidate, 0, false);
    judge(&mut world, Subject::Candidate, 1, false);
    judge(&mut world, Subject::Parent, 0, false);
    assert!(world.ends.is_empty(), "guilty by association");
    let standing = standing(&world.line);
    assert!(
        standing[0].why.contains("fails `test` by itself"),
        "{}",
        standing[0].why
    );
    assert_eq!(outstanding(&world.line), None);
}

#[test]
fn l11_a_check_that_only_one_entry_asks_for_holds_up_nobody_else() {
    let (mut world, _) = checking();
    judge(&mut world, Subject::Candidate, 0, false);
    judge(&mut world, Subject::Candidate, 1, false);
    judge(&mut world, Subject::Parent, 0, false);
    assert!(world.ends.is_empty(), "guilty by association");
    assert_eq!(world.line.block, None);
    let standing = standing(&world.line);
    let why = &standing[0].why;
    assert!(
        why.contains("what has landed fails it by itself too"),
        "{why}"
    );
    assert!(!standing[0].ready);
}

#[test]
fn l11_red_twice_on_a_green_base_goes_back_with_its_verdict() {
    let (mut world, _) = checking();
    world.repo.red = vec![Set::from([0])];
    world.repo.flaky_percent = 0;
    judge(&mut world, Subject::Candidate, 0, false);
    judge(&mut world, Subject::Candidate, 1, false);
    judge(&mut world, Subject::Parent, 0, true);
    let LandNews::Red { judgement, .. } = &world.ends[&0] else {
        panic!("{:?}", world.ends[&0]);
    };
    // The evidence is of the merged tree's own run, not of the tree's below it.
    assert_eq!((judgement.subject, judgement.run), (Subject::Candidate, 1));
    assert!(!judgement.pass);
    assert_eq!(world.line.stage, Stage::Rest);
}

#[test]
fn l16_a_push_that_others_overtake_is_merged_again_and_not_for_ever() {
    let (mut world, _) = checking();
    world.line.entries.clear();
    let rejected = |world: &mut World| {
        world.line.stage = Stage::Follow;
        let round = world.line.round;
        let end = FollowEnd::Rejected;
        let news = QueueNews::Followed { end, pushed: None };
        world.say(&QueueFact::Round { round, news });
        world.line.stage.clone()
    };
    for _ in 0..5 {
        let again = rejected(&mut world);
        assert_eq!(again, Stage::Trial { batch: vec![] });
        assert!(world.line.behind.is_some(), "it is still to be pushed");
    }
    assert_eq!(rejected(&mut world), Stage::Rest, "it goes on for ever");
    let behind = world.line.behind.clone().unwrap();
    assert!(behind.again > world.now.wall, "it waits first");
    assert_eq!(world.line.rejections, 0);
    let again = rejected(&mut world);
    assert_eq!(
        again,
        Stage::Trial { batch: vec![] },
        "later it is tried again"
    );
}
