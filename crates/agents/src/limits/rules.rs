//! The sentences of the clients, one rule each, in the order of facts/limits.md §1a.

use std::sync::LazyLock;

use longhaul_core::limit::{LimitClass, LimitNotice};
use longhaul_core::time::UnixMs;
use regex_lite::Regex;

use super::SNIPPET_CHARS;
use super::reset::{ResetText, Zone};
use crate::text::{clean_text, snippet};

/// Whose words are read; the same words mean different things in different mouths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// Claude Code.
    Claude,
    /// Codex CLI.
    Codex,
    /// Gemini CLI.
    Gemini,
    /// OpenCode and clients of OpenAI-style services in general.
    OpenCode,
}

/// What a sentence means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The provider refused.
    Refused(LimitClass),
    /// A limit is near; nothing was refused, though the words "limit" and "resets" stand there (C10).
    Warning,
    /// The client waits and goes on by itself at the reset: leave it alone or stop it first (C5).
    WaitsByItself,
    /// A menu stands open and eats keystrokes (C6).
    Menu,
}

/// A sentence that was recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The rule of facts/limits.md that matched: `C4`, `X1`…
    pub rule: &'static str,
    /// What it means.
    pub meaning: Meaning,
    /// The window: `five_hour`, `seven_day`, `seven_day_opus`… or the client's own words.
    pub window: Option<String>,
    /// The reset as written, if the grammar knows it.
    pub reset: Option<ResetText>,
    /// What was seen.
    pub snippet: String,
}

impl Reading {
    /// As a notice before the time is known: only an absolute reset is filled in.
    #[must_use]
    pub fn early_notice(&self) -> Option<LimitNotice> {
        let mut notice = self.notice(UnixMs::default(), &Zone::default())?;
        notice.reset_at = match &self.reset {
            Some(ResetText::At(at)) if notice.class == LimitClass::Quota => Some(*at),
            _ => None,
        };
        Some(notice)
    }

    /// As a notice; `None` unless something was refused. `zone` is for times without one.
    #[must_use]
    pub fn notice(&self, now: UnixMs, zone: &Zone) -> Option<LimitNotice> {
        let Meaning::Refused(class) = self.meaning else {
            return None;
        };
        // Only a quota has a reset worth resting for; a throttle's seconds are the client's affair.
        let reset_at = match class {
            LimitClass::Quota => self
                .reset
                .as_ref()
                .and_then(|reset| reset.resolve(now, zone, self.window.as_deref())),
            LimitClass::Throttle
            | LimitClass::Overload
            | LimitClass::Billing
            | LimitClass::Auth => None,
        };
        Some(LimitNotice {
            class,
            reset_at,
            window: self.window.clone(),
            snippet: self.snippet.clone(),
        })
    }
}

/// Reads words of a client; `None` if no rule knows them. The first rule that matches decides: warnings
/// and overload come before the limit sentences, so that they veto them (A6, C8, C10).
#[must_use]
pub fn read(client: Client, text: &str) -> Option<Reading> {
    let text = clean_text(text);
    let rules = match client {
        Client::Claude => &*CLAUDE,
        Client::Codex => &*CODEX,
        Client::Gemini => &*GEMINI,
        Client::OpenCode => &*OPENCODE,
    };
    for rule in rules {
        let Some(found) = rule.pattern.captures(&text) else {
            continue;
        };
        let name = |key: &str| found.name(key).map(|m| m.as_str().trim());
        let words = name("window").unwrap_or_default();
        let meaning = if rule.id == "C4" && words.to_ascii_lowercase().contains("spend") {
            Meaning::Refused(LimitClass::Billing)
        } else {
            rule.meaning
        };
        let reset = match rule.reset {
            Reset::Written => name("reset").and_then(ResetText::parse),
            Reset::PacificMidnight => Some(ResetText::PacificMidnight),
        };
        let start = found.get(0).map_or(0, |m| m.start());
        return Some(Reading {
            rule: rule.id,
            meaning,
            window: rule
                .window
                .map(str::to_owned)
                .or_else(|| window_name(words)),
            reset,
            snippet: snippet(text.get(start..).unwrap_or(&text), SNIPPET_CHARS),
        });
    }
    None
}

