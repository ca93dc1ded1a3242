//! Supervising one command (A15, A16): which of its accounts it goes on with, when it waits, what a person is asked.
//! Values in, values out; no clock, no process.

use crate::time::UnixMs;

/// How an account stands, as far as the command is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It serves, or nothing is known of it: what is not told is not taken for a limit.
    Well,
    /// A window that counts is used up beyond the threshold; it still serves.
    Over {
        /// When that window starts anew, where that is known.
        until: Option<UnixMs>,
    },
    /// It is at its limit.
    Resting {
        /// Until then.
        until: UnixMs,
    },
    /// Its key was refused, or it has no credit: only a person can help.
    Out,
}

impl Standing {
    /// The same at a later time: a rest that is over is one no more.
    #[must_use]
    pub fn at(self, now: UnixMs) -> Self {
        match self {
            Self::Resting { until } | Self::Over { until: Some(until) } if until <= now => {
                Self::Well
            }
            other => other,
        }
    }
}

/// What of an account's windows counts, and from where on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// Percent; more than this is over it, this itself is not.
    pub percent: u8,
    /// Windows shorter than an hour count too. They refill by themselves, so only where a person says so (A10).
    pub any_window: bool,
}

/// A window, as far as the threshold looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Used, in thousandths.
    pub used_permille: u32,
    /// Whether it is an hour or longer.
    pub long: bool,
    /// When it starts anew.
    pub reset_at: Option<UnixMs>,
}

impl Threshold {
    /// The account's standing by its windows alone.
    #[must_use]
    pub fn standing(&self, windows: impl Iterator<Item = Window>, now: UnixMs) -> Standing {
        let over = windows.filter(|w| {
            (w.long || self.any_window)
                && w.used_permille > u32::from(self.percent) * 10
                && w.reset_at.is_none_or(|reset| reset > now)
        });
        // The last of them to start anew; one that does not say when says nothing about the others.
        over.map(|w| w.reset_at)
            .max()
            .map_or(Standing::Well, |until| Standing::Over { until })
    }
}

/// What is to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: it goes on with its account.
    Stay,
    /// It goes on with another one.
    Rotate {
        /// That one, by its place in the pool.
        to: usize,
    },
    /// No account can serve: it waits.
    Wait {
        /// Until then.
        until: UnixMs,
        /// For this one.
        on: usize,
    },
    /// No account will ever serve without a person.
    Lost,
}

/// Which account a pool goes on with. The next well one in a ring that begins behind the current one; the current one
/// only if no other is better.
///
/// An account beyond its threshold is left where another one is well. Where none is, the threshold is waited out if
/// `waits_at_threshold` and the window says until when; otherwise it is used up to its limit.
#[must_use]
pub fn judge(current: usize, pool: &[Standing], waits_at_threshold: bool) -> Verdict {
    let Some(now) = pool.get(current) else {
        return Verdict::Lost;
    };
    let after = (1..pool.len()).map(|step| (current + step) % pool.len());
    let next = |wanted: fn(&Standing) -> bool| {
        let mut others = after.clone();
        others.find(|n| pool.get(*n).is_some_and(wanted))
    };
    if *now == Standing::Well {
        return Verdict::Stay;
    }
    if let Some(to) = next(|s| *s == Standing::Well) {
        return Verdict::Rotate { to };
    }
    let ends = |(n, standing): (usize, &Standing)| match standing {
        Standing::Resting { until } | Standing::Over { until: Some(until) } => Some((*until, n)),
        Standing::Well | Standing::Over { until: None } | Standing::Out => None,
    };
    // Its own first, among those that end together: nothing has to change then.
    let soonest = || {
        let first = |(until, n): &(UnixMs, usize)| (*until, *n != current, *n);
        pool.iter().enumerate().filter_map(ends).min_by_key(first)
    };
    let wait = |(until, on)| Verdict::Wait { until, on };
    match now {
        Standing::Over { until } if !waits_at_threshold || until.is_none() => Verdict::Stay,
        Standing::Over { .. } => soonest().map_or(Verdict::Stay, wait),
        _ => match next(|s| matches!(s, Standing::Over { .. })) {
            Some(to) if !waits_at_threshold => Verdict::Rotate { to },
            over => match (soonest(), over) {
                (Some(soonest), _) => wait(soonest),
                (None, Some(to)) => Verdict::Rotate { to },
                (None, None) => Verdict::Lost,
            },
        },
    }
}

/// What a person may choose at a limit (A16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Go on with the next account.
    Rotate,
    /// Pause the command until the reset.
    Wait,
    /// End the command, and say how to go on later.
    Exit,
    /// Change nothing.
    KeepGoing,
}

/// The choices at a verdict, in their order; the first one is the default. None where nothing is to be asked.
#[must_use]
pub fn choices(verdict: Verdict) -> &'static [Choice] {
    match verdict {
        Verdict::Rotate { .. } => &[
            Choice::Rotate,
            Choice::Wait,
            Choice::Exit,
            Choice::KeepGoing,
        ],
        Verdict::Wait { .. } => &[Choice::Wait, Choice::Exit],
        Verdict::Stay | Verdict::Lost => &[],
    }
}

