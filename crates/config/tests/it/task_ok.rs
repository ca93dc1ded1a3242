//! Task files that are right: defaults, spellings, paths, dependencies.

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_config::taskfile::{
    DepRef, DiskFiles, HarnessInfo, Resolution, SpecError, TaskFlags, draft_from_flags, scaffold,
};
use longhaul_core::ids::TaskId;
use longhaul_core::queue::MergeStyle;
use longhaul_core::spec::{
    CheckKind, CommitMode, EnvValue, Expect, Permission, Sandbox, WorkspaceKind,
};
use longhaul_core::time::SpanMs;
use longhaul_core::usage::MicroUsd;

use super::world::World;

#[test]
fn the_defaults_are_those_of_the_table() {
    let parsed = World::default()
        .parse(b"\xef\xbb\xbf[[task]]\r\nname = \"a\"\r\nprompt = \"Do it.\"\r\n")
        .unwrap();
    let task = &parsed.tasks[0];
    assert_eq!(task.timeout, SpanMs::from_secs(45 * 60));
    assert_eq!(task.idle_timeout, SpanMs::from_secs(600));
    assert_eq!(task.answer_timeout, SpanMs::from_secs(60));
    assert_eq!((task.max_retries, task.max_restarts), (2, 5));
    assert_eq!(task.permission, Permission::Edits);
    assert_eq!(task.workspace, WorkspaceKind::Worktree);
    assert_eq!(task.sandbox, Sandbox::Write);
    assert_eq!(task.expect, Expect::Change);
    assert_eq!(task.harness, "auto");
    assert_eq!(task.repo, None);
    assert!(task.checks.is_empty());
    assert!(parsed.notes.is_empty());
}

#[test]
fn defaults_of_the_file_fill_what_a_task_leaves_out() {
    let text = r#"
        [defaults]
        timeout = "1h"
        base = "main"
        labels = ["x"]
        env = { A = "1", B = "2" }
        [[defaults.check]]
        run = "make"
        [[task]]
        name = "a"
        prompt = "x"
        env = { B = "3" }
        [[task]]
        name = "b"
        prompt_file = "prompts/ok.md"
        workspace = "in-place"
        labels = []
        [[task.check]]
        name = "own"
        model = "good?"
        judge = "local"
        budget_usd = 0.25
    "#;
    let parsed = World::default().parse(text.as_bytes()).unwrap();
    let [a, b] = &parsed.tasks[..] else {
        panic!("two tasks")
    };
    assert_eq!(a.timeout, SpanMs::from_secs(3600));
    assert_eq!(a.base.as_deref(), Some("main"));
    assert_eq!(a.env["A"], EnvValue::Literal("1".into()));
    assert_eq!(a.env["B"], EnvValue::Literal("3".into()));
    assert_eq!(a.checks[0].name, "check-1");
    assert_eq!(a.checks[0].timeout, SpanMs::from_secs(900));
    assert_eq!(b.prompt, "From a file.\n");
    assert_eq!(b.base, None, "in-place leaves an inherited base out");
    assert_eq!(b.expect, Expect::Any);
    assert!(b.labels.is_empty());
    assert_eq!(b.checks.len(), 1);
    let budget = Some(MicroUsd(250_000));
    let model = Some("local".to_owned());
    assert_eq!(
        b.checks[0].kind,
        CheckKind::Model {
            criterion: "good?".into(),
            model,
            budget
        }
    );
}

#[test]
fn other_tools_spellings_are_read_and_noted() {
    let text = r#"
        [[task]]
        name = "a"
        prompt = "x"
        cwd = "crates/api"
        timeout_min = 1.5
        [[task.verify]]
        brain = "Is it good?"
    "#;
    let parsed = World::default().parse(text.as_bytes()).unwrap();
    let task = &parsed.tasks[0];
    assert_eq!(task.dir.as_deref(), Some(Utf8Path::new("crates/api")));
    assert_eq!(task.timeout, SpanMs::from_secs(90));
    assert!(
        matches!(&task.checks[0].kind, CheckKind::Model { criterion, .. } if criterion == "Is it good?")
    );
    insta::assert_snapshot!(parsed.notes.render(false));
}

