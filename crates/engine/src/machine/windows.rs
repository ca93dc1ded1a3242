//! Limit windows: opened by a refusal, never shortened, closed by a session that works (A4, A5, I15).

use longhaul_core::home::of_scope;
use longhaul_core::task::Task;
use longhaul_core::time::UnixMs;
use longhaul_core::window::{Gate, Window, gate};
use longhaul_store::{Store, Write};

use super::Machine;

impl<S: Store> Machine<S> {
    pub(super) fn open_window(&mut self, window: Window) {
        self.edit
            .windows_before
            .get_or_insert_with(|| self.windows.clone());
        let slot = self
            .windows
            .entry(window.scope.clone())
            .or_insert_with(|| window.clone());
        // A known far reset is never shortened (A5).
        let home = of_scope(&window.scope).is_some();
        if window.until >= slot.until {
            *slot = window;
        }
        self.edit.writes.push(Write::Window(slot.clone()));
        if home {
            self.look_at_homes();
        }
    }

    /// A session that started after the reset does real work: the wake is verified (A4).
    pub(super) fn close_window_if_working(&mut self, task: &Task) {
        let scope = &task.limit_scope();
        let Some(window) = self.windows.get(scope) else {
            return;
        };
        let started = task.attempt.as_ref().and_then(|a| a.started_at);
        if started.is_some_and(|t| t >= window.until) {
            self.forget_window(scope);
        }
    }

    /// Forgets what is known of a scope's limit; false if nothing was.
    pub(super) fn forget_window(&mut self, scope: &str) -> bool {
        if !self.windows.contains_key(scope) {
            return false;
        }
        self.edit
            .windows_before
            .get_or_insert_with(|| self.windows.clone());
        self.windows.remove(scope);
        if of_scope(scope).is_some() {
            self.look_at_homes();
        }
        self.edit.writes.push(Write::ClearWindow {
            scope: scope.to_owned(),
        });
        true
    }

    pub(super) fn gate_of(&self, scope: &str, now: UnixMs) -> (Gate, Option<UnixMs>) {
        let Some(window) = self.windows.get(scope) else {
            return (Gate::Open, None);
        };
        let gate = match gate(Some(window), now) {
            // A session from before the reset proves nothing, and must not stand in the probe's way.
            Gate::OneProbe if !self.probes(scope, window.until) => Gate::Open,
            gate => gate,
        };
        (gate, Some(window.until))
    }

    /// Whether a session of the scope was begun after its reset.
    fn probes(&self, scope: &str, reset: UnixMs) -> bool {
        self.index.tasks().any(|t| {
            t.state.word().is_active()
                && t.rests_with(scope)
                && t.attempt.as_ref().is_some_and(|a| a.assigned_at >= reset)
        })
    }
}
