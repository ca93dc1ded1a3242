//! The pretended executor of lines: trials, landings and the base branch that follows, on pretended
//! repositories, with trouble, crashes in between and children of git that outlive their daemon.

use longhaul_core::queue::{
    Candidate, ConflictKind, ConflictPath, ConflictReport, EntryId, FollowEnd, MergeStyle, Origin,
    Point, QueueAct, QueueFact, QueueNews, Stage, TrialEnd, TrialReport,
};
use longhaul_engine::machine::LineDispatch;

use super::checks::SlotId;
use super::depot::{self, Checkout, Depot};
use super::{LineKind, LinePlace};
use crate::daemon::Note;
use crate::sim::{Item, Mutant, Sim};

/// Wait before an effect that came to no result is asked for again.
const AGAIN_MS: u64 = 3_000;

/// A thread that ensures one effect of a line.
#[derive(Clone, Debug)]
pub(crate) struct LineThread {
    pub(crate) place: LinePlace,
    pub(crate) dispatch: LineDispatch,
    /// The check it waits for.
    pub(crate) watches: Option<SlotId>,
}

/// Where base and what has landed stand to each other, after the integration ref took over what it can.
enum Stand {
    Even,
    Behind,
    Diverged,
}

fn bring_up(depot: &mut Depot) -> (u32, Stand) {
    let base = depot.base;
    match depot.integration {
        Some(tip) if tip == base => (tip, Stand::Even),
        Some(tip) if depot.is_ancestor(base, tip) => (tip, Stand::Behind),
        Some(tip) if !depot.is_ancestor(tip, base) => (tip, Stand::Diverged),
        Some(_) | None => {
            depot.integration = Some(base);
            (base, Stand::Even)
        }
    }
}

fn point(depot: &Depot, commit: u32) -> Point {
    Point {
        commit: depot::name(commit),
        tree: depot.tree_name(commit),
    }
}

fn clash(owners: (u64, u64)) -> ConflictReport {
    ConflictReport {
        paths: vec![ConflictPath {
            path: format!("{}-{}", owners.0, owners.1),
            kind: ConflictKind::Content,
        }],
        ..ConflictReport::default()
    }
}

impl Sim {
    /// What `LineWork::ensure` does: returns at once; a thread does the rest.
    pub(crate) fn ensure_line(&mut self, epoch: u64, dispatch: LineDispatch) {
        let place = LinePlace {
            line: dispatch.effect.line.clone(),
            round: dispatch.effect.round,
            kind: LineKind::of(&dispatch.effect.act),
        };
        let newest = self.daemons.keys().next_back() == Some(&epoch);
        let Some(daemon) = self.daemons.get_mut(&epoch) else {
            return;
        };
        if daemon.shadowed && !newest || !daemon.lines_at_work.insert(place.clone()) {
            return;
        }
        self.threads_made += 1;
        let id = self.threads_made;
        let thread = LineThread {
            place,
            dispatch,
            watches: None,
        };
        daemon.line_threads.insert(id, thread);
        let delay = if self.trouble() && self.rng.permille(500) {
            self.rng.within(1_000, 60_000)
        } else {
            self.rng.below(40)
        };
        self.at(delay, Item::LineThread(epoch, id));
    }

    pub(crate) fn line_thread(&mut self, epoch: u64, id: u64) {
        let t = self.t;
        let Some(daemon) = self.daemons.get(&epoch) else {
            return;
        };
        if daemon.paused_until > t {
            let wait = daemon.paused_until - t;
            self.at(wait, Item::LineThread(epoch, id));
            return;
        }
        let Some(thread) = daemon.line_threads.get(&id).cloned() else {
            return;
        };
        if self.trouble() && self.rng.permille(200) {
            self.note(|| format!("the thread of {:?} breaks", thread.place));
            if self.is(Mutant::SilentLine) {
                self.line_leaves(epoch, id);
            } else {
                self.line_fails(epoch, id, "Longhaul itself broke here", false);
            }
            return;
        }
        match thread.dispatch.effect.act.clone() {
            QueueAct::Check {
                subject,
                check,
                run,
            } => self.line_check(epoch, id, thread, (subject, check, run)),
            QueueAct::Clear => self.line_clear(epoch, id, &thread),
            QueueAct::Trial { .. } | QueueAct::Land | QueueAct::Follow => {
                let news = self.act_on_depot(&thread.dispatch);
                self.line_ends_with(epoch, id, &thread, news);
            }
        }
    }

