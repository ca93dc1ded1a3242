//! What a session's events mean for people who look: its activity line, its question, its waits.

use longhaul_agents::AgentEvent;
use longhaul_core::time::UnixMs;

use crate::handle::{HomeUse, LiveSession};

/// Characters of an activity line.
const ACTIVITY_CHARS: usize = 120;

/// Takes an event into the picture.
pub(crate) fn see(live: &mut LiveSession, event: &AgentEvent, now: UnixMs) {
    live.last_sign = Some(now);
    match event {
        AgentEvent::ToolStarted { name, summary, .. } => {
            live.activity = longhaul_agents::excerpt(&format!("{name}: {summary}"), ACTIVITY_CHARS);
            live.question = None;
            live.retrying_until = None;
        }
        AgentEvent::Text { text } => {
            if let Some(line) = text.lines().rev().find(|l| !l.trim().is_empty()) {
                live.activity = longhaul_agents::excerpt(line.trim(), ACTIVITY_CHARS);
            }
            live.question = None;
            live.retrying_until = None;
        }
        AgentEvent::Usage(usage) => live.usage = *usage,
        AgentEvent::Question { text } => live.question = Some(text.clone()),
        AgentEvent::Retrying {
            class,
            delay_ms,
            attempt,
        } => {
            live.activity = format!(
                "{} by the provider, tries again by itself{}",
                class.as_str(),
                attempt.map(|n| format!(" (try {n})")).unwrap_or_default()
            );
            live.retrying_until = delay_ms.map(|ms| now.plus(longhaul_core::time::SpanMs(ms)));
        }
        AgentEvent::Denied(denial) => {
            live.question = None;
            live.activity = longhaul_agents::excerpt(
                &format!("denied {}: {}", denial.tool, denial.detail),
                ACTIVITY_CHARS,
            );
        }
        // A question is answered when the agent goes on; a mere heartbeat is no answer (T15).
        AgentEvent::ToolEnded { .. } | AgentEvent::TurnEnded { .. } => live.question = None,
        AgentEvent::LimitWarning {
            utilization: Some(share),
            reset_at,
            ..
        } => {
            live.home_use = Some(HomeUse {
                permille: (share.clamp(0.0, 10.0) * 1000.0) as u32,
                reset_at: *reset_at,
            });
        }
        AgentEvent::Started { .. }
        | AgentEvent::Limit(_)
        | AgentEvent::LimitWarning { .. }
        // Told at the end, when it is known whether the session was confined.
        | AgentEvent::WriteRefused(_)
        | AgentEvent::Warning { .. }
        | AgentEvent::Unknown { .. } => {}
    }
}
