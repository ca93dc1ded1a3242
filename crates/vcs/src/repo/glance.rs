//! A repository as its files show it, for the ordinary case: a `.git` folder of our own with a plain
//! config. Whatever is out of the ordinary gives `None`, and then git is asked. Asking costs a process;
//! `add` alone would need ten.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::fsx;
use crate::oid::Oid;

/// A config that is longer is for git to read.
const CONFIG_LIMIT: u64 = 64 << 10;
/// HEAD and loose refs are short.
const REF_LIMIT: u64 = 4 << 10;
/// Packed refs that are longer are for git to read.
const PACKED_LIMIT: u64 = 8 << 20;

/// An ordinary repository.
#[derive(Debug)]
pub(super) struct Found {
    /// Top of the work tree, canonical because the path it was found from is.
    pub(super) top: PathBuf,
    /// Its `.git` folder.
    pub(super) git_dir: PathBuf,
    pub(super) shallow: bool,
}

/// What is found from a folder upwards.
#[derive(Debug)]
pub(super) enum Glance {
    /// An ordinary repository.
    Ordinary(Found),
    /// None: neither the folder nor one above it has anything that git could take for one.
    Nothing,
    /// Something out of the ordinary: git is asked.
    Unclear,
}

/// The repository that holds a canonical path.
pub(super) fn find(path: &Path) -> Glance {
    look_up(path).unwrap_or(Glance::Unclear)
}

fn look_up(path: &Path) -> Option<Glance> {
    let own = rustix::process::geteuid().as_raw();
    let device = path.metadata().ok()?.dev();
    for folder in path.ancestors() {
        let meta = folder.metadata().ok()?;
        // git takes a folder with these three for a git folder.
        if looks_like_git_folder(folder) {
            return None;
        }
        let git_dir = folder.join(".git");
        let git_meta = match git_dir.symlink_metadata() {
            Ok(meta) => meta,
            Err(error) if fsx::is_absent(&error) => continue,
            Err(_) => return None,
        };
        let ours = meta.uid() == own && git_meta.uid() == own && git_meta.is_dir();
        // git stops where a file system ends.
        let near = meta.dev() == device;
        if !ours || !near || !looks_like_git_folder(&git_dir) || git_dir.join("commondir").exists()
        {
            return None;
        }
        let config = fsx::read_small(&git_dir.join("config"), CONFIG_LIMIT).ok()??;
        if !is_plain(std::str::from_utf8(&config).ok()?, false) {
            return None;
        }
        return Some(Glance::Ordinary(Found {
            shallow: git_dir.join("shallow").metadata().is_ok(),
            top: folder.to_owned(),
            git_dir,
        }));
    }
    Some(Glance::Nothing)
}

/// Whether a folder is a bare repository as `git init` makes it, whole.
pub(super) fn is_made(git_dir: &Path) -> bool {
    let config = fsx::read_small(&git_dir.join("config"), CONFIG_LIMIT);
    let config = config.ok().flatten().unwrap_or_default();
    let head = fsx::read_small(&git_dir.join("HEAD"), REF_LIMIT);
    let head = head.ok().flatten().unwrap_or_default();
    looks_like_git_folder(git_dir)
        && head.starts_with(b"ref: refs/heads/")
        && std::str::from_utf8(&config).is_ok_and(|text| is_plain(text, true))
}

fn looks_like_git_folder(folder: &Path) -> bool {
    ["HEAD", "objects", "refs"]
        .iter()
        .all(|name| folder.join(name).symlink_metadata().is_ok())
}

/// Whether a config is what `git init` and everyday commands write: nothing included, no extension, a
/// work tree where one expects it, or none. A line of another shape is not plain either.
pub(crate) fn is_plain(config: &str, is_bare: bool) -> bool {
    let mut core = false;
    let (mut version, mut bare) = (false, false);
    for line in config.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if line.ends_with('\\') {
            return false;
        }
        if let Some(header) = line.strip_prefix('[') {
            let Some(header) = header.strip_suffix(']') else {
                return false;
            };
            let name = header.split([' ', '.']).next().unwrap_or_default();
            let name = name.to_ascii_lowercase();
            if header.contains(['[', ']', '\\']) || name.starts_with("include") {
                return false;
            }
            if name == "extensions" {
                return false;
            }
            core = header.eq_ignore_ascii_case("core");
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or((line, "true"));
        let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
        if !core {
            continue;
        }
        match key.as_str() {
            "repositoryformatversion" if value == "0" => version = true,
            "bare" if value == if is_bare { "true" } else { "false" } => bare = true,
            "repositoryformatversion" | "bare" | "worktree" => return false,
            _ => {}
        }
    }
    version && bare
}

/// The branch that HEAD names, if it has a commit; `None`: ask git.
pub(super) fn branch(git_dir: &Path) -> Option<String> {
    tip(git_dir).map(|(name, _)| name)
}

