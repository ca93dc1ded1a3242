//! Drafts become tasks: each with its repository, base, harness and ids, or every reason why not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_api::SubmitTask;
use longhaul_config::settings::Settings;
use longhaul_config::taskfile::{DepRef, HarnessInfo, Resolution, TaskDraft};
use longhaul_core::ids::TaskId;
use longhaul_core::spec::{TaskSpec, WorkspaceKind};
use longhaul_engine::executor::Practice;
use longhaul_vcs::{Git, OpenError, Repo};
use uuid::Uuid;

use super::harness::Picked;
use super::stored::Stored;
use super::{checks, harness, launch, repo};
use crate::context::Context;
use crate::failure::Failure;
use crate::{settings, wire};

/// What drafts are resolved against.
pub(crate) struct Resolver<'c> {
    pub(crate) context: &'c Context,
    pub(crate) git: Git,
    pub(crate) settings: &'c Settings,
    pub(crate) stored: &'c Stored<'c>,
    /// Where a draft without `repo` belongs.
    pub(crate) home: Utf8PathBuf,
    pub(crate) task_file: Option<Utf8PathBuf>,
    /// In place of every task's harness (`--rehearse`).
    pub(crate) harness: Option<&'static str>,
    /// Agents that are not installed here are noted and do not stop anything.
    pub(crate) anywhere: bool,
    /// Those that were noted.
    pub(crate) absent: BTreeSet<String>,
    /// Bases by repository, looked up once.
    bases: BTreeMap<Utf8PathBuf, Base>,
    /// What the daemon will follow there, by repository.
    practices: BTreeMap<Utf8PathBuf, Arc<Practice>>,
}

#[derive(Clone, Debug)]
struct Base {
    checkout: Utf8PathBuf,
    /// What is checked out, or why that cannot be started from and what to do.
    branch: Result<String, (String, &'static str)>,
}

impl std::fmt::Debug for Resolver<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver")
            .field("home", &self.home)
            .finish_non_exhaustive()
    }
}

/// A task before it is handed in.
#[derive(Debug)]
pub(crate) struct Planned {
    /// The task.
    pub(crate) task: SubmitTask,
    /// Names of what it waits for.
    pub(crate) after: Vec<String>,
}

impl<'c> Resolver<'c> {
    /// Nothing looked up yet.
    pub(crate) fn new(
        context: &'c Context,
        git: Git,
        settings: &'c Settings,
        stored: &'c Stored<'c>,
        home: Utf8PathBuf,
    ) -> Self {
        Self {
            context,
            git,
            settings,
            stored,
            home,
            task_file: None,
            harness: None,
            anywhere: false,
            absent: BTreeSet::new(),
            practices: BTreeMap::new(),
            bases: BTreeMap::new(),
        }
    }

    /// All drafts as tasks.
    ///
    /// # Errors
    /// Every reason of every draft at once.
    pub(crate) fn all(&mut self, drafts: Vec<TaskDraft>) -> Result<Vec<Planned>, Failure> {
        // What is remembered of repositories lies in the state folder.
        self.context.paths().create()?;
        let names: Vec<String> = drafts.iter().map(|d| d.name.clone()).collect();
        let ids: Vec<TaskId> = drafts
            .iter()
            .map(|_| TaskId::from_uuid(Uuid::now_v7()))
            .collect();
        let mut planned = Vec::with_capacity(drafts.len());
        let mut wrong: Vec<(String, Failure)> = Vec::new();
        for (draft, id) in drafts.into_iter().zip(&ids) {
            let name = draft.name.clone();
            let after = draft.depends_on.iter().map(|d| match d {
                DepRef::InFile(n) => names.get(*n).cloned().unwrap_or_default(),
                DepRef::Stored(text) => text.clone(),
            });
            let after: Vec<String> = after.collect();
            match self.one(draft, &ids) {
                Ok(None) => {}
                Ok(Some(spec)) => planned.push(Planned {
                    task: SubmitTask { id: *id, spec },
                    after,
                }),
                Err(e) => wrong.push((name, e)),
            }
        }
        if wrong.is_empty() {
            Ok(planned)
        } else {
            Err(together(wrong))
        }
    }

    fn one(&mut self, draft: TaskDraft, ids: &[TaskId]) -> Result<Option<TaskSpec>, Failure> {
        let wanted = draft.repo.clone().unwrap_or_else(|| self.home.clone());
        let (checkout, base) = match draft.workspace {
            WorkspaceKind::Worktree => self.worktree(&wanted, draft.base.as_deref())?,
            WorkspaceKind::InPlace => self.in_place(&wanted)?,
        };
        let practice = self.practice(&checkout)?;
        let name = self.harness.unwrap_or(&draft.harness);
        let Some(harness) = self.agent(name, &checkout, &practice)? else {
            return Ok(None);
        };
        // A rehearsal replaces prompts and leaves out what models and agents judge.
        if self.harness.is_none() {
            checks::script(&draft, &harness.name, &practice.registry)?;
            for check in &draft.checks {
                checks::can_be_judged(check, &draft, &harness.name, &checkout, &practice, self)?;
            }
        }
        let mut depends_on = Vec::with_capacity(draft.depends_on.len());
        for dependency in &draft.depends_on {
            depends_on.push(match dependency {
                DepRef::InFile(n) => ids[*n],
                DepRef::Stored(text) => self.stored.task(text)?.task.id,
            });
        }
        let resolution = Resolution {
            repo: checkout,
            base,
            harness,
            depends_on,
            commit: self.settings.commit,
            merge_style: self.settings.queue.merge_style,
            task_file: self.task_file.clone(),
            caller_env: self.context.env.for_sessions(),
        };
        let spec = draft
            .into_spec(resolution)
            .map_err(|e| Failure::usage(e.to_string()))?;
        // A rehearsal has neither the task's profile nor its agent.
        if self.harness.is_none() {
            launch::possible(&spec, &practice, &self.context.env)?;
        }
        Ok(Some(spec))
    }

