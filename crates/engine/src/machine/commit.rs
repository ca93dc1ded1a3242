//! The end of a step: one commit, and what follows from it or from its failure.

use std::collections::BTreeMap;

use longhaul_core::effect::outstanding;
use longhaul_core::task::{State, StateWord};
use longhaul_core::time::Now;
use longhaul_store::{Applied, Refusal, Store, StoreError, Write};

use super::{Answer, Asking, Edit, MAX_REFUSALS, Machine, Step, commands, dispatch};
use crate::event::Event;

/// What became of a batch.
enum Committed {
    /// Stored; the ledger's newest sequence number.
    Upto(u64),
    /// One write was refused.
    Refused(Refusal),
}

impl<S: Store> Machine<S> {
    pub(super) fn finish(
        &mut self,
        mut step: Step,
        answers: Vec<Answer>,
        kept: Vec<Event>,
        now: Now,
    ) -> Step {
        let edit = std::mem::take(&mut self.edit);
        if !edit.writes.is_empty() {
            match self.commit(&edit.writes) {
                Ok(Committed::Upto(seq)) => step.advanced = Some(seq),
                Ok(Committed::Refused(refusal)) => {
                    // One daemon owns the store (T19), so somebody else wrote, or a decision was made
                    // on a wrong picture. Nothing acts on it: everything is taken anew from what is
                    // stored, and the facts are decided again. If that does not help, end.
                    self.refusals += 1;
                    self.failing = true;
                    self.backlog = kept;
                    step.store_trouble = Some(format!("the store refused a write: {refusal}"));
                    let loaded = self.load();
                    if self.refusals >= MAX_REFUSALS || loaded.is_err() {
                        step.shutdown = true;
                    } else {
                        step.effects = self.recover();
                        step.lines = self.recover_lines();
                    }
                    step.replies = answers
                        .into_iter()
                        .map(|a| Answer {
                            to: a.to,
                            // What was not refused is stored.
                            reply: commands::doubtful("it looks at its tasks anew"),
                        })
                        .collect();
                    return step;
                }
                Err(error) => {
                    let why = error.to_string();
                    let superseded = matches!(error, StoreError::Superseded { .. });
                    self.put_back(edit);
                    self.backlog = kept;
                    self.failing = true;
                    step.replies = answers
                        .into_iter()
                        .map(|a| Answer {
                            to: a.to,
                            reply: if self.doubt {
                                commands::doubtful(&why)
                            } else {
                                commands::unavailable(&why)
                            },
                        })
                        .collect();
                    step.store_trouble = Some(why);
                    // An order to end waits for a store that works; for another daemon it does not.
                    step.shutdown = superseded;
                    step.lines.clear();
                    return step;
                }
            }
        }
        self.failing = false;
        self.refusals = 0;
        step.replies = answers;
        for (id, before) in &edit.before {
            let Some(task) = self.index.get(*id) else {
                continue;
            };
            let was = before.as_ref().and_then(outstanding);
            if let Some(d) = dispatch(task).filter(|d| Some(&d.effect) != was.as_ref()) {
                step.effects.push(d);
            }
            let needed = before.as_ref().map(|t| t.state.word()) == Some(StateWord::NeedsHuman);
            if let (State::NeedsHuman { need }, false) = (&task.state, needed) {
                step.needs.push(Asking {
                    task: *id,
                    name: task.name.clone(),
                    need: need.clone(),
                });
            }
            if !matches!(task.state, State::Running { .. }) {
                self.live.remove(id);
            }
        }
        self.line_effects(&edit, now, &mut step);
        if std::mem::take(&mut self.reask) {
            step.lines = self.recover_lines();
            for d in self.recover() {
                if !step.effects.iter().any(|e| e.effect == d.effect) {
                    step.effects.push(d);
                }
            }
        }
        step.effects.sort_by_key(|d| d.effect.task);
        step.needs.extend(edit.broken_homes);
        step.needs.sort_unstable_by_key(|asking| asking.task);
        self.index.forget_final(edit.before.keys().copied());
        self.repeat_postponed(now, &mut step);
        self.repeat_lines(now, &mut step);
        step
    }

    /// Commits a batch; a commit of unknown outcome is looked up before anything is concluded.
    fn commit(&mut self, writes: &[Write]) -> Result<Committed, StoreError> {
        match self.store.commit(writes) {
            Ok(results) => {
                let mut newest = self.newest;
                for result in results {
                    match result {
                        Ok(Applied::Ledger { last, .. }) => newest = newest.max(last),
                        Ok(Applied::Before | Applied::Stored | Applied::HostEpoch(_)) => {}
                        Err(refusal) => return Ok(Committed::Refused(refusal)),
                    }
                }
                self.newest = newest;
                Ok(Committed::Upto(newest))
            }
            Err(unknown @ StoreError::CommitUnknown { .. }) => {
                let took_place = self.took_place(writes).inspect_err(|_| self.doubt = true)?;
                if took_place {
                    self.newest = self.newest.max(self.reader.newest_seq()?);
                    Ok(Committed::Upto(self.newest))
                } else {
                    Err(unknown)
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a batch is stored. It is stored whole or not at all, so one trace of it answers; a flag
    /// or window that was as wanted before is no harm either way.
    fn took_place(&mut self, writes: &[Write]) -> Result<bool, StoreError> {
        for write in writes {
            match write {
                Write::Step(step) => return Ok(self.store.applied(step.op_id)?.is_some()),
                Write::Line(step) => {
                    let line = self.reader.line(&step.line.id)?;
                    return Ok(line.is_some_and(|l| l.version >= step.line.version));
                }
                Write::Submit(submission) => {
                    return Ok(self.reader.submission(submission.id)?.is_some());
                }
                _ => {}
            }
        }
        // No move among them: what is set must be set, each to what was written last.
        let (flags, windows) = (self.store.flags()?, self.store.windows()?);
        let mut last: BTreeMap<(&str, bool), bool> = BTreeMap::new();
        for write in writes {
            match write {
                Write::Flag { name, value } => {
                    last.insert((name, true), flags.get(name) == Some(value));
                }
                Write::Window(window) => {
                    last.insert((&window.scope, false), windows.contains(window));
                }
                Write::ClearWindow { scope } => {
                    let gone = !windows.iter().any(|w| w.scope == *scope);
                    last.insert((scope, false), gone);
                }
                _ => {}
            }
        }
        Ok(!last.is_empty() && last.into_values().all(|as_written| as_written))
    }

    fn repeat_postponed(&mut self, now: Now, step: &mut Step) {
        while let Some(entry) = self.again.first_entry().filter(|e| *e.key() <= now.mono_ms) {
            for effect in entry.remove() {
                // What is asked for is what the task needs *now*: whoever could not finish had perhaps
                // begun under an earlier step of the same attempt (it launched, and the task runs
                // since), and then the later effect was passed over while it was at work.
                let current = self.index.get(effect.task).and_then(dispatch);
                if let Some(d) = current.filter(|d| d.effect.fence == effect.fence)
                    && !step.effects.iter().any(|e| e.effect == d.effect)
                {
                    step.effects.push(d);
                }
            }
        }
    }

    /// The commit failed: everything is as it was before the step.
    fn put_back(&mut self, edit: Edit) {
        for (id, before) in edit.before {
            self.index.put(id, before);
        }
        self.lines.put_back(edit.lines_before, edit.watch_before);
        if let Some(windows) = edit.windows_before {
            self.windows = windows;
        }
        self.look_at_homes();
        if let Some(switches) = edit.switches_before {
            self.switches = switches;
        }
    }
}
