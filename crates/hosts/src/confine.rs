//! Confining a job with Landlock (T25): writes to a list of places, closed folders to nobody.
//!
//! Landlock can only *grant*, and a grant on a folder covers everything below it. So a closed folder
//! is closed by granting around it: on the way from a granted folder down to the closed one, every
//! sibling is granted and the folders on the way are not. What follows, and cannot be helped:
//!
//! - New entries made directly in a folder *on the way* (say in `$HOME` when `~/.local/state/x` is
//!   closed) after the job started cannot be read by it, nor made by it even if that folder is
//!   listed as writable.
//! - Names can still be listed everywhere; only content is closed.
//!
//! The most specific list wins: a hole (`writable` or `readable`) below a closed folder is open, a
//! closed folder below a writable one is closed. Where the kernel has it, signals to processes
//! outside the job are refused too. Connecting to sockets is not restricted.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use landlock::{
    ABI, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use serde::{Deserialize, Serialize};

use crate::spec::Confinement;

/// Devices that every program may expect to write to.
const COMMON_DEVICES: [&str; 8] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/tty",
    "/dev/ptmx",
    "/dev/pts",
    "/dev/shm",
    "/dev/random",
];

/// Most grants one confinement may need: a folder on the way with more entries is not reasonable.
const MAX_GRANTS: usize = 100_000;

/// What the kernel enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ConfinementLevel {
    /// Nothing: the kernel has no Landlock, or it is switched off.
    None,
    /// Landlock.
    Landlock {
        /// The highest interface version whose rights we use and the kernel has: 1 writes and
        /// reads; 2 moves between folders are possible; 3 truncation is covered; 6 signals too.
        abi: u8,
    },
}

/// Why a job could not be confined.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// A folder on the way to a closed one holds too many entries.
    #[error("more than {MAX_GRANTS} entries beside closed folders")]
    TooManyGrants,
    /// A path of the lists cannot be resolved.
    #[error("cannot resolve {path}")]
    Resolve {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel refused the rules.
    #[error("the kernel refused the rules")]
    Kernel(#[from] RulesetError),
}

/// What this kernel can enforce, for `doctor`. Restricts nothing.
#[must_use]
pub fn confinement_support() -> ConfinementLevel {
    let has = |abi: ABI| {
        Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_write(abi))
            .is_ok()
    };
    let has_signals = || {
        Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .scope(Scope::Signal)
            .is_ok()
    };
    let abi = if has_signals() {
        6
    } else if has(ABI::V3) {
        3
    } else if has(ABI::V2) {
        2
    } else if has(ABI::V1) {
        1
    } else {
        return ConfinementLevel::None;
    };
    ConfinementLevel::Landlock { abi }
}

/// Rules made ready before the fork; [`Ready::apply`] runs in the child.
#[derive(Debug)]
pub(crate) struct Ready {
    rules: RulesetCreated,
    pub(crate) level: ConfinementLevel,
}

impl Ready {
    /// Turns the lists into rules. Missing paths are skipped.
    pub(crate) fn new(lists: &Confinement) -> Result<Self, ConfineError> {
        let level = confinement_support();
        let plan = Plan::new(lists)?;
        let write = AccessFs::from_write(ABI::V3);
        let read: BitFlags<AccessFs> = AccessFs::ReadFile.into();
        let closes = !plan.closed.is_empty();
        let mut rules = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(if closes { write | read } else { write })?
            .scope(Scope::Signal)?
            .create()?;
        let mut grant = |path: &Path, access: BitFlags<AccessFs>| -> Result<(), ConfineError> {
            let Ok(fd) = PathFd::new(path) else {
                return Ok(()); // gone meanwhile, or not ours to open
            };
            let access = if path.is_dir() {
                access
            } else {
                access & AccessFs::from_file(ABI::V3)
            };
            (&mut rules).add_rule(PathBeneath::new(fd, access))?;
            Ok(())
        };
        for path in &plan.write {
            grant(path, if closes { write | read } else { write })?;
        }
        if closes {
            for path in &plan.read {
                grant(path, read)?;
            }
        }
        Ok(Self { rules, level })
    }

    /// Restricts the calling process and all it will start, for ever. Fails rather than run a job
    /// unconfined on a kernel that said it can.
    pub(crate) fn apply(self) -> io::Result<()> {
        let status = self.rules.restrict_self().map_err(io::Error::other)?;
        let enforced = status.ruleset != RulesetStatus::NotEnforced;
        if enforced || self.level == ConfinementLevel::None {
            Ok(())
        } else {
            Err(io::ErrorKind::PermissionDenied.into())
        }
    }
}

