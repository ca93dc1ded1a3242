//! Repositories and sessions that try to get their programs run or git misled (L20). Each program
//! leaves a canary file; none may exist afterwards.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use longhaul_vcs::{
    CheckoutMark, Difference, Head, Made, Note, RepoPath, RestoreScope, SettingsMark, StartPoint,
};

use crate::support::{World, seal_request, snapshot_request, write};

/// A program that leaves a canary and otherwise does what a filter may do.
fn canary(world: &World, name: &str) -> (PathBuf, PathBuf) {
    let program = world.root.join(format!("evil-{name}"));
    let mark = world.root.join(format!("canary-{name}"));
    fs::write(
        &program,
        format!("#!/bin/sh\n: > '{}'\ncat 2>/dev/null\n", mark.display()),
    )
    .unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    (program, mark)
}

fn canaries(world: &World) -> Vec<String> {
    let mut found: Vec<String> = fs::read_dir(&world.root)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|n| n.starts_with("canary-"))
        .collect();
    found.sort();
    found
}

fn poison(world: &World, config: &Path) {
    let mut text = fs::read_to_string(config).unwrap_or_default();
    let mut add = |line: &str, name: &str| {
        let (program, _) = canary(world, name);
        text.push_str(&line.replace("EVIL", &program.display().to_string()));
    };
    add("[core]\n\tfsmonitor = EVIL\n", "fsmonitor");
    add(
        "[core]\n\tpager = EVIL\n\teditor = EVIL\n\taskPass = EVIL\n\tsshCommand = EVIL\n",
        "core",
    );
    add("[core]\n\talternateRefsCommand = EVIL\n", "alternates");
    add(
        "[filter \"evil\"]\n\tclean = EVIL\n\tsmudge = EVIL\n\trequired = true\n",
        "filter",
    );
    add(
        "[filter \"proc\"]\n\tprocess = EVIL\n\trequired = true\n",
        "process",
    );
    add("[diff]\n\texternal = EVIL\n", "external");
    add("[diff \"evil\"]\n\tcommand = EVIL\n", "diffcmd");
    add(
        "[diff \"conv\"]\n\ttextconv = EVIL\n\tcachetextconv = true\n",
        "textconv",
    );
    add("[merge \"evil\"]\n\tdriver = EVIL %O %A %B\n", "merge");
    add(
        "[gpg]\n\tprogram = EVIL\n[commit]\n\tgpgSign = true\n[user]\n\tsigningKey = x\n",
        "gpg",
    );
    add("[credential]\n\thelper = !EVIL\n", "credential");
    add(
        "[log]\n\tshowSignature = true\n[interactive]\n\tdiffFilter = EVIL\n",
        "interactive",
    );
    add(
        "[hook \"x\"]\n\tcommand = EVIL\n\tevent = reference-transaction\n",
        "confighook",
    );
    fs::write(config, text).unwrap();
}

fn poison_hooks(world: &World, folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for hook in [
        "post-checkout",
        "reference-transaction",
        "pre-commit",
        "post-index-change",
    ] {
        let (program, _) = canary(world, hook);
        fs::copy(program, folder.join(hook)).unwrap();
    }
}

const ATTRIBUTES: &str =
    "*.f filter=evil\n*.p filter=proc\n*.d diff=evil\n*.t diff=conv\n*.m merge=evil\n";

/// A repository all of whose config names canaries, with files that would use every driver.
fn hostile_world() -> World {
    let world = World::new();
    let repo = world.repo_path();
    write(&repo, ".gitattributes", ATTRIBUTES);
    for name in ["a.f", "a.p", "a.d", "a.t"] {
        write(&repo, name, "content\n");
    }
    write(&repo, "a.m", "1\n2\n3\n4\n5\n6\n7\n");
    world.commit(&repo, "Files for every driver");
    let extra = world.root.join("included.config");
    poison(&world, &extra);
    let config = repo.join(".git/config");
    poison(&world, &config);
    let mut text = fs::read_to_string(&config).unwrap();
    text.push_str(&format!("[include]\n\tpath = {}\n", extra.display()));
    fs::write(&config, text).unwrap();
    poison_hooks(&world, &repo.join(".git/hooks"));
    world
}

