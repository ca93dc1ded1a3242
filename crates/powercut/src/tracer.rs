//! The tracer: stops threads before and after each system call and tells what changed below the folder.
//!
//! One thread at a time is let into a call that may change the folder. So the order in which the calls
//! return is the order in which they took effect, and what a call wrote can be read back afterwards.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::change::{Change, FileId, Kind};
use crate::paths;
use crate::plan::Plan;
use crate::recorder::RecorderError;
use crate::recording::Recording;
use crate::registers::{self, Registers};
use crate::tree::{ROOT, Tree};

const BOOT_ID: &[u8] = b"/proc/sys/kernel/random/boot_id";

#[derive(Debug, Default)]
struct Thread {
    /// The call it is in, from its first stop to its second.
    call: Option<Call>,
}

#[derive(Debug)]
struct Call {
    registers: Registers,
    plan: Option<Plan>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Tracer {
    pub(crate) folder: PathBuf,
    pub(crate) device: u64,
    boot_id: Vec<u8>,
    pub(crate) tree: Tree,
    pub(crate) inodes: HashMap<(u64, u64), FileId>,
    next: u32,
    safe: HashSet<FileId>,
    before: Vec<Change>,
    changes: Arc<Mutex<Vec<Change>>>,
    pub(crate) problems: Vec<String>,
    alive: Arc<Mutex<HashSet<Pid>>>,
    threads: HashMap<Pid, Thread>,
    programs: HashSet<Pid>,
    /// Who is in a call that may change the folder, and who waits for its turn.
    busy: Option<Pid>,
    waiting: VecDeque<Pid>,
}

/// Starts the shell that runs the commands, traced by this thread from now on.
pub(crate) fn attach() -> Result<(Child, Pid), RecorderError> {
    let mut shell = Command::new("/bin/sh")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(RecorderError::Shell)?;
    let pid = Pid::from_raw(shell.id().cast_signed());
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_EXITKILL;
    // It waits for its first command: nothing of what it does can be missed.
    if let Err(error) = ptrace::seize(pid, options).and_then(|()| ptrace::interrupt(pid)) {
        drop(shell.stdin.take());
        shell.wait().ok();
        return Err(RecorderError::NotPermitted(error));
    }
    Ok((shell, pid))
}

impl Tracer {
    pub(crate) fn new(folder: &Path, safe: &[&str], boot_id: PathBuf) -> io::Result<Self> {
        let folder = folder.canonicalize()?;
        let meta = fs::metadata(&folder)?;
        let mut boot_id = boot_id.into_os_string().into_encoded_bytes();
        boot_id.push(0);
        assert!(boot_id.len() <= BOOT_ID.len(), "it must fit in its place");
        let mut tracer = Self {
            device: meta.dev(),
            boot_id,
            tree: Tree::new(),
            inodes: HashMap::from([((meta.dev(), meta.ino()), ROOT)]),
            next: 1,
            safe: HashSet::new(),
            before: Vec::new(),
            changes: Arc::default(),
            problems: Vec::new(),
            alive: Arc::default(),
            threads: HashMap::new(),
            programs: HashSet::new(),
            busy: None,
            waiting: VecDeque::new(),
            folder,
        };
        tracer.take_in(Path::new(""))?;
        tracer.before = std::mem::take(
            &mut *tracer
                .changes
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        tracer.safe = safe
            .iter()
            .filter_map(|name| tracer.tree.find(Path::new(name)))
            .collect();
        Ok(tracer)
    }

    /// Takes in what is there already.
    fn take_in(&mut self, below: &Path) -> io::Result<()> {
        for entry in fs::read_dir(self.folder.join(below))? {
            let entry = entry?;
            let path = below.join(entry.file_name());
            let meta = entry.metadata()?;
            let known = self.inodes.get(&(meta.dev(), meta.ino())).copied();
            if let Some(file) = known.filter(|_| meta.is_file()) {
                self.name(file, &path);
                continue;
            }
            let kind = if meta.is_dir() {
                Kind::Folder
            } else if meta.is_symlink() {
                Kind::Link(fs::read_link(entry.path())?)
            } else if meta.is_file() {
                Kind::File
            } else {
                Kind::Other
            };
            let file = self.make(kind.clone(), &meta, Some(&path));
            if kind == Kind::File {
                let bytes = fs::read(entry.path())?;
                self.tell(Change::Write {
                    file,
                    offset: 0,
                    bytes: bytes.into(),
                });
            } else if kind == Kind::Folder {
                self.take_in(&path)?;
            }
        }
        Ok(())
    }

    pub(crate) fn changes(&self) -> Arc<Mutex<Vec<Change>>> {
        Arc::clone(&self.changes)
    }

    pub(crate) fn alive(&self) -> Arc<Mutex<HashSet<Pid>>> {
        Arc::clone(&self.alive)
    }

    /// A recording of nothing.
    pub(crate) fn nothing(self) -> Recording {
        Recording {
            before: self.before,
            changes: Vec::new(),
            safe: self.safe,
            problems: self.problems,
        }
    }

    /// Follows the shell and all its descendants until none is left.
    pub(crate) fn run(mut self, shell: Pid) -> Recording {
        self.meet(shell);
        let any = Pid::from_raw(-1);
        // This thread's own only: the tests' other children are not ours to wait for.
        let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        loop {
            match waitpid(any, Some(flags)) {
                Ok(status) => self.take(status),
                Err(Errno::EINTR) => {}
                Err(Errno::ECHILD) => break,
                Err(error) => self.problems.push(format!("waiting: {error}")),
            }
        }
        let changes =
            std::mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner));
        Recording {
            before: self.before,
            changes,
            safe: self.safe,
            problems: self.problems,
        }
    }

