//! Changing which accounts are written down: single values of the user's `config.toml`, everything else in it as
//! it was. Checked whole before it is written; the daemon reads it at once.

use camino::Utf8PathBuf;
use longhaul_api::{API_VERSION, ExitCode};
use longhaul_config::edit::{NewValue, SettingsText};
use longhaul_config::files::{ReadError, read_bounded};
use longhaul_config::settings::{FileLayer, Layer, Layers, MAX_FILE_BYTES, Settings, resolve};
use longhaul_core::account::Provider;
use longhaul_core::home::{UNTIL_MENDED, scope};
use serde_json::json;

use super::known;
use crate::accounts::{Account, HomeAccount, named};
use crate::client::{self, Presence};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::text::clean;
use crate::settings;

/// One that is written down.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("key").required(true).args(["env", "file", "command", "home"])))]
pub(super) struct Add {
    /// What to call it: ASCII letters, digits, `-` and `_`
    #[arg(value_parser = name)]
    name: String,
    /// Whose key it is
    #[arg(long, value_parser = provider, required_unless_present = "home", conflicts_with = "home")]
    provider: Option<Provider>,
    /// The variable of the daemon's environment that holds the key
    #[arg(long, value_name = "VARIABLE")]
    env: Option<String>,
    /// The file that holds the key, readable by you alone
    #[arg(long, value_name = "PATH")]
    file: Option<String>,
    /// The command that prints the key, such as your keyring's
    #[arg(long)]
    command: Option<String>,
    /// The config home of an agent in which you logged in with its own tool: CLAUDE_CONFIG_DIR or CODEX_HOME
    #[arg(long, value_name = "DIR", requires = "harness")]
    home: Option<Utf8PathBuf>,
    /// Whose home it is
    #[arg(long, value_parser = ["claude", "codex"], requires = "home")]
    harness: Option<String>,
    /// Another place than the provider's own
    #[arg(long, value_name = "URL", conflicts_with = "home")]
    base_url: Option<String>,
    /// Lower goes first: with the strategy `priority`, and the first home where homes do not rotate
    #[arg(long)]
    priority: Option<u32>,
}

fn name(text: &str) -> Result<String, String> {
    let sound = !text.is_empty()
        && text.len() <= 64
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if sound {
        Ok(text.to_owned())
    } else {
        Err("a name is 1 to 64 ASCII letters, digits, `-` and `_`".to_owned())
    }
}

fn provider(text: &str) -> Result<Provider, String> {
    Provider::of_word(text).ok_or_else(|| {
        let known: Vec<&str> = Provider::ALL.iter().map(|p| p.as_str()).collect();
        format!("known are: {}", known.join(", "))
    })
}

pub(super) fn add(context: &Context, add: &Add) -> Outcome {
    context.person_only()?;
    let (settings, mut text) = read(context)?;
    if settings.accounts.known.contains_key(&add.name)
        || settings.accounts.homes.contains_key(&add.name)
    {
        return Err(Failure::of(
            ExitCode::Conflict,
            format!("there is an account `{}` already", add.name),
        )
        .help(format!("longhaul account remove {}", add.name)));
    }
    let key = [
        ("env", &add.env),
        ("file", &add.file),
        ("command", &add.command),
    ];
    let at = |rest: &[&'static str]| -> Vec<String> {
        let parts = ["account", add.name.as_str()]
            .into_iter()
            .chain(rest.iter().copied());
        parts.map(str::to_owned).collect()
    };
    let mut set = |rest: &[&'static str], value: NewValue| {
        let path = at(rest);
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        text.set(&path, value)
            .map_err(|e| Failure::usage(e.to_string()))
    };
    if let (Some(home), Some(harness)) = (&add.home, &add.harness) {
        let home = context.absolute(home);
        set(&["harness"], NewValue::Text(harness.clone()))?;
        set(&["home"], NewValue::Text(home.into_string()))?;
    }
    if let Some(provider) = add.provider {
        set(&["provider"], NewValue::Text(provider.as_str().to_owned()))?;
    }
    if let Some(url) = &add.base_url {
        set(&["base_url"], NewValue::Text(url.clone()))?;
    }
    if let Some(n) = add.priority {
        set(&["priority"], NewValue::Count(n))?;
    }
    for (word, value) in key {
        if let Some(value) = value {
            set(&["key", word], NewValue::Text(value.clone()))?;
        }
    }
    write(context, &text)?;
    told(context, &find(context, &add.name)?, "is written down")
}

