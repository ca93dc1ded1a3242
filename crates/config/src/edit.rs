//! Changing single values of a settings file, with everything else in it left as it is: comments, order, layout.

use toml_edit::{DocumentMut, Item, Table, value};

/// Why a file is not changed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It is no TOML.
    #[error("it is not valid TOML: {0}")]
    Syntax(String),
    /// A part of the path is there and is no table.
    #[error("`{0}` is not a table")]
    NotATable(String),
}

/// A value to set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewValue {
    /// A text.
    Text(String),
    /// Yes or no.
    Flag(bool),
    /// A whole number.
    Count(u32),
}

/// A settings file that is being changed.
#[derive(Clone, Debug)]
pub struct SettingsText(DocumentMut);

impl SettingsText {
    /// Reads it; nothing is an empty file.
    ///
    /// # Errors
    /// It is no TOML.
    pub fn parse(text: &str) -> Result<Self, EditError> {
        let parsed = text.parse::<DocumentMut>();
        let parsed = parsed.map_err(|e| EditError::Syntax(e.message().to_owned()))?;
        Ok(Self(parsed))
    }

    /// Sets the value at a path, with the tables on the way to it.
    ///
    /// # Errors
    /// Something on the way is no table.
    pub fn set(&mut self, path: &[&str], new: NewValue) -> Result<(), EditError> {
        let Some((last, tables)) = path.split_last() else {
            return Ok(());
        };
        let mut table: &mut Table = self.0.as_table_mut();
        for (n, name) in tables.iter().enumerate() {
            let item = table.entry(name).or_insert_with(|| {
                let mut made = Table::new();
                // `[account.work]` needs no `[account]` before it.
                made.set_implicit(n + 1 < tables.len());
                Item::Table(made)
            });
            if let Item::Value(toml_edit::Value::InlineTable(inline)) = item {
                *item = Item::Table(std::mem::take(inline).into_table());
            }
            let not = || EditError::NotATable(path[..=n].join("."));
            table = item.as_table_mut().ok_or_else(not)?;
        }
        let new = match new {
            NewValue::Text(text) => value(text),
            NewValue::Flag(yes) => value(yes),
            NewValue::Count(n) => value(i64::from(n)),
        };
        match table.get_mut(last) {
            // Its comment stays.
            Some(Item::Value(old)) => {
                let decor = old.decor().clone();
                if let Item::Value(mut new) = new {
                    *new.decor_mut() = decor;
                    *old = new;
                }
            }
            _ => {
                table.insert(last, new);
            }
        }
        Ok(())
    }

    /// Takes a value or a whole table away; false if it was not there.
    pub fn remove(&mut self, path: &[&str]) -> bool {
        let Some((last, tables)) = path.split_last() else {
            return false;
        };
        let mut table: &mut dyn toml_edit::TableLike = self.0.as_table_mut();
        for name in tables {
            let Some(next) = table.get_mut(name).and_then(Item::as_table_like_mut) else {
                return false;
            };
            table = next;
        }
        table.remove(last).is_some()
    }
}

impl std::fmt::Display for SettingsText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(s: &str) -> NewValue {
        NewValue::Text(s.to_owned())
    }

    #[test]
    fn everything_else_stays_as_it_was() {
        let before =
            "# mine\nconcurrency = 2 # few\n\n[account.work]\nprovider = \"openai\" # theirs\n";
        let mut file = SettingsText::parse(before).unwrap();
        file.set(&["account", "work", "enabled"], NewValue::Flag(false))
            .unwrap();
        file.set(&["account", "work", "provider"], text("gemini"))
            .unwrap();
        file.set(&["account", "new", "key", "env"], text("A\"B"))
            .unwrap();
        file.set(&["accounts", "use"], text("work")).unwrap();
        let after = file.to_string();
        assert_eq!(
            after,
            "# mine\nconcurrency = 2 # few\n\n[account.work]\nprovider = \"gemini\" # theirs\nenabled = false\n\
             \n[account.new.key]\nenv = 'A\"B'\n\n[accounts]\nuse = \"work\"\n"
        );
        assert!(file.remove(&["account", "new"]));
        assert!(!file.remove(&["account", "new"]));
        assert!(file.remove(&["accounts", "use"]));
        assert!(!file.to_string().contains("A\"B"));
    }

    #[test]
    fn what_is_no_table_is_not_overwritten() {
        let mut file = SettingsText::parse("account = 3\n[x]\ny = { z = 1 }\n").unwrap();
        let refused = file.set(&["account", "work", "provider"], text("openai"));
        assert_eq!(refused, Err(EditError::NotATable("account".to_owned())));
        file.set(&["x", "y", "w"], NewValue::Count(2)).unwrap();
        assert!(file.to_string().contains("w = 2"));
        assert!(matches!(
            SettingsText::parse("a ="),
            Err(EditError::Syntax(_))
        ));
    }
}