    /// What a child of git does although its daemon is gone: nobody hears of it.
    pub(crate) fn orphan(&mut self, dispatch: &LineDispatch) {
        self.note(|| format!("late: {:?}", dispatch.effect));
        let _unheard = self.act_on_depot(dispatch);
    }

    fn act_on_depot(&mut self, d: &LineDispatch) -> QueueNews {
        match &d.effect.act {
            QueueAct::Trial { batch } => self.try_batch(d, batch),
            QueueAct::Land => self.land(d),
            QueueAct::Follow => self.follow_base(d),
            QueueAct::Check { .. } | QueueAct::Clear => QueueNews::Cleared,
        }
    }

    fn try_batch(&mut self, d: &LineDispatch, batch: &[EntryId]) -> QueueNews {
        let repo = &d.effect.line.repo;
        let entries: Vec<_> = batch.iter().filter_map(|id| d.line.entry(*id)).collect();
        let unlanded: Vec<_> = entries
            .iter()
            .map(|e| match &e.origin {
                Origin::Task { task, .. } => self.unlanded(*task),
                Origin::Branch { .. } | Origin::Undo { .. } => Vec::new(),
            })
            .collect();
        let Some(depot) = self.depots.get_mut(repo) else {
            return failed("there is no such repository", true);
        };
        let (tip, stand) = bring_up(depot);
        if let Stand::Diverged = stand {
            let base = depot.base;
            let Ok(tree) = depot.merge(tip, base) else {
                return failed("base and what has landed conflict", true);
            };
            let made = depot.commit(tree, &[tip, base]);
            let ends = entries.iter().map(|e| (e.id, TrialEnd::Left)).collect();
            return tried(depot, tip, ends, Some((made, Vec::new())));
        }
        let mut ends = Vec::new();
        // The tip and every prefix of entries that merged, with the entry that was merged last.
        let mut prefixes: Vec<(u32, Option<EntryId>)> = vec![(tip, None)];
        let mut alone = None;
        for (entry, unlanded) in entries.iter().zip(unlanded) {
            let last = prefixes.last().map_or(tip, |(c, _)| *c);
            let merges = entry.style == MergeStyle::Merge;
            if alone.is_some() || !merges && prefixes.len() > 1 {
                ends.push((entry.id, TrialEnd::Left));
                continue;
            }
            let head = depot::parse(&entry.commit).filter(|c| depot.node(*c).is_some());
            let end = match head {
                None => TrialEnd::Gone {
                    detail: "its commit does not exist any more".to_owned(),
                },
                Some(head) if depot.is_ancestor(head, tip) => TrialEnd::Contained,
                // In an entry before it: whether that one lands is not known yet.
                Some(head) if depot.is_ancestor(head, last) => TrialEnd::Left,
                Some(head) => {
                    let brings = |dep: &&(u32, String)| {
                        depot.is_ancestor(dep.0, head) && !depot.is_ancestor(dep.0, last)
                    };
                    if let Some((_, dependency)) = unlanded.iter().find(brings) {
                        let dependency = dependency.clone();
                        ends.push((entry.id, TrialEnd::Unlanded { dependency }));
                        continue;
                    }
                    match depot.merge(last, head) {
                        Ok(tree) if tree == depot.tree(last) && last == tip => TrialEnd::Contained,
                        Ok(tree) if tree == depot.tree(last) => TrialEnd::Left,
                        Ok(tree) if merges => {
                            let made = depot.commit(tree, &[last, head]);
                            prefixes.push((made, Some(entry.id)));
                            TrialEnd::Merged
                        }
                        Ok(tree) => {
                            alone = Some((depot.commit(tree, &[tip]), vec![entry.id]));
                            TrialEnd::Merged
                        }
                        Err(owners) => {
                            let report = clash(owners);
                            let with = prefixes
                                .iter()
                                .find(|(c, _)| depot.merge(*c, head).is_err())
                                .and_then(|(_, last)| *last);
                            match with {
                                Some(with) => TrialEnd::Overlaps { with, report },
                                None => TrialEnd::Conflict { report },
                            }
                        }
                    }
                }
            };
            ends.push((entry.id, end));
        }
        let merged: Vec<EntryId> = prefixes.iter().filter_map(|(_, e)| *e).collect();
        let candidate = match alone {
            Some(alone) => Some(alone),
            None if merged.is_empty() => None,
            None => {
                let tree = depot.tree(prefixes.last().map_or(tip, |(c, _)| *c));
                let heads = merged.iter().filter_map(|id| d.line.entry(*id));
                let mut parents = vec![tip];
                parents.extend(heads.filter_map(|e| depot::parse(&e.commit)));
                Some((depot.commit(tree, &parents), merged))
            }
        };
        tried(depot, tip, ends, candidate)
    }

