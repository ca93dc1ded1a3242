//! A stopped thread's system call: its number, arguments and result.

use nix::libc;
use nix::sys::ptrace;
use nix::unistd::Pid;

/// A call about to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registers {
    pub(crate) number: i64,
    pub(crate) arguments: [u64; 6],
}

#[cfg(target_arch = "x86_64")]
fn split(r: &libc::user_regs_struct) -> (Registers, i64) {
    let call = Registers {
        number: r.orig_rax.cast_signed(),
        arguments: [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9],
    };
    (call, r.rax.cast_signed())
}

#[cfg(target_arch = "aarch64")]
fn split(r: &libc::user_regs_struct) -> (Registers, i64) {
    let call = Registers {
        number: r.regs[8].cast_signed(),
        arguments: [
            r.regs[0], r.regs[1], r.regs[2], r.regs[3], r.regs[4], r.regs[5],
        ],
    };
    (call, r.regs[0].cast_signed())
}

/// The call that a thread stopped before.
pub(crate) fn call(pid: Pid) -> nix::Result<Registers> {
    Ok(split(&ptrace::getregs(pid)?).0)
}

/// What the call that a thread stopped after gave back.
pub(crate) fn result(pid: Pid) -> nix::Result<i64> {
    Ok(split(&ptrace::getregs(pid)?).1)
}
