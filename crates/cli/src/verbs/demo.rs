//! `longhaul demo`: what Longhaul does, shown in a folder that goes away again. No account, no agent.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_acts::files;
use longhaul_api::ExitCode;
use longhaul_core::time::UnixMs;
use longhaul_hosts::{ProcessIdentity, Signal, SignalOutcome};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::demo_keys::Keys;
use super::report::details;
use crate::client::{self, Presence};
use crate::context::Context;
use crate::failure::{Failure, OnPath as _, Outcome};
use crate::follow::{self, End, Show};
use crate::output::{clock, palette};
use crate::report::{Page, html, text};
use crate::scratch::Scratch;
use crate::submit::file::{self, Wish};
use crate::submit::gitrun::git;

const TASKS: &str = include_str!("demo.toml");
/// The task whose session is killed.
const VICTIM: &str = "survives-kill-9";
/// What that session writes before it is killed.
const VICTIM_FILE: &str = "half.txt";
/// How long the demo waits for its victim.
const VICTIM_TIME: Duration = Duration::from_secs(60);

/// See it work in a temporary folder: no account, no agent needed
///
/// Makes a repository and a daemon of its own, runs eleven small tasks with an agent that needs no model,
/// and shows what happens: a check fails and passes on retry, a usage limit is waited out, a session is
/// killed with -9 and goes on, two tasks conflict and a third one
/// merges them, and of two that land the one that comes later is sent back, reworked and landed. Beside them requests go
/// through the gateway to a provider that is pretended: at the limit of one key the other one answers, and when both
/// rest a request waits for the first reset. Takes about ten
/// seconds. Everything it made is gone afterwards; Ctrl-C ends it early, also with everything.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul demo
  longhaul demo --keep             look around in its repository afterwards
  longhaul demo --html demo.html   also as the HTML page")]
pub(crate) struct Args {
    /// Keep the folder, and say where it is
    #[arg(long)]
    keep: bool,
    /// Also write the report as an HTML page
    #[arg(long, value_name = "FILE")]
    html: Option<Utf8PathBuf>,
}

/// Plays the demo and takes it down again, however it ended.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let settings = [
        ("LONGHAUL_LIMITS_WAKE_JITTER", "0s"),
        ("LONGHAUL_RETRY_BACKOFF_MIN", "300ms"),
        ("LONGHAUL_CONCURRENCY", "4"),
        // Real keys of the environment have no part in it.
        ("LONGHAUL_ACCOUNTS_DISCOVER", "false"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
    ];
    let scratch = Scratch::new(context, "demo", &settings, &["LONGHAUL_ON_NEEDS_HUMAN"])?;
    let outcome = play(args, &scratch, context);
    let ended = scratch.end(args.keep);
    let code = outcome?;
    ended?;
    if code == ExitCode::Done && !context.json {
        let p = &context.printer;
        p.line("")?;
        p.line(&format!(
            "That was the demo. For your own work: {} in a git repository.",
            p.paint(palette::COMMAND, "longhaul init")
        ))?;
    }
    Ok(code)
}

fn play(args: &Args, scratch: &Scratch, outer: &Context) -> Outcome {
    let context = scratch.context();
    let repo = make_repository(context, scratch.root())?;
    let p = &context.printer;
    p.say(&format!(
        "a fresh repository in {repo}, an agent that plays scripts, no model"
    ));
    let started = clock::now();
    let tasks = repo.join("tasks.toml");
    let file = file::read(context, &tasks)?;
    let (request, _) = file::request(context, file, &Wish::default())?;
    let client = context.daemon()?;
    let events = follow::listen(&client)?;
    let response = client.submit(&request)?;
    let (notes, heard) = unbounded_channel();
    let killer = killer(context, notes.clone());
    let keys = Keys::begin(context, notes);
    let end = follow::submission(
        context,
        client,
        response.submission,
        events,
        Show::Bound,
        Some(heard),
    );
    let early = !matches!(end, Ok(End::Settled(_)));
    let played = keys.end(early);
    let view = match end? {
        End::Settled(view) => view,
        End::Detached => {
            p.say("ending the demo and everything it started");
            return Ok(ExitCode::Interrupted);
        }
    };
    // The thread ends by itself: with its deed, or with its time.
    drop(killer);
    let reads = context.reads()?;
    let report = reads.report(UnixMs(started.0 - 1000))?;
    let page = Page::new(&report, &details(&reads, &report)?);
    if let Some(path) = &args.html {
        let path = outer.absolute(path);
        files::write("cli.demo.page", &path, html::render(&page)?).on("write", &path)?;
        p.say(&format!("wrote {path}"));
    }
    if context.json {
        p.json(&longhaul_api::Envelope::new(report))?;
    } else {
        p.line("")?;
        p.out(&text::render(&page, p))?;
    }
    if let Err(why) = played {
        return Err(
            Failure::new("the demo's keys were not used as they should be")
                .because(std::io::Error::other(why)),
        );
    }
    match follow::verdict(&view) {
        ExitCode::Done => Ok(ExitCode::Done),
        code => Err(Failure::of(code, "the demo did not end as it should")
            .help("`longhaul demo --keep` keeps its folder with all logs; please report it")),
    }
}

/// A repository with one commit and the demo's tasks beside it.
fn make_repository(context: &Context, root: &Utf8Path) -> Result<Utf8PathBuf, Failure> {
    let repo = root.join("project");
    files::create_dir("cli.demo.folder", &repo).on("make", &repo)?;
    let run = |args: &[&str]| git(&context.env, &repo, args);
    run(&["init", "--quiet", "--initial-branch=main"])?;
    run(&["config", "user.name", "Longhaul demo"])?;
    run(&["config", "user.email", "demo@localhost"])?;
    for (name, content) in [
        ("README.md", "# A small project\n"),
        ("answer.txt", "?\n"),
        ("palette.txt", "grey\n"),
        ("tasks.toml", TASKS),
    ] {
        let path = repo.join(name);
        files::write("cli.demo.file", &path, content).on("write", &path)?;
    }
    run(&["add", "README.md", "answer.txt", "palette.txt"])?;
    run(&["commit", "--quiet", "-m", "Start"])?;
    Ok(repo)
}

/// Kills the session of one task with -9, once it has done half of its work.
fn killer(context: &Context, notes: UnboundedSender<String>) -> JoinHandle<()> {
    let paths = context.paths().clone();
    let color = context.printer.color();
    std::thread::spawn(move || {
        let deadline = Instant::now() + VICTIM_TIME;
        while Instant::now() < deadline {
            if let Ok(Presence::There(client)) = client::look(&paths)
                && let Ok(task) = client.block_on(client.wire().task(VICTIM))
            {
                if task.task.state.is_final() || task.attempts.len() > 1 {
                    return;
                }
                let half = task
                    .workspace
                    .as_ref()
                    .is_some_and(|w| Utf8Path::new(&w.path).join(VICTIM_FILE).exists());
                let pid = task.attempts.last().and_then(|a| a.pid).filter(|_| half);
                if let Some(process) = pid.and_then(|pid| ProcessIdentity::of(pid).ok())
                    && process.signal(Signal::Kill) == SignalOutcome::Sent
                {
                    let text = format!("demo: kill -9 {} (the session of `{VICTIM}`)", process.pid);
                    // Nobody listens any more if the follow has ended.
                    drop(notes.send(palette::paint(color, palette::WARN, &text)));
                    return;
                }
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    })
}
