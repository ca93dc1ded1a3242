//! A folder as a disk holds it: something to write out and to compare.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    File { bytes: Arc<Vec<u8>>, mode: u32 },
    Folder { mode: u32 },
    Link(PathBuf),
}

/// All files of a folder at one moment. Sockets are left out: none outlives a boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    pub(crate) nodes: BTreeMap<PathBuf, Node>,
}

impl Image {
    /// The bytes of a file.
    #[must_use]
    pub fn file(&self, below: impl AsRef<Path>) -> Option<&[u8]> {
        match self.nodes.get(below.as_ref())? {
            Node::File { bytes, .. } => Some(bytes),
            Node::Folder { .. } | Node::Link(_) => None,
        }
    }

    /// Replaces all that is in `folder` by this image.
    ///
    /// # Errors
    /// The system's, on reading or writing the folder.
    pub fn write_to(&self, folder: &Path) -> io::Result<()> {
        self.write_below(Path::new(""), folder)
    }

    /// Replaces all that is in `folder` by the part of this image below `part`.
    ///
    /// # Errors
    /// The system's, on reading or writing the folder.
    pub fn write_below(&self, part: &Path, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if fs::symlink_metadata(&path)?.is_dir() {
                fs::remove_dir_all(&path)?;
            } else {
                fs::remove_file(&path)?;
            }
        }
        for (below, node) in &self.nodes {
            let Ok(below) = below.strip_prefix(part) else {
                continue;
            };
            let path = folder.join(below);
            match node {
                Node::Folder { .. } => fs::create_dir_all(&path)?,
                Node::Link(target) => std::os::unix::fs::symlink(target, &path)?,
                Node::File { bytes, mode } => {
                    fs::write(&path, bytes.as_slice())?;
                    fs::set_permissions(&path, fs::Permissions::from_mode(*mode))?;
                }
            }
        }
        // Last: a folder that may not be written to must be full by then.
        for (below, node) in self.nodes.iter().rev() {
            if let (Node::Folder { mode }, Ok(below)) = (node, below.strip_prefix(part)) {
                fs::set_permissions(folder.join(below), fs::Permissions::from_mode(*mode))?;
            }
        }
        Ok(())
    }

    /// What is in a folder now.
    pub(crate) fn of(folder: &Path) -> io::Result<Self> {
        let mut nodes = BTreeMap::new();
        let mut open = vec![PathBuf::new()];
        while let Some(below) = open.pop() {
            for entry in fs::read_dir(folder.join(&below))? {
                let entry = entry?;
                let path = below.join(entry.file_name());
                let meta = entry.metadata()?;
                let mode = meta.permissions().mode() & 0o7777;
                let node = if meta.is_dir() {
                    open.push(path.clone());
                    Node::Folder { mode }
                } else if meta.is_symlink() {
                    Node::Link(fs::read_link(entry.path())?)
                } else if meta.is_file() {
                    let bytes = Arc::new(fs::read(entry.path())?);
                    Node::File { bytes, mode }
                } else {
                    continue;
                };
                nodes.insert(path, node);
            }
        }
        Ok(Self { nodes })
    }
}
