//! Account homes as the daemon uses them: linked where they rotate, given to the dispatcher, found for a session.

use std::collections::BTreeSet;

use camino::Utf8Path;
use longhaul_config::settings::AccountSettings;
use longhaul_core::account::Provider;
use longhaul_core::home::Homes;
use longhaul_engine::executor::HomeFolder;

use crate::accounts::link::{apply, look, plan, wanted};
use crate::accounts::{HomeAccount, homes};

/// The homes as they were read last.
#[derive(Default)]
pub(super) struct Settled {
    /// All that are written down.
    pub(super) all: Vec<HomeAccount>,
    /// Those that sessions may use.
    pub(super) homes: Homes,
    /// Why some are not rotated though the user wants it, in words.
    pub(super) apart: Vec<String>,
    shared: Vec<(String, Vec<String>)>,
}

/// Links the homes that are to rotate (A18). Those of a harness that cannot be linked stay apart: nothing of them is
/// changed, no conversation goes from one to the other, and the daemon goes on.
pub(super) fn settle(
    settings: &AccountSettings,
    all: Vec<HomeAccount>,
    keys_of: Option<Provider>,
    home: &Utf8Path,
) -> Settled {
    let mut apart = Vec::new();
    let mut harnesses = BTreeSet::new();
    if settings.rotate_homes {
        let found: BTreeSet<&String> = all.iter().map(|a| &a.harness).collect();
        for harness in found {
            let mut links = wanted(settings, &all, home);
            links.retain(|w| w.harness == *harness);
            let plan = plan(&look(links), false);
            let mut problems: Vec<String> = plan
                .problems
                .iter()
                .map(|p| format!("{}: {}", p.account, p.what))
                .collect();
            if problems.is_empty()
                && let Err(failure) = apply(&plan)
            {
                problems.push(failure.body().message);
            }
            if !problems.is_empty() {
                harnesses.insert(harness.clone());
                apart.extend(problems);
            }
        }
    }
    for why in &apart {
        tracing::error!(%why, "homes are not rotated; `longhaul account link` tells all");
    }
    Settled {
        homes: homes(settings, &all, keys_of, &harnesses),
        all,
        apart,
        shared: settings.shared.clone().into_iter().collect(),
    }
}

impl Settled {
    /// The folder of a home, and what its links lead to.
    pub(super) fn folder(&self, account: &str) -> Result<HomeFolder, String> {
        let found = self.all.iter().find(|a| a.name == account && a.enabled);
        let found = found.ok_or_else(|| format!("there is no enabled account home `{account}`"))?;
        if let Some(why) = found.trouble() {
            return Err(format!(
                "the account home `{account}` cannot be used: {why}"
            ));
        }
        let entries = self.shared.iter().filter(|(h, _)| *h == found.harness);
        let links = entries
            .flat_map(|(_, entries)| entries)
            .map(|e| found.dir.join(e));
        Ok(HomeFolder {
            shared: links
                .filter(|path| path.is_symlink())
                .filter_map(|path| path.canonicalize_utf8().ok())
                .collect(),
            dir: found.dir.clone(),
        })
    }

    /// What is to be said of them, after what is said of keys; empty where there are none.
    pub(super) fn words(&self) -> String {
        let mut words = String::new();
        for (harness, set) in &self.homes.0 {
            let n = crate::output::text::count(set.homes.len(), "home");
            let how = if set.rotate { ", in turns" } else { "" };
            words.push_str(&format!("; {n} of {harness}{how}"));
        }
        if let Some(first) = self.apart.first() {
            words.push_str(&format!("; not in turns, since {first}"));
        }
        words
    }
}
