//! The agents: which are installed, and in which version.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use camino::Utf8Path;
use longhaul_acts::process;
use longhaul_agents::Registry;
use longhaul_config::settings::Settings;

use super::{Grade, Row, advisory, fail, pass, skipped};
use crate::context::Context;
use crate::env::Env;
use crate::output::text::one_line;
use crate::submit::harness::{installed, registry};

/// How long an agent may take to say its version.
const VERSION_TIME: Duration = Duration::from_secs(10);

/// A row per harness; one more if none is installed.
pub(super) fn rows(context: &Context, settings: Option<&Settings>) -> Vec<Row> {
    let registry = match settings.map(registry) {
        Some(Ok(registry)) => registry,
        Some(Err(e)) => {
            return vec![fail(
                "harnesses",
                e.message(),
                "correct [harness.NAME] in your config.toml",
            )];
        }
        None => Registry::builtin(),
    };
    let mut rows = Vec::new();
    for harness in registry.iter().filter(|h| !h.is_builtin_script()) {
        let name = format!("agent {}", harness.name());
        rows.push(match installed(harness, &context.env) {
            None => skipped(
                &name,
                format!("not installed (no `{}` on your PATH)", harness.program()),
            ),
            Some(program) => match version(&program, &context.env) {
                Ok(said) => pass(&name, format!("{said} ({program})")),
                Err(why) => advisory(
                    &name,
                    format!("{program} is there, but {why}"),
                    format!(
                        "run `{} --version` by hand and see what it says",
                        harness.program()
                    ),
                ),
            },
        });
    }
    if rows.iter().all(|r| r.grade == Grade::Skipped) {
        rows.push(advisory(
            "agents",
            "none is installed",
            "install claude, codex, gemini or opencode and log in once; `longhaul demo` needs none",
        ));
    }
    rows
}

/// The first line of `PROGRAM --version`.
fn version(program: &Utf8Path, env: &Env) -> Result<String, String> {
    let mut command = Command::new(program);
    command
        .arg("--version")
        .env_clear()
        .envs(env.all())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = process::spawn("cli.doctor.version", &mut command)
        .map_err(|e| format!("it cannot be started: {e}"))?;
    let deadline = Instant::now() + VERSION_TIME;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
            Ok(None) => {
                // Our own child, not reaped yet: its pid is its own.
                drop(process::kill("cli.doctor.kill", &mut child));
                drop(child.wait());
                return Err(format!(
                    "it did not say its version within {} seconds",
                    VERSION_TIME.as_secs()
                ));
            }
            Err(e) => return Err(format!("it cannot be watched: {e}")),
        }
    };
    if !status.success() {
        return Err(format!("`--version` ended with {status}"));
    }
    let mut said = Vec::new();
    if let Some(out) = child.stdout.take() {
        out.take(4096)
            .read_to_end(&mut said)
            .map_err(|e| format!("its version cannot be read: {e}"))?;
    }
    let text = String::from_utf8_lossy(&said);
    let first = text
        .lines()
        .find(|l| !l.trim().is_empty())
        .unwrap_or("no version");
    Ok(one_line(first, 60))
}
