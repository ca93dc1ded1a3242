//! What the merge queue's git is asked while a person waits: by the daemon, or by a verb that reads
//! without one.

use std::sync::Arc;

use camino::Utf8Path;
use longhaul_api::QueueView;
use longhaul_core::queue::{Forecast, Head, Landing, LineId, Undoing};
use longhaul_engine::executor::{Desk, Forecaster, undo_commit};
use longhaul_server::views::Watch;
use longhaul_server::{Foresight, Phrasing};

use crate::env::Env;
use crate::failure::{Failure, OnPath as _};
use crate::submit::repo;

/// The daemon's own tools.
pub(super) struct ByDesk {
    desk: Arc<Desk>,
    forecaster: Forecaster,
}

impl ByDesk {
    /// Keeps merges in the folder for what lives as long as the daemon, where that is in memory.
    pub(super) fn new(desk: &Arc<Desk>, runtime_dir: &Utf8Path) -> Self {
        let forecaster = Forecaster::new(desk.git.clone(), desk.dirs.repos(), None);
        Self {
            desk: Arc::clone(desk),
            forecaster: forecaster.in_memory(runtime_dir.to_owned()),
        }
    }
}

impl Foresight for ByDesk {
    fn undo(&self, landing: &Landing) -> Result<Undoing, String> {
        undo_commit(&self.desk, landing)
    }

    fn forecast(&self, line: &LineId, heads: &[Head]) -> Result<Forecast, String> {
        self.forecaster.forecast(line, heads)
    }
}

/// Adds what git says to a view that was read without a daemon. What git merges meanwhile is kept in a
/// temporary folder: reading leaves nothing behind (I7).
///
/// # Errors
/// There is no git, or no folder for temporary files.
pub(crate) fn foretell(
    view: &mut QueueView,
    watches: &[Watch],
    phrasing: &Phrasing,
    env: &Env,
) -> Result<(), Failure> {
    if watches.is_empty() {
        return Ok(());
    }
    let folder = tempfile::Builder::new()
        .prefix("longhaul-queue-")
        .tempdir()
        .on("make a folder in", std::env::temp_dir().display())?;
    let scratch = camino::Utf8Path::from_path(folder.path())
        .ok_or_else(|| Failure::usage("the folder for temporary files is not UTF-8"))?;
    let merges = Some(scratch.join("merges"));
    let forecaster = Forecaster::new(repo::git(env)?, scratch.join("repos"), merges);
    for (line, watch) in view.lines.iter_mut().zip(watches) {
        let said = forecaster.forecast(&watch.line, &watch.heads());
        line.forecast = Some(watch.told(said, phrasing));
    }
    Ok(())
}
