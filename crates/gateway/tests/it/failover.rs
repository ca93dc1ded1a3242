//! Another account before the first byte, by the fault table of facts/limits.md §3 (A9).

use longhaul_gateway::api::Provider;
use longhaul_testkit::provider::{MockProvider, Step};

use crate::gate::{Gate, SESSION, messages};

/// A gateway with these accounts at a provider that plays a session for each.
fn scene(accounts: &[&str]) -> (MockProvider, Gate) {
    let provider = MockProvider::start().unwrap();
    let gate = Gate::start();
    let places: Vec<_> = accounts.iter().map(|id| (*id, provider.url(id))).collect();
    gate.serve(Provider::Anthropic, &places);
    (provider, gate)
}

fn turns(provider: &MockProvider, account: &str) -> usize {
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
    let total = gate.control.status().unwrap().sessions[0].total;
    assert_eq!(gate.control.status().unwrap().sessions[0].id, SESSION);
    assert_eq!(total.tokens(), 3100);
    assert_eq!(total.cost.unwrap().0, 2 * 4590);
}
