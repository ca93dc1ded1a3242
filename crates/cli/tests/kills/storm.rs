//! Random kills: of daemon, shim and agent at random moments over many short tasks, with two daemons
//! racing now and then, from a seed. Everything that was handed in must be done in the end, and the
//! audit holds. `LONGHAUL_STORM_KILLS` and `LONGHAUL_STORM_SEED` ask for more and for others.

use std::time::{Duration, Instant};

use longhaul_core::task::StateWord;
use longhaul_hosts::{Bundle, BundleState};
use longhaul_store::{Reader as _, TaskFilter};
use longhaul_testkit::world::{ProcessIdentity, wait_until};

use crate::scene::{LIMIT, Scene, is_live, session_key};

/// Kills in CI.
const KILLS: u64 = 300;
/// Kills in one world.
const ROUND: u64 = 500;
/// Tasks of a file; the next file comes when few are left.
const TASKS: usize = 24;

/// Files prepared for one world.
const FILES: usize = 100;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

#[derive(Debug, Default)]
struct Count {
    daemons: u64,
    shims: u64,
    agents: u64,
    races: u64,
    tasks: u64,
}

impl Count {
    fn kills(&self) -> u64 {
        self.daemons + self.shims + self.agents
    }
}

fn file(number: usize) -> String {
    (0..TASKS)
        .map(|n| {
            let name = format!("t{number}-{n}");
            format!(
                "[[task]]\nname = \"{name}\"\nmax_restarts = 1000\nprompt = '''\n\
                 run echo $LONGHAUL_SESSION >> starts.txt\nwrite {name}.txt a\nsleep {}ms\n\
                 append more.txt b\nspawn sleep 3011\nsleep {}ms\ndone\n'''\n\
                 [[task.check]]\nname = \"there\"\nrun = \"test -e {name}.txt\"\n\n",
                200 + 97 * (n % 7),
                100 + 83 * (n % 5),
            )
        })
        .collect()
}

/// Tasks that are not over.
fn open_tasks(scene: &Scene) -> Vec<longhaul_core::task::Task> {
    let Some(reader) = scene.reader() else {
        return Vec::new();
    };
    let all = reader.list(&TaskFilter::default()).unwrap_or_default();
    let open = all.into_iter().map(|stored| stored.task);
    open.filter(|task| task.state.word() != StateWord::Done)
        .collect()
}

/// One of the two processes of a live session, by its record.
fn victim(scene: &Scene, random: &mut Random, shim: bool) -> Option<ProcessIdentity> {
    let live: Vec<_> = open_tasks(scene).into_iter().filter(is_live).collect();
    let task = live.get(usize::try_from(random.below(live.len().max(1) as u64)).ok()?)?;
    let bundle = Bundle::new(&scene.jobs(), session_key(task).as_str()).ok()?;
    let Ok(BundleState::Live(found)) = bundle.survey() else {
        return None;
    };
    let identity = found.identity()?;
    let wanted = if shim {
        &identity.shim
    } else {
        &identity.child
    };
    ProcessIdentity::of(wanted.pid).filter(|p| p.started_ticks == wanted.start_ticks)
}

fn start_daemon(scene: &Scene, race: bool) {
    let starting: Vec<_> = (0..if race { 2 } else { 1 })
        .map(|_| {
            let command = scene.world.longhaul_in(&scene.repo, ["daemon", "start"]);
            scene.world.spawn(command)
        })
        .collect();
    for client in starting {
        let code = client.finish(LIMIT).code();
        // 7: the other one was faster and it serves already.
        assert!([0, 7].contains(&code), "{code}\n{}", scene.daemon_log());
    }
}

fn round(seed: u64, kills: u64) -> Count {
    let mut random = Random(seed);
    let mut count = Count::default();
    let mut scene = Scene::with("concurrency = 8");
    // Before the checkout is noted: nothing of it may change from then on.
    for number in 1..FILES {
        let text = format!("[defaults]\nharness = \"script\"\n\n{}", file(number));
        let path = scene.repo.join(format!("more-{number}.toml"));
        std::fs::write(path, text).unwrap();
    }
    scene.tasks(&file(0));
    scene.start();
    let mut files = 1;
    count.tasks += TASKS as u64;
    let mut last = Instant::now();
    while count.kills() < kills {
        assert!(
            last.elapsed() < LIMIT * 5,
            "nothing could be killed: {count:?}\n{}",
            scene.daemon_log()
        );
        if scene.daemon().is_none() {
            let race = random.below(8) == 0;
            count.races += u64::from(race);
            start_daemon(&scene, race);
        }
        if open_tasks(&scene).len() < TASKS / 2 {
            assert!(files < FILES, "more tasks than files: {count:?}");
            let handed = scene.longhaul(&["run", &format!("more-{files}.toml"), "--detach"]);
            assert_eq!(handed.code(), 0, "{handed:?}");
            files += 1;
            count.tasks += TASKS as u64;
        }
        std::thread::sleep(Duration::from_millis(random.below(30)));
        // About one in eight is a daemon, so that there are sessions to kill under it.
        let (killed, kind) = if count.daemons * 7 <= count.shims + count.agents {
            (scene.daemon(), &mut count.daemons)
        } else if random.below(2) == 0 {
            (victim(&scene, &mut random, true), &mut count.shims)
        } else {
            (victim(&scene, &mut random, false), &mut count.agents)
        };
        if killed.is_some_and(|process| process.kill()) {
            *kind += 1;
            last = Instant::now();
        }
    }
    let mut open = Vec::new();
    let over = wait_until(LIMIT * 4, || {
        if scene.daemon().is_none() {
            start_daemon(&scene, false);
        }
        open = open_tasks(&scene);
        open.is_empty()
    });
    assert!(over, "seed {seed}: {open:#?}\n{}", scene.daemon_log());
    scene.audit(&[]);
    count
}

#[test]
fn i2_i8_random_kills_lose_nothing_double_nothing_and_leave_nobody() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let kills: u64 = number("LONGHAUL_STORM_KILLS").unwrap_or(KILLS);
    let mut seed: u64 = number("LONGHAUL_STORM_SEED").unwrap_or(20_261_121);
    let begun = Instant::now();
    let mut done = 0;
    while done < kills {
        let count = round(seed, ROUND.min(kills - done));
        done += count.kills();
        eprintln!(
            "seed {seed}: {count:?}; {done} kills in {:?}",
            begun.elapsed()
        );
        seed += 1;
    }
}
