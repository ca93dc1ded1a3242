//! T7: what an attempt is told.

use camino::Utf8PathBuf;
use longhaul_core::fact::Fact;
use longhaul_core::overlap::Overlap;
use longhaul_core::prompt::{EVIDENCE_BYTES, Material, compose};
use longhaul_core::queue::LandNews;
use longhaul_core::spec::{
    CommitMode, Expect, Land, OnDrift, Permission, Priority, Sandbox, TaskSpec, WorkspaceKind,
};
use longhaul_core::task::{RetryReason, State, StateWord, Task};
use longhaul_core::time::{SpanMs, UnixMs};
use longhaul_core::verdict::Grade;

use crate::world::{conflict_report, in_state, step, to_land, verdict};

fn spec() -> TaskSpec {
    TaskSpec {
        name: "a".into(),
        prompt: "Add a greeting.".into(),
        repo: Utf8PathBuf::from("/repo"),
        dir: None,
        workspace: WorkspaceKind::Worktree,
        base: None,
        harness: "claude".into(),
        profile: None,
        model: None,
        role: None,
        depends_on: vec![],
        priority: Priority::Normal,
        budget: None,
        budget_tokens: None,
        timeout: SpanMs(0),
        idle_timeout: SpanMs(0),
        answer_timeout: SpanMs(0),
        max_retries: 0,
        max_restarts: 0,
        on_drift: OnDrift::Ask,
        land: Land::No,
        land_checks: vec![],
        land_unverified: false,
        merge_style: None,
        project: None,
        group: None,
        labels: vec![],
        allow: vec![],
        keep: vec![],
        sandbox: Sandbox::Write,
        protect: vec![],
        expect: Expect::Change,
        permission: Permission::Edits,
        commit: CommitMode::Auto,
        env: std::collections::BTreeMap::new(),
        env_pass: vec![],
        setup: None,
        teardown: None,
        checks: vec![],
        task_file: None,
        caller_env: std::collections::BTreeMap::new(),
    }
}

#[test]
fn the_first_attempt_gets_the_prompt_and_nothing_else() {
    let t = in_state(State::Running {
        step: longhaul_core::task::RunStep::Live,
    });
    assert_eq!(
        compose(&t, &spec(), Material::default()),
        "Add a greeting.\n"
    );
}

#[test]
fn t7_a_failed_check_comes_with_command_and_tail() {
    let mut t = in_state(State::Running {
        step: longhaul_core::task::RunStep::Live,
    });
    t.attempt.as_mut().unwrap().number = 2;
    t.carry.reason = Some(RetryReason::CheckFailed {
        fence: t.fence,
        check: "test".into(),
    });
    t.carry.diffstat = Some(" a.txt | 1 +".into());
    t.carry.note = Some("be brief".into());
    let v = verdict(&t, 0, 0, Grade::Fail);
    let text = compose(
        &t,
        &spec(),
        Material {
            verdict: Some(&v),
            ..Material::default()
        },
    );
    insta::assert_snapshot!(text);
}

#[test]
fn t7_the_tail_is_bounded() {
    let mut t = in_state(State::Running {
        step: longhaul_core::task::RunStep::Live,
    });
    t.attempt.as_mut().unwrap().number = 2;
    t.carry.reason = Some(RetryReason::CheckFailed {
        fence: t.fence,
        check: "test".into(),
    });
    let mut v = verdict(&t, 0, 0, Grade::Fail);
    v.tail = "é".repeat(1_000_000);
    let text = compose(
        &t,
        &spec(),
        Material {
            verdict: Some(&v),
            ..Material::default()
        },
    );
    assert!(text.len() < EVIDENCE_BYTES + 2048);
}

#[test]
fn l12_a_conflict_goes_to_its_own_session_then_to_one_that_takes_no_side_then_to_a_person() {
    let landing = State::Landing { since: UnixMs(0) };
    let mut task = to_land(landing.clone());
    task.carry.conversation = Some("its-own".into());
    task.tally.returns = 0;
    let conflict = |task: &Task| Fact::Landing {
        fence: task.fence,
        news: Box::new(LandNews::Conflict {
            tip: "71b".into(),
            report: conflict_report(),
        }),
    };
    let told = |task: &Task| compose(task, &spec(), Material::default());

    let mut owner = step(&task, &conflict(&task));
    assert_eq!(owner.state.word(), StateWord::Ready);
    assert_eq!(owner.carry.conversation.as_deref(), Some("its-own"));
    assert!(
        told(&owner).contains("Your work conflicts"),
        "{}",
        told(&owner)
    );

    owner.state = landing.clone();
    let mut neutral = step(&owner, &conflict(&owner));
    assert_eq!(neutral.state.word(), StateWord::Ready);
    assert_eq!(neutral.carry.conversation, None);
    assert!(
        told(&neutral).contains("You wrote neither side"),
        "{}",
        told(&neutral)
    );

    neutral.state = landing;
    neutral.carry.conversation = Some("neutral".into());
    let person = step(&neutral, &conflict(&neutral));
    assert!(
        matches!(person.state, State::NeedsHuman { .. }),
        "{:?}",
        person.state
    );
    assert_eq!(person.carry.conversation.as_deref(), Some("neutral"));
}

#[test]
fn l19_an_attempt_is_told_who_changes_the_same_files() {
    let mut task = in_state(State::Pending);
    let overlap = |name: &str, told| Overlap {
        with: task.id,
        name: name.into(),
        paths: ["src/a.rs".to_owned(), "src/b.rs".to_owned()].into(),
        told,
    };
    task.carry.overlaps = vec![overlap("api", true), overlap("quiet", false)];
    let text = compose(&task, &spec(), Material::default());
    assert!(text.contains("- api changes src/a.rs, src/b.rs"), "{text}");
    assert!(!text.contains("quiet"), "{text}");
}
