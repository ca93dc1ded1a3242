//! A task file from its bytes: every table read, every problem found, then drafts or nothing.

use camino::Utf8Path;

use super::context::TaskContext;
use super::draft::TaskDraft;
use super::fields::{Owner, values};
use super::graph;
use super::keys::task_names;
use super::prompt::Prompts;
use super::resolve::{Placed, draft};
use super::values::Values;
use super::{MAX_FILE_BYTES, MAX_INHERITED_BYTES, MAX_TASKS};
use crate::diag::{Diagnostics, Finding, Sink, Site, Source};
use crate::read::{Entry, decode, entries, tree};

/// A task file to be read.
#[derive(Clone, Copy, Debug)]
pub struct TaskFileInput<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Its absolute path; `repo` and `prompt_file` are resolved against its folder.
    pub path: &'a Utf8Path,
    /// Its name in messages, as the user wrote it.
    pub shown_as: &'a str,
}

/// A task file that is valid as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct ParsedTaskFile {
    /// The tasks in the order of the file.
    pub tasks: Vec<TaskDraft>,
    /// Indexes of `tasks`, dependencies before dependents, otherwise in the order of the file.
    pub order: Vec<usize>,
    /// Notes and warnings; no errors.
    pub notes: Diagnostics,
}

/// Reads a task file whole.
///
/// # Errors
/// Every problem of the file at once; then nothing of it is returned.
pub fn parse(
    input: TaskFileInput<'_>,
    context: &TaskContext<'_>,
) -> Result<ParsedTaskFile, Diagnostics> {
    let text = decode(input.shown_as, input.bytes, MAX_FILE_BYTES)?;
    // An editor's line ends are no part of a command or a prompt: `/bin/sh` would take them for text.
    let text = &text.replace("\r\n", "\n");
    let source = Source::new(input.shown_as, text);
    let mut sink = Sink::default();
    let table = tree(&source, &mut sink);
    if sink.has_errors() {
        // What a broken text says beyond its syntax errors would only be noise.
        return Err(sink.finish(Some(&source)));
    }
    let (defaults, tasks) = tables(&entries(&table), context, &mut sink);
    let folder = input.path.parent().unwrap_or(Utf8Path::new(""));
    let mut prompts = Prompts::new();
    let mut values = Vec::with_capacity(tasks.len());
    let mut drafts = Vec::with_capacity(tasks.len());
    for (site, own) in tasks {
        let (whole, draft) = draft(
            own,
            &site,
            &defaults,
            folder,
            context,
            &mut prompts,
            &mut sink,
        );
        values.push(Placed {
            site,
            values: whole,
        });
        drafts.push(draft);
    }
    let (depends_on, order) = graph::link(&values, context, &mut sink);
    if sink.has_errors() {
        return Err(sink.finish(Some(&source)));
    }
    let tasks = drafts
        .into_iter()
        .zip(depends_on)
        .filter_map(|(draft, depends_on)| {
            draft.map(|draft| TaskDraft {
                depends_on,
                ..draft
            })
        })
        .collect();
    Ok(ParsedTaskFile {
        tasks,
        order,
        notes: sink.finish(Some(&source)),
    })
}

/// The values of `[defaults]` and of every `[[task]]` with the place of each.
fn tables(
    top: &[Entry<'_>],
    context: &TaskContext<'_>,
    sink: &mut Sink,
) -> (Values, Vec<(Site, Values)>) {
    let mut defaults = Values::default();
    let mut tasks = Vec::new();
    let mut seen_task = false;
    let mut given: usize = 0;
    for entry in top {
        match entry.key {
            "defaults" => {
                if let Some(keys) = entry.table("a table", sink) {
                    given = keys
                        .iter()
                        .filter(|k| k.key != "prompt")
                        .map(Entry::weight)
                        .sum();
                    defaults = values(&keys, Owner::Defaults, context, sink);
                }
            }
            "task" => {
                seen_task = true;
                let all = entry.tables("task", sink);
                if all.len() > MAX_TASKS {
                    let message =
                        format!("{} tasks; at most {MAX_TASKS} fit in one file", all.len());
                    sink.push(Finding::error(&entry.key_site(), message).key("task"));
                    continue;
                }
                for (site, keys) in all {
                    let own = values(&keys, Owner::Task, context, sink);
                    tasks.push((site, own));
                }
            }
            key => {
                let hint = task_names().any(|known| known == key);
                if hint {
                    let message = format!("`{key}` stands outside any task");
                    let help = "put it below `[[task]]` or `[defaults]`";
                    sink.push(
                        Finding::error(&entry.key_site(), message)
                            .key(key)
                            .help(help),
                    );
                } else {
                    let _meant = entry.unknown("the file", ["task", "defaults"], sink);
                }
            }
        }
    }
    if given.saturating_mul(tasks.len()) > MAX_INHERITED_BYTES {
        let message = format!(
            "`[defaults]` gives {} tasks {given} bytes each, more than {MAX_INHERITED_BYTES} together",
            tasks.len()
        );
        sink.push(Finding::error_anywhere(message).key("defaults"));
        tasks.clear();
    }
    if tasks.is_empty() && !sink.has_errors() {
        let finding = if seen_task {
            Finding::error_anywhere("the list of tasks is empty")
        } else {
            Finding::error_anywhere("the file has no task")
        };
        sink.push(finding.help("add `[[task]]` with `name` and `prompt` below it"));
    }
    (defaults, tasks)
}
