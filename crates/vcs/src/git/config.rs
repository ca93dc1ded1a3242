//! Settings that every call gets, and the taking away of programs that only a repository's own
//! config names (L20). Reads no files itself: git lists its config with scopes, this judges it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// One key of git's config in lower-cased, canonical spelling, with all its values.
#[derive(Default)]
struct Values {
    /// From system and global config, and from the command line: the user's own word.
    own: Vec<Vec<u8>>,
    /// From the repository's or worktree's config, which a session may have written.
    repo: Vec<Vec<u8>>,
}

/// The whole config of one repository as git lists it, by who says it.
#[derive(Default)]
pub(crate) struct ConfigList {
    keys: BTreeMap<Vec<u8>, Values>,
}

impl ConfigList {
    /// Parses `git config --list --show-scope -z`.
    pub(crate) fn parse(stdout: &[u8]) -> Option<Self> {
        let mut list = Self::default();
        let mut fields = stdout.split(|b| *b == 0);
        loop {
            let scope = fields.next()?;
            if scope.is_empty() {
                return Some(list);
            }
            let entry = fields.next()?;
            let (key, value) = match entry.iter().position(|b| *b == b'\n') {
                Some(at) => (&entry[..at], &entry[at + 1..]),
                None => (entry, &b"true"[..]),
            };
            let values = list.keys.entry(key.to_vec()).or_default();
            match scope {
                b"local" | b"worktree" => values.repo.push(value.to_vec()),
                _ => values.own.push(value.to_vec()),
            }
        }
    }

    /// The value that counts.
    pub(crate) fn get(&self, key: &str) -> Option<&[u8]> {
        let values = self.keys.get(key.as_bytes())?;
        values.repo.last().or(values.own.last()).map(Vec::as_slice)
    }

    /// True if other files are read with those that git always reads.
    pub(crate) fn has_includes(&self) -> bool {
        let is_include =
            |key: &Vec<u8>| key.starts_with(b"include.") || key.starts_with(b"includeif.");
        self.keys.keys().any(is_include)
    }

    /// Whether anything at all is said in a section.
    pub(crate) fn has_section(&self, section: &str) -> bool {
        let is_in = |key: &Vec<u8>| split_key(key).is_some_and(|(s, ..)| s == section.as_bytes());
        self.keys.keys().any(is_in)
    }

    /// Whether the repository itself says something of a key.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn says_repo(&self, key: &str) -> bool {
        self.keys
            .get(key.as_bytes())
            .is_some_and(|v| !v.repo.is_empty())
    }

    fn own(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.keys.get(key).and_then(|v| v.own.last().cloned())
    }

    /// True if the user's own config names programs for LFS.
    fn has_own_lfs(&self) -> bool {
        [&b"filter.lfs.process"[..], b"filter.lfs.smudge"]
            .iter()
            .any(|key| self.keys.get(*key).is_some_and(|v| !v.own.is_empty()))
    }
}

