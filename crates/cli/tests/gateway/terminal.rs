//! `longhaul supervise` on a real terminal: `script` (util-linux) gives one. The command has the terminal itself; a
//! person is asked; the terminal is as it was whatever happens (A15, A16).

use std::io::Write as _;
use std::process::{Child, ChildStdin, Stdio};
use std::time::Duration;

use longhaul_testkit::world::wait_until;

use crate::supervise::{Keys, limited};

const LIMIT: Duration = Duration::from_secs(40);

/// A terminal in which a shell runs these lines.
struct Screen<'k> {
    keys: &'k Keys,
    child: Child,
    stdin: Option<ChildStdin>,
}

impl<'k> Screen<'k> {
    fn new(keys: &'k Keys, lines: &str) -> Self {
        let file = keys.world.path("out/screen");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        drop(std::fs::remove_file(&file));
        let lines = lines.replace("LONGHAUL", env!("CARGO_BIN_EXE_longhaul"));
        let mut command = keys.world.command("/usr/bin/script");
        command
            .current_dir(keys.world.home())
            .env("SHELL", "/bin/sh")
            .env("TERM", "xterm")
            .args(["--quiet", "--return", "--flush", "--command"])
            .arg(format!("stty rows 33 cols 77; {lines}"))
            .arg(&file)
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        let mut child = command
            .spawn()
            .expect("`script` of util-linux is needed for a terminal: apt-get install bsdutils");
        let stdin = child.stdin.take();
        Self { keys, child, stdin }
    }

    fn text(&self) -> String {
        let bytes = std::fs::read(self.keys.world.path("out/screen")).unwrap_or_default();
        // The first line is `script`'s own, and names the command.
        let text = String::from_utf8_lossy(&bytes).into_owned();
        text.split_once('\n')
            .map_or_else(String::new, |(_, rest)| rest.to_owned())
    }

    #[track_caller]
    fn sees(&self, wanted: &str) {
        let seen = wait_until(LIMIT, || self.text().contains(wanted));
        assert!(seen, "never saw {wanted:?} in {}", self.text());
    }

