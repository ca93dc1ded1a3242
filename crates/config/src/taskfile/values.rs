//! The keys of one `[[task]]`, of `[defaults]` or of the flags, typed, before they are put together.

use std::collections::BTreeMap;

use longhaul_core::spec::{
    CheckSpec, EnvValue, Expect, Land, OnDrift, Permission, Priority, Sandbox, WorkspaceKind,
};
use longhaul_core::time::SpanMs;
use longhaul_core::usage::MicroUsd;

use crate::diag::{Located, Site};

type Text = Option<Located<String>>;
type Texts = Option<Vec<Located<String>>>;

/// A check with where it stands and where its own parts stand.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CheckValues {
    /// The check; its name is empty until the task is put together.
    pub(super) spec: CheckSpec,
    /// Where it starts.
    pub(super) site: Site,
    /// Where its name stands.
    pub(super) name_site: Option<Site>,
    /// Where its budget stands.
    pub(super) budget_site: Option<Site>,
}

/// Every key; `None` = not given (or refused, which the sink knows).
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Values {
    pub(super) name: Text,
    /// A name was given but refused: not also "no name".
    pub(super) name_refused: bool,
    pub(super) prompt: Text,
    pub(super) prompt_file: Text,
    /// A prompt was given but refused: not also "no prompt".
    pub(super) prompt_refused: bool,
    pub(super) repo: Text,
    pub(super) dir: Text,
    pub(super) workspace: Option<Located<WorkspaceKind>>,
    pub(super) base: Text,
    pub(super) harness: Text,
    pub(super) profile: Text,
    pub(super) model: Text,
    pub(super) role: Text,
    pub(super) depends_on: Texts,
    pub(super) priority: Option<Located<Priority>>,
    pub(super) budget_usd: Option<Located<MicroUsd>>,
    pub(super) budget_tokens: Option<Located<u64>>,
    pub(super) timeout: Option<Located<SpanMs>>,
    pub(super) idle_timeout: Option<Located<SpanMs>>,
    pub(super) answer_timeout: Option<Located<SpanMs>>,
    pub(super) max_retries: Option<Located<u32>>,
    pub(super) max_restarts: Option<Located<u32>>,
    pub(super) on_drift: Option<Located<OnDrift>>,
    pub(super) land: Option<Located<Land>>,
    pub(super) land_check: Texts,
    pub(super) land_unverified: Option<Located<bool>>,
    pub(super) project: Text,
    pub(super) group: Text,
    pub(super) labels: Texts,
    pub(super) allow: Texts,
    pub(super) keep: Texts,
    pub(super) sandbox: Option<Located<Sandbox>>,
    pub(super) protect: Texts,
    pub(super) expect: Option<Located<Expect>>,
    pub(super) permission: Option<Located<Permission>>,
    pub(super) env: BTreeMap<String, Located<EnvValue>>,
    pub(super) env_pass: Texts,
    pub(super) setup: Text,
    pub(super) teardown: Text,
    pub(super) checks: Vec<CheckValues>,
}

impl Values {
    /// Whether a prompt of either kind is given, be it a refused one.
    pub(super) fn has_prompt(&self) -> bool {
        self.prompt.is_some() || self.prompt_file.is_some() || self.prompt_refused
    }

    /// Fills what is missing from `[defaults]`: whole keys, except that `env` is filled variable by
    /// variable. Prompts can be large and are not copied here.
    pub(super) fn inherit(&mut self, defaults: &Self) {
        macro_rules! fill {
            ($($field:ident),+ $(,)?) => {
                $(if self.$field.is_none() {
                    self.$field.clone_from(&defaults.$field);
                })+
            };
        }
        fill!(
            repo,
            dir,
            workspace,
            base,
            harness,
            profile,
            model,
            role,
            depends_on,
            priority,
            budget_usd,
            budget_tokens,
            timeout,
            idle_timeout,
            answer_timeout,
            max_retries,
            max_restarts,
            on_drift,
            land,
            land_check,
            land_unverified,
            project,
            group,
            labels,
            allow,
            keep,
            sandbox,
            protect,
            expect,
            permission,
            env_pass,
            setup,
            teardown,
        );
        for (name, value) in &defaults.env {
            self.env
                .entry(name.clone())
                .or_insert_with(|| value.clone());
        }
        if self.checks.is_empty() {
            self.checks.clone_from(&defaults.checks);
        }
    }
}
