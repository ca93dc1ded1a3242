//! The script that stands in for a task whose prompt is meant for a model (`run FILE --rehearse`).

/// A script that leaves one small change on every attempt, so that worktree, commit, checks and
/// retries all happen. `task` names the file it changes: `rehearsal/TASK.txt`; anything but letters,
/// digits, `.`, `-`, `_` in it becomes `-`.
#[must_use]
pub fn rehearsal(task: &str) -> String {
    let name: String = task
        .chars()
        .map(|c| match c {
            '.' | '-' | '_' => c,
            c if c.is_ascii_alphanumeric() => c,
            _ => '-',
        })
        .collect();
    format!(
        "say Rehearsing {name}: no model is asked, nothing is spent.\n\
         append rehearsal/{name}.txt one more attempt\n\
         usage input=0 output=0 cost=0\n\
         done rehearsed {name}\n"
    )
}

#[cfg(test)]
mod tests {
    use crate::command::Command;
    use crate::parse::parse;

    #[test]
    fn any_task_name_gives_a_script_that_changes_one_file() {
        for name in ["fix-login", "a b\nrun rm -rf x", "../up", ""] {
            let script = parse(&super::rehearsal(name)).expect("a script");
            let commands: Vec<_> = script.commands(3, true).collect();
            assert_eq!(commands.len(), 4, "{name}");
            let Command::Append { path, .. } = commands[1] else {
                panic!("{commands:?}");
            };
            assert!(
                path.starts_with("rehearsal/") && path.matches('/').count() == 1,
                "{path}"
            );
        }
    }
}
