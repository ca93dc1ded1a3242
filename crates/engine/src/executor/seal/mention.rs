//! Whether a session's output names a folder (L4): its own words and tool calls, all of them that were
//! kept, by whatever name of the folder, symbolic links included.

use std::collections::HashMap;
use std::io;
use std::path::{Component, Path, PathBuf};

use longhaul_hosts::{JobLog, LogRead};

/// Read at once.
const PIECE: usize = 1 << 20;
/// Longest name that is found across two pieces.
const OVERLAP: usize = 8 << 10;
/// Most different folders that are looked up on disk.
const FOLDERS_MAX: usize = 100_000;

/// A folder that is looked for, and the places below it that are the session's own.
pub(super) struct Wanted<'a> {
    /// The folder, without symbolic links.
    pub(super) folder: &'a Path,
    /// The state folder, which may lie in the checkout (a repository of the whole home), and git's
    /// folders of worktrees, which point into it.
    pub(super) own: &'a [PathBuf],
    /// Where the session worked: what relative names start from.
    pub(super) workdir: &'a Path,
    /// What `~` means to it.
    pub(super) home: Option<&'a Path>,
}

/// Looks names up once.
pub(super) struct Search<'a> {
    wanted: Wanted<'a>,
    own: Vec<PathBuf>,
    known: HashMap<PathBuf, Option<PathBuf>>,
    /// There were more names than are looked up: not all of the output was judged.
    pub(super) cut_short: bool,
}

impl<'a> Search<'a> {
    pub(super) fn new(wanted: Wanted<'a>) -> Self {
        let real = |p: &PathBuf| p.canonicalize().unwrap_or_else(|_| p.clone());
        Self {
            own: wanted.own.iter().map(real).collect(),
            wanted,
            known: HashMap::new(),
            cut_short: false,
        }
    }

    /// Whether a stream names the folder, read to its end. Its middle may have been cut (`max_log`).
    pub(super) fn in_log(&mut self, log: &JobLog) -> io::Result<bool> {
        let mut window: Vec<u8> = Vec::new();
        let mut piece = vec![0; PIECE];
        let mut offset = 0;
        loop {
            let read = match log.read_at(offset, &mut piece)? {
                LogRead::Bytes(n) if n > 0 => n,
                LogRead::Cut { next } => {
                    window.clear();
                    offset = next;
                    continue;
                }
                LogRead::Bytes(_) | LogRead::End => return Ok(false),
            };
            offset += read as u64;
            window.extend_from_slice(&piece[..read]);
            if self.in_text(&String::from_utf8_lossy(&window)) {
                return Ok(true);
            }
            window.drain(..window.len().saturating_sub(OVERLAP));
        }
    }

    /// Whether a text does.
    pub(super) fn in_text(&mut self, text: &str) -> bool {
        let folder = self.wanted.folder.to_string_lossy().into_owned();
        let own: Vec<String> = self
            .wanted
            .own
            .iter()
            .chain(&self.own)
            .map(|p| p.to_string_lossy().into_owned())
            .collect();
        // Word for word first: a name with spaces is no single word.
        names(text, &folder, &own)
            || text
                .split(|c: char| c.is_whitespace() || BETWEEN.contains(&c))
                .filter(|word| word.contains('/'))
                .any(|word| self.leads_in(word.trim_end_matches(['.', ',', ':'])))
    }

    fn leads_in(&mut self, word: &str) -> bool {
        let path = match (word.strip_prefix("~/"), self.wanted.home) {
            (Some(rest), Some(home)) => home.join(rest),
            // `file:///x` and `--out=/x` were cut before; `//x` is an address or a comment.
            _ if word.starts_with("//") => return false,
            _ => self.wanted.workdir.join(word),
        };
        let Some(real) = self.real(&path) else {
            return false;
        };
        real.starts_with(self.wanted.folder) && !self.own.iter().any(|own| real.starts_with(own))
    }

    /// The path as far as it exists, without links.
    fn real(&mut self, path: &Path) -> Option<PathBuf> {
        if let Some(known) = self.known.get(path) {
            return known.clone();
        }
        if self.known.len() >= FOLDERS_MAX {
            self.cut_short = true;
            return None;
        }
        let real = match path.canonicalize() {
            Ok(real) => Some(real),
            // Made and gone, or to be made: where it would lie.
            Err(_) => match (path.parent(), path.components().next_back()) {
                (Some(parent), Some(Component::Normal(name))) => {
                    self.real(parent).map(|real| real.join(name))
                }
                _ => None,
            },
        };
        self.known.insert(path.to_owned(), real.clone());
        real
    }
}

