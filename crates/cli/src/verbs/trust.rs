//! `longhaul trust`.

use camino::Utf8PathBuf;
use longhaul_api::ExitCode;
use longhaul_config::trust::{Trust, TrustStore};

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::palette;
use crate::output::text::clean;
use crate::settings;
use crate::submit::repo;

/// Let a repository's own files set programs, commands and permissions
///
/// Until you trust it, a repository's .longhaul files and task files may not run or send anything that
/// you did not ask for, nor take a protection away. Trust is pinned to the files as they are now: when
/// one of them changes, you are asked again.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul trust                   shows what the repository sets, and asks
  longhaul trust --list            every repository you trust
  longhaul trust --revoke")]
pub(crate) struct Args {
    /// The repository, instead of the one you are in
    #[arg(value_name = "DIR")]
    folder: Option<Utf8PathBuf>,
    /// Show what is trusted; change nothing
    #[arg(long, conflicts_with_all = ["revoke", "folder"])]
    list: bool,
    /// Trust it no more
    #[arg(long)]
    revoke: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// Changes or shows the list.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let p = &context.printer;
    if !args.list {
        context.person_only()?;
    }
    let mut list = settings::trust_list(context.paths(), p)?;
    if args.list {
        return show(context, &list);
    }
    let folder = args
        .folder
        .as_ref()
        .map_or_else(|| context.folder().to_owned(), |f| context.absolute(f));
    let top = repo::top_level(context, &folder)?;
    if args.revoke {
        let was = list.revoke(&top);
        if was {
            store(context, &list)?;
        }
        p.line(&if was {
            format!("{top} is not trusted any more")
        } else {
            format!("{top} was not trusted")
        })?;
        return Ok(ExitCode::Done);
    }
    let content = settings::content(&top)?;
    if list.lookup(&top, &content) == Trust::Trusted {
        p.line(&format!("{top} is trusted already, as it is now"))?;
        return Ok(ExitCode::Done);
    }
    let resolved = settings::load(context, Some(&top))?;
    p.say(&format!("{top} wants to set:"));
    let wanted: Vec<_> = resolved
        .ignored
        .iter()
        .filter(|i| i.trust_would_help)
        .collect();
    for ignored in &wanted {
        p.say(&format!(
            "  {}  ({})",
            p.paint(palette::STRONG, &clean(&ignored.key)),
            clean(&ignored.origin.to_string())
        ));
    }
    if wanted.is_empty() {
        p.say("  nothing in its configuration; its task files may then use permission `bypass` and sandbox `off`");
    }
    if !args.yes && !p.confirm("Did you read these files, and do you trust them?", "--yes")? {
        p.say("nothing was changed");
        return Ok(ExitCode::Cancelled);
    }
    list.trust(top.clone(), content);
    store(context, &list)?;
    p.line(&format!("{top} is trusted, as it is now"))?;
    Ok(ExitCode::Done)
}

fn show(context: &Context, list: &TrustStore) -> Outcome {
    let p = &context.printer;
    let mut any = false;
    let mut out = Vec::new();
    for (path, pinned) in list.iter() {
        any = true;
        let now = settings::content(path);
        let changed = !matches!(&now, Ok(now) if now == pinned);
        out.push(
            serde_json::json!({ "repo": path, "pinned": pinned.as_str(), "changed": changed }),
        );
        if !context.json {
            let note = if changed {
                p.paint(palette::WARN, "  changed since: not trusted now")
            } else {
                String::new()
            };
            p.line(&format!("{path}{note}"))?;
        }
    }
    if context.json {
        p.json(&serde_json::json!({ "longhaul": longhaul_api::API_VERSION, "kind": "trust", "data": { "repos": out } }))?;
    } else if !any {
        p.line("no repository is trusted")?;
    }
    Ok(ExitCode::Done)
}

fn store(context: &Context, list: &TrustStore) -> Result<(), Failure> {
    settings::write(&context.paths().trust_file(), list.to_text().as_bytes())
}
