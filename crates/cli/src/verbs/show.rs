//! `longhaul show`.

use longhaul_api::{
    AttemptView, ExitCode, LiveView, SpecView, TaskDetail, TaskSummary, VerdictView,
};
use longhaul_core::time::{SpanMs, UnixMs};
use longhaul_core::verdict::Grade;

use crate::app::answer;
use crate::context::Context;
use crate::failure::Outcome;
use crate::output::task::{OPEN_THE_SANDBOX, refused_write};
use crate::output::text::{clean, one_line, wrap};
use crate::output::{Printer, clock, moved, palette, task};

/// Everything about one task
///
/// How it stands and what it waits for, its attempts with their verdicts and cost, its prompt and
/// checks. Reading needs no daemon and never starts one.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul show parser
  longhaul show latest --prompt    with the whole prompt
  longhaul show parser --history   with every change and its cause
  longhaul show parser --json | jq .data.verdicts")]
pub(crate) struct Args {
    /// The task
    #[arg(value_name = "TASK")]
    task: String,
    /// The whole prompt
    #[arg(long)]
    prompt: bool,
    /// Every change with its cause
    #[arg(long)]
    history: bool,
    /// The whole tail of every verdict's output
    #[arg(long)]
    output: bool,
}

/// Prints the task.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let mut detail = context.reads()?.task(&args.task)?;
    moved::Moved::new(context).look(&mut detail);
    answer(context, detail, |detail| {
        let mut page = Page {
            p: &context.printer,
            now: clock::now(),
            out: String::new(),
        };
        page.task(args, detail);
        context.printer.out(&page.out)
    })?;
    Ok(ExitCode::Done)
}

struct Page<'p> {
    p: &'p Printer,
    now: UnixMs,
    out: String,
}

