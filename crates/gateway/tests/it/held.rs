//! Requests that are kept until an account can serve (A15), accounts of several givers, and checks of idle ones (A10).

use std::time::{Duration, Instant};

use longhaul_gateway::api::{
    AccountChoice, AccountCondition, AccountsRequest, CheckOutcome, Policy, Provider,
};
use longhaul_testkit::provider::{MockProvider, Step};

use crate::failover::{places, scene, turns};
use crate::gate::{Gate, SESSION, TOKEN, account, session, until};

/// A limit that is over after so many seconds.
fn limited(seconds: u64) -> Step {
    Step::error(429)
        .header("retry-after", seconds.to_string())
        .header("anthropic-ratelimit-requests-limit", "50")
        .header("anthropic-ratelimit-requests-remaining", "0")
}

fn holding(gate: &Gate, accounts: AccountChoice) {
    let mut spec = session(Provider::Anthropic);
    spec.holds = true;
    spec.accounts = accounts;
    gate.session(SESSION, TOKEN, spec);
}

fn held(gate: &Gate) -> u32 {
    gate.control.status().unwrap().sessions[0].held
}

#[test]
fn a15_a_request_at_the_limit_waits_for_the_reset_and_the_client_sees_no_refusal() {
    let (provider, gate) = scene(&["k1"]);
    holding(&gate, AccountChoice::Any);
    provider.script("k1", [limited(2), Step::text("after the reset")]);
    let began = Instant::now();
    let answer = std::thread::scope(|scope| {
        let asked = scope.spawn(|| gate.ask());
        until("it is held", || held(&gate) == 1);
        asked.join().unwrap()
    });
    assert!(answer.body.contains("after the reset"), "{answer:?}");
    assert!(began.elapsed() >= Duration::from_millis(1500));
    // I15: nothing was asked in between.
    assert_eq!(turns(&provider, "k1"), 2);
    assert_eq!(held(&gate), 0);
}

#[test]
fn a16_a_held_request_goes_on_as_soon_as_its_session_may_use_another_account() {
    let (provider, gate) = scene(&["k1", "k2"]);
    holding(&gate, AccountChoice::Pinned("k1".to_owned()));
    provider.script("k1", [limited(3600)]);
    provider.script("k2", [Step::text("the second answers")]);
    let answer = std::thread::scope(|scope| {
        let asked = scope.spawn(|| gate.ask());
        until("it is held", || held(&gate) == 1);
        holding(&gate, AccountChoice::Pinned("k2".to_owned()));
        asked.join().unwrap()
    });
    assert!(answer.body.contains("the second answers"), "{answer:?}");
    let session = &gate.control.status().unwrap().sessions[0];
    assert_eq!(session.account.as_deref(), Some("k2"));
}

#[test]
fn a8_the_accounts_of_one_giver_leave_those_of_another_alone() {
    let provider = MockProvider::start().unwrap();
    let gate = Gate::start();
    let give = |giver: &str, ids: &[&str], threshold_pct: u8| {
        let spec = |id: &&str| account(id, Provider::Anthropic, &provider.url(id));
        let request = AccountsRequest {
            giver: giver.to_owned(),
            accounts: ids.iter().map(spec).collect(),
            policy: Policy {
                threshold_pct,
                ..Policy::default()
            },
        };
        gate.control.put_accounts(&request).unwrap();
    };
    let known = || -> Vec<String> {
        let status = gate.control.status().unwrap();
        status.accounts.into_iter().map(|a| a.id).collect()
    };
    give("shell", &["b", "c"], 50);
    give("", &["a", "b"], 60);
    give("another", &["d"], 70);
    assert_eq!(known(), ["a", "b", "d", "c"]);
    give("", &["a"], 60);
    assert_eq!(known(), ["a", "d", "b", "c"]);
    give("shell", &[], 50);
    assert_eq!(known(), ["a", "d"]);
    let status = gate.control.status().unwrap();
    assert_eq!(status.givers, ["", "another"]);
}

#[test]
fn a10_an_idle_account_is_checked_by_a_cheap_call_and_a_resting_one_is_not() {
    let (provider, gate) = scene(&["k1"]);
    let share = Step::text("ok")
        .header("anthropic-ratelimit-requests-limit", "50")
        .header("anthropic-ratelimit-requests-remaining", "20");
    provider.script("k1.side", [share, limited(3600), Step::text("never")]);
    let check = |older| gate.control.check("k1", older).unwrap();
    let first = check(60_000);
    assert_eq!(first.outcome, CheckOutcome::Asked { status: 200 });
    assert_eq!(first.account.windows[0].used_permille, Some(600));
    // What was told a moment ago is not asked again.
    assert_eq!(check(60_000).outcome, CheckOutcome::Fresh);
    let limited = check(0);
    assert_eq!(limited.outcome, CheckOutcome::Asked { status: 429 });
    // I15
    assert_eq!(check(0).outcome, CheckOutcome::Out);
    let asked = provider.requests("k1");
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].body["max_tokens"], 1);
    assert_eq!(gate.control.status().unwrap().accounts[0].in_flight, 0);
    assert!(gate.control.check("nobody", 0).is_err());
}

#[test]
fn a10_with_a_span_in_the_policy_the_gateway_checks_by_itself() {
    let provider = MockProvider::start().unwrap();
    let gate = Gate::start();
    provider.script("k1.side", [Step::error(401)]);
    let policy = Policy {
        check_every_ms: 500,
        ..Policy::default()
    };
    let all = places(&provider, &["k1", "k2"]);
    gate.accounts(Provider::Anthropic, &all, policy);
    let condition = |n: usize| gate.control.status().unwrap().accounts[n].condition;
    until("the refused key is known", || {
        condition(0) == AccountCondition::Broken
    });
    until("the other one is asked again", || {
        provider.requests("k2").len() >= 2
    });
    // Once broken it is not asked any more.
    assert_eq!(provider.requests("k1").len(), 1);
}
