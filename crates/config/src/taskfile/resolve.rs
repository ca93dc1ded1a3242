//! One task's keys and the defaults put together: what contradicts, what is missing, what is left
//! out. Dependencies are linked elsewhere.

use camino::Utf8Path;
use longhaul_core::spec::{
    CheckKind, CheckSpec, EnvValue, Expect, Land, OnDrift, Permission, Priority, Sandbox,
    WorkspaceKind,
};
use longhaul_core::time::SpanMs;

use super::check::DEFAULT_TIMEOUT;
use super::context::TaskContext;
use super::draft::TaskDraft;
use super::fields::{known_harness, users_word};
use super::prompt::Prompts;
use super::values::Values;
use crate::diag::{Finding, Located, Sink, Site, quoted};

const TIMEOUT: SpanMs = SpanMs::from_secs(45 * 60);
const IDLE_TIMEOUT: SpanMs = SpanMs::from_secs(10 * 60);
const ANSWER_TIMEOUT: SpanMs = SpanMs::from_secs(60);
const MAX_RETRIES: u32 = 2;
const MAX_RESTARTS: u32 = 5;

/// A task's values with the place of its table.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) site: Site,
    pub(super) values: Values,
}

/// Puts a task together; `None` if a part without which there is no task is missing. The values
/// with the defaults in them are returned for linking.
pub(super) fn draft(
    mut own: Values,
    site: &Site,
    defaults: &Values,
    folder: &Utf8Path,
    context: &TaskContext<'_>,
    prompts: &mut Prompts,
    sink: &mut Sink,
) -> (Values, Option<TaskDraft>) {
    let in_place = [&own, defaults]
        .iter()
        .find_map(|v| v.workspace.as_ref())
        .filter(|w| w.value == WorkspaceKind::InPlace)
        .cloned();
    if let Some(word) = &in_place {
        refuse_in_place(&own, word, sink);
    }
    let inherited_base = own.base.is_none() && in_place.is_some();
    let inherited_teardown = own.teardown.is_none() && in_place.is_some();
    own.inherit(defaults);
    if inherited_base {
        own.base = None;
    }
    if inherited_teardown {
        own.teardown = None;
    }
    if context.land && own.land.is_none() && in_place.is_none() {
        let site = Site::Named("--land".to_owned());
        own.land = Some(Located {
            value: Land::Yes,
            site,
        });
    }
    profile(&mut own, context, sink);
    let prompt_from = if own.has_prompt() { &own } else { defaults };
    let files = context.prompt_files;
    let prompt = prompts.read(prompt_from, site, folder, files, sink);
    own.prompt = None;
    if own.name.is_none() && !own.name_refused {
        let message = "the task has no name";
        let help = "add `name = \"a-short-name\"`";
        sink.push(Finding::error(site, message).key("name").help(help));
    }
    contradictions(&own, sink);
    landing(&own, site, sink);
    budgets(&own, context, sink);
    name_checks(&mut own, sink);
    let draft = own.name.clone().zip(prompt).map(|(name, prompt)| {
        build(
            &own,
            name.value,
            prompt,
            folder,
            in_place.is_some(),
            context,
        )
    });
    (own, draft)
}

/// Keys of the task itself that mean nothing in a folder that is not ours (tasks.md: no commit, no
/// landing). Those that `[defaults]` gives are left out without a word.
fn refuse_in_place(own: &Values, word: &Located<WorkspaceKind>, sink: &mut Sink) {
    let stray = [
        ("base", &own.base, "the folder is used as it is"),
        ("teardown", &own.teardown, "the folder is never removed"),
    ];
    if let Some(land) = own.land.as_ref().filter(|l| l.value != Land::No) {
        let message =
            "`land` has no meaning with `workspace = \"in-place\"`: there is no branch to land";
        let finding = Finding::error(&land.site, message).key("land");
        sink.push(finding.also(&word.site, "the workspace is chosen here"));
    }
    for (key, value, why) in stray {
        if let Some(value) = value {
            let message = format!("`{key}` has no meaning with `workspace = \"in-place\"`: {why}");
            let finding = Finding::error(&value.site, message).key(key);
            sink.push(finding.also(&word.site, "the workspace is chosen here"));
        }
    }
}

