//! The end of a session: what is left of its output, and what its last words mean for the attempt.

use longhaul_agents::{ExitStatusInfo, FailureKind, TurnEnd, TurnOutcome};
use longhaul_core::attempt::{AttemptEnd, Denial, Halt, LostWhy, RefusedWrite};
use longhaul_core::fact::News;
use longhaul_core::ids::SpawnKey;
use longhaul_core::time::UnixMs;
use longhaul_hosts::{ExitRecord, Outcome, SpawnStep};

use super::reading::Reading;
use crate::event::Event;

impl Reading<'_> {
    pub(super) fn ended(mut self, record: &ExitRecord) -> Vec<Event> {
        if let Outcome::SpawnFailed { step, message, .. } = &record.outcome {
            let end = AttemptEnd::LaunchFailed {
                detail: format!("the agent could not be run: {message}"),
                permanent: matches!(step, SpawnStep::Exec | SpawnStep::Cwd),
            };
            return self.say(end, Vec::new());
        }
        let exit = exit_of(&record.outcome);
        let mut turn = self.finish(exit, UnixMs(record.ended_ms));
        let refused = std::mem::take(&mut turn.refused_writes);
        let end = self.unless_exhausted(end_of(turn));
        self.say(end, refused)
    }

    pub(super) fn lost(mut self, why: LostWhy) -> Vec<Event> {
        let now = self.desk.now();
        let mut turn = self.finish(ExitStatusInfo::default(), now);
        let refused = std::mem::take(&mut turn.refused_writes);
        // A turn that was finished before its shim died is finished.
        let end = match end_of(turn) {
            AttemptEnd::Crashed { .. } | AttemptEnd::AgentError { .. } => AttemptEnd::Lost { why },
            end => end,
        };
        self.say(end, refused)
    }

    /// What ended because no account could serve it is limited, whatever the agent made of that: the gateway has
    /// seen the answers themselves (A5).
    fn unless_exhausted(&self, end: AttemptEnd) -> AttemptEnd {
        match end {
            AttemptEnd::Limited { .. }
            | AttemptEnd::AgentError { .. }
            | AttemptEnd::Crashed { .. } => match self.desk.accounts.refusal(&self.key()) {
                Some(notice) => AttemptEnd::Limited { notice },
                None => end,
            },
            other => other,
        }
    }

    fn key(&self) -> SpawnKey {
        SpawnKey::session(self.d.effect.task, self.d.effect.fence)
    }

    fn finish(&mut self, exit: ExitStatusInfo, at: UnixMs) -> TurnEnd {
        while self.take_in() {}
        let mut events = Vec::new();
        let turn = self.parser.finish(exit, at, &mut events);
        for event in events {
            self.take(&event);
        }
        self.take_record(true);
        let zone = self.spec.caller_env.get("TZ").map(String::as_str);
        self.record.correct(turn, at, zone)
    }

    /// `refused` is what its tools told of writes; only a confined session's is the sandbox's (T25).
    fn say(mut self, end: AttemptEnd, mut refused: Vec<RefusedWrite>) -> Vec<Event> {
        let bounds = self.bounds.as_ref();
        refused.retain(|r| bounds.is_some_and(|b| b.may_explain(r)));
        let usage = self.parser.usage();
        self.live.usage = usage;
        self.report(true);
        self.desk.accounts.dismiss(&self.key());
        let news = News::SessionEnded {
            end,
            usage,
            conversation_usage: self.parser.conversation_usage(),
            refused_writes: refused,
        };
        let event = |news| Event::news(self.d.effect.task, self.d.effect.fence, news);
        let mut last_words = vec![event(news)];
        // A session that was over before its start was known is named with its end.
        last_words.extend(self.conversation_news().map(event));
        last_words
    }
}

/// An exit record's outcome in the parsers' words.
pub(in crate::executor) fn exit_of(outcome: &Outcome) -> ExitStatusInfo {
    match outcome {
        Outcome::Exited { code } => ExitStatusInfo::exited(i32::from(*code)),
        Outcome::Signalled { signal, .. } => ExitStatusInfo::signalled(*signal),
        Outcome::SpawnFailed { .. } => ExitStatusInfo::default(),
    }
}

/// What the end of a turn means for the attempt.
pub(in crate::executor) fn end_of(turn: TurnEnd) -> AttemptEnd {
    let denials: Vec<Denial> = turn
        .denials
        .into_iter()
        .map(|d| Denial {
            tool: d.tool,
            detail: d.detail,
        })
        .collect();
    match turn.outcome {
        TurnOutcome::Completed { summary } => AttemptEnd::Completed { summary, denials },
        TurnOutcome::Failed {
            kind: FailureKind::Budget,
            ..
        } => AttemptEnd::Halted { why: Halt::Budget },
        TurnOutcome::Failed {
            kind: FailureKind::Launch,
            message,
        } => AttemptEnd::LaunchFailed {
            detail: message,
            permanent: true,
        },
        TurnOutcome::Failed { kind, message } => {
            let what = match kind {
                FailureKind::MaxTurns => "reached its limit of turns: ",
                _ => "",
            };
            AttemptEnd::AgentError {
                message: format!("{what}{message}"),
            }
        }
        TurnOutcome::Limited(notice) => AttemptEnd::Limited { notice },
        TurnOutcome::Interrupted => AttemptEnd::Crashed {
            detail: "interrupted".to_owned(),
        },
        TurnOutcome::NoTerminalEvent { exit, stderr_tail } => {
            let words = stderr_tail.trim();
            let detail = if words.is_empty() {
                exit.to_string()
            } else {
                format!("{exit}: {words}")
            };
            AttemptEnd::Crashed { detail }
        }
        TurnOutcome::NotResumable { .. } => AttemptEnd::NotResumable,
    }
}
