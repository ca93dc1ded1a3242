//! Hostile bytes and unlucky disks.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use longhaul_hosts::{BundleState, Frame, Liveness, ShimHandle};

use crate::world::{PATIENCE, World, end_of, exit_of, kill, wait_for};

const WAIT: &str = "while [ ! -e $W/go ]; do sleep 0.01; done";

fn connect(handle: &ShimHandle) -> UnixStream {
    let socket = UnixStream::connect(handle.bundle().dir().join("sock")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

#[test]
fn hostile_bytes_cost_nobody_else_anything() {
    let world = World::new();
    let handle = world.live(&world.sh("k", WAIT));
    let mut watch = handle.watch();
    let nonsense: [&[u8]; 8] = [
        b"\n\n\n",
        b"{}\n",
        b"[[[[[[[[\n",
        b"\xff\xfe\x00\n",
        b"{\"op\":\"stop\"}\n",
        b"{\"op\":\"stop\",\"grace_ms\":-1}\n",
        b"{\"op\":\"input\",\"hex\":\"zz\"}\n",
        b"{\"op\":\"hello\",\"version\":0}\n",
    ];
    for bytes in nonsense {
        let mut socket = connect(&handle);
        socket.write_all(bytes).unwrap();
        let mut answer = [0; 256];
        let read = socket.read(&mut answer).unwrap();
        assert!(
            String::from_utf8_lossy(&answer[..read]).contains("refused"),
            "{bytes:?}"
        );
    }
    // A line without end costs the connection.
    let mut socket = connect(&handle);
    let endless = vec![b'x'; 1 << 20];
    socket.write_all(&endless).ok();
    let mut rest = Vec::new();
    socket.read_to_end(&mut rest).ok();
    // Silent ones, more than there are places for, and one that never reads its answers.
    let silent: Vec<_> = (0..40).map(|_| connect(&handle)).collect();
    let mut deaf = connect(&handle);
    deaf.set_write_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    while deaf
        .write_all(&b"{\"op\":\"close_stdin\"}\n".repeat(100))
        .is_ok()
    {}
    std::fs::write(world.path("go"), "").unwrap();
    loop {
        match watch.next_frame(PATIENCE).unwrap() {
            Frame::Ended(state) => {
                assert!(matches!(state, BundleState::Exited(record) if record.is_zero()));
                break;
            }
            Frame::Quiet => panic!("stuck"),
            Frame::Grew { .. } => {}
        }
    }
    drop((silent, deaf));
}

#[test]
fn a_later_version_is_answered_with_ours() {
    let world = World::new();
    let handle = world.live(&world.sh("k", WAIT));
    let mut socket = connect(&handle);
    socket
        .write_all(b"{\"op\":\"hello\",\"version\":99,\"colour\":\"red\"}\n{\"op\":\"dance\"}\n")
        .unwrap();
    let mut text = String::new();
    let mut chunk = [0; 256];
    while text.lines().count() < 2 {
        let read = socket.read(&mut chunk).unwrap();
        text.push_str(std::str::from_utf8(&chunk[..read]).unwrap());
    }
    assert!(
        text.contains("\"version\":1") && text.contains("refused"),
        "{text}"
    );
}

#[test]
fn i17_a_session_may_not_speak_to_shims() {
    if Command::new("python3").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "CI must have python3");
        eprintln!("SKIPPED: no python3");
        return;
    }
    let world = World::new();
    let victim = world.live(&world.sh("victim", WAIT));
    let script = "import os, socket, sys\n\
        s = socket.socket(socket.AF_UNIX)\n\
        s.connect(sys.argv[1])\n\
        try:\n    s.sendall(b'{\"op\":\"stop\",\"grace_ms\":0}\\n')\n    print(s.recv(100))\n\
        except OSError:\n    print(b'')\n";
    let mut spec = world.sh("attacker", "");
    let sock = victim.bundle().dir().join("sock");
    spec.argv = ["python3", "-c", script, sock.to_str().unwrap()]
        .map(str::to_owned)
        .to_vec();
    assert!(world.run(&spec).is_zero());
    assert_eq!(
        world.output("attacker", longhaul_hosts::Stream::Out),
        b"b''\n"
    );
    assert_eq!(victim.liveness(), Liveness::Alive);
    std::fs::write(world.path("go"), "").unwrap();
    assert!(!exit_of(&victim).stop_requested);
}

#[test]
fn torn_records_are_said_to_be_torn() {
    let world = World::new();
    let handle = world.live(&world.sh("k", WAIT));
    kill(&handle.identity().unwrap().shim);
    end_of(&handle);
    let dir = handle.bundle().dir().to_owned();
    std::fs::write(dir.join("exit.json"), b"{\"version\":1,\"key\":\"k").unwrap();
    let BundleState::Lost(lost) = handle.bundle().survey().unwrap() else {
        panic!("not lost");
    };
    assert!(lost.torn_record && lost.child == Liveness::Alive);
    // An identity that cannot be read: nobody knows who it was; the key still finds the tree.
    std::fs::write(dir.join("identity.json"), b"\xff").unwrap();
    let BundleState::Lost(lost) = handle.bundle().survey().unwrap() else {
        panic!("not lost");
    };
    assert!(lost.identity.is_none() && lost.child == Liveness::Unknown);
    let report = lost.tree().sweep(Duration::ZERO);
    assert!(report.signalled >= 1);
    assert_eq!(handle.liveness(), Liveness::Gone);
}

#[test]
fn a_record_of_another_boot_is_gone_and_never_started_again() {
    let world = World::new();
    let spec = world.sh("k", WAIT);
    let handle = world.live(&spec);
    let identity = handle.identity().unwrap().clone();
    kill(&identity.shim);
    end_of(&handle);
    assert_eq!(
        identity.tree().sweep(Duration::ZERO).outcome,
        longhaul_hosts::SweepOutcome::Clean
    );
    let path = handle.bundle().dir().join("identity.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let other = text.replace(identity.child.boot_id.as_str(), "00000000-another-boot");
    std::fs::write(&path, other).unwrap();
    let launched = world.launcher.launch(&spec).unwrap();
    assert!(!launched.fresh && matches!(launched.state, BundleState::OtherBoot(_)));
}

#[test]
fn s2_a_full_disk_loses_output_but_neither_the_job_nor_its_record() {
    let world = World::new();
    let small = world.path("small");
    std::fs::create_dir(&small).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "none", small.as_str()])
        .output()
        .is_ok_and(|done| done.status.success());
    if !mounted {
        assert!(
            std::env::var_os("CI").is_none(),
            "CI must be able to mount a tmpfs"
        );
        eprintln!("SKIPPED: may not mount a small tmpfs");
        return;
    }
    let launcher =
        longhaul_hosts::Launcher::new(crate::world::shim_exe(), small.join("jobs").as_std_path())
            .unwrap();
    let spec = world.sh("k", "head -c 5000000 /dev/zero; exit 9");
    let launched = launcher.launch(&spec).unwrap();
    let bundle = launcher.bundle(&spec.key).unwrap();
    drop(launched);
    let record = wait_for("the record", || match bundle.survey().unwrap() {
        BundleState::Exited(record) => Some(record),
        _ => None,
    });
    wait_for("the shim to go", || {
        launcher.reap();
        Command::new("umount")
            .arg(small.as_str())
            .output()
            .is_ok_and(|done| done.status.success())
            .then_some(())
    });
    assert_eq!(record.outcome, longhaul_hosts::Outcome::Exited { code: 9 });
    assert!(record.out.lost > 3_500_000 && record.output_incomplete());
    assert_eq!(record.out.bytes + record.out.lost, 5_000_000);
}
