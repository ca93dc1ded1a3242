//! What every recorded stream means.

use longhaul_agents::{AgentEvent, ParserContext, TurnOutcome};
use longhaul_core::limit::LimitClass;
use longhaul_core::usage::{MicroUsd, Usage};

use crate::world::Recorded;

/// The outcome of each sample, to be read beside facts/agents.md §2, §3 and §5.
#[test]
fn t13_a5_the_end_of_every_recorded_turn() {
    let table: Vec<String> = Recorded::all()
        .iter()
        .map(|sample| format!("{:<46} {}", sample.name, sample.read().outcome()))
        .collect();
    insta::assert_snapshot!("ends", table.join("\n"));
}

/// All events, ends and usage, a snapshot per sample.
#[test]
fn every_event_of_every_recorded_stream() {
    let mut settings = insta::Settings::clone_current();
    settings.set_omit_expression(true);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_snapshot_path("snapshots/samples");
    settings.bind(|| {
        for sample in Recorded::all() {
            let name = sample.name.trim_end_matches(".jsonl").replace('/', "__");
            insta::assert_snapshot!(name, sample.read().render());
        }
    });
}

#[test]
fn a_zero_exit_alone_never_proves_a_finished_turn() {
    for file in [
        "claude/sigINT-modelwait.stream.jsonl",
        "claude/sigTERM-modelwait.stream.jsonl",
    ] {
        let mut sample = Recorded::load(file);
        sample.exit = longhaul_agents::ExitStatusInfo::exited(0);
        let end = sample.read().end.outcome;
        assert!(
            matches!(end, TurnOutcome::NoTerminalEvent { .. }),
            "{file}: {end:?}"
        );
    }
    // A stream that is cut anywhere before its terminal event.
    for file in [
        "claude/ok.stream.jsonl",
        "codex/ok.jsonl",
        "gemini/ok.stream.jsonl",
        "opencode/ok.jsonl",
    ] {
        let mut sample = Recorded::load(file);
        let trimmed = sample.stdout.trim_ascii_end();
        let last = trimmed.iter().rposition(|&b| b == b'\n').expect("lines");
        sample.stdout.truncate(last + 20);
        let end = sample.read().end.outcome;
        assert!(
            matches!(end, TurnOutcome::NoTerminalEvent { .. }),
            "{file}: {end:?}"
        );
    }
}

#[test]
fn a_last_line_without_its_line_feed_counts_if_it_is_whole() {
    let mut sample = Recorded::load("claude/ok.stream.jsonl");
    sample.stdout = sample.stdout.trim_ascii_end().to_vec();
    assert_eq!(
        sample.read().outcome(),
        "completed: All done, hello.txt is written."
    );
}

#[test]
fn t23_the_effective_mode_is_read_back() {
    let read = Recorded::load("claude/plan-denied.stream.jsonl").read();
    let mode = read.events.iter().find_map(|event| match event {
        AgentEvent::Started { mode, .. } => mode.clone(),
        _ => None,
    });
    assert_eq!(mode.as_deref(), Some("plan"));
    let tools: Vec<&str> = read.end.denials.iter().map(|d| d.tool.as_str()).collect();
    assert_eq!(tools, ["Bash", "Write"]);
}

#[test]
fn t27_denials_are_told_whatever_the_exit_says() {
    for (file, tool) in [
        ("hooks/pre-deny.stream.jsonl", "Bash"),
        ("gemini/denied-policy.stream.jsonl", "run_shell_command"),
        ("gemini/denied-no-shell.stream.jsonl", "run_shell_command"),
        ("opencode/denied.jsonl", "write"),
        ("opencode/plan-no-shell.jsonl", "bash"),
        ("opencode/plan-denied.jsonl", "write"),
    ] {
        let sample = Recorded::load(file);
        assert!(sample.exit.is_zero(), "{file}");
        let denials = sample.read().end.denials;
        assert!(!denials.is_empty(), "{file}");
        assert_eq!(denials[0].tool, tool, "{file}");
    }
}

#[test]
fn t27_logged_out_and_out_of_credit_are_told_apart_from_failures() {
    for (file, outcome) in [
        ("claude/logged-out.stream.jsonl", "limited auth"),
        ("claude/bad-key.stream.jsonl", "limited auth"),
        ("claude/no-credit.stream.jsonl", "limited billing"),
        ("codex/no-key.jsonl", "limited auth"),
        ("gemini/no-auth.stream.jsonl", "limited auth"),
    ] {
        assert_eq!(Recorded::load(file).read().outcome(), outcome, "{file}");
    }
}

/// facts/limits.md J1: quota only with a reset; the epoch, not the text, is the reset.
#[test]
fn j1_a_quota_needs_a_reset_and_a_bare_429_is_a_throttle() {
    let end = Recorded::load("claude/err-unified-oauth.stream.jsonl")
        .read()
        .end
        .outcome;
    let TurnOutcome::Limited(notice) = end else {
        panic!("{end:?}");
    };
    assert_eq!(notice.class, LimitClass::Quota);
    assert_eq!(notice.reset_at.map(|at| at.0), Some(1_795_227_168_000));

    let mut bare = Recorded::load("claude/err-unified-oauth.stream.jsonl");
    let text = String::from_utf8(bare.stdout).expect("utf-8");
    bare.stdout = text
        .replace("\"resetsAt\":1795227168,", "")
        .replace(
            "You've hit your session limit · resets 2:12am (UTC)",
            "API Error: Request rejected (429) · x",
        )
        .into_bytes();
    assert_eq!(bare.read().outcome(), "limited throttle five_hour");
}

