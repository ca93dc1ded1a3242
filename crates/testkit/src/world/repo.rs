//! A real git repository of a world.

use std::io;
use std::path::{Path, PathBuf};

use super::{COMMAND_LIMIT, World};

/// A repository; its commands run in the world's environment.
#[derive(Debug)]
pub struct Repo<'w> {
    world: &'w World,
    path: PathBuf,
}

impl<'w> Repo<'w> {
    pub(super) fn create(world: &'w World, path: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&path)?;
        let repo = Self { world, path };
        repo.git(["init", "-q", "-b", "main"]);
        std::fs::write(repo.path.join("README.md"), "# A test repository\n")?;
        repo.commit("Start");
        Ok(repo)
    }

    /// Its work tree.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs git in it and gives its output without the last line end.
    ///
    /// # Panics
    /// git failed; the message holds what it said.
    #[track_caller]
    pub fn git<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        let mut command = self.world.command("git");
        command.current_dir(&self.path).args(args);
        let ran = self.world.run_within(COMMAND_LIMIT, command).expect_code(0);
        ran.stdout.trim_end().to_owned()
    }

    /// Writes a file, folders included.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, below: &str, text: &str) -> io::Result<()> {
        super::write(&self.path.join(below), text)
    }

    /// Commits everything and gives the commit's id.
    ///
    /// # Panics
    /// git failed.
    #[track_caller]
    pub fn commit(&self, message: &str) -> String {
        self.git(["add", "-A"]);
        self.git(["commit", "-q", "--allow-empty", "-m", message]);
        self.git(["rev-parse", "HEAD"])
    }
}
