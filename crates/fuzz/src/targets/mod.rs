//! The list of targets.

mod agents;
mod api;
mod config;
mod gateway;
mod hosts;
mod names;
mod sse;

use crate::Target;
use crate::corpus::{blocks, samples};

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().copied().find(|t| t.name == name)
}

/// A target with its tries in a test, its words, and where its first inputs come from.
macro_rules! target {
    ($name:ident, $run:expr, $tries:literal, $words:expr, $seeds:expr) => {
        Target {
            name: stringify!($name),
            run: $run,
            seeds: || $seeds,
            words: $words,
            tries: $tries,
        }
    };
}

/// Inputs from texts.
fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|t| t.as_bytes().to_vec()).collect()
}

/// Every target.
pub const TARGETS: &[Target] = &[
    target!(task_file, config::task_file, 300, config::TASK_WORDS, {
        let mut seeds = blocks("toml");
        seeds.push(longhaul_config::taskfile::scaffold().as_bytes().to_vec());
        seeds
    }),
    target!(
        settings,
        config::settings,
        150,
        config::SETTING_WORDS,
        blocks("toml")
    ),
    target!(
        trust_list,
        config::trust_list,
        600,
        &["[[repo]]\n", "path = \"/x\"\n", "hash = ", "version = 1\n"],
        texts(&[config::TRUST_LIST])
    ),
    target!(
        duration,
        config::duration,
        8000,
        config::UNITS,
        texts(&["45m", "1h30m", "90s", "500ms", "2d", "36500d"])
    ),
    target!(
        size,
        config::size,
        8000,
        config::UNITS,
        texts(&["2GiB", "500MB", "64 KiB", "0B", "8388607TiB"])
    ),
    target!(
        claude_stream,
        |d| agents::stream("claude", d),
        60,
        agents::WORDS,
        samples(&["claude/", "hooks/"])
    ),
    target!(
        codex_stream,
        |d| agents::stream("codex", d),
        60,
        agents::WORDS,
        samples(&["codex"])
    ),
    target!(
        gemini_stream,
        |d| agents::stream("gemini", d),
        60,
        agents::WORDS,
        samples(&["gemini"])
    ),
    target!(
        opencode_stream,
        |d| agents::stream("opencode", d),
        60,
        agents::WORDS,
        samples(&["opencode/"])
    ),
    target!(
        script_stream,
        |d| agents::stream("script", d),
        400,
        agents::WORDS,
        texts(agents::SCRIPT_STREAMS)
    ),
    target!(
        text_stream,
        |d| agents::stream("mine", d),
        150,
        agents::WORDS,
        samples(&[".stderr"])
    ),
    target!(
        record,
        agents::record,
        60,
        agents::WORDS,
        samples(&["transcript.", "rollout.", "chat."])
    ),
    target!(limit_text, agents::limit_text, 300, agents::LIMIT_WORDS, {
        let mut seeds = texts(agents::LIMITS);
        seeds.extend(samples(&["limits/"]));
        seeds
    }),
    target!(script, names::script, 3000, names::SCRIPT_WORDS, {
        let mut seeds = texts(names::SCRIPTS);
        seeds.extend(blocks(""));
        seeds
    }),
    target!(
        ids,
        names::ids,
        10_000,
        &["-", "0199", "ffffffff"],
        texts(names::IDS)
    ),
    target!(
        verdict,
        longhaul_engine::executor::fuzzing::verdict,
        3000,
        names::VERDICT_WORDS,
        texts(names::VERDICTS)
    ),
    target!(api_types, names::api_types, 3000, api::WORDS, {
        let mut seeds = texts(names::ENVELOPES);
        seeds.extend(api::bodies());
        seeds
    }),
    target!(
        sse,
        sse::sse,
        3000,
        &["data:", "id:", "event:", "\n\n", "\r"],
        texts(sse::STREAMS)
    ),
    target!(
        shim_words,
        hosts::shim_words,
        4000,
        hosts::SHIM_WORDS,
        texts(hosts::SHIM_LINES)
    ),
    target!(
        procfs,
        longhaul_hosts::fuzzing::procfs,
        4000,
        &[") S ", "0::/", " - cgroup2 "],
        texts(hosts::PROC)
    ),
    target!(
        bundle,
        hosts::bundle,
        200,
        hosts::RECORD_WORDS,
        hosts::bundles()
    ),
    target!(
        git_output,
        longhaul_vcs::fuzzing::git_output,
        3000,
        names::GIT_WORDS,
        names::git_outputs()
    ),
    target!(
        git_config,
        longhaul_vcs::fuzzing::git_config,
        1000,
        names::GIT_WORDS,
        texts(names::GIT_CONFIGS)
    ),
    target!(
        git_names,
        longhaul_vcs::fuzzing::names,
        10_000,
        &["..", ".git", "\\x", "/"],
        texts(names::GIT_NAMES)
    ),
    target!(
        git_records,
        longhaul_vcs::fuzzing::records,
        3000,
        names::GIT_WORDS,
        texts(names::GIT_RECORDS)
    ),
    target!(
        gateway_answer,
        gateway::answer,
        2000,
        gateway::ANSWER_WORDS,
        texts(gateway::ANSWERS)
    ),
    target!(
        gateway_stream,
        gateway::stream,
        600,
        gateway::STREAM_WORDS,
        texts(gateway::STREAMS)
    ),
    target!(
        gateway_request,
        gateway::request,
        10_000,
        gateway::REQUEST_WORDS,
        texts(gateway::REQUESTS)
    ),
    target!(api, api::api, 60, api::WORDS, api::requests()),
];