#[test]
fn l20_no_program_of_a_repository_is_run_by_anything() {
    let world = hostile_world();
    let repo = world.repo();
    let base = repo.resolve("main").unwrap();
    let before = repo.mark_checkout().unwrap();
    let plan = world.plan(&repo, "hostile");
    let ensured = repo.ensure_worktree(&plan).unwrap();
    let tree = ensured.worktree;
    for name in ["a.f", "a.p", "a.d", "a.t", "new.f", "new.p"] {
        write(&tree.path, name, "changed\n");
    }
    write(&tree.path, "a.m", "one\n2\n3\n4\n5\n6\n7\n");
    let sealed = repo.seal(&tree, &seal_request(&base, &base, 1)).unwrap();
    assert!(sealed.committed_leftovers);
    assert!(sealed.diff.text.contains("changed"));
    assert!(repo.is_clean(&tree, &Default::default()).unwrap());
    let ours = sealed.end_commit.unwrap();

    // A second branch that changes the other end of the file: the driver's path, merged by git.
    let other = repo
        .ensure_worktree(&world.plan(&repo, "other"))
        .unwrap()
        .worktree;
    write(&other.path, "a.m", "1\n2\n3\n4\n5\n6\nseven\n");
    let theirs = repo
        .seal(&other, &seal_request(&base, &base, 2))
        .unwrap()
        .end_commit
        .unwrap();
    let start = repo
        .merge_bases_for_start(&base, &[ours.clone(), theirs.clone()])
        .unwrap();
    let StartPoint::Commit(merged) = start else {
        panic!("{start:?}")
    };
    let content = repo
        .file_at(&merged, &RepoPath::from_bytes("a.m"), 100)
        .unwrap()
        .unwrap();
    assert_eq!(content, b"one\n2\n3\n4\n5\n6\nseven\n");

    write(&tree.path, "a.f", "again\n");
    let restored = repo
        .restore(
            &tree,
            &sealed.snapshot.commit,
            &snapshot_request(9),
            RestoreScope::FilesAndBranch,
        )
        .unwrap();
    assert!(restored.branch_moved);
    fs::remove_dir_all(&tree.path).unwrap();
    assert_eq!(repo.ensure_worktree(&plan).unwrap().made, Made::Recreated);
    assert_eq!(before.compare(&repo.mark_checkout().unwrap()), []);
    assert_eq!(canaries(&world), Vec::<String>::new());
}

#[test]
fn l20_a_session_that_rewires_its_worktree_gains_nothing() {
    let world = World::new();
    world.git(
        &world.repo_path(),
        &["config", "extensions.worktreeConfig", "true"],
    );
    let repo = world.repo();
    let base = repo.resolve("main").unwrap();
    let tree = world.worktree(&repo, "rewired");
    // Config of the worktree: programs, and files elsewhere.
    let decoy = world.root.join("decoy");
    write(&decoy, "README", "decoy\n");
    poison(&world, &tree.git_dir.join("config.worktree"));
    let mut text = fs::read_to_string(tree.git_dir.join("config.worktree")).unwrap();
    text.push_str(&format!("[core]\n\tworktree = {}\n", decoy.display()));
    fs::write(tree.git_dir.join("config.worktree"), text).unwrap();
    write(&tree.path, ".gitattributes", ATTRIBUTES);
    write(&tree.path, "x.f", "work\n");
    // Another repository of the session's own, with programs, in place of the links to ours.
    let own = world.root.join("own");
    fs::create_dir(&own).unwrap();
    world.git(&own, &["init", "-q"]);
    poison(&world, &own.join(".git/config"));
    poison_hooks(&world, &own.join(".git/hooks"));
    fs::write(
        tree.path.join(".git"),
        format!("gitdir: {}/.git\n", own.display()),
    )
    .unwrap();
    let common = fs::read(tree.git_dir.join("commondir")).unwrap();
    fs::write(
        tree.git_dir.join("commondir"),
        format!("{}/.git\n", own.display()),
    )
    .unwrap();

    let sealed = repo.seal(&tree, &seal_request(&base, &base, 1)).unwrap();
    assert_eq!(
        repo.resolve("longhaul/rewired").unwrap(),
        sealed.end_commit.unwrap()
    );
    let paths: Vec<String> = sealed
        .changed
        .paths
        .iter()
        .map(|c| c.path.to_string())
        .collect();
    assert_eq!(paths, [".gitattributes", "x.f"]);
    let ensured = repo.ensure_worktree(&world.plan(&repo, "rewired")).unwrap();
    assert!(ensured.notes.contains(&Note::LinkRepaired));
    assert_eq!(fs::read(tree.git_dir.join("commondir")).unwrap(), common);
    assert_eq!(canaries(&world), Vec::<String>::new());
    assert_eq!(fs::read_dir(&decoy).unwrap().count(), 1);
}

#[test]
fn l20_a_link_in_place_of_the_worktree_is_not_followed() {
    let world = World::new();
    let repo = world.repo();
    let base = repo.resolve("main").unwrap();
    let tree = world.worktree(&repo, "linked");
    fs::rename(&tree.path, world.root.join("moved")).unwrap();
    std::os::unix::fs::symlink(world.root.join("home"), &tree.path).unwrap();
    assert!(repo.snapshot(&tree, &snapshot_request(1)).is_err());
    assert!(repo.seal(&tree, &seal_request(&base, &base, 1)).is_err());
    assert!(repo.ensure_worktree(&world.plan(&repo, "linked")).is_err());
    assert_eq!(fs::read_dir(world.root.join("home")).unwrap().count(), 1);
}

