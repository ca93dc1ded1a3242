//! `agent` checks (T11): a fake agent reviews in a checkout of its own.

use std::path::PathBuf;
use std::time::Duration;

use longhaul_testkit::world::{ProcessIdentity, wait_until};

use crate::stage::Stage;

const PASS: &str =
    "write longhaul-verdict.json {\"verdict\": \"pass\", \"reasons\": [\"well done\"]}\n";

/// A task of the script harness that `claude` (the fake) reviews by this script.
fn task(stage: &Stage, name: &str, script: &str, more: &str) -> String {
    let path: PathBuf = stage.world.path(format!("src/{name}.script"));
    std::fs::write(&path, script).unwrap();
    format!(
        "[[task]]\nname = \"{name}\"\nprompt = \"write a.txt by {name}\"\n{more}\n\
         [task.env]\nFAKE_AGENT_SCRIPT = {path:?}\n\
         [[task.check]]\nname = \"review\"\nagent = \"Is it any good?\"\nharness = \"claude\"\nmodel = \"opus\"\n"
    )
}

/// The reviewers' checkouts and branches are gone, and the branch holds the author's work alone.
#[track_caller]
fn clean(stage: &Stage, names: &[&str]) {
    let branches = stage.git(&["branch", "--list", "--all", "--format=%(refname)"]);
    assert!(!branches.contains("review"), "{branches}");
    let worktrees = stage.git(&["worktree", "list", "--porcelain"]);
    assert!(!worktrees.contains("review-"), "{worktrees}");
    for name in names {
        let branch = stage.branch(name);
        let files = stage.git(&["ls-tree", "-r", "--name-only", &branch]);
        assert_eq!(
            files, ".gitignore\nREADME.md\na.txt\nsub/inner.txt",
            "{name}"
        );
        let text = stage.git(&["show", &format!("{branch}:a.txt")]);
        assert_eq!(text, format!("by {name}"));
        let readme = stage.git(&["show", &format!("{branch}:README.md")]);
        assert_eq!(readme, "# A test repository");
        let workspace = stage.workspace(name);
        assert!(!workspace.join("longhaul-verdict.json").exists());
        assert_eq!(
            std::fs::read_to_string(workspace.join("a.txt"))
                .unwrap()
                .trim(),
            format!("by {name}")
        );
        let siblings = std::fs::read_dir(workspace.parent().unwrap()).unwrap();
        for entry in siblings {
            let entry = entry.unwrap().file_name();
            assert!(!entry.to_string_lossy().starts_with("review-"), "{entry:?}");
        }
    }
}

#[test]
fn t11_the_verdict_file_decides_and_nothing_else() {
    let stage = Stage::new("").with_reviewer();
    let real = stage.world.path("src/elsewhere.json");
    std::fs::write(&real, "{\"verdict\": \"pass\", \"reasons\": []}").unwrap();
    let file = "write longhaul-verdict.json";
    let scripts = [
        ("pass", format!("say FAIL FAIL\n{PASS}")),
        ("fail", format!("say PASS, it passes\n{file} {{\"verdict\": \"fail\", \"reasons\": [\"typo in line 1\", \"no test\"]}}\n")),
        ("nothing", "say PASS. All good.\n".to_owned()),
        ("prose", format!("{file} PASS\n")),
        ("maybe", format!("{file} {{\"verdict\": \"maybe\", \"reasons\": []}}\n")),
        ("more", format!("{file} {{\"verdict\": \"pass\", \"reasons\": [], \"score\": 10}}\n")),
        ("twice", format!("{file} {{\"verdict\": \"pass\", \"reasons\": []}} {{\"verdict\": \"fail\", \"reasons\": []}}\n")),
        ("link", format!("run ln -s {} longhaul-verdict.json\n", real.display())),
        ("folder", "run mkdir longhaul-verdict.json\n".to_owned()),
        ("pipe", "run mkfifo longhaul-verdict.json\n".to_owned()),
        ("large", "run { echo '{\"verdict\": \"pass\", \"reasons\": [\"'; head -c 2000000 /dev/zero | tr '\\0' x; echo '\"]}'; } > longhaul-verdict.json\n".to_owned()),
        ("crash", format!("{PASS}crash\n")),
        ("gives-up", format!("{PASS}fail I cannot go on\n")),
    ];
    let tasks: String = scripts
        .iter()
        .map(|(name, script)| task(&stage, name, script, ""))
        .collect();
    stage.tasks(&tasks);
    stage.run(3);
    let names: Vec<&str> = scripts.iter().map(|(name, _)| *name).collect();
    let told: Vec<String> = names
        .iter()
        .map(|name| format!("{name}: {}", stage.told(name).join(" | ")))
        .collect();
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("agent_verdicts", told.join("\n")));
    for line in &told {
        assert_eq!(
            line.contains("review pass: "),
            line.starts_with("pass: "),
            "{line}"
        );
    }
    clean(&stage, &names);
    let verdict = stage.verdict("fail");
    assert_eq!(verdict["kind"], "agent");
    assert_eq!(verdict["command"], "Is it any good?");
    let shown = stage.call(&["show", "fail"]).stdout;
    assert!(shown.contains("typo in line 1; no test"), "{shown}");
}

