//! Launch plans: each harness × permission × fresh or resumed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use longhaul_agents::{
    CustomHarness, LaunchPlan, LaunchRefusal, LaunchRequest, OutputFormat, Registry,
};
use longhaul_core::spec::{EnvValue, Permission};
use longhaul_core::usage::MicroUsd;

const FRESH: &str = "018f0000-0000-7000-8000-000000000001";

fn request() -> LaunchRequest {
    LaunchRequest {
        task: "fix-login".to_owned(),
        prompt: "Fix the login.".to_owned(),
        original_prompt: "say hi".to_owned(),
        attempt: 2,
        fresh_conversation: FRESH.to_owned(),
        workdir: "/repo/wt".into(),
        bundle_dir: "/state/bundle".into(),
        program: "/usr/bin/agent".into(),
        longhaul: "/usr/bin/longhaul".into(),
        confined: true,
        env: BTreeMap::from([("HOME".to_owned(), "/home/u".to_owned())]),
        ..LaunchRequest::default()
    }
}

fn plan(harness: &str, request: &LaunchRequest) -> Result<LaunchPlan, LaunchRefusal> {
    Registry::builtin()
        .resolve(harness)
        .expect("built in")
        .launch(request)
}

fn render(plan: &Result<LaunchPlan, LaunchRefusal>) -> String {
    let plan = match plan {
        Ok(plan) => plan,
        Err(refusal) => return format!("  refused: {refusal}\n  remedy: {}\n", refusal.remedy()),
    };
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            writeln!(text, "  {name}: {value}").expect("a string");
        }
    };
    line("argv", format!("{:?}", plan.argv));
    let env: Vec<String> = plan.env.iter().map(|(k, v)| format!("{k}={v}")).collect();
    line("env", env.join(" "));
    let from: Vec<String> = plan
        .env_from
        .iter()
        .map(|(k, v)| format!("{k}=${v}"))
        .collect();
    if !from.is_empty() {
        line("env from", from.join(" "));
    }
    line("unset", plan.env_remove.join(" "));
    line(
        "stdin",
        format!("{:?}", String::from_utf8_lossy(&plan.stdin)),
    );
    for file in &plan.files {
        line(
            &file.name,
            format!("{:?}", String::from_utf8_lossy(&file.bytes)),
        );
    }
    line(
        "conversation",
        plan.conversation.clone().unwrap_or_default(),
    );
    let writable: Vec<&str> = plan.writable.iter().map(|p| p.as_str()).collect();
    line("writable", writable.join(" "));
    let files: Vec<&str> = plan.writable_files.iter().map(|p| p.as_str()).collect();
    line("writable files", files.join(" "));
    line(
        "records",
        plan.records.iter().map(ToString::to_string).collect(),
    );
    line("expects", plan.expected_mode.clone().unwrap_or_default());
    line(
        "confinement",
        if plan.needs_unconfined { "its own" } else { "" }.to_owned(),
    );
    text
}

#[test]
fn s8_t23_plans_of_every_harness_permission_and_resume() {
    let mut text = String::new();
    for harness in Registry::builtin().names() {
        for permission in [Permission::Edits, Permission::Plan, Permission::Bypass] {
            for resume in [None, Some("conv-1".to_owned())] {
                let mut request = request();
                request.options.permission = permission;
                request.resume = resume;
                let how = if request.resume.is_some() {
                    "resumed"
                } else {
                    "fresh"
                };
                let plan = render(&plan(harness, &request));
                write!(text, "{harness} {} {how}\n{plan}", permission.as_str()).expect("a string");
            }
        }
    }
    insta::assert_snapshot!("plans", text);
}

