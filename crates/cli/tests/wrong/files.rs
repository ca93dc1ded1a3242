//! Task files that cannot be read, or are no task files.

use std::os::unix::ffi::OsStrExt as _;

use crate::stage::Stage;

#[test]
fn a_file_that_is_not_there() {
    let stage = Stage::new();
    stage.tells("file_missing", 2, &["run", "nowhere.toml"]);
    stage.tells("file_default_missing", 2, &["run"]);
    stage.nothing_stored();
}

#[test]
fn a_folder_in_place_of_a_file() {
    let stage = Stage::new();
    stage.write("night/readme", "x");
    stage.tells("file_is_a_folder", 2, &["run", "night"]);
    stage.nothing_stored();
}

#[test]
fn a_file_that_is_no_toml() {
    let stage = Stage::with_tasks("[[task]]\nname = \"a\nprompt = \"do it\"\n");
    stage.tells("toml_bad", 2, &["run"]);
    stage.tells("toml_bad_validate", 2, &["validate", "tasks.toml"]);
    stage.tells("toml_bad_json", 2, &["run", "--json"]);
    stage.nothing_stored();
}

#[test]
fn an_empty_file_and_one_without_tasks() {
    let stage = Stage::with_tasks("");
    stage.tells("file_empty", 2, &["run"]);
    stage.write("tasks.toml", "# later\n[defaults]\nharness = \"script\"\n");
    stage.tells("file_without_tasks", 2, &["run"]);
    stage.nothing_stored();
}

#[test]
fn bytes_that_are_not_utf8_and_a_byte_order_mark() {
    let stage = Stage::with_tasks(b"[[task]]\nname = \"a\"\nprompt = \"caf\xe9\"\n");
    stage.tells("file_not_utf8", 2, &["run"]);
    std::fs::write(
        stage.repo.join("tasks.toml"),
        b"\xff\xfe[\0[\0t\0a\0s\0k\0]\0]\0",
    )
    .unwrap();
    stage.tells("file_utf16", 2, &["run"]);
    // What Windows editors write at the start of a file is no mistake.
    std::fs::write(
        stage.repo.join("tasks.toml"),
        "\u{feff}[[task]]\nname = \"a\"\nprompt = \"say x\"\nharness = \"script\"\n",
    )
    .unwrap();
    stage.tells("file_with_bom", 0, &["validate", "tasks.toml"]);
    stage.nothing_stored();
}

#[test]
fn a_file_of_17_mib_and_a_file_that_never_ends() {
    let stage = Stage::with_tasks(vec![b'#'; 17 << 20]);
    stage.tells("file_too_large", 2, &["run"]);
    stage.tells("file_endless", 2, &["run", "/dev/zero"]);
    stage.nothing_stored();
}

#[test]
fn prompts_from_files_that_cannot_be_read() {
    let stage = Stage::with_tasks(
        "[[task]]\nname = \"missing\"\nprompt_file = \"no.md\"\n\
         [[task]]\nname = \"binary\"\nprompt_file = \"logo.png\"\n\
         [[task]]\nname = \"empty\"\nprompt_file = \"empty.md\"\n\
         [[task]]\nname = \"folder\"\nprompt_file = \"docs\"\n\
         [[task]]\nname = \"both\"\nprompt = \"x\"\nprompt_file = \"empty.md\"\n\
         [[task]]\nname = \"none\"\n",
    );
    stage.write("empty.md", "");
    stage.write("docs/x", "");
    std::fs::write(stage.repo.join("logo.png"), b"\x89PNG\r\n\x1a\n\0\0\xff").unwrap();
    stage.tells("prompt_files", 2, &["run"]);
    stage.nothing_stored();
}

#[test]
fn a_prompt_of_one_megabyte_is_no_mistake() {
    let stage = Stage::with_tasks(format!(
        "[[task]]\nname = \"long\"\nharness = \"script\"\nexpect = \"any\"\nprompt = '''\n{}say read it all\n'''\n",
        "# a long story\n".repeat((1 << 20) / 15)
    ));
    stage.tells("prompt_of_a_megabyte", 0, &["run", "--wait"]);
    let shown = stage.run(["show", "long"]).expect_code(0);
    assert!(shown.stdout.len() < 20_000, "{}", shown.stdout.len());
}

#[test]
fn a_file_name_that_is_not_utf8() {
    let stage = Stage::new();
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.toml");
    std::fs::write(stage.repo.join(name), "").unwrap();
    let ran = stage.run([std::ffi::OsStr::new("run"), name]);
    stage.snapshot("file_name_not_utf8", "longhaul run caf\\xe9.toml", 2, &ran);
    stage.nothing_stored();
}

#[test]
fn a_file_nobody_may_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let stage = Stage::with_tasks("[[task]]\nname = \"a\"\nprompt = \"x\"\n");
    let path = stage.repo.join("tasks.toml");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::read(&path).is_ok() {
        // Rights do not bind this user (root): a file that no one can read, then.
        let ran = stage.run(["run", "/proc/self/mem"]).expect_code(2);
        assert!(
            ran.stderr.contains("/proc/self/mem cannot be read: "),
            "{}",
            ran.stderr
        );
    } else {
        stage.tells("file_unreadable", 2, &["run"]);
    }
    stage.nothing_stored();
}
