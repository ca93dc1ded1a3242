//! Limit windows: which harness or account rests until when, and whether its wake was verified (A4, I15).

use serde::{Deserialize, Serialize};

use crate::ids::TaskId;
use crate::limit::LimitClass;
use crate::time::UnixMs;

/// A scope that was refused. It stays until a session of that scope was seen to work again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The harness or account.
    pub scope: String,
    /// Class of the refusal.
    pub class: LimitClass,
    /// The provider's own name of the window.
    pub name: Option<String>,
    /// Nothing of this scope starts before.
    pub until: UnixMs,
    /// When it was seen.
    pub seen_at: UnixMs,
    /// The task whose session said so.
    pub seen_by: TaskId,
}

/// What a window lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Nothing: it rests.
    Resting,
    /// One session, which proves that the scope works again.
    OneProbe,
    /// Everything.
    Open,
}

/// The gate of a scope now.
#[must_use]
pub fn gate(window: Option<&Window>, now: UnixMs) -> Gate {
    match window {
        None => Gate::Open,
        Some(w) if now < w.until => Gate::Resting,
        Some(_) => Gate::OneProbe,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TaskId;

    #[test]
    fn i15_a_window_rests_then_lets_one_probe_through() {
        let w = Window {
            scope: "claude".into(),
            class: LimitClass::Quota,
            name: None,
            until: UnixMs(100),
            seen_at: UnixMs(1),
            seen_by: TaskId::new(1, [0; 10]),
        };
        assert_eq!(gate(Some(&w), UnixMs(99)), Gate::Resting);
        assert_eq!(gate(Some(&w), UnixMs(100)), Gate::OneProbe);
        assert_eq!(gate(None, UnixMs(0)), Gate::Open);
    }
}
