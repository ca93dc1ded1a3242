//! One test for each row of the table in docs/workspaces.md (L7, T30).

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use longhaul_vcs::{
    EnsureError, FileRules, Git, GitError, GitSettings, Head, Note, OpenError, Repo, RepoPath,
    RestoreScope, SealError, StartError, WorkspacePlan, network_filesystem,
};

use crate::support::{World, seal_request, snapshot_request, write};

fn open(world: &World, name: &str) -> Result<Repo, OpenError> {
    Repo::open(&world.handle(), &world.root.join(name), &world.state())
}

#[test]
fn t30_folders_that_are_no_repository_have_named_errors() {
    let world = World::bare();
    assert!(matches!(
        open(&world, "nowhere"),
        Err(OpenError::NoFolder { .. })
    ));
    fs::create_dir(world.root.join("plain")).unwrap();
    let error = open(&world, "plain").unwrap_err();
    assert!(matches!(error, OpenError::NotARepository { .. }));
    assert!(error.remedy().contains("git init"));
    world.git(&world.root, &["init", "-q", "--bare", "bare.git"]);
    assert!(matches!(
        open(&world, "bare.git"),
        Err(OpenError::Bare { .. })
    ));
    world.git(&world.root, &["init", "-q", "moved"]);
    world.git(
        &world.root.join("moved"),
        &["config", "core.worktree", "../../plain"],
    );
    assert!(matches!(
        open(&world, "moved"),
        Err(OpenError::Redirected { .. })
    ));
}

#[test]
fn t30_a_repository_of_somebody_else_is_named() {
    let world = World::new();
    if rustix_is_root() {
        std::os::unix::fs::chown(world.repo_path(), Some(12_345), None).unwrap();
        std::os::unix::fs::chown(world.repo_path().join(".git"), Some(12_345), None).unwrap();
        let error = open(&world, "repo").unwrap_err();
        assert!(matches!(error, OpenError::OtherOwner { .. }), "{error}");
        assert!(error.remedy().contains("safe.directory"));
    } else {
        eprintln!("SKIPPED: only root can give a repository away");
    }
}

fn rustix_is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0)
}

#[test]
fn t30_unborn_and_detached_heads_are_named() {
    let world = World::new();
    world.git(&world.root, &["init", "-q", "unborn"]);
    let repo = open(&world, "unborn").unwrap();
    assert!(matches!(repo.head().unwrap(), Head::Unborn { name } if name == "main"));
    let error = repo.current_branch().unwrap_err();
    assert!(matches!(&error, StartError::Unborn { .. }) && error.remedy().contains("commit"));
    let repo = world.repo();
    assert_eq!(repo.current_branch().unwrap(), "main");
    assert!(matches!(
        repo.resolve("nope"),
        Err(StartError::NoSuchRevision { .. })
    ));
    assert!(matches!(
        repo.resolve("--all"),
        Err(StartError::NoSuchRevision { .. })
    ));
    world.git(&world.repo_path(), &["checkout", "-q", "--detach"]);
    assert!(matches!(
        repo.current_branch(),
        Err(StartError::Detached { .. })
    ));
}

#[test]
fn t30_an_old_or_missing_git_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::bare();
    let fake = world.root.join("git");
    fs::write(&fake, "#!/bin/sh\necho git version 2.39.9\n").unwrap();
    fs::set_permissions(&fake, fs::Permissions::from_mode(0o755)).unwrap();
    let mut settings = GitSettings::new(world.environment());
    settings.program = fake;
    assert!(
        matches!(Git::new(settings.clone()), Err(GitError::TooOld { found }) if found == "2.39")
    );
    settings.program = world.root.join("no-git");
    assert!(matches!(Git::new(settings), Err(GitError::Spawn { .. })));
}

#[test]
fn git_that_hangs_is_stopped_with_its_children() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::bare();
    let fake = world.root.join("git");
    fs::write(
        &fake,
        "#!/bin/sh\nsleep 300 &\necho $! > \"$HOME/pid\"\nsleep 300\n",
    )
    .unwrap();
    fs::set_permissions(&fake, fs::Permissions::from_mode(0o755)).unwrap();
    let mut settings = GitSettings::new(world.environment());
    settings.program = fake;
    settings.timeout = std::time::Duration::from_millis(500);
    assert!(matches!(Git::new(settings), Err(GitError::TimedOut { .. })));
    let pid = fs::read_to_string(world.root.join("home/pid")).unwrap();
    let status = format!("/proc/{}/stat", pid.trim());
    let dead = || fs::read_to_string(&status).map_or(true, |s| s.contains(") Z "));
    for _ in 0..100 {
        if dead() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("the child of git lives on");
}

