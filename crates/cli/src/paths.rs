//! Where everything lies: configuration, state, sockets. Works out and checks; creates only what
//! [`Paths::create`] is asked to.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_acts::files;
use sha2::{Digest as _, Sha256};

use crate::env::{self, Env};
use crate::failure::{Failure, OnPath as _};

/// Longest path of a unix socket, in bytes (`sun_path` holds 108 with the NUL; T30).
const SOCKET_PATH_MAX: usize = 107;

/// The folders and files of one installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Paths {
    /// `$XDG_CONFIG_HOME/longhaul`.
    pub(crate) config_dir: Utf8PathBuf,
    /// `$XDG_STATE_HOME/longhaul`: database, logs, records, evidence.
    pub(crate) state_dir: Utf8PathBuf,
    /// Sockets of the daemon and the shims of this state folder.
    pub(crate) runtime_dir: Utf8PathBuf,
    /// The user's home.
    pub(crate) home: Utf8PathBuf,
}

impl Paths {
    /// From the environment.
    ///
    /// # Errors
    /// Neither HOME nor the XDG variables say where; a relative or overlong path.
    pub(crate) fn of(env: &Env) -> Result<Self, Failure> {
        let home = match env.text("HOME")? {
            Some(home) if home.starts_with('/') => Utf8PathBuf::from(home),
            Some(home) => {
                return Err(Failure::usage(format!(
                    "HOME is `{home}`, which is not an absolute path"
                ))
                .help("set HOME to your home folder"));
            }
            None => {
                return Err(Failure::usage("the variable HOME is not set")
                    .help("set HOME to your home folder; in a container: `-e HOME=/root`"));
            }
        };
        let config_dir = match own(env, env::CONFIG_DIR)? {
            Some(dir) => dir,
            None => xdg(env, "XDG_CONFIG_HOME")
                .unwrap_or_else(|| home.join(".config"))
                .join("longhaul"),
        };
        let state_dir = match own(env, env::STATE_DIR)? {
            Some(dir) => dir,
            None => xdg(env, "XDG_STATE_HOME")
                .unwrap_or_else(|| home.join(".local/state"))
                .join("longhaul"),
        };
        let state_dir = settled(&state_dir);
        let runtime_dir = match own(env, env::RUNTIME_DIR)? {
            Some(dir) => dir,
            None => runtime(env, &state_dir),
        };
        let paths = Self {
            config_dir,
            state_dir,
            runtime_dir,
            home,
        };
        paths.check_socket()?;
        Ok(paths)
    }

    /// Another installation under one folder, for `demo` and `run --rehearse`.
    pub(crate) fn below(root: &Utf8Path, home: &Utf8Path, env: &Env) -> Result<Self, Failure> {
        let state_dir = settled(&root.join("state"));
        let paths = Self {
            config_dir: root.join("config"),
            runtime_dir: runtime(env, &state_dir),
            state_dir,
            home: home.to_owned(),
        };
        paths.check_socket()?;
        Ok(paths)
    }

    /// The variables that name these folders, whatever else a process's environment says.
    pub(crate) fn as_variables(&self) -> BTreeMap<String, String> {
        let of = |name: &str, dir: &Utf8Path| (name.to_owned(), dir.to_string());
        BTreeMap::from([
            of(env::STATE_DIR, &self.state_dir),
            of(env::CONFIG_DIR, &self.config_dir),
            of(env::RUNTIME_DIR, &self.runtime_dir),
        ])
    }

    /// The daemon's socket.
    pub(crate) fn socket(&self) -> Utf8PathBuf {
        self.runtime_dir.join("daemon.sock")
    }

    /// The gateway's folder.
    pub(crate) fn gateway_dir(&self) -> Utf8PathBuf {
        self.state_dir.join("gateway")
    }

    /// The gateway's control socket.
    pub(crate) fn gateway_socket(&self) -> Utf8PathBuf {
        self.runtime_dir.join("gateway.sock")
    }

