//! Sessions of the pool with the fake agent's terminal interface (A21): what the real one does too rarely to wait for.

use std::path::PathBuf;
use std::time::Duration;

use longhaul_testkit::fake::{Start, starts};
use longhaul_testkit::world::{Ran, wait_until};

use crate::pool::session;
use crate::stage::{Agent, RUN_LIMIT, Stage};

const POOL: &str =
    "[harness.claude]\nhost = \"tmux\"\n[pool]\nmin = 2\nmax = 3\nack_timeout = \"1s\"\n";

/// As it is handed in; it is told with a line feed at its end.
pub(crate) const PROMPT: &str = "First line.\n\n\tindented; \"quoted\" $HOME\n  last line";

pub(crate) struct Fake {
    pub(crate) stage: Stage,
    record: PathBuf,
    pub(crate) tasks: String,
}

impl Fake {
    /// A task whose agent plays this script.
    pub(crate) fn new(script: &str) -> Self {
        let stage = Stage::fake(Agent::Claude);
        stage.config(POOL);
        let at = |name: &str| stage.world.path(format!("home/agents/f/claude/{name}"));
        let keys = format!(
            "prompt = {}\npermission = \"edits\"",
            serde_json::to_string(PROMPT).unwrap()
        );
        let tasks = stage.task("f", &keys, &["grep -q yes f.txt"]);
        let (played, record) = (at("script"), at("record"));
        std::fs::write(&played, script).unwrap();
        let tasks = tasks.replace(
            "[task.env]\n",
            &format!(
                "[task.env]\nFAKE_AGENT_SCRIPT = {played:?}\nFAKE_AGENT_RECORD = {record:?}\n"
            ),
        );
        Self {
            stage,
            record,
            tasks,
        }
    }

    fn run(&self) -> Ran {
        let ran = self.stage.run(&self.stage.repo(), &self.tasks);
        let shown = self.stage.show("f");
        assert_eq!(ran.code(), 0, "{ran:?}\n{shown:#}");
        assert_eq!(shown["attempts"].as_array().unwrap().len(), 1, "{shown:#}");
        ran
    }

    pub(crate) fn starts(&self) -> Vec<Start> {
        starts(&self.record)
    }

    pub(crate) fn end(&self) {
        let home = self.stage.world.home();
        self.stage
            .world
            .longhaul(&home, ["pool", "stop"])
            .expect_code(0);
        self.stage.expect_nothing_left();
    }
}

#[test]
fn a21_a_swallowed_enter_is_pressed_once_more_and_the_prompt_arrives_once() {
    let fake = Fake::new("%swallow 1\n%slow 300\nwrite f.txt yes\ndone fine\n");
    fake.run();
    let starts = fake.starts();
    let prompts: Vec<_> = starts.iter().filter_map(|s| s.prompt.as_deref()).collect();
    assert_eq!(prompts, [format!("{PROMPT}\n")], "byte for byte");
    assert_eq!(starts.len(), 1);
    fake.end();
}

#[test]
fn a21_a_stuck_session_is_given_up_and_the_task_goes_elsewhere() {
    let fake = Fake::new("%swallow 99\nwrite f.txt yes\ndone fine\n");
    fake.run();
    let starts = fake.starts();
    assert_eq!(starts.len(), 2, "{starts:?}");
    // Never submitted where it was stuck, and that agent is gone.
    assert_eq!(starts[0].prompt, None);
    assert_eq!(starts[1].prompt, Some(format!("{PROMPT}\n")));
    assert!(!std::path::Path::new(&format!("/proc/{}", starts[0].pid)).exists());
    let told = session(&fake.stage, "lh-0")["last"].clone();
    assert_eq!(told["what"], "stuck", "{told:#}");
    assert_eq!(
        told["why"],
        "the prompt was submitted and never acknowledged"
    );
    assert_eq!(session(&fake.stage, "lh-1")["last"]["what"], "done");
    // A stuck session's pane is as free as any once its agent is gone.
    assert_eq!(session(&fake.stage, "lh-0")["state"], "free");
    fake.end();
}