pub(super) fn remove(context: &Context, name: &str, yes: bool) -> Outcome {
    let (settings, mut text, account) = written_down(context, name)?;
    let stays = match &account {
        Any::Key(_) => "key stays where it is",
        Any::Home(_) => "home stays as it is",
    };
    let question = format!("Forget the account {name}? Its {stays}.");
    if !yes && !context.printer.confirm(&question, "--yes")? {
        context.printer.say("nothing was changed");
        return Ok(ExitCode::Cancelled);
    }
    if settings.accounts.only.as_deref() == Some(name) {
        text.remove(&["accounts", "use"]);
    }
    text.remove(&["account", name]);
    write(context, &text)?;
    told(context, &account, "is forgotten")
}

pub(super) fn enable(context: &Context, name: &str, yes: bool) -> Outcome {
    let (settings, mut text, account) = written_down(context, name)?;
    if !yes && settings.accounts.only.as_deref() == Some(name) {
        text.remove(&["accounts", "use"]);
    }
    text.set(&["account", name, "enabled"], NewValue::Flag(yes))
        .map_err(|e| Failure::usage(e.to_string()))?;
    write(context, &text)?;
    if let (true, Any::Home(home)) = (yes, &account) {
        mended(context, &home.name)?;
    }
    told(
        context,
        &account,
        if yes { "is enabled" } else { "is disabled" },
    )
}

/// Enabled anew, a home that was broken is tried again.
fn mended(context: &Context, name: &str) -> Result<(), Failure> {
    let own = scope(name);
    let resting = context.reads()?.status()?.resting;
    if resting
        .iter()
        .any(|r| r.scope == own && r.until_ms >= UNTIL_MENDED.0)
    {
        context.daemon()?.clear_limit(&own)?;
    }
    Ok(())
}

/// An account of either kind.
enum Any {
    Key(Account),
    Home(HomeAccount),
}

/// An account by its name.
fn find(context: &Context, name: &str) -> Result<Any, Failure> {
    let mut homes = super::homes::known(context)?.homes;
    if let Some(n) = homes.iter().position(|h| h.name == name) {
        return Ok(Any::Home(homes.swap_remove(n)));
    }
    let mut all = known(context)?;
    named(&all, name)?;
    all.retain(|account| account.name == name);
    Ok(Any::Key(all.swap_remove(0)))
}

/// An account that the file names, for a person who changes that.
fn written_down(context: &Context, name: &str) -> Result<(Settings, SettingsText, Any), Failure> {
    context.person_only()?;
    let (settings, text) = read(context)?;
    let account = find(context, name)?;
    match &account {
        Any::Key(key) if !key.configured => Err(not_written(key)),
        _ => Ok((settings, text, account)),
    }
}

pub(super) fn only(context: &Context, name: Option<&str>) -> Outcome {
    context.person_only()?;
    let (_, mut text) = read(context)?;
    let Some(name) = name else {
        text.remove(&["accounts", "use"]);
        write(context, &text)?;
        let said = reload(context)?;
        context
            .printer
            .line(&format!("any account may be used again{said}"))?;
        return Ok(ExitCode::Done);
    };
    let account = find(context, name)?;
    if let Some(why) = account.trouble() {
        return Err(Failure::of(
            ExitCode::Conflict,
            format!("`{name}` cannot be used: {}", clean(&why)),
        )
        .help("`longhaul account list` shows all of them"));
    }
    text.set(&["accounts", "use"], NewValue::Text(name.to_owned()))
        .map_err(|e| Failure::usage(e.to_string()))?;
    write(context, &text)?;
    let what = match &account {
        Any::Key(key) => format!("is the only one of {} that is used", key.provider.as_str()),
        Any::Home(home) => format!("is the only home of {} that is used", home.harness),
    };
    told(context, &account, &what)
}

impl Any {
    fn name(&self) -> &str {
        match self {
            Self::Key(key) => &key.name,
            Self::Home(home) => &home.name,
        }
    }

