//! From a committed attempt to a running program and its end, on one host.

use stateright::{Model, Property};

/// Attempts that a task may have.
const FENCES: usize = 2;

/// One rule left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// The protocol as it is.
    None,
    /// A daemon starts the attempt's shim and commits the attempt afterwards (breaks I4).
    LaunchBeforeCommit,
    /// A report is applied whatever the fence and version it was made for (breaks I2).
    NoFenceCompare,
    /// The shim does not take the bundle's lock (breaks I2).
    NoShimLock,
    /// The shim does not look whether the bundle's program was started before (breaks I2).
    NoRecordCheck,
    /// Recovery goes by the records alone and does not ask who holds the lock (breaks I6).
    RecoverWithoutLock,
    /// The identity is written after the program has begun (breaks I2).
    IdentityAfterExec,
    /// The identity is not flushed before the program begins (breaks I2).
    IdentityNotFlushed,
    /// The forked child lets go of the lock before it has written its identity (breaks I2).
    ChildWithoutLock,
    /// An attempt is given up as never started on a look alone: its bundle is not closed (breaks I2).
    NoClose,
    /// A second daemon gets past the first one's lock (T19).
    TwoDaemons,
    /// The next attempt begins before what is left of the last one was swept (breaks I2).
    NoSweep,
}

/// The protocol, or a mutant of it.
#[derive(Clone, Copy, Debug)]
pub struct Spawn {
    /// What is left out.
    pub mutant: Mutant,
    /// How often something may be killed.
    pub kills: u8,
    /// How often the machine may go down.
    pub reboots: u8,
}

/// The task's state in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Waits for a slot.
    Ready,
    /// An attempt is committed, its session to be launched.
    Launch,
    /// Its session is known to run.
    Running,
    /// Over, with a result or for a person to see.
    Over,
}

