//! A task in a file of its own (A20): what is wanted as text, and above it, optionally, the keys of a task as
//! TOML between two lines `+++`. The keys, their checks and their words are the task file's.

use camino::Utf8Path;

use super::MAX_PROMPT_FILE_BYTES;
use super::context::TaskContext;
use super::draft::TaskDraft;
use super::fields::{Owner, values};
use super::graph;
use super::names::bad_name;
use super::parse::TaskFileInput;
use super::prompt::Prompts;
use super::resolve::{Placed, draft};
use super::values::Values;
use crate::diag::{Diagnostics, Finding, Located, Sink, Site, Source};
use crate::read::{decode, entries, tree};

/// The line above and below the keys.
const FENCE: &str = "+++";
/// What `+++` is to the TOML parser: as long a line, so that findings name the file's own lines.
const TABLE: &str = "[[task]]";

/// A task from a file of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct SingleTask {
    /// The task; its dependencies are all [`DepRef::Stored`](super::DepRef::Stored).
    pub draft: TaskDraft,
    /// Notes and warnings; no errors.
    pub notes: Diagnostics,
}

/// Reads a task from a file of its own. `name` is the task's where the keys give none; `repo` and `prompt_file`
/// are refused: the file belongs to the project whose inbox it lies in, and its text is the prompt.
///
/// # Errors
/// Every problem of the file at once.
pub fn parse_single(
    input: TaskFileInput<'_>,
    name: &str,
    context: &TaskContext<'_>,
) -> Result<SingleTask, Diagnostics> {
    let limit = usize::try_from(MAX_PROMPT_FILE_BYTES).unwrap_or(usize::MAX);
    let text = decode(input.shown_as, input.bytes, limit)?.replace("\r\n", "\n");
    let (keys, body) = split(&text).map_err(|(message, help)| {
        let mut sink = Sink::default();
        let source = Source::new(input.shown_as, &text);
        sink.push(Finding::error(&Site::Span(0..0), message).help(help));
        sink.finish(Some(&source))
    })?;
    let source = Source::new(input.shown_as, &keys);
    let mut sink = Sink::default();
    let table = tree(&source, &mut sink);
    if sink.has_errors() {
        return Err(sink.finish(Some(&source)));
    }
    let mut tables = Vec::new();
    for entry in &entries(&table) {
        if entry.key == "task" {
            tables = entry.tables("task", &mut sink);
        } else {
            let message = "only the keys of one task may stand above the text";
            sink.push(Finding::error(&entry.key_site(), message).key(entry.key));
        }
    }
    let mut tables = tables.into_iter();
    let first = tables.next();
    if let Some((site, _)) = tables.next() {
        let help = "several tasks go into a task file, which `longhaul run FILE` hands in";
        sink.push(Finding::error(&site, "a second task").help(help));
    }
    let site = Site::Span(0..0);
    let mut own = match &first {
        Some((_, keys)) => values(keys, Owner::Task, context, &mut sink),
        None => Values::default(),
    };
    complete(&mut own, name, body, &site, &mut sink);
    let folder = input.path.parent().unwrap_or(Utf8Path::new(""));
    let (mut prompts, none) = (Prompts::new(), Values::default());
    let (values, draft) = draft(own, &site, &none, folder, context, &mut prompts, &mut sink);
    let placed = [Placed { site, values }];
    let (depends_on, _) = graph::link(&placed, context, &mut sink);
    match (draft, depends_on.into_iter().next()) {
        (Some(draft), Some(depends_on)) if !sink.has_errors() => Ok(SingleTask {
            draft: TaskDraft {
                depends_on,
                ..draft
            },
            notes: sink.finish(Some(&source)),
        }),
        _ => Err(sink.finish(Some(&source))),
    }
}

/// The keys as a task file of one task, each on the line where it stands, and the text below them.
fn split(text: &str) -> Result<(String, &str), (&'static str, &'static str)> {
    let Some((first, rest)) = text.split_once('\n') else {
        return Ok((TABLE.to_owned(), text));
    };
    let mut at = 0;
    let mut closing = |fence: &str| {
        rest.split_inclusive('\n').find_map(|line| {
            let begin = at;
            at += line.len();
            (line.trim_end() == fence).then_some((begin, at))
        })
    };
    match first.trim_end() {
        FENCE => match closing(FENCE) {
            Some((end, body)) => Ok((format!("{TABLE}\n{}", &rest[..end]), &rest[body..])),
            None => Err((
                "the keys above the text do not end",
                "put a line `+++` below them",
            )),
        },
        "---" if closing("---").is_some() => Err((
            "keys between two lines `---` are YAML, which is not read",
            "write them as TOML between two lines `+++`",
        )),
        _ => Ok((TABLE.to_owned(), text)),
    }
}

/// Fills in what the file itself says: its text is the prompt, and its name the task's.
fn complete(own: &mut Values, name: &str, body: &str, site: &Site, sink: &mut Sink) {
    let refused = [
        ("repo", &own.repo, "the task belongs to the inbox's project"),
        (
            "prompt_file",
            &own.prompt_file,
            "what is wanted stands below the keys",
        ),
    ];
    for (key, value, why) in refused {
        if let Some(value) = value {
            let message = format!("`{key}` may not stand here: {why}");
            sink.push(Finding::error(&value.site, message).key(key));
        }
    }
    own.repo = None;
    let refused_file = own.prompt_file.take().is_some();
    let body = body.trim();
    if let Some(prompt) = &own.prompt {
        if !body.is_empty() {
            let message = "`prompt` is given, and there is text below the keys";
            let finding = Finding::error(&prompt.site, message).key("prompt");
            sink.push(finding.help("keep one of them"));
        }
    } else if !body.is_empty() {
        own.prompt = Some(Located {
            value: body.to_owned(),
            site: site.clone(),
        });
    } else if !own.prompt_refused && !refused_file {
        let message = "the file does not say what is wanted";
        sink.push(Finding::error(site, message).help("write it below the keys"));
    }
    own.prompt_refused = own.prompt.is_none();
    if own.name.is_none() && !own.name_refused {
        debug_assert!(bad_name(name).is_none(), "the caller makes sound names");
        own.name = Some(Located {
            value: name.to_owned(),
            site: site.clone(),
        });
    }
}

