//! What would fail every attempt of a task, seen before it is stored: scripts with mistakes, checks
//! that nobody here can judge. Not the checks of the file itself, which the config crate makes.

use camino::Utf8Path;
use longhaul_agents::Registry;
use longhaul_config::taskfile::TaskDraft;
use longhaul_core::spec::{CheckKind, CheckSpec, WorkspaceKind};
use longhaul_engine::executor::Practice;

use super::spec::Resolver;
use crate::failure::Failure;

/// The prompt of a task of the `script` harness, the one whose prompt is a program.
///
/// # Errors
/// Its first mistake.
pub(super) fn script(draft: &TaskDraft, name: &str, registry: &Registry) -> Result<(), Failure> {
    if !is_script(name, registry) {
        return Ok(());
    }
    longhaul_script::parse(&draft.prompt)
        .map(drop)
        .map_err(|e| {
            Failure::usage(format!("the prompt of `{}` is no script", draft.name))
                .because(e)
                .help("harness `script` plays its prompt line by line; another harness takes words")
        })
}

/// A `model` check needs a judge, an `agent` check an agent that is installed and a checkout to look
/// at (T10, T11). Without them every attempt would fail and nothing would have been judged.
///
/// # Errors
/// What is missing, and where to say it.
pub(super) fn can_be_judged(
    check: &CheckSpec,
    draft: &TaskDraft,
    own: &str,
    repo: &Utf8Path,
    practice: &Practice,
    resolver: &mut Resolver<'_>,
) -> Result<(), Failure> {
    let name = &check.name;
    match &check.kind {
        CheckKind::Run { .. } => Ok(()),
        CheckKind::Model { model: judge, .. } => {
            let judge = judge.as_ref().or(practice.default_judge.as_ref());
            match judge {
                Some(judge) if practice.judges.contains_key(judge) => Ok(()),
                Some(judge) => Err(Failure::usage(format!(
                    "check `{name}` has the judge `{judge}`, which the configuration does not have"
                ))
                .help(format!("define it as `[judge.{judge}]` in your config.toml"))),
                None => Err(Failure::usage(format!(
                    "check `{name}` asks a model, and no judge is configured for it"
                ))
                .help("define a `[judge.NAME]` in your config.toml, and name it with `judge = \"NAME\"` here or `default_judge` there")),
            }
        }
        CheckKind::Agent { harness, .. } => {
            if draft.workspace == WorkspaceKind::InPlace {
                return Err(Failure::usage(format!(
                    "check `{name}` is a review, which needs a checkout of its own"
                ))
                .help("leave out `workspace = \"in-place\"`, or check with `run` or `model`"));
            }
            let reviewer = harness.as_deref().unwrap_or(own);
            if is_script(reviewer, &practice.registry) {
                return Err(Failure::usage(format!(
                    "check `{name}` is a review, which harness `script` cannot do"
                ))
                .help("name an agent beside it, such as `harness = \"claude\"`"));
            }
            resolver.agent(reviewer, repo, practice).map(drop)
        }
    }
}

fn is_script(name: &str, registry: &Registry) -> bool {
    registry
        .resolve(name)
        .is_ok_and(longhaul_agents::Harness::is_builtin_script)
}
