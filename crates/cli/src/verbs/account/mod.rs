//! `longhaul account`.

mod edit;
mod homes;
mod link;
mod probe;
mod switches;

use anstyle::Style;
use longhaul_api::{API_VERSION, ExitCode, RestingView};
use longhaul_core::account::Provider;
use longhaul_gateway::Client;
use longhaul_gateway::api::{AccountCondition, AccountView, StatusView, WindowView};
use serde_json::{Value, json};

use crate::accounts::{Account, named, roster};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::table::{self, cell, styled};
use crate::output::text::clean;
use crate::output::{clock, palette};
use crate::settings;

/// The keys and config homes that sessions use, and what is left of each
///
/// An account is an agent's own config home, in which you logged in with its own tool, or a key of a provider: one that you write down here, or one that the daemon finds in its
/// environment (ANTHROPIC_API_KEY, OPENAI_API_KEY, GEMINI_API_KEY, with suffixes such as `_2`, as lists in `…_KEYS`,
/// in a file named by `…_KEYS_FILE`). Sessions of Claude Code, Codex and Gemini CLI reach them through the gateway,
/// which goes on with another key of the same provider where one is used up. No key is ever shown or stored by
/// Longhaul: only where it is found. What is in a home is its agent's alone. An enabled home goes before all keys of
/// its agent; `use` a key to have keys used instead.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul account list
  longhaul account add work --provider anthropic --command 'secret-tool lookup service anthropic'
  longhaul account add spare --provider openai --file ~/.keys/openai
  longhaul account add max --harness claude --home ~/.claude-max
  longhaul account link            homes share their conversations; `--adopt` moves what they hold
  longhaul account switches        who went from which home to which, and why
  longhaul account test            asks each provider whether it takes the key
  longhaul account use work        only this one of its provider; `--any` ends that
  longhaul account disable spare")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// All of them, with what the gateway knows of each
    List,
    /// One of them, with its windows
    Show {
        /// The account
        name: String,
    },
    /// Write one down: where its key or its home is found, never the key itself
    Add(edit::Add),
    /// Have all homes share their conversations, so that any of them can go on with any
    ///
    /// Makes the folders of conversations in each home (`[accounts.shared]`) links to one shared place. What is not
    /// as expected is told and left alone: all problems of all homes at once, and nothing is done then.
    Link {
        /// Copy what real folders hold into the shared place, keep them beside, and link
        #[arg(long)]
        adopt: bool,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Which tasks went from one home to another, and why
    Switches {
        /// At most so many, the newest
        #[arg(long, value_name = "N", default_value_t = 50)]
        last: usize,
    },
    /// Forget one that is written down; its key or home stays as it is
    Remove {
        /// The account
        name: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Let one be used again
    Enable {
        /// The account
        name: String,
    },
    /// Use one no more until it is enabled
    Disable {
        /// The account
        name: String,
    },
    /// Ask the provider whether it takes the key; costs no tokens. A home is only looked at
    Test {
        /// Only this account
        name: Option<String>,
    },
    /// Use only this one of its provider or agent
    Use {
        /// The account
        #[arg(required_unless_present = "any")]
        name: Option<String>,
        /// Use any of them again
        #[arg(long, conflicts_with = "name")]
        any: bool,
    },
}

/// Carries out one of them.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    match &args.verb {
        Verb::List => list(context),
        Verb::Show { name } => show(context, name),
        Verb::Add(add) => edit::add(context, add),
        Verb::Remove { name, yes } => edit::remove(context, name, *yes),
        Verb::Enable { name } => edit::enable(context, name, true),
        Verb::Disable { name } => edit::enable(context, name, false),
        Verb::Test { name } => probe::test(context, name.as_deref()),
        Verb::Use { name, .. } => edit::only(context, name.as_deref()),
        Verb::Link { adopt, yes } => link::link(context, *adopt, *yes),
        Verb::Switches { last } => switches::switches(context, *last),
    }
}

/// The accounts as this command's own environment and the configuration have them.
pub(super) fn known(context: &Context) -> Result<Vec<Account>, Failure> {
    let settings = settings::load(context, None)?.settings.accounts;
    Ok(roster(&settings, &context.env, &context.paths().home))
}

/// What the gateway says, if it runs.
pub(super) fn gateway(context: &Context) -> Result<Option<StatusView>, Failure> {
    let client = Client::new(context.paths().gateway_socket());
    match client.status() {
        Ok(status) => Ok(Some(status)),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(Failure::new("the gateway cannot be asked").because(error)),
    }
}

