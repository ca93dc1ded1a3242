//! Text to [`Script`]. Sans-IO; any text gives a script or an error that names its line.

use crate::command::{Command, LimitKind, Script, Section, When};
use crate::values::{bytes, duration, number, tokens};

/// Why a script cannot be read. A retry cannot help: the text has to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct ScriptError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No such command.
    #[error("there is no command `{0}`")]
    UnknownCommand(String),
    /// A header that is none of `@all`, `@attempt N`, `@attempt N..`, `@attempt N..M`, `@resume`.
    #[error("`{0}` is none of `@all`, `@attempt N`, `@attempt N..`, `@attempt N..M`, `@resume`")]
    Header(String),
    /// A command lacks what it needs.
    #[error("`{command}` needs {wants}")]
    Missing {
        /// The command.
        command: &'static str,
        /// What it needs.
        wants: &'static str,
    },
    /// Something in a command has no meaning.
    #[error("`{found}` is not {wants}")]
    Value {
        /// What stands there.
        found: String,
        /// What could.
        wants: &'static str,
    },
    /// A text that was opened with `<<WORD` and never closed.
    #[error("no line says only `{0}`, which ends this text")]
    Unended(String),
}

/// Reads a script.
///
/// # Errors
/// The first line that has no meaning.
pub fn parse(text: &str) -> Result<Script, ScriptError> {
    let mut sections = vec![Section {
        when: When::Always,
        commands: Vec::new(),
    }];
    let mut lines = text.lines().enumerate();
    while let Some((index, raw)) = lines.next() {
        let line = raw.trim();
        let at = |problem| ScriptError {
            line: index + 1,
            problem,
        };
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line.starts_with('@') {
            sections.push(Section {
                when: header(line).map_err(at)?,
                commands: Vec::new(),
            });
            continue;
        }
        let (word, rest) = split_word(line);
        let command = if let ("write" | "append", Some((path, end))) = (word, heredoc(rest)) {
            let mut content = String::new();
            loop {
                let Some((_, body)) = lines.next() else {
                    return Err(at(Problem::Unended(end.to_owned())));
                };
                if body.trim_end() == end {
                    break;
                }
                content.push_str(body);
                content.push('\n');
            }
            let path = self::path(path, word_of(word)).map_err(at)?.0;
            if word == "write" {
                Command::Write { path, content }
            } else {
                Command::Append { path, content }
            }
        } else {
            command(word, rest).map_err(at)?
        };
        if let Some(section) = sections.last_mut() {
            section.commands.push(command);
        }
    }
    sections.retain(|s| !s.commands.is_empty() || s.when == When::Resume);
    Ok(Script { sections })
}

fn header(line: &str) -> Result<When, Problem> {
    let bad = || Problem::Header(line.to_owned());
    match split_word(line) {
        ("@all", "") => Ok(When::Always),
        ("@resume", "") => Ok(When::Resume),
        ("@attempt", range) => {
            let number = |n: &str| n.trim().parse::<u32>().ok().filter(|n| *n > 0);
            let (first, last) = match range.split_once("..") {
                None => (number(range), number(range).map(Some)),
                Some((first, "")) => (number(first), Some(None)),
                Some((first, last)) => (number(first), number(last).map(Some)),
            };
            match (first, last) {
                (Some(first), Some(last)) if last.is_none_or(|last| last >= first) => {
                    Ok(When::Attempts { first, last })
                }
                _ => Err(bad()),
            }
        }
        _ => Err(bad()),
    }
}

