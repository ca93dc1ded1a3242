//! The composition root: the only place that names the concrete parts together. Builds the daemon
//! from store, engine, executor and server, runs it, and takes it down in order.

mod accounts;
mod authority;
mod floors;
pub(crate) mod foresight;
mod gateway;
mod homes;
mod inhibit;
mod judge;
pub(crate) mod logs;
mod own_log;
mod practice;
mod single;
pub(crate) mod terminals;
pub(crate) mod tokens;
pub(crate) mod visitor;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use longhaul_api::ExitCode;
use longhaul_config::settings::Settings;
use longhaul_core::overlap::OverlapStrategy;
use longhaul_engine::clock::{Clock as _, SystemClock};
use longhaul_engine::event::Event;
use longhaul_engine::executor::{
    Accounts, BaseWatch, Desk, DeskParts, Dirs, Keeper, NoAccounts, OverlapWatch, PracticeOf,
    Workshop,
};
use longhaul_engine::machine::{About, Asking, Machine};
use longhaul_engine::runtime::{self, Executor, Listener};
use longhaul_server::{OpenReader, Phrasing, ServerDeps};
use longhaul_store::{Reader, SqliteReader, SqliteStore, Store as _, StoreError, Write};
use longhaul_vcs::{Git, GitSettings};
use tokio::sync::watch;

use crate::context::Context;
use crate::env::Env;
use crate::failure::{Failure, Outcome};
use crate::inbox::Inboxes;
use crate::janitor::Janitor;
use crate::output::{Printer, clock};
use crate::paths::Paths;

pub(crate) use gateway::{gateway_launch, gateway_main};
pub(crate) use judge::judge_main;
pub(crate) use practice::{practice, practice_of};

