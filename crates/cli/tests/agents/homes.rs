//! Account homes, by the real Claude Code: two logins in two config homes that share their conversations. A used-up
//! window of one moves only its own session, with the conversation; nothing of Longhaul's reads or sends a token
//! (A4, A18, A23, I15).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use longhaul_testkit::provider::{Request, Step};
use longhaul_testkit::world::wait_until;
use serde_json::{Value, json};

use crate::limits::now_s;
use crate::stage::{Agent, RUN_LIMIT, Stage};

/// Two homes of Claude Code, each with a login of its own and a mock session of its own name.
struct Homes {
    stage: Stage,
}

impl Homes {
    fn new(rotate: bool) -> Option<Self> {
        Self::with(rotate, "")
    }

    /// With further tables of configuration.
    fn with(rotate: bool, more: &str) -> Option<Self> {
        let mut stage = Stage::new(Agent::Claude)?;
        // A key in the daemon's environment would silently beat a login (facts/limits.md §2).
        stage
            .world
            .set_env("ANTHROPIC_API_KEY", "sk-ant-stray-key-0009");
        let homes = Self { stage };
        let mut config = format!("accounts.rotate_homes = {rotate}\n");
        for name in ["a", "b"] {
            homes.make(name);
            config.push_str(&format!(
                "[account.{name}]\nharness = \"claude\"\nhome = \"{}\"\n",
                homes.dir(name).display()
            ));
        }
        homes.stage.config(&(config + more));
        Some(homes)
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.stage.world.path("home/homes").join(name)
    }

    /// What a login of Claude Code's own leaves, with tokens that are none.
    fn make(&self, name: &str) {
        let dir = self.dir(name);
        fs::create_dir_all(&dir).unwrap();
        let login = json!({"claudeAiOauth": {
            "accessToken": token(name), "refreshToken": format!("sk-ant-ort01-very-secret-{name}"),
            "expiresAt": 4_102_444_800_000_u64, "scopes": ["user:inference", "user:profile"],
            "subscriptionType": "max"}});
        let file = dir.join(".credentials.json");
        fs::write(&file, login.to_string()).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let onboarded = json!({"hasCompletedOnboarding": true, "theme": "dark"});
        fs::write(dir.join(".claude.json"), onboarded.to_string()).unwrap();
        // Its owner's own settings send it to its mock session.
        let settings = json!({"env": {"ANTHROPIC_BASE_URL": self.stage.provider.url(name),
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "CLAUDE_CODE_MAX_RETRIES": "0"}});
        fs::write(dir.join("settings.json"), settings.to_string()).unwrap();
    }

    fn task(name: &str, keys: &str, check: &str) -> String {
        format!(
            "[[task]]\nname = \"{name}\"\nharness = \"claude\"\n{keys}\n\n[[task.check]]\nrun = '''{check}'''\n\n"
        )
    }

    fn run(&self, args: &[&str]) -> Value {
        let home = self.stage.world.home();
        self.stage.world.longhaul(&home, args).expect_code(0).json()["data"].clone()
    }

    /// What `account list` says of one.
    fn account(&self, name: &str) -> Value {
        let listed = self.run(&["account", "list", "--json"]);
        let all = listed["accounts"].as_array().unwrap();
        let found = all.iter().find(|a| a["name"] == name);
        found.unwrap().clone()
    }

    /// No file of Longhaul's holds a part of a token (I12).
    fn no_token_anywhere(&self) {
        let found = std::process::Command::new("grep")
            .args(["-rlE", "very-secret|sk-ant-stray"])
            .arg(self.stage.world.state())
            .output()
            .unwrap();
        let files = String::from_utf8_lossy(&found.stdout);
        assert_eq!(files, "", "a token is in a file");
    }
}

fn token(name: &str) -> String {
    format!("sk-ant-oat01-very-secret-{name}-000{name}")
}

/// Every request of a home's session came with the login of that home and nothing else.
fn with_own_login(requests: &[Request], name: &str) {
    for request in requests {
        let bearer = request.header("authorization").unwrap_or_default();
        assert!(bearer.ends_with(&format!("000{name}")), "{bearer}");
        assert_eq!(request.header("x-api-key"), None);
    }
}

