//! A night's report for tests: one of everything, hostile text included.

use std::collections::BTreeMap;

use longhaul_api::{
    Bucket, CheckLine, ConflictView, DenialView, LandedView, LineView, NeedView, QueueEntryView,
    RefusedWriteView, ReportItem, ReportTotals, ReportView, RestingView, TaskDetail, TaskLink,
    TaskState, TaskSummary, UsageView,
};
use longhaul_core::ids::TaskId;
use longhaul_core::spec::Priority;

const END_MS: i64 = 1_795_246_200_000;

fn usage(tokens: u64, cost: f64) -> UsageView {
    UsageView {
        tokens,
        cost_usd: Some(cost),
        ..UsageView::default()
    }
}

fn summary(n: u8, name: &str, state: TaskState, bucket: Bucket) -> TaskSummary {
    TaskSummary {
        id: TaskId::new(1, [n; 10]),
        short_id: format!("{:08x}", u32::from(n) * 0x1357_9bdf),
        name: name.into(),
        state,
        bucket,
        line: "edits src/parser.rs".into(),
        until_ms: None,
        basis: (state == TaskState::Done).then(|| "verified".into()),
        need: None,
        paused: false,
        stopping: None,
        repo: "/home/ann/shop".into(),
        branch: Some(format!("longhaul/{name}-{n:02x}{n:02x}{n:02x}{n:02x}")),
        harness: "claude".into(),
        priority: Priority::Normal,
        attempt: 1,
        retries: 0,
        max_retries: 2,
        usage: usage(184_200, 0.83),
        waits_for: Vec::new(),
        created_at_ms: END_MS - 9 * 3_600_000,
        changed_at_ms: END_MS - i64::from(n) * 1_234_000,
    }
}

fn check(name: &str, passed: bool, flaky: bool) -> CheckLine {
    let reason = if passed { "exit 0" } else { "exit 101" };
    CheckLine {
        name: name.into(),
        passed,
        flaky,
        reason: reason.into(),
    }
}

fn item(
    task: TaskSummary,
    sentence: &str,
    checks: Vec<CheckLine>,
    stat: Option<&str>,
) -> ReportItem {
    ReportItem {
        attempts: task.attempt,
        task,
        sentence: sentence.into(),
        checks,
        limit_wait_ms: 0,
        changed_files: stat.map(|_| 3),
        diffstat: stat.map(str::to_owned),
        denials: Vec::new(),
        refused_writes: Vec::new(),
    }
}

/// The report.
/// A line with something ready, something blocked, and landings of every kind.
fn line() -> LineView {
    let entry = |n: usize, title: &str, line: &str| QueueEntryView {
        id: format!("0199-{n}"),
        short_id: format!("0000000{n}"),
        title: title.into(),
        task: None,
        commit: "c".repeat(40),
        priority: Priority::Normal,
        place: n,
        ready: n < 3,
        held: false,
        undoes: None,
        line: line.into(),
        remedy: None,
        conflicts: Vec::new(),
        since_ms: END_MS,
        checks: vec!["test".into()],
    };
    let landed = |title: &str, verified| LandedView {
        entry: None,
        short_id: None,
        title: title.into(),
        commit: "0123456789abcdef".into(),
        tree: "fedcba9876543210".into(),
        verified,
        undoes: None,
        undone_by: None,
        at_ms: END_MS - 3_600_000,
    };
    LineView {
        repo: "/home/ann/shop".into(),
        base: "main".into(),
        stage: "check".into(),
        line: "test runs on 2 entries merged".into(),
        tip: None,
        paused: false,
        frozen_below: None,
        blocked: None,
        behind: Some("`main` is checked out in /home/ann/shop".into()),
        entries: vec![
            entry(
                1,
                "prices",
                "`test` runs on the merged tree together with another entry",
            ),
            entry(2, "<b>stock</b>", "waits behind prices"),
            QueueEntryView {
                conflicts: vec![ConflictView {
                    path: "src/cart.rs".into(),
                    kind: "content".into(),
                }],
                ..entry(
                    3,
                    "cart",
                    "conflicts with prices before it: src/cart.rs (content)",
                )
            },
            QueueEntryView {
                remedy: Some("longhaul queue release".into()),
                ..entry(4, "search", "a person holds it")
            },
        ],
        landed: vec![
            landed("", true),
            landed("docs", false),
            LandedView {
                undone_by: Some("u".into()),
                ..landed("banner", true)
            },
            landed("login", true),
        ],
        forecast: None,
    }
}