    /// The harness of a task or a review; `None` if nobody is here who could be taken and that is no
    /// mistake.
    pub(super) fn agent(
        &mut self,
        name: &str,
        repo: &Utf8Path,
        practice: &Practice,
    ) -> Result<Option<HarnessInfo>, Failure> {
        let picked = harness::pick(name, repo, &practice.registry, &self.context.env)?;
        match picked {
            Picked::Absent(info, _) if self.anywhere => {
                self.absent.insert(info.name.clone());
                Ok(Some(info))
            }
            Picked::Nobody(_) if self.anywhere => {
                self.absent.insert("auto".to_owned());
                Ok(None)
            }
            other => other.here().map(Some),
        }
    }

    /// What the daemon will follow for tasks of this repository.
    fn practice(&mut self, repo: &Utf8Path) -> Result<Arc<Practice>, Failure> {
        if let Some(known) = self.practices.get(repo) {
            return Ok(Arc::clone(known));
        }
        let context = self.context;
        let (paths, env, printer) = (context.paths(), &context.env, &context.printer);
        let practice = match wire::practice_of(paths, env, printer, repo)? {
            Some(own) => own,
            // As the daemon has it: without any repository.
            None => wire::practice(&settings::load(context, None)?.settings, env)?,
        };
        let practice = Arc::new(practice);
        self.practices
            .insert(repo.to_owned(), Arc::clone(&practice));
        Ok(practice)
    }

    /// The checkout and the base branch of worktree tasks.
    fn worktree(
        &mut self,
        path: &Utf8Path,
        named: Option<&str>,
    ) -> Result<(Utf8PathBuf, Option<String>), Failure> {
        let base = self.base(path)?;
        let branch = match named {
            Some(_) => {
                let opened = self.open(&base.checkout)?;
                opened
                    .resolve(named.unwrap_or_default())
                    .map_err(|e| repo::start_failure(&e))?;
                None
            }
            None => Some(
                base.branch
                    .map_err(|(what, remedy)| Failure::usage(what).help(remedy))?,
            ),
        };
        Ok((base.checkout, branch))
    }

    /// The folder of an in-place task: the work tree, or a plain folder where there is no git.
    fn in_place(&self, path: &Utf8Path) -> Result<(Utf8PathBuf, Option<String>), Failure> {
        match Repo::open(&self.git, path.as_std_path(), self.memory().as_std_path()) {
            Ok(repo) => Ok((repo::checkout(&repo)?, None)),
            Err(OpenError::NotARepository { .. }) => {
                let folder = path
                    .canonicalize_utf8()
                    .map_err(|e| Failure::usage(format!("cannot enter {path}")).because(e))?;
                Ok((folder, None))
            }
            Err(e) => Err(repo::open_failure(&e)),
        }
    }

    fn base(&mut self, path: &Utf8Path) -> Result<Base, Failure> {
        if let Some(known) = self.bases.get(path) {
            return Ok(known.clone());
        }
        let base = self.look(path)?;
        self.bases.insert(path.to_owned(), base.clone());
        Ok(base)
    }

    fn look(&self, path: &Utf8Path) -> Result<Base, Failure> {
        let opened = self.open(path)?;
        let prefix = &self.settings.branch_prefix;
        let taken = opened
            .has_branch(prefix)
            .map_err(|e| Failure::new("cannot read the branches").because(e))?;
        if taken {
            // git keeps `a` and `a/b` apart only as file and folder: both cannot be.
            return Err(Failure::usage(format!(
                "the repository has a branch named `{prefix}`, so branches `{prefix}/…` cannot be made"
            ))
            .help(format!("rename it: git branch -m {prefix} {prefix}-old"))
            .help("or choose another `branch_prefix` in the configuration"));
        }
        let branch = opened
            .current_branch()
            .map_err(|e| (repo::chain(&e), e.remedy()));
        Ok(Base {
            checkout: repo::checkout(&opened)?,
            branch,
        })
    }

    fn open(&self, path: &Utf8Path) -> Result<Repo, Failure> {
        repo::open(&self.git, self.context.paths(), path)
    }

    fn memory(&self) -> Utf8PathBuf {
        repo::memory(self.context.paths())
    }
}

/// One failure of many: as it is if all tasks say the same, else listed by task.
fn together(wrong: Vec<(String, Failure)>) -> Failure {
    let first = wrong[0].1.message();
    if wrong.iter().all(|(_, e)| e.message() == first) {
        let (_, e) = wrong
            .into_iter()
            .next()
            .expect("the list is not empty, said by the caller");
        return e;
    }
    let mut detail = String::new();
    for (name, e) in &wrong {
        detail.push_str(&format!("task `{name}`: {}\n", e.message()));
        for help in e.help_lines() {
            detail.push_str(&format!("  help: {help}\n"));
        }
    }
    Failure::usage(format!(
        "{} cannot be handed in; nothing was stored",
        crate::output::text::count(wrong.len(), "task")
    ))
    .detail(detail)
}
