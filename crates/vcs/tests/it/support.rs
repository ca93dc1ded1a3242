//! A temporary world: own home, own git config, one repository, one state folder.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use longhaul_core::spec::CommitMode;
use longhaul_vcs::{
    FileRules, Git, GitSettings, Oid, Protect, Repo, SealRequest, SnapshotRequest, WorkspacePlan,
    Worktree,
};

/// Everything a test needs; removed when dropped.
pub(crate) struct World {
    temp: Option<tempfile::TempDir>,
    /// Canonical root of the temporary folder.
    pub(crate) root: PathBuf,
}

impl World {
    /// An empty world with a git identity.
    pub(crate) fn bare() -> Self {
        Self::in_folder(tempfile::tempdir().unwrap())
    }

    /// The same in memory, where the system has such a folder: for thousands of merges, which write a
    /// file for each object.
    pub(crate) fn in_memory() -> Self {
        let temp = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self::in_folder(temp.unwrap())
    }

    fn in_folder(temp: tempfile::TempDir) -> Self {
        let root = temp.path().canonicalize().unwrap();
        fs::create_dir(root.join("home")).unwrap();
        let world = Self {
            temp: Some(temp),
            root,
        };
        // A commit's own maintenance goes on behind it, and would be found at work in the tree.
        world.global("[user]\n\tname = Ada\n\temail = ada@example.org\n[init]\n\tdefaultBranch = main\n[protocol \"file\"]\n\tallow = always\n[maintenance]\n\tauto = false\n");
        world
    }

    /// A world whose repository has two commits, an ignored file and an untracked one.
    pub(crate) fn new() -> Self {
        Self::bare().with_commits()
    }

    /// Fills an empty world in that way.
    pub(crate) fn with_commits(self) -> Self {
        let world = self;
        let repo = world.repo_path();
        fs::create_dir(&repo).unwrap();
        world.git(&repo, &["init", "-q"]);
        write(&repo, ".gitignore", "target/\n.env\n");
        write(&repo, "README", "hello\n");
        write(&repo, "src/lib.rs", "one\ntwo\nthree\n");
        world.commit(&repo, "First");
        write(&repo, "src/lib.rs", "one\ntwo\nthree\nfour\n");
        world.commit(&repo, "Second");
        write(&repo, ".env", "SECRET=1\n");
        write(&repo, "scratch.txt", "mine\n");
        world
    }

    pub(crate) fn global(&self, config: &str) {
        fs::write(self.root.join("home/.gitconfig"), config).unwrap();
    }

    pub(crate) fn repo_path(&self) -> PathBuf {
        self.root.join("repo")
    }

    pub(crate) fn environment(&self) -> Vec<(OsString, OsString)> {
        vec![
            ("PATH".into(), std::env::var_os("PATH").unwrap()),
            ("HOME".into(), self.root.join("home").into()),
            ("GIT_CONFIG_NOSYSTEM".into(), "1".into()),
        ]
    }

    pub(crate) fn handle(&self) -> Git {
        let mut settings = GitSettings::new(self.environment());
        settings.timeout = Duration::from_secs(60);
        Git::new(settings).unwrap()
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    pub(crate) fn repo(&self) -> Repo {
        Repo::open(&self.handle(), &self.repo_path(), &self.state()).unwrap()
    }

    /// Runs git as the user or agent would, in a folder; it must succeed.
    pub(crate) fn git(&self, folder: &Path, args: &[&str]) -> String {
        let output = self.git_raw(folder, args);
        assert!(
            output.status.success(),
            "git {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned()
    }

    pub(crate) fn git_raw(&self, folder: &Path, args: &[&str]) -> std::process::Output {
        Command::new("git")
            .args(args)
            .current_dir(folder)
            .env_clear()
            .envs(self.environment())
            .output()
            .unwrap()
    }

    pub(crate) fn commit(&self, folder: &Path, message: &str) -> Oid {
        self.git(folder, &["add", "-A"]);
        self.git(folder, &["commit", "-q", "--allow-empty", "-m", message]);
        self.git(folder, &["rev-parse", "HEAD"]).parse().unwrap()
    }

    pub(crate) fn plan(&self, repo: &Repo, name: &str) -> WorkspacePlan {
        WorkspacePlan {
            path: self.root.join("trees").join(name),
            branch: format!("longhaul/{name}"),
            base: repo.resolve("main").unwrap(),
            lock_reason: "longhaul".to_owned(),
            restore: None,
        }
    }

    pub(crate) fn worktree(&self, repo: &Repo, name: &str) -> Worktree {
        repo.ensure_worktree(&self.plan(repo, name))
            .unwrap()
            .worktree
    }

    /// Everything of the user's checkout that must never change: every file but objects, hidden refs
    /// and the parts of `.git` that belong to worktrees and our branches.
    pub(crate) fn fingerprint(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        walk(&self.repo_path(), &self.repo_path(), &mut files);
        files.retain(|(path, _)| {
            ![
                ".git/objects/",
                ".git/worktrees/",
                ".git/refs/longhaul/",
                ".git/refs/heads/longhaul/",
                ".git/logs/refs/heads/longhaul/",
                ".git/logs/refs/longhaul/",
            ]
            .iter()
            .any(|prefix| path.starts_with(prefix))
        });
        files.sort();
        files
    }

    pub(crate) fn fsck(&self) {
        self.git(
            &self.repo_path(),
            &["fsck", "--full", "--strict", "--no-dangling"],
        );
    }

    /// The world of another process, which that one removes.
    pub(crate) fn at(root: PathBuf) -> Self {
        Self { temp: None, root }
    }

    /// True if dropping this removes the folder.
    pub(crate) fn is_owner(&self) -> bool {
        self.temp.is_some()
    }
}

fn walk(top: &Path, folder: &Path, files: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            walk(top, &path, files);
        } else {
            let name = path
                .strip_prefix(top)
                .unwrap()
                .to_string_lossy()
                .into_owned();
            let content = match fs::read_link(&path) {
                Ok(target) => target.into_os_string().into_encoded_bytes(),
                Err(_) => fs::read(&path).unwrap(),
            };
            files.push((name, content));
        }
    }
}

pub(crate) fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

pub(crate) fn snapshot_request(n: u32) -> SnapshotRequest {
    SnapshotRequest {
        reference: format!("refs/longhaul/snap/task1/{n}"),
        reason: "end of turn".to_owned(),
        files: FileRules::default(),
    }
}

pub(crate) fn seal_request(start: &Oid, base: &Oid, n: u32) -> SealRequest {
    SealRequest {
        snapshot: snapshot_request(n),
        start: start.clone(),
        base: base.clone(),
        message: "Finish the task".to_owned(),
        task: "task1".to_owned(),
        commit: CommitMode::Auto,
        sign: false,
        protect: Protect::new(&["tests/".to_owned()], None).unwrap(),
        diff_limit: 64 << 10,
    }
}
