//! An agent that was told to help itself: it may read its own task, and nothing else (I17, T25). Shown
//! with the real Claude, whose own permission checks are off.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use longhaul_testkit::provider::Step;
use longhaul_testkit::world::{Repo, read, write};
use serde_json::Value;

use crate::stage::{Agent, Stage};

/// A stage whose user said that the machine is a sandbox (without that Claude refuses to bypass its
/// checks as root), with a task that waits for a person.
struct Siege {
    stage: Stage,
}

impl Siege {
    fn new() -> Option<Self> {
        let stage = Stage::new(Agent::Claude)?;
        stage.config("sandboxed = true");
        Some(Self { stage })
    }

    /// Runs the task of another, which ends needing a person, with a workspace of its own.
    fn victim(&self, repo: &Repo<'_>) -> Value {
        let tasks = "[[task]]\nname = \"victim\"\nharness = \"script\"\nmax_retries = 0\n\
                     prompt = \"write victim.txt hello\"\n[[task.check]]\nrun = \"false\"\n";
        self.stage.run(repo, tasks).expect_code(3);
        self.stage.show("victim")
    }

    /// Lets Claude run these lines of shell as task `thief`; each result is in a file of its name.
    fn attack(&self, repo: &Repo<'_>, sandbox: &str, lines: &str) -> Results {
        let stage = &self.stage;
        let script = stage.world.path("bin/attack");
        let text = format!(
            "#!/bin/sh\n# try NAME COMMAND…: notes how it ended and what it said.\n\
             R=\"$PWD/results\"; mkdir -p \"$R\"\n\
             try() {{ name=$1; shift; \"$@\" >\"$R/$name.out\" 2>&1 </dev/null; echo $? >\"$R/$name\"; }}\n\
             {lines}\nexit 0\n"
        );
        write(&script, &text).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let steps = [Step::shell(script.to_str().unwrap()), Step::text("Done.")];
        stage.script("thief", steps);
        // What a task file of the repository asks for here is the user's own word only after this.
        let trust = ["trust", "--yes"];
        stage.world.longhaul(repo.path(), trust).expect_code(0);
        let keys = format!(
            "prompt = \"help yourself\"\npermission = \"bypass\"\nsandbox = \"{sandbox}\"\nmax_retries = 0"
        );
        let tasks = stage.task("thief", &keys, &[]);
        let ran = stage.run(repo, &tasks);
        let Some(shown) = stage.try_show("thief") else {
            panic!("it was not taken in: {ran:?}");
        };
        let folder = shown["workspace"]["path"].as_str().unwrap().to_owned();
        Results {
            code: ran.code(),
            folder: Path::new(&folder).join("results"),
            shown,
        }
    }
}

/// What the tries gave.
struct Results {
    code: i32,
    folder: std::path::PathBuf,
    shown: Value,
}

impl Results {
    /// How a try ended, and what it printed.
    #[track_caller]
    fn of(&self, name: &str) -> (i32, String) {
        let code = read(&self.folder.join(name));
        let code = code.trim().parse();
        let printed = read(&self.folder.join(format!("{name}.out")));
        match code {
            Ok(code) => (code, printed),
            Err(error) => panic!(
                "{name} left no result ({error}): {printed}\n{:#}",
                self.shown
            ),
        }
    }

    /// Each was refused by the daemon or by the program, with the exit code that says so.
    #[track_caller]
    fn refused(&self, names: &[&str]) {
        self.all(names, "was not refused", |code| code == 8);
    }

    /// None of them worked, whoever hindered it.
    #[track_caller]
    fn failed(&self, names: &[&str]) {
        self.all(names, "worked", |code| code != 0);
    }

