//! Tokens for the gateway: made from a secret of the installation, so that the same guest gets the same one, and nobody
//! has to keep any. And the names of the programs that were given some (A8).

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;

use camino::Utf8Path;
use hmac::{Hmac, KeyInit as _, Mac as _};
use longhaul_acts::files;
use longhaul_config::files::read_bounded;
use longhaul_gateway::api::Token;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// Bytes of the secret.
const SECRET_BYTES: usize = 32;
/// Largest file of names that is read.
const FILE_MAX: u64 = 1 << 20;
/// Its version.
const VERSION: u32 = 1;

/// The token of a guest: the same for the same one, whoever asks, and for nobody without the secret in the gateway's
/// folder.
///
/// # Errors
/// The secret cannot be read or made.
pub(crate) fn token(folder: &Utf8Path, guest: &str) -> io::Result<Token> {
    let secret = secret(folder)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret).map_err(io::Error::other)?;
    mac.update(guest.as_bytes());
    let digits: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    Ok(Token::new(format!("lh-{digits}")))
}

/// Made once for an installation.
fn secret(folder: &Utf8Path) -> io::Result<Vec<u8>> {
    let path = folder.join("tokens.secret");
    match fs::read(&path) {
        Ok(bytes) if bytes.len() == SECRET_BYTES => return Ok(bytes),
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let mut bytes = [0; SECRET_BYTES];
    io::Read::read_exact(&mut fs::File::open("/dev/urandom")?, &mut bytes)?;
    put(folder, "tokens.secret", &bytes)?;
    Ok(bytes.to_vec())
}

fn put(folder: &Utf8Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    files::create_dir_all("cli.tokens.folder", folder)?;
    let path = folder.join(name);
    let fresh = folder.join(format!("{name}.new"));
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = files::open("cli.tokens.create", &options, &fresh)?;
    files::write_all("cli.tokens.write", &mut file, bytes)?;
    files::sync_all("cli.tokens.flush", &file)?;
    files::rename("cli.tokens.rename", &fresh, &path)
}

/// The programs that were given tokens, by the name that the user gave them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Programs {
    version: u32,
    /// How often the tokens of a name were revoked: part of what they are made from.
    revoked: BTreeMap<String, u64>,
}

impl Programs {
    const FILE: &str = "programs.json";

    /// As they are written down.
    ///
    /// # Errors
    /// The file is not readable, or of a newer version.
    pub(crate) fn read(folder: &Utf8Path) -> io::Result<Self> {
        let bytes = match fs::metadata(folder.join(Self::FILE)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            _ => read_bounded(&folder.join(Self::FILE), FILE_MAX).map_err(io::Error::other)?,
        };
        let read: Self = serde_json::from_slice(&bytes)?;
        if read.version > VERSION {
            return Err(io::Error::other("programs.json is of a newer version"));
        }
        Ok(read)
    }

    /// Whether a name was given tokens.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.revoked.contains_key(name)
    }

    /// What the token of a name for a provider is made from; the name is written down first.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn token(
        &mut self,
        folder: &Utf8Path,
        name: &str,
        provider: &str,
    ) -> io::Result<Token> {
        if !self.knows(name) {
            self.revoked.insert(name.to_owned(), 0);
            self.write(folder)?;
        }
        let revoked = self.revoked.get(name).copied().unwrap_or_default();
        token(folder, &format!("program {name} {provider} {revoked}"))
    }

    /// From here on the name's tokens are other ones.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn revoke(&mut self, folder: &Utf8Path, name: &str) -> io::Result<()> {
        *self.revoked.entry(name.to_owned()).or_default() += 1;
        self.write(folder)
    }

    fn write(&mut self, folder: &Utf8Path) -> io::Result<()> {
        self.version = VERSION;
        put(folder, Self::FILE, &serde_json::to_vec(self)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a8_a_token_is_the_same_until_it_is_revoked_and_never_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(dir.path()).unwrap().join("gateway");
        let token = |name: &str, provider: &str| {
            let mut programs = Programs::read(&folder).unwrap();
            let token = programs.token(&folder, name, provider).unwrap();
            token.expose().to_owned()
        };
        let first = token("editor", "openai");
        assert_eq!(first, token("editor", "openai"));
        assert_ne!(first, token("editor", "gemini"));
        assert_ne!(first, token("other", "openai"));
        assert!(Token::is_one(&first));
        let mut programs = Programs::read(&folder).unwrap();
        programs.revoke(&folder, "editor").unwrap();
        let second = token("editor", "openai");
        assert_ne!(first, second);
        let mut programs = Programs::read(&folder).unwrap();
        programs.revoke(&folder, "editor").unwrap();
        assert!(![first, second].contains(&token("editor", "openai")));
        // No token is in a file.
        let text = fs::read_to_string(folder.join(Programs::FILE)).unwrap();
        assert!(!text.contains("lh-"), "{text}");
    }
}