    fn land(&mut self, d: &LineDispatch) -> QueueNews {
        let Stage::Land { candidate } = &d.line.stage else {
            return failed("it is about something else by now", false);
        };
        let (blind, again) = (
            self.is(Mutant::LandBlindly),
            self.is(Mutant::LandTwice) && self.rng.permille(300),
        );
        let half = self.is(Mutant::LandHalf) && candidate.entries.len() > 1;
        let Some(depot) = self.depots.get_mut(&d.effect.line.repo) else {
            return failed("there is no such repository", true);
        };
        let (Some(mut to), Some(onto)) = (
            depot::parse(&candidate.point.commit),
            depot::parse(&candidate.onto.commit),
        ) else {
            return failed("it is no commit", true);
        };
        if half {
            let parents = depot
                .node(to)
                .map(|n| n.parents.clone())
                .unwrap_or_default();
            let tree = depot.merge(onto, parents.get(1).copied().unwrap_or(onto));
            to = depot.commit(tree.unwrap_or_default(), &parents[..2.min(parents.len())]);
        }
        if again && depot.integration == Some(to) {
            let (tree, was) = (depot.tree(to), to);
            to = depot.commit(tree, &[was]);
            depot.integration = Some(to);
            self.check_landing(d, candidate, was, to);
            return QueueNews::Landed;
        }
        if depot.integration == Some(onto) || blind && depot.integration != Some(to) {
            let was = depot.integration.unwrap_or(onto);
            depot.integration = Some(to);
            self.check_landing(d, candidate, was, to);
            return QueueNews::Landed;
        }
        match depot.integration {
            Some(now) if depot.is_ancestor(to, now) => QueueNews::Landed,
            Some(now) => QueueNews::Moved {
                now: point(depot, now),
            },
            None => {
                let (tip, _) = bring_up(depot);
                QueueNews::Moved {
                    now: point(depot, tip),
                }
            }
        }
    }

