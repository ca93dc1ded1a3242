//! `land = "pr"`: the branch is pushed and a draft pull request opened with GitHub's own `gh`, which knows
//! the person's login (L16). Done again it finds what it did: the push is up to date, and `gh` is asked for
//! the branch's pull request before one is made.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use longhaul_acts::files;
use longhaul_core::effect::{Effect, outstanding};
use longhaul_core::fact::Fact;
use longhaul_core::ids::SpawnKey;
use longhaul_core::queue::LandNews;
use longhaul_core::spec::TaskSpec;
use longhaul_core::task::State;
use longhaul_core::verdict::{Grade, Verdict};
use longhaul_hosts::{JobSpec, Outcome};
use longhaul_vcs::{ErrorClass, PublishEnd};

use super::desk::chain;
use super::files::write_whole;
use super::job::{self, JobEnd};
use super::shell::{last_lines, log_tail, outcome_words};
use super::{Desk, again};
use crate::event::Event;
use crate::machine::Dispatch;

/// How long `gh` may take.
const LONGEST: Duration = Duration::from_secs(180);
/// From its start on a proposal that fails is tried again for so long.
const PATIENCE_MS: u64 = 15 * 60_000;
/// Between two tries.
const AGAIN_MS: u64 = 30_000;
/// Characters of the prompt in the request's text.
const PROMPT_CHARS: usize = 4_000;
/// Characters of its title.
const TITLE_CHARS: usize = 100;
/// Characters of its address.
const URL_CHARS: usize = 300;
/// Output of `gh` that is looked through for the address.
const OUTPUT_BYTES: usize = 16 << 10;

/// Asks for the branch's open pull request first: whoever was killed may have opened it.
const SCRIPT: &str = r#"exec 2>&1
command -v gh >/dev/null || { echo "there is no \`gh\` on the PATH of the daemon"; exit 127; }
url=$(gh pr list --head "$1" --state open --limit 1 --json url --jq '.[].url') || { code=$?; printf '%s\n' "$url"; exit $code; }
if [ -z "$url" ]; then
  url=$(gh pr create --draft --head "$1" --base "$2" --title "$3" --body-file "$4") || { code=$?; printf '%s\n' "$url"; exit $code; }
fi
printf '%s\n' "$url"
"#;

/// Why it is not there.
enum Fault {
    /// Only a person can help.
    Refused { detail: String, remedy: String },
    /// Trying again may help.
    Passing(String),
    /// Nobody knows yet, and nothing failed.
    Unsettled(String),
}

impl Fault {
    fn refused(detail: impl Into<String>, remedy: &str) -> Self {
        Self::Refused {
            detail: detail.into(),
            remedy: remedy.to_owned(),
        }
    }
}

pub(super) fn propose(desk: &Desk, d: &Dispatch) -> Vec<Event> {
    match open(desk, d) {
        Ok(news) => vec![event(&d.effect, news)],
        Err(Fault::Refused { detail, remedy }) => vec![refused(&d.effect, detail, &remedy)],
        Err(Fault::Unsettled(why)) => vec![again(&d.effect, &why)],
        Err(Fault::Passing(why)) => {
            let State::Landing { since } = &d.task.state else {
                return vec![again(&d.effect, &why)];
            };
            if desk.now().since(*since).0 >= PATIENCE_MS {
                return vec![refused(&d.effect, why, "`longhaul queue add` tries again")];
            }
            vec![Event::Again {
                effect: d.effect.clone(),
                after_ms: AGAIN_MS,
                why,
            }]
        }
    }
}

/// It goes to a person.
pub(super) fn refused(effect: &Effect, detail: String, remedy: &str) -> Event {
    let remedy = remedy.to_owned();
    event(effect, LandNews::Refused { detail, remedy })
}

fn event(effect: &Effect, news: LandNews) -> Event {
    Event::Fact {
        task: effect.task,
        fact: Fact::Landing {
            fence: effect.fence,
            news: Box::new(news),
        },
    }
}

