//! Files that are no files, or far beyond what anybody writes.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use crate::stage::Stage;

const TASK: &str = "[[task]]\nname = \"a\"\nprompt = \"write a.txt x\"\nharness = \"script\"\n";

fn fifo(path: &Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let made = Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}

#[test]
fn nesting_without_end_is_refused_and_overflows_nothing() {
    let stage = Stage::new();
    for (name, text) in [
        ("arrays", format!("x = {}", "[".repeat(100_000))),
        ("tables", format!("x = {}", "{a=".repeat(20_000))),
        ("dots", format!("{}a = 1", "a.".repeat(50_000))),
        ("header", format!("[{}a]", "a.".repeat(50_000))),
        (
            "quotes",
            format!("[[task]]\nname = {}", "\"".repeat(100_001)),
        ),
    ] {
        stage.write("tasks.toml", &text);
        for verb in ["run", "validate"] {
            let ran = stage.run([verb, "tasks.toml"]);
            assert_eq!(ran.code(), 2, "{name}: {}", ran.stderr);
            assert!(
                ran.stderr.contains("nothing was stored") && ran.stderr.len() < 8 << 10,
                "{name}: {}",
                ran.stderr
            );
        }
        // The same in a repository's settings: told, and nothing of them counts.
        stage.write("tasks.toml", TASK);
        stage.write(".longhaul/config.toml", &text);
        let ran = stage.run(["run", "--dry-run"]);
        assert!(matches!(ran.code(), 0 | 2), "{name}: {}", ran.stderr);
        assert!(ran.stderr.contains("config.toml"), "{name}: {}", ran.stderr);
        std::fs::remove_dir_all(stage.repo.join(".longhaul")).unwrap();
    }
    stage.nothing_stored();
}

#[test]
fn a_pipe_a_socket_and_a_link_to_itself_as_task_file() {
    let stage = Stage::new();
    fifo(&stage.repo.join("pipe"));
    stage.tells("file_is_a_pipe", 2, &["run", "pipe"]);
    let _socket = UnixListener::bind(stage.repo.join("sock")).unwrap();
    stage.tells("file_is_a_socket", 2, &["validate", "sock"]);
    std::os::unix::fs::symlink("loop", stage.repo.join("loop")).unwrap();
    stage.tells("file_is_a_loop", 2, &["run", "loop"]);
    stage.nothing_stored();
}

#[test]
fn prompts_from_pipes_devices_and_loops() {
    let stage = Stage::with_tasks(
        "[[task]]\nname = \"pipe\"\nprompt_file = \"pipe\"\n[[task]]\nname = \"device\"\nprompt_file = \"/dev/zero\"\n\
         [[task]]\nname = \"loop\"\nprompt_file = \"loop\"\n",
    );
    fifo(&stage.repo.join("pipe"));
    std::os::unix::fs::symlink("loop", stage.repo.join("loop")).unwrap();
    stage.tells("prompt_files_odd", 2, &["run"]);
    stage.nothing_stored();
}

#[test]
fn a_configuration_that_is_no_file() {
    let stage = Stage::with_tasks(TASK);
    let config = stage.world.config_file();
    fifo(&config);
    stage.tells("config_is_a_pipe", 2, &["run"]);
    // Looking at tasks needs no settings.
    stage.run(["ls"]).expect_code(0);
    std::fs::remove_file(&config).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &config).unwrap();
    stage.tells("config_is_a_device", 2, &["config", "list"]);
    std::fs::remove_file(&config).unwrap();
    std::fs::create_dir(&config).unwrap();
    stage.tells("config_is_a_folder", 2, &["run"]);
    std::fs::remove_dir(&config).unwrap();
    fifo(&stage.repo.join(".longhaul/config.toml"));
    stage.tells("config_of_repo_is_a_pipe", 2, &["run"]);
    stage.nothing_stored();
}

#[test]
fn a_list_of_trusted_repositories_that_cannot_be_read() {
    let stage = Stage::with_tasks(TASK);
    stage.run(["trust", "--yes"]).expect_code(0);
    let trust = stage.world.config_file().with_file_name("trust.toml");
    let good = std::fs::read(&trust).unwrap();
    // Cut anywhere it is read as far as it makes sense, or refused; never taken for more than it says.
    for cut in [0, 1, good.len() / 3, good.len() / 2, good.len() - 1] {
        std::fs::write(&trust, &good[..cut]).unwrap();
        let ran = stage.run(["run", "--dry-run"]);
        assert!(matches!(ran.code(), 0 | 1), "{cut}: {}", ran.stderr);
        if ran.code() == 1 {
            assert!(ran.stderr.contains("trust.toml"), "{cut}: {}", ran.stderr);
        }
    }
    std::fs::write(&trust, "rubbish = [").unwrap();
    stage.tells("trust_list_rubbish", 1, &["run"]);
    std::fs::remove_file(&trust).unwrap();
    fifo(&trust);
    stage.tells("trust_list_is_a_pipe", 1, &["run"]);
    stage.tells("trust_list_is_a_pipe_trust", 1, &["trust", "--yes"]);
    stage.nothing_stored();
}

#[test]
fn names_prompts_and_files_far_too_large() {
    let stage = Stage::with_tasks(format!(
        "[[task]]\nname = \"{}\"\nprompt = \"x\"\n",
        "n".repeat(10_000)
    ));
    stage.tells("name_of_10000_letters", 2, &["run"]);
    let many: String = (0..5_000)
        .map(|n| format!("[[task]]\nnme = \"t{n}\"\n"))
        .collect();
    stage.write("tasks.toml", &many);
    let ran = stage.run(["run"]).expect_code(2);
    assert!(
        ran.stderr.len() < 64 << 10,
        "{} bytes of mistakes",
        ran.stderr.len()
    );
    assert!(ran.stderr.contains("nothing was stored"), "{}", ran.stderr);
    stage.nothing_stored();
}

#[test]
fn ten_thousand_tasks_in_one_file() {
    let mut text = "[defaults]\nharness = \"script\"\n".to_owned();
    for n in 0..10_000 {
        text.push_str(&format!(
            "[[task]]\nname = \"t{n}\"\nprompt = \"write a{n}.txt x\"\n"
        ));
    }
    let stage = Stage::with_tasks(&text);
    let ran = stage.run(["run", "--dry-run"]).expect_code(0);
    assert!(
        ran.stdout.contains("10000 tasks would run"),
        "{}",
        ran.stdout.len()
    );
    // One more than is allowed.
    text.push_str("[[task]]\nname = \"more\"\nprompt = \"write m x\"\n");
    stage.write("tasks.toml", &text);
    stage.tells("tasks_too_many", 2, &["run"]);
    stage.nothing_stored();
}

#[test]
fn line_ends_of_windows() {
    let stage = Stage::with_tasks(
        "[[task]]\r\nname = \"crlf\"\r\nharness = \"script\"\r\nprompt = \"\"\"\r\nwrite a.txt x\r\ndone\r\n\"\"\"\r\n\
         [[task.check]]\r\nrun = \"\"\"\r\ntest -e a.txt\r\n\"\"\"\r\n",
    );
    stage.tells("file_with_crlf", 0, &["run", "--wait"]);
    stage.harmless();
}
