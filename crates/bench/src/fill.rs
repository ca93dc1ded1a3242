//! A store with history: many tasks that are done.

use std::time::Instant;

use camino::Utf8Path;
use longhaul_store::{SqliteStore, Store, Upkeep};

use crate::life::Source;
use crate::{Fallible, table};

/// Tasks of one submission.
const CHUNK: usize = 1_000;

/// Adds so many tasks that are done.
pub(crate) fn history(store: &mut SqliteStore, source: &mut Source, tasks: usize) -> Fallible<()> {
    let start = Instant::now();
    let mut left = tasks;
    while left > 0 {
        let count = left.min(CHUNK);
        for result in store.commit(&[source.history(count)])? {
            result?;
        }
        left -= count;
    }
    settle(store)?;
    table::note(&format!(
        "{tasks} done tasks stored in {:?}",
        start.elapsed()
    ));
    Ok(())
}

/// Does all housekeeping.
pub(crate) fn settle(store: &mut SqliteStore) -> Fallible<()> {
    while store.idle()? == Upkeep::More {}
    Ok(())
}

/// Opens or makes the store of a state folder.
pub(crate) fn open(state: &Utf8Path) -> Fallible<SqliteStore> {
    Ok(SqliteStore::open(&state.join("longhaul.db"))?)
}
