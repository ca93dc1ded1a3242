//! Restarts: port, sessions and what was learned stay; keys do not (A8).

use std::time::Duration;

use longhaul_gateway::Times;
use longhaul_gateway::api::{AccountCondition, Policy, Provider};
use longhaul_testkit::provider::{MockProvider, Step};

use crate::failover::{places, turns};
use crate::gate::{Gate, SESSION, until};

#[test]
fn a8_a_restart_keeps_port_sessions_rests_and_reports_and_waits_for_keys() {
    let provider = MockProvider::start().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut gate = Gate::at(dir.path(), Times::default());
    gate.serve(Provider::Anthropic, &places(&provider, &["k1", "k2"]));
    provider.script("k1", [Step::error(429).header("retry-after", "5000")]);
    assert_eq!(gate.ask().status, 200);
    let (port, reports) = (gate.port, gate.reports());
    assert!(!reports.is_empty());
    gate.stop();

    let gate = Gate::at(dir.path(), Times::default());
    assert_eq!(gate.port, port);
    assert!(!gate.control.status().unwrap().ready);
    let answer = gate.ask();
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("no keys yet"), "{}", answer.body);
    assert_eq!(gate.reports(), reports);
    gate.accounts(
        Provider::Anthropic,
        &places(&provider, &["k1", "k2"]),
        Policy::default(),
    );
    // The session's token holds, and the rest too (I15).
    assert_eq!(gate.ask().status, 200);
    assert_eq!((turns(&provider, "k1"), turns(&provider, "k2")), (1, 2));
    let status = gate.control.status().unwrap();
    assert_eq!(status.sessions[0].total.tokens(), 3100);
    assert_eq!(status.accounts[0].resting_models.len(), 1);
    assert_eq!(status.accounts[0].condition, AccountCondition::Serving);
}

#[test]
fn a8_reports_are_read_from_a_number_on_and_forgotten_when_acknowledged() {
    let provider = MockProvider::start().unwrap();
    let gate = Gate::start();
    gate.serve(Provider::Anthropic, &places(&provider, &["k1"]));
    for _ in 0..5 {
        assert_eq!(gate.ask().status, 200);
    }
    until("five reports", || gate.reports().len() == 5);
    let page = gate.control.reports(3).unwrap();
    assert_eq!(
        page.reports.iter().map(|r| r.seq).collect::<Vec<_>>(),
        [4, 5]
    );
    gate.control.acknowledge(5).unwrap();
    let spool = gate.control.status().unwrap().spool;
    assert_eq!((spool.last, spool.acknowledged), (5, 5));
    gate.control.acknowledge(999).unwrap();
    assert_eq!(gate.control.status().unwrap().spool.acknowledged, 5);
}

#[test]
fn a8_an_answer_that_is_on_its_way_comes_to_its_end_when_the_gateway_is_told_to_go() {
    let provider = MockProvider::start().unwrap();
    let mut gate = Gate::start();
    gate.serve(Provider::Anthropic, &places(&provider, &["k1"]));
    let mut slow = Step::text("to the end");
    slow.chunk_delay_ms = 150;
    provider.script("k1", [slow]);
    std::thread::scope(|scope| {
        let answer = scope.spawn(|| gate.ask());
        assert!(
            provider
                .wait_turns("k1", 1, Duration::from_secs(20))
                .is_some()
        );
        gate.control.shut_down().unwrap();
        let answer = answer.join().unwrap();
        assert!(
            answer.whole && answer.body.contains("message_stop"),
            "{answer:?}"
        );
    });
    gate.joined();
    let spool = std::fs::read_dir(gate.folder.join("spool")).unwrap();
    let text: String = spool
        .map(|e| std::fs::read_to_string(e.unwrap().path()).unwrap())
        .collect();
    assert!(text.contains("\"report\":\"usage\"") && text.contains(SESSION));
}
