//! One command, supervised (A15–A17): it runs in front, and goes on with another account when its own is at the limit.
//! What is decided is `core::supervise`'s; here it is carried out, by one thread that owns the command.

mod command;
mod front;
mod record;
mod talk;
mod watch;

use std::ffi::OsString;
use std::io;
use std::sync::PoisonError;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use longhaul_api::ExitCode;
use longhaul_config::settings::AccountSettings;
use longhaul_core::supervise::{Choice, Standing, Threshold, Verdict, choices, judge};
use longhaul_core::time::UnixMs;
use longhaul_gateway::api::{AccountSpec, AccountsRequest, Token};
use longhaul_hosts::ProcessIdentity;
use longhaul_hosts::foreground::{code_of, die_of};

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::wire::visitor::{Gone, Visitor, now};

pub(crate) use command::through;
use command::{Asked, Way};
use front::{Happening, Stage};
use record::{Records, name_of};
pub(crate) use talk::quoted;
use watch::{Order, Pool, PoolReport, Report, Watch};

/// The variable by which what a dead supervisor started is found.
const MARK: &str = "LONGHAUL_SUPERVISED";
/// How long the gateway may take to its first word before the command is started.
const FIRST_WORD: Duration = Duration::from_secs(20);
/// The same trouble is told again after this long.
const TELL_AGAIN: Duration = Duration::from_secs(300);

/// What is to be supervised, and how.
pub(crate) struct Wish {
    pub(crate) words: Vec<OsString>,
    pub(crate) interactive: bool,
    pub(crate) threshold: Threshold,
    pub(crate) interval: Duration,
    /// Through the gateway; `None` = if the command is an agent that can be sent there.
    pub(crate) gateway: Option<bool>,
    pub(crate) resume: bool,
    /// The accounts, in the user's order.
    pub(crate) accounts: AccountsRequest,
    pub(crate) settings: AccountSettings,
}

/// The command and what it runs with.
struct Run<'a> {
    context: &'a Context,
    wish: Settled,
    asked: Asked,
    stage: Stage,
    records: Records,
    me: ProcessIdentity,
    pools: Vec<Pool>,
    /// The account that each pool is with.
    current: Vec<usize>,
    /// Limits that a person wants nothing done about, by pool: until the account is well again.
    left_alone: Vec<bool>,
    /// The accounts that the gateway may use, by pool.
    among: Vec<Vec<usize>>,
    orders: Sender<Order>,
    reports: Receiver<Report>,
    url: String,
    gone: Gone,
    told: Option<(String, Instant)>,
}

/// What of the wish is needed later.
struct Settled {
    interactive: bool,
    threshold: Threshold,
    through: bool,
    specs: Vec<AccountSpec>,
    settings: AccountSettings,
}

/// How it all ended.
enum End {
    /// As the command did.
    Command(std::process::ExitStatus),
    /// By a signal, while no command ran.
    Signal(i32),
    /// A person left at a limit; the code of the command that was ended for it.
    Left(u8),
}

/// Runs it to its end.
///
/// # Errors
/// The command cannot be started, or the gateway cannot be reached.
pub(crate) fn run(wish: Wish, context: &Context) -> Outcome {
    // Before anything has a thread of its own.
    let stage = Stage::new().map_err(|e| Failure::new("signals cannot be read").because(e))?;
    let me = ProcessIdentity::current()
        .map_err(|e| Failure::new("this process cannot be identified").because(e))?;
    let paths = context.paths();
    let records = Records::new(paths)
        .map_err(|e| Failure::new("the state folder cannot be written").because(e))?;
    records.sweep(paths, &context.printer);
    let mut run = Run::prepare(wish, context, stage, records, me)?;
    let ended = run.play();
    run.leave();
    match ended? {
        End::Command(status) => {
            use std::os::unix::process::ExitStatusExt as _;
            if let Some(signal) = status.signal() {
                die_of(signal);
            }
            code(code_of(status))
        }
        End::Signal(signal) => {
            die_of(signal);
            code(u8::try_from(128 + signal).unwrap_or(1))
        }
        End::Left(left) => code(left),
    }
}

