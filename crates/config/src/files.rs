//! The only functions of this crate that open a file: bounded, of the path they are given.

use std::fs::{self, File};
use std::io::{self, Read as _};

use camino::{Utf8Path, Utf8PathBuf};

/// Why a file could not be read whole.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Nothing there.
    #[error("does not exist")]
    Missing,
    /// A folder, a pipe, a device.
    #[error("is not a plain file")]
    NotAFile,
    /// More bytes than the caller allows.
    #[error("is larger than {}", crate::size::format(*limit))]
    TooLarge {
        /// The bound.
        limit: u64,
    },
    /// The operating system refused.
    #[error("cannot be read")]
    Io {
        /// Of which file.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl ReadError {
    /// Whether trying again later could help: only where the operating system refused.
    #[must_use]
    pub const fn retry_can_help(&self) -> bool {
        matches!(self, Self::Io { .. })
    }
}

/// Reads a plain file of at most `limit` bytes. Pipes and devices are refused before they are
/// opened, so that they cannot hang or feed the reader for ever.
///
/// # Errors
/// [`ReadError`].
pub fn read_bounded(path: &Utf8Path, limit: u64) -> Result<Vec<u8>, ReadError> {
    let refused = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ReadError::Missing,
        _ => ReadError::Io {
            path: path.to_owned(),
            source,
        },
    };
    let metadata = fs::metadata(path).map_err(refused)?;
    if !metadata.is_file() {
        return Err(ReadError::NotAFile);
    }
    if metadata.len() > limit {
        return Err(ReadError::TooLarge { limit });
    }
    let mut bytes = Vec::new();
    File::open(path)
        .map_err(refused)?
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(refused)?;
    if bytes.len() as u64 > limit {
        return Err(ReadError::TooLarge { limit });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_up_to_the_limit_and_names_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        let file = root.join("p.md");
        fs::write(&file, "12345").unwrap();
        assert_eq!(read_bounded(&file, 5).unwrap(), b"12345");
        assert!(matches!(
            read_bounded(&file, 4),
            Err(ReadError::TooLarge { limit: 4 })
        ));
        assert!(matches!(read_bounded(root, 4), Err(ReadError::NotAFile)));
        assert!(matches!(
            read_bounded(&root.join("no"), 4),
            Err(ReadError::Missing)
        ));
        assert!(matches!(
            read_bounded(&file.join("no"), 4),
            Err(ReadError::Missing)
        ));
        assert!(matches!(
            read_bounded(Utf8Path::new("/dev/zero"), 4),
            Err(ReadError::NotAFile)
        ));
    }
}
