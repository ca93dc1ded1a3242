//! Longhaul's own tmux server: a socket in the state folder, no configuration but ours, never the user's server.
//!
//! Every command but [`Server::start`] is told not to start one: a server that a job started would be swept with it.

use std::io::{self, Write as _};
use std::process::{Command, Output, Stdio};

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_acts::process;
use longhaul_core::time::UnixMs;

/// The size of pool sessions, whoever looks at them: their screens are read.
const WIDTH: &str = "160";
const HEIGHT: &str = "50";

/// Where the server is.
#[derive(Clone, Debug)]
pub struct Place {
    /// tmux, absolute.
    pub program: Utf8PathBuf,
    /// Its socket.
    pub socket: Utf8PathBuf,
}

/// The server.
#[derive(Clone, Debug)]
pub struct Server {
    place: Place,
}

/// Why a command of tmux had no success.
#[derive(Debug, thiserror::Error)]
pub enum TmuxError {
    /// It could not be run.
    #[error("cannot run {program}")]
    Run {
        /// The program.
        program: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No server runs.
    #[error("Longhaul's tmux server does not run")]
    NoServer,
    /// It said no.
    #[error("tmux {command}: {said}")]
    Refused {
        /// Its first word.
        command: String,
        /// What it said.
        said: String,
    },
}

/// A pane as tmux tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pane {
    pub(crate) session: String,
    pub(crate) dead: bool,
    pub(crate) pid: u32,
    pub(crate) attached: bool,
    pub(crate) program: String,
    /// When something was last written into its session, or typed.
    pub(crate) active: UnixMs,
}

/// A look at one session's screen.
#[derive(Clone, Debug)]
pub(crate) struct Capture {
    pub(crate) dead: bool,
    pub(crate) pid: u32,
    pub(crate) screen: String,
}

impl Server {
    /// The server at this place, running or not.
    #[must_use]
    pub const fn new(place: Place) -> Self {
        Self { place }
    }

    /// The command line with which a person attaches to a session; detaching leaves everything running.
    #[must_use]
    pub fn attach_command(&self, session: &str) -> Command {
        let mut command = Command::new(&self.place.program);
        command.args(["-u", "-N", "-S", self.place.socket.as_str()]);
        command.args(["attach-session", "-t", &exact(session)]);
        command.env_remove("TMUX").env_remove("TMUX_PANE");
        command
    }

    /// Starts the server where none runs; harmless where one does. Its environment holds nothing of the caller's but
    /// the few variables that shells of people need: no key, no spawn key (I8, I12).
    pub(crate) fn start(&self) -> Result<(), TmuxError> {
        if let Some(folder) = self.place.socket.parent() {
            longhaul_acts::files::create_dir_all("pool.folder", folder)
                .map_err(|e| self.broken(e))?;
        }
        let set = |name: &'static str, value: &'static str| [";", "set-option", "-g", name, value];
        let mut args = vec!["start-server", ";", "set-option", "-s", "exit-empty", "off"];
        for option in [
            set("remain-on-exit", "on"),
            set("history-limit", "20000"),
            set("status-left-length", "24"),
            set("status-right", "leave: Ctrl-b d"),
            set("update-environment", ""),
            set("automatic-rename", "off"),
        ] {
            args.extend(option);
        }
        self.run_with("pool.tmux.start", &args, true, None)
            .map(|_| ())
    }

