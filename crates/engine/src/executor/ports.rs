//! Leased port ranges (L2): one file per range, so that two tasks never get the same one.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};

use camino::Utf8Path;
use longhaul_core::ids::TaskId;

const FIRST: u16 = 20_000;
/// Ports in one range.
const WIDTH: u16 = 20;
const RANGES: u16 = 1_000;

/// The first port of the task's range; the one it has, if it has one. `None` if all are leased.
pub(crate) fn lease(folder: &Utf8Path, task: TaskId) -> io::Result<Option<u16>> {
    fs::create_dir_all(folder)?;
    let owner = task.to_string();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if fs::read_to_string(entry.path()).is_ok_and(|text| text == owner) {
            return Ok(entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok()));
        }
    }
    for n in 0..RANGES {
        let port = FIRST + n * WIDTH;
        match OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(folder.join(port.to_string()))
        {
            Ok(mut file) => {
                file.write_all(owner.as_bytes())?;
                return Ok(Some(port));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Gives a range back.
pub(crate) fn release(folder: &Utf8Path, task: TaskId) -> io::Result<()> {
    let owner = task.to_string();
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries {
        let path = entry?.path();
        if fs::read_to_string(&path).is_ok_and(|text| text == owner) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l2_a_range_is_leased_once_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let (a, b) = (TaskId::new(1, [1; 10]), TaskId::new(1, [2; 10]));
        let first = lease(dir, a).unwrap();
        assert_eq!(first, Some(FIRST));
        assert_eq!(lease(dir, a).unwrap(), first);
        assert_eq!(lease(dir, b).unwrap(), Some(FIRST + WIDTH));
        release(dir, a).unwrap();
        assert_eq!(lease(dir, TaskId::new(1, [3; 10])).unwrap(), first);
    }
}