/// How often free space and memory are looked at.
const FLOOR_LOOK: Duration = Duration::from_secs(5);
/// How often the workspaces of live sessions are looked at for files that more than one changes.
const OVERLAP_LOOK: Duration = Duration::from_secs(10);
/// How often base branches are looked at on which the merge queue waits.
const BASE_LOOK: Duration = Duration::from_secs(5);
/// How often the gateway is asked what it has to tell.
const REPORTS_LOOK: Duration = Duration::from_secs(2);
/// How often memory that is free is given back: it costs a walk through all that is in use.
const MEMORY_LOOK: Duration = Duration::from_secs(20);
/// How often the pool's missing sessions are made.
const POOL_LOOK: Duration = Duration::from_secs(30);
/// Children that end within so long of each other are waited for together.
const REAP_PAUSE: Duration = Duration::from_millis(50);
/// The daemon's version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Runs the daemon in the foreground until it is told to end. Its folders exist.
///
/// # Errors
/// Another daemon serves this state folder (T19), or a part cannot be set up; nothing was started
/// then.
pub(crate) fn daemon_main(
    paths: &Paths,
    settings: &Settings,
    env: &Env,
    printer: &Printer,
) -> Outcome {
    let _single = single::take(paths)?;
    logging(env);
    let open_files = enough_open_files()?;
    refuse_files_in_the_way(paths)?;
    let practice = practice::practice(settings, env)?;
    let git = Git::new(GitSettings::new(env.all())).map_err(crate::submit::repo::git_failure)?;
    let exe = own_image()?;
    let now = SystemClock.now().wall;

    let mut store = SqliteStore::open(&paths.database()).map_err(store_failure)?;
    let boot = longhaul_hosts::BootId::current()
        .map_err(|e| Failure::new("cannot read this machine's boot id").because(e))?;
    let started = Write::HostStart {
        host: "local".to_owned(),
        boot_id: boot.as_str().to_owned(),
        version: VERSION.to_owned(),
        at: now,
    };
    store.commit(&[started]).map_err(store_failure)?;
    let reader = store.reader().map_err(store_failure)?;
    let newest = reader.newest_seq().map_err(store_failure)?;
    if newest == 0 {
        refuse_lost_tasks(paths)?;
    }

    let (events, inbox) = channel::<Event>();
    let gatekeeper = Arc::new(accounts::Gatekeeper::new(paths, env, printer, &events)?);
    let desk = Desk::new(DeskParts {
        dirs: dirs(paths),
        exe,
        git,
        practice,
        practice_of: repository_practice(paths, env, printer),
        environment: env.all_text(),
        accounts: Arc::clone(&gatekeeper) as Arc<dyn Accounts>,
        open_files: open_files.inherited,
        own_folders: paths.as_variables(),
        reader,
        events: events.clone(),
    })
    .map_err(|e| Failure::new("cannot set up the daemon's folders").because(e))?;
    let about = About {
        pid: std::process::id(),
        version: VERSION.to_owned(),
        started_at: now,
    };
    let limits = practice::limits(settings);
    let mut machine =
        Machine::open(store, limits, about, uuid::Uuid::now_v7).map_err(store_failure)?;
    machine.use_homes(gatekeeper.homes());

    let (advance, advance_seen) = watch::channel(newest);
    let (shutdown, shutdown_seen) = watch::channel(false);
    let desk = Arc::new(desk);
    let deps = ServerDeps {
        engine: runtime::handle(&events),
        readers: open_readers(paths),
        authority: Arc::new(authority::ByProcess),
        on_refused: Arc::new(|call| {
            tracing::warn!(by = ?call.by, pid = call.pid, method = %call.method, path = %call.path, "refused: not a person (I17)");
        }),
        logs: Arc::new(logs::Bundles::new(&paths.state_dir)),
        foresight: Arc::new(foresight::ByDesk::new(&desk, &paths.runtime_dir)),
        reload_accounts: {
            let gatekeeper = Arc::clone(&gatekeeper);
            Arc::new(move || gatekeeper.reload())
        },
        advance: advance_seen,
        shutdown: shutdown_seen,
        phrasing: Phrasing::new(clock::moment, crate::output::mask::of(env)),
        clock: Arc::new(|| SystemClock.now().wall),
        version: VERSION.to_owned(),
    };
    let listener = Ears {
        advance,
        on_needs_human: settings.on_needs_human.clone(),
        inhibitor: inhibit::Inhibitor::new(),
        environment: env.all().collect(),
        mask: Box::new(crate::output::mask::of(env)),
    };
    let executor: Arc<dyn Executor> = Arc::new(Workshop::new(Arc::clone(&desk)));
    let reap = {
        let desk = Arc::clone(&desk);
        move || longhaul_engine::executor::reap_shims(&desk)
    };
    let bases_desk = Arc::clone(&desk);
    let housekeeping = floors::daily("housekeeping", {
        let (snapshots, workspaces) = (settings.snapshot_retention, settings.workspace_retention);
        let (paths, settings, env) = (paths.clone(), settings.clone(), env.clone());
        move || {
            match Janitor::of(&paths, &settings, &env) {
                Ok(janitor) => janitor.tidy(&desk, SystemClock.now().wall),
                Err(why) => tracing::warn!(%why, "leftovers are not looked for"),
            }
            Keeper::new(&desk, workspaces).collect();
            longhaul_engine::executor::prune_snapshots(&desk, snapshots);
        }
    });
    let bases = {
        let (desk, watch) = (Arc::clone(&bases_desk), BaseWatch::default());
        floors::again_and_again("bases", BASE_LOOK, BASE_LOOK, move || watch.look(&desk))
    };
    let overlaps = (settings.queue.live_conflicts != OverlapStrategy::Off).then(|| {
        let (desk, watch) = (Arc::clone(&bases_desk), OverlapWatch::default());
        floors::again_and_again("overlaps", OVERLAP_LOOK, OVERLAP_LOOK, move || {
            watch.look(&desk)
        })
    });
    let reports = floors::again_and_again("gateway", REPORTS_LOOK, REPORTS_LOOK, {
        let (gatekeeper, log) = (Arc::clone(&gatekeeper), paths.daemon_log());
        move || {
            own_log::cut(&log);
            gatekeeper.collect();
        }
    });
    let memory = floors::again_and_again(
        "memory",
        MEMORY_LOOK,
        MEMORY_LOOK,
        longhaul_hosts::memory::give_back,
    );
    let pool = keep_pool(paths, settings, env);
    let inboxes = keep_inboxes(paths, settings, env, printer, &events)?;
    let watcher = floors::watch(settings, paths, events.clone(), FLOOR_LOOK);
    let server = std::thread::Builder::new()
        .name("server".to_owned())
        .spawn({
            let socket = paths.socket();
            move || {
                // Also when it breaks: a daemon that nobody can reach must not hold the state folder.
                let _end = EndsTheRest(events.clone());
                serve(&socket, deps, reap, &events)
            }
        })
        .map_err(|e| Failure::new("cannot start the server's thread").because(e))?;

    tracing::info!(pid = std::process::id(), state = %paths.state_dir, "the daemon runs");
    runtime::run(machine, &inbox, &executor, &SystemClock, &listener);
    // What was asked too late is dropped with its way back, so that nobody waits for an answer.
    drop(inbox);
    tracing::info!("the daemon ends; sessions go on");
    drop((
        watcher,
        bases,
        overlaps,
        housekeeping,
        reports,
        memory,
        pool,
        inboxes,
    ));
    gatekeeper.leave();
    shutdown.send_replace(true);
    match server.join() {
        Ok(served) => served.map(|()| ExitCode::Done),
        Err(_) => Err(Failure::new("the server broke").help(format!("see {}", paths.daemon_log()))),
    }
}

