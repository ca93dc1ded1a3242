//! The command line: parsed by clap, carried out by `verbs`, ended with a code of the one table.

use std::process;

use camino::Utf8PathBuf;
use clap::{ColorChoice, CommandFactory as _, FromArgMatches as _, Parser};
use longhaul_api::{Envelope, ErrorEnvelope, ExitCode};

use crate::context::Context;
use crate::env::Env;
use crate::failure::Failure;
use crate::output::{self, ColorWish, Printer};
use crate::verbs::Verb;

/// What `longhaul` alone says: one screen.
pub(crate) const OVERVIEW: &str = include_str!("overview.txt");

/// Keeps coding agents working through a durable queue of tasks on your git repositories.
#[derive(Debug, Parser)]
#[command(
    name = "longhaul",
    version,
    disable_help_subcommand = true,
    override_help = OVERVIEW,
    subcommand_value_name = "VERB",
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    everywhere: Everywhere,
    #[command(subcommand)]
    verb: Option<Verb>,
}

/// What every verb takes.
#[derive(Debug, clap::Args)]
struct Everywhere {
    /// Work in this folder instead of the current one
    #[arg(
        short = 'C',
        long = "dir",
        global = true,
        value_name = "DIR",
        help_heading = "Everywhere"
    )]
    dir: Option<Utf8PathBuf>,
    /// Answer as JSON (stable, versioned; `longhaul schema` describes it)
    #[arg(long, global = true, help_heading = "Everywhere")]
    json: bool,
    /// Colour: on a terminal, always, or never
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true,
        help_heading = "Everywhere"
    )]
    color: ColorWish,
}

impl Cli {
    /// A command line that begins with its verb, read without the other verbs: to build the parsers of all of
    /// them takes as long as everything else that `add` does. `None` for any other, and for one with a
    /// mistake in it or a wish for help: the whole parser has the words for those.
    fn of_one_verb() -> Option<Self> {
        let first = std::env::args_os().nth(1)?;
        Self::read_alone(first.to_str()?, std::env::args_os())
    }

    fn with_one_verb(verb: &str) -> Option<clap::Command> {
        let root = <Everywhere as clap::Args>::augment_args(clap::Command::new("longhaul"));
        let verb = Verb::alone(verb)?;
        Some(root.disable_help_subcommand(true).subcommand(verb))
    }

    fn read_alone<A: Into<std::ffi::OsString> + Clone>(
        verb: &str,
        args: impl Iterator<Item = A>,
    ) -> Option<Self> {
        let command = Self::with_one_verb(verb)?;
        let matches = command.try_get_matches_from(args).ok()?;
        let (name, own) = matches.subcommand()?;
        Some(Self {
            verb: Some(Verb::of_matches(name, own)?),
            everywhere: Everywhere::from_arg_matches(&matches).ok()?,
        })
    }
}

/// Parses, runs, says what went wrong, and gives the code to end with.
pub(crate) fn main() -> process::ExitCode {
    let env = Env::of_process();
    let early = Printer::new(&env, early_color());
    let choice = if early.color_err() {
        ColorChoice::Always
    } else {
        ColorChoice::Never
    };
    let whole = || {
        let matches = Cli::command().color(choice).try_get_matches();
        matches.and_then(|m| Cli::from_arg_matches(&m))
    };
    let cli = match Cli::of_one_verb().map_or_else(whole, Ok) {
        Ok(cli) => cli,
        Err(error) => return misunderstood(&error, &early),
    };
    let Everywhere { dir, json, color } = cli.everywhere;
    let printer = Printer::new(&env, color);
    let outcome = match cli.verb {
        None => printer.out(OVERVIEW).map(|()| ExitCode::Done),
        Some(verb) => Context::new(env, printer.clone(), json, dir.as_deref())
            .and_then(|context| verb.run(&context)),
    };
    match outcome {
        Ok(code) => code.into(),
        Err(failure) => {
            tell(&failure, &printer, json);
            failure.code().into()
        }
    }
}

/// Says what went wrong: on standard error, and with `--json` also as an answer.
fn tell(failure: &Failure, printer: &Printer, json: bool) {
    if failure.is_quiet() {
        return;
    }
    if json {
        // Where standard output takes nothing the other stream may.
        match printer.json(&ErrorEnvelope::new(failure.body())) {
            Err(unheard) if !unheard.is_quiet() => say(failure, printer),
            _ => {}
        }
    } else {
        say(failure, printer);
    }
}

fn say(failure: &Failure, printer: &Printer) {
    printer.say(output::failure::render(failure, printer.color_err()).trim_end());
}