/// A row of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Row {
    stage: Stage,
    fence: usize,
    version: u8,
    stop: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Record {
    boot: u8,
    flushed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Bundle {
    folder: bool,
    identity: Option<Record>,
    exit: Option<Record>,
}

/// What a daemon believes of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Report {
    Started,
    Ended,
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Doing {
    Nothing,
    /// Has seen that nothing runs, and is about to start a shim.
    Spawn(usize),
    /// Has started a shim, and will commit what for (a mutant's way).
    Commit,
    Tell(usize, Report),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Daemon {
    seen: Row,
    doing: Doing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum ShimStep {
    /// Has its order, not yet the lock.
    Ordered,
    Locked,
    /// Its child is on its way or its program runs.
    Forked,
    /// Nobody is left; the exit record is to be written.
    Ending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum ChildStep {
    Born,
    Wrote,
    Flushed,
    /// The program itself.
    Program,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Shim {
    fence: usize,
    number: u8,
    step: ShimStep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Child {
    fence: usize,
    parent: u8,
    step: ChildStep,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    row: Row,
    bundles: [Bundle; FENCES + 1],
    shims: Vec<Shim>,
    children: Vec<Child>,
    daemons: [Option<Daemon>; 2],
    begun: [u8; FENCES + 1],
    boot: u8,
    kills: u8,
    reboots: u8,
    stops: u8,
    /// A report that was made twice and comes a second time.
    late: Option<(usize, Report)>,
    /// A program was ended by recovery although its shim was at work.
    killed_live: bool,
}

/// Something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A daemon starts and reads the store.
    Start(usize),
    /// A daemon reads the row again.
    Read(usize),
    /// A daemon commits a new attempt.
    Assign(usize),
    /// A daemon looks at the bundle of the attempt it knows of.
    Look(usize),
    /// A daemon starts a shim.
    Spawn(usize),
    /// A daemon commits what it believes.
    Tell(usize),
    /// A report is repeated: the second one is on its way.
    Repeat(usize),
    /// It arrives.
    Late,
    /// A person stops the attempt.
    Stop,
    /// A shim goes on.
    Shim(u8),
    /// A child goes on; a program ends.
    Child(u8),
    /// A daemon is killed.
    KillDaemon(usize),
    /// A shim is killed.
    KillShim(u8),
    /// The machine goes down and comes up; what was not flushed is kept or not.
    Reboot {
        /// Whether it is kept.
        kept: bool,
    },
}

enum Survey {
    Absent,
    NotStarted,
    Starting,
    Live,
    Exited,
    Lost,
    OtherBoot,
}

impl World {
    fn held(&self, fence: usize, child_holds: bool) -> bool {
        let by_shim = |s: &Shim| s.fence == fence && s.step >= ShimStep::Locked;
        let by_child = |c: &Child| c.fence == fence && c.step < ChildStep::Program;
        self.shims.iter().any(by_shim) || (child_holds && self.children.iter().any(by_child))
    }

    fn running(&self) -> impl Iterator<Item = &Child> {
        self.children
            .iter()
            .filter(|c| c.step == ChildStep::Program)
    }

    /// A name for a new shim that nobody has, an orphaned child's parent included.
    fn free_number(&self) -> u8 {
        let taken = |n: &u8| self.alive(*n) || self.children.iter().any(|c| c.parent == *n);
        (0..).find(|n| !taken(n)).unwrap_or(u8::MAX)
    }

    fn alive(&self, shim: u8) -> bool {
        self.shims.iter().any(|s| s.number == shim)
    }
}

impl Spawn {
    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == mutant
    }

    /// The table of `hosts::bundle`.
    fn survey(&self, w: &World, fence: usize) -> Survey {
        let bundle = &w.bundles[fence];
        let held = w.held(fence, !self.is(Mutant::ChildWithoutLock))
            && !self.is(Mutant::RecoverWithoutLock);
        match (bundle.exit, bundle.identity) {
            (Some(_), _) => Survey::Exited,
            _ if !bundle.folder => Survey::Absent,
            (None, None) if held => Survey::Starting,
            (None, Some(_)) if held => Survey::Live,
            (None, None) => Survey::NotStarted,
            (None, Some(identity)) if identity.boot != w.boot => Survey::OtherBoot,
            (None, Some(_)) => Survey::Lost,
        }
    }

    fn look(&self, w: &mut World, i: usize) {
        let Some(daemon) = w.daemons[i] else { return };
        let row = daemon.seen;
        let found = self.survey(w, row.fence);
        let doing = match found {
            Survey::Absent | Survey::NotStarted if row.stop || row.stage == Stage::Running => {
                // `Bundle::close`: under the lock, so that a shim that comes late finds a record.
                if matches!(found, Survey::NotStarted) && !self.is(Mutant::NoClose) {
                    w.bundles[row.fence].exit = Some(Record {
                        boot: w.boot,
                        flushed: true,
                    });
                }
                Doing::Tell(row.fence, Report::Gone)
            }
            Survey::Absent | Survey::NotStarted => Doing::Spawn(row.fence),
            Survey::Starting => Doing::Nothing,
            Survey::Live if row.stop => {
                // The shim ends its tree; what comes after is the program's ordinary end.
                let of_it = |c: &Child| c.fence == row.fence && c.step == ChildStep::Program;
                let ended: Vec<u8> = w
                    .children
                    .iter()
                    .filter(|c| of_it(c))
                    .map(|c| c.parent)
                    .collect();
                w.children.retain(|c| !of_it(c));
                for shim in &mut w.shims {
                    if ended.contains(&shim.number) {
                        shim.step = ShimStep::Ending;
                    }
                }
                Doing::Nothing
            }
            Survey::Live if row.stage == Stage::Launch => Doing::Tell(row.fence, Report::Started),
            Survey::Live => Doing::Nothing,
            Survey::Exited => Doing::Tell(row.fence, Report::Ended),
            Survey::OtherBoot => Doing::Tell(row.fence, Report::Gone),
            Survey::Lost => {
                if !self.is(Mutant::NoSweep) {
                    let of_it = |c: &Child| c.fence == row.fence;
                    let live = w.children.iter().any(|c| of_it(c) && w.alive(c.parent));
                    w.killed_live |= live;
                    w.children.retain(|c| !of_it(c));
                }
                Doing::Tell(row.fence, Report::Gone)
            }
        };
        w.daemons[i] = Some(Daemon { seen: row, doing });
    }

    fn tell(&self, w: &mut World, i: usize) {
        let Some(daemon) = w.daemons[i] else { return };
        let Doing::Tell(fence, report) = daemon.doing else {
            return;
        };
        if w.row == daemon.seen {
            self.obey(w, fence, report);
        }
        w.daemons[i] = Some(Daemon {
            seen: w.row,
            doing: Doing::Nothing,
        });
    }

    /// `core::decide`: a report of the present fence moves the attempt on if it is news.
    fn obey(&self, w: &mut World, fence: usize, report: Report) {
        if fence != w.row.fence && !self.is(Mutant::NoFenceCompare) {
            return;
        }
        let stage = match (report, w.row.stage) {
            (Report::Started, Stage::Launch) => Stage::Running,
            (Report::Ended, Stage::Launch | Stage::Running) => Stage::Over,
            (Report::Gone, Stage::Launch | Stage::Running) if w.row.fence < FENCES => Stage::Ready,
            (Report::Gone, Stage::Launch | Stage::Running) => Stage::Over,
            _ => return,
        };
        w.row.version += 1;
        w.row.stage = stage;
        // A stop stands until the attempt is over.
        w.row.stop &= stage == Stage::Running;
    }

    fn shim(&self, w: &mut World, number: u8) {
        let Some(at) = w.shims.iter().position(|s| s.number == number) else {
            return;
        };
        let shim = w.shims[at];
        let bundle = w.bundles[shim.fence];
        match shim.step {
            ShimStep::Ordered => {
                let held = w.held(shim.fence, !self.is(Mutant::ChildWithoutLock))
                    && !self.is(Mutant::NoShimLock);
                let ran = (bundle.identity.is_some() || bundle.exit.is_some())
                    && !self.is(Mutant::NoRecordCheck);
                if held || ran {
                    w.shims.remove(at);
                } else {
                    w.shims[at].step = ShimStep::Locked;
                }
            }
            ShimStep::Locked => {
                w.children.push(Child {
                    fence: shim.fence,
                    parent: number,
                    step: ChildStep::Born,
                });
                w.children.sort_unstable();
                w.shims[at].step = ShimStep::Forked;
            }
            // Its child does the rest.
            ShimStep::Forked => {}
            ShimStep::Ending => {
                w.bundles[shim.fence].exit = Some(Record {
                    boot: w.boot,
                    flushed: true,
                });
                w.shims.remove(at);
            }
        }
    }

    fn child(&self, w: &mut World, parent: u8) {
        let Some(at) = w.children.iter().position(|c| c.parent == parent) else {
            return;
        };
        let child = w.children[at];
        let fence = child.fence;
        let written = Record {
            boot: w.boot,
            flushed: false,
        };
        let begins = match child.step {
            ChildStep::Born if self.is(Mutant::IdentityAfterExec) => true,
            ChildStep::Born => {
                w.bundles[fence].identity = Some(written);
                w.children[at].step = ChildStep::Wrote;
                false
            }
            ChildStep::Wrote if self.is(Mutant::IdentityNotFlushed) => true,
            ChildStep::Wrote => {
                w.bundles[fence].identity = Some(Record {
                    flushed: true,
                    ..written
                });
                w.children[at].step = ChildStep::Flushed;
                false
            }
            ChildStep::Flushed => true,
            ChildStep::Program => {
                if self.is(Mutant::IdentityAfterExec) && w.bundles[fence].identity.is_none() {
                    w.bundles[fence].identity = Some(Record {
                        flushed: true,
                        ..written
                    });
                    return;
                }
                w.children.remove(at);
                for shim in &mut w.shims {
                    if shim.number == parent {
                        shim.step = ShimStep::Ending;
                    }
                }
                false
            }
        };
        if begins {
            if w.alive(parent) {
                w.children[at].step = ChildStep::Program;
                w.begun[fence] += 1;
            } else {
                // Without its shim it would be lost from the start: it does not begin.
                w.children.remove(at);
            }
        }
        w.children.sort_unstable();
    }

    fn reboot(w: &mut World, kept: bool) {
        w.shims.clear();
        w.children.clear();
        w.daemons = [None, None];
        w.boot += 1;
        w.reboots -= 1;
        w.late = None;
        for bundle in &mut w.bundles {
            for record in [&mut bundle.identity, &mut bundle.exit] {
                *record = record.filter(|r| r.flushed || kept);
            }
        }
    }
}

impl Model for Spawn {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            row: Row {
                stage: Stage::Ready,
                fence: 0,
                version: 0,
                stop: false,
            },
            bundles: [Bundle::default(); FENCES + 1],
            shims: Vec::new(),
            children: Vec::new(),
            daemons: [None, None],
            begun: [0; FENCES + 1],
            boot: 0,
            kills: self.kills,
            reboots: self.reboots,
            stops: 1,
            late: None,
            killed_live: false,
        }]
    }

    fn actions(&self, w: &World, steps: &mut Vec<Step>) {
        if w.row.stage == Stage::Over {
            return;
        }
        let someone = w.daemons.iter().any(Option::is_some);
        for (i, daemon) in w.daemons.iter().enumerate() {
            match daemon {
                None if !someone || self.is(Mutant::TwoDaemons) => steps.push(Step::Start(i)),
                None => {}
                Some(d) => {
                    if d.seen != w.row {
                        steps.push(Step::Read(i));
                    }
                    match d.doing {
                        Doing::Nothing if d.seen.stage == Stage::Ready => {
                            steps.push(Step::Assign(i));
                        }
                        Doing::Nothing if d.seen.stage != Stage::Over => steps.push(Step::Look(i)),
                        Doing::Nothing => {}
                        Doing::Commit => steps.push(Step::Assign(i)),
                        Doing::Spawn(fence) => {
                            // Two shims of one fence are as good as many.
                            if w.shims.iter().filter(|s| s.fence == fence).count() < 2 {
                                steps.push(Step::Spawn(i));
                            }
                        }
                        Doing::Tell(..) => {
                            steps.push(Step::Tell(i));
                            if w.late.is_none() {
                                steps.push(Step::Repeat(i));
                            }
                        }
                    }
                    if w.kills > 0 {
                        steps.push(Step::KillDaemon(i));
                    }
                }
            }
        }
        if someone && w.late.is_some() {
            steps.push(Step::Late);
        }
        if someone && w.stops > 0 && w.row.stage != Stage::Ready {
            steps.push(Step::Stop);
        }
        for shim in &w.shims {
            if shim.step != ShimStep::Forked {
                steps.push(Step::Shim(shim.number));
            }
            if w.kills > 0 {
                steps.push(Step::KillShim(shim.number));
            }
        }
        for child in &w.children {
            steps.push(Step::Child(child.parent));
        }
        if w.reboots > 0 {
            steps.push(Step::Reboot { kept: true });
            steps.push(Step::Reboot { kept: false });
        }
    }

    fn next_state(&self, last: &World, step: Step) -> Option<World> {
        let mut w = last.clone();
        match step {
            Step::Start(i) | Step::Read(i) => {
                // A reader that was about to do something does it with what it knew.
                let doing = w.daemons[i].map_or(Doing::Nothing, |d| d.doing);
                w.daemons[i] = Some(Daemon { seen: w.row, doing });
            }
            Step::Assign(i) => {
                let Daemon { seen, doing } = w.daemons[i]?;
                if self.is(Mutant::LaunchBeforeCommit) && doing == Doing::Nothing {
                    w.daemons[i] = Some(Daemon {
                        seen,
                        doing: Doing::Spawn(seen.fence + 1),
                    });
                } else {
                    if w.row == seen && w.row.stage == Stage::Ready {
                        w.row.stage = Stage::Launch;
                        w.row.fence += 1;
                        w.row.version += 1;
                    }
                    w.daemons[i] = Some(Daemon {
                        seen: w.row,
                        doing: Doing::Nothing,
                    });
                }
            }
            Step::Look(i) => self.look(&mut w, i),
            Step::Spawn(i) => {
                let daemon = w.daemons[i]?;
                let Doing::Spawn(fence) = daemon.doing else {
                    return None;
                };
                w.bundles[fence].folder = true;
                let number = w.free_number();
                w.shims.push(Shim {
                    fence,
                    number,
                    step: ShimStep::Ordered,
                });
                w.shims.sort_unstable();
                let doing =
                    if self.is(Mutant::LaunchBeforeCommit) && daemon.seen.stage == Stage::Ready {
                        Doing::Commit
                    } else {
                        Doing::Nothing
                    };
                w.daemons[i] = Some(Daemon { doing, ..daemon });
            }
            Step::Tell(i) => self.tell(&mut w, i),
            Step::Repeat(i) => {
                let Doing::Tell(fence, report) = w.daemons[i]?.doing else {
                    return None;
                };
                w.late = Some((fence, report));
            }
            Step::Late => {
                let (fence, report) = w.late.take()?;
                self.obey(&mut w, fence, report);
            }
            Step::Stop => {
                w.stops -= 1;
                w.row.stop = true;
                w.row.version += 1;
            }
            Step::Shim(number) => self.shim(&mut w, number),
            Step::Child(parent) => self.child(&mut w, parent),
            Step::KillDaemon(i) => {
                w.kills -= 1;
                w.daemons[i] = None;
                // What its threads had to say goes with it.
                w.late = None;
            }
            Step::KillShim(number) => {
                w.kills -= 1;
                w.shims.retain(|s| s.number != number);
            }
            Step::Reboot { kept } => Self::reboot(&mut w, kept),
        }
        (w != *last).then_some(w)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "I2: a program begins at most once per fence",
                |_, w: &World| w.begun.iter().all(|times| *times <= 1),
            ),
            Property::always("I2: at most one program lives", |_, w: &World| {
                w.running().count() <= 1
            }),
            Property::always("I2: no older fence lives on", |_, w: &World| {
                w.running().all(|c| c.fence >= w.row.fence)
            }),
            Property::always("I2: nothing lives once the task is over", |_, w: &World| {
                w.row.stage != Stage::Over || w.running().count() == 0
            }),
            Property::always("I4: what runs was committed", |_, w: &World| {
                w.running().all(|c| c.fence <= w.row.fence)
            }),
            Property::always("I6: recovery ends nothing that lives", |_, w: &World| {
                !w.killed_live
            }),
            // A path that cannot go on ends in `Over`: nothing is stuck, no accepted task is lost.
            Property::eventually("I3: the task is settled", |_, w: &World| {
                w.row.stage == Stage::Over
            }),
            Property::sometimes("a second attempt ends", |_, w: &World| {
                w.row.stage == Stage::Over && w.row.fence == 2
            }),
        ]
    }
}
