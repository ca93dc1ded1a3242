//! Git's own ways to run a program, planted by a session: never taken by Longhaul's git, put back where
//! they are shared, and told (L20).

use std::os::unix::fs::PermissionsExt as _;

use longhaul_testkit::provider::Step;
use longhaul_testkit::world::write;
use serde_json::Value;

use crate::stage::{Agent, Stage};

/// Everything that git would run, in the worktree and, where the sandbox lets it, in the shared folder.
/// `$CANARY` notes whoever runs it.
const PLANT: &str = r#"
COMMON=$(git rev-parse --path-format=absolute --git-common-dir)
OWN=$(git rev-parse --path-format=absolute --git-dir)
plant() { git config --file "$1" "$2" "$3"; }
for file in "$OWN/config.worktree" "$COMMON/config"; do
  plant "$file" core.fsmonitor "$CANARY fsmonitor"
  plant "$file" core.hooksPath "$PWD/hooks"
  plant "$file" core.editor "$CANARY editor"
  plant "$file" core.sshCommand "$CANARY ssh"
  plant "$file" core.attributesFile "$PWD/planted-attributes"
  plant "$file" diff.external "$CANARY diff-external"
  plant "$file" diff.canary.command "$CANARY diff-driver"
  plant "$file" diff.canary.textconv "$CANARY textconv"
  plant "$file" merge.canary.driver "$CANARY merge"
  plant "$file" filter.canary.clean "$CANARY clean"
  plant "$file" filter.canary.smudge "$CANARY smudge"
  plant "$file" filter.canary.process "$CANARY process"
  plant "$file" filter.canary.required true
  plant "$file" gpg.program "$CANARY gpg"
  plant "$file" commit.gpgSign true
done
plant "$COMMON/config" extensions.worktreeConfig true
plant "$COMMON/config" core.worktree "$PWD/elsewhere"
mkdir -p hooks elsewhere "$COMMON/hooks" "$COMMON/info"
for hook in pre-commit post-commit post-checkout post-merge reference-transaction post-index-change pre-auto-gc fsmonitor-watchman; do
  for folder in hooks "$COMMON/hooks"; do
    printf '#!/bin/sh\n%s hook-%s\n' "$CANARY" "$hook" >"$folder/$hook" && chmod +x "$folder/$hook"
  done
done
echo '* filter=canary diff=canary merge=canary' >.gitattributes
cp .gitattributes planted-attributes
cp .gitattributes "$COMMON/info/attributes"
echo work >work.txt
# The session's own git may run what it planted; from here on nobody may.
rm -f "$CANARY_LOG"
exit 0
"#;

/// A session that plants and then ends as if all were well.
fn plant(sandbox: &str) -> Option<(Stage, Value)> {
    let stage = Stage::new(Agent::Claude)?;
    stage.config("sandboxed = true");
    let repo = stage.repo();
    // Wherever a sandbox lets it write: a folder that is open to it.
    let log = stage.world.path("cache/canary.log");
    let canary = stage.world.path("bin/canary");
    let program = format!("#!/bin/sh\necho \"$@\" >>{}\ncat\nexit 0\n", log.display());
    let script = stage.world.path("bin/plant");
    let header = format!(
        "#!/bin/sh\nCANARY={}\nCANARY_LOG={}\n",
        canary.display(),
        log.display()
    );
    for (path, text) in [(&canary, program), (&script, header + PLANT)] {
        write(path, &text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let steps = [Step::shell(script.to_str().unwrap()), Step::text("Done.")];
    stage.script("planter", steps);
    stage
        .world
        .longhaul(repo.path(), ["trust", "--yes"])
        .expect_code(0);
    let keys = format!(
        "prompt = \"do some work\"\npermission = \"bypass\"\nsandbox = \"{sandbox}\"\nmax_retries = 0"
    );
    let settings = |name: &str| std::fs::read(repo.path().join(".git").join(name)).unwrap();
    let before = settings("config");
    let tasks = stage.task("planter", &keys, &["test -f work.txt"]);
    let ran = stage.run(&repo, &tasks);
    let Some(shown) = stage.try_show("planter") else {
        panic!("it was not taken in: {ran:?}");
    };
    // What a person does next is on guarded ground, too.
    for arguments in [
        &["workspace", "diff", "planter"][..],
        &["report"],
        &["workspace", "gc"],
    ] {
        stage.world.longhaul(repo.path(), arguments).expect_code(0);
    }
    let noted = longhaul_testkit::world::read(&log);
    assert_eq!(noted, "", "git ran what the session planted\n{shown:#}");
    assert_eq!(
        settings("config"),
        before,
        "the shared settings are as they were"
    );
    let shared = repo.path().join(".git");
    for planted in [
        "hooks/pre-commit",
        "hooks/reference-transaction",
        "info/attributes",
    ] {
        assert!(!shared.join(planted).exists(), "{planted}");
    }
    Some((stage, shown))
}

#[test]
fn l20_what_a_confined_session_plants_is_never_run() {
    let Some((stage, shown)) = plant("write") else {
        return;
    };
    // The shared folder was closed to it; what it planted in its own is its own work, and is checked.
    assert_eq!(shown["task"]["state"], "done", "{shown:#}");
    assert_eq!(shown["task"]["basis"], "verified");
    stage.expect_nothing_left();
}

#[test]
fn l20_what_a_session_plants_in_the_shared_settings_is_put_back_and_told() {
    let Some((stage, shown)) = plant("off") else {
        return;
    };
    assert_eq!(shown["task"]["state"], "needs_human", "{shown:#}");
    let need = &shown["task"]["need"];
    assert_eq!(need["kind"], "escaped", "{need:#}");
    let detail = need["detail"].as_str().unwrap();
    for named in ["config", "hooks/pre-commit", "info/attributes"] {
        assert!(detail.contains(named), "{named} is not in: {detail}");
    }
    // Its work is kept all the same (I5).
    assert!(
        shown["attempts"][0]["sealed"]["snapshot"].is_string(),
        "{shown:#}"
    );
    stage.expect_nothing_left();
}
