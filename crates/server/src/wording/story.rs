//! What became of a task, in the sentence of the morning page.

use longhaul_core::task::{DoneBasis, State};
use longhaul_core::time::SpanMs;

use super::{Scene, plural, state_line};

/// What the sentence is made from, beside how the task stands.
pub(crate) struct Story<'a> {
    /// How it stands.
    pub(crate) scene: &'a Scene<'a>,
    /// Checks that failed on the way, by name, each once.
    pub(crate) failed_checks: &'a [String],
    /// How long it waited for limits.
    pub(crate) limit_wait: SpanMs,
    /// Files changed by the work that counts.
    pub(crate) changed_files: Option<u32>,
}

/// `all 2 checks passed at the second attempt (tests had failed); 3 files changed; waited 2h for limits`.
pub(crate) fn story(story: &Story<'_>) -> String {
    let task = story.scene.task;
    let mut text = state_line(story.scene);
    let attempts = task.tally.attempts;
    if let State::Done { basis } = &task.state {
        if attempts > 1 || matches!(basis, DoneBasis::Verified | DoneBasis::Landed) {
            text.push_str(&format!(" at the {} attempt", ordinal(attempts)));
        }
        if !story.failed_checks.is_empty() {
            text.push_str(&format!(" ({} had failed)", story.failed_checks.join(", ")));
        }
        if let Some(n) = story.changed_files {
            text.push_str(&format!("; {n} file{} changed", plural(u64::from(n))));
        }
    } else if attempts > 1 {
        text.push_str(&format!("; {attempts} attempts so far"));
    }
    if story.limit_wait.0 > 0 {
        text.push_str(&format!("; waited {} for limits", story.limit_wait));
    }
    text
}

fn ordinal(n: u32) -> String {
    match n {
        0 | 1 => "first".to_owned(),
        2 => "second".to_owned(),
        3 => "third".to_owned(),
        n => {
            let suffix = match (n % 10, n % 100) {
                (_, 11..=13) => "th",
                (1, _) => "st",
                (2, _) => "nd",
                (3, _) => "rd",
                _ => "th",
            };
            format!("{n}{suffix}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ordinal;

    #[test]
    fn ordinals_read_as_english() {
        let said: Vec<String> = [1, 2, 3, 4, 11, 12, 13, 21, 22, 103, 111]
            .map(ordinal)
            .into();
        assert_eq!(
            said.join(" "),
            "first second third 4th 11th 12th 13th 21st 22nd 103rd 111th"
        );
    }
}
