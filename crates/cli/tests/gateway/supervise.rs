//! `longhaul supervise` without a terminal, by the real binary: what the command gets, when it is begun again, when it
//! waits, what outlives a crash (A15, A17; R1–R22 of facts/limits.md §5).

use std::path::Path;
use std::time::{Duration, Instant};

use longhaul_testkit::home::{AgentHome, installed_agents};
use longhaul_testkit::provider::{MockProvider, Step};
use longhaul_testkit::world::{Ran, World, wait_until, write};

const LIMIT: Duration = Duration::from_secs(60);

/// A world with Anthropic keys `k1`, `k2`…, each a session of the mock provider.
pub(crate) struct Keys {
    // Dropped first: its processes go before the provider they talk to.
    pub(crate) world: World,
    pub(crate) provider: MockProvider,
}

impl Keys {
    pub(crate) fn new(count: usize) -> Self {
        let mut world = World::new(env!("CARGO_BIN_EXE_longhaul")).unwrap();
        let provider = MockProvider::start().unwrap();
        let mut config = "accounts.strategy = \"priority\"\n".to_owned();
        for n in 1..=count {
            world.set_env(format!("KEY_{n}"), secret(n));
            let url = provider.url(&format!("k{n}"));
            config.push_str(&format!(
                "[account.k{n}]\nprovider = \"anthropic\"\nkey.env = \"KEY_{n}\"\nbase_url = \"{url}\"\n"
            ));
        }
        write(&world.config_file(), &config).unwrap();
        Self { world, provider }
    }

    pub(crate) fn supervise(&self, args: &[&str]) -> Ran {
        let all = ["supervise"].iter().chain(args);
        let command = self.world.longhaul_in(&self.world.home(), all);
        self.world.run_within(LIMIT, command)
    }

    /// What checks of a key are answered, one after the other.
    pub(crate) fn checks(&self, n: usize, steps: impl IntoIterator<Item = Step>) {
        self.provider.script(&format!("k{n}.side"), steps);
    }
}

fn secret(n: usize) -> String {
    format!("sk-ant-very-secret-{n}")
}

/// The requests window is this full, and starts anew in so many seconds.
fn used(permille: u32, seconds: i64) -> Step {
    Step::text("ok")
        .header("anthropic-ratelimit-requests-limit", "1000")
        .header(
            "anthropic-ratelimit-requests-remaining",
            (1000 - permille).to_string(),
        )
        .header("anthropic-ratelimit-requests-reset", reset_in(seconds))
}

fn reset_in(seconds: i64) -> String {
    let at = jiff::Timestamp::now().as_second() + seconds;
    jiff::Timestamp::from_second(at).unwrap().to_string()
}

/// At the limit for so many seconds.
pub(crate) fn limited(seconds: u64) -> Step {
    Step::error(429)
        .header("retry-after", seconds.to_string())
        .header("anthropic-ratelimit-requests-limit", "50")
        .header("anthropic-ratelimit-requests-remaining", "0")
}

#[test]
fn r1_the_command_has_one_key_and_its_end_is_ours() {
    let keys = Keys::new(2);
    let show = "echo $ANTHROPIC_API_KEY; env | grep -c very-secret; exit 3";
    let ran = keys.supervise(&["--", "sh", "-c", show]).expect_code(3);
    assert_eq!(ran.stdout, format!("{}\n1\n", secret(1)), "{ran:?}");
    assert!(ran.stderr.contains("account 1/2 (k1)"), "{ran:?}");
    // R18
    assert!(!ran.stderr.contains("very-secret"), "{ran:?}");
    keys.supervise(&["--", "echo", "hi"]).expect_code(0);
    let ran = keys.supervise(&[
        "--account",
        "k2",
        "--",
        "sh",
        "-c",
        "echo $ANTHROPIC_API_KEY",
    ]);
    assert_eq!(ran.expect_code(0).stdout, format!("{}\n", secret(2)));
    // R16: a signal is a signal.
    let all = ["supervise", "--", "sh", "-c", "kill -TERM $$"];
    let mut command = keys.world.longhaul_in(&keys.world.home(), all);
    use std::os::unix::process::ExitStatusExt as _;
    assert_eq!(command.status().unwrap().signal(), Some(15));
    keys.world.expect_quiet(Duration::from_secs(15));
}

