//! A fork straight into a cgroup. A process that is moved into one afterwards waits until every
//! processor has passed through the kernel's idle point, ten milliseconds and more; one that is born
//! there waits for nothing.

use std::fs::File;
use std::io;
use std::process::Command;

/// `CLONE_INTO_CGROUP` of `linux/sched.h`; libc's constant of that name is cut off at 32 bits.
#[cfg(target_os = "linux")]
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Starts `command` in the cgroup whose folder `group` is, as [`Command::spawn`] would; gives its
/// process id, or why its program does not run. `None`: this system cannot do it, nothing was started.
#[cfg(target_os = "linux")]
pub(super) fn into_cgroup(group: &File, command: &mut Command) -> Option<io::Result<u32>> {
    use std::io::Read as _;
    use std::os::fd::AsRawFd as _;
    use std::os::unix::process::CommandExt as _;

    let (told, tell) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).ok()?;
    let args = libc::clone_args {
        flags: CLONE_INTO_CGROUP,
        pidfd: 0,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: u64::try_from(libc::SIGCHLD).ok()?,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: u64::try_from(group.as_raw_fd()).ok()?,
    };
    #[expect(unsafe_code, reason = "the only way into a cgroup by birth")]
    // SAFETY: the kernel reads `args`, which lives until the call returns, and nothing else. Without
    // CLONE_VM and with no stack given the child goes on here with a copy of all memory, as after a
    // fork. The shim is single-threaded (documented on `shim::main`), so no lock can be held in the
    // child by a thread that does not exist there.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of_val(&args)) };
    if pid == 0 {
        // The child. Returns only if the program does not run.
        #[expect(
            clippy::disallowed_methods,
            reason = "the second half of a spawn, between the caller's points"
        )]
        let error = command.exec();
        let number = error.raw_os_error().unwrap_or(libc::EINVAL);
        // Whoever should read it is gone, then.
        #[expect(
            clippy::disallowed_methods,
            reason = "a pipe to the parent, which a death here closes as well"
        )]
        rustix::io::write(&tell, &number.to_ne_bytes()).ok();
        #[expect(
            unsafe_code,
            reason = "the copy must not run what the shim does at its end"
        )]
        // SAFETY: ends the process at once and touches no memory.
        unsafe {
            libc::_exit(127)
        }
    }
    let pid = u32::try_from(pid).ok()?;
    drop(tell);
    let mut number = [0; 4];
    match File::from(told).read_exact(&mut number) {
        // The pipe was closed by the exec.
        Err(_) => Some(Ok(pid)),
        Ok(()) => {
            let child = i32::try_from(pid)
                .ok()
                .and_then(rustix::process::Pid::from_raw);
            let options = rustix::process::WaitOptions::empty();
            // Nobody else waits for it, and it is ending.
            while let Err(rustix::io::Errno::INTR) = rustix::process::waitpid(child, options) {}
            let number = i32::from_ne_bytes(number);
            Some(Err(io::Error::from_raw_os_error(number)))
        }
    }
}

/// Elsewhere there are no cgroups.
#[cfg(not(target_os = "linux"))]
pub(super) fn into_cgroup(_group: &File, _command: &mut Command) -> Option<io::Result<u32>> {
    None
}
