//! What `stop`, `retry`, `approve`, `cancel`, `pause` and `resume` share: one order for some tasks,
//! and one line per task about what became of it.

use longhaul_api::{ExitCode, OrderRequest, OrderResponse, OrderVerb, OrderWord};

use crate::app::answer;
use crate::context::Context;
use crate::failure::Outcome;
use crate::output::palette;
use crate::output::text::clean;

/// The tasks of an order.
#[derive(Debug, clap::Args)]
pub(crate) struct Targets {
    /// Names, or ids as `ls` shows them or whole; `latest` is the newest task
    #[arg(required = true, value_name = "TASK")]
    pub(crate) tasks: Vec<String>,
}

/// An order without anything to it.
pub(crate) fn plain(order: OrderVerb, targets: &Targets) -> OrderRequest {
    OrderRequest {
        tasks: targets.tasks.clone(),
        order,
        note: None,
        add_budget_usd: None,
        add_tokens: None,
    }
}

/// Gives the order and says what became of it; ends with an error if any task refused.
pub(crate) fn give(context: &Context, request: &OrderRequest) -> Outcome {
    let client = context.daemon()?;
    let mut request = request.clone();
    if request.tasks.iter().any(|t| t == "latest") {
        let reads = context.reads()?;
        for task in &mut request.tasks {
            *task = reads.named(task)?;
        }
    }
    let response = client.order(&request)?;
    let code = worst(&response);
    answer(context, response, |response| {
        for r in &response.results {
            let (glyph, style) = match r.result {
                OrderWord::Done => ("✓", palette::GOOD),
                OrderWord::Already => ("=", palette::FAINT),
                OrderWord::Refused | OrderWord::NotFound => ("✕", palette::BAD),
            };
            context.printer.line(&format!(
                "{} {}  {}  {}",
                context.printer.paint(style, glyph),
                context.printer.paint(palette::STRONG, &clean(&r.name)),
                context.printer.paint(palette::FAINT, &r.id.short()),
                clean(&r.message)
            ))?;
        }
        Ok(())
    })?;
    Ok(code)
}

fn worst(response: &OrderResponse) -> ExitCode {
    let has = |word| response.results.iter().any(|r| r.result == word);
    if has(OrderWord::NotFound) {
        ExitCode::NotFound
    } else if has(OrderWord::Refused) {
        ExitCode::Conflict
    } else {
        ExitCode::Done
    }
}
