//! The named crash points: the process dies at each of them, and what is left is whole.

/// Points of a new store and of its work, and how often each is passed at least. That all points are
/// passed by something is held by the registry in `longhaul-acts`.
const POINTS: [(&str, u64); 17] = [
    ("store.lock.before", 1),
    ("store.lock.after", 1),
    ("store.lock.note.before", 1),
    ("store.file.before", 1),
    ("store.file.after", 1),
    ("store.folder.flush.after", 1),
    ("store.wal.before", 1),
    ("store.wal.after", 1),
    ("store.migrate.step.before", 1),
    ("store.migrate.step.after", 1),
    ("store.migrate.number.before", 1),
    ("store.migrate.number.after", 1),
    ("store.begun", 3),
    ("store.commit.before", 3),
    ("store.commit.after", 3),
    ("store.checkpoint.before", 2),
    ("store.checkpoint.after", 2),
];

#[test]
fn i3_dying_at_any_point_leaves_a_whole_store() {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    for (point, times) in POINTS {
        let folder = crate::world::Folder::new();
        let mut acked: Vec<uuid::Uuid> = Vec::new();
        for n in 1..=times {
            // In the same folder: from the second time on it dies after it recovered.
            let out = Command::new(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "killed::commits_until_killed",
                    "--ignored",
                    "--nocapture",
                ])
                .env(crate::killed::DB, folder.db())
                .env("LONGHAUL_CRASH_POINT", format!("{point}:{n}"))
                .output()
                .unwrap();
            assert_eq!(out.status.signal(), Some(9), "{point}:{n} is passed");
            let text = String::from_utf8_lossy(&out.stdout);
            acked.extend(text.lines().filter_map(crate::killed::ack));
            crate::killed::verify(&folder.db(), &acked);
        }
    }
}

/// The maker died between the file and its tables: that is an empty store, not a broken one.
#[test]
fn i3_a_store_without_tables_yet_is_read_as_not_made() {
    use longhaul_store::SqliteReader;

    let folder = crate::world::Folder::new();
    for (point, made) in [
        ("store.wal.after:1", false),
        ("store.migrate.step.before:1", false),
        ("store.migrate.step.after:1", true),
    ] {
        std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::commits_until_killed", "--ignored"])
            .env(crate::killed::DB, folder.db())
            .env("LONGHAUL_CRASH_POINT", point)
            .output()
            .unwrap();
        let reader = SqliteReader::open(&folder.db()).unwrap();
        assert_eq!(reader.is_made().unwrap(), made, "{point}");
    }
}