fn code(code: u8) -> Outcome {
    if code == 0 {
        return Ok(ExitCode::Done);
    }
    Err(Failure::silent(ExitCode::Error).status(code))
}

impl<'a> Run<'a> {
    fn prepare(
        wish: Wish,
        context: &'a Context,
        stage: Stage,
        records: Records,
        me: ProcessIdentity,
    ) -> Result<Self, Failure> {
        let asked = Asked::new(&wish.words, wish.resume);
        let agent = asked.agent().and_then(|a| a.provider());
        let through = wish.gateway.unwrap_or(agent.is_some());
        let name = name_of(&me);
        let mut visitor = Visitor::new(context.paths(), &name, wish.accounts)?;
        let status = visitor.enter().map_err(|why| {
            Failure::new("the gateway cannot be used").because(io::Error::other(why))
        })?;
        let specs: Vec<AccountSpec> = visitor.accounts().to_vec();
        let mut pools: Vec<Pool> = Vec::new();
        for spec in specs
            .iter()
            .filter(|s| agent.is_none_or(|p| p == s.provider))
        {
            if let Some(pool) = pools.iter_mut().find(|p| p.provider == spec.provider) {
                pool.accounts.push(spec.id.clone());
                continue;
            }
            let token =
                Token::generate().map_err(|e| Failure::new("no token can be made").because(e))?;
            pools.push(Pool {
                provider: spec.provider,
                accounts: vec![spec.id.clone()],
                session: format!("{name}-{}", spec.provider.as_str()),
                token,
            });
        }
        let current: Vec<usize> = pools
            .iter()
            .map(|pool| {
                let before = records.current(pool.provider.as_str());
                let place = before.and_then(|id| pool.accounts.iter().position(|a| *a == id));
                place.unwrap_or(0)
            })
            .collect();
        let settled = Settled {
            interactive: wish.interactive && context.printer.can_ask(),
            threshold: wish.threshold,
            through,
            specs,
            settings: wish.settings,
        };
        let first: Vec<Order> = (0..pools.len())
            .map(|pool| settled.order(&pools, pool, current[pool]))
            .collect();
        let gone = visitor.gone();
        let watch = Watch {
            visitor,
            pools: pools.clone(),
            threshold: wish.threshold,
            interval: wish.interval,
            strategy: settled.settings.strategy,
            through,
        };
        let sessions: Vec<String> = pools.iter().map(|p| p.session.clone()).collect();
        records
            .keep(&me, None, &sessions)
            .map_err(|e| Failure::new("the state folder cannot be written").because(e))?;
        let (orders, reports) = watch.start(&first);
        Ok(Self {
            left_alone: vec![false; pools.len()],
            among: pools
                .iter()
                .map(|p| (0..p.accounts.len()).collect())
                .collect(),
            context,
            wish: settled,
            asked,
            stage,
            records,
            me,
            pools,
            current,
            orders,
            reports,
            url: status.url(),
            gone,
            told: None,
        })
    }

    fn sessions(&self) -> Vec<String> {
        self.pools.iter().map(|p| p.session.clone()).collect()
    }

    /// Everything that was made for it goes.
    fn leave(&self) {
        let sessions = if self.wish.through {
            self.sessions()
        } else {
            Vec::new()
        };
        let name = name_of(&self.me);
        *self.gone.lock().unwrap_or_else(PoisonError::into_inner) = true;
        crate::wire::visitor::forget(self.context.paths(), &name, &sessions);
        self.records.forget(&self.me);
    }

