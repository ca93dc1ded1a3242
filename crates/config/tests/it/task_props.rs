//! Properties of the task file: nothing panics, what is written is read back.

use std::collections::BTreeMap;

use longhaul_config::taskfile::{DepRef, ParsedTaskFile, TaskDraft, to_toml};
use longhaul_core::spec::{
    CheckKind, CheckSpec, EnvValue, Expect, Land, OnDrift, Permission, Priority, Sandbox,
    WorkspaceKind,
};
use longhaul_core::time::SpanMs;
use longhaul_core::usage::MicroUsd;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::world::World;

/// Text with quotes, escapes, line ends and other scripts, never empty.
fn text() -> impl Strategy<Value = String> {
    "[ -~\\n\\t\"'\\\\é漢😀]{0,40}[a-z]".prop_map(|s| s.replace("sk-", "sk "))
}

fn label() -> impl Strategy<Value = String> {
    "[a-zA-Zé漢][a-zA-Z0-9 é'\"]{0,20}"
}

fn span(least: u64) -> impl Strategy<Value = SpanMs> {
    (least..=longhaul_config::duration::MAX.0).prop_map(SpanMs)
}

fn money() -> impl Strategy<Value = MicroUsd> {
    (1_u64..=1_000_000_000_000_000).prop_map(MicroUsd)
}

fn kind() -> impl Strategy<Value = CheckKind> {
    prop_oneof![
        text().prop_map(|command| CheckKind::Run { command }),
        (
            text(),
            option::of(Just("local".to_owned())),
            option::of(money())
        )
            .prop_map(|(criterion, model, budget)| CheckKind::Model {
                criterion,
                model,
                budget
            }),
        (
            text(),
            option::of(Just("codex".to_owned())),
            option::of("[a-z0-9.:/-]{0,8}[a-z]".prop_filter("no flag", |m| !m.starts_with('-')))
        )
            .prop_map(|(instructions, harness, model)| CheckKind::Agent {
                instructions,
                harness,
                model,
                budget: None
            }),
    ]
}

fn checks() -> impl Strategy<Value = Vec<CheckSpec>> {
    vec((kind(), span(1), 0..=20_u8), 0..3).prop_map(|all| {
        let spec = |(n, (kind, timeout, retry_flaky))| CheckSpec {
            name: format!("c{n}"),
            kind,
            timeout,
            retry_flaky,
        };
        all.into_iter().enumerate().map(spec).collect()
    })
}

fn env() -> impl Strategy<Value = BTreeMap<String, EnvValue>> {
    let value = prop_oneof![
        "[a-z \"\\\\\\n=]{0,12}".prop_map(EnvValue::Literal),
        "[A-Z_]{1,6}".prop_map(|from| EnvValue::From { from }),
    ];
    btree_map("[A-Z][A-Z0-9_]{0,6}", value, 0..3)
}

prop_compose! {
    fn words()(
        workspace in prop_oneof![Just(WorkspaceKind::Worktree), Just(WorkspaceKind::InPlace)],
        priority in prop_oneof![Just(Priority::Low), Just(Priority::Normal), Just(Priority::High), Just(Priority::Critical)],
        on_drift in prop_oneof![Just(OnDrift::Ask), Just(OnDrift::Warn)],
        sandbox in prop_oneof![Just(Sandbox::Write), Just(Sandbox::Off)],
        expect in prop_oneof![Just(Expect::Change), Just(Expect::Any)],
        permission in prop_oneof![Just(Permission::Edits), Just(Permission::Bypass)],
    ) -> (WorkspaceKind, Priority, OnDrift, Sandbox, Expect, Permission) {
        (workspace, priority, on_drift, sandbox, expect, permission)
    }
}