fn open(desk: &Desk, d: &Dispatch) -> Result<LandNews, Fault> {
    let id = d.effect.task;
    let spec = desk.spec(id).map_err(|unread| {
        if unread.for_good {
            Fault::refused(unread.why, "cancel the task and add it again")
        } else {
            Fault::Unsettled(unread.why)
        }
    })?;
    let read = |error| Fault::Unsettled(chain(&error));
    let stored = desk.read(|r| r.task(id)).map_err(read)?;
    // What was cancelled or sent back meanwhile is not shown to the world.
    if stored.as_ref().and_then(|s| outstanding(&s.task)).as_ref() != Some(&d.effect) {
        return Err(Fault::Unsettled("it is no longer asked for".to_owned()));
    }
    let flags = desk.read(|r| r.flags()).map_err(read)?;
    if ["drain", "estop"]
        .iter()
        .any(|name| flags.get(*name).is_some_and(|v| v == true))
    {
        return Err(Fault::Unsettled("nothing new is begun now".to_owned()));
    }
    let sealed = d.task.attempt.as_ref().and_then(|a| a.sealed.as_ref());
    let workspace = d.task.carry.workspace.as_ref();
    let (Some(sealed), Some(branch)) = (sealed, workspace.and_then(|w| w.branch.as_deref())) else {
        return Err(Fault::refused(
            "it has no branch",
            "`approve` accepts it as it is",
        ));
    };
    if workspace.is_some_and(|w| w.start == sealed.commit) {
        let detail = "it changed nothing, so there is nothing to propose";
        return Err(Fault::refused(detail, "`approve` accepts it as it is"));
    }
    let base = push(desk, &spec, branch, &sealed.commit)?;
    let verdicts = desk.read(|r| r.verdicts(id)).map_err(read)?;
    let text = body(d, &spec, &verdicts);
    let key = SpawnKey::proposal(id, d.effect.fence);
    let url = ask(desk, &key, &spec, [branch, &base, &title(&spec)], &text)?;
    Ok(LandNews::Proposed {
        commit: sealed.commit.clone(),
        url,
    })
}

/// Pushes the branch; what its base is called on the remote.
fn push(desk: &Desk, spec: &TaskSpec, branch: &str, commit: &str) -> Result<String, Fault> {
    let again = "mend it, then `longhaul queue add`";
    let repo = desk.repo(&spec.repo).map_err(|error| match error.class() {
        ErrorClass::Permanent => Fault::refused(chain(&error), &error.remedy()),
        ErrorClass::Transient => Fault::Passing(chain(&error)),
    })?;
    let commit = commit
        .parse()
        .map_err(|_| Fault::refused(format!("{commit:?} is no commit"), again))?;
    let base = spec.base.as_deref().unwrap_or_default();
    let pushed = longhaul_acts::around("engine.propose.push", || {
        repo.queue(base).publish(branch, &commit)
    });
    match pushed {
        Ok(PublishEnd::There { base }) => Ok(base),
        Ok(PublishEnd::NoRemote) => {
            let detail = format!("`{base}` tracks no remote branch, and there is no `origin`");
            Err(Fault::refused(
                detail,
                "add a remote, then `longhaul queue add`",
            ))
        }
        Ok(PublishEnd::Refused { why }) => {
            let detail = format!("the remote refuses `{branch}`: {why}");
            Err(Fault::refused(detail, again))
        }
        Err(error) => Err(Fault::Passing(format!(
            "`{branch}` cannot be pushed: {}",
            chain(&error)
        ))),
    }
}

/// Has `gh` open the pull request, or find it; its address.
fn ask(
    desk: &Desk,
    key: &SpawnKey,
    spec: &TaskSpec,
    [branch, base, title]: [&str; 3],
    text: &str,
) -> Result<String, Fault> {
    let bundle = desk.dirs.jobs().join(key.as_str());
    let note = bundle.join("request.md");
    files::create_dir_all("engine.propose.folder", &bundle)
        .and_then(|()| write_whole(&note, text.as_bytes()))
        .map_err(|error| Fault::Passing(format!("cannot write {note}: {error}")))?;
    let argv = [
        "/bin/sh",
        "-c",
        SCRIPT,
        "propose",
        branch,
        base,
        title,
        note.as_str(),
    ];
    let argv = argv.map(str::to_owned).to_vec();
    let mut job = JobSpec::new(key.as_str(), argv, spec.repo.clone());
    job.env = environment(desk).into_iter().collect();
    job.stop_grace_ms = u64::try_from(desk.practice.stop_grace.as_millis()).unwrap_or(u64::MAX);
    let end = job::run(desk, &job, LONGEST);
    let said = log_tail(desk, key, OUTPUT_BYTES);
    let fault = match end {
        JobEnd::Exited(record) if record.is_zero() => match address(&said) {
            Some(url) => return Ok(url),
            None => Fault::Passing(format!("`gh` names no address: {}", last_lines(&said, 2))),
        },
        JobEnd::Exited(record) => told(&record.outcome, &said),
        JobEnd::TimedOut(_) => Fault::Passing("`gh` takes too long".to_owned()),
        JobEnd::Lost | JobEnd::OtherBoot => Fault::Unsettled("its process was lost".to_owned()),
        JobEnd::Impossible(why) => Fault::Passing(why),
        JobEnd::Unsettled(why) => return Err(Fault::Unsettled(why)),
    };
    // Asked anew the next time.
    match files::remove_dir_all("engine.propose.forget", &bundle) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Fault::Unsettled(format!("cannot remove {bundle}: {error}")))
        }
        _ => Err(fault),
    }
}

