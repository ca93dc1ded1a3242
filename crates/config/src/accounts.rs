//! Which accounts an environment holds (A1): keys in variables, with suffixes, as lists and in files. Reads no
//! environment and no file itself.

use std::collections::BTreeSet;

use longhaul_core::account::Provider;

/// The variables that hold a provider's keys.
const VARIABLES: [(Provider, &str); 4] = [
    (Provider::Anthropic, "ANTHROPIC_API_KEY"),
    (Provider::Openai, "OPENAI_API_KEY"),
    (Provider::Gemini, "GEMINI_API_KEY"),
    (Provider::Gemini, "GOOGLE_API_KEY"),
];

/// More accounts of one kind of variable are not taken.
pub const FOUND_MAX: usize = 1_000;

/// Where a found key stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundAt {
    /// It is the value of the variable.
    Whole,
    /// It is this part of the comma-separated value, from 1.
    Part(usize),
    /// The value is the path of a file with one key in each line.
    File,
}

/// A variable that holds one or several keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What an account of it is called; of a file, with `-N` behind it for its N-th key.
    pub name: String,
    /// Whose keys.
    pub provider: Provider,
    /// The variable.
    pub variable: String,
    /// Where in it.
    pub at: FoundAt,
}

/// What the variables of these names and values hold, in order: by provider, the plain variable first, then those
/// with suffixes as numbers and words sort, then lists, then files. Empty values hold nothing.
pub fn discover<'v>(variables: impl Iterator<Item = (&'v str, &'v str)> + Clone) -> Vec<Found> {
    let mut found = Vec::new();
    for (provider, base) in VARIABLES {
        let stem = match (provider, base) {
            (Provider::Gemini, "GOOGLE_API_KEY") => "google",
            _ => provider.as_str(),
        };
        let mut plain = Vec::new();
        let mut lists = Vec::new();
        let mut files = Vec::new();
        for (variable, value) in variables.clone() {
            let Some(suffix) = variable.strip_prefix(base) else {
                continue;
            };
            if value.trim().is_empty() {
                continue;
            }
            let entry = |name: String, at| Found {
                name,
                provider,
                variable: variable.to_owned(),
                at,
            };
            match suffix {
                "" => plain.push((Rank::First, entry(stem.to_owned(), FoundAt::Whole))),
                "S" => lists.extend(
                    (1..=parts(value).count().min(FOUND_MAX))
                        .map(|n| entry(format!("{stem}-keys-{n}"), FoundAt::Part(n))),
                ),
                "S_FILE" => files.push(entry(format!("{stem}-file"), FoundAt::File)),
                suffix => {
                    let Some(word) = suffix.strip_prefix('_').filter(|w| is_word(w)) else {
                        continue;
                    };
                    let name = format!("{stem}-{}", word.to_ascii_lowercase().replace('_', "-"));
                    plain.push((Rank::of(word), entry(name, FoundAt::Whole)));
                }
            }
        }
        plain.sort_by(|(a, _), (b, _)| a.cmp(b));
        found.extend(plain.into_iter().map(|(_, entry)| entry));
        found.extend(lists);
        found.extend(files);
    }
    // `KEY_A_B` and `KEY_a_b` have one name; the first one keeps it.
    let mut names = BTreeSet::new();
    found.retain(|f| names.insert((f.name.clone(), f.at == FoundAt::File)));
    found
}

/// The keys of a comma-separated value.
pub fn parts(value: &str) -> impl Iterator<Item = &str> {
    value
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

/// The keys of a file: one in each line; empty lines and those that begin with `#` hold none.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    let trimmed = text.lines().map(str::trim);
    trimmed.filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    First,
    Number(u32),
    Word(String),
}

impl Rank {
    fn of(word: &str) -> Self {
        word.parse()
            .map_or_else(|_| Self::Word(word.to_owned()), Self::Number)
    }
}

/// `2`, `WORK`; not what belongs to another setting, such as `…_HELPER_TTL_MS`.
fn is_word(word: &str) -> bool {
    const OTHERS: [&str; 3] = ["FILE", "HELPER", "PATH"];
    !word.is_empty()
        && word.len() <= 32
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !word.split('_').any(|part| OTHERS.contains(&part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(variables: &[(&str, &str)]) -> Vec<String> {
        let found = discover(variables.iter().copied());
        found.into_iter().map(|f| f.name).collect()
    }

    #[test]
    fn a1_keys_are_found_in_variables_suffixes_lists_and_files() {
        let found = names(&[
            ("GEMINI_API_KEY", "g"),
            ("ANTHROPIC_API_KEY_10", "k10"),
            ("ANTHROPIC_API_KEY_2", "k2"),
            ("ANTHROPIC_API_KEYS", " a ,, b,"),
            ("ANTHROPIC_API_KEY_WORK", "w"),
            ("ANTHROPIC_API_KEYS_FILE", "/keys"),
            ("ANTHROPIC_API_KEY", "k"),
            ("OPENAI_API_KEY", " "),
        ]);
        let wanted = [
            "anthropic",
            "anthropic-2",
            "anthropic-10",
            "anthropic-work",
            "anthropic-keys-1",
            "anthropic-keys-2",
            "anthropic-file",
            "gemini",
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn a1_other_settings_are_no_keys() {
        let found = names(&[
            ("ANTHROPIC_API_KEY_HELPER_TTL_MS", "1"),
            ("ANTHROPIC_API_KEY_FILE", "/x"),
            ("ANTHROPIC_API_KEYSTORE", "x"),
            ("MY_ANTHROPIC_API_KEY", "x"),
            ("ANTHROPIC_API_KEY_", "x"),
        ]);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn a1_a_file_has_a_key_in_each_line() {
        let keys: Vec<_> = lines("# mine\nk1\n\n  k2  \n#k3\n").collect();
        assert_eq!(keys, ["k1", "k2"]);
    }
}
