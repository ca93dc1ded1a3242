//! Claude Code's command line (facts/agents.md §1), checked with 2.1.197: the prompt goes by stdin.

use std::collections::BTreeMap;

use longhaul_core::spec::Permission;

use crate::capabilities::{Capabilities, SpendingSeen, UsageCounts, names, permissions};
use crate::launch::{
    ARGV_TEXT_LIMIT, Argv, ByFlag, LaunchPlan, LaunchRefusal, LaunchRequest, inline_prompt, value,
};
use crate::screen::ScreenAgent;

pub(crate) fn capabilities() -> Capabilities {
    Capabilities {
        resume: true,
        chooses_conversation_id: true,
        stream: true,
        hooks: true,
        budget_flag: true,
        cost_known: true,
        spending_seen: SpendingSeen::EachCall,
        usage_counts: UsageCounts::Process,
        tool_flags: true,
        add_dir_flag: true,
        system_prompt_flag: true,
        silent_retries: false,
        mode_reported: true,
        permissions: permissions([
            (
                "acceptEdits",
                "edits files and runs file commands in the workspace; other commands only where `allow` names them",
            ),
            (
                "plan",
                "reads and plans; writes and commands that write are refused",
            ),
            (
                "bypassPermissions",
                "no checks of its own; refuses to run as root unless it is told that the machine is a sandbox",
            ),
        ]),
        credentials: names([
            "ANTHROPIC_API_KEY",
            "ANTHROPIC_AUTH_TOKEN",
            "ANTHROPIC_BASE_URL",
            "CLAUDE_CODE_OAUTH_TOKEN",
            "CLAUDE_CONFIG_DIR",
        ]),
        project_markers: names([".claude", "CLAUDE.md"]),
    }
}

pub(crate) fn launch(request: &LaunchRequest) -> Result<LaunchPlan, LaunchRefusal> {
    let options = &request.options;
    request.refuse_root_bypass()?;
    if request.bypass_as_root() && !request.sandboxed {
        return Err(LaunchRefusal::AgentRefusesRootBypass {
            harness: "claude".to_owned(),
        });
    }
    let mut argv = if request.terminal {
        Argv::new(&request.program, &[])
    } else {
        Argv::new(
            &request.program,
            &["-p", "--output-format", "stream-json", "--verbose"],
        )
    };
    let conversation = match request.sound_resume()? {
        Some(id) => {
            argv.pair("--resume", "conversation", id)?;
            id
        }
        None => {
            argv.pair("--session-id", "conversation", &request.fresh_conversation)?;
            &request.fresh_conversation
        }
    };
    if !request.task.is_empty() {
        argv.pair("--name", "task name", &request.task)?;
    }
    let mode = match options.permission {
        Permission::Edits => "acceptEdits",
        Permission::Plan => "plan",
        Permission::Bypass => "bypassPermissions",
    };
    match options.permission {
        Permission::Bypass => argv.fixed(&["--dangerously-skip-permissions"]),
        Permission::Edits | Permission::Plan => argv.fixed(&["--permission-mode", mode]),
    }
    if let Some(model) = &options.model {
        argv.pair("--model", "model", model)?;
    }
    if request.terminal && options.max_budget.is_some() {
        // Its flag works headless only, and its transcript names no cost (I10).
        return Err(LaunchRefusal::CostUnknown {
            harness: "claude in a terminal".to_owned(),
        });
    }
    if let Some(budget) = options.max_budget.filter(|_| !request.terminal) {
        let usd = format!("{}.{:06}", budget.0 / 1_000_000, budget.0 % 1_000_000);
        argv.pair("--max-budget-usd", "budget", &usd)?;
    }
    let short_system = options
        .append_system_prompt
        .as_deref()
        .filter(|text| !text.is_empty() && text.len() <= ARGV_TEXT_LIMIT);
    if let Some(text) = short_system {
        argv.joined("--append-system-prompt", "system prompt", text)?;
    }
    // These take every argument up to the next flag: nothing but flags may follow them.
    for dir in &options.add_dirs {
        argv.pair("--add-dir", "folder", dir.as_str())?;
    }
    let mut allowed = options.allowed_tools.clone();
    if options.permission == Permission::Edits {
        allowed.extend(options.allow.iter().map(|command| bash_rule(command)));
    }
    many(&mut argv, "--allowedTools", &allowed)?;
    many(&mut argv, "--disallowedTools", &options.disallowed_tools)?;

    let mut env = BTreeMap::from([
        ("DISABLE_AUTOUPDATER".to_owned(), "1".to_owned()),
        (
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC".to_owned(),
            "1".to_owned(),
        ),
    ]);
    if request.bypass_as_root() && request.sandboxed {
        // The user's own word (T25); nothing else ever sets it.
        env.insert("IS_SANDBOX".to_owned(), "1".to_owned());
    }
    Ok(LaunchPlan {
        argv: argv.done(),
        env,
        // A session started from within another one must not take itself for its child.
        env_remove: [
            "CLAUDECODE",
            "CLAUDE_CODE_ENTRYPOINT",
            "CLAUDE_CODE_SSE_PORT",
        ]
        .map(str::to_owned)
        .to_vec(),
        stdin: inline_prompt(
            request,
            ByFlag {
                system_prompt: short_system.is_some(),
                tools: true,
                add_dirs: true,
                allow: true,
            },
        )
        .into_bytes(),
        conversation: Some(conversation.to_owned()),
        writable: writable(request),
        // Its own home holds this file, too, where that is set.
        writable_files: match request.var("CLAUDE_CONFIG_DIR") {
            Some(_) => Vec::new(),
            None => request.home(".claude.json").into_iter().collect(),
        },
        terminal: request.terminal.then_some(ScreenAgent::Claude),
        expected_mode: Some(mode.to_owned()),
        records: home(request).map(|home| home.join("projects")),
        ..LaunchPlan::default()
    })
}

fn many(argv: &mut Argv, flag: &str, items: &[String]) -> Result<(), LaunchRefusal> {
    if items.is_empty() {
        return Ok(());
    }
    argv.fixed(&[flag]);
    for item in items {
        argv.fixed(&[value("tool", item)?]);
    }
    Ok(())
}

/// A rule for a command by its beginning; a tool rule (`Edit(src/**)`) stays as it is.
fn bash_rule(command: &str) -> String {
    if command.contains('(') && command.ends_with(')') {
        command.to_owned()
    } else if command.ends_with('*') {
        format!("Bash({command})")
    } else {
        format!("Bash({command}:*)")
    }
}

fn writable(request: &LaunchRequest) -> Vec<camino::Utf8PathBuf> {
    let cache = request.home(".cache/claude-cli-nodejs");
    home(request).into_iter().chain(cache).collect()
}

/// Claude's own home.
fn home(request: &LaunchRequest) -> Option<camino::Utf8PathBuf> {
    match request.var("CLAUDE_CONFIG_DIR") {
        Some(dir) => Some(dir.into()),
        None => request.home(".claude"),
    }
}