fn command(word: &str, rest: &str) -> Result<Command, Problem> {
    let text = |command, wants| {
        if rest.is_empty() {
            Err(Problem::Missing { command, wants })
        } else {
            Ok(rest.to_owned())
        }
    };
    Ok(match word {
        "say" => Command::Say(text("say", "words")?),
        "write" => {
            let (path, content) = path(rest, "write")?;
            Command::Write {
                path,
                content: format!("{content}\n"),
            }
        }
        "append" => {
            let (path, content) = path(rest, "append")?;
            Command::Append {
                path,
                content: format!("{content}\n"),
            }
        }
        "delete" => Command::Delete {
            path: path(rest, "delete")?.0,
        },
        "run" => Command::Run(text("run", "a command")?),
        "spawn" => Command::Spawn(text("spawn", "a command")?),
        "sleep" => Command::Sleep(duration(&text("sleep", "a time, such as `1s`")?)?),
        "usage" => Command::Usage(tokens(&text("usage", "`input=N output=N cost=0.01`")?)?),
        "limit" => limit(&text(
            "limit",
            "quota, throttle, overload, billing or auth",
        )?)?,
        "expect-prompt" => Command::ExpectPrompt(text("expect-prompt", "a text")?),
        "ask" => Command::Ask(text("ask", "a question")?),
        "deny" => {
            let rest = text("deny", "a tool and what it was to do")?;
            let (tool, detail) = split_word(&rest);
            Command::Deny {
                tool: tool.to_owned(),
                detail: detail.to_owned(),
            }
        }
        "fail" => Command::Fail(text("fail", "a message")?),
        "exit" => Command::Exit(number(&text("exit", "a code from 0 to 255")?)?),
        "flood" => Command::Flood(bytes(&text("flood", "a size, such as `1M`")?)?),
        "done" if rest.is_empty() => Command::Done("done".to_owned()),
        "done" => Command::Done(rest.to_owned()),
        "crash" | "hang" | "ignore-term" | "die-midline" if !rest.is_empty() => {
            return Err(Problem::Value {
                found: rest.to_owned(),
                wants: "wanted here: the command takes nothing",
            });
        }
        "crash" => Command::Crash,
        "hang" => Command::Hang,
        "ignore-term" => Command::IgnoreTerm,
        "die-midline" => Command::DieMidline,
        _ => return Err(Problem::UnknownCommand(word.to_owned())),
    })
}

fn limit(rest: &str) -> Result<Command, Problem> {
    let (word, more) = split_word(rest);
    let kind = match word {
        "quota" => LimitKind::Quota,
        "throttle" => LimitKind::Throttle,
        "overload" => LimitKind::Overload,
        "billing" => LimitKind::Billing,
        "auth" => LimitKind::Auth,
        _ => {
            return Err(Problem::Value {
                found: word.to_owned(),
                wants: "quota, throttle, overload, billing or auth",
            });
        }
    };
    let reset_in = match split_word(more) {
        ("", _) => None,
        ("in", time) => Some(duration(time)?),
        (found, _) => {
            return Err(Problem::Value {
                found: found.to_owned(),
                wants: "`in` and a time",
            });
        }
    };
    if kind == LimitKind::Quota && reset_in.is_none() {
        return Err(Problem::Missing {
            command: "limit quota",
            wants: "`in` and a time: a quota is one only with its reset",
        });
    }
    Ok(Command::Limit { kind, reset_in })
}

/// A path, bare or in double quotes, and what follows it.
fn path<'a>(rest: &'a str, command: &'static str) -> Result<(String, &'a str), Problem> {
    let (path, after) = match rest.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
        None => split_word(rest),
    };
    if path.is_empty() {
        return Err(Problem::Missing {
            command,
            wants: "a path",
        });
    }
    Ok((path.to_owned(), after.trim_start()))
}

/// `PATH <<WORD`: the path and the word.
fn heredoc(rest: &str) -> Option<(&str, &str)> {
    let (path, end) = rest.rsplit_once("<<")?;
    let end = end.trim();
    let plain = !end.is_empty() && end.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    // Words between the path and `<<` make it a text that happens to hold `<<`.
    let path = path.trim_end();
    let one = path.starts_with('"') || !path.contains(char::is_whitespace);
    (plain && one && !path.is_empty()).then_some((path, end))
}

fn split_word(text: &str) -> (&str, &str) {
    match text.split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest.trim()),
        None => (text, ""),
    }
}

