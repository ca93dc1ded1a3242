//! Small helpers of tests: files, and the one way to wait.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

/// Looks until the condition is true or the time is over; gives what it was at last. Level-triggered:
/// the condition is a state, never an event that can be missed.
pub fn wait_until(limit: Duration, mut ready: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if ready() {
            return true;
        }
        if Instant::now() >= deadline {
            return ready();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Writes a file, folders included.
///
/// # Errors
/// It cannot be written.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, text)
}

/// Adds to a file.
///
/// # Errors
/// It cannot be written.
pub fn append(path: &Path, text: &str) -> io::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)?;
    file.write_all(text.as_bytes())
}

/// The text of a file; empty if there is none.
#[must_use]
pub fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}