pub(super) fn view() -> ReportView {
    let stat = "M src/cart.rs +66 -18\nM src/price.rs +31 -0\nA tests/cart.rs +57 -0\n3 files changed, 154 lines added, 18 removed";
    let mut parser = summary(
        1,
        "checkout-rounding",
        TaskState::NeedsHuman,
        Bucket::NeedsYou,
    );
    parser.attempt = 3;
    parser.retries = 2;
    parser.need = Some(NeedView {
        kind: "retries_exhausted".into(),
        detail: "The check `test` failed in all 3 attempts.".into(),
        remedy: "Look at the evidence below, then `longhaul retry checkout-rounding --note TEXT`, or accept it with `longhaul approve checkout-rounding`.".into(),
    });
    let mut login = summary(2, "upgrade-deps", TaskState::NeedsHuman, Bucket::NeedsYou);
    login.need = Some(NeedView {
        kind: "logged_out".into(),
        detail: "codex is logged out.".into(),
        remedy: "Run `codex login`, then `longhaul retry upgrade-deps`.".into(),
    });
    let hostile = summary(9, "hostile", TaskState::Done, Bucket::Done);
    let mut parked = summary(4, "search-index", TaskState::Parked, Bucket::Working);
    parked.line = "waits for claude until 08:10".into();
    let mut pending = summary(5, "search-ui", TaskState::Pending, Bucket::Working);
    pending.branch = None;
    pending.usage = UsageView::default();
    pending.attempt = 0;
    pending.waits_for = vec![TaskLink {
        id: parked.id,
        short_id: parked.short_id.clone(),
        name: parked.name.clone(),
        state: parked.state,
    }];
    let mut retried = summary(6, "coupon-codes", TaskState::Done, Bucket::Done);
    retried.attempt = 2;
    retried.retries = 1;
    let mut unverified = summary(8, "readme", TaskState::Done, Bucket::Done);
    unverified.basis = Some("unverified".into());
    let mut first = item(
        parser,
        "Three attempts changed the rounding, and each broke another test.",
        vec![check("build", true, false), check("test", false, false)],
        Some(stat),
    );
    first.denials = vec![DenialView {
        tool: "Bash".into(),
        detail: "cargo publish --dry-run".into(),
    }];
    first.refused_writes = vec![RefusedWriteView {
        tool: "Bash".into(),
        line: "touch: cannot touch '/etc/<cart>': Permission denied".into(),
        path: Some("/etc/<cart>".into()),
    }];
    ReportView {
        since_ms: END_MS - 12 * 3_600_000,
        until_ms: END_MS,
        needs_you: vec![first, item(login, "It could not start.", Vec::new(), None)],
        queue: vec![line()],
        working: vec![
            item(
                summary(3, "invoice-pdf", TaskState::Running, Bucket::Working),
                "It is at work: edits src/pdf/layout.rs.",
                Vec::new(),
                None,
            ),
            item(
                parked,
                "The five-hour window of claude is used up; it goes on at 08:10.",
                Vec::new(),
                None,
            ),
            item(pending, "It has not started.", Vec::new(), None),
        ],
        done: vec![
            item(
                retried,
                "Done at the second attempt: the first failed `test`.",
                vec![
                    check("build", true, false),
                    check("test", true, true),
                    check("lint", true, false),
                ],
                Some(stat),
            ),
            item(
                summary(
                    7,
                    "fix-flaky-inventory-test-on-slow-machines",
                    TaskState::Done,
                    Bucket::Done,
                ),
                "Done at the first attempt.",
                vec![check("build", true, false), check("test", true, false)],
                Some(stat),
            ),
            item(
                unverified,
                "Done, but nothing checked it.",
                Vec::new(),
                Some(stat),
            ),
            item(
                hostile,
                "<script>alert(1)</script>\u{1b}[31m \"quoted\" & 'more'",
                vec![check("<b>x</b>", true, false)],
                None,
            ),
        ],
        totals: ReportTotals {
            done: 4,
            unverified: 1,
            cancelled: 0,
            attempts: 11,
            retries: 3,
            restarts: 1,
            checks_passed: 9,
            checks_failed: 4,
            usage: usage(1_842_000, 8.31),
            limit_wait_ms: 2 * 3_600_000,
        },
        resting: vec![RestingView {
            scope: "claude".into(),
            until_ms: END_MS + 2_400_000,
            window: Some("five_hour".into()),
            probing: false,
            line: "claude rests until 08:10 (five_hour)".into(),
        }],
    }
}

