//! Reads the layers one after the other into one map of keys, remembering where each value came
//! from, and leaves out what a repository's file may not set.

use std::collections::BTreeMap;

use camino::Utf8Path;
use serde::Serialize;

use super::MAX_FILE_BYTES;
use super::build::build;
use super::key_table::SETTING_KEYS;
use super::keys::{Found, Guard, SettingKey, below, find, is_named};
use super::resolved::{Resolved, SettingEntry};
use super::value::{Origin, SettingValue, from_default, from_entry, from_text};
use crate::diag::{Diagnostics, Finding, Located, Sink, Site, Source, quoted};
use crate::env_names;
use crate::nearest::did_you_mean;
use crate::read::{Entry, decode, entries, tree};

/// Which of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// `$XDG_CONFIG_HOME/longhaul/config.toml`.
    User,
    /// `<repo>/.longhaul/config.toml`.
    Repo,
    /// `<repo>/.longhaul/config.local.toml`: as little trusted as the one above, since a repository
    /// can hold it too.
    Local,
}

/// One file of settings.
#[derive(Clone, Copy, Debug)]
pub struct FileLayer<'a> {
    /// Which one.
    pub layer: Layer,
    /// Its path, as shown in origins and messages.
    pub path: &'a Utf8Path,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// A setting given by a flag.
#[derive(Clone, Copy, Debug)]
pub struct FlagSetting<'a> {
    /// The flag as typed: `--concurrency`.
    pub flag: &'a str,
    /// The key it sets.
    pub key: &'a str,
    /// The value as typed.
    pub value: &'a str,
}

/// Everything that settings are made of, the built-in defaults aside.
#[derive(Clone, Copy, Debug)]
pub struct Layers<'a> {
    /// The files, in any order.
    pub files: &'a [FileLayer<'a>],
    /// Whether the user trusts the repository as it is now ([`crate::trust`]).
    pub repo_trusted: bool,
    /// Variables; only those whose name starts with `LONGHAUL_` are looked at.
    pub env: &'a BTreeMap<String, String>,
    /// Flags.
    pub flags: &'a [FlagSetting<'a>],
    /// The built-in harnesses: their tables need no `program`.
    pub built_in_harnesses: &'a [&'a str],
}

/// A value that a repository's file may not set and that was therefore left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ignored {
    /// The key.
    pub key: String,
    /// Where it stands.
    pub origin: Origin,
    /// Whether `longhaul trust` would let it count.
    pub trust_would_help: bool,
}

/// The map of keys while it is being filled.
#[derive(Debug, Default)]
pub(super) struct Map {
    pub(super) values: BTreeMap<String, (SettingValue, Origin)>,
    ignored: Vec<Ignored>,
}

/// Reads all layers.
///
/// # Errors
/// Every problem of every layer at once.
pub fn resolve(layers: &Layers<'_>) -> Result<Resolved, Diagnostics> {
    let mut map = Map::default();
    for key in &SETTING_KEYS {
        if let Some(value) = from_default(key) {
            map.values
                .insert(key.pattern.to_owned(), (value, Origin::Default));
        }
    }
    let mut found = Diagnostics::default();
    let mut files: Vec<&FileLayer<'_>> = layers.files.iter().collect();
    files.sort_by_key(|f| f.layer);
    for file in files {
        found.append(read_file(file, layers.repo_trusted, &mut map));
    }
    let mut sink = Sink::default();
    variables(layers.env, &mut map, &mut sink);
    flags(layers.flags, &mut map, &mut sink);
    let settings = build(&map, layers.built_in_harnesses, &mut sink);
    found.append(sink.finish(None));
    if found.has_errors() {
        return Err(found);
    }
    let Map { values, ignored } = map;
    let entry = |(key, (value, origin))| SettingEntry { key, value, origin };
    Ok(Resolved {
        settings,
        entries: values.into_iter().map(entry).collect(),
        ignored,
        notes: found,
    })
}

struct Walk<'w, 's> {
    file: &'w FileLayer<'w>,
    source: &'w Source<'s>,
    trusted: bool,
    map: &'w mut Map,
    sink: &'w mut Sink,
}

fn read_file(file: &FileLayer<'_>, trusted: bool, map: &mut Map) -> Diagnostics {
    let name = file.path.as_str();
    let text = match decode(name, file.bytes, MAX_FILE_BYTES) {
        Ok(text) => text,
        Err(diagnostics) => return diagnostics,
    };
    let source = Source::new(name, text);
    let mut sink = Sink::default();
    let table = tree(&source, &mut sink);
    if !sink.has_errors() {
        let mut walk = Walk {
            file,
            source: &source,
            trusted,
            map,
            sink: &mut sink,
        };
        walk.table(&mut Vec::new(), &entries(&table));
    }
    sink.finish(Some(&source))
}

