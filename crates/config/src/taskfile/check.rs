//! One `[[task.check]]`: exactly one of `run`, `model`, `agent`, and what goes with it.

use longhaul_core::spec::{CheckKind, CheckSpec};
use longhaul_core::time::SpanMs;
use longhaul_core::usage::MicroUsd;

use super::context::TaskContext;
use super::fields::known_harness;
use super::keys::check_names;
use super::names::{bad_argument, bad_label};
use super::value::{Zero, bad_command, checked, count, duration_entry, money, refuse};
use super::values::CheckValues;
use crate::diag::{Finding, Located, Sink, Site, quoted};
use crate::nearest::did_you_mean;
use crate::read::Entry;

/// A check's time where none is given.
pub(super) const DEFAULT_TIMEOUT: SpanMs = SpanMs::from_secs(15 * 60);
/// Most re-runs of a check that failed.
const MAX_FLAKY: u32 = 20;

#[derive(Default)]
struct Keys {
    run: Option<Located<String>>,
    model: Option<Located<String>>,
    agent: Option<Located<String>>,
    name: Option<Located<String>>,
    judge: Option<Located<String>>,
    harness: Option<Located<String>>,
    timeout: Option<Located<SpanMs>>,
    budget: Option<Located<MicroUsd>>,
    retry_flaky: Option<Located<u32>>,
    refused: bool,
}

