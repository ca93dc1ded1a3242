//! Streams, records and limit texts of agents.

use longhaul_agents::limits::{self, Client, ResetText, Zone};
use longhaul_agents::{
    AgentEvent, ClaudeTranscript, CodexRollout, CustomHarness, ExitStatusInfo, OutputFormat,
    ParserContext, RecordReader, Registry, StreamParser, TurnEnd, clean_text,
};
use longhaul_core::time::UnixMs;
use serde::Serialize;

use crate::mutate::Rng;

/// Within the hour in which the samples were taken.
const NOW: UnixMs = UnixMs(1_795_220_400_000);
/// No window that is believed is longer.
const LONGEST_WINDOW_MS: i64 = 62 * 24 * 3_600_000;

pub(super) const WORDS: &[&str] = &[
    "{\"type\":\"result\"}\n",
    "{\"type\":\"assistant\",\"message\":{",
    "\"usage\":{",
    "\"is_error\":true",
    "\"error\":{",
    "\"resetsAt\":",
    "\"session_id\":\"",
    "\"content\":[",
    "\"text\":\"",
    "Permission denied",
    "resets 3pm",
    "\"input_tokens\":18446744073709551615",
    "\"total_cost_usd\":1e300",
    "\"type\":\"turn.completed\"",
];
pub(super) const SCRIPT_STREAMS: &[&str] = &[
    "{\"type\":\"start\",\"conversation\":\"c1\"}\n{\"type\":\"text\",\"text\":\"hello\"}\n{\"type\":\"usage\",\"input\":5,\"output\":6,\"cost\":0.25}\n{\"type\":\"end\",\"ok\":true,\"text\":\"done\"}\n",
    "{\"type\":\"limit\",\"class\":\"quota\",\"reset_ms\":1795227168000}\n{\"type\":\"end\",\"ok\":false}\n",
];
pub(super) const LIMIT_WORDS: &[&str] = &[
    "You've hit your session limit · resets ",
    "2:12am (UTC)",
    "Nov 24, 11:55am (UTC)",
    "try again at ",
    "9:13 PM.",
    "in 5 days 2 hours",
    "Please retry in 33.6s",
    "(Europe/Berlin)",
    "GMT-3",
    "Feb 29th, 2027 12:00 AM",
    "weekly",
    "Spend",
];
pub(super) const LIMITS: &[&str] = &[
    "You've hit your session limit · resets 2:12am (UTC)",
    "Claude AI usage limit reached|1795227168",
    "5-hour limit reached ∙ resets 3pm",
    "You've hit your usage limit. Upgrade to Pro or try again at Nov 25th, 2026 9:13 PM.",
    "You've hit your usage limit. Try again in 5 days 2 hours 3 minutes.",
    "Your quota will reset after 13h20m3s.",
    "API Error: Request rejected (429) · rate_limit_error",
    "3pm (America/New_York)",
    "12:30 AM",
    "1.5 hours",
];

/// Everything that an attempt's output comes to.
struct Read {
    events: Vec<AgentEvent>,
    end: TurnEnd,
    text: String,
}

/// A stream of this harness: any split gives the same events; they are clean and bounded.
pub(super) fn stream(harness: &str, data: &[u8]) {
    let mut rng = Rng::of(data);
    let errors = if rng.below(2) == 0 {
        data
    } else {
        &data[..rng.below(data.len() + 1)]
    };
    let exit = match rng.below(4) {
        0 => ExitStatusInfo::signalled(9),
        1 => ExitStatusInfo::exited(1),
        _ => ExitStatusInfo::exited(0),
    };
    let whole = read(harness, &[data], &[errors], exit);
    let split = read(
        harness,
        &pieces(&mut rng, data),
        &pieces(&mut rng, errors),
        exit,
    );
    assert_eq!(whole.text, split.text, "split");
    let said = data.len() + errors.len();
    assert!(
        whole.text.len() <= 64 * said + (64 << 10),
        "{} bytes of {said}",
        whole.text.len()
    );
    for event in &whole.events {
        clean(event);
    }
    clean(&whole.end);
}

fn read(harness: &str, out: &[&[u8]], err: &[&[u8]], exit: ExitStatusInfo) -> Read {
    let mut parser = parser(harness);
    let mut events = Vec::new();
    for piece in err {
        parser.push_stderr(piece, &mut events);
    }
    for piece in out {
        parser.push(piece, &mut events);
    }
    let end = parser.finish(exit, NOW, &mut events);
    let seen = (&events, &end, parser.usage(), parser.conversation_usage());
    let text = serde_json::to_string(&seen).expect("events can be written");
    Read { events, end, text }
}