    #[track_caller]
    fn all(&self, names: &[&str], complaint: &str, right: impl Fn(i32) -> bool) {
        let wrong: Vec<String> = names
            .iter()
            .map(|name| (name, self.of(name)))
            .filter(|(_, (code, _))| !right(*code))
            .map(|(name, (code, printed))| format!("{name} {complaint} ({code}): {printed}"))
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

/// A raw request over the daemon's socket, as an agent without our program would make it. (git needs
/// Perl, so it is there.)
const RAW: &str = r#"
use IO::Socket::UNIX;
my ($path, $method, $target, $body) = @ARGV;
$body = "{}" unless defined $body;
my $s = IO::Socket::UNIX->new(Peer => $path) or die "cannot connect: $!";
print $s "$method $target HTTP/1.1\r\nhost: longhaul\r\ncontent-type: application/json\r\n",
  "content-length: ", length($body), "\r\nconnection: close\r\n\r\n", $body;
$s->flush;
my $answer = join "", <$s>;
print $answer;
exit($answer =~ m{^HTTP/1.1 200 } ? 0 : $answer =~ m{^HTTP/1.1 403 } ? 8 : 1);
"#;

/// Verbs and requests that are a person's alone.
fn orders(siege: &Siege, victim: &Value) -> String {
    let world = &siege.stage.world;
    let program = env!("CARGO_BIN_EXE_longhaul");
    write(&world.path("bin/raw.pl"), RAW).unwrap();
    let raw = world.path("bin/raw.pl");
    let raw = raw.display();
    let id = victim["task"]["id"].as_str().unwrap();
    let mut text = format!("L={program}\n");
    for (name, arguments) in [
        ("approve", "approve victim"),
        ("retry", "retry victim"),
        ("cancel", "cancel --yes victim"),
        ("stop", "stop victim"),
        ("pause", "pause victim"),
        ("send", "send victim hello"),
        ("undo", "undo victim --yes"),
        ("remove", "workspace remove victim --force --yes"),
        ("keep", "workspace keep victim"),
        ("merge", "workspace merge victim"),
        ("rebase", "workspace rebase victim"),
        ("cleanup", "stop --cleanup victim"),
        ("show-other", "show victim"),
        ("logs-other", "logs victim"),
        ("ls", "ls"),
        ("status", "status"),
        ("report", "report"),
        ("events", "events"),
        (
            "add",
            "add --name mine --harness script --prompt 'write x hello'",
        ),
        ("drain", "drain"),
        ("estop", "estop"),
        ("trust", "trust --yes"),
        ("daemon-stop", "daemon stop"),
        ("cancel-self", "cancel --yes thief"),
        ("approve-self", "approve thief"),
    ] {
        writeln!(text, "try {name} $L {arguments}").unwrap();
    }
    writeln!(text, "try show-own $L show thief --json").unwrap();
    // The daemon's socket by hand.
    let order = format!(r#"{{"order":"approve","tasks":["{id}"]}}"#);
    writeln!(text, "S=$LONGHAUL_RUNTIME_DIR/daemon.sock").unwrap();
    writeln!(text, "try raw-version perl {raw} $S GET /v1/version").unwrap();
    writeln!(text, "try raw-list perl {raw} $S GET /v1/tasks").unwrap();
    writeln!(text, "try raw-other perl {raw} $S GET /v1/tasks/{id}").unwrap();
    writeln!(
        text,
        "try raw-order perl {raw} $S POST /v1/tasks/orders '{order}'"
    )
    .unwrap();
    writeln!(text, "try raw-shutdown perl {raw} $S POST /v1/shutdown").unwrap();
    // Without the environment that tells whose child it is, in a session of its own, orphaned.
    let mut clean = String::from("env -i PATH=\"$PATH\" HOME=\"$HOME\"");
    for name in ["STATE", "CONFIG", "RUNTIME"] {
        write!(clean, " LONGHAUL_{name}_DIR=\"$LONGHAUL_{name}_DIR\"").unwrap();
    }
    writeln!(text, "try clean {clean} $L approve victim").unwrap();
    writeln!(
        text,
        "( {clean} setsid sh -c '( sleep 0.2; '$L' approve victim >'$R'/orphan.out 2>&1; echo $? >'$R'/orphan.tmp; mv '$R'/orphan.tmp '$R'/orphan ) & ' ) >/dev/null 2>&1\n\
         n=0; while [ ! -e $R/orphan ] && [ $n -lt 100 ]; do sleep 0.1; n=$((n+1)); done"
    )
    .unwrap();
    text
}

/// Every order was refused, and its own task could be read.
fn check_orders(results: &Results) {
    results.refused(&[
        "approve",
        "retry",
        "cancel",
        "stop",
        "pause",
        "send",
        "undo",
        "remove",
        "keep",
        "merge",
        "rebase",
        "cleanup",
        "show-other",
        "logs-other",
        "ls",
        "status",
        "report",
        "events",
        "drain",
        "estop",
        "trust",
        "daemon-stop",
        "cancel-self",
        "approve-self",
        "raw-list",
        "raw-other",
        "raw-order",
        "raw-shutdown",
        "clean",
        "orphan",
    ]);
    let (code, printed) = results.of("show-own");
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains("\"thief\""), "{printed}");
    assert_eq!(results.of("raw-version").0, 0);
}

/// The other task is what it was, to the ledger's last row.
#[track_caller]
fn untouched(siege: &Siege, before: &Value) {
    let after = siege.stage.show("victim");
    assert_eq!(after["task"], before["task"]);
    assert_eq!(after["ledger"], before["ledger"]);
}

#[test]
fn i17_t25_a_confined_session_can_only_read_its_own_task() {
    let Some(siege) = Siege::new() else {
        return;
    };
    let world = &siege.stage.world;
    let repo = siege.stage.repo();
    let victim = siege.victim(&repo);
    let workspace = victim["workspace"]["path"].as_str().unwrap();
    let state = world.state();
    let daemon = siege.daemon();
    let mut lines = orders(&siege, &victim);
    // The shim is the one above all processes of the session.
    lines.push_str(
        "SHIM=$$; until grep -q __shim /proc/$SHIM/cmdline; do SHIM=$(sed -n 's/^PPid:.//p' /proc/$SHIM/status); done\n",
    );
    for (name, command) in [
        ("db-read", format!("cat {}/longhaul.db", state.display())),
        (
            "db-write",
            format!("sh -c 'echo x >> {}/longhaul.db'", state.display()),
        ),
        (
            "db-wal",
            format!("sh -c 'echo x >> {}/longhaul.db-wal'", state.display()),
        ),
        (
            "db-remove",
            format!("rm -f {}/longhaul.db", state.display()),
        ),
        ("log-read", format!("cat {}/daemon.log", state.display())),
        (
            "config-read",
            format!("cat {}", world.config_file().display()),
        ),
        (
            "config-write",
            format!("sh -c 'echo >> {}'", world.config_file().display()),
        ),
        (
            "trust-write",
            format!(
                "sh -c 'echo >> {}'",
                world.path("config/longhaul/trust.toml").display()
            ),
        ),
        (
            "hook",
            format!(
                "touch {}",
                repo.path().join(".git/hooks/post-checkout").display()
            ),
        ),
        (
            "git-config",
            format!(
                "git -C {} config core.fsmonitor /bin/true",
                repo.path().display()
            ),
        ),
        (
            "git-attributes",
            format!(
                "touch {}",
                repo.path().join(".git/info/attributes").display()
            ),
        ),
        (
            "base-branch",
            "sh -c 'git update-ref refs/heads/main $(git commit-tree -m x HEAD^{tree})'".to_owned(),
        ),
        (
            "checkout",
            format!(
                "sh -c 'echo >> {}'",
                repo.path().join("README.md").display()
            ),
        ),
        ("other-workspace", format!("touch {workspace}/mine")),
        ("kill-daemon", format!("kill -9 {daemon}")),
        ("kill-shim", "kill -9 $SHIM".to_owned()),
    ] {
        writeln!(lines, "try {name} {command}").unwrap();
    }
    let results = siege.attack(&repo, "write", &lines);
    check_orders(&results);
    results.failed(&[
        // It needs the user's configuration, which is closed here.
        "add",
        "db-read",
        "db-write",
        "db-wal",
        "db-remove",
        "log-read",
        "config-read",
        "config-write",
        "trust-write",
        "hook",
        "git-config",
        "git-attributes",
        "checkout",
        "other-workspace",
        "kill-daemon",
        "kill-shim",
        "base-branch",
    ]);
    for name in ["kill-daemon", "kill-shim"] {
        let (_, printed) = results.of(name);
        assert!(printed.contains("not permitted"), "{name}: {printed}");
    }
    untouched(&siege, &victim);
    assert_eq!(siege.daemon(), daemon, "the same daemon");
    assert_eq!(results.shown["attempts"].as_array().unwrap().len(), 1);
    let log = siege.stage.daemon_log();
    assert!(log.contains("refused: not a person (I17)"), "{log}");
    assert_eq!(results.code, 0, "{:#}", results.shown);
    siege.stage.expect_nothing_left();
}

#[test]
fn i17_the_socket_refuses_a_session_without_a_sandbox_too() {
    let Some(siege) = Siege::new() else {
        return;
    };
    let repo = siege.stage.repo();
    let victim = siege.victim(&repo);
    let lines = orders(&siege, &victim);
    let results = siege.attack(&repo, "off", &lines);
    check_orders(&results);
    results.refused(&["add"]);
    untouched(&siege, &victim);
    assert_eq!(results.code, 0, "{:#}", results.shown);
    siege.stage.expect_nothing_left();
}

impl Siege {
    /// The daemon's pid.
    fn daemon(&self) -> u64 {
        let home = self.stage.world.home();
        let ran = self
            .stage
            .world
            .longhaul(&home, ["daemon", "status", "--json"]);
        ran.expect_code(0).json()["data"]["version"]["pid"]
            .as_u64()
            .unwrap()
    }
}

#[test]
fn i8_a_session_that_kills_its_own_shim_is_ended_and_tried_again() {
    let Some(siege) = Siege::new() else {
        return;
    };
    let stage = &siege.stage;
    let repo = stage.repo();
    let script = stage.world.path("bin/kill-shim");
    let text = "#!/bin/sh\nSHIM=$$; until grep -q __shim /proc/$SHIM/cmdline; do \
                SHIM=$(sed -n 's/^PPid:.//p' /proc/$SHIM/status); done\n\
                setsid sleep 300 &\nenv -i setsid /bin/sh -c 'sleep 300 & sleep 300' &\nkill -9 $SHIM\nsleep 300\n";
    write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    stage.script(
        "killer",
        [
            Step::shell(script.to_str().unwrap()),
            Step::shell("echo done > work.txt"),
            Step::text("Done."),
        ],
    );
    let keys = "prompt = \"work\"\npermission = \"bypass\"\nsandbox = \"off\"";
    stage
        .world
        .longhaul(repo.path(), ["trust", "--yes"])
        .expect_code(0);
    let ran = stage.run(&repo, &stage.task("killer", keys, &["test -f work.txt"]));
    let shown = stage.show("killer");
    assert_eq!(ran.code(), 0, "{ran:?}\n{shown:#}");
    assert_eq!(shown["attempts"][0]["outcome"], "lost", "{shown:#}");
    assert_eq!(shown["task"]["retries"], 0);
    stage.expect_nothing_left();
}
