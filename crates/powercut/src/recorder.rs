//! Running commands under the recorder.

use std::collections::HashSet;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::change::Change;
use crate::recording::Recording;
use crate::tracer::{Tracer, attach};

/// How long a recorded command may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(120);
/// How long recorded processes may take to end by themselves once the recording is to finish.
const END_LIMIT: Duration = Duration::from_secs(30);

/// Why nothing could be recorded.
#[derive(Debug)]
pub enum RecorderError {
    /// The folder cannot be read.
    Folder(io::Error),
    /// The shell that starts the commands cannot be started.
    Shell(io::Error),
    /// The system does not let us trace a process of our own: in a container without the right to, or
    /// with Yama's `ptrace_scope` at 3.
    NotPermitted(nix::Error),
    /// A command did not end in time, or the shell died.
    NoAnswer(String),
}

impl std::fmt::Display for RecorderError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(_) => f.write_str("the folder cannot be read"),
            Self::Shell(_) => f.write_str("the shell cannot be run"),
            Self::NotPermitted(_) => f.write_str("ptrace is not permitted here"),
            Self::NoAnswer(line) => write!(f, "no answer from {line}"),
        }
    }
}

impl std::error::Error for RecorderError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Folder(source) | Self::Shell(source) => Some(source),
            Self::NotPermitted(source) => Some(source),
            Self::NoAnswer(_) => None,
        }
    }
}

/// What a recorded command said.
#[derive(Clone, Debug)]
pub struct Said {
    /// Its exit code as the shell tells it.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Records a folder until it is told to finish. See the crate's page.
#[derive(Debug)]
pub struct Recorder {
    changes: Arc<Mutex<Vec<Change>>>,
    alive: Arc<Mutex<HashSet<Pid>>>,
    shell: ChildStdin,
    answers: Receiver<String>,
    tracer: JoinHandle<Recording>,
    outputs: tempfile::TempDir,
    count: AtomicU32,
}

impl Recorder {
    /// Starts to record `folder`. What is in it now counts as flushed long ago. `safe` names entries of
    /// it that lie on another disk and lose nothing: what the world outside has seen.
    ///
    /// All that the commands read as the kernel's boot id is another one than the true one, so that
    /// programs started later take themselves to be after a reboot.
    ///
    /// # Errors
    /// See [`RecorderError`].
    pub fn start(folder: &Path, safe: &[&str]) -> Result<Self, RecorderError> {
        let outputs = tempfile::Builder::new()
            .prefix("lhp")
            .tempdir_in("/tmp")
            .map_err(RecorderError::Folder)?;
        let boot_id = outputs.path().join("boot");
        std::fs::write(&boot_id, "00000000-0000-4000-8000-00000000b007\n")
            .map_err(RecorderError::Folder)?;
        let tracer = Tracer::new(folder, safe, boot_id).map_err(RecorderError::Folder)?;
        let (changes, alive) = (tracer.changes(), tracer.alive());
        let (started, attached) = mpsc::channel();
        // All of ptrace belongs to the thread that attached.
        let thread = std::thread::spawn(move || match attach() {
            Ok((mut shell, pid)) => {
                started
                    .send(Ok((shell.stdin.take(), shell.stdout.take())))
                    .ok();
                let recording = tracer.run(pid);
                shell.wait().ok();
                recording
            }
            Err(error) => {
                started.send(Err(error)).ok();
                tracer.nothing()
            }
        });
        let gone = || RecorderError::Shell(io::ErrorKind::BrokenPipe.into());
        let (stdin, stdout) = attached.recv().map_err(|_| gone())??;
        let (Some(shell), Some(stdout)) = (stdin, stdout) else {
            return Err(gone());
        };
        let (tell, answers) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            changes,
            alive,
            shell,
            answers,
            tracer: thread,
            outputs,
            count: AtomicU32::new(0),
        })
    }

    /// Runs a command to its end with the arguments, folder and variables that it was given; no other
    /// variables are set, and its standard input is empty.
    ///
    /// # Errors
    /// [`RecorderError::NoAnswer`] if it takes longer than two minutes.
    pub fn run(&mut self, command: &Command) -> Result<Said, RecorderError> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let (out, err) = (self.output(number, "out"), self.output(number, "err"));
        let quoted =
            |text: &std::ffi::OsStr| shell_words::quote(&text.to_string_lossy()).into_owned();
        let mut line = String::from("(");
        if let Some(folder) = command.get_current_dir() {
            line += &format!("cd {} && ", quoted(folder.as_os_str()));
        }
        line += "exec env -i";
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                line += &format!(" {}={}", name.to_string_lossy(), quoted(value));
            }
        }
        line += &format!(" {}", quoted(command.get_program()));
        for argument in command.get_args() {
            line += &format!(" {}", quoted(argument));
        }
        line += &format!(
            ") </dev/null >{} 2>{}; echo $?\n",
            out.display(),
            err.display()
        );
        let no_answer = || RecorderError::NoAnswer(line.clone());
        self.shell
            .write_all(line.as_bytes())
            .map_err(|_| no_answer())?;
        let code = match self.answers.recv_timeout(COMMAND_LIMIT) {
            Ok(answer) => answer.trim().parse().map_err(|_| no_answer())?,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                return Err(no_answer());
            }
        };
        let read = |path: &Path| {
            String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
        };
        Ok(Said {
            code,
            stdout: read(&out),
            stderr: read(&err),
        })
    }

    fn output(&self, number: u32, what: &str) -> PathBuf {
        self.outputs.path().join(format!("{number}.{what}"))
    }

    /// Puts a word between the changes: all that it tells of had happened by then.
    pub fn mark(&self, word: impl Into<String>) {
        self.changes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Change::Mark(word.into()));
    }

    /// Waits for the recorded processes to end (they are killed after half a minute) and gives what was
    /// recorded.
    ///
    /// # Panics
    /// If the recorder itself panicked.
    #[must_use]
    pub fn finish(self) -> Recording {
        let Self {
            alive,
            shell,
            tracer,
            ..
        } = self;
        drop(shell);
        let deadline = Instant::now() + END_LIMIT;
        while !tracer.is_finished() {
            if Instant::now() > deadline {
                for pid in alive.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                    // One that is gone needs no signal.
                    kill(*pid, Signal::SIGKILL).ok();
                }
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        match tracer.join() {
            Ok(recording) => recording,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}
