//! What a driver is to do: the agent's command line and the prompt. It travels by the driver's standard input.

use camino::Utf8PathBuf;
use longhaul_agents::screen::ScreenAgent;
use longhaul_hosts::Confinement;
use serde::{Deserialize, Serialize};

use crate::names::PoolSettings;

/// One task's turn in a terminal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// The job's key: the agent carries it as its spawn key (I8).
    pub key: String,
    /// The task's name.
    pub task: String,
    /// Whose screen it is.
    pub agent: ScreenAgent,
    /// The agent's program and arguments.
    pub argv: Vec<String>,
    /// Its working folder.
    pub cwd: Utf8PathBuf,
    /// What it may write and read; the driver itself is not confined.
    pub confinement: Option<Confinement>,
    /// What is pasted.
    pub prompt: String,
    /// The conversation's id, chosen or resumed.
    pub conversation: String,
    /// Whether it is resumed.
    pub resumed: bool,
    /// The folder below which its transcripts are.
    pub records: Utf8PathBuf,
    /// The folder of the agent's own state files, if it keeps any.
    pub states: Option<Utf8PathBuf>,
    /// The time zone of reset texts that name none.
    pub time_zone: Option<String>,
    /// tmux, absolute.
    pub tmux: Utf8PathBuf,
    /// The socket of Longhaul's server.
    pub socket: Utf8PathBuf,
    /// The pool's folder, where notes are.
    pub folder: Utf8PathBuf,
    /// Where the pane's order is placed.
    pub files: Utf8PathBuf,
    /// The pool.
    pub pool: PoolSettings,
}
