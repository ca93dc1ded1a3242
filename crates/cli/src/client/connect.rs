//! Finding the daemon, starting it, stopping it. One client at a time starts; whoever loses the race
//! to become the daemon goes away (T19), and every client waits for the socket, not for its child.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use longhaul_api::{ExitCode, VersionView};

use super::{Client, ClientError, Wire, routes};
use crate::env::Env;
use crate::failure::{Failure, OnPath as _};
use crate::output::Printer;
use crate::paths::Paths;

/// How long a daemon may take from its start to its first answer: it recovers first (T18).
const START_TIME: Duration = Duration::from_secs(60);
/// How long another daemon may hold the state folder without answering.
const REFUSED_TIME: Duration = Duration::from_secs(8);
/// How long a daemon may take to go.
const STOP_TIME: Duration = Duration::from_secs(60);
/// Time between two looks at the socket.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often a look is repeated when whoever is behind the socket goes in the middle of the answer.
const LOOKS: u32 = 50;

/// Whether a daemon serves a state folder.
#[derive(Debug)]
pub(crate) enum Presence {
    /// It does.
    There(Box<Client>),
    /// Nobody is behind the socket.
    Absent,
}

/// Looks whether a daemon is there, without starting one.
///
/// # Errors
/// Something is there but does not answer, or not in our language.
pub(crate) fn look(paths: &Paths) -> Result<Presence, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new("cannot set up input and output").because(e))?;
    let wire = Wire::at(&paths.socket());
    let ask = || runtime.block_on(wire.get::<VersionView>(routes::VERSION));
    let mut answer = ask();
    // A daemon that is killed now lets go of its socket before long, or the next one has it by then.
    for _ in 1..LOOKS {
        match &answer {
            Err(ClientError::Http(e)) if e.is_broken() => std::thread::sleep(LOOK_EVERY),
            _ => break,
        }
        answer = ask();
    }
    match answer {
        Ok(version) => Ok(Presence::There(Box::new(Client {
            runtime,
            wire,
            version,
        }))),
        Err(ClientError::Http(e)) if e.is_absent() => Ok(Presence::Absent),
        Err(e) => Err(e.into()),
    }
}

/// The daemon, started if it is not there; says so once.
///
/// # Errors
/// It does not come up; its last words are shown.
pub(crate) fn start(paths: &Paths, env: &Env, printer: &Printer) -> Result<Client, Failure> {
    if let Presence::There(client) = look(paths)? {
        return Ok(*client);
    }
    super::refuse_session(paths)?;
    paths.create()?;
    // Held until the socket answers, so that clients that start together start one daemon.
    let lock = open_private(&paths.runtime_dir.join("start.lock"))?;
    lock.lock()
        .on("lock", paths.runtime_dir.join("start.lock"))?;
    if let Presence::There(client) = look(paths)? {
        return Ok(*client);
    }
    let mut log = open_private(&paths.daemon_log())?;
    let from = log.seek(SeekFrom::End(0)).on("read", paths.daemon_log())?;
    let mut child = spawn(paths, env, &log)?;
    let client = wait_for(paths, env, &log, &mut child, from)?;
    printer.say(&format!(
        "started the daemon (pid {})",
        client.version().pid
    ));
    Ok(client)
}

fn spawn(paths: &Paths, env: &Env, log: &File) -> Result<Child, Failure> {
    let program = std::env::current_exe()
        .map_err(|e| Failure::new("cannot find the program of this process").because(e))?;
    let both = || log.try_clone().on("write", paths.daemon_log());
    // The daemon leaves our session by itself (`--detached`), before it does anything else.
    let mut command = Command::new(&program);
    command
        .args(["daemon", "run", "--detached"])
        .env_clear()
        .envs(env.all())
        .env(crate::env::STATE_DIR, paths.state_dir.as_str())
        .env(crate::env::CONFIG_DIR, paths.config_dir.as_str())
        .env(crate::env::RUNTIME_DIR, paths.runtime_dir.as_str())
        .current_dir(&paths.state_dir)
        .stdin(Stdio::null())
        .stdout(both()?)
        .stderr(both()?);
    longhaul_acts::process::spawn("cli.daemon", &mut command).on("start", program.display())
}

