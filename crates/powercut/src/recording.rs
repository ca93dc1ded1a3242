//! A finished recording.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use crate::change::{Change, FileId};
use crate::disk::{Disk, Model};
use crate::image::Image;

/// All that happened, in order.
#[derive(Clone, Debug)]
pub struct Recording {
    pub(crate) before: Vec<Change>,
    pub(crate) changes: Vec<Change>,
    pub(crate) safe: HashSet<FileId>,
    pub(crate) problems: Vec<String>,
}

/// The recording does not tell what happened.
#[derive(Debug)]
pub enum Unfaithful {
    /// Something was done that the recorder does not understand.
    NotUnderstood(Vec<String>),
    /// These paths are not as the recording says.
    Differs(Vec<PathBuf>),
    /// The folder cannot be read.
    Unreadable(io::Error),
}

impl std::fmt::Display for Unfaithful {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotUnderstood(what) => write!(f, "not understood: {what:?}"),
            Self::Differs(paths) => write!(f, "not as recorded: {paths:?}"),
            Self::Unreadable(_) => f.write_str("the folder cannot be read"),
        }
    }
}

impl std::error::Error for Unfaithful {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable(source) => Some(source),
            Self::NotUnderstood(_) | Self::Differs(_) => None,
        }
    }
}

impl Recording {
    /// The changes; a moment of a power cut is a number of them.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// The disk before the first change; what was there then is durable.
    #[must_use]
    pub fn disk(&self, model: Model) -> Disk {
        let mut disk = Disk::new(model, self.safe.clone());
        self.before.iter().for_each(|change| disk.apply(change));
        disk.flush_all();
        disk
    }

    /// The disk after the first so many changes.
    #[must_use]
    pub fn disk_after(&self, model: Model, count: usize) -> Disk {
        let mut disk = self.disk(model);
        self.changes[..count].iter().for_each(|c| disk.apply(c));
        disk
    }

    /// The same without the flushes of these paths: what a program that forgot them would have left.
    #[must_use]
    pub fn without_flushes(&self, forgotten: impl Fn(&Path) -> bool) -> Self {
        let keep = |change: &&Change| match change {
            Change::Flush { path, .. } => !forgotten(path),
            _ => true,
        };
        Self {
            changes: self.changes.iter().filter(keep).cloned().collect(),
            ..self.clone()
        }
    }

    /// Checks that the recording tells the whole story: without a power cut it ends with the folder as
    /// it is. SQLite's `-shm` files are shared memory and left out.
    ///
    /// # Errors
    /// See [`Unfaithful`].
    pub fn verify(&self, folder: &Path) -> Result<(), Unfaithful> {
        if !self.problems.is_empty() {
            return Err(Unfaithful::NotUnderstood(self.problems.clone()));
        }
        let told = self.disk_after(Model::Loose, self.changes.len()).whole();
        let found = Image::of(folder).map_err(Unfaithful::Unreadable)?;
        let paths: std::collections::BTreeSet<_> =
            told.nodes.keys().chain(found.nodes.keys()).collect();
        let differs: Vec<PathBuf> = paths
            .into_iter()
            .filter(|path| !path.as_os_str().as_encoded_bytes().ends_with(b"-shm"))
            .filter(|path| told.nodes.get(*path) != found.nodes.get(*path))
            .cloned()
            .collect();
        if differs.is_empty() {
            Ok(())
        } else {
            Err(Unfaithful::Differs(differs))
        }
    }
}
