//! The stage of these tests: a hermetic world, the mock provider, the installed agents, and homes of
//! their own for them. Each task talks to a mock session of its own name.

use std::cell::Cell;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use longhaul_testkit::home::{AgentHome, FAKE_KEY, installed_agents};
use longhaul_testkit::provider::{MockProvider, Step};
use longhaul_testkit::world::{Ran, Repo, Running, World, wait_until};
use serde_json::Value;

/// How long a whole run may take on a busy machine.
pub(crate) const RUN_LIMIT: Duration = Duration::from_secs(90);

/// The agents that are driven here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agent {
    Claude,
    Codex,
    Gemini,
    OpenCode,
}

impl Agent {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Codex => "codex",
            Self::Gemini => "gemini",
            Self::OpenCode => "opencode",
        }
    }
}

/// The world with its provider and one kind of agent.
pub(crate) struct Stage {
    // Dropped first: its processes go before the provider they talk to.
    pub(crate) world: World,
    pub(crate) provider: MockProvider,
    agent: Agent,
    subscription: bool,
    files: Cell<u32>,
}

impl Stage {
    /// A world with this agent installed under its own name; `None` (loudly) where it is not there.
    pub(crate) fn new(agent: Agent) -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let program = installed_agents(&root)?.remove(agent.name()).unwrap();
        Some(Self::with(agent, &program))
    }

    /// The same with the fake agent in the real one's place, for what a real one does not do.
    pub(crate) fn fake(agent: Agent) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_longhaul")).with_file_name("fake-agent");
        assert!(
            program.exists(),
            "{} is missing: build it with `cargo build --workspace --bins`",
            program.display()
        );
        Self::with(agent, &program)
    }

    fn with(agent: Agent, program: &Path) -> Self {
        let mut world = World::new(env!("CARGO_BIN_EXE_longhaul")).unwrap();
        if agent == Agent::Gemini {
            let body = format!("exec node {} \"$@\"", program.display());
            world.program(agent.name(), &body).unwrap();
        } else {
            world.link_agent(agent.name(), program).unwrap();
        }
        world.set_env(
            match agent {
                Agent::Claude => "ANTHROPIC_API_KEY",
                Agent::Gemini => "GEMINI_API_KEY",
                Agent::Codex | Agent::OpenCode => "MOCK_KEY",
            },
            FAKE_KEY,
        );
        let stage = Self {
            world,
            provider: MockProvider::start().unwrap(),
            agent,
            subscription: false,
            files: Cell::new(1),
        };
        stage.config("");
        stage
    }

    /// The user's configuration: quick waits, and these further lines.
    pub(crate) fn config(&self, more: &str) {
        let text = format!(
            "min_free = \"1MiB\"\nmin_free_memory = \"1MiB\"\n{more}\n\
             [retry]\nbackoff_min = \"0s\"\nbackoff_max = \"1s\"\n\
             [limits]\nwake_jitter = \"0s\"\noverload_min = \"1s\"\noverload_max = \"2s\"\n"
        );
        longhaul_testkit::world::write(&self.world.config_file(), &text).unwrap();
    }

    /// A repository with one file, and a clean checkout of `main`.
    pub(crate) fn repo(&self) -> Repo<'_> {
        self.world.repo("repo").unwrap()
    }

    /// The environment of a task whose agent talks to the mock session `session`, as TOML.
    pub(crate) fn task_env(&self, session: &str) -> String {
        let dir = self.world.path("home/agents").join(session);
        let url = self.provider.url(session);
        let home = match self.agent {
            Agent::Claude => AgentHome::claude(&dir, &url),
            Agent::Codex => AgentHome::codex(&dir, &url),
            Agent::Gemini => AgentHome::gemini(&dir, &url),
            Agent::OpenCode => AgentHome::opencode(&dir, &url),
        };
        let mut text = String::new();
        for (name, value) in home.unwrap().env {
            let value = value.to_str().unwrap();
            if value == FAKE_KEY && self.subscription {
                continue;
            }
            if value == FAKE_KEY {
                writeln!(text, "{name} = {{ from = \"{name}\" }}").unwrap();
            } else if name != "HOME" || self.agent == Agent::Gemini {
                writeln!(text, "{name} = {value:?}").unwrap();
            }
        }
        text
    }

    /// The same for an agent that is to use the user's accounts: nothing sends it anywhere or gives it a key.
    pub(crate) fn task_of_accounts(&self, name: &str, keys: &str, checks: &[&str]) -> String {
        let sent = |line: &&str| {
            let variable = line.split(' ').next().unwrap_or_default();
            !(variable.ends_with("_BASE_URL") || variable.ends_with("_KEY"))
        };
        let task = self.task(name, keys, checks);
        let lines: Vec<&str> = task.lines().filter(sent).collect();
        lines.join("\n") + "\n"
    }

    /// One task of a file: its keys, its checks, and the environment of its agent.
    pub(crate) fn task(&self, name: &str, keys: &str, checks: &[&str]) -> String {
        let mut text = format!(
            "[[task]]\nname = \"{name}\"\nharness = \"{}\"\n{keys}\n\n[task.env]\n{}\n",
            self.agent.name(),
            self.task_env(name)
        );
        for check in checks {
            writeln!(text, "[[task.check]]\nrun = '''{check}'''\n").unwrap();
        }
        text
    }

    /// What the agents of a task will be told, over all its attempts.
    pub(crate) fn script(&self, session: &str, steps: impl IntoIterator<Item = Step>) {
        self.provider.script(session, steps);
    }

    /// From here on Claude is logged in by a subscription's token instead of an API key: only then does
    /// it know of windows (facts/agents.md §5).
    pub(crate) fn subscription(&mut self) {
        self.subscription = true;
        self.world.set_env("ANTHROPIC_API_KEY", "");
        self.world.set_env("CLAUDE_CODE_OAUTH_TOKEN", FAKE_KEY);
    }

    /// `longhaul run FILE` on no terminal, to its end; the file is new each time.
    pub(crate) fn run(&self, repo: &Repo<'_>, tasks: &str) -> Ran {
        let (running, file) = self.start(repo, tasks);
        let ran = running.finish(RUN_LIMIT);
        std::fs::remove_file(file).unwrap();
        ran
    }

    /// Starts `longhaul run FILE`.
    pub(crate) fn start(&self, repo: &Repo<'_>, tasks: &str) -> (Running, PathBuf) {
        let name = format!("tasks-{}.toml", self.files.replace(self.files.get() + 1));
        repo.write(&name, tasks).unwrap();
        let command = self.world.longhaul_in(repo.path(), ["run", &name]);
        (self.world.spawn(command), repo.path().join(name))
    }

    /// `longhaul show TASK --json`, if there is that task yet.
    pub(crate) fn try_show(&self, task: &str) -> Option<Value> {
        let home = self.world.home();
        let ran = self.world.longhaul(&home, ["show", task, "--json"]);
        (ran.code() == 0).then(|| ran.json()["data"].clone())
    }

    /// `longhaul show TASK --json`.
    #[track_caller]
    pub(crate) fn show(&self, task: &str) -> Value {
        let home = self.world.home();
        let ran = self.world.longhaul(&home, ["show", task, "--json"]);
        ran.expect_code(0).json()["data"].clone()
    }

    /// The raw event stream of an attempt, one JSON value a line.
    pub(crate) fn stream(&self, task: &str, attempt: u64) -> Vec<Value> {
        let home = self.world.home();
        let attempt = attempt.to_string();
        let arguments = ["logs", task, "--raw", "--attempt", &attempt];
        let ran = self.world.longhaul(&home, arguments).expect_code(0);
        let lines = ran.stdout.lines().filter(|l| l.starts_with('{'));
        lines.map(|l| serde_json::from_str(l).unwrap()).collect()
    }

    /// The daemon's own log.
    pub(crate) fn daemon_log(&self) -> String {
        longhaul_testkit::world::read(&self.world.state().join("daemon.log"))
    }

    /// Nothing of this world lives but the daemon; then it ends, and nothing does: no agent, no shim,
    /// no tool.
    pub(crate) fn expect_nothing_left(&self) {
        let only_daemon = || {
            let all = self.world.processes();
            all.len() == 1 && all.iter().all(|p| p.command.contains("daemon run"))
        };
        assert!(
            wait_until(Duration::from_secs(15), only_daemon),
            "{:#?}",
            self.world.processes()
        );
        let home = self.world.home();
        self.world
            .longhaul(&home, ["daemon", "stop"])
            .expect_code(0);
        self.world.expect_quiet(Duration::from_secs(15));
    }
}