#[test]
fn a23_a_used_up_home_moves_only_its_own_session_with_its_conversation() {
    if let Some(homes) = Homes::new(true) {
        moves_only_its_own_session(&homes);
        homes.stage.expect_nothing_left();
    }
}

#[test]
fn a23_the_same_of_sessions_that_live_in_terminals() {
    let pool = "[harness.claude]\nhost = \"tmux\"\n[pool]\nmin = 1\nmax = 3\n";
    if let Some(homes) = Homes::with(true, pool) {
        moves_only_its_own_session(&homes);
        for name in ["lh-0", "lh-1"] {
            let last = crate::pool::session(&homes.stage, name)["last"].clone();
            assert_eq!(last["what"], "done", "{name} took work: {last:#}");
        }
        let home = homes.stage.world.home();
        let world = &homes.stage.world;
        world.longhaul(&home, ["pool", "stop"]).expect_code(0);
        homes.stage.expect_nothing_left();
    }
}

/// The first of two tasks is refused at its home in the middle, the second one works at the other home all the while.
#[track_caller]
fn moves_only_its_own_session(homes: &Homes) {
    let stage = &homes.stage;
    let repo = stage.repo();
    repo.write("wait.sh", "while [ ! -e \"$1\" ]; do sleep 0.1; done\n")
        .unwrap();
    repo.commit("wait");
    let go = repo.path().with_file_name("go");
    let wait = format!("sh wait.sh {}", go.display());
    // The first task begins at `a` and is refused there in its second turn; the other one begins at `b`, and waits
    // in its first tool call until the first task is done.
    let refused = Step::claude_quota(now_s() + 3600);
    stage.script("a", [Step::shell("echo first > first.txt"), refused]);
    stage.script("b", [Step::shell(wait.as_str())]);
    let tasks = Homes::task(
        "moves",
        "prompt = \"make both files\"\nallow = [\"echo\"]\npriority = \"high\"",
        "test -f first.txt && test -f second.txt",
    ) + &Homes::task(
        "stays",
        "prompt = \"wait for it\"\nallow = [\"sh wait.sh\"]\nexpect = \"any\"",
        "true",
    );
    let (running, _) = stage.start(&repo, &tasks);
    let both = wait_until(Duration::from_secs(60), || {
        !stage.provider.turns("a").is_empty() && !stage.provider.turns("b").is_empty()
    });
    assert!(both, "{}", stage.daemon_log());
    stage.script(
        "b",
        [Step::shell("echo second > second.txt"), Step::text("Done.")],
    );
    let moved = wait_until(Duration::from_secs(60), || {
        stage.show("moves")["task"]["state"] == "done"
    });
    let shown = stage.show("moves");
    assert!(moved, "{shown:#}\n{}", stage.daemon_log());
    stage.script("b", [Step::text("Waited.")]);
    fs::write(&go, "").unwrap();
    running.finish(RUN_LIMIT).expect_code(0);

    // Two attempts of one conversation, on two homes.
    let attempts = shown["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{shown:#}");
    assert_eq!(attempts[0]["outcome"], "limited");
    assert_eq!(attempts[1]["resumed"], true);
    assert_eq!(attempts[0]["conversation"], attempts[1]["conversation"]);
    assert_eq!(shown["task"]["retries"], 0);
    // The other home was asked with what had been said and done at the first one.
    let asked = stage.provider.turns("b");
    let resumed: Vec<&Request> = asked.iter().filter(|r| r.says("make both files")).collect();
    assert!(resumed.len() >= 2, "{}", asked.len());
    assert!(resumed[0].says("echo first > first.txt"));
    with_own_login(&stage.provider.turns("a"), "a");
    with_own_login(&asked, "b");
    // The other session never noticed.
    let other = stage.show("stays");
    assert_eq!(other["task"]["state"], "done", "{other:#}");
    assert_eq!(other["attempts"].as_array().unwrap().len(), 1, "{other:#}");
    // I15: nothing was asked of the first home again.
    assert_eq!(stage.provider.turns("a").len(), 2);

    let switches = homes.run(&["account", "switches", "--json"]);
    let [switch] = switches["switches"].as_array().unwrap().as_slice() else {
        panic!("{switches:#}");
    };
    assert_eq!(switch["name"], "moves");
    assert_eq!((&switch["from"], &switch["to"]), (&json!("a"), &json!("b")));
    assert_eq!(switch["reason"]["why"], "limit");
    assert_eq!(switch["reason"]["window"], "five_hour");
    assert_eq!(switch["conversation"], attempts[0]["conversation"]);
    assert_eq!(switch["resumed"], true);
    assert_eq!(homes.account("a")["state"], "resting");
    assert_eq!(homes.account("b")["state"], "ready");
    homes.no_token_anywhere();
}

