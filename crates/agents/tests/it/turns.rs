//! A turn in a terminal session (A21, A22), step by step against a pretended screen.

use longhaul_agents::screen::{
    Dialog, Enough, Facts, Look, Move, Over, OwnState, Patience, RULES, Showing, Turn,
};

const PATIENCE: Patience = Patience {
    start_ms: 1_000,
    settle_ms: 100,
    ack_ms: 500,
    idle_ms: 200,
};

const PASTED: Showing = Showing::Typed { pasted: true };

struct Bench {
    turn: Turn,
    now: u64,
    facts: Facts,
}

impl Bench {
    fn new() -> Self {
        Self {
            turn: Turn::new(PATIENCE, 0),
            now: 0,
            facts: Facts::default(),
        }
    }

    /// `ms` later the screen shows this.
    fn after(&mut self, ms: u64, showing: Showing) -> Move {
        self.now += ms;
        let look = Look {
            showing,
            rule: RULES[0],
        };
        self.turn.step(self.now, &look, &self.facts)
    }

    /// Up to the acknowledged prompt.
    fn submitted() -> Self {
        let mut b = Self::new();
        assert_eq!(b.after(0, Showing::Blank), Move::Wait);
        assert_eq!(b.after(10, Showing::Idle), Move::Clear);
        assert_eq!(b.after(100, Showing::Idle), Move::Paste);
        assert_eq!(b.after(100, PASTED), Move::Enter);
        b.facts.acknowledged = true;
        assert_eq!(b.after(10, Showing::Working), Move::Wait);
        assert!(b.turn.is_working());
        b
    }
}

fn stuck(given: &Move) -> bool {
    matches!(given, Move::Over(Over::Stuck(_)))
}

#[test]
fn a21_paste_then_a_separate_enter_then_the_word_of_the_transcript() {
    let mut b = Bench::new();
    assert_eq!(b.after(0, Showing::Idle), Move::Clear);
    assert_eq!(b.after(50, Showing::Idle), Move::Wait);
    assert_eq!(b.after(50, Showing::Idle), Move::Paste);
    assert!(b.turn.has_pasted());
    // Not at once: an Enter in the same breath would be a part of the paste.
    assert_eq!(b.after(50, PASTED), Move::Wait);
    assert_eq!(b.after(50, PASTED), Move::Enter);
    assert_eq!(b.after(10, Showing::Working), Move::Wait);
    assert!(
        !b.turn.is_working(),
        "a screen alone is no acknowledgement yet"
    );
    b.facts.acknowledged = true;
    assert_eq!(b.after(10, Showing::Working), Move::Wait);
    assert!(b.turn.is_working());
}

#[test]
fn a21_a_swallowed_enter_is_pressed_once_more_and_never_a_third_time() {
    let mut b = Bench::new();
    b.after(0, Showing::Idle);
    b.after(100, Showing::Idle);
    assert_eq!(b.after(100, PASTED), Move::Enter);
    assert_eq!(b.after(499, PASTED), Move::Wait);
    assert_eq!(b.after(1, PASTED), Move::Enter);
    assert_eq!(b.after(499, PASTED), Move::Wait);
    assert!(stuck(&b.after(1, PASTED)));
    // Over is over: nothing is typed any more.
    for showing in [PASTED, Showing::Idle, Showing::Working] {
        assert_eq!(b.after(10_000, showing), Move::Wait);
    }
}

#[test]
fn a21_the_second_enter_is_not_pressed_into_a_question_or_a_menu() {
    for showing in [
        Showing::Asking {
            question: "may I?".to_owned(),
        },
        Showing::LimitMenu,
        Showing::Working,
    ] {
        let mut b = Bench::new();
        b.after(0, Showing::Idle);
        b.after(100, Showing::Idle);
        assert_eq!(b.after(100, PASTED), Move::Enter);
        assert_eq!(b.after(600, showing.clone()), Move::Wait, "{showing:?}");
        // Only a submitted prompt leads there.
        assert!(b.turn.is_working());
    }
    let mut b = Bench::new();
    b.after(0, Showing::Idle);
    b.after(100, Showing::Idle);
    b.after(100, PASTED);
    assert!(stuck(&b.after(600, Showing::Unknown)));
}

#[test]
fn a21_text_that_never_shows_is_not_submitted() {
    let mut b = Bench::new();
    b.after(0, Showing::Idle);
    assert_eq!(b.after(100, Showing::Idle), Move::Paste);
    assert_eq!(b.after(400, Showing::Idle), Move::Wait);
    assert!(stuck(&b.after(100, Showing::Idle)));
}