#[test]
fn s12_a_full_profile_is_said_by_flag_or_in_the_prompt() {
    let mut text = String::new();
    for harness in Registry::builtin().names() {
        let mut request = request();
        request.options.model = Some("big-1".to_owned());
        request.options.allowed_tools = vec!["Read".to_owned(), "Edit(src/**)".to_owned()];
        request.options.disallowed_tools = vec!["WebFetch".to_owned()];
        request.options.allow = vec!["cargo test".to_owned(), "make \"x\"".to_owned()];
        request.options.add_dirs = vec!["/data".into(), "/more".into()];
        request.options.append_system_prompt = Some("- be brief".to_owned());
        let plan = render(&plan(harness, &request));
        write!(text, "{harness}\n{plan}").expect("a string");
    }
    insta::assert_snapshot!("profile", text);
}

#[test]
fn the_capability_table() {
    let table: Vec<String> = Registry::builtin()
        .iter()
        .map(|h| {
            let row = serde_json::to_string_pretty(h.capabilities()).expect("serialises");
            format!("{} {row}", h.name())
        })
        .collect();
    insta::assert_snapshot!("capabilities", table.join("\n"));
}

#[test]
fn t25_bypass_as_root() {
    let mut request = request();
    request.is_root = true;
    request.options.permission = Permission::Bypass;
    for harness in ["claude", "codex", "gemini", "opencode"] {
        request.confined = false;
        request.sandboxed = false;
        assert_eq!(
            plan(harness, &request),
            Err(LaunchRefusal::RootBypass),
            "{harness}"
        );
        // The user's word.
        request.sandboxed = true;
        let env = plan(harness, &request).expect("allowed").env;
        assert_eq!(
            env.contains_key("IS_SANDBOX"),
            harness == "claude",
            "{harness}"
        );
        // Confined, but without the user's word: Claude refuses by itself, and we do not override it.
        request.sandboxed = false;
        request.confined = true;
        match plan(harness, &request) {
            Err(LaunchRefusal::AgentRefusesRootBypass { .. }) => assert_eq!(harness, "claude"),
            Ok(plan) => assert!(harness != "claude" && !plan.env.contains_key("IS_SANDBOX")),
            Err(other) => panic!("{harness}: {other}"),
        }
    }
    // `sandboxed = true` says nothing where it is not needed.
    request.sandboxed = true;
    request.options.permission = Permission::Edits;
    assert!(
        !plan("claude", &request)
            .expect("allowed")
            .env
            .contains_key("IS_SANDBOX")
    );
    request.options.permission = Permission::Bypass;
    request.is_root = false;
    assert!(
        !plan("claude", &request)
            .expect("allowed")
            .env
            .contains_key("IS_SANDBOX")
    );
}

/// Measured with 0.169.0: bubblewrap fails under Landlock, silently for the stream.
#[test]
fn t25_codex_never_stacks_its_sandbox_on_ours() {
    let mut request = request();
    for (confined, permission, sandbox, needs_unconfined) in [
        (true, Permission::Edits, "danger-full-access", false),
        (false, Permission::Edits, "workspace-write", false),
        (true, Permission::Plan, "read-only", true),
        (false, Permission::Plan, "read-only", false),
    ] {
        request.confined = confined;
        request.options.permission = permission;
        let plan = plan("codex", &request).expect("allowed");
        assert!(
            plan.argv.windows(2).any(|w| w == ["-s", sandbox]),
            "{:?}",
            plan.argv
        );
        assert_eq!(plan.needs_unconfined, needs_unconfined);
    }
}