/// The name of a task whose file has this name: the name without its ending, with `-` for what may not stand in one.
#[must_use]
pub fn name_of_file(file: &str) -> String {
    let stem = Utf8Path::new(file).file_stem().unwrap_or(file);
    let mut name = String::new();
    for c in stem.chars().take(60) {
        let c = if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') {
            c
        } else {
            '-'
        };
        if !(matches!(c, '.' | '-') && name.ends_with(['.', '-'])) {
            name.push(c);
        }
    }
    let name = name.trim_matches(['.', '-']);
    if name.is_empty() {
        "task".to_owned()
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use longhaul_core::spec::{Land, Priority};

    use super::super::context::{DiskFiles, HarnessList, TaskDefaults};
    use super::*;

    fn read(text: &str) -> Result<TaskDraft, String> {
        let harnesses = HarnessList::default().with("claude", &[], true);
        let defaults = TaskDefaults::default();
        let context = TaskContext {
            harnesses: &harnesses,
            profiles: None,
            judges: None,
            stored: None,
            prompt_files: &DiskFiles,
            defaults: &defaults,
            trusted: false,
            land: false,
        };
        let input = TaskFileInput {
            bytes: text.as_bytes(),
            path: Utf8Path::new("/p/.agent-queue/inbox/fix.md"),
            shown_as: "fix.md",
        };
        parse_single(input, "fix", &context)
            .map(|t| t.draft)
            .map_err(|e| e.render(false))
    }

    #[test]
    fn a20_a_text_alone_is_a_prompt_and_its_file_the_name() {
        let draft = read("Correct the README.\n\nAll of it.\n").unwrap();
        assert_eq!(
            (draft.name.as_str(), draft.prompt.as_str()),
            ("fix", "Correct the README.\n\nAll of it.")
        );
        assert_eq!(read("one line").unwrap().prompt, "one line");
    }

    #[test]
    fn a20_keys_above_the_text_are_those_of_a_task_file() {
        let draft = read(
            "+++\r\nname = \"other\"\r\npriority = \"high\"\r\nland = true\r\n[[task.check]]\r\nrun = \"make test\"\r\n+++\r\nDo it.\r\n",
        )
        .unwrap();
        assert_eq!(draft.name, "other");
        assert_eq!((draft.priority, draft.land), (Priority::High, Land::Yes));
        assert_eq!((draft.checks.len(), draft.prompt.as_str()), (1, "Do it."));
        // A prompt may be a key, and `[[check]]` is read as no key of a task.
        assert_eq!(read("+++\nprompt = \"x\"\n+++\n").unwrap().prompt, "x");
        // A rule within the text is text.
        assert_eq!(read("a\n+++\nb\n").unwrap().prompt, "a\n+++\nb");
        assert_eq!(read("---\na\n").unwrap().prompt, "---\na");
    }

    #[test]
    fn a20_mistakes_are_told_with_their_lines_all_at_once() {
        let wrong = read("+++\n\nprioritty = \"high\"\nrepo = \"/elsewhere\"\nprompt_file = \"/etc/passwd\"\n+++\nDo it.\n").unwrap_err();
        for part in [
            "fix.md:3",
            "did you mean `priority`",
            "fix.md:4",
            "`repo` may not stand here",
            "fix.md:5",
            "`prompt_file` may not",
        ] {
            assert!(wrong.contains(part), "{part} is missing in\n{wrong}");
        }
        for (text, part) in [
            ("", "does not say what is wanted"),
            (" \n\n", "does not say what is wanted"),
            ("+++\nname = \"x\"\n+++\n", "does not say what is wanted"),
            ("+++\nname = \"x\"\nDo it.\n", "do not end"),
            ("---\nname: x\n---\nDo it.\n", "YAML"),
            ("+++\nprompt = \"x\"\n+++\ny\n", "text below the keys"),
            ("+++\nname = \n+++\ny\n", "fix.md:2"),
            ("+++\n[[task]]\nname = \"b\"\n+++\ny\n", "a second task"),
            (
                "+++\n[defaults]\nname = \"b\"\n+++\ny\n",
                "only the keys of one task",
            ),
            // A project that is not trusted (T23, T25).
            ("+++\npermission = \"bypass\"\n+++\ny\n", "bypass"),
            ("+++\nsandbox = \"off\"\n+++\ny\n", "sandbox"),
        ] {
            let wrong = read(text).unwrap_err();
            assert!(wrong.contains(part), "{text:?}: {wrong}");
        }
    }

    #[test]
    fn a20_any_file_name_gives_a_sound_task_name() {
        for (file, name) in [
            ("fix.md", "fix"),
            ("Fix the login!.txt", "Fix-the-login"),
            ("a..b--c.md", "a.b-c"),
            ("-x-.md", "x"),
            ("\u{fffd}\u{fffd}.md", "task"),
            ("..", "task"),
            ("", "task"),
            ("no ending", "no-ending"),
        ] {
            assert_eq!(name_of_file(file), name, "{file}");
            assert_eq!(bad_name(&name_of_file(file)), None, "{file}");
        }
        let long = "x".repeat(300);
        assert_eq!(bad_name(&name_of_file(&long)), None);
    }
}
