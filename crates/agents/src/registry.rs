//! All harnesses by name and alias (S8).

use thiserror::Error;

use crate::custom::CustomHarness;
use crate::harness::{Builtin, Harness};
use crate::text::snippet;

/// The harnesses a user has: the built-in ones, and those of the config.
#[derive(Clone, Debug)]
pub struct Registry {
    harnesses: Vec<Harness>,
}

/// Why a name or a config table is no harness.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RegistryError {
    /// No harness has this name.
    #[error("no harness is named `{name}`{}; there are {}", nearest_hint(.nearest), .known.join(", "))]
    Unknown {
        /// The name asked for, cleaned.
        name: String,
        /// The nearest known name or alias, if one is near.
        nearest: Option<String>,
        /// All names.
        known: Vec<String>,
    },
    /// A name that cannot be one.
    #[error("`{name}` cannot name a harness: lower case letters, digits, `-` and `_` only")]
    BadName {
        /// The name, cleaned.
        name: String,
    },
    /// Two tables for one harness; an alias and its harness are one.
    #[error("harness `{name}` is configured twice")]
    Twice {
        /// The name.
        name: String,
    },
    /// A new harness needs a program.
    #[error("harness `{name}` has no `program`")]
    NoProgram {
        /// The name.
        name: String,
    },
    /// A built-in harness keeps its flags.
    #[error("harness `{name}` is built in and keeps its own {}", .fields.join(", "))]
    BuiltinField {
        /// The name.
        name: String,
        /// The fields.
        fields: Vec<&'static str>,
    },
    /// A flag that is none.
    #[error("harness `{name}`: {field} = `{value}` is no flag")]
    BadFlag {
        /// The name.
        name: String,
        /// The field.
        field: &'static str,
        /// Its value, cleaned.
        value: String,
    },
    /// `resume_args` without the place for the id.
    #[error("harness `{name}`: resume_args has no `{{id}}`")]
    NoResumeId {
        /// The name.
        name: String,
    },
}

fn nearest_hint(nearest: &Option<String>) -> String {
    nearest
        .as_ref()
        .map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"))
}

impl Registry {
    /// The built-in harnesses: claude, codex, opencode, gemini, script.
    #[must_use]
    pub fn builtin() -> Self {
        Self {
            harnesses: Builtin::ALL.into_iter().map(Harness::builtin).collect(),
        }
    }

