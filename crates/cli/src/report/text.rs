//! The report as text.

use super::model::{Card, Page};
use super::queue::Queue;
use crate::output::text::{columns, wrap};
use crate::output::{Printer, palette};

/// The page; ends with a line feed.
pub(crate) fn render(page: &Page, p: &Printer) -> String {
    let mut out = Out {
        p,
        text: String::new(),
        width: p.width().clamp(40, 100),
    };
    out.line(&p.paint(palette::STRONG, &page.headline));
    out.line(&p.paint(
        palette::FAINT,
        &format!("{} · the last {}", page.made, page.span),
    ));
    let sums: Vec<String> = page
        .tiles
        .iter()
        .skip(3)
        .map(|t| match t.note.as_str() {
            "" => format!("{}: {}", t.name, t.value),
            note => format!("{}: {} ({note})", t.name, t.value),
        })
        .collect();
    out.line(&p.paint(palette::FAINT, &sums.join(" · ")));
    for resting in &page.resting {
        out.line(&format!("{} {resting}", p.paint(palette::WARN, "◐")));
    }
    out.section("Needs you", palette::BAD.bold(), &page.needs_you);
    out.section("Working", palette::BUSY.bold(), &page.working);
    out.section("Done", palette::GOOD.bold(), &page.done);
    out.queue(&page.queue);
    out.text
}

struct Out<'p> {
    p: &'p Printer,
    text: String,
    width: usize,
}

impl Out<'_> {
    fn line(&mut self, text: &str) {
        self.text.push_str(text.trim_end());
        self.text.push('\n');
    }

    fn section(&mut self, title: &str, style: anstyle::Style, cards: &[Card]) {
        if cards.is_empty() {
            return;
        }
        self.text.push('\n');
        let head = self.p.paint(style, title);
        self.line(&format!("{head} ({})", cards.len()));
        for card in cards {
            self.card(card);
        }
    }

    fn queue(&mut self, lines: &[Queue]) {
        if !lines.is_empty() {
            self.text.push('\n');
            self.line(&self.p.paint(palette::STRONG, "Merge queue"));
        }
        for line in lines {
            let title = self.p.paint(palette::STRONG, &line.title);
            self.line(&format!("{title} of {}  {}", line.repo, line.state));
            for note in &line.notes {
                self.paragraph(note, palette::WARN, "◐ ");
            }
            for (entries, sign, style) in [
                (&line.ready, "●", palette::GOOD),
                (&line.blocked, "◐", palette::WARN),
            ] {
                for e in entries {
                    let sign = self.p.paint(style, sign);
                    let id = self.p.paint(palette::FAINT, &e.id);
                    self.line(&format!("  {sign} {}. {}  {id}", e.place, e.title));
                    self.paragraph(&e.why, anstyle::Style::new(), "");
                    self.paragraph(&e.files.join(", "), palette::FAINT, "");
                    self.paragraph(&e.remedy, palette::WARN, "→ ");
                }
            }
            for l in &line.landed {
                let sign = self.p.paint(palette::GOOD, "✓");
                let note = if l.note.is_empty() {
                    String::new()
                } else {
                    format!(", {}", l.note)
                };
                let facts = format!("{} (tree {}){note}, {}", l.commit, l.tree, l.when);
                let facts = self.p.paint(palette::FAINT, &facts);
                self.line(&format!("  {sign} {}  {facts}", l.title));
            }
            if line.more > 0 {
                let more = format!("  and {} more landed", line.more);
                self.line(&self.p.paint(palette::FAINT, &more));
            }
        }
    }

    fn card(&mut self, c: &Card) {
        let style = match c.tone {
            "bad" => palette::BAD,
            "wait" => palette::WARN,
            "mute" => palette::FAINT,
            _ => palette::GOOD,
        };
        let mut facts = Vec::new();
        if c.retried {
            facts.push(format!("{} attempts", c.tries));
        }
        facts.extend(
            [&c.used, &c.took]
                .into_iter()
                .filter(|f| !f.is_empty())
                .cloned(),
        );
        let line = format!(
            "{} {}  {}  {}",
            self.p.paint(style, c.glyph),
            self.p.paint(palette::STRONG, &c.name),
            self.p.paint(style, &c.state),
            self.p.paint(palette::FAINT, &facts.join(" · "))
        );
        self.line(&line);
        self.paragraph(&c.sentence, anstyle::Style::new(), "");
        self.paragraph(&c.remedy, palette::WARN, "→ ");
        if !c.waits.is_empty() {
            self.paragraph(
                &format!("waits for {}", c.waits.join(", ")),
                palette::FAINT,
                "",
            );
        }
        if !c.checks.is_empty() {
            let checks: Vec<String> = c
                .checks
                .iter()
                .map(|k| {
                    let (sign, style) = if k.passed {
                        ("✓", palette::GOOD)
                    } else {
                        ("✕", palette::BAD)
                    };
                    let flaky = if k.flaky { " (flaky)" } else { "" };
                    format!("{} {}{flaky}", self.p.paint(style, sign), k.name)
                })
                .collect();
            self.line(&format!("    {}", checks.join("  ")));
        }
        if !c.branch.is_empty() {
            let plus = if c.added.is_empty() {
                String::new()
            } else {
                format!(" +{}", c.added)
            };
            let minus = if c.removed.is_empty() {
                String::new()
            } else {
                format!(" −{}", c.removed)
            };
            let stat = format!("{}{plus}{minus}", c.files);
            let line = format!("    {}  {}", c.branch, self.p.paint(palette::FAINT, &stat));
            self.line(&line);
        }
        for denial in &c.denials {
            self.paragraph(&format!("denied: {denial}"), palette::WARN, "");
        }
        for refused in &c.refused_writes {
            self.paragraph(refused, palette::WARN, "");
        }
        self.paragraph(c.sandbox_remedy, palette::FAINT, "");
    }

    fn paragraph(&mut self, text: &str, style: anstyle::Style, lead: &str) {
        if text.trim().is_empty() {
            return;
        }
        let indent = " ".repeat(4 + columns(lead));
        for (n, line) in wrap(text, self.width - indent.len()).iter().enumerate() {
            let head = if n == 0 {
                format!("    {lead}")
            } else {
                indent.clone()
            };
            let line = self.p.paint(style, line);
            self.line(&format!("{head}{line}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Env;
    use crate::output::ColorWish;
    use crate::report::sample;

    #[test]
    fn the_report_as_text() {
        let printer = Printer::new(&Env::fake(&[("COLUMNS", "100")]), ColorWish::Never);
        let page = Page::new(&sample::view(), &sample::details());
        insta::assert_snapshot!(render(&page, &printer));
    }
}
