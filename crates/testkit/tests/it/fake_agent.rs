//! The fake agent in every format: what it prints, leaves behind and exits with.

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const AGENTS: [&str; 4] = ["claude", "codex", "gemini", "opencode"];

/// A home, a work folder and a script.
struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("work")).unwrap();
        std::fs::write(folder.path().join("script"), script).unwrap();
        Self { folder }
    }

    fn work(&self, name: &str) -> PathBuf {
        self.folder.path().join("work").join(name)
    }

    fn run(&self, agent: &str, args: &[&str], prompt: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_fake-agent"))
            .arg(agent)
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.folder.path())
            .env("FAKE_AGENT_SCRIPT", self.folder.path().join("script"))
            .env("FAKE_AGENT_RECORD", self.folder.path().join("record"))
            .current_dir(self.folder.path().join("work"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // An agent that never reads its input may be gone by now: that is its right.
        drop(child.stdin.take().unwrap().write_all(prompt.as_bytes()));
        child.wait_with_output().unwrap()
    }

    fn turn(&self, agent: &str, prompt: &str) -> Output {
        self.run(agent, headless(agent), prompt)
    }
}

fn headless(agent: &str) -> &'static [&'static str] {
    match agent {
        "claude" => &[
            "-p",
            "--output-format",
            "stream-json",
            "--verbose",
            "--permission-mode",
            "acceptEdits",
        ],
        "codex" => &["exec", "--json", "-s", "workspace-write", "-"],
        "gemini" => &["-y", "--output-format", "stream-json"],
        _ => &["run", "--format", "json", "--auto"],
    }
}