#[test]
fn a24_a_worktree_is_trusted_and_a_question_is_nobodys_but_a_persons() {
    let fake = Fake::new("%trust\n%ask Do you want to proceed?\nwrite f.txt yes\ndone fine\n");
    let (running, _) = fake.stage.start(&fake.stage.repo(), &fake.tasks);
    let asked = || {
        let shown = fake.stage.try_show("f");
        shown.is_some_and(|s| {
            s["live"]["question"]
                .as_str()
                .is_some_and(|q| q.contains("Do you want to proceed?"))
        })
    };
    assert!(
        wait_until(Duration::from_secs(30), asked),
        "{:#}",
        fake.stage.show("f")
    );
    crate::pool::tmux(&fake.stage, &["send-keys", "-t", "=lh-0:0.0", "Enter"]);
    running.finish(RUN_LIMIT).expect_code(0);
    assert_eq!(fake.starts().len(), 1);
    fake.end();
}

/// A terminal of a person: a tmux server of the test's own, ended with it.
struct Desk(std::path::PathBuf);

impl Desk {
    fn run(&self, args: &[&str]) -> String {
        let done = std::process::Command::new("tmux")
            .args(["-u", "-f", "/dev/null", "-S"])
            .arg(&self.0)
            .args(args)
            .env_remove("TMUX")
            .output()
            .unwrap();
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    #[track_caller]
    fn sees(&self, words: &str) {
        let seen = || self.run(&["capture-pane", "-p", "-t", "desk"]);
        assert!(
            wait_until(Duration::from_secs(30), || seen().contains(words)),
            "{words}\n{}",
            seen()
        );
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.run(&["kill-server"]);
    }
}

#[test]
fn a21_attach_joins_the_screen_of_a_task_and_leaving_it_ends_nothing() {
    let fake = Fake::new("%ask Do you want to proceed?\nwrite f.txt yes\ndone fine\n");
    let (running, _) = fake.stage.start(&fake.stage.repo(), &fake.tasks);
    let asked = || {
        let shown = fake.stage.try_show("f");
        shown.is_some_and(|s| s["live"]["question"].is_string())
    };
    assert!(wait_until(Duration::from_secs(30), asked));
    let desk = Desk(fake.stage.world.path("desk.sock"));
    let command = fake
        .stage
        .world
        .longhaul_in(fake.stage.repo().path(), ["attach", "f"]);
    let mut line = String::from("env -i TERM=xterm");
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            line.push_str(&format!(
                " {}='{}'",
                name.to_string_lossy(),
                value.to_string_lossy()
            ));
        }
    }
    let folder = fake.stage.repo();
    line = format!(
        "cd {}; {line} {}",
        folder.path().display(),
        command.get_program().to_string_lossy()
    );
    for arg in command.get_args() {
        line.push_str(&format!(" {}", arg.to_string_lossy()));
    }
    desk.run(&[
        "new-session",
        "-d",
        "-s",
        "desk",
        "-x",
        "170",
        "-y",
        "55",
        &format!("{line}; sleep 600"),
    ]);
    desk.sees("Do you want to proceed?");
    assert_eq!(session(&fake.stage, "lh-0")["state"], "busy");
    // A key of the person's own terminal, as they would press it.
    desk.run(&["send-keys", "-t", "desk", "C-b", "d"]);
    desk.sees("left lh-0; f goes on");
    assert_eq!(session(&fake.stage, "lh-0")["state"], "busy");
    crate::pool::tmux(&fake.stage, &["send-keys", "-t", "=lh-0:0.0", "Enter"]);
    running.finish(RUN_LIMIT).expect_code(0);
    assert_eq!(fake.starts().len(), 1);
    drop(desk);
    fake.end();
}
