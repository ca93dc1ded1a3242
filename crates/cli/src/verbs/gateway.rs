//! `longhaul gateway`.

use std::collections::{BTreeMap, BTreeSet};

use longhaul_api::{API_VERSION, ExitCode};
use longhaul_core::account::Provider;
use longhaul_core::ids::Fence;
use longhaul_gateway::Client;
use longhaul_gateway::api::{AccountChoice, SessionSpec, SessionView, StatusView};
use serde_json::json;

use super::account;
use crate::accounts::{self, roster};
use crate::context::Context;
use crate::failure::{Failure, OnPath as _, Outcome};
use crate::output::table::{self, cell, styled};
use crate::output::text::clean;
use crate::output::{clock, palette};
use crate::settings;
use crate::supervise::{quoted, through};
use crate::wire::tokens::Programs;
use crate::wire::visitor::{Visitor, forget};

/// Who gave the accounts of a shell.
const GIVER: &str = "shell";

/// The proxy that swaps API keys: for other programs of yours, and how it is
///
/// A program that honours ANTHROPIC_BASE_URL, OPENAI_BASE_URL or GOOGLE_GEMINI_BASE_URL can use your accounts through
/// the gateway as sessions do: it gets a token in the key's place, and goes on with another account when one is used
/// up. The gateway is started if it does not run; no daemon is needed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  eval \"$(longhaul gateway env)\"     this shell's programs go through the gateway
  longhaul gateway env editor        tokens of their own for one program
  longhaul gateway revoke editor     those are worth nothing any more
  longhaul gateway status            accounts, windows, sessions
  longhaul gateway stop")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Print variables that send a program here, as a shell takes them; with --json as an object
    Env {
        /// What the program is called: its tokens are its own
        #[arg(default_value = "shell", value_parser = name)]
        name: String,
    },
    /// Print the address alone
    Url,
    /// How it is: its accounts with their windows, and who uses it
    Status,
    /// Make a program's tokens worthless
    Revoke {
        /// The program, as it was called
        #[arg(value_parser = name)]
        name: String,
    },
    /// End it; what it learned and the tokens stay
    Stop,
}

fn name(text: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if !text.is_empty() && text.len() <= 40 && text.bytes().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("at most 40 letters, digits, `-` and `_`".to_owned())
    }
}

/// Carries out one of them.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    context.person_only()?;
    match &args.verb {
        Verb::Env { name } => env(context, name),
        Verb::Url => url(context),
        Verb::Status => status(context),
        Verb::Revoke { name } => revoke(context, name),
        Verb::Stop => stop(context),
    }
}

/// The gateway, running, with the accounts of this environment if it has any.
fn enter(context: &Context) -> Result<(Visitor, StatusView), Failure> {
    let settings = settings::load(context, None)?.settings.accounts;
    let all = roster(&settings, &context.env, &context.paths().home);
    let request = accounts::request(&settings, &all, 0);
    let bare = request.accounts.is_empty();
    let mut visitor = Visitor::new(context.paths(), GIVER, request)?;
    let failed = |why: String| {
        Failure::of(ExitCode::Unavailable, "the gateway cannot be used")
            .because(std::io::Error::other(why))
    };
    // Without any of its own, a shell uses what the gateway has; to give it nothing would take others away.
    let status = if bare {
        let status = visitor.client().status();
        status.ok().filter(|s| !s.accounts.is_empty())
    } else {
        Some(visitor.enter().map_err(failed)?)
    };
    let status = status.ok_or_else(|| {
        Failure::new("there is no account for the gateway").help(
            "set ANTHROPIC_API_KEY, OPENAI_API_KEY or GEMINI_API_KEY, or write one down with `longhaul account add`",
        )
    })?;
    Ok((visitor, status))
}

fn session(name: &str, provider: Provider) -> String {
    format!("program-{name}-{}", provider.as_str())
}

fn env(context: &Context, name: &str) -> Outcome {
    let strategy = settings::load(context, None)?.settings.accounts.strategy;
    let (visitor, status) = enter(context)?;
    let folder = context.paths().gateway_dir();
    let mut programs = Programs::read(&folder).on("read the programs in", &folder)?;
    let mut variables = BTreeMap::new();
    let providers: BTreeSet<Provider> = status.accounts.iter().map(|a| a.provider).collect();
    for provider in providers {
        let token = programs
            .token(&folder, name, provider.as_str())
            .on("keep the programs in", &folder)?;
        let spec = SessionSpec {
            token_hash: token.hash(),
            task: None,
            fence: Fence(0),
            provider,
            accounts: AccountChoice::Any,
            strategy,
            budget: Default::default(),
            waits: false,
            holds: false,
        };
        visitor
            .put_session(&session(name, provider), &spec)
            .map_err(|why| {
                Failure::new("the gateway does not let it in").because(std::io::Error::other(why))
            })?;
        variables.extend(through(provider, &status.url(), token.expose()));
    }
    let own = |name: &str| context.env.lossy(name).map(str::to_owned);
    variables.extend(longhaul_agents::past_proxy(own));
    let p = &context.printer;
    if context.json {
        p.json(
            &json!({ "longhaul": API_VERSION, "kind": "gateway_env", "data": {
            "program": name, "url": status.url(), "variables": variables } }),
        )?;
    } else {
        for (variable, value) in variables {
            p.line(&format!("export {variable}={}", quoted(value.as_ref())))?;
        }
    }
    Ok(ExitCode::Done)
}

