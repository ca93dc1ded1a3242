//! Recordings of the shell's own doings.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "helpers fail the test they help")]

use std::path::Path;
use std::process::Command;

use longhaul_powercut::{Change, Choice, Model, Recorder, Recording};

fn record(folder: &Path, script: &str) -> Recording {
    let mut recorder = Recorder::start(folder, &["safe"]).expect("ptrace is permitted");
    let mut command = Command::new("/bin/sh");
    command
        .args(["-ec", script])
        .current_dir(folder)
        .env("PATH", std::env::var_os("PATH").unwrap());
    let said = recorder.run(&command).unwrap();
    assert_eq!(said.code, 0, "{said:?}");
    recorder.finish()
}

#[test]
fn a_recording_without_a_cut_is_the_folder() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().canonicalize().unwrap();
    std::fs::create_dir(folder.join("safe")).unwrap();
    std::fs::write(folder.join("old"), "old").unwrap();
    let script = "mkdir -p a/b; echo one >a/b/f; echo two >>a/b/f; mv a/b a/c; ln a/c/f g; ln -s g h
        cp old copy; chmod 600 copy; dd if=/dev/zero of=z bs=1000 count=3 2>/dev/null; truncate -s 1500 z
        echo mid | dd of=z bs=1 seek=100 conv=notrunc 2>/dev/null; rm old; mkdir d; rmdir d
        for i in 1 2 3 4 5 6 7 8; do (for j in 1 2 3 4 5; do echo $i >n$i.$j; mv n$i.$j m$i; done) & done; wait
        mkfifo pipe; rm pipe; >empty; echo kept >safe/s; sync h; cat /proc/sys/kernel/random/boot_id >safe/boot";
    let recording = record(&folder, script);
    recording.verify(&folder).unwrap();
    assert!(
        recording
            .changes()
            .iter()
            .any(|c| matches!(c, Change::Flush { .. }))
    );
    let boot = std::fs::read_to_string(folder.join("safe/boot")).unwrap();
    assert!(boot.ends_with("b007\n"), "{boot}");
    // What is safe is in every image, and an image can stand in for the folder.
    let disk = recording.disk_after(Model::Loose, recording.changes().len());
    assert!(disk.at_risk() > 20);
    for seed in 0..50 {
        let image = disk.cut(&mut Choice::new(seed));
        assert_eq!(image.file("safe/s"), Some(&b"kept\n"[..]));
    }
    disk.whole().write_to(&folder).unwrap();
    recording.verify(&folder).unwrap();
}

#[test]
fn what_the_recorder_did_not_see_is_an_error() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().canonicalize().unwrap();
    let recording = record(&folder, "echo a >a");
    recording.verify(&folder).unwrap();
    std::fs::write(folder.join("a"), "b").unwrap();
    assert!(recording.verify(&folder).is_err());
}
