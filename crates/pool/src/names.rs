//! Which names on the tmux server are Longhaul's (A19). Pure.

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

/// Longest prefix or name.
const MAX_NAME: usize = 48;

/// `[pool]` and `[dedicated.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolSettings {
    /// What the names of pool sessions begin with.
    pub prefix: String,
    /// The number of the first.
    pub start_index: u32,
    /// How many are kept ready.
    pub min: u32,
    /// How many there may be.
    pub max: u32,
    /// How long a prompt may stay unacknowledged after each Enter, in milliseconds.
    pub ack_timeout_ms: u64,
    /// The file that says that a turn is over, below the workspace; `{session}` is the session's name.
    pub signal: String,
    /// Sessions of people.
    pub dedicated: Vec<Dedicated>,
}

/// A session that belongs to a person (I11): made where it is missing, and then left alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dedicated {
    /// Its name.
    pub name: String,
    /// Where its shell begins.
    pub dir: Utf8PathBuf,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            prefix: "lh-".to_owned(),
            start_index: 0,
            min: 0,
            max: 4,
            ack_timeout_ms: 10_000,
            signal: ".agent-queue/signals/{session}.done".to_owned(),
            dedicated: Vec::new(),
        }
    }
}

/// What is wrong with the names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// tmux gives `.` and `:` a meaning, and a shell others.
    #[error("`{0}` cannot name a session: use up to 48 letters, digits, `-` and `_`")]
    Bad(String),
    /// A dedicated session would be one of the pool's, and be given work (I11).
    #[error("the dedicated session `{0}` has a name of the pool's: {1}")]
    OfThePool(String, String),
    /// `min` is above `max`.
    #[error("`pool.min` ({min}) is more than `pool.max` ({max})")]
    MinAboveMax {
        /// How many are kept ready.
        min: u32,
        /// How many there may be.
        max: u32,
    },
}

impl PoolSettings {
    /// The names of the pool, in order: prefix and number, for the numbers in `[start_index, start_index + max)`.
    pub fn names(&self) -> impl Iterator<Item = String> + '_ {
        (0..self.max).map(|n| format!("{}{}", self.prefix, self.start_index.saturating_add(n)))
    }

    /// Whether a session is one of the pool's.
    #[must_use]
    pub fn owns(&self, name: &str) -> bool {
        let Some(digits) = name.strip_prefix(self.prefix.as_str()) else {
            return false;
        };
        // `lh-01` is not `lh-1`.
        let plain = digits == "0" || !digits.starts_with(['0', '+']);
        plain
            && digits
                .parse::<u32>()
                .is_ok_and(|n| n >= self.start_index && n - self.start_index < self.max)
    }

    /// Checks the names.
    ///
    /// # Errors
    /// The first fault.
    pub fn check(&self) -> Result<(), NameError> {
        let dedicated = self.dedicated.iter().map(|d| &d.name);
        for name in std::iter::once(&self.prefix).chain(dedicated) {
            let sound = !name.is_empty()
                && name.len() <= MAX_NAME
                && !name.starts_with('-')
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
            if !sound {
                return Err(NameError::Bad(name.clone()));
            }
        }
        if self.min > self.max {
            return Err(NameError::MinAboveMax {
                min: self.min,
                max: self.max,
            });
        }
        match self.dedicated.iter().find(|d| self.owns(&d.name)) {
            Some(d) => {
                let last = self.start_index.saturating_add(self.max.saturating_sub(1));
                let range = format!(
                    "{}{} to {}{last}",
                    self.prefix, self.start_index, self.prefix
                );
                Err(NameError::OfThePool(d.name.clone(), range))
            }
            None => Ok(()),
        }
    }

    /// The signal file of a session, below its workspace.
    #[must_use]
    pub fn signal_of(&self, session: &str) -> String {
        self.signal.replace("{session}", session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(start_index: u32, max: u32) -> PoolSettings {
        PoolSettings {
            start_index,
            max,
            ..PoolSettings::default()
        }
    }

    #[test]
    fn a19_the_names_are_a_half_open_range() {
        let p = pool(3, 2);
        assert_eq!(p.names().collect::<Vec<_>>(), ["lh-3", "lh-4"]);
        for name in p.names() {
            assert!(p.owns(&name), "{name}");
        }
        for other in [
            "lh-2",
            "lh-5",
            "lh-03",
            "lh-+3",
            "lh-",
            "lh-3x",
            "xlh-3",
            "lh",
            "",
            "LH-3",
            "lh-99999999999",
        ] {
            assert!(!p.owns(other), "{other}");
        }
        assert!(pool(0, 1).owns("lh-0") && !pool(0, 0).owns("lh-0"));
        assert!(!pool(u32::MAX, 2).owns("lh-0"));
    }

    #[test]
    fn i11_a_dedicated_name_is_never_one_of_the_pools() {
        let mut p = pool(0, 4);
        p.dedicated.push(Dedicated {
            name: "lh-4".to_owned(),
            dir: "/".into(),
        });
        assert_eq!(p.check(), Ok(()));
        p.max = 5;
        assert_eq!(
            p.check(),
            Err(NameError::OfThePool(
                "lh-4".to_owned(),
                "lh-0 to lh-4".to_owned()
            ))
        );
        for bad in ["", "a.b", "a:b", "a b", "-t", "$(x)", "ä", &"x".repeat(49)] {
            p.dedicated[0].name = bad.to_owned();
            assert_eq!(p.check(), Err(NameError::Bad(bad.to_owned())));
        }
        p.dedicated.clear();
        p.min = 6;
        assert_eq!(p.check(), Err(NameError::MinAboveMax { min: 6, max: 5 }));
    }
}
