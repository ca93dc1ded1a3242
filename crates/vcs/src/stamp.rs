//! What the kernel says of a file without its content being read, and when that can be believed: what
//! was learnt of a file holds for as long as its stamp is the same (as git's index takes it). No git.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

/// Two changes within this time may leave the same time stamp: kernels count it in ticks of up to 10 ms.
const TICK: Duration = Duration::from_millis(20);
/// The most entries of a folder whose stamps are taken; git is as fast for more.
const MOST: usize = 2_000;

/// The stamps of some files, as one digest. Two that are equal and settled were taken of the same files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamps {
    digest: [u8; 32],
}

/// Takes stamps of one file after another.
pub(crate) struct Taker {
    digest: Sha256,
    /// Files as new as this may change again without a trace.
    since: SystemTime,
    youngest: Option<SystemTime>,
    entries: usize,
}

impl Taker {
    /// Nothing taken yet.
    pub(crate) fn new() -> Self {
        Self {
            digest: Sha256::new(),
            since: SystemTime::now(),
            youngest: None,
            entries: 0,
        }
    }

    /// The stamp of a file, of whatever kind, or that it is not there.
    ///
    /// # Errors
    /// Nobody can say.
    pub(crate) fn file(&mut self, path: &Path) -> io::Result<()> {
        self.word(path.as_os_str().as_bytes());
        match fs::metadata(path) {
            Ok(meta) => self.meta(&meta),
            Err(error) if crate::fsx::is_absent(&error) => self.word(b"absent"),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Something that is not a file's.
    pub(crate) fn word(&mut self, bytes: &[u8]) {
        self.digest.update((bytes.len() as u64).to_le_bytes());
        self.digest.update(bytes);
    }

    /// The stamps of everything in a folder but what is called `.git` in itself. `None` where there is too
    /// much of it, another repository or file system in it, or a part that cannot be read.
    pub(crate) fn folder(&mut self, top: &Path) -> Option<()> {
        let device = fs::metadata(top).ok()?.dev();
        let mut folders = vec![top.to_owned()];
        while let Some(folder) = folders.pop() {
            let mut entries = Vec::new();
            for entry in fs::read_dir(&folder).ok()? {
                let entry = entry.ok()?;
                if entry.file_name() != ".git" {
                    entries.push(entry.path());
                } else if folder != top {
                    return None;
                }
            }
            self.entries += entries.len();
            if self.entries > MOST {
                return None;
            }
            // The order of a listing is the file system's own affair.
            entries.sort_unstable();
            for path in entries {
                let meta = fs::symlink_metadata(&path).ok()?;
                if meta.dev() != device {
                    return None;
                }
                self.word(path.as_os_str().as_bytes());
                if meta.is_dir() {
                    self.word(b"folder");
                    folders.push(path);
                } else {
                    self.meta(&meta);
                }
            }
        }
        Some(())
    }

    fn meta(&mut self, meta: &fs::Metadata) {
        for number in [meta.dev(), meta.ino(), meta.size(), u64::from(meta.mode())] {
            self.digest.update(number.to_le_bytes());
        }
        for number in [
            meta.mtime(),
            meta.mtime_nsec(),
            meta.ctime(),
            meta.ctime_nsec(),
        ] {
            self.digest.update(number.to_le_bytes());
        }
        // The time of the last change of any kind, which no program can set.
        let changed = u64::try_from(meta.ctime()).unwrap_or(0);
        let nanos = u32::try_from(meta.ctime_nsec()).unwrap_or(0);
        let changed = SystemTime::UNIX_EPOCH + Duration::new(changed, nanos);
        self.youngest = self.youngest.max(Some(changed));
    }

    /// How long to wait until everything taken is old enough to be believed; `None` if that is now. A file
    /// from the future (the clock was set back) is none to wait for.
    pub(crate) fn unsettled_for(&self) -> Option<Duration> {
        let youngest = self.youngest?;
        match self.since.duration_since(youngest) {
            Ok(age) if age > TICK => None,
            Ok(age) => Some(TICK.saturating_sub(age) + Duration::from_millis(1)),
            Err(_) => Some(Duration::MAX),
        }
    }

    /// The stamps; `None` if some of them are too young to be believed.
    pub(crate) fn settled(self) -> Option<Stamps> {
        if self.unsettled_for().is_some() {
            return None;
        }
        let digest = self.digest.finalize().into();
        Some(Stamps { digest })
    }
}

/// Whether the file system of a path keeps the times of changes by itself, on this machine: those of
/// network and user file systems are not relied on.
pub(crate) fn are_kept(path: &Path) -> bool {
    #[cfg(target_os = "linux")]
    {
        let Ok(stat) = rustix::fs::statfs(path) else {
            return false;
        };
        // ext, XFS, Btrfs, F2FS, tmpfs, overlay.
        const LOCAL: [u32; 6] = [
            0xef53,
            0x5846_5342,
            0x9123_683e,
            0xf2f5_2010,
            0x0102_1994,
            0x794c_7630,
        ];
        u32::try_from(stat.f_type & 0xffff_ffff).is_ok_and(|kind| LOCAL.contains(&kind))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _path = path;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamps(top: &Path) -> Option<Stamps> {
        let mut taker = Taker::new();
        taker.folder(top)?;
        taker.settled()
    }

    fn settle() {
        std::thread::sleep(TICK + Duration::from_millis(15));
    }

    #[test]
    fn any_change_shows_and_what_is_too_young_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("sub/a");
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::write(&file, "one").unwrap();
        assert_eq!(stamps(dir.path()), None, "written just now");
        settle();
        let before = stamps(dir.path()).unwrap();
        assert_eq!(stamps(dir.path()).unwrap(), before);

        // Same length, and the time of its content put back.
        let time = fs::metadata(&file).unwrap().modified().unwrap();
        fs::write(&file, "two").unwrap();
        fs::File::options()
            .write(true)
            .open(&file)
            .unwrap()
            .set_modified(time)
            .unwrap();
        settle();
        let after = stamps(dir.path()).unwrap();
        assert_ne!(after, before);
        fs::create_dir(dir.path().join("empty")).unwrap();
        assert_ne!(stamps(dir.path()).unwrap(), after);
    }

    #[test]
    fn another_repository_inside_and_too_many_files_are_left_to_git() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join(".git/x")).unwrap();
        assert!(stamps(dir.path()).is_some());
        fs::create_dir_all(dir.path().join("sub/.git")).unwrap();
        assert_eq!(stamps(dir.path()), None);
    }
}
