//! Values of settings, from a file's node or from the text of a variable or a flag.

use std::fmt;

use longhaul_core::spec::EnvValue;
use longhaul_core::time::SpanMs;
use longhaul_core::usage::MicroUsd;
use serde::Serialize;

use super::keys::{Kind, SettingKey};
use crate::diag::{Finding, Located, Sink, Site, quoted};
use crate::read::Entry;
use crate::taskfile::checks as task;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Built in.
    Default,
    /// A file, at this line.
    File {
        /// The file.
        path: String,
        /// From 1.
        line: u32,
    },
    /// A variable.
    Env(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{path}:{line}"),
            Self::Env(name) => write!(f, "${name}"),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// A setting's value.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum SettingValue {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Count(u64),
    /// A text, a word, a URL.
    Text(String),
    /// A span, in milliseconds.
    Duration(SpanMs),
    /// Bytes.
    Size(u64),
    /// Millionths of a dollar.
    Money(MicroUsd),
    /// Texts.
    List(Vec<String>),
    /// A variable's value.
    Variable(EnvValue),
}

impl fmt::Display for SettingValue {
    /// As it would be written in the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |text: &str| toml_edit::Value::from(text).to_string();
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Count(value) => write!(f, "{value}"),
            Self::Text(value) => f.write_str(&text(value)),
            Self::Duration(value) => write!(f, "\"{}\"", crate::duration::format(*value)),
            Self::Size(value) => write!(f, "\"{}\"", crate::size::format(*value)),
            Self::Money(value) => write!(f, "{}", value.0 as f64 / 1e6),
            Self::List(values) => {
                let all: Vec<String> = values.iter().map(|v| text(v)).collect();
                write!(f, "[{}]", all.join(", "))
            }
            Self::Variable(EnvValue::Literal(value)) => f.write_str(&text(value)),
            Self::Variable(EnvValue::From { from }) => write!(f, "{{ from = {} }}", text(from)),
        }
    }
}

/// The value of a file's key.
pub(super) fn from_entry(
    info: &SettingKey,
    key: &str,
    entry: &Entry<'_>,
    sink: &mut Sink,
) -> Option<SettingValue> {
    match info.kind {
        Kind::Bool => entry.boolean(sink).map(|b| SettingValue::Bool(b.value)),
        Kind::Count { .. } | Kind::Tokens => {
            let number = entry.integer(sink)?;
            whole(info.kind, key, &number, sink)
        }
        Kind::Money => {
            let number = entry.number(sink)?;
            task::money(key, &number, sink).map(|m| SettingValue::Money(m.value))
        }
        Kind::Price => {
            let number = entry.number(sink)?;
            price(key, &number, sink)
        }
        Kind::Duration | Kind::DurationOrZero => {
            let span = task::duration_entry(entry, zero(info.kind), sink)?;
            Some(SettingValue::Duration(span.value))
        }
        Kind::List => {
            let texts = entry.strings(sink)?;
            let texts = task::checked_list(key, texts, task::bad_command, sink)?;
            Some(SettingValue::List(
                texts.into_iter().map(|t| t.value).collect(),
            ))
        }
        Kind::Variable => {
            let value = task::env_value(entry, sink)?;
            let (_, value) = task::variable(entry.key, &entry.key_site(), value, sink)?;
            Some(SettingValue::Variable(value.value))
        }
        Kind::Size => {
            let text = entry.string("a size such as \"2GiB\"", sink)?;
            texts(info.kind, key, text, sink)
        }
        Kind::Text | Kind::Argument | Kind::Flag | Kind::Branch | Kind::Word(_) | Kind::Url => {
            let text = entry.string("a string", sink)?;
            texts(info.kind, key, text, sink)
        }
    }
}

/// Most dollars for a million tokens; beyond it is a slip.
const MAX_PRICE: f64 = 1e6;

/// A price: nothing at all for a model of one's own, never less.
fn price(key: &str, number: &Located<f64>, sink: &mut Sink) -> Option<SettingValue> {
    if (0.0..=MAX_PRICE).contains(&number.value) {
        return Some(SettingValue::Money(MicroUsd::from_usd(number.value)));
    }
    let message = format!(
        "`{key}` must be dollars for a million tokens, from 0 to a million, not {}",
        number.value
    );
    sink.push(Finding::error(&number.site, message));
    None
}

