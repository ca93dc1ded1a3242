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

/// Removes what is below `at` in `folder` and not as wanted.
fn clear(folder: &Path, at: &Path, wanted: &BTreeMap<&Path, &Node>) -> io::Result<()> {
    for entry in fs::read_dir(folder.join(at))? {
        let entry = entry?;
        let below = at.join(entry.file_name());
        let meta = entry.metadata()?;
        match wanted.get(below.as_path()) {
            Some(Node::Folder { .. }) if meta.is_dir() => clear(folder, &below, wanted)?,
            Some(node) if !meta.is_dir() && look(&entry.path(), &meta)?.as_ref() == Some(*node) => {
            }
            _ if meta.is_dir() => fs::remove_dir_all(entry.path())?,
            _ => fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

/// What a file or link is; none for what no image holds.
fn look(path: &Path, meta: &fs::Metadata) -> io::Result<Option<Node>> {
    Ok(if meta.is_symlink() {
        Some(Node::Link(fs::read_link(path)?))
    } else if meta.is_file() {
        let bytes = Arc::new(fs::read(path)?);
        let mode = meta.permissions().mode() & 0o7777;
        Some(Node::File { bytes, mode })
    } else {
        None
    })
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

    /// Makes `folder` hold this image and nothing else; see [`Image::write_below`].
    ///
    /// # Errors
    /// The system's, on reading or writing the folder.
    pub fn write_to(&self, folder: &Path) -> io::Result<()> {
        self.write_below(Path::new(""), folder)
    }

    /// Makes `folder` hold the part of this image below `part`, and nothing else. What is there already as
    /// it should be stays untouched: a power cut changes neither its inode nor its times.
    ///
    /// # Errors
    /// The system's, on reading or writing the folder.
    pub fn write_below(&self, part: &Path, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let wanted: BTreeMap<&Path, &Node> = self
            .nodes
            .iter()
            .filter_map(|(path, node)| Some((path.strip_prefix(part).ok()?, node)))
            .collect();
        clear(folder, Path::new(""), &wanted)?;
        for (below, node) in &wanted {
            let path = folder.join(below);
            match node {
                Node::Folder { .. } => fs::create_dir_all(&path)?,
                Node::Link(_) | Node::File { .. } if path.symlink_metadata().is_ok() => {}
                Node::Link(target) => std::os::unix::fs::symlink(target, &path)?,
                Node::File { bytes, mode } => {
                    fs::write(&path, bytes.as_slice())?;
                    fs::set_permissions(&path, fs::Permissions::from_mode(*mode))?;
                }
            }
        }
        // Last: a folder that may not be written to must be full by then.
        for (below, node) in wanted.iter().rev() {
            if let Node::Folder { mode } = node {
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
                } else if let Some(node) = look(&entry.path(), &meta)? {
                    node
                } else {
                    continue;
                };
                nodes.insert(path, node);
            }
        }
        Ok(Self { nodes })
    }
}
