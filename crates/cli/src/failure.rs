//! The one error of the binary: what happened, to what, what to do next, and the class that becomes
//! the exit code. Library errors are turned into it at the rim; nothing below the rim knows it.

use std::error::Error;
use std::fmt;

use longhaul_api::{ErrorBody, ErrorClass, ExitCode, TaskLink};

/// Why a verb ended without doing what was asked.
#[derive(Debug)]
pub(crate) struct Failure(Box<Inner>);

#[derive(Debug)]
struct Inner {
    class: ExitCode,
    what: String,
    detail: Option<String>,
    help: Vec<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
    /// Stable word for programs; by default the class's.
    code: Option<String>,
    candidates: Vec<TaskLink>,
    quiet: bool,
    /// The code to end with, where it is not the class's.
    status: Option<u8>,
}

/// What a verb gives back: the class of its exit.
pub(crate) type Outcome = Result<ExitCode, Failure>;

impl Failure {
    /// Something did not work.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self::of(ExitCode::Error, what)
    }

    /// The command line, a file or a variable of the user is wrong.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::of(ExitCode::Usage, what)
    }

    /// A failure of a class.
    pub(crate) fn of(class: ExitCode, what: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            class,
            what: what.into(),
            detail: None,
            help: Vec::new(),
            source: None,
            code: None,
            candidates: Vec::new(),
            quiet: false,
            status: None,
        }))
    }

    /// What the daemon, or the store read directly, answered.
    pub(crate) fn answered(error: ErrorBody) -> Self {
        let mut failure = Self::of(error.class.exit_code(), error.message);
        failure.0.help.extend(error.hint);
        failure.0.code = Some(error.code);
        failure.0.candidates = error.candidates;
        failure
    }

    /// Nothing is said: whoever read our output has gone.
    pub(crate) fn silent(class: ExitCode) -> Self {
        let mut failure = Self::of(class, "");
        failure.0.quiet = true;
        failure
    }

    /// Ends with another code than the class's: that of a command that ran in our place.
    #[must_use]
    pub(crate) fn status(mut self, status: u8) -> Self {
        self.0.status = Some(status);
        self
    }

    /// The code to end with.
    pub(crate) fn code(&self) -> u8 {
        self.0.status.unwrap_or_else(|| self.class().code())
    }

    /// Adds a line that says what to do next.
    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help.push(help.into());
        self
    }

    /// Adds text that is shown as it is, before the error line (findings with their lines).
    #[must_use]
    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub(crate) fn because(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.0.source = Some(Box::new(source));
        self
    }

    /// The class.
    pub(crate) fn class(&self) -> ExitCode {
        self.0.class
    }

    /// Whether nothing is to be printed.
    pub(crate) fn is_quiet(&self) -> bool {
        self.0.quiet
    }

    /// Text that goes before the error line.
    pub(crate) fn detail_text(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// What to do next.
    pub(crate) fn help_lines(&self) -> &[String] {
        &self.0.help
    }

    /// The tasks that an ambiguous reference fits.
    pub(crate) fn candidates(&self) -> &[TaskLink] {
        &self.0.candidates
    }

    /// The error and all its causes in one line. A cause that the text before it already ends with
    /// is not repeated.
    pub(crate) fn message(&self) -> String {
        let mut text = self.0.what.clone();
        let mut last = String::new();
        let mut cause: Option<&dyn Error> = self.0.source.as_deref().map(|e| e as &dyn Error);
        while let Some(error) = cause {
            let part = error.to_string();
            // Some wrap the words of their cause in words of their own, or the other way round.
            let told = text.ends_with(&part) || (!last.is_empty() && part.ends_with(&last));
            if !part.is_empty() && !told {
                if !text.is_empty() {
                    text.push_str(": ");
                }
                text.push_str(&part);
                last = part;
            }
            cause = error.source();
        }
        text
    }

    /// For `--json`.
    pub(crate) fn body(&self) -> ErrorBody {
        let class = match self.0.class {
            ExitCode::Usage => ErrorClass::Invalid,
            ExitCode::Unavailable => ErrorClass::Unavailable,
            ExitCode::NotFound if self.0.candidates.is_empty() => ErrorClass::NotFound,
            ExitCode::NotFound => ErrorClass::Ambiguous,
            ExitCode::Conflict => ErrorClass::Conflict,
            ExitCode::Refused => ErrorClass::Refused,
            ExitCode::Done
            | ExitCode::Error
            | ExitCode::NeedsPerson
            | ExitCode::Cancelled
            | ExitCode::Interrupted => ErrorClass::Internal,
        };
        let message = match &self.0.detail {
            Some(detail) => format!("{}\n{}", self.message(), detail.trim_end()),
            None => self.message(),
        };
        ErrorBody {
            code: self
                .0
                .code
                .clone()
                .unwrap_or_else(|| self.0.class.word().to_owned()),
            message,
            hint: (!self.0.help.is_empty()).then(|| self.0.help.join("\n")),
            class,
            candidates: self.0.candidates.clone(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())
    }
}

/// Turns an error of a file operation into a failure that names the file.
pub(crate) trait OnPath<T> {
    /// `verb` is what could not be done: "read", "write".
    fn on(self, verb: &str, path: impl fmt::Display) -> Result<T, Failure>;
}

impl<T, E: Error + Send + Sync + 'static> OnPath<T> for Result<T, E> {
    fn on(self, verb: &str, path: impl fmt::Display) -> Result<T, Failure> {
        self.map_err(|e| Failure::new(format!("cannot {verb} {path}")).because(e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_once_each_in_one_line() {
        let io = std::io::Error::other("disk on fire");
        let f = Failure::new("cannot read /x").because(io).help("buy water");
        assert_eq!(f.message(), "cannot read /x: disk on fire");
        assert_eq!(f.help_lines(), ["buy water"]);
        assert_eq!(f.body().hint.as_deref(), Some("buy water"));
    }
}