/// The reset of a text has no zone: it is read in the session's.
#[test]
fn x1_a_zoneless_reset_is_read_in_the_sessions_zone() {
    let sample = Recorded::load("codex/err-usage.jsonl");
    let reset = |zone: &str| {
        let context = ParserContext {
            time_zone: Some(zone.to_owned()),
            ..ParserContext::default()
        };
        match sample.read_in_pieces(&context, usize::MAX).end.outcome {
            TurnOutcome::Limited(notice) => notice.reset_at.map(|at| at.0 / 1000),
            other => panic!("{other:?}"),
        }
    };
    // 2:18 AM: UTC on the 21st, and 2:18 AM in Berlin an hour earlier.
    assert_eq!(reset("UTC"), Some(1_795_227_480));
    assert_eq!(reset("Europe/Berlin"), Some(1_795_227_480 - 3600));
}

/// T13: codex counts over the thread, resumes included.
#[test]
fn t13_codex_usage_is_what_the_thread_has_beyond_its_baseline() {
    let sample = Recorded::load("codex/resumed.jsonl");
    let baseline = Usage {
        input: 2100,
        output: 150,
        cache_read: 900,
        ..Usage::default()
    };
    let read = sample.read_in_pieces(
        &ParserContext {
            baseline,
            ..ParserContext::default()
        },
        usize::MAX,
    );
    assert_eq!(
        read.usage,
        Usage {
            input: 700,
            output: 50,
            cache_read: 300,
            ..Usage::default()
        }
    );
    assert_eq!(read.conversation_usage.map(|u| u.input), Some(2800));
    // A turn that was killed said nothing: the baseline of the next attempt is unchanged.
    let killed = Recorded::load("codex/sigKILL-tool.jsonl").read_in_pieces(
        &ParserContext {
            baseline,
            ..ParserContext::default()
        },
        usize::MAX,
    );
    assert_eq!(
        (killed.usage, killed.conversation_usage),
        (Usage::default(), Some(baseline))
    );
}

/// T13: each message once, results cumulative in a process, zeros of `usage` not believed.
#[test]
fn t13_claude_usage() {
    let usage = |file: &str| Recorded::load(file).read().usage;
    let calls = |n: u64, cost| Usage {
        input: 1000 * n,
        output: 50 * n,
        cache_read: 300 * n,
        cache_write: 200 * n,
        cost: Some(MicroUsd(cost)),
    };
    assert_eq!(usage("claude/ok.stream.jsonl"), calls(2, 15_300));
    assert_eq!(usage("claude/stream-input.jsonl"), calls(2, 15_300));
    assert_eq!(usage("claude/err-cut.stream.jsonl"), calls(1, 7_650));
    assert_eq!(
        usage("claude/max-budget.stream.jsonl").cost,
        Some(MicroUsd(1_501_400))
    );
    // Killed: what was sent is known, what it cost is not.
    let killed = usage("claude/sigKILL.stream.jsonl");
    assert_eq!((killed.input, killed.cost), (1000, None));
}

#[test]
fn t13_gemini_and_opencode_usage() {
    let usage = |file: &str| Recorded::load(file).read().usage;
    let gemini = usage("gemini/ok.stream.jsonl");
    assert_eq!(
        (gemini.input, gemini.cache_read, gemini.output, gemini.cost),
        (2100, 900, 180, None)
    );
    let opencode = usage("opencode/ok.jsonl");
    assert_eq!(opencode.cost, Some(MicroUsd(1960)));
    assert_eq!(
        (opencode.input, opencode.cache_read, opencode.output),
        (1400, 600, 100)
    );
}

/// Retries are progress, not ends, and their class is known.
#[test]
fn a5_waits_of_the_agent_itself_are_told() {
    let retries = |file: &str| -> Vec<(LimitClass, Option<u64>, Option<u32>)> {
        let events = Recorded::load(file).read().events;
        events
            .iter()
            .filter_map(|event| match event {
                AgentEvent::Retrying {
                    class,
                    delay_ms,
                    attempt,
                } => Some((*class, *delay_ms, *attempt)),
                _ => None,
            })
            .collect()
    };
    assert_eq!(
        retries("claude/err-429r2.stream.jsonl"),
        [
            (LimitClass::Throttle, Some(1000), Some(1)),
            (LimitClass::Throttle, Some(1172), Some(2))
        ]
    );
    assert_eq!(
        retries("codex/err-failed.jsonl"),
        [(LimitClass::Throttle, Some(2000), Some(1))]
    );
    assert_eq!(
        retries("codex/err-401.jsonl")[4],
        (LimitClass::Auth, None, Some(5))
    );
    assert_eq!(
        retries("codex/err-cut.jsonl"),
        [(LimitClass::Overload, None, Some(1))]
    );
    assert_eq!(
        retries("limits/gemini-g429.jsonl")[4],
        (LimitClass::Throttle, Some(33_639), Some(5))
    );
    assert_eq!(
        retries("limits/gemini-g503.jsonl")[0],
        (LimitClass::Overload, None, Some(1))
    );
    assert_eq!(retries("opencode/retrying.jsonl").len(), 2);
}

#[test]
fn a_near_limit_is_a_warning_only() {
    let read = Recorded::load("claude/warn-unified-oauth.stream.jsonl").read();
    let warned = read.events.iter().any(|event| {
        matches!(event, AgentEvent::LimitWarning { utilization: Some(u), window: Some(w), reset_at: Some(_) }
            if (*u - 0.93).abs() < 1e-9 && w == "five_hour")
    });
    assert!(warned);
    assert!(
        !read
            .events
            .iter()
            .any(|e| matches!(e, AgentEvent::Limit(_)))
    );
    assert_eq!(read.outcome(), "completed: ok");
}
