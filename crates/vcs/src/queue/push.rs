//! What has landed goes to the remote branch (L16): only if that holds what it was last seen to hold, and
//! only forwards. What others pushed meanwhile is fetched; the next trial merges it, like what the user
//! commits on base.

use crate::git::{Call, GitError};
use crate::oid::Oid;
use crate::site::Site;

use super::{FOUND, Queue, QueueError, UPSTREAM};

/// How often a push is tried whose remote branch moves in between.
const TRIES: u32 = 3;

/// How a push ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushEnd {
    /// The remote branch holds what has landed.
    There {
        /// That branch, as `remote/branch`, if this call moved it.
        pushed: Option<String>,
    },
    /// Others pushed what is not in it. It was fetched; nothing was pushed.
    Rejected,
    /// There is nothing to push to.
    NoRemote,
    /// The remote refuses it, and the same push again would be refused too.
    Refused {
        /// What it said, for people.
        why: String,
    },
}

/// How the push of a task's branch ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishEnd {
    /// The remote holds it.
    There {
        /// What base is called there, without `refs/heads/`.
        base: String,
    },
    /// There is nothing to push to.
    NoRemote,
    /// The remote refuses it.
    Refused {
        /// What it said, for people.
        why: String,
    },
}

/// Where base is pushed to.
struct Remote {
    name: String,
    /// Full name of the branch there.
    branch: String,
}

impl Queue<'_> {
    /// Pushes what has landed to the branch that base tracks, or to one of its name on `origin`. Of the
    /// user's own refs only the remote-tracking branch moves, as with any push; no hook of the repository
    /// runs.
    ///
    /// # Errors
    /// If git cannot be run, or the remote cannot be reached.
    pub fn push(&self) -> Result<PushEnd, QueueError> {
        let site = self.site()?;
        let Some(tip) = self.refs(&site)?.tip else {
            return Ok(PushEnd::There { pushed: None });
        };
        let Some(remote) = self.remote(&site)? else {
            return Ok(PushEnd::NoRemote);
        };
        let mut seen = match self.refs(&site)?.upstream {
            Some(seen) => Some(seen.commit),
            None => fetch(&site, &remote, &self.upstream_ref())?,
        };
        for _ in 0..TRIES {
            if seen.as_ref() == Some(&tip.commit) {
                return Ok(PushEnd::There { pushed: None });
            }
            if let Some(seen) = &seen
                && !site.is_ancestor(seen, &tip.commit)?
            {
                return Ok(PushEnd::Rejected);
            }
            let Some(why) = push(&site, &remote, &tip.commit, seen.as_ref())? else {
                note(&site, &self.upstream_ref(), &tip.commit)?;
                let branch = remote.branch.strip_prefix("refs/heads/");
                let branch = branch.unwrap_or(&remote.branch);
                return Ok(PushEnd::There {
                    pushed: Some(format!("{}/{branch}", remote.name)),
                });
            };
            let now = fetch(&site, &remote, &self.upstream_ref())?;
            if now == seen {
                return Ok(PushEnd::Refused { why });
            }
            seen = now;
        }
        Ok(PushEnd::Rejected)
    }

    /// Pushes a task's branch under its own name to the remote that base belongs to. What is there already
    /// is replaced only if Longhaul put it there, or if the commit builds on it.
    ///
    /// # Errors
    /// If git cannot be run, or the remote cannot be reached.
    pub fn publish(&self, branch: &str, commit: &Oid) -> Result<PublishEnd, QueueError> {
        let site = self.site()?;
        let Some(Remote { name, branch: base }) = self.remote(&site)? else {
            return Ok(PublishEnd::NoRemote);
        };
        let branch_ref = format!("refs/heads/{branch}");
        let remote = Remote {
            name,
            branch: branch_ref,
        };
        let known = format!("{UPSTREAM}{branch}");
        let mut seen = site.resolve(&known, "commit")?;
        loop {
            let Some(why) = push(&site, &remote, commit, seen.as_ref())? else {
                note(&site, &known, commit)?;
                let base = base.strip_prefix("refs/heads/").unwrap_or(&base);
                return Ok(PublishEnd::There {
                    base: base.to_owned(),
                });
            };
            // Not to the note: what others pushed must not look like ours the next time.
            let now = fetch(&site, &remote, &format!("{FOUND}{branch}"))?;
            let replaceable = match &now {
                // Pushed by us and not noted, or by somebody whose work is in this.
                Some(now) => seen.as_ref() != Some(now) && site.is_ancestor(now, commit)?,
                // Its branch was removed there.
                None => seen.is_some(),
            };
            if !replaceable {
                return Ok(PublishEnd::Refused { why });
            }
            seen = now;
        }
    }

    fn remote(&self, site: &Site<'_>) -> Result<Option<Remote>, GitError> {
        let format = "--format=%(upstream:remotename)%00%(upstream:remoteref)";
        let output = site
            .call()
            .args(["for-each-ref", format, &self.base_ref()])
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let (name, branch) = text.trim_end().split_once('\0').unwrap_or_default();
        if !name.is_empty() && name != "." && !branch.is_empty() {
            return Ok(Some(Remote {
                name: name.to_owned(),
                branch: branch.to_owned(),
            }));
        }
        let origin = site.call().args(["remote", "get-url", "origin"]).output()?;
        Ok((origin.code == Some(0)).then(|| Remote {
            name: "origin".to_owned(),
            branch: self.base_ref(),
        }))
    }
}

