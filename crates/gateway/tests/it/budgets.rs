//! Budgets are enforced before anything is sent (I10, A11).

use longhaul_core::usage::MicroUsd;
use longhaul_gateway::api::{
    AccountsRequest, Budget, Policy, Price, Provider, ReportBody, SessionSpec,
};
use longhaul_testkit::provider::{MockProvider, Step};
use serde_json::json;

use crate::failover::{places, turns};
use crate::gate::{Gate, SESSION, TOKEN, account, session};

fn with_budget(provider: Provider, budget: Budget) -> (MockProvider, Gate) {
    let mock = MockProvider::start().unwrap();
    let gate = Gate::start();
    gate.accounts(provider, &places(&mock, &["k1"]), Policy::default());
    let spec = SessionSpec {
        budget,
        ..session(provider)
    };
    gate.session(SESSION, TOKEN, spec);
    (mock, gate)
}

#[test]
fn i10_a_session_over_its_tokens_is_refused_before_anything_is_sent() {
    let budget = Budget {
        cost: None,
        tokens: Some(3000),
    };
    let (mock, gate) = with_budget(Provider::Anthropic, budget);
    assert_eq!(gate.ask().status, 200);
    assert_eq!(gate.ask().status, 200, "1550 of 3000");
    let answer = gate.ask();
    assert_eq!(
        (answer.status.as_u16(), answer.header("x-should-retry")),
        (402, Some("false"))
    );
    assert_eq!(answer.json()["error"]["type"], "billing_error");
    assert_eq!(turns(&mock, "k1"), 2);
    let told = gate.reports().into_iter().any(|r| {
        matches!(
            r.body,
            ReportBody::OverBudget {
                unknown_price: false,
                ..
            }
        )
    });
    assert!(told);
    // More is given; what was spent stays spent.
    let more = SessionSpec {
        budget: Budget {
            cost: None,
            tokens: Some(4000),
        },
        ..session(Provider::Anthropic)
    };
    gate.session(SESSION, TOKEN, more);
    assert_eq!(gate.ask().status, 200);
    assert_eq!(gate.ask().status, 402);
    // What is not metered costs nothing and is let pass.
    assert_eq!(
        gate.post("/v1/messages/count_tokens", &json!({})).status,
        200
    );
}

#[test]
fn i10_a_budget_in_money_needs_a_price() {
    let budget = Budget {
        cost: Some(MicroUsd(9000)),
        tokens: None,
    };
    let (mock, gate) = with_budget(Provider::Openai, budget);
    let tools = json!([{"type": "function", "name": "shell", "parameters": {}}]);
    let body = |model: &str| json!({"model": model, "input": "hi", "tools": tools, "store": false, "stream": true});
    let answer = gate.post("/v1/responses", &body("brand-new"));
    assert_eq!(answer.status, 402);
    assert!(
        answer.body.contains("the price of this model is not known"),
        "{}",
        answer.body
    );
    assert_eq!(turns(&mock, "k1"), 0);
    // 1000·1.25 + 50·10 + 300·0.125 = 1787 millionths; cache writes are free there and not told.
    mock.script("k1", [Step::text("a"), Step::text("b")]);
    assert_eq!(gate.post("/v1/responses", &body("gpt-5")).status, 200);
    let spent = gate.control.status().unwrap().sessions[0]
        .total
        .cost
        .unwrap();
    assert_eq!(spent, MicroUsd(1788));
    let price = Price {
        input: 7.0,
        output: 7.0,
        cache_read: None,
        cache_write: None,
    };
    let request = AccountsRequest {
        giver: String::new(),
        accounts: vec![account("k1", Provider::Openai, &mock.url("k1"))],
        policy: Policy {
            prices: [("brand-new".to_owned(), price)].into(),
            ..Policy::default()
        },
    };
    gate.control.put_accounts(&request).unwrap();
    assert_eq!(gate.post("/v1/responses", &body("brand-new")).status, 200);
    assert_eq!(
        gate.post("/v1/responses", &body("brand-new")).status,
        402,
        "1350 tokens at 7 each"
    );
    assert_eq!(turns(&mock, "k1"), 2);
}

#[test]
fn a11_every_language_is_counted() {
    for (provider, path, body) in [
        (
            Provider::Anthropic,
            "/v1/messages",
            json!({"model": "claude-haiku-4-5", "tools": [{"name": "Bash"}]}),
        ),
        (
            Provider::Openai,
            "/v1/responses",
            json!({"model": "gpt-5", "tools": [{"type": "function", "name": "shell"}]}),
        ),
        (
            Provider::Openai,
            "/v1/chat/completions",
            json!({"model": "gpt-5", "stream_options": {"include_usage": true},
            "tools": [{"type": "function", "function": {"name": "shell"}}]}),
        ),
    ] {
        for stream in [true, false] {
            let (mock, gate) = with_budget(provider, Budget::default());
            let mut body = body.clone();
            body["stream"] = json!(stream);
            mock.script("k1", [Step::text("x")]);
            assert_eq!(gate.post(path, &body).status, 200);
            let tokens = if provider == Provider::Anthropic {
                1550
            } else {
                1350
            };
            assert_eq!(
                gate.usage(),
                [("k1".to_owned(), tokens, true)],
                "{path} {stream}"
            );
        }
    }
    for path in ["generateContent", "streamGenerateContent?alt=sse"] {
        let (mock, gate) = with_budget(Provider::Gemini, Budget::default());
        mock.script("k1", [Step::text("x")]);
        let body = json!({"contents": [], "tools": [{"functionDeclarations": [{"name": "f"}]}]});
        let answer = gate.post(&format!("/v1beta/models/gemini-2.5-pro:{path}"), &body);
        assert_eq!(answer.status, 200);
        assert_eq!(gate.usage(), [("k1".to_owned(), 1350, true)], "{path}");
        let total = gate.control.status().unwrap().sessions[0].total;
        assert_eq!(
            total.cost,
            Some(MicroUsd(1250 + 500 + 38)),
            "300 from the cache at 0.125"
        );
    }
}
