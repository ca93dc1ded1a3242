//! Codex's command line (facts/agents.md §1), checked with 0.169.0: the prompt goes by stdin as `-`, and
//! a sandbox flag before `resume` holds for the resumed turn.
//!
//! Codex's own sandbox (bubblewrap) cannot be set up inside a Landlock one: every command fails with
//! `bwrap: setting up uid map: Permission denied`, and the stream does not show it. So in a confined
//! session `edits` leaves confinement to ours, and `plan`, which needs a read-only workspace, asks to be
//! started without ours.

use camino::Utf8PathBuf;
use longhaul_core::spec::Permission;

use crate::capabilities::{Capabilities, SpendingSeen, UsageCounts, names, permissions};
use crate::launch::{Argv, ByFlag, LaunchPlan, LaunchRefusal, LaunchRequest, inline_prompt};

pub(crate) fn capabilities() -> Capabilities {
    Capabilities {
        resume: true,
        stream: true,
        hooks: true,
        spending_seen: SpendingSeen::EachCall,
        usage_counts: UsageCounts::Conversation,
        add_dir_flag: true,
        silent_retries: false,
        permissions: permissions([
            (
                "workspace-write",
                "edits files and runs any command. In a confined session Longhaul's confinement holds and the network is open; else its own sandbox does: writes to the workspace, the further folders and temp only, no network, and `allow` cannot widen it",
            ),
            (
                "read-only",
                "reads and runs commands in its own read-only sandbox, which takes the place of Longhaul's",
            ),
            ("danger-full-access", "no sandbox and no checks of its own"),
        ]),
        credentials: names([
            "CODEX_HOME",
            "CODEX_API_KEY",
            "OPENAI_API_KEY",
            "OPENAI_BASE_URL",
        ]),
        project_markers: names([".codex", "AGENTS.md"]),
        ..Capabilities::least()
    }
}

pub(crate) fn launch(request: &LaunchRequest) -> Result<LaunchPlan, LaunchRefusal> {
    let options = &request.options;
    request.refuse_root_bypass()?;
    if options.max_budget.is_some() {
        return Err(LaunchRefusal::CostUnknown {
            harness: "codex".to_owned(),
        });
    }
    let mut argv = Argv::new(
        &request.program,
        &[
            "exec",
            "--json",
            "--skip-git-repo-check",
            "-c",
            "check_for_update_on_startup=false",
        ],
    );
    match options.permission {
        Permission::Edits if request.confined => {
            argv.fixed(&[
                "-s",
                "danger-full-access",
                "-c",
                "approval_policy=\"never\"",
            ]);
        }
        Permission::Edits => argv.fixed(&["-s", "workspace-write"]),
        Permission::Plan => argv.fixed(&["-s", "read-only"]),
        Permission::Bypass => argv.fixed(&["--dangerously-bypass-approvals-and-sandbox"]),
    }
    if let Some(model) = &options.model {
        argv.pair("-m", "model", model)?;
    }
    for dir in &options.add_dirs {
        argv.pair("--add-dir", "folder", dir.as_str())?;
    }
    let resume = request.sound_resume()?;
    if let Some(id) = resume {
        argv.fixed(&["resume", id]);
    }
    argv.fixed(&["-"]);
    let by_flag = ByFlag {
        add_dirs: true,
        // Every command runs, inside the sandbox.
        allow: true,
        ..ByFlag::default()
    };
    let home = match request.var("CODEX_HOME") {
        Some(dir) => Some(Utf8PathBuf::from(dir)),
        None => request.home(".codex"),
    };
    Ok(LaunchPlan {
        argv: argv.done(),
        stdin: inline_prompt(request, by_flag).into_bytes(),
        conversation: resume.map(str::to_owned),
        records: home.as_ref().map(|home| home.join("sessions")),
        writable: home.into_iter().collect(),
        needs_unconfined: request.confined && options.permission == Permission::Plan,
        ..LaunchPlan::default()
    })
}
