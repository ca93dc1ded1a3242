//! From bytes to a TOML tree with spans, and from its nodes to plain values: types only, no meaning.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diag::{Diagnostics, Finding, Located, Sink, Site, Source, quoted};
use crate::nearest::nearest;

/// Bytes as text: UTF-8, an optional byte order mark left out, at most `limit` bytes.
pub(crate) fn decode<'a>(
    name: &str,
    bytes: &'a [u8],
    limit: usize,
) -> Result<&'a str, Diagnostics> {
    let refuse = |message: String, help: &str| {
        let mut sink = Sink::default();
        sink.push(Finding::error_anywhere(message).key(name).help(help));
        sink.finish(None)
    };
    if bytes.len() > limit {
        let message = format!(
            "the file has {} bytes; at most {limit} are read",
            bytes.len()
        );
        return Err(refuse(
            message,
            "move long prompts to files of their own (`prompt_file`)",
        ));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(refuse("the file is UTF-16".to_owned(), "save it as UTF-8"));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        let text = String::from_utf8_lossy(bytes);
        let source = Source::new(name, &text);
        let mut sink = Sink::default();
        let byte = bytes.get(at).copied().unwrap_or_default();
        sink.push(
            Finding::error(
                &Site::Span(at..at + 1),
                format!("not UTF-8: byte 0x{byte:02x}"),
            )
            .help("save the file as UTF-8"),
        );
        sink.finish(Some(&source))
    })
}

/// The tree of a text; every syntax error of it goes to the sink.
pub(crate) fn tree<'a>(source: &Source<'a>, sink: &mut Sink) -> DeTable<'a> {
    let (table, errors) = DeTable::parse_recoverable(source.text());
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let message = match (error.message().trim_end(), source.text().get(span.clone())) {
            ("duplicate key", Some(key)) => format!("duplicate key {}", quoted(key)),
            (message, _) => message.to_owned(),
        };
        sink.push(Finding::error(&Site::Span(span), message));
    }
    table.into_inner()
}

/// One key of a table with its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'t> {
    pub(crate) key: &'t str,
    key_at: &'t Spanned<Cow<'t, str>>,
    pub(crate) value: &'t Spanned<DeValue<'t>>,
}

impl<'t> Entry<'t> {
    /// Where the key stands.
    pub(crate) fn key_site(&self) -> Site {
        Site::Span(self.key_at.span())
    }

    /// What a copy of the value costs in bytes, about.
    pub(crate) fn weight(&self) -> usize {
        weight(self.value)
    }

    /// Where the value stands.
    pub(crate) fn site(&self) -> Site {
        Site::Span(self.value.span())
    }

