//! T4: slots, order, ageing; a task that cannot run never blocks those behind it.

use longhaul_core::ids::TaskId;
use longhaul_core::schedule::{Capacity, Hindrance, Load, Queue, hindrance};
use longhaul_core::spec::Priority;
use longhaul_core::task::{State, Task};
use longhaul_core::time::UnixMs;
use longhaul_core::window::Gate;

use crate::world::fresh;

fn task(n: u8, since: i64, priority: Priority) -> Task {
    let mut t = fresh();
    t.id = TaskId::new(1, [n; 10]);
    t.state = State::Ready {
        not_before: None,
        since: UnixMs(since),
    };
    t.terms.priority = priority;
    t
}

fn order(tasks: &[Task]) -> Vec<TaskId> {
    let mut queue = Queue::default();
    for t in tasks {
        queue.insert(t);
    }
    let mut out = Vec::new();
    while let Some(id) = queue.next(|_| None) {
        queue.remove(id);
        out.push(id);
    }
    out
}

#[test]
fn priority_then_arrival_and_age_beats_priority_in_the_end() {
    const HOUR: i64 = 3_600_000;
    let old_low = task(1, 0, Priority::Low);
    let normal = task(2, HOUR, Priority::Normal);
    let high = task(3, 2 * HOUR, Priority::High);
    let critical = task(4, 3 * HOUR, Priority::Critical);
    let much_later_high = task(5, 100 * HOUR, Priority::High);
    let got = order(&[
        old_low.clone(),
        normal.clone(),
        high.clone(),
        critical.clone(),
        much_later_high.clone(),
    ]);
    assert_eq!(
        got,
        [
            critical.id,
            high.id,
            normal.id,
            old_low.id,
            much_later_high.id
        ]
    );
}

#[test]
fn t4_a_full_class_never_hides_those_behind_it() {
    let mut first = task(1, 0, Priority::Critical);
    first.terms.harness = "codex".into();
    let second = task(2, 5, Priority::Low);
    let mut queue = Queue::default();
    queue.insert(&first);
    queue.insert(&second);
    let blocked = |id| (id == first.id).then_some(Hindrance::HarnessSlots { limit: 1 });
    assert_eq!(queue.next(blocked), Some(second.id));
}

#[test]
fn a_paused_task_does_not_hide_its_own_class() {
    let (a, b) = (task(1, 0, Priority::Normal), task(2, 5, Priority::Normal));
    let mut queue = Queue::default();
    queue.insert(&a);
    queue.insert(&b);
    assert_eq!(
        queue.next(|id| (id == a.id).then_some(Hindrance::Paused)),
        Some(b.id)
    );
}

#[test]
fn i15_only_one_probe_runs_when_a_limit_is_over() {
    let t = task(1, 0, Priority::Normal);
    let mut load = Load::default();
    let capacity = Capacity::default();
    let probe = |_: &Task| (Gate::OneProbe, Some(UnixMs(5)));
    assert_eq!(hindrance(&t, &load, &capacity, &probe, UnixMs(9)), None);
    load.take(&task(2, 0, Priority::Normal));
    assert_eq!(
        hindrance(&t, &load, &capacity, &probe, UnixMs(9)),
        Some(Hindrance::Probe)
    );
    let resting = |_: &Task| (Gate::Resting, Some(UnixMs(50)));
    assert_eq!(
        hindrance(&t, &Load::default(), &capacity, &resting, UnixMs(9)),
        Some(Hindrance::Resting { until: UnixMs(50) })
    );
}

#[test]
fn tasks_of_one_folder_never_run_together() {
    let mut a = task(1, 0, Priority::Normal);
    a.terms.exclusive_folder = Some("/repo".into());
    let mut b = a.clone();
    b.id = TaskId::new(1, [2; 10]);
    let mut load = Load::default();
    load.take(&a);
    let open = |_: &Task| (Gate::Open, None);
    let got = hindrance(&b, &load, &Capacity::default(), &open, UnixMs(0));
    assert_eq!(got, Some(Hindrance::Folder));
    // An approval can put a second one there for the time it seals; the first to end frees nothing.
    load.take(&b);
    load.release(&b);
    let got = hindrance(&b, &load, &Capacity::default(), &open, UnixMs(0));
    assert_eq!(got, Some(Hindrance::Folder));
    load.release(&a);
    assert_eq!(
        hindrance(&b, &load, &Capacity::default(), &open, UnixMs(0)),
        None
    );
}
