//! One run of git: pipes drained by threads, bounded output, a deadline that kills the whole
//! process group. Knows nothing about repositories.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags};

use super::{Git, GitError};
use crate::oid::Oid;

const STDERR_TAIL: usize = 4096;
const STDOUT_LIMIT: usize = 256 << 20;

/// Commands that only read.
const READERS: &[&str] = &[
    "cat-file",
    "check-ref-format",
    "diff-files",
    "diff-index",
    "diff-tree",
    "for-each-ref",
    "ls-files",
    "ls-tree",
    "merge-base",
    "rev-list",
    "rev-parse",
    "show",
    "var",
    "version",
];

/// What to do when the output passes its limit.
#[derive(Clone, Copy)]
enum Overflow {
    Refuse,
    Cut,
}

/// A run of git being put together.
pub(crate) struct Call<'g> {
    git: &'g Git,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    cwd: PathBuf,
    stdin: Option<Vec<u8>>,
    limit: usize,
    overflow: Overflow,
    timeout: Duration,
}

/// What one run gave.
pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    /// The output went on past the limit of [`Call::cut_at`].
    pub(crate) cut: bool,
    command: String,
}

impl<'g> Call<'g> {
    pub(crate) fn new(git: &'g Git, cwd: &Path) -> Self {
        Self {
            git,
            args: Vec::new(),
            env: Vec::new(),
            cwd: cwd.to_owned(),
            stdin: None,
            limit: STDOUT_LIMIT,
            overflow: Overflow::Refuse,
            timeout: git.timeout(),
        }
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args
            .extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    pub(crate) fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env
            .push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    pub(crate) fn current_dir(mut self, folder: &Path) -> Self {
        self.cwd = folder.to_owned();
        self
    }

    pub(crate) fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Stop it after this time, if that is shorter than what git may take.
    pub(crate) fn within(mut self, limit: Duration) -> Self {
        self.timeout = self.timeout.min(limit);
        self
    }

    /// Keep only the first bytes of the output and stop the program there.
    pub(crate) fn cut_at(mut self, limit: usize) -> Self {
        self.limit = limit;
        self.overflow = Overflow::Cut;
        self
    }

    fn name(&self) -> String {
        self.args
            .first()
            .map_or_else(String::new, |a| a.to_string_lossy().into_owned())
    }

    /// Runs, and gives whatever the exit code was.
    pub(crate) fn output(self) -> Result<Output, GitError> {
        let command = self.name();
        if command != super::VERSION {
            self.git.check()?;
        }
        let started = Instant::now();
        let mut child = self.spawn()?;
        let (sender, receiver) = mpsc::channel();
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("stdout was piped");
        let stderr = child.stderr.take().expect("stderr was piped");
        let (limit, input) = (self.limit, self.stdin);
        std::thread::scope(|scope| {
            if let (Some(mut pipe), Some(bytes)) = (stdin, input) {
                // A program that ends without reading everything is judged by its exit code.
                scope.spawn(move || {
                    longhaul_acts::files::write_all("vcs.git.stdin", &mut pipe, &bytes).is_ok()
                });
            }
            let tail = scope.spawn(move || read_tail(stderr));
            scope.spawn(move || sender.send(read_head(stdout, limit)).is_ok());
            let head = receiver.recv_timeout(self.timeout);
            let ended = match &head {
                Ok(Ok((_, false))) => wait_until(&mut child, started + self.timeout),
                Ok(Ok((_, true)) | Err(_)) | Err(_) => None,
            };
            let status = if let Some(status) = ended {
                Some(status)
            } else {
                kill_group(&mut child);
                None
            };
            let stderr = tail.join().unwrap_or_default();
            let pipe = |source| GitError::Pipe {
                command: command.clone(),
                source,
            };
            match head {
                Err(_) => Err(GitError::TimedOut {
                    command,
                    limit: self.timeout,
                }),
                Ok(Err(source)) => Err(pipe(source)),
                Ok(Ok((stdout, true))) => match self.overflow {
                    Overflow::Refuse => Err(GitError::TooMuch { command, limit }),
                    Overflow::Cut => Ok(Output {
                        code: Some(0),
                        stdout,
                        stderr,
                        cut: true,
                        command,
                    }),
                },
                Ok(Ok((stdout, false))) => match status {
                    None => Err(GitError::TimedOut {
                        command,
                        limit: self.timeout,
                    }),
                    Some(status) => Ok(Output {
                        code: status.code(),
                        stdout,
                        stderr,
                        cut: false,
                        command,
                    }),
                },
            }
        })
    }

    /// Runs, and takes any exit code but zero for a failure.
    pub(crate) fn ok(self) -> Result<Output, GitError> {
        let output = self.output()?;
        if output.code == Some(0) {
            Ok(output)
        } else {
            Err(output.failure())
        }
    }

    /// Runs, and takes the output for exactly one object id.
    pub(crate) fn oid(self) -> Result<Oid, GitError> {
        let output = self.ok()?;
        Oid::parse(&output.stdout).map_err(|_| output.malformed("an object id"))
    }

    fn spawn(&self) -> Result<Child, GitError> {
        let settings = self.git.settings();
        let mut command = Command::new(&settings.program);
        command
            .args(&self.args)
            .env_clear()
            .envs(self.git.environment())
            .envs(self.env.iter().map(|(k, v)| (k, v)))
            .current_dir(&self.cwd)
            .stdin(if self.stdin.is_some() {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        self.begin(&mut command).map_err(|source| GitError::Spawn {
            program: settings.program.to_string_lossy().into_owned(),
            source,
        })
    }

    fn begin(&self, command: &mut Command) -> std::io::Result<Child> {
        let verb = self.name();
        if READERS.contains(&verb.as_str()) {
            #[expect(
                clippy::disallowed_methods,
                reason = "it changes nothing, so there is nothing to die before or after"
            )]
            return command.spawn();
        }
        longhaul_acts::process::spawn(("vcs.git", verb.as_str()), command)
    }
}

impl Output {
    pub(crate) fn failure(&self) -> GitError {
        GitError::Failed {
            command: self.command.clone(),
            code: self.code,
            stderr: self.stderr.clone(),
        }
    }