/// What stands between two names in shell lines, JSON and prose.
const BETWEEN: [char; 20] = [
    '"', '\'', '`', '\\', ';', '&', '|', '(', ')', '<', '>', '=', ',', '[', ']', '{', '}', ':',
    '\0', '\u{1b}',
];

/// Whether a text names a path, or something below it that is not below one of `own`.
fn names(text: &str, path: &str, own: &[String]) -> bool {
    let ends = |at: usize| {
        let next = text[at..].chars().next();
        matches!(
            next,
            Some('/' | '"' | '\'' | ' ' | '\\' | ';' | '&' | ')' | '\n') | None
        )
    };
    text.match_indices(path).any(|(at, m)| {
        let is_own = |own: &String| text[at..].starts_with(own.as_str()) && ends(at + own.len());
        ends(at + m.len()) && !own.iter().any(is_own)
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn l4_only_a_path_of_the_checkouts_own_names_it() {
        let own = [
            "/home/u/.local/state/longhaul".to_owned(),
            "/home/u/.git/worktrees".to_owned(),
        ];
        for text in [
            "cd /home/u && make",
            "edit \"/home/u/src/a.rs\"",
            "git -C /home/u",
            "/home/u/.local/state/longhaul-other/x",
        ] {
            assert!(names(text, "/home/u", &own), "{text}");
        }
        for text in [
            "edit /home/u/.local/state/longhaul/workspaces/r-1/t/a.rs",
            "gitdir: /home/u/.git/worktrees/t",
            "/home/user/a",
        ] {
            assert!(!names(text, "/home/u", &own), "{text}");
        }
    }

    struct Place {
        root: tempfile::TempDir,
        checkout: PathBuf,
        own: Vec<PathBuf>,
        work: PathBuf,
    }

    fn place() -> Place {
        let root = tempfile::tempdir().unwrap();
        let top = root.path().canonicalize().unwrap();
        let (checkout, work) = (top.join("real/repo"), top.join("state/w/t"));
        for folder in [&checkout.join("src"), &work] {
            fs::create_dir_all(folder).unwrap();
        }
        symlink(&checkout, top.join("alias")).unwrap();
        symlink(top.join("real"), work.join("up")).unwrap();
        let own = vec![top.join("state"), checkout.join(".git/worktrees")];
        Place {
            root,
            checkout,
            own,
            work,
        }
    }

    impl Place {
        fn search(&self) -> Search<'_> {
            Search::new(Wanted {
                folder: &self.checkout,
                own: &self.own,
                workdir: &self.work,
                home: Some(self.root.path()),
            })
        }
    }

    #[test]
    fn l4_a_checkout_is_known_by_any_of_its_names() {
        let place = place();
        let top = place.root.path().display();
        for text in [
            format!("echo x > {top}/alias/src/new/deep.rs"),
            format!("{{\"file_path\":\"{top}/alias/a.txt\"}}"),
            "tee up/repo/a.txt".to_owned(),
            "cd ../../../real/repo/src".to_owned(),
            "rm ~/alias/a.txt.".to_owned(),
            format!("--output={top}/real/../alias/a"),
        ] {
            assert!(place.search().in_text(&text), "{text}");
        }
        for text in [
            format!("echo x > {top}/aliases/a"),
            format!("{top}/state/w/t/a.rs and ./src/a.rs"),
            "up/other/a.txt https://example.com/repo/src".to_owned(),
        ] {
            assert!(!place.search().in_text(&text), "{text}");
        }
    }

    #[test]
    fn l4_a_name_late_in_a_long_log_or_across_two_pieces_is_found() {
        let place = place();
        let bundle = place.root.path().join("bundle");
        fs::create_dir(&bundle).unwrap();
        let name = place.root.path().join("alias/src/a.rs");
        for before in [70 << 20, PIECE - 5] {
            let mut log = vec![b'.'; before];
            log[before - 1] = b' ';
            log.extend_from_slice(name.to_str().unwrap().as_bytes());
            fs::write(bundle.join("out.log"), &log).unwrap();
            let log = JobLog::new(&bundle, longhaul_hosts::Stream::Out);
            assert!(place.search().in_log(&log).unwrap(), "{before}");
        }
    }
}
