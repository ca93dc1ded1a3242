//! A task from command-line flags (`add --name … --prompt …`), through the validation of the file.

use camino::Utf8Path;
use longhaul_core::spec::{CheckKind, CheckSpec, EnvValue, Land};

use super::check::DEFAULT_TIMEOUT;
use super::context::TaskContext;
use super::draft::TaskDraft;
use super::fields::{
    DRIFTS, EXPECTS, MAX_ATTEMPTS, PERMISSIONS, PRIORITIES, SANDBOXES, WORKSPACES, known_harness,
    known_profile, users_word,
};
use super::graph;
use super::names::{
    bad_argument, bad_branch, bad_glob, bad_inner_path, bad_label, bad_name, bad_path, bad_variable,
};
use super::prompt::Prompts;
use super::resolve::{Placed, draft};
use super::value::{
    Zero, bad_command, checked, checked_list, count, duration, money, tokens, variable, word,
};
use super::values::{CheckValues, Values};
use crate::diag::{Diagnostics, Finding, Located, Sink, Site};

/// The flags of `add` as they were typed; the long name of each is the field's with `-` for `_`
/// and `--` in front.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(
    missing_docs,
    reason = "the fields are the keys of the task file, documented in TASK_KEYS"
)]
pub struct TaskFlags {
    pub name: Option<String>,
    pub prompt: Option<String>,
    pub prompt_file: Option<String>,
    pub repo: Option<String>,
    pub dir: Option<String>,
    pub workspace: Option<String>,
    pub base: Option<String>,
    pub harness: Option<String>,
    pub profile: Option<String>,
    pub model: Option<String>,
    pub role: Option<String>,
    pub depends_on: Vec<String>,
    pub priority: Option<String>,
    pub budget_usd: Option<f64>,
    pub budget_tokens: Option<i64>,
    pub timeout: Option<String>,
    pub idle_timeout: Option<String>,
    pub answer_timeout: Option<String>,
    pub max_retries: Option<i64>,
    pub max_restarts: Option<i64>,
    pub on_drift: Option<String>,
    pub project: Option<String>,
    pub group: Option<String>,
    /// `--label`, repeated.
    pub labels: Vec<String>,
    pub allow: Vec<String>,
    pub keep: Vec<String>,
    pub sandbox: Option<String>,
    pub protect: Vec<String>,
    pub expect: Option<String>,
    pub permission: Option<String>,
    /// `--env NAME=VALUE`, repeated.
    pub env: Vec<String>,
    pub env_pass: Vec<String>,
    pub setup: Option<String>,
    pub teardown: Option<String>,
    pub land: bool,
    /// `--pr`.
    pub pr: bool,
    /// `--land-check COMMAND`, repeated.
    pub land_check: Vec<String>,
    pub land_unverified: bool,
    /// `--check-run COMMAND`, repeated.
    pub check_run: Vec<String>,
    /// `--check-model CRITERION`, repeated; these come after `check_run`.
    pub check_model: Vec<String>,
    /// `--check-agent INSTRUCTIONS`, repeated; these come last.
    pub check_agent: Vec<String>,
}

/// A task from flags.
#[derive(Clone, Debug, PartialEq)]
pub struct FlagTask {
    /// The task; its dependencies are all [`DepRef::Stored`](super::DepRef::Stored).
    pub draft: TaskDraft,
    /// Notes and warnings; no errors.
    pub notes: Diagnostics,
}

/// Builds a task from flags; relative paths are resolved against `folder`.
///
/// # Errors
/// Every problem of the flags at once, each naming its flag.
pub fn draft_from_flags(
    flags: &TaskFlags,
    folder: &Utf8Path,
    context: &TaskContext<'_>,
) -> Result<FlagTask, Diagnostics> {
    let mut sink = Sink::default();
    let own = values(flags, context, &mut sink);
    let site = Site::Named("--name".to_owned());
    let mut prompts = Prompts::new();
    let none = Values::default();
    let (values, draft) = draft(own, &site, &none, folder, context, &mut prompts, &mut sink);
    let placed = [Placed { site, values }];
    let (depends_on, _) = graph::link(&placed, context, &mut sink);
    match (draft, depends_on.into_iter().next()) {
        (Some(draft), Some(depends_on)) if !sink.has_errors() => Ok(FlagTask {
            draft: TaskDraft {
                depends_on,
                ..draft
            },
            notes: sink.finish(None),
        }),
        _ => Err(sink.finish(None)),
    }
}

fn at<T>(flag: &str, value: T) -> Located<T> {
    Located {
        value,
        site: Site::Named(format!("--{}", flag.replace('_', "-"))),
    }
}