    fn play(&mut self) -> Result<End, Failure> {
        // The gateway lets nobody in before the thread has made the sessions there.
        let Ok(first) = self.reports.recv_timeout(FIRST_WORD) else {
            return Err(Failure::new("the gateway does not answer"));
        };
        if first.pools.is_empty() {
            let why = first.trouble.unwrap_or_default();
            return Err(Failure::new("the gateway cannot be used").because(io::Error::other(why)));
        }
        if !self.wish.through
            && let Some(end) = self.begin_well(&first)?
        {
            return Ok(end);
        }
        self.start(false)?;
        self.say_begin();
        loop {
            match self.stage.look() {
                Happening::Ended => return self.ended(),
                Happening::Nothing | Happening::Input | Happening::Told(_) => {}
            }
            // Only the last one counts; a check that is due is not lost.
            let mut last: Option<Report> = None;
            while let Ok(report) = self.reports.try_recv() {
                let due = last.is_some_and(|r| r.check);
                last = Some(Report {
                    check: report.check || due,
                    ..report
                });
            }
            if let Some(report) = last
                && let Some(end) = self.consider(&report)?
            {
                return Ok(end);
            }
        }
    }

    fn ended(&mut self) -> Result<End, Failure> {
        let status = self.stage.ended();
        status
            .map(End::Command)
            .map_err(|e| Failure::new("how the command ended cannot be known").because(e))
    }

    /// A second start goes on from what is known (A17): not with an account that rests.
    fn begin_well(&mut self, report: &Report) -> Result<Option<End>, Failure> {
        for (pool, of) in report.pools.iter().enumerate() {
            let resting = matches!(
                of.standings.get(self.current[pool]),
                Some(Standing::Resting { .. } | Standing::Out)
            );
            match judge(self.current[pool], &of.standings, false) {
                Verdict::Rotate { to } if resting => self.come_to(pool, to),
                Verdict::Wait { until, on } if resting => {
                    if let Some(end) = self.wait(pool, until, on)? {
                        return Ok(Some(end));
                    }
                }
                _ => {}
            }
        }
        Ok(None)
    }

    fn start(&mut self, again: bool) -> Result<(), Failure> {
        let ways: Vec<Way<'_>> = self
            .pools
            .iter()
            .zip(&self.current)
            .filter_map(|(pool, current)| {
                if self.wish.through {
                    return Some(Way::Gateway {
                        provider: pool.provider,
                        url: &self.url,
                        token: pool.token.expose(),
                    });
                }
                let id = pool.accounts.get(*current)?;
                self.wish.specs.iter().find(|s| s.id == *id).map(Way::Key)
            })
            .collect();
        let name = name_of(&self.me);
        let mut command =
            self.asked
                .command(self.context, &self.wish.settings, &ways, &name, again);
        self.stage
            .start(&mut command)
            .map_err(|error| cannot_start(&self.asked.program(), error))?;
        let kept = self
            .records
            .keep(&self.me, self.stage.identity(), &self.sessions());
        if let Err(error) = kept {
            // The command runs; what would be lost is only that its leftovers are found after a crash of ours.
            self.say(&format!("its record cannot be written: {error}"));
        }
        Ok(())
    }

    /// What a report means.
    fn consider(&mut self, report: &Report) -> Result<Option<End>, Failure> {
        if report.check {
            self.say_check(report);
        }
        for (pool, of) in report.pools.iter().enumerate() {
            let mut of = of.clone();
            // It may have lain here while something was waited for.
            for standing in &mut of.standings {
                *standing = standing.at(now());
            }
            let end = if self.wish.through {
                self.consider_gateway(pool, &of)?
            } else {
                self.consider_keys(pool, &of)?
            };
            if end.is_some() {
                return Ok(end);
            }
        }
        Ok(None)
    }

