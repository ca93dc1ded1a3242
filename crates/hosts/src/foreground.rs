//! A command in front of its user, as a shell with job control runs one (A15): it has the terminal itself, in a
//! process group of its own that is the foreground one. Window size, raw mode, Ctrl-C and Ctrl-Z are then the kernel's
//! work, with nothing in between that could get them wrong; a terminal pair of our own would copy every byte and
//! answer for a terminal that it is not.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, SigmaskHow, Signal as NixSignal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, getpgrp, getpid, test_kill_process_group, waitid,
};
use rustix::termios::{
    LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr, tcsetpgrp,
};

use crate::identity::{ProcessIdentity, SignalOutcome};
use crate::procfs;

/// The signals that a supervisor takes in by reading instead of dying of them.
const TAKEN: [NixSignal; 10] = [
    NixSignal::SIGCHLD,
    NixSignal::SIGINT,
    NixSignal::SIGTERM,
    NixSignal::SIGHUP,
    NixSignal::SIGQUIT,
    NixSignal::SIGTSTP,
    NixSignal::SIGCONT,
    NixSignal::SIGWINCH,
    NixSignal::SIGUSR1,
    NixSignal::SIGUSR2,
];

/// Leaves the alternate screen, shows the cursor, and ends mouse reports, bracketed paste and focus reports: what a
/// program that was killed had no time to say.
pub const PLAIN_SCREEN: &[u8] =
    b"\x1b[?1049l\x1b[?25h\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1004l\x1b[?2004l\x1b[0m";

/// Signals of this process, read one by one. The calling thread and those that it starts later no longer die of them,
/// and neither do programs that they start, but for those of [`Front::start`].
#[derive(Debug)]
pub struct Signals {
    read: SignalFd,
    before: SigSet,
}

impl Signals {
    /// Takes them over. To be called before any other thread is started. SIGTTOU is blocked with them, so that this
    /// process may speak to its terminal from behind.
    ///
    /// # Errors
    /// The system refuses.
    pub fn take() -> io::Result<Self> {
        let mut set = SigSet::empty();
        for signal in TAKEN {
            set.add(signal);
        }
        let read = set;
        set.add(NixSignal::SIGTTOU);
        let before = set.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        Ok(Self {
            read: SignalFd::with_flags(&read, flags)?,
            before,
        })
    }

    /// The next signal that came, if any.
    pub fn next(&self) -> Option<Signal> {
        let info = self.read.read_signal().ok()??;
        Signal::from_named_raw(i32::try_from(info.ssi_signo).ok()?)
    }

    /// Waits for a signal, for input on the terminal if it is given, or for the time. True: there is input.
    pub fn wait(&self, input: Option<&Terminal>, time: Duration) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let time = Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        };
        let mut fds = vec![PollFd::new(&self.read, PollFlags::IN)];
        fds.extend(input.map(|terminal| PollFd::new(&terminal.file, PollFlags::IN)));
        match poll(&mut fds, Some(&time)) {
            Ok(_) => fds.get(1).is_some_and(|fd| !fd.revents().is_empty()),
            Err(_) => false,
        }
    }
}

/// The terminal that controls this process.
#[derive(Debug)]
pub struct Terminal {
    file: File,
    /// As it was when we came.
    before: Option<Termios>,
    /// As the command left it, while we have it.
    theirs: Option<Termios>,
}

impl Terminal {
    /// The controlling terminal; `None` where there is none.
    #[must_use]
    pub fn controlling() -> Option<Self> {
        let file = File::open("/dev/tty").ok()?;
        let before = tcgetattr(&file).ok();
        Some(Self {
            file,
            before,
            theirs: None,
        })
    }

    /// Whether our process group is the foreground one.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        tcgetpgrp(&self.file).is_ok_and(|group| group == getpgrp())
    }

    /// Whether somebody reads it key by key: then it shows a screen of theirs.
    #[must_use]
    pub fn is_raw(&self) -> bool {
        tcgetattr(&self.file).is_ok_and(|modes| !modes.local_modes.contains(LocalModes::ICANON))
    }

    /// Gives it to a command's group, in the modes that the command had left.
    pub fn give(&mut self, group: Group) {
        if let Some(modes) = self.theirs.take() {
            self.set(&modes);
        }
        // Refused if the command has just ended: then the next thing that is done is to take it back.
        if let Err(error) = tcsetpgrp(&self.file, group.0) {
            tracing::debug!(%error, "the terminal was not given away");
        }
    }

    /// Takes it back, in the modes in which we found it; those of the command are remembered for [`Self::give`].
    pub fn take(&mut self) {
        self.theirs = tcgetattr(&self.file).ok();
        self.take_as_is();
        self.restore();
    }

    /// Takes it back and leaves its modes as they are: a command that ended well meant them.
    pub fn take_as_is(&mut self) {
        if let Err(error) = tcsetpgrp(&self.file, getpgrp()) {
            tracing::debug!(%error, "the terminal was not taken back");
        }
    }

    /// The modes in which we found it.
    pub fn restore(&self) {
        if let Some(modes) = &self.before {
            self.set(modes);
        }
    }

    fn set(&self, modes: &Termios) {
        if let Err(error) = tcsetattr(&self.file, OptionalActions::Drain, modes) {
            tracing::debug!(%error, "the terminal's modes were not set");
        }
    }

    /// A line that was typed; to be called when there is input. `None` = the end of input. Nothing beyond the line is
    /// taken: what was typed ahead is the command's.
    pub fn line(&self) -> Option<String> {
        let mut bytes = [0; 4096];
        match rustix::io::read(&self.file, &mut bytes) {
            Ok(0) | Err(_) => None,
            Ok(n) => Some(String::from_utf8_lossy(&bytes[..n]).into_owned()),
        }
    }
}

