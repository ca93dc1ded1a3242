//! Not an example: the proof that clippy refuses each raw act. Every call of `clippy.toml`'s list is
//! here under its own `#[expect]`; one that the lint no longer catches is an unfulfilled expectation,
//! which fails `cargo clippy --all-targets -- -D warnings`. Never run. That nothing of the list is
//! missing here is the test `points::the_probe_holds_every_refused_call`.

#![deny(clippy::disallowed_methods)]

use std::fs::{DirBuilder, File, FileTimes, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// One refused call per line.
macro_rules! refused {
    ($($call:expr;)*) => {$(
        #[expect(clippy::disallowed_methods, reason = "the probe")]
        {
            std::hint::black_box(&$call);
        }
    )*};
}

fn main() {
    if std::env::args().count() < 100 {
        return;
    }
    let Ok(mut file) = File::open("/dev/null") else {
        return;
    };
    let mode = || Permissions::from_mode(0o600);
    let mut command = Command::new("true");
    let Ok(temporary) = tempfile::NamedTempFile::new() else {
        return;
    };
    let Ok(other) = tempfile::NamedTempFile::new() else {
        return;
    };
    let Ok(third) = tempfile::NamedTempFile::new() else {
        return;
    };
    let here = rustix::fs::CWD;
    let (own, raw) = (rustix::process::getpid(), nix::unistd::Pid::this());
    let none = rustix::fs::Mode::empty();
    let kill = rustix::process::Signal::KILL;
    refused! {
        std::fs::copy("a", "b");
        std::fs::create_dir("a");
        std::fs::create_dir_all("a");
        std::fs::hard_link("a", "b");
        std::fs::remove_dir("a");
        std::fs::remove_dir_all("a");
        std::fs::remove_file("a");
        std::fs::rename("a", "b");
        std::fs::set_permissions("a", mode());
        std::fs::write("a", "b");
        DirBuilder::new().create("a");
        File::create("a");
        File::create_new("a");
        file.set_len(0);
        file.set_modified(std::time::SystemTime::UNIX_EPOCH);
        file.set_permissions(mode());
        file.set_times(FileTimes::new());
        file.sync_all();
        file.sync_data();
        OpenOptions::new().open("a");
        std::io::copy(&mut std::io::empty(), &mut std::io::sink());
        file.write(b"a");
        file.write_all(b"a");
        std::os::unix::fs::chown("a", None, None);
        std::os::unix::fs::symlink("a", "b");
        file.write_all_at(b"a", 0);
        file.write_at(b"a", 0);
        std::os::unix::net::UnixListener::bind("a");
        command.exec();
        command.output();
        command.spawn();
        command.status();
        nix::sys::signal::kill(raw, None);
        nix::sys::signal::killpg(raw, None);
        nix::unistd::unlink("a");
        rustix::fs::fdatasync(&file);
        rustix::fs::fsync(&file);
        rustix::fs::ftruncate(&file, 0);
        rustix::fs::link("a", "b");
        rustix::fs::mkdir("a", none);
        rustix::fs::mkdirat(here, "a", none);
        rustix::fs::open("a", rustix::fs::OFlags::empty(), none);
        rustix::fs::openat(here, "a", rustix::fs::OFlags::empty(), none);
        rustix::fs::rename("a", "b");
        rustix::fs::renameat(here, "a", here, "b");
        rustix::fs::renameat_with(here, "a", here, "b", rustix::fs::RenameFlags::empty());
        rustix::fs::rmdir("a");
        rustix::fs::symlink("a", "b");
        rustix::fs::unlink("a");
        rustix::fs::unlinkat(here, "a", rustix::fs::AtFlags::empty());
        rustix::io::pwrite(&file, b"a", 0);
        rustix::io::write(&file, b"a");
        rustix::process::kill_current_process_group(kill);
        rustix::process::kill_process(own, kill);
        rustix::process::kill_process_group(own, kill);
        rustix::process::pidfd_send_signal(&file, kill);
        temporary.persist("a");
        other.persist_noclobber("a");
        third.into_temp_path().persist("a");
    }
    #[expect(clippy::disallowed_methods, reason = "the probe")]
    if let Ok(mut child) = Command::new("true").spawn() {
        refused! { child.kill(); }
    }
}
