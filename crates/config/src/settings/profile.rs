//! Profiles with what they inherit (S12): scalars override, lists append what is new, prompts join.

use std::collections::BTreeMap;

use longhaul_core::spec::Permission;
use longhaul_core::usage::MicroUsd;
use serde::{Deserialize, Serialize};

use super::tables::ProfileTable;
use crate::nearest::did_you_mean;

/// A profile, everything inherited in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "SETTING_KEYS documents every field")]
pub struct Profile {
    pub model: Option<String>,
    pub agent: Option<String>,
    pub allowed_tools: Vec<String>,
    pub disallowed_tools: Vec<String>,
    pub permission_mode: Option<Permission>,
    pub add_dirs: Vec<String>,
    pub max_budget_usd: Option<MicroUsd>,
    pub token_budget: Option<u64>,
    pub append_system_prompt: Option<String>,
    pub host: Option<String>,
}

/// What is wrong with a line of descent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadDescent {
    /// These profiles inherit from each other; the first is the least by name.
    Circle(Vec<String>),
    /// A parent that does not exist, with a suggestion.
    NoParent(String),
}

/// The profile with its ancestors.
pub(super) fn inherit(
    name: &str,
    tables: &BTreeMap<String, ProfileTable>,
) -> Result<Profile, BadDescent> {
    let mut line: Vec<(&str, &ProfileTable)> = Vec::new();
    let mut next = Some(name);
    while let Some(current) = next {
        if let Some(from) = line.iter().position(|(seen, _)| *seen == current) {
            let mut circle: Vec<String> =
                line[from..].iter().map(|(n, _)| (*n).to_owned()).collect();
            let least = (0..circle.len()).min_by_key(|n| &circle[*n]).unwrap_or(0);
            circle.rotate_left(least);
            return Err(BadDescent::Circle(circle));
        }
        let Some(table) = tables.get(current) else {
            let near = did_you_mean(current, tables.keys().map(String::as_str));
            let problem = format!("inherits from `{current}`, which does not exist{near}");
            return Err(BadDescent::NoParent(problem));
        };
        line.push((current, table));
        next = table.inherits.as_deref();
    }
    let mut profile = Profile::default();
    for (_, table) in line.iter().rev() {
        profile.add(table);
    }
    Ok(profile)
}

impl Profile {
    fn add(&mut self, child: &ProfileTable) {
        fn over<T: Clone>(scalar: &mut Option<T>, child: &Option<T>) {
            if child.is_some() {
                scalar.clone_from(child);
            }
        }
        fn append(list: &mut Vec<String>, child: &[String]) {
            for item in child {
                if !list.contains(item) {
                    list.push(item.clone());
                }
            }
        }
        over(&mut self.model, &child.model);
        over(&mut self.agent, &child.agent);
        over(&mut self.host, &child.host);
        over(&mut self.permission_mode, &child.permission_mode);
        over(&mut self.max_budget_usd, &child.max_budget_usd);
        over(&mut self.token_budget, &child.token_budget);
        append(&mut self.allowed_tools, &child.allowed_tools);
        append(&mut self.disallowed_tools, &child.disallowed_tools);
        append(&mut self.add_dirs, &child.add_dirs);
        if let Some(more) = &child.append_system_prompt {
            self.append_system_prompt = Some(match self.append_system_prompt.take() {
                Some(prompt) => format!("{prompt}\n\n{more}"),
                None => more.clone(),
            });
        }
    }
}
