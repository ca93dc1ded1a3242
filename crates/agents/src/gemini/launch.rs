//! Gemini CLI's command line (facts/agents.md §1), checked with 0.61.0: a prompt on a piped stdin is
//! headless without `-p`, and commands are permitted by a policy file (`--allowed-tools` is deprecated).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use longhaul_core::spec::Permission;
use serde_json::Value;

use crate::capabilities::{Capabilities, SpendingSeen, names, permissions};
use crate::launch::{
    Argv, ByFlag, LaunchPlan, LaunchRefusal, LaunchRequest, PlacedFile, inline_prompt, printable,
};

const POLICY_FILE: &str = "gemini-policy.toml";

pub(crate) fn capabilities() -> Capabilities {
    Capabilities {
        resume: true,
        chooses_conversation_id: true,
        stream: true,
        hooks: true,
        spending_seen: SpendingSeen::TurnEnd,
        tool_flags: true,
        add_dir_flag: true,
        silent_retries: true,
        permissions: permissions([
            (
                "auto_edit",
                "edits files; has no shell at all but for the commands that `allow` names",
            ),
            ("plan", "reads and plans; writes only its own plan"),
            ("yolo", "no checks of its own"),
        ]),
        credentials: names([
            "GEMINI_API_KEY",
            "GEMINI_CLI_HOME",
            "GOOGLE_API_KEY",
            "GOOGLE_GEMINI_BASE_URL",
        ]),
        project_markers: names([".gemini", "GEMINI.md"]),
        ..Capabilities::least()
    }
}

pub(crate) fn launch(request: &LaunchRequest) -> Result<LaunchPlan, LaunchRefusal> {
    let options = &request.options;
    request.refuse_root_bypass()?;
    if options.max_budget.is_some() {
        return Err(LaunchRefusal::CostUnknown {
            harness: "gemini".to_owned(),
        });
    }
    let mode = match options.permission {
        Permission::Edits => "auto_edit",
        Permission::Plan => "plan",
        Permission::Bypass => "yolo",
    };
    let mut argv = Argv::new(
        &request.program,
        &["--output-format", "stream-json", "--approval-mode", mode],
    );
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
    if let Some(model) = &options.model {
        argv.pair("--model", "model", model)?;
    }
    for dir in &options.add_dirs {
        argv.joined("--include-directories", "folder", dir.as_str())?;
    }
    for text in options
        .allow
        .iter()
        .chain(&options.allowed_tools)
        .chain(&options.disallowed_tools)
    {
        printable("command or tool", text)?;
    }
    let policy = policy(request);
    let mut files = Vec::new();
    if !policy.is_empty() {
        argv.joined(
            "--policy",
            "policy",
            request.bundle_dir.join(POLICY_FILE).as_str(),
        )?;
        files.push(PlacedFile {
            name: POLICY_FILE.to_owned(),
            bytes: policy.into_bytes(),
        });
    }
    let home = match request.var("GEMINI_CLI_HOME") {
        Some(dir) => Some(camino::Utf8Path::new(dir).join(".gemini")),
        None => request.home(".gemini"),
    };
    Ok(LaunchPlan {
        argv: argv.done(),
        env: BTreeMap::from([
            // Without trust it exits with 55; whether the folder may be worked in is decided by now.
            ("GEMINI_CLI_TRUST_WORKSPACE".to_owned(), "true".to_owned()),
            // One process, which our signals reach (facts/agents.md §3).
            ("GEMINI_CLI_NO_RELAUNCH".to_owned(), "true".to_owned()),
        ]),
        stdin: inline_prompt(
            request,
            ByFlag {
                tools: true,
                add_dirs: true,
                allow: true,
                system_prompt: false,
            },
        )
        .into_bytes(),
        files,
        conversation: Some(conversation.to_owned()),
        writable: home.into_iter().collect(),
        ..LaunchPlan::default()
    })
}

/// Rules for the commands of `allow` and the tools of the profile.
fn policy(request: &LaunchRequest) -> String {
    let options = &request.options;
    let mut text = String::new();
    let mut rule = |tool: &str, prefix: Option<&str>, decision: &str| {
        let quoted = |s: &str| Value::from(s).to_string();
        text.push_str("[[rule]]\n");
        // A JSON string of printable text is a TOML basic string.
        let lines = match prefix {
            Some(prefix) => format!("commandPrefix = [{}]\n", quoted(prefix)),
            None => String::new(),
        };
        write!(
            text,
            "toolName = {}\n{lines}decision = \"{decision}\"\npriority = 500\n\n",
            quoted(tool)
        )
        .expect("writing to a string cannot fail");
    };
    if options.permission == Permission::Edits {
        for command in &options.allow {
            let prefix = command
                .trim_end_matches('*')
                .trim_end_matches(':')
                .trim_end();
            if !prefix.is_empty() {
                rule("run_shell_command", Some(prefix), "allow");
            }
        }
    }
    for tool in &options.allowed_tools {
        rule(tool, None, "allow");
    }
    for tool in &options.disallowed_tools {
        rule(tool, None, "deny");
    }
    text
}
