//! What there is in homes and at the shared target. Reads folders and links, and no content of a file.

use std::fs;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_config::settings::AccountSettings;

use super::super::homes::{HomeAccount, shared_dir};

/// Ends the name of a folder that was adopted: it stays beside the link as it was.
pub(super) const KEPT: &str = ".before-link";

/// A folder of a home that is to be a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) account: String,
    pub(crate) harness: String,
    /// The home.
    pub(crate) dir: Utf8PathBuf,
    /// `projects` and the like.
    pub(crate) entry: String,
    /// Where it is to lead.
    pub(crate) target: Utf8PathBuf,
}

impl Wanted {
    pub(crate) fn path(&self) -> Utf8PathBuf {
        self.dir.join(&self.entry)
    }

    pub(super) fn kept(&self) -> Utf8PathBuf {
        self.dir.join(format!("{}{KEPT}", self.entry))
    }
}

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Nothing,
    /// A link that leads to the target.
    Right,
    /// A link that leads elsewhere.
    Elsewhere(String),
    Folder,
    Other,
    Unreadable(String),
}

/// A wanted link with what there is.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) wanted: Wanted,
    pub(super) home: Seen,
    pub(super) path: Seen,
    pub(super) target: Seen,
    /// An adopted folder is kept beside it.
    pub(super) kept: Seen,
    /// The home with links resolved: two accounts of one home are one account.
    pub(super) real_home: Option<Utf8PathBuf>,
}

/// All links that are wanted: of the enabled homes, by account and entry.
pub(crate) fn wanted(
    settings: &AccountSettings,
    all: &[HomeAccount],
    home: &Utf8Path,
) -> Vec<Wanted> {
    let shared = shared_dir(settings, home);
    let mut wanted = Vec::new();
    for account in all.iter().filter(|a| a.enabled && a.way.is_some()) {
        for entry in settings.shared.get(&account.harness).into_iter().flatten() {
            wanted.push(Wanted {
                account: account.name.clone(),
                harness: account.harness.clone(),
                dir: account.dir.clone(),
                entry: entry.clone(),
                target: shared.join(&account.harness).join(entry),
            });
        }
    }
    wanted
}

/// Looks at all of them.
pub(crate) fn look(wanted: Vec<Wanted>) -> Vec<super::look::Found> {
    wanted.into_iter().map(one).map(Found).collect()
}

/// What was found; only `plan` looks inside.
#[derive(Clone, Debug)]
pub(crate) struct Found(pub(super) Look);

fn one(wanted: Wanted) -> Look {
    let path = wanted.path();
    Look {
        home: seen(&wanted.dir, None, true),
        path: seen(&path, Some(&wanted.target), false),
        target: seen(&wanted.target, None, true),
        kept: seen(&wanted.kept(), None, false),
        real_home: wanted.dir.canonicalize_utf8().ok(),
        wanted,
    }
}

/// `follow`: the user may have put a home or the shared folder elsewhere by a link of his own.
fn seen(path: &Utf8Path, target: Option<&Utf8Path>, follow: bool) -> Seen {
    let meta = if follow {
        fs::metadata(path)
    } else {
        fs::symlink_metadata(path)
    };
    match meta {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Seen::Nothing,
        Err(error) => Seen::Unreadable(error.to_string()),
        Ok(meta) if meta.is_symlink() => leads(path, target),
        Ok(meta) if meta.is_dir() => Seen::Folder,
        Ok(_) => Seen::Other,
    }
}

fn leads(path: &Utf8Path, target: Option<&Utf8Path>) -> Seen {
    let text = match path.read_link_utf8() {
        Ok(text) => text,
        Err(error) => return Seen::Unreadable(error.to_string()),
    };
    let Some(target) = target else {
        return Seen::Elsewhere(text.into_string());
    };
    let from = path.parent().unwrap_or(path);
    let led = from.join(&text);
    let same = led == *target || real(&led).is_some_and(|led| real(target) == Some(led));
    if same {
        Seen::Right
    } else {
        Seen::Elsewhere(text.into_string())
    }
}

/// A path with links resolved; its last part may be missing.
fn real(path: &Utf8Path) -> Option<Utf8PathBuf> {
    let whole = path.canonicalize_utf8().ok();
    whole.or_else(|| {
        Some(
            path.parent()?
                .canonicalize_utf8()
                .ok()?
                .join(path.file_name()?),
        )
    })
}