/// The value of a variable or a flag; lists are separated by commas.
pub(super) fn from_text(
    info: &SettingKey,
    key: &str,
    text: Located<String>,
    sink: &mut Sink,
) -> Option<SettingValue> {
    let mut wrong = |wanted: &str| {
        let message = format!("`{key}` must be {wanted}, not {}", quoted(&text.value));
        sink.push(Finding::error(&text.site, message));
    };
    match info.kind {
        Kind::Bool => match text.value.as_str() {
            "true" | "1" | "yes" | "on" => Some(SettingValue::Bool(true)),
            "false" | "0" | "no" | "off" => Some(SettingValue::Bool(false)),
            _ => {
                wrong("true or false");
                None
            }
        },
        Kind::Count { .. } | Kind::Tokens => match text.value.parse() {
            Ok(value) => whole(info.kind, key, &text.map(|_| value), sink),
            Err(_) => {
                wrong("a whole number");
                None
            }
        },
        Kind::Money => match text.value.parse() {
            Ok(value) => {
                let money = task::money(key, &text.map(|_| value), sink)?;
                Some(SettingValue::Money(money.value))
            }
            Err(_) => {
                wrong("an amount of money");
                None
            }
        },
        Kind::Price => match text.value.parse() {
            Ok(value) => price(key, &text.map(|_| value), sink),
            Err(_) => {
                wrong("an amount of money");
                None
            }
        },
        Kind::Duration | Kind::DurationOrZero => {
            let span = task::duration(key, &text, zero(info.kind), sink)?;
            Some(SettingValue::Duration(span.value))
        }
        Kind::List => {
            let parts = text
                .value
                .split(',')
                .map(str::trim)
                .filter(|p| !p.is_empty());
            Some(SettingValue::List(parts.map(str::to_owned).collect()))
        }
        Kind::Variable => Some(SettingValue::Variable(EnvValue::Literal(text.value))),
        Kind::Size
        | Kind::Text
        | Kind::Argument
        | Kind::Flag
        | Kind::Branch
        | Kind::Word(_)
        | Kind::Url => texts(info.kind, key, text, sink),
    }
}

/// The default of a key, as the table writes it.
pub(super) fn from_default(info: &SettingKey) -> Option<SettingValue> {
    let text = info.default?;
    let text = match info.kind {
        Kind::List => text.trim_matches(['[', ']']).replace('"', ""),
        _ => text.trim_matches('"').to_owned(),
    };
    let site = Site::Named(info.pattern.to_owned());
    let value = text;
    from_text(
        info,
        info.pattern,
        Located { value, site },
        &mut Sink::default(),
    )
}

fn zero(kind: Kind) -> task::Zero {
    if kind == Kind::DurationOrZero {
        task::Zero::Allowed
    } else {
        task::Zero::Refused
    }
}

fn whole(kind: Kind, key: &str, number: &Located<i64>, sink: &mut Sink) -> Option<SettingValue> {
    if let Kind::Count { least, most } = kind {
        let count = task::count(key, number, least, most, sink)?;
        return Some(SettingValue::Count(count.value.into()));
    }
    task::tokens(key, number, sink).map(|n| SettingValue::Count(n.value))
}

fn texts(kind: Kind, key: &str, text: Located<String>, sink: &mut Sink) -> Option<SettingValue> {
    if kind == Kind::Size {
        return match crate::size::parse(&text.value) {
            Ok(bytes) => Some(SettingValue::Size(bytes)),
            Err(error) => {
                let finding = Finding::error(&text.site, format!("`{key}` {error}"));
                sink.push(
                    finding
                        .key(key)
                        .help("write it like `2GiB`, `500MB` or `64KiB`"),
                );
                None
            }
        };
    }
    if let Kind::Word(words) = kind {
        let pairs: Vec<(&'static str, &'static str)> = words.iter().map(|w| (*w, *w)).collect();
        let word = task::word(key, &text, &pairs, sink)?;
        return Some(SettingValue::Text(word.value.to_owned()));
    }
    let bad: fn(&str) -> Option<String> = match kind {
        Kind::Argument => task::bad_argument,
        Kind::Branch => task::bad_branch,
        Kind::Flag => bad_flag,
        Kind::Url => {
            if has_login(&text.value) {
                sink.hide(&text.site);
            }
            bad_url
        }
        _ => task::bad_command,
    };
    task::checked(key, text, bad, sink).map(|text| SettingValue::Text(text.value))
}

fn bad_flag(text: &str) -> Option<String> {
    let word = text.starts_with('-') && !text.chars().any(|c| c.is_whitespace() || c.is_control());
    (!word).then(|| "is not a flag: one word that starts with `-`".to_owned())
}

fn has_login(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#'])
        .next()
        .is_some_and(|host| host.contains('@'))
}

fn bad_url(url: &str) -> Option<String> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    let Some(rest) = rest else {
        return Some("is not a URL that starts with `https://` or `http://`".to_owned());
    };
    if has_login(url) {
        return Some("has a login in it; keys go into `key`".to_owned());
    }
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let odd = url.chars().any(|c| c.is_whitespace() || c.is_control());
    (host.is_empty() || odd).then(|| "is not a whole URL".to_owned())
}