    /// The command has the key itself: it is begun again with another one.
    fn consider_keys(&mut self, pool: usize, of: &PoolReport) -> Result<Option<End>, Failure> {
        let current = self.current[pool];
        let verdict = judge(current, &of.standings, self.wish.threshold.any_window);
        match verdict {
            Verdict::Stay => {
                self.left_alone[pool] = false;
                Ok(None)
            }
            Verdict::Lost => {
                self.trouble(
                    "no account can serve: their keys were refused, or they have no credit",
                );
                Ok(None)
            }
            _ if self.left_alone[pool] => Ok(None),
            Verdict::Rotate { .. } | Verdict::Wait { .. } => {
                match self.decide(pool, of, verdict)? {
                    Decision::Rotate(to) => {
                        let status = self.stage.end();
                        status
                            .map_err(|e| Failure::new("the command cannot be ended").because(e))?;
                        self.come_to(pool, to);
                        self.start(true)?;
                        Ok(None)
                    }
                    Decision::Wait(until, on) => {
                        self.stage.pause();
                        if let Some(end) = self.wait(pool, until, on)? {
                            return Ok(Some(end));
                        }
                        if on == current {
                            self.stage.go_on();
                        } else {
                            let status = self.stage.end();
                            status.map_err(|e| {
                                Failure::new("the command cannot be ended").because(e)
                            })?;
                            self.come_to(pool, on);
                            self.start(true)?;
                        }
                        Ok(None)
                    }
                    Decision::Leave => self.leave_here().map(Some),
                    Decision::KeepGoing => {
                        self.left_alone[pool] = true;
                        self.stage.go_on();
                        Ok(None)
                    }
                    Decision::Ended(end) => Ok(Some(end)),
                }
            }
        }
    }

    /// The gateway changes the key between two requests: nothing restarts. A request that no account can serve waits
    /// there, and the command is paused until one can, so that its own patience does not run out.
    fn consider_gateway(&mut self, pool: usize, of: &PoolReport) -> Result<Option<End>, Failure> {
        if !self.wish.interactive {
            if let Some(served) = of.served.filter(|n| *n != self.current[pool]) {
                self.came_to(pool, served);
            }
            self.keep_below(pool, &of.standings);
        }
        let current = self.current[pool];
        let verdict = judge(current, &of.standings, self.wish.threshold.any_window);
        match verdict {
            Verdict::Stay => self.left_alone[pool] = false,
            _ if self.left_alone[pool] => {}
            Verdict::Lost => {
                self.trouble(
                    "no account can serve: their keys were refused, or they have no credit",
                );
            }
            // The gateway goes on by itself, with the next request.
            Verdict::Rotate { .. } if !self.wish.interactive => {}
            // Nobody waits for an answer: the command may have other things to do.
            Verdict::Wait { .. } if of.held == 0 && !self.wish.threshold.any_window => {}
            Verdict::Rotate { .. } | Verdict::Wait { .. } => {
                match self.decide(pool, of, verdict)? {
                    Decision::Rotate(to) => {
                        self.come_to(pool, to);
                        self.stage.go_on();
                    }
                    Decision::Wait(until, on) => {
                        self.stage.pause();
                        if let Some(end) = self.wait(pool, until, on)? {
                            return Ok(Some(end));
                        }
                        if on != current {
                            self.come_to(pool, on);
                        }
                        self.stage.go_on();
                    }
                    Decision::Leave => return self.leave_here().map(Some),
                    Decision::KeepGoing => {
                        // The command hears of the limit itself.
                        self.left_alone[pool] = true;
                        self.order(Order::Use {
                            pool,
                            account: current,
                            among: None,
                            holds: false,
                        });
                        self.stage.go_on();
                    }
                    Decision::Ended(end) => return Ok(Some(end)),
                }
            }
        }
        Ok(None)
    }

    /// Accounts beyond the threshold are left to others, as long as there are others (A10).
    fn keep_below(&mut self, pool: usize, standings: &[Standing]) {
        let all = 0..standings.len();
        let below = all.clone().filter(|n| standings[*n] == Standing::Well);
        let mut among: Vec<usize> = below.collect();
        if among.is_empty() {
            among = all.collect();
        }
        if self.among[pool] != among {
            self.among[pool].clone_from(&among);
            self.order(Order::Use {
                pool,
                account: self.current[pool],
                among: Some(among),
                holds: true,
            });
        }
    }

