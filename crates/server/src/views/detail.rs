//! Everything about one task.

use std::collections::HashMap;

use longhaul_api::{
    AttemptView, BudgetView, CheckView, DenialView, EnvView, LiveView, RefusedWriteView,
    SealedView, SpecView, TaskDetail, VerdictView, WorkspaceView,
};
use longhaul_core::attempt::{Attempt, AttemptEnd, Sealed};
use longhaul_core::ids::{Fence, TaskId};
use longhaul_core::spec::{
    CheckKind, CheckSpec, CommitMode, EnvValue, Expect, Land, OnDrift, Sandbox, TaskSpec,
    WorkspaceKind,
};
use longhaul_core::task::Task;
use longhaul_core::usage::MicroUsd;
use longhaul_core::verdict::Verdict;
use longhaul_store::StoreError;

use super::{ViewError, Views};
use crate::wording::attempt_line;

impl Views<'_> {
    /// Everything about a task.
    ///
    /// # Errors
    /// No such task, or the store's own.
    pub fn detail(&self, id: TaskId) -> Result<TaskDetail, ViewError> {
        let none = || ViewError::NotFound {
            text: id.to_string(),
            nearest: Vec::new(),
        };
        let stored = self.task(id)?.ok_or_else(none)?;
        let spec = self.reader.spec(id)?.ok_or_else(none)?;
        let task = &stored.task;
        let attempts = self.reader.attempts(id)?;
        let numbers: HashMap<Fence, u32> = attempts
            .iter()
            .map(|a| (a.attempt.fence, a.attempt.number))
            .collect();
        let verdicts = self.reader.verdicts(id)?;
        let live = self.live.get(&id);
        Ok(TaskDetail {
            task: self.summary(&stored)?,
            submission: Some(stored.submission),
            spec: self.spec(&spec)?,
            workspace: self.workspace(task),
            budget: self.budget(task),
            live: live.map(|live| LiveView {
                activity: self.phrasing.line(&live.activity),
                last_sign_ms: live.last_sign.map(|at| at.0),
                usage: live.usage.into(),
                question: live.question.as_ref().map(|q| self.phrasing.clean(q)),
                retrying_until_ms: live.retrying_until.map(|at| at.0),
                hindrance: live.hindrance.as_ref().map(|h| self.phrasing.line(h)),
                logs: live.logs.as_ref().map(|l| self.phrasing.line(l)),
            }),
            attempts: attempts
                .iter()
                .map(|a| self.attempt(task, &a.attempt))
                .collect(),
            verdicts: verdicts
                .iter()
                .map(|v| self.verdict(v, numbers.get(&v.fence).copied().unwrap_or(0)))
                .collect(),
            dependents: self.links(&self.reader.dependents(id)?)?,
            note: task.carry.note.as_ref().map(|n| self.phrasing.clean(n)),
            ledger: self.events(&self.reader.ledger(id)?)?,
        })
    }

    /// The fence of an attempt by its number; of the last one without a number.
    ///
    /// # Errors
    /// No such task or attempt, or the store's own.
    pub fn attempt_fence(
        &self,
        id: TaskId,
        number: Option<u32>,
    ) -> Result<(Fence, u32), ViewError> {
        let stored = self.task(id)?.ok_or_else(|| ViewError::NotFound {
            text: id.to_string(),
            nearest: Vec::new(),
        })?;
        let attempts = self.reader.attempts(id)?;
        let found = match number {
            Some(n) => attempts.iter().find(|a| a.attempt.number == n),
            None => attempts.last(),
        };
        found
            .map(|a| (a.attempt.fence, a.attempt.number))
            .ok_or_else(|| ViewError::NoAttempt {
                name: self.phrasing.line(&stored.task.name),
                number,
            })
    }

    /// True while an attempt can still write to its logs.
    ///
    /// # Errors
    /// The store's own.
    pub fn attempt_is_live(&self, id: TaskId, fence: Fence) -> Result<bool, ViewError> {
        let Some(stored) = self.task(id)? else {
            return Ok(false);
        };
        let current = stored.task.attempt.as_ref().filter(|a| a.fence == fence);
        Ok(current.is_some_and(|a| is_live(&stored.task, a)))
    }

    fn text(&self, text: &str) -> String {
        self.phrasing.clean(text)
    }

    fn texts(&self, texts: &[String]) -> Vec<String> {
        texts.iter().map(|t| self.text(t)).collect()
    }

    fn opt(&self, text: Option<&String>) -> Option<String> {
        text.map(|t| self.text(t))
    }

    fn spec(&self, s: &TaskSpec) -> Result<SpecView, StoreError> {
        let env = s.env.iter().map(|(name, value)| {
            let view = match value {
                EnvValue::Literal(_) => EnvView::Literal,
                EnvValue::From { from } => EnvView::From(self.text(from)),
            };
            (self.text(name), view)
        });
        Ok(SpecView {
            prompt: self.text(&s.prompt),
            repo: self.text(s.repo.as_str()),
            dir: s.dir.as_ref().map(|d| self.text(d.as_str())),
            workspace: match s.workspace {
                WorkspaceKind::Worktree => "worktree",
                WorkspaceKind::InPlace => "in-place",
            }
            .to_owned(),
            base: self.opt(s.base.as_ref()),
            harness: self.text(&s.harness),
            profile: self.opt(s.profile.as_ref()),
            model: self.opt(s.model.as_ref()),
            role: self.opt(s.role.as_ref()),
            depends_on: self.links(&s.depends_on)?,
            budget_usd: s.budget.and_then(dollars),
            budget_tokens: s.budget_tokens,
            timeout_ms: s.timeout.0,
            idle_timeout_ms: s.idle_timeout.0,
            answer_timeout_ms: s.answer_timeout.0,
            max_retries: s.max_retries,
            max_restarts: s.max_restarts,
            on_drift: match s.on_drift {
                OnDrift::Ask => "ask",
                OnDrift::Warn => "warn",
            }
            .to_owned(),
            land: match s.land {
                Land::No => "no",
                Land::Yes => "yes",
                Land::Pr => "pr",
            }
            .to_owned(),
            project: self.opt(s.project.as_ref()),
            group: self.opt(s.group.as_ref()),
            labels: self.texts(&s.labels),
            allow: self.texts(&s.allow),
            keep: self.texts(&s.keep),
            protect: self.texts(&s.protect),
            sandbox: match s.sandbox {
                Sandbox::Write => "write",
                Sandbox::Off => "off",
            }
            .to_owned(),
            expect: match s.expect {
                Expect::Change => "change",
                Expect::Any => "any",
            }
            .to_owned(),
            permission: s.permission.as_str().to_owned(),
            commit: match s.commit {
                CommitMode::Auto => "auto",
                CommitMode::Agent => "agent",
            }
            .to_owned(),
            env: env.collect(),
            env_pass: self.texts(&s.env_pass),
            setup: self.opt(s.setup.as_ref()),
            teardown: self.opt(s.teardown.as_ref()),
            checks: s.checks.iter().map(|c| self.check(c)).collect(),
            task_file: s.task_file.as_ref().map(|f| self.text(f.as_str())),
        })
    }

    fn check(&self, check: &CheckSpec) -> CheckView {
        let (text, model, budget) = match &check.kind {
            CheckKind::Run { command } => (command, None, None),
            CheckKind::Model {
                criterion,
                model,
                budget,
            } => (criterion, model.as_ref(), *budget),
            CheckKind::Agent {
                instructions,
                model,
                budget,
                ..
            } => (instructions, model.as_ref(), *budget),
        };
        CheckView {
            name: self.text(&check.name),
            kind: check.kind.word().to_owned(),
            text: self.text(text),
            model: self.opt(model),
            budget_usd: budget.and_then(dollars),
            timeout_ms: check.timeout.0,
            retry_flaky: check.retry_flaky,
        }
    }

    fn workspace(&self, task: &Task) -> Option<WorkspaceView> {
        task.carry.workspace.as_ref().map(|w| WorkspaceView {
            moved_to: None,
            path: self.text(&w.path),
            branch: self.opt(w.branch.as_ref()),
            base: w.base.clone(),
            start: w.start.clone(),
            port_base: w.port_base,
        })
    }

    fn budget(&self, task: &Task) -> Option<BudgetView> {
        let used_percent = task.budget_percent(self.current(task))?;
        Some(BudgetView {
            limit_usd: task.terms.budget.and_then(dollars),
            limit_tokens: task.terms.budget_tokens,
            used_percent,
        })
    }

    fn attempt(&self, task: &Task, a: &Attempt) -> AttemptView {
        AttemptView {
            number: a.number,
            fence: a.fence.0,
            assigned_at_ms: a.assigned_at.0,
            started_at_ms: a.started_at.map(|at| at.0),
            ended_at_ms: a.ended_at.map(|at| at.0),
            outcome: a.end.as_ref().map(|e| e.word().to_owned()),
            line: attempt_line(a, is_live(task, a), self.phrasing, self.now),
            pid: a.pid,
            conversation: self.opt(a.conversation.as_ref()),
            resumed: a.resumed,
            usage: a.usage.into(),
            sealed: a.sealed.as_ref().map(|s| self.sealed(s)),
            denials: self.denials(a),
            refused_writes: self.refused_writes(a),
        }
    }

    pub(super) fn denials(&self, attempt: &Attempt) -> Vec<DenialView> {
        let Some(AttemptEnd::Completed { denials, .. }) = &attempt.end else {
            return Vec::new();
        };
        let each = denials.iter();
        each.map(|d| DenialView {
            tool: self.phrasing.line(&d.tool),
            detail: self.phrasing.line(&d.detail),
        })
        .collect()
    }

    pub(super) fn refused_writes(&self, attempt: &Attempt) -> Vec<RefusedWriteView> {
        let each = attempt.refused_writes.iter();
        each.map(|r| RefusedWriteView {
            tool: self.phrasing.line(&r.tool),
            line: self.phrasing.line(&r.line),
            path: r.path.as_ref().map(|path| self.phrasing.line(path)),
        })
        .collect()
    }

    fn sealed(&self, s: &Sealed) -> SealedView {
        SealedView {
            commit: s.commit.clone(),
            tree: s.tree.clone(),
            uncommitted: s.loose,
            snapshot: s.snapshot.clone(),
            changed_files: s.changed_files,
            diffstat: self.text(&s.diffstat),
            protected: self.texts(&s.protected),
            escaped: self.texts(&s.escaped),
            branch_problem: self.opt(s.branch_problem.as_ref()),
        }
    }

    fn verdict(&self, v: &Verdict, attempt: u32) -> VerdictView {
        VerdictView {
            attempt,
            name: self.phrasing.line(&v.name),
            kind: v.kind.clone(),
            run: v.run,
            grade: v.grade,
            flaky: v.flaky,
            reason: self.text(&v.reason),
            command: self.text(&v.command),
            commit: v.commit.clone(),
            exit: v.exit,
            took_ms: v.took.0,
            at_ms: v.at.0,
            tail: self.text(&v.tail),
            evidence: v.evidence.clone(),
            usage: v.usage.into(),
        }
    }
}

/// True while an attempt goes on: it is the current one, and nothing has ended it. (One whose
/// workspace could not be made never ends by itself.)
fn is_live(task: &Task, attempt: &Attempt) -> bool {
    task.fence == attempt.fence && attempt.ended_at.is_none() && task.state.word().is_active()
}

fn dollars(amount: MicroUsd) -> Option<f64> {
    let usage = longhaul_core::usage::Usage {
        cost: Some(amount),
        ..Default::default()
    };
    longhaul_api::UsageView::from(usage).cost_usd
}