/// Reads the keys of a check.
pub(super) fn check(
    site: Site,
    entries: &[Entry<'_>],
    context: &TaskContext<'_>,
    sink: &mut Sink,
) -> Option<CheckValues> {
    let mut keys = Keys::default();
    let mut model_key: Option<Entry<'_>> = None;
    for entry in entries {
        let key = entry.key;
        match key {
            "run" | "agent" | "model" | "brain" => {
                if let ("model" | "brain", Some(first)) = (key, &model_key) {
                    let message = format!("both `{}` and `{key}` are given", first.key);
                    let finding = Finding::error(&entry.key_site(), message).key(key);
                    sink.push(finding.also(&first.key_site(), "the other one"));
                    keys.refused = true;
                    continue;
                }
                let text = entry.string("a string", sink);
                let text = text.and_then(|text| checked(key, text, bad_command, sink));
                keys.refused |= text.is_none();
                match key {
                    "run" => keys.run = text,
                    "agent" => keys.agent = text,
                    _ => {
                        if key == "brain" {
                            note_spelling(entry, "model", sink);
                        }
                        model_key = Some(*entry);
                        keys.model = text;
                    }
                }
            }
            "name" => {
                let text = entry.string("a string", sink);
                keys.name = text.and_then(|text| checked(key, text, bad_label, sink));
                keys.refused |= keys.name.is_none();
            }
            "judge" => keys.judge = known_judge(entry, context, sink),
            "harness" => {
                keys.harness = entry
                    .string("a string", sink)
                    .and_then(|text| known_harness(key, text, context, sink));
            }
            "timeout" => keys.timeout = duration_entry(entry, Zero::Refused, sink),
            "budget_usd" => {
                keys.budget = entry.number(sink).and_then(|n| money(key, &n, sink));
            }
            "retry_flaky" => {
                keys.retry_flaky = entry
                    .integer(sink)
                    .and_then(|n| count(key, &n, 0, MAX_FLAKY, sink));
            }
            _ => {
                let meant = entry.unknown("a check", check_names(), sink);
                keys.refused |= matches!(meant, Some("run" | "model" | "agent"));
            }
        }
    }
    keys.into_check(site, sink)
}

impl Keys {
    fn into_check(self, site: Site, sink: &mut Sink) -> Option<CheckValues> {
        let budget = self.budget.as_ref().map(|b| b.value);
        let kind = match (self.run, self.model, self.agent) {
            (Some(run), None, None) => {
                let stray = [
                    ("judge", site_of(self.judge.as_ref()), "`model`"),
                    ("harness", site_of(self.harness.as_ref()), "`agent`"),
                    (
                        "budget_usd",
                        site_of(self.budget.as_ref()),
                        "`model` or `agent`",
                    ),
                ];
                refuse_stray("run", &stray, sink);
                CheckKind::Run { command: run.value }
            }
            (None, Some(model), None) => {
                let stray = [("harness", site_of(self.harness.as_ref()), "`agent`")];
                refuse_stray("model", &stray, sink);
                CheckKind::Model {
                    criterion: model.value,
                    model: self.judge.map(|j| j.value),
                    budget,
                }
            }
            // Beside `agent`, `model` is the reviewer's model: one word, where a criterion has many.
            (None, model, Some(agent))
                if model
                    .as_ref()
                    .is_none_or(|m| bad_argument(&m.value).is_none()) =>
            {
                let stray = [("judge", site_of(self.judge.as_ref()), "`model`")];
                refuse_stray("agent", &stray, sink);
                CheckKind::Agent {
                    instructions: agent.value,
                    harness: self.harness.map(|h| h.value),
                    model: model.map(|m| m.value),
                    budget,
                }
            }
            (None, None, None) => {
                if !self.refused {
                    let message = "a check needs one of `run`, `model` or `agent`";
                    let help = "for example `run = \"cargo test\"`";
                    sink.push(Finding::error(&site, message).key("check").help(help));
                }
                return None;
            }
            (run, model, agent) => {
                let given = [("run", &run), ("model", &model), ("agent", &agent)];
                let mut given = given
                    .iter()
                    .filter_map(|(k, v)| v.as_ref().map(|v| (*k, v)));
                let first = given.next();
                let second = given.next();
                if let (Some((a, first)), Some((b, second))) = (first, second) {
                    let message = format!(
                        "a check is one of `run`, `model` and `agent`; this one has `{a}` and `{b}`"
                    );
                    let finding = Finding::error(&second.site, message)
                        .key("check")
                        .also(&first.site, format!("`{a}` is here"))
                        .help("make two checks of it");
                    sink.push(finding);
                }
                return None;
            }
        };
        if self.refused {
            return None;
        }
        let (name, name_site) = self
            .name
            .map_or((String::new(), None), |n| (n.value, Some(n.site)));
        Some(CheckValues {
            spec: CheckSpec {
                name,
                kind,
                timeout: self.timeout.map_or(DEFAULT_TIMEOUT, |t| t.value),
                retry_flaky: self
                    .retry_flaky
                    .and_then(|n| u8::try_from(n.value).ok())
                    .unwrap_or(0),
            },
            site,
            name_site,
            budget_site: self.budget.map(|b| b.site),
        })
    }
}

fn site_of<T>(value: Option<&Located<T>>) -> Option<Site> {
    value.map(|v| v.site.clone())
}

fn refuse_stray(kind: &str, stray: &[(&str, Option<Site>, &str)], sink: &mut Sink) {
    for (key, site, wanted) in stray {
        if let Some(site) = site {
            refuse(
                key,
                site,
                &format!("belongs to a check with {wanted}, not with `{kind}`"),
                sink,
            );
        }
    }
}

fn known_judge(
    entry: &Entry<'_>,
    context: &TaskContext<'_>,
    sink: &mut Sink,
) -> Option<Located<String>> {
    let text = entry.string("a string", sink)?;
    let text = checked(entry.key, text, bad_argument, sink)?;
    if let Some(judges) = context.judges
        && !judges.contains(&text.value)
    {
        let near = did_you_mean(&text.value, judges.iter().map(String::as_str));
        let message = format!(
            "no judge {} in the configuration{near}",
            quoted(&text.value)
        );
        let help = format!("define it as `[judge.{}]` in config.toml", text.value);
        sink.push(Finding::error(&text.site, message).key("judge").help(help));
        return None;
    }
    Some(text)
}

/// Notes that a key is another tool's spelling.
pub(super) fn note_spelling(entry: &Entry<'_>, ours: &str, sink: &mut Sink) {
    let message = format!("`{}` is read as `{ours}`", entry.key);
    sink.push(Finding::note(&entry.key_site(), message).key(entry.key));
}
