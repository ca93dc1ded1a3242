//! Reading one session's output as it comes, and saying what is to be said of it while it lives.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use longhaul_agents::{AgentEvent, Harness, ParserContext, StreamParser};
use longhaul_core::attempt::BootMs;
use longhaul_core::effect::Act;
use longhaul_core::fact::News;
use longhaul_core::ids::SpawnKey;
use longhaul_core::spec::TaskSpec;
use longhaul_hosts::{BundleState, Frame, JobLog, JobWatch, ShimHandle, Stream};

use super::super::bounds::Bounds;
use super::super::desk::chain;
use super::super::record::Record;
use super::super::vigil::Vigil;
use super::super::{Desk, sight};
use super::tail::Tail;
use crate::event::Event;
use crate::handle::LiveSession;
use crate::machine::Dispatch;

/// How often a session is looked at beside its news.
const LOOK: Duration = Duration::from_millis(500);
/// Least time between two reports of the live picture, in milliseconds.
const REPORT_MS: u64 = 250;

/// Most bytes of output that are read before the clocks are looked at.
const TAKE_BYTES: usize = 8 << 20;
/// A look without waiting.
const AT_ONCE: Duration = Duration::from_millis(1);
/// Most changes of its conversation that are believed of one session.
const CONVERSATIONS: u8 = 16;
/// How often the agent's own record is read, in milliseconds.
const RECORD_MS: u64 = 2_000;

/// Reads one session's output as it comes and says what is to be said of it.
pub(super) struct Reading<'a> {
    pub(super) desk: &'a Desk,
    pub(super) d: &'a Dispatch,
    pub(super) spec: &'a TaskSpec,
    pub(super) parser: Box<dyn StreamParser>,
    pub(super) record: Record<'a>,
    record_at_ms: u64,
    out: Tail,
    err: Tail,
    pub(super) live: LiveSession,
    told: LiveSession,
    told_at_ms: u64,
    expected_mode: Option<String>,
    /// Of a confined session.
    pub(super) bounds: Option<Bounds>,
    pub(super) open_tools: BTreeSet<String>,
    pub(super) vigil: Vigil,
    pub(super) cpu: Duration,
    pub(super) cpu_at_ms: u64,
    started_told: bool,
    mode_told: bool,
    /// The conversation that the dispatcher knows, the one that the agent named last, and how often
    /// that changed: an agent cannot fill the ledger with it (I16).
    conversation_told: Option<String>,
    conversation: Option<String>,
    conversations: u8,
}

impl<'a> Reading<'a> {
    pub(super) fn new(
        desk: &'a Desk,
        d: &'a Dispatch,
        spec: &'a TaskSpec,
        harness: &'a Harness,
        key: &SpawnKey,
    ) -> Self {
        let dir = desk.dirs.jobs().join(key.as_str());
        let zone = spec.caller_env.get("TZ").cloned();
        let baseline = d
            .task
            .carry
            .conversation
            .as_ref()
            .and(d.task.carry.conversation_usage);
        let context = ParserContext {
            baseline: baseline.unwrap_or_default(),
            time_zone: zone,
        };
        let expected: serde_json::Value = fs::read(dir.join("expected.json"))
            .ok()
            .and_then(|b| serde_json::from_slice(&b).ok())
            .unwrap_or_default();
        let tail = |stream| Tail {
            log: JobLog::new(dir.as_std_path(), stream),
            at: 0,
        };
        let known = d.task.attempt.as_ref().and_then(|a| a.conversation.clone());
        let live = LiveSession {
            task: Some(d.effect.task),
            logs: Some(dir.to_string()),
            ..LiveSession::default()
        };
        Self {
            parser: harness.parser(&context),
            record: Record::new(harness, &expected, d.task.carry.conversation.as_deref()),
            record_at_ms: 0,
            out: tail(Stream::Out),
            err: tail(Stream::Err),
            told: LiveSession::default(),
            live,
            told_at_ms: 0,
            bounds: serde_json::from_value(expected["confined"].clone()).ok(),
            expected_mode: expected["mode"].as_str().map(str::to_owned),
            open_tools: BTreeSet::new(),
            vigil: Vigil::new(spec, desk.mono_ms()),
            cpu: Duration::ZERO,
            // Not at once: where there is no cgroup a look costs all of `/proc`, and after a restart every
            // session is taken up in the same moment.
            cpu_at_ms: desk.mono_ms(),
            started_told: d.effect.act != Act::Launch,
            mode_told: false,
            conversation_told: known.clone(),
            conversation: known,
            conversations: 0,
            desk,
            d,
            spec,
        }
    }

    /// Says once that the session lives.
    pub(super) fn started(&mut self, shim: &ShimHandle) {
        let begun = self.begun(shim);
        self.vigil.begin(begun);
        if std::mem::replace(&mut self.started_told, true) {
            return;
        }
        let carry = &self.d.task.carry;
        self.desk.news(
            self.d,
            News::SessionStarted {
                pid: shim.identity().map_or(0, |i| i.child.pid),
                mono: BootMs {
                    boot: self.desk.boot.as_str().to_owned(),
                    ms: begun,
                },
                resumed: carry.conversation.is_some(),
                conversation: carry.conversation.clone(),
            },
        );
    }

