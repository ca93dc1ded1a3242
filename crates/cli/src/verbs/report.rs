//! `longhaul report`.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use longhaul_acts::files;
use longhaul_api::{Envelope, ExitCode, ReportView, TaskDetail};
use longhaul_core::ids::TaskId;
use longhaul_core::time::{SpanMs, UnixMs};

use crate::client::Reads;
use crate::context::Context;
use crate::failure::{Failure, OnPath as _, Outcome};
use crate::output::clock;
use crate::output::moved::{self, Moved};
use crate::report::{Page, html, text};

/// Most tasks that the HTML page shows with attempts and evidence; further ones are shown without.
const DETAILED_MAX: usize = 500;

/// The morning page: done, working, needs you
///
/// What happened in the last hours, what it cost, and what needs you, with the remedy beside it. With
/// --html, one self-contained file with the evidence: it loads nothing and runs nothing, and can be
/// mailed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul report                  the last 12 hours
  longhaul report --since 3d
  longhaul report --html morning.html
  longhaul report --html - | ssh host 'cat > report.html'")]
pub(crate) struct Args {
    /// How far back to look: 90m, 12h, 3d
    #[arg(long, value_name = "SPAN", default_value = "12h", value_parser = span)]
    since: SpanMs,
    /// Write an HTML page to this file; `-` is standard output
    #[arg(long, value_name = "FILE")]
    html: Option<Utf8PathBuf>,
}

fn span(text: &str) -> Result<SpanMs, String> {
    longhaul_config::duration::parse(text).map_err(|e| format!("{e}; {}", e.help()))
}

/// Prints or writes the report.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let reads = context.reads()?;
    let now = clock::now();
    let since = UnixMs(now.0.saturating_sub_unsigned(args.since.0));
    let mut view = reads.report(since)?;
    say_moved(context, &reads, &mut view);
    if let Some(file) = &args.html {
        let page = html::render(&Page::new(&view, &details(&reads, &view)?))?;
        if file == "-" {
            context.printer.out(&page)?;
        } else {
            write(context, file, &page)?;
        }
    } else if context.json {
        context.printer.json(&Envelope::new(view))?;
    } else {
        context.printer.out(&text::render(
            &Page::new(&view, &BTreeMap::new()),
            &context.printer,
        ))?;
    }
    Ok(ExitCode::Done)
}

/// Says of each task that is done when its branch does not stand at the verified commit any more.
fn say_moved(context: &Context, reads: &Reads, view: &mut ReportView) {
    let mut moved = Moved::new(context);
    for item in view.done.iter_mut().take(DETAILED_MAX) {
        let Ok(mut detail) = reads.task(&item.task.id.to_string()) else {
            continue;
        };
        moved.look(&mut detail);
        if let Some(words) = moved::words(&detail) {
            item.sentence = format!("{}; {words}", item.sentence.trim_end_matches('.'));
        }
    }
}

/// Everything about the tasks of the report, as far as they are still there.
pub(crate) fn details(
    reads: &Reads,
    view: &ReportView,
) -> Result<BTreeMap<TaskId, TaskDetail>, Failure> {
    let items = view.needs_you.iter().chain(&view.working).chain(&view.done);
    let mut out = BTreeMap::new();
    for item in items.take(DETAILED_MAX) {
        match reads.task(&item.task.id.to_string()) {
            Ok(detail) => {
                out.insert(item.task.id, detail);
            }
            Err(e) if e.class() == ExitCode::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok(out)
}

/// Written beside and renamed: whoever has the page open never sees half of it.
fn write(context: &Context, file: &Utf8PathBuf, page: &str) -> Result<(), Failure> {
    let path = context.absolute(file);
    let folder = path.parent().unwrap_or(context.folder());
    let mut temporary = tempfile::Builder::new()
        .prefix(".longhaul-report-")
        .tempfile_in(folder)
        .on("write into", folder)?;
    files::write_all("cli.report.write", &mut temporary, page.as_bytes()).on("write", &path)?;
    #[expect(clippy::disallowed_methods, reason = "its points are right here")]
    let named = longhaul_acts::around("cli.report.rename", || temporary.persist(&path));
    named.map_err(|e| e.error).on("write", &path)?;
    context.printer.say(&format!("wrote {file}"));
    Ok(())
}
