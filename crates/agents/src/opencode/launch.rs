//! OpenCode's command line (facts/agents.md §1), checked with 1.18.33: the prompt goes by stdin, and
//! `run` refuses by itself whatever its rules would ask a person for.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_core::spec::Permission;
use serde_json::{Map, Value, json};

use crate::capabilities::{Capabilities, SpendingSeen, names, permissions};
use crate::launch::{Argv, ByFlag, LaunchPlan, LaunchRefusal, LaunchRequest, inline_prompt};

pub(crate) fn capabilities() -> Capabilities {
    Capabilities {
        resume: true,
        stream: true,
        cost_known: true,
        spending_seen: SpendingSeen::EachCall,
        add_dir_flag: true,
        silent_retries: true,
        permissions: permissions([
            (
                "build",
                "edits files and runs any command; its file tools keep to the workspace, its commands do not",
            ),
            (
                "plan",
                "reads and plans; has neither a shell nor tools that write",
            ),
            (
                "build --auto",
                "no questions: everything that no rule denies",
            ),
        ]),
        credentials: names([
            "OPENCODE_CONFIG",
            "OPENCODE_API_KEY",
            "ANTHROPIC_API_KEY",
            "OPENAI_API_KEY",
            "GEMINI_API_KEY",
            "XDG_DATA_HOME",
            "XDG_CONFIG_HOME",
            "XDG_STATE_HOME",
            "XDG_CACHE_HOME",
        ]),
        project_markers: names([".opencode", "opencode.json"]),
        ..Capabilities::least()
    }
}

pub(crate) fn launch(request: &LaunchRequest) -> Result<LaunchPlan, LaunchRefusal> {
    let options = &request.options;
    request.refuse_root_bypass()?;
    let mut argv = Argv::new(
        &request.program,
        // Logs are the only place where it says that it waits for a provider (O1).
        &[
            "run",
            "--format",
            "json",
            "--print-logs",
            "--log-level=ERROR",
        ],
    );
    match options.permission {
        Permission::Edits => {}
        Permission::Plan => argv.fixed(&["--agent", "plan"]),
        Permission::Bypass => argv.fixed(&["--auto"]),
    }
    let resume = request.sound_resume()?;
    if let Some(id) = resume {
        argv.pair("--session", "conversation", id)?;
    } else if !request.task.is_empty() {
        // Spares the model call that would make up a title.
        argv.joined("--title", "task name", &request.task)?;
    }
    if let Some(model) = &options.model {
        argv.pair("--model", "model", model)?;
    }
    let by_flag = ByFlag {
        allow: true,
        add_dirs: true,
        ..ByFlag::default()
    };
    let mut env = BTreeMap::from([
        ("OPENCODE_DISABLE_AUTOUPDATE".to_owned(), "1".to_owned()),
        ("OPENCODE_DISABLE_LSP_DOWNLOAD".to_owned(), "1".to_owned()),
    ]);
    if let Some(rules) = permission_rules(request) {
        env.insert("OPENCODE_PERMISSION".to_owned(), rules);
    }
    Ok(LaunchPlan {
        argv: argv.done(),
        env,
        stdin: inline_prompt(request, by_flag).into_bytes(),
        conversation: resume.map(str::to_owned),
        writable: writable(request),
        ..LaunchPlan::default()
    })
}

/// Rules on top of the user's: its `plan` agent refuses edits but would run any command, and folders
/// outside the workspace are refused unless named.
fn permission_rules(request: &LaunchRequest) -> Option<String> {
    let mut rules = Map::new();
    if request.options.permission == Permission::Plan {
        rules.insert("bash".to_owned(), json!("deny"));
        rules.insert("edit".to_owned(), json!("deny"));
    }
    if !request.options.add_dirs.is_empty() {
        let folders: Map<String, Value> = request
            .options
            .add_dirs
            .iter()
            .map(|dir| (dir.join("*").into_string(), json!("allow")))
            .collect();
        rules.insert("external_directory".to_owned(), Value::Object(folders));
    }
    (!rules.is_empty()).then(|| Value::Object(rules).to_string())
}

fn writable(request: &LaunchRequest) -> Vec<Utf8PathBuf> {
    [
        ("XDG_DATA_HOME", ".local/share"),
        ("XDG_CONFIG_HOME", ".config"),
        ("XDG_STATE_HOME", ".local/state"),
        ("XDG_CACHE_HOME", ".cache"),
    ]
    .into_iter()
    .filter_map(|(var, below)| {
        let base = match request.var(var) {
            Some(dir) => Some(Utf8Path::new(dir).to_owned()),
            None => request.home(below),
        };
        Some(base?.join("opencode"))
    })
    .collect()
}
