//! What Longhaul's own leftovers are kept to (A25): free sessions and notes of the pool, logs of ended tasks, files that
//! inboxes put away. A plan first, for people to see; the daemon carries it out once a day. Workspaces are not its
//! business (`workspace gc`).

use longhaul_config::settings::Settings;
use longhaul_core::janitor::{Because, Limits};
use longhaul_core::time::{SpanMs, UnixMs};
use longhaul_engine::executor::{Desk, OldLogs, old_logs, remove_logs};
use longhaul_pool::Waste;

use crate::env::Env;
use crate::failure::Failure;
use crate::inbox::tidy::{self, PutAway};
use crate::inbox::{Inbox, Trouble};
use crate::output::clock;
use crate::paths::Paths;
use crate::wire::terminals::Terminals;

/// What may be looked at.
pub(crate) struct Janitor {
    terminals: Option<Terminals>,
    pool_retention: SpanMs,
    log_retention: Option<SpanMs>,
    inboxes: Vec<(Inbox, Limits)>,
}

/// A thing that goes.
#[derive(Debug)]
pub(crate) struct Goes {
    thing: Thing,
    /// Which, for people.
    pub(crate) what: String,
    /// Why.
    pub(crate) why: String,
    /// What it takes on disk.
    pub(crate) bytes: u64,
}

#[derive(Debug)]
enum Thing {
    Pool(Waste),
    Logs(OldLogs),
    PutAway(usize, PutAway),
}

impl Janitor {
    /// With the limits of these settings.
    ///
    /// # Errors
    /// The settings have mistakes.
    pub(crate) fn of(paths: &Paths, settings: &Settings, env: &Env) -> Result<Self, Failure> {
        let limits = |inbox: &Inbox| {
            let table = &settings.inboxes[&inbox.name];
            Limits {
                age: table.retention,
                bytes: Some(table.max_bytes),
            }
        };
        let inboxes = Inbox::all(settings, &paths.home)?.into_iter();
        // Without a socket there never was a server to look at.
        let terminals = (paths.tmux_socket().exists() || paths.pool_dir().exists())
            .then(|| Terminals::of(paths, settings, env).ok());
        Ok(Self {
            terminals: terminals.flatten(),
            pool_retention: settings.pool.retention,
            log_retention: settings.log_retention,
            inboxes: inboxes.map(|i| (i.clone(), limits(&i))).collect(),
        })
    }

    /// Whether old logs go at all.
    pub(crate) const fn wants_logs(&self) -> bool {
        self.log_retention.is_some()
    }

    /// What of the pool goes.
    ///
    /// # Errors
    /// tmux does not say.
    pub(crate) fn pool(&self, now: UnixMs) -> Result<Vec<Goes>, Failure> {
        let Some(terminals) = &self.terminals else {
            return Ok(Vec::new());
        };
        let goes = terminals.waste(self.pool_retention, now)?.into_iter();
        Ok(goes
            .map(|(waste, since)| {
                let ago = clock::relative(since, now);
                let (what, why) = match &waste {
                    Waste::Session(name) => (
                        format!("session {name}"),
                        format!("beyond pool.min, and nothing lived in it since {ago}"),
                    ),
                    Waste::Note(file) => (
                        format!("note {file}"),
                        format!("there is no such session, last written {ago}"),
                    ),
                };
                Goes {
                    thing: Thing::Pool(waste),
                    what,
                    why,
                    bytes: 0,
                }
            })
            .collect())
    }

    /// Which logs go.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) fn logs(&self, desk: &Desk, now: UnixMs) -> Result<Vec<Goes>, Failure> {
        let Some(retention) = self.log_retention else {
            return Ok(Vec::new());
        };
        let old = old_logs(desk, retention)
            .map_err(|e| Failure::new("the store cannot be read").because(e))?;
        let goes = old.into_iter().map(|logs| Goes {
            what: format!("logs of {}", logs.name),
            why: format!("it ended {}", clock::relative(logs.ended_at, now)),
            bytes: logs.bytes,
            thing: Thing::Logs(logs),
        });
        Ok(goes.collect())
    }

    /// What of the inboxes goes.
    ///
    /// # Errors
    /// A folder of one cannot be read.
    pub(crate) fn inboxes(&self, now: UnixMs) -> Result<Vec<Goes>, Failure> {
        let mut all = Vec::new();
        for (n, (inbox, limits)) in self.inboxes.iter().enumerate() {
            if !inbox.path().exists() {
                continue;
            }
            for away in tidy::waste(inbox, *limits, now).map_err(trouble)? {
                let since = clock::relative(UnixMs(away.since_ms), now);
                let why = match away.because {
                    Because::Old => format!("put away {since}"),
                    Because::Room => format!("put away {since}; newer ones fill max_size"),
                };
                all.push(Goes {
                    what: format!("{}: {}/{}", inbox.name, away.folder, away.name),
                    why,
                    bytes: away.bytes,
                    thing: Thing::PutAway(n, away),
                });
            }
        }
        Ok(all)
    }

    /// Throws one away; `false` if it is needed again.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(crate) fn throw_away(&self, goes: &Goes) -> Result<bool, Failure> {
        match (&goes.thing, &self.terminals) {
            (Thing::Pool(waste), Some(terminals)) => terminals.throw_away(waste),
            (Thing::Pool(_), None) => Ok(false),
            (Thing::Logs(logs), _) => match remove_logs(logs) {
                Ok(()) => Ok(true),
                Err(e) => Err(Failure::new(format!("cannot remove {}", goes.what)).because(e)),
            },
            (Thing::PutAway(n, away), _) => match self.inboxes.get(*n) {
                Some((inbox, _)) => {
                    tidy::throw_away(inbox, away).map_err(trouble)?;
                    Ok(true)
                }
                None => Ok(false),
            },
        }
    }

    /// Carries the whole plan out, for the daemon. What cannot go is told in the log, and tried again the next day.
    pub(crate) fn tidy(&self, desk: &Desk, now: UnixMs) {
        let plans = [self.pool(now), self.logs(desk, now), self.inboxes(now)];
        let (mut removed, mut bytes) = (0_u64, 0_u64);
        for plan in plans {
            let goes = match plan {
                Ok(goes) => goes,
                Err(why) => {
                    tracing::warn!(%why, "leftovers are not looked for");
                    continue;
                }
            };
            for one in goes {
                match self.throw_away(&one) {
                    Ok(true) => {
                        removed += 1;
                        bytes += one.bytes;
                    }
                    Ok(false) => {}
                    Err(why) => tracing::warn!(%why, what = one.what, "a leftover stays"),
                }
            }
        }
        if removed > 0 {
            tracing::info!(removed, bytes, "leftovers removed");
        }
    }
}

fn trouble(trouble: Trouble) -> Failure {
    Failure::new(trouble.what).help(trouble.remedy)
}