    /// Reports that this key is none of `known`; gives the one that was meant, if one is near enough:
    /// whoever would miss that key says nothing more.
    pub(crate) fn unknown<'k>(
        &self,
        what: &str,
        known: impl IntoIterator<Item = &'k str>,
        sink: &mut Sink,
    ) -> Option<&'k str> {
        let known: Vec<&'k str> = known.into_iter().collect();
        let meant = nearest(self.key, known.iter().copied());
        let near = meant.map_or_else(String::new, |k| format!("; did you mean `{k}`?"));
        let message = format!("unknown key {} in {what}{near}", quoted(self.key));
        let mut finding = Finding::error(&self.key_site(), message).key(self.key);
        if near.is_empty() && known.len() <= 16 {
            finding = finding.help(format!("known keys: {}", known.join(", ")));
        }
        sink.push(finding);
        meant
    }

    /// Reports that the value has the wrong type.
    pub(crate) fn wrong_type(&self, wanted: &str, sink: &mut Sink) {
        sink.push(self.mistyped(wanted));
    }

    /// The finding for a value of the wrong type, to add help to.
    pub(crate) fn mistyped(&self, wanted: &str) -> Finding {
        let key = self.key;
        let found = type_word(self.value.get_ref());
        Finding::error(
            &self.site(),
            format!("`{key}` must be {wanted}, not {found}"),
        )
        .key(key)
    }

    /// A string. Strings with a NUL are refused: none can be passed to a program.
    pub(crate) fn string(&self, wanted: &str, sink: &mut Sink) -> Option<Located<String>> {
        let text = match self.value.get_ref() {
            DeValue::String(text) => text,
            DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => {
                self.wrong_type(wanted, sink);
                return None;
            }
        };
        without_nul(self.key, text, self.site(), sink)
    }

    /// An integer.
    pub(crate) fn integer(&self, sink: &mut Sink) -> Option<Located<i64>> {
        let site = self.site();
        let key = self.key;
        match self.value.get_ref() {
            DeValue::Integer(n) => {
                let value = i64::from_str_radix(n.as_str(), n.radix()).ok();
                if value.is_none() {
                    let message = format!("`{key}` does not fit a 64-bit integer");
                    sink.push(Finding::error(&site, message).key(key));
                }
                value.map(|value| Located { value, site })
            }
            DeValue::Float(_) => {
                sink.push(self.mistyped("a whole number"));
                None
            }
            DeValue::String(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => {
                self.wrong_type("a whole number", sink);
                None
            }
        }
    }

    /// A number, whole or not.
    pub(crate) fn number(&self, sink: &mut Sink) -> Option<Located<f64>> {
        let value = match self.value.get_ref() {
            DeValue::Integer(n) => i64::from_str_radix(n.as_str(), n.radix())
                .ok()
                .map(|n| n as f64),
            DeValue::Float(n) => n.as_str().parse().ok(),
            DeValue::String(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => {
                self.wrong_type("a number", sink);
                return None;
            }
        };
        if value.is_none() {
            let message = format!("`{}` is not a number that can be represented", self.key);
            sink.push(Finding::error(&self.site(), message).key(self.key));
        }
        value.map(|value| Located {
            value,
            site: self.site(),
        })
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self, sink: &mut Sink) -> Option<Located<bool>> {
        let value = self.value.get_ref().as_bool();
        if value.is_none() {
            self.wrong_type("true or false", sink);
        }
        value.map(|value| Located {
            value,
            site: self.site(),
        })
    }

    /// A list of strings; each element keeps its own place.
    pub(crate) fn strings(&self, sink: &mut Sink) -> Option<Vec<Located<String>>> {
        let key = self.key;
        let wanted = "a list of strings";
        let Some(array) = self.value.get_ref().as_array() else {
            let mut finding = self.mistyped(wanted);
            if let Some(text) = self.value.get_ref().as_str() {
                finding = finding.help(format!("in brackets: `{key} = [{text:?}]`"));
            }
            sink.push(finding);
            return None;
        };
        let mut all = Vec::with_capacity(array.len());
        let mut whole = true;
        for item in array.iter() {
            let site = Site::Span(item.span());
            let text = item.get_ref().as_str();
            if let Some(text) = text {
                match without_nul(key, text, site, sink) {
                    Some(text) => all.push(text),
                    None => whole = false,
                }
            } else {
                let found = type_word(item.get_ref());
                let message = format!("`{key}` must be {wanted}; this is {found}");
                sink.push(Finding::error(&site, message).key(key));
                whole = false;
            }
        }
        whole.then_some(all)
    }

    /// A table's entries.
    pub(crate) fn table(&self, wanted: &str, sink: &mut Sink) -> Option<Vec<Entry<'t>>> {
        let table = self.value.get_ref().as_table();
        if table.is_none() {
            self.wrong_type(wanted, sink);
        }
        table.map(entries)
    }

    /// The tables of `[[key]]`, each with its own place.
    pub(crate) fn tables(&self, header: &str, sink: &mut Sink) -> Vec<(Site, Vec<Entry<'t>>)> {
        let key = self.key;
        let mut all = Vec::new();
        let array = match self.value.get_ref() {
            DeValue::Array(array) => array,
            DeValue::Table(_) => {
                let message = format!("`{key}` is a single table");
                let help = format!("two brackets: `[[{header}]]`");
                sink.push(
                    Finding::error(&self.key_site(), message)
                        .key(key)
                        .help(help),
                );
                return all;
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {
                let help = format!("each as `[[{header}]]` with keys below it");
                sink.push(self.mistyped("a list of tables").help(help));
                return all;
            }
        };
        for item in array.iter() {
            let site = Site::Span(item.span());
            if let Some(table) = item.get_ref().as_table() {
                all.push((site, entries(table)));
            } else {
                let found = type_word(item.get_ref());
                let message = format!("`{key}` must be a list of tables; this is {found}");
                sink.push(Finding::error(&site, message).key(key));
            }
        }
        all
    }
}

/// How many bytes of the text a value's scalars and keys take: what a copy of it costs.
fn weight(value: &Spanned<DeValue<'_>>) -> usize {
    match value.get_ref() {
        DeValue::Table(table) => table
            .iter()
            .map(|(key, value)| key.get_ref().len() + weight(value))
            .sum(),
        DeValue::Array(array) => array.iter().map(weight).sum(),
        DeValue::String(text) => text.len() + 1,
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => 1,
    }
}

/// The entries of a table in the order of the text.
pub(crate) fn entries<'t>(table: &'t DeTable<'t>) -> Vec<Entry<'t>> {
    let mut all: Vec<Entry<'t>> = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().as_ref(),
            key_at: key,
            value,
        })
        .collect();
    all.sort_by_key(|e| e.key_at.span().start);
    all
}

fn without_nul(key: &str, text: &str, site: Site, sink: &mut Sink) -> Option<Located<String>> {
    if text.contains('\0') {
        let message = format!("`{key}` contains a NUL character");
        sink.push(Finding::error(&site, message).key(key));
        return None;
    }
    Some(Located {
        value: text.to_owned(),
        site,
    })
}

fn type_word(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
