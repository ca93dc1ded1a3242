//! Names and dependencies of the tasks of one file: duplicates, unknown names, cycles, an order.

use std::collections::{BTreeSet, HashMap};

use super::context::TaskContext;
use super::draft::DepRef;
use super::resolve::Placed;
use crate::diag::{Finding, Sink, quoted};
use crate::nearest::did_you_mean;

/// The dependencies of every task, and an order in which dependencies come first (meaningless if
/// an error was found).
pub(super) fn link(
    tasks: &[Placed],
    context: &TaskContext<'_>,
    sink: &mut Sink,
) -> (Vec<Vec<DepRef>>, Vec<usize>) {
    let by_name = names(tasks, sink);
    let all: Vec<Vec<DepRef>> = tasks
        .iter()
        .enumerate()
        .map(|(index, task)| dependencies(index, task, &by_name, context, sink))
        .collect();
    let order = order(tasks, &all, sink);
    (all, order)
}

fn names<'t>(tasks: &'t [Placed], sink: &mut Sink) -> HashMap<&'t str, usize> {
    let mut by_name = HashMap::new();
    for (index, task) in tasks.iter().enumerate() {
        let Some(name) = &task.values.name else {
            continue;
        };
        let first = *by_name.entry(name.value.as_str()).or_insert(index);
        if first != index
            && let Some(other) = &tasks[first].values.name
        {
            let message = format!("a second task named {}", quoted(&name.value));
            let finding = Finding::error(&name.site, message).key("name");
            sink.push(finding.also(&other.site, "the first is here"));
        }
    }
    by_name
}

fn dependencies(
    index: usize,
    task: &Placed,
    by_name: &HashMap<&str, usize>,
    context: &TaskContext<'_>,
    sink: &mut Sink,
) -> Vec<DepRef> {
    let mut refs = Vec::new();
    let mut seen = BTreeSet::new();
    for wanted in task.values.depends_on.iter().flatten() {
        let name = wanted.value.as_str();
        if !seen.insert(name) {
            let message = format!("{} is named twice", quoted(name));
            sink.push(Finding::note(&wanted.site, message).key("depends_on"));
            continue;
        }
        // A hostile file may name thousands of unknown tasks: look no further than is shown.
        let full = sink.is_full();
        let near = || match full {
            true => String::new(),
            false => did_you_mean(name, by_name.keys().copied().collect::<BTreeSet<_>>()),
        };
        match (by_name.get(name), context.stored) {
            (Some(found), _) if *found == index => {
                let message = format!("the task depends on itself: {name} → {name}");
                sink.push(Finding::error(&wanted.site, message).key("depends_on"));
            }
            (Some(found), _) => refs.push(DepRef::InFile(*found)),
            (None, Some(stored)) if !stored(name) => {
                let message = format!(
                    "depends on {}, which is neither in this file nor a stored task{}",
                    quoted(name),
                    near()
                );
                sink.push(Finding::error(&wanted.site, message).key("depends_on"));
            }
            (None, stored) => {
                let near = near();
                if stored.is_none() && !near.is_empty() {
                    let message = format!(
                        "{} is not in this file and will be looked for among the stored tasks{near}",
                        quoted(name)
                    );
                    sink.push(Finding::warning(&wanted.site, message).key("depends_on"));
                }
                refs.push(DepRef::Stored(name.to_owned()));
            }
        }
    }
    refs
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    OnPath,
    Done,
}

/// Depth first without recursion (a hostile file may be one long chain); every cycle is reported
/// once, as the names along it.
fn order(tasks: &[Placed], all: &[Vec<DepRef>], sink: &mut Sink) -> Vec<usize> {
    let mut marks = vec![Mark::New; all.len()];
    let mut order = Vec::with_capacity(all.len());
    let mut reported = BTreeSet::new();
    for start in 0..all.len() {
        if marks[start] != Mark::New {
            continue;
        }
        let mut path = vec![(start, 0)];
        marks[start] = Mark::OnPath;
        while let Some((task, next)) = path.last_mut() {
            let Some(dependency) = all[*task].get(*next) else {
                marks[*task] = Mark::Done;
                order.push(*task);
                path.pop();
                continue;
            };
            *next += 1;
            let DepRef::InFile(dependency) = *dependency else {
                continue;
            };
            match marks[dependency] {
                Mark::Done => {}
                Mark::New => {
                    marks[dependency] = Mark::OnPath;
                    path.push((dependency, 0));
                }
                Mark::OnPath => {
                    let from = path.iter().position(|(t, _)| *t == dependency).unwrap_or(0);
                    let cycle: Vec<usize> = path[from..].iter().map(|(t, _)| *t).collect();
                    if cycle.iter().any(|t| reported.insert(*t)) {
                        report(tasks, &cycle, sink);
                    }
                }
            }
        }
    }
    order
}

fn report(tasks: &[Placed], cycle: &[usize], sink: &mut Sink) {
    const SHOWN: usize = 20;
    let name = |t: &usize| {
        tasks[*t]
            .values
            .name
            .as_ref()
            .map_or("?", |n| n.value.as_str())
    };
    let mut names: Vec<&str> = cycle.iter().take(SHOWN).map(name).collect();
    if cycle.len() > SHOWN {
        names.push("…");
    }
    names.extend(cycle.first().map(name));
    let message = format!(
        "tasks depend on each other in a circle: {}",
        names.join(" → ")
    );
    let Some(first) = cycle.first() else {
        return;
    };
    // The mark goes to the dependency that leads on from the first task of the circle.
    let onward = cycle.get(1).unwrap_or(first);
    let placed = &tasks[*first];
    let wanted = placed
        .values
        .depends_on
        .iter()
        .flatten()
        .find(|d| d.value == name(onward));
    let site = wanted.map_or(&placed.site, |d| &d.site);
    sink.push(Finding::error(site, message).key("depends_on"));
}
