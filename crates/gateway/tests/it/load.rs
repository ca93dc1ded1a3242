//! Many at once: nothing is lost, nothing is counted twice, nothing grows without bound (I16, A12).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use longhaul_gateway::api::{AccountsRequest, Policy, Provider};
use longhaul_testkit::provider::{MockProvider, Step};

use crate::failover::places;
use crate::gate::{Gate, SESSION, TOKEN, account, session};

/// The most memory that this process ever held, in MB.
fn peak_mb() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<usize>()
        .unwrap()
        / 1024
}

#[test]
fn i16_ten_thousand_small_requests_are_each_counted_once() {
    let provider = MockProvider::start().unwrap();
    let gate = Gate::start();
    gate.serve(Provider::Anthropic, &places(&provider, &["k1", "k2"]));
    let good = gate.many(10_000, 16, |_| ());
    assert_eq!(good, 10_000);
    let total = gate.control.status().unwrap().sessions[0].total;
    assert_eq!(total.tokens(), 10_000 * 1550);
    let mut after = 0;
    let mut counted = 0;
    loop {
        let page = gate.control.reports(after).unwrap();
        counted += page.reports.len();
        after = page.reports.last().map_or(after, |r| r.seq);
        if !page.more {
            break;
        }
    }
    assert_eq!(counted, 10_000);
    for account in gate.control.status().unwrap().accounts {
        assert_eq!(account.in_flight, 0);
    }
}

#[test]
fn i16_a_thousand_streams_at_once_come_to_their_end() {
    let provider = MockProvider::start().unwrap();
    let gate = Gate::start();
    let mut first = account("k1", Provider::Anthropic, &provider.url("k1"));
    first.max_concurrent = Some(2000);
    let accounts = vec![first];
    let policy = Policy::default();
    gate.control
        .put_accounts(&AccountsRequest {
            giver: String::new(),
            accounts,
            policy,
        })
        .unwrap();
    gate.session(SESSION, TOKEN, session(Provider::Anthropic));
    let mut slow = Step::text("one of a thousand");
    slow.chunk_delay_ms = 300;
    provider.script("k1", std::iter::repeat_n(slow, 1000));
    let most = Arc::new(AtomicUsize::new(0));
    let good = gate.many(1000, 1000, |in_flight| {
        most.fetch_max(in_flight, Ordering::Relaxed);
    });
    assert_eq!(good, 1000);
    assert!(
        most.load(Ordering::Relaxed) > 500,
        "they were there together"
    );
    assert_eq!(
        gate.control.status().unwrap().sessions[0].total.tokens(),
        1_550_000
    );
    // Gateway, provider and clients together.
    assert!(peak_mb() < 600, "{} MB", peak_mb());
}

#[test]
fn a12_no_more_than_it_may_are_on_their_way_to_an_account() {
    let provider = MockProvider::start().unwrap();
    let gate = Gate::start();
    let narrow = ["k1", "k2"].map(|id| {
        let mut account = account(id, Provider::Anthropic, &provider.url(id));
        account.max_concurrent = Some(3);
        account
    });
    let accounts = narrow.to_vec();
    let policy = Policy::default();
    gate.control
        .put_accounts(&AccountsRequest {
            giver: String::new(),
            accounts,
            policy,
        })
        .unwrap();
    gate.session(SESSION, TOKEN, session(Provider::Anthropic));
    for id in ["k1", "k2"] {
        provider.script(id, std::iter::repeat_n(Step::text("x").delay_ms(60), 100));
    }
    let done = AtomicBool::new(false);
    let most = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut most = 0;
            while !done.load(Ordering::Relaxed) {
                let accounts = gate.control.status().unwrap().accounts;
                most = accounts.iter().map(|a| a.in_flight).fold(most, u32::max);
            }
            most
        });
        let good = gate.many(60, 30, |_| ());
        done.store(true, Ordering::Relaxed);
        assert_eq!(good, 60, "the others waited for a place");
        watcher.join().unwrap()
    });
    assert_eq!(most, 3);
}
