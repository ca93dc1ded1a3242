//! Any bytes in any pieces: the same events, no panic.

use longhaul_agents::{
    AgentEvent, ClaudeTranscript, CodexRollout, CustomHarness, ExitStatusInfo, OutputFormat,
    ParserContext, RecordReader as _, Registry, StreamParser, clean_text,
};
use proptest::prelude::*;

use crate::world::{NOW, Recorded};

fn parsers() -> Vec<Box<dyn StreamParser>> {
    let text = CustomHarness {
        name: "mine".to_owned(),
        program: Some("mine".to_owned()),
        output: OutputFormat::Text,
        ..CustomHarness::default()
    };
    let registry = Registry::with_custom(vec![text]).expect("sound");
    registry
        .iter()
        .map(|harness| harness.parser(&ParserContext::default()))
        .collect()
}

#[test]
fn every_sample_reads_the_same_in_pieces_of_any_size() {
    for sample in Recorded::all() {
        let whole = sample.read().render();
        for size in [1, 7, 64, 4096] {
            let pieces = sample.read_in_pieces(&ParserContext::default(), size);
            assert_eq!(
                pieces.render(),
                whole,
                "{} in pieces of {size}",
                sample.name
            );
        }
    }
}

/// A stream of one agent is only noise to another's parser.
#[test]
fn a_foreign_stream_ends_no_turn_well() {
    for sample in Recorded::all() {
        for (mut parser, harness) in parsers()
            .into_iter()
            .zip(["claude", "codex", "opencode", "gemini", "script"])
        {
            if harness == sample.harness {
                continue;
            }
            let mut events = Vec::new();
            parser.push(&sample.stdout, &mut events);
            let end = parser.finish(ExitStatusInfo::exited(0), NOW, &mut events);
            // `result`, `error` and the like exist in several agents' streams.
            if let longhaul_agents::TurnOutcome::Completed { .. } = end.outcome {
                panic!("{harness} took {} for a finished turn", sample.name);
            }
        }
    }
}

/// JSON that looks like events, with fields of wrong types and text that bites.
fn eventish() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![
        Just("system"),
        Just("assistant"),
        Just("user"),
        Just("result"),
        Just("rate_limit_event"),
        Just("thread.started"),
        Just("turn.completed"),
        Just("turn.failed"),
        Just("error"),
        Just("item.completed"),
        Just("init"),
        Just("message"),
        Just("tool_use"),
        Just("tool_result"),
        Just("step_finish"),
        Just("text"),
        Just("start"),
        Just("end"),
        Just("limit"),
        Just("usage"),
    ];
    let key = prop_oneof![
        Just("message"),
        Just("result"),
        Just("usage"),
        Just("error"),
        Just("item"),
        Just("part"),
        Just("content"),
        Just("rate_limit_info"),
        Just("modelUsage"),
        Just("stats"),
        Just("status"),
        Just("subtype"),
        Just("session_id"),
        Just("is_error"),
        Just("text"),
        Just("ok"),
        Just("class"),
        Just("resetsAt"),
        Just("input_tokens"),
        Just("total_cost_usd"),
        Just("errors"),
        Just("type"),
    ];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("[]".to_owned()),
        Just("{}".to_owned()),
        Just("-1".to_owned()),
        Just("1e308".to_owned()),
        Just("18446744073709551615".to_owned()),
        Just("9223372036854775807".to_owned()),
        Just("\"You've hit your session limit · resets 13:99pm (X/Y)\"".to_owned()),
        Just("\"try again at Feb 31st, 9999 9:13 PM.\"".to_owned()),
        Just("\"\\u001b[2J\\u0000rejected\"".to_owned()),
        any::<String>().prop_map(|s| serde_json::to_string(&s).expect("a string")),
    ];
    let fields = prop::collection::vec((key, leaf), 0..6).prop_map(|pairs| {
        let pairs: Vec<String> = pairs.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
        pairs.join(",")
    });
    (kind, fields.clone(), fields).prop_map(|(kind, outer, inner)| {
        let comma = if outer.is_empty() { "" } else { "," };
        format!("{{\"type\":\"{kind}\",\"item\":{{{inner}}},\"message\":{{{inner}}},\"error\":{{{inner}}},\"rate_limit_info\":{{{inner}}}{comma}{outer}}}\n")
            .into_bytes()
    })
}

fn noise() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => eventish(),
        2 => prop::collection::vec(any::<u8>(), 0..60),
        1 => Just(b"\n".to_vec()),
        1 => Just(b"\r\n".to_vec()),
        1 => Just(vec![b'['; 300]),
        1 => Just(b"\xff\xfe{\"type\":\"result\"}\n".to_vec()),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn texts(event: &AgentEvent) -> String {
    // Serialised strings hold controls as escapes: read them back.
    fn collect(value: &serde_json::Value, out: &mut String) {
        match value {
            serde_json::Value::String(s) => out.push_str(s),
            serde_json::Value::Array(items) => items.iter().for_each(|v| collect(v, out)),
            serde_json::Value::Object(map) => map.values().for_each(|v| collect(v, out)),
            _ => {}
        }
    }
    let mut out = String::new();
    collect(&serde_json::to_value(event).expect("serialises"), &mut out);
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn noise_never_panics_splits_the_same_and_comes_out_clean(
        bytes in noise(), stderr in noise(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        code in prop::option::of(-1_i32..300),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|i| i.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        let exit = ExitStatusInfo { code, signal: None };
        for (mut whole, mut split) in parsers().into_iter().zip(parsers()) {
            let (mut a, mut b) = (Vec::new(), Vec::new());
            whole.push_stderr(&stderr, &mut a);
            whole.push(&bytes, &mut a);
            for piece in stderr.chunks(3) {
                split.push_stderr(piece, &mut b);
            }
            let mut from = 0;
            for cut in &cuts {
                split.push(&bytes[from..*cut], &mut b);
                from = *cut;
            }
            split.push(&bytes[from..], &mut b);
            let ends = (whole.finish(exit, NOW, &mut a), split.finish(exit, NOW, &mut b));
            prop_assert_eq!(&ends.0, &ends.1);
            prop_assert_eq!(whole.usage(), split.usage());
            let text = |e: &Vec<AgentEvent>| serde_json::to_string(e).expect("serialises");
            prop_assert_eq!(text(&a), text(&b));
            for event in &a {
                let said = texts(event);
                prop_assert_eq!(clean_text(&said), said, "T31");
            }
        }
    }

    #[test]
    fn transcripts_of_any_bytes_never_panic(bytes in noise()) {
        let mut claude = ClaudeTranscript::default();
        claude.push(&bytes, &mut Vec::new());
        let mut codex = CodexRollout::default();
        codex.push(&bytes, &mut Vec::new());
        let zone = longhaul_agents::limits::Zone::default();
        let seen = (claude.usage(), claude.refusal(NOW, &zone), codex.conversation_usage(), codex.refusal(NOW, &zone));
        prop_assert!(seen.0.cost.is_none());
    }
}
