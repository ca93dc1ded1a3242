//! Another account before the first byte, by the fault table of facts/limits.md §3 (A9).

use std::time::{SystemTime, UNIX_EPOCH};

use longhaul_core::limit::LimitClass;
use longhaul_gateway::api::{AccountCondition, AccountsRequest, Policy, Provider, ReportBody};
use longhaul_testkit::provider::{MockProvider, Reply, Step};
use serde_json::json;

use crate::gate::{Gate, SESSION, TOKEN, account, messages, session};

/// A gateway with these accounts at a provider that plays a session for each.
pub(crate) fn scene(accounts: &[&str]) -> (MockProvider, Gate) {
    let provider = MockProvider::start().unwrap();
    let gate = Gate::start();
    gate.serve(Provider::Anthropic, &places(&provider, accounts));
    (provider, gate)
}

pub(crate) fn places<'a>(provider: &MockProvider, accounts: &[&'a str]) -> Vec<(&'a str, String)> {
    accounts.iter().map(|id| (*id, provider.url(id))).collect()
}

pub(crate) fn turns(provider: &MockProvider, account: &str) -> usize {
    provider.turns(account).len()
}

/// A limited minute window, as Anthropic tells of it.
fn limited(retry_after_s: u64) -> Step {
    Step::error(429)
        .header("retry-after", retry_after_s.to_string())
        .header("anthropic-ratelimit-requests-limit", "50")
        .header("anthropic-ratelimit-requests-remaining", "0")
        .header("anthropic-ratelimit-requests-reset", "2099-01-01T00:00:00Z")
}

fn limits(gate: &Gate) -> Vec<(String, LimitClass)> {
    let reports = gate.reports().into_iter();
    reports
        .filter_map(|r| match r.body {
            ReportBody::Limit {
                account, notice, ..
            } => Some((account, notice.class)),
            _ => None,
        })
        .collect()
}

fn condition(gate: &Gate, id: &str) -> AccountCondition {
    let status = gate.control.status().unwrap();
    status
        .accounts
        .iter()
        .find(|a| a.id == id)
        .unwrap()
        .condition
}

#[test]
fn a9_a_limited_account_is_left_for_the_next_one_and_rests() {
    let (provider, gate) = scene(&["k1", "k2"]);
    provider.script("k1", [limited(3600), Step::text("never asked")]);
    provider.script("k2", [Step::text("hello"), Step::text("again")]);
    let answer = gate.ask();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.body.contains("hello") && answer.whole);
    assert!(gate.ask().body.contains("again"));
    // I15: the first one was not asked again.
    assert_eq!((turns(&provider, "k1"), turns(&provider, "k2")), (1, 2));
    // What was sent is what the client sent, with the account's own key and without ours.
    let sent = &provider.turns("k2")[0];
    assert_eq!(sent.body, messages(true));
    assert_eq!(sent.header("x-api-key"), Some("***f-k2"));
    assert_eq!(
        gate.usage(),
        [("k2".to_owned(), 1550, true), ("k2".to_owned(), 1550, true)]
    );
    let status = gate.control.status().unwrap();
    assert_eq!(status.sessions[0].id, SESSION);
    assert_eq!(status.sessions[0].total.tokens(), 3100);
    assert_eq!(status.sessions[0].total.cost.unwrap().0, 2 * 4590);
    assert_eq!(limits(&gate), [("k1".to_owned(), LimitClass::Quota)]);
}

