//! People at their clients: they hand in files, give orders, lose answers and ask again.

use std::collections::{BTreeMap, BTreeSet};

use longhaul_core::fact::Order;
use longhaul_core::ids::TaskId;
use longhaul_core::task::StateWord;
use longhaul_core::usage::MicroUsd;
use longhaul_engine::handle::{Command, OrderResult, RefusalClass, Reply, Submit};

use crate::daemon::{Death, Note};
use crate::queue::QueueWord;
use crate::scenario::File;
use crate::sim::{Item, Sim};

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) enum What {
    Submit { file: usize, own: Box<File> },
    Order(TaskId, Order),
    Drain { stop: bool },
    Undrain,
    Estop,
    Thaw,
    Queue(Box<QueueWord>),
    Status,
}

/// What a person was told and may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    Stopped,
    Cancelled,
}

/// Everybody's memory.
#[derive(Debug, Default)]
pub(crate) struct People {
    asked: BTreeMap<u64, (u64, What)>,
    next: u64,
    pub(crate) accepted: BTreeSet<TaskId>,
    pub(crate) promises: BTreeMap<TaskId, Promise>,
    tries: BTreeMap<usize, u32>,
    copies: u64,
    /// Where the daemon dies in its next step.
    pub(crate) death: Option<Death>,
}

impl People {
    pub(crate) fn command(&self, number: u64) -> Option<Command> {
        Some(match &self.asked.get(&number)?.1 {
            What::Submit { own, .. } => Command::Submit(Submit {
                source: own.source.clone(),
                digest: own.digest.clone(),
                again: false,
                tasks: own.tasks.clone(),
            }),
            What::Order(task, order) => Command::Order {
                tasks: vec![*task],
                order: order.clone(),
            },
            What::Drain { stop } => Command::Drain { stop: *stop },
            What::Undrain => Command::Undrain,
            What::Estop => Command::Estop,
            What::Thaw => Command::Thaw,
            What::Queue(word) => word.command(),
            What::Status => Command::Status,
        })
    }
}

impl Sim {
    /// Asks the daemon that is there; false if there is none.
    pub(crate) fn ask(&mut self, what: What) -> bool {
        let Some(epoch) = self.current() else {
            return false;
        };
        self.people.next += 1;
        let number = self.people.next;
        self.note(|| match &what {
            What::Submit { own, .. } => format!("ask {number}: submit {}", own.source),
            other => format!("ask {number}: {other:?}"),
        });
        self.people.asked.insert(number, (epoch, what));
        self.at(0, Item::Deliver(epoch, Note::Ask(number)));
        true
    }

    pub(crate) fn hand_in(&mut self, n: usize) {
        let own = Box::new(self.scenario.files[n].1.clone());
        if !self.ask(What::Submit {
            file: n,
            own: own.clone(),
        }) {
            self.at(2_000, Item::Submit(n));
            return;
        }
        if self.options.calm || self.scenario.malice.benign {
            return;
        }
        if self.rng.permille(100) {
            // The answer came late, so the client asked again.
            self.ask(What::Submit {
                file: n,
                own: own.clone(),
            });
        }
        if self.rng.permille(100) {
            // The same file, handed in by somebody else.
            self.people.copies += 1;
            let shift = 1_000 * self.people.copies;
            let mut copy = own;
            let renamed: BTreeMap<TaskId, TaskId> = copy
                .tasks
                .iter()
                .map(|(id, _)| {
                    (
                        *id,
                        crate::scenario::task_id(crate::scenario::number_of(*id) + shift),
                    )
                })
                .collect();
            for (id, spec) in &mut copy.tasks {
                *id = renamed[id];
                for dep in &mut spec.depends_on {
                    *dep = renamed.get(dep).copied().unwrap_or(*dep);
                }
            }
            self.ask(What::Submit {
                file: usize::MAX,
                own: copy,
            });
        }
    }

    pub(crate) fn say_something(&mut self) {
        if self.calm {
            return;
        }
        let every = self.scenario.malice.order_every_ms;
        let next = self.rng.within(every / 2, every * 3 / 2).max(1);
        self.at(next, Item::Order);
        let tasks: Vec<TaskId> = self.people.accepted.iter().copied().collect();
        let Some(task) = self.rng.pick(&tasks) else {
            return;
        };
        let retry = |add: bool| Order::Retry {
            note: None,
            add_budget: add.then_some(MicroUsd(2_000)),
            add_tokens: add.then_some(2_000),
        };
        let what = match self.rng.below(30) {
            0..=2 => What::Order(task, Order::Cancel),
            3..=5 => What::Order(task, Order::Stop),
            6..=11 => What::Order(task, retry(self.rng.permille(600))),
            12..=13 => What::Order(task, Order::Approve),
            14..=15 => What::Order(task, Order::Pause),
            16..=18 => What::Order(task, Order::Resume),
            19 => What::Drain { stop: false },
            20 => What::Drain { stop: true },
            21..=23 => What::Undrain,
            24 => What::Estop,
            25..=27 => What::Thaw,
            28 => What::Order(
                task,
                Order::Send {
                    text: format!("said at {}", self.t),
                },
            ),
            _ => What::Status,
        };
        let again = self.rng.permille(100);
        self.ask(what.clone());
        if again {
            self.ask(what);
        }
        if self.rng.permille(150) {
            // At once another word, before the first was carried out.
            let other = match self.rng.below(5) {
                0 => What::Undrain,
                1 => What::Thaw,
                2 => What::Estop,
                3 => What::Order(task, Order::Cancel),
                _ => What::Order(task, Order::Stop),
            };
            self.ask(other);
        }
    }

