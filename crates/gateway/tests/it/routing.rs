//! The router by properties, without IO: over random histories no account is used in a window that said it is used up
//! but by a probe, every request ends, and what is on its way is counted right (A3, A9, A12, I15).

use std::collections::BTreeMap;

use hyper::HeaderMap;
use hyper::header::HeaderValue;
use longhaul_core::ids::Fence;
use longhaul_core::time::{SpanMs, UnixMs};
use longhaul_gateway::api::{AccountsRequest, Policy, Provider, SessionSpec, Strategy};
use longhaul_gateway::meter::Count;
use longhaul_gateway::routing::{Ask, Attempt, Choice, Conversation, Failure, Next, Router};
use proptest::prelude::*;
use proptest::strategy::Strategy as _;

use crate::gate::{account, session};

const START: UnixMs = UnixMs(1_795_219_200_000);
const MODELS: [&str; 2] = ["claude-sonnet-4-5", "claude-opus-4-1"];

/// What the provider does to a try.
#[derive(Clone, Copy, Debug)]
enum Play {
    Good,
    Limited(u64),
    Bare,
    Overloaded,
    Key,
    Forbidden,
    Credit,
    NoConnection,
    Broken,
    GivenUp,
}

fn play() -> impl proptest::strategy::Strategy<Value = Play> {
    prop_oneof![
        4 => Just(Play::Good),
        3 => (1..7200_u64).prop_map(Play::Limited),
        1 => Just(Play::Bare),
        1 => Just(Play::Overloaded),
        1 => Just(Play::Key),
        1 => Just(Play::Forbidden),
        1 => Just(Play::Credit),
        1 => Just(Play::NoConnection),
        1 => Just(Play::Broken),
        1 => Just(Play::GivenUp),
    ]
}

fn strategies() -> impl proptest::strategy::Strategy<Value = Strategy> {
    prop_oneof![
        Just(Strategy::Sticky),
        Just(Strategy::LeastUsed),
        Just(Strategy::SoonestReset),
        Just(Strategy::RoundRobin),
        Just(Strategy::Priority),
    ]
}

fn router(accounts: usize, strategy: Strategy, policy: Policy) -> Router {
    let mut router = Router::default();
    let accounts =
        (0..accounts).map(|n| account(&format!("k{n}"), Provider::Anthropic, "http://127.0.0.1:1"));
    router.put_accounts(AccountsRequest {
        giver: String::new(),
        accounts: accounts.collect(),
        policy,
    });
    let spec = SessionSpec {
        strategy,
        ..session(Provider::Anthropic)
    };
    router.put_session("s", spec).unwrap();
    router
}

fn ask(model: usize, conversation: u64) -> Ask<'static> {
    Ask {
        session: "s",
        provider: Provider::Anthropic,
        task: None,
        fence: Fence(1),
        model: Some(MODELS[model % MODELS.len()]),
        conversation: Some(Conversation(conversation)),
        movable: true,
        repeatable: true,
    }
}

