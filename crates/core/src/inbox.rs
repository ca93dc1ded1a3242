//! Files that become tasks (A20): when one is complete, and what it is called once it was taken. Values only;
//! the looking and the moving are done elsewhere.

use crate::ids::TaskId;
use crate::time::UnixMs;

/// How long a file must have stayed as it is before it is taken, in milliseconds.
pub const SETTLE_MS: u64 = 2_000;
/// Most bytes that are kept of a file's own name.
const NAME_MAX: usize = 120;

/// What is seen of a file: any write to it changes one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Its inode.
    pub inode: u64,
    /// Its bytes.
    pub size: u64,
    /// When its content changed last: UTC nanoseconds.
    pub modified_ns: i128,
    /// When anything of it changed last, which nobody but the kernel can set: UTC nanoseconds.
    pub changed_ns: i128,
}

/// What an earlier look saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What.
    pub sight: Sight,
    /// When it was seen so for the first time: milliseconds of a clock that is never set.
    pub since_ms: u64,
}

impl Seen {
    /// This look, after an earlier one of the same name.
    #[must_use]
    pub fn again(before: Option<Self>, sight: Sight, now_ms: u64) -> Self {
        match before {
            Some(before) if before.sight == sight => before,
            _ => Self {
                sight,
                since_ms: now_ms,
            },
        }
    }
}

/// Whether a file is complete. `writer` is whether a process has it open for writing, as far as the kernel tells.
/// It is complete if nobody has, it holds something, and it stayed as it is for [`SETTLE_MS`]: between two looks,
/// or, where it is known that nobody writes, since its last change. So a file that was finished elsewhere and then
/// renamed into the inbox is complete at the first look.
#[must_use]
pub fn is_complete(seen: Seen, now_ms: u64, wall: UnixMs, writer: Option<bool>) -> bool {
    if writer == Some(true) || seen.sight.size == 0 {
        return false;
    }
    let stood = now_ms.saturating_sub(seen.since_ms) >= SETTLE_MS;
    let age_ms = i128::from(wall.0) - seen.sight.modified_ns / 1_000_000;
    stood || (writer == Some(false) && age_ms >= i128::from(SETTLE_MS))
}

/// Whether a name says that the file is not meant yet, or not meant at all: hidden, an editor's copy, a download
/// that goes on.
#[must_use]
pub fn is_ignored(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    name.starts_with(['.', '#'])
        || name.ends_with('~')
        || [
            ".tmp",
            ".temp",
            ".part",
            ".partial",
            ".crdownload",
            ".swp",
            ".lock",
        ]
        .iter()
        .any(|end| lower.ends_with(end))
}

/// What a file is called from the moment it is taken: the id of its task, and its own name. The id in the name is
/// what makes a repeated submission the same one.
#[must_use]
pub fn taken_name(id: TaskId, name: &str) -> String {
    let mut own = String::new();
    for c in name.chars() {
        let c = if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') {
            c
        } else {
            '-'
        };
        if own.len() < NAME_MAX {
            own.push(c);
        }
    }
    format!("{id}_{own}")
}

/// The id and the file's own name from [`taken_name`]; `None` for any other.
#[must_use]
pub fn of_taken_name(name: &str) -> Option<(TaskId, &str)> {
    let (id, own) = name.split_once('_')?;
    let id: TaskId = id.parse().ok()?;
    // Another spelling of the same id would be another file of the same task.
    (name.starts_with(&id.to_string()) && !own.is_empty()).then_some((id, own))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: UnixMs = UnixMs(1_000_000);

    fn sight(modified_ms: i128) -> Sight {
        Sight {
            inode: 1,
            size: 5,
            modified_ns: modified_ms * 1_000_000,
            changed_ns: 0,
        }
    }

    #[test]
    fn a20_a_half_written_file_is_not_taken() {
        let fresh = Seen::again(None, sight(1_000_000), 10_000);
        assert!(!is_complete(fresh, 10_000, WALL, Some(false)));
        assert!(!is_complete(fresh, 11_999, WALL, None));
        assert!(is_complete(fresh, 12_000, WALL, None));
        // Any change begins the wait anew.
        let grown = Seen::again(Some(fresh), sight(1_000_001), 12_000);
        assert!(!is_complete(grown, 12_001, WALL, None));
        // However long it stays: whoever has it open is not done.
        assert!(!is_complete(fresh, 900_000, WALL, Some(true)));
        // Nothing was written yet.
        let empty = Sight {
            size: 0,
            ..sight(0)
        };
        let empty = Seen::again(None, empty, 0);
        assert!(!is_complete(empty, 900_000, WALL, Some(false)));
    }

    #[test]
    fn a20_a_finished_file_that_was_renamed_in_is_taken_at_once() {
        let renamed = Seen::again(None, sight(998_000), 10_000);
        assert!(is_complete(renamed, 10_000, WALL, Some(false)));
        // Where the kernel does not tell of writers, two looks are needed.
        assert!(!is_complete(renamed, 10_000, WALL, None));
        // A time to come says nothing.
        let future = Seen::again(None, sight(2_000_000), 10_000);
        assert!(!is_complete(future, 10_000, WALL, Some(false)));
        assert!(is_complete(future, 12_000, WALL, Some(false)));
    }

    #[test]
    fn a20_a_taken_name_carries_the_id_and_nothing_that_leads_away() {
        let id: TaskId = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
        let name = taken_name(id, "../Fix the login.md");
        assert_eq!(name, format!("{id}_..-Fix-the-login.md"));
        assert_eq!(of_taken_name(&name), Some((id, "..-Fix-the-login.md")));
        assert!(taken_name(id, &"é".repeat(4000)).len() < 200);
        for odd in [
            "fix.md",
            "_fix.md",
            "01890a5d_fix.md",
            &format!("{id}_"),
            &format!("{}_x", id.to_string().to_uppercase()),
        ] {
            assert_eq!(of_taken_name(odd), None, "{odd}");
        }
        for ignored in [".x.md", "x.md~", "x.PART", "#x#", "a.tmp", ".fix.md.swp"] {
            assert!(is_ignored(ignored), "{ignored}");
        }
        assert!(!is_ignored("fix.md"));
    }
}