impl Page<'_> {
    fn line(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }

    fn head(&mut self, text: &str) {
        self.out.push('\n');
        let text = self.p.paint(palette::HEAD, text);
        self.line(&text);
    }

    fn field(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            let name = self.p.paint(palette::FAINT, &format!("{name:<11}"));
            self.line(&format!("{name} {value}"));
        }
    }

    fn block(&mut self, indent: &str, text: &str, lines: usize) {
        let text = clean(text);
        let all: Vec<&str> = text.trim_end().lines().collect();
        let skip = all.len().saturating_sub(lines);
        if skip > 0 {
            let note = self.p.paint(
                palette::FAINT,
                &format!("({skip} lines above; --output shows all)"),
            );
            self.line(&format!("{indent}{note}"));
        }
        for line in &all[skip..] {
            self.line(&format!("{indent}{line}"));
        }
    }

    fn task(&mut self, args: &Args, d: &TaskDetail) {
        self.title(&d.task);
        if let Some(need) = &d.task.need {
            let width = self.p.width().saturating_sub(2).min(100);
            for line in wrap(&clean(&need.detail), width) {
                self.line(&format!("  {line}"));
            }
            for line in wrap(&format!("→ {}", clean(&need.remedy)), width) {
                let line = self.p.paint(palette::WARN, &line);
                self.line(&format!("  {line}"));
            }
        } else if !d.task.line.is_empty() {
            self.line(&format!("  {}", clean(&d.task.line)));
        }
        self.live(d.live.as_ref());
        self.out.push('\n');
        self.facts(d);
        self.attempts(args, d);
        self.checks(&d.spec);
        self.prompt(args, &d.spec);
        if args.history {
            self.head("History");
            for event in &d.ledger {
                let line = crate::follow::plain::event_line(event, self.p.color());
                self.line(&line);
            }
        }
    }

    fn title(&mut self, t: &TaskSummary) {
        let (glyph, style) = task::glyph(t);
        let paused = if t.paused { ", paused" } else { "" };
        let stopping = t
            .stopping
            .as_ref()
            .map_or_else(String::new, |s| format!(", {s} under way"));
        let basis = t
            .basis
            .as_ref()
            .map_or_else(String::new, |b| format!(" ({b})"));
        let line = format!(
            "{} {}  {}{basis}{paused}{stopping}  {}",
            self.p.paint(style, glyph),
            self.p.paint(palette::STRONG, &clean(&t.name)),
            self.p.paint(style, task::state_word(t)),
            self.p.paint(palette::FAINT, &t.id.to_string()),
        );
        self.line(&line);
    }

    fn live(&mut self, live: Option<&LiveView>) {
        let Some(live) = live else { return };
        if !live.activity.is_empty() {
            let sign = live
                .last_sign_ms
                .map_or_else(String::new, |at| clock::relative(UnixMs(at), self.now));
            let line = format!(
                "  {}  {}",
                one_line(&live.activity, 120),
                self.p.paint(palette::FAINT, &sign)
            );
            self.line(&line);
        }
        if let Some(question) = &live.question {
            let line = format!("  asks: {}", one_line(question, 300));
            let line = self.p.paint(palette::WARN, &line);
            self.line(&line);
        }
        if let Some(why) = &live.hindrance {
            self.line(&format!("  does not start yet: {}", clean(why)));
        }
    }

    fn facts(&mut self, d: &TaskDetail) {
        let (t, s) = (&d.task, &d.spec);
        self.field("repository", &clean(&s.repo));
        if let Some(w) = &d.workspace {
            self.field(
                "branch",
                &clean(w.branch.as_deref().unwrap_or("none (in place)")),
            );
            if let Some(words) = moved::words(d) {
                let words = self.p.paint(palette::WARN, &words);
                self.line(&format!("{:<11} {words}", ""));
            }
            self.field("workspace", &clean(&w.path));
        }
        self.field("base", &clean(s.base.as_deref().unwrap_or_default()));
        let model = s
            .model
            .as_ref()
            .map_or_else(String::new, |m| format!(", model {}", clean(m)));
        self.field(
            "agent",
            &format!(
                "{}{model}, permission {}, sandbox {}",
                clean(&s.harness),
                s.permission,
                s.sandbox
            ),
        );
        let mut used = task::usage(&t.usage);
        if let Some(b) = &d.budget {
            used.push_str(&format!(" ({} % of its budget)", b.used_percent));
        }
        self.field("used", &used);
        self.field(
            "attempts",
            &format!("{} (retries {} of {})", t.attempt, t.retries, t.max_retries),
        );
        for (name, links) in [("depends on", &s.depends_on), ("waited for", &d.dependents)] {
            let names: Vec<String> = links
                .iter()
                .map(|l| format!("{} ({})", clean(&l.name), l.state))
                .collect();
            let name = if name == "waited for" {
                "needed by"
            } else {
                name
            };
            self.field(name, &names.join(", "));
        }
        self.field(
            "accepted",
            &clock::moment(UnixMs(t.created_at_ms), self.now),
        );
        self.field("changed", &clock::moment(UnixMs(t.changed_at_ms), self.now));
        self.field(
            "note",
            &d.note
                .as_deref()
                .map(|n| one_line(n, 200))
                .unwrap_or_default(),
        );
    }

    fn attempts(&mut self, args: &Args, d: &TaskDetail) {
        if d.attempts.is_empty() {
            return;
        }
        self.head("Attempts");
        for a in &d.attempts {
            self.attempt(a);
            for v in d.verdicts.iter().filter(|v| v.attempt == a.number) {
                self.verdict(args, v);
            }
        }
    }

    fn attempt(&mut self, a: &AttemptView) {
        let start = a.started_at_ms.unwrap_or(a.assigned_at_ms);
        let took = match a.ended_at_ms {
            Some(end) => clock::span(UnixMs(end).since(UnixMs(start))),
            None => clock::span(self.now.since(UnixMs(start))),
        };
        let resumed = if a.resumed { ", resumed" } else { "" };
        let used = task::usage(&a.usage);
        let facts = [clock::moment(UnixMs(start), self.now), took, used];
        let facts: Vec<String> = facts.into_iter().filter(|f| !f.is_empty()).collect();
        let line = format!(
            "{} {}{resumed}  {}",
            self.p.paint(palette::STRONG, &format!("{:>2}", a.number)),
            clean(&a.line),
            self.p.paint(palette::FAINT, &facts.join(" · "))
        );
        self.line(&line);
        if let Some(sealed) = &a.sealed {
            if sealed.uncommitted {
                let text = format!(
                    "     not all of it is committed: `approve` commits tree {}",
                    clean(&sealed.tree)
                );
                let text = self.p.paint(palette::FAINT, &text);
                self.line(&text);
            }
            let stat = clean(&sealed.diffstat);
            if let Some(last) = stat.lines().last().filter(|l| !l.trim().is_empty()) {
                self.line(&format!("     {}", last.trim()));
            }
            for (what, list) in [
                ("changed protected", &sealed.protected),
                ("wrote outside", &sealed.escaped),
            ] {
                if !list.is_empty() {
                    let text = format!("     {what}: {}", clean(&list.join(", ")));
                    let text = self.p.paint(palette::BAD, &text);
                    self.line(&text);
                }
            }
        }
        for denial in &a.denials {
            let text = format!(
                "     denied: {} {}",
                clean(&denial.tool),
                one_line(&denial.detail, 160)
            );
            let text = self.p.paint(palette::WARN, &text);
            self.line(&text);
        }
        for refused in &a.refused_writes {
            let text = format!("     {}", refused_write(refused));
            let text = self.p.paint(palette::WARN, &text);
            self.line(&text);
        }
        if !a.refused_writes.is_empty() {
            let text = self
                .p
                .paint(palette::FAINT, &format!("     {OPEN_THE_SANDBOX}"));
            self.line(&text);
        }
    }

    fn verdict(&mut self, args: &Args, v: &VerdictView) {
        let (word, style) = match v.grade {
            Grade::Pass => ("✓", palette::GOOD),
            Grade::Fail => ("✕", palette::BAD),
        };
        let flaky = if v.flaky {
            self.p.paint(palette::WARN, " (flaky)")
        } else {
            String::new()
        };
        let line = format!(
            "     {} {}{flaky}  {}  {}",
            self.p.paint(style, word),
            clean(&v.name),
            clean(&v.reason),
            self.p.paint(palette::FAINT, &SpanMs(v.took_ms).to_string())
        );
        self.line(&line);
        if v.grade == Grade::Fail && !v.tail.trim().is_empty() {
            self.block(
                "       │ ",
                &v.tail,
                if args.output { usize::MAX } else { 12 },
            );
        }
    }

    fn checks(&mut self, s: &SpecView) {
        self.head("Checks");
        if s.checks.is_empty() {
            self.line("   none: the result will be unverified");
        }
        for c in &s.checks {
            let flaky = match c.retry_flaky {
                0 => String::new(),
                n => format!(", a FAIL is run again {n}×"),
            };
            let kind = self.p.paint(
                palette::FAINT,
                &format!("({}, at most {}{flaky})", c.kind, SpanMs(c.timeout_ms)),
            );
            self.line(&format!(
                "   {}  {}  {kind}",
                clean(&c.name),
                one_line(&c.text, 200)
            ));
        }
    }

    fn prompt(&mut self, args: &Args, s: &SpecView) {
        self.head("Prompt");
        let text = clean(&s.prompt);
        let lines: Vec<&str> = text.trim().lines().collect();
        let shown = if args.prompt {
            lines.len()
        } else {
            lines.len().min(8)
        };
        for line in &lines[..shown] {
            self.line(&format!("   {line}"));
        }
        if shown < lines.len() {
            let more = format!(
                "   ({} more lines; --prompt shows all)",
                lines.len() - shown
            );
            let more = self.p.paint(palette::FAINT, &more);
            self.line(&more);
        }
    }
}
