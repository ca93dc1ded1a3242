//! Random repositories: a base with some history and branches that edit, rename, delete, add, swap files
//! and folders, change modes and whole folders. The same seed makes the same repository.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use longhaul_vcs::Oid;

use crate::support::World;

/// A small generator of numbers (splitmix64).
pub(super) struct Rng(pub(super) u64);

impl Rng {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(n.max(1)).unwrap()).unwrap()
    }
}

/// How wild branches are.
#[derive(Clone, Copy)]
pub(super) enum Profile {
    /// Edits, renames and deletions of files.
    Files,
    /// Also folders renamed, files in the place of folders, modes, links and binary files.
    Structure,
}

type Files = BTreeMap<String, (&'static str, String)>;

/// What was made.
pub(super) struct Random {
    pub(super) branches: Vec<Oid>,
}

/// Fills an empty repository: `main` and `branches` branches off its last commits.
pub(super) fn fill(
    world: &World,
    repo: &Path,
    seed: u64,
    branches: usize,
    profile: Profile,
) -> Random {
    let mut rng = Rng(seed);
    let mut stream = String::new();
    let mut history: Vec<Files> = vec![first_files(&mut rng)];
    for n in 1..6 {
        let mut files = history[n - 1].clone();
        for _ in 0..3 {
            edit(&mut files, &mut rng, &format!("base{n}"));
        }
        history.push(files);
    }
    for (n, files) in history.iter().enumerate() {
        let from = (n > 0).then_some(n);
        commit(&mut stream, "refs/heads/main", n + 1, from, files, n);
    }
    for n in 0..branches {
        let fork = history.len() - 1 - rng.below(4);
        let mut files = history[fork].clone();
        for step in 0..=rng.below(4) {
            change(&mut files, &mut rng, profile, &format!("{n}-{step}"));
        }
        // Its own work, which has to be found again after it landed.
        files.insert(format!("own/{n}"), ("100644", format!("token-{n}\n")));
        let mark = 100 + n;
        let name = format!("refs/heads/b{n}");
        commit(&mut stream, &name, mark, Some(fork + 1), &files, mark);
    }
    import(world, repo, &stream);
    let list = world.git(
        repo,
        &[
            "for-each-ref",
            "--format=%(refname:short) %(objectname)",
            "refs/heads",
        ],
    );
    let at: BTreeMap<&str, Oid> = list
        .lines()
        .filter_map(|l| l.split_once(' '))
        .map(|(name, id)| (name, id.parse().unwrap()))
        .collect();
    let branches = (0..branches)
        .map(|n| at[format!("b{n}").as_str()].clone())
        .collect();
    Random { branches }
}

/// Feeds a stream to `git fast-import`.
pub(super) fn import(world: &World, repo: &Path, stream: &str) {
    let mut import = Command::new("git")
        .args(["fast-import", "--quiet"])
        .current_dir(repo)
        .env_clear()
        .envs(world.environment())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    import
        .stdin
        .take()
        .unwrap()
        .write_all(stream.as_bytes())
        .unwrap();
    assert!(import.wait().unwrap().success());
}

fn first_files(rng: &mut Rng) -> Files {
    let mut files = Files::new();
    for n in 0..36 {
        let folder = ["", "a/", "a/x/", "a/y/", "b/", "c/deep/er/"][n % 6];
        let lines = 6 + rng.below(14);
        let text = (0..lines).map(|l| format!("file {n} line {l}\n")).collect();
        files.insert(format!("{folder}f{n}"), ("100644", text));
    }
    files
}

/// One commit of a whole tree.
fn commit(
    stream: &mut String,
    name: &str,
    mark: usize,
    from: Option<usize>,
    files: &Files,
    time: usize,
) {
    let message = format!("commit {mark}\n");
    write!(
        stream,
        "commit {name}\nmark :{mark}\ncommitter A <a@x> {} +0000\ndata {}\n{message}",
        1_600_000_000 + time,
        message.len()
    )
    .unwrap();
    if let Some(from) = from {
        writeln!(stream, "from :{from}").unwrap();
    }
    stream.push_str("deleteall\n");
    for (path, (mode, text)) in files {
        write!(
            stream,
            "M {mode} inline {path}\ndata {}\n{text}\n",
            text.len()
        )
        .unwrap();
    }
    stream.push('\n');
}

fn pick(files: &Files, rng: &mut Rng) -> Option<String> {
    // A few files are changed by many.
    let few = if rng.below(3) == 0 { 4 } else { files.len() };
    let names: Vec<&String> = files.keys().filter(|n| !n.starts_with("own/")).collect();
    (!names.is_empty()).then(|| names[rng.below(few.min(names.len()))].clone())
}

fn edit(files: &mut Files, rng: &mut Rng, word: &str) {
    let Some(name) = pick(files, rng) else { return };
    let (_, text) = files.get_mut(&name).unwrap();
    let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
    let at = rng.below(lines.len() + 1);
    match rng.below(3) {
        0 if at < lines.len() => drop(lines.remove(at)),
        1 if at < lines.len() => lines[at] = format!("changed by {word}"),
        _ => lines.insert(at, format!("added by {word}")),
    }
    *text = lines.iter().map(|l| format!("{l}\n")).collect();
}

/// Puts a file at a path, with nothing in its way.
fn place(files: &mut Files, path: &str, content: (&'static str, String)) {
    let below = format!("{path}/");
    files.retain(|name, _| !name.starts_with(&below) && !path.starts_with(&format!("{name}/")));
    files.insert(path.to_owned(), content);
}

fn change(files: &mut Files, rng: &mut Rng, profile: Profile, word: &str) {
    let wild = matches!(profile, Profile::Structure);
    let Some(name) = pick(files, rng) else { return };
    let folder = name.rsplit_once('/').map_or("", |(f, _)| f).to_owned();
    let folders = ["", "a/", "a/x/", "b/", "c/", "c/deep/", "new/"];
    match rng.below(if wild { 15 } else { 9 }) {
        0..=3 => edit(files, rng, word),
        4 => drop(files.remove(&name)),
        5 => {
            let to = format!("{}n{}", folders[rng.below(7)], rng.below(6));
            place(files, &to, ("100644", format!("new by {word}\n")));
        }
        6 | 7 => {
            let content = files.remove(&name).unwrap();
            let to = format!("{}r{}", folders[rng.below(7)], rng.below(40));
            place(files, &to, content);
        }
        8 => {
            let content = files.remove(&name).unwrap();
            let to = format!("{name}-moved");
            place(files, &to, content);
            edit(files, rng, word);
        }
        9 | 10 if !folder.is_empty() => {
            let from = format!("{folder}/");
            let to = format!("d{}/", rng.below(4));
            let moved: Vec<String> = files
                .keys()
                .filter(|n| n.starts_with(&from))
                .cloned()
                .collect();
            for old in moved {
                let content = files.remove(&old).unwrap();
                place(files, &old.replacen(&from, &to, 1), content);
            }
        }
        11 => {
            let content = files.remove(&name).unwrap();
            place(files, &format!("{name}/inside"), content);
        }
        12 if !folder.is_empty() => place(files, &folder, ("100644", format!("file by {word}\n"))),
        13 => files.get_mut(&name).unwrap().0 = "100755",
        14 => {
            let content = match rng.below(2) {
                0 => ("120000", format!("to-{word}")),
                _ => ("100644", format!("a\0{word}\n")),
            };
            place(files, &name, content);
        }
        _ => edit(files, rng, word),
    }
}
