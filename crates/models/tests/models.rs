//! The checker visits every state: it finds nothing in the protocols and something in each mutant.

#![expect(clippy::print_stdout, reason = "the size of what was visited")]

use longhaul_models::lease::{self, Lease};
use longhaul_models::spawn::{self, Spawn};
use stateright::{Checker as _, HasDiscoveries, Model};

fn spawning(mutant: spawn::Mutant) -> Spawn {
    Spawn {
        mutant,
        kills: 2,
        reboots: 1,
    }
}

/// The names of the broken properties; those that shall be seen at least once are left out.
fn broken<M>(model: M) -> Vec<&'static str>
where
    M: Model + Send + Sync + 'static,
    M::State: std::hash::Hash + Clone + PartialEq + Send + Sync + std::fmt::Debug,
    M::Action: Clone + PartialEq + Send + Sync + std::fmt::Debug,
{
    check(model, HasDiscoveries::All)
}

/// The same for a mutant: the first broken property is enough.
fn first_broken<M>(model: M) -> Vec<&'static str>
where
    M: Model + Send + Sync + 'static,
    M::State: std::hash::Hash + Clone + PartialEq + Send + Sync + std::fmt::Debug,
    M::Action: Clone + PartialEq + Send + Sync + std::fmt::Debug,
{
    check(model, HasDiscoveries::AnyFailures)
}

fn check<M>(model: M, until: HasDiscoveries) -> Vec<&'static str>
where
    M: Model + Send + Sync + 'static,
    M::State: std::hash::Hash + Clone + PartialEq + Send + Sync + std::fmt::Debug,
    M::Action: Clone + PartialEq + Send + Sync + std::fmt::Debug,
{
    let checker = model
        .checker()
        .finish_when(until)
        .threads(2)
        .spawn_bfs()
        .join();
    println!("{} states", checker.unique_state_count());
    let found = checker.discoveries();
    let broken: Vec<_> = checker
        .model()
        .properties()
        .into_iter()
        .filter(|p| !matches!(p.expectation, stateright::Expectation::Sometimes))
        .filter(|p| found.contains_key(p.name))
        .map(|p| p.name)
        .collect();
    for p in checker.model().properties() {
        if matches!(p.expectation, stateright::Expectation::Sometimes) && broken.is_empty() {
            assert!(found.contains_key(p.name), "never seen: {}", p.name);
        }
    }
    for name in &broken {
        if let Some(path) = found.get(name) {
            println!("{name}: {:?}", path.clone().into_actions());
        }
    }
    broken
}

#[test]
fn i2_i3_i4_i6_the_spawn_protocol_holds() {
    assert_eq!(broken(spawning(spawn::Mutant::None)), [""; 0]);
}

macro_rules! spawn_mutants {
    ($($name:ident: $mutant:ident;)*) => {$(
        #[test]
        fn $name() {
            let model = spawning(spawn::Mutant::$mutant);
            assert_ne!(first_broken(model), [""; 0], "the mutant lives");
        }
    )*};
}

spawn_mutants! {
    launching_before_the_commit_is_found: LaunchBeforeCommit;
    reports_without_a_fence_are_found: NoFenceCompare;
    a_shim_without_a_lock_is_found: NoShimLock;
    a_shim_that_looks_at_no_records_is_found: NoRecordCheck;
    recovery_without_the_lock_is_found: RecoverWithoutLock;
    an_identity_after_exec_is_found: IdentityAfterExec;
    an_identity_that_is_not_flushed_is_found: IdentityNotFlushed;
    a_child_without_the_lock_is_found: ChildWithoutLock;
    giving_up_without_closing_the_bundle_is_found: NoClose;
    a_second_daemon_past_the_lock_is_found: TwoDaemons;
    going_on_without_a_sweep_is_found: NoSweep;
}

#[test]
fn i2_the_leases_hold() {
    assert_eq!(
        broken(Lease {
            mutant: lease::Mutant::None
        }),
        [""; 0]
    );
}

macro_rules! lease_mutants {
    ($($name:ident: $mutant:ident;)*) => {$(
        #[test]
        fn $name() {
            let model = Lease { mutant: lease::Mutant::$mutant };
            assert_ne!(first_broken(model), [""; 0], "the mutant lives");
        }
    )*};
}

lease_mutants! {
    a_lease_by_wall_clock_is_found: WallClock;
    counting_from_the_answer_is_found: CountFromAnswer;
    no_margin_is_found: NoMargin;
    a_program_that_outlives_its_lease_is_found: NoSelfFence;
    publishing_without_a_fence_is_found: NoFenceCompare;
    renewing_a_host_that_was_given_up_is_found: NoEpochCompare;
}