#[test]
fn l7_submodules_stay_empty_and_are_said_and_moves_are_kept() {
    let world = World::new();
    world.git(&world.root, &["init", "-q", "library"]);
    let library = world.root.join("library");
    write(&library, "lib.txt", "1\n");
    world.commit(&library, "One");
    let url = library.display().to_string();
    world.git(
        &world.repo_path(),
        &["submodule", "--quiet", "add", &url, "vendor/lib"],
    );
    world.commit(&world.repo_path(), "Add a submodule");
    let repo = world.repo();
    let base = repo.resolve("main").unwrap();
    let ensured = repo.ensure_worktree(&world.plan(&repo, "sub")).unwrap();
    assert_eq!(ensured.notes, [Note::Submodules { count: 1 }]);
    let tree = ensured.worktree;
    let sealed = repo.seal(&tree, &seal_request(&base, &base, 1)).unwrap();
    assert_eq!(sealed.changed.paths, [], "an empty submodule is no change");
    world.git(&tree.path, &["submodule", "--quiet", "update", "--init"]);
    let inner = tree.path.join("vendor/lib");
    write(&inner, "lib.txt", "2\n");
    world.commit(&inner, "Two");
    let sealed = repo.seal(&tree, &seal_request(&base, &base, 2)).unwrap();
    assert_eq!(sealed.changed.paths.len(), 1);
    assert_eq!(
        sealed.changed.paths[0].path,
        RepoPath::from_bytes("vendor/lib")
    );
    assert_eq!(world.git(&tree.path, &["status", "--porcelain"]), "");
}

#[test]
fn l7_lfs_without_lfs_leaves_pointers_and_says_so() {
    let world = World::new();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 3\n";
    write(&world.repo_path(), "big.bin", pointer);
    write(
        &world.repo_path(),
        ".gitattributes",
        "*.bin filter=lfs diff=lfs merge=lfs -text\n",
    );
    world.commit(&world.repo_path(), "Large files");
    // The user's config names a program that is not there, as after an uninstall.
    let home = fs::read_to_string(world.root.join("home/.gitconfig")).unwrap();
    world.global(&format!(
        "{home}[filter \"lfs\"]\n\tprocess = git-lfs-gone filter-process\n\tsmudge = git-lfs-gone smudge\n\tclean = git-lfs-gone clean\n\trequired = true\n"
    ));
    if world.handle().has_lfs() {
        eprintln!("SKIPPED: this machine has git-lfs");
        return;
    }
    let repo = world.repo();
    let base = repo.resolve("main").unwrap();
    let ensured = repo.ensure_worktree(&world.plan(&repo, "lfs")).unwrap();
    assert_eq!(ensured.notes, [Note::LfsPointers { files: 1 }]);
    assert_eq!(
        fs::read_to_string(ensured.worktree.path.join("big.bin")).unwrap(),
        pointer
    );
    write(&ensured.worktree.path, "x", "x");
    let sealed = repo
        .seal(&ensured.worktree, &seal_request(&base, &base, 1))
        .unwrap();
    assert_eq!(sealed.changed.paths.len(), 1);
}

#[test]
fn l7_shallow_repositories_work_and_are_said() {
    let world = World::new();
    let url = format!("file://{}", world.repo_path().display());
    world.git(
        &world.root,
        &["clone", "-q", "--depth", "1", &url, "shallow"],
    );
    let repo = open(&world, "shallow").unwrap();
    assert!(repo.is_shallow());
    let base = repo.resolve("main").unwrap();
    let ensured = repo.ensure_worktree(&world.plan(&repo, "s")).unwrap();
    assert_eq!(ensured.notes, [Note::Shallow]);
    write(&ensured.worktree.path, "x", "x");
    let sealed = repo
        .seal(&ensured.worktree, &seal_request(&base, &base, 1))
        .unwrap();
    assert!(sealed.committed_leftovers);
}

