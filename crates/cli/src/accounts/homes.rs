//! Accounts that are config homes of agents (A1, A18): the configuration's, and which of them sessions may use. A
//! home's tokens are its agent's alone: nothing here opens a file in one.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_agents::{AccountHome, Registry};
use longhaul_config::settings::AccountSettings;
use longhaul_core::account::Provider;
use longhaul_core::home::{Home, HomeSet, Homes};

/// An account that is a config home.
#[derive(Clone, Debug)]
pub(crate) struct HomeAccount {
    pub(crate) name: String,
    pub(crate) harness: String,
    /// The folder, absolute.
    pub(crate) dir: Utf8PathBuf,
    pub(crate) enabled: bool,
    pub(crate) priority: u32,
    /// How its agent is given it; `None` = the configuration gives that harness a login of its own.
    pub(crate) way: Option<AccountHome>,
}

impl HomeAccount {
    /// Why no session can use it, if so. Whether its login is good is its agent's to say.
    pub(crate) fn trouble(&self) -> Option<String> {
        if self.way.is_none() {
            let harness = &self.harness;
            return Some(format!("[harness.{harness}.env] gives {harness} a login"));
        }
        match std::fs::metadata(&self.dir) {
            Ok(meta) if meta.is_dir() => None,
            Ok(_) => Some(format!("{} is no folder", self.dir)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Some(format!("{} is not there", self.dir))
            }
            Err(error) => Some(format!("{} cannot be looked at: {error}", self.dir)),
        }
    }

    /// The command that logs a person in there.
    pub(crate) fn login(&self) -> Option<String> {
        let way = self.way?;
        Some(format!("{}={} {}", way.variable, self.dir, way.login))
    }
}

/// All of them, by priority, then by name.
pub(crate) fn home_accounts(
    settings: &AccountSettings,
    registry: &Registry,
    home: &Utf8Path,
) -> Vec<HomeAccount> {
    let mut all: Vec<HomeAccount> = settings
        .homes
        .iter()
        .map(|(name, table)| HomeAccount {
            name: name.clone(),
            harness: table.harness.clone(),
            dir: expanded(&table.home, home),
            enabled: table.enabled,
            priority: table.priority,
            way: registry
                .resolve(&table.harness)
                .ok()
                .and_then(|harness| harness.account_home()),
        })
        .collect();
    all.sort_by_key(|account| account.priority);
    all
}

/// Where what homes share is kept.
pub(crate) fn shared_dir(settings: &AccountSettings, home: &Utf8Path) -> Utf8PathBuf {
    match &settings.shared_dir {
        Some(dir) => expanded(dir, home),
        None => home.join(".local/share/longhaul/shared"),
    }
}

fn expanded(path: &str, home: &Utf8Path) -> Utf8PathBuf {
    match path.strip_prefix("~/") {
        Some(rest) => home.join(rest.trim_end_matches('/')),
        None => Utf8PathBuf::from(match path.trim_end_matches('/') {
            "" => "/",
            path => path,
        }),
    }
}

/// Which homes sessions may use now. An enabled home goes before all keys of its harness; keys are used where the
/// user named one of them (`keys_of`, its provider), and never where homes merely rest. `apart` are the harnesses
/// whose homes cannot resume each other's conversations: they are not rotated.
pub(crate) fn homes(
    settings: &AccountSettings,
    all: &[HomeAccount],
    keys_of: Option<Provider>,
    apart: &BTreeSet<String>,
) -> Homes {
    let mut sets: BTreeMap<String, HomeSet> = BTreeMap::new();
    let chosen = settings.only.as_deref();
    for account in all.iter().filter(|a| a.enabled && a.trouble().is_none()) {
        let Some(way) = account.way else { continue };
        let other = all.iter().any(|a| {
            Some(a.name.as_str()) == chosen
                && a.harness == account.harness
                && a.name != account.name
        });
        if other || keys_of == Some(way.provider) {
            continue;
        }
        let set = sets
            .entry(account.harness.clone())
            .or_insert_with(|| HomeSet {
                homes: Vec::new(),
                rotate: settings.rotate_homes && !apart.contains(&account.harness),
                strategy: settings.strategy,
                near_permille: u32::from(settings.threshold_pct) * 10,
                own_ways: way.own_ways().map(str::to_owned).collect(),
            });
        set.homes.push(Home {
            name: account.name.clone(),
            priority: account.priority,
        });
    }
    Homes(sets)
}

#[cfg(test)]
mod tests {
    use longhaul_config::settings::HomeTable;

    use super::*;

    #[test]
    fn a_home_goes_before_keys_unless_the_user_names_a_key() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let table = |home: &str, priority, enabled| HomeTable {
            harness: "claude".to_owned(),
            home: home.to_owned(),
            enabled,
            priority,
        };
        std::fs::create_dir_all(root.join("a")).unwrap();
        std::fs::create_dir_all(root.join("b")).unwrap();
        std::fs::create_dir_all(root.join("off")).unwrap();
        let mut settings = AccountSettings {
            homes: [
                ("b".to_owned(), table("~/b/", 1, true)),
                ("a".to_owned(), table("~/a", 2, true)),
                ("gone".to_owned(), table("~/gone", 0, true)),
                ("off".to_owned(), table("~/off", 0, false)),
            ]
            .into(),
            rotate_homes: true,
            ..AccountSettings::default()
        };
        let registry = Registry::builtin();
        let names = |settings: &AccountSettings, keys_of, apart: &BTreeSet<String>| {
            let all = home_accounts(settings, &registry, root);
            let homes = homes(settings, &all, keys_of, apart);
            let set = homes.0.get("claude");
            set.map(|s| (s.rotate, s.homes.iter().map(|h| h.name.clone()).collect()))
        };
        let none = BTreeSet::new();
        let two: Vec<String> = vec!["b".to_owned(), "a".to_owned()];
        assert_eq!(names(&settings, None, &none), Some((true, two.clone())));
        let apart = BTreeSet::from(["claude".to_owned()]);
        assert_eq!(names(&settings, None, &apart), Some((false, two.clone())));
        let other = Some(Provider::Openai);
        assert_eq!(names(&settings, other, &none), Some((true, two)));
        // The user's word for a key of its provider, and for one home.
        assert_eq!(names(&settings, Some(Provider::Anthropic), &none), None);
        settings.only = Some("a".to_owned());
        assert_eq!(
            names(&settings, None, &none),
            Some((true, vec!["a".to_owned()]))
        );
    }
}
