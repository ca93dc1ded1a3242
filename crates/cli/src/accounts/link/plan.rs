//! What has to be done so that homes share what they are to share, or why that cannot be done. Pure.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};

use super::look::{Found, Look, Seen};

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The shared folder is missing.
    MakeTarget { target: Utf8PathBuf },
    /// What a real folder holds is copied into the shared one; then the folder is kept beside the link.
    Adopt {
        account: String,
        folder: Utf8PathBuf,
        kept: Utf8PathBuf,
        target: Utf8PathBuf,
    },
    /// The link is missing. Where an adopted folder is kept beside it, that is copied once more before: whoever
    /// wrote into it until it was moved is not lost.
    MakeLink {
        link: Utf8PathBuf,
        target: Utf8PathBuf,
        kept: Option<Utf8PathBuf>,
    },
}

/// Why something cannot be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) account: String,
    pub(crate) harness: String,
    pub(crate) what: String,
    pub(crate) help: String,
}

/// What is to be done. With a problem, nothing is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    pub(crate) problems: Vec<Problem>,
    /// Links that are as they should be.
    pub(crate) right: usize,
}

/// The plan; with `adopt`, real folders are moved into the shared ones.
pub(crate) fn plan(found: &[Found], adopt: bool) -> Plan {
    let mut plan = Plan::default();
    let mut homes: BTreeMap<&Utf8Path, &str> = BTreeMap::new();
    let mut told: Vec<&str> = Vec::new();
    for Found(look) in found {
        let account = look.wanted.account.as_str();
        if let Some(real) = &look.real_home {
            let first = *homes.entry(real).or_insert(account);
            if first != account {
                if !told.contains(&account) {
                    told.push(account);
                    let what = format!("its home {} is that of {first}, too", look.wanted.dir);
                    let help = "give each account a home of its own, or remove one of them";
                    plan.problems.push(problem(look, what, help));
                }
                continue;
            }
        }
        if let Err((what, help)) = check_home(look) {
            if !told.contains(&account) {
                told.push(account);
                plan.problems.push(problem(look, what, &help));
            }
            continue;
        }
        one(look, adopt, &mut plan);
    }
    plan
}

fn check_home(look: &Look) -> Result<(), (String, String)> {
    let dir = &look.wanted.dir;
    let what = match &look.home {
        Seen::Folder | Seen::Right => return Ok(()),
        Seen::Nothing => format!("its home {dir} is not there"),
        Seen::Other | Seen::Elsewhere(_) => format!("its home {dir} is no folder"),
        Seen::Unreadable(why) => format!("its home {dir} cannot be looked at: {why}"),
    };
    let name = &look.wanted.account;
    Err((
        what,
        format!("log in there with its own tool (`longhaul account show {name}`), or remove it"),
    ))
}

fn one(look: &Look, adopt: bool, plan: &mut Plan) {
    let wanted = &look.wanted;
    let (path, target) = (wanted.path(), &wanted.target);
    if target.starts_with(&wanted.dir) || path.starts_with(target) {
        let what = format!("{target} lies in the home {}", wanted.dir);
        let help = "name a folder outside of all homes: `shared_dir` below [accounts]";
        plan.problems.push(problem(look, what, help));
        return;
    }
    let make = match &look.target {
        Seen::Folder | Seen::Right => false,
        Seen::Nothing => true,
        Seen::Other | Seen::Elsewhere(_) => {
            let what = format!("the shared {target} is no folder");
            let help = "move it away, or name another place: `shared_dir` below [accounts]";
            plan.problems.push(problem(look, what, help));
            return;
        }
        Seen::Unreadable(why) => {
            let what = format!("the shared {target} cannot be looked at: {why}");
            plan.problems
                .push(problem(look, what, "let yourself read it"));
            return;
        }
    };
    let kept = (look.kept == Seen::Folder).then(|| wanted.kept());
    match &look.path {
        Seen::Right => plan.right += 1,
        Seen::Nothing => {
            need_target(make, target, plan);
            plan.steps.push(Step::MakeLink {
                link: path,
                target: target.clone(),
                kept,
            });
            return;
        }
        Seen::Folder if adopt && look.kept == Seen::Nothing => {
            need_target(make, target, plan);
            plan.steps.push(Step::Adopt {
                account: wanted.account.clone(),
                folder: path.clone(),
                kept: wanted.kept(),
                target: target.clone(),
            });
            plan.steps.push(Step::MakeLink {
                link: path,
                target: target.clone(),
                kept: Some(wanted.kept()),
            });
            return;
        }
        Seen::Folder if adopt => {
            let kept = wanted.kept();
            let what = format!("{path} is a folder again, and {kept} is in the way of keeping it");
            plan.problems.push(problem(
                look,
                what,
                &format!("look at {kept} and move it away"),
            ));
        }
        Seen::Folder => {
            let what = format!("{path} is a real folder, not a link to {target}");
            let help = "`longhaul account link --adopt` shows what it would move, and moves it";
            plan.problems.push(problem(look, what, help));
        }
        Seen::Elsewhere(to) => {
            let what = format!("{path} is a link to {to}, not to {target}");
            let help = "Longhaul never changes such a link: remove it if nothing needs it, or name its place as `shared_dir` below [accounts]";
            plan.problems.push(problem(look, what, help));
        }
        Seen::Other => {
            let what = format!("{path} is a file");
            plan.problems.push(problem(look, what, "move it away"));
        }
        Seen::Unreadable(why) => {
            let what = format!("{path} cannot be looked at: {why}");
            plan.problems
                .push(problem(look, what, "let yourself read it"));
        }
    }
    if make && look.path == Seen::Right {
        need_target(true, target, plan);
    }
}

fn need_target(make: bool, target: &Utf8Path, plan: &mut Plan) {
    let step = Step::MakeTarget {
        target: target.to_owned(),
    };
    if make && !plan.steps.contains(&step) {
        plan.steps.push(step);
    }
}

fn problem(look: &Look, what: String, help: &str) -> Problem {
    Problem {
        account: look.wanted.account.clone(),
        harness: look.wanted.harness.clone(),
        what,
        help: help.to_owned(),
    }
}
