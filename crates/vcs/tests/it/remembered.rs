//! What is remembered between two looks: nothing that anybody changed meanwhile, and no run of git where
//! nobody did.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use longhaul_vcs::{FileRules, Git, GitSettings, Oid, Repo, SnapshotRequest};

use crate::support::{World, write};

/// A `git` in front of the real one that writes down each of its runs.
pub(crate) fn counted(world: &World) -> Git {
    let real = std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .map(|folder| folder.join("git"))
        .find(|file| file.is_file())
        .unwrap();
    let program = world.root.join("counted-git");
    let text = format!(
        "#!/bin/sh\necho \"$1\" >>'{}'\nexec '{}' \"$@\"\n",
        log(world).display(),
        real.display()
    );
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut settings = GitSettings::new(world.environment());
    settings.program = program;
    Git::new(settings).unwrap()
}

fn log(world: &World) -> PathBuf {
    world.root.join("runs.log")
}

/// The runs since the last call.
pub(crate) fn runs(world: &World) -> Vec<String> {
    let text = fs::read_to_string(log(world)).unwrap_or_default();
    fs::remove_file(log(world)).ok();
    text.lines().map(str::to_owned).collect()
}

/// Longer than two changes may leave the same time stamp.
pub(crate) fn settle() {
    std::thread::sleep(Duration::from_millis(45));
}

pub(crate) fn open(git: &Git, world: &World, folder: &Path) -> Repo {
    Repo::open(git, folder, &world.state())
        .or_else(|_| Repo::open_plain(git, folder, &world.state()))
        .unwrap()
}

fn tree(git: &Git, world: &World, folder: &Path, rules: &FileRules) -> Oid {
    let repo = open(git, world, folder);
    repo.tree_of(&repo.in_place(), rules).unwrap()
}

fn snapshot(git: &Git, world: &World, folder: &Path) {
    let repo = open(git, world, folder);
    let request = SnapshotRequest {
        reference: "refs/longhaul/snap/x/1".to_owned(),
        reason: "test".to_owned(),
        files: FileRules::default(),
    };
    drop(repo.snapshot(&repo.in_place(), &request).unwrap());
}

#[test]
fn a_folder_that_nobody_touched_since_its_snapshot_is_known_without_git() {
    let world = World::new();
    let plain = world.root.join("plain");
    fs::create_dir(&plain).unwrap();
    write(&plain, "a.txt", "one\n");
    let git = counted(&world);
    settle();
    for folder in [plain, world.repo_path()] {
        let first = tree(&git, &world, &folder, &FileRules::default());
        settle();
        tree(&git, &world, &folder, &FileRules::default());
        runs(&world);
        let again = tree(&git, &world, &folder, &FileRules::default());
        assert_eq!(runs(&world), [""; 0], "{}", folder.display());
        assert_eq!(first, again);
        // As after a turn that wrote something to its very end.
        write(&folder, "b.txt", "two\n");
        snapshot(&git, &world, &folder);
        runs(&world);
        assert_ne!(first, tree(&git, &world, &folder, &FileRules::default()));
        assert_eq!(runs(&world), [""; 0], "{}", folder.display());
    }
}

#[test]
fn i5_whatever_is_changed_is_seen_as_if_nothing_was_remembered() {
    let world = World::new();
    let repo = world.repo_path();
    let plain = world.root.join("plain");
    fs::create_dir(&plain).unwrap();
    let git = world.handle();
    let keep = FileRules {
        keep: vec![".env".to_owned()],
        ..FileRules::default()
    };
    let small = FileRules {
        max_file_bytes: 3,
        ..FileRules::default()
    };
    let default = FileRules::default();
    for folder in [&repo, &plain] {
        let git_dir = if folder == &repo {
            repo.join(".git")
        } else {
            tree(&git, &world, folder, &default);
            let mut shadows = fs::read_dir(world.state().join("shadow")).unwrap();
            shadows.next().unwrap().unwrap().path()
        };
        let edits: [(&str, &dyn Fn()); 10] = [
            ("a new file", &|| write(folder, "new.txt", "1\n")),
            ("same length, old time", &|| {
                let file = folder.join("new.txt");
                let time = fs::metadata(&file).unwrap().modified().unwrap();
                fs::write(&file, "2\n").unwrap();
                let file = fs::File::options().write(true).open(&file).unwrap();
                file.set_modified(time).unwrap();
            }),
            ("mode", &|| {
                let mode = fs::Permissions::from_mode(0o755);
                fs::set_permissions(folder.join("new.txt"), mode).unwrap();
            }),
            ("an ignored file", &|| write(folder, ".env", "SECRET=2\n")),
            ("a rule in the folder", &|| {
                write(folder, "sub/.gitignore", "*.o\n");
                write(folder, "sub/a.o", "x\n");
                write(folder, "sub/a.c", "x\n");
            }),
            ("git's own rules", &|| {
                write(&git_dir, "info/exclude", "new.txt\n");
            }),
            ("the user's rules", &|| {
                write(&world.root, "home/.config/git/ignore", "a.c\n");
            }),
            ("the user's config", &|| {
                world.global("[user]\n\tname = Eve\n\temail = e@example.org\n[core]\n\texcludesFile = ~/other\n");
                write(&world.root, "home/other", ".gitignore\n");
            }),
            ("the repository's config", &|| {
                let config = fs::read_to_string(git_dir.join("config")).unwrap();
                fs::write(
                    git_dir.join("config"),
                    format!("{config}[core]\n\tfilemode = false\n"),
                )
                .unwrap();
            }),
            ("removal", &|| {
                fs::remove_file(folder.join("new.txt")).unwrap()
            }),
        ];
        for (what, edit) in edits {
            for rules in [&default, &keep, &small] {
                settle();
                // Twice: so that what can be remembered is.
                tree(&git, &world, folder, rules);
            }
            edit();
            for pause in [false, true] {
                if pause {
                    settle();
                }
                for rules in [&default, &keep, &small] {
                    let known = tree(&git, &world, folder, rules);
                    let fresh = tree(&world.handle(), &world, folder, rules);
                    assert_eq!(known, fresh, "{what}, {}", folder.display());
                }
            }
        }
    }
    let before = tree(&git, &world, &repo, &default);
    write(&repo, ".gitignore", "README\n");
    world.git(&repo, &["rm", "-q", "--cached", "README"]);
    settle();
    tree(&git, &world, &repo, &default);
    world.git(&repo, &["commit", "-q", "-m", "Third"]);
    let known = tree(&git, &world, &repo, &default);
    assert_eq!(known, tree(&world.handle(), &world, &repo, &default));
    assert_ne!(known, before, "another commit tracks other files");
}
