//! The processes a script deals with: shell commands, background ones, and itself.

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

/// Bytes of a command's output that are kept: the last ones.
const OUTPUT_TAIL_BYTES: usize = 4096;

/// How long a finished command's output is still read when a child of it keeps the pipe open.
const LATE_OUTPUT: Duration = Duration::from_millis(200);

/// Runs a command, draining its output to the end; gives the tail of it.
pub(crate) fn shell(folder: &Path, line: &str) -> io::Result<(bool, String)> {
    let (mut reader, writer) = io::pipe()?;
    let mut child = Command::new("/bin/sh")
        .args(["-c", line])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()?;
    let (sender, chunks) = mpsc::sync_channel::<Vec<u8>>(16);
    // Ends with the pipe's last writer, which may be a grandchild that outlives this run; then
    // the process's end ends it.
    std::thread::spawn(move || {
        let mut chunk = vec![0; 65_536];
        while let Ok(count @ 1..) = reader.read(&mut chunk) {
            if sender.send(chunk[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    let mut tail = Vec::new();
    let mut keep = |chunk: Vec<u8>| {
        tail.extend(chunk);
        let excess = tail.len().saturating_sub(OUTPUT_TAIL_BYTES);
        tail.drain(..excess);
    };
    let status = loop {
        match chunks.recv_timeout(Duration::from_millis(20)) {
            Ok(chunk) => keep(chunk),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                if let Some(status) = child.try_wait()? {
                    break status;
                }
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break child.wait()?,
        }
    };
    while let Ok(chunk) = chunks.recv_timeout(LATE_OUTPUT) {
        keep(chunk);
    }
    Ok((
        status.success(),
        String::from_utf8_lossy(&tail).into_owned(),
    ))
}

/// Silence.
pub(crate) fn wait_for_ever() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// Ends this process by SIGKILL.
pub(crate) fn die() -> u8 {
    // Nothing can follow a success; a failure is as good as a death to whoever watches.
    if kill_process(getpid(), Signal::KILL).is_ok() {
        wait_for_ever();
    }
    137
}

/// Becomes a shell command in a session of its own: the other end of `spawn`. Returns only if that
/// failed.
pub(crate) fn detached(line: &OsString) -> u8 {
    // The caller spawned us, so we lead no group yet and this cannot be refused.
    if rustix::process::setsid().is_err() {
        return 1;
    }
    let error = Command::new("/bin/sh").arg("-c").arg(line).exec();
    u8::try_from(error.raw_os_error().unwrap_or(1)).unwrap_or(1)
}
