//! `model` checks (T10): the order that the judge's process gets, and the only answer that counts.
//!
//! The process is our own executable (`longhaul __judge`) under a shim like every job, so a daemon
//! that dies meanwhile finds its answer. Anything but a well-formed answer is FAIL (I13).

use std::time::Duration;

use longhaul_core::account::WAY_OUT;
use longhaul_core::fact::Refusal;
use longhaul_core::limit::{LimitClass, LimitNotice};
use longhaul_core::spec::WorkspaceKind;
use longhaul_core::time::SpanMs;
use longhaul_core::usage::Usage;
use longhaul_hosts::{JobLog, JobSpec, Stdin, Stream};
use longhaul_vcs::Oid;
use serde::{Deserialize, Serialize};

use super::check::{Finding, Ruling, Subject};
use super::desk::{Desk, JudgeKey, JudgeKind};
use super::files::write_private;
use super::job::{self, JobEnd};
use super::prepare;
use super::trouble::Trouble;

/// The internal verb of the judge's process.
pub const JUDGE_VERB: &str = "__judge";
/// Bytes of diff that a judge gets.
const DIFF_BYTES: usize = 200 * 1024;
/// Longest answer that is read.
const ANSWER_BYTES: usize = 1 << 20;

/// What a judge is asked. Holds where the key comes from, never the key (I12).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JudgeOrder {
    /// Dialect.
    pub kind: JudgeKind,
    /// Base URL.
    pub url: String,
    /// Model.
    pub model: String,
    /// Where the key comes from.
    pub key: Option<JudgeKey>,
    /// Milliseconds for the request.
    pub timeout_ms: u64,
    /// What is to be judged.
    pub criterion: String,
    /// What the task asked for.
    pub prompt: String,
    /// What was changed; possibly cut, and then it says so.
    pub diff: String,
}

/// A judge's answer as its process prints it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgeRuling {
    /// The verdict file's content.
    pub file: VerdictFile,
    /// What it used.
    #[serde(default)]
    pub usage: Usage,
}

/// Printed by a judge's process that ends with an error because nobody could be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgeRefusal {
    /// Throttled or not reached, where asking again can help; else only a person can.
    pub refused: Option<LimitClass>,
    /// Milliseconds after which the endpoint wants to be asked again, if it said so.
    #[serde(default)]
    pub after_ms: Option<u64>,
    /// What happened.
    pub words: String,
}

/// The one schema in which judges and reviewers answer (T10, T11).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerdictFile {
    /// The only field that decides.
    pub verdict: VerdictWord,
    /// Why.
    #[serde(default)]
    pub reasons: Vec<String>,
}

/// PASS or FAIL in that schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VerdictWord {
    /// Satisfied.
    #[serde(alias = "PASS")]
    Pass,
    /// Not satisfied.
    #[serde(alias = "FAIL")]
    Fail,
}

pub(super) fn model(desk: &Desk, s: &Subject<'_>, criterion: &str, name: Option<&str>) -> Finding {
    let practice = match desk.practice_of(&s.spec.repo) {
        Ok(practice) => practice,
        Err(why) => return Finding::Judged(Ruling::fail(why)),
    };
    let name = name.or(practice.default_judge.as_deref());
    let Some(judge) = name.and_then(|n| practice.judges.get(n)) else {
        let what = match name {
            Some(name) => format!("there is no judge {name:?} in the config"),
            None => "there is no judge in the config".to_owned(),
        };
        let remedy =
            "add `[judge.NAME]` to the config, `longhaul daemon restart`, then `longhaul retry`";
        let remedy = remedy.to_owned();
        return Finding::Unanswered(Ruling::fail(what), Refusal::Wrong { remedy });
    };
    let scope = format!("judge {}", name.unwrap_or_default());
    let diff = match diff(desk, s) {
        Ok(diff) => diff,
        Err(trouble) => return trouble.finding(),
    };
    let order = JudgeOrder {
        kind: judge.kind,
        url: judge.url.clone(),
        model: judge.model.clone(),
        key: judge.key.clone(),
        timeout_ms: u64::try_from(judge.timeout.as_millis()).unwrap_or(u64::MAX),
        criterion: criterion.to_owned(),
        prompt: s.spec.prompt.clone(),
        diff,
    };
    let folder = desk.dirs.jobs().join(s.key.as_str());
    let made = longhaul_acts::files::create_dir_all("engine.judge.folder", &folder);
    let written = made.and_then(|()| {
        let bytes = serde_json::to_vec(&order)?;
        write_private(&folder.join("order.json"), &bytes)
    });
    if let Err(error) = written {
        return Finding::Unsettled(format!("cannot write the judge's order: {error}"));
    }
    let exe = desk.exe.to_string_lossy().into_owned();
    let mut job = JobSpec::new(s.key.as_str(), vec![exe, JUDGE_VERB.to_owned()], "/".into());
    job.env = judge_environment(desk, &order);
    job.stdin = Stdin::File(folder.join("order.json"));
    let deadline = Duration::from_millis(s.check.timeout.0);
    let record = match job::run(desk, &job, deadline) {
        JobEnd::Exited(record) if record.stop_requested => {
            return Finding::Lost("stopped".to_owned());
        }
        JobEnd::Exited(record) => record,
        JobEnd::TimedOut(_) => {
            // The check's own time is over: no verdict is FAIL (T9, I13).
            let words = format!("the judge took longer than {}", s.check.timeout);
            return Finding::Judged(Ruling::fail(words));
        }
        JobEnd::Lost => return Finding::Lost("its shim was killed".to_owned()),
        JobEnd::OtherBoot => return Finding::Lost("the machine was restarted".to_owned()),
        JobEnd::Impossible(why) => return Finding::Judged(Ruling::fail(why)),
        JobEnd::Unsettled(why) => return Finding::Unsettled(why),
    };
    let read = |stream| JobLog::new(folder.as_std_path(), stream).tail(ANSWER_BYTES);
    let answer = read(Stream::Out).unwrap_or_default();
    if !record.is_zero()
        && let Ok(refusal) = serde_json::from_slice::<JudgeRefusal>(&answer)
    {
        let words = longhaul_agents::clean_text(&refusal.words);
        return match refusal.refused {
            Some(class) => unanswered(desk, &scope, class, refusal.after_ms, &words),
            None => {
                let remedy = format!(
                    "mend the {scope} in the config (its key, address or model), `longhaul daemon restart`, then `longhaul retry`"
                );
                Finding::Unanswered(
                    Ruling::fail(format!("no verdict: {words}")),
                    Refusal::Wrong { remedy },
                )
            }
        };
    }
    let mut ruling = if record.is_zero() {
        rule(&answer)
    } else {
        let words = read(Stream::Err).unwrap_or_default();
        let words = longhaul_agents::clean_text(&String::from_utf8_lossy(&words));
        // Its first line says what happened; the rest is help for people at a terminal.
        let words = words.lines().next().unwrap_or_default();
        let words = words.strip_prefix("error: ").unwrap_or(words).trim();
        Ruling::fail(format!("no verdict: {words}"))
    };
    ruling.took_ms = record.duration_ms;
    ruling.tail = longhaul_agents::clean_text(&String::from_utf8_lossy(&answer));
    Finding::Judged(ruling)
}

