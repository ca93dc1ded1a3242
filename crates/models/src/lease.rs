//! Leases of hosts and fences of attempts, for a fleet: two hosts, one task, the database's clock.
//!
//! A plan, not yet code (design.md, "Storage"). A host that keeps its lease may run the attempt given to
//! it; one whose lease ran out is replaced, and must have ended its program by itself before that. The
//! last gate is publishing, which compares the fence.

use stateright::{Model, Property};

/// How long a lease lasts by the database's clock.
const LEASE: u8 = 3;
/// What a host takes off that for clocks that run at different speeds.
const MARGIN: u8 = 1;
/// The run of the database's clock that is looked at.
const END: u8 = 5;
/// Renewals that a host asks for in that time.
const ASKS: u8 = 2;

/// One rule left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// The plan as it is.
    None,
    /// A host compares its own wall clock with the lease's end.
    WallClock,
    /// A host counts from the answer to its renewal and not from before it asked.
    CountFromAnswer,
    /// A host trusts its lease to the end.
    NoMargin,
    /// The host's program goes on when the lease is over (no `fence_at` in the shim).
    NoSelfFence,
    /// Publishing does not compare the fence.
    NoFenceCompare,
    /// A renewal of a host that was given up counts all the same.
    NoEpochCompare,
}

/// The plan, or a mutant of it.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    /// What is left out.
    pub mutant: Mutant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Renewal {
    None,
    /// On its way to the database.
    Asked {
        epoch: u8,
    },
    /// The answer is on its way back.
    Granted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Host {
    // In the database.
    epoch: u8,
    until: u8,
    // On the host.
    known_epoch: u8,
    /// So long it may still trust its lease, by its own steady clock.
    trust: u8,
    /// What `trust` becomes if the renewal under way is granted; runs down from before it was sent.
    coming: u8,
    renewal: Renewal,
    /// How often it may still ask.
    asks: u8,
    /// How far its steady clock may still fall behind.
    lag: u8,
    /// The fence of the program that runs.
    program: Option<u8>,
    /// A message "run this" that has not arrived.
    order: Option<u8>,
    /// A message "publish this" that has not arrived.
    sent: Option<u8>,
    /// What it saw last of the lease's end, for the mutant with wall clocks.
    seen_until: u8,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fleet {
    now: u8,
    hosts: [Host; 2],
    fence: u8,
    holder: usize,
    published: Option<u8>,
    stale: bool,
    begun: [u8; 4],
}

/// Something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Time passes, except for the steady clock of this host.
    Tick(Option<usize>),
    /// A host asks for its lease to be renewed.
    Ask(usize),
    /// The database hears it.
    Grant(usize),
    /// The host hears the answer.
    Hear(usize),
    /// A message of the renewal is lost.
    Drop(usize),
    /// A host hears what it shall run.
    Begin(usize),
    /// The database gives the attempt's host up.
    Expire,
    /// The database gives the task to the other host.
    Replace,
    /// A host asks for its program's work to be published.
    Send(usize),
    /// The edge hears it.
    Publish(usize),
}

impl Lease {
    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == mutant
    }

    /// Whether a host believes that its lease holds. With wall clocks: its clock is two behind.
    fn trusts(&self, fleet: &Fleet, host: &Host) -> bool {
        if self.is(Mutant::WallClock) {
            fleet.now.saturating_sub(2) < host.seen_until
        } else {
            host.trust > 0
        }
    }

    fn span(&self) -> u8 {
        if self.is(Mutant::NoMargin) {
            LEASE
        } else {
            LEASE - MARGIN
        }
    }

    fn fence_off(&self, fleet: &mut Fleet) {
        if self.is(Mutant::NoSelfFence) {
            return;
        }
        for i in 0..2 {
            if !self.trusts(fleet, &fleet.hosts[i]) {
                fleet.hosts[i].program = None;
            }
        }
    }
}

impl Model for Lease {
    type State = Fleet;
    type Action = Step;

    fn init_states(&self) -> Vec<Fleet> {
        let host = Host {
            epoch: 1,
            until: LEASE,
            known_epoch: 1,
            trust: self.span(),
            coming: 0,
            renewal: Renewal::None,
            asks: ASKS,
            lag: MARGIN,
            program: None,
            order: None,
            sent: None,
            seen_until: LEASE,
        };
        let first = Host {
            order: Some(1),
            ..host
        };
        vec![Fleet {
            now: 0,
            hosts: [first, host],
            fence: 1,
            holder: 0,
            published: None,
            stale: false,
            begun: [0; 4],
        }]
    }

