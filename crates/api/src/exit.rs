//! The one table of exit codes (T28). `docs/exit-codes.md` is generated from it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! exit_codes {
    ($($name:ident = $code:literal, $word:literal, $meaning:literal, $next:literal;)*) => {
        /// What a process of Longhaul ends with. Codes are never given another meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        #[repr(u8)]
        pub enum ExitCode {
            $(#[doc = $meaning] #[doc = ""] #[doc = $next] $name = $code,)*
        }

        impl ExitCode {
            /// All of them, by number.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word used in documents and JSON.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// What it says.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)* }
            }

            /// What a caller does next.
            #[must_use]
            pub const fn next_step(self) -> &'static str {
                match self { $(Self::$name => $next,)* }
            }
        }
    };
}

exit_codes! {
    Done = 0, "done", "It was done. For `run`: every task is done.", "Nothing to do.";
    Error = 1, "error", "It failed for a reason that no other code names.", "Read the message; it says what to do.";
    Usage = 2, "usage", "The command line, the task file or a value is wrong; nothing was changed.", "Correct it and call again.";
    NeedsPerson = 3, "needs_person", "At least one task needs a person, and nothing else can move without one.", "`longhaul ls` lists them first, `longhaul show` says what to do.";
    Cancelled = 4, "cancelled", "At least one task was cancelled, and none needs a person.", "Nothing, if that was meant.";
    Unavailable = 5, "unavailable", "The daemon or its store cannot serve now: not running, shutting down, full disk, another version.", "The same call can succeed later; the message names what is in the way.";
    NotFound = 6, "not_found", "No task has that name or id, or more than one has it.", "`longhaul ls --all` lists them; a longer prefix is unique.";
    Conflict = 7, "conflict", "It conflicts with what is there, such as a task file whose tasks are still live.", "The message names what it conflicts with and the flag that overrides it.";
    Refused = 8, "refused", "The caller may not do this: another user, or a session of an agent.", "A person does it from a terminal of their own.";
    Interrupted = 130, "interrupted", "Ctrl-C. A follow was detached; tasks go on, except under `demo`.", "`longhaul status` shows what goes on.";
}

impl ExitCode {
    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The table as Markdown, the whole text of `docs/exit-codes.md`.
    #[must_use]
    pub fn markdown() -> String {
        let mut out = String::from(
            "# Exit codes\n\n\
             Every verb ends with one of these. Generated from `ExitCode` in `crates/api`; a test\n\
             compares this file with the code.\n\n\
             | code | name | meaning | what next |\n|---:|---|---|---|\n",
        );
        for code in Self::ALL {
            out.push_str(&format!(
                "| {} | `{}` | {} | {} |\n",
                code.code(),
                code.word(),
                code.meaning(),
                code.next_step()
            ));
        }
        out
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.code())
    }
}