fn lines(output: &Output) -> Vec<Value> {
    std::str::from_utf8(&output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect()
}

fn last(output: &Output) -> Value {
    lines(output).pop().unwrap()
}

#[test]
fn a_turn_edits_a_file_in_every_format() {
    for agent in AGENTS {
        let stage = Stage::new(
            "expect-prompt the task\nsay working\nwrite a.txt hi\nrun cat a.txt\n\
             usage input=10 output=2 cache_read=5 cost=0.5\ndone finished",
        );
        let output = stage.turn(agent, "the task");
        assert_eq!(output.status.code(), Some(0), "{agent}");
        assert_eq!(
            std::fs::read_to_string(stage.work("a.txt")).unwrap(),
            "hi\n"
        );
        let (all, end) = (lines(&output), last(&output));
        match agent {
            "claude" => {
                assert_eq!(all[0]["subtype"], "init");
                assert_eq!(all[0]["permissionMode"], "acceptEdits");
                assert_eq!(
                    (&end["type"], &end["is_error"]),
                    (&"result".into(), &false.into())
                );
                assert_eq!(end["total_cost_usd"], 0.5);
                assert_eq!(end["result"], "finished");
            }
            "codex" => {
                assert_eq!(all[0]["type"], "thread.started");
                let ran = all
                    .iter()
                    .rfind(|l| l["item"]["type"] == "command_execution")
                    .unwrap();
                assert_eq!(ran["item"]["aggregated_output"], "hi\n");
                assert_eq!(end["usage"]["input_tokens"], 15);
            }
            "gemini" => {
                assert_eq!(all[0]["type"], "init");
                assert_eq!(
                    (&end["status"], &end["stats"]["input_tokens"]),
                    (&"success".into(), &15.into())
                );
            }
            _ => {
                assert_eq!(all[0]["type"], "step_start");
                assert_eq!(end["part"]["tokens"]["cache"]["read"], 5);
            }
        }
    }
}

#[test]
fn every_limit_has_the_agent_s_own_words_and_exit_code() {
    for agent in AGENTS {
        for class in ["quota in 1h", "throttle", "overload", "billing", "auth"] {
            let output = Stage::new(&format!("limit {class}")).turn(agent, "go");
            let end = last(&output).to_string();
            let wanted = match (agent, class) {
                ("claude", "quota in 1h") => "You've hit your session limit · resets ",
                ("claude", "throttle") => "Request rejected (429)",
                ("claude", "overload") => "\"api_error_status\":529",
                ("claude", "billing") => "Credit balance is too low",
                ("claude", _) => "Please run /login",
                ("codex", "quota in 1h") => "You’ve hit your usage limit",
                ("codex", "throttle") => "exceeded retry limit, last status: 429",
                ("codex", "overload") => "currently experiencing high demand",
                ("codex", "billing") => "Quota exceeded",
                ("codex", _) => "unexpected status 401",
                ("gemini", "quota in 1h") => "exhausted your daily quota",
                ("gemini", "throttle") => "RESOURCE_EXHAUSTED",
                ("gemini", "overload") => "UNAVAILABLE",
                ("gemini", "billing") => "Billing is disabled",
                ("gemini", _) => "UNAUTHENTICATED",
                (_, "overload") => "\"statusCode\":503",
                (_, "auth") => "\"statusCode\":401",
                _ => "\"statusCode\":429",
            };
            assert!(end.contains(wanted), "{agent} {class}: {end}");
            let code = match (agent, class) {
                ("gemini", "auth") => 145,
                ("gemini", "overload") => 17,
                ("gemini", "billing") => 144,
                ("gemini", _) => 173,
                _ => 1,
            };
            assert_eq!(output.status.code(), Some(code), "{agent} {class}");
        }
    }
    let claude = lines(&Stage::new("limit quota in 1h").turn("claude", "go"));
    let event = claude
        .iter()
        .find(|l| l["type"] == "rate_limit_event")
        .unwrap();
    assert_eq!(event["rate_limit_info"]["status"], "rejected");
    assert!(event["rate_limit_info"]["resetsAt"].as_i64().unwrap() > 1_700_000_000);
}

#[test]
fn a_conversation_is_resumed_by_its_id_and_an_unknown_one_is_refused() {
    for agent in AGENTS {
        let stage = Stage::new(
            "@attempt 1\nusage input=10 output=1\n@resume\nwrite again yes\nusage input=10 output=1",
        );
        let first = lines(&stage.turn(agent, "go")).remove(0);
        let id = ["session_id", "thread_id", "sessionID"]
            .iter()
            .find_map(|key| first[*key].as_str())
            .unwrap()
            .to_owned();
        let resume = |id: &str| {
            let args: Vec<&str> = match agent {
                "codex" => vec!["exec", "resume", "--json", id, "-"],
                "opencode" => vec!["run", "--format", "json", "-s", id],
                _ => [headless(agent), &["--resume", id]].concat(),
            };
            stage.run(agent, &args, "go on")
        };
        let second = resume(&id);
        assert_eq!(second.status.code(), Some(0), "{agent}");
        assert!(lines(&second)[0].to_string().contains(&id), "{agent}");
        assert!(stage.work("again").exists());
        if agent == "codex" {
            assert_eq!(
                last(&second)["usage"]["input_tokens"],
                20,
                "cumulative over the thread"
            );
        }
        let unknown = resume("00000000-0000-4000-8000-000000000000");
        let wanted = if agent == "gemini" { 42 } else { 1 };
        assert_eq!(unknown.status.code(), Some(wanted), "{agent}");
        assert!(!unknown.stderr.is_empty(), "{agent}");
    }
}

#[test]
fn misbehaviour_is_true_to_the_format() {
    let torn = Stage::new("say hi\ndie-midline").turn("claude", "go");
    assert_eq!(torn.status.signal(), Some(9));
    assert!(!torn.stdout.ends_with(b"\n"));

    let wrong = Stage::new("%mode bypassPermissions\n%version 9.9.9\ndone").turn("claude", "go");
    let init = lines(&wrong).remove(0);
    assert_eq!(init["permissionMode"], "bypassPermissions");
    assert_eq!(init["claude_code_version"], "9.9.9");

    let denied = Stage::new("deny Bash cargo test\ndone").turn("claude", "go");
    let denials = &last(&denied)["permission_denials"];
    assert_eq!(denials[0]["tool_input"]["command"], "cargo test");
    assert_eq!(denied.status.code(), Some(0));

    let deaf = Stage::new("%deaf\ndone").turn("codex", &"x".repeat(1 << 20));
    assert_eq!(deaf.status.code(), Some(0));

    let flood = Stage::new("flood 1M\ndone").turn("gemini", "go");
    assert!(flood.stdout.len() > 1 << 20 && lines(&flood).len() > 500);

    let outside = Stage::new("write ../outside.txt escaped\ndone");
    assert_eq!(outside.turn("opencode", "go").status.code(), Some(0));
    assert!(outside.folder.path().join("outside.txt").exists());

    let silent = Stage::new("exit 0").turn("claude", "go");
    assert_eq!((silent.status.code(), lines(&silent).len()), (Some(0), 1));
}

#[test]
fn versions_and_misuse() {
    let stage = Stage::new("done");
    let version = stage.run("claude", &["--version"], "");
    assert_eq!(version.stdout, b"2.1.197 (Claude Code)\n");
    let misused = stage.run("nobody", &[], "");
    assert_eq!(misused.status.code(), Some(99));
}

#[test]
fn every_start_is_recorded_with_its_arguments_and_prompt() {
    let stage = Stage::new("@attempt 1\nfail once\n@attempt 2\nexpect-prompt once\ndone");
    assert_eq!(stage.turn("claude", "first").status.code(), Some(1));
    assert_eq!(
        stage.turn("claude", "it failed once").status.code(),
        Some(0)
    );
    let starts = longhaul_testkit::fake::starts(&stage.folder.path().join("record"));
    let prompts: Vec<_> = starts.iter().map(|s| s.prompt.as_deref()).collect();
    assert_eq!(prompts, [Some("first"), Some("it failed once")]);
    assert_eq!(starts[0].args[0], "-p");
    assert!(starts[0].folder.ends_with("work"));
}