    fn types(&mut self, keys: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(keys.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// Its text and its code, once it ended.
    #[track_caller]
    fn ends(mut self) -> (String, i32) {
        let mut status = None;
        let ended = wait_until(LIMIT, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        if !ended {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
            panic!("did not end: {}", self.text());
        }
        (self.text(), status.and_then(|s| s.code()).unwrap_or(-1))
    }
}

/// The terminal's modes as one line, with a word in front.
const MODES: &str = "printf 'modes '; stty -a | tr '\\n' ' '; echo; ";

#[test]
fn a15_the_command_has_the_terminal_itself_its_size_and_ctrl_c() {
    let keys = Keys::new(1);
    let inner = "test -t 0 && test -t 1 && test -t 2 && stty size; trap 'echo got it; exit 7' INT; \
        echo ready; while :; do sleep 0.1; done";
    let mut screen = Screen::new(
        &keys,
        &format!(
            "LONGHAUL supervise -- sh -c '{}'",
            inner.replace('\'', r"'\''")
        ),
    );
    screen.sees("ready");
    screen.types("\x03");
    let (text, code) = screen.ends();
    assert_eq!(code, 7, "{text}");
    assert!(text.contains("33 77") && text.contains("got it"), "{text}");
}

#[test]
fn a15_keys_reach_a_raw_program_and_its_modes_are_gone_when_it_was_killed() {
    let keys = Keys::new(1);
    // Raw, one key, then it dies without a word.
    let inner =
        "stty raw -echo; echo ready; k=$(dd bs=1 count=1 2>/dev/null); echo key-$k; kill -KILL $$";
    let lines = format!(
        "LONGHAUL supervise -- sh -c \"{}\"; echo \"code $?\"; {MODES}",
        inner.replace('$', r"\$")
    );
    let mut screen = Screen::new(&keys, &lines);
    screen.sees("ready");
    screen.types("q");
    let (text, _) = screen.ends();
    assert!(text.contains("key-q"), "{text}");
    assert!(text.contains("code 137"), "{text}");
    let modes = text.split("modes ").nth(1).unwrap_or_default();
    assert!(
        modes.contains(" icanon") && modes.contains(" echo "),
        "{modes}"
    );
}

#[test]
fn a15_ctrl_z_stops_both_and_fg_goes_on() {
    let keys = Keys::new(1);
    let inner = "echo ready; read line; echo got-$line; exit 6";
    // A shell with job control in between, as a person has.
    let lines = format!(
        "bash --norc --noprofile -i -c 'set -m; LONGHAUL supervise -- sh -c \"{}\"; echo back; fg; echo code $?'",
        inner.replace('$', r"\$")
    );
    let mut screen = Screen::new(&keys, &lines);
    screen.sees("ready");
    screen.types("\x1a");
    screen.sees("back");
    screen.types("hello\n");
    let (text, _) = screen.ends();
    assert!(
        text.contains("got-hello") && text.contains("code 6"),
        "{text}"
    );
}

fn asked(keys: &Keys, count_of_choices: usize) -> Screen<'_> {
    keys.checks(1, [limited(5)]);
    let inner = "echo with-$ANTHROPIC_API_KEY; case $ANTHROPIC_API_KEY in *2) exit 4;; esac; \
        i=0; while [ $i -lt 40 ]; do sleep 0.1; i=$((i+1)); done; exit 3";
    let lines = format!(
        "LONGHAUL supervise -i --interval 1s -- sh -c '{inner}'; echo \"code $?\"; {MODES}"
    );
    let screen = Screen::new(keys, &lines);
    screen.sees("which? [1]");
    assert!(
        screen.text().contains(&format!("  {count_of_choices}  ")),
        "{}",
        screen.text()
    );
    screen
}

#[track_caller]
fn as_before(text: &str) {
    let modes = text.split("modes ").nth(1).unwrap_or_default();
    assert!(
        modes.contains(" icanon") && modes.contains(" echo "),
        "{modes}"
    );
}

#[test]
fn a16_the_default_goes_on_with_the_next_account_and_nonsense_is_asked_again() {
    let keys = Keys::new(2);
    let mut screen = asked(&keys, 4);
    screen.types("7\n");
    screen.sees("a number from 1 to 4");
    screen.types("\n");
    let (text, _) = screen.ends();
    assert!(
        text.contains("with-sk-ant-very-secret-2") && text.contains("code 4"),
        "{text}"
    );
    as_before(&text);
}

#[test]
fn a16_two_waits_and_the_same_command_goes_on() {
    let keys = Keys::new(2);
    let mut screen = asked(&keys, 4);
    screen.types("2\n");
    let (text, _) = screen.ends();
    assert!(text.contains("code 3"), "{text}");
    assert!(text.contains("until account 1/2 (k1) is back"), "{text}");
    assert_eq!(
        text.matches("with-").count(),
        1,
        "it was not begun again: {text}"
    );
    as_before(&text);
}

#[test]
fn a16_three_ends_it_and_says_how_to_go_on() {
    let keys = Keys::new(2);
    let mut screen = asked(&keys, 4);
    screen.types("3\n");
    let (text, _) = screen.ends();
    assert!(text.contains("code 143"), "{text}");
    assert!(
        text.contains("longhaul supervise --interactive -- sh -c"),
        "{text}"
    );
    as_before(&text);
}

#[test]
fn a16_four_keeps_going_and_is_not_asked_again() {
    let keys = Keys::new(2);
    let mut screen = asked(&keys, 4);
    screen.types("4\n");
    let (text, _) = screen.ends();
    assert!(text.contains("code 3"), "{text}");
    assert_eq!(text.matches("which?").count(), 1, "{text}");
}

#[test]
fn a16_with_no_account_left_it_is_wait_or_exit() {
    let keys = Keys::new(1);
    let mut screen = asked(&keys, 2);
    assert!(!screen.text().contains("  3  "), "{}", screen.text());
    screen.types("1\n");
    let (text, _) = screen.ends();
    assert!(text.contains("code 3"), "{text}");
    as_before(&text);
}
