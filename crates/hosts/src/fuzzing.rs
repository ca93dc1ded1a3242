//! Fuzz targets of this crate's private parsers: any bytes, and what must hold of each. Built only with
//! the feature `fuzzing`; driven by `longhaul-fuzz`.

use crate::cgroup::locate;
use crate::procfs::parse_stat;
use crate::protocol::{
    Event, Lines, MAX_INPUT_BYTES, MAX_LINE_BYTES, Request, encode, from_hex, to_hex,
};

/// The words on a shim's socket, in pieces of `piece` bytes: the same lines as in one piece.
pub fn shim_words(data: &[u8], piece: usize) {
    let whole = lines(&[data]);
    let pieces: Vec<&[u8]> = data.chunks(piece.max(1)).collect();
    assert_eq!(lines(&pieces), whole, "in pieces of {piece}");
    for line in &whole.0 {
        assert!(line.len() <= MAX_LINE_BYTES && !line.contains(&b'\n'));
        if let Ok(request) = serde_json::from_slice::<Request>(line) {
            let said = encode(&request);
            assert!(said.ends_with(b"\n") && !said[..said.len() - 1].contains(&b'\n'));
            assert_eq!(
                serde_json::from_slice::<Request>(&said).ok(),
                Some(request.clone())
            );
            if let Request::Input { hex } = request
                && let Some(bytes) = from_hex(&hex)
            {
                assert!(bytes.len() <= MAX_INPUT_BYTES);
                assert_eq!(to_hex(&bytes), hex.to_ascii_lowercase());
            }
        }
        if let Ok(event) = serde_json::from_slice::<Event>(line)
            && event != Event::Unknown
        {
            assert_eq!(
                serde_json::from_slice::<Event>(&encode(&event)).ok(),
                Some(event)
            );
        }
    }
}

/// Every whole line, and whether an end was made because one was too long.
fn lines(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, bool) {
    let mut lines = Lines::default();
    let mut seen = Vec::new();
    for piece in pieces {
        lines.push(piece);
        loop {
            match lines.next() {
                Ok(Some(line)) => seen.push(line),
                Ok(None) => break,
                Err(_) => return (seen, true),
            }
        }
    }
    (seen, false)
}

/// What the kernel tells of processes and groups, in which a process puts its own name.
pub fn procfs(data: &[u8]) {
    if let Some(stat) = parse_stat(data) {
        let _dead: bool = stat.is_dead();
        // A name cannot pretend to be fields: what comes after the last parenthesis decides.
        let named = [
            b"1 (".as_slice(),
            data,
            b") S 7 1 1 0 -1 0 1 2 3 4 1 2 3 4 20 0 1 0 5 1",
        ]
        .concat();
        let named = parse_stat(&named).expect("a line of the kernel's shape");
        assert_eq!((named.pid, named.ppid, named.start_ticks), (1, 7, 5));
    }
    if let Some((mounts, own)) = String::from_utf8_lossy(data).split_once('\u{0}')
        && let Some(folder) = locate(mounts, own)
    {
        let up = folder.components().any(|c| c.as_os_str() == "..");
        let from_mount = mounts.contains("..");
        assert!(!up || from_mount, "{folder:?}");
    }
}
