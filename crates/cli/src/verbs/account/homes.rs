//! Accounts that are config homes, as `account` shows and tests them. Whether a login is there is asked of the
//! file's name alone: no file in a home is opened.

use std::os::unix::fs::MetadataExt as _;

use longhaul_api::RestingView;
use longhaul_core::home::{UNTIL_MENDED, scope};
use longhaul_core::time::UnixMs;
use serde_json::{Value, json};

use crate::accounts::{HomeAccount, home_accounts, link};
use crate::context::Context;
use crate::env::Env;
use crate::failure::Failure;
use crate::output::text::clean;
use crate::output::{clock, palette};
use crate::settings;
use crate::submit::harness::registry;

/// The homes of the configuration, and what is wrong with their links where they are to rotate.
pub(super) struct Known {
    pub(super) homes: Vec<HomeAccount>,
    pub(super) rotate: bool,
    pub(super) problems: Vec<link::Problem>,
}

pub(super) fn known(context: &Context) -> Result<Known, Failure> {
    let settings = settings::load(context, None)?.settings;
    let homes = home_accounts(
        &settings.accounts,
        &registry(&settings)?,
        &context.paths().home,
    );
    let rotate = settings.accounts.rotate_homes;
    let problems = if rotate {
        let wanted = link::wanted(&settings.accounts, &homes, &context.paths().home);
        link::plan(&link::look(wanted), false).problems
    } else {
        Vec::new()
    };
    Ok(Known {
        homes,
        rotate,
        problems,
    })
}

/// How a home stands.
pub(super) struct Standing {
    pub(super) word: &'static str,
    pub(super) detail: String,
}

pub(super) fn standing(account: &HomeAccount, known: &Known, resting: &[RestingView]) -> Standing {
    let stands = |word, detail: String| Standing { word, detail };
    if !account.enabled {
        return stands("disabled", String::new());
    }
    if let Some(why) = account.trouble() {
        return stands("no home", clean(&why));
    }
    let own = scope(&account.name);
    if let Some(rest) = resting.iter().find(|r| r.scope == own) {
        let now = clock::now();
        let until = UnixMs(rest.until_ms);
        let window = rest.window.as_deref().map(clean).unwrap_or_default();
        return if until >= UNTIL_MENDED {
            let how = account.login().unwrap_or_default();
            let name = &account.name;
            let mend = if window == "credit" {
                "its provider wants to be paid first".to_owned()
            } else {
                format!("logged out: `{}`", clean(&how))
            };
            stands(
                "broken",
                format!("{mend}, then `longhaul account enable {name}`"),
            )
        } else if until > now {
            let until = clock::moment(until, now);
            stands("resting", format!("until {until} ({window})"))
        } else {
            let line = "one session proves that its limit is over";
            stands("resting", line.to_owned())
        };
    }
    let apart = known.problems.iter().find(|p| p.harness == account.harness);
    if let Some(problem) = apart {
        let what = clean(&problem.what);
        return stands(
            "apart",
            format!("not rotated: {what}; `longhaul account link`"),
        );
    }
    stands("ready", clean(account.dir.as_str()))
}

pub(super) fn style(word: &str) -> anstyle::Style {
    match word {
        "ready" => palette::GOOD,
        "disabled" => palette::FAINT,
        "resting" | "apart" => palette::WARN,
        _ => palette::BAD,
    }
}

pub(super) fn as_json(account: &HomeAccount, standing: &Standing) -> Value {
    json!({
        "name": account.name, "harness": account.harness, "home": account.dir,
        "state": standing.word.replace(' ', "_"), "detail": standing.detail,
        "login": account.login(), "windows": [],
    })
}

/// One home in full.
pub(super) fn show(
    context: &Context,
    account: &HomeAccount,
    standing: &Standing,
) -> Result<(), Failure> {
    let p = &context.printer;
    for (label, value) in [
        ("account", clean(&account.name)),
        ("harness", clean(&account.harness)),
        (
            "state",
            format!("{} {}", standing.word, standing.detail)
                .trim_end()
                .to_owned(),
        ),
        ("home", clean(account.dir.as_str())),
        ("log in", clean(&account.login().unwrap_or_default())),
    ] {
        if !value.is_empty() {
            p.line(&format!(
                "{} {value}",
                p.paint(palette::FAINT, &format!("{label:<9}"))
            ))?;
        }
    }
    Ok(())
}

/// What can be seen of a home without its tokens: the folder, whose it is, whether its agent is installed and a
/// login seems to be there.
pub(super) fn test(account: &HomeAccount, env: &Env) -> (&'static str, String) {
    if let Some(why) = account.trouble() {
        return ("no home", why);
    }
    let own = rustix::process::getuid().as_raw();
    match std::fs::metadata(&account.dir) {
        Ok(meta) if meta.uid() != own => {
            return (
                "not yours",
                format!("{} belongs to somebody else", account.dir),
            );
        }
        Ok(meta) if meta.mode() & 0o022 != 0 => {
            return (
                "open",
                format!(
                    "others may write in {}: chmod go-w {}",
                    account.dir, account.dir
                ),
            );
        }
        _ => {}
    }
    let program = longhaul_engine::executor::find_program(
        &account.harness,
        env.lossy("PATH"),
        env.lossy("HOME"),
    );
    if program.is_none() {
        return (
            "no agent",
            format!("there is no `{}` on PATH", account.harness),
        );
    }
    let file = match account.harness.as_str() {
        "codex" => "auth.json",
        _ => ".credentials.json",
    };
    // Its name alone: what is in it is its agent's.
    let there = std::fs::symlink_metadata(account.dir.join(file)).is_ok();
    if there || cfg!(target_os = "macos") {
        let detail = "a login is there; nothing of it was read, and nobody was asked: whether it is good shows with its first session";
        ("there", detail.to_owned())
    } else {
        let how = account.login().unwrap_or_default();
        (
            "no login",
            format!("no {file} in {}: log in with `{how}`", account.dir),
        )
    }
}