/// The places to grant.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    write: Vec<PathBuf>,
    read: Vec<PathBuf>,
    closed: Vec<PathBuf>,
}

impl Plan {
    fn new(lists: &Confinement) -> Result<Self, ConfineError> {
        let mut closed = resolve(&lists.closed)?;
        closed.sort();
        let mut plan = Self {
            write: COMMON_DEVICES.iter().map(PathBuf::from).collect(),
            read: Vec::new(),
            closed,
        };
        let mut write = Vec::new();
        for path in resolve(&lists.writable)? {
            around(&path, &plan.closed, &mut write)?;
        }
        plan.write.extend(write);
        if !plan.closed.is_empty() {
            let mut read = Vec::new();
            around(Path::new("/"), &plan.closed, &mut read)?;
            for path in resolve(&lists.readable)? {
                around(&path, &plan.closed, &mut read)?;
            }
            plan.read = read;
        }
        Ok(plan)
    }
}

/// Real paths of those that exist.
fn resolve(paths: &[camino::Utf8PathBuf]) -> Result<Vec<PathBuf>, ConfineError> {
    let mut real = Vec::new();
    for path in paths {
        match fs::canonicalize(path) {
            Ok(path) => real.push(path),
            Err(err)
                if matches!(
                    err.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) => {}
            Err(source) => {
                return Err(ConfineError::Resolve {
                    path: path.as_std_path().to_owned(),
                    source,
                });
            }
        }
    }
    Ok(real)
}

/// Adds grants for `path` and all below it but for the closed folders in it. If `path` itself is
/// closed exactly, nothing is granted; if it lies below a closed one, it is a hole and open.
fn around(path: &Path, closed: &[PathBuf], grants: &mut Vec<PathBuf>) -> Result<(), ConfineError> {
    if grants.len() >= MAX_GRANTS {
        return Err(ConfineError::TooManyGrants);
    }
    if closed.iter().any(|shut| shut == path) {
        return Ok(());
    }
    // The entries of this folder that lead to closed ones.
    let mut on_the_way: Vec<PathBuf> = closed
        .iter()
        .filter_map(
            |shut| match shut.strip_prefix(path).ok()?.components().next()? {
                Component::Normal(name) => Some(path.join(name)),
                _ => None,
            },
        )
        .collect();
    on_the_way.dedup();
    if on_the_way.is_empty() {
        grants.push(path.to_owned());
        return Ok(());
    }
    // A folder that cannot be listed (0711) has nothing to grant but what we know by name.
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        let entry = entry.path();
        // A link's target is granted where it really is.
        if !is_link && !on_the_way.contains(&entry) {
            grants.push(entry);
            if grants.len() >= MAX_GRANTS {
                return Err(ConfineError::TooManyGrants);
            }
        }
    }
    for next in on_the_way {
        around(&next, closed, grants)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t25_grants_go_around_closed_folders_and_into_holes() {
        let root = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(root.path()).unwrap();
        let at = |name: &str| root.join(name);
        for dir in ["a/state/hole/x", "a/state/db", "a/src", "b"] {
            fs::create_dir_all(at(dir)).unwrap();
        }
        fs::write(at("a/file"), "").unwrap();
        std::os::unix::fs::symlink(at("b"), at("a/link")).unwrap();
        let closed = vec![at("a/state")];
        let mut grants = Vec::new();
        around(&root, &closed, &mut grants).unwrap();
        grants.sort();
        assert_eq!(grants, [at("a/file"), at("a/src"), at("b")]);

        let mut hole = Vec::new();
        around(&at("a/state/hole"), &closed, &mut hole).unwrap();
        assert_eq!(hole, [at("a/state/hole")]);

        let mut exact = Vec::new();
        around(&at("a/state"), &closed, &mut exact).unwrap();
        assert!(exact.is_empty());
    }

    #[test]
    fn missing_paths_are_skipped() {
        let lists = Confinement {
            writable: vec!["/nowhere/at/all".into()],
            readable: vec!["/nowhere".into()],
            closed: vec!["/nowhere/secret".into()],
        };
        let plan = Plan::new(&lists).unwrap();
        assert!(plan.closed.is_empty() && plan.read.is_empty());
    }
}