/// A command's process group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group(Pid);

impl Group {
    /// Its number: the pid of its first process.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0.as_raw_nonzero().get().unsigned_abs()
    }
}

/// What became of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It ended. Its pid stays taken until [`Front::reap`].
    Ended,
    /// It was stopped by this signal.
    Stopped(Signal),
}

/// The command that runs in front.
#[derive(Debug)]
pub struct Front {
    child: Child,
    group: Group,
}

impl Front {
    /// Starts it in a process group of its own, with our standard streams. With a terminal, that group has it from
    /// the command's first instruction on. If this thread dies, the command gets TERM.
    ///
    /// # Errors
    /// As [`Command::spawn`]: the program is not there, or cannot be run.
    pub fn start(
        command: &mut Command,
        signals: &Signals,
        terminal: Option<&Terminal>,
    ) -> io::Result<Self> {
        command.process_group(0);
        let fd = terminal.map(|t| t.file.as_raw_fd());
        prepare(command, *signals.before.as_ref(), fd);
        let child = longhaul_acts::process::spawn("front.spawn", command)?;
        let raw = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let group = Group(raw.ok_or(io::ErrorKind::InvalidData)?);
        Ok(Self { child, group })
    }

    /// Its group.
    #[must_use]
    pub const fn group(&self) -> Group {
        self.group
    }

    /// Who it is.
    #[must_use]
    pub fn identity(&self) -> Option<ProcessIdentity> {
        ProcessIdentity::of(self.child.id()).ok()
    }

    /// What became of it since the last look; nothing is waited for.
    pub fn change(&self) -> Option<Change> {
        let id = || WaitId::Pid(self.group.0);
        // Its end is seen and not yet taken, so that its number stays its own while its group is signalled.
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match waitid(id(), look) {
            Ok(Some(_)) => return Some(Change::Ended),
            // Somebody else took it: nothing more can be learned.
            Err(rustix::io::Errno::CHILD) => return Some(Change::Ended),
            Ok(None) | Err(_) => {}
        }
        let stops = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        let status = waitid(id(), stops).ok()??;
        let signal = status.stopping_signal()?;
        Some(Change::Stopped(Signal::from_named_raw(signal)?))
    }

    /// Signals the whole group. Its first process was not reaped, so the number is still its own (I8).
    pub fn signal(&self, signal: Signal) {
        let sent = longhaul_acts::process::signal_group("front.signal", self.group.0, signal);
        if let Err(error) = sent {
            tracing::debug!(%error, ?signal, "the group was not signalled");
        }
    }

    /// Whether any process of the group lives, its first one included.
    #[must_use]
    pub fn lives(&self) -> bool {
        members(self.group.number()).is_none_or(|all| !all.is_empty())
    }

    /// How it ended; waits for that.
    ///
    /// # Errors
    /// Somebody else waited for it.
    pub fn reap(mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }
}

/// The code that stands for an end: its own, or 128 and the signal's number as shells say it.
#[must_use]
pub fn code_of(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

#[expect(
    unsafe_code,
    reason = "what stands between fork and exec can be said in no other way"
)]
fn prepare(command: &mut Command, mask: libc::sigset_t, terminal: Option<RawFd>) {
    let parent = getpid().as_raw_nonzero().get();
    let last = move || {
        // SAFETY: only calls that may stand between fork and exec, on numbers and on the stack.
        unsafe {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) != 0 {
                return Err(io::Error::last_os_error());
            }
            // It may have died before we asked to be told.
            if libc::getppid() != parent {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            if let Some(fd) = terminal {
                let mut set: libc::sigset_t = std::mem::zeroed();
                libc::sigemptyset(&raw mut set);
                libc::sigaddset(&raw mut set, libc::SIGTTOU);
                libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
                // Fails where the terminal went away meanwhile: the command sees that by itself.
                libc::tcsetpgrp(fd, libc::getpid());
            }
            // As it was before signals were taken over: the standard library leaves that to us.
            libc::sigprocmask(libc::SIG_SETMASK, &raw const mask, std::ptr::null_mut());
        }
        Ok(())
    };
    // SAFETY: see there.
    unsafe {
        command.pre_exec(last);
    }
}