#[test]
fn a9_all_limited_is_a_429_with_the_soonest_reset_and_the_body_intact() {
    let (provider, gate) = scene(&["k1", "k2"]);
    let mut patient = session(Provider::Anthropic);
    patient.waits = true;
    gate.session("s2", "lh-another", patient);
    let body = json!({"type": "error", "odd": [1, {"a": null}],
        "error": {"type": "rate_limit_error", "message": "of k2"}});
    provider.script("k1", [limited(900)]);
    let second = Step::error_body(429, body.clone()).header("retry-after", "3600");
    provider.script("k2", [second]);
    let answer = gate.ask();
    assert_eq!(answer.status, 429);
    assert_eq!(answer.json(), body);
    assert_eq!(answer.header("x-should-retry"), None);
    let soon = |a: &crate::gate::Answer| a.header("retry-after").unwrap().parse::<u64>().unwrap();
    assert!((895..=900).contains(&soon(&answer)), "{answer:?}");
    // From now on nobody is asked, and the answer has the provider's form.
    let answer = gate.ask();
    assert_eq!(
        (
            answer.status.as_u16(),
            answer.json()["error"]["type"].as_str()
        ),
        (429, Some("rate_limit_error"))
    );
    assert!((890..=900).contains(&soon(&answer)), "{answer:?}");
    let request = gate
        .request("/v1/messages", &json!({}))
        .header("x-api-key", "lh-another");
    // Two keys are shown: the first that is a session's holds, and here both are.
    let answer = gate.send(request.body(crate::gate::body_of(&messages(true))).unwrap());
    assert_eq!(answer.status, 429);
    let mut request = gate.request("/v1/messages", &json!({}));
    request
        .headers_mut()
        .unwrap()
        .insert("x-api-key", "lh-another".parse().unwrap());
    let answer = gate.send(request.body(crate::gate::body_of(&messages(true))).unwrap());
    assert_eq!(answer.header("x-should-retry"), Some("true"));
    assert_eq!((turns(&provider, "k1"), turns(&provider, "k2")), (1, 1));
    let told = gate.reports().into_iter().filter_map(|r| match r.body {
        ReportBody::Exhausted { until, .. } => until,
        _ => None,
    });
    assert_eq!(told.count(), 4);
}

#[test]
fn a9_a_bare_429_benches_nobody_and_moves_no_conversation() {
    let (provider, gate) = scene(&["k1", "k2"]);
    provider.script(
        "k1",
        [Step::text("one"), Step::error(429), Step::text("three")],
    );
    provider.script("k2", [Step::text("two")]);
    assert!(gate.ask().body.contains("one"));
    assert!(gate.ask().body.contains("two"), "one other key");
    assert!(
        gate.ask().body.contains("three"),
        "and back to the warm cache"
    );
    assert_eq!(condition(&gate, "k1"), AccountCondition::Serving);
    // Throttled everywhere: one other key, then the truth as it came.
    provider.script("k1", [Step::error(429).header("x-should-retry", "true")]);
    provider.script("k2", [Step::error(429).header("x-should-retry", "true")]);
    let answer = gate.ask();
    assert_eq!(
        (answer.status.as_u16(), answer.header("retry-after")),
        (429, None)
    );
    assert_eq!(answer.header("x-should-retry"), Some("true"));
    assert_eq!((turns(&provider, "k1"), turns(&provider, "k2")), (4, 2));
    assert!(
        limits(&gate)
            .iter()
            .all(|(_, class)| *class == LimitClass::Throttle)
    );
}

#[test]
fn a9_an_overloaded_service_is_asked_once_more_then_elsewhere_then_told() {
    let (provider, gate) = scene(&["k1", "k2", "k3"]);
    provider.script("k1", [Step::error(529), Step::error(529)]);
    provider.script("k2", [Step::text("rescued")]);
    assert!(gate.ask().body.contains("rescued"));
    assert_eq!((turns(&provider, "k1"), turns(&provider, "k2")), (2, 1));
    provider.script("k1", [Step::error(529), Step::error(529)]);
    provider.script("k2", [Step::error(529), Step::error(529)]);
    provider.script("k3", [Step::error(529), Step::error(529)]);
    let answer = gate.ask();
    assert_eq!(
        (
            answer.status.as_u16(),
            answer.json()["error"]["type"].as_str()
        ),
        (529, Some("overloaded_error"))
    );
    // One in place, one elsewhere; never an account's fault.
    let asked = ["k1", "k2", "k3"]
        .map(|k| turns(&provider, k))
        .iter()
        .sum::<usize>();
    assert_eq!(asked, 3 + 3);
    for id in ["k1", "k2", "k3"] {
        assert_eq!(condition(&gate, id), AccountCondition::Serving);
    }
}

