//! `longhaul config`.

use longhaul_api::{API_VERSION, ExitCode};

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::table::{self, cell, styled};
use crate::output::{palette, text};
use crate::settings;
use crate::submit::repo;

/// The settings in force, and where each came from
///
/// Later layers win: built-in defaults, your config.toml, the repository's .longhaul/config.toml,
/// its config.local.toml, LONGHAUL_* variables, flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul config list --origin    every value with where it came from
  longhaul config path             where the files are")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Every value that is set
    List {
        /// With where each value came from
        #[arg(long)]
        origin: bool,
    },
    /// Where the files are
    Path,
}

/// Prints settings.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let home = repo::top_level(context, context.folder()).ok();
    match args.verb {
        Verb::List { origin } => list(context, home.as_deref(), origin)?,
        Verb::Path => paths(context, home.as_deref())?,
    }
    Ok(ExitCode::Done)
}

fn list(context: &Context, home: Option<&camino::Utf8Path>, origin: bool) -> Result<(), Failure> {
    let resolved = settings::load(context, home)?;
    let p = &context.printer;
    if context.json {
        return p.json(&serde_json::json!({
            "longhaul": API_VERSION, "kind": "settings",
            "data": { "entries": resolved.entries, "ignored": resolved.ignored },
        }));
    }
    crate::submit::file::say_notes(context, &resolved.notes);
    if let Some(note) = settings::unread_change(context.paths()) {
        p.say(&note);
    }
    if origin {
        let rows: Vec<_> = resolved
            .entries
            .iter()
            .map(|e| {
                vec![
                    styled(e.key.clone(), palette::STRONG),
                    cell(text::clean(&e.value.to_string())),
                    styled(text::clean(&e.origin.to_string()), palette::FAINT),
                ]
            })
            .collect();
        for line in table::lines(p, &["KEY", "VALUE", "FROM"], &rows) {
            p.line(&line)?;
        }
    } else {
        for e in &resolved.entries {
            p.line(&format!(
                "{} = {}",
                p.paint(palette::STRONG, &e.key),
                text::clean(&e.value.to_string())
            ))?;
        }
    }
    Ok(())
}

fn paths(context: &Context, home: Option<&camino::Utf8Path>) -> Result<(), Failure> {
    let paths = context.paths();
    let mut rows = vec![
        ("config", paths.config_file()),
        ("trust", paths.trust_file()),
        ("state", paths.state_dir.clone()),
        ("runtime", paths.runtime_dir.clone()),
        ("socket", paths.socket()),
        ("daemon log", paths.daemon_log()),
    ];
    if let Some(home) = home {
        let folder = home.join(settings::REPO_FOLDER);
        rows.insert(1, ("repository", folder.join("config.toml")));
        rows.insert(2, ("local", folder.join("config.local.toml")));
    }
    let p = &context.printer;
    if context.json {
        let map: std::collections::BTreeMap<_, _> =
            rows.iter().map(|(k, v)| (k.replace(' ', "_"), v)).collect();
        return p
            .json(&serde_json::json!({ "longhaul": API_VERSION, "kind": "paths", "data": map }));
    }
    for (name, path) in rows {
        let there = if path.exists() { "" } else { "  (not there)" };
        p.line(&format!(
            "{:<11} {path}{}",
            name,
            p.paint(palette::FAINT, there)
        ))?;
    }
    Ok(())
}
