//! Names and what they stand for: as programs see them, without any power cut.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path};

use crate::change::{Entry, FileId, Kind};

/// The folder itself.
pub(crate) const ROOT: FileId = FileId(0);

/// Folders with their entries, and what each file is.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    pub(crate) folders: HashMap<FileId, BTreeMap<OsString, FileId>>,
    pub(crate) kinds: HashMap<FileId, Kind>,
}

impl Tree {
    pub(crate) fn new() -> Self {
        Self {
            folders: HashMap::from([(ROOT, BTreeMap::new())]),
            kinds: HashMap::from([(ROOT, Kind::Folder)]),
        }
    }

    pub(crate) fn make(&mut self, file: FileId, kind: Kind) {
        if kind == Kind::Folder {
            self.folders.insert(file, BTreeMap::new());
        }
        self.kinds.insert(file, kind);
    }

    pub(crate) fn name(&mut self, (folder, name): &Entry, file: FileId) {
        if let Some(entries) = self.folders.get_mut(folder) {
            entries.insert(name.clone(), file);
        }
    }

    pub(crate) fn unname(&mut self, (folder, name): &Entry) {
        if let Some(entries) = self.folders.get_mut(folder) {
            entries.remove(name);
        }
    }

    pub(crate) fn get(&self, (folder, name): &Entry) -> Option<FileId> {
        self.folders.get(folder)?.get(name).copied()
    }

    /// The file at a path below the folder; links are not followed.
    pub(crate) fn find(&self, below: &Path) -> Option<FileId> {
        below
            .components()
            .try_fold(ROOT, |at, part| self.child(at, part.as_os_str()))
    }

    fn child(&self, folder: FileId, name: &OsStr) -> Option<FileId> {
        self.folders.get(&folder)?.get(name).copied()
    }

    /// The folder and the name in it.
    pub(crate) fn entry(&self, below: &Path) -> Option<Entry> {
        let folder = self.find(below.parent()?)?;
        match below.components().next_back()? {
            Component::Normal(name) => Some((folder, name.to_owned())),
            _ => None,
        }
    }
}
