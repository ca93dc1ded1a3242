//! Lines redrawn in place on a terminal. Knows the cursor, not the daemon.

use longhaul_api::{Bucket, SubmissionView, TaskSummary};
use longhaul_core::time::UnixMs;

use crate::failure::Failure;
use crate::output::palette::{self, paint};
use crate::output::text::{clean, columns, fit, pad};
use crate::output::{Printer, clock, task};

/// Columns of the longest name shown whole.
const NAME_MAX: usize = 28;

/// A block of lines at the bottom of the terminal.
#[derive(Debug)]
pub(crate) struct Screen<'p> {
    printer: &'p Printer,
    drawn: Vec<String>,
}

impl<'p> Screen<'p> {
    /// Nothing drawn yet.
    pub(crate) const fn new(printer: &'p Printer) -> Self {
        Self {
            printer,
            drawn: Vec::new(),
        }
    }

    /// Replaces the block. Lines that do not fit the height are counted instead of shown.
    ///
    /// # Errors
    /// The terminal is gone.
    pub(crate) fn draw(&mut self, lines: &[String]) -> Result<(), Failure> {
        let room = self.printer.height().saturating_sub(1).max(3);
        let mut lines = lines.to_vec();
        if lines.len() > room {
            let hidden = lines.len() - (room - 1);
            lines.truncate(room - 1);
            lines.push(format!("  … and {hidden} more lines"));
        }
        if lines == self.drawn {
            return Ok(());
        }
        let text = format!("{}{}\n", self.erase(), lines.join("\n"));
        self.drawn = lines;
        self.printer.out(&text)
    }

    /// Says something above the block, where it stays.
    ///
    /// # Errors
    /// The terminal is gone.
    pub(crate) fn above(&self, text: &str) -> Result<(), Failure> {
        let block = if self.drawn.is_empty() {
            String::new()
        } else {
            format!("{}\n", self.drawn.join("\n"))
        };
        let text = format!("{}{text}\n{block}", self.erase());
        self.printer.out(&text)
    }

    /// Leaves the block as it is; what comes next goes below it.
    ///
    /// # Errors
    /// The terminal is gone.
    pub(crate) fn leave(&mut self) -> Result<(), Failure> {
        self.drawn.clear();
        Ok(())
    }

    /// To the block's first line, and everything from there on gone.
    fn erase(&self) -> String {
        match self.drawn.len() {
            0 => String::new(),
            n => format!("\u{1b}[{n}F\u{1b}[J"),
        }
    }
}

/// A submission as a block: the three buckets and a last line with sums.
pub(crate) fn submission_lines(
    view: &SubmissionView,
    hint: &str,
    printer: &Printer,
) -> Vec<String> {
    let now = clock::now();
    let (width, color) = (printer.width(), printer.color());
    let mut out = Vec::new();
    let names = name_width(&view.tasks);
    for bucket in Bucket::ALL {
        let tasks: Vec<&TaskSummary> = view.tasks.iter().filter(|t| t.bucket == bucket).collect();
        if tasks.is_empty() {
            continue;
        }
        let heading = paint(color, task::bucket_style(bucket), bucket.heading());
        out.push(format!(
            "{heading} {}",
            paint(color, palette::FAINT, &format!("({})", tasks.len()))
        ));
        out.extend(task_lines(&tasks, names, width, color, now));
    }
    let elapsed = clock::span(now.since(UnixMs(view.at_ms)));
    let hint = if view.settled {
        String::new()
    } else {
        format!("   {hint}")
    };
    let foot = format!("{elapsed} since the start{hint}");
    out.push(paint(color, palette::FAINT, &fit(&foot, width)));
    out
}

/// Columns that the names of these tasks take.
pub(crate) fn name_width(tasks: &[TaskSummary]) -> usize {
    tasks
        .iter()
        .map(|t| columns(&clean(&t.name)))
        .max()
        .unwrap_or(0)
        .min(NAME_MAX)
}

