//! A small random generator (SplitMix64): the whole of a run follows from its seed, on every machine.

/// Random numbers that are a function of a seed.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    /// Starts from a seed.
    #[must_use]
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed ^ 0x51ab_17ea_d0c5_90e3)
    }

    /// Starts from several numbers: the same ones give the same stream, whatever happened in between.
    #[must_use]
    pub(crate) fn keyed(parts: &[u64]) -> Self {
        let mut rng = Self::new(parts.len() as u64);
        for part in parts {
            rng.0 = rng.next() ^ part.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        rng
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// A number below `bound`; 0 if `bound` is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True so many times in a thousand.
    pub(crate) fn permille(&mut self, n: u64) -> bool {
        self.below(1000) < n
    }

    /// One of several values.
    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        let n = self.below(of.len() as u64);
        usize::try_from(n).ok().and_then(|n| of.get(n).copied())
    }
}
