//! What every verb gets: the environment, where things lie, and the way to the terminal.

use camino::{Utf8Path, Utf8PathBuf};

use crate::client::{self, Client, Reads};
use crate::env::Env;
use crate::failure::Failure;
use crate::output::Printer;
use crate::paths::Paths;

/// The surroundings of one run of the program.
#[derive(Debug)]
pub(crate) struct Context {
    /// The environment.
    pub(crate) env: Env,
    /// The terminal.
    pub(crate) printer: Printer,
    /// Whether the answer is to be JSON.
    pub(crate) json: bool,
    folder: Utf8PathBuf,
    paths: Paths,
}

impl Context {
    /// Works out the paths; `folder` is `-C`, resolved against the working folder.
    ///
    /// # Errors
    /// See [`Paths::of`]; a working folder that is gone.
    pub(crate) fn new(
        env: Env,
        printer: Printer,
        json: bool,
        folder: Option<&Utf8Path>,
    ) -> Result<Self, Failure> {
        let paths = Paths::of(&env)?;
        let here = std::env::current_dir()
            .map_err(|e| {
                Failure::new("the working folder cannot be found")
                    .because(e)
                    .help("it may have been removed: `cd` to another one")
            })
            .and_then(|dir| {
                Utf8PathBuf::from_path_buf(dir).map_err(|dir| {
                    Failure::usage(format!(
                        "the working folder is not UTF-8: {}",
                        dir.display()
                    ))
                    .help("call longhaul from another folder")
                })
            })?;
        let folder = match folder {
            None => here,
            Some(dir) => {
                let dir = here.join(dir);
                if !dir.is_dir() {
                    return Err(Failure::usage(format!("{dir} is not a folder"))
                        .help("-C names the folder to work in"));
                }
                dir
            }
        };
        Ok(Self {
            env,
            printer,
            json,
            folder,
            paths,
        })
    }

    /// The daemon's own, for what it does like a verb.
    pub(crate) fn of_daemon(paths: &Paths, env: &Env, printer: &Printer) -> Self {
        Self {
            env: env.clone(),
            printer: printer.clone(),
            json: false,
            folder: paths.home.clone(),
            paths: paths.clone(),
        }
    }

    /// The same with other paths, for `demo` and `--rehearse`.
    pub(crate) fn elsewhere(&self, paths: Paths, env: Env, folder: Utf8PathBuf) -> Self {
        Self {
            env,
            printer: self.printer.clone(),
            json: self.json,
            folder,
            paths,
        }
    }

    /// Where things lie.
    pub(crate) const fn paths(&self) -> &Paths {
        &self.paths
    }

    /// The folder to work in, absolute.
    pub(crate) fn folder(&self) -> &Utf8Path {
        &self.folder
    }

    /// A path of the command line, absolute.
    pub(crate) fn absolute(&self, path: &Utf8Path) -> Utf8PathBuf {
        self.folder.join(path)
    }

    /// The daemon, started if need be.
    ///
    /// # Errors
    /// It does not come up.
    pub(crate) fn daemon(&self) -> Result<Client, Failure> {
        client::start(&self.paths, &self.env, &self.printer)
    }

    /// Refuses agents' sessions what only a person may do (I17).
    ///
    /// # Errors
    /// This process belongs to a session.
    pub(crate) fn person_only(&self) -> Result<(), Failure> {
        client::person_only(&self.paths)
    }

    /// A way to read that never starts anything: the daemon, or else the store.
    ///
    /// # Errors
    /// Neither can be read.
    pub(crate) fn reads(&self) -> Result<Reads, Failure> {
        Reads::open(&self.paths)
    }
}