    /// The socket of Longhaul's own tmux server.
    pub(crate) fn tmux_socket(&self) -> Utf8PathBuf {
        self.runtime_dir.join("tmux.sock")
    }

    /// Notes about the pool's sessions.
    pub(crate) fn pool_dir(&self) -> Utf8PathBuf {
        self.state_dir.join("pool")
    }

    /// What the gateway says.
    pub(crate) fn gateway_log(&self) -> Utf8PathBuf {
        self.state_dir.join("gateway.log")
    }

    /// The database.
    pub(crate) fn database(&self) -> Utf8PathBuf {
        self.state_dir.join("longhaul.db")
    }

    /// What the daemon says when nobody watches it.
    pub(crate) fn daemon_log(&self) -> Utf8PathBuf {
        self.state_dir.join("daemon.log")
    }

    /// The user's own configuration.
    pub(crate) fn config_file(&self) -> Utf8PathBuf {
        self.config_dir.join("config.toml")
    }

    /// The repositories that the user trusts.
    pub(crate) fn trust_file(&self) -> Utf8PathBuf {
        self.config_dir.join("trust.toml")
    }

    /// Makes the state and the runtime folder, 0700, and checks that they are ours alone.
    ///
    /// # Errors
    /// A folder that cannot be made, belongs to someone else or is a link.
    pub(crate) fn create(&self) -> Result<(), Failure> {
        private_dir(&self.state_dir, env::STATE_DIR)?;
        private_dir(&self.runtime_dir, env::RUNTIME_DIR)
    }

    fn check_socket(&self) -> Result<(), Failure> {
        // The longest of them.
        let socket = self.gateway_socket();
        let bytes = socket.as_str().len();
        if bytes <= SOCKET_PATH_MAX {
            return Ok(());
        }
        Err(Failure::usage(format!(
            "the path of a socket would have {bytes} bytes, and the system allows {SOCKET_PATH_MAX}: {socket}"
        ))
        .help(format!("set {} to a shorter folder of your own", env::RUNTIME_DIR)))
    }
}

/// One of our own variables: an absolute path or an error.
fn own(env: &Env, name: &str) -> Result<Option<Utf8PathBuf>, Failure> {
    match env.text(name)? {
        None => Ok(None),
        Some(dir) if dir.starts_with('/') => Ok(Some(Utf8PathBuf::from(dir))),
        Some(dir) => Err(Failure::usage(format!(
            "{name} is `{dir}`, which is not an absolute path"
        ))
        .help("a daemon has no working folder of yours: give the whole path")),
    }
}

/// An XDG base folder; the specification says that relative ones are ignored.
fn xdg(env: &Env, name: &str) -> Option<Utf8PathBuf> {
    env.lossy(name)
        .filter(|d| d.starts_with('/'))
        .map(Utf8PathBuf::from)
}

/// `$XDG_RUNTIME_DIR/longhaul/<hash>`, or a folder of this user's in `/tmp` (T30).
fn runtime(env: &Env, state_dir: &Utf8Path) -> Utf8PathBuf {
    let digest = Sha256::digest(state_dir.as_str().as_bytes());
    let hash: String = digest.iter().take(6).map(|b| format!("{b:02x}")).collect();
    match xdg(env, "XDG_RUNTIME_DIR").filter(|d| d.is_dir()) {
        Some(base) => base.join("longhaul").join(hash),
        None => {
            let uid = rustix::process::getuid().as_raw();
            Utf8PathBuf::from(format!("/tmp/longhaul-{uid}-{hash}"))
        }
    }
}

/// The path with links resolved as far as it exists, so that one folder has one hash.
fn settled(path: &Utf8Path) -> Utf8PathBuf {
    for base in path.ancestors() {
        if let Ok(real) = base.canonicalize_utf8() {
            let rest = path.strip_prefix(base).unwrap_or(Utf8Path::new(""));
            return if rest.as_str().is_empty() {
                real
            } else {
                real.join(rest)
            };
        }
    }
    path.to_owned()
}