#[test]
fn a15_wrong_inputs_start_nothing_and_say_what_to_do() {
    let keys = Keys::new(1);
    let no = keys.world.home().join("no-program");
    write(&no, "not to be run").unwrap();
    for (args, code, words) in [
        (&[][..], 2, "COMMAND"),
        (&["--"], 2, "COMMAND"),
        (&["--", "no-such-command"], 127, "command not found"),
        (&["--", "./no-program"], 126, "cannot be run"),
        (
            &["--interval", "0s", "--", "true"],
            2,
            "between a second and a day",
        ),
        (&["--interval", "soon", "--", "true"], 2, "--interval"),
        (&["--threshold", "0", "--", "true"], 2, "1..=100"),
        (
            &["--account", "nobody", "--", "true"],
            6,
            "no account `nobody`",
        ),
    ] {
        let ran = keys.supervise(args).expect_code(code);
        assert!(ran.stderr.contains(words), "{args:?} {ran:?}");
    }
    // R2
    let none = Keys::new(0);
    let ran = none.supervise(&["--", "true"]).expect_code(1);
    assert!(ran.stderr.contains("ANTHROPIC_API_KEY"), "{ran:?}");
    none.world.expect_quiet(Duration::from_secs(5));
    keys.world.expect_quiet(Duration::from_secs(15));
}

/// Says its key, then works until it is ended; the third time it is done.
const WORK: &str = "echo $ANTHROPIC_API_KEY >> keys; \
    test $(wc -l < keys) -ge WANTED && exit 5; \
    TRAP while :; do sleep 0.1; done";

fn work(wanted: usize, trap: &str) -> String {
    WORK.replace("WANTED", &wanted.to_string())
        .replace("TRAP", trap)
}

