//! The stage: a world with one repository, whose answers become snapshots with everything redacted that
//! differs from run to run.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use longhaul_testkit::world::{self, COMMAND_LIMIT, Ran, World};

/// A world and its repository.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) repo: PathBuf,
}

/// Programs of the system that a world without agents still has.
const TOOLS: [&str; 14] = [
    "git", "sh", "cat", "grep", "sleep", "true", "false", "echo", "head", "yes", "test", "printf",
    "rm", "mkdir",
];

impl Stage {
    /// With a repository that has one commit on `main`, and no agent on its PATH.
    pub(crate) fn new() -> Self {
        let mut world = World::new(env!("CARGO_BIN_EXE_longhaul")).unwrap();
        for tool in TOOLS {
            let path = std::env::split_paths(&std::env::var_os("PATH").unwrap())
                .map(|folder| folder.join(tool))
                .find(|path| path.is_file());
            if let Some(path) = path {
                std::os::unix::fs::symlink(path, world.path("bin").join(tool)).unwrap();
            }
        }
        world.set_env("PATH", world.path("bin"));
        let repo = world.repo("repo").unwrap().path().to_owned();
        Self { world, repo }
    }

    /// With this task file in the repository.
    pub(crate) fn with_tasks(text: impl AsRef<[u8]>) -> Self {
        let stage = Self::new();
        std::fs::write(stage.repo.join("tasks.toml"), text).unwrap();
        stage
    }

    /// Writes the user's configuration.
    pub(crate) fn config(&self, text: &str) {
        world::write(&self.world.config_file(), text).unwrap();
    }

    /// Writes a file of the repository.
    pub(crate) fn write(&self, below: &str, text: &str) {
        world::write(&self.repo.join(below), text).unwrap();
    }

    /// Runs git in the repository.
    #[track_caller]
    pub(crate) fn git(&self, args: &[&str]) {
        let mut command = self.world.command("git");
        command.current_dir(&self.repo).args(args);
        self.world.run_within(COMMAND_LIMIT, command).expect_code(0);
    }

    /// Runs `longhaul ARGS` in the repository.
    #[track_caller]
    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        self.world.longhaul(&self.repo, args)
    }

    /// A command of the binary in the repository.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        self.world.longhaul_in(&self.repo, args)
    }

    /// Runs `longhaul ARGS` in the repository: this code, and this is what it says.
    #[track_caller]
    pub(crate) fn tells(&self, name: &str, code: i32, args: &[&str]) -> Ran {
        let ran = self.run(args);
        self.snapshot(name, &format!("longhaul {}", args.join(" ")), code, &ran);
        ran
    }

    /// The same in another folder.
    #[track_caller]
    pub(crate) fn tells_in(&self, folder: &Path, name: &str, code: i32, args: &[&str]) -> Ran {
        let ran = self.world.longhaul(folder, args);
        self.snapshot(name, &format!("longhaul {}", args.join(" ")), code, &ran);
        ran
    }

    /// Any command that was run: this code, and this is what it said.
    #[track_caller]
    pub(crate) fn snapshot(&self, name: &str, shown: &str, code: i32, ran: &Ran) {
        let text = format!(
            "$ {shown}\n--- stdout\n{}--- stderr\n{}--- exit {}\n",
            ended(&ran.stdout),
            ended(&ran.stderr),
            ran.code()
        );
        sound(&text);
        let mut settings = insta::Settings::clone_current();
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        for root in [
            self.world.root().canonicalize().unwrap(),
            self.world.root().to_owned(),
        ] {
            settings.add_filter(&escaped(&root.to_string_lossy()), "[ROOT]");
        }
        settings.add_filter(&escaped(env!("CARGO_BIN_EXE_longhaul")), "[BIN]");
        settings.add_filter(
            r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
            "[ID]",
        );
        settings.add_filter(r"\b[0-9a-f]{40}\b", "[COMMIT]");
        settings.add_filter(r"longhaul/[0-9a-f]{12}\b", "longhaul/[HASH]");
        settings.add_filter(r"\b[0-9a-f]{8}\b", "[SHORT]");
        settings.add_filter(r"\bpid \d+", "pid [PID]");
        settings.add_filter(r"\bprocess \d+", "process [PID]");
        settings.add_filter(r"\buser \d+", "user [UID]");
        settings.add_filter(r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "[TIME]");
        settings.bind(|| insta::assert_snapshot!(name, text));
        assert_eq!(ran.code(), code, "{text}");
    }

    /// Nothing was handed in, and nobody was started to do so.
    #[track_caller]
    pub(crate) fn nothing_stored(&self) {
        assert!(
            !self.world.state().join("daemon.lock").exists(),
            "a daemon was started for nothing"
        );
        let list = self.run(["ls", "--all", "--json"]).expect_code(0).json();
        assert_eq!(list["data"]["tasks"].as_array().map(Vec::len), Some(0));
        let worktrees = self.world.path("state/longhaul/workspaces");
        assert!(!worktrees.exists(), "a workspace was made");
    }
}

