//! The settings in the words of the engine.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_config::settings::{JudgeKind as SettingsKind, KeySource, Settings};
use longhaul_core::policy::Policy;
use longhaul_core::queue::QueuePolicy;
use longhaul_core::schedule::Capacity;
use longhaul_engine::executor::{Judge, JudgeKey, JudgeKind, Practice, Profile};
use longhaul_engine::machine::{Asking, Limits};
use longhaul_pool::{Dedicated, PoolSettings};

use crate::env::Env;
use crate::failure::Failure;
use crate::output::Printer;
use crate::paths::Paths;
use crate::settings;
use crate::submit::harness::registry;

/// Slots and waits.
pub(super) fn limits(s: &Settings) -> Limits {
    Limits {
        capacity: Capacity {
            total: s.concurrency,
            per_repo: s.concurrency_per_repo,
            per_harness: s.concurrency_per_harness.clone(),
            max_workspaces: s.max_workspaces,
        },
        policy: Policy {
            retry_min: s.retry.min,
            retry_max: s.retry.max,
            restart_min: s.retry.min,
            throttle_wait: s.limits.throttle_pause,
            overload_min: s.limits.overload_min,
            overload_max: s.limits.overload_max,
            max_refusals: refusals(s),
            quota_unknown_wait: s.limits.unknown_reset,
            reset_jitter: s.limits.wake_jitter,
            ..Policy::default()
        },
        queue: QueuePolicy {
            batch_max: s.queue.batch_max,
            ..QueuePolicy::default()
        },
        merge_style: s.queue.merge_style,
        live_conflicts: s.queue.live_conflicts,
    }
}

/// How many overloads in a row fill the time after which a person is asked.
fn refusals(s: &Settings) -> u32 {
    let (mut wait, mut total, mut n) = (s.limits.overload_min.0.max(1), 0_u64, 0);
    while total < s.limits.overload_give_up.0 && n < 1000 {
        total = total.saturating_add(wait);
        wait = wait.saturating_mul(2).min(s.limits.overload_max.0.max(1));
        n += 1;
    }
    n.max(1)
}

/// What effects follow for the tasks of a repository whose own files say anything: the same settings
/// that its tasks are checked against when they are handed in.
///
/// # Errors
/// Every problem of every file at once.
pub(crate) fn practice_of(
    paths: &Paths,
    env: &Env,
    printer: &Printer,
    repo: &Utf8Path,
) -> Result<Option<Practice>, Failure> {
    if !repo.join(settings::REPO_FOLDER).exists() {
        return Ok(None);
    }
    let resolved = settings::layered(paths, env, printer, Some(repo), &[])?;
    practice(&resolved.settings, env).map(Some)
}

/// What effects follow.
///
/// # Errors
/// Every harness of the settings that is none.
pub(crate) fn practice(s: &Settings, env: &Env) -> Result<Practice, Failure> {
    let home = env.lossy("HOME");
    let at = |path: &String| expand(path, home);
    Ok(Practice {
        registry: registry(s)?,
        branch_prefix: s.branch_prefix.clone(),
        sign: s.sign,
        advance_checkout: s.queue.advance_checkout,
        push: s.queue.push,
        max_log_bytes: s.max_log_bytes,
        snapshot_max_bytes: s.snapshot_max_bytes,
        caches: s.sandbox.caches.iter().map(at).collect(),
        writable: s.sandbox.writable.iter().map(at).collect(),
        sandboxed: s.sandboxed,
        stop_grace: s.stop_grace.as_duration(),
        judges: s
            .judges
            .iter()
            .map(|(name, j)| {
                let judge = Judge {
                    kind: match j.kind {
                        SettingsKind::Anthropic => JudgeKind::Anthropic,
                        SettingsKind::Openai => JudgeKind::Openai,
                    },
                    url: j.url.clone(),
                    model: j.model.clone(),
                    key: j.key.as_ref().map(|key| match key {
                        KeySource::Env(name) => JudgeKey::Env(name.clone()),
                        KeySource::File(path) => JudgeKey::File(at(path)),
                        KeySource::Command(command) => JudgeKey::Command(command.clone()),
                    }),
                    timeout: j.timeout.as_duration(),
                };
                (name.clone(), judge)
            })
            .collect(),
        default_judge: s.default_judge.clone(),
        profiles: s
            .profiles
            .iter()
            .map(|(name, p)| {
                let profile = Profile {
                    model: p.model.clone(),
                    allowed_tools: p.allowed_tools.clone(),
                    disallowed_tools: p.disallowed_tools.clone(),
                    add_dirs: p.add_dirs.iter().map(at).collect(),
                    max_budget: p.max_budget_usd,
                    append_system_prompt: p.append_system_prompt.clone(),
                    in_terminal: p.host.as_deref().map(in_terminal),
                };
                (name.clone(), profile)
            })
            .collect(),
        in_terminals: s
            .harnesses
            .iter()
            .filter(|(_, h)| h.host.as_deref().is_some_and(in_terminal))
            .map(|(name, _)| name.clone())
            .collect(),
        pool: pool(s, env)?,
        tmux: s.pool.tmux.clone(),
    })
}

