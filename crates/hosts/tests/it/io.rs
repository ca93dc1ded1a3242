//! Input and output: floods, limits, any bytes, terminals.

use longhaul_hosts::{LogRead, Refusal, ShimError, Stdin, Stdio, Stream};

use crate::world::{World, exit_of, wait_for};

#[test]
fn t9_fifty_megabytes_on_both_pipes_are_kept_whole() {
    let world = World::new();
    let record = world.run(&world.sh(
        "k",
        "head -c 26214400 /dev/zero & head -c 26214400 /dev/zero >&2; wait",
    ));
    assert!(record.is_zero() && !record.output_incomplete());
    assert_eq!(
        (record.out.bytes, record.err.bytes),
        (26_214_400, 26_214_400)
    );
    for stream in [Stream::Out, Stream::Err] {
        let path = world.bundle("k").dir().join(stream.file_name());
        assert_eq!(std::fs::metadata(path).unwrap().len(), 26_214_400);
    }
}

#[test]
fn s2_beyond_the_limit_the_middle_is_cut_and_said() {
    let world = World::new();
    let mut spec = world.sh("k", "seq -f %09.0f 1 100000");
    spec.max_log_bytes = 100_000;
    let record = world.run(&spec);
    assert_eq!(record.out.bytes, 1_000_000);
    assert!(record.out.cut > 0 && record.output_incomplete());
    let log = world.log("k", Stream::Out);
    let mut kept = 0;
    let mut offset = 0;
    let mut buffer = vec![0; 8192];
    let mut cuts = 0;
    loop {
        match log.read_at(offset, &mut buffer).unwrap() {
            LogRead::Bytes(read) => {
                // Every byte is where it was written.
                for (i, byte) in buffer[..read].iter().enumerate() {
                    let at = offset + i as u64;
                    let line = format!("{:09}\n", at / 10 + 1);
                    assert_eq!(*byte, line.as_bytes()[(at % 10) as usize]);
                }
                kept += read as u64;
                offset += read as u64;
            }
            LogRead::Cut { next } => {
                cuts += 1;
                offset = next;
            }
            LogRead::End => break,
        }
    }
    assert_eq!(
        (cuts, offset, kept),
        (1, 1_000_000, 1_000_000 - record.out.cut)
    );
    assert!((75_000..=100_000).contains(&kept));
    assert_eq!(log.tail(10).unwrap(), b"000100000\n");
}

#[test]
fn bytes_that_are_no_text_are_kept_as_they_are() {
    let world = World::new();
    let record = world.run(&world.sh("k", r"printf '\377\376\000\200x'"));
    assert!(record.is_zero());
    assert_eq!(world.output("k", Stream::Out), b"\xff\xfe\x00\x80x");
}

#[test]
fn a_megabyte_of_input_arrives_whole() {
    let world = World::new();
    let text: Vec<u8> = (0..1_048_576_u32).map(|i| (i % 251) as u8).collect();
    std::fs::write(world.path("in"), &text).unwrap();
    let mut spec = world.sh("k", "cat");
    spec.stdin = Stdin::File(world.path("in"));
    assert!(world.run(&spec).is_zero());
    assert!(world.output("k", Stream::Out) == text);
}

#[test]
fn input_that_nobody_reads_does_not_hold_the_job() {
    let world = World::new();
    std::fs::write(world.path("in"), vec![b'x'; 1 << 20]).unwrap();
    let mut spec = world.sh("k", "exec 0<&-; echo done");
    spec.stdin = Stdin::File(world.path("in"));
    assert!(world.run(&spec).is_zero());
    let mut spec = world.sh("none", "cat; echo done");
    spec.stdin = Stdin::None;
    assert!(world.run(&spec).is_zero());
}

#[test]
fn a_pipe_takes_input_until_it_is_closed() {
    let world = World::new();
    let mut spec = world.sh("k", "cat");
    spec.stdin = Stdin::Pipe;
    let handle = world.live(&spec);
    handle.input(b"one ").unwrap();
    handle.input(&vec![b'x'; 200_000]).unwrap();
    assert!(matches!(
        handle.resize(1, 1),
        Err(ShimError::Refused {
            reason: Refusal::NoTerminal,
            ..
        })
    ));
    handle.close_stdin().unwrap();
    let record = exit_of(&handle);
    assert!(record.is_zero());
    assert_eq!(record.out.bytes, 200_004);
}

#[test]
fn i16_waiting_input_is_bounded() {
    let world = World::new();
    let mut spec = world.sh("k", "sleep 600");
    spec.stdin = Stdin::Pipe;
    let handle = world.live(&spec);
    assert!(matches!(
        handle.input(&vec![0; 4 << 20]),
        Err(ShimError::Refused {
            reason: Refusal::Busy,
            ..
        })
    ));
}

#[test]
fn a_job_without_input_refuses_it() {
    let world = World::new();
    let handle = world.live(&world.sh("k", "sleep 600"));
    assert!(matches!(
        handle.input(b"x"),
        Err(ShimError::Refused {
            reason: Refusal::NoInput,
            ..
        })
    ));
}

#[test]
fn a_terminal_is_one_with_size_input_and_hangup() {
    let world = World::new();
    let mut spec = world.sh(
        "k",
        "test -t 0 && test -t 1 && test -t 2 && echo tty; stty size; \
         stty -echo; echo ready; read line; echo \"got $line\"; stty size < /dev/tty; exit 6",
    );
    spec.stdio = Stdio::Pty {
        rows: 33,
        cols: 101,
    };
    let handle = world.live(&spec);
    let text = || String::from_utf8(world.output("k", Stream::Out)).unwrap();
    wait_for("the prompt", || text().contains("ready").then_some(()));
    handle.resize(44, 55).unwrap();
    handle.input(b"hello\n").unwrap();
    let record = exit_of(&handle);
    assert_eq!(record.outcome, longhaul_hosts::Outcome::Exited { code: 6 });
    assert_eq!(text(), "tty\r\n33 101\r\nready\r\ngot hello\r\n44 55\r\n");
    assert_eq!(record.err.bytes, 0);
}

#[test]
fn a_terminals_input_can_be_ended() {
    let world = World::new();
    let mut spec = world.sh("k", "cat > /dev/null; exit 8");
    spec.stdio = Stdio::Pty { rows: 24, cols: 80 };
    let handle = world.live(&spec);
    handle.close_stdin().unwrap();
    assert_eq!(
        exit_of(&handle).outcome,
        longhaul_hosts::Outcome::Exited { code: 8 }
    );
}