    fn follow_base(&mut self, d: &LineDispatch) -> QueueNews {
        let advance = d.line.advance || self.scenario.landing.advance;
        let Some(depot) = self.depots.get_mut(&d.effect.line.repo) else {
            return failed("there is no such repository", true);
        };
        let (tip, stand) = bring_up(depot);
        let why = match (stand, depot.checkout) {
            (Stand::Even, _) => {
                return QueueNews::Followed {
                    end: FollowEnd::There,
                    pushed: None,
                };
            }
            (Stand::Diverged, _) => {
                return QueueNews::Followed {
                    end: FollowEnd::Diverged,
                    pushed: None,
                };
            }
            (Stand::Behind, Checkout::Dirty) => "a file is modified",
            (Stand::Behind, Checkout::Clean) if !advance => "`main` is checked out",
            (Stand::Behind, Checkout::Elsewhere | Checkout::Clean) => {
                depot.base = tip;
                return QueueNews::Followed {
                    end: FollowEnd::There,
                    pushed: None,
                };
            }
        };
        QueueNews::Followed {
            end: FollowEnd::Waits {
                why: why.to_owned(),
            },
            pushed: None,
        }
    }

    /// The thread ends.
    pub(crate) fn line_leaves(&mut self, epoch: u64, id: u64) {
        if let Some(daemon) = self.daemons.get_mut(&epoch)
            && let Some(thread) = daemon.line_threads.remove(&id)
        {
            daemon.lines_at_work.remove(&thread.place);
        }
    }

    /// The thread ends without a result and asks to be asked again.
    pub(crate) fn line_again(&mut self, epoch: u64, id: u64, why: &'static str) {
        let daemon = self.daemons.get(&epoch);
        let effect = daemon
            .and_then(|d| d.line_threads.get(&id))
            .map(|t| t.dispatch.effect.clone());
        self.line_leaves(epoch, id);
        if let Some(effect) = effect {
            self.send(epoch, Note::LineAgain(effect, AGAIN_MS, why));
        }
    }

    pub(crate) fn line_fails(&mut self, epoch: u64, id: u64, why: &'static str, person: bool) {
        let daemon = self.daemons.get(&epoch);
        if let Some(thread) = daemon.and_then(|d| d.line_threads.get(&id)).cloned() {
            self.line_ends_with(epoch, id, &thread, failed(why, person));
        }
    }

    /// The thread ends with news; now and then they come twice, the second time late.
    pub(crate) fn line_ends_with(
        &mut self,
        epoch: u64,
        id: u64,
        thread: &LineThread,
        news: QueueNews,
    ) {
        self.line_leaves(epoch, id);
        let fact = QueueFact::Round {
            round: thread.place.round,
            news,
        };
        self.send(epoch, Note::Line(thread.place.line.clone(), Box::new(fact)));
    }

    pub(crate) fn keep_line(&mut self, epoch: u64, id: u64, thread: LineThread) {
        if let Some(daemon) = self.daemons.get_mut(&epoch) {
            daemon.line_threads.insert(id, thread);
        }
    }

    /// A daemon died: what its children had begun may still be done a moment later.
    pub(crate) fn leave_orphans(&mut self, threads: Vec<LineThread>) {
        for thread in threads {
            let git = !matches!(thread.place.kind, LineKind::Check { .. } | LineKind::Clear);
            if git && self.rng.permille(400) {
                let late = self.rng.within(1, 30_000);
                self.at(late, Item::Orphan(Box::new(thread.dispatch)));
            }
        }
    }
}

fn failed(detail: &str, person: bool) -> QueueNews {
    QueueNews::Failed {
        detail: detail.to_owned(),
        remedy: person.then(|| "mend it by hand".to_owned()),
    }
}

fn tried(
    depot: &Depot,
    tip: u32,
    ends: Vec<(EntryId, TrialEnd)>,
    candidate: Option<(u32, Vec<EntryId>)>,
) -> QueueNews {
    let onto = point(depot, tip);
    let candidate = candidate.map(|(commit, entries)| Candidate {
        point: point(depot, commit),
        onto: onto.clone(),
        entries,
        checks: Vec::new(),
        flaky: Vec::new(),
        red: None,
    });
    let report = TrialReport {
        tip: onto,
        ends,
        candidate,
    };
    QueueNews::Tried {
        report: Box::new(report),
    }
}
