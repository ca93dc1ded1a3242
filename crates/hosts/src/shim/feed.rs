//! What the job reads: bytes on their way into its pipe or terminal, bounded.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;

use rustix::io::Errno;

/// Most bytes that may wait for the job to read them.
const MAX_WAITING_BYTES: usize = 1024 * 1024;

/// Read from a file at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// The writing end of the job's input.
#[derive(Debug)]
pub(super) struct Feed {
    fd: OwnedFd,
    waiting: VecDeque<u8>,
    file: Option<File>,
    /// End of input once nothing waits.
    closing: bool,
    /// A terminal cannot be closed on one side; it gets its end-of-file character instead.
    terminal: bool,
}

/// Whether the feed goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fed {
    Open,
    /// Drop it: closes the job's input.
    Finished,
}

impl Feed {
    /// A feed over a non-blocking descriptor.
    pub(super) fn new(fd: OwnedFd, file: Option<File>, keep_open: bool, terminal: bool) -> Self {
        Self {
            fd,
            waiting: VecDeque::new(),
            closing: file.is_some() && !keep_open,
            file,
            terminal,
        }
    }

    pub(super) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Whether there is anything to do once the job can take more.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty() || self.file.is_some()
    }

    /// Queues bytes; `false` if too many wait already.
    pub(super) fn push(&mut self, bytes: &[u8]) -> bool {
        let fits = self.waiting.len() + bytes.len() <= MAX_WAITING_BYTES;
        if fits {
            self.waiting.extend(bytes);
        }
        fits
    }

    /// No more input after what waits.
    pub(super) fn close(&mut self) {
        if self.terminal {
            self.waiting.push_back(0x04);
        } else {
            self.closing = true;
        }
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing
    }

    /// Writes as much as the job takes now.
    pub(super) fn advance(&mut self) -> Fed {
        loop {
            if self.waiting.is_empty() {
                self.refill();
            }
            if self.waiting.is_empty() {
                return if self.closing {
                    Fed::Finished
                } else {
                    Fed::Open
                };
            }
            let (front, _) = self.waiting.as_slices();
            match longhaul_acts::files::write_fd("shim.feed", &self.fd, front) {
                Ok(written) => drop(self.waiting.drain(..written)),
                Err(Errno::AGAIN) => return Fed::Open,
                Err(Errno::INTR) => {}
                // The job closed its end: what waits is for nobody.
                Err(_) => return Fed::Finished,
            }
        }
    }

    fn refill(&mut self) {
        let Some(file) = &mut self.file else { return };
        let mut chunk = vec![0; CHUNK_BYTES];
        match file.read(&mut chunk) {
            Ok(read) if read > 0 => self.waiting.extend(&chunk[..read]),
            // At its end; an unreadable rest is an end, too.
            Ok(_) | Err(_) => {
                self.file = None;
                if self.terminal {
                    self.closing = false;
                }
            }
        }
    }
}
