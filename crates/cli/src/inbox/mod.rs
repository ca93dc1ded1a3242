//! Inboxes (A20): a file that is put into a project's folder becomes a task. The daemon looks at them by the clock
//! (`watch`), takes what is complete (`take`), and puts each file away with a report when its task has ended
//! (`outcome`). `survey` only looks, for the verbs.
//!
//! A file is taken by one rename from `inbox` to `accepted`, under a name that begins with the id of its task. From
//! then on the name says what is to be done after a crash: the id is stored or it is not, and a task is handed in
//! with that id however often. When complete, refused and so on is decided in `core::inbox`.

mod folders;
mod guard;
mod outcome;
mod report;
pub(crate) mod survey;
mod take;
pub(crate) mod tidy;
mod watch;

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_config::settings::Settings;

pub(crate) use watch::{Inboxes, Means};

use crate::failure::Failure;

/// An inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inbox {
    /// Its name in the configuration.
    pub(crate) name: String,
    /// The project's folder, absolute.
    pub(crate) project: Utf8PathBuf,
    /// The folder below it that holds the four.
    pub(crate) folder: Utf8PathBuf,
}

impl Inbox {
    /// Those of the configuration.
    ///
    /// # Errors
    /// A project's folder is not absolute, or two inboxes are one.
    pub(crate) fn all(settings: &Settings, home: &Utf8Path) -> Result<Vec<Self>, Failure> {
        let mut all: Vec<Self> = Vec::new();
        for (name, table) in &settings.inboxes {
            let project = match table.project.strip_prefix("~/") {
                Some(below) => home.join(below),
                None => Utf8PathBuf::from(&table.project),
            };
            if !project.is_absolute() {
                return Err(Failure::usage(format!(
                    "`inbox.{name}.project` is `{project}`, which is not an absolute path"
                ))
                .help("write the whole path; `~/` is your home"));
            }
            let inbox = Self {
                name: name.clone(),
                project,
                folder: table.folder.clone().into(),
            };
            if let Some(other) = all.iter().find(|o| o.path() == inbox.path()) {
                return Err(Failure::usage(format!(
                    "`inbox.{}` and `inbox.{name}` are the same folder",
                    other.name
                ))
                .help("remove one of them"));
            }
            all.push(inbox);
        }
        Ok(all)
    }

    /// The folder that holds the four.
    pub(crate) fn path(&self) -> Utf8PathBuf {
        self.project.join(&self.folder)
    }

    /// One of the four.
    pub(crate) fn part(&self, part: &str) -> Utf8PathBuf {
        self.path().join(part)
    }
}

/// Why an inbox cannot be used now, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// What is wrong.
    pub(crate) what: String,
    /// What to do.
    pub(crate) remedy: String,
}

impl Trouble {
    fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    /// A failed act on one of our folders.
    fn io(act: &str, path: &Utf8Path, error: &std::io::Error) -> Self {
        Self::new(
            format!("cannot {act} {path}: {error}"),
            "put its rights and its disk right; the inbox goes on by itself",
        )
    }
}
