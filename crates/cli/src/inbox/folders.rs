//! The four folders of an inbox, open. Each is opened without following links, below one that is open already, so
//! that nothing here ever reaches outside of them; and each belongs to the user alone.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use camino::{Utf8Component, Utf8PathBuf};
use longhaul_acts::files;
use longhaul_core::ids::TaskId;
use longhaul_core::inbox::Sight;
use longhaul_core::time::UnixMs;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use sha2::{Digest as _, Sha256};

use super::{Inbox, Trouble};

/// What keeps the files out of the user's commits, and out of Longhaul's own snapshots.
const IGNORE: &str = ".gitignore";
/// Most entries of a folder that are read in one look.
const MOST: usize = 10_000;

/// The folders.
#[derive(Debug)]
pub(super) struct Folders {
    /// Where files are put.
    pub(super) inbox: OwnedFd,
    /// Those that became tasks.
    pub(super) accepted: OwnedFd,
    /// Those whose tasks are done.
    pub(super) done: OwnedFd,
    /// Those that were refused, or whose tasks were cancelled.
    pub(super) failed: OwnedFd,
}

/// An entry of a folder.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Its name, of any bytes.
    pub(super) name: Vec<u8>,
    /// What it is.
    pub(super) kind: FileType,
    /// Its owner.
    pub(super) owner: u32,
    /// How it looks now.
    pub(super) sight: Sight,
}

impl Entry {
    /// Its name for people and for new names.
    pub(super) fn lossy(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }

    /// When anything of it changed last. Nobody but the kernel can set that.
    pub(super) fn changed(&self) -> UnixMs {
        UnixMs(i64::try_from(self.sight.changed_ns / 1_000_000).unwrap_or(i64::MAX))
    }

    /// An id that is the same for the same file as long as nothing of it changes.
    pub(super) fn identity(&self) -> TaskId {
        let mut hasher = Sha256::new();
        hasher.update(self.sight.inode.to_be_bytes());
        hasher.update(self.sight.changed_ns.to_be_bytes());
        hasher.update(&self.name);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hasher.finalize()[..16]);
        TaskId::from_uuid(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }
}

impl Folders {
    /// Opens them; with `make`, what is missing is made below a project that is there.
    ///
    /// # Errors
    /// One is missing, is no folder of the user's alone, or cannot be opened.
    pub(super) fn open(inbox: &Inbox, make: bool) -> Result<Self, Trouble> {
        let project = File::open(&inbox.project).map(OwnedFd::from);
        let mut at = project.map_err(|e| {
            let remedy = format!("`inbox.{}.project` names the project's folder", inbox.name);
            Trouble::new(format!("{}: {e}", inbox.project), remedy)
        })?;
        let mut path = inbox.project.clone();
        for part in inbox.folder.components() {
            if let Utf8Component::Normal(name) = part {
                path.push(name);
                at = below(&at, name, &path, make)?;
            }
        }
        private(&at, &path)?;
        if make {
            ignore(&at).map_err(|e| Trouble::io("write", &path.join(IGNORE), &e))?;
        }
        let part = |name: &str| {
            let path = path.join(name);
            let folder = below(&at, name, &path, make)?;
            private(&folder, &path)?;
            Ok(folder)
        };
        Ok(Self {
            inbox: part("inbox")?,
            accepted: part("accepted")?,
            done: part("done")?,
            failed: part("failed")?,
        })
    }
}

fn below(folder: &OwnedFd, name: &str, path: &Utf8PathBuf, make: bool) -> Result<OwnedFd, Trouble> {
    let open = || look_into(folder, name.as_bytes());
    let opened = match open() {
        Err(e) if e.kind() == io::ErrorKind::NotFound && make => {
            match files::create_dir_at("inbox.folder", folder, name, Mode::RWXU) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
                _ => open(),
            }
        }
        other => other,
    };
    opened.map_err(|e| match e.raw_os_error() {
        Some(code)
            if code == rustix::io::Errno::NOTDIR.raw_os_error()
                || code == rustix::io::Errno::LOOP.raw_os_error() =>
        {
            Trouble::new(
                format!("{path} is a link, or no folder"),
                "move it away; the daemon makes the folder it needs",
            )
        }
        _ if e.kind() == io::ErrorKind::NotFound => Trouble::new(
            format!("{path} is not there"),
            "the daemon makes it; `longhaul daemon restart` reads a changed configuration",
        ),
        _ => Trouble::io("open", path, &e),
    })
}

