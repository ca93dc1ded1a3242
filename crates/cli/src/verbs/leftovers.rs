//! The plan of `pool gc` and `inbox gc`, shown or carried out.

use longhaul_api::{API_VERSION, ExitCode};

use super::size;
use crate::context::Context;
use crate::failure::Outcome;
use crate::janitor::{Goes, Janitor};
use crate::output::text::clean;
use crate::output::{self, palette};

/// Shows what goes; with `apply` throws it away. `verb` is the command that was called.
pub(super) fn run(
    context: &Context,
    janitor: &Janitor,
    goes: &[Goes],
    apply: bool,
    verb: &str,
) -> Outcome {
    let p = &context.printer;
    let (mut bytes, mut failed, mut json) = (0, Vec::new(), Vec::new());
    for one in goes {
        let removed = match apply.then(|| janitor.throw_away(one)) {
            None | Some(Ok(false)) => false,
            Some(Ok(true)) => true,
            Some(Err(failure)) => {
                failed.push(failure);
                false
            }
        };
        if removed || !apply {
            bytes += one.bytes;
        }
        json.push(serde_json::json!({
            "what": one.what, "because": one.why, "disk_bytes": one.bytes, "removed": removed,
        }));
        if !context.json {
            let left = if apply && !removed { "; left" } else { "" };
            p.line(&format!(
                "{} {}  {}  {}{left}",
                p.paint(palette::GOOD, "✓"),
                p.paint(palette::STRONG, &clean(&one.what)),
                p.paint(palette::FAINT, &size(one.bytes)),
                clean(&one.why),
            ))?;
        }
    }
    if context.json {
        p.json(&serde_json::json!({ "longhaul": API_VERSION, "kind": "leftovers", "data": { "applied": apply, "leftovers": json } }))?;
    } else if goes.is_empty() {
        p.line("nothing to remove")?;
    } else if apply {
        p.line(&format!("freed {}", size(bytes)))?;
    } else {
        p.line(&format!(
            "{} could be freed; `longhaul {verb} --apply` does, as the daemon does once a day",
            size(bytes)
        ))?;
    }
    // All but the last are shown here; the last one ends the program.
    let last = failed.pop();
    for failure in &failed {
        p.say(output::failure::render(failure, p.color_err()).trim_end());
    }
    last.map_or(Ok(ExitCode::Done), Err)
}
