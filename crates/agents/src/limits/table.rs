//! The key table of facts/limits.md §1a as a test, with sentences that are traps.

use longhaul_core::limit::LimitClass;
use longhaul_core::time::UnixMs;

use super::rules::{AUTH, BILLING, OVERLOAD, QUOTA, THROTTLE};
use super::*;

fn meaning(client: Client, text: &str) -> Option<(&'static str, Meaning)> {
    read(client, text).map(|r| (r.rule, r.meaning))
}

#[test]
fn key_table_of_claude() {
    use Meaning::{Menu, WaitsByItself, Warning};
    for (text, rule, want, window, has_reset) in [
        (
            "Claude AI usage limit reached|1749924000",
            "C1",
            QUOTA,
            None,
            true,
        ),
        ("Claude AI usage limit reached|0", "C1", QUOTA, None, false),
        ("Claude AI usage limit reached|", "C1", QUOTA, None, false),
        (
            "Claude usage limit reached. Your limit will reset at 3pm.",
            "C2",
            QUOTA,
            None,
            true,
        ),
        (
            "Claude Max usage limit reached. Your limit will reset at 3pm (America/New_York).",
            "C2",
            QUOTA,
            Some("max"),
            true,
        ),
        (
            "Claude weekly usage limit reached. Your limit will reset on Mon (Europe/Berlin).",
            "C2",
            QUOTA,
            Some("seven_day"),
            false,
        ),
        (
            "5-hour limit reached ∙ resets 3pm",
            "C3",
            QUOTA,
            Some("five_hour"),
            true,
        ),
        (
            "Session limit reached ∙ resets 3pm",
            "C3",
            QUOTA,
            Some("five_hour"),
            true,
        ),
        (
            "Weekly limit reached ∙ resets Nov 24, 3pm (UTC)",
            "C3",
            QUOTA,
            Some("seven_day"),
            true,
        ),
        (
            "Opus weekly limit reached ∙ resets 3pm",
            "C3",
            QUOTA,
            Some("seven_day_opus"),
            true,
        ),
        (
            "Usage limit reached ∙ resets 3pm",
            "C3",
            QUOTA,
            Some("usage"),
            true,
        ),
        (
            "Weekly limit resets 3pm ∙ contact an admin to keep working",
            "C3",
            QUOTA,
            Some("seven_day"),
            true,
        ),
        ("Spending cap reached", "C3s", BILLING, None, false),
        (
            "You've hit your session limit · resets 10:21pm (America/New_York)",
            "C4",
            QUOTA,
            Some("five_hour"),
            true,
        ),
        (
            "You’ve hit your 5-hour limit · resets 2:12am (UTC)",
            "C4",
            QUOTA,
            Some("five_hour"),
            true,
        ),
        (
            "You've hit your weekly limit · resets Nov 24, 11:55am (UTC)",
            "C4",
            QUOTA,
            Some("seven_day"),
            true,
        ),
        (
            "You've hit your Opus limit · resets 3pm",
            "C4",
            QUOTA,
            Some("seven_day_opus"),
            true,
        ),
        (
            "You've hit your Sonnet limit · resets 3pm",
            "C4",
            QUOTA,
            Some("seven_day_sonnet"),
            true,
        ),
        (
            "You've hit your Fable limit · resets 3pm",
            "C4",
            QUOTA,
            Some("fable"),
            true,
        ),
        (
            "You've hit your limit · resets 3pm (UTC)",
            "C4",
            QUOTA,
            None,
            true,
        ),
        ("You've hit your limit", "C4", QUOTA, None, false),
        (
            "You've hit your monthly spend limit · resets 3pm (UTC)",
            "C4",
            BILLING,
            Some("monthly spend"),
            true,
        ),
        (
            "You've hit your org spend limit",
            "C4",
            BILLING,
            Some("org spend"),
            false,
        ),
        (
            "You're out of extra usage · resets 3pm",
            "C4e",
            BILLING,
            None,
            false,
        ),
        (
            "● Usage limit reached again · continuing automatically at 10:21pm · esc to cancel",
            "C5",
            WaitsByItself,
            None,
            true,
        ),
        (
            "  ❯ 1. Stop and wait for limit to reset",
            "C6",
            Menu,
            None,
            false,
        ),
        (
            "API Error: Server is temporarily limiting requests (not your usage limit)",
            "C7",
            THROTTLE,
            None,
            false,
        ),
        (
            "API Error: Request rejected (429) · This request would exceed your account's rate limit. Please try again later.",
            "C7r",
            THROTTLE,
            None,
            false,
        ),
        (
            "API Error: 529 Overloaded. This is a server-side issue",
            "C8",
            OVERLOAD,
            None,
            false,
        ),
        (
            "Repeated 529 Overloaded errors",
            "C8",
            OVERLOAD,
            None,
            false,
        ),
        ("API Error: Repeated 500 …", "C8", OVERLOAD, None, false),
        (
            "Opus is experiencing high load, please use /model to switch",
            "C8",
            OVERLOAD,
            None,
            false,
        ),
        ("Credit balance is too low", "C9b", BILLING, None, false),
        (
            "Invalid API key · Please run /login",
            "C9a",
            AUTH,
            None,
            false,
        ),
        (
            "OAuth token has expired · Please run /login",
            "C9a",
            AUTH,
            None,
            false,
        ),
        (
            "OAuth token revoked · Please run /login",
            "C9a",
            AUTH,
            None,
            false,
        ),
        (
            "You've used 93% of your session limit · resets 2:12am (UTC)",
            "C10",
            Warning,
            None,
            false,
        ),
        (
            "Approaching Opus usage limit · resets at 7pm",
            "C10",
            Warning,
            None,
            false,
        ),
        (
            "You're now using extra usage · resets 3pm",
            "C10",
            Warning,
            None,
            false,
        ),
        ("Request timed out", "net", OVERLOAD, None, false),
    ] {
        let reading = read(Client::Claude, text).unwrap_or_else(|| panic!("not read: {text}"));
        assert_eq!((reading.rule, reading.meaning), (rule, want), "{text}");
        assert_eq!(reading.window.as_deref(), window, "{text}");
        assert_eq!(
            reading.reset.is_some(),
            has_reset,
            "{text}: {:?}",
            reading.reset
        );
        assert!(reading.snippet.chars().count() <= SNIPPET_CHARS);
    }
}

