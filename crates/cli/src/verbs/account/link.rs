//! `longhaul account link`: what homes share (A18).

use longhaul_api::{API_VERSION, ExitCode, TaskQuery};
use serde_json::{Value, json};

use crate::accounts::home_accounts;
use crate::accounts::link::{Plan, Step, apply, look, plan, wanted};
use crate::client::is_at_work;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::text::{clean, count};
use crate::settings;
use crate::submit::harness::registry;
use crate::verbs::size;

pub(super) fn link(context: &Context, adopt: bool, yes: bool) -> Outcome {
    context.person_only()?;
    let p = &context.printer;
    let settings = settings::load(context, None)?.settings;
    let home = &context.paths().home;
    let all = home_accounts(&settings.accounts, &registry(&settings)?, home);
    let wanted = wanted(&settings.accounts, &all, home);
    if wanted.is_empty() {
        return Err(
            Failure::of(ExitCode::NotFound, "there is no account home to link")
                .help("`longhaul account add NAME --harness claude --home DIR` writes one down"),
        );
    }
    let plan = plan(&look(wanted), adopt);
    refuse(&plan)?;
    let preview = preview(context, &plan)?;
    if !preview.is_empty() {
        nobody_there(context)?;
        if !context.json {
            for line in &preview {
                p.line(line)?;
            }
        }
        let question = "Copy this into the shared folders, keep the old ones beside the links, and link them? Close agents that use these homes first.";
        if !yes && !p.confirm(question, "--yes")? {
            p.say("nothing was changed");
            return Ok(ExitCode::Cancelled);
        }
    }
    apply(&plan)?;
    let told: Vec<String> = plan.steps.iter().filter_map(done).collect();
    let said = super::edit::reload(context)?;
    if context.json {
        p.json(
            &json!({ "longhaul": API_VERSION, "kind": "account_links", "data": {
            "linked": links(&plan), "right": plan.right,
        } }),
        )?;
        return Ok(ExitCode::Done);
    }
    for line in &told {
        p.line(line)?;
    }
    let right = count(plan.right, "link");
    p.line(&format!(
        "{right} {} right already{said}",
        if plan.right == 1 { "was" } else { "were" }
    ))?;
    if !settings.accounts.rotate_homes {
        p.say("sessions stay at their homes: rotation is off (`rotate_homes` below [accounts]; check your provider's terms first)");
    }
    Ok(ExitCode::Done)
}

/// Every problem of every home at once; nothing is done then.
fn refuse(plan: &Plan) -> Result<(), Failure> {
    if plan.problems.is_empty() {
        return Ok(());
    }
    let lines = plan.problems.iter().map(|problem| {
        format!(
            "  {}: {}\n      {}\n",
            clean(&problem.account),
            clean(&problem.what),
            clean(&problem.help)
        )
    });
    let n = count(plan.problems.len(), "problem");
    let failure = Failure::of(
        ExitCode::Conflict,
        format!("the homes cannot be linked: {n}"),
    );
    Err(failure
        .detail(lines.collect::<String>())
        .help("nothing was changed"))
}

/// What would be copied, in lines; empty where nothing is.
fn preview(context: &Context, plan: &Plan) -> Result<Vec<String>, Failure> {
    let seen = plan
        .preview()
        .map_err(|e| Failure::new("the folders to adopt cannot be read").because(e))?;
    let conflicts: Vec<&String> = seen.iter().flat_map(|(_, p)| &p.conflicts).collect();
    if !conflicts.is_empty() {
        let most = conflicts.iter().take(20);
        let mut detail: String = most.map(|c| format!("  {}\n", clean(c))).collect();
        if conflicts.len() > 20 {
            detail.push_str(&format!("  and {} more\n", conflicts.len() - 20));
        }
        let what = format!(
            "{} cannot be brought together",
            count(conflicts.len(), "file")
        );
        return Err(Failure::of(ExitCode::Conflict, what)
            .detail(detail)
            .help("keep the one that you want, move the other away; nothing was changed"));
    }
    let p = &context.printer;
    let lines = seen.iter().map(|(folder, preview)| {
        let there = match preview.there {
            0 => String::new(),
            n => format!(", {n} there already"),
        };
        format!(
            "{}: {} ({}) to copy{there}",
            p.paint(crate::output::palette::STRONG, &clean(folder.as_str())),
            count(usize::try_from(preview.files).unwrap_or(usize::MAX), "file"),
            size(preview.bytes),
        )
    });
    Ok(lines.collect())
}

/// A session writes into its home while it lives.
fn nobody_there(context: &Context) -> Result<(), Failure> {
    // Sessions live without a daemon, too.
    let tasks = context.reads()?.tasks(&TaskQuery::default())?.tasks;
    match tasks.iter().filter(|t| is_at_work(t.state)).count() {
        0 => Ok(()),
        n => Err(Failure::of(
            ExitCode::Conflict,
            format!("{} at work, and may write into a home", count(n, "task")),
        )
        .help("`longhaul drain`, wait until they are done, link, then `longhaul undrain`")),
    }
}

fn done(step: &Step) -> Option<String> {
    match step {
        Step::MakeTarget { .. } => None,
        Step::Adopt { folder, kept, .. } => Some(format!(
            "adopted {}; it is kept as {}",
            clean(folder.as_str()),
            clean(kept.as_str())
        )),
        Step::MakeLink { link, target, .. } => Some(format!(
            "linked {} to {}",
            clean(link.as_str()),
            clean(target.as_str())
        )),
    }
}

fn links(plan: &Plan) -> Vec<Value> {
    let links = plan.steps.iter().filter_map(|step| match step {
        Step::MakeLink { link, target, .. } => Some(json!({ "link": link, "target": target })),
        Step::MakeTarget { .. } | Step::Adopt { .. } => None,
    });
    links.collect()
}
