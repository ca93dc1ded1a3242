//! The real binary, a process for each command: handing in, starting, reading.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::life::Source;
use crate::scene::{Scene, until};
use crate::table::{at, row, time};
use crate::{Fallible, Options, clock, fill, floor};

/// Commands at the same time.
const AT_ONCE: usize = 8;

/// `add`: a process each, eight at a time, on an empty store and on one with history.
pub(crate) fn add(options: &Options) -> Fallible<()> {
    let rounds = if options.quick { 160 } else { 1_600 };
    let histories: &[usize] = if options.quick {
        &[0, 20_000]
    } else {
        &[0, 1_000_000]
    };
    for history in histories {
        let mut scene = Scene::new(options)?;
        {
            let mut store = fill::open(&scene.state()?)?;
            fill::history(&mut store, &mut Source::default(), *history)?;
        }
        let pid = scene.daemon()?;
        scene.said(&["drain"])?;
        let spawns = floor::spawn_rate(rounds, AT_ONCE)?;
        let mut flushes = floor::fdatasync(&scene.path("state"), 100)?;
        let (children, daemon) = (clock::children(), clock::of(pid));
        let start = Instant::now();
        let mut times = many(&scene, rounds)?;
        let rate = rounds as f64 / start.elapsed().as_secs_f64();
        let each = |used: Duration| time(used / u32::try_from(rounds).unwrap_or(1));
        row(
            &format!("`add`, {AT_ONCE} at a time, {history} tasks stored"),
            &format!(
                "{rate:.0}/s, p50 {}, p99 {}",
                time(at(&mut times, 50)),
                time(at(&mut times, 99))
            ),
            &format!(
                "`/bin/true` {AT_ONCE} at a time {spawns:.0}/s ({:.2} ×), fdatasync {}; processor: \
                 client {}, daemon {}",
                spawns / rate,
                time(at(&mut flushes, 50)),
                each(clock::children().saturating_sub(children)),
                each(clock::of(pid).saturating_sub(daemon)),
            ),
        );
    }
    Ok(())
}

fn many(scene: &Scene, rounds: usize) -> Fallible<Vec<Duration>> {
    let next = AtomicUsize::new(0);
    let times = Mutex::new(Vec::with_capacity(rounds));
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                scope.spawn(|| -> Result<(), String> {
                    loop {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        if n >= rounds {
                            return Ok(());
                        }
                        let name = format!("t{n}");
                        let args = [
                            "add",
                            "--name",
                            &name,
                            "--harness",
                            "script",
                            "-p",
                            "say hi",
                        ];
                        let took = scene
                            .timed(&mut scene.longhaul(&args))
                            .map_err(|e| e.to_string())?;
                        times
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(took);
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.join().map_err(|_| "a thread died")??;
        }
        Ok::<(), Box<dyn std::error::Error>>(())
    })?;
    Ok(times.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// From `add` to the program that the agent runs: it writes down when it began.
pub(crate) fn start(options: &Options) -> Fallible<()> {
    let rounds = if options.quick { 10 } else { 60 };
    let mut scene = Scene::new(options)?;
    let pid = scene.daemon()?;
    let place = scene.path("place");
    std::fs::create_dir(&place)?;
    let mut floors = Vec::new();
    let (mut handed, mut began) = (Vec::new(), Vec::new());
    let used = clock::of(pid);
    for n in 0..rounds {
        let mut date = scene.plain("/bin/sh");
        date.args(["-c", "date +%s%N >/dev/null"]);
        floors.push(scene.timed(&mut date)?);
        let (name, mark) = (format!("t{n}"), place.join(format!("at{n}")));
        let script = format!("run date +%s%N > {}", mark.display());
        let place = place.to_string_lossy();
        let args = [
            "add",
            "--name",
            &name,
            "--harness",
            "script",
            "--workspace",
            "in-place",
            "--repo",
            &place,
            "--expect",
            "any",
            "-p",
            &script,
        ];
        let before = SystemTime::now().duration_since(UNIX_EPOCH)?;
        handed.push(scene.timed(&mut scene.longhaul(&args))?);
        let mut told = None;
        until("the agent's program", || {
            let text = std::fs::read_to_string(&mark).unwrap_or_default();
            told = text.trim().parse::<u64>().ok();
            told.is_some()
        })?;
        began.push(Duration::from_nanos(told.unwrap_or_default()).saturating_sub(before));
        // The next one in the same folder starts when this one is over, its work secured and all.
        until("the task's end", || {
            let shown = scene.said(&["show", &name, "--json"]).unwrap_or_default();
            let shown: serde_json::Value = serde_json::from_str(&shown).unwrap_or_default();
            ["/data/task/state", "/task/state"]
                .iter()
                .any(|at| shown.pointer(at).and_then(serde_json::Value::as_str) == Some("done"))
        })?;
    }
    row(
        "`add` → the agent's first program has started (in place, `script`)",
        &format!(
            "p50 {}, p99 {}",
            time(at(&mut began, 50)),
            time(at(&mut began, 99))
        ),
        &format!(
            "`add` alone p50 {}; `sh -c date` p50 {}; daemon {} of processor a task",
            time(at(&mut handed, 50)),
            time(at(&mut floors, 50)),
            time(clock::of(pid).saturating_sub(used) / rounds)
        ),
    );
    Ok(())
}

/// Reading commands on a store with history, a process each.
pub(crate) fn read(options: &Options) -> Fallible<()> {
    let (history, rounds) = if options.quick {
        (10_000, 10)
    } else {
        (100_000, 60)
    };
    let mut scene = Scene::new(options)?;
    {
        let mut store = fill::open(&scene.state()?)?;
        fill::history(&mut store, &mut Source::default(), history)?;
    }
    for with_daemon in [false, true] {
        if with_daemon {
            scene.daemon()?;
        }
        for args in [
            &["--version"][..],
            &["status"],
            &["ls"],
            &["show", "task-77"],
        ] {
            let (mut floors, mut times) = (Vec::new(), Vec::new());
            let used = clock::children();
            for _ in 0..rounds {
                times.push(scene.timed(&mut scene.longhaul(args))?);
            }
            let used = clock::children().saturating_sub(used) / rounds;
            for _ in 0..rounds {
                floors.push(scene.timed(&mut scene.plain("/bin/true"))?);
            }
            let side = if with_daemon { "with" } else { "without" };
            row(
                &format!(
                    "`longhaul {}`, {history} tasks, {side} a daemon",
                    args.join(" ")
                ),
                &format!(
                    "p50 {}, best {}",
                    time(at(&mut times, 50)),
                    time(at(&mut times, 0))
                ),
                &format!(
                    "`/bin/true` p50 {}, best {}; {} of processor",
                    time(at(&mut floors, 50)),
                    time(at(&mut floors, 0)),
                    time(used)
                ),
            );
        }
    }
    Ok(())
}
