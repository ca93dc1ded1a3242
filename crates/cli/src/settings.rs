//! The settings in force: the user's file, the repository's files as far as they may speak, variables,
//! flags. Reads the files; what they mean is the config crate's.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_acts::files;
use longhaul_agents::Registry;
use longhaul_config::files::{ReadError, read_bounded};
use longhaul_config::settings::{
    FileLayer, FlagSetting, Layer, Layers, MAX_FILE_BYTES, Resolved, resolve,
};
use longhaul_config::trust::{ContentHash, Trust, TrustStore};

use crate::context::Context;
use crate::env::Env;
use crate::failure::{Failure, OnPath as _};
use crate::output::Printer;
use crate::paths::Paths;

/// The folder of a repository that speaks to Longhaul.
pub(crate) const REPO_FOLDER: &str = ".longhaul";
/// Largest file of it that trust is pinned to.
const TRUSTED_FILE_MAX: u64 = 16 << 20;
/// Most files of it.
const TRUSTED_FILES_MAX: usize = 1000;

/// The settings for a repository (or for none), with where each value came from.
///
/// # Errors
/// Every problem of every file at once.
pub(crate) fn load(context: &Context, repo: Option<&Utf8Path>) -> Result<Resolved, Failure> {
    layered(context.paths(), &context.env, &context.printer, repo, &[])
}

/// A note where the user's own file changed after the daemon began, which reads it once.
pub(crate) fn unread_change(paths: &Paths) -> Option<String> {
    let changed = |path: Utf8PathBuf| fs::metadata(path).and_then(|m| m.modified()).ok();
    // The socket is made when the daemon begins.
    let (config, began) = (changed(paths.config_file())?, changed(paths.socket())?);
    (config > began).then(|| {
        format!(
            "{} changed after the daemon began; `longhaul daemon restart` reads it (sessions go on)",
            paths.config_file()
        )
    })
}

/// The same for the daemon and for flags.
///
/// # Errors
/// Every problem of every file at once.
pub(crate) fn layered(
    paths: &Paths,
    env: &Env,
    printer: &Printer,
    repo: Option<&Utf8Path>,
    flags: &[FlagSetting<'_>],
) -> Result<Resolved, Failure> {
    let mut wanted: Vec<(Layer, Utf8PathBuf)> = vec![(Layer::User, paths.config_file())];
    if let Some(repo) = repo {
        let folder = repo.join(REPO_FOLDER);
        wanted.push((Layer::Repo, folder.join("config.toml")));
        wanted.push((Layer::Local, folder.join("config.local.toml")));
    }
    let mut files = Vec::new();
    for (layer, path) in wanted {
        match read_bounded(&path, MAX_FILE_BYTES as u64) {
            Ok(bytes) => files.push((layer, path, bytes)),
            Err(ReadError::Missing) => {}
            Err(e) => {
                return Err(Failure::usage(format!("the configuration {path} {e}"))
                    .because(e)
                    .help("put a readable TOML file there, or remove it"));
            }
        }
    }
    let repo_trusted = match repo {
        Some(repo) => trust_of(paths, printer, repo)? == Trust::Trusted,
        None => false,
    };
    let layers: Vec<FileLayer<'_>> = files
        .iter()
        .map(|(layer, path, bytes)| FileLayer {
            layer: *layer,
            path,
            bytes,
        })
        .collect();
    let env: BTreeMap<String, String> = env.settings().into_iter().collect();
    let built_in = Registry::builtin();
    let built_in: Vec<&str> = built_in.names().collect();
    resolve(&Layers {
        files: &layers,
        repo_trusted,
        env: &env,
        flags,
        built_in_harnesses: &built_in,
    })
    .map_err(|found| {
        Failure::usage("the configuration has mistakes")
            .detail(found.render(printer.color_err()))
            .help("`longhaul config path` says where the files are")
    })
}

/// Writes a file of the user's configuration: beside it and renamed, 0600, in a folder that is made if it is
/// missing.
///
/// # Errors
/// It cannot be written; what was there is there still.
pub(crate) fn write(path: &Utf8Path, bytes: &[u8]) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(path);
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    files::build_dir("cli.settings.folder", &builder, folder).on("make the folder", folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder).on("write into", folder)?;
    files::write_all("cli.settings.write", &mut file, bytes).on("write", path)?;
    files::sync_all("cli.settings.flush", file.as_file()).on("write", path)?;
    #[expect(clippy::disallowed_methods, reason = "its points are right here")]
    let named = longhaul_acts::around("cli.settings.rename", || file.persist(path));
    named.map_err(|e| e.error).on("write", path)?;
    Ok(())
}

/// What the user's list says of a repository as it is now.
///
/// # Errors
/// The list or the repository's folder cannot be read; that is never taken for trust.
pub(crate) fn trust_of(
    paths: &Paths,
    printer: &Printer,
    repo: &Utf8Path,
) -> Result<Trust, Failure> {
    Ok(trust_list(paths, printer)?.lookup(repo, &content(repo)?))
}

/// The user's list of trusted repositories.
///
/// # Errors
/// It is there and cannot be read.
pub(crate) fn trust_list(paths: &Paths, printer: &Printer) -> Result<TrustStore, Failure> {
    let path = paths.trust_file();
    match read_bounded(&path, 4 << 20) {
        Ok(bytes) => TrustStore::parse(path.as_str(), &bytes).map_err(|found| {
            Failure::new("the list of trusted repositories cannot be read")
                .detail(found.render(printer.color_err()))
                .help(format!("correct {path}, or remove it to trust nothing"))
        }),
        Err(ReadError::Missing) => Ok(TrustStore::default()),
        Err(e) => Err(Failure::new(format!("{path} {e}"))
            .because(e)
            .help(format!("put {path} right, or remove it to trust nothing"))),
    }
}

/// The hash of everything below the repository's `.longhaul`, as its files are now.
///
/// # Errors
/// A file of it cannot be read, is a link, or there are too many.
pub(crate) fn content(repo: &Utf8Path) -> Result<ContentHash, Failure> {
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    let mut folders = vec![repo.join(REPO_FOLDER)];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(Failure::new(format!("cannot read {folder}")).because(e)),
        };
        for entry in entries {
            let entry = entry.on("read", &folder)?;
            let kind = entry.file_type().on("read", &folder)?;
            let path = Utf8PathBuf::from_path_buf(entry.path()).map_err(|p| {
                Failure::usage(format!("{} is not UTF-8", p.display())).help("rename it")
            })?;
            if kind.is_dir() {
                folders.push(path);
                continue;
            }
            if kind.is_symlink() {
                return Err(Failure::usage(format!("{path} is a link"))
                    .help("a repository's .longhaul folder may hold plain files only"));
            }
            if files.len() == TRUSTED_FILES_MAX {
                return Err(Failure::usage(format!(
                    "{} holds more than {TRUSTED_FILES_MAX} files",
                    repo.join(REPO_FOLDER)
                )));
            }
            let bytes = read_bounded(&path, TRUSTED_FILE_MAX)
                .map_err(|e| Failure::usage(format!("{path} {e}")).because(e))?;
            let inside = path.strip_prefix(repo).unwrap_or(&path).to_string();
            files.push((inside, bytes));
        }
    }
    Ok(ContentHash::of(
        files
            .iter()
            .map(|(path, bytes)| (path.as_str(), bytes.as_slice())),
    ))
}