#[test]
fn a21_old_text_is_cleared_and_nothing_is_pasted_over_it() {
    let mut b = Bench::new();
    assert_eq!(b.after(0, Showing::Typed { pasted: false }), Move::Clear);
    assert_eq!(b.after(100, Showing::Typed { pasted: false }), Move::Wait);
    assert_eq!(b.after(100, Showing::Idle), Move::Paste);
    let mut b = Bench::new();
    b.after(0, Showing::Typed { pasted: false });
    assert!(stuck(&b.after(1_000, Showing::Typed { pasted: false })));
}

#[test]
fn a24_dialogs_before_the_prompt_are_answered_only_where_the_answer_is_known() {
    let mut b = Bench::new();
    let no = Showing::Dialog(Dialog::Trust { yes_marked: false });
    assert_eq!(b.after(0, no), Move::Wait);
    let yes = Showing::Dialog(Dialog::Trust { yes_marked: true });
    assert_eq!(b.after(0, yes.clone()), Move::Enter);
    assert_eq!(b.after(0, yes), Move::Wait, "once");
    for dialog in [Dialog::ApiKey, Dialog::Bypass] {
        let given = Bench::new().after(0, Showing::Dialog(dialog));
        assert!(
            matches!(given, Move::Over(Over::NotReady { .. })),
            "{given:?}"
        );
    }
    assert_eq!(
        Bench::new().after(0, Showing::LoginNeeded),
        Move::Over(Over::LoginNeeded)
    );
    for showing in [
        Showing::Unknown,
        Showing::Blank,
        Showing::LimitMenu,
        Showing::Working,
    ] {
        let mut b = Bench::new();
        assert_eq!(b.after(999, showing.clone()), Move::Wait);
        assert!(stuck(&b.after(1, showing)));
    }
}

#[test]
fn a22_signs_of_the_end_in_their_order() {
    let over = |enough| Move::Over(Over::Finished(enough));
    let mut b = Bench::submitted();
    b.facts.signalled = true;
    assert_eq!(b.after(10, Showing::Working), over(Enough::Signal));

    let mut b = Bench::submitted();
    b.facts.turn_over = true;
    assert_eq!(
        b.after(10, Showing::Working),
        Move::Wait,
        "a hook may still send it on"
    );
    assert_eq!(b.after(10, Showing::Idle), over(Enough::Transcript));

    let mut b = Bench::submitted();
    b.facts.own = Some(OwnState::Idle);
    assert_eq!(
        b.after(10, Showing::Idle),
        Move::Wait,
        "it was never seen busy"
    );
    b.facts.own = Some(OwnState::Busy);
    assert_eq!(
        b.after(500, Showing::Idle),
        Move::Wait,
        "it knows better than its screen"
    );
    b.facts.own = Some(OwnState::Idle);
    assert_eq!(b.after(10, Showing::Idle), over(Enough::OwnState));
}

#[test]
fn a22_an_idle_prompt_counts_when_it_was_seen_twice_with_nothing_between() {
    let mut b = Bench::submitted();
    assert_eq!(b.after(10, Showing::Idle), Move::Wait);
    assert_eq!(b.after(199, Showing::Idle), Move::Wait);
    assert_eq!(
        b.after(1, Showing::Idle),
        Move::Over(Over::Finished(Enough::IdleTwice))
    );
    let mut b = Bench::submitted();
    b.after(10, Showing::Idle);
    b.after(150, Showing::Working);
    assert_eq!(b.after(150, Showing::Idle), Move::Wait, "it counts anew");
}

#[test]
fn a22_questions_retries_and_limits_are_told_and_nothing_is_typed() {
    let mut b = Bench::submitted();
    let ask = || Showing::Asking {
        question: "may I?".to_owned(),
    };
    assert_eq!(b.after(10, ask()), Move::Ask("may I?".to_owned()));
    assert_eq!(b.after(10, ask()), Move::Wait, "told once");
    b.after(10, Showing::Working);
    assert_eq!(
        b.after(10, ask()),
        Move::Ask("may I?".to_owned()),
        "asked again"
    );
    let retry = |attempt| Showing::Retrying {
        delay_s: Some(4),
        attempt: Some(attempt),
    };
    let told = |attempt| Move::Retrying {
        delay_s: Some(4),
        attempt: Some(attempt),
    };
    assert_eq!(b.after(10, retry(1)), told(1));
    assert_eq!(b.after(10, retry(1)), Move::Wait);
    assert_eq!(b.after(10, retry(2)), told(2));
    assert_eq!(
        b.after(10, Showing::LimitMenu),
        Move::Over(Over::Limited(None))
    );
    let mut b = Bench::submitted();
    assert_eq!(
        b.after(10, Showing::WaitsForReset),
        Move::Over(Over::Limited(None))
    );
    let mut b = Bench::submitted();
    assert_eq!(b.after(10, Showing::Ended), Move::Over(Over::Gone));
}
