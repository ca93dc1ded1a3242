//! The commit of a snapshot and its new ref, written without git into a repository whose files are as every
//! git writes them: an object in a file of its own, a ref under git's own lock. A task's program waits for
//! these two. Whatever is out of the ordinary, or fails, is left to git, which also says why.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use longhaul_acts::files;

use crate::fsx::{self, persist};
use crate::lock;
use crate::oid::Oid;

/// The most that fits into one block that is not compressed.
const BLOCK_MAX: usize = 0xffff;
/// Hexadecimal digits of a SHA-1.
const SHA1_DIGITS: usize = 40;

/// Writes a commit by Longhaul, durably. `None`: git has to.
pub(super) fn commit(
    common_dir: &Path,
    tree: &Oid,
    parent: Option<&Oid>,
    message: &str,
) -> Option<Oid> {
    let sha1 = |oid: &Oid| oid.as_str().len() == SHA1_DIGITS;
    if !sha1(tree) || !parent.is_none_or(sha1) || message.contains('\0') {
        return None;
    }
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    let parent = parent.map_or_else(String::new, |p| format!("parent {p}\n"));
    let who = format!("Longhaul <longhaul@localhost> {seconds} +0000");
    let text = format!("tree {tree}\n{parent}author {who}\ncommitter {who}\n\n{message}");
    let object = format!("commit {}\0{text}", text.len());
    let bytes = stored(object.as_bytes())?;
    let hash = sha1_smol::Sha1::from(&object).hexdigest();
    let oid = Oid::parse(hash.as_bytes()).ok()?;
    match write_object(&common_dir.join("objects"), &oid, &bytes) {
        Ok(()) => Some(oid),
        Err(error) => {
            tracing::debug!(%error, "a commit could not be written without git");
            None
        }
    }
}

/// As zlib gives it where nothing is compressed, which every git reads: a commit is too small to gain by it.
fn stored(object: &[u8]) -> Option<Vec<u8>> {
    if object.len() > BLOCK_MAX {
        return None;
    }
    let length = u16::try_from(object.len()).ok()?;
    let mut bytes = Vec::with_capacity(object.len() + 11);
    bytes.extend([0x78, 0x01, 0x01]);
    bytes.extend(length.to_le_bytes());
    bytes.extend((!length).to_le_bytes());
    bytes.extend(object);
    bytes.extend(adler32(object).to_be_bytes());
    Some(bytes)
}

fn adler32(bytes: &[u8]) -> u32 {
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in bytes {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    (b << 16) | a
}

fn write_object(objects: &Path, oid: &Oid, bytes: &[u8]) -> io::Result<()> {
    let (first, rest) = oid.as_str().split_at(2);
    let folder = objects.join(first);
    match files::create_dir("vcs.loose.folder", &folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    // The name that git gives its own, and clears away if nobody finishes them.
    let mut file = tempfile::Builder::new()
        .prefix("tmp_obj_")
        .permissions(Permissions::from_mode(0o444))
        .tempfile_in(&folder)?;
    files::write_all("vcs.loose.write", &mut file, bytes)?;
    files::sync_data("vcs.loose.flush", file.as_file())?;
    persist("vcs.loose.rename", file, &folder.join(rest)).map(drop)
}

/// Makes a ref that is not there, durably, by git's rules. False: git has to, and will say why not.
pub(super) fn new_ref(common_dir: &Path, name: &str, to: &Oid, is_free: impl Fn() -> bool) -> bool {
    let file = common_dir.join(name);
    let lock = common_dir.join(format!("{name}.lock"));
    let Some(folder) = file.parent() else {
        return false;
    };
    let take = || -> io::Result<File> {
        files::create_dir_all("vcs.new-ref.folder", folder)?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        files::open("vcs.new-ref.lock", &options, &lock)
    };
    let taken = match take() {
        // What a daemon left that was killed here.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let gone = lock::wait_for_git(&lock, &[common_dir]).is_ok();
            if gone { take() } else { Err(error) }
        }
        taken => taken,
    };
    let write = |taken: &File| -> io::Result<bool> {
        // Under the lock: nobody makes it meanwhile.
        let free = is_free() && fs::symlink_metadata(&file).is_err_and(|e| fsx::is_absent(&e));
        if free {
            let mut taken = taken;
            files::write_all(
                "vcs.new-ref.write",
                &mut taken,
                format!("{to}\n").as_bytes(),
            )?;
            files::sync_data("vcs.new-ref.flush", taken)?;
            files::rename("vcs.new-ref.rename", &lock, &file)?;
        }
        Ok(free)
    };
    let Ok(taken) = taken else { return false };
    match write(&taken) {
        Ok(true) => true,
        not => {
            if let Err(error) = not {
                tracing::debug!(%error, "a ref could not be made without git");
            }
            if let Err(error) = fsx::remove_file_if_there(&lock) {
                tracing::warn!(%error, "a lock of a ref could not be taken back");
            }
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_as_they_are_defined() {
        assert_eq!(adler32(b""), 1);
        assert_eq!(adler32(b"Wikipedia"), 0x11E6_0398);
        assert_eq!(stored(&[0; BLOCK_MAX + 1]), None);
    }
}