/// Given to every call: what must hold whoever wrote the config.
const FIXED: [(&str, &str); 33] = [
    // We name an empty grafts file ourselves; the hint about it would stand in every message.
    ("advice.graftFileDeprecated", "false"),
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.untrackedCache", "false"),
    ("core.splitIndex", "false"),
    ("core.pager", "cat"),
    ("core.askPass", ""),
    ("core.trustctime", "true"),
    ("core.checkStat", "default"),
    ("core.safecrlf", "false"),
    ("core.fsync", "committed,reference"),
    ("core.fsyncMethod", "batch"),
    ("core.filesRefLockTimeout", "10000"),
    ("core.packedRefsTimeout", "10000"),
    ("commit.gpgSign", "false"),
    ("tag.gpgSign", "false"),
    ("protocol.ext.allow", "never"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("submodule.recurse", "false"),
    ("status.submoduleSummary", "false"),
    ("diff.noprefix", "false"),
    ("diff.mnemonicPrefix", "false"),
    ("diff.submodule", "short"),
    ("diff.suppressBlankEmpty", "false"),
    ("log.showSignature", "false"),
    ("color.ui", "false"),
    ("merge.directoryRenames", "conflict"),
    ("merge.conflictStyle", "zdiff3"),
    // A merge is a matter of its commits alone: what a user prefers must not change what lands.
    ("merge.renames", "true"),
    ("merge.renameLimit", "7000"),
    ("merge.renormalize", "false"),
    ("diff.algorithm", "histogram"),
];

/// The settings as environment variables (`GIT_CONFIG_COUNT` and friends), which, unlike `-c`,
/// carry any byte in a key. `trusted` keeps the drivers that the repository names. Whether LFS runs is
/// asked only if the user's config names it.
pub(crate) fn overrides(
    list: &ConfigList,
    trusted: bool,
    lfs_runs: impl FnOnce() -> bool,
) -> Vec<(OsString, OsString)> {
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = FIXED
        .iter()
        .map(|(k, v)| (k.as_bytes().to_vec(), v.as_bytes().to_vec()))
        .collect();
    if !trusted {
        for (key, values) in &list.keys {
            if !values.repo.is_empty() {
                neutralise(list, key, &mut pairs);
            }
        }
    }
    if list.has_own_lfs() && !lfs_runs() {
        switch_filter_off(b"lfs", &mut pairs);
    }
    let mut variables = vec![("GIT_CONFIG_COUNT".into(), pairs.len().to_string().into())];
    for (n, (key, value)) in pairs.into_iter().enumerate() {
        variables.push((
            format!("GIT_CONFIG_KEY_{n}").into(),
            OsString::from_vec(key),
        ));
        variables.push((
            format!("GIT_CONFIG_VALUE_{n}").into(),
            OsString::from_vec(value),
        ));
    }
    variables
}

/// Puts the user's own value, or a harmless one, over a key by which a repository names a program.
fn neutralise(list: &ConfigList, key: &[u8], pairs: &mut Vec<(Vec<u8>, Vec<u8>)>) {
    let Some((section, subsection, name)) = split_key(key) else {
        return;
    };
    let mut put = |key: Vec<u8>, fallback: &[u8]| {
        let value = list.own(&key).unwrap_or_else(|| fallback.to_vec());
        pairs.push((key, value));
    };
    match (section, subsection, name) {
        (b"filter", Some(driver), _) => {
            for (name, fallback) in [
                ("clean", ""),
                ("smudge", ""),
                ("process", ""),
                ("required", "false"),
            ] {
                put(join_key("filter", driver, name), fallback.as_bytes());
            }
        }
        // An empty driver would be run as an empty command that "succeeds"; git's own text merge is
        // what the path would have had without the driver.
        (b"merge", Some(_), b"driver") => {
            put(key.to_vec(), b"git merge-file --marker-size=%L %A %O %B");
        }
        (b"diff", Some(_), b"command" | b"textconv") | (b"diff", None, b"external") => {
            put(key.to_vec(), b"");
        }
        (b"core", None, b"sshcommand") => put(key.to_vec(), b"ssh"),
        (b"core", None, b"gitproxy") => {
            pairs.push((b"protocol.git.allow".to_vec(), b"never".to_vec()));
        }
        (b"core", None, b"alternaterefscommand") => put(key.to_vec(), b"true"),
        (b"gpg", None, b"program") | (b"gpg", Some(b"openpgp"), b"program") => {
            put(key.to_vec(), b"gpg");
        }
        (b"gpg", Some(b"x509"), b"program") => put(key.to_vec(), b"gpgsm"),
        (b"gpg", Some(b"ssh"), b"program") => put(key.to_vec(), b"ssh-keygen"),
        (b"gpg", Some(b"ssh"), b"defaultkeycommand") => put(key.to_vec(), b""),
        (b"hook", Some(hook), _) => put(join_key("hook", hook, "enabled"), b"false"),
        // git takes the first of these values, so they cannot be overridden: what would use them is
        // not spoken.
        (b"remote", Some(_), b"uploadpack" | b"receivepack") => {
            for protocol in ["file", "ssh", "git"] {
                let key = format!("protocol.{protocol}.allow");
                pairs.push((key.into_bytes(), b"never".to_vec()));
            }
        }
        (b"remote", Some(_), b"vcs") => {
            for helper in list
                .keys
                .get(key)
                .map(|v| v.repo.as_slice())
                .unwrap_or_default()
            {
                pairs.push((join_key("protocol", helper, "allow"), b"never".to_vec()));
            }
        }
        // A list: an empty value clears it, then the user's own helpers come back.
        (b"credential", _, b"helper") => {
            pairs.push((key.to_vec(), Vec::new()));
            let own = list
                .keys
                .get(key)
                .map(|v| v.own.clone())
                .unwrap_or_default();
            pairs.extend(own.into_iter().map(|value| (key.to_vec(), value)));
        }
        _ => {}
    }
}

fn switch_filter_off(driver: &[u8], pairs: &mut Vec<(Vec<u8>, Vec<u8>)>) {
    for (name, value) in [
        ("clean", ""),
        ("smudge", ""),
        ("process", ""),
        ("required", "false"),
    ] {
        pairs.push((join_key("filter", driver, name), value.as_bytes().to_vec()));
    }
}

type SplitKey<'k> = (&'k [u8], Option<&'k [u8]>, &'k [u8]);

