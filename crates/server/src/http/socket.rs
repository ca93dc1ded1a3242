//! The daemon's socket: made so that nobody else can ever open it, and never over a living one.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _,
};
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};

use longhaul_acts::files;
use tokio::net::UnixListener;

/// Longest path of a unix socket in bytes (T30).
const PATH_MAX_BYTES: usize = 107;

/// The socket could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Its path is too long for the system (T30).
    #[error("the socket's path has {bytes} bytes and may have {PATH_MAX_BYTES}: {}", path.display())]
    TooLong {
        /// The path.
        path: PathBuf,
        /// Its length.
        bytes: usize,
    },
    /// Somebody answers there (T19).
    #[error("another process answers at {}", path.display())]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// There is something that is no socket; it was left alone.
    #[error("{} is in the way and is no socket", path.display())]
    InTheWay {
        /// The path.
        path: PathBuf,
    },
    /// The system refused.
    #[error("the socket {} could not be made", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

/// A bound socket; its file is removed when it is dropped.
#[derive(Debug)]
pub struct Listener {
    pub(crate) socket: UnixListener,
    path: PathBuf,
    /// Device and inode of the socket's file.
    file: (u64, u64),
}

impl Listener {
    /// Puts the socket's file back if it was removed, with its folder: files below `/tmp` are cleaned
    /// away on many machines, and a daemon that nobody can reach cannot even be ended. Gives whether it
    /// was put back. Connections that are open go on.
    ///
    /// # Errors
    /// See [`BindError`]; another daemon's socket in our place is left alone.
    pub(crate) fn keep_reachable(&mut self) -> Result<bool, BindError> {
        if file_of(&self.path).is_ok_and(|file| file == self.file) {
            return Ok(false);
        }
        if let Some(folder) = self.path.parent() {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true).mode(0o700);
            files::build_dir("server.socket.folder", &builder, folder).map_err(|source| {
                BindError::Io {
                    path: self.path.clone(),
                    source,
                }
            })?;
        }
        let (socket, file) = listen(&self.path)?;
        self.socket = socket;
        self.file = file;
        Ok(true)
    }
}

/// Device and inode of what is at a path.
fn file_of(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|m| (m.dev(), m.ino()))
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Not another daemon's, should ours have been removed.
        if file_of(&self.path).is_ok_and(|file| file != self.file) {
            return;
        }
        if let Err(error) = files::remove_file("server.socket.remove", &self.path) {
            tracing::debug!(%error, "the socket's file was not removed");
        }
    }
}

/// Binds the socket with mode 0600, in place of a dead one. To be called within a runtime, by the
/// holder of the daemon's lock, and in a folder of mode 0700.
///
/// # Errors
/// See [`BindError`].
pub fn bind(path: &Path) -> Result<Listener, BindError> {
    let (socket, file) = listen(path)?;
    Ok(Listener {
        socket,
        path: path.to_owned(),
        file,
    })
}

fn listen(path: &Path) -> Result<(UnixListener, (u64, u64)), BindError> {
    let fail = |source| BindError::Io {
        path: path.to_owned(),
        source,
    };
    let socket = listen_private(path)?;
    socket.set_nonblocking(true).map_err(fail)?;
    let socket = UnixListener::from_std(socket).map_err(fail)?;
    let file = file_of(path).map_err(fail)?;
    Ok((socket, file))
}

/// A socket with mode 0600 in place of a dead one, for a process that serves it in its own way. To be
/// called by the holder of a lock, in a folder of mode 0700; nobody removes the file.
///
/// # Errors
/// See [`BindError`].
pub fn listen_private(path: &Path) -> Result<StdListener, BindError> {
    let fail = |source| BindError::Io {
        path: path.to_owned(),
        source,
    };
    let bytes = path.as_os_str().len();
    if bytes > PATH_MAX_BYTES {
        return Err(BindError::TooLong {
            path: path.to_owned(),
            bytes,
        });
    }
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(BindError::InTheWay {
                path: path.to_owned(),
            });
        }
        Ok(_) if StdStream::connect(path).is_ok() => {
            return Err(BindError::InUse {
                path: path.to_owned(),
            });
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(fail(error)),
    }
    // Made under another, not longer name, and moved into place only once its mode is right.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let fresh = path.with_file_name(format!(".{}", name.chars().next().unwrap_or('s')));
    match files::remove_file("server.socket.clear", &fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
        _ => {}
    }
    let socket = files::bind("server.socket.bind", &fresh).map_err(fail)?;
    let mode = Permissions::from_mode(0o600);
    files::set_permissions("server.socket.mode", &fresh, mode).map_err(fail)?;
    files::rename("server.socket.rename", &fresh, path).map_err(fail)?;
    Ok(socket)
}