#[test]
fn a9_a_refused_key_is_not_used_again_until_it_is_changed() {
    let (provider, gate) = scene(&["k1", "k2"]);
    provider.script("k1", [Step::error(401), Step::text("well again")]);
    provider.script("k2", (0..3).map(|n| Step::text(format!("two{n}"))));
    for n in 0..3 {
        assert!(gate.ask().body.contains(&format!("two{n}")));
        // The same accounts once more change nothing.
        gate.accounts(
            Provider::Anthropic,
            &places(&provider, &["k1", "k2"]),
            Policy::default(),
        );
    }
    assert_eq!(turns(&provider, "k1"), 1, "no wasted calls");
    assert_eq!(condition(&gate, "k1"), AccountCondition::Broken);
    // Its user says that it is to be tried again.
    let mut first = account("k1", Provider::Anthropic, &provider.url("k1"));
    first.generation = 1;
    let accounts = vec![first];
    let policy = Policy::default();
    gate.control
        .put_accounts(&AccountsRequest {
            giver: String::new(),
            accounts,
            policy,
        })
        .unwrap();
    assert!(gate.ask().body.contains("well again"));
    assert_eq!(condition(&gate, "k1"), AccountCondition::Serving);
}

#[test]
fn a9_only_refused_keys_is_a_401() {
    let (provider, gate) = scene(&["k1"]);
    provider.script("k1", [Step::error(401)]);
    assert_eq!(gate.ask().json()["error"]["message"], "invalid x-api-key");
    let answer = gate.ask();
    assert_eq!((answer.status.as_u16(), turns(&provider, "k1")), (401, 1));
    assert_eq!(answer.header("x-should-retry"), Some("false"));
}

#[test]
fn a9_an_early_reset_is_found_by_one_probe() {
    let provider = MockProvider::start().unwrap();
    let gate = Gate::start();
    let policy = Policy {
        probe_every_ms: 500,
        ..Policy::default()
    };
    gate.accounts(Provider::Anthropic, &places(&provider, &["k1"]), policy);
    gate.session(SESSION, TOKEN, session(Provider::Anthropic));
    provider.script("k1", [limited(9000), limited(9000), Step::text("early")]);
    let started = std::time::Instant::now();
    let mut answers = Vec::new();
    while started.elapsed().as_millis() < 1900 && answers.last() != Some(&200) {
        answers.push(gate.ask().status.as_u16());
    }
    assert_eq!(answers.last(), Some(&200), "{answers:?}");
    assert!(
        answers.len() > 3,
        "most of them were answered without a call"
    );
    assert_eq!(turns(&provider, "k1"), 3);
    assert_eq!(condition(&gate, "k1"), AccountCondition::Serving);
}

#[test]
fn a9_no_credit_goes_elsewhere_and_a_wrong_request_goes_nowhere() {
    let (provider, gate) = scene(&["k1", "k2"]);
    let low = json!({"type": "error", "error": {"type": "invalid_request_error",
        "message": "Your credit balance is too low to access the Anthropic API."}});
    provider.script("k1", [Step::error_body(400, low)]);
    let wrong = json!({"type": "error", "error": {"type": "invalid_request_error", "message": "no"},
        "extra": "kept"});
    provider.script(
        "k2",
        [
            Step::text("fine"),
            Step::error_body(400, wrong.clone()).header("x-odd", "1"),
        ],
    );
    assert!(gate.ask().body.contains("fine"));
    assert_eq!(condition(&gate, "k1"), AccountCondition::NoCredit);
    let answer = gate.ask();
    assert_eq!(
        (answer.status.as_u16(), answer.body),
        (400, wrong.to_string())
    );
    assert_eq!(answer.headers.get("x-odd").unwrap(), "1");
    assert_eq!(turns(&provider, "k2"), 2);
}

#[test]
fn a9_a_request_that_is_bound_to_an_account_or_too_large_is_not_moved() {
    let provider = MockProvider::start().unwrap();
    let gate = Gate::start();
    gate.serve(Provider::Openai, &places(&provider, &["k1", "k2"]));
    let tools = json!([{"type": "function", "name": "shell", "parameters": {}}]);
    let bound = json!({"model": "gpt-5", "input": "hi", "tools": tools, "stream": true,
        "previous_response_id": "resp_1"});
    provider.script("k1", [Step::error(503), limited(60)]);
    provider.script("k2", [Step::text("not this one")]);
    assert_eq!(gate.post("/v1/responses", &bound).status, 503);
    assert_eq!((turns(&provider, "k1"), turns(&provider, "k2")), (1, 0));
    let large =
        json!({"model": "gpt-5", "input": "x".repeat(9 << 20), "tools": tools, "store": false});
    let answer = gate.post("/v1/responses", &large);
    assert_eq!(
        (answer.status.as_u16(), answer.header("retry-after")),
        (429, Some("60"))
    );
    assert_eq!(provider.turns("k1")[1].body, large, "whole all the same");
    assert_eq!(turns(&provider, "k2"), 0);
}

