//! The verbs, a file each: its arguments and what it does with them. Shared steps live beside them
//! (`follow`, `submit`, `report`, `doctor`), decisions in the daemon.

mod account;
mod add;
mod approve;
mod attach;
mod cancel;
mod completions;
mod config;
mod daemon;
mod demo;
mod demo_keys;
mod doctor;
mod drain;
mod estop;
mod events;
mod gateway;
mod gateway_process;
mod inbox;
mod init;
mod judge;
mod leftovers;
mod limits;
mod logs;
mod ls;
mod man;
mod orders;
mod pause;
mod pool;
mod queue;
mod report;
mod resume;
mod retry;
pub(crate) mod run;
mod schema;
mod send;
mod show;
mod status;
mod stop;
mod supervise;
mod thaw;
mod trust;
mod undo;
mod undrain;
mod uninstall;
mod validate;
mod workspace;

use crate::context::Context;
use crate::failure::Outcome;

pub(crate) use workspace::{removal, size};

macro_rules! verbs {
    (
        $($variant:ident => $module:ident,)*;
        $($name:literal: $hidden:ident => $own:ident,)*
    ) => {
        /// The verbs.
        #[derive(Debug, clap::Subcommand)]
        pub(crate) enum Verb {
            $($variant(Box<$module::Args>),)*
            $(#[command(name = $name, hide = true)] $hidden(Box<$own::Args>),)*
        }

        impl Verb {
            /// A verb's own part of the command line, by its name. Hidden verbs have none.
            pub(crate) fn alone(name: &str) -> Option<clap::Command> {
                $(if name == stringify!($module) {
                    let command = clap::Command::new(stringify!($module));
                    return Some(<$module::Args as clap::Args>::augment_args(command));
                })*
                None
            }

            /// The verb of this name from what [`Verb::alone`] read.
            pub(crate) fn of_matches(name: &str, matches: &clap::ArgMatches) -> Option<Self> {
                $(if name == stringify!($module) {
                    let args = <$module::Args as clap::FromArgMatches>::from_arg_matches(matches);
                    return Some(Self::$variant(Box::new(args.ok()?)));
                })*
                None
            }

            /// Carries the verb out.
            ///
            /// # Errors
            /// What went wrong, with what to do next.
            pub(crate) fn run(self, context: &Context) -> Outcome {
                match self {
                    $(Self::$variant(args) => $module::run(&args, context),)*
                    $(Self::$hidden(args) => $own::run(&args, context),)*
                }
            }
        }
    };
}

verbs! {
    Run => run,
    Add => add,
    Validate => validate,
    Init => init,
    Demo => demo,
    Status => status,
    Ls => ls,
    Show => show,
    Logs => logs,
    Attach => attach,
    Report => report,
    Events => events,
    Send => send,
    Stop => stop,
    Retry => retry,
    Pause => pause,
    Resume => resume,
    Approve => approve,
    Cancel => cancel,
    Undo => undo,
    Queue => queue,
    Drain => drain,
    Undrain => undrain,
    Estop => estop,
    Thaw => thaw,
    Account => account,
    Limits => limits,
    Pool => pool,
    Inbox => inbox,
    Supervise => supervise,
    Gateway => gateway,
    Doctor => doctor,
    Config => config,
    Trust => trust,
    Workspace => workspace,
    Daemon => daemon,
    Uninstall => uninstall,
    Completions => completions,
    Man => man,
    Schema => schema,
    ;
    "__judge": Judge => judge,
    "__gateway": GatewayProcess => gateway_process,
}
