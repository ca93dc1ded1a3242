//! The stage of these tests: a world with one repository, the `script` harness as author, and the fake
//! agent as reviewer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use longhaul_testkit::world::{self, Ran, World};
use serde_json::Value;

/// How long a whole run may take on a busy machine.
const RUN_LIMIT: Duration = Duration::from_secs(90);

pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) repo: PathBuf,
}

impl Stage {
    /// Quick waits, these further lines of configuration, and a repository with `README.md`,
    /// `sub/inner.txt` and `.gitignore`.
    pub(crate) fn new(config: &str) -> Self {
        let world = World::new(env!("CARGO_BIN_EXE_longhaul")).unwrap();
        let text = format!(
            "min_free = \"1MiB\"\nmin_free_memory = \"1MiB\"\n[retry]\nbackoff_min = \"0s\"\nbackoff_max = \"1s\"\n\
             [limits]\nwake_jitter = \"0s\"\n{config}"
        );
        world::write(&world.config_file(), &text).unwrap();
        let repo = world.repo("repo").unwrap();
        repo.write("sub/inner.txt", "inner\n").unwrap();
        repo.write(".gitignore", "*.ignored\n").unwrap();
        repo.commit("Files");
        let repo = repo.path().to_owned();
        Self { world, repo }
    }

    /// Makes `claude` the fake agent.
    pub(crate) fn with_reviewer(self) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_longhaul")).with_file_name("fake-agent");
        assert!(
            program.exists(),
            "{} is missing: `cargo build --workspace --bins` builds it",
            program.display()
        );
        self.world.link_agent("claude", &program).unwrap();
        self
    }

    /// Writes the task file: no retries unless a task says so.
    pub(crate) fn tasks(&self, text: &str) {
        let text = format!("[defaults]\nharness = \"script\"\nmax_retries = 0\n{text}");
        std::fs::write(self.repo.join("tasks.toml"), text).unwrap();
    }

    /// `longhaul run --wait` to its end.
    #[track_caller]
    pub(crate) fn run(&self, code: i32) -> Ran {
        let command = self.world.longhaul_in(&self.repo, ["run", "--wait"]);
        self.world.run_within(RUN_LIMIT, command).expect_code(code)
    }

    /// `longhaul ARGS`, which must work.
    #[track_caller]
    pub(crate) fn call(&self, args: &[&str]) -> Ran {
        self.world.longhaul(&self.repo, args).expect_code(0)
    }

    /// `longhaul show TASK --json`.
    #[track_caller]
    pub(crate) fn show(&self, task: &str) -> Value {
        self.call(&["show", task, "--json"]).json()["data"].clone()
    }

    /// All verdicts of a task, oldest first.
    #[track_caller]
    pub(crate) fn verdicts(&self, task: &str) -> Vec<Value> {
        self.show(task)["verdicts"].as_array().unwrap().clone()
    }

    /// The only verdict of a task.
    #[track_caller]
    pub(crate) fn verdict(&self, task: &str) -> Value {
        let all = self.verdicts(task);
        assert_eq!(all.len(), 1, "{all:#?}");
        all[0].clone()
    }

    /// `name grade: reason` of every verdict of a task.
    #[track_caller]
    pub(crate) fn told(&self, task: &str) -> Vec<String> {
        let word = |v: &Value, key: &str| v[key].as_str().unwrap().to_owned();
        self.verdicts(task)
            .iter()
            .map(|v| {
                format!(
                    "{} {}: {}",
                    word(v, "name"),
                    word(v, "grade"),
                    word(v, "reason")
                )
            })
            .collect()
    }

    /// git in the repository; its output without the last line end.
    #[track_caller]
    pub(crate) fn git(&self, args: &[&str]) -> String {
        let mut command = self.world.command("git");
        command.current_dir(&self.repo).args(args);
        let ran = self.world.run_within(Duration::from_secs(30), command);
        ran.expect_code(0).stdout.trim_end().to_owned()
    }

    /// The branch of a task.
    #[track_caller]
    pub(crate) fn branch(&self, task: &str) -> String {
        self.show(task)["task"]["branch"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Where a task works.
    #[track_caller]
    pub(crate) fn workspace(&self, task: &str) -> PathBuf {
        self.call(&["workspace", "path", task]).stdout.trim().into()
    }

    /// Pid of the daemon.
    pub(crate) fn daemon(&self) -> u32 {
        let lock = world::read(&self.world.state().join("daemon.lock"));
        lock.trim().parse().unwrap()
    }

    /// Every file below the state folder that holds this text.
    pub(crate) fn files_with(&self, text: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        holding(&self.world.state(), text.as_bytes(), &mut found);
        found
    }
}

fn holding(folder: &Path, wanted: &[u8], found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            holding(&entry.path(), wanted, found);
        } else if kind.is_file() {
            let bytes = std::fs::read(entry.path()).unwrap_or_default();
            if bytes.windows(wanted.len()).any(|w| w == wanted) {
                found.push(entry.path());
            }
        }
    }
}
