//! What a system call is about to change, told from its number and arguments before it is made.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::libc;
use nix::unistd::Pid;

use crate::change::FileId;
use crate::paths;
use crate::registers::Registers;
use crate::tracer::Tracer;

/// A call that may change the folder, understood before it is made. Paths are below the folder.
#[derive(Clone, Debug)]
pub(crate) enum Plan {
    Open {
        at: PathBuf,
        cut: bool,
    },
    OpenUnnamed,
    MakeFolder(PathBuf),
    MakeOther(PathBuf),
    Unname(PathBuf),
    Rename {
        from: PathBuf,
        to: PathBuf,
        swap: bool,
    },
    Name {
        file: Option<FileId>,
        to: PathBuf,
    },
    Link {
        target: PathBuf,
        to: PathBuf,
    },
    Mode {
        file: Option<FileId>,
        path: PathBuf,
    },
    /// Bytes at an offset, or before the position that the call leaves behind.
    Write {
        fd: u64,
        file: FileId,
        offset: Option<u64>,
    },
    /// `copy_file_range` with an offset in memory, which the call moves on.
    WriteVia {
        fd: u64,
        file: FileId,
        pointer: u64,
    },
    Length {
        file: FileId,
        path: PathBuf,
    },
    Flush {
        file: FileId,
        path: PathBuf,
    },
    WriteOut(FileId),
    FlushAll,
    Unknown(String),
}

impl Tracer {
    /// The path below the folder that a call means, if it is below it.
    fn below(&self, pid: Pid, folder: u64, at: u64) -> Option<PathBuf> {
        let text = paths::text(pid, at).ok()?;
        let path = paths::path(pid, folder, &text).ok()?;
        path.strip_prefix(&self.folder).ok().map(Path::to_owned)
    }

    /// The same with links followed, if there is something.
    fn below_followed(&self, pid: Pid, folder: u64, at: u64) -> Option<PathBuf> {
        let text = paths::text(pid, at).ok()?;
        let path = paths::path(pid, folder, &text).ok()?;
        let path = fs::canonicalize(&path).unwrap_or(path);
        path.strip_prefix(&self.folder).ok().map(Path::to_owned)
    }

    /// The file below the folder that is open under this number, and its path.
    fn open_file(&mut self, pid: Pid, fd: u64) -> Option<(FileId, PathBuf, Metadata)> {
        let (path, meta) = paths::open_file(pid, fd).ok()?;
        let below = path.strip_prefix(&self.folder).ok()?.to_owned();
        if !(meta.is_file() || meta.is_dir()) {
            return None;
        }
        match self.inodes.get(&(meta.dev(), meta.ino())) {
            Some(file) => Some((*file, below, meta)),
            None => {
                self.problems
                    .push(format!("{} came unseen", path.display()));
                None
            }
        }
    }

    /// What a call is about to change below the folder; none for most calls.
    pub(crate) fn plan(&mut self, pid: Pid, call: Registers) -> Option<Plan> {
        let a = call.arguments;
        let here = i64::from(libc::AT_FDCWD).cast_unsigned();
        match call.number {
            libc::SYS_openat => self.plan_open(pid, a[0], a[1], a[2]),
            libc::SYS_openat2 => {
                let flags = paths::number(pid, a[2]).ok()?;
                self.plan_open(pid, a[0], a[1], flags)
            }
            libc::SYS_mkdirat => self.below(pid, a[0], a[1]).map(Plan::MakeFolder),
            libc::SYS_mknodat => self.below(pid, a[0], a[1]).map(Plan::MakeOther),
            libc::SYS_unlinkat => self.below(pid, a[0], a[1]).map(Plan::Unname),
            libc::SYS_renameat2 => {
                let swap = a[4] & u64::from(libc::RENAME_EXCHANGE) != 0;
                self.plan_rename(pid, (a[0], a[1]), (a[2], a[3]), swap)
            }
            libc::SYS_renameat => self.plan_rename(pid, (a[0], a[1]), (a[2], a[3]), false),
            libc::SYS_linkat => self.plan_link(pid, (a[0], a[1]), (a[2], a[3]), a[4]),
            libc::SYS_symlinkat => self.plan_symlink(pid, a[0], a[1], a[2]),
            libc::SYS_fchmodat => self.plan_mode(pid, a[0], a[1]),
            libc::SYS_fchmod => {
                let (file, path, _) = self.open_file(pid, a[0])?;
                Some(Plan::Mode {
                    file: Some(file),
                    path,
                })
            }
            #[cfg(target_arch = "x86_64")]
            libc::SYS_open => self.plan_open(pid, here, a[0], a[1]),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_creat => {
                let flags = (libc::O_CREAT | libc::O_TRUNC).cast_unsigned();
                self.plan_open(pid, here, a[0], flags.into())
            }
            #[cfg(target_arch = "x86_64")]
            libc::SYS_mkdir => self.below(pid, here, a[0]).map(Plan::MakeFolder),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_mknod => self.below(pid, here, a[0]).map(Plan::MakeOther),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_unlink | libc::SYS_rmdir => self.below(pid, here, a[0]).map(Plan::Unname),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_rename => self.plan_rename(pid, (here, a[0]), (here, a[1]), false),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_link => self.plan_link(pid, (here, a[0]), (here, a[1]), 0),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_symlink => self.plan_symlink(pid, a[0], here, a[1]),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_chmod => self.plan_mode(pid, here, a[0]),
            libc::SYS_write | libc::SYS_writev | libc::SYS_sendfile => {
                let (file, ..) = self.open_file(pid, a[0])?;
                Some(Plan::Write {
                    fd: a[0],
                    file,
                    offset: None,
                })
            }
            libc::SYS_pwrite64 | libc::SYS_pwritev | libc::SYS_pwritev2 => {
                let (file, ..) = self.open_file(pid, a[0])?;
                let offset = Some(a[3]).filter(|at| *at != u64::MAX);
                Some(Plan::Write {
                    fd: a[0],
                    file,
                    offset,
                })
            }
            libc::SYS_copy_file_range | libc::SYS_splice => {
                let (fd, pointer) = (a[2], a[3]);
                let (file, ..) = self.open_file(pid, fd)?;
                Some(if pointer == 0 {
                    Plan::Write {
                        fd,
                        file,
                        offset: None,
                    }
                } else {
                    Plan::WriteVia { fd, file, pointer }
                })
            }
            libc::SYS_ftruncate | libc::SYS_fallocate => {
                let (file, path, _) = self.open_file(pid, a[0])?;
                if call.number == libc::SYS_fallocate && a[1] > 1 {
                    return Some(Plan::Unknown(format!(
                        "fallocate mode {} of {path:?}",
                        a[1]
                    )));
                }
                Some(Plan::Length { file, path })
            }
            libc::SYS_truncate => {
                let path = self.below_followed(pid, here, a[0])?;
                let file = self.tree.find(&path)?;
                Some(Plan::Length { file, path })
            }
            libc::SYS_fsync | libc::SYS_fdatasync => {
                let (file, path, _) = self.open_file(pid, a[0])?;
                Some(Plan::Flush { file, path })
            }
            libc::SYS_sync_file_range => {
                let (file, ..) = self.open_file(pid, a[0])?;
                Some(Plan::WriteOut(file))
            }
            libc::SYS_sync => Some(Plan::FlushAll),
            libc::SYS_syncfs => {
                let meta = fs::metadata(paths::fd_link(pid, a[0])).ok()?;
                (meta.dev() == self.device).then_some(Plan::FlushAll)
            }
            libc::SYS_mmap => {
                let shared = a[3] & 3 == libc::MAP_SHARED as u64 || a[3] & 3 == 3;
                if !shared || a[2] & libc::PROT_WRITE as u64 == 0 || (a[4] as i32) < 0 {
                    return None;
                }
                let (_, path, _) = self.open_file(pid, a[4])?;
                let shm = path.as_os_str().as_encoded_bytes().ends_with(b"-shm");
                (!shm).then(|| Plan::Unknown(format!("{path:?} is written through memory")))
            }
            libc::SYS_io_uring_setup => Some(Plan::Unknown("io_uring".to_owned())),
            _ => None,
        }
    }

