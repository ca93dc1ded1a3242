//! People and the merge queue: words for lines and entries, branches added by hand, and a user who
//! commits, rewrites, checks out and edits beside it.

use std::collections::BTreeMap;

use longhaul_core::queue::{
    Entry, EntryId, LandCheck, Line, LineId, Origin, QueueFact, QueueOrder,
};
use longhaul_core::spec::Priority;
use longhaul_core::time::SpanMs;
use longhaul_engine::handle::Command;
use uuid::Uuid;

use super::depot::{self, Checkout, USER};
use super::line_id;
use crate::daemon::Note;
use crate::people::What;
use crate::sim::{Item, Sim};

/// What a user does to a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UserDeed {
    Commit,
    Amend,
    Rewind,
    Merge,
    /// A commit right onto what has landed, past the queue.
    OntoLanded,
    Checkout(Checkout),
}

/// A word for the queue.
#[derive(Clone, Debug)]
pub(crate) enum QueueWord {
    Order(LineId, QueueOrder),
    Enqueue(LineId, Box<Entry>),
    Land(longhaul_core::ids::TaskId),
}

impl QueueWord {
    pub(crate) fn command(&self) -> Command {
        match self {
            Self::Order(line, order) => Command::Queue {
                lines: vec![line.clone()],
                order: order.clone(),
            },
            Self::Enqueue(line, entry) => Command::Enqueue {
                line: line.clone(),
                entry: entry.clone(),
            },
            Self::Land(task) => Command::Land { task: *task },
        }
    }
}

const PRIORITIES: [Priority; 4] = [
    Priority::Low,
    Priority::Normal,
    Priority::High,
    Priority::Critical,
];

impl Sim {
    fn any_line(&mut self) -> LineId {
        line_id(self.rng.pick(&["/a", "/b"]).unwrap_or("/a"))
    }

    /// Something beside the queue, or a word for it.
    pub(crate) fn use_the_queue(&mut self) {
        if self.calm {
            return;
        }
        let every = self.scenario.landing.deed_every_ms;
        let next = self.rng.within(every / 2, every * 3 / 2).max(1);
        self.at(next, Item::Deed);
        let line = self.any_line();
        if self.rng.permille(500) {
            let deed = match self.rng.below(12) {
                0..=3 => UserDeed::Commit,
                4 => UserDeed::Amend,
                5 => UserDeed::Rewind,
                6 => UserDeed::Merge,
                7 => UserDeed::Checkout(Checkout::Clean),
                8 => UserDeed::Checkout(Checkout::Dirty),
                9 => UserDeed::OntoLanded,
                _ => UserDeed::Checkout(Checkout::Elsewhere),
            };
            self.user_does(&line, deed);
            return;
        }
        if let Some(word) = self.queue_word(line) {
            self.ask(What::Queue(Box::new(word)));
        }
    }

    fn queue_word(&mut self, line: LineId) -> Option<QueueWord> {
        let known = self.reader.line(&line).ok().flatten();
        let entries: Vec<EntryId> = known
            .map(|l: Line| l.entries.iter().map(|e| e.id).collect())
            .unwrap_or_default();
        let entry = self.rng.pick(&entries);
        let priority = self.rng.pick(&PRIORITIES).unwrap_or_default();
        let order = match self.rng.below(18) {
            0 => QueueOrder::Pause,
            1..=3 => QueueOrder::Resume,
            4 => QueueOrder::Once,
            5 => QueueOrder::Freeze {
                below: self.rng.permille(500).then_some(priority),
            },
            6 => QueueOrder::Hold { entry: entry? },
            7 => QueueOrder::Release { entry: entry? },
            8 => QueueOrder::Prefer {
                entry: entry?,
                priority,
            },
            9 => QueueOrder::Remove { entry: entry? },
            10 => QueueOrder::Advance,
            11 => {
                let tasks: Vec<_> = self.people.accepted.iter().copied().collect();
                return self.rng.pick(&tasks).map(QueueWord::Land);
            }
            _ => {
                let entry = Box::new(self.branch(&line)?);
                return Some(QueueWord::Enqueue(line, entry));
            }
        };
        Some(QueueWord::Order(line, order))
    }

    /// A branch made by hand: of base, of what has landed, or of somebody's work.
    fn branch(&mut self, line: &LineId) -> Option<Entry> {
        let number = self.rng.within(1, 6);
        let owner = 2_000 + number;
        let depot = self.depots.get_mut(&line.repo)?;
        let mut forks = vec![depot.base, depot.fork()];
        forks.extend(depot.work.values());
        let fork = self.rng.pick(&forks)?;
        depot.versions += 1;
        let version = depot.versions;
        let mut tree = depot.tree(fork);
        tree.insert(owner, version);
        let commit = depot.commit(tree, &[fork]);
        let id = EntryId(Uuid::from_u128(
            (u128::from(self.seed) << 64) | u128::from(self.t) << 8 | u128::from(number),
        ));
        let check = LandCheck {
            name: "by hand".to_owned(),
            command: "make".to_owned(),
            timeout: SpanMs::from_secs(120),
            key: "by-hand".to_owned(),
            of: id,
        };
        let (unverified, nothing) = (self.rng.permille(200), self.rng.permille(100));
        Some(Entry {
            id,
            origin: Origin::Branch {
                name: format!("branch{number}"),
            },
            title: format!("branch{number}"),
            commit: depot::name(commit),
            priority: self.rng.pick(&PRIORITIES).unwrap_or_default(),
            since: self.wall(),
            style: self.scenario.limits.merge_style,
            checks: if unverified || nothing {
                Vec::new()
            } else {
                vec![check]
            },
            land_unverified: unverified,
            held: false,
            wait: None,
        })
    }