#[test]
fn l7_sparse_checkouts_stay_sparse_and_lose_nothing() {
    let world = World::new();
    write(&world.repo_path(), "docs/a.md", "a\n");
    world.commit(&world.repo_path(), "Docs");
    world.git(&world.repo_path(), &["sparse-checkout", "set", "src"]);
    let repo = world.repo();
    let base = repo.resolve("main").unwrap();
    let tree = world.worktree(&repo, "sparse");
    assert!(tree.path.join("src/lib.rs").exists() && !tree.path.join("docs").exists());
    let sealed = repo.seal(&tree, &seal_request(&base, &base, 1)).unwrap();
    assert_eq!(sealed.changed.paths, []);
    write(&tree.path, "src/lib.rs", "changed\n");
    let sealed = repo.seal(&tree, &seal_request(&base, &base, 2)).unwrap();
    assert_eq!(sealed.changed.paths.len(), 1);
    assert_eq!(world.git(&tree.path, &["status", "--porcelain"]), "");
}

#[test]
fn l7_names_of_any_bytes_work_everywhere() {
    let world = World::new();
    let odd = OsStr::from_bytes(b"we\xffird \n'\"name");
    let checkout = world.root.join(odd);
    fs::rename(world.repo_path(), &checkout).unwrap();
    let state = world.root.join(OsStr::from_bytes(b"sta te\n\xfe"));
    let repo = Repo::open(&world.handle(), &checkout, &state).unwrap();
    let base = repo.resolve("main").unwrap();
    let plan = WorkspacePlan {
        path: state.join("trees").join(odd),
        branch: "longhaul/wéird-ü".to_owned(),
        base: base.clone(),
        lock_reason: "a reason\nof two lines".to_owned(),
        restore: None,
    };
    let tree = repo.ensure_worktree(&plan).unwrap().worktree;
    let name = RepoPath::from_bytes(*b"d\xfer/ new\nline\t\"q\" \xff");
    let file = name.under(&tree.path);
    fs::create_dir(file.parent().unwrap()).unwrap();
    fs::write(&file, "odd\n").unwrap();
    let sealed = repo.seal(&tree, &seal_request(&base, &base, 1)).unwrap();
    assert_eq!(sealed.changed.paths[0].path, name);
    assert_eq!(
        repo.file_at(&sealed.end_tree, &name, 10).unwrap().unwrap(),
        b"odd\n"
    );
    assert!(!sealed.changed.summary(10).contains('\u{fffd}'));
    fs::remove_file(&file).unwrap();
    repo.restore(
        &tree,
        &sealed.snapshot.commit,
        &snapshot_request(2),
        RestoreScope::Files,
    )
    .unwrap();
    assert!(file.exists());
    assert!(
        !repo
            .mark_checkout()
            .unwrap()
            .compare(&repo.mark_checkout().unwrap())
            .len()
            > 0
    );
}

#[test]
fn l5_work_in_place_is_snapshotted_without_touching_the_user() {
    let world = World::new();
    let checkout = world.repo_path();
    write(&checkout, "staged", "1\n");
    world.git(&checkout, &["add", "staged"]);
    write(&checkout, "staged", "2\n");
    world.git(&checkout, &["stash", "push", "-q", "--keep-index"]);
    write(&checkout, "README", "dirty\n");
    let before = world.fingerprint();
    let repo = world.repo();
    let here = repo.in_place();
    let snapshot = repo.snapshot(&here, &snapshot_request(1)).unwrap();
    assert_eq!(world.fingerprint(), before);
    let read = |name: &str| {
        repo.file_at(&snapshot.commit, &RepoPath::from_bytes(name), 99)
            .unwrap()
    };
    assert_eq!(read("README").unwrap(), b"dirty\n");
    assert_eq!(read("scratch.txt").unwrap(), b"mine\n");
    assert_eq!(read(".env"), None);
    let base = repo.resolve("main").unwrap();
    assert!(matches!(
        repo.seal(&here, &seal_request(&base, &base, 2)),
        Err(SealError::InPlace)
    ));
    write(&checkout, "README", "worse\n");
    repo.restore(
        &here,
        &snapshot.commit,
        &snapshot_request(3),
        RestoreScope::FilesAndBranch,
    )
    .unwrap();
    assert_eq!(world.fingerprint(), before);
}