    /// Why it cannot be used, if so.
    fn trouble(&self) -> Option<String> {
        match self {
            Self::Home(home) if !home.enabled => Some("it is disabled".to_owned()),
            Self::Home(home) => home.trouble(),
            Self::Key(key) if key.is_usable() => None,
            Self::Key(key) => Some(match (&key.key, &key.same_as) {
                (_, Some(twin)) => format!("it has the same key as {twin}"),
                (Err(why), _) => why.clone(),
                (Ok(_), None) => "it is disabled".to_owned(),
            }),
        }
    }
}

fn not_written(account: &Account) -> Failure {
    Failure::of(
        ExitCode::Conflict,
        format!("`{}` was found in {}, and is not written down", account.name, account.from),
    )
    .help("take it out of the daemon's environment and run `longhaul daemon restart`, or set `discover = false` below [accounts] in your config.toml")
}

/// The user's own file, and what it means.
fn read(context: &Context) -> Result<(Settings, SettingsText), Failure> {
    let settings = settings::load(context, None)?.settings;
    let path = context.paths().config_file();
    let bytes = match read_bounded(&path, MAX_FILE_BYTES as u64) {
        Ok(bytes) => bytes,
        Err(ReadError::Missing) => Vec::new(),
        Err(error) => return Err(Failure::usage(format!("the configuration {path} {error}"))),
    };
    let text =
        String::from_utf8(bytes).map_err(|_| Failure::usage(format!("{path} is not UTF-8")))?;
    let text = SettingsText::parse(&text).map_err(|e| Failure::usage(format!("{path}: {e}")))?;
    Ok((settings, text))
}

/// Writes the file if what it says then is sound.
fn write(context: &Context, text: &SettingsText) -> Result<(), Failure> {
    let path = context.paths().config_file();
    let text = text.to_string();
    let layer = FileLayer {
        layer: Layer::User,
        path: &path,
        bytes: text.as_bytes(),
    };
    let built_in = longhaul_agents::Registry::builtin();
    let built_in: Vec<&str> = built_in.names().collect();
    let sound = resolve(&Layers {
        files: &[layer],
        repo_trusted: false,
        env: &std::collections::BTreeMap::new(),
        flags: &[],
        built_in_harnesses: &built_in,
    });
    sound.map_err(|found| {
        Failure::usage("nothing was changed: the configuration would have mistakes")
            .detail(found.render(context.printer.color_err()))
    })?;
    settings::write(&path, text.as_bytes())
}

/// Has the daemon read it, if one runs.
pub(super) fn reload(context: &Context) -> Result<String, Failure> {
    match client::look(context.paths())? {
        Presence::There(client) => Ok(format!("; {}", clean(&client.reload_accounts()?.message))),
        Presence::Absent => Ok(String::new()),
    }
}

fn told(context: &Context, account: &Any, what: &str) -> Outcome {
    let said = reload(context)?;
    if context.json {
        let data = match account {
            Any::Key(key) => json!({
                "name": key.name, "provider": key.provider, "readable": key.key.is_ok(),
            }),
            Any::Home(home) => json!({
                "name": home.name, "harness": home.harness, "readable": home.trouble().is_none(),
            }),
        };
        context
            .printer
            .json(&json!({ "longhaul": API_VERSION, "kind": "account_changed", "data": data }))?;
        return Ok(ExitCode::Done);
    }
    let name = clean(account.name());
    context.printer.line(&format!("{name} {what}{said}"))?;
    if what != "is written down" {
        return Ok(ExitCode::Done);
    }
    match account {
        Any::Key(Account {
            key: Err(why),
            enabled: true,
            ..
        }) => context.printer.say(&format!(
            "its key cannot be read from here: {}; the daemon looks in its own environment",
            clean(why)
        )),
        Any::Home(home) => {
            if let Some(why) = home.trouble() {
                let how = home.login().unwrap_or_default();
                context.printer.say(&format!(
                    "{}; log in there with `{}`",
                    clean(&why),
                    clean(&how)
                ));
            }
        }
        Any::Key(_) => {}
    }
    Ok(ExitCode::Done)
}
