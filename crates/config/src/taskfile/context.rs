//! What the caller knows and a task file does not: harnesses, profiles, stored tasks, defaults, and
//! how to read a prompt's file.

use std::collections::BTreeMap;
use std::fmt;

use camino::Utf8Path;
use longhaul_core::spec::Permission;

use super::MAX_PROMPT_FILE_BYTES;
use crate::files::{ReadError, read_bounded};
use crate::settings::Profile;

/// A harness as far as a task file is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HarnessInfo {
    /// Its one name; aliases lead to it.
    pub name: String,
    /// Whether the money it spends can be known, so that a budget can be kept (I10).
    pub cost_known: bool,
}

/// Which harnesses there are, the configured ones included.
pub trait HarnessFacts {
    /// The harness of this name or alias. `auto` is not asked for.
    fn find(&self, name: &str) -> Option<HarnessInfo>;
    /// Every name and alias, for suggestions.
    fn names(&self) -> Vec<String>;
}

/// [`HarnessFacts`] kept in a map.
#[derive(Clone, Debug, Default)]
pub struct HarnessList {
    by_name: BTreeMap<String, HarnessInfo>,
}

impl HarnessList {
    /// Adds a harness under its name and its aliases; a later one replaces an earlier one.
    #[must_use]
    pub fn with(mut self, name: &str, aliases: &[&str], cost_known: bool) -> Self {
        let info = HarnessInfo {
            name: name.to_owned(),
            cost_known,
        };
        for alias in aliases {
            self.by_name.insert((*alias).to_owned(), info.clone());
        }
        self.by_name.insert(name.to_owned(), info);
        self
    }
}

impl HarnessFacts for HarnessList {
    fn find(&self, name: &str) -> Option<HarnessInfo> {
        self.by_name.get(name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.by_name.keys().cloned().collect()
    }
}

/// Reads the files that `prompt_file` names.
pub trait PromptFiles {
    /// The file's bytes.
    ///
    /// # Errors
    /// [`ReadError`], of which the user is told.
    fn read(&self, path: &Utf8Path) -> Result<Vec<u8>, ReadError>;
}

/// [`PromptFiles`] from the file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskFiles;

impl PromptFiles for DiskFiles {
    fn read(&self, path: &Utf8Path) -> Result<Vec<u8>, ReadError> {
        read_bounded(path, MAX_PROMPT_FILE_BYTES)
    }
}

/// What a task gets where neither it nor `[defaults]` says anything; from the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskDefaults {
    /// Harness name or `auto`.
    pub harness: String,
    /// Permission mode.
    pub permission: Permission,
    /// Shell command that prepares a new workspace.
    pub setup: Option<String>,
    /// Shell command run before a workspace is removed.
    pub teardown: Option<String>,
}

impl Default for TaskDefaults {
    fn default() -> Self {
        Self {
            harness: "auto".to_owned(),
            permission: Permission::Edits,
            setup: None,
            teardown: None,
        }
    }
}

/// Everything a draft is checked against.
#[derive(Clone, Copy)]
pub struct TaskContext<'a> {
    /// Known harnesses.
    pub harnesses: &'a dyn HarnessFacts,
    /// The configured profiles; `None` = do not check.
    pub profiles: Option<&'a BTreeMap<String, Profile>>,
    /// Names of the configured judges; `None` = do not check.
    pub judges: Option<&'a [String]>,
    /// Whether a stored task has this id, id prefix or name; `None` = cannot be asked now, and
    /// names that are not in the file are left to the caller.
    pub stored: Option<&'a dyn Fn(&str) -> bool>,
    /// Reads prompts.
    pub prompt_files: &'a dyn PromptFiles,
    /// Defaults from the settings.
    pub defaults: &'a TaskDefaults,
    /// Whether the text speaks for the user (their own file, their flags, or a repository they
    /// trust). Otherwise `permission = "bypass"` and `sandbox = "off"` are refused (T23, T25).
    pub trusted: bool,
    /// `run --land`: tasks with a branch that do not say `land` themselves land.
    pub land: bool,
}

impl fmt::Debug for TaskContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskContext")
            .field("harnesses", &self.harnesses.names())
            .field("profiles", &self.profiles.map(BTreeMap::len))
            .field("judges", &self.judges)
            .field("stored", &self.stored.is_some())
            .field("defaults", &self.defaults)
            .field("trusted", &self.trusted)
            .finish_non_exhaustive()
    }
}
