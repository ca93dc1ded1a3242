//! Why something cannot be shown, and what to do about it.

use longhaul_api::{ErrorBody, ErrorClass, TaskLink};
use longhaul_store::StoreError;
use uuid::Uuid;

/// Something cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The store cannot be read.
    #[error("the store could not be read")]
    Store(#[from] StoreError),
    /// No task has this id or name.
    #[error("no task is called `{text}`")]
    NotFound {
        /// What was asked for.
        text: String,
        /// Names like it, the best first.
        nearest: Vec<String>,
    },
    /// More than one task fits.
    #[error("`{text}` fits {} tasks", candidates.len())]
    Ambiguous {
        /// What was asked for.
        text: String,
        /// The tasks.
        candidates: Vec<TaskLink>,
    },
    /// No submission has this id.
    #[error("there is no submission {0}")]
    NoSubmission(Uuid),
    /// A task has no attempt of this number.
    #[error("{}", match number {
        Some(n) => format!("`{name}` has no attempt {n}"),
        None => format!("`{name}` has no attempt yet"),
    })]
    NoAttempt {
        /// The task.
        name: String,
        /// What was asked for; `None` = the last one.
        number: Option<u32>,
    },
    /// A query that makes no sense.
    #[error("`{value}` is no state")]
    NoState {
        /// What was given.
        value: String,
    },
}

impl ViewError {
    /// As it travels: code, sentence, hint, class.
    #[must_use]
    pub fn body(&self) -> ErrorBody {
        let (code, class) = match self {
            Self::Store(error) => match error.class() {
                longhaul_store::ErrorClass::Retryable => ("store_busy", ErrorClass::Unavailable),
                longhaul_store::ErrorClass::TooNew => ("store_too_new", ErrorClass::Unavailable),
                longhaul_store::ErrorClass::Config => ("store_config", ErrorClass::Unavailable),
                longhaul_store::ErrorClass::Corrupt => ("store_damaged", ErrorClass::Internal),
                longhaul_store::ErrorClass::Bug => ("store_bug", ErrorClass::Internal),
            },
            Self::NotFound { .. } => ("task_not_found", ErrorClass::NotFound),
            Self::Ambiguous { .. } => ("task_ambiguous", ErrorClass::Ambiguous),
            Self::NoSubmission(_) => ("submission_not_found", ErrorClass::NotFound),
            Self::NoAttempt { .. } => ("attempt_not_found", ErrorClass::NotFound),
            Self::NoState { .. } => ("bad_state", ErrorClass::Invalid),
        };
        let message = match self {
            Self::Store(error) => format!("{self}: {error}"),
            Self::NotFound { .. }
            | Self::Ambiguous { .. }
            | Self::NoSubmission(_)
            | Self::NoAttempt { .. }
            | Self::NoState { .. } => self.to_string(),
        };
        let candidates = match self {
            Self::Ambiguous { candidates, .. } => candidates.clone(),
            _ => Vec::new(),
        };
        ErrorBody {
            code: code.to_owned(),
            message,
            hint: Some(self.hint()),
            class,
            candidates,
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Store(error) => error.remedy().to_owned(),
            Self::NotFound { nearest, .. } => match nearest.split_first() {
                None => "`longhaul ls --all` lists the tasks".to_owned(),
                Some((best, [])) => format!("did you mean `{best}`?"),
                Some((best, more)) => {
                    let more: Vec<String> = more.iter().map(|n| format!("`{n}`")).collect();
                    format!("did you mean `{best}`, or {}?", more.join(", "))
                }
            },
            Self::Ambiguous { text, candidates } => {
                // A name that several live tasks have; of a name and an id, the id can be longer.
                if candidates.iter().all(|c| c.name == *text) {
                    "several tasks of this name are in the queue: say which by its id".to_owned()
                } else {
                    "give more digits of the id".to_owned()
                }
            }
            Self::NoSubmission(_) => "`longhaul ls --all` lists the tasks".to_owned(),
            Self::NoAttempt { name, .. } => format!("`longhaul show {name}` lists its attempts"),
            Self::NoState { .. } => format!(
                "the states are {}",
                longhaul_core::task::StateWord::ALL
                    .map(|w| w.as_str())
                    .join(", ")
            ),
        }
    }
}