    /// When the session began, on the monotonic clock. A session of which only the wall clock's word is
    /// left (its start was never committed) is dated once, so that a later sleep is not counted (T21).
    fn begun(&self, shim: &ShimHandle) -> u64 {
        let stored = self.d.task.attempt.as_ref();
        let stored = stored.and_then(|a| a.started_mono.as_ref());
        if let Some(begun) = stored.filter(|b| b.boot == self.desk.boot.as_str()) {
            return begun.ms;
        }
        let ran = shim
            .identity()
            .and_then(|i| u64::try_from(self.desk.now().0 - i.started_ms).ok());
        self.desk.mono_ms().saturating_sub(ran.unwrap_or(0))
    }

    /// Follows the session until its shim is gone.
    pub(super) fn follow(&mut self, shim: &ShimHandle) -> Result<BundleState, String> {
        let mut watch: JobWatch = shim.watch();
        let mut more = false;
        loop {
            match watch.next_frame(if more { AT_ONCE } else { LOOK }) {
                Ok(Frame::Grew { .. }) => more = self.take_in(),
                Ok(Frame::Quiet) if more => more = self.take_in(),
                Ok(Frame::Quiet) => {}
                Ok(Frame::Ended(state)) => return Ok(state),
                Err(error) => return Err(chain(&error)),
            }
            self.watch_clocks(shim);
            let now = self.desk.mono_ms();
            if now.saturating_sub(self.record_at_ms) >= RECORD_MS {
                self.record_at_ms = now;
                self.take_record(false);
            }
            self.report(false);
        }
    }

    /// Reads what is new in both logs, as much as may be read in one go: the clocks go on for an agent
    /// that writes faster than it is read. True if there is more.
    pub(super) fn take_in(&mut self) -> bool {
        let mut events = Vec::new();
        let mut chunk = vec![0; 64 * 1024];
        let mut left = TAKE_BYTES;
        while left > 0
            && let Some(n) = self.out.next(&mut chunk)
        {
            left = left.saturating_sub(n);
            self.parser.push(&chunk[..n], &mut events);
            self.vigil.sign(self.desk.mono_ms());
            for event in events.drain(..) {
                self.take(&event);
            }
        }
        while left > 0
            && let Some(n) = self.err.next(&mut chunk)
        {
            left = left.saturating_sub(n);
            self.parser.push_stderr(&chunk[..n], &mut events);
            self.vigil.sign(self.desk.mono_ms());
            for event in events.drain(..) {
                self.take(&event);
            }
        }
        if self.started_told {
            let named = self.conversation_news();
            named
                .into_iter()
                .for_each(|news| self.desk.news(self.d, news));
        }
        left == 0
    }

    /// Counts what the agent's own record has beyond its stream (T13); with `whole`, its end too.
    pub(super) fn take_record(&mut self, whole: bool) {
        for spent in self.record.spent(whole) {
            self.parser.recorded(&spent);
        }
        let usage = self.parser.usage();
        if !usage.is_zero() {
            self.live.usage = usage;
        }
    }

    /// The conversation that the agent named, if the dispatcher does not know it yet.
    pub(super) fn conversation_news(&mut self) -> Option<News> {
        if self.conversation == self.conversation_told || self.conversations >= CONVERSATIONS {
            return None;
        }
        self.conversations += 1;
        self.conversation_told.clone_from(&self.conversation);
        self.conversation
            .clone()
            .map(|id| News::Conversation { id })
    }

    pub(super) fn take(&mut self, event: &AgentEvent) {
        sight::see(&mut self.live, event, self.desk.now());
        self.vigil
            .question(self.live.question.is_some(), self.desk.mono_ms());
        match event {
            AgentEvent::Started {
                conversation, mode, ..
            } => {
                if let Some(id) = conversation {
                    self.record.of(id);
                    self.conversation.clone_from(conversation);
                }
                if let (Some(wanted), Some(got)) = (&self.expected_mode, mode)
                    && wanted != got
                    && !std::mem::replace(&mut self.mode_told, true)
                {
                    let news = News::ModeMismatch {
                        wanted: wanted.clone(),
                        got: got.clone(),
                    };
                    self.desk.news(self.d, news);
                }
            }
            AgentEvent::ToolStarted { id, .. } => {
                self.open_tools.insert(id.clone());
            }
            AgentEvent::ToolEnded { id, .. } => {
                self.open_tools.remove(id);
            }
            _ => {}
        }
    }

    pub(super) fn report(&mut self, at_once: bool) {
        let now = self.desk.mono_ms();
        if self.live != self.told && (at_once || now.saturating_sub(self.told_at_ms) >= REPORT_MS) {
            self.told = self.live.clone();
            self.told_at_ms = now;
            self.desk.tell(Event::Live {
                task: self.d.effect.task,
                fence: self.d.effect.fence,
                live: Box::new(self.live.clone()),
            });
        }
    }
}
