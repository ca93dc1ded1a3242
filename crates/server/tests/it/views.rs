//! What is shown, as snapshots and as rules.

use longhaul_api::{Bucket, TaskQuery, TaskState};
use longhaul_core::fact::Order;
use longhaul_core::ids::TaskId;
use longhaul_core::ledger::Cause;
use longhaul_core::time::SpanMs;
use longhaul_core::verdict::Grade;
use longhaul_server::views::{FINISHED_SHOWN, ViewError, Views};
use longhaul_store::Reader;

use crate::history::{History, MINUTE, START, SUBMISSION, all_states, id, spec};
use crate::host::{phrasing, status};

fn look<T>(history: &History, see: impl FnOnce(&Views<'_>) -> T) -> T {
    let reader = history.store.reader().unwrap();
    let phrasing = phrasing();
    see(&Views::new(&*reader as &dyn Reader, &phrasing, history.now))
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap()
}

fn query(state: &str) -> TaskQuery {
    TaskQuery {
        state: Some(state.to_owned()),
        ..TaskQuery::default()
    }
}

#[test]
fn a_list_tells_every_state_in_words() {
    let h = all_states();
    let list = look(&h, |v| v.list(&TaskQuery::default())).unwrap();
    let lines: Vec<String> = list
        .tasks
        .iter()
        .map(|t| {
            format!(
                "{:<9} {:<11} {:<10} {}",
                t.bucket.word(),
                t.state,
                t.name,
                t.line
            )
        })
        .collect();
    insta::assert_snapshot!("list_lines", lines.join("\n"));
    let remedies: Vec<String> = list
        .tasks
        .iter()
        .filter_map(|t| {
            t.need
                .as_ref()
                .map(|n| format!("{}: [{}] {} → {}", t.name, n.kind, n.detail, n.remedy))
        })
        .collect();
    insta::assert_snapshot!("list_needs", remedies.join("\n"));
    insta::assert_snapshot!("list_json", json(&list.tasks[0]));
    assert!(!list.more);
}

#[test]
fn t12_t23_a_detail_has_everything_and_no_secret() {
    let h = all_states();
    let detail = look(&h, |v| v.detail(id(1))).unwrap();
    let text = json(&detail);
    insta::assert_snapshot!("detail_json", text);
    assert!(
        !text.contains("hunter2"),
        "I12: literals are never shown, known secrets are masked"
    );
    assert!(!text.contains("\\u001b"), "T31: no terminal sequences");
}

#[test]
fn a_report_tells_the_night() {
    let mut h = all_states();
    h.start(id(11));
    h.finish_turn(id(11));
    h.judge(id(11), Grade::Fail);
    h.pass(MINUTE);
    h.start(id(11));
    h.finish_turn(id(11));
    h.judge(id(11), Grade::Pass);
    h.pass(SpanMs::from_secs(3_600));
    let report = look(&h, |v| v.report(START)).unwrap();
    let told = |items: &[longhaul_api::ReportItem]| {
        let each = items
            .iter()
            .map(|i| format!("  {}: {}", i.task.name, i.sentence));
        each.collect::<Vec<_>>().join("\n")
    };
    let page = format!(
        "Needs you\n{}\nWorking\n{}\nDone\n{}\n{}",
        told(&report.needs_you),
        told(&report.working),
        told(&report.done),
        json(&report.totals)
    );
    insta::assert_snapshot!("report", page);
    let item = report
        .done
        .iter()
        .find(|i| i.task.name == "queued")
        .unwrap();
    insta::assert_snapshot!("report_item", json(item));
}

#[test]
fn a_report_leaves_out_what_was_finished_before() {
    let h = all_states();
    let later = look(&h, |v| v.report(h.now.plus(MINUTE))).unwrap();
    assert!(later.done.is_empty());
    assert_eq!(later.totals.attempts, 0);
    assert_eq!(later.needs_you.len(), 4, "needs stay, however old");
    assert_eq!(later.totals.limit_wait_ms, 0);
}

#[test]
fn a_status_counts_with_and_without_a_daemon() {
    let h = all_states();
    let alone = look(&h, |v| v.status(None)).unwrap();
    insta::assert_snapshot!("status_json", json(&alone));
    let served = look(&h, |v| v.status(Some(&status()))).unwrap();
    assert_eq!(served.daemon.unwrap().pid, 77);
    assert_eq!(served.buckets, alone.buckets);
}

#[test]
fn t3_a_dependent_of_a_task_that_needs_you_needs_you_at_any_depth() {
    let mut h = History::new();
    let mut specs = vec![spec("root", &[]), spec("other", &[])];
    for n in 2..300 {
        specs.push(spec(&format!("t{n}"), &[id(n - 1), id(1)]));
    }
    // The chain hangs on `other`, and its first link on `root` as well.
    specs[2].depends_on.push(id(0));
    h.submit(specs);
    let buckets = |h: &History| {
        let status = look(h, |v| v.status(None)).unwrap();
        (status.buckets.needs_you, status.buckets.working)
    };
    assert_eq!(buckets(&h), (0, 300));
    h.order(id(0), Order::Stop);
    assert_eq!(buckets(&h), (299, 1), "all but `other`");
    let last = look(&h, |v| v.detail(id(299))).unwrap().task;
    assert_eq!(last.bucket, Bucket::NeedsYou);
    assert_eq!(last.line, "waits for root, which needs you");
    h.order(id(0), Order::Resume);
    assert_eq!(buckets(&h), (0, 300));
    h.order(id(0), Order::Cancel);
    assert_eq!(buckets(&h), (298, 1));
    assert_eq!(
        look(&h, |v| v.detail(id(150)))
            .unwrap()
            .task
            .need
            .unwrap()
            .detail,
        "waits for root, which was cancelled"
    );
}

#[test]
fn a_paused_task_needs_you_once_nothing_of_it_moves() {
    let mut h = History::new();
    h.submit(vec![spec("a", &[]), spec("b", &[])]);
    h.start(id(0));
    h.order(id(0), Order::Pause);
    h.order(id(1), Order::Pause);
    let list = look(&h, |v| v.list(&TaskQuery::default())).unwrap();
    let of = |name: &str| list.tasks.iter().find(|t| t.name == name).unwrap();
    assert_eq!(
        (of("a").bucket, of("a").line.as_str()),
        (Bucket::Working, "attempt 1 runs; pauses after this turn")
    );
    assert_eq!(
        (of("b").bucket, of("b").line.as_str()),
        (Bucket::NeedsYou, "waits for a slot; paused")
    );
    assert_eq!(
        of("b").need.as_ref().unwrap().remedy,
        "`longhaul resume b` lets it go on"
    );
}

#[test]
fn lists_are_narrowed_by_state_bucket_repository_and_submission() {
    let h = all_states();
    let names = |q: &TaskQuery| {
        let list = look(&h, |v| v.list(q)).unwrap();
        list.tasks.into_iter().map(|t| t.name).collect::<Vec<_>>()
    };
    assert_eq!(names(&query("running, needs-human")), ["needy", "running"]);
    assert_eq!(names(&query("done")), ["done"]);
    let bucket = |b| TaskQuery {
        bucket: Some(b),
        ..TaskQuery::default()
    };
    assert_eq!(
        names(&bucket(Bucket::NeedsYou)),
        ["needy", "blocked", "deeper", "stopped"]
    );
    assert_eq!(names(&bucket(Bucket::Done)), ["cancelled", "done"]);
    let repo = |r: &str| TaskQuery {
        repo: Some(r.to_owned()),
        ..TaskQuery::default()
    };
    assert_eq!(names(&repo("/repo")).len(), 12);
    assert!(names(&repo("/elsewhere")).is_empty());
    let of = |s| TaskQuery {
        submission: Some(s),
        ..TaskQuery::default()
    };
    assert_eq!(names(&of(SUBMISSION)).len(), 12);
    assert!(names(&of(uuid::Uuid::nil())).is_empty());
    let error = look(&h, |v| v.list(&query("runing"))).unwrap_err();
    assert!(matches!(error, ViewError::NoState { .. }));
    assert!(error.body().hint.unwrap().contains("needs_human"));
}

#[test]
fn finished_tasks_are_shown_up_to_a_number() {
    let mut h = History::new();
    h.submit((0..70).map(|n| spec(&format!("t{n}"), &[])).collect());
    for n in 0..60 {
        h.order(id(n), Order::Cancel);
    }
    let list = look(&h, |v| v.list(&TaskQuery::default())).unwrap();
    assert_eq!(list.tasks.len(), 10 + FINISHED_SHOWN);
    assert!(list.more);
    assert_eq!(list.tasks[10].name, "t59", "the newest first");
    let all = look(&h, |v| {
        v.list(&TaskQuery {
            all: true,
            ..TaskQuery::default()
        })
    })
    .unwrap();
    assert_eq!((all.tasks.len(), all.more), (70, false));
}

#[test]
fn a_submission_is_settled_when_nothing_moves_without_a_person() {
    let mut h = History::new();
    h.submit(vec![spec("a", &[]), spec("b", &[id(0)])]);
    let settled = |h: &History| look(h, |v| v.submission(SUBMISSION)).unwrap().settled;
    assert!(!settled(&h));
    h.start(id(0));
    h.order(id(0), Order::Stop);
    assert!(!settled(&h), "it is still being stopped");
    h.end(id(0), longhaul_core::attempt::AttemptEnd::TimedOut);
    let view = look(&h, |v| v.submission(SUBMISSION)).unwrap();
    let states: Vec<TaskState> = view.tasks.iter().map(|t| t.state).collect();
    assert_eq!(
        states,
        [TaskState::Parked, TaskState::Pending],
        "in the order of the file"
    );
    assert!(view.settled);
    let none = look(&h, |v| v.submission(uuid::Uuid::nil())).unwrap_err();
    assert_eq!(none.body().code, "submission_not_found");
}

#[test]
fn a_text_means_a_task_or_says_why_not() {
    let h = all_states();
    let resolve = |text: &str| look(&h, |v| v.resolve(text));
    assert_eq!(resolve("needy").unwrap(), id(5));
    assert_eq!(resolve(&id(5).to_string()).unwrap(), id(5));
    let near = resolve("neddy").unwrap_err().body();
    assert_eq!(
        (near.code.as_str(), near.hint.as_deref()),
        ("task_not_found", Some("did you mean `needy`?"))
    );
    let prefix = id(0).uuid().simple().to_string()[..8].to_owned();
    let ambiguous = resolve(&prefix).unwrap_err().body();
    assert_eq!(ambiguous.code, "task_ambiguous");
    assert_eq!(ambiguous.candidates.len(), 10);
    let one = &ambiguous.candidates[3];
    assert_eq!(
        resolve(&one.short_id).unwrap(),
        one.id,
        "a shown id is a usable one"
    );
}

#[test]
fn a_name_means_the_live_task_and_never_one_of_several() {
    let mut h = History::new();
    h.submit((0..3).map(|_| spec("twin", &[])).collect());
    let resolve = |h: &History| look(h, |v| v.resolve("twin"));
    let body = resolve(&h).unwrap_err().body();
    assert_eq!(body.code, "task_ambiguous");
    let listed: Vec<_> = body.candidates.iter().map(|c| (c.id, c.state)).collect();
    assert_eq!(listed, [0, 1, 2].map(|n| (id(n), TaskState::Ready)));
    assert!(body.hint.unwrap().contains("by its id"));
    h.order(id(2), Order::Cancel);
    h.order(id(1), Order::Cancel);
    assert_eq!(resolve(&h).unwrap(), id(0), "the live one, though older");
    h.order(id(0), Order::Cancel);
    assert_eq!(resolve(&h).unwrap(), id(2), "else the newest");
}

#[test]
fn events_tell_the_ledger_and_go_on_after_a_number() {
    let h = all_states();
    let all = look(&h, |v| v.events_after(0, 1_000)).unwrap();
    let lines: Vec<String> = all
        .iter()
        .filter(|e| e.task == id(1) || e.task == id(4))
        .map(|e| {
            format!(
                "{} {} {}→{} {}: {}",
                e.name, e.actor, e.from, e.to, e.cause, e.line
            )
        })
        .collect();
    insta::assert_snapshot!("event_lines", lines.join("\n"));
    let rest = look(&h, |v| v.events_after(all[9].seq, 5)).unwrap();
    assert_eq!(rest, all[10..15]);
    let own = look(&h, |v| v.events_of(id(1), all[9].seq)).unwrap();
    assert!(own.iter().all(|e| e.task == id(1) && e.seq > all[9].seq));
    insta::assert_snapshot!("event_json", json(&own.last().unwrap()));
    let causes: std::collections::BTreeSet<_> = all.iter().map(|e| e.cause.as_str()).collect();
    assert!(causes.iter().all(|c| Cause::parse(c).is_some()));
}

#[test]
fn an_unknown_task_is_said_to_be_unknown() {
    let h = History::new();
    let nobody = TaskId::new(1, [9; 10]);
    assert!(matches!(
        look(&h, |v| v.detail(nobody)),
        Err(ViewError::NotFound { .. })
    ));
    assert!(matches!(
        look(&h, |v| v.attempt_fence(nobody, None)),
        Err(ViewError::NotFound { .. })
    ));
    let empty = look(&h, |v| v.report(START)).unwrap();
    assert!(empty.done.is_empty() && empty.working.is_empty() && empty.needs_you.is_empty());
}
