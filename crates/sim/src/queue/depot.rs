//! A pretended repository. A tree says of each *owner* of a change (a task, a branch, the user) which
//! version of it is in; a commit has a tree, parents, and everything its history ever held, from which
//! merges follow as in git: both sides changed the same thing, or clashing things, and they conflict.

use std::collections::{BTreeMap, BTreeSet};

use crate::rng::Rng;

/// Owner of a change → its version.
pub(crate) type Tree = BTreeMap<u64, u64>;

/// The owner that stands for the user's own commits on base.
pub(crate) const USER: u64 = 1_000_000;

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) tree: Tree,
    pub(crate) parents: Vec<u32>,
    /// Every version that it or a commit before it held.
    history: BTreeSet<(u64, u64)>,
    /// It and all commits before it.
    ancestors: BTreeSet<u32>,
}

/// Where the user has the base branch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Checkout {
    #[default]
    Elsewhere,
    Clean,
    Dirty,
}

/// One repository.
#[derive(Clone, Debug)]
pub(crate) struct Depot {
    seed: u64,
    /// Pairs of owners that clash, of a thousand.
    strife: u64,
    nodes: Vec<Node>,
    pub(crate) base: u32,
    pub(crate) integration: Option<u32>,
    pub(crate) checkout: Checkout,
    /// Where the workspaces of tasks stand, by task number.
    pub(crate) work: BTreeMap<u64, u32>,
    /// What attempts left behind, by task number and fence.
    pub(crate) sealed: BTreeMap<(u64, u64), u32>,
    /// Versions that the user and branches have used.
    pub(crate) versions: u64,
    /// The user moved a ref past the queue: base may be behind for that.
    pub(crate) rewritten: bool,
    /// Swaps of the integration ref by landings: from, to.
    pub(crate) landings: Vec<(u32, u32)>,
}

/// The stored name of a commit.
pub(crate) fn name(commit: u32) -> String {
    format!("commit{commit}")
}

/// The commit of a stored name.
pub(crate) fn parse(name: &str) -> Option<u32> {
    name.strip_prefix("commit")?.parse().ok()
}

impl Depot {
    pub(crate) fn new(seed: u64, strife: u64) -> Self {
        let first = Node {
            tree: Tree::from([(USER, 0)]),
            parents: Vec::new(),
            history: BTreeSet::from([(USER, 0)]),
            ancestors: BTreeSet::from([0]),
        };
        Self {
            seed,
            strife,
            nodes: vec![first],
            base: 0,
            integration: None,
            checkout: Checkout::Elsewhere,
            work: BTreeMap::new(),
            sealed: BTreeMap::new(),
            versions: 1,
            rewritten: false,
            landings: Vec::new(),
        }
    }

    pub(crate) fn node(&self, commit: u32) -> Option<&Node> {
        self.nodes.get(usize::try_from(commit).ok()?)
    }

    pub(crate) fn tree(&self, commit: u32) -> Tree {
        self.node(commit)
            .map(|n| n.tree.clone())
            .unwrap_or_default()
    }

    /// The stored name of a commit's tree: equal trees have equal names.
    pub(crate) fn tree_name(&self, commit: u32) -> String {
        tree_name(&self.tree(commit))
    }

    pub(crate) fn commit(&mut self, tree: Tree, parents: &[u32]) -> u32 {
        let id = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let mut history: BTreeSet<(u64, u64)> = tree.iter().map(|(o, v)| (*o, *v)).collect();
        let mut ancestors = BTreeSet::from([id]);
        for parent in parents.iter().filter_map(|p| self.node(*p)) {
            history.extend(&parent.history);
            ancestors.extend(&parent.ancestors);
        }
        self.nodes.push(Node {
            tree,
            parents: parents.to_vec(),
            history,
            ancestors,
        });
        id
    }

    pub(crate) fn is_ancestor(&self, of: u32, commit: u32) -> bool {
        self.node(commit).is_some_and(|n| n.ancestors.contains(&of))
    }

    /// Whether everything that a commit holds of its own is in the history of another.
    pub(crate) fn holds(&self, commit: u32, head: u32) -> bool {
        let (Some(commit), Some(head)) = (self.node(commit), self.node(head)) else {
            return false;
        };
        head.tree
            .iter()
            .all(|(o, v)| commit.history.contains(&(*o, *v)))
    }

    /// The merged tree, or the owners that clash.
    pub(crate) fn merge(&self, ours: u32, theirs: u32) -> Result<Tree, (u64, u64)> {
        let (Some(ours), Some(theirs)) = (self.node(ours), self.node(theirs)) else {
            return Ok(Tree::new());
        };
        let fresh = |tree: &Tree, other: &Node| -> Vec<(u64, u64)> {
            let own = tree.iter().map(|(o, v)| (*o, *v));
            own.filter(|c| !other.history.contains(c)).collect()
        };
        let (mine, other) = (fresh(&ours.tree, theirs), fresh(&theirs.tree, ours));
        for (a, _) in &other {
            for (b, _) in &mine {
                if a == b || self.clash(*a, *b) {
                    return Err((*a, *b));
                }
            }
        }
        let mut tree = ours.tree.clone();
        tree.extend(other);
        Ok(tree)
    }

    /// A merge that somebody made by hand: both sides are in, whatever clashes.
    pub(crate) fn resolve(&mut self, ours: u32, theirs: u32) -> u32 {
        let mut tree = self.tree(ours);
        for (owner, version) in self.tree(theirs) {
            let own = tree.entry(owner).or_insert(version);
            *own = (*own).max(version);
        }
        self.commit(tree, &[ours, theirs])
    }

    fn clash(&self, a: u64, b: u64) -> bool {
        let (a, b) = (a.min(b), a.max(b));
        Rng::keyed(&[self.seed, 30, a, b]).permille(self.strife)
    }

    /// Where new work begins: on what has landed.
    pub(crate) fn fork(&self) -> u32 {
        self.integration.unwrap_or(self.base)
    }

    /// Whether a tree is red for a check: one change by itself, or two that do not go together.
    pub(crate) fn is_red(&self, tree: &Tree, key: u64, permille: u64) -> bool {
        let pairs: Vec<(u64, u64)> = tree.iter().map(|(o, v)| (*o, *v)).collect();
        pairs.iter().enumerate().any(|(n, (o, v))| {
            let alone = Rng::keyed(&[self.seed, 31, *o, *v, key]).permille(permille);
            // What was there from the beginning is green by itself.
            alone && *v > 0
                || pairs[n + 1..].iter().any(|(p, w)| {
                    Rng::keyed(&[self.seed, 32, *o, *v, *p, *w]).permille(permille / 4)
                })
        })
    }
}

pub(crate) fn tree_name(tree: &Tree) -> String {
    let parts: Vec<String> = tree.iter().map(|(o, v)| format!("{o}.{v}")).collect();
    format!("tree-{}", parts.join("-"))
}

/// The tree of a stored name.
pub(crate) fn parse_tree(name: &str) -> Option<Tree> {
    let parts = name.strip_prefix("tree-")?.split('-');
    parts
        .map(|part| {
            let (owner, version) = part.split_once('.')?;
            Some((owner.parse().ok()?, version.parse().ok()?))
        })
        .collect()
}