/// The branch that HEAD names and where it stands; `None`: ask git. The commit itself is not looked at.
pub(super) fn tip(git_dir: &Path) -> Option<(String, Oid)> {
    let head = fsx::read_small(&git_dir.join("HEAD"), REF_LIMIT).ok()??;
    let name = head
        .strip_prefix(b"ref: refs/heads/")?
        .strip_suffix(b"\n")?;
    let name = std::str::from_utf8(name).ok().filter(|n| is_simple(n))?;
    Some((name.to_owned(), stands_at(git_dir, name)??))
}

/// Whether a branch of that name has a commit; `None`: ask git.
pub(super) fn has_branch(git_dir: &Path, name: &str) -> Option<bool> {
    stands_at(git_dir, name).map(|at| at.is_some())
}

/// Where a branch stands, `Some(None)` if there is none; `None`: ask git.
fn stands_at(git_dir: &Path, name: &str) -> Option<Option<Oid>> {
    ref_at(git_dir, &format!("refs/heads/{name}"))
}

/// Where a ref of this full name stands, `Some(None)` if there is none; `None`: ask git.
pub(super) fn ref_at(git_dir: &Path, full: &str) -> Option<Option<Oid>> {
    if !is_simple(full) {
        return None;
    }
    match git_dir.join(full).symlink_metadata() {
        Ok(meta) if meta.is_dir() => {}
        Err(error) if fsx::is_absent(&error) => {}
        Ok(_) => {
            let text = fsx::read_small(&git_dir.join(full), REF_LIMIT).ok()??;
            return Oid::parse(text.strip_suffix(b"\n")?).ok().map(Some);
        }
        Err(_) => return None,
    }
    match fsx::read_small(&git_dir.join("packed-refs"), PACKED_LIMIT) {
        Ok(Some(packed)) => {
            let named = packed.split(|b| *b == b'\n').find_map(|line| {
                let at = line.iter().position(|b| *b == b' ')?;
                (line[at + 1..] == *full.as_bytes()).then(|| &line[..at])
            });
            match named {
                None => Some(None),
                Some(oid) => Oid::parse(oid).ok().map(Some),
            }
        }
        Ok(None) if !git_dir.join("packed-refs").exists() => Some(None),
        Ok(None) | Err(_) => None,
    }
}

/// Whether nothing is in the way of a new ref: git has no ref below or above another one, packed or not.
pub(super) fn has_room_for(git_dir: &Path, full: &str) -> bool {
    let Ok(packed) = fsx::read_small(&git_dir.join("packed-refs"), PACKED_LIMIT) else {
        return false;
    };
    let in_the_way = |name: &[u8]| {
        let full = full.as_bytes();
        let below = |a: &[u8], b: &[u8]| a.strip_prefix(b).is_some_and(|r| r.starts_with(b"/"));
        below(name, full) || below(full, name)
    };
    let packed = packed.unwrap_or_default();
    let mut names = packed
        .split(|b| *b == b'\n')
        .filter_map(|line| Some(&line[line.iter().position(|b| *b == b' ')? + 1..]));
    // A folder in its place may hold other refs, or only be left over: git looks.
    is_simple(full) && !names.any(in_the_way) && git_dir.join(full).symlink_metadata().is_err()
}

/// A name that is the same as a path, whatever git allows besides.
pub(crate) fn is_simple(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/' | '.');
    !name.is_empty()
        && name.chars().all(plain)
        && name
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\
        [remote \"origin\"]\n\turl = https://example.org/x\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n";

    #[test]
    fn only_a_plain_config_is_read_without_git() {
        assert!(is_plain(PLAIN, false) && !is_plain(PLAIN, true));
        for more in [
            "[include]\n\tpath = /elsewhere\n",
            "[includeIf \"gitdir:/\"]\n\tpath = /elsewhere\n",
            "[extensions]\n\tobjectformat = sha256\n",
            "[core]\n\tworktree = /elsewhere\n",
            "[Core]\n\tWorkTree = /elsewhere\n",
            "[core] worktree = /elsewhere\n",
            "[core]\n\tbare = true\n",
            "[core]\n\tbare\n",
            "[core]\n\trepositoryformatversion = 1\n",
            "[alias]\n\tx = a \\\n[core]\n",
        ] {
            assert!(!is_plain(&format!("{PLAIN}{more}"), false), "{more}");
        }
        assert!(!is_plain("[core]\n\tbare = false\n", false));
    }

    #[test]
    fn odd_names_are_left_to_git() {
        assert!(is_simple("feature/a-1.x"));
        for name in ["", "a//b", "../x", "a/.b", "x.lock", "é", "a b", "@{-1}"] {
            assert!(!is_simple(name), "{name}");
        }
    }
}