#[test]
fn l20_nested_repositories_run_nothing_either() {
    let world = World::new();
    let repo = world.repo();
    let base = repo.resolve("main").unwrap();
    let tree = world.worktree(&repo, "nested");
    for nested in ["inner", "committed"] {
        let inner = tree.path.join(nested);
        fs::create_dir(&inner).unwrap();
        world.git(&inner, &["init", "-q"]);
        write(&inner, ".gitignore", "*.tmp\n");
        write(&inner, "deep/file.txt", "kept\n");
        write(&inner, "junk.tmp", "ignored\n");
        world.commit(&inner, "Inner");
        poison(&world, &inner.join(".git/config"));
        poison_hooks(&world, &inner.join(".git/hooks"));
    }
    let sealed = repo.seal(&tree, &seal_request(&base, &base, 1)).unwrap();
    let paths: Vec<String> = sealed
        .changed
        .paths
        .iter()
        .map(|c| c.path.to_string())
        .collect();
    assert_eq!(
        paths,
        [
            "committed/.gitignore",
            "committed/deep/file.txt",
            "inner/.gitignore",
            "inner/deep/file.txt"
        ]
    );
    assert_eq!(sealed.snapshot.nested.len(), 2);
    assert_eq!(canaries(&world), Vec::<String>::new());
}

#[test]
fn l4_l20_changes_of_the_checkout_are_found_and_settings_put_back() {
    let world = World::new();
    let path = world.repo_path();
    poison_hooks(&world, &path.join(".git/hooks"));
    fs::remove_file(path.join(".git/hooks/pre-commit")).unwrap();
    let repo = world.repo();
    let mark = repo.mark_checkout().unwrap();
    let stored = serde_json_round_trip(&mark);
    assert_eq!(stored, mark);
    assert_eq!(mark.compare(&repo.mark_checkout().unwrap()), []);
    let kept = repo.mark_settings().unwrap();
    let stored: SettingsMark =
        serde_json::from_str(&serde_json::to_string(&kept).unwrap()).unwrap();
    assert_eq!(stored, kept);
    let settings = world.fingerprint();

    // What a person does meanwhile is no difference: untracked files, a refresh of the index.
    write(&path, "scratch.txt", "more\n");
    assert!(
        world
            .git(&path, &["status", "--porcelain"])
            .contains("scratch")
    );
    assert_eq!(mark.compare(&repo.mark_checkout().unwrap()), []);
    write(&path, "scratch.txt", "mine\n");

    write(&path, "README", "escaped\n");
    let one = mark.compare(&repo.mark_checkout().unwrap());
    let readme = RepoPath::from_bytes("README");
    assert_eq!(
        one,
        [Difference::TrackedFile {
            path: readme.clone()
        }]
    );
    let dirty = repo.mark_checkout().unwrap();
    write(&path, "README", "escaped again\n");
    assert_eq!(
        dirty.compare(&repo.mark_checkout().unwrap()),
        [Difference::TrackedFile { path: readme }]
    );
    world.git(
        &path,
        &[
            "-c",
            "core.hooksPath=/dev/null",
            "commit",
            "-qam",
            "Escaped",
        ],
    );
    let two = mark.compare(&repo.mark_checkout().unwrap());
    assert!(
        matches!(&two[0], Difference::Head { from: Head::Branch { name, .. }, .. } if name == "main")
    );
    assert_eq!(two[1], Difference::Index);
    world.git(
        &path,
        &[
            "-c",
            "core.hooksPath=/dev/null",
            "reset",
            "-q",
            "--hard",
            "HEAD~1",
        ],
    );

    // Settings: broken, added, removed, replaced by a link.
    fs::write(path.join(".git/config"), "[core\nbroken").unwrap();
    write(&path, ".git/hooks/pre-commit", "#!/bin/sh\nevil\n");
    fs::remove_file(path.join(".git/hooks/post-checkout")).unwrap();
    fs::remove_file(path.join(".git/info/exclude")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", path.join(".git/info/exclude")).unwrap();
    assert!(repo.mark_checkout().is_err());
    write(
        &path,
        ".git/objects/info/alternates",
        "/tmp/of-the-session\n",
    );
    assert_eq!(kept.changes().unwrap().len(), 5);
    assert_eq!(stored.restore().unwrap().len(), 5);
    assert_eq!(stored.restore().unwrap(), []);
    assert!(!path.join(".git/objects/info/alternates").exists());
    let mode = fs::metadata(path.join(".git/hooks/post-checkout"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o111, 0o111);
    let keep = |files: Vec<(String, Vec<u8>)>| -> Vec<(String, Vec<u8>)> {
        files
            .into_iter()
            .filter(|(p, _)| {
                !p.contains("logs")
                    && !p.contains("ORIG_HEAD")
                    && !p.contains("COMMIT_EDITMSG")
                    && p != ".git/index"
            })
            .collect()
    };
    assert_eq!(keep(world.fingerprint()), keep(settings));
}

fn serde_json_round_trip(mark: &CheckoutMark) -> CheckoutMark {
    serde_json::from_str(&serde_json::to_string(mark).unwrap()).unwrap()
}