/// What a `gh` that failed means.
fn told(outcome: &Outcome, said: &str) -> Fault {
    let detail = match last_lines(said, 2) {
        nothing if nothing.is_empty() => format!("`gh`: {}", outcome_words(outcome)),
        lines => lines,
    };
    match outcome {
        Outcome::Exited { code: 127 } => Fault::refused(
            detail,
            "install GitHub's `gh` and log in (`gh auth login`), restart the daemon, then `longhaul queue add`",
        ),
        // Its own word for: not logged in.
        Outcome::Exited { code: 4 } => Fault::refused(
            detail,
            "log in (`gh auth login`), then `longhaul queue add`",
        ),
        _ => Fault::Passing(detail),
    }
}

/// The daemon's own few variables, and those by which `gh` knows its user and server.
fn environment(desk: &Desk) -> BTreeMap<String, String> {
    let own = |name: &str| {
        super::env::is_caller_variable(name)
            || name.starts_with("GH_")
            || matches!(
                name,
                "GITHUB_TOKEN" | "GITHUB_ENTERPRISE_TOKEN" | "XDG_CONFIG_HOME"
            )
    };
    let given = desk.environment.iter().filter(|(name, _)| own(name));
    let mut env: BTreeMap<String, String> = given
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    for (name, value) in [
        ("GH_PROMPT_DISABLED", "1"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("NO_COLOR", "1"),
    ] {
        env.insert(name.to_owned(), value.to_owned());
    }
    env
}

/// The last line that is a web address and nothing else.
fn address(said: &str) -> Option<String> {
    let mut lines = said.lines().map(str::trim);
    let url = lines.rfind(|line| line.starts_with("https://") || line.starts_with("http://"))?;
    let whole =
        url.len() <= URL_CHARS && !url.contains(|c: char| c.is_whitespace() || c.is_control());
    whole.then(|| url.to_owned())
}

fn title(spec: &TaskSpec) -> String {
    let first = spec
        .prompt
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty());
    let text = match first {
        Some(first) => format!("{}: {}", spec.name, first.trim_start_matches(['#', ' '])),
        None => spec.name.clone(),
    };
    longhaul_agents::excerpt(&text, TITLE_CHARS)
}

/// What was asked, and what speaks for the result.
fn body(d: &Dispatch, spec: &TaskSpec, verdicts: &[Verdict]) -> String {
    let mut text = String::new();
    let prompt = longhaul_agents::clean_text(&spec.prompt);
    let cut = prompt.char_indices().nth(PROMPT_CHARS).map(|(at, _)| at);
    for line in prompt[..cut.unwrap_or(prompt.len())].lines() {
        // Writing to a String cannot fail.
        writeln!(text, "> {line}").unwrap_or_default();
    }
    if cut.is_some() {
        text.push_str("> …\n");
    }
    let passed = verdicts
        .iter()
        .filter(|v| v.fence == d.effect.fence && v.grade == Grade::Pass && v.check.is_some());
    let rows: Vec<String> = passed
        .map(|v| {
            let what = v
                .command
                .lines()
                .next()
                .unwrap_or_default()
                .replace('|', "\\|");
            let flaky = if v.flaky { " (after a red run)" } else { "" };
            format!(
                "| {} | {} | `{what}` | passed{flaky} in {} |",
                v.name, v.kind, v.took
            )
        })
        .collect();
    if rows.is_empty() {
        text.push_str("\n**Unverified:** the task has no checks.\n");
    } else {
        text.push_str("\n| check | kind | what | result |\n|---|---|---|---|\n");
        text.push_str(&rows.join("\n"));
        text.push('\n');
    }
    let attempts = d.task.attempt.as_ref().map_or(1, |a| a.number);
    let model = spec
        .model
        .as_deref()
        .map_or(String::new(), |m| format!(", {m}"));
    let plural = if attempts == 1 { "" } else { "s" };
    write!(
        text,
        "\n{}{model}; {attempts} attempt{plural}.\n\nLonghaul-Task: {}\n",
        spec.harness, d.effect.task
    )
    .unwrap_or_default();
    text
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn l16_the_address_is_a_line_of_its_own() {
        let said = "Creating draft pull request\nhttps://h.example/o/r/pull/7\n";
        assert_eq!(
            address(said).as_deref(),
            Some("https://h.example/o/r/pull/7")
        );
        for none in [
            "",
            "see https://h.example/x",
            "https://h.example/a b",
            "ftp://x",
        ] {
            assert_eq!(address(none), None, "{none}");
        }
        assert_eq!(address(&format!("https://{}", "x".repeat(400))), None);
    }
}