#[test]
fn i10_money_is_limited_only_where_it_is_known() {
    let mut request = request();
    request.options.max_budget = Some(MicroUsd(1_500_000));
    for harness in Registry::builtin().iter() {
        let known = harness.capabilities().cost_known;
        let plan = harness.launch(&request);
        match plan {
            Ok(plan) => {
                assert!(known, "{}", harness.name());
                let flagged = plan
                    .argv
                    .windows(2)
                    .any(|w| w == ["--max-budget-usd", "1.500000"]);
                assert_eq!(
                    flagged,
                    harness.capabilities().budget_flag,
                    "{}",
                    harness.name()
                );
            }
            Err(LaunchRefusal::CostUnknown { .. }) => assert!(!known, "{}", harness.name()),
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn t7_a_prompt_of_any_length_goes_by_stdin_and_never_by_argv() {
    let mut request = request();
    request.prompt = "--dangerous \0 ünï".repeat(20_000);
    request.options.append_system_prompt = Some("s".repeat(70_000));
    for harness in Registry::builtin().names() {
        let plan = plan(harness, &request).expect("allowed");
        let stdin = String::from_utf8(plan.stdin).expect("utf-8");
        assert!(stdin.contains(&request.prompt), "{harness}");
        assert!(
            plan.argv.iter().all(|arg| arg.len() <= 65 << 10),
            "{harness}"
        );
        let system = stdin.contains(&"s".repeat(70_000));
        assert_eq!(system, harness != "script", "{harness}");
    }
}

#[test]
fn values_cannot_become_flags() {
    for harness in ["claude", "codex", "gemini", "opencode"] {
        let mut model = request();
        model.options.model = Some("--dangerously-skip-permissions".to_owned());
        assert!(matches!(
            plan(harness, &model),
            Err(LaunchRefusal::BadArgument { what: "model", .. })
        ));
        let mut resume = request();
        resume.resume = Some("--last".to_owned());
        assert!(matches!(
            plan(harness, &resume),
            Err(LaunchRefusal::BadConversation { .. })
        ));
    }
    let mut tools = request();
    tools.options.allowed_tools = vec!["--dangerously-skip-permissions".to_owned()];
    assert!(plan("claude", &tools).is_err());
}

#[test]
fn s8_a_custom_harness_says_all_by_its_flags() {
    let flag = |name: &str| Some(format!("--{name}"));
    let custom = CustomHarness {
        name: "mine".to_owned(),
        program: Some("mine".to_owned()),
        base_args: vec!["go".to_owned()],
        cwd_flag: flag("cwd"),
        session_name_flag: flag("name"),
        task_flag: flag("task"),
        model_flag: flag("model"),
        add_dir_flag: flag("add-dir"),
        include_directories_flag: flag("include"),
        allowed_tools_flag: flag("allow"),
        disallowed_tools_flag: flag("deny"),
        permission_mode_flag: flag("mode"),
        permission_modes: BTreeMap::from([("edits".to_owned(), "write".to_owned())]),
        max_budget_usd_flag: flag("budget"),
        append_system_prompt_flag: flag("system"),
        env: BTreeMap::from([
            ("A".to_owned(), EnvValue::Literal("b".to_owned())),
            (
                "KEY".to_owned(),
                EnvValue::From {
                    from: "MINE_KEY".to_owned(),
                },
            ),
        ]),
        resume_args: vec!["--resume={id}".to_owned()],
        output: OutputFormat::ClaudeStream,
        writable: vec!["~/.mine".to_owned(), "/var/mine".to_owned()],
        ..CustomHarness::default()
    };
    let mut plainest = CustomHarness {
        name: "plain".to_owned(),
        program: Some("/bin/plain".to_owned()),
        ..CustomHarness::default()
    };
    let mut by_file = plainest.clone();
    by_file.name = "by-file".to_owned();
    by_file.base_args = vec!["--prompt={prompt_file}".to_owned()];
    plainest.inline_system_prompt_for_task = false;
    let registry = Registry::with_custom(vec![custom, plainest, by_file]).expect("sound");

    let mut full = request();
    full.options.model = Some("m".to_owned());
    full.options.add_dirs = vec!["/a".into(), "/b".into()];
    full.options.allowed_tools = vec!["R".to_owned(), "W".to_owned()];
    full.options.disallowed_tools = vec!["X".to_owned()];
    full.options.append_system_prompt = Some("be brief".to_owned());
    let mut text = String::new();
    for name in ["mine", "plain", "by-file"] {
        let harness = registry.resolve(name).expect("known");
        let plan = render(&harness.launch(&full));
        write!(text, "{name}\n{plan}").expect("a string");
    }
    full.resume = Some("c1".to_owned());
    full.options.max_budget = Some(MicroUsd(2_000_000));
    for name in ["mine", "plain"] {
        let harness = registry.resolve(name).expect("known");
        let plan = render(&harness.launch(&full));
        write!(text, "{name} resumed with a budget\n{plan}").expect("a string");
    }
    insta::assert_snapshot!("custom", text);

    let mut long = request();
    long.prompt = "x".repeat(70_000);
    let refused = registry.resolve("mine").expect("known").launch(&long);
    assert!(matches!(
        refused,
        Err(LaunchRefusal::PromptTooLong { bytes: 70_000, .. })
    ));
    let by_file = registry
        .resolve("by-file")
        .expect("known")
        .launch(&long)
        .expect("by file");
    assert_eq!(by_file.files[0].bytes.len(), 70_000);
    assert!(by_file.stdin.is_empty());
}

#[test]
fn a_builtin_harness_takes_the_configs_program_arguments_and_variables() {
    let changed = CustomHarness {
        name: "claude".to_owned(),
        program: Some("/opt/claude/bin/claude".to_owned()),
        base_args: vec!["--debug".to_owned()],
        env: BTreeMap::from([(
            "DISABLE_AUTOUPDATER".to_owned(),
            EnvValue::Literal("0".to_owned()),
        )]),
        ..CustomHarness::default()
    };
    let registry = Registry::with_custom(vec![changed]).expect("sound");
    let harness = registry.resolve("claude-code").expect("known");
    assert_eq!(harness.program(), "/opt/claude/bin/claude");
    let plan = harness.launch(&request()).expect("allowed");
    assert_eq!(plan.argv[..3], ["/usr/bin/agent", "--debug", "-p"]);
    assert_eq!(plan.env["DISABLE_AUTOUPDATER"], "0");
}

#[test]
fn homes_of_the_session_are_what_the_agent_may_write() {
    let mut request = request();
    for (var, dir) in [
        ("CLAUDE_CONFIG_DIR", "/acc/claude"),
        ("CODEX_HOME", "/acc/codex"),
        ("GEMINI_CLI_HOME", "/acc/gemini"),
        ("XDG_DATA_HOME", "/acc/data"),
    ] {
        request.env.insert(var.to_owned(), dir.to_owned());
    }
    for (harness, path) in [
        ("claude", "/acc/claude"),
        ("codex", "/acc/codex"),
        ("gemini", "/acc/gemini/.gemini"),
        ("opencode", "/acc/data/opencode"),
    ] {
        let writable = plan(harness, &request).expect("allowed").writable;
        assert_eq!(writable[0], path, "{harness}");
        assert!(!writable.iter().any(|p| p == "/home/u"), "{harness}");
    }
}

#[test]
fn a21_in_a_terminal_claude_has_no_headless_flags_and_the_prompt_is_for_pasting() {
    let mut request = LaunchRequest {
        terminal: true,
        ..request()
    };
    let terminal = plan("claude", &request).expect("claude can");
    assert!(terminal.terminal.is_some());
    assert_eq!(terminal.stdin, b"Fix the login.");
    for flag in ["-p", "--output-format", "stream-json", "--verbose"] {
        assert!(!terminal.argv.iter().any(|a| a == flag), "{flag}");
    }
    assert!(terminal.argv.iter().any(|a| a == FRESH));
    for other in ["codex", "gemini", "opencode", "script"] {
        let refused = plan(other, &request);
        assert!(
            matches!(refused, Err(LaunchRefusal::NoTerminal { .. })),
            "{other}"
        );
    }
    // I10: nothing in a terminal tells what it costs.
    request.options.max_budget = Some(MicroUsd(1_000_000));
    assert!(matches!(
        plan("claude", &request),
        Err(LaunchRefusal::CostUnknown { .. })
    ));
    request.terminal = false;
    assert!(plan("claude", &request).is_ok_and(|p| p.terminal.is_none()));
}
