//! What a key of the configuration is: its type, its default, who may set it, what it does; and
//! which key stands at a path. The keys themselves are in the table.

use super::key_table::SETTING_KEYS;

/// The type of a key's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number between two others.
    Count {
        /// The least.
        least: u32,
        /// The most.
        most: u32,
    },
    /// A text that is not empty.
    Text,
    /// A word that becomes an argument of a program.
    Argument,
    /// A flag of a program: one word that starts with `-`.
    Flag,
    /// The first part of a branch's name.
    Branch,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A duration.
    Duration,
    /// A duration that may be zero.
    DurationOrZero,
    /// A size in bytes.
    Size,
    /// Dollars.
    Money,
    /// Dollars for a million of something; may be nothing.
    Price,
    /// Whole tokens.
    Tokens,
    /// A list of texts.
    List,
    /// An absolute URL, `https` or `http`, without a user or a password in it.
    Url,
    /// A variable's value: a text, or `{ from = "NAME" }`.
    Variable,
}

impl Kind {
    /// The type in words, for docs and messages.
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::Bool => "true or false".to_owned(),
            Self::Count { least, most } => format!("whole number, {least} to {most}"),
            Self::Text | Self::Argument | Self::Flag | Self::Branch => "string".to_owned(),
            Self::Word(words) => {
                let quoted: Vec<String> = words.iter().map(|w| format!("`\"{w}\"`")).collect();
                quoted.join(", ")
            }
            Self::Duration | Self::DurationOrZero => "duration".to_owned(),
            Self::Size => "size, such as `\"2GiB\"`".to_owned(),
            Self::Money => "dollars".to_owned(),
            Self::Price => "dollars, from 0 on".to_owned(),
            Self::Tokens => "whole number of tokens".to_owned(),
            Self::List => "list of strings".to_owned(),
            Self::Url => "URL".to_owned(),
            Self::Variable => "string or `{ from = \"NAME\" }`".to_owned(),
        }
    }
}

/// Who may set a key: whether a file of a repository may, and on what condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Any file.
    Anyone,
    /// A repository's file only once the repository is trusted: the key makes something run.
    Runs,
    /// A repository's file only once the repository is trusted: the key makes something be sent.
    Sends,
    /// A repository's file only once the repository is trusted: the key takes a protection away.
    Weakens,
    /// Never a repository's file: the key is about the machine and all its repositories.
    Machine,
}

impl Guard {
    /// Whether `longhaul trust` opens the key to a repository's file.
    #[must_use]
    pub const fn needs_trust(self) -> bool {
        matches!(self, Self::Runs | Self::Sends | Self::Weakens)
    }

    /// In words, for docs and messages.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Anyone => "yes",
            Self::Runs => "once trusted (it runs something)",
            Self::Sends => "once trusted (it sends something)",
            Self::Weakens => "once trusted (it takes a protection away)",
            Self::Machine => "no (it is about the whole machine)",
        }
    }
}

/// One key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SettingKey {
    /// The dotted key; a part `NAME` stands for any name.
    pub pattern: &'static str,
    /// The type.
    pub kind: Kind,
    /// The default as it would be written in the file, if there is one.
    pub default: Option<&'static str>,
    /// Who may set it.
    pub guard: Guard,
    /// What it does.
    pub about: &'static str,
}

/// What stands at a path of the configuration.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found {
    Key(&'static SettingKey),
    Table,
    Nothing,
}

/// What stands at `path`.
pub(super) fn find(path: &[&str]) -> Found {
    let mut table = false;
    for key in &SETTING_KEYS {
        let mut parts = key.pattern.split('.');
        let fits = path
            .iter()
            .all(|part| parts.next().is_some_and(|p| fits(p, part)));
        if fits && parts.next().is_none() {
            return Found::Key(key);
        }
        table |= fits;
    }
    if table { Found::Table } else { Found::Nothing }
}

/// The parts that may stand below `path`, `NAME` left out.
pub(super) fn below(path: &[&str]) -> Vec<&'static str> {
    let mut all = Vec::new();
    for key in &SETTING_KEYS {
        let mut parts = key.pattern.split('.');
        if path
            .iter()
            .all(|part| parts.next().is_some_and(|p| fits(p, part)))
            && let Some(next) = parts.next()
            && next != "NAME"
            && !all.contains(&next)
        {
            all.push(next);
        }
    }
    all
}

/// Whether the part at the end of `path` is a name of the user's choice.
pub(super) fn is_named(path: &[&str]) -> bool {
    let Some((last, before)) = path.split_last() else {
        return false;
    };
    !below(before).contains(last)
}

fn fits(pattern: &str, part: &str) -> bool {
    pattern == "NAME" || pattern == part
}
