//! The conflict matrix for whoever asks: made on demand, on the asker's thread, beside the dispatcher,
//! and kept from one question to the next (L10).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use camino::Utf8PathBuf;
use longhaul_core::queue::{Forecast, Foreseen, Head, HeadAt, LineId, Meeting};
use longhaul_vcs::{Git, HeadVerdict, Oid, Predictor, Queue, QueueError, Repo, WorkPlace};

use super::super::desk::chain;
use super::super::lock;
use super::digest;

/// Lines whose results are kept.
const LINES_KEPT: usize = 32;
/// Conflicts whose lines are shown; more have only their files.
const PREVIEWS: usize = 20;
/// The most of such lines for one conflict, in bytes.
const PREVIEW_BYTES: usize = 1500;

/// Foresees conflicts. Writes nothing to a user's repository.
pub struct Forecaster {
    git: Git,
    /// What is remembered of repositories.
    repos: Utf8PathBuf,
    /// Where merges are kept, if not there.
    scratch: Option<Utf8PathBuf>,
    /// A private folder, used instead if it is in memory.
    memory: Option<Utf8PathBuf>,
    kept: Mutex<HashMap<LineId, Arc<Mutex<Predictor>>>>,
}

impl Forecaster {
    /// With what is remembered of repositories in `repos`. Merges are kept in `scratch`, which no other
    /// process may use; without one beside the rest, which one process at a time may.
    #[must_use]
    pub fn new(git: Git, repos: Utf8PathBuf, scratch: Option<Utf8PathBuf>) -> Self {
        Self {
            git,
            repos,
            scratch,
            memory: None,
            kept: Mutex::default(),
        }
    }

    /// Keeps merges below a folder that only this process writes, where that is in memory and has room.
    #[must_use]
    pub fn in_memory(mut self, folder: Utf8PathBuf) -> Self {
        self.memory = Some(folder);
        self
    }

    /// How these stand to what has landed and to each other. Blocks while git runs, and while somebody
    /// else asks of the same line.
    ///
    /// # Errors
    /// Why git could not, in a sentence.
    pub fn forecast(&self, line: &LineId, heads: &[Head]) -> Result<Forecast, String> {
        let path = camino::Utf8Path::new(&line.repo);
        let repo = Repo::open(&self.git, path.as_std_path(), self.repos.as_std_path());
        let repo = repo.map_err(|e| chain(&e))?;
        self.ask(line, &repo.queue(&line.base), heads)
            .map_err(|e| chain(&e))
    }

    fn ask(
        &self,
        line: &LineId,
        queue: &Queue<'_>,
        heads: &[Head],
    ) -> Result<Forecast, QueueError> {
        let mut foreseen = found(queue, heads)?;
        let onto = queue.onto()?;
        // Those that are there, by their position in the question.
        let there: Vec<(usize, Oid)> = foreseen
            .iter()
            .enumerate()
            .filter_map(|(at, f)| Some((at, f.commit.as_ref()?.parse().ok()?)))
            .collect();
        let commits: Vec<Oid> = there.iter().map(|(_, oid)| oid.clone()).collect();
        let kept = self.predictor(line, queue);
        let mut predictor = lock(&kept);
        let matrix = predictor.matrix(&onto, &commits)?;
        let mut previews = PREVIEWS;
        let mut may_show = || {
            let left = previews > 0;
            previews = previews.saturating_sub(1);
            left
        };
        for ((at, oid), verdict) in there.iter().zip(&matrix.heads) {
            let known = &mut foreseen[*at];
            match verdict {
                HeadVerdict::Clean { paths } => known.paths = *paths,
                HeadVerdict::Unknown => known.unmergeable = true,
                HeadVerdict::Conflict { paths, reproduce } => {
                    let preview = if may_show() {
                        let sides = [(&onto.commit, line.base.as_str()), (oid, &heads[*at].label)];
                        named(predictor.preview_onto_base(oid, PREVIEW_BYTES)?, &sides)
                    } else {
                        String::new()
                    };
                    known.meetings.push(Meeting {
                        with: None,
                        paths: paths.clone(),
                        preview,
                        reproduce: Some(reproduce.clone()),
                    });
                }
            }
        }
        for ((first, second), pair) in &matrix.pairs {
            let (with, at) = (there[*first].0, there[*second].0);
            let preview = if may_show() {
                let mut sides = vec![(&onto.tree, line.base.as_str())];
                let trees = [(first, with), (second, at)];
                sides.extend(trees.iter().filter_map(|(n, at)| {
                    let tree = matrix.trees.get(**n)?.as_ref()?;
                    Some((tree, heads[*at].label.as_str()))
                }));
                named(predictor.preview(pair, PREVIEW_BYTES)?, &sides)
            } else {
                String::new()
            };
            foreseen[at].meetings.push(Meeting {
                with: Some(with),
                paths: pair.paths.clone(),
                preview,
                reproduce: None,
            });
        }
        Ok(Forecast {
            onto: onto.commit.to_string(),
            heads: foreseen,
        })
    }

    /// The predictor of a line, with what it knows.
    fn predictor(&self, line: &LineId, queue: &Queue<'_>) -> Arc<Mutex<Predictor>> {
        let mut kept = lock(&self.kept);
        if kept.len() >= LINES_KEPT && !kept.contains_key(line) {
            // One that is being asked goes on with its folder.
            kept.retain(|_, known| Arc::strong_count(known) > 1);
        }
        let known = kept.entry(line.clone()).or_insert_with(|| {
            Arc::new(Mutex::new(match (&self.scratch, &self.memory) {
                (Some(scratch), _) => {
                    queue.predictor_in(scratch.join(digest(line)).into_std_path_buf())
                }
                (None, Some(memory)) => queue.predictor_in_memory(memory.as_std_path()),
                (None, None) => queue.predictor(),
            }))
        });
        Arc::clone(known)
    }
}

/// Conflicting lines with the names of their sides in the place of ids.
fn named(preview: String, sides: &[(&Oid, &str)]) -> String {
    sides.iter().fold(preview, |text, (id, name)| {
        text.replace(&format!(" {id}\n"), &format!(" {name}\n"))
    })
}

/// The commit of each, in the order of the question.
fn found(queue: &Queue<'_>, heads: &[Head]) -> Result<Vec<Foreseen>, QueueError> {
    let places: Vec<WorkPlace> = heads
        .iter()
        .filter_map(|head| match &head.at {
            HeadAt::Commit(_) => None,
            HeadAt::Branch { name, snapshot } => Some(WorkPlace {
                branch: name.clone(),
                snapshot: snapshot.clone(),
            }),
        })
        .collect();
    let mut work = queue.work(&places)?.into_iter();
    let each = heads.iter().map(|head| match &head.at {
        HeadAt::Commit(commit) => Foreseen {
            commit: Some(commit.clone()),
            ..Foreseen::default()
        },
        HeadAt::Branch { .. } => {
            let work = work.next().flatten();
            Foreseen {
                uncommitted: work.as_ref().is_some_and(|w| w.uncommitted),
                commit: work.map(|w| w.commit.to_string()),
                ..Foreseen::default()
            }
        }
    });
    Ok(each.collect())
}