fn parser(harness: &str) -> Box<dyn StreamParser> {
    let mine = CustomHarness {
        name: "mine".to_owned(),
        program: Some("mine".to_owned()),
        output: OutputFormat::Text,
        ..CustomHarness::default()
    };
    let registry = Registry::with_custom(vec![mine]).expect("sound");
    let harness = registry.resolve(harness).expect("known");
    harness.parser(&ParserContext::default())
}

fn pieces<'d>(rng: &mut Rng, mut data: &'d [u8]) -> Vec<&'d [u8]> {
    let longest = [1, 7, 200, 5000][rng.below(4)];
    let mut pieces = Vec::new();
    // A piece for each byte of a long input takes long and shows nothing more.
    while !data.is_empty() && pieces.len() < 2000 {
        let (piece, rest) = data.split_at(1 + rng.below(longest.min(data.len())));
        pieces.push(piece);
        data = rest;
    }
    pieces.push(data);
    pieces
}

/// No text of it can do anything to a terminal (T31).
fn clean(value: &impl Serialize) {
    fn look(value: &serde_json::Value) {
        match value {
            serde_json::Value::String(text) => assert_eq!(clean_text(text), *text, "T31"),
            serde_json::Value::Array(items) => items.iter().for_each(look),
            serde_json::Value::Object(map) => map.values().for_each(look),
            _ => {}
        }
    }
    look(&serde_json::to_value(value).expect("it can be written"));
}

/// The files in which agents keep conversations: any split tells of the same spending.
pub(super) fn record(data: &[u8]) {
    let mut rng = Rng::of(data);
    let pieces = pieces(&mut rng, data);
    let zone = Zone::default();
    let claude = |pieces: &[&[u8]]| {
        let mut reader = ClaudeTranscript::default();
        let spent = spent(&mut reader, pieces);
        let seen = (reader.usage(), reader.entries(), reader.refusal(NOW, &zone));
        format!(
            "{spent:?} {seen:?} {:?} {:?} {:?}",
            reader.conversation(),
            reader.model(),
            reader.mode()
        )
    };
    assert_eq!(claude(&[data]), claude(&pieces));
    let codex = |pieces: &[&[u8]]| {
        let mut reader = CodexRollout::default();
        let spent = spent(&mut reader, pieces);
        let seen = (
            reader.conversation_usage(),
            reader.entries(),
            reader.refusal(NOW, &zone),
        );
        let texts = (
            reader.conversation(),
            reader.version(),
            reader.mode(),
            reader.model(),
        );
        format!("{spent:?} {seen:?} {texts:?} {:?}", reader.windows())
    };
    assert_eq!(codex(&[data]), codex(&pieces));
}

fn spent(reader: &mut impl RecordReader, pieces: &[&[u8]]) -> Vec<longhaul_agents::Spent> {
    let mut spent = Vec::new();
    for piece in pieces {
        reader.push(piece, &mut spent);
    }
    reader.finish(&mut spent);
    spent
}

/// Words of a refused agent: a reset only where it can be believed, never longer than any window.
pub(super) fn limit_text(data: &[u8]) {
    // No client's words are longer in practice, and longer ones show nothing more here.
    let text = String::from_utf8_lossy(&data[..data.len().min(2000)]);
    let names = [
        None,
        Some("Europe/Berlin"),
        Some("Pacific/Apia"),
        Some("nowhere"),
    ];
    let zones = names.map(Zone::named);
    for client in [
        Client::Claude,
        Client::Codex,
        Client::Gemini,
        Client::OpenCode,
    ] {
        let reading = limits::read(client, &text);
        let notices = zones
            .iter()
            .filter_map(|zone| reading.as_ref()?.notice(NOW, zone));
        for notice in notices {
            assert!(notice.snippet.chars().count() <= limits::SNIPPET_CHARS);
            assert_eq!(clean_text(&notice.snippet), notice.snippet, "T31");
            believed(notice.reset_at);
        }
    }
    let Some(reset) = ResetText::parse(text.lines().next().unwrap_or_default()) else {
        return;
    };
    for zone in &zones {
        for window in [None, Some("five_hour"), Some("seven_day_opus"), Some("x")] {
            believed(reset.resolve(NOW, zone, window));
            // Clocks that are far off: no panic.
            for now in [0, i64::MIN, i64::MAX, 253_402_300_799_999] {
                let _at = reset.resolve(UnixMs(now), zone, window);
            }
        }
    }
}

fn believed(reset: Option<UnixMs>) {
    if let Some(at) = reset {
        assert!(at.0 <= NOW.0 + LONGEST_WINDOW_MS, "{at:?}");
    }
}