prop_compose! {
    fn draft()(
        prompt in text(),
        repo in option::of("/[a-z ]{0,10}[a-z]"),
        dir in option::of("[a-z]{1,4}/[a-z .]{0,4}[a-z]"),
        base in option::of("[a-z][a-z0-9/]{0,6}[a-z]".prop_filter("parts", |b| !b.contains("//"))),
        harness in prop_oneof![Just("auto"), Just("claude"), Just("codex")],
        texts in (option::of("[a-z][a-z0-9-]{0,8}"), option::of("[a-z]{1,5}"), option::of(label()), option::of(label()), option::of(text()), option::of(text())),
        words in words(),
        budget in option::of(money()),
        budget_tokens in option::of(1..=i64::MAX as u64),
        spans in (span(1), span(1), span(0)),
        counts in (0..=1000_u32, 0..=1000_u32),
        lists in (vec(label(), 0..3), vec(text(), 0..3), vec("[a-z*]{1,6}", 0..3), vec("[a-z*?]{1,6}", 0..3)),
        env in env(),
        checks in checks(),
    ) -> TaskDraft {
        let (workspace, priority, on_drift, sandbox, expect, permission) = words;
        let (model, role, project, group, setup, teardown) = texts;
        let in_place = workspace == WorkspaceKind::InPlace;
        let (labels, allow, keep, protect) = lists;
        TaskDraft {
            name: String::new(),
            prompt,
            repo: repo.map(Into::into),
            dir: dir.map(Into::into),
            workspace,
            base: base.filter(|_| !in_place),
            harness: harness.to_owned(),
            profile: Some("careful".to_owned()),
            model,
            role,
            depends_on: Vec::new(),
            priority,
            budget,
            budget_tokens,
            timeout: spans.0,
            idle_timeout: spans.1,
            answer_timeout: spans.2,
            max_retries: counts.0,
            max_restarts: counts.1,
            on_drift,
            land: Land::No,
            land_checks: vec![],
            land_unverified: false,
            project,
            group,
            labels,
            allow,
            keep,
            sandbox,
            protect,
            expect,
            permission,
            env,
            env_pass: vec!["lower_case".to_owned()],
            setup,
            teardown: teardown.filter(|_| !in_place),
            checks,
        }
    }
}

/// Drafts named by their index, each depending on some of those before it.
fn drafts() -> impl Strategy<Value = Vec<TaskDraft>> {
    vec((draft(), any::<u8>()), 1..4).prop_map(|all| {
        let named = |(n, (draft, bits)): (usize, (TaskDraft, u8))| {
            let in_file = (0..n).filter(|k| bits >> k & 1 == 1).map(DepRef::InFile);
            let stored = (bits & 128 != 0).then(|| DepRef::Stored("old-task".to_owned()));
            TaskDraft {
                name: format!("task-{n}"),
                depends_on: in_file.chain(stored).collect(),
                ..draft
            }
        };
        all.into_iter().enumerate().map(named).collect()
    })
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..400)) {
        if let Err(diagnostics) = World::default().parse(&bytes) {
            prop_assert!(!diagnostics.render(false).is_empty());
        }
    }

    #[test]
    fn no_nearly_right_text_panics(
        lines in vec(prop_oneof![
            Just("[[task]]".to_owned()), Just("[defaults]".to_owned()), Just("[task]".to_owned()),
            Just("[[task.check]]".to_owned()), Just("[task.env]".to_owned()),
            "(name|prompt|run|model|agent|timeout|dir|env|depends_on|budget_usd|land|keep) = [\\[\\]{}\"'a-z0-9.,=-]{0,12}",
            "[a-z_]{1,8} = (1|nan|\"x\"|\\[\\]|\\{\\}|true|2020-01-01)",
            "\\PC{0,20}",
        ], 0..20),
        newline in prop_oneof![Just("\n"), Just("\r\n")],
    ) {
        let text = lines.join(newline);
        match World::default().parse(text.as_bytes()) {
            Ok(parsed) => prop_assert!(!parsed.notes.has_errors()),
            Err(diagnostics) => {
                prop_assert!(diagnostics.has_errors());
                let shown = diagnostics.render(true);
                let turned = shown.contains('\u{202e}');
                prop_assert!(!turned);
            }
        }
    }

    #[test]
    fn what_is_written_is_read_back(drafts in drafts()) {
        let text = to_toml(&drafts);
        let parsed = World::default().parse(text.as_bytes());
        let ParsedTaskFile { tasks, notes, .. } = parsed.map_err(|d| {
            TestCaseError::fail(format!("{}\n{text}", d.render(false)))
        })?;
        prop_assert!(notes.is_empty());
        prop_assert_eq!(tasks, drafts);
    }
}