impl Walk<'_, '_> {
    fn table<'t>(&mut self, path: &mut Vec<&'t str>, entries: &[Entry<'t>]) {
        for entry in entries {
            path.push(entry.key);
            match find(path) {
                Found::Nothing => self.unknown(path, entry),
                Found::Key(info) => {
                    if self.name_is_fine(path, entry) {
                        self.value(info, path, entry);
                    }
                }
                Found::Table => {
                    if self.name_is_fine(path, entry)
                        && let Some(inner) = entry.table("a table", self.sink)
                    {
                        self.table(path, &inner);
                    }
                }
            }
            path.pop();
        }
    }

    fn unknown(&mut self, path: &[&str], entry: &Entry<'_>) {
        let before = &path[..path.len() - 1];
        let what = match before {
            [] => "the configuration".to_owned(),
            before => quoted(&format!("[{}]", before.join("."))),
        };
        let _meant = entry.unknown(&what, below(before), self.sink);
    }

    /// Names of the user's choice become parts of dotted keys, so they hold no dot.
    fn name_is_fine(&mut self, path: &[&str], entry: &Entry<'_>) -> bool {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let fine = !is_named(path)
            || (!entry.key.is_empty() && entry.key.len() <= 64 && entry.key.chars().all(plain));
        if !fine {
            let message = format!(
                "{} is not a name: up to 64 ASCII letters, digits, `-` and `_`",
                quoted(entry.key)
            );
            self.sink
                .push(Finding::error(&entry.key_site(), message).key(entry.key));
        }
        fine
    }

    fn value(&mut self, info: &SettingKey, path: &[&str], entry: &Entry<'_>) {
        let key = path.join(".");
        let Some(value) = from_entry(info, &key, entry, self.sink) else {
            return;
        };
        let line = match entry.key_site() {
            Site::Span(span) => self.source.line(span.start),
            Site::Named(_) => 0,
        };
        let origin = Origin::File {
            path: self.file.path.to_string(),
            line,
        };
        let from_repo = self.file.layer != Layer::User;
        let closed = match info.guard {
            Guard::Anyone => false,
            Guard::Machine => from_repo,
            Guard::Runs | Guard::Sends | Guard::Weakens => from_repo && !self.trusted,
        };
        if closed {
            self.ignore(info.guard, key, origin, entry);
        } else {
            self.map.values.insert(key, (value, origin));
        }
    }

    fn ignore(&mut self, guard: Guard, key: String, origin: Origin, entry: &Entry<'_>) {
        let trust_would_help = guard.needs_trust();
        let (message, help) = if trust_would_help {
            (
                format!("`{key}` is ignored: this repository is not trusted to set it"),
                "read the repository's `.longhaul` folder, then run `longhaul trust`",
            )
        } else {
            (
                format!("`{key}` is ignored: it is about the whole machine, not one repository"),
                "put it into your own config.toml",
            )
        };
        self.sink.push(
            Finding::warning(&entry.key_site(), message)
                .key(key.clone())
                .help(help),
        );
        self.map.ignored.push(Ignored {
            key,
            origin,
            trust_would_help,
        });
    }
}

fn variables(env: &BTreeMap<String, String>, map: &mut Map, sink: &mut Sink) {
    for (name, text) in env.range("LONGHAUL_".to_owned()..) {
        if !name.starts_with("LONGHAUL_") {
            break;
        }
        let site = Site::Named(format!("${name}"));
        let known = env_names::SETTINGS.iter().find(|(known, _)| known == name);
        let info = known.and_then(|(_, key)| SETTING_KEYS.iter().find(|k| k.pattern == *key));
        if let Some(info) = info {
            let value = text.clone();
            if let Some(value) = from_text(info, info.pattern, Located { value, site }, sink) {
                let origin = Origin::Env(name.clone());
                map.values.insert(info.pattern.to_owned(), (value, origin));
            }
        } else if !env_names::PLAIN.contains(&name.as_str()) {
            let settings = env_names::SETTINGS.iter().map(|(name, _)| *name);
            let near = did_you_mean(name, settings.chain(env_names::PLAIN));
            let message = format!("no such variable{near}");
            sink.push(Finding::warning(&site, message));
        }
    }
}

fn flags(flags: &[FlagSetting<'_>], map: &mut Map, sink: &mut Sink) {
    for flag in flags {
        let site = Site::Named(flag.flag.to_owned());
        let path: Vec<&str> = flag.key.split('.').collect();
        let Found::Key(info) = find(&path) else {
            let patterns = SETTING_KEYS.iter().map(|k| k.pattern);
            let near = did_you_mean(flag.key, patterns);
            let message = format!("no setting {}{near}", quoted(flag.key));
            sink.push(Finding::error(&site, message));
            continue;
        };
        let value = flag.value.to_owned();
        if let Some(value) = from_text(info, flag.key, Located { value, site }, sink) {
            let origin = Origin::Flag(flag.flag.to_owned());
            map.values.insert(flag.key.to_owned(), (value, origin));
        }
    }
}