/// Looks into the inboxes, where there are any (A20).
///
/// # Errors
/// The configuration is wrong, or the store cannot be read.
fn keep_inboxes(
    paths: &Paths,
    settings: &Settings,
    env: &Env,
    printer: &Printer,
    events: &Sender<Event>,
) -> Result<Option<floors::Watcher>, Failure> {
    let means = crate::inbox::Means {
        context: Context::of_daemon(paths, env, printer),
        engine: runtime::handle(events),
        reader: Box::new(SqliteReader::open(&paths.database()).map_err(store_failure)?),
    };
    let inboxes = Inboxes::new(means, settings)?;
    if inboxes.is_empty() {
        return Ok(None);
    }
    let inboxes = std::sync::Mutex::new(inboxes);
    let look = move || {
        if let Ok(mut inboxes) = inboxes.lock() {
            inboxes.look();
        }
    };
    Ok(Some(floors::again_and_again(
        "inboxes",
        Duration::ZERO,
        Inboxes::LOOK,
        look,
    )))
}

/// Keeps the pool's sessions there, where any are wanted at all times (A19).
fn keep_pool(paths: &Paths, settings: &Settings, env: &Env) -> Option<floors::Watcher> {
    let terminals = match terminals::Terminals::of(paths, settings, env) {
        Ok(terminals) if terminals.wanted() => terminals,
        Ok(_) => return None,
        Err(failure) => {
            let wanted = settings.pool.min > 0 || !settings.pool.dedicated.is_empty();
            if wanted {
                tracing::warn!(why = failure.message(), "the pool's sessions are not kept");
            }
            return None;
        }
    };
    let look = move || match terminals.ensure() {
        Ok(done) if done == longhaul_pool::Ensured::default() => {}
        Ok(done) => tracing::info!(made = ?done.made, revived = ?done.revived, "the pool"),
        Err(failure) => tracing::warn!(why = %failure, "the pool's sessions are not kept"),
    };
    Some(floors::again_and_again(
        "pool",
        Duration::ZERO,
        POOL_LOOK,
        look,
    ))
}

