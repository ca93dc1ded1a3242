//! One step of a recording: what a program did to the folder.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

/// A file, folder or link of a recording; never used twice, unlike inode numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub u32);

/// What a new file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link and where it points to.
    Link(PathBuf),
    /// A socket, pipe or device; never put into an image.
    Other,
}

/// A name in a folder.
pub type Entry = (FileId, OsString);

/// What happened. The order of a recording is the order in which the changes took effect.
#[derive(Clone, Debug)]
pub enum Change {
    /// A file came to be; `at` is none for one without a name yet.
    Make {
        /// Which.
        file: FileId,
        /// What.
        kind: Kind,
        /// Its permission bits.
        mode: u32,
        /// Its name.
        at: Option<Entry>,
    },
    /// A further name.
    Name {
        /// Of which file.
        file: FileId,
        /// The name.
        at: Entry,
    },
    /// A name is gone.
    Unname {
        /// Which file had it.
        file: FileId,
        /// The name.
        at: Entry,
    },
    /// A name was changed; what had the new one before has lost it.
    Rename {
        /// Of which file.
        file: FileId,
        /// The old name.
        from: Entry,
        /// The new name.
        to: Entry,
    },
    /// Bytes were written.
    Write {
        /// To which file.
        file: FileId,
        /// Where.
        offset: u64,
        /// What.
        bytes: Arc<[u8]>,
    },
    /// The length was set.
    Cut {
        /// Of which file.
        file: FileId,
        /// In bytes.
        length: u64,
    },
    /// The permission bits were set.
    Mode {
        /// Of which file.
        file: FileId,
        /// The bits.
        mode: u32,
    },
    /// `fsync` or `fdatasync` returned.
    Flush {
        /// Of which file or folder.
        file: FileId,
        /// Its path below the folder at that time; for mutants of a recording.
        path: PathBuf,
    },
    /// `sync_file_range` returned: the bytes are on the disk, what finds them may not be.
    WriteOut {
        /// Of which file.
        file: FileId,
    },
    /// `sync` or `syncfs` returned: all is on the disk.
    FlushAll,
    /// A program was started: its arguments. No change, but what follows from it cannot be undone.
    Exec {
        /// Its process.
        pid: i32,
        /// The arguments.
        argv: Vec<OsString>,
        /// The variables of its environment.
        env: Vec<OsString>,
    },
    /// A process ended.
    End {
        /// Which.
        pid: i32,
    },
    /// The driver of the recording says something.
    Mark(String),
}
