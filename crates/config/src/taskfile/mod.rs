//! The task file (tasks.md "Task file"): from bytes to drafts of tasks, all of it or nothing.

mod check;
mod context;
mod draft;
mod fields;
mod flags;
mod graph;
mod keys;
mod names;
mod parse;
mod prompt;
mod resolve;
mod scaffold;
mod single;
mod value;
mod values;
mod write;

pub use context::{
    DiskFiles, HarnessFacts, HarnessInfo, HarnessList, PromptFiles, TaskContext, TaskDefaults,
};
pub use draft::{DepRef, Resolution, SpecError, TaskDraft};
pub use flags::{FlagTask, TaskFlags, draft_from_flags};
pub use keys::{CHECK_KEYS, TASK_KEYS, TaskKey};
pub use parse::{ParsedTaskFile, TaskFileInput, parse};
pub use scaffold::scaffold;
pub use single::{SingleTask, name_of_file, parse_single};
pub use write::to_toml;

/// Largest task file in bytes.
pub const MAX_FILE_BYTES: usize = 16 << 20;
/// Largest `prompt_file` in bytes.
pub const MAX_PROMPT_FILE_BYTES: u64 = 8 << 20;
/// Most bytes that the prompts of one file may have together.
pub const MAX_PROMPTS_BYTES: usize = 256 << 20;
/// Most bytes that `[defaults]`, its prompt aside, may give to all tasks of a file together.
pub const MAX_INHERITED_BYTES: usize = 256 << 20;
/// Most tasks in one file.
pub const MAX_TASKS: usize = 10_000;
/// Most checks of one task.
pub const MAX_CHECKS: usize = 100;

/// Checks of single values that the settings share with the task file.
pub(crate) mod checks {
    pub(crate) use super::fields::env_value;
    pub(crate) use super::names::{bad_argument, bad_branch};
    pub(crate) use super::value::{
        Zero, bad_command, checked, checked_list, count, duration, duration_entry, money, tokens,
        variable, word,
    };
}