#[test]
fn l5_a_folder_without_git_is_snapshotted_and_restored() {
    let world = World::bare();
    let folder = world.root.join("notes");
    write(&folder, "a/b.txt", "1\n");
    write(&folder, ".gitignore", "*.tmp\n");
    write(&folder, "x.tmp", "ignored\n");
    for _ in 0..2 {
        let repo = Repo::open_plain(&world.handle(), &folder, &world.state()).unwrap();
        let here = repo.in_place();
        let one = repo.snapshot(&here, &snapshot_request(1)).unwrap();
        assert_eq!(one.head, None);
        write(&folder, "a/b.txt", "2\n");
        write(&folder, "new", "3\n");
        assert_ne!(
            repo.tree_of(&here, &FileRules::default()).unwrap(),
            one.tree
        );
        repo.restore(
            &here,
            &one.commit,
            &snapshot_request(2),
            RestoreScope::Files,
        )
        .unwrap();
        assert_eq!(fs::read(folder.join("a/b.txt")).unwrap(), b"1\n");
        assert!(!folder.join("new").exists() && folder.join("x.tmp").exists());
        assert!(!folder.join(".git").exists());
        let plan = WorkspacePlan {
            path: world.root.join("w"),
            branch: "longhaul/x".to_owned(),
            base: one.commit,
            lock_reason: String::new(),
            restore: None,
        };
        assert!(matches!(
            repo.ensure_worktree(&plan),
            Err(EnsureError::Plain)
        ));
        assert_eq!(
            repo.mark_checkout()
                .unwrap()
                .compare(&repo.mark_checkout().unwrap()),
            []
        );
    }
}

#[test]
fn t30_a_temporary_folder_is_not_on_the_network() {
    let world = World::bare();
    assert_eq!(network_filesystem(&world.root), None);
}

#[test]
fn t8_fifos_unreadable_files_and_type_changes_do_not_stop_a_seal() {
    let world = World::new();
    let repo = world.repo();
    let base = repo.resolve("main").unwrap();
    let tree = world.worktree(&repo, "types");
    fs::remove_file(tree.path.join("README")).unwrap();
    fs::create_dir(tree.path.join("README")).unwrap();
    write(&tree.path, "README/inside", "x");
    fs::remove_dir_all(tree.path.join("src")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", tree.path.join("src")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(tree.path.join("pipe"))
        .status()
        .unwrap();
    assert!(made.success());
    let sealed = repo.seal(&tree, &seal_request(&base, &base, 1)).unwrap();
    let names: Vec<String> = sealed
        .changed
        .paths
        .iter()
        .map(|c| format!("{} {}", c.kind.letter(), c.path))
        .collect();
    assert_eq!(
        names,
        ["D README", "A README/inside", "A src", "D src/lib.rs"]
    );
    assert_eq!(world.git(&tree.path, &["status", "--porcelain"]), "");
}

#[test]
fn l7_partial_clones_fetch_without_the_repositorys_programs() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    world.git(
        &world.repo_path(),
        &["config", "uploadpack.allowFilter", "true"],
    );
    world.git(
        &world.repo_path(),
        &["config", "uploadpack.allowAnySHA1InWant", "true"],
    );
    let url = format!("file://{}", world.repo_path().display());
    world.git(
        &world.root,
        &[
            "clone",
            "-q",
            "--no-checkout",
            "--filter=blob:none",
            &url,
            "partial",
        ],
    );
    let evil = world.root.join("evil");
    let canary = world.root.join("canary");
    let script = format!(
        "#!/bin/sh\n: > '{}'\nexec git-upload-pack \"$@\"\n",
        canary.display()
    );
    fs::write(&evil, script).unwrap();
    fs::set_permissions(&evil, fs::Permissions::from_mode(0o755)).unwrap();
    let partial = world.root.join("partial");
    world.git(
        &partial,
        &[
            "config",
            "remote.origin.uploadpack",
            &evil.display().to_string(),
        ],
    );
    let repo = open(&world, "partial").unwrap();
    let plan = world.plan(&repo, "partial");
    let error = repo.ensure_worktree(&plan).unwrap_err();
    assert!(matches!(error, EnsureError::Checkout { .. }), "{error}");
    assert!(!canary.exists());
    world.git(&partial, &["config", "--unset", "remote.origin.uploadpack"]);
    let tree = repo.ensure_worktree(&plan).unwrap().worktree;
    assert_eq!(fs::read(tree.path.join("README")).unwrap(), b"hello\n");
    assert!(!canary.exists());
}
