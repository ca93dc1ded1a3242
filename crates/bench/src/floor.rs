//! The machine's own floors: what the smallest durable write and the smallest process cost here, now.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Fallible;

/// Times of flushing one page that is written over, again and again: what a commit costs at least.
pub(crate) fn fdatasync(folder: &Path, rounds: usize) -> Fallible<Vec<Duration>> {
    let path = folder.join("floor");
    let file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .open(&path)?;
    let page = [0x5A; 4_096];
    file.write_all_at(&page, 0)?;
    file.sync_all()?;
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let start = Instant::now();
        file.write_all_at(&page, 0)?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    drop(file);
    std::fs::remove_file(path)?;
    Ok(times)
}

/// Times of starting `/bin/true` and waiting for it.
pub(crate) fn spawn(rounds: usize) -> Fallible<Vec<Duration>> {
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let start = Instant::now();
        let status = Command::new("/bin/true")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()?;
        times.push(start.elapsed());
        if !status.success() {
            return Err("/bin/true failed".into());
        }
    }
    Ok(times)
}

/// The same with several at a time; gives how many a second.
pub(crate) fn spawn_rate(rounds: usize, at_once: usize) -> Fallible<f64> {
    let start = Instant::now();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once)
            .map(|_| scope.spawn(|| spawn(rounds / at_once).map_err(|e| e.to_string())))
            .collect();
        for worker in workers {
            worker.join().map_err(|_| "a thread died")??;
        }
        Ok(())
    })
    .map_err(|e: Box<dyn std::error::Error>| e)?;
    Ok(rounds as f64 / start.elapsed().as_secs_f64())
}