fn headers(pairs: &[(&'static str, String)]) -> HeaderMap {
    let pair = |(name, value): &(&'static str, String)| {
        (name.parse().unwrap(), HeaderValue::from_str(value).unwrap())
    };
    pairs.iter().map(pair).collect()
}

proptest! {
    #[test]
    fn i15_no_account_is_used_while_it_rests_and_every_request_ends(
        accounts in 1..5_usize,
        strategy in strategies(),
        probes in any::<bool>(),
        steps in proptest::collection::vec(
            (0..2_usize, 0..6_u64, 0..4000_u64, proptest::collection::vec(play(), 12)),
            1..60,
        ),
    ) {
        let policy = Policy {
            probe_every_ms: if probes { 900_000 } else { 0 },
            ..Policy::default()
        };
        let mut router = router(accounts, strategy, policy);
        let mut now = START;
        // Until when each account said that it rests, for each model; and when it was last asked in that time.
        let mut rests: BTreeMap<(String, usize), UnixMs> = BTreeMap::new();
        let mut asked_at: BTreeMap<(String, usize), UnixMs> = BTreeMap::new();
        let mut broken = std::collections::BTreeSet::new();
        for (model, conversation, pause_s, plays) in steps {
            now = now.plus(SpanMs::from_secs(pause_s));
            let ask = ask(model, conversation);
            let mut attempt = Attempt::default();
            let mut tries = 0;
            loop {
                let target = match router.choose(now, &ask, &mut attempt) {
                    Choice::Use(target) => target,
                    Choice::Busy => { prop_assert!(false, "nobody is busy"); break }
                    Choice::Exhausted { .. } | Choice::NoAccount => break,
                };
                tries += 1;
                prop_assert!(tries <= 2 * accounts + 3, "it does not end");
                let id = target.account.clone();
                prop_assert!(!broken.contains(&id), "a refused key was used");
                let at = (id.clone(), model);
                if rests.get(&at).is_some_and(|until| now < *until) {
                    prop_assert!(probes, "used in its rest");
                    let before = asked_at.get(&at).copied().unwrap_or(UnixMs(0));
                    prop_assert!(now.since(before).0 >= 900_000, "probed too soon");
                    prop_assert_eq!(tries, 1, "a probe is a first try");
                }
                let refuse = |router: &mut Router, attempt: &mut Attempt, status, pairs: &[_], body: &[u8]| {
                    router.refused(now, &ask, attempt, &id, (status, &headers(pairs), body)).1
                };
                let next = match plays[tries % plays.len()] {
                    Play::Good => {
                        router.accepted(now, &ask, &attempt, &id, &HeaderMap::new());
                        router.ended(now, &ask, &id, Some(Count::default()));
                        rests.retain(|(account, m), _| *account != id || *m != model);
                        break;
                    }
                    Play::Limited(secs) => {
                        let until = now.plus(SpanMs::from_secs(secs));
                        let rest = rests.entry(at.clone()).or_insert(until);
                        *rest = until.max(*rest);
                        asked_at.insert(at, now);
                        refuse(&mut router, &mut attempt, 429, &[("retry-after", secs.to_string())], b"")
                    }
                    Play::Bare => refuse(&mut router, &mut attempt, 429, &[], b""),
                    Play::Overloaded => refuse(&mut router, &mut attempt, 529, &[], b""),
                    Play::Key => {
                        broken.insert(id.clone());
                        refuse(&mut router, &mut attempt, 401, &[], b"")
                    }
                    Play::Forbidden => {
                        let until = now.plus(SpanMs::from_secs(3600));
                        let rest = rests.entry(at.clone()).or_insert(until);
                        *rest = until.max(*rest);
                        asked_at.insert(at, now);
                        refuse(&mut router, &mut attempt, 403, &[], b"")
                    }
                    Play::Credit => refuse(&mut router, &mut attempt, 402, &[], b""),
                    Play::NoConnection => router.failed(now, &ask, &mut attempt, &id, Failure::Connect),
                    Play::Broken => router.failed(now, &ask, &mut attempt, &id, Failure::Sent),
                    Play::GivenUp => {
                        router.abandoned(now, &id);
                        break;
                    }
                };
                if next == Next::Relay {
                    break;
                }
            }
            for account in router.accounts() {
                prop_assert_eq!(account.in_flight, 0);
            }
        }
    }

    #[test]
    fn i10_every_token_is_charged_once(uses in proptest::collection::vec(0..10_000_u64, 1..50)) {
        let mut router = router(2, Strategy::RoundRobin, Policy::default());
        let mut sum = 0;
        for (n, tokens) in uses.into_iter().enumerate() {
            let ask = ask(n, n as u64);
            let mut attempt = Attempt::default();
            let Choice::Use(target) = router.choose(START, &ask, &mut attempt) else {
                panic!("an account is free");
            };
            prop_assert_eq!(&target.account, &format!("k{}", n % 2));
            let mut count = Count { told: true, complete: true, ..Count::default() };
            count.usage.input = tokens;
            router.accepted(START, &ask, &attempt, &target.account, &HeaderMap::new());
            router.ended(START, &ask, &target.account, Some(count));
            sum += tokens;
        }
        let (_, session) = router.sessions().next().unwrap();
        prop_assert_eq!(session.total.tokens(), sum);
    }
}

#[test]
fn a3_each_strategy_picks_as_it_says() {
    let used = |router: &mut Router, id: &str, share: &str, reset_in: i64| {
        let reset = (START.0 / 1000 + reset_in).to_string();
        let all = headers(&[
            (
                "anthropic-ratelimit-unified-5h-utilization",
                share.to_owned(),
            ),
            ("anthropic-ratelimit-unified-5h-reset", reset),
        ]);
        router.accepted(START, &ask(0, 99), &Attempt::default(), id, &all);
        router.ended(START, &ask(0, 99), id, None);
    };
    for (strategy, want) in [
        (Strategy::LeastUsed, "k1"),
        (Strategy::SoonestReset, "k2"),
        (Strategy::Priority, "k0"),
    ] {
        let mut router = router(3, strategy, Policy::default());
        used(&mut router, "k0", "0.50", 3000);
        used(&mut router, "k1", "0.10", 2000);
        used(&mut router, "k2", "0.90", 1000);
        let Choice::Use(target) = router.choose(START, &ask(0, 1), &mut Attempt::default()) else {
            panic!("all are well");
        };
        assert_eq!(target.account, want, "{strategy:?}");
        // At the threshold it goes behind the others, however well it would do otherwise.
        used(&mut router, want, "0.96", 1);
        used(&mut router, want, "0.96", 5000);
        let Choice::Use(target) = router.choose(START, &ask(0, 2), &mut Attempt::default()) else {
            panic!("two are well");
        };
        assert_ne!(target.account, want, "{strategy:?}");
    }
}