    fn plan_open(&self, pid: Pid, folder: u64, at: u64, flags: u64) -> Option<Plan> {
        let flags = flags as i32;
        if flags & libc::O_TMPFILE == libc::O_TMPFILE {
            self.below_followed(pid, folder, at)?;
            return Some(Plan::OpenUnnamed);
        }
        let cut = flags & libc::O_TRUNC != 0 && flags & libc::O_ACCMODE != libc::O_RDONLY;
        if flags & libc::O_CREAT == 0 && !cut {
            return None;
        }
        let followed = flags & (libc::O_EXCL | libc::O_NOFOLLOW) == 0;
        let at = if followed {
            self.below_followed(pid, folder, at)?
        } else {
            self.below(pid, folder, at)?
        };
        if flags & libc::O_DSYNC != 0 {
            return Some(Plan::Unknown(format!("{at:?} is opened with O_SYNC")));
        }
        Some(Plan::Open { at, cut })
    }

    fn plan_rename(&self, pid: Pid, from: (u64, u64), to: (u64, u64), swap: bool) -> Option<Plan> {
        match (self.below(pid, from.0, from.1), self.below(pid, to.0, to.1)) {
            (Some(from), Some(to)) => Some(Plan::Rename { from, to, swap }),
            (None, None) => None,
            (from, to) => Some(Plan::Unknown(format!("rename {from:?} to {to:?}"))),
        }
    }

    fn plan_link(&self, pid: Pid, from: (u64, u64), to: (u64, u64), flags: u64) -> Option<Plan> {
        let to = self.below(pid, to.0, to.1)?;
        let flags = flags as i32;
        let text = paths::text(pid, from.1).ok()?;
        let meta = if flags & libc::AT_EMPTY_PATH != 0 && text.is_empty() {
            fs::metadata(paths::fd_link(pid, from.0))
        } else {
            let path = paths::path(pid, from.0, &text).ok()?;
            if flags & libc::AT_SYMLINK_FOLLOW != 0 {
                fs::metadata(path)
            } else {
                fs::symlink_metadata(path)
            }
        };
        let file = meta
            .ok()
            .and_then(|m| self.inodes.get(&(m.dev(), m.ino())).copied());
        Some(Plan::Name { file, to })
    }

    fn plan_symlink(&self, pid: Pid, target: u64, folder: u64, at: u64) -> Option<Plan> {
        use std::os::unix::ffi::OsStringExt as _;
        let to = self.below(pid, folder, at)?;
        let target = std::ffi::OsString::from_vec(paths::text(pid, target).ok()?).into();
        Some(Plan::Link { target, to })
    }

    fn plan_mode(&self, pid: Pid, folder: u64, at: u64) -> Option<Plan> {
        let path = self.below_followed(pid, folder, at)?;
        let file = self.tree.find(&path);
        Some(Plan::Mode { file, path })
    }
}