    /// Ends the server with everything in it.
    ///
    /// # Errors
    /// tmux refuses.
    pub(crate) fn stop(&self) -> Result<(), TmuxError> {
        match self.run("pool.tmux.stop", &["kill-server"]) {
            Ok(_) | Err(TmuxError::NoServer) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// All panes; none where no server runs.
    pub(crate) fn panes(&self) -> Result<Vec<Pane>, TmuxError> {
        let format = "#{session_name}\t#{pane_dead}\t#{pane_pid}\t#{session_attached}\t#{session_activity}\t#{pane_current_command}";
        let listed = match self.run("pool.tmux.look", &["list-panes", "-a", "-F", format]) {
            Err(TmuxError::NoServer) => return Ok(Vec::new()),
            // A server without a session.
            Err(TmuxError::Refused { said, .. }) if said.contains("no current target") => {
                return Ok(Vec::new());
            }
            other => other?,
        };
        Ok(listed.lines().filter_map(pane_of).collect())
    }

    /// Makes a session with a pane in which nothing lives. `false` if there is one of that name.
    pub(crate) fn make_empty(&self, session: &str) -> Result<bool, TmuxError> {
        let window = format!("={session}:0");
        let args = [
            "new-session",
            "-d",
            "-s",
            session,
            "-n",
            "agent",
            "-x",
            WIDTH,
            "-y",
            HEIGHT,
            "/bin/true",
            // Nobody's terminal changes the size of what is read. (As a global option it ends tmux 3.3 itself.)
            ";",
            "set-option",
            "-w",
            "-t",
            &window,
            "window-size",
            "manual",
        ];
        self.made(&args)
    }

    /// Makes a session with a login shell in a folder. `false` if there is one of that name.
    pub(crate) fn make_shell(&self, session: &str, dir: &Utf8Path) -> Result<bool, TmuxError> {
        let shell = shell();
        let args = [
            "new-session",
            "-d",
            "-s",
            session,
            "-c",
            dir.as_str(),
            "-x",
            WIDTH,
            "-y",
            HEIGHT,
            &shell,
            "-l",
        ];
        self.made(&args)
    }

    /// Starts a login shell in a session whose pane is dead; `false` where something lives in it.
    pub(crate) fn revive(&self, session: &str, dir: &Utf8Path) -> Result<bool, TmuxError> {
        self.take(session, dir, &[&shell(), "-l"])
    }

    fn made(&self, args: &[&str]) -> Result<bool, TmuxError> {
        match self.run("pool.tmux.session", args) {
            Ok(_) => Ok(true),
            Err(TmuxError::Refused { said, .. }) if said.contains("duplicate session") => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes a session in which nothing lives and at which nobody looks; `false` if that is not so any more. tmux
    /// looks and removes in one go, so that no agent that was just started in it is ended (I11).
    pub(crate) fn remove_free(&self, session: &str) -> Result<bool, TmuxError> {
        const FREE: &str = "#{&&:#{pane_dead},#{&&:#{==:#{session_attached},0},#{&&:#{==:#{session_windows},1},#{==:#{window_panes},1}}}}";
        let kill = format!("kill-session -t '{}'", exact(session));
        let target = pane_target(session);
        let args = [
            "if-shell",
            "-F",
            "-t",
            &target,
            FREE,
            &kill,
            "display-message -p left",
        ];
        let said = self.run("pool.tmux.remove", &args)?;
        Ok(said.trim() != "left")
    }

    /// Runs a program in a session whose pane is dead; `false` where something lives in it, which is left alone (I11).
    pub(crate) fn take(
        &self,
        session: &str,
        cwd: &Utf8Path,
        argv: &[&str],
    ) -> Result<bool, TmuxError> {
        let target = pane_target(session);
        let mut args = vec!["respawn-pane", "-t", &target, "-c", cwd.as_str()];
        args.extend(argv);
        match self.run("pool.tmux.take", &args) {
            Ok(_) => Ok(true),
            Err(TmuxError::Refused { said, .. }) if said.contains("still active") => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Pastes a text, bracketed, without Enter.
    pub(crate) fn paste(&self, session: &str, buffer: &str, text: &str) -> Result<(), TmuxError> {
        let target = pane_target(session);
        let args = [
            "load-buffer",
            "-b",
            buffer,
            "-",
            ";",
            "paste-buffer",
            "-p",
            "-r",
            "-d",
            "-b",
            buffer,
            "-t",
            &target,
        ];
        self.run_with("pool.tmux.paste", &args, false, Some(text.as_bytes()))
            .map(|_| ())
    }

    /// Presses a key.
    pub(crate) fn press(&self, session: &str, key: &str) -> Result<(), TmuxError> {
        self.run(
            "pool.tmux.key",
            &["send-keys", "-t", &pane_target(session), key],
        )
        .map(|_| ())
    }

    /// Types a text, as it stands.
    pub(crate) fn write(&self, session: &str, text: &str) -> Result<(), TmuxError> {
        let target = pane_target(session);
        self.run(
            "pool.tmux.key",
            &["send-keys", "-t", &target, "-l", "--", text],
        )
        .map(|_| ())
    }

    /// The screen of a session.
    pub(crate) fn capture(&self, session: &str) -> Result<Capture, TmuxError> {
        let target = pane_target(session);
        let args = [
            "display-message",
            "-p",
            "-t",
            &target,
            "#{pane_dead} #{pane_pid}",
            ";",
            "capture-pane",
            "-p",
            "-t",
            &target,
        ];
        let text = self.run("pool.tmux.look", &args)?;
        let (head, screen) = text.split_once('\n').unwrap_or((&text, ""));
        let (dead, pid) = head.split_once(' ').unwrap_or((head, ""));
        Ok(Capture {
            dead: dead == "1",
            pid: pid.parse().unwrap_or(0),
            screen: screen.to_owned(),
        })
    }

    fn run(&self, label: &'static str, args: &[&str]) -> Result<String, TmuxError> {
        self.run_with(label, args, false, None)
    }

    fn run_with(
        &self,
        label: &'static str,
        args: &[&str],
        may_start: bool,
        stdin: Option<&[u8]>,
    ) -> Result<String, TmuxError> {
        let mut command = Command::new(&self.place.program);
        command.env_clear().envs(plain_environment());
        command.arg("-u");
        if !may_start {
            command.arg("-N");
        }
        command
            .args(["-S", self.place.socket.as_str(), "-f", "/dev/null"])
            .args(args);
        let done = output(label, &mut command, stdin).map_err(|e| self.broken(e))?;
        if done.status.success() {
            return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
        let nobody = [
            "no server running",
            "error connecting to",
            "lost server",
            "server exited",
        ];
        if nobody.iter().any(|words| said.contains(words)) {
            return Err(TmuxError::NoServer);
        }
        let said = longhaul_agents::excerpt(&said, 400);
        let command = args.first().copied().unwrap_or_default().to_owned();
        Err(TmuxError::Refused { command, said })
    }

    fn broken(&self, source: io::Error) -> TmuxError {
        TmuxError::Run {
            program: self.place.program.clone(),
            source,
        }
    }
}

/// What a shell of a person needs, and nothing else.
fn plain_environment() -> Vec<(&'static str, std::ffi::OsString)> {
    let mut kept: Vec<_> = [
        "HOME",
        "PATH",
        "USER",
        "LOGNAME",
        "SHELL",
        "LANG",
        "LC_CTYPE",
        "TZ",
        "SSH_AUTH_SOCK",
        "XDG_RUNTIME_DIR",
        "XDG_CONFIG_HOME",
        "XDG_STATE_HOME",
        "XDG_DATA_HOME",
        "XDG_CACHE_HOME",
    ]
    .into_iter()
    .filter_map(|name| Some((name, std::env::var_os(name)?)))
    .collect();
    if !kept.iter().any(|(name, _)| *name == "LANG") {
        kept.push(("LANG", "C.UTF-8".into()));
    }
    kept
}

fn output(label: &'static str, command: &mut Command, stdin: Option<&[u8]>) -> io::Result<Output> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let Some(bytes) = stdin else {
        return process::output(label, command.stdin(Stdio::null()));
    };
    let mut child = process::spawn(label, command.stdin(Stdio::piped()))?;
    if let Some(mut pipe) = child.stdin.take() {
        longhaul_acts::files::write_all("pool.text", &mut pipe, bytes)?;
        pipe.flush()?;
    }
    child.wait_with_output()
}

fn pane_of(line: &str) -> Option<Pane> {
    let mut parts = line.split('\t');
    let mut next = || parts.next();
    Some(Pane {
        session: next()?.to_owned(),
        dead: next()? == "1",
        pid: next()?.parse().unwrap_or(0),
        attached: next()? != "0",
        active: UnixMs(next()?.parse::<i64>().unwrap_or(0).saturating_mul(1000)),
        program: longhaul_agents::snippet(next()?, 40),
    })
}

/// This session, not one that begins alike.
fn exact(session: &str) -> String {
    format!("={session}")
}

fn pane_target(session: &str) -> String {
    format!("={session}:0.0")
}

fn shell() -> String {
    std::env::var("SHELL").unwrap_or_else(|_| "/bin/sh".to_owned())
}
