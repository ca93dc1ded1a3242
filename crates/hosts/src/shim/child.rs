//! Starting the job's main process, step by step, so that its identity is on disk before its
//! program does anything (I4), and so that a failure names its step.
//!
//! The child itself writes the identity between fork and exec. Until the exec it holds its copy of
//! the bundle's lock, so "lock free and no identity" means that nothing was or will be run.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio as Handle};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use longhaul_acts::files;
use rustix::fs::{Mode, OFlags};
use rustix::pipe::PipeFlags;
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use crate::bundle::{Bundle, IDENTITY};
use crate::cgroup::Cgroup;
use crate::confine::Ready;
use crate::durable;
use crate::identity::ProcessIdentity;
use crate::record::{JobIdentity, Outcome, PROTOCOL_VERSION, SpawnStep};
use crate::shim::feed::Feed;
use crate::shim::fork;
use crate::spec::{CgroupMode, JobSpec, SPAWN_KEY_ENV, Stdin, Stdio};

/// A running main process and our ends of its pipes, all non-blocking.
#[derive(Debug)]
pub(super) struct Spawned {
    pub(super) pid: u32,
    pub(super) out: OwnedFd,
    pub(super) err: Option<OwnedFd>,
    pub(super) feed: Option<Feed>,
    /// The terminal's master side, for its size.
    pub(super) terminal: Option<OwnedFd>,
    pub(super) cgroup: Option<Cgroup>,
}

/// Which step failed, and how.
#[derive(Debug)]
pub(super) struct SpawnFailure {
    pub(super) step: SpawnStep,
    pub(super) source: io::Error,
}

impl SpawnFailure {
    pub(super) fn outcome(&self) -> Outcome {
        Outcome::SpawnFailed {
            step: self.step,
            errno: self.source.raw_os_error(),
            message: self.source.to_string(),
        }
    }
}

/// Attaches the step to an error.
pub(super) fn at<E: Into<io::Error>>(step: SpawnStep) -> impl FnOnce(E) -> SpawnFailure {
    move |source| SpawnFailure {
        step,
        source: source.into(),
    }
}

/// The child's ends and ours.
struct Ends {
    child: [Handle; 3],
    out: OwnedFd,
    err: Option<OwnedFd>,
    feed: Option<Feed>,
    terminal: Option<OwnedFd>,
}