/// Tasks, one line each: glyph, name, state, what it does, time in this state, use. Never wider than
/// `width`.
pub(crate) fn task_lines(
    tasks: &[&TaskSummary],
    name_width: usize,
    width: usize,
    color: bool,
    now: UnixMs,
) -> Vec<String> {
    tasks
        .iter()
        .map(|t| task_line(t, name_width, width, color, now))
        .collect()
}

fn task_line(t: &TaskSummary, name_width: usize, width: usize, color: bool, now: UnixMs) -> String {
    let (glyph, style) = task::glyph(t);
    let took = if t.state.is_final() {
        UnixMs(t.changed_at_ms).since(UnixMs(t.created_at_ms))
    } else {
        now.since(UnixMs(t.changed_at_ms))
    };
    let usage = task::usage(&t.usage);
    let mut right = clock::span(took);
    if !usage.is_empty() {
        right = format!("{usage}  {right}");
    }
    if t.attempt > 1 {
        right = format!("try {}  {right}", t.attempt);
    }
    let state = pad(task::state_word(t), 9);
    let line = match (&t.need, t.bucket) {
        (Some(need), Bucket::NeedsYou) => clean(&need.detail),
        _ => clean(&t.line),
    };
    // "  ● name  state  line … right"
    let fixed = 4 + name_width + 2 + 9 + 2;
    let room = width.saturating_sub(fixed + 2 + columns(&right) + 1);
    let (line, right) = if room < 8 {
        (
            pad(&line.replace('\n', " "), width.saturating_sub(fixed + 1)),
            String::new(),
        )
    } else {
        (pad(&line.replace('\n', " "), room), right)
    };
    format!(
        "  {} {}  {}  {line}  {}",
        paint(color, style, glyph),
        paint(color, palette::STRONG, &pad(&clean(&t.name), name_width)),
        paint(color, style, &state),
        paint(color, palette::FAINT, &right)
    )
    .trim_end()
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use longhaul_api::{NeedView, TaskState, UsageView};
    use longhaul_core::ids::TaskId;
    use longhaul_core::spec::Priority;

    pub(super) fn task(name: &str, state: TaskState, bucket: Bucket) -> TaskSummary {
        TaskSummary {
            id: TaskId::new(1, [7; 10]),
            short_id: "0707".into(),
            name: name.into(),
            state,
            bucket,
            line: "edits src/parser.rs".into(),
            until_ms: None,
            basis: None,
            need: None,
            paused: false,
            stopping: None,
            repo: "/r".into(),
            branch: None,
            harness: "script".into(),
            priority: Priority::Normal,
            attempt: 2,
            retries: 1,
            max_retries: 2,
            usage: UsageView {
                tokens: 12_345,
                cost_usd: Some(0.42),
                ..UsageView::default()
            },
            waits_for: Vec::new(),
            created_at_ms: 0,
            changed_at_ms: 0,
        }
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let mut needy = task(
            "a-name-that-is-really-much-too-long-to-show",
            TaskState::NeedsHuman,
            Bucket::NeedsYou,
        );
        needy.need = Some(NeedView {
            kind: "budget".into(),
            detail: "its budget of $5.00 is used up\u{1b}[2J and more words than fit in here"
                .into(),
            remedy: "retry".into(),
        });
        let plain = task("日本語", TaskState::Running, Bucket::Working);
        for width in [20, 40, 80, 120] {
            for line in task_lines(&[&needy, &plain], NAME_MAX, width, false, UnixMs(65_000)) {
                let floor = 4 + NAME_MAX + 2 + 9 + 2;
                assert!(columns(&line) <= width.max(floor), "{width}: {line:?}");
                assert!(!line.contains('\u{1b}'));
            }
        }
        let line = &task_lines(&[&plain], 6, 80, false, UnixMs(65_000))[0];
        insta::assert_snapshot!(line, @"  ● 日本語  running    edits src/parser.rs      try 2  12.3k tok · $0.42  1m 5s");
    }
}
