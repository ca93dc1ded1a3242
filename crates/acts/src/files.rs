//! Changing files and folders. Names and errors are those of `std::fs`.

#![expect(
    clippy::disallowed_methods,
    reason = "the one place for the raw calls: each is between its two points here"
)]

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::point::{Label, around};

/// [`OpenOptions::open`], for a file that is created or written.
///
/// # Errors
/// As the call.
#[inline(always)]
pub fn open<'a>(
    label: impl Into<Label<'a>>,
    options: &OpenOptions,
    path: impl AsRef<Path>,
) -> io::Result<File> {
    around(label, || options.open(path))
}

/// [`fs::write`]: the whole content, not durable.
///
/// # Errors
/// As the call.
#[inline(always)]
pub fn write<'a>(
    label: impl Into<Label<'a>>,
    path: impl AsRef<Path>,
    bytes: impl AsRef<[u8]>,
) -> io::Result<()> {
    around(label, || fs::write(path, bytes))
}

/// [`Write::write_all`] to a file, a pipe or a socket.
///
/// # Errors
/// As the call.
#[inline(always)]
pub fn write_all<'a>(
    label: impl Into<Label<'a>>,
    to: &mut impl Write,
    bytes: &[u8],
) -> io::Result<()> {
    around(label, || to.write_all(bytes))
}

/// [`Write::write`]: as much as goes at once.
///
/// # Errors
/// As the call.
#[inline(always)]
pub fn write_some<'a>(
    label: impl Into<Label<'a>>,
    to: &mut impl Write,
    bytes: &[u8],
) -> io::Result<usize> {
    around(label, || to.write(bytes))
}

/// [`std::os::unix::fs::FileExt::write_all_at`].
///
/// # Errors
/// As the call.
#[inline(always)]
pub fn write_all_at<'a>(
    label: impl Into<Label<'a>>,
    file: &File,
    bytes: &[u8],
    offset: u64,
) -> io::Result<()> {
    around(label, || file.write_all_at(bytes, offset))
}

/// [`File::set_len`].
///
/// # Errors
/// As the call.
#[inline(always)]
pub fn set_len<'a>(label: impl Into<Label<'a>>, file: &File, len: u64) -> io::Result<()> {
    around(label, || file.set_len(len))
}

/// [`File::sync_all`].
///
/// # Errors
/// As the call.
#[inline(always)]
pub fn sync_all<'a>(label: impl Into<Label<'a>>, file: &File) -> io::Result<()> {
    around(label, || file.sync_all())
}

/// [`File::sync_data`].
///
/// # Errors
/// As the call.
#[inline(always)]
pub fn sync_data<'a>(label: impl Into<Label<'a>>, file: &File) -> io::Result<()> {
    around(label, || file.sync_data())
}

/// Makes the entries of a folder durable.
///
/// # Errors
/// The folder cannot be opened or flushed.
#[inline(always)]
pub fn sync_dir<'a>(label: impl Into<Label<'a>>, folder: impl AsRef<Path>) -> io::Result<()> {
    around(label, || File::open(folder)?.sync_all())
}

/// [`fs::rename`].
///
/// # Errors
/// As the call.
#[inline(always)]
pub fn rename<'a>(
    label: impl Into<Label<'a>>,
    from: impl AsRef<Path>,
    to: impl AsRef<Path>,
) -> io::Result<()> {
    around(label, || fs::rename(from, to))
}

/// [`fs::copy`].
///
/// # Errors
/// As the call.
#[inline(always)]
pub fn copy<'a>(
    label: impl Into<Label<'a>>,
    from: impl AsRef<Path>,
    to: impl AsRef<Path>,
) -> io::Result<u64> {
    around(label, || fs::copy(from, to))
}

/// [`std::os::unix::fs::symlink`].
///
/// # Errors
/// As the call.
#[inline(always)]
pub fn symlink<'a>(
    label: impl Into<Label<'a>>,
    target: impl AsRef<Path>,
    link: impl AsRef<Path>,
) -> io::Result<()> {
    around(label, || std::os::unix::fs::symlink(target, link))
}

/// [`fs::set_permissions`].
///
/// # Errors
/// As the call.
#[inline(always)]
pub fn set_permissions<'a>(
    label: impl Into<Label<'a>>,
    path: impl AsRef<Path>,
    permissions: Permissions,
) -> io::Result<()> {
    around(label, || fs::set_permissions(path, permissions))
}

/// [`fs::create_dir`].
///
/// # Errors
/// As the call.
#[inline(always)]
pub fn create_dir<'a>(label: impl Into<Label<'a>>, path: impl AsRef<Path>) -> io::Result<()> {
    around(label, || fs::create_dir(path))
}