fn values(f: &TaskFlags, context: &TaskContext<'_>, sink: &mut Sink) -> Values {
    let mut v = Values::default();
    macro_rules! texts {
        ($($field:ident: $bad:ident),+ $(,)?) => {
            $(v.$field = text(stringify!($field), &f.$field, $bad, sink);)+
        };
    }
    macro_rules! lists {
        ($($field:ident: $bad:ident),+ $(,)?) => {
            $(v.$field = list(stringify!($field), &f.$field, $bad, sink);)+
        };
    }
    macro_rules! words {
        ($($field:ident: $words:ident),+ $(,)?) => {
            $(v.$field = text(stringify!($field), &f.$field, no_nul, sink)
                .and_then(|text| word(stringify!($field), &text, &$words, sink));)+
        };
    }
    macro_rules! durations {
        ($($field:ident: $zero:expr),+ $(,)?) => {
            $(v.$field = text(stringify!($field), &f.$field, no_nul, sink)
                .and_then(|text| duration(stringify!($field), &text, $zero, sink));)+
        };
    }
    macro_rules! numbers {
        ($($field:ident: |$n:ident| $typed:expr),+ $(,)?) => {
            $(v.$field = f.$field.map(|n| at(stringify!($field), n)).and_then(|$n| $typed);)+
        };
    }
    texts!(
        name: bad_name, prompt: no_nul, prompt_file: bad_path, repo: bad_path,
        dir: bad_inner_path, base: bad_branch, harness: bad_argument, profile: bad_argument,
        model: bad_argument, role: bad_argument, project: bad_label, group: bad_label,
        setup: bad_command, teardown: bad_command,
    );
    v.name_refused = f.name.is_some() && v.name.is_none();
    v.prompt_refused = (f.prompt.is_some() && v.prompt.is_none())
        || (f.prompt_file.is_some() && v.prompt_file.is_none());
    v.harness = v
        .harness
        .take()
        .and_then(|text| known_harness("harness", text, context, sink));
    v.profile = v
        .profile
        .take()
        .and_then(|text| known_profile(text, context, sink));
    lists!(
        depends_on: bad_argument, labels: bad_label, allow: bad_command, keep: bad_glob,
        protect: bad_glob, env_pass: bad_variable, land_check: bad_command,
    );
    v.land = match (f.land, f.pr) {
        (_, true) => Some(at("pr", Land::Pr)),
        (true, false) => Some(at("land", Land::Yes)),
        (false, false) => None,
    };
    v.land_unverified = f.land_unverified.then(|| at("land_unverified", true));
    words!(
        workspace: WORKSPACES, priority: PRIORITIES, on_drift: DRIFTS, sandbox: SANDBOXES,
        expect: EXPECTS, permission: PERMISSIONS,
    );
    v.sandbox = v.sandbox.take().filter(|s| {
        let weak = s.value == longhaul_core::spec::Sandbox::Off;
        users_word("sandbox", "off", weak, &s.site, context, sink)
    });
    v.permission = v.permission.take().filter(|p| {
        let weak = p.value == longhaul_core::spec::Permission::Bypass;
        users_word("permission", "bypass", weak, &p.site, context, sink)
    });
    durations!(
        timeout: Zero::Refused, idle_timeout: Zero::Refused, answer_timeout: Zero::Allowed,
    );
    numbers!(
        budget_usd: |n| money("budget_usd", &n, sink),
        budget_tokens: |n| tokens("budget_tokens", &n, sink),
        max_retries: |n| count("max_retries", &n, 0, MAX_ATTEMPTS, sink),
        max_restarts: |n| count("max_restarts", &n, 0, MAX_ATTEMPTS, sink),
    );
    for pair in &f.env {
        let Some((name, value)) = pair.split_once('=') else {
            let site = at("env", ()).site;
            let message = "must be `NAME=VALUE`; to pass a variable on by name use `--env-pass`";
            sink.push(Finding::error(&site, message));
            continue;
        };
        let value = at("env", EnvValue::Literal(value.to_owned()));
        let site = value.site.clone();
        if let Some((name, value)) = variable(name, &site, value, sink) {
            v.env.insert(name, value);
        }
    }
    v.checks = checks(f, sink);
    v
}

/// A flag, its texts, and the check that each makes.
type CheckFlags<'f> = (&'f str, &'f [String], &'f dyn Fn(String) -> CheckKind);

fn checks(f: &TaskFlags, sink: &mut Sink) -> Vec<CheckValues> {
    let run = |command| CheckKind::Run { command };
    let model = |criterion| CheckKind::Model {
        criterion,
        model: None,
        budget: None,
    };
    let agent = |instructions| CheckKind::Agent {
        instructions,
        harness: None,
        model: None,
        budget: None,
    };
    let mut all = Vec::new();
    let groups: [CheckFlags<'_>; 3] = [
        ("check_run", &f.check_run, &run),
        ("check_model", &f.check_model, &model),
        ("check_agent", &f.check_agent, &agent),
    ];
    for (flag, texts, kind) in groups {
        for text in texts {
            let Some(text) = checked(flag, at(flag, text.clone()), bad_command, sink) else {
                continue;
            };
            all.push(CheckValues {
                spec: CheckSpec {
                    name: String::new(),
                    kind: kind(text.value),
                    timeout: DEFAULT_TIMEOUT,
                    retry_flaky: 0,
                },
                site: text.site,
                name_site: None,
                budget_site: None,
            });
        }
    }
    all
}

fn text(
    flag: &str,
    value: &Option<String>,
    bad: fn(&str) -> Option<String>,
    sink: &mut Sink,
) -> Option<Located<String>> {
    let value = checked(flag, at(flag, value.clone()?), no_nul, sink)?;
    checked(flag, value, bad, sink)
}

fn list(
    flag: &str,
    values: &[String],
    bad: fn(&str) -> Option<String>,
    sink: &mut Sink,
) -> Option<Vec<Located<String>>> {
    if values.is_empty() {
        return None;
    }
    let values = values.iter().map(|value| at(flag, value.clone())).collect();
    let values = checked_list(flag, values, no_nul, sink)?;
    checked_list(flag, values, bad, sink)
}

fn no_nul(text: &str) -> Option<String> {
    text.contains('\0')
        .then(|| "contains a NUL character".to_owned())
}
