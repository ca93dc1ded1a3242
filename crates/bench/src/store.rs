//! The store alone: durable moves a second, from one at a time to as many as wait.

use std::time::{Duration, Instant};

use camino::Utf8Path;
use longhaul_store::{SqliteStore, Store};

use crate::life::{Flight, Source};
use crate::table::{at, row, time};
use crate::{Fallible, Options, clock, fill, floor};

/// Sessions that move in turn.
const IN_FLIGHT: usize = 1_000;

/// Runs it.
pub(crate) fn run(options: &Options) -> Fallible<()> {
    let temp = tempfile::tempdir_in(&options.folder)?;
    let folder = Utf8Path::from_path(temp.path()).ok_or("a folder with a plain name is needed")?;
    let mut store = fill::open(folder)?;
    let mut flight = Flight::new(Source::default(), IN_FLIGHT);
    // The log is grown first: from then on it is written over, as in a daemon that runs for hours.
    for _ in 0..16 {
        commit(&mut store, &mut flight, 2_048)?;
    }
    fill::settle(&mut store)?;

    // One after the other in the same moments, because the disk changes its mood by the second.
    let rounds = if options.quick { 200 } else { 2_000 };
    let mut floors = Vec::with_capacity(rounds);
    let mut singles = Vec::with_capacity(rounds);
    let mut used = Duration::ZERO;
    for _ in 0..rounds / 20 {
        floors.extend(floor::fdatasync(temp.path(), 20)?);
        for _ in 0..20 {
            let one = commit(&mut store, &mut flight, 1)?;
            singles.push(one.wall);
            used += one.used;
        }
    }
    let (floor_50, single_50) = (at(&mut floors, 50), at(&mut singles, 50));
    row(
        "fdatasync of one page (floor)",
        &format!("p50 {}, p99 {}", time(floor_50), time(at(&mut floors, 99))),
        &format!("{:.0}/s", 1.0 / floor_50.as_secs_f64()),
    );
    row(
        "commit of one move",
        &format!(
            "p50 {}, p99 {}",
            time(single_50),
            time(at(&mut singles, 99))
        ),
        &format!(
            "{:.2} × fdatasync (fastest of each: {:.2} ×); {} of processor",
            single_50.as_secs_f64() / floor_50.as_secs_f64(),
            at(&mut singles, 0).as_secs_f64() / at(&mut floors, 0).as_secs_f64(),
            time(used / u32::try_from(rounds).unwrap_or(1)),
        ),
    );

    let each = Duration::from_secs(if options.quick { 1 } else { 5 });
    for batch in [64, 512, 4_096] {
        let mut walls: Vec<Duration> = Vec::new();
        let (mut wall, mut used, mut moves) = (Duration::ZERO, Duration::ZERO, 0_u32);
        while wall < each {
            let one = commit(&mut store, &mut flight, batch)?;
            wall += one.wall;
            used += one.used;
            walls.push(one.wall);
            moves += u32::try_from(batch).unwrap_or_default();
        }
        let best = at(&mut walls, 0);
        row(
            &format!("moves in batches of {batch}"),
            &format!(
                "{:.0}/s (fastest batch {:.0}/s)",
                f64::from(moves) / wall.as_secs_f64(),
                batch as f64 / best.as_secs_f64()
            ),
            &format!(
                "commit p50 {}, p99 {}; {} of processor a move",
                time(at(&mut walls, 50)),
                time(at(&mut walls, 99)),
                time(used / moves)
            ),
        );
        fill::settle(&mut store)?;
    }
    Ok(())
}

struct Cost {
    wall: Duration,
    used: Duration,
}

/// Commits so many moves; making them is not counted.
fn commit(store: &mut SqliteStore, flight: &mut Flight, moves: usize) -> Fallible<Cost> {
    if let Some(write) = flight.supply(moves) {
        for result in store.commit(&[write])? {
            result?;
        }
    }
    let writes = flight.moves(moves);
    let (cpu, start) = (clock::own(), Instant::now());
    let results = store.commit(&writes)?;
    let cost = Cost {
        wall: start.elapsed(),
        used: clock::own() - cpu,
    };
    for result in results {
        result?;
    }
    Ok(cost)
}
