//! From plain values to typed ones, each on its own: the same for a file's keys and for flags.

use longhaul_core::spec::EnvValue;
use longhaul_core::time::SpanMs;
use longhaul_core::usage::MicroUsd;

use super::names::bad_variable;
use crate::diag::{Finding, Located, Sink, Site, quoted};
use crate::nearest::did_you_mean;
use crate::read::Entry;
use crate::secrets::looks_like_secret;

/// The largest budget: a billion dollars.
const MAX_USD: f64 = 1e9;

/// Whether a duration of zero means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Zero {
    Allowed,
    Refused,
}

/// Reports `problem` of a key's value.
pub(super) fn refuse(key: &str, site: &Site, problem: &str, sink: &mut Sink) {
    sink.push(Finding::error(site, format!("`{key}` {problem}")).key(key));
}

/// The text, unless `bad` says what is wrong with it.
pub(crate) fn checked(
    key: &str,
    text: Located<String>,
    bad: fn(&str) -> Option<String>,
    sink: &mut Sink,
) -> Option<Located<String>> {
    match bad(&text.value) {
        None => Some(text),
        Some(problem) => {
            refuse(key, &text.site, &problem, sink);
            None
        }
    }
}

/// The texts, unless `bad` says what is wrong with one of them.
pub(crate) fn checked_list(
    key: &str,
    texts: Vec<Located<String>>,
    bad: fn(&str) -> Option<String>,
    sink: &mut Sink,
) -> Option<Vec<Located<String>>> {
    let count = texts.len();
    let good: Vec<_> = texts
        .into_iter()
        .filter_map(|text| match bad(&text.value) {
            None => Some(text),
            Some(problem) => {
                let message = format!("{} in `{key}` {problem}", quoted(&text.value));
                sink.push(Finding::error(&text.site, message).key(key));
                None
            }
        })
        .collect();
    (good.len() == count).then_some(good)
}

/// A command for the shell: anything but nothing.
pub(crate) fn bad_command(text: &str) -> Option<String> {
    text.trim().is_empty().then(|| "is empty".to_owned())
}

/// One of a few words.
pub(crate) fn word<T: Copy>(
    key: &str,
    text: &Located<String>,
    words: &[(&'static str, T)],
    sink: &mut Sink,
) -> Option<Located<T>> {
    let found = words.iter().find(|(word, _)| *word == text.value);
    if let Some((_, value)) = found {
        return Some(Located {
            value: *value,
            site: text.site.clone(),
        });
    }
    let all: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
    let near = did_you_mean(&text.value, words.iter().map(|(word, _)| *word));
    let (last, rest) = all.split_last().expect("every key has words");
    let list = if rest.is_empty() {
        last.clone()
    } else {
        format!("{} or {last}", rest.join(", "))
    };
    refuse(
        key,
        &text.site,
        &format!("must be {list}, not {}{near}", quoted(&text.value)),
        sink,
    );
    None
}

/// A duration.
pub(crate) fn duration(
    key: &str,
    text: &Located<String>,
    zero: Zero,
    sink: &mut Sink,
) -> Option<Located<SpanMs>> {
    match crate::duration::parse(&text.value) {
        Ok(SpanMs(0)) if zero == Zero::Refused => {
            refuse(
                key,
                &text.site,
                "is zero, which leaves no time for anything",
                sink,
            );
            None
        }
        Ok(value) => Some(Located {
            value,
            site: text.site.clone(),
        }),
        Err(error) => {
            let message = format!("`{key}` {error}");
            sink.push(
                Finding::error(&text.site, message)
                    .key(key)
                    .help(error.help()),
            );
            None
        }
    }
}

/// A duration of a file; a bare number is refused with the way to write it.
pub(crate) fn duration_entry(
    entry: &Entry<'_>,
    zero: Zero,
    sink: &mut Sink,
) -> Option<Located<SpanMs>> {
    let key = entry.key;
    if let Some(n) = entry.value.get_ref().as_integer() {
        let n = n.as_str();
        let message = format!("`{key}` is a number without a unit");
        let help = if n.len() > 12 || n.starts_with('-') {
            format!("write it with its unit: `{key} = \"45m\"`")
        } else {
            format!(
                "write it with its unit: `{key} = \"{n}m\"` for minutes, `\"{n}s\"` for seconds"
            )
        };
        sink.push(Finding::error(&entry.site(), message).key(key).help(help));
        return None;
    }
    let text = entry.string("a duration such as \"45m\"", sink)?;
    duration(key, &text, zero, sink)
}

/// A whole number between two others.
pub(crate) fn count(
    key: &str,
    number: &Located<i64>,
    least: u32,
    most: u32,
    sink: &mut Sink,
) -> Option<Located<u32>> {
    let value = u32::try_from(number.value).ok();
    match value.filter(|n| (least..=most).contains(n)) {
        Some(value) => Some(Located {
            value,
            site: number.site.clone(),
        }),
        None => {
            let problem = format!("must be between {least} and {most}, not {}", number.value);
            refuse(key, &number.site, &problem, sink);
            None
        }
    }
}

/// A number of tokens; zero would be no budget at all.
pub(crate) fn tokens(key: &str, number: &Located<i64>, sink: &mut Sink) -> Option<Located<u64>> {
    match u64::try_from(number.value) {
        Ok(value) if value > 0 => Some(Located {
            value,
            site: number.site.clone(),
        }),
        _ => {
            let message = format!("`{key}` must be greater than zero, not {}", number.value);
            let help = "leave it out for no limit";
            sink.push(Finding::error(&number.site, message).key(key).help(help));
            None
        }
    }
}

/// An amount of money; zero would be no budget at all.
pub(crate) fn money(
    key: &str,
    number: &Located<f64>,
    sink: &mut Sink,
) -> Option<Located<MicroUsd>> {
    let usd = number.value;
    let problem = if !usd.is_finite() {
        format!("must be an amount of money, not {usd}")
    } else if usd < 0.0 {
        format!("must not be negative; it is {usd}")
    } else if usd < 0.000_001 {
        "must be at least a millionth of a dollar; leave it out for no limit".to_owned()
    } else if usd > MAX_USD {
        "must be at most a billion dollars".to_owned()
    } else {
        return Some(Located {
            value: MicroUsd::from_usd(usd),
            site: number.site.clone(),
        });
    };
    refuse(key, &number.site, &problem, sink);
    None
}

/// One variable of `env` with its value (T26).
pub(crate) fn variable(
    name: &str,
    name_site: &Site,
    value: Located<EnvValue>,
    sink: &mut Sink,
) -> Option<(String, Located<EnvValue>)> {
    let mut good = true;
    if let Some(problem) = bad_variable(name) {
        let message = format!("{} in `env` {problem}", quoted(name));
        sink.push(Finding::error(name_site, message).key("env"));
        good = false;
    }
    match &value.value {
        EnvValue::Literal(literal) => {
            if let Some(what) = looks_like_secret(name, literal) {
                sink.hide(&value.site);
                let message = format!("the value of {} in `env` looks like {what}", quoted(name));
                let help = format!(
                    "keep it out of the file: `{name} = {{ from = \"{name}\" }}` reads the variable when the session starts"
                );
                sink.push(Finding::error(&value.site, message).key("env").help(help));
                good = false;
            }
        }
        EnvValue::From { from } => {
            if let Some(problem) = bad_variable(from) {
                let message = format!("`from` {problem}");
                sink.push(Finding::error(&value.site, message).key("from"));
                good = false;
            }
        }
    }
    good.then(|| (name.to_owned(), value))
}