/// What the task's profile says where neither the task nor `[defaults]` does (S12): its agent, model,
/// permission and budgets. Tools, folders and instructions join at the launch.
fn profile(own: &mut Values, context: &TaskContext<'_>, sink: &mut Sink) {
    let Some(named) = own.profile.clone() else {
        return;
    };
    let Some(profile) = context.profiles.and_then(|all| all.get(&named.value)) else {
        return;
    };
    let at = |text: &String| Located {
        value: text.clone(),
        site: named.site.clone(),
    };
    if own.harness.is_none()
        && let Some(agent) = &profile.agent
    {
        own.harness = known_harness("profile", at(agent), context, sink);
    }
    if own.model.is_none() {
        own.model = profile.model.as_ref().map(at);
    }
    if own.permission.is_none()
        && let Some(mode) = profile.permission_mode
    {
        // The profile is the user's; that this task runs under it is the file's word (T23).
        let weak = mode == Permission::Bypass;
        if users_word("profile", &named.value, weak, &named.site, context, sink) {
            own.permission = Some(named.clone().map(|_| mode));
        }
    }
    if own.budget_usd.is_none() {
        own.budget_usd = profile.max_budget_usd.map(|usd| named.clone().map(|_| usd));
    }
    if own.budget_tokens.is_none() {
        own.budget_tokens = profile.token_budget.map(|n| named.clone().map(|_| n));
    }
}

fn wish(v: &Values) -> Land {
    v.land.as_ref().map_or(Land::No, |l| l.value)
}

/// The commands of `land_check` as checks of the merged tree.
fn land_checks(v: &Values) -> Vec<CheckSpec> {
    let check = |(n, command): (usize, &Located<String>)| CheckSpec {
        name: format!("land-{}", n + 1),
        kind: CheckKind::Run {
            command: command.value.clone(),
        },
        timeout: DEFAULT_TIMEOUT,
        retry_flaky: 0,
    };
    let commands = v.land_check.iter().flatten();
    commands.enumerate().map(check).collect()
}

/// What lands is verified as merged, or somebody said that it need not be (L9, T27).
fn landing(v: &Values, site: &Site, sink: &mut Sink) {
    let Some(land) = v.land.as_ref().filter(|l| l.value != Land::No) else {
        return;
    };
    if land.value == Land::Pr {
        // People look at it before it is merged; nothing merges it here.
        if let Some(check) = v.land_check.as_ref().and_then(|c| c.first()) {
            let message =
                "`land_check` has no meaning with `land = \"pr\"`: nothing is merged here";
            let finding = Finding::error(&check.site, message).key("land_check");
            let help = "make it a check of the task: `[[task.check]] run = …`";
            sink.push(finding.also(&land.site, "`land` is chosen here").help(help));
        }
        return;
    }
    let unverified = v.land_unverified.as_ref().is_some_and(|u| u.value);
    let runs = v
        .checks
        .iter()
        .any(|c| matches!(c.spec.kind, CheckKind::Run { .. }));
    if unverified || runs || v.land_check.as_ref().is_some_and(|c| !c.is_empty()) {
        return;
    }
    let message =
        "nothing would verify the merged tree: there is no `run` check and no `land_check`";
    let help =
        "add a check with `run`, or `land_check = [\"make test\"]`; or `land_unverified = true`";
    let finding = Finding::error(&land.site, message).key("land");
    sink.push(finding.also(site, "of this task").help(help));
}

fn contradictions(v: &Values, sink: &mut Sink) {
    for name in v.env_pass.iter().flatten() {
        if let Some(value) = v.env.get(&name.value) {
            let message = format!("{} is in both `env` and `env_pass`", quoted(&name.value));
            let finding = Finding::error(&name.site, message).key("env_pass");
            sink.push(
                finding
                    .also(&value.site, "`env` gives it here")
                    .help("keep one of them"),
            );
        }
    }
    if let (Some(expect), Some(permission)) = (&v.expect, &v.permission)
        && expect.value == Expect::Change
        && permission.value == Permission::Plan
    {
        let message = "`expect = \"change\"` can never be met with `permission = \"plan\"`, which may not change anything";
        let finding = Finding::error(&expect.site, message).key("expect");
        sink.push(finding.also(&permission.site, "the permission is chosen here"));
    }
}

/// I10: a budget in money is refused where what is spent cannot be known. `auto` is settled when
/// the harness is picked ([`TaskDraft::into_spec`]).
fn budgets(v: &Values, context: &TaskContext<'_>, sink: &mut Sink) {
    let default = &context.defaults.harness;
    let own = v.harness.as_ref().map_or(default, |h| &h.value);
    let mut refuse = |site: &Site, harness: &String| {
        let Some(info) = context.harnesses.find(harness).filter(|h| !h.cost_known) else {
            return;
        };
        let message = format!(
            "`budget_usd` cannot be kept with harness `{}`: what it spends in money is not known",
            info.name
        );
        let help = "use `budget_tokens`, or a harness whose cost is known";
        sink.push(Finding::error(site, message).key("budget_usd").help(help));
    };
    if let Some(budget) = &v.budget_usd {
        refuse(&budget.site, own);
    }
    for check in &v.checks {
        if let (CheckKind::Agent { harness, .. }, Some(site)) =
            (&check.spec.kind, &check.budget_site)
        {
            refuse(site, harness.as_ref().unwrap_or(own));
        }
    }
}