/// The tools of the daemon's effects for a verb that carries one out itself, in this process (the
/// removal of a workspace). Its events go nowhere: it tells no dispatcher anything.
///
/// # Errors
/// The configuration, git or the store cannot be used.
pub(crate) fn tools(context: &Context, settings: &Settings) -> Result<Desk, Failure> {
    let paths = context.paths();
    let git = crate::submit::repo::git(&context.env)?;
    let (events, _nobody) = channel::<Event>();
    Desk::new(DeskParts {
        dirs: dirs(paths),
        exe: own_image()?,
        git,
        practice: practice::practice(settings, &context.env)?,
        practice_of: repository_practice(paths, &context.env, &context.printer),
        environment: context.env.all_text(),
        accounts: Arc::new(NoAccounts),
        // This process raises no limit that its children would have to be given back.
        open_files: None,
        own_folders: paths.as_variables(),
        reader: Box::new(SqliteReader::open(&paths.database()).map_err(store_failure)?),
        events,
    })
    .map_err(|e| Failure::new("cannot read the state folder").because(e))
}

fn repository_practice(paths: &Paths, env: &Env, printer: &Printer) -> PracticeOf {
    let (paths, env, printer) = (paths.clone(), env.clone(), printer.clone());
    Box::new(move |repo| practice_of(&paths, &env, &printer, repo).map_err(|e| e.body().message))
}

fn dirs(paths: &Paths) -> Dirs {
    Dirs {
        state: paths.state_dir.clone(),
        config: paths.config_dir.clone(),
        runtime: paths.runtime_dir.clone(),
    }
}

/// The executable image of this very process, also after its file was replaced by another version:
/// shims and helpers are started from it (T29).
fn own_image() -> Result<PathBuf, Failure> {
    let image = PathBuf::from("/proc/self/exe");
    if image.exists() {
        return Ok(image);
    }
    std::env::current_exe()
        .map_err(|e| Failure::new("cannot find the program of this process").because(e))
}

/// Serves the socket on a small runtime of its own: one thread, since whatever could hold it up (the store, `/proc`,
/// large bodies and answers) is on threads that may block, and each change of thread costs more than a request.
fn serve(
    socket: &camino::Utf8Path,
    deps: ServerDeps,
    reap: impl Fn() + Send + 'static,
    dispatcher: &Sender<Event>,
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .thread_name("http")
        .enable_all()
        .build()
        .map_err(|e| Failure::new("cannot set up input and output").because(e));
    runtime.and_then(|runtime| {
        runtime.block_on(async {
            let listener = longhaul_server::bind(socket.as_std_path())
                .map_err(|e| Failure::new("cannot listen").because(e))?;
            let signals = tokio::spawn(end_by_signal(dispatcher.clone()));
            let reaping = tokio::spawn(reap_when_children_end(reap));
            longhaul_server::serve(listener, deps).await;
            signals.abort();
            reaping.abort();
            Ok(())
        })
    })
}

/// Folders of the state folder that are something else: every task would wait for them for ever.
///
/// # Errors
/// One of them is.
fn refuse_files_in_the_way(paths: &Paths) -> Result<(), Failure> {
    for name in ["jobs", "repos", "tasks", "workspaces"] {
        let path = paths.state_dir.join(name);
        if path.exists() && !path.is_dir() {
            return Err(Failure::new(format!("{path} is not a folder"))
                .help("move it away; Longhaul makes the folder it needs there"));
        }
    }
    Ok(())
}

/// An empty database beside records of jobs is not a first start: going on would forget the tasks that
/// they belong to (I3).
///
/// # Errors
/// There are such records.
fn refuse_lost_tasks(paths: &Paths) -> Result<(), Failure> {
    let jobs = paths.state_dir.join("jobs");
    let known = std::fs::read_dir(&jobs).map_or(0, Iterator::count);
    if known == 0 {
        return Ok(());
    }
    Err(Failure::of(
        ExitCode::Unavailable,
        format!(
            "{} holds no task, and {jobs} the records of earlier ones ({known}): the database was lost or emptied",
            paths.database()
        ),
    )
    .help("put a copy back: the newest `.bak` beside it or one of your own")
    .help(format!("or begin anew: move {} away; branches and worktrees stay", paths.state_dir)))
}

/// Tells the dispatcher to end when it is dropped.
struct EndsTheRest(Sender<Event>);

