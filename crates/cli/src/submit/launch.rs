//! Whether a task can be started at all, seen before it is stored: its launch is planned as the daemon
//! will plan it, and nothing is started.

use camino::Utf8PathBuf;
use longhaul_agents::LaunchRequest;
use longhaul_core::spec::{Sandbox, TaskSpec};
use longhaul_engine::executor::Practice;
use longhaul_hosts::ConfinementLevel;

use crate::env::Env;
use crate::failure::Failure;

/// Plans the first attempt of a task.
///
/// # Errors
/// Its agent would refuse each attempt: bypass as root without a sandbox (T25), a budget that cannot be
/// counted (I10), a value that no command line takes.
pub(super) fn possible(spec: &TaskSpec, practice: &Practice, env: &Env) -> Result<(), Failure> {
    let harness = practice
        .registry
        .resolve(&spec.harness)
        .map_err(|e| Failure::usage(e.to_string()))?;
    let options = practice
        .options(spec, spec.model.clone(), spec.budget)
        .map_err(|name| {
            Failure::usage(format!(
                "there is no profile `{name}` for tasks of {}",
                spec.repo
            ))
            .help(format!(
                "define it as `[profile.{name}]` in your config.toml"
            ))
        })?;
    let longhaul = std::env::current_exe()
        .ok()
        .and_then(|p| Utf8PathBuf::from_path_buf(p).ok())
        .unwrap_or_default();
    let confined = spec.sandbox == Sandbox::Write
        && longhaul_hosts::confinement_support() != ConfinementLevel::None;
    let request = LaunchRequest {
        task: spec.name.clone(),
        options,
        prompt: spec.prompt.clone(),
        original_prompt: spec.prompt.clone(),
        attempt: 1,
        resume: None,
        fresh_conversation: uuid::Uuid::nil().to_string(),
        workdir: spec.repo.clone(),
        bundle_dir: spec.repo.clone(),
        // Where it is does not matter for what it refuses.
        program: super::harness::installed(harness, env).unwrap_or_else(|| "/bin/false".into()),
        longhaul,
        is_root: rustix::process::geteuid().is_root(),
        confined,
        sandboxed: practice.sandboxed,
        terminal: practice.in_terminal(spec, harness.name()),
        gateway: None,
        env: spec.caller_env.clone(),
    };
    harness.launch(&request).map(drop).map_err(|refusal| {
        Failure::usage(format!("task `{}` cannot be started: {refusal}", spec.name))
            .help(refusal.remedy())
    })
}
