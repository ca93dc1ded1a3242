//! The daemon's condition and the counts of tasks.

use longhaul_api::{BucketCounts, DaemonView, RestingView, StatusView};
use longhaul_core::task::StateWord;
use longhaul_core::time::UnixMs;
use longhaul_engine::handle::DaemonStatus;
use longhaul_store::TaskFilter;

use super::list::LIVE_MAX;
use super::{ViewError, Views};
use crate::wording::resting_line;

impl Views<'_> {
    /// The status, with the daemon's own condition where one runs.
    ///
    /// # Errors
    /// The store's own.
    pub fn status(&self, daemon: Option<&DaemonStatus>) -> Result<StatusView, ViewError> {
        let counts = self.reader.counts()?;
        let mut buckets = BucketCounts::default();
        let live = StateWord::ALL
            .into_iter()
            .filter(|w| !w.is_final())
            .collect();
        let found = self.reader.list(&TaskFilter {
            states: live,
            limit: LIVE_MAX,
            ..Default::default()
        })?;
        for stored in self.remember(found) {
            buckets.count(self.standing(&stored.task)?.bucket);
        }
        buckets.done = counts.of(StateWord::Done) + counts.of(StateWord::Cancelled);
        let states = counts.0.iter().filter(|(_, n)| **n > 0);
        Ok(StatusView {
            daemon: daemon.map(|d| self.daemon(d)),
            buckets,
            states: states
                .map(|(word, n)| (word.as_str().to_owned(), *n))
                .collect(),
            resting: match daemon {
                Some(d) => {
                    let each = d.resting.iter();
                    each.map(|r| self.rests(&r.scope, r.until, r.window.as_deref()))
                        .collect()
                }
                None => self.resting()?,
            },
        })
    }

    /// What rests, as stored.
    pub(super) fn resting(&self) -> Result<Vec<RestingView>, ViewError> {
        let windows = self.reader.windows()?;
        let each = windows.iter();
        Ok(each
            .map(|w| self.rests(&w.scope, w.until, w.name.as_deref()))
            .collect())
    }

    fn rests(&self, scope: &str, until: UnixMs, window: Option<&str>) -> RestingView {
        RestingView {
            scope: self.phrasing.line(scope),
            until_ms: until.0,
            window: window.map(|w| self.phrasing.line(w)),
            probing: until <= self.now,
            line: resting_line(scope, window, until, self.now, self.phrasing),
        }
    }

    fn daemon(&self, d: &DaemonStatus) -> DaemonView {
        DaemonView {
            pid: d.pid,
            version: d.version.clone(),
            started_at_ms: d.started_at.0,
            sessions: d.sessions,
            slots: d.slots,
            ready: d.ready,
            draining: d.draining,
            estopped: d.estopped,
            holding: d.holding.as_ref().map(|h| self.phrasing.line(h)),
        }
    }
}