#[test]
fn dependencies_point_into_the_file_or_are_left_to_the_caller() {
    let text = r#"
        [[task]]
        name = "c"
        prompt = "x"
        depends_on = ["b", "old-task"]
        [[task]]
        name = "b"
        prompt = "x"
        depends_on = ["a"]
        [[task]]
        name = "a"
        prompt = "x"
    "#;
    let parsed = World::default().parse(text.as_bytes()).unwrap();
    let wanted = [DepRef::InFile(1), DepRef::Stored("old-task".into())];
    assert_eq!(parsed.tasks[0].depends_on, wanted);
    assert_eq!(parsed.order, [2, 1, 0]);
    let offline = World {
        stored: None,
        ..World::default()
    };
    let text = text
        .replace("old-task", "aa")
        .replace("name = \"a\"", "name = \"aaa\"")
        .replace("[\"a\"]", "[\"aaa\"]");
    let parsed = offline.parse(text.as_bytes()).unwrap();
    insta::assert_snapshot!(parsed.notes.render(false));
}

#[test]
fn paths_are_resolved_against_the_file() {
    let text = "[[task]]\nname = \"a\"\nprompt = \"x\"\nrepo = \"../other\"\n[[task]]\nname = \"b\"\nprompt = \"x\"\nrepo = \"/abs\"\n";
    let parsed = World::default().parse(text.as_bytes()).unwrap();
    assert_eq!(
        parsed.tasks[0].repo,
        Some(Utf8PathBuf::from("/repo/../other"))
    );
    assert_eq!(parsed.tasks[1].repo, Some(Utf8PathBuf::from("/abs")));
}

#[test]
fn a_prompt_of_a_mebibyte_works_either_way() {
    let world = World::default();
    let text = "[[task]]\nname = \"a\"\nprompt_file = \"prompts/mib.md\"\n";
    assert_eq!(
        world.parse(text.as_bytes()).unwrap().tasks[0].prompt.len(),
        1 << 20
    );
    let text = format!(
        "[[task]]\nname = \"a\"\nprompt = \"{}\"\n",
        "y".repeat(1 << 20)
    );
    assert_eq!(
        world.parse(text.as_bytes()).unwrap().tasks[0].prompt.len(),
        1 << 20
    );
}

#[test]
fn prompt_files_come_from_disk_too() {
    use longhaul_config::taskfile::PromptFiles as _;
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(dir.path()).unwrap().join("p.md");
    std::fs::write(&path, "hello").unwrap();
    assert_eq!(DiskFiles.read(&path).unwrap(), b"hello");
}

#[test]
fn aliases_lead_to_the_one_name() {
    let text =
        "[[task]]\nname = \"a\"\nprompt = \"x\"\nharness = \"claude-code\"\nbudget_usd = 5\n";
    let parsed = World::default().parse(text.as_bytes()).unwrap();
    assert_eq!(parsed.tasks[0].harness, "claude");
    assert_eq!(parsed.tasks[0].budget, Some(MicroUsd(5_000_000)));
}

#[test]
fn beside_agent_model_is_the_reviewers_model() {
    let text = "[[task]]\nname = \"a\"\nprompt = \"x\"\n[[task.check]]\nagent = \"Look closely.\"\nmodel = \"opus\"\nharness = \"claude\"\nbudget_usd = 1\n";
    let parsed = World::default().parse(text.as_bytes()).unwrap();
    let wanted = CheckKind::Agent {
        instructions: "Look closely.".into(),
        harness: Some("claude".into()),
        model: Some("opus".into()),
        budget: Some(MicroUsd(1_000_000)),
    };
    assert_eq!(parsed.tasks[0].checks[0].kind, wanted);
}

#[test]
fn the_scaffold_is_valid_as_it_stands() {
    let parsed = World::default().parse(scaffold().as_bytes()).unwrap();
    assert_eq!(parsed.tasks.len(), 1);
    assert!(parsed.notes.is_empty());
}

fn resolution(harness: &str, cost_known: bool) -> Resolution {
    Resolution {
        repo: "/repo".into(),
        base: Some("main".into()),
        harness: HarnessInfo {
            name: harness.into(),
            cost_known,
        },
        depends_on: Vec::new(),
        commit: CommitMode::Auto,
        merge_style: MergeStyle::Rebase,
        task_file: Some("/repo/tasks.toml".into()),
        caller_env: [("PATH".to_owned(), "/bin".to_owned())].into(),
    }
}