    /// Clients of a daemon that died hear nothing.
    pub(crate) fn people_forget(&mut self, epoch: u64) {
        let lost: Vec<u64> = self
            .people
            .asked
            .iter()
            .filter(|(_, (e, _))| *e == epoch)
            .map(|(n, _)| *n)
            .collect();
        for number in lost {
            if let Some((_, what)) = self.people.asked.remove(&number) {
                self.ask_again(what);
            }
        }
    }

    fn ask_again(&mut self, what: What) {
        match what {
            What::Submit { file, .. } if file != usize::MAX => {
                let tries = self.people.tries.entry(file).or_default();
                *tries += 1;
                if *tries < 200 {
                    self.at(5_000, Item::Submit(file));
                }
            }
            _ if self.calm => self.at(5_000, Item::Calm),
            _ => {}
        }
    }

    pub(crate) fn read_answers(&mut self, epoch: u64, trouble: bool) {
        let replies = self
            .replies
            .lock()
            .map(|mut r| std::mem::take(&mut *r))
            .unwrap_or_default();
        let (mut said, mut doubtful) = (Vec::new(), false);
        for (number, reply) in replies {
            let Some((_, what)) = self.people.asked.remove(&number) else {
                self.violate("replies", format!("question {number} was answered twice"));
                return;
            };
            self.note(|| format!("answer {number} of daemon {epoch}: {reply:?}"));
            if trouble && !matches!(reply, Reply::Refused { .. } | Reply::Status(_)) {
                self.violate(
                    "I4",
                    format!("answered {reply:?} although nothing was stored"),
                );
            }
            match (what, reply) {
                (What::Submit { .. }, Reply::Submitted { tasks, .. }) => {
                    self.people.accepted.extend(tasks);
                    self.check_accepted();
                }
                (What::Submit { file, own }, Reply::Refused { class, message }) => {
                    let doubtful = message.contains("cannot say");
                    let stored = own.tasks.iter().any(|(id, _)| {
                        self.oracle.new_tasks.contains(id) && !self.people.accepted.contains(id)
                    });
                    let twice = class == RefusalClass::Conflict;
                    if stored && !doubtful && !twice && !self.shadowed(epoch) {
                        self.violate("replies", format!("stored, but told: {message}"));
                    }
                    if !twice {
                        self.ask_again(What::Submit { file, own });
                    }
                }
                (What::Order(task, order), Reply::Orders(results)) => {
                    if let Some((_, OrderResult::Done(_))) = results.first() {
                        self.promise(task, &order);
                    }
                }
                (what, Reply::Refused { message, .. }) => {
                    doubtful |= message.contains("cannot say");
                    self.ask_again(what);
                }
                (What::Queue(word), Reply::Ok(_)) => self.queue_answered(&word),
                (what, Reply::Ok(_)) => said.push(what),
                _ => {}
            }
        }
        self.check_switches(&said, doubtful);
    }

    fn promise(&mut self, task: TaskId, order: &Order) {
        let word = self
            .reader
            .task(task)
            .ok()
            .flatten()
            .map(|s| s.task.state.word());
        match order {
            Order::Cancel => {
                self.people.promises.insert(task, Promise::Cancelled);
            }
            // Not where a later word of the same step took it back.
            Order::Stop if word.is_some_and(|w| w.is_active() || w == StateWord::Parked) => {
                self.people.promises.entry(task).or_insert(Promise::Stopped);
            }
            _ => {}
        }
    }

    /// The end of the storm: everything is let go, and must come to rest.
    pub(crate) fn let_everything_go(&mut self) {
        if !std::mem::replace(&mut self.calm, true) {
            self.note(|| "calm".to_owned());
            let mut faults = self.faults();
            faults.weather = crate::store::Weather::Fair;
            faults.blind = 0;
            faults.die_in_commit = None;
            drop(faults);
            self.people.death = None;
            self.set_floor(None);
            // Whoever ran beside another one has an old picture: only a broken lock allows that.
            let others: Vec<u64> = self
                .daemons
                .iter()
                .filter(|(_, d)| d.shadowed)
                .map(|(e, _)| *e)
                .collect();
            for other in others {
                self.kill_daemon(other, "a zombie ends");
            }
            for later in [90_000, 1_800_000, 3 * 86_400_000] {
                self.at(later, Item::Calm);
            }
        }
        if self.options.calm {
            return;
        }
        let mut said = self.ask(What::Undrain) && self.ask(What::Thaw);
        said &= self.let_the_queue_go();
        let tasks: Vec<TaskId> = self.people.accepted.iter().copied().collect();
        for task in tasks {
            said &= self.ask(What::Order(task, Order::Resume));
            let stopped = self
                .reader
                .task(task)
                .ok()
                .flatten()
                .is_some_and(|s| s.task.hold);
            if stopped {
                // Held and stopped: the first word lifts the hold, the second the stop.
                said &= self.ask(What::Order(task, Order::Resume));
            }
        }
        if !said {
            self.at(5_000, Item::Calm);
        }
    }
}