impl Stage {
    /// What must hold whatever was wrong: the daemon ends when told, every ledger is whole, the user's
    /// checkout is as it was, and nobody is left.
    #[track_caller]
    pub(crate) fn harmless(&self) {
        self.run(["daemon", "stop"]).expect_code(0);
        self.ledgers_are_sound();
        for args in [
            &["diff", "--exit-code", "HEAD"][..],
            &["fsck", "--full", "--no-dangling"],
        ] {
            self.git(args);
        }
        let mut command = self.world.command("git");
        command
            .current_dir(&self.repo)
            .args(["for-each-ref", "--format=%(refname)", "refs/stash"]);
        let stash = self.world.run_within(COMMAND_LIMIT, command);
        assert_eq!(stash.stdout, "", "something was stashed");
        self.quiet();
    }

    /// Short waits between tries.
    pub(crate) fn quick(&self) {
        self.config(
            "min_free = \"1KiB\"\n[retry]\nbackoff_min = \"100ms\"\nbackoff_max = \"200ms\"\n",
        );
    }

    /// Every ledger in the database is whole; one that is not there is fine.
    #[track_caller]
    pub(crate) fn ledgers_are_sound(&self) {
        use longhaul_store::{Chain, Reader as _, SqliteReader, TaskFilter};
        let path = camino::Utf8PathBuf::from_path_buf(self.world.state().join("longhaul.db"));
        let path = path.unwrap();
        if !path.exists() {
            return;
        }
        let reader = SqliteReader::open(&path).unwrap();
        for stored in reader.list(&TaskFilter::default()).unwrap() {
            let task = stored.task;
            match reader.verify_chain(task.id).unwrap() {
                Some(Chain::Intact { rows, .. }) => assert_eq!(rows, task.version, "{}", task.name),
                other => panic!("the ledger of {} is {other:?}", task.name),
            }
        }
    }

    /// Nobody is left.
    #[track_caller]
    pub(crate) fn quiet(&self) {
        self.world.expect_quiet(settled());
    }
}

/// How long something may take to come to rest on a busy machine.
pub(crate) const fn settled() -> std::time::Duration {
    std::time::Duration::from_secs(60)
}

/// With a final line end, as a terminal would show what follows.
fn ended(text: &str) -> String {
    match text {
        "" => String::new(),
        text if text.ends_with('\n') => text.to_owned(),
        text => format!("{text}⏎\n"),
    }
}

/// What no message may hold: traces of the program's insides.
#[track_caller]
fn sound(text: &str) {
    for inside in [
        "panicked",
        "RUST_BACKTRACE",
        "stack backtrace",
        "Some(",
        "None)",
        "Ok(",
        "Err(",
        "Error {",
        "Os {",
        "kind:",
        "src/",
        ".rs:",
        "unwrap",
        "\\u{",
    ] {
        // The repositories of a world lie in its `src`.
        let text = text.replace("/src/", "/");
        assert!(!text.contains(inside), "`{inside}` in:\n{text}");
    }
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        if !c.is_alphanumeric() && c != '/' && c != '_' && c != '-' {
            out.push('\\');
        }
        out.push(c);
        out
    })
}
