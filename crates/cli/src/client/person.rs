//! What only a person may do (I17), for verbs that act by themselves instead of asking the daemon, and
//! for starting one: a daemon below a session would take that session for a person.

use longhaul_api::{ExitCode, StatusView};

use super::{Presence, look, routes};
use crate::failure::Failure;
use crate::paths::Paths;

/// Refuses processes of this installation's own sessions.
///
/// # Errors
/// This process belongs to a session, or nobody can tell.
pub(crate) fn refuse_session(paths: &Paths) -> Result<(), Failure> {
    let refused = |what: &str| {
        Failure::of(ExitCode::Refused, what.to_owned())
            .help("an agent's session may only read its own task; a person does this from a terminal of their own")
    };
    let jobs = paths.state_dir.join("jobs");
    match longhaul_hosts::job_of(std::process::id(), jobs.as_std_path()) {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err(refused("a session may not do this")),
        Err(error) => {
            let unknown = refused("nobody can tell whether this is a session").because(error);
            Err(if std::path::Path::new("/proc/self/stat").exists() {
                unknown
            } else {
                unknown.help("/proc is not there, where the system tells who runs what: mount it")
            })
        }
    }
}

/// The same for everything that the daemon would refuse; where it runs it is asked, and notes the
/// refusal in its log.
///
/// # Errors
/// See [`refuse_session`].
pub(crate) fn person_only(paths: &Paths) -> Result<(), Failure> {
    if let Presence::There(client) = look(paths)? {
        client.get::<StatusView>(routes::STATUS)?;
    }
    refuse_session(paths)
}