/// Who may write into the folder may have an agent run as the user.
fn private(folder: &OwnedFd, path: &Utf8PathBuf) -> Result<(), Trouble> {
    let stat = rustix::fs::fstat(folder).map_err(|e| Trouble::io("look at", path, &e.into()))?;
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(Trouble::new(
            format!("{path} belongs to another user"),
            "make it yours: whoever may put files there has agents run as you",
        ));
    }
    if stat.st_mode & 0o022 != 0 {
        return Err(Trouble::new(
            format!("others than you may write into {path}"),
            format!("chmod go-w {path}: whoever may put files there has agents run as you"),
        ));
    }
    Ok(())
}

/// Opens a folder below an open one, to look into.
fn look_into(folder: &OwnedFd, name: &[u8]) -> io::Result<OwnedFd> {
    #[expect(clippy::disallowed_methods, reason = "opens for looking only")]
    let opened = rustix::fs::openat(
        folder,
        name,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    );
    opened.map_err(Into::into)
}

/// Opens a plain file below an open folder for reading; never waits for a pipe's other end.
pub(super) fn read(folder: impl AsFd, name: &[u8]) -> io::Result<File> {
    #[expect(clippy::disallowed_methods, reason = "opens for reading only")]
    let opened = rustix::fs::openat(
        folder,
        name,
        OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    );
    opened.map(File::from).map_err(Into::into)
}

/// Git and Longhaul's own snapshots leave out what this folder holds.
fn ignore(folder: &OwnedFd) -> io::Result<()> {
    match rustix::fs::statat(folder, IGNORE, AtFlags::SYMLINK_NOFOLLOW) {
        // An empty one is what a crash left.
        Ok(stat) if stat.st_size > 0 => Ok(()),
        _ => place(
            folder,
            IGNORE,
            b"# Longhaul's inbox: no part of the project.\n*\n",
        ),
    }
}

/// Writes a file whole: beside its name, flushed, then under it.
pub(super) fn place(folder: &OwnedFd, name: &str, bytes: &[u8]) -> io::Result<()> {
    let new = format!(".{name}.new");
    match files::remove_file_at("inbox.put.clear", folder, &*new) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    let mode = Mode::RUSR | Mode::WUSR;
    let mut file = File::from(files::open_at(
        "inbox.put.create",
        folder,
        &*new,
        flags,
        mode,
    )?);
    files::write_all("inbox.put.write", &mut file, bytes)?;
    files::sync_all("inbox.put.flush", &file)?;
    files::rename_at("inbox.put.rename", (folder, &*new), (folder, name))?;
    files::sync_fd("inbox.put.folder", folder)
}

/// Moves an entry from one folder to another, for good.
pub(super) fn carry(from: (&OwnedFd, &[u8]), to: (&OwnedFd, &str)) -> io::Result<()> {
    files::rename_at("inbox.move", from, to)?;
    files::sync_fd("inbox.arrived", to.0)?;
    files::sync_fd("inbox.left", from.0)
}

/// How an entry looks now.
pub(super) fn look(folder: &OwnedFd, name: &[u8]) -> io::Result<Entry> {
    let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(Entry {
        name: name.to_owned(),
        kind: FileType::from_raw_mode(stat.st_mode),
        owner: stat.st_uid,
        sight: sight(&stat),
    })
}

/// What is seen of a file.
pub(super) fn sight(stat: &Stat) -> Sight {
    let ns = |seconds: i64, rest: u64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    #[expect(clippy::unnecessary_cast, reason = "other widths on other systems")]
    Sight {
        inode: stat.st_ino as u64,
        size: u64::try_from(stat.st_size).unwrap_or_default(),
        modified_ns: ns(stat.st_mtime as i64, stat.st_mtime_nsec as u64),
        changed_ns: ns(stat.st_ctime as i64, stat.st_ctime_nsec as u64),
    }
}

/// The entries of a folder, at most [`MOST`] of them; what vanishes meanwhile is left out.
pub(super) fn entries(folder: &OwnedFd) -> io::Result<Vec<Entry>> {
    let mut all = Vec::new();
    // A folder's own reading place is shared by its duplicates: each reading opens it anew.
    let dir = look_into(folder, b".")?;
    for entry in Dir::new(dir)?.take(MOST + 2) {
        let entry = entry?;
        let name = std::ffi::OsStr::from_bytes(entry.file_name().to_bytes()).as_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        if let Ok(entry) = look(folder, name) {
            all.push(entry);
        }
    }
    all.sort_by(|a, b| (a.sight.modified_ns, &a.name).cmp(&(b.sight.modified_ns, &b.name)));
    Ok(all)
}