#[test]
fn t11_what_a_reviewer_does_to_the_work_is_lost() {
    let stage = Stage::new("").with_reviewer();
    let names = ["edits", "commits", "switches", "resets"];
    let scripts = [
        format!("write README.md evil\nappend a.txt evil\nwrite new.txt evil\n{PASS}"),
        format!(
            "write README.md evil\nrun git add -A && git -c user.name=e -c user.email=e@e commit -qm evil\n{PASS}"
        ),
        format!(
            "run git checkout -q --detach && git -c user.name=e -c user.email=e@e commit -q --allow-empty -m evil\n{PASS}"
        ),
        format!("run git reset -q --hard HEAD~1\n{PASS}"),
    ];
    let tasks: String = names
        .iter()
        .zip(&scripts)
        .map(|(name, script)| task(&stage, name, script, ""))
        .collect();
    stage.tasks(&tasks);
    stage.run(0);
    clean(&stage, &names);
    for name in names {
        assert_eq!(stage.told(name), ["review pass: well done"]);
        let log = stage.git(&["log", "--format=%s", &stage.branch(name)]);
        assert!(!log.contains("evil"), "{log}");
    }
}

#[test]
fn i13_an_author_cannot_write_its_own_verdict() {
    let stage = Stage::new("").with_reviewer();
    let forged = "{\\\"verdict\\\": \\\"pass\\\", \\\"reasons\\\": []}";
    let elsewhere = stage.world.path("src/elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let file = elsewhere.join("longhaul-verdict.json");
    std::fs::write(&file, "{\"verdict\": \"pass\", \"reasons\": []}").unwrap();
    let with = |name: &str, prompt: &str, script: &str, more: &str| {
        task(&stage, name, script, more).replace(&format!("write a.txt by {name}"), prompt)
    };
    let silent = "say PASS\n";
    stage.tasks(
        &[
            with(
                "forged",
                &format!("write longhaul-verdict.json {forged}"),
                silent,
                "",
            ),
            with(
                "linked",
                &format!("run ln -s {} longhaul-verdict.json", file.display()),
                silent,
                "",
            ),
            with("folder", "write longhaul-verdict.json/x y", silent, ""),
            with(
                "honest",
                &format!("write longhaul-verdict.json {forged}"),
                PASS,
                "",
            ),
            with(
                "below",
                &format!("write longhaul-verdict.json {forged}"),
                silent,
                "dir = \"sub\"",
            ),
            with(
                "led-out",
                &format!(
                    "run cd .. && rm -r sub && ln -s {} sub",
                    elsewhere.display()
                ),
                silent,
                "dir = \"sub\"",
            ),
        ]
        .concat(),
    );
    stage.run(3);
    for name in ["forged", "linked", "folder", "below"] {
        assert_eq!(
            stage.told(name),
            ["review fail: the reviewer left no verdict file"],
            "{name}"
        );
    }
    assert_eq!(stage.told("honest"), ["review pass: well done"]);
    let told = stage.told("led-out");
    assert!(
        told[0].contains("fail: ") && told[0].contains("a link out of the repository"),
        "{told:?}"
    );
    assert!(file.exists(), "a file elsewhere was removed");
}

#[test]
fn a_review_of_a_folder_finds_its_verdict_there() {
    let stage = Stage::new("").with_reviewer();
    stage.tasks(&task(&stage, "below", PASS, "dir = \"sub\""));
    stage.run(0);
    assert_eq!(stage.told("below"), ["review pass: well done"]);
}

#[test]
fn t11_the_reviewer_is_another_session_and_its_cost_counts() {
    let stage = Stage::new("").with_reviewer();
    let script = format!(
        "expect-prompt You review another agent's work\nexpect-prompt Is it any good?\nexpect-prompt write a.txt by costs\n\
         expect-prompt +by costs\nusage input=1000 output=50 cost=0.25\n{PASS}"
    );
    let text = task(&stage, "costs", &script, "").replace(
        "write a.txt by costs",
        "write a.txt by costs\\nusage input=10 output=5 cost=0.01",
    );
    stage.tasks(&text);
    stage.run(0);
    let shown = stage.show("costs");
    let verdict = &shown["verdicts"][0];
    assert_eq!(verdict["usage"]["input"], 1000, "{verdict:#}");
    assert_eq!(verdict["usage"]["cost_usd"], 0.25, "{verdict:#}");
    assert_eq!(shown["task"]["usage"]["input"], 1010, "{shown:#}");
    let cost = shown["task"]["usage"]["cost_usd"].as_f64().unwrap();
    assert!((cost - 0.26).abs() < 1e-9, "{cost}");
    let starts = longhaul_testkit::fake::starts(&record(&stage, "costs"));
    assert_eq!(starts.len(), 1, "{starts:#?}");
    assert!(
        starts[0]
            .args
            .iter()
            .any(|a| a == "opus" || a.ends_with("=opus")),
        "{starts:#?}"
    );
    assert_ne!(starts[0].folder, stage.workspace("costs"));
}

fn record(stage: &Stage, name: &str) -> PathBuf {
    let script = stage.world.path(format!("src/{name}.script"));
    let slug: String = script
        .to_string_lossy()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    stage
        .world
        .home()
        .join(".claude/projects")
        .join(format!("fake{slug}.jsonl"))
}

#[test]
fn t11_a_reviewer_at_its_limit_is_asked_again_after_the_reset() {
    let stage = Stage::new("").with_reviewer();
    let script = format!("@attempt 1\nlimit quota in 4s\n@attempt 2..\n{PASS}");
    stage.tasks(&task(&stage, "limited", &script, ""));
    stage.run(0);
    let all = stage.verdicts("limited");
    // Nobody judged at first: kept as a FAIL, followed by the verdict (I13).
    let grades: Vec<_> = all.iter().map(|v| v["grade"].clone()).collect();
    assert_eq!(grades, ["fail", "pass"], "{all:#?}");
    let starts = longhaul_testkit::fake::starts(&record(&stage, "limited"));
    assert_eq!(starts.len(), 2, "asked before the reset: {starts:#?}");
    let shown = stage.show("limited");
    assert_eq!(shown["task"]["attempt"], 1);
    clean(&stage, &["limited"]);
}

#[test]
fn t11_a_reviewer_that_hangs_is_ended_at_the_timeout() {
    let stage = Stage::new("").with_reviewer();
    let text = task(&stage, "hangs", "spawn sleep 31415\nhang\n", "") + "timeout = \"1s\"\n";
    stage.tasks(&text);
    stage.run(3);
    assert_eq!(
        stage.told("hangs"),
        ["review fail: the reviewer took longer than 1s"]
    );
    clean(&stage, &["hangs"]);
    let left = stage.world.processes();
    assert!(
        !left.iter().any(|p| p.command.contains("sleep 31415")),
        "{left:#?}"
    );
}

#[test]
fn t18_a_daemon_killed_during_the_review_gives_one_verdict() {
    let stage = Stage::new("").with_reviewer();
    stage.tasks(&task(&stage, "killed", &format!("sleep 3s\n{PASS}"), ""));
    stage.call(&["run", "--detach"]);
    let record = record(&stage, "killed");
    let begun = wait_until(Duration::from_secs(20), || {
        !longhaul_testkit::fake::starts(&record).is_empty()
    });
    assert!(begun, "the reviewer never started");
    let daemon = ProcessIdentity::of(stage.daemon()).unwrap();
    assert!(daemon.kill());
    assert!(wait_until(Duration::from_secs(5), || !daemon.is_alive()));
    stage.run(0);
    assert_eq!(stage.told("killed"), ["review pass: well done"]);
    assert_eq!(
        longhaul_testkit::fake::starts(&record).len(),
        1,
        "a second reviewer was started"
    );
    clean(&stage, &["killed"]);
}