/// `section[.subsection].name`; git lists section and name in lower case, the subsection as is.
fn split_key(key: &[u8]) -> Option<SplitKey<'_>> {
    let first = key.iter().position(|b| *b == b'.')?;
    let last = key.iter().rposition(|b| *b == b'.')?;
    let subsection = (first != last).then(|| &key[first + 1..last]);
    Some((&key[..first], subsection, &key[last + 1..]))
}

fn join_key(section: &str, subsection: &[u8], name: &str) -> Vec<u8> {
    [section.as_bytes(), b".", subsection, b".", name.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(listing: &[u8], trusted: bool, lfs: bool) -> Vec<(String, String)> {
        let list = ConfigList::parse(listing).unwrap();
        let variables = overrides(&list, trusted, || lfs);
        let text = |v: &OsString| v.to_string_lossy().into_owned();
        variables[1..]
            .chunks(2)
            .map(|c| (text(&c[0].1), text(&c[1].1)))
            .collect()
    }

    fn value(pairs: &[(String, String)], key: &str) -> Option<String> {
        pairs
            .iter()
            .rev()
            .find(|(k, _)| k == key)
            .map(|(_, v)| v.clone())
    }

    #[test]
    fn l20_repository_filters_lose_to_the_users_own() {
        let listing = b"global\0filter.lfs.process\ngit-lfs filter-process\0\
            local\0filter.lfs.process\n/evil\0local\0filter.x=y.z.clean\n/evil\0";
        let got = pairs(listing, false, true);
        assert_eq!(
            value(&got, "filter.lfs.process").unwrap(),
            "git-lfs filter-process"
        );
        assert_eq!(value(&got, "filter.x=y.z.clean").unwrap(), "");
        assert_eq!(value(&got, "filter.x=y.z.required").unwrap(), "false");
        assert_eq!(
            value(&pairs(listing, true, true), "filter.x=y.z.clean"),
            None
        );
    }

    #[test]
    fn l7_lfs_that_is_not_installed_is_switched_off() {
        let listing = b"global\0filter.lfs.process\ngit-lfs filter-process\0";
        assert_eq!(
            value(&pairs(listing, false, false), "filter.lfs.process").unwrap(),
            ""
        );
        assert_eq!(
            value(&pairs(listing, false, true), "filter.lfs.process"),
            None
        );
    }

    #[test]
    fn l20_credential_helpers_of_the_user_stay() {
        let listing = b"global\0credential.helper\nstore\0worktree\0credential.helper\n!evil\0";
        let got = pairs(listing, false, true);
        let helpers: Vec<_> = got
            .iter()
            .filter(|(k, _)| k == "credential.helper")
            .map(|(_, v)| v.as_str())
            .collect();
        assert_eq!(helpers, ["", "store"]);
    }

    #[test]
    fn torn_listings_are_refused() {
        assert!(ConfigList::parse(b"local\0core.bare").is_none());
        assert!(ConfigList::parse(b"").is_some());
    }
}
