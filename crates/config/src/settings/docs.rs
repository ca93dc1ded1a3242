//! docs/configuration.md, made from the table of keys.

use std::fmt::Write as _;

use super::key_table::SETTING_KEYS;
use super::keys::SettingKey;
use crate::env_names;

/// The text of docs/configuration.md.
#[must_use]
pub fn markdown() -> String {
    let mut out = String::from(include_str!("docs_head.md"));
    let mut group = None;
    for key in &SETTING_KEYS {
        let own = table_of(key);
        if group != Some(own) {
            out.push_str(&heading(own));
            out.push_str("| key | type | default | a repository may set it | meaning |\n|---|---|---|---|---|\n");
            group = Some(own);
        }
        let name = key.pattern.strip_prefix(own).unwrap_or(key.pattern);
        let default = key.default.map_or(String::new(), |d| format!("`{d}`"));
        let SettingKey {
            kind, guard, about, ..
        } = key;
        let row = writeln!(
            out,
            "| `{}` | {} | {default} | {} | {about} |",
            name.trim_start_matches('.'),
            kind.words(),
            guard.words(),
        );
        row.expect("writing to a String cannot fail");
    }
    out.push_str("\n## Environment variables\n\nEach sets the key beside it; lists are separated by commas.\n\n| variable | key |\n|---|---|\n");
    for (name, key) in env_names::SETTINGS {
        out.push_str(&format!("| `{name}` | `{key}` |\n"));
    }
    out
}

/// The table a key stands in: everything before its last part, or before the last `NAME.…`.
fn table_of(key: &SettingKey) -> &'static str {
    let pattern = key.pattern;
    match pattern.find("NAME.") {
        Some(at) => &pattern[..at + 4],
        None => pattern.rsplit_once('.').map_or("", |(table, _)| table),
    }
}

fn heading(table: &str) -> String {
    if table.is_empty() {
        return "\n## Keys at the top\n\n".to_owned();
    }
    format!("\n## `[{table}]`\n\n")
}
