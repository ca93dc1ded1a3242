//! The clocks of a live session: its timeout, its silence, a question that stands. All on the machine's
//! monotonic clock, which does not count sleep (T14, T15, T21); says once that one of them ran out.

use longhaul_core::spec::TaskSpec;

/// A clock that ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    /// `timeout`.
    Timeout,
    /// `answer_timeout`.
    Unanswered,
    /// `idle_timeout`.
    Idle,
}

/// The clocks; all times are milliseconds of the monotonic clock.
#[derive(Debug)]
pub(super) struct Vigil {
    timeout: u64,
    idle: u64,
    answer: u64,
    begun: Option<u64>,
    last_sign: u64,
    asked: Option<u64>,
    told: bool,
}

impl Vigil {
    pub(super) const fn new(spec: &TaskSpec, now: u64) -> Self {
        Self {
            timeout: spec.timeout.0,
            idle: spec.idle_timeout.0,
            answer: spec.answer_timeout.0,
            begun: None,
            last_sign: now,
            asked: None,
            told: false,
        }
    }

    /// Notes when the session began, the first time it is told.
    pub(super) fn begin(&mut self, at: u64) {
        self.begun.get_or_insert(at);
    }

    /// It gave a sign of life.
    pub(super) const fn sign(&mut self, now: u64) {
        self.last_sign = now;
    }

    /// A question stands, or none does any more.
    pub(super) fn question(&mut self, stands: bool, now: u64) {
        if stands {
            self.asked.get_or_insert(now);
        } else {
            self.asked = None;
        }
    }

    /// The clock that ran out by now, told once.
    pub(super) fn look(&mut self, now: u64) -> Option<Late> {
        let over = |since: u64, limit: u64| now.saturating_sub(since) >= limit;
        let late = if self.told {
            None
        } else if self.begun.is_some_and(|at| over(at, self.timeout)) {
            Some(Late::Timeout)
        } else if self.asked.is_some_and(|at| over(at, self.answer)) {
            Some(Late::Unanswered)
        } else if over(self.last_sign, self.idle) {
            Some(Late::Idle)
        } else {
            None
        };
        self.told |= late.is_some();
        late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vigil() -> Vigil {
        Vigil {
            timeout: 100,
            idle: 50,
            answer: 20,
            begun: None,
            last_sign: 0,
            asked: None,
            told: false,
        }
    }

    #[test]
    fn t14_a_timeout_counts_from_the_first_start_and_is_told_once() {
        let mut v = vigil();
        v.begin(10);
        v.begin(90);
        v.sign(100);
        assert_eq!(v.look(109), None);
        assert_eq!(v.look(110), Some(Late::Timeout));
        assert_eq!(v.look(500), None);
    }

    #[test]
    fn t14_silence_is_measured_from_the_last_sign() {
        let mut v = vigil();
        v.begin(0);
        v.sign(30);
        assert_eq!(v.look(79), None);
        assert_eq!(v.look(80), Some(Late::Idle));
    }

    #[test]
    fn t15_a_question_keeps_its_clock_until_it_stands_no_more() {
        let mut v = vigil();
        v.question(true, 5);
        v.question(true, 20);
        v.sign(20);
        assert_eq!(v.look(24), None);
        v.question(false, 24);
        assert_eq!(v.look(26), None);
        v.question(true, 26);
        assert_eq!(v.look(46), Some(Late::Unanswered));
    }
}
