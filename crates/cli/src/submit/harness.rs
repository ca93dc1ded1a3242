//! Harnesses as the submitter sees them: configured, installed, picked by what a repository holds.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_agents::{CustomHarness, Harness, OutputFormat, Registry};
use longhaul_config::settings::HarnessTable;
use longhaul_config::taskfile::{HarnessFacts, HarnessInfo};
use longhaul_core::spec::EnvValue;

use crate::env::Env;
use crate::failure::Failure;

/// The agents crate's table of a harness, from the configuration's.
pub(crate) fn custom(name: &str, t: &HarnessTable) -> CustomHarness {
    let mut first = t.base_args.clone();
    first.extend(t.args.iter().cloned());
    let literal = t.env.iter().filter_map(|(name, value)| match value {
        EnvValue::Literal(text) => Some((name.clone(), text.clone())),
        // Read when the session starts (T26); not part of the launch table.
        EnvValue::From { .. } => None,
    });
    CustomHarness {
        name: name.to_owned(),
        program: t.program.clone(),
        base_args: first,
        cwd_flag: t.cwd_flag.clone(),
        session_name_flag: t.session_name_flag.clone(),
        task_flag: t.task_flag.clone(),
        model_flag: t.model_flag.clone(),
        add_dir_flag: t.add_dir_flag.clone(),
        include_directories_flag: t.include_directories_flag.clone(),
        allowed_tools_flag: t.allowed_tools_flag.clone(),
        disallowed_tools_flag: t.disallowed_tools_flag.clone(),
        permission_mode_flag: t.permission_mode_flag.clone(),
        max_budget_usd_flag: t.max_budget_usd_flag.clone(),
        append_system_prompt_flag: t.append_system_prompt_flag.clone(),
        inline_system_prompt_for_task: t.inline_system_prompt_for_task.unwrap_or(true),
        project_markers: t.project_markers.clone(),
        env: literal.collect(),
        resume_args: t
            .resume_flag
            .as_ref()
            .map(|flag| vec![flag.clone(), "{id}".to_owned()])
            .unwrap_or_default(),
        output: match t.output_format.as_deref() {
            Some("claude") => OutputFormat::ClaudeStream,
            Some("codex") => OutputFormat::CodexJson,
            Some("gemini") => OutputFormat::GeminiStream,
            Some("opencode") => OutputFormat::OpencodeJson,
            _ => OutputFormat::Text,
        },
        ..CustomHarness::default()
    }
}

/// Which harnesses there are, for the checks of a task file.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    registry: Registry,
    /// Of the configuration, by harness.
    aliases: BTreeMap<String, String>,
    cost_known: BTreeMap<String, bool>,
}

impl Known {
    /// The built-in ones and those of the configuration.
    pub(crate) fn new(registry: Registry, tables: &BTreeMap<String, HarnessTable>) -> Self {
        let alias = |(name, t): (&String, &HarnessTable)| {
            t.aliases
                .iter()
                .map(|a| (a.clone(), name.clone()))
                .collect::<Vec<_>>()
        };
        Self {
            aliases: tables.iter().flat_map(alias).collect(),
            cost_known: tables
                .iter()
                .filter_map(|(name, t)| Some((name.clone(), t.cost_known?)))
                .collect(),
            registry,
        }
    }

    /// The harnesses.
    pub(crate) const fn registry(&self) -> &Registry {
        &self.registry
    }

    fn info(&self, harness: &Harness) -> HarnessInfo {
        let configured = self.cost_known.get(harness.name()).copied();
        HarnessInfo {
            name: harness.name().to_owned(),
            cost_known: configured.unwrap_or(harness.capabilities().cost_known),
        }
    }
}

impl HarnessFacts for Known {
    fn find(&self, name: &str) -> Option<HarnessInfo> {
        let name = self.aliases.get(name).map_or(name, String::as_str);
        self.registry.resolve(name).ok().map(|h| self.info(h))
    }

