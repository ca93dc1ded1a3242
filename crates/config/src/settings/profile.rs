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
}

/// The profile with its ancestors, or what is wrong with its line of descent.
pub(super) fn inherit(
    name: &str,
    tables: &BTreeMap<String, ProfileTable>,
) -> Result<Profile, String> {
    let mut line: Vec<(&str, &ProfileTable)> = Vec::new();
    let mut next = Some(name);
    while let Some(current) = next {
        if line.iter().any(|(seen, _)| *seen == current) {
            let mut chain: Vec<&str> = line.iter().map(|(seen, _)| *seen).collect();
            chain.push(current);
            return Err(format!("inherits from itself: {}", chain.join(" → ")));
        }
        let Some(table) = tables.get(current) else {
            let near = did_you_mean(current, tables.keys().map(String::as_str));
            return Err(format!(
                "inherits from `{current}`, which does not exist{near}"
            ));
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
