//! The machine: programs, folders, disk, kernel, clock.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use camino::Utf8Path;
use longhaul_config::settings::Settings;
use longhaul_hosts::{ConfinementLevel, confinement_support};

use super::{Row, advisory, fail, pass, skipped};
use crate::context::Context;
use crate::settings;
use crate::submit::harness::find_program;
use crate::submit::repo;
use crate::verbs::size;

/// Free disk space below which the default settings start nothing.
const MIN_FREE: u64 = 2 << 30;

/// Whether the program that runs is the one that `longhaul` on the PATH means.
pub(super) fn binary(context: &Context) -> Row {
    let version = env!("CARGO_PKG_VERSION");
    let own = std::env::current_exe().and_then(|p| p.canonicalize());
    let Ok(own) = own else {
        return advisory(
            "binary",
            format!("version {version}, removed or replaced while it runs"),
            "`longhaul daemon restart`",
        );
    };
    match find_program("longhaul", &context.env).and_then(|p| p.canonicalize_utf8().ok()) {
        Some(found) if found.as_std_path() == own => {
            pass("binary", format!("version {version}, {found}"))
        }
        Some(found) => advisory(
            "binary",
            format!(
                "version {version}, {}; but `longhaul` on your PATH is {found}",
                own.display()
            ),
            "remove one of the two, or put the right one first on your PATH",
        ),
        None => advisory(
            "binary",
            format!("version {version}, {}, is not on your PATH", own.display()),
            "put its folder on your PATH, or link it into ~/.local/bin",
        ),
    }
}

/// The git program.
pub(super) fn git(context: &Context) -> Row {
    match repo::git(&context.env) {
        Ok(git) => {
            let (major, minor) = git.version();
            let lfs = if git.has_lfs() { ", with lfs" } else { "" };
            pass("git", format!("version {major}.{minor}{lfs}"))
        }
        Err(e) => fail("git", e.message(), e.help_lines().join("; ")),
    }
}

/// The configuration; also gives the settings, if it is valid.
pub(super) fn config(context: &Context) -> (Option<Settings>, Row) {
    match settings::load(context, None) {
        Ok(resolved) => {
            let file = context.paths().config_file();
            let found = if file.exists() {
                file.to_string()
            } else {
                format!("all defaults (no {file})")
            };
            let row = match resolved.notes.items().first() {
                None => pass("config", found),
                Some(note) => advisory(
                    "config",
                    format!("{found}: {}", note.message),
                    "`longhaul config list` shows it with its line",
                ),
            };
            (Some(resolved.settings), row)
        }
        Err(e) => (
            None,
            fail(
                "config",
                e.message(),
                "`longhaul config list` shows every mistake with its line",
            ),
        ),
    }
}

/// Owner, rights and kind of the state folder.
pub(super) fn state_folder(context: &Context) -> Row {
    let dir = &context.paths().state_dir;
    if let Some(kind) = longhaul_vcs::network_filesystem(existing(dir).as_std_path()) {
        return fail(
            "state folder",
            format!("{dir} is on a network file system ({kind})"),
            "set LONGHAUL_STATE_DIR to a folder on a local disk",
        );
    }
    folder("state folder", dir)
}

/// Owner and rights of the folder of sockets.
pub(super) fn runtime_folder(context: &Context) -> Row {
    let dir = &context.paths().runtime_dir;
    let row = folder("runtime folder", dir);
    let unset = !context.env.has("XDG_RUNTIME_DIR");
    if unset && dir.starts_with("/tmp") && row.grade == super::Grade::Pass {
        return Row {
            found: format!("{} (XDG_RUNTIME_DIR is not set)", row.found),
            ..row
        };
    }
    row
}

