//! `land = "pr"` with the real binary, a bare repository as the remote, and a `gh` that remembers (L16).

use std::path::PathBuf;

use longhaul_core::task::{DoneBasis, State, StateWord};
use longhaul_testkit::world::{read, wait_until, write};

use crate::landing::commit;
use crate::scene::{LIMIT, Scene};

/// A repository with a remote, a task that wants a pull request, and a `gh` that keeps what it was told.
struct Stage {
    scene: Scene,
    bare: PathBuf,
    /// One line for each pull request.
    requests: PathBuf,
}

/// `gh pr list` and `gh pr create` as far as Longhaul asks them; `before` and `after` it is made.
fn gh(requests: &str, before: &str, after: &str) -> String {
    format!(
        "case \"$1 $2\" in\n\
         'pr list') grep -F \" $4 \" {requests} 2>/dev/null | head -n 1 | cut -d ' ' -f 1 ;;\n\
         'pr create')\n{before}\n\
         echo \"https://h.example/pull/1 $5 $7\" >> {requests}\n\
         printf '%s\\n' \"$9\" > {requests}.title\n\
         cat \"${{11}}\" > {requests}.body\n{after}\n\
         echo 'Creating draft pull request' >&2\necho https://h.example/pull/1 ;;\n\
         *) echo \"unknown: $*\" >&2; exit 1 ;;\nesac"
    )
}

impl Stage {
    fn new(before: &str, after: &str) -> Self {
        let mut scene = Scene::new();
        commit(&scene, "f.txt", "base\n", "Have a file");
        let bare = scene.world.path("bare");
        let folder = bare.to_str().unwrap();
        scene.git(&["clone", "-q", "--bare", ".", folder]);
        scene.git(&["remote", "add", "origin", folder]);
        let requests = scene.world.path("requests");
        let program = gh(requests.to_str().unwrap(), before, after);
        scene.world.program("gh", &program).unwrap();
        scene.tasks(
            "[[task]]\nname = \"work\"\nland = \"pr\"\nmax_restarts = 50\nprompt = '''\nwrite a.txt a\ndone\n'''\n\
             [[task.check]]\nname = \"own\"\nrun = \"test -e a.txt\"\n",
        );
        Self {
            scene,
            bare,
            requests,
        }
    }

    /// One pull request holds the work, and the base branch is as it was.
    #[track_caller]
    fn ends_well(&self, base: &str) {
        let scene = &self.scene;
        let task = scene.until_state("work", StateWord::Done);
        let basis = DoneBasis::Proposed;
        assert_eq!(task.state, State::Done { basis });
        let url = "https://h.example/pull/1";
        assert_eq!(task.carry.pull_request.as_deref(), Some(url));
        let branch = task
            .carry
            .workspace
            .as_ref()
            .unwrap()
            .branch
            .clone()
            .unwrap();
        assert_eq!(
            read(&self.requests),
            format!("{url} {branch} main\n"),
            "once"
        );
        let sealed = task.attempt.as_ref().unwrap().sealed.as_ref().unwrap();
        let there = crate::scene::git(&scene.world, &self.bare, &["rev-parse", &branch]);
        assert_eq!(there, sealed.commit);
        assert_eq!(scene.git(&["rev-parse", "main"]), base);
        let show = scene.longhaul(&["show", "work"]).expect_code(0);
        assert!(show.stdout.contains(url), "{}", show.stdout);
        scene.audit(&[("work", StateWord::Done)]);
    }
}

#[test]
fn l16_a_pull_request_with_its_evidence_is_opened_and_base_stays() {
    let stage = Stage::new("", "");
    let base = stage.scene.git(&["rev-parse", "main"]);
    stage.scene.start();
    stage.ends_well(&base);
    let told = |name: &str| read(&stage.requests.with_extension(name));
    assert_eq!(told("title"), "work: write a.txt a\n");
    let body = told("body");
    for part in [
        "> write a.txt a",
        "| own | run | `test -e a.txt` | passed",
        "Longhaul-Task: ",
    ] {
        assert!(body.contains(part), "{part}\n{body}");
    }
}

#[test]
fn l16_killed_at_any_step_one_pull_request_is_opened() {
    for point in [
        "engine.propose.push.before",
        "engine.propose.push.after",
        "engine.propose.folder.after",
    ] {
        let stage = Stage::new("", "");
        let scene = &stage.scene;
        let base = scene.git(&["rev-parse", "main"]);
        scene.dies_once_at(point);
        stage.ends_well(&base);
    }
}

#[test]
fn l16_a_gh_that_dies_after_it_opened_one_opens_no_second() {
    // The first time it is killed in the moment in which it has opened it.
    let stage = Stage::new(
        "",
        "[ -e $0.killed ] || { : > $0.killed; kill -9 $PPID $$; }",
    );
    let base = stage.scene.git(&["rev-parse", "main"]);
    stage.scene.start();
    stage.ends_well(&base);
}

#[test]
fn l16_without_gh_or_remote_a_person_is_told_what_to_do_and_the_work_goes_on_from_there() {
    let stage = Stage::new(
        "echo 'To get started with GitHub CLI, please run: gh auth login' >&2; exit 4",
        "",
    );
    let scene = &stage.scene;
    let base = scene.git(&["rev-parse", "main"]);
    scene.start();
    scene.until_state("work", StateWord::NeedsHuman);
    let show = scene.longhaul(&["show", "work"]).expect_code(0).stdout;
    assert!(show.contains("gh auth login"), "{show}");
    assert!(show.contains("longhaul queue add work"), "{show}");
    let program = gh(stage.requests.to_str().unwrap(), "", "");
    scene.world.program("gh", &program).unwrap();
    scene.git(&["remote", "rename", "origin", "elsewhere"]);
    scene.longhaul(&["queue", "add", "work"]).expect_code(0);
    let told = || {
        let show = scene.longhaul(&["show", "work"]).stdout;
        show.contains("tracks no remote branch")
    };
    assert!(wait_until(LIMIT, told), "{}", scene.daemon_log());
    scene.git(&["remote", "rename", "elsewhere", "origin"]);
    scene.longhaul(&["queue", "add", "work"]).expect_code(0);
    stage.ends_well(&base);
    write(&stage.requests, "").unwrap();
}
