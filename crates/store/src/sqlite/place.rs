//! Whether a folder can hold a database: the kind of its file system (T30), and its permissions.

use std::fs::{DirBuilder, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};

use camino::Utf8Path;
use longhaul_acts::files;

use crate::error::StoreError;

/// Refuses a network file system: locks and shared memory cannot be trusted there.
pub(super) fn refuse_network(folder: &Utf8Path) -> Result<(), StoreError> {
    match network_kind(folder)? {
        Some(kind) => Err(StoreError::NetworkFs {
            path: folder.to_owned(),
            kind,
        }),
        None => Ok(()),
    }
}

#[cfg(target_os = "linux")]
fn network_kind(folder: &Utf8Path) -> Result<Option<&'static str>, StoreError> {
    let stat = rustix::fs::statfs(folder.as_std_path()).map_err(|e| no_access(folder, e))?;
    // The magic numbers are 32 bits wide; the field's width and sign differ between machines.
    Ok(kind_of_magic(stat.f_type as u32))
}

/// Nothing is known of file systems elsewhere yet.
#[cfg(not(target_os = "linux"))]
fn network_kind(_folder: &Utf8Path) -> Result<Option<&'static str>, StoreError> {
    Ok(None)
}

/// Network file systems by the magic number of statfs(2) (`linux/magic.h` and the file systems' own
/// headers). FUSE is not among them: it can be anything, most of it local.
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "Linux only"))]
const fn kind_of_magic(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0x6969 => "NFS",
        0x517B | 0xFF53_4D42 | 0xFE53_4D42 => "SMB",
        0x0102_1997 => "9P",
        0x564C => "NCP",
        0x5346_414F | 0x6B41_4653 => "AFS",
        0x7375_7245 => "Coda",
        0x00C3_6400 => "Ceph",
        0x0BD0_0BD0 => "Lustre",
        0x0116_1970 => "GFS2",
        0x7461_636F => "OCFS2",
        0x4750_4653 => "GPFS",
        _ => return None,
    })
}

/// Makes the folder, for this user alone, if it is missing. Its name is flushed in any case: whoever made
/// it may not have, and a power cut would take the folder and all in it.
pub(super) fn make_folder(folder: &Utf8Path) -> Result<(), StoreError> {
    if folder.is_dir() {
        if let Err(e) = sync_folder_of(folder) {
            // The folder above may be another's, and closed to us; then it is old and long flushed.
            tracing::debug!(error = %e, "the name of the state folder could not be flushed");
        }
        return Ok(());
    }
    let make = || {
        let mut builder = DirBuilder::new();
        files::build_dir("store.folder", builder.recursive(true).mode(0o700), folder)?;
        sync_folder_of(folder)
    };
    make().map_err(|e| no_access(folder, e))
}

/// Makes the file, readable by this user alone, and takes the rights of others away if it was there.
pub(super) fn make_private_file(path: &Utf8Path) -> Result<(), StoreError> {
    let make = || {
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        match files::open("store.file", options.create_new(true), path) {
            // Its name has to be as durable as what will be written to it.
            Ok(_) => sync_folder_of(path),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                let file = files::open("store.file.open", options.create_new(false), path)?;
                if file.metadata()?.permissions().mode() & 0o077 != 0 {
                    let mode = PermissionsExt::from_mode(0o600);
                    files::set_permissions("store.file.mode", path, mode)?;
                }
                Ok(())
            }
            Err(e) => Err(e),
        }
    };
    make().map_err(|e| no_access(path, e))
}

/// Makes the names in the folder of `path` durable.
pub(super) fn sync_folder_of(path: &Utf8Path) -> std::io::Result<()> {
    files::sync_dir("store.folder.flush", folder_of(path))
}

/// The folder that holds `path`.
pub(super) fn folder_of(path: &Utf8Path) -> &Utf8Path {
    match path.parent() {
        Some(folder) if !folder.as_str().is_empty() => folder,
        _ => Utf8Path::new("."),
    }
}

pub(super) fn no_access(path: &Utf8Path, e: impl Into<std::io::Error>) -> StoreError {
    let e: std::io::Error = e.into();
    if e.kind() == std::io::ErrorKind::StorageFull {
        return StoreError::Full { source: e.into() };
    }
    StoreError::NoAccess {
        path: path.to_owned(),
        source: e.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t30_network_file_systems_are_known_by_number() {
        assert_eq!(kind_of_magic(0x6969), Some("NFS"));
        assert_eq!(kind_of_magic(0xFF53_4D42), Some("SMB"));
        for local in [
            0xEF53,
            0x0102_1994,
            0x9123_683E,
            0x794C_7630,
            0x5846_5342,
            0x6573_5546,
        ] {
            assert_eq!(kind_of_magic(local), None, "{local:#x}");
        }
    }
}