    fn actions(&self, f: &Fleet, steps: &mut Vec<Step>) {
        if f.now < END {
            steps.push(Step::Tick(None));
            for i in 0..2 {
                if f.hosts[i].lag > 0 {
                    steps.push(Step::Tick(Some(i)));
                }
            }
        }
        for (i, host) in f.hosts.iter().enumerate() {
            match host.renewal {
                Renewal::None if host.asks > 0 => steps.push(Step::Ask(i)),
                Renewal::None => {}
                Renewal::Asked { .. } => steps.extend([Step::Grant(i), Step::Drop(i)]),
                Renewal::Granted => steps.extend([Step::Hear(i), Step::Drop(i)]),
            }
            if host.order.is_some() {
                steps.push(Step::Begin(i));
            }
            if host.program.is_some() && host.sent.is_none() && f.published.is_none() {
                steps.push(Step::Send(i));
            }
            if host.sent.is_some() && f.published.is_none() {
                steps.push(Step::Publish(i));
            }
        }
        let holder = &f.hosts[f.holder];
        let over = f.now >= holder.until;
        if over && holder.epoch == 1 {
            steps.push(Step::Expire);
        }
        let other = &f.hosts[1 - f.holder];
        if holder.epoch > 1 && over && f.now < other.until && f.fence < 3 && f.published.is_none() {
            steps.push(Step::Replace);
        }
    }

    fn next_state(&self, last: &Fleet, step: Step) -> Option<Fleet> {
        let mut f = last.clone();
        match step {
            Step::Tick(slow) => {
                f.now += 1;
                for (i, host) in f.hosts.iter_mut().enumerate() {
                    if slow == Some(i) {
                        host.lag -= 1;
                    } else {
                        host.trust = host.trust.saturating_sub(1);
                        host.coming = host.coming.saturating_sub(1);
                    }
                }
                self.fence_off(&mut f);
            }
            Step::Ask(i) => {
                let host = &mut f.hosts[i];
                host.renewal = Renewal::Asked {
                    epoch: host.known_epoch,
                };
                host.coming = self.span();
                host.asks -= 1;
            }
            Step::Grant(i) => {
                let now = f.now;
                let host = &mut f.hosts[i];
                let Renewal::Asked { epoch } = host.renewal else {
                    return None;
                };
                if epoch == host.epoch || self.is(Mutant::NoEpochCompare) {
                    // A host that was given up keeps being given up: its lease's end stands.
                    if epoch == host.epoch {
                        host.until = now + LEASE;
                    }
                    host.renewal = Renewal::Granted;
                } else {
                    host.renewal = Renewal::None;
                }
            }
            Step::Hear(i) => {
                let host = &mut f.hosts[i];
                host.renewal = Renewal::None;
                host.seen_until = host.until;
                host.trust = if self.is(Mutant::CountFromAnswer) {
                    self.span()
                } else {
                    host.trust.max(host.coming)
                };
            }
            Step::Drop(i) => f.hosts[i].renewal = Renewal::None,
            Step::Begin(i) => {
                let fence = f.hosts[i].order.take()?;
                if self.trusts(&f, &f.hosts[i]) && f.begun[usize::from(fence)] == 0 {
                    f.hosts[i].program = Some(fence);
                    f.begun[usize::from(fence)] += 1;
                }
            }
            Step::Expire => f.hosts[f.holder].epoch += 1,
            Step::Replace => {
                f.holder = 1 - f.holder;
                f.fence += 1;
                f.hosts[f.holder].order = Some(f.fence);
            }
            Step::Send(i) => f.hosts[i].sent = f.hosts[i].program,
            Step::Publish(i) => {
                let fence = f.hosts[i].sent.take()?;
                if fence == f.fence || self.is(Mutant::NoFenceCompare) {
                    f.published = Some(fence);
                    f.stale |= fence != f.fence;
                }
            }
        }
        (f != *last).then_some(f)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("I2: at most one attempt lives", |_, f: &Fleet| {
                f.hosts.iter().filter(|h| h.program.is_some()).count() <= 1
            }),
            Property::always("I2: no older fence publishes", |_, f: &Fleet| !f.stale),
            Property::sometimes(
                "a host is replaced and its successor publishes",
                |_, f: &Fleet| f.published == Some(2),
            ),
        ]
    }
}
