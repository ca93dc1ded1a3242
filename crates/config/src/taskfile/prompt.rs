//! A task's prompt: from its key or its file, whole, never empty.

use camino::Utf8Path;

use super::context::PromptFiles;
use super::values::Values;
use super::{MAX_PROMPT_FILE_BYTES, MAX_PROMPTS_BYTES};
use crate::diag::{Finding, Located, Sink, Site, quoted};
use crate::files::ReadError;

/// Reads prompts, counting what they take together (I16).
#[derive(Debug)]
pub(super) struct Prompts {
    left: usize,
}

impl Prompts {
    /// With room for the prompts of one file.
    pub(super) const fn new() -> Self {
        Self {
            left: MAX_PROMPTS_BYTES,
        }
    }

    /// The prompt of one task; `site` is where to complain that there is none.
    pub(super) fn read(
        &mut self,
        values: &Values,
        site: &Site,
        folder: &Utf8Path,
        files: &dyn PromptFiles,
        sink: &mut Sink,
    ) -> Option<String> {
        let prompt = match (&values.prompt, &values.prompt_file) {
            (Some(text), Some(file)) => {
                let message = "both `prompt` and `prompt_file` are given";
                let finding = Finding::error(&file.site, message)
                    .key("prompt_file")
                    .also(&text.site, "the prompt is here")
                    .help("keep one of them");
                sink.push(finding);
                return None;
            }
            // Nothing is copied or read that cannot be kept.
            (Some(text), None) if text.value.len() <= self.left => text.clone(),
            (None, Some(file)) if self.left > 0 => file_text(file, folder, files, sink)?,
            (Some(given), None) | (None, Some(given)) => {
                self.full(&given.site, sink);
                return None;
            }
            (None, None) => {
                if !values.prompt_refused {
                    let message = "the task has no prompt";
                    let help = match site {
                        Site::Named(_) => "add `--prompt TEXT` or `--prompt-file PATH`",
                        Site::Span(_) => {
                            "add `prompt = \"what is wanted\"` or `prompt_file = \"path\"`"
                        }
                    };
                    sink.push(Finding::error(site, message).key("prompt").help(help));
                }
                return None;
            }
        };
        if prompt.value.trim().is_empty() {
            sink.push(Finding::error(&prompt.site, "the prompt is empty").key("prompt"));
            return None;
        }
        match self.left.checked_sub(prompt.value.len()) {
            Some(left) => self.left = left,
            None => {
                self.full(&prompt.site, sink);
                return None;
            }
        }
        Some(prompt.value)
    }

    fn full(&mut self, site: &Site, sink: &mut Sink) {
        self.left = 0;
        let message = format!("the prompts of this file exceed {MAX_PROMPTS_BYTES} bytes");
        sink.push(Finding::error(site, message).key("prompt"));
    }
}

fn file_text(
    file: &Located<String>,
    folder: &Utf8Path,
    files: &dyn PromptFiles,
    sink: &mut Sink,
) -> Option<Located<String>> {
    let shown = quoted(&file.value);
    let mut refuse = |problem: &str| {
        let message = format!("prompt file {shown} {problem}");
        sink.push(Finding::error(&file.site, message).key("prompt_file"));
        None
    };
    let bytes = match files.read(&folder.join(&file.value)) {
        Ok(bytes) => bytes,
        Err(ReadError::Io { source, .. }) => return refuse(&format!("cannot be read: {source}")),
        Err(error) => return refuse(&error.to_string()),
    };
    if bytes.len() as u64 > MAX_PROMPT_FILE_BYTES {
        return refuse(&format!("is larger than {MAX_PROMPT_FILE_BYTES} bytes"));
    }
    match String::from_utf8(bytes) {
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            refuse(&format!("is not UTF-8 (byte {at})"))
        }
        Ok(text) if text.contains('\0') => refuse("contains a NUL character"),
        Ok(text) => Some(Located {
            value: text.trim_start_matches('\u{feff}').to_owned(),
            site: file.site.clone(),
        }),
    }
}
