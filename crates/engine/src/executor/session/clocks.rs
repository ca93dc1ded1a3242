//! The clocks of a live session (T14, T15), and what counts as a sign of life beside its output.

use std::time::Duration;

use longhaul_core::fact::News;
use longhaul_hosts::ShimHandle;

use super::super::vigil::Late;
use super::reading::Reading;

/// How often the processor time of a silent session is read, in milliseconds.
const CPU_LOOK_MS: u64 = 5_000;

impl Reading<'_> {
    /// Timeouts (T14, T15). Signs of life that are no output: a wait that the agent announced, an open
    /// tool call, processor time.
    pub(super) fn watch_clocks(&mut self, shim: &ShimHandle) {
        let now = self.desk.mono_ms();
        let waits = self
            .live
            .retrying_until
            .is_some_and(|t| t > self.desk.now());
        if waits || !self.open_tools.is_empty() {
            self.vigil.sign(now);
        } else if now.saturating_sub(self.cpu_at_ms) >= CPU_LOOK_MS {
            self.cpu_at_ms = now;
            if let Some(used) = shim.identity().and_then(|i| i.tree().cpu_time().ok()) {
                // A sleeping agent still ticks a little; a busy one uses far more than 2 %.
                if used.saturating_sub(self.cpu) > Duration::from_millis(CPU_LOOK_MS / 50) {
                    self.vigil.sign(now);
                }
                self.cpu = used;
            }
        }
        let news = match self.vigil.look(now) {
            None => return,
            Some(Late::Timeout) => News::TimeoutReached,
            Some(Late::Idle) => News::IdleReached,
            Some(Late::Unanswered) => News::Unanswered {
                question: self.live.question.clone().unwrap_or_default(),
            },
        };
        self.desk.news(self.d, news);
    }
}
