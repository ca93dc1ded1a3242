//! A task file, from its path to a request.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_api::SubmitRequest;
use longhaul_config::diag::Diagnostics;
use longhaul_config::files::{ReadError, read_bounded};
use longhaul_config::settings::{Profile, Settings};
use longhaul_config::taskfile::{
    self, DepRef, DiskFiles, ParsedTaskFile, TaskContext, TaskDefaults, TaskDraft, TaskFileInput,
};
use longhaul_config::trust::Trust;
use sha2::{Digest as _, Sha256};

use super::harness::{Known, registry};
use super::repo;
use super::spec::{Planned, Resolver};
use super::stored::Stored;
use crate::context::Context;
use crate::failure::{Failure, OnPath as _};
use crate::output::text::count;
use crate::settings;

/// A task file that was read and found valid.
#[derive(Debug)]
pub(crate) struct TaskFile {
    /// Its absolute path.
    pub(crate) path: Utf8PathBuf,
    /// SHA-256 of its bytes, in hex.
    pub(crate) digest: String,
    /// What it says.
    pub(crate) parsed: ParsedTaskFile,
    /// The settings that were in force.
    pub(crate) settings: Settings,
}

/// What a task file or flags are checked against, owned.
pub(crate) struct Facts {
    pub(crate) settings: Settings,
    pub(crate) known: Known,
    profiles: BTreeMap<String, Profile>,
    judges: Vec<String>,
    defaults: TaskDefaults,
    trusted: bool,
    land: bool,
}

impl Facts {
    /// For work that belongs to this folder. What a file in a repository says is the user's own word
    /// only once the repository is trusted (T23); flags always are (`own_word`).
    pub(crate) fn of(
        context: &Context,
        folder: &Utf8Path,
        own_word: bool,
    ) -> Result<Self, Failure> {
        let home = repo::top_level(context, folder).ok();
        let resolved = settings::load(context, home.as_deref())?;
        say_notes(context, &resolved.notes);
        let trusted = own_word
            || match &home {
                None => true,
                Some(top) => {
                    settings::trust_of(context.paths(), &context.printer, top)? == Trust::Trusted
                }
            };
        let settings = resolved.settings;
        let known = Known::new(registry(&settings)?);
        Ok(Self {
            profiles: settings.profiles.clone(),
            judges: settings.judges.keys().cloned().collect(),
            defaults: settings.task_defaults(),
            settings,
            known,
            trusted,
            land: false,
        })
    }

    /// As the config crate wants them.
    pub(crate) fn context<'a>(&'a self, stored: &'a dyn Fn(&str) -> bool) -> TaskContext<'a> {
        TaskContext {
            harnesses: &self.known,
            profiles: Some(&self.profiles),
            judges: Some(&self.judges),
            stored: Some(stored),
            prompt_files: &DiskFiles,
            defaults: &self.defaults,
            trusted: self.trusted,
            land: self.land,
        }
    }
}

/// Reads and checks a task file.
///
/// # Errors
/// Every problem of the file at once; nothing was stored.
pub(crate) fn read(context: &Context, shown: &Utf8Path) -> Result<TaskFile, Failure> {
    read_landing(context, shown, false)
}

/// The same; with `land`, tasks that do not say `land` themselves land (`run --land`).
///
/// # Errors
/// As [`read`].
pub(crate) fn read_landing(
    context: &Context,
    shown: &Utf8Path,
    land: bool,
) -> Result<TaskFile, Failure> {
    let path = context.absolute(shown);
    let bytes = read_bounded(&path, taskfile::MAX_FILE_BYTES as u64).map_err(|e| {
        let help = match e {
            ReadError::Missing => "`longhaul init` writes one to start from",
            ReadError::NotAFile => "name the file itself, such as `longhaul run FOLDER/tasks.toml`",
            ReadError::TooLarge { .. } => "put long prompts into files of their own: `prompt_file`",
            ReadError::Io { .. } => "check its rights and its disk",
        };
        Failure::usage(format!("the task file {shown} {e}"))
            .because(e)
            .help(help)
    })?;
    let path = path.canonicalize_utf8().on("find", &path)?;
    let folder = path.parent().unwrap_or(Utf8Path::new("/"));
    let mut facts = Facts::of(context, folder, false)?;
    facts.land = land;
    let tasks = Stored::new(context);
    let stored = |text: &str| tasks.task(text).is_ok();
    let input = TaskFileInput {
        bytes: &bytes,
        path: &path,
        shown_as: shown.as_str(),
    };
    let parsed = taskfile::parse(input, &facts.context(&stored)).map_err(|found| {
        let n = found
            .items()
            .iter()
            .filter(|d| d.severity == longhaul_config::diag::Severity::Error)
            .count();
        Failure::usage(format!(
            "{shown} has {}; nothing was stored",
            count(n, "mistake")
        ))
        .detail(found.render(context.printer.color_err()))
    })?;
    let mut hasher = Sha256::new();
    hasher.update(&bytes);
    if land {
        // Landing is another submission than not landing.
        hasher.update("\0--land");
    }
    let digest = hasher.finalize();
    Ok(TaskFile {
        path,
        digest: digest.iter().map(|b| format!("{b:02x}")).collect(),
        parsed,
        settings: facts.settings,
    })
}

