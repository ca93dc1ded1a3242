//! The pool of terminals, for the verbs and the daemon.

use std::io::IsTerminal as _;

use camino::Utf8PathBuf;
use longhaul_api::ExitCode;
use longhaul_config::settings::Settings;
use longhaul_core::time::{SpanMs, UnixMs};
use longhaul_engine::executor::find_program;
use longhaul_pool::{Ensured, Place, PoolSession, PoolSettings, Server, TmuxError, Waste};

use super::practice;
use crate::context::Context;
use crate::env::Env;
use crate::failure::{Failure, Outcome};
use crate::paths::Paths;
use crate::settings;

/// The server with the names on it that are ours.
pub(crate) struct Terminals {
    server: Server,
    pool: PoolSettings,
    folder: Utf8PathBuf,
}

impl Terminals {
    /// As the settings of this command's surroundings have it.
    ///
    /// # Errors
    /// The settings have mistakes; tmux is not installed.
    pub(crate) fn new(context: &Context) -> Result<Self, Failure> {
        let settings = settings::load(context, None)?.settings;
        Self::of(context.paths(), &settings, &context.env)
    }

    /// As these settings have it.
    ///
    /// # Errors
    /// As [`Terminals::new`].
    pub(crate) fn of(paths: &Paths, settings: &Settings, env: &Env) -> Result<Self, Failure> {
        let pool = practice::pool(settings, env)?;
        let name = &settings.pool.tmux;
        let program =
            find_program(name, env.lossy("PATH"), env.lossy("HOME")).ok_or_else(|| {
                Failure::of(ExitCode::Unavailable, format!("`{name}` is not installed")).help(
                    "install tmux 3.3 or newer, or name its path as `pool.tmux` in the config",
                )
            })?;
        let socket = paths.tmux_socket();
        Ok(Self {
            server: Server::new(Place { program, socket }),
            pool,
            folder: paths.pool_dir(),
        })
    }

    /// Whether anything has to be there at all times.
    pub(super) fn wanted(&self) -> bool {
        self.pool.min > 0 || !self.pool.dedicated.is_empty()
    }

    /// What every session is doing.
    ///
    /// # Errors
    /// tmux does not say.
    pub(crate) fn survey(&self) -> Result<Vec<PoolSession>, Failure> {
        longhaul_pool::survey(&self.server, &self.pool, &self.folder).map_err(refused)
    }

    /// Makes what is missing.
    ///
    /// # Errors
    /// tmux refuses.
    pub(crate) fn ensure(&self) -> Result<Ensured, Failure> {
        longhaul_pool::ensure(&self.server, &self.pool).map_err(refused)
    }

    /// Removes what nothing lives in; gives what was removed and what was left.
    ///
    /// # Errors
    /// tmux refuses.
    pub(crate) fn stop(&self) -> Result<(Vec<String>, Vec<PoolSession>), TmuxError> {
        longhaul_pool::clear(&self.server, &self.pool, &self.folder)
    }

    /// What of the pool nobody needs any more (A25).
    ///
    /// # Errors
    /// tmux does not say.
    pub(crate) fn waste(
        &self,
        retention: SpanMs,
        now: UnixMs,
    ) -> Result<Vec<(Waste, UnixMs)>, Failure> {
        longhaul_pool::waste(&self.server, &self.pool, &self.folder, retention, now)
            .map_err(refused)
    }

    /// Throws one of these away; `false` if it is needed again.
    ///
    /// # Errors
    /// tmux refuses, or a file cannot be removed.
    pub(crate) fn throw_away(&self, waste: &Waste) -> Result<bool, Failure> {
        longhaul_pool::throw_away(&self.server, &self.folder, waste)
            .map_err(|e| Failure::new("a leftover of the pool cannot be removed").because(e))
    }

    /// Lends a person's terminal to a session until they leave it.
    ///
    /// # Errors
    /// There is no terminal; tmux refuses.
    pub(crate) fn attach(&self, context: &Context, name: &str) -> Outcome {
        if context.json || !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
            return Err(Failure::usage("to attach needs a terminal")
                .help("`longhaul logs TASK -f` follows a session without one"));
        }
        let mut command = self.server.attach_command(name);
        let ended = longhaul_acts::process::status("cli.attach", &mut command)
            .map_err(|e| Failure::new("tmux cannot be run").because(e))?;
        if ended.success() {
            Ok(ExitCode::Done)
        } else {
            Err(Failure::new(format!("tmux could not attach to {name}"))
                .help("`longhaul pool status` says what is there"))
        }
    }
}

/// tmux's refusal as a failure of a command.
pub(crate) fn refused(error: TmuxError) -> Failure {
    Failure::of(ExitCode::Unavailable, "the pool's terminals cannot be used").because(error)
}