/// Starts the main process. Returns once its program runs, or with the step that failed.
pub(super) fn spawn(
    bundle: &Bundle,
    spec: &JobSpec,
    shim: &ProcessIdentity,
    started_ms: i64,
) -> Result<Spawned, SpawnFailure> {
    let confine = match &spec.sandbox {
        Some(lists) => Some(
            Ready::new(lists)
                .map_err(io::Error::other)
                .map_err(at(SpawnStep::Confine))?,
        ),
        None => None,
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "a folder is only looked up through it"
    )]
    let cwd = rustix::fs::open(
        spec.cwd.as_std_path(),
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(at(SpawnStep::Cwd))?;
    let ends = open_ends(spec)?;
    let cgroup = match spec.cgroup {
        CgroupMode::Auto => Cgroup::create(&spec.key),
        CgroupMode::Off => None,
    };
    let (steps, step_in) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
        .map_err(at(SpawnStep::Fork))?;

    let (program, arguments) = spec
        .argv
        .split_first()
        .expect("a validated spec has a program");
    let mut command = Command::new(program);
    let [stdin, stdout, stderr] = ends.child;
    command
        .args(arguments)
        .env_clear()
        .envs(spec.env.iter().map(|(name, value)| (name, value)))
        .env(SPAWN_KEY_ENV, &spec.key)
        .stdin(stdin)
        .stdout(stdout)
        .stderr(stderr);
    let born_inside = Arc::new(AtomicBool::new(false));
    let before_exec = BeforeExec {
        born_inside: Arc::clone(&born_inside),
        cwd,
        terminal: ends.terminal.is_some(),
        door: cgroup.as_ref().and_then(|group| group.door().ok()),
        dir: bundle.dir().to_owned(),
        identity: JobIdentity {
            version: PROTOCOL_VERSION,
            key: spec.key.clone(),
            child: shim.clone(),
            shim: shim.clone(),
            cgroup: cgroup.as_ref().map(|group| group.path().to_owned()),
            confinement: confine.as_ref().map(|ready| ready.level),
            started_ms,
        },
        confine,
        step: step_in,
    };
    let mut before_exec = Some(before_exec);
    let prepare = move || match before_exec.take() {
        Some(work) => work.run(),
        None => Err(io::ErrorKind::Unsupported.into()),
    };
    #[expect(
        unsafe_code,
        reason = "the only hook between fork and exec; see the SAFETY comment"
    )]
    // SAFETY: the closure runs in the forked child. The shim is single-threaded (documented on
    // `shim::main`), so no lock of the allocator or of anything else can be held by a thread that
    // does not exist in the child; allocating and opening files is therefore sound there.
    unsafe {
        command.pre_exec(prepare);
    }
    let spawned = start(&mut command, cgroup.as_ref(), &born_inside);
    // Our copies of the child's ends must go, or its pipes would never end.
    drop(command);
    match spawned {
        Ok(pid) => Ok(Spawned {
            pid,
            out: ends.out,
            err: ends.err,
            feed: ends.feed,
            terminal: ends.terminal,
            cgroup,
        }),
        Err(source) => {
            if let Some(group) = cgroup {
                group.remove();
            }
            Err(SpawnFailure {
                step: last_step(&steps),
                source,
            })
        }
    }
}

/// Starts the program: in its cgroup from the first moment, where the system can do that; else the
/// child joins by itself.
fn start(
    command: &mut Command,
    cgroup: Option<&Cgroup>,
    born_inside: &AtomicBool,
) -> io::Result<u32> {
    if let Some(folder) = cgroup.and_then(|group| File::open(group.path()).ok()) {
        // Seen by the child: it is a copy.
        born_inside.store(true, Ordering::Relaxed);
        let started =
            longhaul_acts::around("shim.spawn.inside", || fork::into_cgroup(&folder, command));
        if let Some(started) = started {
            return started;
        }
        born_inside.store(false, Ordering::Relaxed);
    }
    longhaul_acts::process::spawn("shim.spawn", command).map(|child| child.id())
}

/// What the child does before its program runs.
struct BeforeExec {
    /// It was started inside of its cgroup.
    born_inside: Arc<AtomicBool>,
    cwd: OwnedFd,
    terminal: bool,
    door: Option<File>,
    dir: PathBuf,
    identity: JobIdentity,
    confine: Option<Ready>,
    step: OwnedFd,
}

impl BeforeExec {
    fn run(self) -> io::Result<()> {
        rustix::process::setsid()?;
        // The shim blocks what it reads from its signalfd; the program must not inherit that.
        nix::sys::signal::SigSet::empty().thread_set_mask()?;
        if self.terminal {
            self.at(b'p')?;
            rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
        }
        self.at(b'c')?;
        rustix::process::fchdir(&self.cwd)?;
        self.at(b'i')?;
        let mut identity = self.identity.clone();
        let joined = self.born_inside.load(Ordering::Relaxed)
            || self
                .door
                .as_ref()
                .is_some_and(|door| files::write_fd("child.cgroup", door, b"0").is_ok());
        if !joined {
            identity.cgroup = None;
        }
        identity.child = ProcessIdentity::current().map_err(io::Error::other)?;
        let bytes = serde_json::to_vec(&identity).map_err(io::Error::other)?;
        durable::write(&self.dir, IDENTITY, &bytes, "child.identity")?;
        // Without its shim the job would be lost from the start: let it not begin.
        let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
        if parent != i32::try_from(identity.shim.pid).ok() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.at(b's')?;
        // The last that is not confined itself, so that the sweep can count it.
        longhaul_acts::point("child.exec");
        let Self { confine, step, .. } = self;
        if let Some(confine) = confine {
            confine.apply()?;
        }
        files::write_fd("child.last-step", &step, b"x")?;
        Ok(())
    }