/// The pool of terminals.
///
/// # Errors
/// Names that cannot be, with what to do.
pub(crate) fn pool(s: &Settings, env: &Env) -> Result<PoolSettings, Failure> {
    let home = env.lossy("HOME");
    let dedicated = s.pool.dedicated.iter();
    let pool = PoolSettings {
        prefix: s.pool.prefix.clone(),
        start_index: s.pool.start_index,
        min: s.pool.min,
        max: s.pool.max,
        ack_timeout_ms: s.pool.ack_timeout.0,
        signal: s.pool.signal.clone(),
        dedicated: dedicated
            .map(|(name, dir)| Dedicated {
                name: name.clone(),
                dir: expand(dir, home),
            })
            .collect(),
    };
    // Settings of nobody's, as tests have them, name no prefix.
    if pool.prefix.is_empty() && pool.max == 0 {
        return Ok(PoolSettings::default());
    }
    if let Some(d) = pool.dedicated.iter().find(|d| !d.dir.is_absolute()) {
        return Err(Failure::usage(format!(
            "`dedicated.{}.dir` is `{}`, which is not an absolute path",
            d.name, d.dir
        ))
        .help("begin it with `/` or `~/`"));
    }
    pool.check().map(|()| pool).map_err(|e| {
        Failure::usage(e.to_string()).help("correct `[pool]` or `[dedicated.NAME]` in the config")
    })
}

fn in_terminal(host: &str) -> bool {
    host == "tmux"
}

/// `~/x` below the user's home.
fn expand(path: &str, home: Option<&str>) -> Utf8PathBuf {
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => Utf8Path::new(home).join(rest),
        _ => Utf8PathBuf::from(path),
    }
}

/// Runs the user's `on_needs_human` without waiting for it (T28). The command finds what it is about in its
/// environment, without known secrets (I12).
pub(super) fn run_hook(
    command: &str,
    asking: &Asking,
    environment: &[(OsString, OsString)],
    mask: &dyn Fn(&str) -> String,
) {
    // A NUL cannot stand in a variable; nobody misses it.
    let text = |text: &str| mask(text).replace('\0', "");
    let mut hook = Command::new("/bin/sh");
    hook.args(["-c", command])
        .env_clear()
        .envs(environment.iter().cloned())
        .env("LONGHAUL_TASK_ID", asking.task.to_string())
        .env("LONGHAUL_TASK", text(&asking.name))
        .env("LONGHAUL_REASON", text(&asking.need.detail))
        .env("LONGHAUL_REMEDY", text(&asking.need.remedy))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    match longhaul_acts::process::spawn("cli.hook", &mut hook) {
        Ok(mut child) => {
            // Somebody has to wait for it; it must not hold the dispatcher up.
            let waiting = std::thread::Builder::new()
                .name("hook".to_owned())
                .spawn(move || match child.wait() {
                    Ok(status) if !status.success() => {
                        tracing::warn!(%status, "on_needs_human failed");
                    }
                    Ok(_) => {}
                    Err(error) => tracing::warn!(%error, "on_needs_human"),
                });
            if let Err(error) = waiting {
                tracing::warn!(%error, "nobody waits for on_needs_human");
            }
        }
        Err(error) => tracing::warn!(%error, "on_needs_human could not be run"),
    }
}

#[cfg(test)]
mod tests {
    use longhaul_core::time::SpanMs;

    use super::*;

    #[test]
    fn i8_the_grace_between_term_and_kill_is_the_users() {
        let settings = Settings {
            stop_grace: SpanMs::from_secs(3),
            ..Settings::default()
        };
        let practice = practice(&settings, &Env::default()).unwrap();
        assert_eq!(practice.stop_grace.as_secs(), 3);
    }
}
