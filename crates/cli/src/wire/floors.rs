//! What the daemon does by the clock: it looks at free disk space and memory, and tells the dispatcher
//! when there is too little (T20, T27); once a day it keeps house.

use std::fs;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_config::settings::Settings;
use longhaul_config::size;
use longhaul_engine::event::Event;

use crate::paths::Paths;

/// Ends the looking when it is dropped.
pub(super) struct Watcher {
    _end: Sender<()>,
}

/// Looks at once and then every `pause`.
pub(super) fn watch(
    settings: &Settings,
    paths: &Paths,
    events: Sender<Event>,
    pause: Duration,
) -> Watcher {
    let (end, ended) = channel::<()>();
    let floors = Floors {
        disk_bytes: settings.min_free_bytes,
        memory_bytes: settings.min_free_memory_bytes,
        state: paths.state_dir.clone(),
    };
    let looking = std::thread::Builder::new()
        .name("floors".to_owned())
        .stack_size(128 * 1024)
        .spawn(move || {
            let mut told = None;
            loop {
                let lacking = floors.lacking();
                if told.as_ref() != Some(&lacking) {
                    if events
                        .send(Event::Floors {
                            lacking: lacking.clone(),
                        })
                        .is_err()
                    {
                        return;
                    }
                    told = Some(lacking);
                }
                if ended.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        });
    if let Err(error) = looking {
        tracing::error!(%error, "free space is not watched");
    }
    Watcher { _end: end }
}

/// Does something a minute after the start and then once a day, until the watcher is dropped.
pub(super) fn daily(name: &str, work: impl Fn() + Send + 'static) -> Watcher {
    again_and_again(
        name,
        Duration::from_secs(60),
        Duration::from_secs(24 * 3600),
        work,
    )
}

/// Does something after a time, and again after each pause, until the watcher is dropped.
pub(super) fn again_and_again(
    name: &str,
    first: Duration,
    then: Duration,
    work: impl Fn() + Send + 'static,
) -> Watcher {
    let (end, ended) = channel::<()>();
    let started = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let mut pause = first;
            while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                work();
                pause = then;
            }
        });
    if let Err(error) = started {
        tracing::error!(%error, name, "no thread for this");
    }
    Watcher { _end: end }
}

struct Floors {
    disk_bytes: u64,
    memory_bytes: u64,
    state: Utf8PathBuf,
}

impl Floors {
    /// What there is too little of, in words.
    fn lacking(&self) -> Option<String> {
        if let Some(free) = free_disk(&self.state).filter(|free| *free < self.disk_bytes) {
            return Some(format!(
                "{} are free where {} lies, and min_free is {}",
                size::format(free),
                self.state,
                size::format(self.disk_bytes)
            ));
        }
        let free = free_memory().filter(|free| *free < self.memory_bytes)?;
        Some(format!(
            "{} of memory are free, and min_free_memory is {}",
            size::format(free),
            size::format(self.memory_bytes)
        ))
    }
}

/// Bytes that we may still write there; `None` if the system does not tell.
fn free_disk(path: &Utf8Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path.as_std_path()).ok()?;
    stat.f_bavail.checked_mul(stat.f_frsize)
}

/// Memory that can be had without swapping; `None` if the system does not tell.
fn free_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}