    fn at(&self, step: u8) -> io::Result<()> {
        files::write_fd("child.step", &self.step, &[step])?;
        Ok(())
    }
}

/// Reads the last step that the child began.
fn last_step(steps: &OwnedFd) -> SpawnStep {
    let mut seen = [0; 16];
    let read = rustix::io::read(steps, &mut seen).unwrap_or(0);
    match seen[..read].last() {
        Some(b'p') => SpawnStep::Pty,
        Some(b'c') => SpawnStep::Cwd,
        Some(b'i') => SpawnStep::Identity,
        Some(b's') => SpawnStep::Confine,
        Some(b'x') => SpawnStep::Exec,
        _ => SpawnStep::Fork,
    }
}

fn open_ends(spec: &JobSpec) -> Result<Ends, SpawnFailure> {
    let file = match &spec.stdin {
        Stdin::File(path) => Some(File::open(path).map_err(at(SpawnStep::Stdin))?),
        Stdin::None | Stdin::Pipe => None,
    };
    match spec.stdio {
        Stdio::Pipes => pipe_ends(file, &spec.stdin),
        Stdio::Pty { rows, cols } => terminal_ends(file, rows, cols),
    }
}

fn pipe_ends(file: Option<File>, stdin: &Stdin) -> Result<Ends, SpawnFailure> {
    let pipe = || {
        rustix::pipe::pipe_with(PipeFlags::CLOEXEC)
            .map_err(at::<rustix::io::Errno>(SpawnStep::Setup))
    };
    let (out, out_child) = pipe()?;
    let (err, err_child) = pipe()?;
    set_nonblocking(&out)?;
    set_nonblocking(&err)?;
    let (stdin, feed) = match stdin {
        Stdin::None => (Handle::null(), None),
        Stdin::File(_) | Stdin::Pipe => {
            let (in_child, input) = pipe()?;
            set_nonblocking(&input)?;
            let keep_open = *stdin == Stdin::Pipe;
            (
                Handle::from(in_child),
                Some(Feed::new(input, file, keep_open, false)),
            )
        }
    };
    Ok(Ends {
        child: [stdin, Handle::from(out_child), Handle::from(err_child)],
        out,
        err: Some(err),
        feed,
        terminal: None,
    })
}

fn terminal_ends(file: Option<File>, rows: u16, cols: u16) -> Result<Ends, SpawnFailure> {
    let failed = || at::<io::Error>(SpawnStep::Pty);
    let open = || -> io::Result<Ends> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = rustix::pty::openpt(flags)?;
        rustix::pty::grantpt(&master)?;
        rustix::pty::unlockpt(&master)?;
        let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
        rustix::termios::tcsetwinsize(&slave, size(rows, cols))?;
        let child = [
            Handle::from(slave.try_clone()?),
            Handle::from(slave.try_clone()?),
            Handle::from(slave),
        ];
        Ok(Ends {
            child,
            out: master.try_clone()?,
            err: None,
            feed: Some(Feed::new(master.try_clone()?, file, true, true)),
            terminal: Some(master),
        })
    };
    let ends = open().map_err(failed())?;
    set_nonblocking(&ends.out)?;
    Ok(ends)
}

/// A terminal size without pixels.
pub(super) fn size(rows: u16, cols: u16) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: cols,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

fn set_nonblocking(fd: &OwnedFd) -> Result<(), SpawnFailure> {
    let set = || -> rustix::io::Result<()> {
        let flags = rustix::fs::fcntl_getfl(fd)?;
        rustix::fs::fcntl_setfl(fd, flags | OFlags::NONBLOCK)
    };
    debug_assert!(fd.as_fd().as_raw_fd() >= 0);
    set().map_err(at(SpawnStep::Setup))
}
