//! `longhaul man`.

use camino::Utf8PathBuf;
use longhaul_acts::files;
use longhaul_api::ExitCode;

use crate::app;
use crate::context::Context;
use crate::failure::{Failure, OnPath as _, Outcome};

/// Print the manual page, or write all of them into a folder
///
/// Without a folder, the page of `longhaul` itself goes to standard output. With one, every verb gets
/// a page of its own (`longhaul-run.1`, …).
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul man | man -l -
  longhaul man ~/.local/share/man/man1")]
pub(crate) struct Args {
    /// Folder for the pages; made if missing
    #[arg(value_name = "DIR")]
    folder: Option<Utf8PathBuf>,
}

/// Renders the pages.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let mut command = app::command();
    command.build();
    let Some(folder) = &args.folder else {
        context.printer.bytes(&page(command)?)?;
        return Ok(ExitCode::Done);
    };
    let folder = context.absolute(folder);
    files::create_dir_all("cli.man.folder", &folder).on("create the folder", &folder)?;
    let mut written = 0;
    let mut todo = vec![command];
    while let Some(command) = todo.pop() {
        todo.extend(
            command
                .get_subcommands()
                .filter(|c| !c.is_hide_set())
                .cloned(),
        );
        let name = command
            .get_display_name()
            .unwrap_or(command.get_name())
            .replace(' ', "-");
        let file = folder.join(format!("{name}.1"));
        files::write("cli.man.page", &file, page(command)?).on("write", &file)?;
        written += 1;
    }
    context
        .printer
        .say(&format!("wrote {written} pages to {folder}"));
    Ok(ExitCode::Done)
}

fn page(command: clap::Command) -> Result<Vec<u8>, Failure> {
    let mut out = Vec::new();
    clap_mangen::Man::new(command.disable_help_flag(true))
        .render(&mut out)
        .map_err(|e| Failure::new("cannot render the manual page").because(e))?;
    Ok(out)
}