#[test]
fn a9_the_pin_is_honoured_only_after_a_look_and_conversations_spread() {
    let (provider, gate) = scene(&["k1", "k2"]);
    let ask = |conversation: &str, agent: &str| {
        let request = gate
            .request("/v1/messages", &json!({}))
            .header("x-claude-code-session-id", conversation)
            .header("x-claude-code-agent-id", agent);
        gate.send(request.body(crate::gate::body_of(&messages(true))).unwrap())
    };
    for agent in ["a", "b", "a", "b", "a", "b"] {
        assert_eq!(ask("one", agent).status, 200);
    }
    // A fan-out of agents in one session uses both, and each stays where it is.
    assert_eq!((turns(&provider, "k1"), turns(&provider, "k2")), (3, 3));
    let mine = |account: &str| {
        let all = provider.turns(account);
        let agent = |r: &longhaul_testkit::provider::Request| {
            r.header("x-claude-code-agent-id").map(str::to_owned)
        };
        let first = agent(&all[0]);
        assert!(all.iter().all(|r| agent(r) == first));
    };
    mine("k1");
    mine("k2");
    provider.script("k1", [limited(3000)]);
    provider.script("k2", [limited(3000)]);
    let moved = ask("one", "a");
    assert_eq!(moved.status, 429, "both were tried");
    assert_eq!(ask("one", "b").status, 429, "and nobody was asked");
    assert_eq!((turns(&provider, "k1"), turns(&provider, "k2")), (4, 4));
}

#[test]
fn a2_keys_of_one_organisation_rest_together() {
    let (provider, gate) = scene(&["k1", "k2", "k3"]);
    let of = |org: &str, step: Step| step.header("anthropic-organization-id", org);
    // Each is seen once, so that its organisation is known.
    for (id, org) in [("k1", "o1"), ("k2", "o1"), ("k3", "o2")] {
        provider.script(id, [of(org, Step::text("hello"))]);
        gate.accounts(
            Provider::Anthropic,
            &places(&provider, &[id]),
            Policy::default(),
        );
        assert_eq!(gate.ask().status, 200);
    }
    gate.accounts(
        Provider::Anthropic,
        &places(&provider, &["k1", "k2", "k3"]),
        Policy::default(),
    );
    // The conversation is with k3 now; another one begins with the first.
    provider.script("k1", [of("o1", limited(3000))]);
    provider.script("k3", [of("o2", Step::text("from three"))]);
    let request = gate
        .request("/v1/messages", &json!({}))
        .header("session-id", "new");
    let answer = gate.send(request.body(crate::gate::body_of(&messages(true))).unwrap());
    assert!(answer.body.contains("from three"), "{answer:?}");
    assert_eq!(turns(&provider, "k2"), 1, "it drains with k1");
}

#[test]
fn a10_a_long_window_near_its_limit_is_left_at_the_end_of_a_turn() {
    let (provider, gate) = scene(&["k1", "k2"]);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let full = |step: Step| {
        step.header("anthropic-ratelimit-unified-status", "allowed_warning")
            .header("anthropic-ratelimit-unified-5h-utilization", "0.96")
            .header(
                "anthropic-ratelimit-unified-5h-reset",
                (now + 3000).to_string(),
            )
    };
    let tool = Step::new(Reply::Tool {
        text: String::new(),
        shell: "true".to_owned(),
    });
    provider.script("k1", [full(tool), full(Step::text("the turn ends"))]);
    provider.script("k2", [Step::text("the next turn")]);
    assert_eq!(gate.ask().status, 200);
    assert!(
        gate.ask().body.contains("the turn ends"),
        "in a turn it stays"
    );
    assert!(gate.ask().body.contains("the next turn"));
    let moved = gate.reports().into_iter().find_map(|r| match r.body {
        ReportBody::Moved { from, to, .. } => Some((from, to)),
        _ => None,
    });
    assert_eq!(moved, Some(("k1".to_owned(), "k2".to_owned())));
}
