//! Random histories: whatever happens in whatever order, the invariants hold.

use longhaul_core::decide::{Outcome, decide};
use longhaul_core::effect::outstanding;
use longhaul_core::fact::Fact;
use longhaul_core::ids::Fence;
use longhaul_core::policy::Policy;
use longhaul_core::spec::Land;
use longhaul_core::task::{DoneBasis, State, StateWord};
use longhaul_core::time::{Now, UnixMs};
use proptest::prelude::*;

use crate::world::{facts, fresh};

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_history_keeps_the_invariants(picks in prop::collection::vec((0..200_usize, 0..4_u64), 0..120), lands: bool) {
        let all = facts();
        let mut task = fresh();
        if lands {
            task.terms.land = Land::Yes;
        }
        let mut clock = 0_i64;
        for (pick, old) in picks {
            clock += 700_000;
            // Most news concern the current attempt, some an older one.
            let fact = match &all[pick % all.len()].1 {
                Fact::Attempt { news, .. } => {
                    Fact::Attempt { fence: Fence(task.fence.0.saturating_sub(old / 3)), news: news.clone() }
                }
                Fact::Landing { news, .. } => {
                    Fact::Landing { fence: Fence(task.fence.0.saturating_sub(old / 3)), news: news.clone() }
                }
                other => other.clone(),
            };
            let now = Now { wall: UnixMs(clock), mono_ms: 0 };
            let once = decide(&task, &fact, now, &Policy::default());
            prop_assert_eq!(&once, &decide(&task, &fact, now, &Policy::default()));
            let Outcome::Change(change) = once else { continue };
            let next = change.task;
            prop_assert_eq!(next.version, task.version + 1);
            prop_assert!(next.fence >= task.fence && next.fence.0 <= task.fence.0 + 1);
            if task.state.word().is_final() {
                prop_assert_eq!(&next.state, &task.state);
            }
            if let Fact::Attempt { fence, .. } = &fact
                && *fence < task.fence {
                    prop_assert_eq!(&next.state, &task.state);
                    prop_assert_eq!(&next.tally, &task.tally);
                }
            // A new fence only ever comes with a slot (I2).
            if next.fence > task.fence {
                prop_assert_eq!(task.state.word(), StateWord::Ready);
                prop_assert_eq!(next.state.word(), StateWord::Assigned);
            }
            // Active states have something outstanding, unless paused; all others have nothing.
            let acts = outstanding(&next).is_some();
            prop_assert_eq!(acts, next.state.word().is_active() && !(next.hold && next.state.word() == StateWord::Verifying && next.halt.is_none()));
            prop_assert!(next.tally.retries <= next.terms.max_retries);
            prop_assert!(next.tally.restarts <= next.terms.max_restarts);
            prop_assert!(next.tally.returns <= Policy::default().max_land_returns);
            // What wants to land is done only on the integration ref, or by a person's word (L8).
            if let State::Done { basis } = &next.state {
                let landed = matches!(basis, DoneBasis::Landed | DoneBasis::LandedUnverified);
                prop_assert_eq!(landed, next.carry.landed.is_some());
                prop_assert_eq!(landed, lands && *basis != DoneBasis::Approved);
            }
            prop_assert!(lands || next.state.word() != StateWord::Landing);
            // What is stored can be read back (I1).
            let text = serde_json::to_string(&next).unwrap();
            prop_assert_eq!(&serde_json::from_str::<longhaul_core::task::Task>(&text).unwrap(), &next);
            task = next;
        }
    }
}
