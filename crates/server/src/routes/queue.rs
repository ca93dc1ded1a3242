//! The merge queue: how it stands, why an entry waits, a person's orders.

use axum::extract::{Path, State};
use longhaul_api::{ErrorClass, QueueBranch, QueueRequest, QueueVerb};
use longhaul_core::queue::{Entry, EntryId, LandCheck, LineId, Origin, QueueOrder, Undoing};
use longhaul_core::spec::Priority;
use longhaul_core::time::{SpanMs, UnixMs};
use longhaul_engine::handle::Command;
use serde::Deserialize;

use super::daemon::acknowledge;
use crate::http::app::App;
use crate::http::body::{Answer, Json, Params};
use crate::http::problem::ApiError;
use crate::views::new_entry;

/// A check of a branch that was added by hand.
const CHECK_TIME: SpanMs = SpanMs::from_secs(15 * 60);

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ShowQuery {
    forecast: bool,
}

pub(super) async fn show(
    State(app): State<App>,
    Params(query): Params<ShowQuery>,
) -> Result<Answer, ApiError> {
    if !query.forecast {
        return app.show(Vec::new(), |v| v.queue()).await;
    }
    let (mut view, watches) = app.view(Vec::new(), |v| v.queue_watch()).await?;
    let phrasing = app.phrasing.clone();
    let told = app.foresee(move |git| {
        let each = watches.iter().map(|watch| {
            let said = git.forecast(&watch.line, &watch.heads());
            watch.told(said, &phrasing)
        });
        Ok(each.collect::<Vec<_>>())
    });
    for (line, told) in view.lines.iter_mut().zip(told.await?) {
        line.forecast = Some(told);
    }
    Answer::new(view)
}

pub(super) async fn explain(
    State(app): State<App>,
    Path(text): Path<String>,
) -> Result<Answer, ApiError> {
    app.show(Vec::new(), move |v| v.queue_entry(&text)).await
}

pub(super) async fn order(
    State(app): State<App>,
    Json(request): Json<QueueRequest>,
) -> Result<Answer, ApiError> {
    let command = match (request.order, &request.entry, &request.branch) {
        (QueueVerb::Add, Some(text), None) => {
            let text = text.clone();
            let task = app.view(Vec::new(), move |v| v.resolve(&text)).await?;
            Command::Land { task }
        }
        (QueueVerb::Add, None, Some(branch)) => {
            let (Some(repo), Some(base)) = (request.repo.clone(), request.base.clone()) else {
                return Err(bad("a branch needs `repo` and `base`"));
            };
            let entry = entry(branch, (app.clock)())?;
            Command::Enqueue {
                line: LineId { repo, base },
                entry: Box::new(entry),
            }
        }
        (QueueVerb::Undo, Some(text), None) => undo(&app, &request, text.clone()).await?,
        (QueueVerb::Add, ..) => return Err(bad("`add` takes an entry or a branch")),
        (verb @ (QueueVerb::Remove | QueueVerb::Hold | QueueVerb::Release), Some(text), _) => {
            let text = text.clone();
            let (line, entry) = app.view(Vec::new(), move |v| v.entry(&text)).await?;
            let order = match verb {
                QueueVerb::Remove => QueueOrder::Remove { entry },
                QueueVerb::Hold => QueueOrder::Hold { entry },
                _ => QueueOrder::Release { entry },
            };
            Command::Queue {
                lines: line.into_iter().collect(),
                order,
            }
        }
        (QueueVerb::Remove | QueueVerb::Hold | QueueVerb::Release | QueueVerb::Undo, None, _) => {
            return Err(bad("this order names an entry"));
        }
        (verb, None, None) => {
            let (repo, base) = (request.repo.clone(), request.base.clone());
            let lines = app
                .view(Vec::new(), move |v| {
                    v.lines_of(repo.as_deref(), base.as_deref())
                })
                .await?;
            let order = match verb {
                QueueVerb::Pause => QueueOrder::Pause,
                QueueVerb::Resume => QueueOrder::Resume,
                QueueVerb::Once => QueueOrder::Once,
                QueueVerb::Advance => QueueOrder::Advance,
                _ => QueueOrder::Freeze {
                    below: request.below,
                },
            };
            Command::Queue { lines, order }
        }
        _ => return Err(bad("this order is for whole lines")),
    };
    acknowledge(&app, command).await
}

/// The entry that takes a landing back, its commit made. Whoever asks hears here if it cannot be.
async fn undo(app: &App, request: &QueueRequest, text: String) -> Result<Command, ApiError> {
    let refused = |code, why: String| ApiError::new(ErrorClass::Conflict, code, why);
    let name = app.phrasing.line(&text);
    let found = app.view(Vec::new(), move |v| v.to_undo(&text)).await?;
    let landing = found.map_err(|why| refused("not_undone", format!("{name}: {why}")))?;
    let id = landing.undo_id();
    let own = (!request.checks.is_empty()).then(|| checks(id, &request.checks));
    let mut entry = landing.undo(own, request.unverified, (app.clock)());
    let asked = landing.clone();
    match app.foresee(move |git| git.undo(&asked)).await? {
        Undoing::Made { commit } => entry.commit = commit,
        Undoing::Conflict { report, later } => {
            let by = if later {
                "what landed later"
            } else {
                "an entry that landed together with it"
            };
            let why = format!("{name}: {by} builds on it: {}", report.first_paths());
            return Err(refused("built_on", app.phrasing.line(&why)).hint(
                "take that back first, or undo it by hand on a branch and `longhaul queue add` that",
            ));
        }
    }
    Ok(Command::Enqueue {
        line: landing.line,
        entry: Box::new(entry),
    })
}

fn entry(branch: &QueueBranch, now: UnixMs) -> Result<Entry, ApiError> {
    let hex = branch.commit.bytes().all(|b| b.is_ascii_hexdigit());
    if !hex || !matches!(branch.commit.len(), 40 | 64) || branch.name.is_empty() {
        return Err(bad("a branch has a name and a whole commit id"));
    }
    let id = new_entry();
    Ok(Entry {
        id,
        origin: Origin::Branch {
            name: branch.name.clone(),
        },
        title: branch.name.clone(),
        commit: branch.commit.clone(),
        priority: Priority::Normal,
        since: now,
        style: branch.merge_style,
        checks: checks(id, &branch.checks),
        land_unverified: branch.unverified,
        held: false,
        wait: None,
    })
}

fn checks(of: EntryId, commands: &[String]) -> Vec<LandCheck> {
    let check = |(n, command): (usize, &String)| LandCheck {
        name: format!("check-{}", n + 1),
        command: command.clone(),
        timeout: CHECK_TIME,
        // Nothing but the command: it runs with the daemon's own environment.
        key: format!("by hand: {command}"),
        of,
    };
    commands.iter().enumerate().map(check).collect()
}

fn bad(why: &str) -> ApiError {
    ApiError::invalid("bad_queue_order", why.to_owned())
}