    pub(crate) fn user_does(&mut self, line: &LineId, deed: UserDeed) {
        let Some(depot) = self.depots.get_mut(&line.repo) else {
            return;
        };
        depot.versions += 1;
        let (base, version) = (depot.base, depot.versions);
        let mut tree = depot.tree(base);
        tree.insert(USER, version);
        let parents = depot.node(base).map(|n| n.parents.clone());
        let parent = parents.and_then(|p| p.first().copied());
        depot.rewritten |= matches!(
            deed,
            UserDeed::Amend | UserDeed::Rewind | UserDeed::OntoLanded
        );
        match (deed, parent) {
            (UserDeed::Commit, _) => depot.base = depot.commit(tree, &[base]),
            (UserDeed::Amend, Some(parent)) => {
                let mut tree = depot.tree(parent);
                tree.insert(USER, version);
                depot.base = depot.commit(tree, &[parent]);
            }
            (UserDeed::Rewind, Some(parent)) => depot.base = parent,
            (UserDeed::Merge, _) => {
                let landed = depot.fork();
                if !depot.is_ancestor(landed, base) {
                    depot.base = depot.resolve(base, landed);
                }
            }
            (UserDeed::OntoLanded, _) => {
                if let Some(landed) = depot.integration {
                    let mut tree = depot.tree(landed);
                    tree.insert(USER, version);
                    depot.integration = Some(depot.commit(tree, &[landed]));
                }
            }
            (UserDeed::Checkout(to), _) => depot.checkout = to,
            (UserDeed::Amend | UserDeed::Rewind, None) => {}
        }
        self.note(|| format!("the user of {line}: {deed:?}"));
        self.watch_bases();
    }

    /// Somebody looks at the base branches in a while.
    pub(crate) fn watch_bases(&mut self) {
        if !std::mem::replace(&mut self.watching, true) {
            let wait = self.rng.within(100, 15_000);
            self.at(wait, Item::Watch);
        }
    }

    /// What the engine's `BaseWatch` does, with what it remembers kept in the daemon.
    pub(crate) fn look_at_bases(&mut self) {
        self.watching = false;
        let Some(epoch) = self.current() else {
            return;
        };
        let lines = self.reader.lines().unwrap_or_default();
        let mut moved: Vec<LineId> = Vec::new();
        for line in lines.iter().filter(|l| l.wants_base()) {
            let Some(depot) = self.depots.get(&line.id.repo) else {
                continue;
            };
            let Some(daemon) = self.daemons.get_mut(&epoch) else {
                return;
            };
            let tip = line.tip.as_ref().and_then(|t| depot::parse(&t.commit));
            let known = tip.is_some_and(|tip| depot.is_ancestor(depot.base, tip));
            let before = daemon.bases_seen.insert(line.id.clone(), depot.base);
            if before != Some(depot.base) && !(before.is_none() && known) {
                moved.push(line.id.clone());
            }
        }
        for line in moved {
            self.send(epoch, Note::Line(line, Box::new(QueueFact::BaseMoved)));
        }
    }

    /// The end of the storm: nothing of the queue is withheld any more, and the user's checkouts are
    /// out of the way.
    pub(crate) fn let_the_queue_go(&mut self) -> bool {
        let lines = self.reader.lines().unwrap_or_default();
        let mut said = true;
        for repo in self.depots.keys().cloned().collect::<Vec<_>>() {
            let line = line_id(&repo);
            self.user_does(&line, UserDeed::Checkout(Checkout::Elsewhere));
            let stands = self.depots.get(&repo).map(|d| (d.base, d.integration));
            if let Some((base, Some(landed))) = stands
                && self
                    .depots
                    .get(&repo)
                    .is_some_and(|d| !d.is_ancestor(base, landed))
            {
                // Whatever clashes between the two is merged by hand.
                self.user_does(&line, UserDeed::Merge);
            }
        }
        for line in lines {
            let mut orders = vec![QueueOrder::Freeze { below: None }];
            let held = line.entries.iter().filter(|e| e.held);
            orders.extend(held.map(|e| QueueOrder::Release { entry: e.id }));
            orders.push(QueueOrder::Resume);
            for order in orders {
                let word = QueueWord::Order(line.id.clone(), order);
                said &= self.ask(What::Queue(Box::new(word)));
            }
        }
        said
    }
}

/// The pretended repositories of a seed.
pub(crate) fn depots(seed: u64, strife: u64) -> BTreeMap<String, depot::Depot> {
    ["/a", "/b"]
        .into_iter()
        .map(|repo| (repo.to_owned(), depot::Depot::new(seed, strife)))
        .collect()
}
