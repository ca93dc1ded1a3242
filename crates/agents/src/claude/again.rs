//! A person's own `claude …`, begun again in the same conversation after it was ended in the middle (A15): with the
//! conversation's id, and without the prompt, which the conversation holds already.

use crate::gateway::Again;

/// What is said in the prompt's place.
const GO_ON: &str = "The earlier run was interrupted. Continue.";

/// Flags with a value of their own. Those that may be followed by several are not among them: there the prompt cannot
/// be told from a value.
const WITH_VALUE: [&str; 18] = [
    "--agent",
    "--agents",
    "--append-system-prompt",
    "--debug-file",
    "--effort",
    "--fallback-model",
    "--input-format",
    "--json-schema",
    "--max-budget-usd",
    "--max-turns",
    "--model",
    "--name",
    "--output-format",
    "--permission-mode",
    "--permission-prompt-tool",
    "--setting-sources",
    "--settings",
    "--system-prompt",
];

/// Flags without one.
const PLAIN: [&str; 11] = [
    "-p",
    "--print",
    "--verbose",
    "--bare",
    "--chrome",
    "--ide",
    "--dangerously-skip-permissions",
    "--allow-dangerously-skip-permissions",
    "--include-partial-messages",
    "--include-hook-events",
    "--strict-mcp-config",
];

/// `None` where the arguments name a conversation themselves, are for another verb, or hold a flag that this does
/// not know: then nobody can say which of them is the prompt.
pub(crate) fn again(args: &[String], fresh: &str) -> Option<Again> {
    let mut kept = Vec::new();
    let mut prompt = None;
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let name = arg.split_once('=').map_or(arg.as_str(), |(name, _)| name);
        if WITH_VALUE.contains(&name) {
            kept.push(arg.clone());
            if name == arg {
                kept.push(rest.next()?.clone());
            }
        } else if PLAIN.contains(&arg.as_str()) {
            kept.push(arg.clone());
        } else if arg.starts_with('-') || prompt.replace(arg).is_some() {
            return None;
        }
    }
    // A verb of its own, such as `mcp` or `doctor`, is one small word.
    let verb = |text: &String| text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    if prompt.is_some_and(verb) {
        return None;
    }
    let with = |flag: &str, last: Option<&str>| {
        let named = [flag.to_owned(), fresh.to_owned()].into_iter();
        let all = named.chain(kept.iter().cloned());
        all.chain(last.map(str::to_owned)).collect()
    };
    Some(Again {
        first: with("--session-id", prompt.map(String::as_str)),
        again: with("--resume", Some(GO_ON)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(line: &str) -> Option<(String, String)> {
        let args: Vec<String> = line.split('|').map(str::to_owned).collect();
        let args = if line.is_empty() { &[][..] } else { &args };
        again(args, "ID").map(|a| (a.first.join("|"), a.again.join("|")))
    }

    #[test]
    fn a15_the_conversation_goes_on_and_the_prompt_is_not_said_twice() {
        let go_on = |flags: &str| format!("--resume|ID{flags}|{GO_ON}");
        let table = [
            ("", "--session-id|ID", ""),
            ("fix it", "--session-id|ID|fix it", ""),
            (
                "-p|fix it|--model|opus",
                "--session-id|ID|-p|--model|opus|fix it",
                "|-p|--model|opus",
            ),
            (
                "--model=opus",
                "--session-id|ID|--model=opus",
                "|--model=opus",
            ),
        ];
        for (line, first, flags) in table {
            let wanted = Some((first.to_owned(), go_on(flags)));
            assert_eq!(plan(line), wanted, "{line}");
        }
    }

    #[test]
    fn a15_what_is_not_understood_is_left_as_it_is() {
        for line in [
            "mcp",
            "--resume|x",
            "-c",
            "--session-id|x",
            "--add-dir|a|b",
            "--allowedTools|Bash|fix it",
            "one prompt|and another",
            "--model",
            "--new-flag",
        ] {
            assert_eq!(plan(line), None, "{line}");
        }
    }
}
