//! What of the pool nobody needs any more (A25): sessions beyond `min` that have been free for long, and notes of
//! sessions that there are no more. Found first, removed after, each only if it is still so.

use std::fs;
use std::io;
use std::time::UNIX_EPOCH;

use camino::Utf8Path;
use longhaul_core::janitor::{Item, Limits, plan};
use longhaul_core::time::{SpanMs, UnixMs};
use serde::Serialize;

use crate::names::PoolSettings;
use crate::survey::is_free;
use crate::tmux::{Server, TmuxError};

/// Most files of the notes' folder that are looked at.
const MOST: usize = 10_000;

/// One thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", content = "name", rename_all = "snake_case")]
pub enum Waste {
    /// A free session beyond `min`: its dead pane with its last screen.
    Session(String),
    /// The file of a note about a session that is not one of the pool's and not there.
    Note(String),
}

/// What goes, and since when nobody needs it; the oldest first. Changes nothing.
///
/// # Errors
/// tmux cannot be run, or does not say.
pub fn waste(
    server: &Server,
    settings: &PoolSettings,
    folder: &Utf8Path,
    retention: SpanMs,
    now: UnixMs,
) -> Result<Vec<(Waste, UnixMs)>, TmuxError> {
    let panes = server.panes()?;
    let there: Vec<String> = settings
        .names()
        .filter(|n| panes.iter().any(|p| p.session == *n))
        .collect();
    // The first `min` of those that are there stay, as `ensure` would make them again.
    let mut items: Vec<Item<Waste>> = Vec::new();
    for name in there.iter().skip(settings.min as usize) {
        let since = panes
            .iter()
            .filter(|p| p.session == *name)
            .map(|p| p.active)
            .max();
        if let (true, Some(since)) = (is_free(&panes, name), since) {
            let what = Waste::Session(name.clone());
            items.push(Item {
                what,
                bytes: 0,
                since,
            });
        }
    }
    let is_known = |file: &str| {
        let session = file.rsplit_once('.').map_or(file, |(name, _)| name);
        settings.names().any(|n| n == session) || panes.iter().any(|p| p.session == session)
    };
    for (file, since) in notes(folder) {
        if !is_known(&file) {
            let what = Waste::Note(file);
            items.push(Item {
                what,
                bytes: 0,
                since,
            });
        }
    }
    let limits = Limits {
        age: retention,
        bytes: None,
    };
    let goes = plan(items, limits, now).into_iter();
    Ok(goes.map(|(item, _)| (item.what, item.since)).collect())
}

/// Removes one; `false` if it is needed again, or gone.
///
/// # Errors
/// tmux refuses, or the file cannot be removed.
pub fn throw_away(server: &Server, folder: &Utf8Path, what: &Waste) -> Result<bool, WasteError> {
    match what {
        Waste::Session(name) => Ok(server.remove_free(name)?),
        Waste::Note(file) => {
            match longhaul_acts::files::remove_file("pool.note.remove", folder.join(file)) {
                Ok(()) => Ok(true),
                Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
                Err(e) => Err(e.into()),
            }
        }
    }
}

/// Why a thing stays that should have gone.
#[derive(Debug, thiserror::Error)]
pub enum WasteError {
    /// tmux said no.
    #[error(transparent)]
    Tmux(#[from] TmuxError),
    /// The system said no.
    #[error("cannot remove a note")]
    Io(#[from] io::Error),
}

/// The plain files in the notes' folder, of the names that notes have.
fn notes(folder: &Utf8Path) -> Vec<(String, UnixMs)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut all = Vec::new();
    for entry in entries.take(MOST) {
        let (Ok(name), Ok(meta)) = (entry.file_name().into_string(), entry.metadata()) else {
            continue;
        };
        let is_note = name.ends_with(".json") || name.ends_with(".part");
        let changed = meta
            .modified()
            .ok()
            .and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        if let (true, true, Some(changed)) = (is_note, meta.is_file(), changed) {
            let ms = i64::try_from(changed.as_millis()).unwrap_or(i64::MAX);
            all.push((name, UnixMs(ms)));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;
    use crate::names::Dedicated;
    use crate::survey::ensure;
    use crate::tmux::Place;

    /// Ends the server of a test whatever becomes of it.
    struct Ends(Server);

    impl Drop for Ends {
        fn drop(&mut self) {
            drop(self.0.stop());
        }
    }

    #[test]
    fn a25_i11_only_what_is_free_beyond_the_least_goes_and_only_if_it_still_is() {
        let Some(program) = ["/usr/bin/tmux", "/usr/local/bin/tmux", "/bin/tmux"]
            .into_iter()
            .find(|p| Utf8Path::new(p).exists())
        else {
            eprintln!("SKIPPED: there is no tmux");
            return;
        };
        let temp = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::from_path_buf(temp.path().to_owned()).unwrap();
        let server = Server::new(Place {
            program: program.into(),
            socket: folder.join("s"),
        });
        let _ends = Ends(server.clone());
        let settings = |min| PoolSettings {
            min,
            max: 4,
            dedicated: vec![Dedicated {
                name: "mine".to_owned(),
                dir: folder.clone(),
            }],
            ..PoolSettings::default()
        };
        ensure(&server, &settings(4)).unwrap();
        assert!(server.make_empty("foreign").unwrap());
        let prefix = settings(0).names().next().unwrap();
        let name = |n: usize| settings(0).names().nth(n).unwrap();
        for (file, text) in [
            (
                format!("{prefix}.json"),
                "a note of a session that there is",
            ),
            ("old-7.json".to_owned(), "{}"),
            ("old-7.part".to_owned(), "{}"),
            ("foreign.json".to_owned(), "{}"),
            ("keep.txt".to_owned(), "no note"),
        ] {
            fs::write(folder.join(file), text).unwrap();
        }
        let later = UnixMs(i64::MAX / 2);
        let look = |min, now| {
            let all = waste(&server, &settings(min), &folder, SpanMs::from_secs(60), now).unwrap();
            let mut all: Vec<Waste> = all.into_iter().map(|(w, _)| w).collect();
            all.sort_by_key(|w| format!("{w:?}"));
            all
        };
        let session = |n: usize| Waste::Session(name(n));
        let note = |f: &str| Waste::Note(f.to_owned());
        // Nothing is old yet.
        assert_eq!(look(1, UnixMs(0)), []);
        // Something lives in the last one: an agent, a person.
        assert!(
            server
                .take(&name(3), &folder, &["/bin/sleep", "600"])
                .unwrap()
        );
        let goes = look(1, later);
        assert_eq!(
            goes,
            [
                note("old-7.json"),
                note("old-7.part"),
                session(1),
                session(2)
            ]
        );
        // It was taken between the plan and its carrying out.
        assert!(
            server
                .take(&name(1), &folder, &["/bin/sleep", "600"])
                .unwrap()
        );
        let done: Vec<bool> = goes
            .iter()
            .map(|w| throw_away(&server, &folder, w).unwrap())
            .collect();
        assert_eq!(done, [true, true, false, true]);
        let mut there: Vec<String> = server
            .panes()
            .unwrap()
            .into_iter()
            .map(|p| p.session)
            .collect();
        there.sort();
        let mut wanted = vec![
            "foreign".to_owned(),
            name(0),
            name(1),
            name(3),
            "mine".to_owned(),
        ];
        wanted.sort();
        assert_eq!(there, wanted);
        assert!(folder.join("keep.txt").exists() && folder.join("foreign.json").exists());
        assert_eq!(look(1, later), []);
        // What is gone is gone.
        assert!(!throw_away(&server, &folder, &note("old-7.json")).unwrap());
    }
}