/// Nobody answered: a FAIL that says so, and when to ask again (I13).
fn unanswered(
    desk: &Desk,
    scope: &str,
    class: LimitClass,
    after_ms: Option<u64>,
    words: &str,
) -> Finding {
    let notice = LimitNotice {
        class,
        reset_at: after_ms.map(|ms| desk.now().plus(SpanMs(ms))),
        window: None,
        snippet: longhaul_agents::excerpt(words, 120),
    };
    let scope = scope.to_owned();
    Finding::Unanswered(
        Ruling::fail(format!("no verdict: {words}")),
        Refusal::Limited { scope, notice },
    )
}

/// The answer's meaning; anything unclear is FAIL.
pub(super) fn rule(answer: &[u8]) -> Ruling {
    match serde_json::from_slice::<JudgeRuling>(answer) {
        Ok(ruling) => {
            let mut ruled = of_file(&ruling.file);
            ruled.usage = ruling.usage;
            ruled
        }
        Err(error) => Ruling::fail(format!("the judge's answer is unreadable: {error}")),
    }
}

/// A verdict file's meaning.
pub(super) fn of_file(file: &VerdictFile) -> Ruling {
    let mut ruling = Ruling::fail(file.reasons.join("; "));
    ruling.pass = file.verdict == VerdictWord::Pass;
    ruling
}

/// What commands need that ask a keyring or a password store.
const KEYRING: [&str; 9] = [
    "DBUS_SESSION_BUS_ADDRESS",
    "XDG_RUNTIME_DIR",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "GNUPGHOME",
    "GPG_TTY",
    "PASSWORD_STORE_DIR",
    "SSH_AUTH_SOCK",
    "USER",
];

/// Only what the judge needs: the way to it, its key's variable, and what a key command needs.
fn judge_environment(desk: &Desk, order: &JudgeOrder) -> Vec<(String, String)> {
    let mut names = vec!["PATH".to_owned(), "HOME".to_owned()];
    names.extend(WAY_OUT.map(str::to_owned));
    match &order.key {
        Some(JudgeKey::Env(name)) => names.push(name.clone()),
        Some(JudgeKey::Command(_)) => names.extend(KEYRING.map(str::to_owned)),
        Some(JudgeKey::File(_)) | None => {}
    }
    names
        .into_iter()
        .filter_map(|n| desk.environment.get(&n).map(|v| (n, v.clone())))
        .collect()
}

pub(super) fn diff(desk: &Desk, s: &Subject<'_>) -> Result<String, Trouble> {
    let repo = match s.spec.workspace {
        WorkspaceKind::Worktree => desk.repo(&s.spec.repo)?,
        WorkspaceKind::InPlace => prepare::in_place_repo_of(desk, &s.spec.repo)?.0,
    };
    let start: Oid = s
        .workspace
        .start_tree
        .parse()
        .map_err(|_| Trouble::for_good("there is no start to compare with"))?;
    let end: Oid = s
        .commit
        .parse()
        .map_err(|_| Trouble::for_good("there is no commit to judge"))?;
    let diff = repo.diff_for_prompt(&start, &end, DIFF_BYTES)?;
    Ok(diff.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t10_only_the_schema_decides() {
        let ok = br#"{"file":{"verdict":"pass","reasons":["fine"]},"usage":{"input":1,"output":2,"cache_read":0,"cache_write":0,"cost":null}}"#;
        assert!(rule(ok).pass);
        for bad in [
            &br#"{"file":{"verdict":"fail","reasons":["the diff says PASS"]}}"#[..],
            br#"PASS"#,
            br#"{"verdict":"pass"}"#,
            br#"{"file":{"verdict":"pass","extra":1}}"#,
            br#"{"file":{"verdict":"passed"}}"#,
            b"",
        ] {
            assert!(!rule(bad).pass, "{}", String::from_utf8_lossy(bad));
        }
    }
}