    /// The built-in harnesses and those of the config; a table named as a built-in one or its alias
    /// changes it.
    ///
    /// # Errors
    /// All tables that are wrong, at once.
    pub fn with_custom(custom: Vec<CustomHarness>) -> Result<Self, Vec<RegistryError>> {
        let mut registry = Self::builtin();
        let mut errors = Vec::new();
        let mut configured: Vec<String> = Vec::new();
        for settings in custom {
            let name = settings.name.clone();
            let target = canonical(&name);
            if configured.contains(&target) {
                errors.push(RegistryError::Twice { name });
                continue;
            }
            configured.push(target.clone());
            let sound = check(&settings, &target).and_then(|()| registry.free(&settings, &target));
            match sound {
                Ok(()) => registry.take(settings, &target),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() {
            Ok(registry)
        } else {
            Err(errors)
        }
    }

    /// The harness of a name or alias, in any case.
    ///
    /// # Errors
    /// [`RegistryError::Unknown`] with the nearest name.
    pub fn resolve(&self, name: &str) -> Result<&Harness, RegistryError> {
        let wanted = canonical(name);
        self.harnesses
            .iter()
            .find(|harness| {
                harness.name() == wanted || harness.aliases().contains(&wanted.as_str())
            })
            .ok_or_else(|| RegistryError::Unknown {
                name: snippet(name, 80),
                nearest: self.nearest(&wanted),
                known: self.names().map(str::to_owned).collect(),
            })
    }

    /// All harnesses, in the order in which `auto` looks for their markers (S9).
    pub fn iter(&self) -> impl Iterator<Item = &Harness> {
        self.harnesses.iter()
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.harnesses.iter().map(Harness::name)
    }

    fn nearest(&self, wanted: &str) -> Option<String> {
        let spellings = self.harnesses.iter().flat_map(|harness| {
            let own = std::iter::once(harness.name());
            own.chain(harness.aliases())
                .map(|spelling| (harness.name(), spelling))
        });
        spellings
            .map(|(name, spelling)| {
                (
                    strsim::damerau_levenshtein(spelling, wanted),
                    spelling,
                    name,
                )
            })
            .filter(|(distance, spelling, _)| *distance <= 2.min(spelling.len() / 2))
            .min()
            .map(|(.., name)| name.to_owned())
    }

    /// Refuses an alias that is another harness's name or alias.
    fn free(&self, settings: &CustomHarness, target: &str) -> Result<(), RegistryError> {
        let taken = settings.aliases.iter().find(|alias| {
            self.resolve(alias)
                .is_ok_and(|known| known.name() != target)
        });
        match taken {
            Some(alias) => Err(RegistryError::Twice {
                name: snippet(alias, 80),
            }),
            None => Ok(()),
        }
    }

    fn take(&mut self, mut settings: CustomHarness, target: &str) {
        for alias in &mut settings.aliases {
            *alias = canonical(alias);
        }
        if let Some(known) = self.harnesses.iter_mut().find(|h| h.name() == target) {
            known.change(settings);
        } else if let Some(program) = settings.program.take() {
            let custom = Harness::custom(settings, program);
            self.harnesses.push(custom);
        }
    }
}

fn check(settings: &CustomHarness, target: &str) -> Result<(), RegistryError> {
    let name = settings.name.clone();
    if Builtin::ALL.iter().any(|b| b.name() == target) {
        let fields = settings.beyond_override();
        return if fields.is_empty() {
            Ok(())
        } else {
            Err(RegistryError::BuiltinField { name, fields })
        };
    }
    let sound = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if name.is_empty() || name.len() > 64 || name.starts_with('-') || !name.chars().all(sound) {
        return Err(RegistryError::BadName {
            name: snippet(&name, 80),
        });
    }
    if settings.program.as_deref().unwrap_or_default().is_empty() {
        return Err(RegistryError::NoProgram { name });
    }
    for (field, flag) in settings.flags() {
        if let Some(flag) = flag
            && (!flag.starts_with('-') || flag.contains(char::is_whitespace) || flag.contains('\0'))
        {
            return Err(RegistryError::BadFlag {
                name,
                field,
                value: snippet(flag, 80),
            });
        }
    }
    if !settings.resume_args.is_empty() && !settings.resume_args.iter().any(|a| a.contains("{id}"))
    {
        return Err(RegistryError::NoResumeId { name });
    }
    Ok(())
}

/// Lower case, and a built-in harness's own name for its aliases.
fn canonical(name: &str) -> String {
    let name = name.trim().to_ascii_lowercase();
    let dashed = name.replace(['_', ' '], "-");
    let builtin = Builtin::ALL
        .into_iter()
        .find(|b| b.name() == dashed || b.aliases().contains(&dashed.as_str()));
    builtin.map_or(name, |b| b.name().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> CustomHarness {
        CustomHarness {
            name: name.to_owned(),
            program: Some("prog".to_owned()),
            ..CustomHarness::default()
        }
    }

    #[test]
    fn s8_aliases_are_one_harness() {
        let registry = Registry::builtin();
        for (alias, name) in [
            ("claude", "claude"),
            ("claude-code", "claude"),
            ("Claude_Code", "claude"),
            ("codex-cli", "codex"),
            ("gemini-cli", "gemini"),
            ("open-code", "opencode"),
        ] {
            assert_eq!(registry.resolve(alias).map(Harness::name), Ok(name));
        }
    }

    #[test]
    fn an_unknown_name_is_told_with_the_nearest() {
        let error = Registry::builtin().resolve("cluade").expect_err("unknown");
        assert_eq!(
            error.to_string(),
            "no harness is named `cluade` (did you mean `claude`?); there are claude, codex, opencode, gemini, script"
        );
        let far = Registry::builtin().resolve("emacs").expect_err("unknown");
        assert!(matches!(far, RegistryError::Unknown { nearest: None, .. }));
    }

    #[test]
    fn the_config_changes_a_builtin_and_adds_its_own() {
        let mut changed = named("claude-code");
        changed.base_args = vec!["--debug".to_owned()];
        let mut mine = named("mine");
        mine.aliases = vec!["my_own".to_owned()];
        let registry = Registry::with_custom(vec![changed, mine]).expect("sound");
        assert_eq!(registry.resolve("claude").expect("known").program(), "prog");
        assert_eq!(registry.resolve("mine").expect("known").program(), "prog");
        assert_eq!(registry.resolve("My_Own").map(Harness::name), Ok("mine"));
        assert_eq!(registry.names().count(), 6);
    }

    #[test]
    fn every_wrong_table_is_told_at_once() {
        let mut twice = named("Claude_code");
        twice.program = None;
        let mut flags = named("codex");
        flags.model_flag = Some("--m".to_owned());
        let mut no_program = named("a");
        no_program.program = None;
        let mut bad_flag = named("b");
        bad_flag.task_flag = Some("task".to_owned());
        let mut no_id = named("c");
        no_id.resume_args = vec!["--continue".to_owned()];
        let mut alias = named("d");
        alias.aliases = vec!["Codex-CLI".to_owned()];
        let errors = Registry::with_custom(vec![
            named("claude"),
            twice,
            flags,
            no_program,
            bad_flag,
            no_id,
            alias,
            named("Bad Name"),
        ])
        .expect_err("wrong");
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            errors,
            [
                "harness `Claude_code` is configured twice",
                "harness `codex` is built in and keeps its own model_flag",
                "harness `a` has no `program`",
                "harness `b`: task_flag = `task` is no flag",
                "harness `c`: resume_args has no `{id}`",
                "harness `Codex-CLI` is configured twice",
                "`Bad Name` cannot name a harness: lower case letters, digits, `-` and `_` only",
            ]
        );
    }
}
