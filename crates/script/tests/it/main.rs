//! Plays scripts in real processes: what they write, say, leave behind and exit with.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A folder with one script, played as often as wanted.
struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("s.script"), script).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn start(&self, args: &[&str], prompt: &str) -> Child {
        let mut child = Command::new(env!("CARGO_BIN_EXE_script-player"))
            .args(["--script", "s.script"])
            .args(args)
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(prompt.as_bytes()).unwrap();
        child
    }

    fn play(&self, args: &[&str], prompt: &str) -> Output {
        self.start(args, prompt).wait_with_output().unwrap()
    }
}

fn events(output: &Output) -> Vec<Value> {
    String::from_utf8(output.stdout.clone())
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn types(output: &Output) -> Vec<String> {
    events(output)
        .iter()
        .map(|e| e["type"].as_str().unwrap().to_owned())
        .collect()
}

#[track_caller]
fn wait_until(what: &str, mut ready: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !ready() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

fn signal(pid: u32, name: &str) {
    let done = Command::new("/bin/kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .status()
        .unwrap();
    assert!(done.success());
}

#[test]
fn a_turn_edits_files_and_ends_ok() {
    let stage = Stage::new(
        "say hello\nwrite d/a.txt <<END\none\ntwo\nEND\nappend d/a.txt three\nrun cat d/a.txt\n\
         usage input=10 output=2 cost=0.01\nusage input=5 cost=0.02\ndone all good\n",
    );
    let output = stage.play(&["--conversation", "c-1"], "the task");
    assert_eq!(output.status.code(), Some(0));
    let events = events(&output);
    assert_eq!(events[0]["type"], "start");
    assert_eq!(events[0]["conversation"], "c-1");
    assert_eq!(events[0]["mode"], "edits");
    assert_eq!(
        std::fs::read_to_string(stage.path("d/a.txt")).unwrap(),
        "one\ntwo\nthree\n"
    );
    let ran = events.iter().rfind(|e| e["type"] == "tool_end").unwrap();
    assert_eq!(ran["ok"], true);
    assert_eq!(ran["output"], "one\ntwo\nthree\n");
    let usage = events.iter().rfind(|e| e["type"] == "usage").unwrap();
    assert_eq!(
        (usage["input"].as_u64(), usage["output"].as_u64()),
        (Some(15), Some(2))
    );
    assert!((usage["cost_usd"].as_f64().unwrap() - 0.03).abs() < 1e-9);
    let end = events.last().unwrap();
    assert_eq!(
        (end["type"].as_str(), end["ok"].as_bool()),
        (Some("end"), Some(true))
    );
    assert_eq!(end["summary"], "all good");
}

#[test]
fn attempts_and_resumes_take_their_own_sections() {
    let stage =
        Stage::new("@attempt 1\nwrite a 1\n@attempt 2\nwrite a 2\n@resume\nwrite a again\n");
    let told = |args: &[&str]| {
        assert_eq!(stage.play(args, "").status.code(), Some(0));
        std::fs::read_to_string(stage.path("a")).unwrap()
    };
    assert_eq!(told(&["--attempt", "1"]), "1\n");
    assert_eq!(told(&["--attempt", "2"]), "2\n");
    assert_eq!(told(&["--attempt", "2", "--resume", "c-9"]), "again\n");
    let resumed = stage.play(&["--conversation", "other", "--resume", "c-9"], "");
    assert_eq!(events(&resumed)[0]["conversation"], "c-9");
}

#[test]
fn plan_mode_denies_every_write_and_command() {
    let stage = Stage::new("write a x\nappend a x\ndelete s.script\nrun touch b\n");
    let output = stage.play(&["--mode", "plan"], "");
    assert_eq!(
        types(&output),
        ["start", "denied", "denied", "denied", "denied", "end"]
    );
    assert!(!stage.path("a").exists() && !stage.path("b").exists());
    assert!(stage.path("s.script").exists());
}

#[test]
fn the_prompt_can_be_demanded() {
    let stage = Stage::new("expect-prompt exit code 7\n");
    assert_eq!(
        stage.play(&[], "it failed with exit code 7.").status.code(),
        Some(0)
    );
    let output = stage.play(&[], "do it");
    assert_eq!(output.status.code(), Some(1));
    let end = events(&output).pop().unwrap();
    assert_eq!(
        (end["ok"].as_bool(), end["error"].as_str()),
        (Some(false), Some("the prompt lacks: exit code 7"))
    );
}

#[test]
fn a_limit_ends_the_turn_not_ok_with_its_reset() {
    let stage = Stage::new("limit quota in 3s\nwrite never x\n");
    let output = stage.play(&[], "");
    assert_eq!(output.status.code(), Some(1));
    let events = events(&output);
    assert_eq!(types(&output), ["start", "limit", "end"]);
    assert_eq!(events[1]["class"], "quota");
    assert_eq!(events[1]["window"], "five_hour");
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_millis();
    let reset = u128::from(events[1]["reset_at_ms"].as_u64().unwrap());
    assert!(reset <= now + 3000 && reset + 10_000 > now);
    let bare = self::events(&Stage::new("limit throttle").play(&[], ""));
    assert_eq!(
        (&bare[1]["reset_at_ms"], &bare[1]["window"]),
        (&Value::Null, &Value::Null)
    );
}

#[test]
fn misbehaving_ends_are_true_to_their_word() {
    let quiet = Stage::new("exit 42").play(&[], "");
    assert_eq!(
        (quiet.status.code(), types(&quiet)),
        (Some(42), vec!["start".to_owned()])
    );
    let killed = Stage::new("crash").play(&[], "");
    assert_eq!(
        (killed.status.signal(), types(&killed)),
        (Some(9), vec!["start".to_owned()])
    );
    let torn = Stage::new("die-midline").play(&[], "");
    assert_eq!(torn.status.signal(), Some(9));
    let text = String::from_utf8(torn.stdout).unwrap();
    assert!(text.ends_with(r#"{"type":"say","te"#), "{text}");
    let failed = Stage::new("fail no luck").play(&[], "");
    assert_eq!(failed.status.code(), Some(1));
    assert_eq!(events(&failed)[1]["error"], "no luck");
}

#[test]
fn a_flood_is_whole_lines_of_about_the_size() {
    let output = Stage::new("flood 3M").play(&[], "");
    assert!(output.stdout.len() > 3 << 20 && output.stdout.len() < 4 << 20);
    assert!(events(&output).len() > 1000);
}

#[test]
fn a_command_with_much_output_or_a_stray_child_does_not_hang_the_turn() {
    let stage =
        Stage::new("run head -c 3000000 /dev/zero | tr '\\0' x\nrun sleep 30 & echo $! > pid\n");
    let started = Instant::now();
    let output = stage.play(&[], "");
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(events(&output)[2]["output"].as_str().unwrap().len(), 4096);
    let pid = std::fs::read_to_string(stage.path("pid")).unwrap();
    signal(pid.trim().parse().unwrap(), "KILL");
}

#[test]
fn hanging_ends_by_a_signal_and_ignore_term_does_not() {
    let stage = Stage::new("hang");
    let child = stage.start(&[], "");
    signal(child.id(), "TERM");
    assert_eq!(child.wait_with_output().unwrap().status.signal(), Some(15));

    let stage = Stage::new("ignore-term\nwrite ready x\nask may I?\n");
    let mut child = stage.start(&[], "");
    wait_until("the signal is ignored", || stage.path("ready").exists());
    signal(child.id(), "TERM");
    // Level-triggered: the signal is no longer pending once it was delivered.
    wait_until("the signal was delivered", || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let pending = status.lines().find(|l| l.starts_with("ShdPnd:")).unwrap();
        pending.ends_with("0000000000000000")
    });
    assert!(is_alive(child.id()));
    child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.signal(), Some(9));
    assert_eq!(types(&output).last().map(String::as_str), Some("question"));
}

#[test]
fn a_spawned_grandchild_lives_on_in_its_own_session() {
    let stage = Stage::new("spawn echo $$ > pid.tmp; mv pid.tmp pid; exec sleep 30 >&- 2>&-\n");
    let output = stage.play(&[], "");
    assert_eq!(output.status.code(), Some(0));
    wait_until("the grandchild tells its pid", || {
        stage.path("pid").exists()
    });
    let pid: u32 = std::fs::read_to_string(stage.path("pid"))
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert!(is_alive(pid));
    assert_eq!(session_of(pid), pid);
    signal(pid, "KILL");
}

fn session_of(pid: u32) -> u32 {
    let stat =
        std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).unwrap();
    let after = stat.rsplit_once(')').unwrap().1;
    after.split_whitespace().nth(3).unwrap().parse().unwrap()
}

#[test]
fn what_cannot_be_played_says_why_and_plays_nothing() {
    let wrong = Stage::new("say hi\nsayy ho\n").play(&[], "");
    assert_eq!(wrong.status.code(), Some(2));
    assert!(wrong.stdout.is_empty());
    let told = String::from_utf8(wrong.stderr).unwrap();
    assert!(
        told.contains("s.script has a mistake: line 2: there is no command `sayy`"),
        "{told}"
    );
    let flags = Stage::new("done").play(&["--mode", "godlike"], "");
    assert_eq!(flags.status.code(), Some(2));
}
