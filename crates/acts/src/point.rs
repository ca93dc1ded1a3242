//! Crash points: named places at which a test may kill this process with SIGKILL.
//!
//! With the feature `crash-points`, `LONGHAUL_CRASH_POINT=name:n` (several with commas) kills the
//! process at the n-th passage of `name`, from 1; `any` counts all points but the second edges of acts,
//! which lead to the next first edge with nothing between them. Passages are counted per process, or,
//! if `LONGHAUL_CRASH_DIR` names a folder, by all processes together: each passage appends a byte to
//! the file of its name there, and those that `any` counts a line to `any`.

/// The name of an act: a stem and, for a part of a larger act, its part.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    not(feature = "crash-points"),
    expect(dead_code, reason = "only crash points have use for names")
)]
pub struct Label<'a> {
    stem: &'a str,
    part: &'a str,
}

impl<'a> From<&'a str> for Label<'a> {
    #[inline(always)]
    fn from(stem: &'a str) -> Self {
        Self { stem, part: "" }
    }
}

impl<'a> From<(&'a str, &'a str)> for Label<'a> {
    #[inline(always)]
    fn from((stem, part): (&'a str, &'a str)) -> Self {
        Self { stem, part }
    }
}

/// Does an act between its two points, `<label>.before` and `<label>.after`.
#[inline(always)]
pub fn around<'a, T>(label: impl Into<Label<'a>>, act: impl FnOnce() -> T) -> T {
    let label = label.into();
    edge(label, "before");
    let done = act();
    edge(label, "after");
    done
}

/// Passes a point that is no edge of an act: the place before an answer, or between two steps.
#[inline(always)]
pub fn point<'a>(name: impl Into<Label<'a>>) {
    edge(name.into(), "");
}

#[cfg(not(feature = "crash-points"))]
#[inline(always)]
fn edge(_label: Label<'_>, _edge: &str) {}

#[cfg(feature = "crash-points")]
use armed::edge;
#[cfg(feature = "crash-points")]
pub use armed::{CRASH_DIR, CRASH_POINT};

#[cfg(feature = "crash-points")]
mod armed {
    use std::collections::BTreeMap;
    use std::fs::OpenOptions;
    use std::io::{Seek as _, Write as _};
    use std::path::{Path, PathBuf};
    use std::sync::{Mutex, OnceLock, PoisonError};

    use super::Label;

    /// The variable that names the points to die at.
    pub const CRASH_POINT: &str = "LONGHAUL_CRASH_POINT";
    /// The variable that names the folder where all processes count together.
    pub const CRASH_DIR: &str = "LONGHAUL_CRASH_DIR";

    /// Bytes of a line in the file of all passages.
    const LINE: usize = 64;

    struct Armed {
        wanted: Vec<(String, u64)>,
        folder: Option<PathBuf>,
        own: Mutex<BTreeMap<String, u64>>,
    }

    fn armed() -> &'static Option<Armed> {
        static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
        ARMED.get_or_init(|| {
            let folder = std::env::var_os(CRASH_DIR).map(PathBuf::from);
            let text = std::env::var(CRASH_POINT).unwrap_or_default();
            let wanted: Vec<_> = text
                .split(',')
                .filter_map(|one| {
                    let (name, n) = one.rsplit_once(':')?;
                    Some((name.to_owned(), n.parse().ok()?))
                })
                .collect();
            (folder.is_some() || !wanted.is_empty()).then(|| Armed {
                wanted,
                folder,
                own: Mutex::default(),
            })
        })
    }

    pub(super) fn edge(label: Label<'_>, edge: &str) {
        let Some(armed) = armed() else {
            return;
        };
        let parts = [label.stem, label.part, edge];
        let parts: Vec<_> = parts.into_iter().filter(|p| !p.is_empty()).collect();
        let name = parts.join(".");
        let visit = armed.count(&name, b".");
        let any = (edge != "after").then(|| {
            let line = format!("{name:<width$}\n", width = LINE - 1);
            armed.count("any", line.as_bytes())
        });
        let due = |(wanted, n): &(String, u64)| {
            (*wanted == name && Some(*n) == visit) || (wanted == "any" && Some(Some(*n)) == any)
        };
        if armed.wanted.iter().any(due) {
            die();
        }
    }

    impl Armed {
        /// The number of this passage, from 1; `None` if it cannot be counted (a confined process).
        fn count(&self, name: &str, mark: &[u8]) -> Option<u64> {
            match &self.folder {
                Some(folder) => append(&folder.join(name), mark),
                None => {
                    let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
                    let count = own.entry(name.to_owned()).or_default();
                    *count += 1;
                    Some(*count)
                }
            }
        }
    }

    /// Appends a mark and gives its number: the position after an appending write is this writer's.
    #[expect(
        clippy::disallowed_methods,
        reason = "the counting of points is not itself counted"
    )]
    fn append(path: &Path, mark: &[u8]) -> Option<u64> {
        let mut options = OpenOptions::new();
        let mut file = options.append(true).create(true).open(path).ok()?;
        file.write_all(mark).ok()?;
        Some(file.stream_position().ok()? / mark.len() as u64)
    }

    #[expect(clippy::disallowed_methods, reason = "this is what a crash point does")]
    fn die() -> ! {
        let me = rustix::process::getpid();
        rustix::process::kill_process(me, rustix::process::Signal::KILL)
            .expect("a process may always signal itself");
        // The signal ends every thread; this one must not run on until it does.
        loop {
            std::thread::park();
        }
    }
}
