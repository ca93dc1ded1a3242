//! Who may do what (I17): authority follows the process that asks.

use std::os::fd::BorrowedFd;

use axum::http::Method;
use longhaul_core::ids::TaskId;

/// What the kernel says of a peer, as of its `connect`.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'a> {
    /// Its process, where the system tells.
    pub pid: Option<i32>,
    /// Its user.
    pub uid: u32,
    /// The connection, for what else the kernel knows of it (`SO_PEERPIDFD`).
    pub socket: BorrowedFd<'a>,
}

/// Finds out on whose behalf a peer asks. Made by the composition root.
///
/// Called once per connection, right after `accept` and before anything is read from it. The pid
/// names the process that connected; if that process has ended since, the kernel may have given the
/// number to another. An implementation must not be fooled by that: it holds the process by a
/// `pidfd` of the socket where there is one, reads the ancestry, and then looks whether the process
/// still lives; otherwise the answer is [`PeerAuthority::Unknown`]. It may block.
pub trait Authority: Send + Sync {
    /// On whose behalf the peer asks.
    fn of_peer(&self, peer: &Peer<'_>) -> PeerAuthority;
}

/// On whose behalf a peer asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerAuthority {
    /// The user of this daemon.
    Person,
    /// A process below a shim: a session, or a task's set-up or check.
    Session {
        /// Its task, where that is known.
        task: Option<TaskId>,
    },
    /// Its ancestry cannot be read. While anything of a task lives this counts as a session
    /// without a task, otherwise as the person.
    Unknown,
    /// Another user.
    Foreign {
        /// Which.
        uid: u32,
    },
}

/// A request that was refused for want of authority, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedCall {
    /// Who asked.
    pub by: PeerAuthority,
    /// Its process, where known.
    pub pid: Option<i32>,
    /// The method.
    pub method: String,
    /// The path, without its query.
    pub path: String,
}

/// What a route gives to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Permit {
    /// It may.
    Yes,
    /// It may, if this text means this task.
    IfOwn { text: String, task: TaskId },
    /// It may not.
    No,
}

/// What a peer may do. Everything that is not named here is for the person alone, so a new route is
/// closed to sessions until someone opens it.
pub(crate) fn permit(
    who: PeerAuthority,
    method: &Method,
    route: Option<&str>,
    text: Option<&str>,
) -> Permit {
    match who {
        PeerAuthority::Person => Permit::Yes,
        PeerAuthority::Foreign { .. } => Permit::No,
        PeerAuthority::Session { .. } | PeerAuthority::Unknown
            if *method != Method::GET && *method != Method::HEAD =>
        {
            Permit::No
        }
        PeerAuthority::Unknown => match route {
            Some("/v1/version") => Permit::Yes,
            _ => Permit::No,
        },
        PeerAuthority::Session { task } => match (route, text, task) {
            (Some("/v1/version"), ..) => Permit::Yes,
            (
                Some(
                    "/v1/tasks/{ref}"
                    | "/v1/tasks/orders"
                    | "/v1/tasks/{ref}/logs"
                    | "/v1/tasks/{ref}/events",
                ),
                Some(text),
                Some(task),
            ) => Permit::IfOwn {
                text: text.to_owned(),
                task,
            },
            _ => Permit::No,
        },
    }
}