#[test]
fn a4_where_both_homes_are_used_up_a_task_waits_for_the_soonest_reset() {
    let Some(homes) = Homes::new(true) else {
        return;
    };
    let stage = &homes.stage;
    let repo = stage.repo();
    let reset = now_s() + 25;
    stage.script("a", [Step::claude_quota(reset + 3600)]);
    let work = [Step::shell("echo w > w.txt"), Step::text("Done.")];
    let refused = Step::claude_quota(reset);
    stage.script("b", std::iter::once(refused).chain(work));
    let tasks = Homes::task(
        "w",
        "prompt = \"make it\"\nallow = [\"echo\"]",
        "test -f w.txt",
    );
    let (running, _) = stage.start(&repo, &tasks);
    let parked = wait_until(Duration::from_secs(60), || {
        let shown = stage.try_show("w");
        shown.is_some_and(|s| s["task"]["until_ms"] == reset * 1000)
    });
    assert!(parked, "{:#}\n{}", stage.show("w"), stage.daemon_log());
    running.finish(RUN_LIMIT).expect_code(0);
    let shown = stage.show("w");
    let attempts = shown["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 3, "{shown:#}");
    let began = attempts[2]["started_at_ms"].as_i64().unwrap();
    assert!(began >= reset * 1000, "I15");
    assert_eq!(stage.provider.turns("a").len(), 1);
    stage.expect_nothing_left();
}

#[test]
fn without_rotation_a_session_waits_at_its_own_home() {
    let Some(homes) = Homes::new(false) else {
        return;
    };
    let stage = &homes.stage;
    let repo = stage.repo();
    let work = [Step::shell("echo w > w.txt"), Step::text("Done.")];
    let refused = Step::claude_quota(now_s() + 15);
    stage.script("a", std::iter::once(refused).chain(work));
    let tasks = Homes::task(
        "w",
        "prompt = \"make it\"\nallow = [\"echo\"]",
        "test -f w.txt",
    );
    stage.run(&repo, &tasks).expect_code(0);
    assert_eq!(stage.provider.turns("b").len(), 0);
    assert_eq!(stage.provider.steps_left("a"), 0);
    // Nothing of the homes was touched: no link was made for homes that do not rotate.
    assert!(!homes.dir("a").join("projects").is_symlink());
    homes.no_token_anywhere();
    stage.expect_nothing_left();
}

#[test]
fn a7_a_home_whose_login_is_refused_is_broken_and_the_work_goes_on_at_the_other() {
    let Some(homes) = Homes::new(true) else {
        return;
    };
    let stage = &homes.stage;
    let repo = stage.repo();
    stage.script("a", std::iter::repeat_n(Step::error(401), 30));
    stage.script("b", [Step::shell("echo w > w.txt"), Step::text("Done.")]);
    let tasks = Homes::task(
        "w",
        "prompt = \"make it\"\nallow = [\"echo\"]",
        "test -f w.txt",
    );
    stage.run(&repo, &tasks).expect_code(0);
    let broken = homes.account("a");
    assert_eq!(broken["state"], "broken", "{broken:#}");
    let detail = broken["detail"].as_str().unwrap();
    assert!(detail.contains("claude /login") && detail.contains("account enable a"));
    let home = stage.world.home();
    let enable = ["account", "enable", "a"];
    stage.world.longhaul(&home, enable).expect_code(0);
    assert_eq!(homes.account("a")["state"], "ready");
    stage.expect_nothing_left();
}