#[test]
fn key_table_of_codex() {
    const UPGRADE: &str = "Upgrade to Pro (https://chatgpt.com/explore/pro), visit https://chatgpt.com/settings/usage to purchase more credits or";
    for (text, rule, want, has_reset) in [
        (format!("You’ve hit your usage limit. {UPGRADE} try again at 9:13 PM."), "X1", QUOTA, true),
        (format!("You've hit your usage limit. {UPGRADE} try again at Nov 24th, 2026 9:13 PM."), "X1", QUOTA, true),
        ("You've hit your usage limit for GPT-5 Pro. Try again at 9:13 PM.".into(), "X1", QUOTA, true),
        ("You've hit your usage limit. Try again later.".into(), "X1", QUOTA, false),
        ("You've hit your usage limit. Try again in 5 days 22 hours 11 minutes.".into(), "X1i", QUOTA, true),
        ("You've hit your usage limit. Limits reset every 5h and every week.".into(), "X1n", QUOTA, false),
        ("exceeded retry limit, last status: 429 Too Many Requests".into(), "X2", THROTTLE, false),
        ("rate limit exceeded: Rate limit reached for gpt-5 … Please try again in 1.054s. Visit https://x".into(), "X2", THROTTLE, false),
        ("Quota exceeded. Check your plan and billing details.".into(), "X3b", BILLING, false),
        ("Your workspace is out of credits".into(), "X3b", BILLING, false),
        ("You hit your spend cap".into(), "X3b", BILLING, false),
        ("We’re currently experiencing high demand, which may cause temporary errors.".into(), "X3o", OVERLOAD, false),
        ("Selected model is at capacity. Please try a different model.".into(), "X3o", OVERLOAD, false),
        ("unexpected status 503 Service Unavailable: mock server_error, url: http://x".into(), "X3o", OVERLOAD, false),
        ("unexpected status 401 Unauthorized: Incorrect API key provided: sk-fake.".into(), "X401", AUTH, false),
    ] {
        let reading = read(Client::Codex, &text).unwrap_or_else(|| panic!("not read: {text}"));
        assert_eq!((reading.rule, reading.meaning), (rule, want), "{text}");
        assert_eq!(reading.reset.is_some(), has_reset, "{text}: {:?}", reading.reset);
    }
    let scoped = read(
        Client::Codex,
        "You've hit your usage limit for GPT-5 Pro. Try again at 9:13 PM.",
    );
    assert_eq!(scoped.expect("read").window.as_deref(), Some("gpt-5 pro"));
}

