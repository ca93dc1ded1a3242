//! Power cuts at every moment of a job: a program that ran is never taken for one that did not, and a job
//! that ended is known to have ended, with all it said (I2, I3, S2).
//!
//! Recorded once with the real shim; the disks come from `longhaul-powercut`, in both models of names.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::Command;

use longhaul_hosts::{Bundle, BundleState, JobSpec, Outcome};
use longhaul_powercut::{Change, Choice, Model, Recorder, Recording};

use crate::world::shim_exe;

/// How many disks are looked at for each moment.
const CUTS: u64 = 8;
const OUTPUT: &str = "one\ntwo\n";

struct Story {
    recording: Recording,
    key: String,
    /// The program's first moment, and the first one after the shim's end.
    ran: usize,
    over: usize,
}

fn record() -> Story {
    let temp = tempfile::Builder::new()
        .prefix("lh-power-")
        .tempdir()
        .unwrap();
    let root = temp.path().canonicalize().unwrap();
    std::fs::create_dir(root.join("state")).unwrap();
    let key = format!("test-{}-power", std::process::id());
    let argv = ["/bin/sh", "-c", "echo one; echo two; exit 3"].map(str::to_owned);
    let cwd = camino::Utf8PathBuf::from_path_buf(root.clone()).unwrap();
    let spec = JobSpec::new(&key, argv.to_vec(), cwd);
    let mut recorder = Recorder::start(&root, &[]).expect("ptrace must be permitted");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "crash::launcher_with_a_crash_point", "--ignored"])
        .env("LH_TEST_JOBS", root.join("state/jobs"))
        .env("LH_TEST_SPEC", serde_json::to_string(&spec).unwrap());
    let said = recorder.run(&command).unwrap();
    assert_eq!(said.code, 0, "{said:?}");
    let recording = recorder.finish();
    recording.verify(&root).unwrap();
    let started = |first: &str, second: &str| {
        let has = |c: &Change| match c {
            Change::Exec { argv, .. } => argv.len() >= 2 && argv[0] == first && argv[1] == second,
            _ => false,
        };
        recording.changes().iter().position(has).unwrap()
    };
    let ran = started("/bin/sh", "-c");
    let Change::Exec { pid: shim, .. } = recording.changes()[started("longhaul", "__shim")] else {
        unreachable!("that is what was looked for");
    };
    let ends = |c: &Change| matches!(c, Change::End { pid } if *pid == shim);
    let over = recording.changes().iter().position(ends).unwrap();
    assert!(ran < over, "{}", shim_exe().display());
    Story {
        recording,
        key,
        ran,
        over,
    }
}

/// Cuts the power after every change; gives the first complaint and the number of disks.
fn sweep(story: &Story, model: Model) -> (Option<String>, usize) {
    let temp = tempfile::tempdir().unwrap();
    let jobs = temp.path().join("state/jobs");
    let bundle = Bundle::new(&jobs, &story.key).unwrap();
    let mut disk = story.recording.disk(model);
    let mut looked = 0;
    for (moment, change) in story.recording.changes().iter().enumerate() {
        disk.apply(change);
        for cut in 0..CUTS {
            let seed = (moment as u64) << 20 | cut;
            disk.cut(&mut Choice::new(seed))
                .write_to(temp.path())
                .unwrap();
            looked += 1;
            if let Err(why) = sound(&bundle, moment >= story.ran, moment >= story.over) {
                return (
                    Some(format!("{model:?}, moment {moment}, seed {seed}: {why}")),
                    looked,
                );
            }
        }
    }
    (None, looked)
}

fn sound(bundle: &Bundle, ran: bool, over: bool) -> Result<(), String> {
    let state = bundle.survey().map_err(|e| format!("{e:?}"))?;
    match &state {
        BundleState::Live(_) | BundleState::Starting => {
            Err(format!("alive after a reboot: {state:?}"))
        }
        BundleState::Absent | BundleState::NotStarted if ran => {
            Err(format!("it ran, and would be run again: {state:?}"))
        }
        BundleState::Exited(record) => {
            let said = std::fs::read_to_string(bundle.dir().join("out.log")).unwrap_or_default();
            if record.outcome != (Outcome::Exited { code: 3 }) {
                Err(format!("another end: {record:?}"))
            } else if said != OUTPUT {
                Err(format!(
                    "the record is there, what it said is not: {said:?}"
                ))
            } else {
                Ok(())
            }
        }
        // "Of another boot", and nothing vaguer: who ran is known.
        BundleState::Lost(_) if ran => Err(format!("it ran, and nobody knows when: {state:?}")),
        _ if over => Err(format!("it ended, and that is lost: {state:?}")),
        _ => Ok(()),
    }
}

#[test]
fn i2_a_power_cut_at_any_moment_neither_runs_a_program_twice_nor_forgets_its_end() {
    let story = record();
    let mut all = 0;
    for model in [Model::Journal, Model::Loose] {
        let (complaint, looked) = sweep(&story, model);
        assert_eq!(complaint, None);
        all += looked;
    }
    assert!(all > 300, "{all} disks are too few to say anything");
}

/// The test above has teeth: each flush that is left out is found out, in the model named with it.
#[test]
fn every_forgotten_flush_of_a_job_is_found_out() {
    let story = record();
    let folder = Path::new("state/jobs").join(&story.key);
    let forgotten: [(&str, Model, &Path); 6] = [
        (
            "the identity",
            Model::Journal,
            &folder.join("identity.json"),
        ),
        ("the exit record", Model::Journal, &folder.join("exit.json")),
        ("what it said", Model::Journal, &folder.join("out.log")),
        ("the bundle's names", Model::Loose, &folder),
        (
            "the bundle's own name",
            Model::Loose,
            Path::new("state/jobs"),
        ),
        (
            "the name of the jobs folder",
            Model::Loose,
            Path::new("state"),
        ),
    ];
    for (what, model, path) in forgotten {
        let careless = Story {
            recording: story.recording.without_flushes(|p| p == path),
            key: story.key.clone(),
            ran: 0,
            over: 0,
        };
        // Leaving changes out moves the moments.
        let missing = |upto: usize| {
            let left_out = |c: &&Change| matches!(c, Change::Flush { path: p, .. } if p == path);
            story.recording.changes()[..upto]
                .iter()
                .filter(left_out)
                .count()
        };
        let careless = Story {
            ran: story.ran - missing(story.ran),
            over: story.over - missing(story.over),
            ..careless
        };
        assert!(missing(story.over) > 0, "{what} is flushed");
        let (complaint, _) = sweep(&careless, model);
        assert!(complaint.is_some(), "nobody misses the flush of {what}");
    }
}