/// Lets all signals in, whatever the mask is that whoever started this process had.
pub fn let_signals_in() {
    if let Err(error) = SigSet::all().thread_unblock() {
        tracing::warn!(%error, "signals may be blocked");
    }
}

/// Stops this process as Ctrl-Z would, and returns when it is continued. Where nobody could continue it, the kernel
/// does not stop it (an orphaned process group), and it returns at once.
pub fn stop_here() {
    as_others_would(NixSignal::SIGTSTP);
}

/// Dies of this signal, so that whoever started this process sees what became of the command. Returns if the signal is
/// none to die of.
pub fn die_of(signal: i32) {
    // One dump of memory is enough, and the command's says more.
    let none = rustix::process::Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    if let Err(error) = rustix::process::setrlimit(rustix::process::Resource::Core, none) {
        tracing::debug!(%error, "there may be a dump of memory");
    }
    if let Ok(signal) = NixSignal::try_from(signal) {
        as_others_would(signal);
    }
}

fn as_others_would(signal: NixSignal) {
    let mut set = SigSet::empty();
    set.add(signal);
    // Left to its default action, and let in for a moment. One to oneself is delivered before the call returns.
    let before = set.thread_swap_mask(SigmaskHow::SIG_UNBLOCK);
    if let Some(native) = Signal::from_named_raw(signal as i32)
        && let Err(error) = longhaul_acts::process::signal("front.self", getpid(), native)
    {
        tracing::debug!(%error, "not signalled");
    }
    if let Err(error) = before.and_then(|before| before.thread_set_mask()) {
        tracing::debug!(%error, "signals are not read any more");
    }
}

/// The living processes of a group; `None` if `/proc` does not say.
fn members(group: u32) -> Option<Vec<procfs::Stat>> {
    let all = procfs::everyone().ok()?;
    Some(all.into_iter().filter(|stat| stat.group == group).collect())
}

/// The oldest living process that was started with this variable: a command whose supervisor died before it could
/// write down which process it is.
#[must_use]
pub fn started_with(variable: &str, value: &str) -> Option<ProcessIdentity> {
    let mut all = procfs::everyone().ok()?;
    all.sort_by_key(|stat| stat.start_ticks);
    let marked = all.iter().find(|stat| {
        procfs::environ_value(stat.pid, variable)
            .is_ok_and(|found| found.is_some_and(|found| found == value.as_bytes()))
    })?;
    ProcessIdentity::of(marked.pid).ok()
}

/// Ends what is left of the group of a command whose supervisor died: TERM, after the grace KILL, each process by its
/// identity (I8). `first` is the group's first process, which need not live any more.
///
/// Gives how many there were; `None` if that cannot be known, and then nothing was signalled (I6).
pub fn end_left_over(first: &ProcessIdentity, grace: Duration) -> Option<usize> {
    let boot = crate::identity::BootId::current().ok()?;
    if boot != first.boot_id {
        return Some(0);
    }
    let pid = i32::try_from(first.pid).ok().and_then(Pid::from_raw)?;
    // A younger first process has taken the number: the old group is gone, or it could not have.
    if let procfs::Lookup::Present(stat) = procfs::lookup(first.pid)
        && stat.start_ticks != first.start_ticks
    {
        return Some(0);
    }
    let left = || -> Option<Vec<ProcessIdentity>> {
        let all = members(first.pid)?.into_iter();
        let ours = all.filter(|stat| stat.start_ticks >= first.start_ticks);
        Some(
            ours.map(|stat| ProcessIdentity {
                pid: stat.pid,
                start_ticks: stat.start_ticks,
                boot_id: boot.clone(),
            })
            .collect(),
        )
    };
    let found = left()?;
    let deadline = Instant::now() + grace;
    let all = |signal| {
        for process in left().unwrap_or_default() {
            if process.signal(signal) == SignalOutcome::Unknown {
                tracing::warn!(pid = process.pid, "could not be signalled");
            }
        }
    };
    all(crate::Signal::Term);
    all(crate::Signal::Continue);
    while test_kill_process_group(pid).is_ok() && !left()?.is_empty() {
        if Instant::now() > deadline {
            all(crate::Signal::Kill);
        }
        if Instant::now() > deadline + grace {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Some(found.len())
}