fn folder(name: &str, dir: &Utf8Path) -> Row {
    let meta = match fs::symlink_metadata(dir) {
        Ok(meta) => meta,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return pass(name, format!("{dir} (made when it is needed)"));
        }
        Err(e) => return fail(name, format!("{dir}: {e}"), "make it readable by you"),
    };
    let uid = rustix::process::getuid().as_raw();
    if !meta.is_dir() {
        return fail(name, format!("{dir} is not a folder"), "remove it");
    }
    if meta.uid() != uid {
        return fail(
            name,
            format!("{dir} belongs to user {}", meta.uid()),
            format!("chown -R {uid} {dir}"),
        );
    }
    if meta.mode() & 0o077 != 0 {
        return advisory(
            name,
            format!("{dir} is open to others ({:03o})", meta.mode() & 0o777),
            format!("chmod 700 {dir}"),
        );
    }
    pass(name, format!("{dir}, yours alone"))
}

/// The closest folder that exists.
fn existing(dir: &Utf8Path) -> &Utf8Path {
    dir.ancestors()
        .find(|d| d.exists())
        .unwrap_or(Utf8Path::new("/"))
}

/// Free space where the state lies (T20).
pub(super) fn disk(context: &Context) -> Row {
    let dir = existing(&context.paths().state_dir);
    match rustix::fs::statvfs(dir.as_std_path()) {
        Ok(v) => {
            let free = v.f_bavail.saturating_mul(v.f_frsize);
            let found = format!("{} free at {dir}", size(free));
            if free < MIN_FREE {
                advisory(
                    "disk",
                    found,
                    "make room, or lower `min_free`: below it nothing new starts",
                )
            } else {
                pass("disk", found)
            }
        }
        Err(e) => skipped("disk", format!("cannot be asked: {e}")),
    }
}

/// What the kernel confines (T25).
pub(super) fn sandbox() -> Row {
    match confinement_support() {
        ConfinementLevel::Landlock { abi } if abi >= 3 => {
            pass("sandbox", format!("Landlock, level {abi}"))
        }
        ConfinementLevel::Landlock { abi } => advisory(
            "sandbox",
            format!("Landlock, level {abi}: truncating files outside the workspace is not refused"),
            "a kernel of 6.2 or newer confines that too",
        ),
        ConfinementLevel::None => advisory(
            "sandbox",
            "this kernel confines nothing: sessions can write wherever you can",
            "a kernel with Landlock (5.13 or newer, not switched off) confines them",
        ),
    }
}

/// Whether sessions can get a control group of their own.
pub(super) fn cgroup() -> Row {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let Some(path) = own.lines().find_map(|l| l.strip_prefix("0::")) else {
        return advisory(
            "control groups",
            "no unified hierarchy: process trees are followed by their ancestry instead",
            "boot with cgroup v2 to have whole trees ended at once",
        );
    };
    let folder = format!("/sys/fs/cgroup{path}");
    let writable = rustix::fs::access(folder.as_str(), rustix::fs::Access::WRITE_OK).is_ok();
    if writable {
        pass("control groups", format!("ours to divide at {path}"))
    } else {
        advisory(
            "control groups",
            format!(
                "{path} is not ours to divide: process trees are followed by their ancestry instead"
            ),
            "start the daemon as a systemd user service: `longhaul daemon unit` prints one",
        )
    }
}

/// Whether a logout ends everything (T30).
pub(super) fn lingering(context: &Context) -> Row {
    if !Utf8Path::new("/run/systemd/system").exists() {
        return skipped(
            "lingering",
            "no systemd here; the daemon leaves your session by itself",
        );
    }
    let user = context
        .env
        .lossy("USER")
        .or(context.env.lossy("LOGNAME"))
        .unwrap_or("root");
    if user == "root" || Utf8Path::new("/var/lib/systemd/linger").join(user).exists() {
        pass("lingering", format!("processes of {user} survive a logout"))
    } else {
        advisory(
            "lingering",
            "a logout can end the daemon and its sessions",
            format!("loginctl enable-linger {user}"),
        )
    }
}

/// Whether the wall clock can be right.
pub(super) fn clock() -> Row {
    let now = crate::output::clock::now();
    // Limits and schedules are told in wall time: a clock before this program was written is wrong.
    const WRITTEN_MS: i64 = 1_767_225_600_000;
    if now.0 < WRITTEN_MS {
        return fail(
            "clock",
            format!("it says {}", crate::output::clock::rfc3339(now)),
            "set the clock: resets of limits are wall times",
        );
    }
    pass("clock", crate::output::clock::rfc3339(now))
}
