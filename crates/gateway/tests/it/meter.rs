//! Counting, by properties: however a stream is cut into pieces the same is counted, and no bytes at all can make the
//! meter fail (A11).

use longhaul_gateway::meter::{Count, Dialect, Meter};
use proptest::prelude::*;

const MESSAGES: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"claude-x\",\"usage\":{\"input_tokens\":11,\"cache_creation_input_tokens\":5,\"cache_read_input_tokens\":3,\"output_tokens\":1}}}\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"the word \\\"usage\\\": 5 \u{e9}\u{1f600}\"}}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"},\"usage\":{\"output_tokens\":42}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
const RESPONSES: &str = "data: {\"type\":\"response.created\",\"response\":{\"usage\":null}}\r\n\r\ndata: {\"type\":\"response.completed\",\"response\":{\"model\":\"gpt-x\",\"output\":[{\"type\":\"function_call\"}],\"usage\":{\"input_tokens\":20,\"input_tokens_details\":{\"cached_tokens\":4},\"output_tokens\":7}}}\r\n\r\n";
const CHAT: &str = "data: {\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":null}\n\ndata: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";
const GENERATE: &str = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}],\"usageMetadata\":{\"promptTokenCount\":8}}\n\ndata: {\"candidates\":[{\"finishReason\":\"STOP\"}],\"modelVersion\":\"g\",\"usageMetadata\":{\"promptTokenCount\":8,\"cachedContentTokenCount\":2,\"candidatesTokenCount\":3,\"thoughtsTokenCount\":4}}\n\n";

const ALL: [(Dialect, &str, u64); 4] = [
    (Dialect::Messages, MESSAGES, 11 + 5 + 3 + 42),
    (Dialect::Responses, RESPONSES, 27),
    (Dialect::Chat, CHAT, 11),
    (Dialect::Generate, GENERATE, 8 + 3 + 4),
];

fn count(dialect: Dialect, parts: &[&[u8]], stream: bool) -> Count {
    let mut meter = Meter::new(dialect, stream);
    for part in parts {
        meter.push(part);
    }
    meter.finish(true)
}

#[test]
fn a11_each_language_is_counted_in_a_stream() {
    for (dialect, text, tokens) in ALL {
        let counted = count(dialect, &[text.as_bytes()], true);
        assert_eq!(counted.usage.tokens(), tokens, "{dialect:?}");
        assert!(counted.complete && counted.told, "{counted:?}");
    }
}

#[test]
fn a11_a_stream_that_breaks_off_counts_what_was_told_and_is_not_complete() {
    let cut = &MESSAGES.as_bytes()[..MESSAGES.find("event: message_delta").unwrap()];
    let counted = count(Dialect::Messages, &[cut], true);
    assert_eq!((counted.usage.tokens(), counted.complete), (20, false));
}

proptest! {
    #[test]
    fn any_split_of_a_stream_counts_the_same(
        which in 0..ALL.len(),
        cuts in proptest::collection::vec(0..2000_usize, 0..40),
    ) {
        let (dialect, text, _) = ALL[which];
        let text = text.as_bytes();
        let mut cuts: Vec<_> = cuts.into_iter().map(|c| c % text.len()).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let parts: Vec<_> = cuts.windows(2).map(|w| &text[w[0]..w[1]]).collect();
        prop_assert_eq!(count(dialect, &parts, true), count(dialect, &[text], true));
    }

    #[test]
    fn no_bytes_make_the_meter_fail(
        which in 0..ALL.len(),
        stream in any::<bool>(),
        bytes in proptest::collection::vec(any::<u8>(), 0..3000),
        at in any::<prop::sample::Index>(),
    ) {
        let (dialect, text, _) = ALL[which];
        let mut mixed = text.as_bytes().to_vec();
        let at = at.index(mixed.len());
        mixed.splice(at..at, bytes.iter().copied());
        let counted = count(dialect, &[&mixed], stream);
        prop_assert!(counted.usage.cost.is_none());
    }
}