fn url(context: &Context) -> Outcome {
    let (_, status) = enter(context)?;
    let p = &context.printer;
    if context.json {
        p.json(&json!({ "longhaul": API_VERSION, "kind": "gateway_url", "data": { "url": status.url() } }))?;
    } else {
        p.line(&status.url())?;
    }
    Ok(ExitCode::Done)
}

fn status(context: &Context) -> Outcome {
    let p = &context.printer;
    let status = account::gateway(context)?;
    if context.json {
        p.json(&json!({ "longhaul": API_VERSION, "kind": "gateway", "data": { "running": status.is_some(), "gateway": status, "prices_of": longhaul_gateway::price::table_date() } }))?;
        return Ok(ExitCode::Done);
    }
    let Some(status) = status else {
        p.line("the gateway does not run; it starts with whoever needs it first")?;
        return Ok(ExitCode::Done);
    };
    let now = clock::now();
    p.line(&format!(
        "{}  pid {}, since {}{}",
        status.url(),
        status.pid,
        clock::moment(status.started_at, now),
        if status.ready {
            ""
        } else {
            ", without keys yet"
        }
    ))?;
    let accounts: Vec<_> = status
        .accounts
        .iter()
        .map(|view| {
            let (word, detail) = account::condition(view);
            vec![
                styled(clean(&view.id), palette::STRONG),
                cell(view.provider.as_str()),
                styled(word, account::style(word)),
                cell(account::windows(&view.windows)),
                cell(view.in_flight.to_string()),
                cell(view.answered.to_string()),
                styled(detail, palette::FAINT),
            ]
        })
        .collect();
    let heads = [
        "ACCOUNT", "PROVIDER", "STATE", "USED", "NOW", "ANSWERED", "",
    ];
    for line in table::lines(p, &heads, &accounts) {
        p.line(&line)?;
    }
    let sessions: Vec<_> = status
        .sessions
        .iter()
        .map(|s: &SessionView| {
            let cost = s.total.cost.map_or_else(String::new, |c| c.to_string());
            vec![
                styled(clean(&s.id), palette::STRONG),
                cell(s.provider.as_str()),
                cell(s.total.tokens().to_string()),
                cell(cost),
                cell(clean(s.account.as_deref().unwrap_or_default())),
                cell(if s.held > 0 { "waits" } else { "" }),
            ]
        })
        .collect();
    if !sessions.is_empty() {
        p.line("")?;
    }
    let heads = ["USED BY", "PROVIDER", "TOKENS", "COST", "LAST ACCOUNT", ""];
    for line in table::lines(p, &heads, &sessions) {
        p.line(&line)?;
    }
    if !sessions.is_empty() {
        p.say(&format!(
            "costs by the table of prices of {}; providers may have changed theirs since",
            longhaul_gateway::price::table_date()
        ));
    }
    Ok(ExitCode::Done)
}

fn revoke(context: &Context, name: &str) -> Outcome {
    let folder = context.paths().gateway_dir();
    let mut programs = Programs::read(&folder).on("read the programs in", &folder)?;
    if !programs.knows(name) {
        return Err(
            Failure::of(ExitCode::NotFound, format!("no program is called `{name}`"))
                .help("`longhaul gateway status` names those that may use the gateway"),
        );
    }
    // First what makes new ones, then the old ones: a death in between leaves nothing that comes back.
    programs
        .revoke(&folder, name)
        .on("keep the programs in", &folder)?;
    // A gateway that does not run holds their hashes in its file.
    let launch = crate::wire::gateway_launch(context.paths())?;
    context.paths().create()?;
    let failed = |e: longhaul_gateway::launch::LaunchError| {
        Failure::of(ExitCode::Unavailable, "the gateway cannot be used").because(e)
    };
    longhaul_gateway::launch::ensure(&launch).map_err(failed)?;
    let sessions = Provider::ALL.map(|provider| session(name, provider));
    let client = Client::new(context.paths().gateway_socket());
    for id in &sessions {
        client
            .delete_session(id)
            .map_err(|e| Failure::new("its tokens are still good").because(e))?;
    }
    let status = client.status();
    if status.is_ok_and(|s| s.sessions.is_empty()) {
        forget(context.paths(), GIVER, &[]);
    }
    context.printer.say(&format!(
        "the tokens of `{name}` are worth nothing any more"
    ));
    Ok(ExitCode::Done)
}

fn stop(context: &Context) -> Outcome {
    let p = &context.printer;
    match Client::new(context.paths().gateway_socket()).shut_down() {
        Ok(()) => p.say("the gateway ends, after the answers that are on their way"),
        Err(error) if error.is_absent() => p.say("the gateway does not run"),
        Err(error) => return Err(Failure::new("the gateway does not end").because(error)),
    }
    Ok(ExitCode::Done)
}
