//! The environment, read once at the start and nowhere else. Every variable that Longhaul itself
//! looks at is named here; what a session gets from its caller (T26) is picked here too.

use std::collections::BTreeMap;
use std::ffi::OsString;

use crate::failure::Failure;

/// Folder of the configuration, in place of `$XDG_CONFIG_HOME/longhaul`.
pub(crate) const CONFIG_DIR: &str = "LONGHAUL_CONFIG_DIR";
/// Folder of the database, the logs and the records, in place of `$XDG_STATE_HOME/longhaul`.
pub(crate) const STATE_DIR: &str = "LONGHAUL_STATE_DIR";
/// Folder of the sockets, in place of `$XDG_RUNTIME_DIR/longhaul/<hash>`.
pub(crate) const RUNTIME_DIR: &str = "LONGHAUL_RUNTIME_DIR";
/// Filter of the daemon's log, in the syntax of `tracing-subscriber`.
pub(crate) const LOG: &str = "LONGHAUL_LOG";
/// Variables of this prefix are settings (`config list --origin` names those in use).
pub(crate) const SETTING_PREFIX: &str = "LONGHAUL_";

/// A snapshot of the process's environment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Env {
    vars: BTreeMap<OsString, OsString>,
}

impl Env {
    /// What this process was given.
    pub(crate) fn of_process() -> Self {
        Self {
            vars: std::env::vars_os().collect(),
        }
    }

    /// Everything, for programs that are run for the user (git).
    pub(crate) fn all(&self) -> impl Iterator<Item = (OsString, OsString)> {
        self.vars.iter().map(|(k, v)| (k.clone(), v.clone()))
    }

    /// The variables whose names and values are text.
    pub(crate) fn all_text(&self) -> BTreeMap<String, String> {
        let text =
            |(n, v): (&OsString, &OsString)| Some((n.to_str()?.to_owned(), v.to_str()?.to_owned()));
        self.vars.iter().filter_map(text).collect()
    }

    /// The same with other values for some variables.
    pub(crate) fn with(&self, changes: &[(&str, &str)]) -> Self {
        let mut vars = self.vars.clone();
        vars.extend(changes.iter().map(|(k, v)| ((*k).into(), (*v).into())));
        Self { vars }
    }

    /// The same without some variables.
    pub(crate) fn without(mut self, names: &[&str]) -> Self {
        self.vars.retain(|name, _| !names.iter().any(|n| name == n));
        self
    }

    /// A made-up one.
    #[cfg(test)]
    pub(crate) fn fake(vars: &[(&str, &str)]) -> Self {
        Self {
            vars: vars
                .iter()
                .map(|(k, v)| ((*k).into(), (*v).into()))
                .collect(),
        }
    }

    /// A variable that is set and not empty.
    ///
    /// # Errors
    /// A value that is not UTF-8 is named.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, Failure> {
        match self.vars.get(&OsString::from(name)) {
            None => Ok(None),
            Some(value) => match value.to_str() {
                Some("") => Ok(None),
                Some(text) => Ok(Some(text)),
                None => Err(Failure::usage(format!("the variable {name} is not UTF-8"))
                    .help(format!("set {name} to a path or text in UTF-8"))),
            },
        }
    }

    /// A variable that is set, not empty and UTF-8; anything else counts as unset.
    pub(crate) fn lossy(&self, name: &str) -> Option<&str> {
        self.vars
            .get(&OsString::from(name))
            .and_then(|v| v.to_str())
            .filter(|v| !v.is_empty())
    }

    /// Whether a variable is set to something.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.vars
            .get(&OsString::from(name))
            .is_some_and(|v| !v.is_empty())
    }

    /// All settings among the variables, as text, in order. The ones that name folders or the log
    /// filter are no settings.
    pub(crate) fn settings(&self) -> Vec<(String, String)> {
        let folders = [CONFIG_DIR, STATE_DIR, RUNTIME_DIR, LOG];
        let crash = longhaul_acts::crash_environment();
        self.vars
            .iter()
            .filter_map(|(k, v)| Some((k.to_str()?, v.to_str()?)))
            .filter(|(k, _)| k.starts_with(SETTING_PREFIX) && !folders.contains(k))
            .filter(|(k, _)| !crash.iter().any(|(name, _)| name == k))
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect()
    }

    /// What a session inherits from the caller: PATH, HOME, locale, time zone, and where tools and
    /// agents keep their own files (T26). Never a variable passed on by name: those may be secrets,
    /// are read where and when the session starts, and are not stored (I12). Values that are not UTF-8
    /// are left out.
    pub(crate) fn for_sessions(&self) -> BTreeMap<String, String> {
        self.vars
            .iter()
            .filter_map(|(k, v)| Some((k.to_str()?, v.to_str()?)))
            .filter(|(k, _)| longhaul_engine::executor::is_caller_variable(k))
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t26_i12_a_session_gets_locale_and_path_and_nothing_secret_is_stored() {
        let env = Env::fake(&[
            ("PATH", "/bin"),
            ("LC_ALL", "C"),
            ("CLAUDE_CONFIG_DIR", "/c"),
            ("API_TOKEN", "x"),
            ("EDITOR", "vi"),
        ]);
        let names: Vec<String> = env.for_sessions().into_keys().collect();
        assert_eq!(names, ["CLAUDE_CONFIG_DIR", "LC_ALL", "PATH"]);
    }

    #[test]
    fn folders_are_no_settings() {
        let env = Env::fake(&[("LONGHAUL_STATE_DIR", "/s"), ("LONGHAUL_CONCURRENCY", "2")]);
        assert_eq!(
            env.settings(),
            [("LONGHAUL_CONCURRENCY".to_owned(), "2".to_owned())]
        );
    }
}
