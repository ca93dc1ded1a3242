//! `longhaul init`.

use std::fs::OpenOptions;
use std::io::ErrorKind;

use camino::Utf8PathBuf;
use longhaul_acts::files;
use longhaul_api::ExitCode;
use longhaul_config::taskfile;

use crate::context::Context;
use crate::failure::{Failure, OnPath as _, Outcome};
use crate::output::palette;
use crate::output::text::{columns, pad};

/// Write a documented tasks.toml to start from
///
/// The file is valid as it stands: one small task with a check, and every other key explained beside
/// it. An existing file is never overwritten.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul init                    writes tasks.toml here
  longhaul init night.toml         another name
  longhaul init --print            shows it only")]
pub(crate) struct Args {
    /// Where to write it
    #[arg(value_name = "FILE", default_value = "tasks.toml")]
    file: Utf8PathBuf,
    /// Print it instead of writing it
    #[arg(long)]
    print: bool,
}

/// Writes the scaffold.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    if args.print {
        context.printer.out(taskfile::scaffold())?;
        return Ok(ExitCode::Done);
    }
    let path = context.absolute(&args.file);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    let mut file = match files::open("cli.init.create", &options, &path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            return Err(
                Failure::of(ExitCode::Conflict, format!("{} exists already", args.file))
                    .help("it was left as it is; name another file: `longhaul init night.toml`"),
            );
        }
        Err(e) => return Err(Failure::new(format!("cannot write {path}")).because(e)),
    };
    files::write_all("cli.init.write", &mut file, taskfile::scaffold().as_bytes())
        .on("write", &path)?;
    let p = &context.printer;
    p.line(&format!("wrote {}", args.file))?;
    p.line("")?;
    p.line("Next:")?;
    let steps = [
        (format!("$EDITOR {}", args.file), "say what you want done"),
        (
            format!("longhaul validate {}", args.file),
            "look for mistakes",
        ),
        (
            format!("longhaul run --rehearse {}", args.file),
            "try it without a model",
        ),
        (format!("longhaul run {}", args.file), "for real"),
    ];
    let width = steps.iter().map(|(c, _)| columns(c)).max().unwrap_or(0);
    for (command, what) in steps {
        p.line(&format!(
            "  {}  {what}",
            p.paint(palette::COMMAND, &pad(&command, width))
        ))?;
    }
    Ok(ExitCode::Done)
}
