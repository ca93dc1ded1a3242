//! The command line of a harness from the config.

use camino::{Utf8Path, Utf8PathBuf};

use super::settings::{CustomHarness, OutputFormat};
use crate::capabilities::{Capabilities, PermissionMeaning, SpendingSeen, UsageCounts};
use crate::launch::{
    ARGV_TEXT_LIMIT, Argv, ByFlag, LaunchPlan, LaunchRefusal, LaunchRequest, PlacedFile,
    inline_prompt,
};

const PROMPT_FILE: &str = "prompt.txt";

pub(crate) fn capabilities(custom: &CustomHarness) -> Capabilities {
    let (stream, cost_known, spending_seen, mode_reported) = match custom.output {
        OutputFormat::Text => (false, false, SpendingSeen::Never, false),
        OutputFormat::ClaudeStream => (true, true, SpendingSeen::InputEachCall, true),
        OutputFormat::CodexJson | OutputFormat::GeminiStream => {
            (true, false, SpendingSeen::TurnEnd, false)
        }
        OutputFormat::OpencodeJson => (true, true, SpendingSeen::EachCall, false),
        OutputFormat::Script => (true, true, SpendingSeen::EachCall, true),
    };
    let permissions = if custom.permission_mode_flag.is_some() {
        crate::capabilities::permissions([
            ("edits", "what the program makes of this mode"),
            ("plan", "what the program makes of this mode"),
            ("bypass", "what the program makes of this mode"),
        ])
    } else {
        Vec::<PermissionMeaning>::new()
    };
    Capabilities {
        resume: !custom.resume_args.is_empty(),
        stream,
        budget_flag: custom.max_budget_usd_flag.is_some(),
        cost_known: custom
            .cost_known
            .unwrap_or(cost_known || custom.max_budget_usd_flag.is_some()),
        spending_seen,
        usage_counts: match custom.output {
            OutputFormat::CodexJson => UsageCounts::Conversation,
            OutputFormat::Text
            | OutputFormat::ClaudeStream
            | OutputFormat::GeminiStream
            | OutputFormat::OpencodeJson
            | OutputFormat::Script => UsageCounts::Process,
        },
        tool_flags: custom.allowed_tools_flag.is_some() && custom.disallowed_tools_flag.is_some(),
        add_dir_flag: custom.add_dir_flag.is_some() || custom.include_directories_flag.is_some(),
        system_prompt_flag: custom.append_system_prompt_flag.is_some(),
        mode_reported,
        permissions,
        credentials: custom.credentials.clone(),
        project_markers: custom.project_markers.clone(),
        ..Capabilities::least()
    }
}

pub(crate) fn launch(
    custom: &CustomHarness,
    request: &LaunchRequest,
) -> Result<LaunchPlan, LaunchRefusal> {
    let options = &request.options;
    request.refuse_root_bypass()?;
    if options.max_budget.is_some() && !capabilities(custom).cost_known {
        return Err(LaunchRefusal::CostUnknown {
            harness: custom.name.clone(),
        });
    }
    let (prompt, system_by_flag) = prompt(custom, request);
    let prompt_file = request.bundle_dir.join(PROMPT_FILE);
    let mut argv = Argv::new(&request.program, &[]);
    argv.extend(
        custom
            .base_args
            .iter()
            .map(|arg| arg.replace("{prompt_file}", prompt_file.as_str())),
    );
    let mut pair = |flag: &Option<String>, what, text: &str| match flag {
        Some(flag) if !text.is_empty() => argv.pair(flag, what, text),
        _ => Ok(()),
    };
    pair(&custom.cwd_flag, "folder", request.workdir.as_str())?;
    pair(&custom.session_name_flag, "task name", &request.task)?;
    pair(
        &custom.model_flag,
        "model",
        options.model.as_deref().unwrap_or_default(),
    )?;
    for dir in &options.add_dirs {
        pair(&custom.add_dir_flag, "folder", dir.as_str())?;
    }
    let dirs: Vec<&str> = options.add_dirs.iter().map(|dir| dir.as_str()).collect();
    pair(&custom.include_directories_flag, "folder", &dirs.join(","))?;
    pair(
        &custom.allowed_tools_flag,
        "tool",
        &options.allowed_tools.join(","),
    )?;
    pair(
        &custom.disallowed_tools_flag,
        "tool",
        &options.disallowed_tools.join(","),
    )?;
    let mode = mode(custom, request);
    pair(&custom.permission_mode_flag, "permission mode", &mode)?;
    if let Some(budget) = options.max_budget {
        let usd = format!("{}.{:06}", budget.0 / 1_000_000, budget.0 % 1_000_000);
        pair(&custom.max_budget_usd_flag, "budget", &usd)?;
    }
    if let (true, Some(flag), Some(text)) = (
        system_by_flag,
        &custom.append_system_prompt_flag,
        &options.append_system_prompt,
    ) {
        argv.joined_or_pair(flag, "system prompt", text)?;
    }
    let resume = request.sound_resume()?;
    if let Some(id) = resume {
        if custom.resume_args.is_empty() {
            return Err(LaunchRefusal::ResumeUnsupported {
                harness: custom.name.clone(),
            });
        }
        argv.extend(custom.resume_args.iter().map(|arg| arg.replace("{id}", id)));
    }

    let mut plan = LaunchPlan {
        conversation: resume.map(str::to_owned),
        writable: custom
            .writable
            .iter()
            .filter_map(|path| expand(request, path))
            .collect(),
        expected_mode: (custom.output == OutputFormat::ClaudeStream
            && custom.permission_mode_flag.is_some())
        .then_some(mode),
        ..LaunchPlan::default()
    };
    plan.set(&custom.env);
    if custom.uses_prompt_file() {
        plan.files.push(PlacedFile {
            name: PROMPT_FILE.to_owned(),
            bytes: prompt.into_bytes(),
        });
    } else if let Some(flag) = &custom.task_flag {
        if prompt.len() > ARGV_TEXT_LIMIT || prompt.contains('\0') {
            return Err(LaunchRefusal::PromptTooLong {
                harness: custom.name.clone(),
                bytes: prompt.len(),
            });
        }
        argv.joined_or_pair(flag, "prompt", &prompt)?;
    } else {
        plan.stdin = prompt.into_bytes();
    }
    plan.argv = argv.done();
    Ok(plan)
}

/// The prompt, and whether the system prompt goes by its flag.
fn prompt(custom: &CustomHarness, request: &LaunchRequest) -> (String, bool) {
    let system = request
        .options
        .append_system_prompt
        .as_deref()
        .unwrap_or_default();
    let by_flag = custom.append_system_prompt_flag.is_some()
        && !system.is_empty()
        && system.len() <= ARGV_TEXT_LIMIT;
    let text = inline_prompt(
        request,
        ByFlag {
            system_prompt: by_flag || !custom.inline_system_prompt_for_task,
            tools: custom.allowed_tools_flag.is_some() && custom.disallowed_tools_flag.is_some(),
            add_dirs: custom.add_dir_flag.is_some() || custom.include_directories_flag.is_some(),
            allow: false,
        },
    );
    (text, by_flag)
}

fn mode(custom: &CustomHarness, request: &LaunchRequest) -> String {
    let ours = request.options.permission.as_str();
    custom
        .permission_modes
        .get(ours)
        .map_or(ours, String::as_str)
        .to_owned()
}

fn expand(request: &LaunchRequest, path: &str) -> Option<Utf8PathBuf> {
    match path.strip_prefix("~/") {
        Some(below) => request.home(below),
        None => Some(Utf8Path::new(path).to_owned()),
    }
}