fn keys_seen(keys: &Keys) -> Vec<String> {
    let text = std::fs::read_to_string(keys.world.home().join("keys")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn r6_at_a_limit_the_command_is_begun_again_with_the_next_key_and_ends_as_its_last_run() {
    let keys = Keys::new(3);
    keys.checks(1, [limited(3600)]);
    keys.checks(2, [used(100, 60), limited(3600)]);
    let script = work(3, "");
    let ran = keys.supervise(&["--interval", "1s", "--", "sh", "-c", &script]);
    let ran = ran.expect_code(5);
    assert_eq!(keys_seen(&keys), [secret(1), secret(2), secret(3)]);
    assert!(
        ran.stderr.contains("account 1/3 (k1) is at its limit"),
        "{ran:?}"
    );
    assert!(
        ran.stderr.contains("goes on with account 2/3 (k2)"),
        "{ran:?}"
    );
    assert!(ran.stderr.contains("requests 100/1000 (10%)"), "{ran:?}");
    // A17: a second start goes on from there, and I15: no resting key is asked.
    std::fs::remove_file(keys.world.home().join("keys")).unwrap();
    let before = keys.provider.requests("k1").len();
    let script = work(1, "");
    keys.supervise(&["--", "sh", "-c", &script]).expect_code(5);
    assert_eq!(keys_seen(&keys), [secret(3)]);
    assert_eq!(keys.provider.requests("k1").len(), before);
    keys.world.expect_quiet(Duration::from_secs(15));
}

#[test]
fn r4_more_than_the_threshold_rotates_and_the_threshold_itself_does_not() {
    let keys = Keys::new(2);
    keys.checks(1, [used(950, 600), used(950, 600), used(952, 600)]);
    let script = work(2, "");
    let args = [
        "--interval",
        "1s",
        "--threshold",
        "95",
        "--",
        "sh",
        "-c",
        &script,
    ];
    let ran = keys.supervise(&args).expect_code(5);
    assert!(ran.stderr.contains("is beyond 95 percent"), "{ran:?}");
    assert_eq!(keys_seen(&keys), [secret(1), secret(2)]);
    assert_eq!(keys.provider.requests("k1").len(), 3, "{ran:?}");
}

#[test]
fn r8_a_command_that_ignores_term_is_killed_after_ten_seconds_with_all_of_its_group() {
    let keys = Keys::new(2);
    keys.checks(1, [limited(3600)]);
    let script = work(2, "trap '' TERM; (trap '' TERM; sleep 300) &");
    let begun = Instant::now();
    keys.supervise(&["--interval", "1s", "--", "sh", "-c", &script])
        .expect_code(5);
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_secs(10) && took < Duration::from_secs(25),
        "{took:?}"
    );
    keys.world.expect_quiet(Duration::from_secs(15));
}

#[test]
fn r14_one_account_waits_for_its_reset_and_the_same_command_goes_on() {
    let keys = Keys::new(1);
    keys.checks(1, [limited(4)]);
    let ticks =
        "i=0; while [ $i -lt 12 ]; do date +%s%N >> ticks; sleep 0.2; i=$((i+1)); done; exit 4";
    let ran = keys.supervise(&["--interval", "1s", "--", "sh", "-c", ticks]);
    let ran = ran.expect_code(4);
    assert!(ran.stderr.contains("waits until"), "{ran:?}");
    let text = std::fs::read_to_string(keys.world.home().join("ticks")).unwrap();
    let times: Vec<u64> = text.lines().map(|l| l.parse().unwrap()).collect();
    assert_eq!(times.len(), 12, "it ran once");
    let longest = times.windows(2).map(|w| w[1] - w[0]).max().unwrap();
    assert!(longest > 2_000_000_000, "it was paused: {longest} ns");
}

#[test]
fn r15_an_end_during_a_wait_is_seen_and_a_signal_is_passed_on() {
    let keys = Keys::new(1);
    keys.checks(1, [limited(3600)]);
    let script = "trap 'exit 9' TERM; echo up > up; while :; do sleep 0.1; done";
    let all = ["supervise", "--interval", "1s", "--", "sh", "-c", script];
    let running = keys
        .world
        .spawn(keys.world.longhaul_in(&keys.world.home(), all));
    assert!(wait_until(LIMIT, || running
        .stderr()
        .contains("waits until")));
    let begun = Instant::now();
    let pid = rustix::process::Pid::from_raw(running.pid().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    running.finish(LIMIT).expect_code(9);
    assert!(begun.elapsed() < Duration::from_secs(5));
    keys.world.expect_quiet(Duration::from_secs(15));
}

#[test]
fn r20_what_a_killed_supervisor_left_is_ended_by_the_next_start() {
    let keys = Keys::new(1);
    let script = "trap '' TERM; echo $$ > pid; while :; do sleep 0.1; done";
    let all = ["supervise", "--", "sh", "-c", script];
    let running = keys
        .world
        .spawn(keys.world.longhaul_in(&keys.world.home(), all));
    let pid = keys.world.home().join("pid");
    assert!(wait_until(LIMIT, || pid.exists()));
    running.kill();
    let pid: u32 = std::fs::read_to_string(pid)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let left = longhaul_testkit::world::ProcessIdentity::of(pid).unwrap();
    assert!(left.is_alive(), "it ignores TERM");
    let ran = keys.supervise(&["--", "echo", "next"]).expect_code(0);
    assert!(
        ran.stderr.contains("died; what it left was ended"),
        "{ran:?}"
    );
    assert!(!left.is_alive());
    // Nothing is left of it at the gateway either.
    keys.world.expect_quiet(Duration::from_secs(15));
}

/// Real Claude Code, headless, with what the world knows of keys.
fn claude(keys: &Keys, args: &[&str]) -> Option<Ran> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let program = installed_agents(&root)?.remove("claude").unwrap();
    keys.world.link_agent("claude", &program).unwrap();
    let home = AgentHome::claude(&keys.world.path("home/agent"), "http://127.0.0.1:1").unwrap();
    let words = [
        "claude",
        "-p",
        "make a.txt",
        "--dangerously-skip-permissions",
    ];
    let all = ["supervise"]
        .iter()
        .chain(args)
        .chain(&["--"])
        .chain(&words);
    let mut command = keys.world.longhaul_in(&keys.world.home(), all);
    for (name, value) in home.env {
        let name = name.to_owned();
        if name != "HOME" && !name.ends_with("_KEY") && !name.ends_with("_URL") {
            command.env(name, value);
        }
    }
    command.env("IS_SANDBOX", "1");
    Some(keys.world.run_within(Duration::from_secs(120), command))
}

#[test]
fn a15_claude_goes_on_with_the_next_key_and_nothing_restarts() {
    let keys = Keys::new(2);
    let leak = "echo a > a.txt; env | grep -c very-secret > leak.txt";
    keys.provider
        .script("k1", [Step::shell(leak), limited(3600)]);
    let mut slow = Step::text("Done.");
    slow.chunk_delay_ms = 400;
    keys.provider.script("k2", [slow]);
    let Some(ran) = claude(&keys, &["--interval", "1s"]) else {
        return;
    };
    let ran = ran.expect_code(0);
    assert!(ran.stdout.contains("Done."), "{ran:?}");
    assert!(
        ran.stderr.contains("goes on with account 2/2 (k2)"),
        "{ran:?}"
    );
    // The same conversation, and no key in it.
    assert!(keys.provider.turns("k2")[0].says("echo a > a.txt"));
    let leaked = std::fs::read_to_string(keys.world.home().join("leak.txt")).unwrap();
    assert_eq!(leaked.trim(), "0");
    keys.world.expect_quiet(Duration::from_secs(15));
}

#[test]
fn a15_claude_with_one_key_is_paused_until_the_reset_and_sees_no_limit() {
    let keys = Keys::new(1);
    keys.provider.script(
        "k1",
        [
            Step::shell("echo a > a.txt"),
            limited(8),
            Step::text("Done."),
        ],
    );
    let Some(ran) = claude(&keys, &[]) else {
        return;
    };
    let ran = ran.expect_code(0);
    assert!(ran.stdout.contains("Done."), "{ran:?}");
    assert!(ran.stderr.contains("waits until"), "{ran:?}");
    assert_eq!(
        keys.provider.turns("k1").len(),
        3,
        "I15: asked once at the limit"
    );
    keys.world.expect_quiet(Duration::from_secs(15));
}

#[test]
fn a15_claude_with_the_key_itself_goes_on_in_its_conversation_after_a_restart() {
    let keys = Keys::new(2);
    let slow = Step::shell("sleep 300");
    keys.provider.script("k1", [slow]);
    keys.provider.script("k2", [Step::text("Done.")]);
    // The first is free while the command begins.
    let free = std::iter::repeat_n(used(10, 60), 4);
    keys.checks(1, free.chain([limited(3600)]));
    let Some(ran) = claude(&keys, &["--gateway", "never", "--interval", "2s"]) else {
        return;
    };
    let ran = ran.expect_code(0);
    assert!(ran.stdout.contains("Done."), "{ran:?}");
    let turn = &keys.provider.turns("k2")[0];
    assert!(
        turn.says("make a.txt") && turn.says("The earlier run was interrupted"),
        "{ran:?}"
    );
    keys.world.expect_quiet(Duration::from_secs(15));
}

/// Runs what meets a limit and goes on with the second key, killed with SIGKILL at its `n`-th act; then once more,
/// undisturbed. True: the first run came to its end, so there are no further acts.
fn killed_at(n: usize) -> bool {
    let keys = Keys::new(2);
    keys.checks(1, [limited(3600)]);
    let script = work(2, "");
    let all = ["supervise", "--interval", "1s", "--", "sh", "-c", &script];
    let mut command = keys.world.longhaul_in(&keys.world.home(), all);
    command.env(longhaul_acts::CRASH_POINT, format!("any:{n}"));
    let ran = keys.world.run_within(LIMIT, command);
    use std::os::unix::process::ExitStatusExt as _;
    if ran.status.signal() != Some(9) {
        // The gateway dies at its own n-th act too; that may be told, and ends nothing but this.
        assert!(matches!(ran.status.code(), Some(5 | 1)), "{n}: {ran:?}");
        if ran.status.code() == Some(5) {
            keys.world.expect_quiet(Duration::from_secs(20));
            return true;
        }
    }
    drop(std::fs::remove_file(keys.world.home().join("keys")));
    let script = work(1, "");
    let ran = keys.supervise(&["--", "sh", "-c", &script]);
    assert_eq!(ran.status.code(), Some(5), "{n}: {ran:?}");
    // Whatever was learned of the first key before the crash holds: it is asked no more.
    let asked = keys.provider.requests("k1").len();
    assert!(asked <= 1, "{n}: asked {asked} times");
    keys.world.expect_quiet(Duration::from_secs(20));
    false
}

#[test]
fn a17_killed_at_each_step_nothing_is_left_and_the_next_start_goes_on() {
    const ABREAST: usize = 4;
    let lane = |first: usize| (first..200).step_by(ABREAST).find(|n| killed_at(*n));
    let ends: Vec<_> = std::thread::scope(|scope| {
        let lanes: Vec<_> = (1..=ABREAST)
            .map(|first| scope.spawn(move || lane(first)))
            .collect();
        lanes.into_iter().map(|l| l.join().unwrap()).collect()
    });
    let last = ends.iter().flatten().max();
    assert!(last.is_some_and(|n| *n > 10), "{ends:?}");
}