/// An account beside what the gateway knows of it.
struct Row {
    name: String,
    provider: Provider,
    fingerprint: Option<String>,
    from: String,
    word: &'static str,
    detail: String,
    windows: Vec<WindowView>,
}

fn rows(all: &[Account], status: Option<&StatusView>) -> Vec<Row> {
    let served = status.map_or(&[][..], |s| &s.accounts);
    let mut rows: Vec<Row> = all
        .iter()
        .map(|account| {
            let view = served.iter().find(|v| v.id == account.name);
            let (word, detail) = standing(account, view);
            Row {
                name: account.name.clone(),
                provider: account.provider,
                fingerprint: account.key.as_ref().ok().map(|k| k.fingerprint()),
                from: account.from.clone(),
                word,
                detail,
                windows: view.map(|v| v.windows.clone()).unwrap_or_default(),
            }
        })
        .collect();
    // In the daemon's environment and not in this command's.
    rows.extend(
        served
            .iter()
            .filter(|v| all.iter().all(|a| a.name != v.id))
            .map(|view| {
                let (word, detail) = condition(view);
                Row {
                    name: view.id.clone(),
                    provider: view.provider,
                    fingerprint: Some(view.fingerprint.clone()),
                    from: "the daemon's environment".to_owned(),
                    word,
                    detail,
                    windows: view.windows.clone(),
                }
            }),
    );
    rows
}

fn standing(account: &Account, view: Option<&AccountView>) -> (&'static str, String) {
    if !account.enabled {
        return ("disabled", String::new());
    }
    if let Some(twin) = &account.same_as {
        return ("same key", format!("as {twin}"));
    }
    match (&account.key, view) {
        (_, Some(view)) => condition(view),
        (Err(why), None) => ("no key", clean(why)),
        (Ok(_), None) => (
            "idle",
            "no session has needed it since the gateway began".to_owned(),
        ),
    }
}

pub(super) fn condition(view: &AccountView) -> (&'static str, String) {
    let now = clock::now();
    let until = |at| format!("until {}", clock::moment(at, now));
    match view.condition {
        AccountCondition::Serving if view.resting_models.is_empty() => ("serving", String::new()),
        // A provider's limits may be a model's own; the others go on.
        AccountCondition::Serving => {
            let models = view.resting_models.iter();
            let models = models.map(|(m, at)| format!("{} rests {}", clean(m), until(*at)));
            ("resting in part", models.collect::<Vec<_>>().join("; "))
        }
        AccountCondition::Resting { until: at, .. } => ("resting", until(at)),
        AccountCondition::Broken => ("broken", "the provider refused its key".to_owned()),
        AccountCondition::NoCredit => (
            "no credit",
            "the provider wants to be paid first".to_owned(),
        ),
        AccountCondition::Tripped { until: at } => ("tripped", until(at)),
    }
}

/// How the word of a state is shown.
pub(super) fn style(word: &str) -> Style {
    match word {
        "serving" => palette::GOOD,
        "idle" | "disabled" | "same key" => palette::FAINT,
        "resting" | "resting in part" | "tripped" => palette::WARN,
        _ => palette::BAD,
    }
}

/// `5h 93% · 7d 40%`, the fullest first.
pub(super) fn windows(windows: &[WindowView]) -> String {
    let mut used: Vec<(u32, &str)> = windows
        .iter()
        .filter_map(|w| Some((w.used_permille?, w.name.as_str())))
        .collect();
    used.sort_by(|a, b| b.cmp(a));
    let told = used.iter().take(3);
    let told = told.map(|(permille, name)| format!("{} {}%", clean(name), permille / 10));
    told.collect::<Vec<_>>().join(" \u{b7} ")
}

fn as_json(row: &Row) -> Value {
    json!({
        "name": row.name, "provider": row.provider, "state": row.word.replace(' ', "_"), "detail": row.detail,
        "fingerprint": row.fingerprint, "from": row.from, "windows": row.windows,
    })
}