/// What the remote branch holds now, fetched to the ref `known`; `None` if there is none yet.
fn fetch(site: &Site<'_>, remote: &Remote, known: &str) -> Result<Option<Oid>, GitError> {
    let listing = outside(site)
        .args(["ls-remote", "--exit-code", "--", &remote.name])
        .arg(&remote.branch)
        .output()?;
    match listing.code {
        Some(0) => {}
        // Its own word for: no such ref.
        Some(2) => return Ok(None),
        _ => return Err(listing.failure()),
    }
    let refspec = format!("+{}:{known}", remote.branch);
    outside(site)
        .args(["fetch", "--quiet", "--no-tags", "--no-prune", "--refmap="])
        .args(["--no-write-fetch-head", "--no-recurse-submodules"])
        .args(["--no-auto-maintenance", "--", &remote.name, &refspec])
        .ok()?;
    site.resolve(known, "commit")
}

/// Notes what the remote branch holds.
fn note(site: &Site<'_>, known: &str, commit: &Oid) -> Result<(), GitError> {
    let call = site.call().args(["update-ref", "--no-deref", "-m"]);
    call.args(["longhaul: pushed", known, commit.as_str()])
        .ok()?;
    Ok(())
}

/// A call that may go over the network and may ask nobody.
fn outside<'r>(site: &Site<'r>) -> Call<'r> {
    site.call()
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("SSH_ASKPASS_REQUIRE", "never")
}

/// Pushes with a lease; why it was refused, if it was. A failure that is no refusal is an error.
fn push(
    site: &Site<'_>,
    remote: &Remote,
    tip: &Oid,
    seen: Option<&Oid>,
) -> Result<Option<String>, GitError> {
    // An empty value: there must be no such branch yet.
    let seen = seen.map_or("", Oid::as_str);
    let output = outside(site)
        .args(["push", "--porcelain", "--no-verify", "--no-follow-tags"])
        .arg("--recurse-submodules=no")
        .arg(format!("--force-with-lease={}:{seen}", remote.branch))
        .args(["--", &remote.name, &format!("{tip}:{}", remote.branch)])
        .output()?;
    if output.code == Some(0) {
        return Ok(None);
    }
    // `!` TAB from:to TAB summary: git's own form for a ref that was refused.
    let text = String::from_utf8_lossy(&output.stdout);
    let refused = text.lines().find_map(|line| line.strip_prefix("!\t"));
    match refused.and_then(|line| line.split_once('\t')) {
        Some((_, why)) => Ok(Some(why.to_owned())),
        None => Err(output.failure()),
    }
}
