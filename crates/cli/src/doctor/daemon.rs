//! The daemon and its database.

use longhaul_api::ExitCode;
use longhaul_store::SqliteReader;

use super::{Row, advisory, fail, pass, skipped};
use crate::client::{self, Presence};
use crate::context::Context;

/// Rows `daemon` and `database`.
pub(super) fn rows(context: &Context) -> [Row; 2] {
    [daemon(context), database(context)]
}

fn daemon(context: &Context) -> Row {
    match client::look(context.paths()) {
        Ok(Presence::There(client)) => {
            let v = client.version();
            let found = format!("running, pid {}, version {}", v.pid, v.version);
            if v.version == env!("CARGO_PKG_VERSION") {
                pass("daemon", found)
            } else {
                advisory(
                    "daemon",
                    found,
                    "`longhaul daemon restart` starts this version; sessions go on",
                )
            }
        }
        Ok(Presence::Absent) => pass("daemon", "not running; it starts itself when it is needed"),
        Err(e) if e.class() == ExitCode::Unavailable => fail(
            "daemon",
            e.message(),
            format!(
                "look into {}, then `longhaul daemon restart`",
                context.paths().daemon_log()
            ),
        ),
        Err(e) => fail("daemon", e.message(), e.help_lines().join("; ")),
    }
}

fn database(context: &Context) -> Row {
    let path = context.paths().database();
    if !path.exists() {
        return skipped("database", format!("none yet at {path}"));
    }
    match SqliteReader::open(&path) {
        Ok(_) => pass("database", format!("{path}, readable by this version")),
        Err(e) => fail("database", crate::submit::repo::chain(&e), e.remedy()),
    }
}