    /// What is done about a verdict: what a person says, or the first of the choices.
    fn decide(
        &mut self,
        pool: usize,
        of: &PoolReport,
        verdict: Verdict,
    ) -> Result<Decision, Failure> {
        let own = match of.standings.get(self.current[pool]) {
            Some(Standing::Resting { until } | Standing::Over { until: Some(until) }) => {
                Some((*until, self.current[pool]))
            }
            _ => None,
        };
        let all = choices(verdict);
        let choice = if self.wish.interactive {
            self.stage.pause();
            self.say_limit(pool, of, verdict);
            match self.ask(pool, all, verdict, own)? {
                Ok(choice) => choice,
                Err(end) => return Ok(Decision::Ended(end)),
            }
        } else {
            self.say_limit(pool, of, verdict);
            all.first().copied().unwrap_or(Choice::KeepGoing)
        };
        Ok(match (choice, verdict) {
            (Choice::Rotate, Verdict::Rotate { to }) => Decision::Rotate(to),
            (Choice::Wait, Verdict::Wait { until, on }) => Decision::Wait(until, on),
            (Choice::Wait, _) => match own {
                Some((until, on)) => Decision::Wait(until, on),
                None => Decision::KeepGoing,
            },
            (Choice::Exit, _) => Decision::Leave,
            (Choice::Rotate | Choice::KeepGoing, _) => Decision::KeepGoing,
        })
    }

    /// A person leaves: the command is ended, and told how to go on with it.
    fn leave_here(&mut self) -> Result<End, Failure> {
        let status = self.stage.end();
        let status = status.map_err(|e| Failure::new("the command cannot be ended").because(e))?;
        self.say_how_to_go_on();
        Ok(End::Left(status.map_or(1, code_of)))
    }

    /// The pool goes on with this account, and that is told and kept.
    fn come_to(&mut self, pool: usize, account: usize) {
        self.came_to(pool, account);
        let order = self.wish.order(&self.pools, pool, account);
        self.order(order);
    }

    fn came_to(&mut self, pool: usize, account: usize) {
        self.current[pool] = account;
        self.left_alone[pool] = false;
        let of = &self.pools[pool];
        if let Some(id) = of.accounts.get(account)
            && let Err(error) = self.records.came_to(of.provider.as_str(), id)
        {
            self.say(&format!("its record cannot be written: {error}"));
        }
        self.say_account(pool);
    }

    fn order(&self, order: Order) {
        if self.orders.send(order).is_err() {
            tracing::warn!("the watch of the gateway is gone");
        }
    }

    fn trouble(&mut self, text: &str) {
        let again = self
            .told
            .as_ref()
            .is_none_or(|(before, at)| before != text || at.elapsed() > TELL_AGAIN);
        if again {
            self.told = Some((text.to_owned(), Instant::now()));
            self.say(text);
        }
    }
}

impl Settled {
    /// How a pool's session is used: bound to the current account where a person is asked before it changes, else
    /// free among those that are as well.
    fn order(&self, pools: &[Pool], pool: usize, account: usize) -> Order {
        let all = pools.get(pool).map_or(0, |p| p.accounts.len());
        Order::Use {
            pool,
            account,
            among: (!self.interactive).then(|| (0..all).collect()),
            holds: true,
        }
    }
}

/// What is done about a limit.
enum Decision {
    Rotate(usize),
    Wait(UnixMs, usize),
    Leave,
    KeepGoing,
    /// Meanwhile it ended.
    Ended(End),
}

/// A command that cannot be started ends with the codes that shells give it.
fn cannot_start(program: &str, error: io::Error) -> Failure {
    let program = crate::output::text::clean(program);
    match error.kind() {
        io::ErrorKind::NotFound => {
            Failure::of(ExitCode::NotFound, format!("{program}: command not found")).status(127)
        }
        io::ErrorKind::PermissionDenied => Failure::new(format!("{program}: cannot be run"))
            .because(error)
            .status(126),
        _ => Failure::new(format!("{program}: cannot be started"))
            .because(error)
            .status(126),
    }
}