/// Says notes and warnings of a text that is valid.
pub(crate) fn say_notes(context: &Context, notes: &Diagnostics) {
    if !notes.is_empty() {
        context
            .printer
            .say(notes.render(context.printer.color_err()).trim_end());
    }
}

/// What of the file is wanted, and how.
#[derive(Debug, Default)]
pub(crate) struct Wish<'w> {
    /// Only these tasks, and what they depend on.
    pub(crate) only: &'w [String],
    /// Also if the same file is live already.
    pub(crate) again: bool,
    /// In place of every task's harness.
    pub(crate) harness: Option<&'static str>,
    /// Agents that are not installed here are no mistake of the file: they are named in `absent`.
    pub(crate) anywhere: bool,
}

/// What the file comes to: its tasks as they would be handed in.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The tasks.
    pub(crate) planned: Vec<Planned>,
    /// Agents that are not installed here; empty unless that was wished.
    pub(crate) absent: BTreeSet<String>,
    source: Utf8PathBuf,
    digest: String,
}

/// Everything that is looked at before a file is handed in: the one way for `validate`, `run`,
/// `--dry-run` and `--rehearse`.
///
/// # Errors
/// Every reason of every task at once; nothing was stored.
pub(crate) fn plan(context: &Context, file: TaskFile, wish: &Wish<'_>) -> Result<Plan, Failure> {
    let TaskFile {
        path,
        mut digest,
        parsed,
        settings,
    } = file;
    let drafts = select(context, parsed.tasks, wish.only)?;
    if !wish.only.is_empty() {
        // A part of a file is another submission than the whole.
        digest = part_digest(&digest, &drafts);
    }
    let folder = path.parent().unwrap_or(Utf8Path::new("/")).to_owned();
    let stored = Stored::new(context);
    let git = repo::git(&context.env)?;
    let mut resolver = Resolver::new(context, git, &settings, &stored, folder);
    resolver.task_file = Some(path.clone());
    resolver.harness = wish.harness;
    resolver.anywhere = wish.anywhere;
    let planned = resolver.all(drafts)?;
    let absent = resolver.absent;
    Ok(Plan {
        planned,
        absent,
        source: path,
        digest,
    })
}

/// The request that hands the file in.
///
/// # Errors
/// Every reason of every task at once; nothing was stored.
pub(crate) fn request(
    context: &Context,
    file: TaskFile,
    wish: &Wish<'_>,
) -> Result<(SubmitRequest, Vec<Planned>), Failure> {
    let plan = plan(context, file, wish)?;
    let request = SubmitRequest {
        source: plan.source.into_string(),
        digest: plan.digest,
        again: wish.again,
        tasks: plan.planned.iter().map(|p| p.task.clone()).collect(),
    };
    Ok((request, plan.planned))
}

fn part_digest(whole: &str, drafts: &[TaskDraft]) -> String {
    let mut hasher = Sha256::new();
    hasher.update(whole);
    for draft in drafts {
        hasher.update([0]);
        hasher.update(&draft.name);
    }
    hasher
        .finalize()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// The named tasks and everything in the file that they wait for; says what was added.
fn select(
    context: &Context,
    drafts: Vec<TaskDraft>,
    only: &[String],
) -> Result<Vec<TaskDraft>, Failure> {
    if only.is_empty() {
        return Ok(drafts);
    }
    let mut chosen = BTreeSet::new();
    let mut todo = Vec::new();
    for name in only {
        match drafts.iter().position(|d| d.name == *name) {
            Some(n) => todo.push(n),
            None => {
                let names: Vec<&str> = drafts.iter().map(|d| d.name.as_str()).collect();
                return Err(
                    Failure::usage(format!("--only: the file has no task `{name}`"))
                        .help(format!("its tasks are {}", names.join(", "))),
                );
            }
        }
    }
    while let Some(n) = todo.pop() {
        if chosen.insert(n) {
            todo.extend(drafts[n].depends_on.iter().filter_map(|d| match d {
                DepRef::InFile(n) => Some(*n),
                DepRef::Stored(_) => None,
            }));
        }
    }
    let added: Vec<&str> = chosen
        .iter()
        .map(|n| drafts[*n].name.as_str())
        .filter(|name| !only.iter().any(|o| o == name))
        .collect();
    if !added.is_empty() {
        context.printer.say(&format!(
            "also runs what those depend on: {}",
            added.join(", ")
        ));
    }
    // Positions change when tasks are left out, so dependencies are renumbered.
    let place: Vec<usize> = chosen.iter().copied().collect();
    Ok(drafts
        .into_iter()
        .enumerate()
        .filter(|(n, _)| chosen.contains(n))
        .map(|(_, mut draft)| {
            for dependency in &mut draft.depends_on {
                if let DepRef::InFile(n) = dependency
                    && let Ok(new) = place.binary_search(n)
                {
                    *n = new;
                }
            }
            draft
        })
        .collect())
}
