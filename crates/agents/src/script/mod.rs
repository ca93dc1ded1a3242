//! The built-in `script` harness: Longhaul's own executable plays a task's prompt as a script.

mod stream;

use longhaul_core::spec::Permission;

use crate::capabilities::{Capabilities, SpendingSeen, permissions};
use crate::launch::{LaunchPlan, LaunchRefusal, LaunchRequest, PlacedFile};

pub(crate) use stream::ScriptStream;

const SCRIPT_FILE: &str = "script.txt";

pub(crate) fn capabilities() -> Capabilities {
    Capabilities {
        resume: true,
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

/// `longhaul __script --script FILE --attempt N [--resume ID]`, the composed prompt on stdin.
pub(crate) fn launch(request: &LaunchRequest) -> Result<LaunchPlan, LaunchRefusal> {
    let mut argv = vec![
        request.longhaul.to_string(),
        "__script".to_owned(),
        "--script".to_owned(),
        request.bundle_dir.join(SCRIPT_FILE).into_string(),
        "--attempt".to_owned(),
        request.attempt.to_string(),
    ];
    let resume = request.sound_resume()?.map(str::to_owned);
    if let Some(id) = &resume {
        argv.extend(["--resume".to_owned(), id.clone()]);
    }
    Ok(LaunchPlan {
        argv,
        stdin: request.prompt.clone().into_bytes(),
        files: vec![PlacedFile {
            name: SCRIPT_FILE.to_owned(),
            bytes: request.original_prompt.clone().into_bytes(),
        }],
        conversation: resume,
        // The player is not told the mode and reports `edits`; a script that says otherwise is a
        // rehearsal of a mismatch.
        expected_mode: (request.options.permission == Permission::Edits)
            .then(|| "edits".to_owned()),
        ..LaunchPlan::default()
    })
}