#[test]
fn i10_with_auto_the_budget_meets_the_harness_at_submit() {
    let text = b"[[task]]\nname = \"a\"\nprompt = \"x\"\nbudget_usd = 5\ndepends_on = []\n";
    let draft = World::default().parse(text).unwrap().tasks.remove(0);
    let spec = draft.clone().into_spec(resolution("claude", true)).unwrap();
    assert_eq!(
        (spec.harness.as_str(), spec.base.as_deref()),
        ("claude", Some("main"))
    );
    assert_eq!(spec.merge_style, Some(MergeStyle::Rebase));
    let refused = draft.clone().into_spec(resolution("gemini", false));
    assert!(matches!(refused, Err(SpecError::CostUnknown { .. })));
    let refused = draft.clone().into_spec(resolution("auto", true));
    assert!(matches!(refused, Err(SpecError::HarnessNotResolved { .. })));
    let mut odd = resolution("claude", true);
    odd.depends_on.push(TaskId::new(1, [0; 10]));
    assert!(matches!(
        draft.into_spec(odd),
        Err(SpecError::DependencyCount {
            wanted: 0,
            given: 1,
            ..
        })
    ));
}

#[test]
fn flags_make_the_same_task_as_the_file() {
    let world = World::default();
    let flags = TaskFlags {
        name: Some("a".into()),
        prompt: Some("x".into()),
        harness: Some("claude-code".into()),
        timeout: Some("1h".into()),
        budget_usd: Some(5.0),
        max_retries: Some(1),
        labels: vec!["l".into()],
        env: vec!["A=b=c".into()],
        check_run: vec!["make".into()],
        check_model: vec!["Good?".into()],
        depends_on: vec!["old-task".into()],
        permission: Some("bypass".into()),
        ..TaskFlags::default()
    };
    let folder = Utf8Path::new("/repo");
    let made = world.with(|c| draft_from_flags(&flags, folder, c)).unwrap();
    let text = r#"
        [[task]]
        name = "a"
        prompt = "x"
        harness = "claude"
        timeout = "1h"
        budget_usd = 5.0
        max_retries = 1
        labels = ["l"]
        env = { A = "b=c" }
        depends_on = ["old-task"]
        permission = "bypass"
        [[task.check]]
        run = "make"
        [[task.check]]
        model = "Good?"
    "#;
    assert_eq!(made.draft, world.parse(text.as_bytes()).unwrap().tasks[0]);
}

#[test]
fn wrong_flags_are_named_all_at_once() {
    let flags = TaskFlags {
        name: Some("a b".into()),
        harness: Some("cluade".into()),
        timeout: Some("45".into()),
        max_retries: Some(-1),
        budget_usd: Some(f64::NAN),
        env: vec!["A".into(), "API_KEY=sk-ant-api03-verysecret123".into()],
        keep: vec!["[".into()],
        check_run: vec![" ".into()],
        depends_on: vec!["nope".into()],
        ..TaskFlags::default()
    };
    let folder = Utf8Path::new("/repo");
    let said = World::default()
        .with(|c| draft_from_flags(&flags, folder, c))
        .unwrap_err();
    insta::assert_snapshot!(said.render(false));
}

#[test]
fn s12_a_profile_speaks_where_the_task_does_not() {
    let world = World::default();
    let said = |keys: &str| {
        let text = format!("[[task]]\nname = \"a\"\nprompt = \"x\"\nprofile = \"cheap\"\n{keys}");
        world.parse(text.as_bytes()).unwrap().tasks.remove(0)
    };
    let task = said("");
    assert_eq!(task.harness, "claude");
    assert_eq!(task.model.as_deref(), Some("small"));
    assert_eq!(task.permission, Permission::Plan);
    // What a plan leaves behind is no failure.
    assert_eq!(task.expect, Expect::Any);
    assert_eq!(task.budget, Some(MicroUsd(500_000)));
    assert_eq!(task.budget_tokens, Some(9_000));
    let own = said(
        "harness = \"opencode\"\nmodel = \"big\"\npermission = \"edits\"\nbudget_usd = 2\nbudget_tokens = 5\n",
    );
    assert_eq!(own.harness, "opencode");
    assert_eq!(own.model.as_deref(), Some("big"));
    assert_eq!(own.permission, Permission::Edits);
    assert_eq!(own.budget, Some(MicroUsd(2_000_000)));
    assert_eq!(own.budget_tokens, Some(5));
}
