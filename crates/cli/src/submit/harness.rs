//! Harnesses as the submitter sees them: configured, installed, picked by what a repository holds.

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_agents::{CustomHarness, Harness, OutputFormat, Registry};
use longhaul_config::settings::{HarnessTable, Settings};
use longhaul_config::taskfile::{HarnessFacts, HarnessInfo};

use crate::env::Env;
use crate::failure::Failure;

/// Every harness there is: the built-in ones and those of the configuration. The one way from settings
/// to harnesses, for the checks of a submission and for the daemon alike.
///
/// # Errors
/// Every table that is no harness.
pub(crate) fn registry(settings: &Settings) -> Result<Registry, Failure> {
    let custom = settings.harnesses.iter().map(|(name, t)| custom(name, t));
    Registry::with_custom(custom.collect()).map_err(|errors| {
        let all: Vec<String> = errors.iter().map(|e| format!("  {e}\n")).collect();
        Failure::usage("the configured harnesses have mistakes")
            .detail(all.concat())
            .help("`longhaul config list --origin` says where each value came from")
    })
}

/// The agents crate's table of a harness, from the configuration's. Every key of it is named here, so
/// that a new one cannot be forgotten.
fn custom(name: &str, table: &HarnessTable) -> CustomHarness {
    let HarnessTable {
        program,
        args,
        base_args,
        aliases,
        // Followed where sessions are started.
        host: _,
        cwd_flag,
        session_name_flag,
        task_flag,
        model_flag,
        add_dir_flag,
        include_directories_flag,
        allowed_tools_flag,
        disallowed_tools_flag,
        permission_mode_flag,
        max_budget_usd_flag,
        append_system_prompt_flag,
        inline_system_prompt_for_task,
        project_markers,
        permission_modes,
        credentials,
        writable,
        resume_flag,
        output_format,
        cost_known,
        env,
    } = table.clone();
    CustomHarness {
        name: name.to_owned(),
        aliases,
        program,
        base_args: base_args.into_iter().chain(args).collect(),
        cwd_flag,
        session_name_flag,
        task_flag,
        model_flag,
        add_dir_flag,
        include_directories_flag,
        allowed_tools_flag,
        disallowed_tools_flag,
        permission_mode_flag,
        permission_modes,
        max_budget_usd_flag,
        append_system_prompt_flag,
        inline_system_prompt_for_task: inline_system_prompt_for_task.unwrap_or(true),
        project_markers,
        env,
        resume_args: resume_flag.map_or_else(Vec::new, |flag| vec![flag, "{id}".to_owned()]),
        output: match output_format.as_deref() {
            Some("claude") => OutputFormat::ClaudeStream,
            Some("codex") => OutputFormat::CodexJson,
            Some("gemini") => OutputFormat::GeminiStream,
            Some("opencode") => OutputFormat::OpencodeJson,
            Some("script") => OutputFormat::Script,
            _ => OutputFormat::Text,
        },
        cost_known,
        credentials,
        writable,
    }
}

/// Which harnesses there are, for the checks of a task file.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    registry: Registry,
}

impl Known {
    /// These.
    pub(crate) const fn new(registry: Registry) -> Self {
        Self { registry }
    }
}

fn info(harness: &Harness) -> HarnessInfo {
    HarnessInfo {
        name: harness.name().to_owned(),
        cost_known: harness.capabilities().cost_known,
    }
}

impl HarnessFacts for Known {
    fn find(&self, name: &str) -> Option<HarnessInfo> {
        self.registry.resolve(name).ok().map(info)
    }