/// The choice of an answer: its number, or the default for an empty line or the end of input. `None`: asked again.
#[must_use]
pub fn answer(choices: &[Choice], line: Option<&str>) -> Option<Choice> {
    match line.map(str::trim) {
        None | Some("") => choices.first().copied(),
        Some(text) => {
            let number: usize = text.parse().ok()?;
            choices.get(number.checked_sub(1)?).copied()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: Standing = Standing::Well;
    const OUT: Standing = Standing::Out;

    const fn rests(until: i64) -> Standing {
        Standing::Resting {
            until: UnixMs(until),
        }
    }

    const fn over(until: i64) -> Standing {
        Standing::Over {
            until: Some(UnixMs(until)),
        }
    }

    const fn wait(until: i64, on: usize) -> Verdict {
        Verdict::Wait {
            until: UnixMs(until),
            on,
        }
    }

    #[test]
    fn a15_which_account_by_how_they_stand() {
        const UNTOLD: Standing = Standing::Over { until: None };
        const TO: fn(usize) -> Verdict = |to| Verdict::Rotate { to };
        let table: &[(usize, &[Standing], bool, Verdict)] = &[
            (0, &[WELL], false, Verdict::Stay),
            (1, &[rests(5), WELL], false, Verdict::Stay),
            // R6, R11 of ddollar: the next one in the ring, never a resting one.
            (0, &[rests(5), WELL, WELL], false, TO(1)),
            (2, &[WELL, WELL, rests(5)], false, TO(0)),
            (0, &[rests(5), rests(9), WELL], false, TO(2)),
            (0, &[over(5), WELL], false, TO(1)),
            (0, &[OUT, WELL], false, TO(1)),
            // One beyond its threshold serves still.
            (0, &[over(5), rests(9)], false, Verdict::Stay),
            (0, &[rests(5), over(9)], false, TO(1)),
            (0, &[rests(5), UNTOLD], true, wait(5, 0)),
            (0, &[OUT, UNTOLD], true, TO(1)),
            // R12, R14: the soonest reset, its own if several end together.
            (0, &[rests(9)], false, wait(9, 0)),
            (0, &[rests(9), rests(5)], false, wait(5, 1)),
            (1, &[rests(5), rests(5)], false, wait(5, 1)),
            (0, &[OUT, rests(5)], false, wait(5, 1)),
            (0, &[over(7)], true, wait(7, 0)),
            (0, &[over(7), rests(5)], true, wait(5, 1)),
            (0, &[UNTOLD], true, Verdict::Stay),
            (0, &[OUT], false, Verdict::Lost),
            (0, &[OUT, OUT], true, Verdict::Lost),
            (0, &[], false, Verdict::Lost),
        ];
        for (current, pool, waits, wanted) in table {
            assert_eq!(judge(*current, pool, *waits), *wanted, "{current} {pool:?}");
        }
    }

    #[test]
    fn a15_more_than_the_threshold_of_a_window_that_counts() {
        let now = UnixMs(1000);
        let standing = |any_window, windows: &[(u32, bool, Option<i64>)]| {
            let threshold = Threshold {
                percent: 95,
                any_window,
            };
            let windows = windows.iter().map(|(used_permille, long, reset)| Window {
                used_permille: *used_permille,
                long: *long,
                reset_at: reset.map(UnixMs),
            });
            threshold.standing(windows, now)
        };
        // R4: 95.0 no, 95.2 yes.
        assert_eq!(standing(true, &[(950, false, Some(2000))]), WELL);
        assert_eq!(standing(true, &[(952, false, Some(2000))]), over(2000));
        assert_eq!(standing(false, &[(999, false, Some(2000))]), WELL);
        assert_eq!(standing(false, &[(999, true, Some(2000))]), over(2000));
        // One that has started anew since counts no more; nothing known is no limit (R5).
        assert_eq!(standing(true, &[(999, true, Some(900))]), WELL);
        assert_eq!(standing(true, &[]), WELL);
        let both = [(999, true, Some(3000)), (960, true, Some(2000))];
        assert_eq!(standing(true, &both), over(3000));
        let untold = Standing::Over { until: None };
        assert_eq!(standing(true, &[(999, true, None)]), untold);
    }

    #[test]
    fn a15_a_rest_that_is_over_is_none() {
        for standing in [rests(5), over(5)] {
            assert_eq!(standing.at(UnixMs(4)), standing);
            assert_eq!(standing.at(UnixMs(5)), WELL);
        }
        assert_eq!(OUT.at(UnixMs(9)), OUT);
        assert_eq!(WELL.at(UnixMs(9)), WELL);
    }

    #[test]
    fn a16_what_is_asked_and_what_answers_mean() {
        let four = choices(Verdict::Rotate { to: 1 });
        assert_eq!(four.len(), 4);
        assert_eq!(answer(four, Some("")), Some(Choice::Rotate));
        assert_eq!(answer(four, None), Some(Choice::Rotate));
        assert_eq!(answer(four, Some(" 2 \n")), Some(Choice::Wait));
        assert_eq!(answer(four, Some("3")), Some(Choice::Exit));
        assert_eq!(answer(four, Some("4")), Some(Choice::KeepGoing));
        for again in ["5", "0", "-1", "yes", "1.0", "99999999999999999999"] {
            assert_eq!(answer(four, Some(again)), None, "{again}");
        }
        let two = choices(wait(5, 0));
        assert_eq!(answer(two, None), Some(Choice::Wait));
        assert_eq!(answer(two, Some("2")), Some(Choice::Exit));
        assert_eq!(answer(two, Some("3")), None);
        assert!(choices(Verdict::Stay).is_empty() && choices(Verdict::Lost).is_empty());
    }
}
