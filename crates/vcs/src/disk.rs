//! Disk use of folders, their removal, and file systems that are not on this machine. No git.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// Bytes on disk of a folder and everything in it; files with several names are counted once, links
/// are not followed, and what cannot be read counts as nothing.
#[must_use]
pub fn disk_usage(path: &Path) -> u64 {
    let mut seen = HashSet::new();
    let mut total = 0;
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.nlink() < 2 || meta.is_dir() || seen.insert((meta.dev(), meta.ino())) {
                total += meta.blocks() * 512;
            }
            if meta.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    total
}

/// Removes a folder and everything in it. Folders that their maker write-protected (module caches)
/// are opened up first. A folder that is not there is fine.
pub(crate) fn remove_tree(path: &Path) -> std::io::Result<()> {
    let remove = || match longhaul_acts::files::remove_dir_all("vcs.tree.remove", path) {
        Err(error) if crate::fsx::is_absent(&error) => Ok(()),
        result => result,
    };
    match remove() {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            open_up(path);
            remove()
        }
        result => result,
    }
}

/// Removes a folder so that a crash never leaves half of it at its path: it is renamed away first. What
/// an earlier try left beside it goes as well.
pub(crate) fn remove_whole(path: &Path) -> std::io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return remove_tree(path);
    };
    let mut hidden = std::ffi::OsString::from(".removing-");
    hidden.push(name);
    let aside = parent.join(hidden);
    remove_tree(&aside)?;
    match longhaul_acts::files::rename("vcs.tree.aside", path, &aside) {
        Err(error) if crate::fsx::is_absent(&error) => return Ok(()),
        renamed => renamed?,
    }
    remove_tree(&aside)
}

fn open_up(folder: &Path) {
    let Ok(meta) = fs::symlink_metadata(folder) else {
        return;
    };
    if !meta.is_dir() {
        return;
    }
    let mode = meta.permissions().mode() | 0o700;
    let mode = fs::Permissions::from_mode(mode);
    if let Err(error) = longhaul_acts::files::set_permissions("vcs.tree.open", folder, mode) {
        tracing::debug!(folder = %folder.display(), %error, "cannot open a folder up");
    }
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        open_up(&entry.path());
    }
}

/// The name of the network file system that a path lies on, if it does: locks and fsync cannot be
/// relied on there (T30). None also where the system does not tell.
#[must_use]
pub fn network_filesystem(path: &Path) -> Option<&'static str> {
    #[cfg(target_os = "linux")]
    {
        let kind = rustix::fs::statfs(path).ok()?.f_type;
        match u32::try_from(kind & 0xffff_ffff).ok()? {
            0x6969 => Some("NFS"),
            0x517b => Some("SMB"),
            0xff53_4d42 => Some("CIFS"),
            0xfe53_4d42 => Some("SMB2"),
            0x0102_1997 => Some("9P"),
            0x5346_414f => Some("AFS"),
            0x00c3_6400 => Some("Ceph"),
            0x0bd0_0bd0 => Some("Lustre"),
            _ => None,
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _path = path;
        None
    }
}
