//! The named crash points: the process dies at each of them, and what is left is whole.

/// Every point a commit or housekeeping passes.
#[cfg(feature = "crash-points")]
const POINTS: [&str; 4] = [
    "store.commit.begun",
    "store.commit.applied",
    "store.commit.durable",
    "store.checkpoint",
];

#[cfg(feature = "crash-points")]
#[test]
fn i3_dying_at_any_point_leaves_a_whole_store() {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    for point in POINTS {
        for n in 1..4 {
            let folder = crate::world::Folder::new();
            let out = Command::new(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "killed::commits_until_killed",
                    "--ignored",
                    "--nocapture",
                ])
                .env("LONGHAUL_STORE_TEST_DB", folder.db())
                .env("LONGHAUL_CRASH_POINT", format!("{point}:{n}"))
                .output()
                .unwrap();
            assert_eq!(out.status.signal(), Some(9), "{point}:{n} is passed");
            let text = String::from_utf8_lossy(&out.stdout);
            let acked: Vec<uuid::Uuid> = text
                .lines()
                .filter_map(|l| l.split_once("ack ")?.1.strip_suffix('.')?.parse().ok())
                .collect();
            crate::killed::verify(&folder.db(), &acked);
        }
    }
}

#[cfg(not(feature = "crash-points"))]
#[test]
#[ignore = "needs the feature `crash-points`"]
fn i3_dying_at_any_point_leaves_a_whole_store() {
    panic!("run it with `--features crash-points`");
}