/// Gives nameless checks their name and finds those of one name.
fn name_checks(v: &mut Values, sink: &mut Sink) {
    for (n, check) in v.checks.iter_mut().enumerate() {
        if check.name_site.is_none() {
            check.spec.name = format!("check-{}", n + 1);
        }
    }
    for (n, check) in v.checks.iter().enumerate() {
        let same = |other: &&super::values::CheckValues| other.spec.name == check.spec.name;
        if let Some(first) = v.checks[..n].iter().find(same) {
            let message = format!("a second check named {}", quoted(&check.spec.name));
            let site = check.name_site.as_ref().unwrap_or(&check.site);
            let other = first.name_site.as_ref().unwrap_or(&first.site);
            sink.push(
                Finding::error(site, message)
                    .key("name")
                    .also(other, "the first is here"),
            );
        }
    }
}

fn build(
    v: &Values,
    name: String,
    prompt: String,
    folder: &Utf8Path,
    in_place: bool,
    context: &TaskContext<'_>,
) -> TaskDraft {
    let text = |t: &Option<Located<String>>| t.as_ref().map(|t| t.value.clone());
    let texts = |t: &Option<Vec<Located<String>>>| -> Vec<String> {
        t.iter().flatten().map(|t| t.value.clone()).collect()
    };
    let span = |s: &Option<Located<SpanMs>>, default| s.as_ref().map_or(default, |s| s.value);
    let defaults = context.defaults;
    let permission = v
        .permission
        .as_ref()
        .map_or(defaults.permission, |p| p.value);
    let expect = match &v.expect {
        Some(expect) => expect.value,
        None if in_place || permission == Permission::Plan => Expect::Any,
        None => Expect::Change,
    };
    let env: Vec<(String, EnvValue)> = v
        .env
        .iter()
        .map(|(name, value)| (name.clone(), value.value.clone()))
        .collect();
    TaskDraft {
        name,
        prompt,
        repo: v.repo.as_ref().map(|r| folder.join(&r.value)),
        dir: v.dir.as_ref().map(|d| (&d.value).into()),
        workspace: v
            .workspace
            .as_ref()
            .map_or(WorkspaceKind::Worktree, |w| w.value),
        base: text(&v.base),
        harness: text(&v.harness).unwrap_or_else(|| defaults.harness.clone()),
        profile: text(&v.profile),
        model: text(&v.model),
        role: text(&v.role),
        depends_on: Vec::new(),
        priority: v.priority.as_ref().map_or(Priority::Normal, |p| p.value),
        budget: v.budget_usd.as_ref().map(|b| b.value),
        budget_tokens: v.budget_tokens.as_ref().map(|b| b.value),
        timeout: span(&v.timeout, TIMEOUT),
        idle_timeout: span(&v.idle_timeout, IDLE_TIMEOUT),
        answer_timeout: span(&v.answer_timeout, ANSWER_TIMEOUT),
        max_retries: v.max_retries.as_ref().map_or(MAX_RETRIES, |n| n.value),
        max_restarts: v.max_restarts.as_ref().map_or(MAX_RESTARTS, |n| n.value),
        on_drift: v.on_drift.as_ref().map_or(OnDrift::Ask, |d| d.value),
        land: if in_place { Land::No } else { wish(v) },
        land_checks: land_checks(v),
        land_unverified: v.land_unverified.as_ref().is_some_and(|u| u.value),
        project: text(&v.project),
        group: text(&v.group),
        labels: texts(&v.labels),
        allow: texts(&v.allow),
        keep: texts(&v.keep),
        sandbox: v.sandbox.as_ref().map_or(Sandbox::Write, |s| s.value),
        protect: texts(&v.protect),
        expect,
        permission,
        env: env.into_iter().collect(),
        env_pass: texts(&v.env_pass),
        setup: text(&v.setup).or_else(|| defaults.setup.clone()),
        teardown: text(&v.teardown)
            .or_else(|| defaults.teardown.clone())
            .filter(|_| !in_place),
        checks: v.checks.iter().map(|c| c.spec.clone()).collect(),
    }
}