    fn meet(&mut self, pid: Pid) {
        self.threads.entry(pid).or_default();
        self.alive
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(pid);
    }

    fn take(&mut self, status: WaitStatus) {
        match status {
            WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _) => self.part(pid),
            WaitStatus::PtraceSyscall(pid) => self.at_a_call(pid),
            WaitStatus::PtraceEvent(pid, _, event) => {
                self.meet(pid);
                if event == libc::PTRACE_EVENT_EXEC {
                    self.started(pid);
                }
                go_on(pid, None);
            }
            WaitStatus::Stopped(pid, signal) => {
                self.meet(pid);
                go_on(pid, Some(signal));
            }
            WaitStatus::Continued(_) | WaitStatus::StillAlive => {}
        }
    }

    fn part(&mut self, pid: Pid) {
        // The end of a thread, or of a process that ran no program of its own, is nobody's business.
        if self.programs.remove(&pid) {
            self.tell(Change::End { pid: pid.as_raw() });
        }
        self.threads.remove(&pid);
        self.alive
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&pid);
        self.waiting.retain(|w| *w != pid);
        self.release(pid);
    }

    fn release(&mut self, pid: Pid) {
        if self.busy == Some(pid) {
            self.busy = None;
            while let Some(next) = self.waiting.pop_front() {
                if self.enter(next) {
                    return;
                }
            }
        }
    }

    fn started(&mut self, pid: Pid) {
        // A thread that was not the first becomes it, and the call goes on under the new number.
        if let Ok(former) = ptrace::getevent(pid)
            && let Ok(former) = i32::try_from(former)
            && former != pid.as_raw()
            && let Some(thread) = self.threads.remove(&Pid::from_raw(former))
        {
            self.threads.insert(pid, thread);
        }
        self.programs.insert(pid);
        self.tell(Change::Exec {
            pid: pid.as_raw(),
            argv: paths::texts(pid, "cmdline"),
            env: paths::texts(pid, "environ"),
        });
    }

    fn at_a_call(&mut self, pid: Pid) {
        self.meet(pid);
        let Some(thread) = self.threads.get_mut(&pid) else {
            return;
        };
        if let Some(call) = thread.call.take() {
            if let Some(plan) = call.plan
                && let Ok(result) = registers::result(pid)
                && result >= 0
            {
                self.done(pid, call.registers, plan, result.cast_unsigned());
            }
            go_on(pid, None);
            self.release(pid);
            return;
        }
        let Ok(registers) = registers::call(pid) else {
            // It died meanwhile; its end comes.
            go_on(pid, None);
            return;
        };
        thread.call = Some(Call {
            registers,
            plan: None,
        });
        self.pretend_boot(pid, registers);
        if self.plan(pid, registers).is_none() {
            go_on(pid, None);
        } else if self.busy.is_some() {
            self.waiting.push_back(pid);
        } else {
            self.enter(pid);
        }
    }

    /// Lets a thread into its call; false if the call turns out to change nothing here.
    fn enter(&mut self, pid: Pid) -> bool {
        let Some(registers) = self
            .threads
            .get(&pid)
            .and_then(|t| Some(t.call.as_ref()?.registers))
        else {
            return false;
        };
        // Anew: what came before may have moved what it means.
        let plan = self.plan(pid, registers);
        let counts = plan.is_some();
        if counts {
            self.busy = Some(pid);
        }
        if let Some(call) = self.threads.get_mut(&pid).and_then(|t| t.call.as_mut()) {
            call.plan = plan;
        }
        go_on(pid, None);
        counts
    }

    /// Whoever asks for the boot id reads another one.
    fn pretend_boot(&self, pid: Pid, call: Registers) {
        let at = match call.number {
            libc::SYS_openat => call.arguments[1],
            #[cfg(target_arch = "x86_64")]
            libc::SYS_open => call.arguments[0],
            _ => return,
        };
        if paths::text(pid, at).is_ok_and(|text| text == BOOT_ID) {
            paths::replace(pid, at, &self.boot_id).ok();
        }
    }

    /// Tells what a call changed that has succeeded.
    fn done(&mut self, pid: Pid, call: Registers, plan: Plan, result: u64) {
        if let Err(error) = self.try_done(pid, plan.clone(), result) {
            self.problems
                .push(format!("call {} {plan:?}: {error}", call.number));
        }
    }

    fn try_done(&mut self, pid: Pid, plan: Plan, result: u64) -> io::Result<()> {
        match plan {
            Plan::Open { at, cut } => {
                let meta = fs::metadata(paths::fd_link(pid, result))?;
                if !meta.is_file() {
                    return Ok(());
                }
                match self.tree.find(&at) {
                    None => {
                        self.make(Kind::File, &meta, Some(&at));
                    }
                    Some(file) if cut => self.tell(Change::Cut { file, length: 0 }),
                    Some(_) => {}
                }
            }
            Plan::OpenUnnamed => {
                let meta = fs::metadata(paths::fd_link(pid, result))?;
                self.make(Kind::File, &meta, None);
            }
            Plan::MakeFolder(at) => {
                let meta = fs::symlink_metadata(self.folder.join(&at))?;
                self.make(Kind::Folder, &meta, Some(&at));
            }
            Plan::MakeOther(at) => {
                let meta = fs::symlink_metadata(self.folder.join(&at))?;
                let kind = if meta.is_file() {
                    Kind::File
                } else {
                    Kind::Other
                };
                self.make(kind, &meta, Some(&at));
            }
            Plan::Link { target, to } => {
                let meta = fs::symlink_metadata(self.folder.join(&to))?;
                self.make(Kind::Link(target), &meta, Some(&to));
            }
            Plan::Name { file, to } => match file {
                Some(file) => self.name(file, &to),
                None => return Err(io::Error::other("a link to something unseen")),
            },
            // A socket may be unknown: bind made it unseen, and no image holds it.
            Plan::Unname(at) => {
                if let (Some(at), Some(file)) = (self.tree.entry(&at), self.tree.find(&at)) {
                    self.tree.unname(&at);
                    self.tell(Change::Unname { file, at });
                }
            }
            Plan::Rename { swap: true, .. } => return Err(io::Error::other("an exchange")),
            Plan::Rename { from, to, .. } => self.rename(&from, &to)?,
            Plan::Mode { file, path } => {
                if let Some(file) = file {
                    let mode = match fs::symlink_metadata(self.folder.join(&path)) {
                        Ok(meta) => meta.mode() & 0o7777,
                        // Unlinked and still open.
                        Err(_) => return Ok(()),
                    };
                    self.tell(Change::Mode { file, mode });
                }
            }
            Plan::Write { fd, file, offset } => {
                let offset = match offset {
                    Some(offset) => offset,
                    None => paths::position(pid, fd)?.saturating_sub(result),
                };
                self.wrote(pid, fd, file, offset, result)?;
            }
            Plan::WriteVia { fd, file, pointer } => {
                let offset = paths::number(pid, pointer)?.saturating_sub(result);
                self.wrote(pid, fd, file, offset, result)?;
            }
            Plan::Length { file, path } => {
                let path = self.folder.join(path);
                if let Ok(meta) = fs::metadata(path) {
                    let length = meta.len();
                    self.tell(Change::Cut { file, length });
                }
            }
            Plan::Flush { file, path } => self.tell(Change::Flush { file, path }),
            Plan::WriteOut(file) => self.tell(Change::WriteOut { file }),
            Plan::FlushAll => self.tell(Change::FlushAll),
            Plan::Unknown(what) => self.problems.push(what),
        }
        Ok(())
    }

    fn wrote(&self, pid: Pid, fd: u64, file: FileId, offset: u64, count: u64) -> io::Result<()> {
        if count == 0 {
            return Ok(());
        }
        let mut bytes = vec![0; usize::try_from(count).map_err(io::Error::other)?];
        File::open(paths::fd_link(pid, fd))?.read_exact_at(&mut bytes, offset)?;
        self.tell(Change::Write {
            file,
            offset,
            bytes: bytes.into(),
        });
        Ok(())
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let unseen = || io::Error::other("a rename of something unseen");
        let meta = fs::symlink_metadata(self.folder.join(to))?;
        let (from, to) = (
            self.tree.entry(from).ok_or_else(unseen)?,
            self.tree.entry(to).ok_or_else(unseen)?,
        );
        let Some(file) = self.tree.get(&from) else {
            // A socket, made by bind; what it replaced is gone.
            let in_images = meta.is_file() || meta.is_dir() || meta.is_symlink();
            return match self.tree.get(&to) {
                _ if in_images => Err(unseen()),
                None => Ok(()),
                Some(file) => {
                    self.tree.unname(&to);
                    self.tell(Change::Unname { file, at: to });
                    Ok(())
                }
            };
        };
        // Two names of one file: the system does nothing then.
        if self.tree.get(&to) != Some(file) {
            self.tree.unname(&from);
            self.tree.name(&to, file);
            self.tell(Change::Rename { file, from, to });
        }
        Ok(())
    }

    fn make(&mut self, kind: Kind, meta: &Metadata, path: Option<&Path>) -> FileId {
        let file = FileId(self.next);
        self.next += 1;
        self.inodes.insert((meta.dev(), meta.ino()), file);
        self.tree.make(file, kind.clone());
        let at = path.and_then(|path| self.tree.entry(path));
        if let Some(at) = &at {
            self.tree.name(at, file);
        } else if let Some(path) = path {
            self.problems.push(format!("{path:?} is in no folder"));
        }
        let mode = meta.mode() & 0o7777;
        self.tell(Change::Make {
            file,
            kind,
            mode,
            at,
        });
        file
    }

    fn name(&mut self, file: FileId, path: &Path) {
        match self.tree.entry(path) {
            Some(at) => {
                self.tree.name(&at, file);
                self.tell(Change::Name { file, at });
            }
            None => self.problems.push(format!("{path:?} is in no folder")),
        }
    }

    fn tell(&self, change: Change) {
        self.changes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(change);
    }
}

/// Lets a stopped thread go on to its next call; one that died meanwhile needs no leave.
fn go_on(pid: Pid, signal: Option<Signal>) {
    ptrace::syscall(pid, signal).ok();
}
