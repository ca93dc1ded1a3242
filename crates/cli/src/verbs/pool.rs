//! `longhaul pool`.

use longhaul_api::{API_VERSION, ExitCode};
use longhaul_pool::{Ensured, Kind, Noted, PoolSession, State};

use super::leftovers;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::janitor::Janitor;
use crate::output::table::{self, cell, styled};
use crate::output::text::clean;
use crate::output::{clock, palette};
use crate::wire::terminals::{Terminals, refused};
use crate::{settings, wire};

/// Sessions that live in terminals: Longhaul's own tmux server
///
/// A harness or profile with `host = "tmux"` runs its sessions there, so that you can look at them and type to them.
/// Only the names of `[pool]` are given work, and only while nothing lives in them. Sessions of `[dedicated.NAME]` are
/// yours: they are made where they are missing and then left alone. The server is not the one that your own `tmux` uses.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul pool status
  longhaul pool attach lh-0        leave with Ctrl-b d; everything goes on
  longhaul pool ensure
  longhaul pool gc                 the plan; --apply carries it out
  longhaul pool stop")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Every session of the pool and of yours, and what it is doing
    Status,
    /// Make what is missing: `pool.min` sessions, and your dedicated ones
    Ensure,
    /// Look at a session and type to it; leave with Ctrl-b d
    Attach {
        /// The session
        #[arg(value_name = "SESSION")]
        name: String,
    },
    /// Which free sessions, notes and, with `log_retention`, logs of ended tasks are too old
    Gc {
        /// Remove them
        #[arg(long)]
        apply: bool,
    },
    /// Remove the pool's sessions that nothing lives in, and the server if that leaves none
    Stop,
}

/// Carries out one of them.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let terminals = || Terminals::new(context);
    match &args.verb {
        // What is left of a pool is found without tmux, too.
        Verb::Gc { apply } => gc(context, *apply),
        Verb::Status => status(context, &terminals()?),
        Verb::Ensure => {
            context.person_only()?;
            let done = terminals()?.ensure()?;
            made(context, &done)
        }
        Verb::Attach { name } => {
            context.person_only()?;
            attach(context, &terminals()?, name)
        }
        Verb::Stop => {
            context.person_only()?;
            stop(context, &terminals()?)
        }
    }
}

fn gc(context: &Context, apply: bool) -> Outcome {
    if apply {
        context.person_only()?;
    }
    let (settings, now) = (settings::load(context, None)?.settings, clock::now());
    let janitor = Janitor::of(context.paths(), &settings, &context.env)?;
    let mut goes = janitor.pool(now)?;
    if janitor.wants_logs() && context.paths().database().exists() {
        goes.extend(janitor.logs(&wire::tools(context, &settings)?, now)?);
    }
    leftovers::run(context, &janitor, &goes, apply, "pool gc")
}

fn status(context: &Context, terminals: &Terminals) -> Outcome {
    let p = &context.printer;
    let sessions = terminals.survey()?;
    if context.json {
        p.json(&serde_json::json!({ "longhaul": API_VERSION, "kind": "pool", "data": { "sessions": sessions } }))?;
        return Ok(ExitCode::Done);
    }
    if sessions.is_empty() {
        p.line("the pool has no sessions: `pool.max` is 0, and there is no `[dedicated.NAME]`")?;
        return Ok(ExitCode::Done);
    }
    let rows: Vec<_> = sessions.iter().map(row).collect();
    for line in table::lines(p, &["SESSION", "WHOSE", "STATE", "LAST"], &rows) {
        p.line(&line)?;
    }
    Ok(ExitCode::Done)
}

fn row(session: &PoolSession) -> Vec<table::Cell> {
    let whose = match session.kind {
        Kind::Pool => "pool",
        Kind::Dedicated => "yours",
    };
    let state = match &session.state {
        State::Missing => styled("not there", palette::FAINT),
        State::Free => cell("free"),
        State::Watched => styled("free, but somebody looks at it", palette::WARN),
        State::Busy { task } => cell(format!("works on {}", clean(task))),
        State::Occupied { program } => styled(
            format!("left alone: {} runs in it", clean(program)),
            palette::WARN,
        ),
        State::Idle { program } => cell(format!("idle ({})", clean(program))),
    };
    let last = session.last.as_ref().map_or_else(String::new, |note| {
        let at = clock::moment(note.at, clock::now());
        match &note.noted {
            Noted::Taken { task, .. } => format!("{at}: took {}", clean(task)),
            Noted::Done { task, how } => format!("{at}: {} ended ({})", clean(task), clean(how)),
            Noted::Stuck { task, why } => {
                format!("{at}: stuck with {}: {}", clean(task), clean(why))
            }
        }
    });
    vec![cell(session.name.clone()), cell(whose), state, cell(last)]
}

fn made(context: &Context, done: &Ensured) -> Outcome {
    let p = &context.printer;
    if context.json {
        p.json(
            &serde_json::json!({ "longhaul": API_VERSION, "kind": "pool_ensured", "data": done }),
        )?;
        return Ok(ExitCode::Done);
    }
    for name in &done.made {
        p.line(&format!("made {name}"))?;
    }
    for name in &done.revived {
        p.line(&format!("{name} has a shell again"))?;
    }
    if done.made.is_empty() && done.revived.is_empty() {
        p.line("nothing was missing")?;
    }
    Ok(ExitCode::Done)
}

fn attach(context: &Context, terminals: &Terminals, name: &str) -> Outcome {
    let sessions = terminals.survey()?;
    let Some(session) = sessions.iter().find(|s| s.name == name) else {
        let names: Vec<&str> = sessions.iter().map(|s| s.name.as_str()).collect();
        return Err(
            Failure::usage(format!("the pool has no session `{}`", clean(name)))
                .help(format!("there are: {}", names.join(", "))),
        );
    };
    if session.state == State::Missing {
        return Err(Failure::of(
            ExitCode::Conflict,
            format!("the session {name} is not there"),
        )
        .help("`longhaul pool ensure` makes what is missing"));
    }
    terminals.attach(context, name)
}

fn stop(context: &Context, terminals: &Terminals) -> Outcome {
    let p = &context.printer;
    let (removed, left) = terminals.stop().map_err(refused)?;
    for name in &removed {
        p.line(&format!("removed {name}"))?;
    }
    for session in &left {
        let why = match &session.state {
            State::Busy { task } => {
                format!("it works on {}; `longhaul stop` ends that", clean(task))
            }
            State::Watched => "somebody looks at it".to_owned(),
            _ if session.kind == Kind::Dedicated => "it is yours".to_owned(),
            _ => "something lives in it".to_owned(),
        };
        p.line(&format!("left {}: {why}", session.name))?;
    }
    if removed.is_empty() && left.is_empty() {
        p.line("there was nothing to remove")?;
    }
    Ok(ExitCode::Done)
}