/// clap's own words, on the stream they belong to; its code 2 is our `Usage`.
fn misunderstood(error: &clap::Error, printer: &Printer) -> process::ExitCode {
    let color = if error.use_stderr() {
        printer.color_err()
    } else {
        printer.color()
    };
    let styled = error.render();
    let text = if color {
        styled.ansi().to_string()
    } else {
        styled.to_string()
    };
    if error.use_stderr() && asked_for_json() {
        let rendered = error.render().to_string();
        let (what, help) = rendered.split_once("\n\n").unwrap_or((&rendered, ""));
        let what = what.strip_prefix("error: ").unwrap_or(what).trim();
        let help = help.trim();
        let help = help.split_once("\n\n").map_or(help, |(first, _)| first);
        let help = help.trim().strip_prefix("tip: ").unwrap_or(help);
        let failure = Failure::usage(what).help(help);
        tell(&failure, printer, true);
        ExitCode::Usage.into()
    } else if error.use_stderr() {
        // Nobody to tell; the code says it.
        let mut err = std::io::stderr().lock();
        drop(longhaul_acts::files::write_all(
            "cli.say",
            &mut err,
            text.as_bytes(),
        ));
        ExitCode::Usage.into()
    } else {
        let outcome = printer.out(&text);
        if let Err(failure) = &outcome {
            tell(failure, printer, false);
        }
        outcome
            .map_or_else(|failure| failure.class(), |()| ExitCode::Done)
            .into()
    }
}

/// `--json` on a command line that cannot be parsed.
fn asked_for_json() -> bool {
    std::env::args_os()
        .take_while(|a| a != "--")
        .any(|a| a == "--json")
}

/// `--color` before the command line is parsed, because clap's own output needs it.
fn early_color() -> ColorWish {
    let args: Vec<String> = std::env::args_os()
        .take_while(|a| a != "--")
        .map(|a| a.to_string_lossy().into_owned())
        .collect();
    let mut wish = ColorWish::Auto;
    for (n, arg) in args.iter().enumerate() {
        let value = match arg.strip_prefix("--color") {
            Some("") => args.get(n + 1).map(String::as_str),
            Some(rest) => rest.strip_prefix('='),
            None => None,
        };
        match value {
            Some("always") => wish = ColorWish::Always,
            Some("never") => wish = ColorWish::Never,
            _ => {}
        }
    }
    wish
}

/// The whole command tree, for completions and manual pages.
pub(crate) fn command() -> clap::Command {
    Cli::command()
}

/// Prints an answer: enveloped JSON, or what `text` makes of it.
///
/// # Errors
/// The output cannot be written.
pub(crate) fn answer<T: longhaul_api::Payload + serde::Serialize>(
    context: &Context,
    value: T,
    text: impl FnOnce(&T) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if context.json {
        context.printer.json(&Envelope::new(value))
    } else {
        text(&value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn a_verb_alone_is_read_as_among_all() {
        let mut all = command();
        all.build();
        for verb in all.get_subcommands().filter(|v| !v.is_hide_set()) {
            let name = verb.get_name();
            let mut root = Cli::with_one_verb(name).expect("every verb can be read alone");
            root.build();
            let alone = root.find_subcommand(name).expect("it is the one");
            let arguments = |c: &clap::Command| -> Vec<String> {
                c.get_arguments().map(|a| format!("{a:?}")).collect()
            };
            let own = arguments(alone);
            let among = arguments(verb);
            assert_eq!(own, among, "{name}");
            assert_eq!(
                alone.get_subcommands().count(),
                verb.get_subcommands().count(),
                "{name}"
            );
        }
        let line = [
            "longhaul", "add", "--name", "n", "-p", "x", "--json", "-C", "/d", "--label", "a",
        ];
        let quick = Cli::read_alone("add", line.into_iter()).expect("a sound line");
        let whole = Cli::try_parse_from(line).expect("a sound line");
        assert_eq!(format!("{quick:?}"), format!("{whole:?}"));
        for line in [
            ["longhaul", "add", "--nonsense"],
            ["longhaul", "add", "--help"],
        ] {
            assert!(Cli::read_alone("add", line.into_iter()).is_none());
        }
        for hidden in ["judge", "gateway_process", "__judge"] {
            assert!(Verb::alone(hidden).is_none(), "{hidden}");
        }
    }

    #[test]
    fn the_overview_names_every_verb_and_fits_a_screen() {
        for verb in command().get_subcommands().filter(|v| !v.is_hide_set()) {
            let name = verb.get_name();
            assert!(
                OVERVIEW
                    .split(|c: char| !c.is_alphanumeric())
                    .any(|w| w == name),
                "the overview does not name `{name}`"
            );
        }
        assert!(OVERVIEW.lines().count() <= 48);
        assert!(OVERVIEW.lines().all(|l| l.chars().count() <= 80));
    }
}
