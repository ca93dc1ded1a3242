//! Power cuts for real programs, without a power cut.
//!
//! A [`Recorder`] runs commands under ptrace and writes down, in their order, all changes that they and
//! their descendants make below one folder, and what they flush. From such a [`Recording`] come as many
//! [`Image`]s as wanted: the folder as a disk may hold it if the power fails after the n-th change, with
//! unflushed writes dropped, torn at sectors or out of order, and unflushed names lost ([`Disk`]).
//! A test writes an image to where the folder was, starts the real programs again and looks.
//!
//! Nothing is mounted and no privilege is needed. The recording is checked against the truth: without
//! a power cut its image must equal the folder, so a change that the recorder does not understand is an
//! error and not a gap ([`Recording::verify`]).
//!
//! What it does not model: a disk that lies about flushes, sectors that rot, and lost permissions or
//! times. Content of shared memory (SQLite's `-shm`) is not followed; nothing in it needs to last.
#![cfg(target_os = "linux")]

mod change;
mod choice;
mod disk;
mod image;
mod paths;
mod plan;
mod recorder;
mod recording;
mod registers;
mod tracer;
mod tree;

pub use change::{Change, Entry, FileId, Kind};
pub use choice::Choice;
pub use disk::{Disk, Model};
pub use image::Image;
pub use recorder::{Recorder, RecorderError, Said};
pub use recording::{Recording, Unfaithful};