#[test]
fn key_table_of_gemini_and_opencode() {
    for (text, rule, want) in [
        (
            "[API Error: You have exhausted your daily quota on this model.]\nPlease wait and try again later.",
            "G1d",
            QUOTA,
        ),
        (
            "You have reached your daily gemini-2.5-pro quota limit",
            "G1d",
            QUOTA,
        ),
        (
            "Usage limit reached for gemini-3-pro.\nAccess resets at 10:57 PM GMT-3.",
            "G1",
            QUOTA,
        ),
        (
            "[API Error: mock RESOURCE_EXHAUSTED]\nPlease wait and try again later. To increase your limits, request a quota increase through AI Studio",
            "G429",
            THROTTLE,
        ),
        (
            "Attempt 1 failed: You exceeded your current quota, please check your plan and billing details.",
            "G429",
            THROTTLE,
        ),
        (
            "Attempt 1 failed with status 503. Retrying with backoff...",
            "G5",
            OVERLOAD,
        ),
        (
            r#"[API Error: {"error":{"code":500,"message":"x","status":"INTERNAL"}}]"#,
            "G5",
            OVERLOAD,
        ),
        (
            r#"[API Error: {"error":{"code":401,"message":"x","status":"UNAUTHENTICATED"}}]"#,
            "G401",
            AUTH,
        ),
    ] {
        assert_eq!(meaning(Client::Gemini, text), Some((rule, want)), "{text}");
    }
    let model = read(
        Client::Gemini,
        "Usage limit reached for gemini-3-pro.\nAccess resets at 10:57 PM GMT-3.",
    );
    let model = model.expect("read");
    assert_eq!(model.window.as_deref(), Some("gemini-3-pro"));
    assert!(model.reset.is_some());
    for (text, want) in [
        (
            r#"{"error": {"message": "m", "type": "insufficient_quota"}}"#,
            BILLING,
        ),
        (
            r#"{"error": {"type": "usage_limit_reached", "resets_at": 1795227168}}"#,
            QUOTA,
        ),
        (r#"{"error": {"type": "rate_limit_exceeded"}}"#, THROTTLE),
        (r#"{"error": {"type": "invalid_api_key"}}"#, AUTH),
    ] {
        assert_eq!(
            read(Client::OpenCode, text).map(|r| r.meaning),
            Some(want),
            "{text}"
        );
    }
}

#[test]
fn a6_traps_are_no_limits() {
    for text in [
        "I added a rate limit of 5 requests per second to the API.",
        "The test 'session limit' fails because it resets the counter.",
        "Implemented the usage limits page; it resets at 3pm.",
        "rate limit",
        "limit",
        "API Error: 400 mock error",
        "",
    ] {
        assert_eq!(meaning(Client::Claude, text), None, "{text}");
        assert_eq!(meaning(Client::Codex, text), None, "{text}");
    }
    // An overload in the same text vetoes the limit sentence (A6).
    let both = "API Error: 529 overloaded_error\nYou've hit your session limit · resets 3pm";
    assert_eq!(meaning(Client::Claude, both), Some(("C8", OVERLOAD)));
    // A wording that no rule knows is no limit.
    assert_eq!(
        meaning(Client::Claude, "Your allowance is spent · back at 3pm"),
        None
    );
}

#[test]
fn a5_a_status_alone_is_never_a_quota() {
    for status in 100..=599 {
        assert_ne!(read_status(status), Some(LimitClass::Quota));
    }
    assert_eq!(read_status(429), Some(LimitClass::Throttle));
    assert_eq!(read_status(529), Some(LimitClass::Overload));
    assert_eq!(read_status(404), None);
}

#[test]
fn a_throttle_or_billing_notice_has_no_reset() {
    let reading = read(
        Client::Claude,
        "You've hit your monthly spend limit · resets 3pm (UTC)",
    );
    let notice = reading
        .expect("read")
        .notice(UnixMs(0), &Zone::default())
        .expect("refused");
    assert_eq!((notice.class, notice.reset_at), (LimitClass::Billing, None));
}