    fn names(&self) -> Vec<String> {
        let own = self.registry.names().map(str::to_owned);
        own.chain(self.aliases.keys().cloned()).collect()
    }
}

/// Where the program of a harness is; `None` if it is not installed.
pub(crate) fn installed(harness: &Harness, env: &Env) -> Option<Utf8PathBuf> {
    if harness.is_builtin_script() {
        return std::env::current_exe()
            .ok()
            .and_then(|p| Utf8PathBuf::from_path_buf(p).ok());
    }
    find_program(harness.program(), env)
}

/// A program by path, or by name on PATH.
pub(crate) fn find_program(program: &str, env: &Env) -> Option<Utf8PathBuf> {
    let runnable = |path: &Utf8Path| {
        path.metadata()
            .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        let path = match program.strip_prefix("~/") {
            Some(rest) => Utf8Path::new(env.lossy("HOME")?).join(rest),
            None => Utf8PathBuf::from(program),
        };
        return runnable(&path).then_some(path);
    }
    env.lossy("PATH")?
        .split(':')
        .filter(|dir| dir.starts_with('/'))
        .map(|dir| Utf8Path::new(dir).join(program))
        .find(|path| runnable(path))
}

/// The harness of a task: the named one if it is installed; for `auto` the first installed one whose
/// marker the repository holds (S9), else the first installed one.
///
/// # Errors
/// Not installed; says what to install or to write instead.
pub(crate) fn pick(
    name: &str,
    repo: &Utf8Path,
    known: &Known,
    env: &Env,
) -> Result<HarnessInfo, Failure> {
    let registry = known.registry();
    let unknown = |name: &str| Failure::usage(format!("there is no harness `{name}`"));
    if name != "auto" {
        let info = known.find(name).ok_or_else(|| unknown(name))?;
        let harness = registry
            .resolve(&info.name)
            .map_err(|e| Failure::usage(e.to_string()))?;
        return if installed(harness, env).is_some() {
            Ok(info)
        } else {
            Err(not_installed(harness))
        };
    }
    // `script` does what its prompt says, letter by letter: never a guess.
    let agents: Vec<&Harness> = registry
        .iter()
        .filter(|h| !h.is_builtin_script() && installed(h, env).is_some())
        .collect();
    let marked = agents.iter().find(|h| {
        h.capabilities()
            .project_markers
            .iter()
            .any(|m| repo.join(m).exists())
    });
    let picked = marked.or(agents.first()).ok_or_else(|| {
        Failure::usage("no agent is installed for harness `auto`")
            .help("install claude, codex, gemini or opencode, and log in once")
            .help("or try your file without a model: `longhaul run --rehearse FILE`")
    })?;
    Ok(known.info(picked))
}

fn not_installed(harness: &Harness) -> Failure {
    let (name, program) = (harness.name(), harness.program());
    Failure::usage(format!("harness `{name}` is not installed: there is no program `{program}` on your PATH"))
        .help(format!("install it, or say where it is in your config.toml: [harness.{name}] program = \"/path/to/{program}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s9_auto_takes_the_first_installed_harness_with_a_marker() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        let (bin, repo) = (root.join("bin"), root.join("repo"));
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::create_dir_all(repo.join(".gemini")).unwrap();
        let known = Known::new(Registry::builtin(), &BTreeMap::new());
        let env = Env::fake(&[("PATH", bin.as_str())]);
        let none = pick("auto", &repo, &known, &env).unwrap_err();
        assert!(none.message().contains("no agent is installed"), "{none}");
        for name in ["claude", "gemini"] {
            let path = bin.join(name);
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        assert_eq!(pick("auto", &repo, &known, &env).unwrap().name, "gemini");
        assert_eq!(pick("auto", root, &known, &env).unwrap().name, "claude");
        let codex = pick("codex", &repo, &known, &env).unwrap_err();
        assert!(codex.message().contains("not installed"), "{codex}");
        assert_eq!(pick("script", &repo, &known, &env).unwrap().name, "script");
    }
}
