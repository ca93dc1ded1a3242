//! The real agents, pinned by scripts/agents, complete a turn against the mock: the proof that the mock
//! speaks what they speak. Nothing but loopback and fake keys.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use longhaul_testkit::home::AgentHome;
use longhaul_testkit::provider::{MockProvider, Reply, Step};

/// Paths of the installed agents; `None`, loudly, where they are not installed, and an error in CI.
#[expect(clippy::print_stderr, reason = "a skip is loud")]
fn installed() -> Option<BTreeMap<String, PathBuf>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    if !root.join("target/agents/.installed").exists() {
        assert!(
            std::env::var_os("CI").is_none(),
            "run scripts/agents/install first"
        );
        eprintln!("SKIPPED: the real agents are not installed; run scripts/agents/install");
        return None;
    }
    let listed = std::process::Command::new(root.join("scripts/agents/install"))
        .output()
        .unwrap();
    assert!(listed.status.success());
    let listed = String::from_utf8(listed.stdout).unwrap();
    Some(
        listed
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .map(|(name, path)| (name.to_owned(), PathBuf::from(path)))
            .collect(),
    )
}

/// One turn of a shell command and words, prompt on standard input, in a new repository.
fn turn(
    agent: &str,
    args: &[&str],
    home: fn(&Path, &str) -> std::io::Result<AgentHome>,
) -> Option<Output> {
    let program = installed()?.remove(agent).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let work = folder.path().join("work");
    std::fs::create_dir(&work).unwrap();
    let provider = MockProvider::start().unwrap();
    provider.script(
        agent,
        [
            Step::new(Reply::Tool {
                text: "Creating it.".to_owned(),
                shell: "echo hi > hello.txt".to_owned(),
            }),
            Step::text("All done."),
        ],
    );
    let home = home(&folder.path().join("home"), &provider.url(agent)).unwrap();
    let mut command = if agent == "gemini" {
        let mut node = home.command("node");
        node.arg(program);
        node
    } else {
        home.command(program)
    };
    let tmp = folder.path().join("tmp");
    std::fs::create_dir(&tmp).unwrap();
    let mut child = command
        .args(args)
        .env("TMPDIR", tmp)
        .current_dir(&work)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"please create hello.txt")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let shown = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    assert_eq!(
        std::fs::read_to_string(work.join("hello.txt")).unwrap(),
        "hi\n"
    );
    let turns = provider.turns(agent);
    assert_eq!(turns.len(), 2);
    assert!(turns[0].says("please create hello.txt"));
    assert_eq!(provider.steps_left(agent), 0);
    let secret = longhaul_testkit::home::FAKE_KEY;
    assert!(
        turns[0]
            .headers
            .iter()
            .all(|(_, value)| !value.contains(secret))
    );
    Some(output)
}

fn printed(output: Option<&Output>, wanted: &str) {
    if let Some(output) = output {
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(wanted), "{text}");
    }
}

#[test]
fn claude_completes_a_turn() {
    let args = [
        "-p",
        "--output-format",
        "stream-json",
        "--verbose",
        "--permission-mode",
        "acceptEdits",
    ];
    let output = turn("claude", &args, AgentHome::claude);
    printed(output.as_ref(), r#""permissionMode":"acceptEdits""#);
    // Two steps of the default usage, and nothing of the side requests.
    printed(output.as_ref(), r#""usage":{"input_tokens":2000,"#);
}

#[test]
fn codex_completes_a_turn() {
    let args = [
        "exec",
        "--json",
        "--skip-git-repo-check",
        "-s",
        "danger-full-access",
        "-",
    ];
    let output = turn("codex", &args, AgentHome::codex);
    printed(output.as_ref(), r#""usage":{"input_tokens":2600,"#);
}

#[test]
fn gemini_completes_a_turn() {
    let output = turn(
        "gemini",
        &["-y", "--output-format", "stream-json"],
        AgentHome::gemini,
    );
    printed(output.as_ref(), r#""status":"success""#);
}

#[test]
fn opencode_completes_a_turn() {
    let output = turn(
        "opencode",
        &["run", "--format", "json", "--auto"],
        AgentHome::opencode,
    );
    printed(output.as_ref(), r#""reason":"stop""#);
}