/// [`fs::create_dir_all`].
///
/// # Errors
/// As the call.
#[inline(always)]
pub fn create_dir_all<'a>(label: impl Into<Label<'a>>, path: impl AsRef<Path>) -> io::Result<()> {
    around(label, || fs::create_dir_all(path))
}

/// [`DirBuilder::create`].
///
/// # Errors
/// As the call.
#[inline(always)]
pub fn build_dir<'a>(
    label: impl Into<Label<'a>>,
    builder: &DirBuilder,
    path: impl AsRef<Path>,
) -> io::Result<()> {
    around(label, || builder.create(path))
}

/// [`fs::remove_file`].
///
/// # Errors
/// As the call.
#[inline(always)]
pub fn remove_file<'a>(label: impl Into<Label<'a>>, path: impl AsRef<Path>) -> io::Result<()> {
    around(label, || fs::remove_file(path))
}

/// [`fs::remove_dir`].
///
/// # Errors
/// As the call.
#[inline(always)]
pub fn remove_dir<'a>(label: impl Into<Label<'a>>, path: impl AsRef<Path>) -> io::Result<()> {
    around(label, || fs::remove_dir(path))
}

/// [`fs::remove_dir_all`].
///
/// # Errors
/// As the call.
#[inline(always)]
pub fn remove_dir_all<'a>(label: impl Into<Label<'a>>, path: impl AsRef<Path>) -> io::Result<()> {
    around(label, || fs::remove_dir_all(path))
}

/// `write(2)`: as much as goes at once, to anything with a descriptor.
///
/// # Errors
/// As the call.
#[inline(always)]
pub fn write_fd<'a>(
    label: impl Into<Label<'a>>,
    to: impl std::os::fd::AsFd,
    bytes: &[u8],
) -> rustix::io::Result<usize> {
    around(label, || rustix::io::write(to, bytes))
}

/// [`UnixListener::bind`]: makes the socket's file.
///
/// # Errors
/// As the call.
#[inline(always)]
pub fn bind<'a>(label: impl Into<Label<'a>>, path: impl AsRef<Path>) -> io::Result<UnixListener> {
    around(label, || UnixListener::bind(path))
}

/// [`File::set_modified`].
///
/// # Errors
/// As the call.
#[inline(always)]
pub fn set_modified<'a>(
    label: impl Into<Label<'a>>,
    file: &File,
    time: std::time::SystemTime,
) -> io::Result<()> {
    around(label, || file.set_modified(time))
}

/// `openat(2)`, for a file that is created or written: never follows a link in the last part of the name.
///
/// # Errors
/// As the call.
#[inline(always)]
pub fn open_at<'a>(
    label: impl Into<Label<'a>>,
    folder: impl AsFd,
    name: impl rustix::path::Arg,
    flags: rustix::fs::OFlags,
    mode: rustix::fs::Mode,
) -> io::Result<OwnedFd> {
    let flags = flags | rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::CLOEXEC;
    around(label, || rustix::fs::openat(folder, name, flags, mode)).map_err(Into::into)
}

/// `mkdirat(2)`.
///
/// # Errors
/// As the call.
#[inline(always)]
pub fn create_dir_at<'a>(
    label: impl Into<Label<'a>>,
    folder: impl AsFd,
    name: impl rustix::path::Arg,
    mode: rustix::fs::Mode,
) -> io::Result<()> {
    around(label, || rustix::fs::mkdirat(folder, name, mode)).map_err(Into::into)
}

/// `renameat(2)`: names within open folders, whatever becomes of the ways to those.
///
/// # Errors
/// As the call.
#[inline(always)]
pub fn rename_at<'a>(
    label: impl Into<Label<'a>>,
    from: (impl AsFd, impl rustix::path::Arg),
    to: (impl AsFd, impl rustix::path::Arg),
) -> io::Result<()> {
    around(label, || rustix::fs::renameat(from.0, from.1, to.0, to.1)).map_err(Into::into)
}

/// `unlinkat(2)`, for a file.
///
/// # Errors
/// As the call.
#[inline(always)]
pub fn remove_file_at<'a>(
    label: impl Into<Label<'a>>,
    folder: impl AsFd,
    name: impl rustix::path::Arg,
) -> io::Result<()> {
    around(label, || {
        rustix::fs::unlinkat(folder, name, rustix::fs::AtFlags::empty())
    })
    .map_err(Into::into)
}

/// `fsync(2)`, of a file or of a folder's entries.
///
/// # Errors
/// As the call.
#[inline(always)]
pub fn sync_fd<'a>(label: impl Into<Label<'a>>, of: impl AsFd) -> io::Result<()> {
    around(label, || rustix::fs::fsync(of)).map_err(Into::into)
}