    pub(crate) fn malformed(&self, expected: &'static str) -> GitError {
        GitError::Malformed {
            command: self.command.clone(),
            expected,
        }
    }
}

fn read_head(mut pipe: impl Read, limit: usize) -> std::io::Result<(Vec<u8>, bool)> {
    let mut bytes = Vec::new();
    let wanted = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    pipe.by_ref().take(wanted).read_to_end(&mut bytes)?;
    let over = bytes.len() > limit;
    bytes.truncate(limit);
    Ok((bytes, over))
}

/// Drains everything and keeps the end, made harmless for a terminal.
fn read_tail(mut pipe: impl Read) -> String {
    let mut tail = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read) = pipe.read(&mut buffer) {
        if read == 0 {
            break;
        }
        tail.extend_from_slice(&buffer[..read]);
        if tail.len() > 2 * STDERR_TAIL {
            tail.drain(..tail.len() - STDERR_TAIL);
        }
    }
    let start = tail.len().saturating_sub(STDERR_TAIL);
    String::from_utf8_lossy(&tail[start..])
        .trim()
        .chars()
        .map(|c| if c == '\n' { ' ' } else { c })
        .filter(|c| !c.is_control())
        .collect()
}

/// The output has ended, so the program ends now or has lost its way.
fn wait_until(child: &mut Child, deadline: Instant) -> Option<ExitStatus> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw)?;
    // The kernel says when it ends; a system without such descriptors is asked now and then.
    let end = rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok();
    let mut pause = Duration::from_micros(200);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => {}
            Ok(None) | Err(_) => return None,
        }
        match &end {
            Some(end) => wait_for_end(end, deadline),
            None => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(20));
            }
        }
    }
}

/// Returns when the process has ended, or at the deadline, or now and then for nothing.
fn wait_for_end(end: &OwnedFd, deadline: Instant) {
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout = Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(left.subsec_nanos()),
    };
    let mut fds = [PollFd::new(end, PollFlags::IN)];
    if rustix::event::poll(&mut fds, Some(&timeout)).is_err() {
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Ends git and everything in its process group, then collects it.
fn kill_group(child: &mut Child) {
    if let Ok(raw) = i32::try_from(child.id())
        && let Some(pid) = rustix::process::Pid::from_raw(raw)
        && let Err(error) =
            longhaul_acts::process::signal_group("vcs.git.kill", pid, rustix::process::Signal::KILL)
    {
        tracing::warn!(pid = raw, %error, "cannot stop a git process group");
    }
    if let Err(error) = child.wait() {
        tracing::warn!(%error, "cannot collect a git process");
    }
}
