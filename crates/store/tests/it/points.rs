//! The named crash points: the process dies at each of them, and what is left is whole.

/// Every point, and how often it is passed at least. The copy before a migration is tested where
/// there are migrations to choose from.
#[cfg(feature = "crash-points")]
const POINTS: [(&str, u64); 6] = [
    ("store.migrate.step", 1),
    ("store.migrate.done", 1),
    ("store.commit.begun", 3),
    ("store.commit.applied", 3),
    ("store.commit.durable", 3),
    ("store.checkpoint", 2),
];

#[cfg(feature = "crash-points")]
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

/// A new point must be added to the list above.
#[cfg(feature = "crash-points")]
#[test]
fn every_point_is_tested() {
    fn walk(folder: &std::path::Path, found: &mut std::collections::BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                for rest in text.split("crash::point(\"").skip(1) {
                    found.insert(rest.split('"').next().unwrap().to_owned());
                }
            }
        }
    }
    let mut found = std::collections::BTreeSet::new();
    walk(
        std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")),
        &mut found,
    );
    assert!(found.remove("store.migrate.copied"));
    let listed = POINTS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(found, listed);
}

#[cfg(not(feature = "crash-points"))]
#[test]
#[ignore = "needs the feature `crash-points`"]
fn i3_dying_at_any_point_leaves_a_whole_store() {
    panic!("run it with `--features crash-points`");
}
