//! Many live sessions: what they and the daemon hold, and how soon a new daemon has them again.

use std::path::Path;
use std::time::{Duration, Instant};

use longhaul_hosts::ProcessIdentity;

use crate::scene::{Scene, folders, shims, until};
use crate::table::{row, size, time};
use crate::{Fallible, Options, clock, floor, table};

/// Runs it.
pub(crate) fn run(options: &Options) -> Fallible<()> {
    let counts: &[usize] = if options.quick { &[20] } else { &[200, 1_000] };
    counts.iter().try_for_each(|count| of(options, *count))
}

fn of(options: &Options, count: usize) -> Fallible<()> {
    let mut scene = Scene::new(options)?;
    scene.configure(&format!("concurrency = {count}\nmax_workspaces = 1000\n"))?;
    let pid = scene.daemon()?;
    let start = Instant::now();
    let mut tasks = String::new();
    for n in 0..count {
        let place = scene.path(&format!("place{n}"));
        std::fs::create_dir(&place)?;
        tasks.push_str(&format!(
            "[[task]]\nname = \"s{n}\"\nrepo = \"{}\"\nworkspace = \"in-place\"\nharness = \"script\"\n\
             expect = \"any\"\nprompt = \"say up\\nsleep 1h\"\n\n",
            place.display()
        ));
    }
    let file = scene.path("repo").join("tasks.toml");
    std::fs::write(&file, tasks)?;
    scene.said(&["run", "tasks.toml", "--detach"])?;
    let jobs = scene.path("state").join("jobs");
    until("all sessions", || identities(&jobs) >= count)?;
    row(
        &format!("{count} sessions started together"),
        &time(start.elapsed()),
        &format!(
            "{} each; `/bin/true` {}",
            time(start.elapsed() / u32::try_from(count).unwrap_or(1)),
            time(crate::table::at(&mut floor::spawn(50)?, 50))
        ),
    );
    until("their output read", || sockets(pid) >= count)?;
    std::thread::sleep(Duration::from_secs(2));
    let used = clock::of(pid);
    std::thread::sleep(Duration::from_secs(5));
    row(
        &format!("daemon with {count} sessions"),
        &format!("{} resident", size(resident(pid))),
        &format!(
            "{} threads; idle {} of processor a second",
            threads(pid),
            time(clock::of(pid).saturating_sub(used) / 5)
        ),
    );
    let shims = shims(&jobs);
    let private: Vec<u64> = shims.iter().map(|pid| private(*pid)).collect();
    row(
        "a shim",
        &format!(
            "{} private at most",
            size(private.iter().copied().max().unwrap_or(0))
        ),
        &format!("{} looked at", shims.len()),
    );

    let daemon = ProcessIdentity::of(pid)?;
    kill(&daemon)?;
    let start = Instant::now();
    let next = scene.daemon()?;
    let up = start.elapsed();
    until("the sessions again", || sockets(next) >= count)?;
    row(
        &format!("after kill -9 of the daemon: {count} sessions watched again"),
        &time(start.elapsed()),
        &format!("{} until it answered", time(up)),
    );
    if identities(&jobs) != count {
        table::note("longhaul-bench: a session was started twice");
        return Err("a session was started twice".into());
    }
    Ok(())
}

fn kill(process: &ProcessIdentity) -> Fallible<()> {
    let pid = i32::try_from(process.pid)?;
    let pid = rustix::process::Pid::from_raw(pid).ok_or("no process")?;
    rustix::process::kill_process(pid, rustix::process::Signal::KILL)?;
    let path = format!("/proc/{}", process.pid);
    until("its end", || !Path::new(&path).exists())?;
    Ok(())
}

fn identities(jobs: &Path) -> usize {
    folders(jobs)
        .filter(|f| f.join("identity.json").exists())
        .count()
}

/// Connections that a process holds.
fn sockets(pid: u32) -> usize {
    folders(Path::new(&format!("/proc/{pid}/fd")))
        .filter_map(|fd| std::fs::read_link(fd).ok())
        .filter(|to| to.to_string_lossy().starts_with("socket:"))
        .count()
}

fn status(pid: u32, field: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix(field));
    let word = line.and_then(|l| l.split_whitespace().next());
    word.and_then(|w| w.parse().ok()).unwrap_or(0)
}

fn resident(pid: u32) -> u64 {
    status(pid, "VmRSS:") << 10
}

fn threads(pid: u32) -> u64 {
    status(pid, "Threads:")
}

fn private(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let kib: u64 = text
        .lines()
        .filter(|l| l.starts_with("Private_"))
        .filter_map(|l| l.split_whitespace().nth(1))
        .filter_map(|n| n.parse::<u64>().ok())
        .sum();
    kib << 10
}
