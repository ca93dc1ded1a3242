//! The gateway's process, and how it is started (A8).

use std::sync::Arc;
use std::time::Duration;

use longhaul_api::ExitCode;
use longhaul_gateway::launch::Launch;
use longhaul_gateway::{Parts, Peer, Place, PlaceError, Times, WayOut};
use longhaul_server::{PeerAuthority, listen_private};

use super::authority::ByProcess;
use super::floors::again_and_again;
use super::own_log;
use crate::env::Env;
use crate::failure::{Failure, Outcome};
use crate::paths::Paths;

/// How often the log is cut, and memory that is free given back.
const TIDY_LOOK: Duration = Duration::from_secs(5);

/// Becomes the gateway.
///
/// # Errors
/// Another one runs here already ([`ExitCode::Conflict`]), or the system refuses.
pub(crate) fn gateway_main(paths: &Paths, env: &Env) -> Outcome {
    // The caller's terminal and its signals are not ours; for the leader of a group that is so already.
    if rustix::process::setsid().is_err() {
        tracing::debug!("already a leader");
    }
    longhaul_hosts::foreground::let_signals_in();
    super::logging(env);
    super::enough_open_files()?;
    let place = Place::take(paths.gateway_dir().as_std_path()).map_err(|error| match &error {
        PlaceError::Taken { .. } => Failure::of(ExitCode::Conflict, error.to_string()),
        PlaceError::State { .. } | PlaceError::Io { .. } => {
            Failure::new("the gateway cannot begin").because(error)
        }
    })?;
    let control = listen_private(paths.gateway_socket().as_std_path())
        .map_err(|error| Failure::new("the gateway cannot be reached").because(error))?;
    let parts = Parts {
        place,
        control,
        may_control: Arc::new(may_control),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        times: Times::default(),
        way: WayOut::of(|name| env.lossy(name).map(str::to_owned)),
    };
    let log = paths.gateway_log();
    let _keeper = again_and_again("tidy", TIDY_LOOK, TIDY_LOOK, move || {
        own_log::cut(&log);
        longhaul_hosts::memory::give_back();
    });
    longhaul_gateway::run(parts)
        .map_err(|error| Failure::new("the gateway ended").because(error))?;
    Ok(ExitCode::Done)
}

/// The user's own processes may, and no session (I17).
fn may_control(peer: Peer) -> bool {
    ByProcess::judge(peer.pid, peer.uid) == PeerAuthority::Person
}

/// How to start the gateway of this installation.
///
/// # Errors
/// This process's own program cannot be found.
pub(crate) fn gateway_launch(paths: &Paths) -> Result<Launch, Failure> {
    Ok(Launch {
        program: super::own_image()?,
        variables: paths
            .as_variables()
            .into_iter()
            .chain([("HOME".to_owned(), paths.home.to_string())])
            .collect(),
        socket: paths.gateway_socket().into(),
        log: paths.gateway_log().into(),
    })
}
