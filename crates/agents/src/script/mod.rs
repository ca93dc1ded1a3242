//! The built-in `script` harness: Longhaul's own executable plays a task's prompt as a script.

mod stream;

/// The hidden verb of Longhaul's executable that plays a script.
pub const VERB: &str = "__script";

use crate::capabilities::{Capabilities, SpendingSeen, permissions};
use crate::launch::{LaunchPlan, LaunchRefusal, LaunchRequest, PlacedFile, value};

pub(crate) use stream::ScriptStream;

const SCRIPT_FILE: &str = "script.txt";

pub(crate) fn capabilities() -> Capabilities {
    Capabilities {
        resume: true,
        chooses_conversation_id: true,
        stream: true,
        cost_known: true,
        spending_seen: SpendingSeen::EachCall,
        silent_retries: false,
        mode_reported: true,
        permissions: permissions([
            ("edits", "does what its script says"),
            ("plan", "does what its script says"),
            ("bypass", "does what its script says"),
        ]),
        ..Capabilities::least()
    }
}

/// `longhaul __script --script FILE --attempt N --mode MODE (--resume|--conversation) ID`, the composed
/// prompt on stdin.
pub(crate) fn launch(request: &LaunchRequest) -> Result<LaunchPlan, LaunchRefusal> {
    let mut argv = vec![
        request.longhaul.to_string(),
        VERB.to_owned(),
        "--script".to_owned(),
        request.bundle_dir.join(SCRIPT_FILE).into_string(),
        "--attempt".to_owned(),
        request.attempt.to_string(),
        "--mode".to_owned(),
        request.options.permission.as_str().to_owned(),
    ];
    let (flag, conversation) = match request.sound_resume()? {
        Some(id) => ("--resume", id),
        None => (
            "--conversation",
            value("conversation", &request.fresh_conversation)?,
        ),
    };
    argv.extend([flag.to_owned(), conversation.to_owned()]);
    Ok(LaunchPlan {
        argv,
        stdin: request.prompt.clone().into_bytes(),
        files: vec![PlacedFile {
            name: SCRIPT_FILE.to_owned(),
            bytes: request.original_prompt.clone().into_bytes(),
        }],
        conversation: Some(conversation.to_owned()),
        expected_mode: Some(request.options.permission.as_str().to_owned()),
        ..LaunchPlan::default()
    })
}