    fn names(&self) -> Vec<String> {
        let spellings = |h: &Harness| {
            let aliases: Vec<String> = h.aliases().into_iter().map(str::to_owned).collect();
            std::iter::once(h.name().to_owned()).chain(aliases)
        };
        // The spellings of the built-in ones are too many to be listed.
        let plain = Registry::builtin();
        self.registry
            .iter()
            .flat_map(spellings)
            .filter(|name| {
                plain
                    .resolve(name)
                    .map_or(true, |known| known.name() == name)
            })
            .collect()
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

/// A program by path, or by name on PATH: as the daemon looks for it.
pub(crate) fn find_program(program: &str, env: &Env) -> Option<Utf8PathBuf> {
    longhaul_engine::executor::find_program(program, env.lossy("PATH"), env.lossy("HOME"))
}

/// The harness of a task.
#[derive(Debug)]
pub(crate) enum Picked {
    /// It can be started here.
    Here(HarnessInfo),
    /// The named one, which is not installed here.
    Absent(HarnessInfo, Failure),
    /// None that `auto` could take.
    Nobody(Failure),
}

impl Picked {
    /// One that can be started here.
    ///
    /// # Errors
    /// There is none; says what to install or to write instead.
    pub(crate) fn here(self) -> Result<HarnessInfo, Failure> {
        match self {
            Self::Here(info) => Ok(info),
            Self::Absent(_, why) | Self::Nobody(why) => Err(why),
        }
    }
}

/// The harness of a task: the named one; for `auto` the first installed one whose marker the repository
/// holds (S9), else the first installed one.
///
/// # Errors
/// There is no harness of this name.
pub(crate) fn pick(
    name: &str,
    repo: &Utf8Path,
    registry: &Registry,
    env: &Env,
) -> Result<Picked, Failure> {
    if name != "auto" {
        let harness = registry
            .resolve(name)
            .map_err(|e| Failure::usage(e.to_string()))?;
        return Ok(if installed(harness, env).is_some() {
            Picked::Here(info(harness))
        } else {
            Picked::Absent(info(harness), not_installed(harness))
        });
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
    Ok(marked.or(agents.first()).map_or_else(
        || {
            Picked::Nobody(
                Failure::usage("no agent is installed for harness `auto`")
                    .help("install claude, codex, gemini or opencode, and log in once")
                    .help("or try your file without a model: `longhaul run --rehearse FILE`"),
            )
        },
        |harness| Picked::Here(info(harness)),
    ))
}

fn not_installed(harness: &Harness) -> Failure {
    let (name, program) = (harness.name(), harness.program());
    Failure::usage(format!("harness `{name}` is not installed: there is no program `{program}` on your PATH"))
        .help(format!("install it, or say where it is in your config.toml: [harness.{name}] program = \"/path/to/{program}\""))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt as _;

    use longhaul_core::spec::EnvValue;

    use super::*;

    #[test]
    fn s9_auto_takes_the_first_installed_harness_with_a_marker() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        let (bin, repo) = (root.join("bin"), root.join("repo"));
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::create_dir_all(repo.join(".gemini")).unwrap();
        let known = Registry::builtin();
        let env = Env::fake(&[("PATH", bin.as_str())]);
        let pick = |name: &str, repo: &Utf8Path| {
            pick(name, repo, &known, &env)
                .and_then(Picked::here)
                .map(|info| info.name)
        };
        let none = pick("auto", &repo).unwrap_err();
        assert!(none.message().contains("no agent is installed"), "{none}");
        for name in ["claude", "gemini"] {
            let path = bin.join(name);
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        assert_eq!(pick("auto", &repo).unwrap(), "gemini");
        assert_eq!(pick("auto", root).unwrap(), "claude");
        let codex = pick("codex", &repo).unwrap_err();
        assert!(codex.message().contains("not installed"), "{codex}");
        assert_eq!(pick("script", &repo).unwrap(), "script");
    }

    /// Settings with these harnesses.
    fn settings(toml: &str) -> Settings {
        use longhaul_config::settings::{FileLayer, Layer, Layers, resolve};
        let file = FileLayer {
            layer: Layer::User,
            path: Utf8Path::new("config.toml"),
            bytes: toml.as_bytes(),
        };
        let built_in: Vec<&str> = vec!["claude", "codex", "gemini", "opencode", "script"];
        resolve(&Layers {
            files: &[file],
            repo_trusted: false,
            env: &BTreeMap::new(),
            flags: &[],
            built_in_harnesses: &built_in,
        })
        .unwrap()
        .settings
    }

    #[test]
    fn s8_what_the_config_says_of_a_harness_reaches_its_launch() {
        let settings = settings(
            "[harness.mine]\nprogram = \"/bin/mine\"\naliases = [\"my-own\"]\nbase_args = [\"a\"]\nargs = [\"b\"]\n\
             cost_known = true\ncredentials = [\"MINE_KEY\"]\noutput_format = \"script\"\nresume_flag = \"--go-on\"\n\
             permission_mode_flag = \"--mode\"\npermission_modes.edits = \"write\"\nwritable = [\"~/.mine\"]\n\
             [harness.mine.env]\nPLAIN = \"x\"\nNAMED = { from = \"ELSEWHERE\" }\n\
             [harness.claude]\ncost_known = false\naliases = [\"cc\"]\n",
        );
        let registry = registry(&settings).unwrap();
        let known = Known::new(registry.clone());
        let mine = registry.resolve("my-own").unwrap();
        let found = known.find("my-own").unwrap();
        assert_eq!((found.name.as_str(), found.cost_known), ("mine", true));
        let found = known.find("cc").unwrap();
        assert_eq!((found.name.as_str(), found.cost_known), ("claude", false));
        assert!(
            known.names().contains(&"cc".to_owned()),
            "{:?}",
            known.names()
        );
        let request = longhaul_agents::LaunchRequest {
            program: "/bin/mine".into(),
            resume: Some("c1".to_owned()),
            env: [("HOME".to_owned(), "/home/u".to_owned())].into(),
            ..longhaul_agents::LaunchRequest::default()
        };
        let plan = mine.launch(&request).unwrap();
        assert_eq!(
            plan.argv,
            ["/bin/mine", "a", "b", "--mode", "write", "--go-on", "c1"]
        );
        assert_eq!(plan.env["PLAIN"], "x");
        assert_eq!(plan.env_from["NAMED"], "ELSEWHERE");
        assert_eq!(plan.writable, ["/home/u/.mine"]);
        assert_eq!(mine.capabilities().credentials, ["MINE_KEY"]);
        // Only the script's own stream reports a mode and its cost.
        assert!(mine.capabilities().mode_reported);
        assert_eq!(
            settings.harnesses["mine"].env["NAMED"],
            EnvValue::From {
                from: "ELSEWHERE".to_owned()
            }
        );
    }
}
