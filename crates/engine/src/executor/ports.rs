//! Leased port ranges (L2): one file per range, so that two tasks never get the same one.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;

use camino::Utf8Path;
use longhaul_acts::files;
use longhaul_core::ids::TaskId;

const FIRST: u16 = 20_000;
/// Ports in one range.
const WIDTH: u16 = 20;
const RANGES: u16 = 1_000;

/// The first port of the task's range; the one it has, if it has one. A range whose owner needs it
/// no more (`is_over`) is taken over once no other is left. `None` if all are in use.
pub(crate) fn lease(
    folder: &Utf8Path,
    task: TaskId,
    is_over: impl Fn(TaskId) -> bool,
) -> io::Result<Option<u16>> {
    lease_one_of(folder, RANGES, task, is_over)
}

fn lease_one_of(
    folder: &Utf8Path,
    ranges: u16,
    task: TaskId,
    is_over: impl Fn(TaskId) -> bool,
) -> io::Result<Option<u16>> {
    files::create_dir_all("engine.ports.folder", folder)?;
    let mut leased = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let port = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u16>().ok());
        let Some(port) = port else { continue };
        leased.insert(port, fs::read_to_string(entry.path()).unwrap_or_default());
    }
    let owner = task.to_string();
    if let Some((port, _)) = leased.iter().find(|(_, text)| **text == owner) {
        return Ok(Some(*port));
    }
    for port in (0..ranges).map(|n| FIRST + n * WIDTH) {
        let file = folder.join(port.to_string());
        if leased.contains_key(&port) {
            continue;
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        match files::open("engine.ports.lease", &options, file) {
            Ok(mut file) => {
                files::write_all("engine.ports.owner", &mut file, owner.as_bytes())?;
                return Ok(Some(port));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    let over = leased
        .iter()
        .find(|(_, text)| text.parse().is_ok_and(&is_over));
    let Some((port, _)) = over else {
        return Ok(None);
    };
    super::files::write_whole(&folder.join(port.to_string()), owner.as_bytes())?;
    Ok(Some(*port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l2_a_range_is_leased_once_found_again_and_taken_over_at_last() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let task = |n: u16| {
            let mut bytes = [0; 10];
            bytes[..2].copy_from_slice(&n.to_be_bytes());
            TaskId::new(1, bytes)
        };
        let lease = |n: u16, over: u16| lease_one_of(dir, 5, task(n), |owner| owner == task(over));
        let first = lease(0, 99).unwrap();
        assert_eq!(first, Some(FIRST));
        assert_eq!(lease(0, 99).unwrap(), first);
        for n in 1..5 {
            assert_eq!(lease(n, 99).unwrap(), Some(FIRST + n * WIDTH));
        }
        assert_eq!(lease(5, 99).unwrap(), None);
        assert_eq!(lease(5, 3).unwrap(), Some(FIRST + 3 * WIDTH));
    }
}
