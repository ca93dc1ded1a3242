//! What the pool's sessions are doing, and making what is missing (A19). Sessions with other names are not looked at.

use camino::Utf8Path;
use longhaul_agents::screen::{ScreenAgent, Showing, read};
use serde::Serialize;

use crate::names::PoolSettings;
use crate::note::{Note, Noted};
use crate::tmux::{Pane, Server, TmuxError};

/// Whose a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It takes work.
    Pool,
    /// It belongs to a person (I11).
    Dedicated,
}

/// What a session is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum State {
    /// It is not there.
    Missing,
    /// Nothing lives in it: work may be given to it.
    Free,
    /// Nothing lives in it, but a person looks at it.
    Watched,
    /// An agent of a task works in it.
    Busy {
        /// The task.
        task: String,
    },
    /// Something lives in it that no task started; it is left alone.
    Occupied {
        /// The program in front.
        program: String,
    },
    /// A dedicated session whose agent waits at its prompt, or that is at its shell.
    Idle {
        /// The program in front.
        program: String,
    },
}

/// One session of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PoolSession {
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub kind: Kind,
    /// What it is doing.
    #[serde(flatten)]
    pub state: State,
    /// What was last done with it.
    pub last: Option<Note>,
}

/// What was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ensured {
    /// Sessions that were missing.
    pub made: Vec<String>,
    /// Dedicated sessions whose shell had ended.
    pub revived: Vec<String>,
}

/// Every session of the pool and every dedicated one, there or not. Changes nothing (I7).
///
/// # Errors
/// tmux cannot be run, or does not say.
pub fn survey(
    server: &Server,
    settings: &PoolSettings,
    folder: &Utf8Path,
) -> Result<Vec<PoolSession>, TmuxError> {
    let panes = server.panes()?;
    let of = |name: &str| -> Vec<&Pane> { panes.iter().filter(|p| p.session == name).collect() };
    let mut all = Vec::new();
    for name in settings.names() {
        let last = Note::read(folder, &name);
        let state = pool_state(&of(&name), last.as_ref());
        all.push(PoolSession {
            name,
            kind: Kind::Pool,
            state,
            last,
        });
    }
    for dedicated in &settings.dedicated {
        let name = dedicated.name.clone();
        let state = dedicated_state(server, &of(&name));
        all.push(PoolSession {
            name,
            kind: Kind::Dedicated,
            state,
            last: None,
        });
    }
    Ok(all)
}

fn pool_state(panes: &[&Pane], last: Option<&Note>) -> State {
    let Some(first) = panes.first() else {
        return State::Missing;
    };
    let Some(living) = panes.iter().find(|p| !p.dead) else {
        return if first.attached {
            State::Watched
        } else {
            State::Free
        };
    };
    match last.map(|n| &n.noted) {
        Some(Noted::Taken { task, pid }) if *pid == living.pid => {
            State::Busy { task: task.clone() }
        }
        _ => State::Occupied {
            program: living.program.clone(),
        },
    }
}

fn dedicated_state(server: &Server, panes: &[&Pane]) -> State {
    let Some(living) = panes.iter().find(|p| !p.dead) else {
        return State::Missing;
    };
    let program = living.program.clone();
    let agent = match program.as_str() {
        "claude" => ScreenAgent::Claude,
        "codex" => ScreenAgent::Codex,
        _ => return State::Idle { program },
    };
    let shown = server
        .capture(&living.session)
        .map(|c| read(agent, &c.screen).showing);
    match shown {
        Ok(Showing::Idle) => State::Idle { program },
        _ => State::Occupied { program },
    }
}

/// Makes what is missing: the first `min` sessions of the pool, and every dedicated one. A dedicated session whose shell
/// has ended gets another; everything else that is there is left as it is.
///
/// # Errors
/// tmux cannot be run, or refuses.
pub fn ensure(server: &Server, settings: &PoolSettings) -> Result<Ensured, TmuxError> {
    fill(server, settings, settings.min as usize)
}

/// The same, and one more free session than there are, as far as `max` allows: before work is given to the pool.
///
/// # Errors
/// As [`ensure`].
pub fn ready(server: &Server, settings: &PoolSettings) -> Result<Ensured, TmuxError> {
    server.start()?;
    let panes = server.panes()?;
    let there = settings
        .names()
        .filter(|n| panes.iter().any(|p| p.session == *n))
        .count();
    let free = settings.names().any(|n| is_free(&panes, &n));
    fill(
        server,
        settings,
        (settings.min as usize).max(there + usize::from(!free)),
    )
}

fn fill(server: &Server, settings: &PoolSettings, wanted: usize) -> Result<Ensured, TmuxError> {
    server.start()?;
    let panes = server.panes()?;
    let mut there = settings
        .names()
        .filter(|n| panes.iter().any(|p| p.session == *n))
        .count();
    let mut done = Ensured::default();
    for name in settings.names() {
        if there >= wanted {
            break;
        }
        if panes.iter().all(|p| p.session != name) && server.make_empty(&name)? {
            there += 1;
            done.made.push(name);
        }
    }
    for dedicated in &settings.dedicated {
        let mut own = panes
            .iter()
            .filter(|p| p.session == dedicated.name)
            .peekable();
        if own.peek().is_none() {
            if server.make_shell(&dedicated.name, &dedicated.dir)? {
                done.made.push(dedicated.name.clone());
            }
        } else if own.all(|p| p.dead) && server.revive(&dedicated.name, &dedicated.dir)? {
            done.revived.push(dedicated.name.clone());
        }
    }
    Ok(done)
}

/// Whether work may be given to a session: it is there, nothing lives in any pane of it, and nobody looks at it (I11).
pub(crate) fn is_free(panes: &[Pane], name: &str) -> bool {
    let mut own = panes.iter().filter(|p| p.session == name).peekable();
    own.peek().is_some() && own.all(|p| p.dead && !p.attached)
}

/// Removes the pool's sessions that nothing lives in and nobody looks at, and ends the server if no session is left on it.
/// Gives the names of the removed ones and the sessions that were left. Dedicated sessions are never removed (I11).
///
/// # Errors
/// tmux cannot be run, or refuses.
pub fn clear(
    server: &Server,
    settings: &PoolSettings,
    folder: &Utf8Path,
) -> Result<(Vec<String>, Vec<PoolSession>), TmuxError> {
    let mut removed = Vec::new();
    let mut left = Vec::new();
    for session in survey(server, settings, folder)? {
        match session.state {
            State::Missing => {}
            State::Free if server.remove_free(&session.name)? => removed.push(session.name),
            _ => left.push(session),
        }
    }
    if server.panes()?.is_empty() {
        server.stop()?;
    }
    Ok((removed, left))
}