/// What an HTTP status alone means (A5): a bare 429 is a throttle, never a quota.
#[must_use]
pub fn read_status(status: u64) -> Option<LimitClass> {
    match status {
        429 => Some(LimitClass::Throttle),
        401 | 403 => Some(LimitClass::Auth),
        402 => Some(LimitClass::Billing),
        408 | 500..=599 => Some(LimitClass::Overload),
        _ => None,
    }
}

/// The provider's name of a window that a client names in words.
fn window_name(words: &str) -> Option<String> {
    let lower = words.to_ascii_lowercase();
    let name = match lower.trim_end_matches(" limit") {
        "" | "limit" => return None,
        "session" | "5-hour" => "five_hour",
        "weekly" => "seven_day",
        "opus" | "opus weekly" => "seven_day_opus",
        "sonnet" | "sonnet weekly" => "seven_day_sonnet",
        other => return Some(snippet(other, 40)),
    };
    Some(name.to_owned())
}

enum Reset {
    /// The capture `reset`, if there is one.
    Written,
    PacificMidnight,
}

struct Rule {
    id: &'static str,
    pattern: Regex,
    meaning: Meaning,
    window: Option<&'static str>,
    reset: Reset,
}

fn rule(id: &'static str, meaning: Meaning, pattern: &str) -> Rule {
    Rule {
        id,
        pattern: Regex::new(pattern).expect("a constant pattern"),
        meaning,
        window: None,
        reset: Reset::Written,
    }
}

pub(super) const QUOTA: Meaning = Meaning::Refused(LimitClass::Quota);
pub(super) const THROTTLE: Meaning = Meaning::Refused(LimitClass::Throttle);
pub(super) const OVERLOAD: Meaning = Meaning::Refused(LimitClass::Overload);
pub(super) const BILLING: Meaning = Meaning::Refused(LimitClass::Billing);
pub(super) const AUTH: Meaning = Meaning::Refused(LimitClass::Auth);

static CLAUDE: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    vec![
        rule(
            "C10",
            Meaning::Warning,
            r"(?m)^\W*(?:You['’]ve used \d+%|Approaching |You['’]re now using|Now using)",
        ),
        rule(
            "C8",
            OVERLOAD,
            r"(?i)API Error: (?:Repeated )?5\d\d|Repeated 5\d\d|overloaded_error|\bapi_error\b|internal server error|is experiencing high load",
        ),
        rule("C7", THROTTLE, r"Server is temporarily limiting requests"),
        rule("C9b", BILLING, r"(?i)credit balance is too low"),
        rule(
            "C9a",
            AUTH,
            r"Invalid API key ·|OAuth token (?:revoked|has expired)|Please run /login|Invalid bearer token|authentication_error",
        ),
        rule(
            "C5",
            Meaning::WaitsByItself,
            r"[Uu]sage limit reached(?: again)? · continuing automatically (?:at )?(?P<reset>.+?) ·",
        ),
        rule(
            "C6",
            Meaning::Menu,
            r"❯ 1\. Stop and wait for limit to reset",
        ),
        rule(
            "C1",
            QUOTA,
            r"Claude AI usage limit reached\|(?P<reset>\d*)",
        ),
        rule(
            "C2",
            QUOTA,
            r"Claude (?:(?P<window>\w+) )?usage limit reached\.(?: Your limit will reset (?:at|on) (?P<reset>.+?)\.)?",
        ),
        rule("C3s", BILLING, r"Spending cap reached"),
        rule(
            "C3",
            QUOTA,
            r"(?P<window>5-hour|Session|Opus weekly|Weekly|Opus|Usage) limit (?:reached|resets)(?: ∙ resets)? ?(?P<reset>[^∙·\n]*)",
        ),
        rule(
            "C4",
            QUOTA,
            r"You['’]ve hit your (?P<window>[^·\n]+? limit|limit)(?:\s*$|(?: · resets (?P<reset>[^\n]+))?)",
        ),
        rule("C4e", BILLING, r"You['’]re out of (?:extra )?usage"),
        rule(
            "C7r",
            THROTTLE,
            r"API Error: Request rejected \(429\)|\brate_limit_error\b",
        ),
        rule(
            "net",
            OVERLOAD,
            r"(?i)^(?:API Error: )?(?:Request timed out|Connection error|Unable to connect|fetch failed)",
        ),
    ]
});