fn word_of(word: &str) -> &'static str {
    if word == "write" { "write" } else { "append" }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::command::Tokens;

    fn only(text: &str) -> Command {
        let script = parse(text).expect("a script");
        let commands: Vec<_> = script.commands(1, false).cloned().collect();
        assert_eq!(commands.len(), 1, "{text}");
        commands.into_iter().next().expect("one command")
    }

    fn error(text: &str) -> (usize, String) {
        let error = parse(text).expect_err("not a script");
        (error.line, error.problem.to_string())
    }

    #[test]
    fn commands_take_the_rest_of_their_line() {
        assert_eq!(
            only("say hello  world "),
            Command::Say("hello  world".to_owned())
        );
        assert_eq!(
            only("write a/b.txt one two"),
            Command::Write {
                path: "a/b.txt".to_owned(),
                content: "one two\n".to_owned()
            }
        );
        assert_eq!(
            only("append \"a b.txt\" x"),
            Command::Append {
                path: "a b.txt".to_owned(),
                content: "x\n".to_owned()
            }
        );
        assert_eq!(
            only("sleep 1.5s"),
            Command::Sleep(Duration::from_millis(1500))
        );
        assert_eq!(only("flood 64K"), Command::Flood(65_536));
        assert_eq!(only("done"), Command::Done("done".to_owned()));
        assert_eq!(
            only("limit quota in 3s"),
            Command::Limit {
                kind: LimitKind::Quota,
                reset_in: Some(Duration::from_secs(3))
            }
        );
        assert_eq!(
            only("usage input=10 output=2 cost=0.01"),
            Command::Usage(Tokens {
                input: 10,
                output: 2,
                cost_usd: Some(0.01),
                ..Tokens::default()
            })
        );
    }

    #[test]
    fn a_here_text_is_kept_as_it_stands() {
        assert_eq!(
            only("write f <<END\n# not a comment\n\n  @attempt 9\nEND\n"),
            Command::Write {
                path: "f".to_owned(),
                content: "# not a comment\n\n  @attempt 9\n".to_owned()
            }
        );
        assert_eq!(
            only("write f a <<b"),
            Command::Write {
                path: "f".to_owned(),
                content: "a <<b\n".to_owned()
            }
        );
    }

    #[test]
    fn sections_decide_by_attempt_and_resume() {
        let script = parse("say all\n@attempt 1\nsay one\n@attempt 2..\nsay later\n@all\nsay end")
            .expect("a script");
        let run = |attempt, resumed| -> Vec<String> {
            script
                .commands(attempt, resumed)
                .map(|c| match c {
                    Command::Say(text) => text.clone(),
                    other => format!("{other:?}"),
                })
                .collect()
        };
        assert_eq!(run(1, false), ["all", "one", "end"]);
        assert_eq!(run(7, true), ["all", "later", "end"]);
        let script = parse("@attempt 1..9\nsay no\n@resume\nsay yes").expect("a script");
        let said: Vec<_> = script.commands(2, true).collect();
        assert_eq!(said, [&Command::Say("yes".to_owned())]);
    }

    #[test]
    fn an_error_names_its_line() {
        assert_eq!(
            error("say x\n\nsayy y"),
            (3, "there is no command `sayy`".to_owned())
        );
        assert_eq!(error("@attempt 0").0, 1);
        assert_eq!(error("@attempt 3..2").0, 1);
        assert_eq!(error("say x\nwrite f <<END\nsay y").0, 2);
        for bad in [
            "say",
            "write",
            "sleep 1",
            "sleep x",
            "sleep -1s",
            "sleep 99d",
            "limit quota",
            "limit foo",
            "usage input=x",
            "usage cost=-1",
            "exit 256",
            "flood 9G",
            "crash now",
            "deny",
            "run",
        ] {
            assert_eq!(error(bad).0, 1, "{bad}");
        }
    }

    proptest::proptest! {
        /// Any text is a script or an error that names one of its lines.
        #[test]
        fn no_text_panics(
            words in "(@|write |append |limit |usage |sleep |flood |\\PC|<<|\"|é|\n| ){0,40}",
        ) {
            if let Err(error) = parse(&words) {
                proptest::prop_assert!(error.line >= 1 && error.line <= words.lines().count());
            }
        }
    }
}