fn list(context: &Context) -> Outcome {
    let p = &context.printer;
    let status = gateway(context)?;
    let rows = rows(&known(context)?, status.as_ref());
    let homes = homes::known(context)?;
    let resting = resting(context, &homes)?;
    let standing = |account| homes::standing(account, &homes, &resting);
    if context.json {
        let mut accounts: Vec<Value> = rows.iter().map(as_json).collect();
        accounts.extend(homes.homes.iter().map(|h| homes::as_json(h, &standing(h))));
        p.json(&json!({ "longhaul": API_VERSION, "kind": "accounts", "data": { "accounts": accounts, "gateway": status.is_some() } }))?;
        return Ok(ExitCode::Done);
    }
    if rows.is_empty() && homes.homes.is_empty() {
        p.line("no accounts: sessions use the logins of their agents")?;
        p.say("a key in ANTHROPIC_API_KEY, OPENAI_API_KEY or GEMINI_API_KEY is found by itself; `longhaul account add` writes one down");
        return Ok(ExitCode::Done);
    }
    let in_homes = homes.homes.iter().map(|account| {
        let standing = standing(account);
        vec![
            styled(clean(&account.name), palette::STRONG),
            cell(account.harness.clone()),
            styled(standing.word, homes::style(standing.word)),
            cell("home"),
            cell(""),
            styled(standing.detail, palette::FAINT),
        ]
    });
    let lines: Vec<_> = rows
        .iter()
        .map(|row| {
            let style = style(row.word);
            vec![
                styled(clean(&row.name), palette::STRONG),
                cell(row.provider.as_str()),
                styled(row.word, style),
                cell(row.fingerprint.clone().unwrap_or_default()),
                cell(windows(&row.windows)),
                styled(
                    if row.detail.is_empty() {
                        clean(&row.from)
                    } else {
                        row.detail.clone()
                    },
                    palette::FAINT,
                ),
            ]
        })
        .chain(in_homes)
        .collect();
    for line in table::lines(
        p,
        &["ACCOUNT", "PROVIDER", "STATE", "KEY", "USED", ""],
        &lines,
    ) {
        p.line(&line)?;
    }
    if homes.homes.len() > 1 && !homes.rotate {
        p.say("rotation between homes is off: each session stays at its home (`rotate_homes` below [accounts])");
    }
    if status.is_none() && !rows.is_empty() {
        p.say("the gateway does not run; it starts with the first session that needs it");
    }
    Ok(ExitCode::Done)
}

/// What rests; asked only where there are homes.
fn resting(context: &Context, homes: &homes::Known) -> Result<Vec<RestingView>, Failure> {
    if homes.homes.is_empty() {
        return Ok(Vec::new());
    }
    Ok(context.reads()?.status()?.resting)
}

fn show(context: &Context, name: &str) -> Outcome {
    let p = &context.printer;
    let homes = homes::known(context)?;
    if let Some(account) = homes.homes.iter().find(|h| h.name == name) {
        let standing = homes::standing(account, &homes, &resting(context, &homes)?);
        if context.json {
            p.json(&json!({ "longhaul": API_VERSION, "kind": "account", "data": homes::as_json(account, &standing) }))?;
        } else {
            homes::show(context, account, &standing)?;
        }
        return Ok(ExitCode::Done);
    }
    let all = known(context)?;
    let status = gateway(context)?;
    let Some(row) = rows(&all, status.as_ref())
        .into_iter()
        .find(|r| r.name == name)
    else {
        return Err(match named(&all, name) {
            Err(failure) => failure,
            Ok(_) => Failure::new("the account was there a moment ago"),
        });
    };
    if context.json {
        p.json(&json!({ "longhaul": API_VERSION, "kind": "account", "data": as_json(&row) }))?;
        return Ok(ExitCode::Done);
    }
    let account = all.iter().find(|a| a.name == name);
    let place = account.map(|a| {
        let own = a.provider.base_url().to_owned();
        clean(&a.base_url.clone().unwrap_or(own))
    });
    for (label, value) in [
        ("account", clean(&row.name)),
        ("provider", row.provider.as_str().to_owned()),
        (
            "state",
            format!("{} {}", row.word, row.detail).trim_end().to_owned(),
        ),
        ("key", row.fingerprint.clone().unwrap_or_default()),
        ("found in", clean(&row.from)),
        ("asks", place.unwrap_or_default()),
    ] {
        if !value.is_empty() {
            p.line(&format!(
                "{} {value}",
                p.paint(palette::FAINT, &format!("{label:<9}"))
            ))?;
        }
    }
    let now = clock::now();
    for window in &row.windows {
        let mut line = format!("  {}", clean(&window.name));
        if let Some(model) = &window.model {
            line.push_str(&format!(" ({})", clean(model)));
        }
        if let Some(permille) = window.used_permille {
            line.push_str(&format!(": {}% used", permille / 10));
        } else if let (Some(left), Some(limit)) = (window.remaining, window.limit) {
            line.push_str(&format!(": {left} of {limit} left"));
        }
        if let Some(at) = window.reset_at {
            line.push_str(&format!(", starts anew {}", clock::moment(at, now)));
        }
        line.push_str(&format!(", seen {}", clock::moment(window.seen_at, now)));
        p.line(&line)?;
    }
    Ok(ExitCode::Done)
}
