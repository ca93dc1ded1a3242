//! `longhaul daemon`.

use camino::Utf8Path;
use longhaul_api::{API_VERSION, ExitCode};

use crate::client::{self, Presence};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::palette;
use crate::{settings, wire};

/// The one process that decides and writes
///
/// It starts itself when it is first needed, one per state folder. Ending it ends no session: they go
/// on, and the next daemon takes them over.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:
  longhaul daemon status
  longhaul daemon restart          after an update; sessions go on
  longhaul daemon unit > ~/.config/systemd/user/longhaul.service
  systemctl --user enable --now longhaul",
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true
)]
pub(crate) struct Args {
    /// Run in the foreground (the same as `daemon run`)
    #[arg(long)]
    foreground: bool,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Clone, Copy, Debug, clap::Subcommand)]
enum Verb {
    /// Start it, if none runs
    Start,
    /// End it; sessions go on
    Stop,
    /// Whether it runs, and how it is
    Status,
    /// End it and start this version; sessions go on
    Restart,
    /// Run it in the foreground, for systemd and containers
    Run {
        /// Leave the caller's session first
        #[arg(long, hide = true)]
        detached: bool,
    },
    /// Print a systemd user unit
    Unit,
}

/// Carries out one of them.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let p = &context.printer;
    let verb = match args.verb {
        Some(verb) => verb,
        None => Verb::Run { detached: false },
    };
    match verb {
        Verb::Start => {
            if let Presence::There(client) = client::look(context.paths())? {
                p.line(&format!(
                    "the daemon runs already (pid {})",
                    client.version().pid
                ))?;
            } else {
                context.daemon()?;
            }
            Ok(ExitCode::Done)
        }
        Verb::Stop => stop(context),
        Verb::Restart => {
            // What the next one could not read must not end this one.
            let resolved = settings::load(context, None)?;
            crate::submit::harness::registry(&resolved.settings)?;
            stop(context)?;
            context.daemon()?;
            Ok(ExitCode::Done)
        }
        Verb::Status => status(context),
        Verb::Run { detached } => foreground(context, detached),
        Verb::Unit => {
            p.out(&unit()?)?;
            Ok(ExitCode::Done)
        }
    }
}

fn stop(context: &Context) -> Outcome {
    let p = &context.printer;
    match client::look(context.paths())? {
        Presence::There(client) => {
            let live = client::live_tasks(&client)?;
            client::stop(context.paths(), &client)?;
            let rest = match live {
                0 => String::new(),
                n => format!("; {n} sessions go on without it"),
            };
            p.line(&format!(
                "ended the daemon (pid {}){rest}",
                client.version().pid
            ))?;
        }
        Presence::Absent => p.line("no daemon runs")?,
    }
    Ok(ExitCode::Done)
}

fn status(context: &Context) -> Outcome {
    let p = &context.printer;
    let presence = client::look(context.paths())?;
    if context.json {
        let data = match &presence {
            Presence::There(client) => {
                serde_json::json!({ "running": true, "version": client.version() })
            }
            Presence::Absent => serde_json::json!({ "running": false }),
        };
        p.json(&serde_json::json!({ "longhaul": API_VERSION, "kind": "daemon", "data": data }))?;
    } else {
        match &presence {
            Presence::There(client) => {
                let v = client.version();
                p.line(&format!(
                    "{} running, pid {}, version {}",
                    p.paint(palette::GOOD, "●"),
                    v.pid,
                    v.version
                ))?;
                if v.version != env!("CARGO_PKG_VERSION") {
                    p.line(&format!(
                        "  this program is version {}; `longhaul daemon restart` starts it",
                        env!("CARGO_PKG_VERSION")
                    ))?;
                }
            }
            Presence::Absent => p.line(&format!("{} not running", p.paint(palette::FAINT, "○")))?,
        }
        p.line(&format!("  socket {}", context.paths().socket()))?;
        p.line(&format!("  state  {}", context.paths().state_dir))?;
        p.line(&format!("  log    {}", context.paths().daemon_log()))?;
    }
    Ok(match presence {
        Presence::There(_) => ExitCode::Done,
        Presence::Absent => ExitCode::Unavailable,
    })
}

/// Becomes the daemon.
fn foreground(context: &Context, detached: bool) -> Outcome {
    if detached {
        // The caller's terminal and its signals are not ours. Fails only for the leader of a process
        // group, which nobody who starts us this way makes us.
        rustix::process::setsid()
            .map_err(|e| Failure::new("cannot leave the caller's session").because(e))?;
    }
    let paths = context.paths();
    client::refuse_session(paths)?;
    paths.create()?;
    refuse_network(&paths.state_dir)?;
    let resolved = settings::load(context, None)?;
    crate::submit::file::say_notes(context, &resolved.notes);
    // Misconfigured harnesses are said before anything is bound or opened.
    crate::submit::harness::registry(&resolved.settings)?;
    wire::daemon_main(paths, &resolved.settings, &context.env, &context.printer)
}

/// A database on a network file system loses locks and writes (T30).
pub(crate) fn refuse_network(state: &Utf8Path) -> Result<(), Failure> {
    match longhaul_vcs::network_filesystem(state.as_std_path()) {
        None => Ok(()),
        Some(kind) => Err(Failure::usage(format!(
            "the state folder {state} is on a network file system ({kind})"
        ))
        .help("set LONGHAUL_STATE_DIR to a folder on a local disk")),
    }
}

fn unit() -> Result<String, Failure> {
    let program = std::env::current_exe()
        .map_err(|e| Failure::new("cannot find the program of this process").because(e))?;
    let program = program
        .display()
        .to_string()
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('%', "%%");
    Ok(format!(
        "[Unit]\n\
         Description=Longhaul: keeps coding agents at work\n\
         Documentation=man:longhaul(1)\n\
         \n\
         [Service]\n\
         ExecStart=\"{program}\" daemon run\n\
         # Sessions outlive the daemon; the next one takes them over.\n\
         KillMode=process\n\
         Restart=on-failure\n\
         RestartSec=2\n\
         \n\
         [Install]\n\
         WantedBy=default.target\n"
    ))
}