fn wait_for(
    paths: &Paths,
    env: &Env,
    log: &File,
    child: &mut Child,
    log_from: u64,
) -> Result<Client, Failure> {
    let deadline = Instant::now() + START_TIME;
    let mut ended = None;
    let mut refused_since: Option<Instant> = None;
    loop {
        if let Ok(Presence::There(client)) = look(paths) {
            return Ok(*client);
        }
        if ended.is_none() {
            ended = child
                .try_wait()
                .map_err(|e| Failure::new("cannot watch the daemon").because(e))?;
        }
        // A daemon that finds another one on its state folder ends with `Conflict`. The other one is
        // either coming up, and its socket is what we wait for, or going, and ours is tried again.
        if ended.is_some_and(|s| s.code() == Some(i32::from(ExitCode::Conflict.code()))) {
            if refused_since.get_or_insert_with(Instant::now).elapsed() > REFUSED_TIME {
                return Err(Failure::of(
                    ExitCode::Unavailable,
                    format!(
                        "another daemon holds {} and does not answer at {}",
                        paths.state_dir,
                        paths.socket()
                    ),
                )
                .detail(last_words(paths, log_from))
                .help("its socket may have been removed under it: end that process with TERM and call again; sessions go on meanwhile"));
            }
            std::thread::sleep(LOOK_EVERY * 10);
            *child = spawn(paths, env, log)?;
            ended = None;
        }
        if let Some(status) = ended {
            return Err(Failure::of(
                ExitCode::Unavailable,
                format!("the daemon did not start ({status})"),
            )
            .detail(last_words(paths, log_from))
            .help(format!("its log is {}", paths.daemon_log()))
            .help("`longhaul doctor` looks for what is wrong"));
        }
        if Instant::now() > deadline {
            return Err(Failure::of(
                ExitCode::Unavailable,
                format!(
                    "the daemon did not answer within {} seconds of its start",
                    START_TIME.as_secs()
                ),
            )
            .detail(last_words(paths, log_from))
            .help(format!("its log is {}", paths.daemon_log())));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// What the daemon wrote since it was started, at most the last 2 KiB; or why it could write nothing.
fn last_words(paths: &Paths, from: u64) -> String {
    let words = written(paths, from);
    let full =
        |stat: &rustix::fs::StatVfs| stat.f_bavail == 0 || (stat.f_files > 0 && stat.f_favail == 0);
    match rustix::fs::statvfs(paths.state_dir.as_std_path()) {
        Ok(stat) if words.trim().is_empty() && full(&stat) => {
            format!(
                "no room is left on the disk of {}: make some, and call again",
                paths.state_dir
            )
        }
        _ => words,
    }
}

fn written(paths: &Paths, from: u64) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(paths.daemon_log())?;
        let end = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(from.max(end.saturating_sub(2048))))?;
        let mut bytes = Vec::new();
        file.take(2048).read_to_end(&mut bytes)?;
        Ok(crate::output::text::clean(&String::from_utf8_lossy(&bytes)))
    };
    read().unwrap_or_default()
}

/// Ends a daemon and waits until it is gone; sessions go on.
///
/// # Errors
/// It refuses, or is still there after a minute.
pub(crate) fn stop(paths: &Paths, client: &Client) -> Result<(), Failure> {
    client.whole(super::Whole::Shutdown)?;
    let pid = client.version().pid;
    let deadline = Instant::now() + STOP_TIME;
    while let Presence::There(other) = look(paths).unwrap_or(Presence::Absent) {
        if other.version().pid != pid {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Failure::of(
                ExitCode::Unavailable,
                format!(
                    "the daemon (pid {pid}) is still there after {} seconds",
                    STOP_TIME.as_secs()
                ),
            )
            .help(format!("its log is {}", paths.daemon_log())));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// A file of ours, 0600, opened for reading and appending.
fn open_private(path: &camino::Utf8Path) -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    options.create(true).read(true).append(true).mode(0o600);
    longhaul_acts::files::open("cli.private", &options, path).on("open", path)
}