impl Drop for EndsTheRest {
    fn drop(&mut self) {
        tell_to_end(&self.0);
    }
}

/// Files the daemon needs open besides those of its sessions, and a few of these.
const LEAST_OPEN_FILES: u64 = 128;

/// Raises the limit of open files as far as is allowed.
///
/// # Errors
/// It stays so low that the daemon could not answer anybody.
fn enough_open_files() -> Result<longhaul_hosts::limits::OpenFiles, Failure> {
    let files = longhaul_hosts::limits::raise_open_files()
        .map_err(|e| Failure::new("cannot raise the limit of open files").because(e))?;
    match files.now {
        Some(now) if now < LEAST_OPEN_FILES => Err(Failure::new(format!(
            "the daemon may have {now} files open, and needs at least {LEAST_OPEN_FILES}"
        ))
        .help(
            "raise the limit of whoever starts it: `ulimit -Hn` shows it, `ulimit -n 1024` sets it",
        )),
        _ => Ok(files),
    }
}

/// Nobody else waits for a shim that ends while nothing is launched.
async fn reap_when_children_end(reap: impl Fn() + Send + 'static) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut ended) = signal(SignalKind::child()) else {
        tracing::warn!("ended shims are waited for at the next launch only");
        return;
    };
    while ended.recv().await.is_some() {
        tokio::time::sleep(REAP_PAUSE).await;
        reap();
    }
}

/// TERM and INT end the daemon in order; HUP is nothing to it.
async fn end_by_signal(dispatcher: Sender<Event>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int), Ok(mut hup)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
        signal(SignalKind::hangup()),
    ) else {
        tracing::error!("signals cannot be caught");
        return;
    };
    loop {
        tokio::select! {
            // Cancel-safe, all three: a signal that one of them missed is seen by the next `recv`.
            _ = term.recv() => break,
            _ = int.recv() => break,
            _ = hup.recv() => {}
        }
    }
    tracing::info!("told to end by a signal");
    tell_to_end(&dispatcher);
}

fn tell_to_end(dispatcher: &Sender<Event>) {
    if dispatcher.send(Event::Stop).is_err() {
        tracing::debug!("the dispatcher has ended already");
    }
}

fn open_readers(paths: &Paths) -> OpenReader {
    let database = paths.database();
    Arc::new(move || Ok(Box::new(SqliteReader::open(&database)?) as Box<dyn Reader>))
}

/// What the dispatcher tells the rest.
struct Ears {
    advance: watch::Sender<u64>,
    on_needs_human: Option<String>,
    inhibitor: inhibit::Inhibitor,
    environment: Vec<(std::ffi::OsString, std::ffi::OsString)>,
    mask: Box<dyn Fn(&str) -> String + Send>,
}

impl Listener for Ears {
    fn advanced(&self, seq: u64) {
        self.advance.send_replace(seq);
    }

    fn needs_person(&self, tasks: &[Asking]) {
        let Some(command) = &self.on_needs_human else {
            return;
        };
        for asking in tasks {
            practice::run_hook(command, asking, &self.environment, &*self.mask);
        }
    }

    fn working(&self, yes: bool) {
        self.inhibitor.hold(yes);
    }

    fn store_trouble(&self, why: Option<&str>) {
        match why {
            Some(why) => {
                tracing::error!(%why, "nothing is written and nothing starts until this is over");
            }
            None => tracing::info!("the database can be written again"),
        }
    }
}

/// The daemon's own log goes to standard error, which is its log file when it is detached.
fn logging(env: &Env) {
    let filter = env
        .lossy(crate::env::LOG)
        .and_then(|f| tracing_subscriber::EnvFilter::try_new(f).ok())
        .unwrap_or_else(|| tracing_subscriber::EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(std::io::stderr);
    if log.try_init().is_err() {
        tracing::debug!("a log is set up already");
    }
}

fn store_failure(error: StoreError) -> Failure {
    let remedy = error.remedy();
    Failure::of(ExitCode::Unavailable, "the database cannot be used")
        .because(error)
        .help(remedy)
}
