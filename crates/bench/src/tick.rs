//! The dispatcher's step when nothing happened, with many live sessions and much history, and its
//! start from such a store.

use std::time::{Duration, Instant};

use camino::Utf8Path;
use longhaul_core::schedule::Capacity;
use longhaul_core::time::{Now, UnixMs};
use longhaul_engine::event::Event;
use longhaul_engine::machine::{About, Limits, Machine};
use longhaul_store::Store;
use uuid::Uuid;

use crate::life::Source;
use crate::table::{at, row, time};
use crate::{Fallible, Options, fill};

/// Live sessions.
const LIVE: usize = 1_000;

/// Runs it.
pub(crate) fn run(options: &Options) -> Fallible<()> {
    let history = if options.quick { 20_000 } else { 1_000_000 };
    let temp = tempfile::tempdir_in(&options.folder)?;
    let folder = Utf8Path::from_path(temp.path()).ok_or("a folder with a plain name is needed")?;
    let mut store = fill::open(folder)?;
    let mut source = Source::default();
    fill::history(&mut store, &mut source, history)?;
    let (write, mut tasks) = source.submission(LIVE);
    store.commit(&[write])?.remove(0)?;
    for _ in 0..3 {
        let moves: Vec<_> = tasks.iter_mut().map(|t| source.next(t)).collect();
        for result in store.commit(&moves)? {
            result?;
        }
    }
    let limits = Limits {
        capacity: Capacity {
            total: u32::try_from(LIVE).unwrap_or(u32::MAX),
            ..Capacity::default()
        },
        ..Limits::default()
    };
    let start = Instant::now();
    let mut machine = Machine::open(store, limits, About::default(), Uuid::now_v7)?;
    let effects = machine.recover();
    row(
        &format!("dispatcher's start: {LIVE} live sessions, {history} done tasks stored"),
        &time(start.elapsed()),
        &format!("{} effects asked for again", effects.len()),
    );
    let mut times: Vec<Duration> = Vec::new();
    for n in 0..2_000 {
        let now = Now {
            wall: UnixMs(1_790_100_000_000 + n),
            mono_ms: 1_000_000 + n.unsigned_abs(),
        };
        let start = Instant::now();
        let step = machine.step(vec![Event::Tick], now);
        times.push(start.elapsed());
        if !step.effects.is_empty() || step.advanced.is_some() {
            return Err("a tick did something".into());
        }
    }
    row(
        "a tick of the same",
        &format!(
            "p50 {}, p99 {}",
            time(at(&mut times, 50)),
            time(at(&mut times, 99))
        ),
        "no statement, no write",
    );
    Ok(())
}