static CODEX: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    vec![
        rule(
            "X3b",
            BILLING,
            r"Quota exceeded\. Check your plan|workspace is out of credits|You hit your spend cap|insufficient_quota",
        ),
        rule(
            "X3o",
            OVERLOAD,
            r"We['’]re currently experiencing high demand|Selected model is at capacity|(?:unexpected|last) status:? 5\d\d",
        ),
        rule(
            "X1",
            QUOTA,
            r"You['’]ve hit your usage limit(?: for (?P<window>[^.\n]+?)\.)?(?:[^\n]*?[Tt]ry again (?:at (?P<reset>[^\n]+?)|later)\.?\s*$)",
        ),
        rule(
            "X1i",
            QUOTA,
            r"You['’]ve hit your usage limit[^\n]*?[Tt]ry again in (?P<reset>[^\n]+?)\.?\s*$",
        ),
        rule("X1n", QUOTA, r"You['’]ve hit your usage limit"),
        rule(
            "X2",
            THROTTLE,
            r"(?:unexpected|last) status:? 429|rate limit exceeded:|rate_limit_exceeded|Rate limit reached for",
        ),
        rule(
            "X401",
            AUTH,
            r"(?:unexpected|last) status:? 40[13]\b|invalid_api_key|Incorrect API key|[Nn]ot logged in|codex login|refresh token|Missing environment variable",
        ),
        rule("X402", BILLING, r"(?:unexpected|last) status:? 402\b"),
        rule(
            "net",
            OVERLOAD,
            r"stream disconnected before completion|stream closed before|error sending request|[Rr]equest timed out|[Cc]onnection (?:refused|reset|closed|failed)|idle timeout",
        ),
    ]
});

static GEMINI: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    vec![
        rule(
            "G5",
            OVERLOAD,
            r#"failed with status 5\d\d|"code":\s*5\d\d|\bstatus: 5\d\d|MODEL_CAPACITY_EXHAUSTED|model is overloaded|No capacity available"#,
        ),
        rule(
            "G1",
            QUOTA,
            r"Usage limit reached for (?P<window>[^\n]+?)\.(?:[\s\S]*?Access resets at (?P<reset>\d{1,2}:\d{2} [AP]M(?: \S+)?)\.?)?",
        ),
        Rule {
            window: Some("daily"),
            reset: Reset::PacificMidnight,
            ..rule(
                "G1d",
                QUOTA,
                r"exhausted your daily quota|reached your daily .*quota limit|TerminalQuotaError: You have exhausted your daily",
            )
        },
        rule(
            "G401",
            AUTH,
            r#""code":\s*40[13]\b|UNAUTHENTICATED|PERMISSION_DENIED|API_KEY_INVALID|API key not valid|set an Auth method|Invalid auth method"#,
        ),
        rule(
            "G429",
            THROTTLE,
            r#"RESOURCE_EXHAUSTED|"code":\s*429\b|\bstatus: 429|exceeded your current quota|Please wait and try again later"#,
        ),
        rule(
            "net",
            OVERLOAD,
            r"fetch failed|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENOTFOUND",
        ),
    ]
});

static OPENCODE: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    vec![
        rule(
            "O1b",
            BILLING,
            r"insufficient_quota|billing_error|(?i:credit balance is too low)",
        ),
        rule(
            "O1u",
            QUOTA,
            r#"usage_limit_reached(?:[\s\S]*?"resets_at":\s*(?P<reset>\d{10}))?"#,
        ),
        rule(
            "O1a",
            AUTH,
            r"invalid_api_key|authentication_error|ProviderAuthError|(?i:invalid api key)|Unauthorized",
        ),
        rule(
            "O1o",
            OVERLOAD,
            r"(?i)overloaded|service unavailable|bad gateway|internal server error|server_error",
        ),
        rule(
            "O1t",
            THROTTLE,
            r"(?i)rate_limit|rate limit|too many requests",
        ),
        rule(
            "net",
            OVERLOAD,
            r"(?i)unable to connect|ECONNREFUSED|ECONNRESET|timed? ?out|cannot connect to api|socket connection was closed",
        ),
    ]
});
