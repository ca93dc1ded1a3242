//! Every rule of the screens with the screens that were recorded for it, and what must not mislead it (A24, A6).

use std::collections::BTreeSet;
use std::path::PathBuf;

use longhaul_agents::limits::Zone;
use longhaul_agents::screen::{Dialog, LimitWatch, RULES, ScreenAgent, Showing, Sighting, read};
use longhaul_core::limit::LimitClass;
use longhaul_core::time::UnixMs;

use ScreenAgent::{Claude, Codex};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/samples/tui")
}

fn sample(name: &str) -> String {
    let path = folder().join(format!("{name}.txt"));
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// What each recorded screen shows, and by which rule.
fn table() -> Vec<(&'static str, ScreenAgent, &'static str, Showing)> {
    let asking = |question: &str| Showing::Asking {
        question: question.to_owned(),
    };
    let typed = |pasted| Showing::Typed { pasted };
    let retrying = Showing::Retrying {
        delay_s: Some(4),
        attempt: Some(1),
    };
    let trust = Showing::Dialog(Dialog::Trust { yes_marked: true });
    vec![
        ("01-idle", Claude, "claude/idle", Showing::Idle),
        ("02-pasted", Claude, "claude/pasted", typed(true)),
        ("03-working", Claude, "claude/progress", Showing::Working),
        ("04-streaming", Claude, "claude/progress", Showing::Working),
        ("05-after-turn", Claude, "claude/idle", Showing::Idle),
        (
            "06-permission-write",
            Claude,
            "claude/permission",
            asking("Do you want to create a.txt?"),
        ),
        (
            "07-permission-bash",
            Claude,
            "claude/permission",
            asking("Do you want to proceed?"),
        ),
        (
            "07b-permission-bash-10s",
            Claude,
            "claude/permission",
            asking("Do you want to proceed?"),
        ),
        ("08-after-perm", Claude, "claude/idle", Showing::Idle),
        ("09-tool-perm", Claude, "claude/progress", Showing::Working),
        (
            "10-working-tool",
            Claude,
            "claude/progress",
            Showing::Working,
        ),
        ("11-queued", Claude, "claude/progress", Showing::Working),
        ("12-after-queue", Claude, "claude/idle", Showing::Idle),
        (
            "13-working-typed",
            Claude,
            "claude/progress",
            Showing::Working,
        ),
        ("14-interrupted", Claude, "claude/typed", typed(false)),
        ("14b-esc", Claude, "claude/typed", typed(false)),
        ("15-429-retrying", Claude, "claude/retrying", retrying),
        ("16-429-recovered", Claude, "claude/idle", Showing::Idle),
        ("17-529-retrying", Claude, "claude/idle", Showing::Idle),
        ("18-529-esc", Claude, "claude/idle", Showing::Idle),
        ("20-oauth-idle", Claude, "claude/idle", Showing::Idle),
        (
            "21-fresh-onboarding",
            Claude,
            "claude/api-key",
            Showing::Dialog(Dialog::ApiKey),
        ),
        ("21b-fresh-final", Claude, "unknown", Showing::Unknown),
        ("22-trust-dialog", Claude, "claude/trust", trust.clone()),
        (
            "23-bypass-dialog",
            Claude,
            "claude/bypass",
            Showing::Dialog(Dialog::Bypass),
        ),
        ("23b-bypass-accepted", Claude, "claude/idle", Showing::Idle),
        (
            "24-apikey-dialog",
            Claude,
            "claude/api-key",
            Showing::Dialog(Dialog::ApiKey),
        ),
        (
            "25-unified-429",
            Claude,
            "claude/limit-menu",
            Showing::LimitMenu,
        ),
        (
            "26-unified-after-stop-and-wait",
            Claude,
            "claude/idle",
            Showing::Idle,
        ),
        ("27-unified-continued", Claude, "claude/idle", Showing::Idle),
        (
            "28-bypass-ok",
            Claude,
            "claude/bypass",
            Showing::Dialog(Dialog::Bypass),
        ),
        (
            "29-bypass-skip-setting-with-prompt-arg",
            Claude,
            "claude/idle",
            Showing::Idle,
        ),
        ("30-resumed", Claude, "claude/idle", Showing::Idle),
        ("31-after-sigterm", Claude, "claude/left", Showing::Ended),
        ("32-after-exit", Claude, "dead-pane", Showing::Ended),
        (
            "33-not-logged-in",
            Claude,
            "claude/login",
            Showing::LoginNeeded,
        ),
        (
            "34-limit-menu-named",
            Claude,
            "claude/limit-menu",
            Showing::LimitMenu,
        ),
        ("40-codex-start", Codex, "codex/trust", trust),
        ("41-codex-idle", Codex, "codex/idle", Showing::Idle),
        ("42-codex-pasted", Codex, "codex/typed", typed(false)),
        ("43-codex-working", Codex, "codex/working", Showing::Working),
        ("44-codex-after", Codex, "codex/idle", Showing::Idle),
        ("45-codex-trusted-idle", Codex, "codex/idle", Showing::Idle),
        (
            "46-codex-approval",
            Codex,
            "codex/approval",
            asking("Would you like to run the following command?"),
        ),
        ("46-codex-turn", Codex, "dead-pane", Showing::Ended),
        ("47-codex-429", Codex, "codex/idle", Showing::Idle),
        (
            "tui-v197-uni429",
            Claude,
            "claude/limit-menu",
            Showing::LimitMenu,
        ),
        ("tui-v197-warnuni", Claude, "claude/idle", Showing::Idle),
        (
            "tui-v329-uni429",
            Claude,
            "claude/waits-for-reset",
            Showing::WaitsForReset,
        ),
    ]
}

#[test]
fn a24_every_recorded_screen_is_read_by_its_rule() {
    let mut wrong = Vec::new();
    for (name, agent, rule, showing) in table() {
        let look = read(agent, &sample(name));
        if (look.rule.id, &look.showing) != (rule, &showing) {
            wrong.push(format!(
                "{name}: {} {:?}, not {rule} {showing:?}",
                look.rule.id, look.showing
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a24_every_rule_has_a_recorded_screen_and_every_screen_is_in_the_table() {
    let table = table();
    let mut met: BTreeSet<&str> = table.iter().map(|(_, _, rule, _)| *rule).collect();
    // Parts of recorded screens, below.
    met.extend(["blank", "claude/interrupt-footer", "claude/queued"]);
    for rule in RULES {
        assert!(met.contains(rule.id), "{} has no screen", rule.id);
        assert!(!rule.seen_in.is_empty(), "{} has no version", rule.id);
    }
    let named: BTreeSet<String> = table
        .iter()
        .map(|(name, ..)| format!("{name}.txt"))
        .collect();
    let kept = std::fs::read_dir(folder()).unwrap();
    for file in kept.map(|e| e.unwrap().file_name().into_string().unwrap()) {
        assert!(named.contains(&file), "{file} is in no test");
    }
}

/// A recorded screen without the line of progress, as it is drawn for a moment.
fn without_progress(name: &str) -> String {
    let text = sample(name);
    let stars = ['·', '✽', '✻', '*'];
    let lines = text
        .lines()
        .filter(|l| !(l.starts_with(stars) && l.contains('…')));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a24_the_footer_and_queued_messages_tell_of_work_too() {
    let look = read(Claude, &without_progress("09-tool-perm"));
    assert_eq!(
        (look.rule.id, look.showing),
        ("claude/interrupt-footer", Showing::Working)
    );
    let queued = without_progress("11-queued").replace("esc to interrupt", "");
    let look = read(Claude, &queued);
    assert_eq!(
        (look.rule.id, look.showing),
        ("claude/queued", Showing::Working)
    );
    assert_eq!(read(Claude, "\n \n\n").rule.id, "blank");
    assert_eq!(read(Codex, "").showing, Showing::Blank);
}

/// A screen whose conversation holds `text`, with an idle prompt below.
fn conversation(text: &str) -> String {
    let rule = "─".repeat(120);
    format!(
        "❯ what do you know\n\n{text}\n\n✻ Cogitated for 8s\n\n{rule}\n❯\u{a0}\n{rule}\n  ? for shortcuts\n"
    )
}

#[test]
fn a24_what_stands_in_the_conversation_misleads_no_rule() {
    let rule = "─".repeat(60);
    for text in [
        "● Waddling… (5s · esc to interrupt)",
        "● The menu says:\n  ❯ 1. Stop and wait for limit to reset\n    2. Upgrade your plan\n\n  Enter to confirm · Esc to cancel",
        "● Do you want to proceed?\n  ❯ 1. Yes\n    2. No\n\n  Esc to cancel",
        "● Pane is dead (status 0, now)",
        "● Resume this session with:\n  claude --resume \"x\"",
        "● Bash(cat notes)\n  ⎿  Not logged in · Run /login\n     API error · Retrying in 4s · attempt 1/10",
        &format!(
            "● Bash(cat)\n  ⎿  {rule}\n     ❯ [Pasted text #1 +3 lines]\n     {rule}\n     esc to interrupt"
        ),
        &format!(
            "{rule}\n❯ [Pasted text #1 +3 lines]\n{rule}\n  Continuing automatically at 10:21pm"
        ),
    ] {
        let look = read(Claude, &conversation(text));
        assert_eq!(look.showing, Showing::Idle, "{text}");
    }
}

#[test]
fn a24_a_command_that_is_asked_about_is_no_menu() {
    let rule = "─".repeat(120);
    let trap = format!(
        "{rule}\n Bash command\n\n   echo 'What do you want to do?\n   ❯ 1. Stop and wait for limit to reset'\n\n Do you want to proceed?\n ❯ 1. Yes\n   2. No\n\n Esc to cancel · Tab to amend\n"
    );
    let look = read(Claude, &trap);
    assert_eq!(
        look.showing,
        Showing::Asking {
            question: "Do you want to proceed?".to_owned()
        }
    );
    // Whichever answer is marked is told: Enter would take it.
    let no = sample("22-trust-dialog")
        .replace("❯ 1. Yes", "  1. Yes")
        .replace("  2. No", "❯ 2. No");
    assert_eq!(
        read(Claude, &no).showing,
        Showing::Dialog(Dialog::Trust { yes_marked: false })
    );
}

#[test]
fn a24_half_drawn_screens_are_never_idle_and_never_panic() {
    for (name, agent, _, _) in table() {
        let text = sample(name);
        for cut in (0..text.len()).filter(|n| text.is_char_boundary(*n)) {
            assert!(!read(agent, &text[..cut]).rule.id.is_empty());
        }
        let lines: Vec<&str> = text.lines().collect();
        if let Some(bottom) = lines.iter().rposition(|l| l.starts_with("────")) {
            let half = lines[..bottom].join("\n");
            assert_ne!(read(agent, &half).showing, Showing::Idle, "{name}");
        }
    }
}

// Limits on screens (A6).

/// 2026-11-21 00:00 UTC.
const NOW: UnixMs = UnixMs(1_795_219_200_000);

fn watch(before: &str) -> LimitWatch {
    LimitWatch::new(Claude, before, "")
}

fn see(watch: &mut LimitWatch, screen: &str) -> Sighting {
    watch.look(screen, NOW, &Zone::default())
}

#[test]
fn a6_a_limit_with_a_reset_acts_at_once_and_only_once() {
    let screen = sample("25-unified-429");
    let mut w = watch(&sample("20-oauth-idle"));
    let Sighting::Limit(seen) = see(&mut w, &screen) else {
        panic!("not seen");
    };
    assert_eq!((seen.rule, seen.notice.class), ("C4", LimitClass::Quota));
    assert_eq!(seen.notice.window.as_deref(), Some("five_hour"));
    assert_eq!(seen.notice.reset_at, Some(UnixMs(1_795_227_660_000)));
    assert_eq!(
        seen.notice.snippet,
        "You've hit your session limit · resets 2:21am (UTC)"
    );
    // It stays on the screen, and is old.
    assert_eq!(see(&mut w, &screen), Sighting::Clear);
    assert_eq!(
        see(&mut w, &sample("26-unified-after-stop-and-wait")),
        Sighting::Clear
    );
    assert_eq!(
        see(&mut w, &sample("27-unified-continued")),
        Sighting::Clear
    );
    // Text that was there before the watch began never triggers.
    assert_eq!(see(&mut watch(&screen), &screen), Sighting::Clear);
    for name in ["tui-v329-uni429", "tui-v197-uni429", "34-limit-menu-named"] {
        let Sighting::Limit(seen) = see(&mut watch(""), &sample(name)) else {
            panic!("{name}");
        };
        assert_eq!(seen.notice.class, LimitClass::Quota);
        assert!(seen.notice.reset_at.is_some());
    }
}

#[test]
fn a6_a_limit_without_a_reset_waits_for_the_next_look() {
    let screen = conversation("").replace("\n\n\n", "\n  ⎿  You've hit your weekly limit\n\n");
    let clean = conversation("● all is well");
    let mut w = watch("");
    assert_eq!(see(&mut w, &screen), Sighting::Suspected);
    let Sighting::Limit(seen) = see(&mut w, &screen) else {
        panic!("not confirmed");
    };
    assert_eq!(
        (seen.notice.class, seen.notice.reset_at),
        (LimitClass::Quota, None)
    );
    let mut w = watch("");
    assert_eq!(see(&mut w, &screen), Sighting::Suspected);
    assert_eq!(see(&mut w, &clean), Sighting::Clear);
    assert_eq!(
        see(&mut w, &screen),
        Sighting::Suspected,
        "a clean look clears"
    );
}

#[test]
fn a6_a_server_error_in_the_same_new_text_vetoes_and_an_old_one_does_not() {
    let limit = "  ⎿  You've hit your session limit · resets 2:21am (UTC)";
    for veto in [
        "● API Error: 529 Overloaded",
        "● it said overloaded_error",
        "● type: api_error",
        "● Internal Server Error",
    ] {
        let both = conversation(&format!("{veto}\n\n{limit}"));
        assert_eq!(see(&mut watch(""), &both), Sighting::Clear, "{veto}");
        let mut w = watch("");
        assert_eq!(
            see(&mut w, &conversation(veto)),
            Sighting::Clear,
            "it triggers nothing"
        );
        assert!(
            matches!(see(&mut w, &both), Sighting::Limit(_)),
            "an old {veto} does not veto"
        );
    }
    assert_eq!(
        see(&mut watch(""), &sample("17-529-retrying")),
        Sighting::Clear
    );
}

#[test]
fn a6_only_the_client_itself_is_believed() {
    let said = "You've hit your session limit · resets 2:21am (UTC)";
    for text in [
        format!("● {said}"),
        format!("● As the docs say:\n  {said}"),
        format!("● Bash(cat notes.txt)\n  ⎿  {said}"),
        format!("● Bash(cat notes.txt)\n  ⎿  first\n     {said}"),
        format!("  Bash(cat notes.txt)\n  ⎿  {said}"),
        "  ⎿  rate limit".to_owned(),
        "  ⎿  the rate limit of this service is 5 per second".to_owned(),
        "  ⎿  You've used 93% of your session limit · resets 10:22pm (UTC)".to_owned(),
    ] {
        let screen = conversation(&text);
        let mut w = watch("");
        assert_eq!(see(&mut w, &screen), Sighting::Clear, "{text}");
        assert_eq!(see(&mut w, &screen), Sighting::Clear, "{text}");
    }
    // A prompt that quotes the sentence is the user's.
    let prompt = format!("❯ why does it say: {said}\n  and: ⎿  {said}\n\n● no idea\n");
    assert_eq!(see(&mut watch(""), &prompt), Sighting::Clear);
    for name in ["tui-v197-warnuni", "15-429-retrying", "16-429-recovered"] {
        assert_eq!(
            see(&mut watch(""), &sample(name)),
            Sighting::Clear,
            "{name}"
        );
    }
}

#[test]
fn a6_typed_limits_count_and_codex_has_its_own_sign() {
    let typed = conversation(
        "  ⎿  API Error: 429 {\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\"}}",
    );
    let mut w = watch("");
    assert_eq!(see(&mut w, &typed), Sighting::Suspected);
    let Sighting::Limit(seen) = see(&mut w, &typed) else {
        panic!("not confirmed");
    };
    assert_eq!(
        seen.notice.class,
        LimitClass::Throttle,
        "a bare 429 is no quota (A5)"
    );
    let mut w = LimitWatch::new(Codex, &sample("45-codex-trusted-idle"), "");
    let hit = sample("47-codex-429").replace(
        "exceeded retry limit, last status: 429 Too Many Requests",
        "You’ve hit your usage limit. Visit the page to get more or try again at 2:18 AM.",
    );
    let Sighting::Limit(seen) = see(&mut w, &hit) else {
        panic!("not seen");
    };
    assert_eq!((seen.rule, seen.notice.class), ("X1", LimitClass::Quota));
    let spoken = hit.replace('■', "•");
    assert_eq!(
        see(&mut LimitWatch::new(Codex, "", ""), &spoken),
        Sighting::Clear
    );
}

#[test]
fn a6_after_a_switch_the_watch_rests_and_what_came_up_meanwhile_is_old() {
    let screen = sample("25-unified-429");
    let mut w = watch(&sample("20-oauth-idle"));
    w.rest_until(UnixMs(NOW.0 + 300_000));
    assert_eq!(see(&mut w, &screen), Sighting::Clear);
    let later = UnixMs(NOW.0 + 300_001);
    assert_eq!(w.look(&screen, later, &Zone::default()), Sighting::Clear);
}

#[test]
fn a6_a_snippet_has_at_most_120_characters() {
    let long = format!(
        "  ⎿  You've hit your session limit · resets 2:21am (UTC) {}",
        "x".repeat(500)
    );
    let screen = conversation("").replace("\n\n\n", &format!("\n{long}\n\n"));
    let mut w = watch("");
    assert_eq!(see(&mut w, &screen), Sighting::Suspected, "that is no time");
    let Sighting::Limit(seen) = see(&mut w, &screen) else {
        panic!("not seen");
    };
    assert_eq!(seen.notice.snippet.chars().count(), 120);
}

#[test]
fn a6_a_prompt_that_shows_the_screen_of_a_limit_is_no_limit() {
    let said = "⎿  You've hit your session limit · resets 2:21am (UTC)";
    let screen = format!("❯ read this:\n  {said}\n\n● I read it.\n");
    assert!(matches!(see(&mut watch(""), &screen), Sighting::Limit(_)));
    let mut w = LimitWatch::new(Claude, "", &format!("read this:\n{said}"));
    assert_eq!(see(&mut w, &screen), Sighting::Clear);
}