/// Makes a folder 0700 (its parents as usual) and checks owner and rights. `variable` names another.
fn private_dir(dir: &Utf8Path, variable: &str) -> Result<(), Failure> {
    let elsewhere = || format!("set {variable} to a folder that you may write to");
    if let Some(parent) = dir.parent() {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        files::build_dir("cli.folder.parent", &builder, parent)
            .on("create the folder", parent)
            .map_err(|e| e.help(elsewhere()))?;
    }
    match files::build_dir("cli.folder", fs::DirBuilder::new().mode(0o700), dir) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        Err(e) => {
            return Err(Failure::new(format!("cannot create the folder {dir}"))
                .because(e)
                .help(elsewhere()));
        }
    }
    let meta = fs::symlink_metadata(dir).on("look at", dir)?;
    let uid = rustix::process::getuid().as_raw();
    if !meta.is_dir() {
        return Err(Failure::new(format!("{dir} is not a folder")).help(format!(
            "remove it, or set {variable} to a folder of your own"
        )));
    }
    if meta.uid() != uid {
        return Err(Failure::new(format!(
            "{dir} belongs to user {}, and you are user {uid}",
            meta.uid()
        ))
        .help(format!(
            "someone else made it; set {variable} to a folder of your own"
        )));
    }
    if meta.mode() & 0o077 != 0 {
        let mode = fs::Permissions::from_mode(0o700);
        files::set_permissions("cli.folder.mode", dir, mode).on("close to others", dir)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(vars: &[(&str, &str)]) -> Env {
        Env::fake(vars)
    }

    #[test]
    fn without_variables_everything_lies_below_home() {
        let p = Paths::of(&env(&[("HOME", "/nowhere/ann")])).unwrap();
        assert_eq!(p.config_dir, "/nowhere/ann/.config/longhaul");
        assert_eq!(p.state_dir, "/nowhere/ann/.local/state/longhaul");
        assert!(p.runtime_dir.as_str().starts_with("/tmp/longhaul-"));
    }

    #[test]
    fn home_is_needed_and_relative_folders_are_refused() {
        assert!(
            Paths::of(&env(&[]))
                .unwrap_err()
                .message()
                .contains("HOME is not set")
        );
        let relative = env(&[("HOME", "/h"), ("LONGHAUL_STATE_DIR", "here")]);
        assert!(
            Paths::of(&relative)
                .unwrap_err()
                .message()
                .contains("LONGHAUL_STATE_DIR")
        );
        let xdg = env(&[("HOME", "/h"), ("XDG_STATE_HOME", "here")]);
        assert_eq!(
            Paths::of(&xdg).unwrap().state_dir,
            "/h/.local/state/longhaul"
        );
    }

    #[test]
    fn t30_an_overlong_socket_path_is_named() {
        let long = format!("/{}", "d".repeat(120));
        let e = Paths::of(&env(&[("HOME", "/h"), ("LONGHAUL_RUNTIME_DIR", &long)])).unwrap_err();
        assert!(e.message().contains("107"), "{e}");
    }

    #[test]
    fn one_state_folder_has_one_socket_whatever_link_leads_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        fs::create_dir(root.join("real")).unwrap();
        std::os::unix::fs::symlink(root.join("real"), root.join("link")).unwrap();
        let of = |name: &str| {
            Paths::of(&env(&[
                ("HOME", "/h"),
                ("LONGHAUL_STATE_DIR", root.join(name).as_str()),
            ]))
            .unwrap()
        };
        assert_eq!(of("real/s").socket(), of("link/s").socket());
    }

    #[test]
    fn t30_folders_are_made_private() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap().join("a/b");
        private_dir(&root, "X").unwrap();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
        private_dir(&root, "X").unwrap();
        assert_eq!(fs::metadata(&root).unwrap().mode() & 0o777, 0o700);
        let link = root.parent().unwrap().join("l");
        std::os::unix::fs::symlink(&root, &link).unwrap();
        assert!(private_dir(&link, "X").is_err());
    }
}
