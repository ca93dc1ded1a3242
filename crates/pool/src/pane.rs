//! The first program of a pane: becomes the agent. Its environment is that of the driver who took the pane, read from
//! the driver itself: it may hold secrets, and is written nowhere (I12).

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;

use camino::Utf8PathBuf;
use longhaul_hosts::{Confinement, SPAWN_KEY_ENV};
use serde::{Deserialize, Serialize};

/// The hidden verb.
pub const VERB: &str = "__pane";

/// What the pane is to become.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PaneOrder {
    pub(crate) key: String,
    pub(crate) argv: Vec<String>,
    pub(crate) cwd: Utf8PathBuf,
    pub(crate) confinement: Option<Confinement>,
}

/// Becomes the agent: `DRIVER_PID ORDER_FILE`. Returns only where that failed, with the code to exit with; the reason
/// stands on the pane.
pub fn main(mut args: impl Iterator<Item = OsString>) -> u8 {
    let (Some(driver), Some(file)) = (args.next(), args.next()) else {
        return 2;
    };
    match become_agent(&driver.to_string_lossy(), &file) {
        Ok(never) => match never {},
        Err(why) => {
            let mut err = std::io::stderr().lock();
            let told = longhaul_acts::files::write_all(
                "pool.pane.say",
                &mut err,
                format!("longhaul: {why}\n").as_bytes(),
            );
            if told.is_err() { 126 } else { 127 }
        }
    }
}

/// In two steps, so that no agent outlives a driver that died meanwhile: what carries the job's key is found by the sweep
/// that follows the driver's end (I8). So first this program becomes one that carries it, and only then it looks whether
/// the driver still lives: if it dies before, that look tells; if after, the sweep finds this very process.
fn become_agent(driver: &str, file: &OsString) -> Result<std::convert::Infallible, String> {
    let pid: u32 = driver.parse().map_err(|_| "no driver".to_owned())?;
    let bytes = fs::read(file).map_err(|e| format!("cannot read the order: {e}"))?;
    let order: PaneOrder = serde_json::from_slice(&bytes).map_err(|e| format!("bad order: {e}"))?;
    let theirs = environment_of(pid, &order.key)?;
    let carries_key = std::env::var_os(SPAWN_KEY_ENV).is_some_and(|key| *key == *order.key);
    let again = [
        "/proc/self/exe",
        VERB,
        driver,
        file.to_str().ok_or("bad order")?,
    ];
    let (argv, env, confinement) = if carries_key {
        let own = std::env::vars_os().collect();
        (order.argv, own, order.confinement)
    } else {
        (again.map(str::to_owned).to_vec(), theirs, None)
    };
    longhaul_hosts::join::become_member(
        pid,
        &order.key,
        &argv,
        env,
        &order.cwd,
        confinement.as_ref(),
    )
    .map_err(|e| format!("cannot start the agent: {e}"))
}

/// The environment of a driver that lives, with this terminal's kind.
fn environment_of(driver: u32, key: &str) -> Result<Vec<(OsString, OsString)>, String> {
    let environ = fs::read(format!("/proc/{driver}/environ"))
        .map_err(|e| format!("its driver is gone: {e}"))?;
    let mut env: Vec<(OsString, OsString)> = environ
        .split(|b| *b == 0)
        .filter_map(|entry| {
            let at = entry.iter().position(|b| *b == b'=')?;
            let (name, value) = entry.split_at(at);
            Some((
                OsString::from_vec(name.to_vec()),
                OsString::from_vec(value[1..].to_vec()),
            ))
        })
        .collect();
    // Another process may have that pid by now.
    if !env
        .iter()
        .any(|(name, value)| name == SPAWN_KEY_ENV && *value == *key)
    {
        return Err("its driver is gone".to_owned());
    }
    if let Some(terminal) = std::env::var_os("TERM") {
        env.retain(|(name, _)| name != "TERM");
        env.push(("TERM".into(), terminal));
    }
    Ok(env)
}
