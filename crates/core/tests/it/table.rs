//! T2: every state × every observation has an outcome; the whole table is one reviewed snapshot.

use std::fmt::Write as _;

use longhaul_core::decide::{Outcome, decide};
use longhaul_core::policy::Policy;
use longhaul_core::task::State;

use crate::world::{NOW, facts, states};

#[test]
fn t2_the_whole_state_by_observation_table() {
    let mut table = String::new();
    for (state_name, task) in states() {
        writeln!(table, "{state_name}").unwrap();
        let mut ignored = Vec::new();
        for (fact_name, fact) in facts() {
            match decide(&task, &fact, NOW, &Policy::default()) {
                Outcome::Ignore(_) => ignored.push(fact_name),
                Outcome::Refuse(why) => writeln!(table, "    {fact_name}: refused, {why}").unwrap(),
                Outcome::Change(c) => {
                    // What holds for every change, whatever it is (I1).
                    assert_eq!(c.task.version, task.version + 1);
                    assert_eq!(c.entry.version, c.task.version);
                    assert_eq!(
                        (c.entry.from, c.entry.to),
                        (task.state.word(), c.task.state.word())
                    );
                    assert!(c.task.fence >= task.fence);
                    assert!(!task.state.word().is_final() || c.entry.from == c.entry.to);
                    assert!(c.task.halt.is_none() || c.task.state.word().is_active());
                    let halt = c
                        .task
                        .halt
                        .as_ref()
                        .map(|h| format!(", stopping: {}", h.word()));
                    writeln!(
                        table,
                        "    {fact_name}: {}{} [{}]",
                        describe(&c.task.state),
                        halt.unwrap_or_default(),
                        c.entry.cause.as_str()
                    )
                    .unwrap();
                }
            }
        }
        writeln!(table, "    ignored: {}\n", ignored.join(", ")).unwrap();
    }
    insta::assert_snapshot!(table);
}

fn describe(state: &State) -> String {
    let mut json = serde_json::to_value(state).unwrap();
    // Built together with others, serde_json keeps the order of fields; alone it sorts them.
    json.sort_all_objects();
    let mut fields: Vec<String> = json
        .as_object()
        .unwrap()
        .iter()
        .filter(|(k, _)| *k != "state" && *k != "since")
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    fields.sort();
    format!("{} {}", state.word(), fields.join(" "))
        .trim_end()
        .to_owned()
}