/// What `show` knows of the first task.
pub(super) fn details() -> BTreeMap<TaskId, TaskDetail> {
    let task = view().needs_you.remove(0).task;
    let attempt = |n: u32, outcome: &str, line: &str| {
        serde_json::json!({
            "number": n, "fence": n, "assigned_at_ms": END_MS - 8_000_000 + i64::from(n) * 1_000_000,
            "started_at_ms": END_MS - 8_000_000 + i64::from(n) * 1_000_000, "ended_at_ms": END_MS - 7_300_000 + i64::from(n) * 1_000_000,
            "outcome": outcome, "line": line, "pid": 4711, "conversation": null, "resumed": n > 1,
            "usage": usage(60_000, 0.27), "sealed": null, "denials": [],
        })
    };
    let verdict = |n: u32, name: &str, grade: &str, tail: &str| {
        serde_json::json!({
            "attempt": n, "name": name, "kind": "run", "run": 0, "grade": grade, "flaky": false,
            "reason": if grade == "pass" { "exit 0" } else { "exit 101" }, "command": "cargo nextest run -p shop",
            "commit": "c0ffee", "exit": 101, "took_ms": 41_000, "at_ms": END_MS, "tail": tail, "evidence": null,
            "usage": UsageView::default(),
        })
    };
    let tail = "running 214 tests\ntest cart::rounds_half_up ... FAILED\n\nfailures:\n\n---- cart::rounds_half_up stdout ----\nthread panicked at tests/cart.rs:88:5:\nassertion `left == right` failed\n  left: 1999\n right: 2000\n\ntest result: FAILED. 213 passed; 1 failed";
    let detail = serde_json::json!({
        "task": task, "submission": null, "workspace": null, "budget": null, "live": null,
        "spec": {
            "prompt": "Round prices half up.", "repo": "/home/ann/shop", "dir": null, "workspace": "worktree", "base": "main",
            "harness": "claude", "profile": null, "model": null, "role": null, "depends_on": [], "budget_usd": null,
            "budget_tokens": null, "timeout_ms": 2_700_000, "idle_timeout_ms": 600_000, "answer_timeout_ms": 60_000,
            "max_retries": 2, "max_restarts": 5, "on_drift": "ask", "land": "no", "project": null, "group": null, "labels": [],
            "allow": [], "keep": [], "protect": [], "sandbox": "write", "expect": "change", "permission": "edits", "commit": "auto",
            "env": {}, "env_pass": [], "setup": null, "teardown": null, "checks": [], "task_file": null,
        },
        "attempts": [
            attempt(1, "completed", "It finished; the check `test` failed."),
            attempt(2, "crashed", "The agent was killed (signal 9)."),
            attempt(3, "completed", "It finished; the check `test` failed."),
        ],
        "verdicts": [
            verdict(1, "build", "pass", ""), verdict(1, "test", "fail", "first failure"),
            verdict(3, "build", "pass", ""), verdict(3, "test", "fail", tail),
        ],
        "dependents": [], "note": null, "ledger": [],
    });
    let detail: TaskDetail =
        serde_json::from_value(detail).expect("the sample has the shape of the API");
    BTreeMap::from([(detail.task.id, detail)])
}
