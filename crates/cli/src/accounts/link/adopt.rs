//! What a real folder of a home holds goes into the shared one: seen first, then copied. Nothing there is ever
//! overwritten but by a longer version of itself (a conversation that went on), and nothing here is removed.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_acts::files;

/// What an adoption would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Preview {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    /// Files that are there already, as they are or longer.
    pub(crate) there: u64,
    /// What cannot be brought together.
    pub(crate) conflicts: Vec<String>,
}

/// One file's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Copy,
    There,
    Conflict,
}

/// What copying these folders into their targets would do, one after the other.
///
/// # Errors
/// A folder cannot be read.
pub(crate) fn preview(pairs: &[(Utf8PathBuf, Utf8PathBuf)]) -> io::Result<Vec<Preview>> {
    // What an earlier one of them puts at a place.
    let mut planned: HashMap<Utf8PathBuf, Utf8PathBuf> = HashMap::new();
    let mut all = Vec::new();
    for (folder, target) in pairs {
        let mut preview = Preview::default();
        for entry in walk(folder)? {
            let (from, to) = (folder.join(&entry), target.join(&entry));
            let meta = fs::symlink_metadata(&from)?;
            if !meta.is_dir() && !meta.is_file() && !meta.is_symlink() {
                preview
                    .conflicts
                    .push(format!("{from} is no file, folder or link"));
                continue;
            }
            let there = planned.get(&to).unwrap_or(&to);
            match way(&from, there)? {
                Way::Copy if meta.is_dir() => {}
                Way::Copy => {
                    preview.files += 1;
                    preview.bytes += meta.len();
                    planned.insert(to, from);
                }
                Way::There => preview.there += u64::from(!meta.is_dir()),
                Way::Conflict => preview
                    .conflicts
                    .push(format!("{from} and {there} are both there and differ")),
            }
        }
        all.push(preview);
    }
    Ok(all)
}

/// Copies what is missing; done again, it does nothing.
///
/// # Errors
/// As it happens; what was copied stays, and doing it again goes on.
pub(super) fn merge(folder: &Utf8Path, target: &Utf8Path) -> io::Result<()> {
    let mut folders = vec![target.to_owned()];
    for entry in walk(folder)? {
        let (from, to) = (folder.join(&entry), target.join(&entry));
        let meta = fs::symlink_metadata(&from)?;
        match way(&from, &to)? {
            Way::There => {}
            Way::Conflict => {
                let what = format!("{from} and {to} are both there and differ");
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
            }
            Way::Copy if meta.is_dir() => {
                let mut builder = DirBuilder::new();
                builder.mode(meta.mode() & 0o7777 | 0o700);
                files::build_dir("cli.link.folder", &builder, &to)?;
                folders.push(to);
            }
            Way::Copy if meta.is_symlink() => {
                files::symlink("cli.link.again", fs::read_link(&from)?, &to)?;
            }
            Way::Copy => copy(&from, &to)?,
        }
    }
    for folder in folders {
        files::sync_dir("cli.link.entries", &folder)?;
    }
    Ok(())
}

/// Whole, or not at all.
fn copy(from: &Utf8Path, to: &Utf8Path) -> io::Result<()> {
    let name = to.file_name().unwrap_or("file");
    let fresh = to.with_file_name(format!(".{name}.{}.longhaul", std::process::id()));
    files::copy("cli.link.copy", from, &fresh)?;
    let mut options = OpenOptions::new();
    options.write(true);
    let file = files::open("cli.link.open", &options, &fresh)?;
    // An agent goes by it: the newest conversation, and the ones that are too old.
    files::set_modified("cli.link.time", &file, fs::metadata(from)?.modified()?)?;
    files::sync_all("cli.link.flush", &file)?;
    files::rename("cli.link.name", &fresh, to)
}

/// Everything below a folder by its path from there, folders before what they hold, in order.
fn walk(folder: &Utf8Path) -> io::Result<Vec<Utf8PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![Utf8PathBuf::new()];
    while let Some(below) = open.pop() {
        let mut entries = Vec::new();
        for entry in folder.join(&below).read_dir_utf8()? {
            let entry = entry?;
            let path = below.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                open.push(path.clone());
            }
            entries.push(path);
        }
        entries.sort();
        found.extend(entries);
    }
    Ok(found)
}

fn way(from: &Utf8Path, to: &Utf8Path) -> io::Result<Way> {
    let there = match fs::symlink_metadata(to) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Way::Copy),
        Err(error) => return Err(error),
    };
    let meta = fs::symlink_metadata(from)?;
    if meta.is_dir() && there.is_dir() {
        return Ok(Way::There);
    }
    if meta.is_symlink() && there.is_symlink() {
        let same = fs::read_link(from)? == fs::read_link(to)?;
        return Ok(if same { Way::There } else { Way::Conflict });
    }
    if !meta.is_file() || !there.is_file() || !begins_alike(from, to)? {
        return Ok(Way::Conflict);
    }
    Ok(if meta.len() > there.len() {
        Way::Copy
    } else {
        Way::There
    })
}

/// Whether one of two files is the beginning of the other.
fn begins_alike(a: &Utf8Path, b: &Utf8Path) -> io::Result<bool> {
    let (a, b) = (File::open(a)?, File::open(b)?);
    let least = a.metadata()?.len().min(b.metadata()?.len());
    let (mut a, mut b) = (a.take(least), b.take(least));
    let (mut left, mut right) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let n = a.read(&mut left)?;
        if n == 0 {
            return Ok(true);
        }
        if b.read_exact(&mut right[..n]).is_err() || left[..n] != right[..n] {
            return Ok(false);
        }
    }
}
